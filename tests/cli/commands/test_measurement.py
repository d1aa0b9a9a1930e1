"""What is said about measurements on a backend before they begin."""

import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from bondwise.backends import get_backend
from bondwise.cli.commands.measurement import announce, mitigator_of


@pytest.mark.parametrize("mitigate", ["none", "exponential"])
def test_long_simulations_are_announced(capsys, mitigate):
    machine = get_backend("fake:manila")
    mitigator = mitigator_of(mitigate, machine, shots=500, seed=0)
    circuit = QuantumCircuit(2)
    circuit.cx(0, 1)
    for longest in (1e6, 0):
        announce(machine, mitigator, SparsePauliOp("ZZ"), circuit, 500, longest=longest)
        said = "simulating the noise of fake:manila will take about" in capsys.readouterr().err
        assert said == (not longest)
