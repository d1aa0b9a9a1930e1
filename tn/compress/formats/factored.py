"""Linear layers in factors that are about as fast as the dense layer, or faster.

To multiply by the factors pays if it takes few multiplications and few calls of kernels; otherwise the input
is multiplied by the weight. The shapes alone decide, with times of kernels that were measured on one core.

The weight is computed anew in each call while gradients of the factors are asked for, a compiler traces the
layer, or the factors are on another device than the CPU. Otherwise a copy is kept beside the factors, which
costs the memory of the dense layer, and is not saved. It is dropped whenever the factors have changed:
PyTorch counts changes of a parameter in place, except for those of fused optimizers, whose steps are counted
here, and those through `Tensor.data`, for which each call compares some entries of each factor with what they
were. So averages of weights that are swapped in, scaling and pruning are seen; what changes a few entries
through `Tensor.data` may be seen only after a call of `train` or `eval`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.optim.optimizer import register_optimizer_step_post_hook

# microseconds for a call of a kernel, for a number that is read, and for a multiplication in a large product
_CALL, _NUMBER, _MULTIPLICATION = 5.0, 2e-4, 2.8e-5
_steps = [0]  # of all optimizers


def _count(*_: Any) -> None:
    _steps[0] += 1


register_optimizer_step_post_hook(_count)


class Cost(NamedTuple):
    """What it takes to multiply by factors.

    Attributes:
        calls: Kernels that are called, in units of a matrix product.
        numbers: In the factors, in units of those in a matrix.
        multiplications: For each row of the input.
        work: The same in units of those in large products.
        rebuild: Multiplications that give the weight.
    """

    calls: float
    numbers: float
    multiplications: int
    work: float
    rebuild: float


class _Entries:
    """Some entries of a factor, as they were.

    Args:
        factor: On the CPU, and contiguous.
    """

    def __init__(self, factor: Tensor) -> None:
        bits = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[factor.element_size()]
        self._all = factor.detach().view(-1).view(bits).numpy()
        self._places = _places(self._all.size)
        self._were = self._now()

    def same(self) -> bool:
        """Whether they are as they were."""
        return self._now() == self._were

    def _now(self) -> bytes:
        return self._all.take(self._places).tobytes()


@cache
def _places(size: int) -> np.ndarray:
    """Where to look among so many entries."""
    return np.unique(np.random.default_rng(0).integers(0, size, 64)) if size else np.zeros(0, int)


class _Copy(NamedTuple):
    """The weight, and what it was computed of."""

    weight: Tensor
    steps: int
    factors: list[tuple[str, nn.Parameter, int, int]]  # name, version and address of each
    entries: list[_Entries]  # also keeps the memory, so that no other numbers are put at the addresses


class Factored(nn.Module, ABC):
    """A linear layer whose weight is a product of factors.

    Args:
        bias: Shape (out_features,), or None.
        shape: Of the weight, (out_features, in_features).
        cost: Of a multiplication by the factors.
        **factors: By the names that they get as parameters.
    """

    bias: nn.Parameter | None

    def __init__(self, bias: Tensor | None, shape: tuple[int, int], cost: Cost, **factors: Tensor) -> None:
        super().__init__()
        self.out_features, self.in_features = shape
        self._names = tuple(factors)
        for name, factor in factors.items():
            self.register_parameter(name, nn.Parameter(factor))
        self.bias = None if bias is None else nn.Parameter(bias)
        numbers = shape[0] * shape[1]
        self._slope = _MULTIPLICATION * (cost.work - numbers)
        self._offset = _CALL * (cost.calls - 1) + _NUMBER * (cost.numbers - numbers)
        self._rebuild = _CALL + _MULTIPLICATION * cost.rebuild + _NUMBER * numbers
        self._more = cost.multiplications - numbers  # for each row, than by the weight
        self._copy: _Copy | None = None

    @property
    @abstractmethod
    def rank(self) -> int:
        """The number that the shapes of the factors follow from."""

    @abstractmethod
    def multiply(self, x: Tensor) -> Tensor:
        """Apply the layer to inputs of shape (..., in_features) by its factors."""

    @abstractmethod
    def dense(self) -> Tensor:
        """The weight, shape (out_features, in_features)."""

    @property
    def factors(self) -> list[Tensor]:
        """All parameters except for the bias; their product is the weight."""
        return [getattr(self, name) for name in self._names]

    @property
    def weight(self) -> Tensor:
        """The weight, for models that look at that of a layer, shape (out_features, in_features)."""
        weight = self._kept()
        return self.dense() if weight is None else weight

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to inputs of shape (..., in_features), whichever way is faster."""
        excess = self._offset + self._slope * (x.numel() // x.size(-1))  # time that the factors take longer
        if excess <= 0:
            return self.multiply(x)
        weight = self._kept()
        if weight is None:
            return self.multiply(x) if excess <= self._rebuild else linear(x, self.dense(), self.bias)
        return linear(x, weight, self.bias)

    def extra_repr(self) -> str:
        """What `print` shows."""
        bias = self.bias is not None
        shape = f"in_features={self.in_features}, out_features={self.out_features}"
        return f"{shape}, rank={self.rank}, bias={bias}"

    def _kept(self) -> Tensor | None:
        """The weight from a copy that is still good or a new one, or None if none may be kept."""
        if torch.compiler.is_compiling():
            return None
        copy, present, graded = self._copy, self._parameters, torch.is_grad_enabled()
        if copy is not None and copy.steps == _steps[0]:
            for name, factor, version, address in copy.factors:
                if (
                    present.get(name) is not factor
                    or factor._version != version
                    or factor.data_ptr() != address
                    or (graded and factor.requires_grad)
                ):
                    break
            else:
                if all(one.same() for one in copy.entries):
                    return copy.weight
        self._copy = None
        steps, known, entries = _steps[0], [], []
        for name in self._names:
            one = present.get(name)
            # of other tensors nobody knows whether they will be the same in the next call
            if type(one) is not nn.Parameter or one.is_inference() or (graded and one.requires_grad):
                return None
            if one.device.type != "cpu" or not one.is_contiguous():  # entries would have to be waited for
                return None
            known.append((name, one, one._version, one.data_ptr()))
            entries.append(_Entries(one))
        # not in inference mode, for a tensor that autograd may use later, and in full precision
        with (
            torch.inference_mode(False),
            torch.no_grad(),
            torch.autocast("cpu", enabled=False),
        ):
            weight = self.dense()
        self._copy = _Copy(weight, steps, known, entries)
        return weight

    def train(self, mode: bool = True) -> Self:
        """Set the mode, and forget the copy of the weight."""
        self._copy = None
        return super().train(mode)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        self._copy = None
        return super()._apply(fn, recurse)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_copy": None}


@contextmanager
def fewest_multiplications(model: nn.Module) -> Iterator[None]:
    """Have all factored layers of a model take what needs fewer multiplications, even if it is slower."""
    layers = [module for module in model.modules() if isinstance(module, Factored)]
    known = [(layer._offset, layer._slope) for layer in layers]
    for layer in layers:
        layer._offset, layer._slope = 0.0, float(layer._more)
    try:
        yield
    finally:
        for layer, (offset, slope) in zip(layers, known, strict=True):
            layer._offset, layer._slope = offset, slope
