"""Adam with the learning rate that healing and refinement share: up over ten steps, then down as a cosine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from bondwise.runs import RunError, UsageError, random_generator
from bondwise.tn.compress.calibration.batches import Answer, mean_divergence
from bondwise.tn.compress.quantization.packed import packed_parameters

_WARMUP = 10  # steps
_CHECKED, _ROWS = 32, 2048  # batches, and tokens or samples, that are enough to see whether training helped
# means over fewer steps than usual: with 0.9 and 0.999, a few hundred steps are led by gradients of long ago
_BETAS = 0.7, 0.95


def refuse_quantized(model: nn.Module) -> None:
    """Packed numbers take no small steps.

    Raises:
        UsageError: If the model has any.
    """
    packed = next(packed_parameters(model), None)
    if packed is not None:
        raise UsageError(
            f"{packed[0]} is quantized and cannot be trained; train dequantize(model), and quantize it then"
        )


def shuffled(count: int, rng: np.random.Generator) -> Iterator[int]:
    """Indices below a number for ever, each once before any comes again."""
    while True:
        yield from map(int, rng.permutation(count))


class Check:
    """The divergence of a model from the dense one, always on the same few batches.

    Args:
        count: Number of batches.
        teach: Gives the dense model's answer to the batch with an index.
    """

    def __init__(self, count: int, teach: Callable[[int], Answer]) -> None:
        self._batches = [int(index) for index in random_generator(0).permutation(count)[:_CHECKED]]
        self._teach = teach

    @torch.no_grad()
    def divergence(self, run: Callable[[int], Answer]) -> float:
        """That of the model which `run` gives the answers of."""
        lost, rows = 0.0, 0
        for index in self._batches:
            wanted = self._teach(index)
            lost += mean_divergence(lambda _: run(index), [wanted]) * len(wanted.rows)  # noqa: B023
            rows += len(wanted.rows)
            if rows >= _ROWS:
                break
        return lost / rows


class Training:
    """The parameters of some modules in training, which need no gradients any more after the `with` block.

    If the block ends with an error, the parameters are as they were before.

    Args:
        modules: Their parameters are made to need gradients.
        steps: Number of steps that will be taken.
        learning_rate: The largest.
    """

    def __init__(self, modules: Iterable[nn.Module], steps: int, learning_rate: float) -> None:
        self._parameters = list(
            dict.fromkeys(parameter for module in modules for parameter in module.parameters())
        )
        self._needed = [parameter.requires_grad for parameter in self._parameters]
        for parameter in self._parameters:
            parameter.requires_grad_()
        self._before = [parameter.detach().clone() for parameter in self._parameters]
        self._optimizer = torch.optim.Adam(self._parameters, betas=_BETAS)
        self._taken, self._steps, self._rate = 0, steps, learning_rate

    def step(self, loss: Tensor) -> float:
        """Descend along the gradient of a loss, and return the loss.

        Raises:
            RunError: If the loss is not finite.
        """
        value = float(loss.detach())
        if not math.isfinite(value):
            if not self._taken:
                raise RunError(
                    "the compressed model's answers to the data are not finite before any training; check "
                    "its parameters and the data"
                )
            raise RunError(
                f"the loss in step {self._taken + 1} is not finite; lower learning_rate={self._rate:g}"
            )
        rate = min(1.0, (self._taken + 1) / _WARMUP) * (1 + math.cos(math.pi * self._taken / self._steps)) / 2
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * rate
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._taken += 1
        return value

    @torch.no_grad()
    def undo(self) -> None:
        """Give the parameters the values from before the first step."""
        for parameter, before in zip(self._parameters, self._before, strict=True):
            parameter.copy_(before)

    def __enter__(self) -> Training:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """Leave the parameters as they were, but for their values, unless there was an error."""
        if kind is not None and issubclass(kind, Exception):
            self.undo()
        for parameter, needed in zip(self._parameters, self._needed, strict=True):
            parameter.grad = None
            parameter.requires_grad_(needed)
