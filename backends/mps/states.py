"""Matrix product states of circuits, exact where their bonds allow it, and what is computed with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import ceil
from typing import Any

import numpy as np
import torch
from qiskit.quantum_info import SparsePauliOp

from bondwise.backends.mps.exact import ExactChain, exact_chain
from bondwise.backends.mps.truncation import truncated_chain
from bondwise.backends.mps.values import PauliOperator, as_product, chain_amplitudes, chain_values
from bondwise.circuits.splitting import SplitCircuit
from bondwise.runs import UsageError, limit, require_memory
from bondwise.runs.text import counted

_TOGETHER = 1 << 24  # numbers of the sets of angles that are contracted at once
_KEPT = 4  # numbers that a gradient keeps for each number in the tensor of a site, times the operator's bond
_FIRST = (
    "truncated states have first derivatives only; raise max_bond until nothing is truncated for higher ones."
)
_HUGE = 200  # wires across a bond above which no number matters any more
_PLANNED = 16  # wires across a bond up to which the steps to the tensors are planned to predict their cost
# seconds as measured on one core: per product of real and of complex numbers, number, node, and site
_REAL, _COMPLEX, _NUMBER, _NODE, _SITE = 1e-10, 4e-10, 4e-9, 2e-5, 1.5e-4


class ProductStates:
    """The matrix product states of circuits up to a bond dimension.

    Args:
        name: Name of the backend, for messages.
        max_bond: Largest bond dimension.
        truncate: Whether to truncate larger bonds instead of refusing them.
    """

    def __init__(self, name: str, max_bond: int, truncate: bool) -> None:
        self.name, self.max_bond, self.truncate = name, max_bond, truncate

    def is_exact(self, parts: SplitCircuit) -> bool:
        """Whether nothing is left out.

        Raises:
            UsageError: If something would be, and truncation is not asked for.
        """
        chain = exact_chain(parts)
        if chain.bond <= self.max_bond and chain.largest <= limit("contraction_numbers"):
            return True
        if not self.truncate:
            bond = f"a bond dimension of {chain.bond:,}" if chain.bond < 1 << 64 else "a bond above 2^63"
            instead = f"'mps:max_bond={chain.bond}', or " if chain.bond <= 1 << 12 else ""
            needed = f"{bond} and {self.name} goes up to {self.max_bond:,}"
            if chain.bond <= self.max_bond:
                needed, instead = f"tensors of {chain.largest:.0e} numbers on the way to its state", ""
            raise UsageError(
                f"the circuit needs {needed}; write {instead}'mps:max_bond={self.max_bond},truncate', which "
                "tells how much it leaves out."
            )
        return False

    def batches(
        self, parts: SplitCircuit, angles: torch.Tensor, operators: Sequence[PauliOperator] = ()
    ) -> Iterator[tuple[list[torch.Tensor], float]]:
        """The tensors (b, left, 2, right) of as many states as fit at a time, and 1 - their least fidelity.

        Args:
            parts: The circuit.
            angles: float64 (B, G), radians.
            operators: What is evaluated in the states, which takes memory as well.

        Raises:
            UsageError: If the bond is too large, or the gradient does not fit into memory.
        """
        exact = self.is_exact(parts)
        each = numbers(self.bonds(parts), operators)
        # a truncation makes a few arrays of four times the bond for each node
        each += exact_chain(parts).numbers if exact else 16 * exact_chain(parts).nodes * self.max_bond**2
        if angles.requires_grad and torch.is_grad_enabled():
            bond = max(self.bonds(parts), default=1)
            require_memory(
                f"the gradient of {counted(len(angles), 'set')} of angles at bond {bond}",
                16 * _KEPT * len(angles) * each,
                "pass smaller batches, or fewer observables",
            )
        if exact:
            step = max(1, _TOGETHER // each)
            for start in range(0, len(angles), step):
                yield exact_chain(parts).tensors(angles[start : start + step]), 0.0
        else:
            for row in angles:
                yield truncated_chain(parts, self.max_bond).tensors(row)

    def values(
        self, parts: SplitCircuit, angles: torch.Tensor, operators: Sequence[SparsePauliOp], method: str
    ) -> torch.Tensor:
        """Expectation values of K Pauli sums for angles (B, G), float64 (B, K), with gradients.

        Derivatives are exact, of any order; of truncated states there are first derivatives only.
        """

        def evaluate(given: torch.Tensor) -> torch.Tensor:
            return self.values_and_lost(parts, given, operators)[0]

        if not (angles.requires_grad and torch.is_grad_enabled()) or self.is_exact(parts):
            return evaluate(angles)
        if method == "backprop":
            raise UsageError(_FIRST)
        return _FirstOnly.apply(angles, evaluate)

    def amplitudes(self, parts: SplitCircuit, angles: torch.Tensor, bits: np.ndarray) -> torch.Tensor:
        """Amplitudes of M bit strings (M, n), complex128 (B, M), with gradients as those of `values`.

        Gradients keep all partial products of each string, which must fit into memory beside the tensors.
        """

        def evaluate(given: torch.Tensor) -> torch.Tensor:
            found = [chain_amplitudes(tensors, bits) for tensors, _ in self.batches(parts, given)]
            return torch.cat(found).to(torch.complex128)

        differentiated = angles.requires_grad and torch.is_grad_enabled()
        kept = 48 * len(angles) * len(bits) * sum(self.bonds(parts)) if differentiated else 0
        require_memory(
            f"the gradient of {counted(len(bits), 'amplitude')}", kept, "pass fewer strings at a time"
        )
        if not differentiated or self.is_exact(parts):
            return evaluate(angles)
        return _FirstOnly.apply(angles, evaluate)

    def values_and_lost(
        self, parts: SplitCircuit, angles: torch.Tensor, operators: Sequence[SparsePauliOp]
    ) -> tuple[torch.Tensor, float]:
        """As `values`, with the largest 1 - fidelity of the states that were truncated."""
        products = [as_product(operator) for operator in operators]
        found = [
            (chain_values(tensors, products), lost) for tensors, lost in self.batches(parts, angles, products)
        ]
        return torch.cat([values for values, _ in found]), max(lost for _, lost in found)

    def bonds(self, parts: SplitCircuit) -> list[int]:
        """The bond dimensions, those that are truncated at their largest."""
        return [min(1 << min(width, 62), self.max_bond) for width in exact_chain(parts).widths]

    def draws(
        self, parts: SplitCircuit, angles: np.ndarray, shots: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, float]:
        """Bits of shots in the states for angles (B, G), uint8 (B, shots, n), and 1 - the least fidelity."""
        drawn, most = [], 0.0
        with torch.no_grad():
            for tensors, lost in self.batches(parts, torch.from_numpy(angles)):
                most = max(most, lost)
                for row in range(len(tensors[0])):
                    drawn.append(_drawn([tensor[row].numpy() for tensor in tensors], shots, rng))
        return np.stack(drawn), most


def numbers(bonds: Sequence[int], operators: Sequence[PauliOperator] = ()) -> int:
    """How many numbers the tensors of all sites have, times the bonds of the operators on them."""
    ends = [1, *bonds, 1]
    sizes = [2 * left * right for left, right in zip(ends, ends[1:], strict=False)]
    once = sum(sizes)
    for operator in operators:
        for site, local in enumerate(operator.tensors, operator.first):
            once += sizes[site] * max(local.shape[:2])
    return once


class _FirstOnly(torch.autograd.Function):
    """A function whose gradient cannot be differentiated again."""

    @staticmethod
    def forward(
        ctx: Any, angles: torch.Tensor, evaluate: Callable[[torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        with torch.enable_grad():
            ctx.angles = angles.detach().requires_grad_()
            ctx.values = evaluate(ctx.angles)
        return ctx.values.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        if torch.is_grad_enabled():
            raise UsageError(_FIRST)
        [slopes] = torch.autograd.grad(ctx.values, ctx.angles, gradients[0], retain_graph=True)
        return slopes, None


def contraction_cost(chain: ExactChain, operators: Sequence[SparsePauliOp] = ()) -> tuple[float, int]:
    """Predict the cost of exact values for one set of angles on one core.

    Args:
        chain: The state.
        operators: What is evaluated; only the letters count.

    Returns:
        Seconds; and bytes of the tensors and of the largest block on the way.
    """
    ends = [2.0 ** min(width, _HUGE) for width in (0, *chain.widths, 0)]
    products, sites, widest = 0.0, len(ends) - 1, 1
    for operator in operators:
        first, widths = _widths(operator)
        sites += len(widths) - 1
        widest = max(widest, *widths)
        for site, (width, wider) in enumerate(zip(widths, widths[1:], strict=False), first):
            left, right = ends[site : site + 2]
            products += 2 * left * right * (width * left + 2 * width * wider + wider * right)
    stored = sum(2 * left * right for left, right in zip(ends, ends[1:], strict=False))
    made = chain.numbers if max(chain.widths, default=0) <= _PLANNED else 4 * stored
    seconds = products * (_COMPLEX if chain.dtype.is_complex else _REAL)
    seconds += made * _NUMBER + chain.nodes * _NODE + sites * _SITE
    return seconds, int(16 * (stored + 4 * widest * max(ends) ** 2))


def _widths(operator: SparsePauliOp) -> tuple[int, list[int]]:
    """The first site of a Pauli sum, and the most that the bonds of its operator can be, ends included."""
    x, z = operator.paulis.x, operator.paulis.z
    some = (x | z).any(axis=1)
    letters = x[some] + 2 * z[some]
    if not len(letters):
        return 0, [1]
    first, last = (letters > 0).argmax(axis=1), (letters[:, ::-1] > 0).argmax(axis=1)
    last = letters.shape[1] - 1 - last
    low, high = int(first.min()), int(last.max())
    # random numbers whose sums tell words apart, up to each site and in all
    codes = np.random.default_rng(0).integers(2**62, size=(letters.shape[1], 4), dtype=np.uint64)
    sums = np.cumsum(codes[np.arange(letters.shape[1]), letters], axis=1, dtype=np.uint64)
    widths = [1]
    for site in range(low, high):
        crossing = (first <= site) & (last > site)
        left = sums[crossing, site]
        halves = (len(np.unique(half)) for half in (left, sums[crossing, -1] - left))
        widths.append(min(2 + min(halves), 4 ** min(site + 1 - low, high - site, 30)))
    return low, [*widths, 1]


def _drawn(tensors: list[np.ndarray], shots: int, rng: np.random.Generator) -> np.ndarray:
    """Independent bits of all sites, uint8 (shots, n), site by site from left to right."""
    for site in range(len(tensors) - 1, 0, -1):  # make all but the first site isometries from the right
        left, _, right = tensors[site].shape
        q, r = np.linalg.qr(tensors[site].reshape(left, 2 * right).T)
        tensors[site] = q.T.reshape(-1, 2, right)
        tensors[site - 1] = np.tensordot(tensors[site - 1], r.T, 1)
    bits = np.empty((shots, len(tensors)), np.uint8)
    step = max(1, (1 << 22) // max(tensor.size // tensor.shape[0] for tensor in tensors))
    for number in range(ceil(shots / step)):
        part = slice(number * step, min(shots, (number + 1) * step))
        vectors = np.ones((part.stop - part.start, 1))
        for site, tensor in enumerate(tensors):
            left, _, right = tensor.shape
            both = (vectors @ tensor.reshape(left, 2 * right)).reshape(-1, 2, right)
            weights = (both.real**2 + both.imag**2).sum(axis=2)
            total = weights.sum(axis=1)
            one = rng.random(len(total)) * total >= weights[:, 0]
            bits[part, site] = one
            vectors = both[np.arange(len(both)), one.astype(int)]
            vectors /= np.sqrt(weights[np.arange(len(both)), one.astype(int)])[:, None]
    return bits
