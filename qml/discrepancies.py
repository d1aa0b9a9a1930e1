"""How far the distribution of a model is from a target: likelihoods, and maximum mean discrepancy (MMD).

The squared MMD is the sum over strings x and y of d(x) K(x, y) d(y), where d is the difference of the two
distributions (Liu and Wang, arXiv:1804.04168) and K the mean over bandwidths σ of exp(-|x - y|² / 2σ).
For bits |x - y|² is the Hamming distance, so K is a tensor product of matrices 2 × 2, and is applied bit by
bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bondwise.runs import UsageError, real_array, require_memory
from bondwise.runs.text import counted
from bondwise.tn.states.bitstrings import as_bits

_SUM = 1e-6  # how far a sum of probabilities may be from 1
_NOTHING = 1e-30  # a probability below this fraction of the uniform one is 0 up to rounding


@dataclass(frozen=True)
class Target:
    """A distribution of bit strings, by those that it can produce.

    Attributes:
        bits: Distinct strings, uint8 (M, n); column i is qubit i.
        weights: Their probabilities, float64 (M,), above 0.
    """

    bits: NDArray[np.uint8]
    weights: NDArray[np.float64]

    @property
    def entropy(self) -> float:
        """Entropy in nats."""
        return float(-self.weights @ np.log(self.weights))

    def dense(self) -> torch.Tensor:
        """Probabilities of all strings, float64 (2^n,); bit i of the index is qubit i."""
        size = 1 << self.bits.shape[1]
        require_memory(f"the probabilities of {size:,} strings", 8 * size, "use fewer qubits, or loss='nll'")
        found = np.zeros(size)
        found[self.bits.astype(np.int64) @ (1 << np.arange(self.bits.shape[1]))] = self.weights
        return torch.from_numpy(found)


def as_target(given: Any, qubits: int) -> Target:
    """Read bit strings, counts or probabilities.

    Args:
        given: Bit strings or counts as for `train_born`; probabilities by string, `{"01": 0.25, …}`, qubit 0
            on the right as in counts; or an array of 2^n probabilities, bit i of the index being qubit i.
        qubits: Number n of qubits.

    Raises:
        UsageError: If it is none of these, of another width, empty, or probabilities that are negative or do
            not sum to 1.
    """
    if isinstance(given, Mapping) and any(isinstance(often, float | np.floating) for often in given.values()):
        bits = as_bits(dict.fromkeys(given, 1), "data")
        weights = _probabilities(list(given.values()))
    elif _are_reals(given):
        weights = real_array("data", given)
        if weights.shape != (1 << qubits,):
            raise UsageError(
                f"data is an array of {len(weights):,} probabilities; a circuit of "
                f"{counted(qubits, 'qubit')} needs {1 << qubits:,}, one for each string."
            )
        bits, weights = all_strings(qubits), _probabilities(weights)
    else:
        strings = as_bits(given, "data")
        bits, often = np.unique(strings, axis=0, return_counts=True)
        weights = often / len(strings)
    if bits.shape[1] != qubits:
        raise UsageError(
            f"the strings of data have {counted(bits.shape[1], 'bit')} and the circuit has "
            f"{counted(qubits, 'qubit')}; give strings with one bit for each qubit."
        )
    return Target(bits[weights > 0], weights[weights > 0])


def all_strings(qubits: int) -> NDArray[np.uint8]:
    """All bit strings, uint8 (2^n, n); row k has bit i of k in column i."""
    require_memory(f"all strings of {qubits} bits", 9 * qubits << qubits, "use fewer qubits, or loss='nll'")
    return (np.arange(1 << qubits)[:, None] >> np.arange(qubits) & 1).astype(np.uint8)


def cross_entropy(target: Target, probabilities: torch.Tensor) -> torch.Tensor:
    """-sum of w ln p over the strings of a target, whose probabilities p (M,) a model gives, in nats."""
    return -(torch.from_numpy(target.weights) * probabilities.log()).sum()


def require_support(target: Target, probabilities: torch.Tensor) -> None:
    """Raise UsageError if a model gives a string of the target no chance: its cross entropy is infinite."""
    lost = np.flatnonzero(probabilities.detach().numpy() <= _NOTHING * 0.5 ** target.bits.shape[1])
    if len(lost):
        bits = "".join(map(str, target.bits[lost[0], ::-1]))
        raise UsageError(
            f"at these angles the circuit never gives {bits!r} (qubit 0 on the right), which has probability "
            f"{target.weights[lost[0]]:.3g} in the data, so that the loss is infinite; start from other "
            "angles, such as bondwise.qml.random_start(circuit), or write loss='mmd'."
        )


class Discrepancy:
    """Squared maximum mean discrepancy from a target.

    Args:
        target: The distribution to compare with.
        bandwidths: The σ of the Gaussian kernels, in bits.
    """

    def __init__(self, target: Target, bandwidths: Sequence[float]) -> None:
        self._target = target.dense()
        self._bandwidths = bandwidths

    def exact(self, probabilities: torch.Tensor) -> torch.Tensor:
        """From exact probabilities (2^n,)."""
        difference = probabilities - self._target
        return difference @ smoothed(difference, self._bandwidths)

    def sampled(self, frequencies: torch.Tensor, shots: int) -> torch.Tensor:
        """An unbiased estimate from frequencies (2^n,) among shots, with their gradient."""
        biased = self.exact(frequencies)
        found = frequencies.detach()
        # a shot is alike itself: K(x, x) = 1
        alike = found @ smoothed(found, self._bandwidths)
        return biased - (1 - alike) / (shots - 1)

    def standard_error(self, frequencies: torch.Tensor, shots: int) -> float:
        """Standard error of `sampled`, by Hoeffding's decomposition of a U-statistic.

        It is up to a third too large where the model equals the target.
        """
        kernel = smoothed(frequencies, self._bandwidths)
        first = smoothed(frequencies - self._target, self._bandwidths)
        slope = frequencies @ first.square() - (frequencies @ first) ** 2
        pairs = [1 / (1 / a + 1 / b) for a in self._bandwidths for b in self._bandwidths]
        square = frequencies @ smoothed(frequencies, pairs)
        mean = frequencies @ kernel
        curvature = (square - 2 * frequencies @ kernel.square() + mean**2).clamp(min=0)
        slope = (slope - curvature / shots).clamp(min=0)  # the shots make it larger than it is
        return float((4 * slope / shots + 2 * curvature / (shots * (shots - 1))).sqrt())


def smoothed(values: torch.Tensor, bandwidths: Sequence[float]) -> torch.Tensor:
    """K times values (2^n,), for the mean K of Gaussian kernels in the Hamming distance of indices."""
    total = torch.zeros_like(values)
    for bandwidth in bandwidths:
        made = values
        for bit in range(len(values).bit_length() - 1):
            halves = made.reshape(-1, 2, 1 << bit)
            made = (halves + np.exp(-0.5 / bandwidth) * halves.flip(1)).reshape(-1)
        total = total + made
    return total / len(bandwidths)


def _are_reals(given: Any) -> bool:
    """Whether an object is a vector of floating-point numbers, rather than strings, bits or counts."""
    if isinstance(given, str | Mapping) or not hasattr(given, "__iter__"):
        return False
    first = next(iter(given), None)
    if isinstance(first, torch.Tensor):
        return first.ndim == 0 and first.is_floating_point()
    return isinstance(first, float | np.floating)


def _probabilities(given: Any) -> NDArray[np.float64]:
    weights = real_array("data", given)
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise UsageError(
            "data holds probabilities that are negative or not finite; give numbers from 0 to 1."
        )
    if abs(weights.sum() - 1) > _SUM:
        raise UsageError(f"the probabilities in data sum to {weights.sum():.6g}; divide them by their sum.")
    return weights / weights.sum()
