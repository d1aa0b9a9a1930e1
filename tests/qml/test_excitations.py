"""Circuits for molecules: Hartree-Fock at zero, particle numbers, and exact energies of two electrons."""

from functools import cache

import numpy as np
import pennylane as qp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.quantum_info import Statevector

from bondwise.circuits import cx_count
from bondwise.qml import VQE, givens, hardware_efficient, heisenberg, molecule, uccsd
from bondwise.runs import UsageError

CASES = [(uccsd, "jordan-wigner"), (uccsd, "parity"), (givens, "jordan-wigner")]


@cache
def small(ansatz):
    return ansatz(molecule("lih", active=(2, 3)))


def state_of(circuit, angles):
    return Statevector(circuit.assign_parameters(angles)).data


@pytest.mark.parametrize(("ansatz", "mapping"), CASES)
@pytest.mark.parametrize(("name", "active"), [("h2", None), ("h2o", (4, 4)), ("lih", (2, 3))])
def test_zero_is_hartree_fock(name, active, ansatz, mapping):
    found = molecule(name, active=active, mapping=mapping)
    circuit = ansatz(found)
    state = state_of(circuit, np.zeros(circuit.num_parameters))
    assert abs(state[int(found.hf_bits, 2)]) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("ansatz", "mapping"), CASES)
def test_two_electrons_are_described_exactly(ansatz, mapping):
    found = molecule("lih", active=(2, 3), mapping=mapping)
    circuit = ansatz(found)
    assert circuit.num_parameters == 2 * 2 + 2**2  # singles of each spin, doubles of both
    result = VQE(found.hamiltonian, circuit, optimizer="lbfgs").run(np.zeros(8), steps=50)
    assert result.losses[0] == pytest.approx(found.hf_energy, abs=1e-8)
    assert result.value == pytest.approx(found.casci_energy, abs=1e-7)


@pytest.mark.parametrize("ansatz", [uccsd, givens])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_electrons_of_each_spin_are_conserved(ansatz, seed):
    circuit = small(ansatz)
    state = state_of(circuit, np.random.default_rng(seed).uniform(-np.pi, np.pi, circuit.num_parameters))
    bits = np.arange(2**6)[:, None] >> np.arange(6) & 1
    kept = (bits[:, :3].sum(axis=1) == 1) & (bits[:, 3:].sum(axis=1) == 1)
    assert np.abs(state[~kept]).max() < 1e-12
    assert np.abs(state[kept]).max() < 1 - 1e-6


def test_givens_rotations_are_those_of_pennylane():
    """Two orbitals: one double excitation, then one single of each spin; wire i is qubit i."""
    angles = np.array([0.7, -0.4, 0.3])

    @qp.qnode(qp.device("default.qubit", wires=[3, 2, 1, 0]))  # qubit 0 is the last bit
    def prepared():
        qp.BasisState(np.array([1, 0, 1, 0]), wires=range(4))
        qp.DoubleExcitation(angles[0], wires=[0, 2, 1, 3])
        qp.SingleExcitation(angles[1], wires=[0, 1])
        qp.SingleExcitation(angles[2], wires=[2, 3])
        return qp.state()

    found = state_of(givens(molecule("h2")), angles)
    assert abs(np.vdot(prepared(), found)) == pytest.approx(1, abs=1e-12)


def test_cx_gates_that_cancel_are_removed():
    water = molecule("h2o", active=(4, 4))
    doubles, singles = 18, 8
    for circuit, most in ((uccsd(water), 48 * doubles + 4 * singles), (givens(water), 14 * 18 + 2 * 8)):
        assert circuit.num_parameters == doubles + singles
        assert cx_count(circuit) == circuit.count_ops()["cx"] < most


@pytest.mark.parametrize("ansatz", [uccsd, givens])
def test_lattices_have_no_excitations(ansatz):
    with pytest.raises(UsageError, match=rf"ansatz {ansatz.__name__} is for molecules, not for .*Pauli"):
        ansatz(heisenberg(4))


def test_givens_rotations_need_an_orbital_on_each_qubit():
    with pytest.raises(UsageError, match='givens needs one qubit.*mapping="jordan-wigner"'):
        givens(molecule("h2", mapping="parity"))


def test_hardware_efficient_layers():
    circuit = hardware_efficient(5, 3)
    assert cx_count(circuit) == 3 * 4
    assert circuit.num_parameters == 2 * 5 * (3 + 1)
    assert circuit.count_ops() == {"ry": 20, "rz": 20, "cx": 12}
    assert state_of(circuit, np.zeros(40))[0] == pytest.approx(1)
    with pytest.raises(UsageError, match="num_qubits is 1"):
        hardware_efficient(1, 1)
    with pytest.raises(UsageError, match="layers is 0"):
        hardware_efficient(3, 0)
