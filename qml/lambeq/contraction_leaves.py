"""Contraction of neighboring gates with each other before any parameter is known.

A rotation is a constant tensor with an axis for its numbers (1, cos, sin). Gates are merged as constants that
keep the axes of their numbers, as long as the result has no more labels than the larger gate and not too many
products of numbers. The remaining tensors, the leaves, take one matrix product for all circuits.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bondwise.qml.lambeq.greedy_merging import Neighbors
from bondwise.qml.lambeq.networks import Tensor, gate_tensor

_MAX_NUMBERS = 96  # products of the parameters' numbers in a leaf
_MAX_LEAF = 4096  # entries of the constant tensor of a leaf


class Constant:
    """The tensor of a leaf, shared by equal leaves.

    Attributes:
        array: Complex128 tensor; axes of the parameters first, then those of the labels.
        sizes: Dimension of each parameter axis: 2 for (cos, sin), 3 for (1, cos, sin).
    """

    def __init__(self, array: np.ndarray, parameters: int) -> None:
        self.array = array
        self.sizes = array.shape[:parameters]
        self.shape = array.shape[parameters:]
        self._copies: dict[tuple[torch.dtype, torch.device], torch.Tensor] = {}

    def matrix(self, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """Real matrix (products of numbers, real and imaginary parts of the entries)."""
        if (dtype, device) not in self._copies:
            real = self.array.reshape(int(np.prod(self.sizes)), -1).view(np.float64)
            self._copies[dtype, device] = torch.tensor(real, dtype=dtype, device=device)
        return self._copies[dtype, device]


@dataclass(frozen=True)
class Leaf:
    """A constant tensor, and the positions of its parameters among those of the circuit."""

    constant: Constant
    parameters: tuple[int, ...]


def fold(tensors: Iterable[Tensor], external: set[int]) -> list[tuple[Leaf, Sequence[int]]]:
    """Merge the gates of a circuit into leaves.

    Args:
        tensors: Gates; the i-th rotation among them has parameter i.
        external: Labels that also occur elsewhere or are open.

    Returns:
        One or more leaves, each with its labels.
    """
    folding = _Folding(external)
    parameter = 0
    for tensor in tensors:
        own = [parameter] if tensor.gate.rotation else []
        folding.add(gate_tensor(tensor.gate), tensor.labels, own)
        parameter += len(own)
    folding.fold()
    return folding.leaves()


def fixed_leaf(array: np.ndarray, labels: Sequence[int]) -> tuple[Leaf, Sequence[int]]:
    """A tensor without parameters as a leaf; a repeated label takes the diagonal."""
    unique = sorted(set(labels))
    axes = [unique.index(label) for label in labels]
    return Leaf(_shared(np.einsum(array, axes, list(range(len(unique)))), 0), ()), unique


class _Folding:
    """Merges constant tensors into leaves."""

    def __init__(self, external: set[int]) -> None:
        self.index = Neighbors(external)
        self.labels: dict[int, Sequence[int]] = {}
        self.nodes: dict[int, tuple[np.ndarray, list[int]]] = {}
        self.count = 0

    def add(self, array: np.ndarray, labels: Sequence[int], parameters: list[int]) -> int:
        node, self.count = self.count, self.count + 1
        self.nodes[node], self.labels[node] = (array, parameters), labels
        self.index.insert(node, labels)
        return node

    def fold(self) -> None:
        for node, (array, parameters) in self.nodes.items():  # sum over labels that occur nowhere else
            labels = self.labels[node]
            kept = self.index.kept(labels, node)
            free = tuple(len(parameters) + i for i, label in enumerate(labels) if label not in kept)
            self.nodes[node] = (array.sum(free), parameters)
            self.labels[node] = [label for label in labels if label in kept]
        self.index.merge(self.labels, self.allowed, self.join)
        for node in [n for n, (array, _) in self.nodes.items() if not array.ndim][: len(self.nodes) - 1]:
            scalar = self.nodes.pop(node)[0]
            target = next(iter(self.nodes))
            self.nodes[target] = (self.nodes[target][0] * scalar, self.nodes[target][1])

    def allowed(self, a: int, b: int, kept: list[int]) -> bool:
        numbers = int(np.prod([size for n in (a, b) for size in self.sizes(n)]))
        largest = max(len(self.labels[a]), len(self.labels[b]))
        return len(kept) <= largest and numbers <= _MAX_NUMBERS and numbers * 2 ** len(kept) <= _MAX_LEAF

    def sizes(self, node: int) -> tuple[int, ...]:
        array, parameters = self.nodes[node]
        return array.shape[: len(parameters)]

    def join(self, a: int, b: int, kept: list[int]) -> int:
        left, right = self.nodes.pop(a), self.nodes.pop(b)
        letter: dict[object, int] = {}
        axes = [
            [
                letter.setdefault(name, len(letter))
                for name in [("parameter", p) for p in node[1]] + list(labels)
            ]
            for node, labels in ((left, self.labels[a]), (right, self.labels[b]))
        ]
        parameters = left[1] + right[1]
        out = [letter["parameter", p] for p in parameters] + [letter[label] for label in kept]
        array = np.einsum(left[0], axes[0], right[0], axes[1], out)
        node, self.count = self.count, self.count + 1
        self.nodes[node], self.labels[node] = (array, parameters), kept
        return node

    def leaves(self) -> list[tuple[Leaf, Sequence[int]]]:
        if not self.nodes:
            self.add(np.ones((), complex), [], [])
        return [
            (Leaf(_shared(array, len(parameters)), tuple(parameters)), self.labels[node])
            for node, (array, parameters) in self.nodes.items()
        ]


_constants: weakref.WeakValueDictionary[tuple, Constant] = weakref.WeakValueDictionary()


def _shared(array: np.ndarray, parameters: int) -> Constant:
    array = np.asarray(
        np.array(array, complex, order="C") + 0.0
    )  # ascontiguousarray would give a scalar an axis
    key = (parameters, array.shape, array.tobytes())
    constant = _constants.get(key)
    if constant is None:
        constant = _constants[key] = Constant(array, parameters)
    return constant
