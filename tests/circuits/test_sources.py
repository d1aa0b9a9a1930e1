"""Every function that takes a circuit takes a gate and a path, and refuses anything else in one line."""

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
def test_circuits_gates_and_files_only(name, others, tmp_path):
    function = getattr(circuits, name)
    function(CXGate(), *others)
    path = circuits.write_circuit(circuits.as_circuit(CXGate()), tmp_path / "a.qasm")
    function(path, *others)
    function(str(path), *others)
    with pytest.raises(UsageError, match=r"^there is no file absent\.qasm; give a circuit as \.qpy"):
        function("absent.qasm", *others)
    for wrong in ("OPENQASM 3.0;", None, 3):
        with pytest.raises(UsageError, match="^a circuit is expected") as refusal:
            function(wrong, *others)
        assert "\n" not in str(refusal.value)
