"""A matrix product state trained on bit strings: the Born machine p(x) = |ψ(x)|².

Two-site generative training of Han et al. (Phys. Rev. X 8, 031012, arXiv:1709.01662). The state is real and
in mixed canonical form, so it has norm 1 and p needs no partition function. At every bond the two tensors are
merged into one tensor M of norm 1, and ψ(x) = ⟨v(x), M⟩, where v(x) is the product of what the string x
contracts to on the left and on the right. The negative log likelihood -sum over x of w(x) ln ψ(x)², where
w(x) is the frequency of x, has the gradient

    2 (M - sum over x of w(x) v(x) / ψ(x))

on the sphere. After a few steps M is split again by a truncated singular value decomposition, so the bond can
grow or shrink. While the paper takes plain gradient steps, a step here follows a great circle. Its length
is that of natural gradient descent (the Fisher metric of p is four times the metric of the sphere), halved
until the likelihood does not decrease. The vectors of all strings are cached, and equal strings are counted
once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from bondwise.tn.states.imported_quimb import qtn

_Bits = NDArray[np.uint8]
_Real = NDArray[np.float64]
_STEPS = 2  # per visit of a bond
_FIRST_BOND = 2
_NOISE = 0.15  # standard deviation of the noise on the initial tensors, those of |+⟩
_SETTLED = 1e-5  # nats; a smaller gain does not count
_LONGEST = np.pi / 4  # step, since the gradient of an almost impossible string is huge
_IMPOSSIBLE = 1e-100  # replaces an amplitude of 0, so that logarithm and gradient are finite


@dataclass(frozen=True, kw_only=True)
class BornState(Result):
    """A matrix product state whose measurement gives bit strings like those it was trained on.

    Attributes:
        value: Negative log likelihood (NLL) of the training strings in nats per string, exact.
        validation_nll: NLL of the validation strings; None without them, infinite if the state cannot produce
            one of them.
        entropy: Entropy of the training strings in nats: a lower bound of `value`, reached only if every
            string has been memorized with its frequency.
        tensors: The state as float64 arrays of shape (left, 2, right), right-canonical, of norm 1; site i is
            qubit i and column i.
        history: One entry per sweep with `sweep`, `nll`, `validation_nll` and `bond`, the largest bond; the
            first entry is the initial state.
        converged: Whether training stopped before its last sweep.
        message: Number of sweeps and the largest bond, or what to raise.

    Example:
        >>> from bondwise.tn import train_born
        >>> state = train_born(["00", "11"], max_bond=2, seed=0)
        >>> sorted({"".join(map(str, bits)) for bits in state.sample(20, seed=0)})
        ['00', '11']
    """

    validation_nll: float | None
    entropy: float
    tensors: tuple[NDArray[np.float64], ...] = field(repr=False)
    history: tuple[dict[str, Any], ...] = field(repr=False)
    converged: bool
    message: str

    @property
    def nll(self) -> float:
        """NLL of the training strings; same as `value`."""
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
            bitstrings: Strings as for `train_born`, with n columns.

        Returns:
            Nats, shape (samples,); -inf for a string that the state cannot produce.

        Raises:
            UsageError: If the input is not bit strings with n columns.
        """
        return _log_probability(self.tensors, as_bits(bitstrings, "bitstrings", len(self.tensors)))

    def sample(self, count: int, seed: int | None = None) -> NDArray[np.uint8]:
        """Draw independent strings from the exact distribution, bit by bit.

        Args:
            count: Number of strings.
            seed: Random seed for sampling.

        Returns:
            Bits of shape (count, n), uint8; column i is site i.

        Raises:
            UsageError: If `count` is not a whole number of at least 1.
        """
        whole_number("count", count)
        rng = random_generator(seed)
        bits = np.empty((count, len(self.tensors)), np.uint8)
        vectors = np.ones((count, 1))
        for i, tensor in enumerate(self.tensors):
            # the later sites are isometries, so the norm is the probability of the bits so far
            zero = np.square(vectors @ tensor[:, 0]).sum(axis=1)
            bits[:, i] = rng.random(count) >= zero
            vectors, _ = _absorb(vectors, tensor, bits[:, i])
        return bits

    def plot(self, ax: Any = None) -> Any:
        """Plot the NLL against the sweeps, with the entropy of the data as a line.

        Args:
            ax: Matplotlib Axes; a new figure by default.

        Returns:
            The Axes.
        """
        ax = axes_or_new(ax)
        sweeps = [entry["sweep"] for entry in self.history]
        ax.plot(sweeps, [entry["nll"] for entry in self.history], label="train")
        if self.validation_nll is not None:
            ax.plot(sweeps, [entry["validation_nll"] for entry in self.history], label="validation")
        ax.axhline(self.entropy, color="gray", linestyle="--", label="entropy of the data")
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

    Training starts from the uniform superposition of all strings with a little noise and bond 2: no string is
    impossible, and amplitudes are positive at first, which keeps the bonds small. The state with the lowest
    validation NLL is returned, or with the lowest training NLL if there is no `validation`.

    Args:
        bitstrings: Array of 0 and 1 of shape (samples, n), of any integer, boolean or real dtype, or a list
            of strings such as "0110"; at least 2 columns. Column i, letter i from the left, becomes site i
            and qubit i. Or counts as Qiskit prints them, `{"0110": 12}`, whose rightmost bit is qubit 0.
            Equal strings are counted once: time and memory (8 bytes * strings * n * max_bond) grow with the
            number of distinct ones.
        max_bond: Largest bond dimension.
        validation: Further strings of the same width that are not trained on. Training stops once they no
            longer become more likely.
        sweeps: Maximum number of sweeps; a sweep visits all bonds from left to right and back.
        learning_rate: Step size; 1 is a full step of natural gradient descent. Small steps take more sweeps
            and often do better on validation strings.
        cutoff: Singular values below this fraction of the largest are dropped.
        patience: Number of sweeps without a gain of 1e-5 nats after which training stops.
        seed: Random seed for the noise of the initial state.
        progress: Whether to show a progress bar.

    Returns:
        The state, its likelihoods and the entropy of the data. If training does not settle, `converged` is
        False and `message` says what to raise.

    Raises:
        UsageError: If the strings are empty, differ in length, are shorter than 2 or contain anything but 0
            and 1; if the validation strings have another width; or if a number is out of range.

    Example:
        >>> from bondwise.tn import train_born
        >>> state = train_born(["0000", "0000", "1111"], max_bond=2, seed=0)
        >>> print(f"NLL {state.nll:.3f}, entropy {state.entropy:.3f}")
        NLL 0.637, entropy 0.637
    """
    for name, number in (("max_bond", max_bond), ("sweeps", sweeps), ("patience", patience)):
        whole_number(name, number)
    real_number("learning_rate", learning_rate)
    real_number("cutoff", cutoff, zero=True, below=1)
    bits, weights = _count(as_bits(bitstrings, "bitstrings"))
    held = None if validation is None else _count(as_bits(validation, "validation", bits.shape[1]))

    training = BornTraining(bits, weights, max_bond, cutoff, learning_rate, seed)
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
            bar.set_postfix_str(f"{'' if held is None else 'validation '}NLL {score:.4f}, bond {bond}")
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
class BornTraining:
    """A state with its center at site 0, and what every string contracts to on either side of each bond.

    `left[i]` (samples, bond) is the product of the tensors before site i, `right[i]` of those after it, each
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
        self.tensors = noisy_superposition(sites, min(_FIRST_BOND, self.max_bond), seed)
        self.left = [np.ones((samples, 1))] * sites
        self.right = [np.ones((samples, 1))] * sites
        for i in range(sites - 2, -1, -1):
            self.pass_left(i)

    def sweep(self) -> None:
        """Improve all pairs of neighbors from left to right and back."""
        bonds = range(len(self.tensors) - 1)
        for i in bonds:
            u, s, v = self.improved(i)
            self.tensors[i], self.tensors[i + 1] = u, s[:, None, None] * v
            self.pass_right(i)
        for i in reversed(bonds):
            u, s, v = self.improved(i)
            self.tensors[i], self.tensors[i + 1] = u * s, v
            self.pass_left(i)

    def groups(self, i: int) -> list[tuple[int, int, NDArray[np.int64]]]:
        """The bits of sites i and i + 1, and the strings that have them."""
        a, b = self.bits[:, i], self.bits[:, i + 1]
        return [(j, k, np.flatnonzero((a == j) & (b == k))) for j in (0, 1) for k in (0, 1)]

    def amplitudes(self, merged: _Real, i: int) -> _Real:
        """Amplitude of every string up to its scale, (samples,), with `merged` at sites i and i + 1."""
        amplitudes = np.empty(len(self.bits))
        for j, k, rows in self.groups(i):
            half = self.left[i][rows] @ merged[:, j, k]
            amplitudes[rows] = np.einsum("xr,xr->x", half, self.right[i + 1][rows])
        return amplitudes

    def gradient(self, merged: _Real, amplitudes: _Real, i: int) -> _Real:
        """Gradient of the NLL with respect to the merged tensor (left, 2, 2, right), along the sphere."""
        pull = np.empty_like(merged)
        ratios = self.weights / np.where(np.abs(amplitudes) < _IMPOSSIBLE, _IMPOSSIBLE, amplitudes)
        for j, k, rows in self.groups(i):
            pull[:, j, k] = self.left[i][rows].T @ (self.right[i + 1][rows] * ratios[rows, None])
        return 2 * (np.vdot(pull, merged) * merged - pull)  # the product is 1 unless a string is impossible

    def improved(self, i: int) -> tuple[_Real, _Real, _Real]:
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
        """The NLL up to a constant."""
        return float(-2 * self.weights @ np.log(np.maximum(np.abs(amplitudes), _IMPOSSIBLE)))

    def pass_right(self, i: int) -> None:
        """Contract site i to its left side."""
        self.left[i + 1], _ = _absorb(self.left[i], self.tensors[i], self.bits[:, i])

    def pass_left(self, i: int) -> None:
        """Contract site i + 1 to its right side."""
        mirrored = self.tensors[i + 1].transpose(2, 1, 0)
        self.right[i], _ = _absorb(self.right[i + 1], mirrored, self.bits[:, i + 1])


def _absorb(vectors: _Real, tensor: _Real, bits: _Bits) -> tuple[_Real, _Real]:
    """Each row times the matrix of its bit, divided by its norm, and these norms."""
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
        with np.errstate(divide="ignore"):  # an impossible string gives -inf
            total += np.log(norms)
    return 2 * total


def _nll(tensors: Sequence[_Real], bits: _Bits, weights: _Real) -> float:
    return float(-weights @ _log_probability(tensors, bits))


def noisy_superposition(sites: int, bond: int, seed: int | None) -> Tensors:
    """The uniform superposition of all strings with noise, right-canonical, of norm 1."""
    rng = random_generator(seed)
    bonds = [1, *[bond] * (sites - 1), 1]
    tensors = [_NOISE * rng.normal(size=(bonds[i], 2, bonds[i + 1])) for i in range(sites)]
    for tensor in tensors:
        tensor[0, :, 0] += np.sqrt(0.5)
    return compress(tensors)


def _count(bits: _Bits) -> tuple[_Bits, _Real]:
    """The distinct strings and their frequencies."""
    different, counts = np.unique(bits, axis=0, return_counts=True)
    return different, counts / counts.sum()
