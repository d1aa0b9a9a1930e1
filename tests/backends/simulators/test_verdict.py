"""The verdict on how hard a circuit is to simulate, against the simulators and against exact counting."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from bondwise.backends import Simulability, estimate, simulability
from bondwise.qml import VQE, brickwall, heisenberg, random_start
from bondwise.runs import UsageError


def test_a_shallow_circuit_of_many_qubits_is_simulable() -> None:
    found = simulability(brickwall(100, 3), heisenberg(100))
    assert (found.best, found.bond) == ("mps", 8)
    assert found.light_cone == 8  # a pair of qubits and three to each side, as the pair is that of a gate
    assert found.memory["statevector"] == 16 << 100
    assert found.memory["mps"] < 2**20
    assert str(found).startswith("this circuit is exactly simulable: bond 8, 0.0")


def test_a_deep_circuit_of_few_qubits_is_one_for_the_statevector() -> None:
    found = simulability(brickwall(18, 30), heisenberg(18))
    assert found.bond == 2**9  # the smaller half
    assert found.light_cone == 18
    assert found.best == "statevector"
    assert found.seconds["mps:max_bond=512"] > found.value > 0.1


def test_a_deep_circuit_of_many_qubits_is_not_simulable() -> None:
    found = simulability(brickwall(50, 50), heisenberg(50))
    assert found.best is None
    assert found.value == np.inf
    assert found.bond == 2**25
    assert "not exactly simulable here: bond 2^25" in str(found)
    assert "\n" not in str(found)


def test_the_bond_is_the_one_that_the_simulator_needs() -> None:
    circuit = brickwall(20, 6)
    angles, chain = random_start(circuit, seed=0), heisenberg(20)
    bond = simulability(circuit, chain).bond
    estimate(circuit, chain, angles, backend=f"mps:max_bond={bond}")
    with pytest.raises(UsageError, match=f"needs a bond dimension of {bond} "):
        estimate(circuit, chain, angles, backend=f"mps:max_bond={bond - 1}")


def test_light_cones_of_terms_and_of_samples() -> None:
    circuit = QuantumCircuit(6)
    circuit.cx(0, 1)
    circuit.cx(2, 3)
    circuit.cx(1, 2)
    circuit.cx(4, 5)
    for observables, width in (("IIIIIZ", 2), ("IIIZII", 4), ("ZIIIII", 2), ("ZIIZII", 6), (None, 4)):
        assert simulability(circuit, observables).light_cone == width
    assert simulability(circuit, ["IIIIIZ", "IIIZII"]).light_cone == 4
    assert simulability(circuit, SparsePauliOp("IIIIII")).light_cone == 0


def test_bonds_of_operators_are_predicted_for_any_order_of_terms() -> None:
    """A few bonds of the operator are enough where words share their halves; 2 more are for sums."""
    qubits = 40
    pairs = [(i, j) for i in range(qubits) for j in range(i + 1, qubits)]
    everyone = SparsePauliOp.from_sparse_list([("ZZ", [*pair], 1.0) for pair in pairs], qubits)
    near, far = (simulability(brickwall(qubits, 3), one) for one in (heisenberg(qubits), everyone))
    assert near.memory["mps"] < far.memory["mps"] < 10 * near.memory["mps"]


def test_huge_circuits_have_finite_answers() -> None:
    circuit = QuantumCircuit(1500)
    for step in range(1, 1000):
        for qubit in range(0, 1499 - step, 400):
            circuit.cx(qubit, qubit + step)
    found = simulability(circuit)
    assert found.bond > 1
    assert found.memory["statevector"] >= 16 << 500


def test_measurements_are_left_out_and_resets_are_refused(tmp_path) -> None:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    found = simulability(circuit)
    assert (found.bond, found.best) == (2, "mps")
    found.save(tmp_path / "verdict")
    assert Simulability.load(tmp_path / "verdict") == found
    circuit.reset(0)
    with pytest.raises(UsageError, match="not a gate"):
        simulability(circuit)


def test_of_a_vqe() -> None:
    circuit = brickwall(30, 2)
    assert VQE(heisenberg(30), circuit, backend="mps").simulability() == simulability(circuit, heisenberg(30))
