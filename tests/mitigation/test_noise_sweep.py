"""Scans over error probabilities: exact values of a density matrix, shapes, and every extrapolation."""

import numpy as np
import pytest
import torch
from helpers import chain_of_rotations
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import DensityMatrix, SparsePauliOp, SuperOp, pauli_basis

from bondwise.mitigation import NoiseScan, extrapolate_exponential, scan_error_probabilities
from bondwise.mitigation.names import EXTRAPOLATIONS, NEED_SYMMETRY, NEED_TWINS, extrapolation_named
from bondwise.runs import UsageError

PAPER = (0.01, 0.02, 0.03, 0.04, 0.05)


def depolarized(circuit, observables, p):
    """Expectation values from Qiskit's density matrix, with a Pauli channel after each two-qubit gate."""
    paulis = [SuperOp(pauli) for pauli in pauli_basis(2)]
    channel = (1 - p) * paulis[0] + p / 16 * sum(paulis[1:], paulis[0])
    state = DensityMatrix.from_label("0" * circuit.num_qubits)
    for step in circuit.data:
        where = [circuit.find_bit(qubit).index for qubit in step.qubits]
        state = state.evolve(step.operation, where)
        if len(where) == 2:
            state = state.evolve(channel, where)
    return [state.expectation_value(observable).real for observable in observables]


def local_and_global(qubits):
    """A Z on one qubit, an X X on two, the parity, and a sum with an identity."""
    return [
        SparsePauliOp.from_sparse_list([("Z", [qubits - 1], 1.0)], qubits),
        SparsePauliOp.from_sparse_list([("XX", [0, 1], -0.5)], qubits),
        SparsePauliOp("Z" * qubits),
        SparsePauliOp.from_sparse_list([("", [], 0.7), ("Y", [0], 0.4), ("ZX", [1, 0], 1.1)], qubits),
    ]


@settings(deadline=None, max_examples=15)
@given(
    st.integers(2, 4),
    st.integers(0, 10_000),
    st.lists(st.floats(0.001, 0.9), min_size=2, max_size=4, unique=True),
)
def test_values_are_those_of_a_density_matrix(qubits, seed, strengths):
    circuit = random_circuit(qubits, 4, max_operands=2, seed=seed).decompose(["xx_minus_yy", "xx_plus_yy"])
    native = set(
        "id x y z h s sdg t tdg sx sxdg rx ry rz r p u cx cy cz cp csx swap ecr rxx ryy rzz rzx".split()
    )
    circuit.data = [step for step in circuit.data if step.operation.name in native]
    observables = local_and_global(qubits)
    scan = scan_error_probabilities(circuit, observables, error_probabilities=strengths)
    assert scan.value.shape == (4, len(strengths))
    for column, p in enumerate(strengths):
        np.testing.assert_allclose(scan.value[:, column], depolarized(circuit, observables, p), atol=1e-9)
    np.testing.assert_allclose(scan.scale_factors * min(strengths), strengths)
    np.testing.assert_array_equal(scan.meta["error_probabilities"], strengths)
    np.testing.assert_allclose(scan.asymptote, [0, 0, 0, 0.7])
    np.testing.assert_allclose(scan.spectrum, [[-1, 1], [-0.5, 0.5], [-1, 1], [-0.8, 2.2]])
    assert scan.shots == 0
    assert not scan.std.any()


def test_shots_are_drawn_for_each_strength_and_counted(tmp_path):
    circuit = chain_of_rotations(3, 1)
    angles = np.random.default_rng(0).uniform(-2, 2, (20, circuit.num_parameters))
    exact, sampled, again, other = (
        scan_error_probabilities(circuit, ["ZZZ", "IIX"], angles, shots=shots, seed=seed)
        for shots, seed in ((None, 1), (500, 1), (500, 1), (500, 2))
    )
    assert sampled.value.shape == sampled.std.shape == (20, 2, 5)
    assert sampled.shots == 5 * 20 * 2 * 500  # strengths, angles, bases
    np.testing.assert_array_equal(sampled.scale_factors, [1, 2, 3, 4, 5])
    pull = (sampled.value - exact.value) / np.maximum(sampled.std, 0.01)
    assert np.abs(pull).max() < 5
    np.testing.assert_array_equal(again.value, sampled.value)
    assert not np.array_equal(other.value, sampled.value)
    correlation = np.corrcoef(pull[..., 0].ravel(), pull[..., 1].ravel())[0, 1]
    assert abs(correlation) < 0.6  # of 40 pairs; 1 if all strengths shared their draws
    sampled.save(tmp_path / "scan")
    kept = NoiseScan.load(tmp_path / "scan")
    np.testing.assert_array_equal(kept.meta["error_probabilities"], PAPER)


def test_one_observable_has_no_axis_and_angles_go_by_name():
    circuit = chain_of_rotations(2, 1)
    angles = np.random.default_rng(1).uniform(-2, 2, circuit.num_parameters)
    plain = scan_error_probabilities(circuit, {"ZZ": 1.0}, angles)
    named = scan_error_probabilities(
        circuit, "ZZ", {"a": torch.tensor(angles)}, error_probabilities=np.array(PAPER)
    )
    assert plain.value.shape == (5,)
    np.testing.assert_allclose(named.value, plain.value)
    assert scan_error_probabilities(circuit, "ZZ", angles[None, :][:0]).value.shape == (0, 5)


@pytest.mark.parametrize("name", sorted(set(EXTRAPOLATIONS) - {*NEED_TWINS, *NEED_SYMMETRY}))
def test_every_extrapolation_takes_it(name):
    circuit = chain_of_rotations(3, 2)
    angles = np.random.default_rng(2).normal(scale=0.3, size=(4, circuit.num_parameters))
    scan = scan_error_probabilities(circuit, ["ZZZ", "IIZ"], angles, seed=0)
    fit = extrapolation_named(name)(scan)
    assert fit.value.shape == (4, 2)
    ideal = np.array(
        [depolarized(circuit.assign_parameters(row), local_and_global(3)[2:3], 0) for row in angles]
    )
    worst = 0.2 if name == "paper_network" else 0.03
    assert np.abs(fit.value[:, 0] - ideal[:, 0]).max() < worst
    assert np.abs(scan.value[:, 0, 0] - ideal[:, 0]).max() > 0.02


def test_a_circuit_without_two_qubit_gates_has_no_noise():
    circuit = QuantumCircuit(1)
    circuit.ry(0.4, 0)
    scan = scan_error_probabilities(circuit, "Z")
    np.testing.assert_allclose(scan.value, np.cos(0.4))
    assert extrapolate_exponential(scan).value == pytest.approx(np.cos(0.4))


@pytest.mark.parametrize(
    ("strengths", "message"),
    [
        ((), r"error_probabilities \[\] cannot be extrapolated; give two or more, such as \(0.01, 0.02\)"),
        ((0.01,), r"error_probabilities \[0.01\] cannot be extrapolated"),
        (0.01, "error_probabilities is 0.01; give two or more numbers below 1"),
        ("0.01,0.02", "error_probabilities is '0.01,0.02'; give two or more numbers"),
        (None, "error_probabilities is None; give two or more numbers"),
        ((0.0, 0.01), "error probability is 0.0; give a positive number below 1"),
        ((0.01, 1.0), "error probability is 1.0; give a positive number below 1"),
        ((-0.01, 0.01), "error probability is -0.01; give a positive number below 1"),
        ((0.01, float("nan")), "error probability is nan; give a positive number below 1"),
        ((0.01, True), "error probability is True; give a positive number below 1"),
        (np.array([True, False]), "error probability is True; give a positive number below 1"),
        ((0.01, "0.02"), "error probability is '0.02'; give a positive number below 1"),
        (np.array([[0.01, 0.02]]), r"error probability is \[0.01, 0.02\]; give a positive number below 1"),
        ((0.01, 0.02, 0.01), r"error_probabilities \[0.01, 0.02, 0.01\] must be distinct"),
    ],
)
def test_strengths_that_make_no_sweep_are_refused(strengths, message):
    with pytest.raises(UsageError, match=message):
        scan_error_probabilities(chain_of_rotations(2, 1), "ZZ", np.zeros(8), error_probabilities=strengths)
