"""Qubits that nothing connects are sampled exactly, with the noise that the simulator gives them."""

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit_ibm_runtime.fake_provider import FakeManilaV2, FakeTorino

from bondwise.backends.loopback.lone_qubits import (
    LoneQubit,
    independent,
    instructions_by_qubit,
    is_lone,
    sample_lone,
)
from bondwise.backends.simulators.reduced_device import ReducedDevice


@pytest.mark.parametrize("snapshot", [FakeManilaV2, FakeTorino])
def test_outcomes_are_those_of_the_simulator(snapshot):
    target, qubit, shots = snapshot().target, 3, 20000
    angles = ParameterVector("a", 3)
    circuit = QuantumCircuit(1, 1)
    circuit.rz(angles[0], 0)
    circuit.sx(0)
    circuit.rz(angles[1], 0)
    circuit.delay(20000, 0, unit="dt")
    circuit.sx(0)
    circuit.rz(0.3, 0)
    circuit.x(0)
    circuit.rz(angles[2], 0)
    circuit.measure(0, 0)
    values = np.random.default_rng(0).uniform(-3, 3, (4, 3))
    used = instructions_by_qubit(circuit)[0]
    assert is_lone(used)
    place = {angle: index for index, angle in enumerate(angles)}
    lone = LoneQubit(target, qubit)
    bits = sample_lone(lone, used, place, values, (4, shots), np.random.default_rng(1))
    simulator = ReducedDevice("reference", target, (qubit,)).simulator("automatic")
    for row, found in zip(values, bits.mean(axis=1), strict=True):
        run = simulator.run(circuit.assign_parameters(row), shots=shots, seed_simulator=3)
        wanted = run.result().get_counts().get("1", 0) / shots
        assert found == pytest.approx(wanted, abs=5 * np.sqrt(0.5 / shots))


def test_qubits_are_grouped_by_what_connects_them():
    circuit = QuantumCircuit(8)
    circuit.add_register(ClassicalRegister(5, "c"))
    circuit.cx(0, 5)
    circuit.barrier()
    circuit.x([1, 2, 3, 6])
    circuit.measure([0, 1, 2, 3], [0, 1, 2, 2])  # 2 and 3 share a bit; 6 is not measured
    circuit.measure(4, 3)
    assert sorted(independent(circuit)) == [(0, 5), (1,), (2, 3), (4,)]
    circuit.reset(1)
    used = instructions_by_qubit(circuit)
    assert is_lone(used[4])
    assert not is_lone(used[1])
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(7)
    assert independent(circuit) == [tuple(range(8))]
