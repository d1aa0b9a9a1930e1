"""Shots in proportion to the weights of the bases, against the variances that theory predicts."""

import numpy as np
import pytest
from helpers import real_circuit
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.primitives import StatevectorEstimator, StatevectorSampler
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import SparsePauliOp, Statevector, random_statevector

from bondwise.backends import estimate, get_backend, plan, record
from bondwise.backends.measurement import Tally, shared_out
from bondwise.backends.sampled import ideal_rotations
from bondwise.qml import VQE, random_start
from bondwise.runs import UsageError

UNEVEN = {"ZZI": 3.0, "IZZ": -2.5, "XII": 0.1, "IXI": 0.2, "YYI": 0.4, "III": 1.0}


def random_problem(seed: int, terms: int = 12) -> tuple[Statevector, SparsePauliOp]:
    """A random state of 3 qubits, and a sum whose coefficients spread over several powers of ten."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(["".join(np.base_repr(i, 4).zfill(3)) for i in range(1, 64)], terms, replace=False)
    letters = [label.translate(str.maketrans("0123", "IXYZ")) for label in labels]
    signs, sizes = rng.choice([-1, 1], terms), np.exp(rng.normal(0, 1.5, terms))
    return random_statevector(8, seed=rng), SparsePauliOp(letters, signs * sizes)


def prepared(state: Statevector) -> QuantumCircuit:
    circuit = QuantumCircuit(state.num_qubits)
    circuit.prepare_state(state)
    return circuit


def variances(state: Statevector, operator: SparsePauliOp) -> tuple[np.ndarray, np.ndarray]:
    """Variance of one shot in each basis, and the weight of each, both (G,)."""
    found = []
    for basis in Tally(EstimatorPub.coerce((prepared(state), operator))).bases:
        rotated = state.evolve(ideal_rotations(basis.letters, state.num_qubits))
        probabilities = rotated.probabilities(list(basis.letters))
        mean, square = basis.table[0] @ probabilities, basis.table[0] ** 2 @ probabilities
        found.append((square - mean**2, np.abs(basis.coefficients).sum()))
    return np.array(found).T


@given(st.integers(1, 5000), st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=40))
def test_shares_add_up_and_are_in_proportion(each, weights):
    shots, least = np.array(shared_out(each, weights)), min(each, 2)
    assert shots.sum() == each * len(weights)
    assert shots.min() >= least
    ideal = least + (each - least) * len(weights) * np.array(weights) / np.sum(weights)
    assert np.abs(shots - ideal).max() < 1 + 1e-6
    assert shared_out(each, [2.5] * len(weights)) == [each] * len(weights)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_the_bound_on_the_error_is_the_least_one(seed):
    """No other division of the shots bounds the variance of all states as well, but for rounding."""
    _, operator = random_problem(seed)
    _, weights = variances(random_statevector(8, seed=0), operator)
    count, each = len(weights), 100_000
    bound = np.sum(weights**2 / shared_out(each, weights))
    assert bound == pytest.approx(weights.sum() ** 2 / (count * each), rel=0.01)
    other = np.random.default_rng(seed).dirichlet(np.ones(count)) * count * each
    assert bound < 1.01 * np.sum(weights**2 / other)
    assert bound < 1.01 * np.sum(weights**2 / each)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_unbiased_with_the_variance_of_theory(seed):
    """Values scatter about the exact one as predicted, and less than with the same shots in all bases."""
    state, operator = random_problem(seed)
    spread, weights = variances(state, operator)
    each, repeats = 200, 200
    predicted = np.sum(spread / shared_out(each, weights))
    assert predicted < 0.7 * np.sum(spread / each)
    circuit, place = prepared(state), get_backend("statevector")
    runs = [
        estimate(circuit, operator, shots=each, backend=place, seed=draw, shot_allocation="weighted")
        for draw in range(repeats)
    ]
    assert {run.shots for run in runs} == {each * len(weights)}
    values, errors = np.array([(run.value, run.std) for run in runs]).T
    exact = state.expectation_value(operator).real
    assert abs(values.mean() - exact) < 4 * np.sqrt(predicted / repeats)
    # the variance of 200 values is known to 10 %
    assert values.var(ddof=1) == pytest.approx(predicted, rel=0.4)
    assert np.mean(errors**2) == pytest.approx(predicted, rel=0.1)


@pytest.mark.parametrize(
    "backend", ["aer", "mps", "aer:depolarizing=0.01", "fake:manila", "primitive", "device"]
)
def test_every_backend_that_samples_follows_it(backend):
    """The same total; the heavy basis has nearly all of it, so the error is about that of its terms alone."""
    circuit = QuantumCircuit(3)
    for qubit in range(3):
        circuit.ry(0.4 + qubit, qubit)
    made = {"primitive": lambda: StatevectorSampler(seed=1), "device": lambda: GenericBackendV2(3, seed=1)}
    place = get_backend(made[backend]() if backend in made else backend)

    def measured(way: str):
        return estimate(circuit, UNEVEN, shots=300, backend=place, seed=5, shot_allocation=way)

    uniform, weighted = measured("uniform"), measured("weighted")
    assert uniform.shots == weighted.shots == 900
    assert weighted.std < 0.75 * uniform.std
    precise = estimate(circuit, UNEVEN, backend=place, seed=6)  # exact, or from 4096 shots
    assert abs(weighted.value - precise.value) < 5 * np.hypot(weighted.std, precise.std)


def test_seeds_and_the_default():
    circuit = QuantumCircuit(3)
    circuit.h(range(3))
    settings = {"shots": 50, "backend": "aer", "seed": 4}
    first, again = (estimate(circuit, UNEVEN, shot_allocation="weighted", **settings) for _ in range(2))
    assert (first.value, first.std) == (again.value, again.std)
    plain, uniform = (
        estimate(circuit, UNEVEN, **settings, **way) for way in ({}, {"shot_allocation": "uniform"})
    )
    assert (plain.value, plain.std) == (uniform.value, uniform.std) != (first.value, first.std)


def test_one_shot_each_and_one_basis():
    circuit = QuantumCircuit(3)
    circuit.h(range(3))
    one = estimate(circuit, UNEVEN, shots=1, seed=1, shot_allocation="weighted")
    assert (one.shots, np.isnan(one.std)) == (3, True)
    ways = [
        estimate(circuit, "ZZZ", shots=70, seed=1, shot_allocation=way).value
        for way in ("uniform", "weighted")
    ]
    assert ways[0] == ways[1]
    assert estimate(circuit, "2*III", shots=70, shot_allocation="weighted").shots == 0


def test_several_observables_and_sets():
    """Bases that only a light observable reads get fewer shots; all sets get the same."""
    circuit = real_circuit(3, 1)
    angles = np.random.default_rng(0).uniform(-1, 1, (4, circuit.num_parameters))
    found = estimate(circuit, ["5*ZZZ", "0.1*XXX"], angles, shots=1000, seed=2, shot_allocation="weighted")
    assert found.value.shape == (4, 2)
    assert found.shots == 4 * 2 * 1000
    exact = estimate(circuit, ["5*ZZZ", "0.1*XXX"], angles).value
    assert (abs(found.value - exact) < 5 * found.std + 1e-9).all()
    heavy, light = 2 + 1998 * 5 / 5.1, 2 + 1998 * 0.1 / 5.1
    for index, (scale, shots) in enumerate(((5, heavy), (0.1, light))):
        scatter = np.sqrt((scale**2 - exact[:, index] ** 2) / shots)
        assert found.std[:, index] == pytest.approx(scatter, rel=0.35)


@pytest.mark.parametrize("backend", ["fake:manila", "aer"])
def test_recorded_results_are_of_one_way(tmp_path, backend):
    """Asked for by weight, a run does not get what it stored of equal shots, nor the other way round."""
    circuit = QuantumCircuit(3)
    circuit.h(range(3))
    found = []
    for way in ("uniform", "weighted", "uniform", "weighted"):
        place = record(backend, "run", journal=tmp_path / "jobs.db")
        one = estimate(circuit, UNEVEN, shots=100, backend=place, seed=1, shot_allocation=way)
        found.append((one.value, one.std, one.shots))
    assert found[:2] == found[2:]
    assert found[0] != found[1]


def test_plans_count_the_shots():
    circuit = QuantumCircuit(3)
    circuit.h(range(3))
    for way in ("uniform", "weighted"):
        found = plan(
            "fake:manila",
            lambda place, way=way: estimate(circuit, UNEVEN, shots=100, backend=place, shot_allocation=way),
        )
        assert (found.jobs, found.circuits, found.shots) == (1, 3, 300)


def test_what_cannot_be_shared_out_is_refused():
    circuit = QuantumCircuit(3)
    with pytest.raises(UsageError, match=r"unknown shot_allocation 'weigthed'. Did you mean 'weighted'"):
        estimate(circuit, UNEVEN, shots=10, shot_allocation="weigthed")
    with pytest.raises(
        UsageError, match="values of statevector are exact without shots=; leave out shot_allocation="
    ):
        estimate(circuit, UNEVEN, shot_allocation="weighted")
    with pytest.raises(UsageError, match=r"StatevectorEstimator divides its shots itself; leave out"):
        estimate(circuit, UNEVEN, shots=10, backend=StatevectorEstimator(), shot_allocation="weighted")
    ansatz = real_circuit(3, 1)
    with pytest.raises(UsageError, match="values of statevector are exact without shots="):
        VQE(UNEVEN, ansatz, shot_allocation="weighted")
    with pytest.raises(UsageError, match=r"unknown shot_allocation 'equal'"):
        VQE(UNEVEN, ansatz, shots=10, shot_allocation="equal")


def test_trainings_follow_it(tmp_path):
    """Each step's error is smaller for the same shots, and checkpoints belong to one of both ways."""
    ansatz = real_circuit(3, 1)
    start = random_start(ansatz, seed=3)
    found = {}
    for way in ("uniform", "weighted"):
        vqe = VQE(UNEVEN, ansatz, backend="aer", shots=100, optimizer="spsa", shot_allocation=way)
        found[way] = vqe.run(start, steps=5, seed=2, checkpoint=tmp_path / way)
        assert found[way].shots == 300
    assert found["weighted"].stds[0] < 0.75 * found["uniform"].stds[0]
    assert found["weighted"].std < found["uniform"].std
    with pytest.raises(UsageError, match="another run"):
        vqe.run(start, steps=5, seed=2, checkpoint=tmp_path / "uniform", resume=True)
