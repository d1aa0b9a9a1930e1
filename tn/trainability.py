"""Energy gradients of blocks near the identity after a matrix product state, for any number of qubits.

Each block of an extension layer is followed by a rotation exp(-iθP/2) about a Pauli word P on its two qubits,
and the energy E is differentiated at θ = 0. With ψ the state after the whole layer, H the Hamiltonian and ψ'
the same state with P inserted after the block, before all later blocks,

    dE/dθ = 2 Re ⟨ψ|H (-i/2)|ψ'⟩ = Im ⟨ψ|H|ψ'⟩.

Neither ψ' nor any vector of length 2^n is formed. A gate is a sum of products, one term for each of its
operator-Schmidt values, so the layer multiplies each bond that a block crosses by at most 4, without
truncation, and P changes only the tensors of its two sites: one pass from right to left and one from left to
right over ⟨ψ|H|ψ⟩, with H as a matrix product operator, give all derivatives. Barren plateaus appear as a
mean square that decreases exponentially with n (McClean et al., arXiv:1803.11173); for tensor-network starts
it should not (Rudolph et al., arXiv:2208.13673).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bondwise.circuits import Observable
from bondwise.runs import Result, UsageError, progress_bar, random_generator, real_number, whole_number
from bondwise.tn.overlap.contraction_order import checked_pairs
from bondwise.tn.preparation.blocks import get_block
from bondwise.tn.states.chains import Tensors, rank, site_tensors
from bondwise.tn.states.operators import LETTERS, matrix_product, read_operator

Array = NDArray[Any]
# the part of a gate on one site: its index and an array (out, in, left, right), where the last two are bonds
Part = tuple[int, Array]


@dataclass(frozen=True, kw_only=True)
class GradientProfile(Result):
    """Energy derivatives of a layer of two-qubit blocks after a state, as `gradient_profile` returns them.

    Attributes:
        value: Mean square of all derivatives, in squared units of the Hamiltonian: their variance around 0.
        std: Standard error of `value` over the draws, or over the blocks if there is a single draw (a rough
            guide, because blocks are not independent). NaN for one draw of one block; 0 at strength 0, where
            nothing is random.
        gradients: The derivatives, float64 of shape (draws, pairs, words).
        energy: Mean over the draws of the energy at the point of differentiation.
        pairs: The qubits of each block, int64 of shape (pairs, 2).
        words: The generators: letters on the first and on the second qubit of a pair, such as "XY".
        strength: Standard deviation of the angles of the blocks, in radians.

    Example:
        >>> from qiskit.quantum_info import SparsePauliOp
        >>> from bondwise.tn import gradient_profile
        >>> profile = gradient_profile(SparsePauliOp(["IX", "XI"]), [1, 0, 0, 0], gate="so4")
        >>> print(profile)
        GradientProfile: mean square 0.6667, 1 block, 6 generators, 1 draw, energy 0
        >>> profile.words
        ('IY', 'XY', 'YI', 'YX', 'YZ', 'ZY')
    """

    gradients: NDArray[np.float64] = field(repr=False)
    energy: float
    pairs: NDArray[np.int64] = field(repr=False)
    words: tuple[str, ...] = field(repr=False)
    strength: float

    @property
    def per_bond(self) -> NDArray[np.float64]:
        """Mean square for each pair, shape (pairs,): by default the n - 1 bonds from left to right."""
        return (self.gradients**2).mean(axis=(0, 2))

    def __str__(self) -> str:
        error = f" ± {self.std:.2g}" if self.std else ""
        draws, pairs, words = self.gradients.shape
        return (
            f"GradientProfile: mean square {self.value:.4g}{error}, {pairs} block{'s' if pairs > 1 else ''}, "
            f"{words} generators, {draws} draw{'s' if draws > 1 else ''}, energy {self.energy:.8g}"
        )


def gradient_profile(
    hamiltonian: Observable,
    state: Any,
    *,
    gate: str = "su4",
    pairs: Iterable[tuple[int, int]] | None = None,
    strength: float = 0.0,
    samples: int = 1,
    max_bond: int = 256,
    seed: int | None = None,
    progress: bool = False,
) -> GradientProfile:
    """Differentiate the energy of a state with respect to a layer of two-qubit blocks after it.

    The blocks are those that `extend` appends with the same pairs, strength, gate and seed to a batch of
    `samples` parameter sets. The derivative is taken along rotations exp(-iθP/2) after each block rather than
    along the angles of the block, some of which coincide at the identity. Only the angles are sampled, and
    nothing is truncated.

    At strength 0 the derivatives may vanish by symmetry, for example all of them for a real spin singlet and
    a Heisenberg Hamiltonian, such as DMRG states of even length whose truncation keeps the symmetry. This is
    a stationary point, not a plateau; a small strength tells the two apart.

    Args:
        hamiltonian: Any Hermitian `SparsePauliOp` on n qubits without free parameters, or anything else that
            `bondwise.backends.estimate` accepts as an observable.
        state: Any state that `site_tensors` accepts; site i is qubit i.
        gate: "su4" for all 15 words other than II, or "so4" for the 6 with an odd number of Y, which generate
            the real gates of determinant +1.
        pairs: The qubits of each block in time order, neighbors or not. The default is one staircase, (0, 1),
            (1, 2), ..., (n - 2, n - 1).
        strength: Standard deviation of the angles of the blocks in radians; at 0 the blocks are the identity.
        samples: Number of draws of these angles; at strength 0 there is a single one.
        max_bond: Largest bond dimension of the state after blocks that are not the identity. Each block
            across a bond multiplies it by 4, and anything beyond the limit is refused.
        seed: Random seed for the angles.
        progress: Whether to show a progress bar.

    Returns:
        The derivatives and their mean square.

    Raises:
        UsageError: If the state has a single site or differs in size from the Hamiltonian, a pair is not two
            different qubits, the gate is unknown, a number is out of range, or a bond exceeds `max_bond`.

    Example:
        >>> from qiskit.quantum_info import SparsePauliOp
        >>> from bondwise.tn import gradient_profile, ground_state
        >>> chain = SparsePauliOp(["IIZZ", "IZZI", "ZZII", "IIIX", "IIXI", "IXII", "XIII"])
        >>> profile = gradient_profile(chain, ground_state(chain, 1, seed=0), strength=0.1, samples=4, seed=0)
        >>> profile.gradients.shape, profile.per_bond.shape
        ((4, 3, 15), (3,))
    """
    block = get_block(gate)
    tensors = site_tensors(state)
    letters, coefficients, constant = read_operator(hamiltonian)
    sites = len(tensors)
    if letters.shape[1] != sites:
        raise UsageError(
            f"the state has {sites} sites and the Hamiltonian {letters.shape[1]} qubits; they must be equal."
        )
    if sites == 1:
        raise UsageError("the state has a single site; a layer of two-qubit blocks needs at least 2.")
    layer = checked_pairs([(i, i + 1) for i in range(sites - 1)] if pairs is None else pairs, sites)
    if not layer:
        raise UsageError("pairs is empty; give at least one pair of qubits, such as [(0, 1)].")
    real_number("strength", strength, zero=True)
    for name, number in (("samples", samples), ("max_bond", max_bond)):
        whole_number(name, number)
    if len(letters) == 0:  # a multiple of the identity
        letters, coefficients = np.zeros((1, sites), np.int64), np.zeros(1)
    operators = matrix_product(letters, coefficients)

    draws = samples if strength > 0 else 1
    angles = strength * random_generator(seed).normal(size=(draws, len(layer), block.size))
    gates = block.matrix(angles) if strength > 0 else np.broadcast_to(np.eye(4), (1, len(layer), 4, 4))
    odd = [word.count("Y") % 2 == 1 for word in _WORDS]
    chosen = [k for k in range(len(_WORDS)) if gate == "su4" or odd[k]]
    gradients, energies = [], []
    with progress_bar(draws * len(layer), "gradients", progress) as bar:
        for drawn in gates:
            parts = _split(drawn, layer, sites)
            if strength > 0:
                _check_bonds(tensors, parts, max_bond)
            slopes, energy = _differentiate(operators, tensors, layer, parts, bar)
            gradients.append(slopes[:, chosen])
            energies.append(energy + constant)
    squares = np.array(gradients) ** 2
    std = 0.0
    if strength > 0:
        spread = squares.mean(axis=(1, 2)) if draws > 1 else squares.mean(axis=(0, 2))
        std = spread.std(ddof=1) / np.sqrt(len(spread)) if len(spread) > 1 else np.nan
    return GradientProfile(
        value=float(squares.mean()),
        std=float(std),
        seed=seed,
        gradients=np.array(gradients),
        energy=float(np.mean(energies)),
        pairs=np.array(layer),
        words=tuple(_WORDS[k] for k in chosen),
        strength=float(strength),
    )


def _split(gates: Array, pairs: Sequence[tuple[int, int]], sites: int) -> list[list[Part]]:
    """For each site, the parts of the gates (K, 4, 4) that act on it or pass over it, in time order."""
    parts: list[list[Part]] = [[] for _ in range(sites)]
    for k, ((first, second), matrix) in enumerate(zip(pairs, gates, strict=True)):
        # (out, in) of the first qubit, (out, in) of the second
        u, s, v = np.linalg.svd(matrix.reshape(2, 2, 2, 2).transpose(0, 2, 1, 3).reshape(4, 4))
        bond = rank(s, _ROUNDING)
        ends = (u[:, :bond] * s[:bond]).reshape(2, 2, bond), v[:bond].T.reshape(2, 2, bond)
        low, high = ends if first < second else ends[::-1]
        first, second = sorted((first, second))
        parts[first].append((k, low[:, :, None, :]))
        for between in range(first + 1, second):
            parts[between].append((k, np.multiply.outer(np.eye(2), np.eye(bond))))
        parts[second].append((k, high[..., None]))
    return parts


def _check_bonds(tensors: Tensors, parts: list[list[Part]], max_bond: int) -> None:
    bonds = [t.shape[2] * prod(part.shape[3] for _, part in p) for t, p in zip(tensors, parts, strict=True)]
    if max(bonds) > max_bond:
        raise UsageError(
            f"the state after the blocks has bond dimension {max(bonds)}, max_bond is {max_bond}; raise it, "
            "give fewer pairs across a bond, compress the state or set strength to 0."
        )


def _site(tensor: Array, parts: list[Part], marked: int | None = None) -> Array:
    """Tensors (batch, left, 2, right) of a site after all gates.

    With `marked`, the batch holds the four letters I, X, iY and Z inserted after that gate; otherwise it has
    one entry.
    """
    result = tensor[None]
    for k, part in parts:
        batch, left, _, right = result.shape
        _, _, a, b = part.shape
        result = np.einsum("plsr,osab->plaorb", result, part).reshape(batch, left * a, 2, right * b)
        if k == marked:
            result = np.einsum("pos,lsr->plor", LETTERS, result[0])
    return result


def _absorb(bonds: Array, bra: Array, operator: Array, ket: Array) -> Array:
    """Move bonds (batch, bra, operator, ket) over one site; one of the two batches must be 1."""
    moved = np.tensordot(bonds, ket, (3, 1))  # batch, bra, operator, batch, bit, ket
    moved = np.tensordot(moved, operator, ((2, 4), (0, 3)))  # batch, bra, batch, ket, operator, bit
    moved = np.tensordot(moved, bra[0].conj(), ((1, 5), (0, 1)))  # batch, batch, ket, operator, bra
    moved = moved.transpose(0, 1, 4, 3, 2)
    return moved.reshape(-1, *moved.shape[2:])


def _absorb_left(bonds: Array, bra: Array, operator: Array, ket: Array) -> Array:
    """The same for the site to the left of the bonds."""
    return _absorb(bonds, bra.swapaxes(1, 3), operator.swapaxes(0, 1), ket.swapaxes(1, 3))


def _differentiate(
    operators: Tensors, tensors: Tensors, pairs: Sequence[tuple[int, int]], parts: list[list[Part]], bar: Any
) -> tuple[NDArray[np.float64], float]:
    """Derivatives (pairs, 15) along `_WORDS`, and the energy."""
    sites = len(tensors)
    states = [_site(tensor, part) for tensor, part in zip(tensors, parts, strict=True)]
    rights = [np.ones((1, 1, 1, 1))]  # rights[i]: all sites from i on
    for i in reversed(range(sites)):
        rights.insert(0, _absorb_left(rights[0], states[i], operators[i], states[i]))
    slopes = np.empty((len(pairs), len(_WORDS)))
    left, done = np.ones((1, 1, 1, 1)), 0  # all sites before `done`
    for k in sorted(range(len(pairs)), key=lambda k: min(pairs[k])):
        low, high = sorted(pairs[k])
        for i in range(done, low):
            left = _absorb(left, states[i], operators[i], states[i])
        done = low
        open_left = _absorb(left, states[low], operators[low], _site(tensors[low], parts[low], k))
        for i in range(low + 1, high):
            open_left = _absorb(open_left, states[i], operators[i], states[i])
        ket = _site(tensors[high], parts[high], k)
        open_right = _absorb_left(rights[high + 1], states[high], operators[high], ket)
        elements = np.tensordot(open_left, open_right, ((1, 2, 3), (1, 2, 3)))
        if pairs[k][0] > pairs[k][1]:
            elements = elements.T
        slopes[k] = (elements.ravel()[1:] * _PHASES).imag
        bar.update()
    return slopes, float(rights[0].item().real)


_ROUNDING = 1e-14  # relative size below which an operator-Schmidt value is rounding
_WORDS = ["".join(word) for word in product("IXYZ", repeat=2)][1:]
_PHASES = np.array([(-1j) ** word.count("Y") for word in _WORDS])  # Y = -i (iY)
