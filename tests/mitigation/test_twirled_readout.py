"""Readout errors are undone by twirling: exactly, on any number of qubits, with an honest error."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit.library import efficient_su2
from qiskit.primitives import (
    BackendEstimatorV2,
    BitArray,
    DataBin,
    PrimitiveJob,
    PrimitiveResult,
    SamplerPubResult,
    StatevectorEstimator,
    StatevectorSampler,
)
from qiskit.quantum_info import SparsePauliOp, random_pauli_list
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError

from bondwise.backends import Backend, estimate, get_backend
from bondwise.mitigation import MitigatedEstimator, NoiseScan
from bondwise.mitigation.twirled_readout import Twirl, _orthogonal_array
from bondwise.runs import RunError


def misreading(wrong):
    """A noise model with `(p(1|0), p(0|1))` of each qubit."""
    model = NoiseModel()
    for qubit, (p10, p01) in enumerate(wrong):
        model.add_readout_error(ReadoutError([[1 - p10, p10], [p01, 1 - p01]]), [qubit])
    return model


def foreign(model, seed=0):
    """Qiskit's estimator, of which nothing is known."""
    return BackendEstimatorV2(backend=AerSimulator(noise_model=model), options={"seed_simulator": seed})


def only_readout(backend, **options):
    return MitigatedEstimator(backend, extrapolation=None, **options)


def random_pub(seed, qubits=3, terms=5):
    circuit = efficient_su2(qubits, reps=1)
    rng = np.random.default_rng(seed)
    paulis = random_pauli_list(qubits, terms, seed=seed, phase=False)
    return circuit, SparsePauliOp(paulis, rng.normal(size=terms)), rng.uniform(-3, 3, circuit.num_parameters)


@pytest.mark.parametrize(("qubits", "rows"), [(1, 4), (2, 16), (4, 16), (5, 64), (16, 64), (30, 256)])
def test_two_qubits_see_all_pairs_of_paulis_equally_often(qubits, rows):
    bits = _orthogonal_array(qubits, None)
    assert bits.shape == (rows, 2, qubits)
    rng = np.random.default_rng(0)
    for _ in range(20 if qubits > 1 else 0):
        some = rng.permutation(qubits)[:2]
        _, counts = np.unique(bits[:, :, some].reshape(rows, -1), axis=0, return_counts=True)
        assert counts.tolist() == [rows // 16] * 16
    fewer = _orthogonal_array(qubits, 1)
    assert [len(np.unique(fewer[:, :, qubit], axis=0)) for qubit in range(qubits)] == [4] * qubits


@settings(deadline=None, max_examples=8)
@given(
    st.lists(st.tuples(st.floats(0, 0.2), st.floats(0, 0.2)), min_size=3, max_size=3), st.integers(0, 10**6)
)
def test_exact_values_are_those_of_a_perfect_readout(wrong, seed):
    """Of Paulis on two qubits, for which the array is as good as all Paulis; nearly of others."""
    circuit, operator, angles = random_pub(seed)
    backend = get_backend("aer", noise=misreading([*wrong[:2], (0.01, 0.04)]))
    assert not backend.symmetric_readout
    local = (operator.paulis.x | operator.paulis.z).sum(axis=1) < 3
    for kept, tolerance in ((local, 1e-10), (~local, 5 * 0.2 * 0.2 * 0.03)):
        if kept.any():
            found = estimate(circuit, operator[kept], angles, backend=only_readout(backend))
            exact = estimate(circuit, operator[kept], angles).value
            assert found.value == pytest.approx(exact, abs=tolerance)


class Crosstalk(StatevectorSampler):
    """Reads a 1 for a 0 on the lower of two qubits, but mostly while the upper one reads 1."""

    def run(self, pubs, *, shots=None):
        rng = np.random.default_rng(2)
        results = []
        for part in super().run(pubs, shots=shots).result():
            (name,) = part.data
            bits = part.data[name].to_bool_array(order="little")
            if bits.shape[-1] == 2:
                wrong = rng.random(bits.shape[:-1]) < np.where(bits[..., 1], 0.4, 0.05)
                bits[..., 0] |= wrong
            made = BitArray.from_bool_array(bits, order="little")
            results.append(SamplerPubResult(DataBin(**{name: made}, shape=part.data.shape), part.metadata))
        job = PrimitiveJob(lambda: PrimitiveResult(results))
        job._submit()
        return job


def test_correlated_errors_are_undone():
    """Errors of two qubits that depend on each other, which no correction of single qubits undoes."""
    circuit = efficient_su2(2, reps=1)
    operator, angles = SparsePauliOp(["ZZ", "XX"], [1.0, 0.5]), np.linspace(-1, 1, circuit.num_parameters)
    exact = estimate(circuit, operator, angles).value
    place = Backend("crosstalk", sampler=Crosstalk(seed=1), noisy=True)
    raw = estimate(circuit, operator, angles, backend=place, shots=40_000)
    found = estimate(circuit, operator, angles, backend=only_readout(place, shots=40_000))
    assert abs(raw.value - exact) > 10 * raw.std
    assert abs(found.value - exact) < 3 * found.std


@pytest.mark.parametrize("device", ["fake:manila", "fake:torino"])
def test_snapshots_need_no_twirl(device):
    """Their readout is symmetric, so that one Pauli does, and values are exact."""
    backend = get_backend(device)
    assert backend.symmetric_readout
    assert get_backend("aer:depolarizing=0.1").symmetric_readout
    circuit = QuantumCircuit(3)
    circuit.x([0, 1, 2])
    job = only_readout(backend).prepare([(circuit, "ZZZ")])
    assert len(job.pubs) == 2
    assert job.pubs[1].shape == (1, 1)
    value = estimate(circuit, "ZZZ", backend=only_readout(backend)).value
    flips = get_backend(device).transpile(circuit)
    flips.x(range(flips.num_qubits))
    assert value == pytest.approx(-1, abs=0.01)  # gate errors are left


def test_thirty_qubits():
    """Pauli products on all qubits; a correction of each qubit would write 2^30 terms."""
    width = 30
    circuit = QuantumCircuit(width)
    circuit.h(0)
    circuit.cx(range(width - 1), range(1, width))
    rng = np.random.default_rng(2)
    model = misreading(rng.uniform(0, [0.01, 0.03], (width, 2)))
    backend = get_backend("aer:matrix_product_state", noise=model)
    operators = ["Z" * width, "I" * (width - 2) + "ZZ"]
    raw = estimate(circuit, operators, backend=backend, shots=2000, seed=3)
    found = estimate(circuit, operators, backend=only_readout(backend, shots=2000), seed=3)
    assert raw.value[0] < 0.65
    np.testing.assert_array_less(np.abs(found.value - 1), 4 * found.std + 1e-9)
    assert found.std[0] < 0.1


@pytest.mark.parametrize("name", ["foreign", "aer"])
def test_calibration_and_all_scales_are_one_job(name):
    model = misreading([(0.02, 0.08), (0.05, 0.1)])
    place = foreign(model) if name == "foreign" else get_backend("aer", noise=model)
    estimator = MitigatedEstimator(place, extrapolation="linear", shots=256, shares=(1, 1, 1), seed=1)
    circuit, operator, angles = random_pub(3, qubits=2)
    result = estimator.run([(circuit, operator, np.stack([angles, angles + 1]))]).result()
    assert result.metadata["calibration_shots"] == 3 * 256
    assert len(result.metadata["job_ids"]) == (name == "foreign")
    assert result[0].data.evs.shape == (2,)
    again = estimator.run([(circuit, operator, angles)]).result()
    assert again.metadata["calibration_shots"] == 0
    finer = estimator.run([(circuit, operator, angles)], precision=0.01).result()
    assert finer.metadata["calibration_shots"] == 3 * 10_000 // 16 * 16


def test_broadcasting():
    """Every element is what it is alone, for observables and parameter sets of any shapes."""
    model = misreading([(0.02, 0.08), (0.05, 0.1)])
    estimator = only_readout(get_backend("aer", noise=model))
    circuit = efficient_su2(2, reps=1)
    rng = np.random.default_rng(4)
    sets = rng.uniform(-3, 3, (3, 1, circuit.num_parameters))
    operators = [SparsePauliOp(["ZZ", "XI", "II"], [1, 0.5, 2]), SparsePauliOp("IY"), SparsePauliOp("II")]
    [part] = estimator.run([(circuit, operators, sets)]).result()
    assert part.data.evs.shape == (3, 3)
    for row in range(3):
        for column, operator in enumerate(operators):
            exact = estimate(circuit, operator, sets[row, 0]).value
            assert part.data.evs[row, column] == pytest.approx(exact, abs=1e-10)
    assert NoiseScan.from_pub_result(part).asymptote.tolist() == [[2, 0, 1]] * 3


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_error_is_that_of_repeated_runs(symmetric):
    """Of sums whose terms are correlated, with a new calibration for each run."""
    wrong = [(0.05, 0.05), (0.08, 0.08)] if symmetric else [(0.02, 0.1), (0.04, 0.12)]
    backend = get_backend("aer", noise=misreading(wrong))
    circuit = efficient_su2(2, reps=1)
    sets = np.random.default_rng(5).uniform(-2, 2, (20, 1, circuit.num_parameters))
    operators = [SparsePauliOp(["ZZ", "ZI", "IZ", "XX"], [1, 0.7, 0.7, 0.5]), SparsePauliOp("ZZ")]
    exact = estimate(circuit, operators, sets[:, 0]).value
    pulls = []
    for seed in range(15):
        [part] = only_readout(backend, shots=512, seed=seed).run([(circuit, operators, sets)]).result()
        pulls.append((part.data.evs - exact) / part.data.stds)
    rms = np.sqrt(np.mean(np.square(pulls), axis=(0, 1)))
    assert ((rms > 0.8) & (rms < 1.15)).all()


def test_scales_share_the_error_of_the_calibration():
    circuit = efficient_su2(2, reps=1)
    angles = np.linspace(-1, 1, circuit.num_parameters)
    noise = misreading([(0.1, 0.1), (0.1, 0.1)])
    backend = get_backend("aer", noise=noise)
    [part] = (
        MitigatedEstimator(backend, extrapolation="linear", shots=400, seed=1)
        .run([(circuit, "ZZ", angles)])
        .result()
    )
    scan = NoiseScan.from_pub_result(part)
    shared = scan.covariance - np.diag(np.diag(scan.covariance))
    assert (shared[~np.eye(3, dtype=bool)] > 0).all()
    np.testing.assert_allclose(np.diag(scan.covariance), scan.std**2)


def test_a_dead_qubit_is_named():
    model = misreading([(0.0, 0.0), (0.5, 0.5)])
    circuit = QuantumCircuit(2)
    circuit.x(0)
    estimator = only_readout(foreign(model), shots=1000, seed=1)
    with pytest.raises(RunError, match=r"readout of qubits \(1,\) keeps .* pass readout=False"):
        estimator.run([(circuit, ["IZ", "ZI"])]).result()


def test_without_readout_errors_nothing_changes():
    circuit, operator, angles = random_pub(6)
    backend = Backend("foreign", estimator=StatevectorEstimator(), noisy=True)
    exact = estimate(circuit, operator, angles).value
    found = estimate(circuit, operator, angles, backend=only_readout(backend, shots=10**10))
    assert found.value == pytest.approx(exact, abs=1e-3)


def test_few_shots_are_spread_over_few_paulis():
    backend = get_backend("aer", noise=misreading([(0.02, 0.08)] * 4))
    for shots, rows, each in ((4096, 16, 256), (200, 12, 17), (2, 4, 2), (20, 4, 5)):
        twirl = Twirl(backend, [0, 1, 2, 3], shots)
        observables = np.empty(1, dtype=object)
        observables[0] = SparsePauliOp("ZZZZ")
        pub = twirl.pub(QuantumCircuit(4), observables, np.zeros(0))
        assert (pub.shape, twirl.shots) == ((rows, 1), each)


def test_a_parameter_may_be_called_twirl():
    from qiskit.circuit import Parameter

    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("twirl"), 0)
    backend = get_backend("aer", noise=misreading([(0.02, 0.08)]))
    found = estimate(circuit, "Z", [0.3], backend=only_readout(backend)).value
    assert found == pytest.approx(np.cos(0.3), abs=1e-10)
