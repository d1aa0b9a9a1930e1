"""Folding: the same unitary, legal on the device, with exactly the noise that is reported."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import (
    AnnotatedOperation,
    ControlModifier,
    Delay,
    Gate,
    InverseModifier,
    Parameter,
    PowerModifier,
)
from qiskit.circuit.library import CXGate, RZGate, RZZGate, StatePreparation, SXGate, XGate, efficient_su2
from qiskit.circuit.random import random_circuit
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import Clifford, Operator, Pauli, random_clifford
from qiskit.transpiler import InstructionProperties, Target
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, depolarizing_error
from qiskit_ibm_runtime.fake_provider import FakeManilaV2, FakeSherbrooke, FakeTorino

from bondwise.circuits import in_gates
from bondwise.mitigation import fold_gates, fold_global, fold_local
from bondwise.runs import UsageError

FOLDS = [fold_global, fold_local, fold_gates]
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


def strange_step(kind, rng):
    """A composite operation of the kinds that users append."""
    inner = random_circuit(2, 2, max_operands=2, seed=int(rng.integers(10**6)))
    modifiers = {
        "controlled": ControlModifier(1, ctrl_state=int(rng.integers(2))),
        "inverse": InverseModifier(),
        "power": PowerModifier(int(rng.integers(2, 4))),
    }
    if kind in modifiers:
        return AnnotatedOperation([SXGate(), CXGate(), RZGate(0.3)][rng.integers(3)], modifiers[kind])
    if kind == "several":
        return AnnotatedOperation(SXGate(), [modifiers["inverse"], modifiers["controlled"], PowerModifier(2)])
    if kind == "clifford":
        return random_clifford(2, seed=int(rng.integers(10**6)))
    return inner.to_instruction() if kind == "sub-circuit" else inner.to_gate()


KINDS = ["controlled", "inverse", "power", "several", "clifford", "sub-circuit", "gate"]


@pytest.mark.parametrize("fold", FOLDS)
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), factor=factors, kinds=st.lists(st.sampled_from(KINDS), max_size=3))
def test_any_mixture_of_operations_is_folded(fold, seed, factor, kinds):
    rng = np.random.default_rng(seed)
    circuit = random_circuit(3, 2, max_operands=2, seed=seed)
    circuit.cz(0, 1)
    for kind in kinds:
        step = strange_step(kind, rng)
        circuit.append(step, rng.permutation(3)[: step.num_qubits].tolist())
    folded, achieved = fold(circuit, factor)
    assert Operator(folded).equiv(Operator(circuit))
    count = two_qubit_gates(in_gates(circuit))
    assert two_qubit_gates(in_gates(folded)) / count == pytest.approx(achieved)
    assert abs(achieved - factor) <= 1 / count + 1e-12


def noisy_value(circuit, strength, times=1):
    """The value of Z…Z, exactly, where depolarizing noise follows sx, h and cz a number of times."""
    model, measured = NoiseModel(), circuit.copy()
    for part, size, names in ((strength / 2, 1, ["sx", "h"]), (strength, 2, ["cz"])):
        model.add_all_qubit_quantum_error(depolarizing_error(1 - (1 - part) ** times, size), names)
    measured.save_expectation_value(Pauli("Z" * circuit.num_qubits), circuit.qubits)
    run = AerSimulator(method="density_matrix", noise_model=model).run(measured)
    return run.result().data()["expectation_value"]


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6), times=st.integers(1, 3), strength=st.floats(0.001, 0.05))
def test_local_folding_makes_the_noise_of_each_gate_exactly_that_many_times_as_strong(seed, times, strength):
    """Depolarizing noise after a gate commutes with it, so k folds are the noise to the power 2k + 1."""
    rng, circuit = np.random.default_rng(seed), QuantumCircuit(3)
    for _ in range(12):
        one, two = rng.permutation(3)[:2].tolist()
        [circuit.sx, circuit.h][rng.integers(2)](one)
        circuit.rz(rng.uniform(-3, 3), one)
        circuit.cz(one, two)
    scale = 2 * times + 1
    folded, achieved = fold_local(circuit, scale)
    assert achieved == scale

    assert noisy_value(folded, strength) == pytest.approx(noisy_value(circuit, strength, scale), abs=1e-10)


@pytest.mark.parametrize("fold", FOLDS)
def test_depolarizing_noise_of_all_qubits_decays_by_the_achieved_factor(fold):
    circuit = QuantumCircuit(2)
    for angle in (0.3, 0.7, -0.4, 1.1):
        circuit.rz(angle, 0)
        circuit.cz(0, 1)
    value = {}
    for factor in (1, 1.5, 2, 3, 4, 5.5):
        folded, achieved = fold(circuit, factor)
        value[achieved] = noisy_value(folded, 0.03)
    assert list(value) == [1, 1.5, 2, 3, 4, 5.5]
    for achieved, found in value.items():
        assert found == pytest.approx((1 - 0.03) ** (4 * achieved), abs=1e-12)


def test_other_factors_fold_the_same_share_of_both_kinds_of_gates():
    circuit = QuantumCircuit(2)
    for _ in range(10):
        circuit.sx(0)
        circuit.h(1)
        circuit.cz(0, 1)
    counts = [fold_local(circuit, factor, seed=1)[0].count_ops() for factor in (1.6, 2, 4.4)]
    assert [count["cz"] for count in counts] == [16, 20, 44]
    assert [count["sx"] + count["sxdg"] + count["h"] for count in counts] == [32, 40, 88]


def test_subsets_of_growing_factors_are_nested():
    circuit = QuantumCircuit(2)
    for angle in np.arange(1, 21) / 10:
        circuit.rx(angle, 0)
        circuit.rzz(angle, 0, 1)
    folded = []
    for factor in (1.5, 2, 2.7, 3, 3.4):
        steps = fold_local(circuit, factor, seed=3)[0].data
        named = [(step.operation.name, step.operation.params[0]) for step in steps if step.operation.params]
        folded.append(Counter((name, angle) for name, angle in named if angle > 0))
    assert all(small < large for small, large in zip(folded, folded[1:], strict=False))


@pytest.mark.parametrize("fold", FOLDS)
def test_gates_without_time_and_error_do_not_count(fold):
    """IBM's rz is a change of the frame: to fold it costs nothing and amplifies nothing."""
    target, circuit = FakeTorino().target, QuantumCircuit(133)
    for angle in (0.2, 0.4, 0.6, 0.8):
        circuit.rz(angle, 5)
        circuit.sx(5)
        circuit.rz(-angle, 5)
    folded, achieved = fold(circuit, 2, target=target)
    assert achieved == 2
    assert folded.count_ops()["sx"] == 2 * 4
    turned = QuantumCircuit(133)
    turned.rz(0.3, 5)
    with pytest.raises(UsageError, match="no gates that make noise"):
        fold(turned, 3, target=target)


def test_local_folding_leaves_gates_without_time_and_error_alone():
    isa = transpile(efficient_su2(4, reps=2), FakeTorino(), seed_transpiler=1)
    before, folded = isa.count_ops(), fold_local(isa, 3, target=FakeTorino().target)[0]
    after = folded.count_ops()
    assert (after["cz"], after["sx"]) == (3 * before["cz"], 3 * before["sx"])
    assert after["rz"] == before["rz"] + 2 * before["sx"]  # two in each inverse of sx
    assert fold_local(isa, 3)[0].count_ops()["rz"] == 3 * before["rz"] + 2 * before["sx"]


def test_global_folding_scales_every_gate_and_gate_folding_the_pairs_only():
    circuit = transpile(efficient_su2(3, reps=2), basis_gates=["cz", "sx", "rz"], optimization_level=1)
    before = circuit.count_ops()
    whole, single, pairs = (fold(circuit, 5)[0].count_ops() for fold in FOLDS)
    assert whole["cz"] == single["cz"] == pairs["cz"] == 5 * before["cz"]
    assert whole["sx"] == single["sx"] == 5 * before["sx"]
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
    if fold is not fold_gates:
        assert again.count_ops()["sx"] == folded.count_ops()["sx"] == 3 * isa.count_ops()["sx"]


@pytest.mark.parametrize("fold_gates", [fold_gates, fold_local])
def test_gate_folding_draws_a_subset_from_the_seed(fold_gates):
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
