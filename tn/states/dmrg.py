"""Ground state of any Pauli operator as a matrix product state, by quimb's two-site DMRG."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bondwise.circuits import Observable, as_operator
from bondwise.runs import Result, progress_bar, random_generator, real_number, whole_number
from bondwise.tn.states.chains import Tensors, compress, largest_bond, site_tensors, to_quimb
from bondwise.tn.states.imported_quimb import import_quimb
from bondwise.tn.states.networks import chain_arrays
from bondwise.tn.states.operators import expectation_value, matrix_product, read_operator

if TYPE_CHECKING:
    from bondwise.tn.states.imported_quimb import qtn

_DENSE_SITES = 8
_FIRST_BOND = 8  # doubled with every sweep


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
            tensors, count, converged = _sweep(operators, max_bond, sweeps, tolerance, seed, bar)
        message = f"{count} sweeps" if converged else f"not converged after {count} sweeps; raise sweeps"
    tensors = compress(tensors, max_bond, cutoff)
    energy = expectation_value(operators, tensors) * scale + constant
    message += f", bond {largest_bond(tensors)}"
    return GroundState(value=energy, seed=seed, tensors=tuple(tensors), converged=converged, message=message)


def _sweep(
    operators: list[NDArray[Any]], max_bond: int, sweeps: int, tolerance: float, seed: int | None, bar: Any
) -> tuple[Tensors, int, bool]:
    """The state, the number of sweeps and whether the energy converged."""
    qtn = import_quimb()
    # quimb expects the ket index before the bra index
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
    return chain_arrays(solver.state), sweep + 1, bool(settled)


def _random_state(operators: list[NDArray[Any]], bond: int, seed: int | None) -> qtn.MatrixProductState:
    rng = random_generator(seed)
    bonds = [1, *[bond] * (len(operators) - 1), 1]
    tensors = [rng.normal(size=(left, 2, right)) for left, right in zip(bonds, bonds[1:], strict=False)]
    if np.iscomplexobj(operators[0]):
        tensors = [tensor + 1j * rng.normal(size=tensor.shape) for tensor in tensors]
    return to_quimb(compress(tensors))
