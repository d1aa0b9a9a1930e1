"""A symmetry guides extrapolations: what it makes exact, and its way through the estimator."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp, Statevector

from bondwise.mitigation import MitigatedEstimator, NoiseScan, Twins, extrapolate_guess
from bondwise.runs import UsageError

FACTORS = np.array([1.0, 3.0, 5.0])
PARITY = ("ZZZZ", 1.0)


def conserving(layers=4):
    """A circuit on four qubits that conserves the number of ones, which is two."""
    angles = ParameterVector("a", 6 * layers)
    circuit, rest = QuantumCircuit(4), iter(angles)
    circuit.x([0, 2])
    for _ in range(layers):
        for first, second in [(0, 1), (2, 3), (1, 2)]:
            circuit.rxx(angle := next(rest), first, second)
            circuit.ryy(angle, first, second)
            circuit.rz(next(rest), second)
    return circuit


def with_symmetry(value, symmetry, ideal, std=0.0):
    twins = Twins(np.array([symmetry]), np.full((1, len(symmetry)), std), np.array([ideal]))
    return NoiseScan(value=value, std=np.full(np.shape(value), std), scale_factors=FACTORS, twins=twins)


@given(
    value=st.floats(0.01, 1),
    ideal=st.sampled_from([-1.0, 1.0, 2.5]),
    rates=st.tuples(st.floats(0.02, 0.3), st.floats(0.0, 0.2)),
    power=st.floats(0.1, 1.5),
    offset=st.floats(-1, 1),
)
def test_it_is_exact_for_any_power_of_the_decay_of_the_symmetry(value, ideal, rates, power, offset):
    decay = np.exp(-rates[0] * FACTORS**1.3 - rates[1])  # not exponential, and not all of it is scaled
    scan = with_symmetry(offset + value * decay**power, ideal * decay, ideal)
    scan = replace(scan, asymptote=offset)
    assert extrapolate_guess(scan).value == pytest.approx(offset + value, rel=1e-5, abs=1e-6)
    flat = with_symmetry(np.full(3, offset), ideal * decay, ideal)
    assert extrapolate_guess(flat).value == pytest.approx(offset, abs=1e-9)


def test_scale_factors_at_which_the_symmetry_is_lost_are_left_out():
    decay = np.exp(-0.9 * FACTORS)
    scan = with_symmetry(0.5 * decay**0.2, decay * [1, 1, -1], 1.0, 0.012)
    assert extrapolate_guess(scan).value == pytest.approx(0.5, abs=1e-6)


def test_standard_errors_are_those_of_repetitions():
    rng = np.random.default_rng(0)
    decay = np.exp(-0.15 * FACTORS)
    fits = [
        extrapolate_guess(
            with_symmetry(0.6 * decay + rng.normal(0, 0.02, 3), decay + rng.normal(0, 0.02, 3), 1.0, 0.02)
        )
        for _ in range(800)
    ]
    values = np.array([fit.value for fit in fits])
    assert values.mean() == pytest.approx(0.6, abs=0.01)
    assert np.mean([fit.std for fit in fits]) == pytest.approx(values.std(), rel=0.15)


def test_without_a_decay_the_measured_value_is_kept():
    fit = extrapolate_guess(with_symmetry([0.5, 0.51, 0.5], [0.9, 0.91, 0.9], 1.0, 0.05))
    assert (fit.value, fit.std, fit.converged) == (0.5, 0.05, False)
    assert "shows no decay" in fit.message


def test_the_estimator_measures_it_for_all_parameter_sets_in_the_same_job():
    circuit = conserving()
    points = np.random.default_rng(1).uniform(-np.pi, np.pi, (5, 1, circuit.num_parameters))
    observables = [SparsePauliOp(["XXII", "YYII", "ZZII"], [1, 1, 1]), SparsePauliOp("IIZI")]
    ideal = np.array(
        [
            [Statevector(circuit.assign_parameters(point)).expectation_value(one).real for one in observables]
            for point in points[:, 0]
        ]
    )
    job = ("aer:depolarizing=0.01", (circuit, observables, points))
    found = {}
    for name in ("guess", "linear"):
        more = {} if name == "linear" else {"symmetry": PARITY}
        estimator = MitigatedEstimator(job[0], extrapolation=name, shots=20_000, seed=3, **more)
        [part] = estimator.run([job[1]]).result()
        found[name] = np.abs(part.data.evs - ideal).mean()
        if name == "guess":
            assert part.data.evs.shape == (5, 2)
            assert part.metadata["twins"].ideal.shape == (5, 2, 1)
            again = estimator.extrapolate(NoiseScan.from_pub_result(part))
            assert np.array_equal(again.value, part.data.evs)
    raw = np.abs(part.data.evs_noise_factors[..., 0] - ideal).mean()
    assert found["guess"] < 0.35 * raw
    assert found["guess"] < 0.7 * found["linear"]


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ({"extrapolation": "guess"}, "guess learns from a symmetry; pass symmetry="),
        ({"symmetry": ("ZZZZ", 0)}, "value of the symmetry is 0, which noise does not change"),
        ({"symmetry": ("ZZZZ", float("nan"))}, "value of the symmetry is nan; pass"),
        ({"symmetry": ("ZZZZ", "one")}, "the value of the symmetry"),
        ({"symmetry": ("ZZZZ", 2.0)}, "is 2.0, and those of its observable are from -1 to 1"),
        ({"symmetry": ("IIII", 1.0)}, "the symmetry is an identity, which noise does not change"),
        ({"symmetry": (["ZZZZ", "XXXX"], 1.0)}, "symmetry has 2 observables; pass"),
        ({"symmetry": "ZZZZ"}, "symmetry is 'ZZZZ', not an observable and its value"),
        ({"symmetry": PARITY, "twins": 5}, "symmetry and twins=5 are given; pass one of them"),
        ({"symmetry": PARITY, "extrapolation": "linear"}, "linear does not learn from it"),
        ({"symmetry": PARITY, "extrapolation": None}, "nothing is extrapolated"),
    ],
)
def test_what_is_no_symmetry_is_refused(arguments, wanted):
    with pytest.raises(UsageError, match=wanted):
        MitigatedEstimator("aer:depolarizing=0.01", **arguments)


def test_a_line_in_the_place_of_a_decay_is_told():
    parity = Twins(value=[[0.8, 0.5]], std=[[0.01, 0.01]], ideal=[1.0])
    grows = NoiseScan(value=[0.1, 0.2], std=[0.01, 0.01], scale_factors=[1, 3], twins=parity)
    fit = extrapolate_guess(grows)
    assert not fit.converged
    assert fit.message == "1 of 1 scans do not decay with their symmetry, so a line was fitted"


def test_a_job_knows_its_symmetry():
    """Whoever combines it: what measures the symmetry is no result of a PUB."""
    guided = MitigatedEstimator("fake:manila", extrapolation="guess", symmetry=("ZZ", 1.0), shots=300, seed=1)
    plain = MitigatedEstimator("fake:manila", extrapolation="linear", shots=300, seed=1)
    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    pubs = [(bell, "XX"), (bell, "YY")]
    jobs = [(one, one.prepare(pubs)) for one in (guided, plain)]
    results = [one.backend.run(job.pubs, shots=job.shots, seed=1) for one, job in jobs]
    for (one, job), (other, _), result in zip(jobs, jobs[::-1], results, strict=True):
        own = one.combine(job, result)
        assert len(own) == 2
        if other is plain:
            combined = other.combine(job, result)
            scan = NoiseScan.from_pub_result(own[0])
            assert float(combined[0].data.evs) == pytest.approx(
                float(plain.extrapolate(scan.without_twins()).value)
            )
        else:
            with pytest.raises(UsageError, match="the job does not measure the symmetry of this estimator"):
                other.combine(job, result)


def test_a_planned_symmetry_is_counted_once():
    options = {"extrapolation": "guess", "symmetry": ("ZZ", 1.0)}
    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    plan = MitigatedEstimator("fake:manila", **options).plan_shots((bell, "XX"), 0.05)
    estimator = MitigatedEstimator("fake:manila", shots=plan.shots, shares=plan.shares, **options)
    spent = estimator.run([(bell, "XX")]).result().metadata["shots"]
    assert plan.total == pytest.approx(spent, rel=0.02)


def test_an_observable_on_other_qubits_is_refused():
    estimator = MitigatedEstimator("aer:depolarizing=0.01", extrapolation="guess", symmetry=("ZZ", 1.0))
    with pytest.raises(UsageError, match="qubits"):
        estimator.run([(conserving(), "ZZII", np.zeros(24))])


def test_scans_that_say_nothing_are_refused():
    scan = NoiseScan(value=[0.5, 0.4, 0.3], scale_factors=FACTORS)
    with pytest.raises(UsageError, match="the scan has none"):
        extrapolate_guess(scan)
    with pytest.raises(UsageError, match="has the value 0"):
        extrapolate_guess(with_symmetry([0.5, 0.4, 0.3], [0.1, 0.1, 0.1], 0.0))
    one = NoiseScan(
        value=[0.5], scale_factors=[1], twins=Twins(np.array([[0.9]]), np.array([[0.1]]), np.array([1.0]))
    )
    with pytest.raises(UsageError, match="two scale factors"):
        extrapolate_guess(one)
