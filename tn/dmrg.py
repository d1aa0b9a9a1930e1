"""Ground state of any Pauli operator as a matrix product state, by quimb's two-site DMRG.

The matrix product operator is built in one pass from left to right. A sum of Pauli words is a vector in the
orthonormal basis of words; at every bond it is a matrix with one column for each distinct rest of a word, and
a singular value decomposition of this matrix splits off one site. As its columns are orthonormal, nothing but
rounding is lost and the bonds are the smallest possible: 5 for the Heisenberg chain, whatever the order or
the number of the terms.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import quimb.tensor as qtn
from numpy.typing import NDArray
from qiskit.quantum_info import SparsePauliOp

from bondwise.runs import Result, UsageError, progress_bar
from bondwise.tn.states import Tensors, compress, site_tensors, to_quimb

_DENSE_SITES = 8
_FIRST_BOND = 8  # doubled with every sweep
_ROUNDING = 1e-13  # relative size of what is rounding
# with Y replaced by iY every word with an even number of Y is real
_LETTERS = np.array([np.eye(2), [[0, 1], [1, 0]], [[0, 1], [-1, 0]], np.diag([1, -1])])


@dataclass(frozen=True, kw_only=True)
class GroundState(Result):
    """A variational ground state.

    Attributes:
        value: The energy, in the units of the Hamiltonian: an upper bound of the true one but for rounding.
        tensors: The state, arrays of shape (left, 2, right), float64 for a real Hamiltonian; site i is
            qubit i.
        converged: Whether the energy changed by less than `tolerance` in the last sweep.
        message: Number of sweeps and largest bond, or why it is not converged.
    """

    tensors: tuple[NDArray[Any], ...] = field(repr=False)
    converged: bool
    message: str

    @property
    def energy(self) -> float:
        """The energy, the same number as `value`."""
        return float(self.value)

    @property
    def state(self) -> qtn.MatrixProductState:
        """The state as a quimb MatrixProductState."""
        return to_quimb(self.tensors)


def ground_state(
    hamiltonian: SparsePauliOp,
    max_bond: int = 32,
    *,
    cutoff: float = 1e-8,
    sweeps: int = 40,
    tolerance: float = 1e-9,
    seed: int | None = None,
    progress: bool = False,
) -> GroundState:
    """Find the ground state of a Hermitian Pauli operator.

    Args:
        hamiltonian: Any Hermitian `SparsePauliOp` without free parameters, of any range and number of terms.
        max_bond: Largest bond dimension of the state, at least 1.
        cutoff: Schmidt values below this part of the largest are dropped from the state returned.
        sweeps: Most sweeps.
        tolerance: Stop when a sweep changes the energy by less than this times the largest coefficient.
        seed: Seed of the random state from which the first sweep starts.
        progress: Show a progress bar.

    Returns:
        Energy and state. A result that is not converged says so instead of raising. Up to 8 sites, and with a
        bond that suffices for any state, the energy is exact; beyond, sweeps may settle in a local minimum of
        a frustrated or glassy Hamiltonian: compare a few seeds.

    Raises:
        UsageError: The operator is not Hermitian, finite and a SparsePauliOp, or a number is out of range.
    """
    for name, number in (("max_bond", max_bond), ("sweeps", sweeps)):
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 1:
            raise UsageError(f"{name} is {number}; give a whole number of at least 1, such as 32.")
    words, coefficients, constant = _read(hamiltonian)
    sites = words.shape[1]
    if len(words) == 0:
        zero = tuple(np.array([1.0, 0.0]).reshape(1, 2, 1) for _ in range(sites))
        message = "a multiple of the identity: every state has this energy"
        return GroundState(value=constant, seed=seed, tensors=zero, converged=True, message=message)
    scale = np.abs(coefficients).max()
    operators = _matrix_product(words, coefficients / scale)
    if sites <= 2:  # nothing to sweep over
        tensors = site_tensors(np.linalg.eigh(hamiltonian.to_matrix())[1][:, 0])
        converged, message = True, "solved exactly"
    else:
        with progress_bar(sweeps, "ground state", progress) as bar:
            tensors, count, converged = _sweep(operators, max_bond, sweeps, tolerance, seed, bar)
        message = f"{count} sweeps" if converged else f"not converged after {count} sweeps; raise sweeps"
    tensors = compress(tensors, max_bond, cutoff)
    energy = _expectation(operators, tensors) * scale + constant
    message += f", bond {max(tensor.shape[2] for tensor in tensors)}"
    return GroundState(value=energy, seed=seed, tensors=tuple(tensors), converged=converged, message=message)


def _sweep(
    operators: list[NDArray[Any]], max_bond: int, sweeps: int, tolerance: float, seed: int | None, bar: Any
) -> tuple[Tensors, int, bool]:
    """State, number of sweeps and whether the energy settled."""
    # quimb's order: ket index before bra index
    arrays = [np.ascontiguousarray(w.transpose(0, 1, 3, 2)) for w in operators]
    arrays[0], arrays[-1] = arrays[0][0], arrays[-1][:, 0]
    mpo = qtn.MatrixProductOperator(arrays, shape="lrud")
    start = _random_state(operators, min(_FIRST_BOND, max_bond), seed)
    solver = qtn.DMRG2(mpo, bond_dims=_FIRST_BOND, p0=start)
    solver.opts.update(local_eig_tol=1e-6, local_eig_ncv=8)
    if len(operators) <= _DENSE_SITES:  # Lanczos cannot leave an eigenvector, even if it is not the lowest
        solver.opts["local_eig_backend"] = "NUMPY"
    largest = min(max_bond, 2 ** (len(operators) // 2))  # no state needs more
    for sweep in range(sweeps):
        bond = min(largest, _FIRST_BOND << sweep)
        # cutoff 0 keeps directions without weight, through which later steps can leave a product state
        settled = solver.solve(
            tol=tolerance, bond_dims=bond, cutoffs=0.0, max_sweeps=1, sweep_sequence="RL"[sweep % 2]
        )
        bar.update()
        if settled and bond == largest:
            break
    state = solver.state
    state.permute_arrays("lpr")
    first, *middle, last = state.arrays
    return [first[None], *middle, last[..., None]], sweep + 1, bool(settled)


def _expectation(operators: list[NDArray[Any]], tensors: Tensors) -> float:
    """<state|operator|state> of a state of norm 1."""
    bonds = np.ones((1, 1, 1))  # bra, operator, ket
    for w, tensor in zip(operators, tensors, strict=True):
        ket = np.tensordot(bonds, tensor, 1)
        ket = np.tensordot(ket, w, ((1, 2), (0, 3)))  # bra, next ket, next operator, bit
        bonds = np.tensordot(tensor.conj(), ket, ((0, 1), (0, 3))).transpose(0, 2, 1)
    return float(bonds.item().real)


def _read(hamiltonian: SparsePauliOp) -> tuple[NDArray[np.int64], NDArray[Any], float]:
    """Words (terms, sites) as indices into `_LETTERS`, their coefficients, and that of the identity."""
    if not isinstance(hamiltonian, SparsePauliOp):
        raise UsageError(f"the Hamiltonian is a {type(hamiltonian).__name__}; give a qiskit SparsePauliOp.")
    if hamiltonian.coeffs.dtype == object:
        raise UsageError("the Hamiltonian has free parameters; bind them with assign_parameters first.")
    if not np.isfinite(hamiltonian.coeffs).all():
        raise UsageError("a coefficient of the Hamiltonian is NaN or infinite; all must be finite.")
    operator = hamiltonian.simplify(atol=0, rtol=0)
    coefficients = operator.coeffs
    size = np.abs(coefficients).max()
    if np.abs(coefficients.imag).max() > 1e-10 * size:
        raise UsageError(
            "the Hamiltonian is not Hermitian: a coefficient is complex; add the adjoint or take real ones."
        )
    x, z = operator.paulis.x, operator.paulis.z
    words = np.where(x, np.where(z, 2, 1), np.where(z, 3, 0))
    identity = ~words.any(axis=1)
    constant = float(coefficients.real[identity].sum())
    keep = ~identity & (np.abs(coefficients) > _ROUNDING * size)
    # Y = -i (iY)
    signs = (-1j) ** (words[keep] == 2).sum(axis=1)
    turned = coefficients.real[keep] * signs
    return words[keep], turned if np.abs(turned.imag).max(initial=0) > 0 else turned.real, constant


def _matrix_product(words: NDArray[np.int64], coefficients: NDArray[Any]) -> list[NDArray[Any]]:
    """Operators (left, right, 2, 2) on each site whose product is the sum of words."""
    weights, rests = coefficients[None, :], words
    tensors = []
    for _ in range(words.shape[1] - 1):
        unique, column = np.unique(rests[:, 1:], axis=0, return_inverse=True)
        joint = np.zeros((len(weights), 4, len(unique)), weights.dtype)
        joint[:, rests[:, 0], column.ravel()] = (
            weights  # a letter and a rest make one word: no two weights meet
        )
        u, s, v = np.linalg.svd(joint.reshape(-1, len(unique)), full_matrices=False)
        keep = max(1, int((s > _ROUNDING * s[0]).sum()))
        tensors.append(u[:, :keep].reshape(-1, 4, keep))
        weights, rests = s[:keep, None] * v[:keep], unique
    last = np.zeros((len(weights), 4, 1), weights.dtype)
    last[:, rests[:, 0], 0] = weights
    return [np.tensordot(tensor, _LETTERS, (1, 0)) for tensor in [*tensors, last]]


def _random_state(operators: list[NDArray[Any]], bond: int, seed: int | None) -> qtn.MatrixProductState:
    rng = np.random.default_rng(seed)
    bonds = [1, *[bond] * (len(operators) - 1), 1]
    tensors = [rng.normal(size=(left, 2, right)) for left, right in zip(bonds, bonds[1:], strict=False)]
    if np.iscomplexobj(operators[0]):
        tensors = [tensor + 1j * rng.normal(size=tensor.shape) for tensor in tensors]
    return to_quimb(compress(tensors))
