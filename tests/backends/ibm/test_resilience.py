"""IBM's own mitigation, levels 1 and 2, on a device and on a snapshot."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit.library import efficient_su2
from qiskit.primitives import DataBin, PubResult
from qiskit.quantum_info import SparsePauliOp

from bondwise.backends import estimate, get_backend, sample
from bondwise.backends.ibm.standard_errors import known_errors
from bondwise.runs import UsageError

pytest_plugins = ["bondwise.backends.ibm.fixtures"]

PLACES = ["ibm:ibm_manila,resilience=1", "ibm:ibm_manila,resilience=2"]
PLACES += ["fake:manila,resilience=1", "fake:manila,resilience=2", "fake:manila,resilience=2,amplifier=pea"]
WORDS = ["ZZI", "IXX", "IIZ", "0.5*YIY - 2*IIZ"]


@pytest.fixture(autouse=True)
def users_journal(tmp_path, monkeypatch):
    monkeypatch.setenv("BONDWISE_JOURNAL", str(tmp_path / "user.sqlite"))


def circuit_and_angles():
    circuit = efficient_su2(3, reps=1)
    return circuit, np.random.default_rng(3).uniform(-3, 3, (2, circuit.num_parameters))


@pytest.mark.parametrize("place", PLACES)
def test_mitigated_values_are_near_the_exact_ones(loopback_ibm, place):
    """The error of an extrapolated value is understated by the client: it has a margin."""
    circuit, angles = circuit_and_angles()
    found = estimate(circuit, WORDS, angles, shots=2000, backend=place, seed=1)
    exact = estimate(circuit, WORDS, angles).value
    raw = estimate(circuit, WORDS, angles, backend="fake:manila").value
    assert found.value.shape == found.std.shape == (2, 4)
    margin = 0.15 if place.endswith("1") else 0.35
    assert np.all(np.abs(found.value - exact) < 4.5 * np.nan_to_num(found.std) + margin)
    assert np.abs(found.value - exact).mean() < np.abs(raw - exact).mean() + 0.05
    jobs = tuple(job.id for job in loopback_ibm.jobs)
    assert found.job_ids == jobs
    assert len(jobs) == (1 if place.startswith("ibm") else 0)
    assert found.shots >= 2000 * 3 * 2
    if jobs:
        charged = loopback_ibm.jobs[0].quantum_seconds - 1.0  # one second beside the shots
        assert charged == pytest.approx(found.shots * 250e-6, rel=0.01)


@pytest.mark.parametrize("place", PLACES)
def test_several_pubs_of_different_qubits_and_broadcasting(loopback_ibm, place):
    backend = get_backend(place)
    pubs, wanted = [], []
    for qubits, angle in (([0], 0.4), ([3, 4], 1.1), ([0], 2.0)):
        circuit = QuantumCircuit(5)
        circuit.rx(angle, qubits[0])
        for other in qubits[1:]:
            circuit.cx(qubits[0], other)
        isa = backend.transpile(circuit)
        words = [f"Z{qubit}" for qubit in qubits] + ["Z2"]  # the last one on a qubit without gates
        observables = [
            SparsePauliOp.from_sparse_list([("Z", [int(w[1])], 1)], 5).apply_layout(isa.layout) for w in words
        ]
        pubs.append((isa, observables))
        wanted.append([np.cos(angle)] * len(qubits) + [1.0])
    result = backend.run(pubs, shots=2000, seed=2)
    for part, exact in zip(result, wanted, strict=True):
        assert part.data.evs.shape == part.data.stds.shape == (len(exact),)
        np.testing.assert_allclose(part.data.evs, exact, atol=0.2)
    assert result.metadata["shots"] > 0


@pytest.mark.parametrize("level", ["1", "2", "2,amplifier=pea"])
def test_a_seed_gives_the_same_values_on_a_snapshot(level):
    circuit, angles = circuit_and_angles()
    one, two, other = (
        estimate(circuit, WORDS, angles[0], shots=200, backend=f"fake:manila,resilience={level}", seed=seed)
        for seed in (5, 5, 6)
    )
    assert np.array_equal(one.value, two.value)
    assert np.array_equal(one.std, two.std, equal_nan=True)
    assert not np.array_equal(one.value, other.value)


@pytest.mark.parametrize("place", PLACES)
def test_samples_are_refused_in_a_line_that_names_the_option(loopback_ibm, place):
    circuit = QuantumCircuit(1)
    circuit.measure_all()
    with pytest.raises(UsageError, match=r"leave out resilience=\d to sample") as caught:
        sample(circuit, shots=10, backend=place)
    assert "\n" not in str(caught.value)
    assert loopback_ibm.jobs == ()
    with pytest.raises(UsageError, match="exact|precision|shots"):
        estimate(circuit, "Z", shots=0, backend=place)


def test_a_value_whose_fit_knows_no_error_has_the_error_of_what_was_measured():
    circuit, angles = circuit_and_angles()
    with pytest.warns(UserWarning, match="no error for 1 of 8 values"):
        found = estimate(circuit, WORDS, angles, shots=200, backend="fake:manila,resilience=2", seed=5)
    assert np.all(np.isfinite(found.std))


def test_the_error_without_a_fit_is_that_of_a_straight_line():
    rng = np.random.default_rng(0)
    factors, errors = np.array([1.0, 3.0, 5.0]), np.array([0.01, 0.05, 0.02])
    lines = [np.polyfit(factors, values, 1)[1] for values in rng.normal(0, errors, (20_000, 3))]
    data = DataBin(
        evs=np.array([0.5, 0.6]),
        stds=np.array([np.inf, 0.1]),
        stds_noise_factors=np.stack([errors, errors]),
        shape=(2,),
    )
    part = known_errors(PubResult(data))
    np.testing.assert_allclose(part.data.stds, [np.std(lines), 0.1], rtol=0.02)
    assert "1 of 2 values" in part.metadata["message"]
    single = DataBin(evs=np.array(0.5), stds=np.array(np.inf), shape=())  # without mitigation: a single shot
    assert np.isnan(known_errors(PubResult(single)).data.stds)
