"""Born machines against formulas in numpy, a simulator of a few lines, and the statistics of shots."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import real_circuit
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from scipy.stats import chisquare

from bondwise import tn
from bondwise.backends import Backend, get_backend
from bondwise.backends.gradients.probabilities import Frequencies, probabilities
from bondwise.qml import (
    BornMachine,
    BornMachineResult,
    StopTraining,
    bars_and_stripes,
    brickwall,
    cardinality,
    mps_start,
    random_start,
)
from bondwise.qml.discrepancies import Discrepancy, all_strings, as_target
from bondwise.runs import UsageError

SKEWED = ["1000", "1000", "1000", "1100", "0001", "1010"]  # column 0 first; no order but this one fits
PAULI_Y = np.array([[0, -1j], [1j, 0]])
PAULI_Z = np.diag([1, -1])


def rotated(qubits: int) -> QuantumCircuit:
    """ry and rz with an angle that is used twice and one that is scaled, and cx from the last qubit down."""
    a = ParameterVector("a", 2 * qubits)
    circuit = QuantumCircuit(qubits)
    for qubit in range(qubits):
        circuit.ry(a[qubit], qubit)
        circuit.rz(0.5 * a[qubits + qubit] + a[0], qubit)
    for qubit in range(qubits - 1, 0, -1):
        circuit.cx(qubit, qubit - 1)
    for qubit in range(qubits):
        circuit.ry(a[qubits + qubit], qubit)
    return circuit


def by_hand(angles: np.ndarray) -> np.ndarray:
    """Probabilities of `rotated` as an array (2, …, 2) with axis i for qubit i, without any library."""
    qubits = len(angles) // 2
    state = np.zeros((2,) * qubits, complex)
    state[(0,) * qubits] = 1

    def turn(state, angle, pauli, qubit):
        gate = np.cos(angle / 2) * np.eye(2) - 1j * np.sin(angle / 2) * pauli
        return np.moveaxis(np.tensordot(gate, state, (1, qubit)), 0, qubit)

    for qubit in range(qubits):
        state = turn(state, angles[qubit], PAULI_Y, qubit)
        state = turn(state, 0.5 * angles[qubits + qubit] + angles[0], PAULI_Z, qubit)
    for qubit in range(qubits - 1, 0, -1):
        halves = np.moveaxis(state, (qubit, qubit - 1), (0, 1)).copy()
        halves[1] = halves[1, ::-1].copy()
        state = np.moveaxis(halves, (0, 1), (qubit, qubit - 1))
    for qubit in range(qubits):
        state = turn(state, angles[qubits + qubit], PAULI_Y, qubit)
    return abs(state) ** 2


def by_formula(name: str, model: np.ndarray, data: np.ndarray, bandwidths: tuple[float, ...]) -> float:
    """A loss of two arrays (2, …, 2), straight from its definition."""
    seen = data > 0
    nll = -(data[seen] * np.log(model[seen])).sum()
    if name != "mmd":
        return nll + (name == "kl") * (data[seen] * np.log(data[seen])).sum()
    places = np.argwhere(np.ones_like(model))
    distances = (places[:, None] != places).sum(axis=2)
    kernel = np.mean([np.exp(-distances / (2 * bandwidth)) for bandwidth in bandwidths], axis=0)
    difference = (model - data).ravel()
    return difference @ kernel @ difference


def frequencies(strings: list[str]) -> np.ndarray:
    found = np.zeros((2,) * len(strings[0]))
    for string in strings:
        found[tuple(map(int, string))] += 1 / len(strings)
    return found


def first(machine: BornMachine, angles: np.ndarray, **keywords) -> BornMachineResult:
    return machine.run(angles, steps=0, **keywords)


@pytest.mark.parametrize("backend", ["statevector", "mps"])
@pytest.mark.parametrize("loss", ["kl", "nll", "mmd"])
@given(seed=st.integers(0, 2**32 - 1), qubits=st.integers(2, 4), many=st.booleans())
@settings(max_examples=8, deadline=None)
def test_values_and_gradients_are_those_of_the_formulas(backend, loss, seed, qubits, many):
    rng, bandwidths = np.random.default_rng(seed), (0.5, 2.0) if many else (0.7,)
    angles = rng.uniform(-np.pi, np.pi, 2 * qubits)
    strings = ["".join(map(str, row)) for row in rng.integers(2, size=(5, qubits))]
    machine = BornMachine(rotated(qubits), strings, loss=loss, backend=backend, bandwidths=bandwidths)

    def expected(angles):
        return by_formula(loss, by_hand(angles), frequencies(strings), bandwidths)

    found = first(machine, angles)
    slopes = [(expected(angles + h) - expected(angles - h)) / 2e-5 for h in 1e-5 * np.eye(len(angles))]
    assert found.value == pytest.approx(expected(angles), rel=1e-9, abs=1e-12)
    assert found.gradient_norms[0] == pytest.approx(np.linalg.norm(slopes), rel=1e-4, abs=1e-7)
    assert found.losses[0] == found.value


def test_each_component_of_the_gradient():
    angles = np.linspace(0.2, 1.5, 8)
    for loss in ("kl", "mmd"):
        machine = BornMachine(rotated(4), SKEWED, loss=loss, optimizer="sgd", learning_rate=1.0)
        moved = machine.run(angles, steps=1).last

        def expected(angles, loss=loss):
            return by_formula(loss, by_hand(angles), frequencies(SKEWED), (0.5,))

        slopes = [(expected(angles + h) - expected(angles - h)) / 2e-5 for h in 1e-5 * np.eye(8)]
        np.testing.assert_allclose(angles - moved, slopes, rtol=1e-5, atol=1e-8)


def test_data_of_every_kind_mean_the_same():
    counts = {"0001": 3, "0011": 1, "1000": 1, "0101": 1}  # as Qiskit prints SKEWED
    shares = {string: count / 6 for string, count in counts.items()}
    vector = np.zeros(16)
    vector[[1, 3, 8, 5]] = 3 / 6, 1 / 6, 1 / 6, 1 / 6
    bits = np.array([list(map(int, string)) for string in SKEWED])
    kinds = [
        SKEWED,
        counts,
        shares,
        vector,
        vector.tolist(),
        torch.from_numpy(vector),
        bits,
        bits.astype(float),
    ]
    angles = np.linspace(0.2, 1.5, 8)
    for loss in ("kl", "mmd"):
        wanted = by_formula(loss, by_hand(angles), frequencies(SKEWED), (0.5,))
        for data in kinds:
            found = first(BornMachine(rotated(4), data, loss=loss), angles)
            assert found.value == pytest.approx(wanted, rel=1e-10)
            assert found.entropy == pytest.approx(np.log(6) - np.log(3) / 2)


def test_on_many_qubits():
    data = np.random.default_rng(0).integers(2, size=(20, 40))
    circuit = real_circuit(40, 2)
    machine = BornMachine(circuit, data, loss="nll", backend="mps", learning_rate=0.1)
    result = machine.run(np.full(circuit.num_parameters, np.pi / 6), steps=15)
    assert result.value < result.losses[0] - 1
    assert result.entropy == pytest.approx(np.log(20))
    assert -result.log_probability(data, backend="mps").mean() == pytest.approx(result.value, rel=1e-10)


def test_truncated_states_are_good_up_to_what_they_lose():
    circuit = brickwall(6, 3)
    angles = random_start(circuit, seed=1)
    exact = first(BornMachine(circuit, cardinality(6, 2), loss="nll"), angles)
    full, less = (
        first(
            BornMachine(circuit, cardinality(6, 2), loss="nll", backend=f"mps:max_bond={b},truncate"), angles
        )
        for b in (8, 7)
    )
    assert full.value == pytest.approx(exact.value, rel=1e-8)
    assert less.value == pytest.approx(exact.value, rel=0.2)
    assert less.gradient_norms[0] == pytest.approx(exact.gradient_norms[0], rel=0.3)


def test_more_bond_is_a_better_start_and_training_improves_each():
    images, starts, ends = bars_and_stripes(2, 3), [], []
    for bond in (1, 2, 4):
        trained = tn.train_born(images, bond, seed=0)
        circuit, angles = mps_start(3, trained, pairs=[(0, 3), (1, 4), (2, 5)], strength=0, seed=0)
        result = BornMachine(circuit, images, optimizer="lbfgs").run(angles, steps=15)
        assert result.losses[0] == pytest.approx(trained.nll - trained.entropy, abs=0.1)
        starts.append(result.losses[0])
        ends.append(result.value)
    assert starts[0] > starts[1] + 0.1 > starts[2] + 0.2
    assert all(end < start for start, end in zip(starts, ends, strict=True))


def test_samples_follow_the_trained_distribution():
    circuit = rotated(4)
    result = BornMachine(circuit, SKEWED, learning_rate=0.1).run(np.linspace(0.2, 1.5, 8), steps=40)
    wanted = by_hand(result.parameters)
    for backend in ("statevector", "aer", "mps"):
        drawn = result.sample(4000, backend=backend, seed=3).bits["meas"]
        found = np.zeros_like(wanted)
        np.add.at(found, tuple(drawn.T), 1)
        common = wanted * 4000 > 5
        observed = [*found[common], found[~common].sum()]
        predicted = [*wanted[common] * 4000, wanted[~common].sum() * 4000]
        assert chisquare(observed, predicted).pvalue > 1e-3
    assert (
        result.sample(4000, backend="aer:depolarizing=0.2", seed=3).bits["meas"].mean(axis=0) > 0.05
    ).all()
    strings = all_strings(4)
    np.testing.assert_allclose(
        result.log_probability(strings), np.log(wanted[tuple(strings.T)]), rtol=1e-8, atol=1e-10
    )


def test_frequencies_and_their_gradients_are_right_on_average():
    angles = torch.tensor(np.linspace(0.2, 1.5, 6), requires_grad=True)
    weights = torch.linspace(-1, 1, 8, dtype=torch.float64)
    run = Frequencies(rotated(3), get_backend("aer"), 20_000)
    found = run(angles, seed=1)
    (sampled,) = torch.autograd.grad(found @ weights, angles)
    exact = probabilities(rotated(3), all_strings(3), angles, get_backend("statevector"))
    (slope,) = torch.autograd.grad(exact @ weights, angles)
    np.testing.assert_allclose(found.detach(), exact.detach(), atol=5 * 0.5 / np.sqrt(20_000))
    np.testing.assert_allclose(sampled, slope, atol=0.05)
    assert abs(slope).max() > 0.3


def test_sampled_discrepancies_are_unbiased_and_know_their_error():
    target = as_target(SKEWED, 4)
    discrepancy = Discrepancy(target, (0.5, 2.0))
    rng = np.random.default_rng(0)
    for model in (by_hand(np.linspace(0.2, 1.5, 8)), frequencies(SKEWED)):  # far from the data, and equal
        little = torch.from_numpy(model.transpose().ravel())
        exact = float(discrepancy.exact(little))
        assert exact == pytest.approx(by_formula("mmd", model, frequencies(SKEWED), (0.5, 2.0)), abs=1e-12)
        draws = torch.from_numpy(rng.multinomial(50, little.numpy(), size=2000) / 50)
        values = np.array([float(discrepancy.sampled(draw, 50)) for draw in draws])
        errors = np.array([discrepancy.standard_error(draw, 50) for draw in draws])
        assert values.mean() == pytest.approx(exact, abs=4 * values.std() / np.sqrt(2000))
        # a third too large where both are equal
        assert 0.9 < np.sqrt((errors**2).mean()) / values.std() < 1.4


def test_training_from_shots_is_one_job_a_step():
    jobs = []

    class Counted:
        """The sampler of a simulator, remembering how many circuits each job held."""

        def __init__(self, sampler):
            self.sampler = sampler

        def run(self, pubs, *, shots=None, **keywords):
            pubs = list(pubs)
            jobs.append([len(np.atleast_1d(np.empty(pub.shape))) if pub.shape else 1 for pub in pubs])
            return self.sampler.run(pubs, shots=shots, **keywords)

    backend = Backend("counted", sampler=Counted(get_backend("aer").sampler))
    circuit = real_circuit(2, 1)
    machine = BornMachine(
        circuit, ["10", "10", "11"], loss="mmd", backend=backend, shots=500, learning_rate=0.1
    )
    machine.run(np.full(4, 0.5), steps=2, seed=0)
    assert jobs == [[1 + 2 * 4]] * 3 + [[1]]


def test_losses_from_shots_are_near_the_exact_ones():
    machine = BornMachine(rotated(4), SKEWED, loss="mmd", backend="aer", shots=4000, bandwidths=[0.5, 2.0])
    result = machine.run(np.linspace(0.2, 1.5, 8), steps=1, seed=2)
    for value, angles in [(result.losses[0], np.linspace(0.2, 1.5, 8)), (result.value, result.last)]:
        exact = by_formula("mmd", by_hand(angles), frequencies(SKEWED), (0.5, 2.0))
        assert value == pytest.approx(exact, abs=5 * result.std)
    assert 0 < result.std < exact / 10
    assert (result.shots, result.seed) == (4000, 2)


def test_noisy_shots_train(tmp_path):
    machine = BornMachine(
        real_circuit(2, 1),
        ["10", "10", "11"],
        loss="mmd",
        backend="fake:manila",
        shots=400,
        learning_rate=0.2,
    )
    start = np.full(4, 0.5)
    result = machine.run(start, steps=12, seed=1)
    assert result.losses[-3:].mean() < result.losses[0] / 3
    assert (result.shots, result.std > 0) == (400, True)
    assert np.array_equal(result.parameters, result.last)
    assert machine.run(start, steps=2, seed=1).losses.tobytes() == result.losses[:3].tobytes()
    machine.run(start, steps=5, seed=1, checkpoint=tmp_path / "c")
    resumed = machine.run(start, steps=12, seed=1, checkpoint=tmp_path / "c", resume=True)
    assert resumed.losses.tobytes() == result.losses.tobytes()


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("loss", ["nll", "mmd"])
def test_resumed_is_the_same_to_the_last_bit(tmp_path, loss, optimizer):
    start = np.linspace(0.2, 1.5, 8)

    def stop(step):
        if step.step == 7:
            raise StopTraining

    def machine():
        return BornMachine(rotated(4), SKEWED, loss=loss, optimizer=optimizer)

    whole = machine().run(start, steps=20)
    machine().run(start, steps=20, callbacks=[stop], checkpoint=tmp_path / "c")
    rest = machine().run(start, steps=20, checkpoint=tmp_path / "c", resume=True)
    assert rest.losses.tobytes() == whole.losses.tobytes()
    assert rest.last.tobytes() == whole.last.tobytes()
    for other in (
        BornMachine(rotated(4), SKEWED[1:], loss=loss, optimizer=optimizer),
        BornMachine(rotated(4), SKEWED, loss="kl", optimizer=optimizer),
        BornMachine(rotated(4), SKEWED, loss=loss, optimizer=optimizer, bandwidths=[1.0]),
    ):
        with pytest.raises(UsageError, match="another run"):
            other.run(start, checkpoint=tmp_path / "c", resume=True)


def test_angles_by_name_and_in_the_order_of_a_file(tmp_path):
    text = (
        'OPENQASM 3.0;\ninclude "stdgates.inc";\ninput float[64] w;\ninput float[64] b;\n'
        "qubit[2] q;\nry(w) q[0];\ncx q[0], q[1];\nry(b) q[1];\n"
    )
    (tmp_path / "x.qasm").write_text(text)
    machine = BornMachine(tmp_path / "x.qasm", ["10", "11"], learning_rate=0.1)
    result = machine.run([1.0, 0.3], steps=3)
    named = machine.run({"w": 1.0, "b": 0.3}, steps=3)
    assert result.losses.tobytes() == named.losses.tobytes()
    assert [parameter.name for parameter in result.circuit.parameters] == ["b", "w"]
    assert -result.log_probability(["10", "11"]).mean() - result.entropy == pytest.approx(result.losses.min())
    flipped = machine.run([0.3, 1.0], steps=0)
    assert flipped.losses[0] != pytest.approx(result.losses[0])


def test_result_comes_back_and_plots(tmp_path):
    result = BornMachine(rotated(3), ["100", "110"]).run(np.linspace(0.2, 1.5, 6), steps=3)
    result.save(tmp_path / "r")
    again = BornMachineResult.load(tmp_path / "r")
    assert again.losses.tobytes() == result.losses.tobytes()
    assert again.sample(50, seed=1).counts == result.sample(50, seed=1).counts
    assert str(result).startswith("BornMachineResult: ")
    assert result.plot().get_ylabel() == "KL (nats)"


def test_final_measurements_do_not_matter():
    measured = rotated(3)
    measured.measure_all()
    start = np.linspace(0.2, 1.5, 6)
    results = [BornMachine(circuit, ["100", "110"]).run(start, steps=2) for circuit in (rotated(3), measured)]
    np.testing.assert_allclose(results[0].losses, results[1].losses, rtol=1e-12)
    assert set(map(len, results[1].sample(5, seed=0).counts["meas"])) == {3}


def test_the_natural_gradient_and_errors_of_sampled_losses():
    circuit, images = real_circuit(4, 2), bars_and_stripes(2, 2)
    start = np.random.default_rng(1).uniform(-0.5, 0.5, circuit.num_parameters)
    natural, plain = (
        BornMachine(circuit, images, optimizer=name, learning_rate=0.1).run(start, steps=30).value
        for name in ("qng", "sgd")
    )
    assert natural < 0.8 * plain
    machine = BornMachine(circuit, images, loss="mmd", backend="aer", shots=500, optimizer="spsa")
    result = machine.run(start, steps=3, seed=2)
    assert (result.stds > 0).all()
    measured = BornMachine(circuit, images, loss="mmd", backend="aer", shots=4000, optimizer="qng")
    result = measured.run(start, steps=8, seed=2)
    assert result.losses[-1] < result.losses[0] - 3 * result.stds[0]
