"""What `bondwise.tn.decompose` and `fit` take as a state, and how each of it becomes one."""

from __future__ import annotations

from typing import Any

import numpy as np
import quimb.tensor as qtn
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from bondwise.tn.born import train_born
from bondwise.tn.circuit_state import circuit_tensors
from bondwise.tn.dmrg import ground_state
from bondwise.tn.states import Tensors, site_tensors
from bondwise.tn.trees import Tree, tree_state


def read_state(
    state: Any, *, max_bond: int, seed: int | None = None, progress: bool = False
) -> tuple[Tensors | Tree, str]:
    """The tensors of a state, given or yet to be found.

    Args:
        state: As for `bondwise.tn.decompose`.
        max_bond: Bond dimension of a state that is yet to be found.
        seed: Of the search for it.
        progress: Show bars.

    Returns:
        Canonical site tensors, or a tree; and how the state was found, as the beginning of a message.

    Raises:
        UsageError: It is nothing of that kind, or damaged.
    """
    if isinstance(state, SparsePauliOp):
        found = ground_state(state, max_bond, seed=seed, progress=progress)
        return site_tensors(
            list(found.tensors)
        ), f"ground state of energy {found.value:.8g} ({found.message}): "
    if isinstance(state, QuantumCircuit):
        tensors, lost = circuit_tensors(state, max_bond)
        note = f", of which a weight of {lost:.1e} is left out" if lost > 1e-12 else ""
        bond = max(tensor.shape[2] for tensor in tensors)
        return site_tensors(tensors), f"state of the circuit, bond {bond}{note}: "
    if _is_bitstrings(state):
        trained = train_born(state, max_bond, seed=seed, progress=progress)
        return site_tensors(list(trained.tensors)), f"{trained}: "
    if isinstance(state, qtn.TensorNetwork) and not isinstance(state, qtn.MatrixProductState):
        return tree_state(state), ""
    if isinstance(state, Tree):
        return state, ""
    tensors = getattr(state, "tensors", None) if not isinstance(state, qtn.TensorNetwork) else None
    return site_tensors(state if tensors is None else list(tensors)), ""


def _is_bitstrings(state: Any) -> bool:
    if isinstance(state, np.ndarray):
        return state.ndim == 2
    return isinstance(state, list | tuple) and len(state) > 0 and all(isinstance(item, str) for item in state)
