"""What `bondwise.tn.decompose` and `fit` take as a state, and how each of it becomes one."""

from __future__ import annotations

from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from bondwise.runs import Result, UsageError
from bondwise.tn.born import train_born
from bondwise.tn.circuit_state import circuit_tensors
from bondwise.tn.dmrg import ground_state
from bondwise.tn.imported_quimb import qtn
from bondwise.tn.states import Tensors, site_tensors
from bondwise.tn.trees import Tree, checked, tree_state


def read_state(
    state: Any, *, max_bond: int, seed: int | None = None, progress: bool = False
) -> tuple[Tensors | Tree, str, float]:
    """The tensors of a state, given or yet to be found.

    Args:
        state: As for `bondwise.tn.decompose`.
        max_bond: Bond dimension of a state that is yet to be found.
        seed: Of the search for it.
        progress: Show bars.

    Returns:
        Canonical site tensors, or a tree; how the state was found, as the beginning of a message; and the
        weight of the state asked for that is left out, 0 but for large circuits.

    Raises:
        UsageError: It is nothing of that kind, or damaged.
    """
    if isinstance(state, SparsePauliOp):
        found = ground_state(state, max_bond, seed=seed, progress=progress)
        origin = f"ground state of energy {found.value:.8g} ({found.message}): "
        return site_tensors(found), origin, 0.0
    if isinstance(state, QuantumCircuit):
        tensors, lost = circuit_tensors(state, max_bond)
        lost = lost if lost > 1e-12 else 0.0  # rounding
        note = f", which leaves out a weight of {lost:.1e} (raise max_bond)" if lost else ""
        bond = max(tensor.shape[2] for tensor in tensors)
        return site_tensors(tensors), f"state of the circuit, bond {bond}{note}: ", lost
    if _is_bitstrings(state):
        trained = train_born(state, max_bond, seed=seed, progress=progress)
        return site_tensors(trained), f"{trained}: ", 0.0
    if isinstance(state, qtn.TensorNetwork) and not isinstance(state, qtn.MatrixProductState):
        return tree_state(state), "", 0.0
    if isinstance(state, Tree):
        return checked(state), "", 0.0
    known = isinstance(state, qtn.MatrixProductState | Result | list | tuple) or hasattr(state, "__array__")
    if not known:
        raise UsageError(
            f"the state is a {type(state).__name__}; give a quimb MatrixProductState or tree, a list of "
            "(left, 2, right) arrays, a vector of length 2**n, bitstrings, a SparsePauliOp "
            "or a QuantumCircuit."
        )
    return site_tensors(state), "", 0.0


def _is_bitstrings(state: Any) -> bool:
    if isinstance(state, np.ndarray):
        return state.ndim == 2
    return isinstance(state, list | tuple) and len(state) > 0 and all(isinstance(item, str) for item in state)
