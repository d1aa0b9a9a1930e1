"""Ground state of any Pauli operator as a matrix product state, by the two-site density matrix
renormalization group (DMRG).

Two neighboring sites at a time are replaced by the lowest eigenvector of the Hamiltonian restricted to them
(White, Phys. Rev. Lett. 69, 2863; Schollwöck, arXiv:1008.3477, section 6). The Hamiltonian and the state on
either side form a block (bra, operator, ket) with one of the two sites, so that the Hamiltonian acts on both
sites by two products of matrices. quimb has the same algorithm, but compiles for a quarter of a minute when
it is first imported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bondwise.circuits import Observable, as_operator
from bondwise.runs import Result, progress_bar, random_generator, real_number, whole_number
from bondwise.tn.states.chains import Tensors, compress, largest_bond, site_tensors, to_quimb
from bondwise.tn.states.operators import expectation_value, matrix_product, read_operator

if TYPE_CHECKING:
    from bondwise.tn.states.imported_quimb import qtn

_DENSE_SITES = 8
_DENSE_SIZE = 256  # numbers of two sites
_FIRST_BOND = 8  # doubled with every sweep
_KRYLOV = 60  # most vectors of Lanczos
_RESIDUAL = 1e-7  # relative to the energy


@dataclass(frozen=True, kw_only=True)
class GroundState(Result):
    """A variational ground state, as `ground_state` returns it.

    Attributes:
        value: Energy in the units of the Hamiltonian: an upper bound of the exact one, up to rounding.
        tensors: The state as arrays of shape (left, 2, right), float64 for a real Hamiltonian; site i is
            qubit i.
        converged: Whether the energy changed by less than `tolerance` in the last sweep.
        message: Number of sweeps and the largest bond, or why the search did not converge.

    Example:
        >>> from qiskit.quantum_info import SparsePauliOp
        >>> from bondwise.tn import ground_state
        >>> found = ground_state(SparsePauliOp(["XX", "YY", "ZZ"]), seed=0)
        >>> print(f"{found.energy:.6f}", found.message)
        -3.000000 solved exactly, bond 2
    """

    tensors: tuple[NDArray[Any], ...] = field(repr=False)
    converged: bool
    message: str

    @property
    def energy(self) -> float:
        """The energy; same as `value`."""
        return float(self.value)

    @property
    def state(self) -> qtn.MatrixProductState:
        """The state as a quimb MatrixProductState."""
        return to_quimb(self.tensors)


def ground_state(
    hamiltonian: Observable,
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
        hamiltonian: Any Hermitian `SparsePauliOp` without free parameters, of any range and number of terms,
            or anything else that `bondwise.backends.estimate` accepts as an observable.
        max_bond: Largest bond dimension of the state, at least 1.
        cutoff: Schmidt values below this fraction of the largest are dropped from the state that is returned.
        sweeps: Maximum number of sweeps.
        tolerance: Stop once a sweep changes the energy by less than this times the largest coefficient.
        seed: Random seed for the initial state.
        progress: Whether to show a progress bar.

    Returns:
        Energy and state. If the search does not converge, `converged` is False and `message` says why. The
        energy is exact up to 8 sites if `max_bond` suffices for any state. For more sites, the search may end
        in a local minimum of a frustrated or glassy Hamiltonian, so compare a few seeds.

    Raises:
        UsageError: If the operator is not a finite Hermitian Pauli sum, or a number is out of range.

    Example:
        >>> from qiskit.quantum_info import SparsePauliOp
        >>> from bondwise.tn import ground_state
        >>> terms = [(letter * 2, [i, i + 1], 1.0) for i in range(3) for letter in "XYZ"]
        >>> found = ground_state(SparsePauliOp.from_sparse_list(terms, 4), seed=0)
        >>> print(f"{found.energy:.6f}", found.converged)
        -6.464102 True
    """
    for name, number in (("max_bond", max_bond), ("sweeps", sweeps)):
        whole_number(name, number)
    for name, part in (("cutoff", cutoff), ("tolerance", tolerance)):
        real_number(name, part, zero=True)
    hamiltonian = as_operator(hamiltonian, what="Hamiltonian")
    words, coefficients, constant = read_operator(hamiltonian)
    sites = words.shape[1]
    if len(words) == 0:
        zero = tuple(np.array([1.0, 0.0]).reshape(1, 2, 1) for _ in range(sites))
        message = "a multiple of the identity: every state has this energy"
        return GroundState(value=constant, seed=seed, tensors=zero, converged=True, message=message)
    scale = np.abs(coefficients).max()
    operators = matrix_product(words, coefficients / scale)
    if sites <= 2:  # nothing to sweep over
        tensors = site_tensors(np.linalg.eigh(hamiltonian.to_matrix())[1][:, 0])
        converged, message = True, "solved exactly"
    else:
        with progress_bar(sweeps, "ground state", progress) as bar:

            def show(energy: float, bond: int) -> None:
                bar.set_postfix_str(f"energy {energy * scale + constant:.8g}, bond {bond}")
                bar.update()

            tensors, count, converged = _sweep(operators, max_bond, sweeps, tolerance, seed, show)
        message = f"{count} sweeps" if converged else f"not converged after {count} sweeps; raise sweeps"
    tensors = compress(tensors, max_bond, cutoff)
    energy = expectation_value(operators, tensors) * scale + constant
    message += f", bond {largest_bond(tensors)}"
    return GroundState(value=energy, seed=seed, tensors=tuple(tensors), converged=converged, message=message)


def _sweep(
    operators: list[NDArray[Any]],
    max_bond: int,
    sweeps: int,
    tolerance: float,
    seed: int | None,
    show: Callable[[float, int], None],
) -> tuple[Tensors, int, bool]:
    """The state, the number of sweeps and whether the energy converged; each sweep's is shown."""
    sites = len(operators)
    tensors = _random_state(operators, min(_FIRST_BOND, max_bond), seed)  # its center is at site 0
    lefts = [np.ones((1, 1, 1))] * sites  # of the sites before i: bra, operator, ket
    rights = [np.ones((1, 1, 1))] * sites  # of the sites after i: operator, ket, bra
    for i in range(sites - 1, 1, -1):
        rights[i - 1] = _extended_right(_right_block(operators[i], rights[i]), tensors[i])
    largest = min(max_bond, 2 ** (sites // 2))  # no state needs more
    energy = np.inf
    for sweep in range(sweeps):
        bond = min(largest, _FIRST_BOND << sweep)
        rightwards = sweep % 2 == 0
        for i in range(sites - 1) if rightwards else range(sites - 2, -1, -1):
            left = _left_block(operators[i], lefts[i])
            right = _right_block(operators[i + 1], rights[i + 1])
            start = np.tensordot(tensors[i], tensors[i + 1], 1).reshape(left.shape[2], right.shape[1])
            found, joint = _lowest(left, right, start, dense=sites <= _DENSE_SITES)
            if rightwards:
                isometry = _basis(joint, bond)
                tensors[i] = isometry.reshape(-1, 2, isometry.shape[1])
                tensors[i + 1] = (isometry.conj().T @ joint).reshape(isometry.shape[1], 2, -1)
                lefts[i + 1] = _extended_left(left, tensors[i])
            else:
                isometry = _basis(joint.T, bond).T
                tensors[i] = (joint @ isometry.conj().T).reshape(-1, 2, len(isometry))
                tensors[i + 1] = isometry.reshape(len(isometry), 2, -1)
                rights[i] = _extended_right(right, tensors[i + 1])
        settled = abs(found - energy) < tolerance
        energy = found
        show(energy, bond)
        if settled and bond == largest:
            break
    return tensors, sweep + 1, bool(settled)


def _random_state(operators: list[NDArray[Any]], bond: int, seed: int | None) -> Tensors:
    rng = random_generator(seed)
    bonds = [1, *[bond] * (len(operators) - 1), 1]
    tensors = [rng.normal(size=(left, 2, right)) for left, right in zip(bonds, bonds[1:], strict=False)]
    if np.iscomplexobj(operators[0]):
        tensors = [tensor + 1j * rng.normal(size=tensor.shape) for tensor in tensors]
    return compress(tensors)


def _left_block(operator: NDArray[Any], before: NDArray[Any]) -> NDArray[Any]:
    """A site and all before it: (bra, operator, ket), where bra and ket are a bond and the site's bit."""
    block = np.tensordot(before, operator, (1, 0)).transpose(0, 3, 2, 1, 4)
    return block.reshape(block.shape[0] * 2, block.shape[2], -1)


def _right_block(operator: NDArray[Any], after: NDArray[Any]) -> NDArray[Any]:
    """A site and all after it: (operator, ket, bra), where bra and ket are the site's bit and a bond."""
    block = np.tensordot(operator, after, (1, 0)).transpose(0, 2, 3, 1, 4)
    return block.reshape(block.shape[0], 2 * block.shape[2], -1)


def _extended_left(block: NDArray[Any], tensor: NDArray[Any]) -> NDArray[Any]:
    """What `_left_block` becomes with the tensor of its site: (bra, operator, ket) of the next bond."""
    isometry = tensor.reshape(-1, tensor.shape[2])
    ket = block.reshape(-1, block.shape[2]) @ isometry
    bond = isometry.shape[1]
    return (isometry.conj().T @ ket.reshape(len(block), -1)).reshape(bond, -1, bond)


def _extended_right(block: NDArray[Any], tensor: NDArray[Any]) -> NDArray[Any]:
    """What `_right_block` becomes with the tensor of its site: (operator, ket, bra) of the bond before."""
    isometry = tensor.reshape(len(tensor), -1)
    return isometry @ (block @ isometry.conj().T)


def _basis(joint: NDArray[Any], bond: int) -> NDArray[Any]:
    """Orthonormal columns, at most `bond`, that keep most of the weight of a matrix.

    Directions without weight are kept as well: through them, later steps can leave a product state.
    """
    if min(joint.shape) <= bond:
        return (
            np.linalg.qr(joint)[0] if len(joint) > joint.shape[1] else np.eye(len(joint), dtype=joint.dtype)
        )
    if len(joint) <= joint.shape[1]:
        return np.linalg.eigh(joint @ joint.conj().T)[1][:, : -bond - 1 : -1]
    return np.linalg.svd(joint, full_matrices=False)[0][:, :bond]


def _lowest(
    left: NDArray[Any], right: NDArray[Any], start: NDArray[Any], dense: bool
) -> tuple[float, NDArray[Any]]:
    """Lowest energy and eigenvector (left ket, right ket) of two sites in the state around them.

    By Lanczos from the present state, which cannot leave an eigenvector even if it is not the lowest; exactly
    if `dense` or if there are few numbers.
    """
    rows, operators, _ = left.shape
    columns = right.shape[1]
    if dense or start.size <= _DENSE_SIZE:
        matrix = np.tensordot(left, right, (1, 0)).transpose(0, 3, 1, 2).reshape(start.size, start.size)
        energies, states = np.linalg.eigh(matrix)
        return float(energies[0]), states[:, 0].reshape(rows, columns)
    first = left.reshape(rows * operators, rows)
    second = right.reshape(operators * columns, columns)
    count = min(_KRYLOV, start.size)
    basis = np.zeros((count, start.size), np.result_type(left, start))
    basis[0] = start.ravel() / np.linalg.norm(start)
    tridiagonal = np.zeros((count, count))
    for k in range(count):
        moved = ((first @ basis[k].reshape(rows, columns)).reshape(rows, -1) @ second).ravel()
        tridiagonal[k, k] = np.vdot(basis[k], moved).real
        for _ in range(2):  # keeps the basis orthogonal up to rounding
            moved = moved - (basis[: k + 1].conj() @ moved) @ basis[: k + 1]
        rest = float(np.linalg.norm(moved))
        if k < 8 or k % 4 == 3 or k + 1 == count or rest < _RESIDUAL:
            energies, vectors = np.linalg.eigh(tridiagonal[: k + 1, : k + 1])
            if k + 1 == count or rest * abs(vectors[k, 0]) < _RESIDUAL * max(abs(energies[0]), 1.0):
                break
        basis[k + 1] = moved / rest
        tridiagonal[k, k + 1] = tridiagonal[k + 1, k] = rest
    return float(energies[0]), (vectors[:, 0] @ basis[: k + 1]).reshape(rows, columns)
