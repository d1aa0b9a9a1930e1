"""Every function that takes a circuit takes a gate, and refuses anything else in one line."""

import pytest
from qiskit.circuit.library import CXGate

from bondwise import circuits
from bondwise.runs import UsageError

TAKE_A_CIRCUIT = {
    "as_circuit": (),
    "bind_soundly": ([], "it"),
    "cx_count": (),
    "declared_parameters": (),
    "fingerprint": (),
    "in_gates": (),
    "readable": (),
    "refuse_variables": (),
    "require_sound": ("it",),
    "true_names": (),
    "two_qubit_depth": (),
    "with_constants": (),
    "without_measurements": (),
}


@pytest.mark.parametrize(("name", "others"), TAKE_A_CIRCUIT.items())
def test_circuits_and_gates_only(name, others):
    function = getattr(circuits, name)
    function(CXGate(), *others)
    for wrong in ("circuit.qasm", None, 3):
        with pytest.raises(UsageError, match="^a circuit is expected") as refusal:
            function(wrong, *others)
        assert "\n" not in str(refusal.value)
