"""What `bondwise.tn.decompose` and `fit` accept as a state, and how each input becomes one."""

from __future__ import annotations

from typing import Any

import numpy as np
from qiskit import QuantumCircuit

from bondwise.circuits import as_circuit, is_observable
from bondwise.circuits.files.formats import is_circuit_file
from bondwise.runs import Result, UsageError, kind_of
from bondwise.tn.states.bitstrings import is_bits, is_counts, way_to_read
from bondwise.tn.states.born import train_born
from bondwise.tn.states.chains import Chain, Order, largest_bond, require_order, site_tensors
from bondwise.tn.states.circuit_state import circuit_tensors
from bondwise.tn.states.dmrg import ground_state
from bondwise.tn.states.imported_quimb import is_quimb
from bondwise.tn.states.networks import chain_arrays, numpy_array
from bondwise.tn.states.trees import Tree, checked, tree_state


def read_state(
    state: Any, *, max_bond: int, order: Order = "little", seed: int | None = None, progress: bool = False
) -> tuple[Chain | Tree, str, float]:
    """Read the tensors of a state that is given, or find the state first.

    Args:
        state: As for `bondwise.tn.decompose`.
        max_bond: Bond dimension of a state that is found first.
        order: Bit order of a vector's index, "little" or "big", as for `site_tensors`.
        seed: Random seed for the search.
        progress: Whether to show progress bars.

    Returns:
        A chain in canonical form or a tree; how it was found, as the beginning of a message; and the weight
        of the requested state that was left out, which is 0 except for large circuits.

    Raises:
        UsageError: If the input is not accepted as a state, or is damaged.
    """
    if hasattr(state, "detach"):
        state = numpy_array(state)
    if is_quimb(state, "CircuitMPS"):
        state = state.psi
    if is_circuit_file(state):
        state = as_circuit(state)
    operator = is_observable(state) and not isinstance(state, str) and not is_counts(state)
    bits = not operator and _is_bitstrings(state)
    network = is_quimb(state)
    other = network or isinstance(state, Tree | Result | QuantumCircuit)
    require_order(order, vector=not (operator or bits or other))
    if operator:
        found = ground_state(state, max_bond, seed=seed, progress=progress)
        origin = f"ground state of energy {found.value:.8g} ({found.message}): "
        return Chain(site_tensors(found)), origin, 0.0
    if isinstance(state, QuantumCircuit):
        tensors, lost = circuit_tensors(state, max_bond)
        lost = lost if lost > 1e-12 else 0.0  # rounding
        note = f", which leaves out a weight of {lost:.1e} (raise max_bond)" if lost else ""
        origin = f"state of the circuit, bond {largest_bond(tensors)}{note}: "
        return Chain(site_tensors(tensors)), origin, lost
    if bits:
        trained = train_born(state, max_bond, seed=seed, progress=progress)
        return Chain(site_tensors(trained)), f"{trained}: ", 0.0
    if network:
        arrays = chain_arrays(state)
        if not arrays:
            return tree_state(state), "", 0.0
        state = arrays
    if isinstance(state, Tree):
        return checked(state), "", 0.0
    known = isinstance(state, Result | list | tuple) or hasattr(state, "__array__")
    if not known:
        raise UsageError(
            f"the state is {kind_of(state)}; give a quimb MatrixProductState or tree, a list of "
            "(left, 2, right) arrays, a vector of length 2**n, bitstrings, counts, a SparsePauliOp, "
            f"a QuantumCircuit or the path of its file{way_to_read(state)}."
        )
    return Chain(site_tensors(state, order=order)), "", 0.0


def _is_bitstrings(state: Any) -> bool:
    if is_counts(state):
        return True
    if isinstance(state, np.ndarray):
        return is_bits(np.asarray(state))
    return isinstance(state, list | tuple) and len(state) > 0 and all(isinstance(item, str) for item in state)
