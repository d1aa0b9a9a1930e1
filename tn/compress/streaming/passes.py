"""The two passes of calibration data through a model of which one block at a time is in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bondwise.runs import UsageError
from bondwise.tn.compress.allocation import Choice
from bondwise.tn.compress.calibration.batches import Answer, Batch, mean_divergence
from bondwise.tn.compress.calibration.blocks import Blocks, hidden
from bondwise.tn.compress.calibration.calls import Pairing
from bondwise.tn.compress.formats.lowrank import LowRank
from bondwise.tn.compress.layers import Layer, find_layers, replace
from bondwise.tn.compress.streaming.factors import Factors
from bondwise.tn.compress.streaming.inputs import Inputs
from bondwise.tn.compress.streaming.measuring import measure_block
from bondwise.tn.compress.streaming.reading import Source, drop, fill
from bondwise.tn.compress.streaming.unfinished import Unfinished


class Stream:
    """A dense model and its compressed copy.

    Args:
        source: Where the dense one is read from.
        skip: Names of layers that stay dense.
        fitted_to: Batches to fit to.
        held_out: Batches to measure losses on.

    Raises:
        UsageError: If there is nothing to compress.
    """

    def __init__(
        self, source: Source, skip: Iterable[str], fitted_to: Sequence[Batch], held_out: Sequence[Batch]
    ) -> None:
        self.source, self.fitted_to, self.held_out = source, fitted_to, held_out
        self.dense, self.small = source.skeleton(), source.skeleton()
        found = find_layers(self.dense, skip)
        described = Blocks(self.dense, found, ())
        if not described.blocks:
            raise UsageError(
                f"{source.folder} is a model without a list of blocks; load it, and use compress"
            )
        self.blocks, self._prefix = described.blocks, described.prefix
        self.layers = {name: one for name, one in found.items() if name.startswith(described.prefix)}
        self._leaders: dict[str, str] = {}  # for each layer the first that is given the same tensor
        self._varying: set[str] = set()  # layers that are not called once for each batch

    def fill_rest(self) -> dict[str, Tensor]:
        """Read what is outside of the blocks for both models; returned as it is stored."""
        stored = set(self.dense.state_dict())
        tensors = [*self.dense.named_parameters(), *self.dense.named_buffers()]  # tied ones once
        rest = [name for name, _ in tensors if name in stored and not name.startswith(self._prefix)]
        found = self.source.read(self.dense, rest)
        computed = {name: one.float() if one.is_floating_point() else one for name, one in found.items()}
        for model in (self.dense, self.small):
            fill(model, computed)  # the same tensors
            model.tie_weights()
        return found

    def ties(self) -> dict[str, str]:
        """For each tensor that is stored under another name that name."""
        first: dict[int, str] = {}
        named = self.dense.named_parameters(remove_duplicate=False)
        found = {name: first.setdefault(id(parameter), name) for name, parameter in named}
        return {name: kept for name, kept in found.items() if name != kept}

    def measure(self, work: Unfinished, bar: Any) -> dict[str, list[Choice]]:
        """Options for each layer."""
        notes = [work.note(f"block-{index}") for index in range(len(self.blocks))]
        blocks = Blocks(self.dense, self.layers, self.fitted_to)
        probes = Blocks(self.dense, self.layers, self.held_out)
        for index, block in enumerate(self.blocks if None in notes else ()):
            layers = self._within(index, self.layers)
            bar.set_postfix_str(f"measuring block {index + 1} of {len(self.blocks)}")
            fill(self.dense, self._read(index))
            if notes[index] is None:
                notes[index] = measure_block(blocks, probes, index, layers, bar.update)._asdict()
                work.write_note(f"block-{index}", notes[index])
            else:
                bar.update(len(layers))
                blocks.advance(index + 1)
            if index == 0 and not blocks.called_once():
                raise UsageError(
                    f"the blocks of {self.source.folder} are not called once each, one after another; load "
                    "it, and use compress"
                )
            probes.advance(index + 1)
            self._require_finite(blocks, index)
            drop(block)
        bar.update(len(self.layers) - bar.n)
        options: dict[str, list[Choice]] = {}
        for note in notes:
            self._leaders |= note["leaders"]
            self._varying |= set(note["varying"])
            for name, losses in note["losses"].items():
                layer = self.layers[name]
                options[name] = [Choice("dense", 0, layer.num_params, 0.0)]
                for rank, loss in losses:
                    options[name].append(Choice("lowrank", rank, LowRank.num_params(layer, rank), loss))
        return options

    def fit(
        self, work: Unfinished, chosen: Mapping[str, Choice], bar: Any
    ) -> tuple[dict[int, dict[str, int]], float, Answer]:
        """Write all blocks; the bytes of each tensor of each part, the divergence of the whole model, and an
        answer of the dense one."""
        batches = [*self.fitted_to, *self.held_out]
        before, now = Blocks(self.dense, self.layers, batches), Blocks(self.small, self.layers, batches)
        stored = {}
        for index in range(len(self.blocks)):
            names = self._within(index, self.layers)
            layers = {name: Layer(name, self.small.get_submodule(name)) for name in names}
            bar.set_postfix_str(f"fitting block {index + 1} of {len(self.blocks)}")
            raw = self._read(index)
            fill(self.dense, raw)
            tensors = work.read(index)
            if tensors is None:
                fill(self.small, raw)
                self._fit_block(before, now, layers, chosen, bar)
                tensors = self._cast(index, raw)
                work.write(index, tensors)
            else:
                bar.update(len(layers))
                for name, layer in layers.items():
                    if chosen[name].format != "dense":
                        replace(self.small, name, LowRank.empty(layer, chosen[name].rank))
            fill(self.small, tensors)  # with the precision in which they are stored
            for passing in (before, now):
                passing.advance(index + 1)
                self._require_finite(passing, index)
                drop(passing.blocks[index])
            stored[index] = {name: tensor.nbytes for name, tensor in tensors.items()}
        first = len(self.fitted_to)
        wanted = [before.run(first + batch) for batch in range(len(self.held_out))]
        loss = mean_divergence(lambda batch: now.run(first + batch), wanted)
        return stored, loss, wanted[0]

    def _fit_block(
        self,
        before: Blocks,
        now: Blocks,
        layers: Mapping[str, Layer],
        chosen: Mapping[str, Choice],
        bar: Any,
    ) -> None:
        leader, inputs = "", Inputs()
        for name, layer in layers.items():
            if chosen[name].format != "dense":
                if leader != self._leaders[name]:
                    leader = self._leaders[name]
                    inputs = self._inputs(before, self.dense.get_submodule(name), now, layer)
                factors = Factors(name, inputs.shifted(layer.weight), inputs)
                replace(self.small, name, factors.build(chosen[name].rank, layer.bias))
            bar.update()

    def _inputs(self, before: Blocks, original: nn.Module, now: Blocks, layer: Layer) -> Inputs:
        """What a layer is given."""
        inputs, instead = Inputs(), Inputs()
        every = layer.name in self._varying
        pairing = Pairing()
        for index, batch in enumerate(self.fitted_to):
            x, y = (
                [one for one in passing.inputs(module, index, every) if one.numel()]
                for passing, module in ((before, original), (now, layer.module))
            )
            pairing.add(batch, x, y)
            x, y = ([one.flatten(0, -2) for one in calls] for calls in (x, y))
            if y:
                given = torch.cat(y)
                inputs.add(given, torch.cat(x) - given if pairing.known else torch.zeros_like(given))
            elif x:
                instead.add(torch.cat(x))
        if not pairing.known:
            inputs.forget_missing()
        return inputs if inputs.count else instead  # of an expert that is out of use

    def _within(self, index: int, layers: Mapping[str, Layer]) -> dict[str, Layer]:
        prefix = f"{self._prefix}{index}."
        return {name: layer for name, layer in layers.items() if name.startswith(prefix)}

    def _read(self, index: int) -> dict[str, Tensor]:
        prefix = f"{self._prefix}{index}."
        return self.source.read(self.dense, [prefix + name for name in self.blocks[index].state_dict()])

    def _cast(self, index: int, raw: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a compressed block: factors in the dtype of the weight, others as they were."""
        prefix = f"{self._prefix}{index}."
        block = self.small.get_submodule(prefix[:-1])
        cast = {}
        for name, tensor in block.state_dict(prefix=prefix).items():
            if name in raw:
                cast[name] = raw[name]
            else:
                layer = name.rpartition(".")[0] + "."
                dtype = next(one.dtype for stored, one in raw.items() if stored.startswith(layer))
                cast[name] = tensor.to(dtype).contiguous()
        return cast

    def _require_finite(self, blocks: Blocks, index: int) -> None:
        if not all(torch.isfinite(hidden(output)).all() for output in blocks.outputs):
            raise UsageError(
                f"the hidden states after {self._prefix}{index} are not finite on the calibration data; "
                "check the data and the weights up to there"
            )
