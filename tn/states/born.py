"""A matrix product state trained on bit strings: the Born machine p(x) = |psi(x)|^2.

Two-site generative training of Han et al. (Phys. Rev. X 8, 031012, arXiv:1709.01662). The state is real and
in mixed canonical form, so it has norm 1 and p needs no partition function. At every bond the two tensors are
merged into one, M, of norm 1, and psi(x) = <v(x), M> with v(x) the product of what the string x makes of the
sites to the left and to the right. The negative log likelihood -sum_x w(x) ln psi(x)^2, w(x) being the
frequency of x, has the gradient

    2 (M - sum_x w(x) v(x) / psi(x))

on the sphere. After a few steps M is split again by a truncated singular value decomposition, which lets the
bond grow or shrink. Where the paper takes plain gradient steps, a step here goes along the great circle; its
length is that of natural gradient descent (the Fisher metric of p is four times the metric of the sphere),
halved until the likelihood does not fall. Vectors of all strings are cached, and equal strings are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bondwise.runs import (
    Result,
    axes_or_new,
    progress_bar,
    random_generator,
    real_number,
    whole_number,
)
from bondwise.tn.states.bitstrings import as_bits
from bondwise.tn.states.chains import Tensors, compress, largest_bond, split, to_quimb
from bondwise.tn.states.imported_quimb import qtn

_Bits = NDArray[np.uint8]
_Real = NDArray[np.float64]
_STEPS = 2  # at every bond, there and back
_FIRST_BOND = 2
_NOISE = 0.15  # standard deviation of the noise on the first tensors, those of |+>
_SETTLED = 1e-5  # nats; a smaller gain does not count
_LONGEST = np.pi / 4  # of a step; the gradient of a string that is almost impossible is huge
_IMPOSSIBLE = 1e-100  # instead of an amplitude of 0, so that logarithm and gradient are finite


@dataclass(frozen=True, kw_only=True)
class BornState(Result):
    """A matrix product state whose measurement gives bit strings like those it was trained on.

    Attributes:
        value: Negative log likelihood of the training strings, in nats per string, exact.
        validation_nll: The same of the validation strings, None without. Infinite if the state cannot give
            one of them.
        entropy: Entropy of the training strings in nats. `value` cannot be lower, and reaches it only where
            every string has been memorised with its frequency.
        tensors: The state, float64 arrays of shape (left, 2, right), right-canonical, of norm 1; site i is
            qubit i and column i.
        history: One entry a sweep with `sweep`, `nll`, `validation_nll` and `bond`, the largest bond; the
            first is the start.
        converged: Whether training stopped by itself.
        message: After how many sweeps, and the largest bond; or what to raise.
    """

    validation_nll: float | None
    entropy: float
    tensors: tuple[NDArray[np.float64], ...] = field(repr=False)
    history: tuple[dict[str, Any], ...] = field(repr=False)
    converged: bool
    message: str

    @property
    def nll(self) -> float:
        """The negative log likelihood of the training strings, the same number as `value`."""
        return float(self.value)

    @property
    def state(self) -> qtn.MatrixProductState:
        """The state as a quimb MatrixProductState."""
        return to_quimb(self.tensors)

    def __str__(self) -> str:
        validation = "" if self.validation_nll is None else f", validation NLL {self.validation_nll:z.4f}"
        return (
            f"BornState: train NLL {self.nll:z.4f}{validation}, entropy of the data {self.entropy:z.4f} "
            f"nats per string, {len(self.tensors)} sites, bond {largest_bond(self.tensors)}"
        )

    def log_probability(self, bitstrings: Any) -> NDArray[np.float64]:
        """Logarithm of the probability of each string.

        Args:
            bitstrings: As for `train_born`, with as many columns.

        Returns:
            Nats, shape (samples,); -inf for a string that the state cannot give.

        Raises:
            UsageError: The strings are not strings of as many bits.
        """
        return _log_probability(self.tensors, as_bits(bitstrings, "bitstrings", len(self.tensors)))

    def sample(self, count: int, seed: int | None = None) -> NDArray[np.uint8]:
        """Draw independent strings, exactly, bit after bit.

        Args:
            count: Number of strings.
            seed: The same seed gives the same strings.

        Returns:
            Bits of shape (count, n), uint8; column i is site i.

        Raises:
            UsageError: `count` is not a whole number of at least 1.
        """
        whole_number("count", count)
        rng = random_generator(seed)
        bits = np.empty((count, len(self.tensors)), np.uint8)
        vectors = np.ones((count, 1))
        for i, tensor in enumerate(self.tensors):
            # all that follows is an isometry: the norm is the probability of the bits so far
            zero = np.square(vectors @ tensor[:, 0]).sum(axis=1)
            bits[:, i] = rng.random(count) >= zero
            vectors, _ = _absorb(vectors, tensor, bits[:, i])
        return bits

    def plot(self, ax: Any = None) -> Any:
        """Draw the negative log likelihood against the sweeps, with the entropy of the data as a line.

        Args:
            ax: Matplotlib Axes; None makes a figure.

        Returns:
            The Axes.
        """
        ax = axes_or_new(ax)
        sweeps = [entry["sweep"] for entry in self.history]
        ax.plot(sweeps, [entry["nll"] for entry in self.history], label="train")
        if self.validation_nll is not None:
            ax.plot(sweeps, [entry["validation_nll"] for entry in self.history], label="validation")
        ax.axhline(self.entropy, color="grey", linestyle="--", label="entropy of the data")
        ax.set_xlabel("sweep")
        ax.set_ylabel("negative log likelihood (nats per string)")
        ax.legend()
        return ax


def train_born(
    bitstrings: Any,
    max_bond: int = 32,
    *,
    validation: Any = None,
    sweeps: int = 50,
    learning_rate: float = 0.1,
    cutoff: float = 1e-6,
    patience: int = 5,
    seed: int | None = None,
    progress: bool = False,
) -> BornState:
    """Train a matrix product state so that its measurement gives strings like the given ones.

    Training starts from the uniform superposition of all strings with a little noise and a bond of 2: no
    string is impossible and amplitudes begin positive, which keeps the bonds small. With `validation` the
    state of the lowest validation NLL is returned, without it that of the lowest training NLL.

    Args:
        bitstrings: Array of 0 and 1 of shape (samples, n), of any integer, boolean or real dtype, or a list
            of strings such as "0110"; at least 2 columns. Column i, the letter i from the left, becomes site
            i and qubit i; in the counts of Qiskit qubit 0 is on the right, so reverse those. Equal strings
            are counted: time and memory (8 bytes * strings * n * max_bond) grow with the different ones.
        max_bond: Largest bond dimension.
        validation: More strings of the same width, never trained on: training stops when they get no more
            likely.
        sweeps: Most sweeps; one goes over all bonds from left to right and back.
        learning_rate: Size of a step; 1 is a full step of natural gradient descent. Small steps take more
            sweeps and often do better on validation strings.
        cutoff: Singular values below this part of the largest are dropped.
        patience: Stop after so many sweeps without a gain of 1e-5 nats.
        seed: Seed of the noise of the first state.
        progress: Show a progress bar.

    Returns:
        The state, its likelihoods and the entropy of the data. A result that is not settled says so instead
        of raising.

    Raises:
        UsageError: The strings are empty, of different lengths, shorter than 2 or not made of 0 and 1, the
            validation strings have another width, or a number is out of range.
    """
    for name, number in (("max_bond", max_bond), ("sweeps", sweeps), ("patience", patience)):
        whole_number(name, number)
    real_number("learning_rate", learning_rate)
    real_number("cutoff", cutoff, zero=True, below=1)
    bits, weights = _count(as_bits(bitstrings, "bitstrings"))
    held = None if validation is None else _count(as_bits(validation, "validation", bits.shape[1]))

    training = _Training(bits, weights, max_bond, cutoff, learning_rate, seed)
    history: list[dict[str, Any]] = []
    best, chosen, settled, idle = np.inf, 0, np.inf, 0
    tensors = training.tensors
    with progress_bar(sweeps, "Born machine", progress) as bar:
        for sweep in range(sweeps + 1):
            if sweep:
                training.sweep()
                bar.update()
            nll = _nll(training.tensors, bits, weights)
            validation_nll = None if held is None else _nll(training.tensors, *held)
            bond = largest_bond(training.tensors)
            history.append({"sweep": sweep, "nll": nll, "validation_nll": validation_nll, "bond": bond})
            score = nll if validation_nll is None else validation_nll
            bar.set_postfix_str(f"NLL {score:.4f}, bond {bond}")
            if score < best:
                best, chosen, tensors = score, sweep, list(training.tensors)
            if score < settled - _SETTLED:
                settled, idle = score, 0
            else:
                idle += 1
            if idle == patience:
                break

    converged = idle == patience
    message = f"{len(history) - 1} sweeps, lowest {'' if held is None else 'validation '}NLL after {chosen}"
    if not converged:
        message = f"not settled after {sweeps} sweeps; raise sweeps"
    return BornState(
        value=history[chosen]["nll"],
        seed=seed,
        validation_nll=history[chosen]["validation_nll"],
        entropy=float(-weights @ np.log(weights)),
        tensors=tuple(tensors),
        history=tuple(history),
        converged=converged,
        message=f"{message}, bond {largest_bond(tensors)}",
    )


@dataclass
class _Training:
    """A state with its weight on site 0, and what every string makes of the sites beside each bond.

    `left[i]` (samples, bond) is the product of the tensors before site i, `right[i]` of those behind it, each
    row divided by its norm: gradients do not depend on it, and long strings do not underflow.
    """

    bits: _Bits
    weights: _Real
    max_bond: int
    cutoff: float
    rate: float
    seed: InitVar[int | None]

    def __post_init__(self, seed: int | None) -> None:
        samples, sites = self.bits.shape
        self.tensors = _noisy_superposition(sites, min(_FIRST_BOND, self.max_bond), seed)
        self.left = [np.ones((samples, 1))] * sites
        self.right = [np.ones((samples, 1))] * sites
        for i in range(sites - 2, -1, -1):
            self._pass_left(i)

    def sweep(self) -> None:
        """Improve the pairs of neighbours from left to right and back."""
        bonds = range(len(self.tensors) - 1)
        for i in bonds:
            u, s, v = self._improved(i)
            self.tensors[i], self.tensors[i + 1] = u, s[:, None, None] * v
            self._pass_right(i)
        for i in reversed(bonds):
            u, s, v = self._improved(i)
            self.tensors[i], self.tensors[i + 1] = u * s, v
            self._pass_left(i)

    def groups(self, i: int) -> list[tuple[int, int, NDArray[np.int64]]]:
        """The bits of sites i and i + 1, and which strings have them."""
        a, b = self.bits[:, i], self.bits[:, i + 1]
        return [(j, k, np.flatnonzero((a == j) & (b == k))) for j in (0, 1) for k in (0, 1)]

    def amplitudes(self, merged: _Real, i: int) -> _Real:
        """Amplitude of every string, (samples,), but for its scale, with `merged` at sites i and i + 1."""
        amplitudes = np.empty(len(self.bits))
        for j, k, rows in self.groups(i):
            half = self.left[i][rows] @ merged[:, j, k]
            amplitudes[rows] = np.einsum("xr,xr->x", half, self.right[i + 1][rows])
        return amplitudes

    def gradient(self, merged: _Real, amplitudes: _Real, i: int) -> _Real:
        """Gradient of the NLL by the merged tensor (left, 2, 2, right) of norm 1, along the sphere."""
        pull = np.empty_like(merged)
        ratios = self.weights / np.where(np.abs(amplitudes) < _IMPOSSIBLE, _IMPOSSIBLE, amplitudes)
        for j, k, rows in self.groups(i):
            pull[:, j, k] = self.left[i][rows].T @ (self.right[i + 1][rows] * ratios[rows, None])
        return 2 * (np.vdot(pull, merged) * merged - pull)  # the product is 1 unless a string is impossible

    def _improved(self, i: int) -> tuple[_Real, _Real, _Real]:
        """Two isometries and the singular values between them, after a few steps at bond i."""
        merged = np.tensordot(self.tensors[i], self.tensors[i + 1], 1)
        amplitudes = self.amplitudes(merged, i)
        for _ in range(_STEPS):
            slope = -self.gradient(merged, amplitudes, i)
            steepness = float(np.linalg.norm(slope))
            if steepness < 1e-12:
                break
            slope /= steepness
            change, before = self.amplitudes(slope, i), self._loss(amplitudes)
            angle = min(self.rate * steepness / 4, _LONGEST)
            while self._loss(np.cos(angle) * amplitudes + np.sin(angle) * change) > before and angle > 1e-12:
                angle /= 2
            merged = np.cos(angle) * merged + np.sin(angle) * slope
            amplitudes = np.cos(angle) * amplitudes + np.sin(angle) * change
        u, s, v, _ = split(merged, self.cutoff, self.max_bond)
        return u, s / np.linalg.norm(s), v

    def _loss(self, amplitudes: _Real) -> float:
        """The NLL but for a constant."""
        return float(-2 * self.weights @ np.log(np.maximum(np.abs(amplitudes), _IMPOSSIBLE)))

    def _pass_right(self, i: int) -> None:
        self.left[i + 1], _ = _absorb(self.left[i], self.tensors[i], self.bits[:, i])

    def _pass_left(self, i: int) -> None:
        mirrored = self.tensors[i + 1].transpose(2, 1, 0)
        self.right[i], _ = _absorb(self.right[i + 1], mirrored, self.bits[:, i + 1])


def _absorb(vectors: _Real, tensor: _Real, bits: _Bits) -> tuple[_Real, _Real]:
    """Rows times the matrix of their bit, divided by their norms, and these norms."""
    result = np.empty((len(bits), tensor.shape[2]))
    for bit in (0, 1):
        rows = bits == bit
        result[rows] = vectors[rows] @ tensor[:, bit]
    norms = np.linalg.norm(result, axis=1)
    return result / np.where(norms > 0, norms, 1)[:, None], norms


def _log_probability(tensors: Sequence[_Real], bits: _Bits) -> _Real:
    vectors, total = np.ones((len(bits), 1)), np.zeros(len(bits))
    for i, tensor in enumerate(tensors):
        vectors, norms = _absorb(vectors, tensor, bits[:, i])
        with np.errstate(divide="ignore"):  # -inf: the string is impossible
            total += np.log(norms)
    return 2 * total


def _nll(tensors: Sequence[_Real], bits: _Bits, weights: _Real) -> float:
    return float(-weights @ _log_probability(tensors, bits))


def _noisy_superposition(sites: int, bond: int, seed: int | None) -> Tensors:
    """The uniform superposition of all strings with noise, right-canonical, of norm 1."""
    rng = random_generator(seed)
    bonds = [1, *[bond] * (sites - 1), 1]
    tensors = [_NOISE * rng.normal(size=(bonds[i], 2, bonds[i + 1])) for i in range(sites)]
    for tensor in tensors:
        tensor[0, :, 0] += np.sqrt(0.5)
    return compress(tensors)


def _count(bits: _Bits) -> tuple[_Bits, _Real]:
    """The different strings and their frequencies."""
    different, counts = np.unique(bits, axis=0, return_counts=True)
    return different, counts / counts.sum()
