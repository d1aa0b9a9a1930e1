"""The repeated blocks of a model, and running the model from one of them on.

Layers are fitted and probed one after another, and each time only what comes after the last finished block
needs to be computed. Its output is remembered for every batch, and the blocks before it are skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bondwise.runs import UsageError
from bondwise.tn.compress.calibration.batches import Batch, answer, require_finite
from bondwise.tn.compress.calibration.moments import frozen


class Reached(Exception):  # noqa: N818 (not an error)
    """Ends a forward pass as soon as what was asked for is known."""


class Blocks:
    """The blocks of a model, and the outputs of the last finished one.

    Args:
        model: A model that may call the modules of a `ModuleList` one after another, so that nothing but the
            output of one is needed for the next.
        names: Names of the layers in question; the list with most of them is taken.
        batches: What the model will be run on, by index.

    Attributes:
        blocks: The modules of that list; none if there is no list.
        prefix: What the names of all modules in the blocks start with, such as `model.layers.`.
        calls: How often the layers are called for the first batch, if that is known.
    """

    def __init__(self, model: nn.Module, names: Mapping[str, Any], batches: Sequence[Batch]) -> None:
        self.model, self.batches = model, batches
        lists = [
            (name, module) for name, module in model.named_modules() if isinstance(module, nn.ModuleList)
        ]
        counted = [(sum(one.startswith(f"{name}.") for one in names), name, module) for name, module in lists]
        most = max(counted, key=lambda one: one[0], default=(0, "", nn.ModuleList()))
        self.prefix = f"{most[1]}."
        self.blocks: list[nn.Module] = list(most[2]) if most[0] else []
        self.calls: dict[str, int] = {}
        self._finished = 0
        self.outputs: list[Any] = [None] * len(batches)  # of the last finished block
        self._given: dict[tuple[nn.Module, int], list[Tensor]] = {}  # to watched modules, by batch

    @classmethod
    def found_in(cls, model: nn.Module, names: Mapping[str, Any], batches: Sequence[Batch]) -> Blocks:
        """Blocks that can be skipped; none if they are branches, are called twice, or are looked back at."""
        found = cls(model, names, batches)
        if not found._follow(names):
            found.blocks = []
        return found

    def _follow(self, names: Iterable[str]) -> bool:
        """Whether the answer stays as it is if all blocks but the last, or the only one, are skipped."""
        skipped = self.blocks[:-1] or self.blocks
        seen: list[Any] = []
        calls: list[Any] = []
        present = dict(self.model.named_modules(remove_duplicate=False))
        # a teacher may be another module than its student
        modules = {name: present[name] for name in names if name in present}
        self.calls = dict.fromkeys(modules, 0)

        def count(name: str) -> Callable[..., None]:
            def hook(*_: Any) -> None:
                self.calls[name] += 1

            return hook

        handles = [module.register_forward_pre_hook(count(name)) for name, module in modules.items()]
        for block in skipped[-1:]:
            handles.append(block.register_forward_hook(lambda _, args, output: seen.append(_copied(output))))
        for block in self.blocks[-1:]:
            handles.append(block.register_forward_pre_hook(lambda _, args: calls.append(len(seen))))
        try:
            with frozen(self.model), torch.no_grad():
                wanted = answer(self.model, self.batches[0])
                require_finite(wanted)  # nothing equals NaN, so no block could be skipped
                for handle in handles:
                    handle.remove()
                if len(seen) != 1 or calls != [len(self.blocks) > 1]:
                    return False
                with _skipped(skipped, seen[0]):
                    found = answer(self.model, self.batches[0])
        finally:
            for handle in handles:
                handle.remove()
        return torch.allclose(found.rows, wanted.rows, rtol=1e-4, atol=1e-6)

    def called_once(self) -> bool:
        """Whether each block is called once for a batch, given that the first one is finished."""
        calls: list[nn.Module] = []
        expected = self.blocks
        handles = [
            block.register_forward_pre_hook(lambda module, args: calls.append(module))
            for block in self.blocks
        ]
        try:
            with torch.no_grad(), _skipped(self.blocks, self.outputs[0]):
                answer(self.model, self.batches[0])
        except UsageError:  # what comes next may not take the first one's output, if blocks change its shape
            expected = self.blocks[: len(calls)]
        finally:
            for handle in handles:
                handle.remove()
        return calls == expected

    def of(self, name: str) -> int:
        """Index of the block that a layer is in; the last finished one for a layer outside of all."""
        if not self.blocks or not name.startswith(self.prefix):
            return self._finished
        return int(name.removeprefix(self.prefix).split(".")[0])

    def advance(self, block: int, watched: Mapping[nn.Module, float] | None = None) -> None:
        """Remember the outputs of all blocks before this one, as the model is now; there is no way back.

        What `watched` modules are given in the last of these blocks is remembered too, for `inputs`, for
        batch after batch until it is as many numbers as are said to be enough.
        """
        while self._finished < block:
            module = self.blocks[self._finished]
            self._given = {}
            inside = set(module.modules())
            lacking = {one: numbers for one, numbers in (watched or {}).items() if one in inside}
            with torch.no_grad():
                self.outputs = [self._passed(module, lacking, index) for index in range(len(self.batches))]
            self._finished += 1

    def _passed(self, module: nn.Module, lacking: dict[nn.Module, float], index: int) -> Any:
        """The output of a block, with a note of what was given to modules that lack numbers on the way."""

        def note(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            self._given[module, index].append(args[0].clone())  # which may be changed in place later on
            lacking[module] -= args[0].numel()

        watched = [one for one, numbers in lacking.items() if numbers > 0]
        self._given |= {(one, index): [] for one in watched}
        handles = [one.register_forward_pre_hook(note) for one in watched]
        try:
            return self.output(module, index)
        finally:
            for handle in handles:
                handle.remove()

    def run(self, index: int) -> Any:
        """The model's answer to a batch, computed from the last finished block on."""
        with _skipped(self.blocks[: self._finished], self.outputs[index]):
            return answer(self.model, self.batches[index])

    def inputs(self, module: nn.Module, index: int, every: bool = False) -> list[Tensor]:
        """What a module is given for a batch, in its first call or in all; experts may not be called."""
        if (module, index) in self._given:
            return self._given[module, index]
        found: list[Tensor] = []

        def look(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            found.append(args[0].clone() if every else args[0])  # what comes next may change it in place
            if not every:
                raise Reached

        handles = [module.register_forward_pre_hook(look)]
        ahead = self.blocks[self._finished : self._finished + 1]
        if any(module is one for block in ahead for one in block.modules()):
            handles.append(ahead[0].register_forward_hook(_stop))
        with torch.no_grad():
            self._until(handles, index)
        return found

    def output(self, module: nn.Module, index: int) -> Any:
        """What a module returns for a batch."""
        found: list[Any] = []

        def look(_: nn.Module, args: Any, output: Any) -> None:
            found.append(output)
            raise Reached

        self._until([module.register_forward_hook(look)], index)
        return found[0]

    def _until(self, handles: Sequence[Any], index: int) -> None:
        """Run the model until one of some hooks, which are removed, ends the forward pass."""
        try:
            self.run(index)
        except Reached:
            pass
        finally:
            for handle in handles:
                handle.remove()


def _stop(*_: Any) -> None:
    raise Reached


def hidden(output: Any) -> Tensor:
    """The hidden states among what a block returns."""
    return output[0] if isinstance(output, tuple | list) else output


@contextmanager
def _skipped(blocks: Sequence[nn.Module], outputs: Any) -> Iterator[None]:
    """Have blocks return remembered outputs, whatever they are given."""
    own = [block.__dict__.get("forward") for block in blocks]
    for block in blocks:
        block.forward = lambda *args, **kwargs: _copied(outputs)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for block, forward in zip(blocks, own, strict=True):
            del block.forward
            if forward is not None:
                block.forward = forward


def _copied(outputs: Any) -> Any:
    """The same numbers, which what comes next may change in place."""
    if isinstance(outputs, torch.Tensor):
        return outputs.clone()
    # named tuples and outputs of transformers are handed on as they are
    return type(outputs)(map(_copied, outputs)) if type(outputs) in (tuple, list) else outputs
