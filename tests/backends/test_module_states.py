"""States that the torch module returns against Qiskit's Statevector and quimb."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import quimb.tensor as qtn
import torch
from helpers import PHASED_INPUTS, phased, rows
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import UnitaryGate, get_standard_gate_name_mapping
from qiskit.quantum_info import SparsePauliOp, Statevector, random_unitary

from bondwise import tn
from bondwise.backends import to_torch

GATES = {
    name: gate
    for name, gate in get_standard_gate_name_mapping().items()
    if name not in ("measure", "reset", "delay")
}
BOUND_ONLY = ("rv",)  # has neither a gradient rule nor a definition while its parameters are free
METHODS = ("adjoint", "backprop")


def qiskit_state(circuit: QuantumCircuit, **values: float) -> np.ndarray:
    return Statevector(circuit.assign_parameters(values)).data


@pytest.mark.parametrize("gradient", ["auto", *METHODS])
def test_states_are_qiskits_with_their_global_phase(gradient):
    circuit, start = phased(), np.array([0.3, -0.8, 1.1, 0.6])
    module = to_torch(circuit, parameters=start, gradient=gradient)
    state = module()
    assert (state.shape, state.dtype) == ((8,), torch.complex128)
    expected = Statevector(circuit.assign_parameters(start)).data
    np.testing.assert_allclose(state.detach(), expected, rtol=0, atol=1e-12)
    x = rows(2, 3, 2)
    batch = to_torch(circuit, inputs=PHASED_INPUTS, parameters=[0.5, -1.2], gradient=gradient)(x)
    assert batch.shape == (2, 3, 8)
    for where in np.ndindex(2, 3):
        expected = qiskit_state(circuit, w1=0.5, z=-1.2, x1=x[where][0].item(), u0=x[where][1].item())
        np.testing.assert_allclose(batch[where].detach(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", sorted(GATES))
def test_every_standard_gate_keeps_its_phase(name):
    gate = GATES[name]
    circuit = QuantumCircuit(max(gate.num_qubits, 1))
    for qubit in range(circuit.num_qubits):
        circuit.append(UnitaryGate(random_unitary(2, seed=qubit)), [qubit])
    circuit.append(gate, range(gate.num_qubits)[::-1])
    start = np.linspace(0.4, 1.3, circuit.num_parameters)
    bound = circuit.assign_parameters(start)
    expected = Statevector(bound).data
    for gradient in METHODS:
        if name not in BOUND_ONLY:
            state = to_torch(circuit, parameters=start, gradient=gradient)()
            np.testing.assert_allclose(state.detach(), expected, rtol=0, atol=1e-12)
        state = to_torch(bound, gradient=gradient)()
        np.testing.assert_allclose(state.detach(), expected, rtol=0, atol=1e-12)


def test_a_decomposed_state_is_trained_on():
    hamiltonian = SparsePauliOp.from_sparse_list(
        [("ZZ", [i, i + 1], -1.0) for i in range(5)] + [("X", [i], -1.0) for i in range(6)], 6
    )
    ground = tn.ground_state(hamiltonian, max_bond=8, seed=0)
    found = tn.decompose(ground.state, layers=1)
    state = to_torch(found.circuit, parameters=found.parameters)().detach()
    target = torch.as_tensor(tn.to_dense(tn.site_tensors(ground.state)), dtype=torch.complex128)
    assert 1 - abs(torch.vdot(target, state)) ** 2 == pytest.approx(found.infidelity, abs=1e-9)
    away = found.parameters + np.random.default_rng(0).normal(0, 0.2, len(found.parameters))
    energy = to_torch(found.circuit, hamiltonian, parameters=away)
    start = energy().item() - ground.value
    optimizer = torch.optim.Adam(energy.parameters(), lr=0.02)
    for _ in range(30):
        optimizer.zero_grad()
        loss = energy()
        loss.backward()
        optimizer.step()
    assert -1e-9 < loss.item() - ground.value < 0.1 * start


def test_agrees_with_quimb():
    theta = ParameterVector("t", 9)
    circuit, peer = QuantumCircuit(4), qtn.Circuit(4)
    start = rows(9).numpy()
    for qubit in range(4):
        circuit.ry(theta[qubit], qubit)
        peer.ry(start[qubit], qubit)
    for index, (left, right) in enumerate(pairwise(range(4))):
        circuit.cx(left, right)
        peer.cx(left, right)
        circuit.rz(theta[4 + index], right)
        peer.rz(start[4 + index], right)
    circuit.rzz(theta[7], 3, 0)
    peer.rzz(start[7], 3, 0)
    circuit.rx(theta[8], 2)
    peer.rx(start[8], 2)
    # the last index is the lowest bit
    order = [f"k{qubit}" for qubit in range(4)][::-1]
    expected = peer.psi.contract(output_inds=order, optimize="greedy").data.ravel()
    np.testing.assert_allclose(to_torch(circuit, parameters=start)().detach(), expected, rtol=0, atol=1e-12)


@st.composite
def problems(draw):
    """A circuit of random gates, some of its parameters inputs in random order, a start and a batch."""
    theta = ParameterVector("t", 11)
    circuit = QuantumCircuit(3, global_phase=draw(st.sampled_from([0, theta[0], 2 * theta[10] - 1])))
    free = [name for name in GATES if name not in BOUND_ONLY and GATES[name].num_qubits <= 3]
    for name in draw(st.lists(st.sampled_from(free), max_size=8)):
        gate = GATES[name]
        if gate.params:
            drawn = [draw(st.sampled_from([*theta, theta[3] + 2 * theta[9], 0.4])) for _ in gate.params]
            gate = gate.base_class(*drawn)
        circuit.append(gate, draw(st.permutations(range(3)))[: gate.num_qubits])
    names = draw(st.permutations([parameter.name for parameter in circuit.parameters]))
    count = draw(st.integers(0, len(names)))
    numbers = np.random.default_rng(draw(st.integers(0, 2**16)))
    return (
        circuit,
        names[:count],
        numbers.uniform(-3, 3, len(names) - count),
        numbers.uniform(-3, 3, (2, count)),
    )


@settings(max_examples=40, deadline=None)
@given(problems())
def test_weights_and_inputs_find_their_places(problem):
    circuit, inputs, start, data = problem
    trained = [parameter.name for parameter in circuit.parameters if parameter.name not in inputs]
    observable = SparsePauliOp(["XYZ", "ZZI"], [0.3, 0.9])
    states = to_torch(circuit, inputs=inputs, parameters=start)
    values = to_torch(circuit, observable, inputs=inputs, parameters=start)
    for row in data:
        state, value = (module(row) if inputs else module() for module in (states, values))
        assignment = {**dict(zip(trained, start, strict=True)), **dict(zip(inputs, row, strict=True))}
        expected = Statevector(circuit.assign_parameters(assignment))
        np.testing.assert_allclose(state.detach(), expected.data, rtol=0, atol=1e-12)
        assert value.item() == pytest.approx(expected.expectation_value(observable).real, abs=1e-12)
