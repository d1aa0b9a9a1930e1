"""VQE without gradients and by the natural gradient; jobs and standard errors of sampled steps."""

import numpy as np
import pytest
from helpers import Counting, real_circuit
from qiskit.circuit import Parameter

from bondwise.backends import get_backend
from bondwise.qml import VQE, exact_ground_state, heisenberg, ising, prepare
from bondwise.runs import UsageError


@pytest.mark.parametrize(
    ("optimizer", "rate", "steps", "near"),
    [
        ("adam", 0.1, 150, 1e-6),
        ("lbfgs", None, 40, 1e-8),
        ("qng", 0.1, 120, 1e-8),
        ("cmaes", 0.3, 150, 1e-6),
        ("spsa", 0.2, 300, 0.15),
    ],
)
def test_it_reaches_the_ground_state(optimizer, rate, steps, near):
    hamiltonian, circuit = ising(3, field=0.7), real_circuit(3, 3)
    exact = np.linalg.eigvalsh(hamiltonian.to_matrix())[0]
    start = np.random.default_rng(2).uniform(-0.4, 0.4, circuit.num_parameters)
    result = VQE(hamiltonian, circuit, optimizer=optimizer, learning_rate=rate).run(
        start, steps=steps, seed=1
    )
    assert exact - 1e-9 < result.value < exact + near
    assert not result.stds.any()


@pytest.mark.parametrize("shots", [None, 200])
def test_spsa_does_not_lose_the_start_of_a_tensor_network(shots):
    """Its energy is nearly stationary, and stays within the error of the shots."""
    hamiltonian = heisenberg(4)
    prepared = prepare(hamiltonian, start="mps", layers=2, max_bond=2, seed=0, progress=False)
    vqe = VQE(hamiltonian, prepared.circuit, optimizer="spsa", shots=shots)
    result = vqe.run(prepared.starts["mps"], steps=60, seed=1)
    exact = VQE(hamiltonian, prepared.circuit)
    before = exact.run(prepared.starts["mps"], steps=0).value
    assert exact.run(result.last, steps=0).value < before + (0.02 if shots else 0.0)


def test_the_natural_gradient_needs_fewer_steps_than_the_plain_one():
    hamiltonian, circuit = ising(3, field=0.7), real_circuit(3, 3)
    exact, _ = exact_ground_state(hamiltonian)
    start = np.random.default_rng(2).uniform(-0.4, 0.4, circuit.num_parameters)
    natural, plain = (
        VQE(hamiltonian, circuit, optimizer=optimizer, learning_rate=0.05).run(start, steps=60).value - exact
        for optimizer in ("qng", "sgd")
    )
    assert natural < 0.3 * plain


def test_the_order_of_parameters_is_that_of_the_metric():
    """Parameters that are sorted otherwise, by their names, take the same steps."""
    hamiltonian, circuit = ising(3, field=0.7), real_circuit(3, 2)
    names = [f"angle{10 - place}" for place in range(circuit.num_parameters)]
    other = circuit.assign_parameters([Parameter(name) for name in names])
    start = np.random.default_rng(4).uniform(-1, 1, circuit.num_parameters)
    place = [parameter.name for parameter in other.parameters]
    moved = np.array([start[names.index(name)] for name in place])
    runs = [
        VQE(hamiltonian, one, optimizer="qng").run(begin, steps=5).losses
        for one, begin in ((circuit, start), (other, moved))
    ]
    assert runs[0] == pytest.approx(runs[1], abs=1e-12)
    assert runs[0][-1] < runs[0][0]


@pytest.mark.parametrize(
    ("optimizer", "sets"), [("spsa", [23, 3, 3]), ("cmaes", [10, 10, 10]), ("adam", [13, 13, 13])]
)
def test_a_step_is_one_job(optimizer, sets):
    """All evaluations of a step, or a gradient with its value, are one PUB."""
    circuit = real_circuit(2, 2)
    assert circuit.num_parameters == 6
    estimator = Counting()
    vqe = VQE(heisenberg(2), circuit, backend=get_backend(estimator), shots=400, optimizer=optimizer)
    result = vqe.run(np.linspace(0.1, 1, 6), steps=2, seed=3)
    assert [jobs for jobs in estimator.jobs if sum(jobs) > 1] == [[size] for size in sets]
    assert (result.stds > 0).all()


def test_sampled_errors_are_in_the_history(tmp_path):
    """They are as large as the scatter of the losses about the exact ones."""
    hamiltonian, circuit = ising(3, field=0.7), real_circuit(3, 1)
    start = np.random.default_rng(0).uniform(-1, 1, circuit.num_parameters)
    pulls = []
    for seed in range(6):
        seen = []
        vqe = VQE(hamiltonian, circuit, backend="aer", shots=200, optimizer="spsa")
        result = vqe.run(start, steps=20, seed=seed, callbacks=[seen.append])
        for step, std in zip(seen, result.stds, strict=True):
            assert step.std == std > 0
            exact = VQE(hamiltonian, circuit).run(step.parameters, steps=0).value
            pulls.append((step.loss - exact) / std)
    assert 0.8 < np.sqrt(np.mean(np.square(pulls))) < 1.25


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs", "qng", "spsa", "cmaes"])
def test_a_sampled_run_goes_on_to_the_last_bit(tmp_path, optimizer):
    vqe = VQE(heisenberg(3), real_circuit(3, 1), optimizer=optimizer, backend="aer", shots=100)
    start = np.linspace(0, 1, vqe.circuit.num_parameters)
    whole = vqe.run(start, steps=9, seed=5)
    vqe.run(start, steps=4, seed=5, checkpoint=tmp_path / "c", checkpoint_every=2)
    rest = vqe.run(start, steps=9, seed=5, checkpoint=tmp_path / "c", resume=True)
    for name in ("losses", "stds", "last"):
        assert getattr(rest, name).tobytes() == getattr(whole, name).tobytes()


def test_a_step_of_the_natural_gradient_is_two_jobs():
    """One for the energy and its gradient, one for the metric, with a circuit for each of three layers."""
    estimator = Counting()
    circuit = real_circuit(3, 2)
    vqe = VQE(heisenberg(3), circuit, backend=get_backend(estimator), shots=400, optimizer="qng")
    vqe.run(np.linspace(0.1, 1, circuit.num_parameters), steps=2, seed=3)
    gradient, metric = [1 + 2 * circuit.num_parameters], 3 * [1]
    assert estimator.jobs == [gradient, metric, gradient, metric, gradient, [1]]


@pytest.mark.parametrize(
    ("backend", "shots", "near"), [("mps", None, 1e-4), ("aer", 400, 0.05), ("statevector", 400, 0.05)]
)
def test_the_natural_gradient_without_the_state(backend, shots, near):
    """Its blocks, measured, lead to the ground state too."""
    hamiltonian, circuit = ising(3, field=0.7), real_circuit(3, 3)
    exact = np.linalg.eigvalsh(hamiltonian.to_matrix())[0]
    start = np.random.default_rng(2).uniform(-0.4, 0.4, circuit.num_parameters)
    vqe = VQE(hamiltonian, circuit, backend=backend, shots=shots, optimizer="qng")
    result = vqe.run(start, steps=60, seed=1)
    assert VQE(hamiltonian, circuit).run(result.last, steps=0).value < exact + near


def test_measurements_within_a_circuit_have_no_metric():
    circuit = real_circuit(2, 1)
    circuit.reset(0)
    circuit.ry(Parameter("z"), 0)
    vqe = VQE(heisenberg(2), circuit, backend="aer", shots=50, optimizer="qng")
    with pytest.raises(UsageError, match="'reset' is not a gate, .* write optimizer='adam'"):
        vqe.run(np.zeros(circuit.num_parameters), steps=2, seed=1)


def test_the_sampled_result_has_the_error_of_its_energy():
    """Measured again at the end, the value is neither the lowest draw nor without an error."""
    hamiltonian, circuit = ising(3, field=0.7), real_circuit(3, 1)
    for optimizer in ("adam", "spsa", "cmaes", "qng"):
        vqe = VQE(hamiltonian, circuit, backend="aer", shots=100, optimizer=optimizer)
        result = vqe.run(np.linspace(0, 1, circuit.num_parameters), steps=4, seed=5)
        assert result.stds.shape == result.losses.shape
        assert (result.stds > 0).all()
        assert result.std > 0
        exact = VQE(hamiltonian, circuit).run(result.parameters, steps=0).value
        assert abs(result.value - exact) < 5 * result.std
