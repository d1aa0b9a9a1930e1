"""Bases, values and standard errors against dense linear algebra."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import efficient_su2
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector, random_statevector

from bondwise.backends import get_backend, measurement
from bondwise.backends.grouping import commuting_groups
from bondwise.backends.measurement import Tally
from bondwise.backends.primitives import estimator_pub
from bondwise.backends.sampled import NativeRotations, ideal_rotations
from bondwise.backends.simulators.density import outcome_distribution
from bondwise.runs import UsageError

labels = st.text("IXYZ", min_size=3, max_size=3)
weights = st.floats(-2, 2).filter(lambda weight: abs(weight) > 1e-3)
sums = st.dictionaries(labels, weights, min_size=1, max_size=8)


def prepared(state: Statevector) -> QuantumCircuit:
    circuit = QuantumCircuit(state.num_qubits)
    circuit.prepare_state(state)
    return circuit


@given(sums, st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_bases_hold_every_term_and_give_the_exact_mean(terms: dict[str, float], seed: int) -> None:
    operator = SparsePauliOp.from_list(list(terms.items()))
    state = random_statevector(8, seed=seed)
    tally = Tally(EstimatorPub.coerce((prepared(state), operator)))
    for index, basis in enumerate(tally.bases):
        rotated = state.evolve(ideal_rotations(basis.letters, 3))
        tally.add_distribution(index, 0, rotated.probabilities(list(basis.letters)))
    values, stds, shots = tally.arrays()
    assert values == pytest.approx(state.expectation_value(operator).real, abs=1e-12)
    assert stds == 0
    assert shots == 0


@given(sums)
@settings(max_examples=25, deadline=None)
def test_table_lists_the_values_of_all_outcomes(terms: dict[str, float]) -> None:
    tally = Tally(EstimatorPub.coerce((QuantumCircuit(3), SparsePauliOp.from_list(list(terms.items())))))
    for basis in tally.bases:
        size = len(basis.letters)
        bits = (np.arange(2**size)[:, None] >> np.arange(size)) & 1
        np.testing.assert_allclose(basis.table, basis.values(bits), atol=1e-12)


def test_standard_error_holds_the_covariances_within_a_basis() -> None:
    # on a Bell pair Z0 and Z1 are random but equal: their difference never fluctuates, their sum does twice
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    pubs = [(circuit, [SparsePauliOp(["ZI", "IZ"], [1, -1]), SparsePauliOp(["ZI", "IZ"], [1, 1])])]
    data = get_backend("statevector").run(pubs, shots=1000, seed=1)[0].data
    assert data.stds[0] == 0
    assert data.stds[1] == pytest.approx(2 / np.sqrt(1000), rel=0.02)


@pytest.mark.parametrize("backend", ["statevector", "aer:depolarizing=0.02", "fake:manila"])
def test_reported_errors_are_the_scatter_of_repeated_runs(backend: str) -> None:
    place = get_backend(backend)
    circuit = QuantumCircuit(2)
    circuit.ry(0.7, 0)
    circuit.cx(0, 1)
    operator = SparsePauliOp(["ZZ", "XX", "ZI", "IX"], [1.0, 0.5, -0.7, 0.3])
    isa = place.transpile(circuit)
    operator = operator.apply_layout(isa.layout) if isa.layout else operator
    runs = [place.run([(isa, operator)], shots=200, seed=seed)[0].data for seed in range(60)]
    scatter = np.std([run.evs for run in runs], ddof=1)
    # the scatter of 60 runs is known to 1/sqrt(120)
    assert np.mean([run.stds for run in runs]) == pytest.approx(scatter, rel=4 / np.sqrt(120))


def test_only_the_sets_that_need_a_basis_are_measured_in_it() -> None:
    angle = Parameter("a")
    circuit = QuantumCircuit(1)
    circuit.ry(angle, 0)
    pub = (circuit, [SparsePauliOp("Z"), SparsePauliOp("X")], [[0.1], [0.2]])
    tally = Tally(EstimatorPub.coerce(pub))
    assert [len(needed) for needed in tally.needed] == [1, 1]
    result = get_backend("statevector").run([pub], shots=100, seed=0)
    assert result.metadata["shots"] == 200
    assert result[0].data.evs.shape == (2,)


def test_a_constant_needs_no_measurement() -> None:
    result = get_backend("statevector").run([(QuantumCircuit(2), SparsePauliOp("II", 0.5))], shots=100)
    assert result[0].data.evs == 0.5
    assert result.metadata["shots"] == 0


def test_projectors_are_refused() -> None:
    with pytest.raises(UsageError, match="term 'I-X' contains projectors"):
        get_backend("statevector").run([(QuantumCircuit(3), {"IZI": 0.5, "I-X": 1.0})])


def test_terms_of_several_observables_are_shared_and_sorted() -> None:
    observables = [{"IZ": 0.5, "XY": 2.0}, {"ZI": 1.0}, {"XY": -1.0, "II": 3.0}]
    tally = Tally(estimator_pub((QuantumCircuit(2), observables)))
    assert tally.terms.to_labels() == ["II", "IZ", "XY", "ZI"]
    np.testing.assert_array_equal(tally.weights, [[0, 0.5, 2, 0], [0, 0, 0, 1], [3, 0, -1, 0]])


def test_an_observable_of_another_width_is_refused() -> None:
    for observable in ("ZZ", ["ZZ", "XX"]):
        with pytest.raises(UsageError, match="qubits of the circuit .3. does not match"):
            get_backend("statevector").run([(QuantumCircuit(3), observable)])
    with pytest.raises(UsageError, match="not broadcastable"):
        get_backend("statevector").run([(efficient_su2(1, reps=0), ["Z", "X", "Y"], np.zeros((2, 2)))])


@given(st.integers(0, 100))
@settings(max_examples=10, deadline=None)
def test_outcome_distribution_traces_out_the_other_qubits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mixed = sum(p * random_statevector(8, seed=rng).to_operator().data for p in (0.5, 0.3, 0.2))
    effects = {}
    for qubit in (0, 2):
        weight, angle = rng.uniform(size=2)
        vector = np.array([np.cos(angle), 1j * np.sin(angle)])
        one = weight * np.outer(vector, vector.conj())
        effects[qubit] = np.stack([np.eye(2) - one, one])
    # E[b, i, j] multiplies rho[i, j]: the transpose of the operator inside the trace
    found = outcome_distribution(mixed, {q: effect.transpose(0, 2, 1) for q, effect in effects.items()})
    for outcome in range(4):
        low, high = effects[0][outcome & 1], effects[2][outcome >> 1]
        operator = np.kron(high, np.kron(np.eye(2), low))
        assert found[outcome] == pytest.approx(np.trace(operator @ mixed).real, abs=1e-12)


@pytest.mark.parametrize("letter", ["X", "Y", "Z"])
def test_basis_changes_turn_z_into_the_letter(letter: str) -> None:
    for rotations in (ideal_rotations, NativeRotations(None)):
        change = Operator(rotations({0: letter}, 1))
        turned = change.adjoint() @ Operator.from_label("Z") @ change
        np.testing.assert_allclose(turned.data, Operator.from_label(letter).data, atol=1e-12)


def test_exact_values_group_no_bases(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(measurement, "commuting_groups", lambda *a: asked.append(1) or commuting_groups(*a))
    circuit = QuantumCircuit(2)
    pubs = [(circuit, SparsePauliOp(["XX", "ZZ"]))]
    assert get_backend("statevector").run(pubs)[0].data.evs == pytest.approx(1)
    assert not asked
    get_backend("statevector").run(pubs, shots=10)
    assert asked == [1]
