"""Every gate of Qiskit with angles gives the same values with free and with bound angles."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import CPhaseGate, CRXGate, get_standard_gate_name_mapping
from qiskit.quantum_info import Pauli, Statevector
from qiskit_aer.noise import NoiseModel, depolarizing_error

from bondwise.backends import estimate, get_backend, sample

GATES = {
    name: gate
    for name, gate in get_standard_gate_name_mapping().items()
    if gate.params and name not in ("delay", "global_phase")
}
BACKENDS = (
    "statevector",
    "aer:density_matrix",
    "aer:matrix_product_state",
    "aer:depolarizing=1e-14",
)


def between_rotations(gate):
    circuit = QuantumCircuit(gate.num_qubits)
    for layer in (0.3, 0.9):
        for qubit in range(gate.num_qubits):
            circuit.rx(layer + qubit, qubit)
            circuit.ry(layer, qubit)
        if layer == 0.3:
            circuit.append(gate, range(gate.num_qubits))
    return circuit


@pytest.mark.parametrize("backend", BACKENDS)
def test_free_angles_arrive(backend):
    place, missed = get_backend(backend), {}
    rng = np.random.default_rng(0)
    for name, kind in GATES.items():
        angles = ParameterVector("p", len(kind.params))
        circuit = between_rotations(type(kind)(*(0.5 * angle + 0.1 for angle in angles)))
        size = circuit.num_qubits
        labels = ["Z" * size] + ["I" * qubit + "Z" + "I" * (size - 1 - qubit) for qubit in range(size)]
        sets = rng.uniform(-3, 3, (2, len(angles)))
        expected = [
            [Statevector(circuit.assign_parameters(one)).expectation_value(Pauli(label)) for label in labels]
            for one in sets
        ]
        found = estimate(circuit, labels, sets, backend=place).value
        if np.abs(found - np.real(expected)).max() > 1e-9:
            missed[name] = found
    assert len(GATES) > 20
    assert not missed


@pytest.mark.parametrize("backend", ["statevector", "aer:matrix_product_state", "aer:depolarizing=1e-14"])
def test_free_angles_arrive_in_samples(backend):
    angle = Parameter("angle")
    for sets in ([2.0], [[2.0], [0.5]]):
        circuit = between_rotations(CRXGate(angle))
        found = sample(circuit, sets, shots=4000, seed=1, backend=backend).bits["meas"]
        for bits, one in zip(found.reshape(-1, 4000, 2), np.ravel(sets), strict=True):
            expected = Statevector(circuit.assign_parameters([one])).probabilities()
            shares = np.bincount(bits @ [1, 2], minlength=4) / 4000
            assert np.abs(shares - expected).max() < 5 * np.sqrt(0.25 / 4000)


def test_a_gate_that_a_noise_model_names_stays_noisy():
    noise = NoiseModel(basis_gates=["rx", "ry", "cp"])
    noise.add_all_qubit_quantum_error(depolarizing_error(0.2, 2), ["cp"])
    angle = Parameter("angle")
    circuit = between_rotations(CPhaseGate(angle))
    bound, place = circuit.assign_parameters([0.8]), get_backend("aer", noise=noise)
    expected = estimate(bound, "ZZ", backend=place).value
    assert abs(expected - estimate(bound, "ZZ").value) > 0.01
    found = estimate(circuit, "ZZ", np.linspace(0.8, 2, 600)[:, None], backend=place).value  # several runs
    assert found[0] == pytest.approx(expected, abs=1e-12)
    last = circuit.assign_parameters([2.0])
    assert found[-1] == pytest.approx(estimate(last, "ZZ", backend=place).value, abs=1e-12)
