"""Folding: the same unitary, legal on the device, with exactly the noise that is reported."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import AnnotatedOperation, ControlModifier, Delay, Gate, Parameter
from qiskit.circuit.library import CXGate, RZGate, RZZGate, StatePreparation, SXGate, XGate, efficient_su2
from qiskit.circuit.random import random_circuit
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import Clifford, Operator
from qiskit.transpiler import InstructionProperties, Target
from qiskit_ibm_runtime.fake_provider import FakeManilaV2, FakeSherbrooke, FakeTorino

from bondwise.mitigation import fold_gates, fold_global
from bondwise.runs import UsageError

FOLDS = [fold_global, fold_gates]
factors = st.floats(1, 6, allow_nan=False)


def two_qubit_gates(circuit):
    return circuit.num_nonlocal_gates()


def is_legal(circuit, target):
    return all(
        target.instruction_supported(
            instruction.operation.name, tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
        )
        for instruction in circuit.data
        if instruction.operation.name != "barrier"
    )


def heron_with_rzz():
    """Three qubits in a line with the fractional gate: rzz takes angles from 0 to π/2 only."""
    target, theta = Target(num_qubits=3), Parameter("theta")
    single = {(qubit,): InstructionProperties() for qubit in range(3)}
    for gate in (SXGate(), XGate(), RZGate(theta)):
        target.add_instruction(gate, dict(single))
    target.add_instruction(RZZGate(theta), {(0, 1): None, (1, 2): None})
    return target


@pytest.mark.parametrize("fold", FOLDS)
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), factor=factors)
def test_folding_keeps_the_unitary_and_reports_the_factor(fold, seed, factor):
    circuit = random_circuit(3, 5, max_operands=2, seed=seed)
    if not circuit.num_nonlocal_gates():
        circuit.cx(0, 1)
    folded, achieved = fold(circuit, factor)
    assert Operator(folded).equiv(Operator(circuit))
    count = two_qubit_gates(circuit)
    assert two_qubit_gates(folded) / count == pytest.approx(achieved)
    assert abs(achieved - factor) <= 1 / count + 1e-12


@pytest.mark.parametrize("fold", FOLDS)
@pytest.mark.parametrize("device", [FakeTorino, FakeManilaV2, FakeSherbrooke], ids=["cz", "cx", "ecr"])
def test_folded_device_circuits_stay_legal(fold, device):
    target = device().target
    circuit = efficient_su2(4, reps=2)
    isa = transpile(circuit, target=target, seed_transpiler=1)
    for factor in (1.5, 2, 3, 4.2):
        folded, _ = fold(isa, factor, target=target)
        assert is_legal(folded, target)
        assert folded.layout is isa.layout
        assert folded.parameters == isa.parameters


@pytest.mark.parametrize("fold", FOLDS)
@pytest.mark.parametrize(
    "basis", [["cx", "sx", "x", "rz", "id"], ["cz", "r"], ["iswap", "rz", "sx", "cx"]], ids=" ".join
)
def test_other_bases(fold, basis):
    target = GenericBackendV2(3, basis_gates=basis, seed=1).target
    circuit = transpile(random_circuit(3, 4, max_operands=2, seed=3), target=target, seed_transpiler=2)
    if "iswap" in basis:
        circuit.iswap(0, 1)
    folded, _ = fold(circuit, 3, target=target)
    assert is_legal(folded, target)
    assert Operator(folded).equiv(Operator(circuit))


@pytest.mark.parametrize("fold", FOLDS)
@pytest.mark.parametrize("given_target", [True, False])
def test_fractional_gates_keep_their_angles(fold, given_target):
    target = heron_with_rzz()
    circuit = QuantumCircuit(3)
    circuit.sx(0)
    circuit.rzz(0.3, 0, 1)
    circuit.x(2)
    circuit.rzz(1.1, 1, 2)
    circuit.rz(0.4, 1)
    folded, achieved = fold(circuit, 3, target=target if given_target else None)
    assert achieved == 3
    assert is_legal(folded, target)
    assert Operator(folded).equiv(Operator(circuit))
    angles = [i.operation.params[0] for i in folded.data if i.operation.name == "rzz"]
    assert all(0 <= angle <= np.pi / 2 for angle in angles)
    assert len(angles) == 6


@pytest.mark.parametrize("fold", FOLDS)
def test_without_target_a_circuit_keeps_its_own_gates(fold):
    circuit = transpile(efficient_su2(3, reps=1), basis_gates=["cz", "sx", "rz"], optimization_level=1)
    folded, _ = fold(circuit, 3)
    assert set(folded.count_ops()) - {"barrier"} == set(circuit.count_ops())


@pytest.mark.parametrize("fold", FOLDS)
def test_scale_one_returns_the_circuit(fold):
    circuit = efficient_su2(3, reps=1).decompose()
    folded, achieved = fold(circuit, 1)
    assert folded is circuit
    assert achieved == 1.0


def test_partial_folding_reaches_even_factors():
    circuit = QuantumCircuit(2)
    for _ in range(4):
        circuit.cx(0, 1)
        circuit.ry(0.3, 0)
    for fold in FOLDS:
        assert [fold(circuit, factor)[1] for factor in (2, 2.5, 2.6, 4, 1.1)] == [2, 2.5, 2.5, 4, 1]


def test_global_folding_scales_every_gate_and_gate_folding_the_pairs_only():
    circuit = transpile(efficient_su2(3, reps=2), basis_gates=["cz", "sx", "rz"], optimization_level=1)
    before = circuit.count_ops()
    whole, pairs = fold_global(circuit, 5)[0].count_ops(), fold_gates(circuit, 5)[0].count_ops()
    assert whole["cz"] == pairs["cz"] == 5 * before["cz"]
    assert whole["sx"] == 5 * before["sx"]
    assert pairs["sx"] == before["sx"]


def test_one_qubit_circuits_fold_all_their_gates():
    circuit = QuantumCircuit(1)
    circuit.sx(0)
    circuit.rz(0.2, 0)
    for fold in FOLDS:
        folded, achieved = fold(circuit, 3)
        assert achieved == 3
        assert folded.count_ops()["sx"] == 3
        assert Operator(folded).equiv(Operator(circuit))


@pytest.mark.parametrize("fold", FOLDS)
def test_a_transpiler_cannot_undo_the_folds(fold):
    isa = transpile(efficient_su2(4, reps=2), FakeManilaV2(), optimization_level=3, seed_transpiler=0)
    folded, _ = fold(isa, 3)
    again = transpile(
        folded, FakeManilaV2(), optimization_level=3, layout_method="trivial", seed_transpiler=0
    )
    assert two_qubit_gates(again) == two_qubit_gates(folded) == 3 * two_qubit_gates(isa)


def test_gate_folding_draws_a_subset_from_the_seed():
    circuit = QuantumCircuit(4)
    for layer in range(8):
        circuit.cx(layer % 3, layer % 3 + 1)
    assert fold_gates(circuit, 2, seed=1)[0] == fold_gates(circuit, 2, seed=1)[0]
    assert fold_gates(circuit, 2, seed=1)[0] != fold_gates(circuit, 2, seed=2)[0]


@pytest.mark.parametrize("fold", FOLDS)
def test_measurements_stay_at_the_end_and_delays_stay(fold):
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.append(Delay(100), [0])
    circuit.cx(0, 1)
    circuit.measure(0, 0)
    circuit.x(1)
    circuit.barrier()
    circuit.measure(1, 1)
    folded, _ = fold(circuit, 3)
    names = [instruction.operation.name for instruction in folded.data]
    assert names[-3:] == ["measure", "barrier", "measure"]
    assert names.count("measure") == 2
    expected = QuantumCircuit(2)
    expected.h(0)
    expected.cx(0, 1)
    expected.x(1)
    assert Operator(folded.remove_final_measurements(inplace=False)).equiv(Operator(expected))


@pytest.mark.parametrize("fold", FOLDS)
def test_parameters_stay_free(fold):
    isa = transpile(efficient_su2(3, reps=1), FakeManilaV2(), seed_transpiler=0)
    folded, _ = fold(isa, 2.5, target=FakeManilaV2().target)
    values = np.linspace(-1, 1, len(isa.parameters))
    assert Operator(folded.assign_parameters(values)).equiv(Operator(isa.assign_parameters(values)))


@pytest.mark.parametrize("fold", FOLDS)
@pytest.mark.parametrize("factor", [0.9, 0, -3, float("nan"), float("inf")])
def test_refuses_impossible_factors(fold, factor):
    with pytest.raises(UsageError, match=f"scale factor {factor}"):
        fold(efficient_su2(2), factor)


@pytest.mark.parametrize("fold", FOLDS)
def test_refuses_what_cannot_be_undone(fold):
    reset, branch, late, empty = (QuantumCircuit(2, 2) for _ in range(4))
    for circuit in (reset, branch, late):
        circuit.cx(0, 1)
    reset.reset(0)
    with branch.if_test((branch.clbits[0], 1)):
        branch.x(0)
    late.measure(0, 0)
    late.h(0)
    for circuit, message in (
        (reset, "'reset' cannot be undone"),
        (branch, "'if_else' cannot be undone"),
        (late, "'h' acts after a measurement"),
        (empty, "no gates"),
    ):
        with pytest.raises(UsageError, match=message):
            fold(circuit, 3)


def test_names_the_gate_that_the_target_cannot_undo():
    circuit = QuantumCircuit(2)
    circuit.t(0)
    circuit.cx(0, 1)
    target = GenericBackendV2(2, basis_gates=["t", "cx", "h"], seed=1).target
    with pytest.raises(UsageError, match="inverse of 't'.*cx, .*h"):
        fold_global(circuit, 3, target=target)


def inner():
    circuit = QuantumCircuit(2, name="inner")
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.rz(0.3, 1)
    return circuit


@pytest.mark.parametrize("fold", FOLDS)
@pytest.mark.parametrize(
    "operation",
    [
        inner().to_instruction(),
        inner().to_gate(),
        Clifford(CXGate()),
        AnnotatedOperation(XGate(), ControlModifier(2)),
        StatePreparation([1, 1j, 0, 0], normalize=True),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_composite_operations_are_folded_without_a_target(fold, operation):
    circuit = QuantumCircuit(3)
    circuit.ry(0.4, 0)
    circuit.cz(0, 2)
    circuit.append(operation, range(operation.num_qubits))
    folded, achieved = fold(circuit, 3)
    assert achieved == 3
    assert Operator(folded).equiv(Operator(circuit))


def test_a_gate_without_inverse_or_definition_is_named():
    circuit = QuantumCircuit(1)
    circuit.append(Gate("opaque", 1, []), [0])
    with pytest.raises(UsageError, match="'opaque' has neither an inverse nor a definition"):
        fold_global(circuit, 3)
