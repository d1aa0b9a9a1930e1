"""How many jobs a QNode and its gradient are, and measurements inside of circuits."""

import numpy as np
import pennylane as qml
import pytest
import torch
from pennylane import numpy as pnp
from pennylane.exceptions import DeviceError
from qiskit.primitives import BaseSamplerV2, StatevectorSampler

from bondwise.backends import BondwiseDevice


class Counting(BaseSamplerV2):
    """A sampler that keeps the PUBs of its jobs."""

    def __init__(self):
        self.sampler, self.jobs, self.ids = StatevectorSampler(seed=np.random.default_rng(0)), [], []

    def run(self, pubs, *, shots=None):
        pubs = list(pubs)
        self.jobs.append(pubs)
        job = self.sampler.run(pubs, shots=shots)
        self.ids.append(job.job_id())
        return job


def layers(x):
    for layer in range(5):
        for wire in range(4):
            qml.RY(x[4 * layer + wire], wire)
        for wire in range(3):
            qml.CNOT([wire, wire + 1])


def energy(x):
    layers(x)
    return qml.expval(sum(qml.Z(i) @ qml.Z(i + 1) + qml.X(i) for i in range(3)))


X = pnp.array(np.random.default_rng(1).normal(size=20), requires_grad=True)


def test_a_gradient_of_20_parameters_is_one_job():
    sampler = Counting()
    device = BondwiseDevice(4, backend=sampler)
    qnode = qml.set_shots(qml.QNode(energy, device), 2000)
    with qml.Tracker(device) as tracker:
        gradient = qml.gradients.param_shift(qnode)(X)
    [job] = sampler.jobs
    assert device.job_ids == tuple(sampler.ids)
    assert tracker.totals["jobs"] == tracker.totals["batches"] == 1
    assert tracker.totals["simulations"] == 40
    assert tracker.history["job_ids"] == [device.job_ids]
    assert len(job) == 2  # one PUB for each measured basis
    assert {np.shape(sets) for _, sets, *_ in job} == {(40, 20)}
    wanted = qml.grad(qml.QNode(energy, qml.device("default.qubit")))(X)
    assert np.abs(gradient - wanted).max() < 5 * np.sqrt(6 / 2000)


@pytest.mark.parametrize(("method", "jobs"), [("best", 2), ("parameter-shift", 2), ("device", 1)])
def test_a_value_and_its_gradient(method, jobs):
    sampler = Counting()
    qnode = qml.set_shots(qml.QNode(energy, BondwiseDevice(4, backend=sampler), diff_method=method), 500)
    qml.grad(qnode)(X)
    assert len(sampler.jobs) == jobs
    assert sum(len(sets) for _, sets, *_ in sampler.jobs[-1][:1]) == 41 - (jobs == 2)


def test_batches_and_other_measurements_are_one_job():
    sampler = Counting()
    device = BondwiseDevice(backend=sampler)

    def mixed(x, y):
        qml.RX(x, 0)
        qml.AmplitudeEmbedding(y, wires=[1, 2])  # of which every element is a circuit
        qml.CNOT([0, 1])
        return qml.probs(wires=[0, 1]), qml.expval(qml.X(0)), qml.counts(qml.Y(1)), qml.expval(qml.Z(2))

    vectors = np.eye(4)[:3]
    found = qml.set_shots(qml.QNode(mixed, device), 100)(np.array([0.1, 0.2, 0.3]), vectors)
    assert [np.shape(one) for one in (found[0], found[1], found[3])] == [(3, 4), (3,), (3,)]
    assert len(found[2]) == 3
    assert len(sampler.jobs) == 1

    x = pnp.array(np.random.default_rng(0).normal(size=(6, 2)), requires_grad=True)
    qnode = qml.set_shots(qml.QNode(two_angles, device, diff_method="parameter-shift"), 100)
    qnode(x[:, 0], x[:, 1])
    [(_, sets, *_)] = sampler.jobs[1]
    assert np.shape(sets) == (6, 2)  # a batch is one PUB
    tapes = [qml.workflow.construct_tape(qnode)(*row) for row in x]
    qml.execute(tapes, device)
    assert len(sampler.jobs) == 3
    assert len(sampler.jobs[2]) == 1  # and so are tapes of the same structure


def two_angles(a, b):
    qml.RX(a, 0)
    qml.CRY(b, [0, 1])
    return qml.expval(qml.Z(0) @ qml.Z(1))


def test_a_trained_batch_is_one_job():
    sampler = Counting()
    a, b = torch.rand(5, requires_grad=True), torch.rand(5)
    qnode = qml.QNode(two_angles, BondwiseDevice(backend=sampler))
    qml.set_shots(qnode, 2000)(a, b).sum().backward()
    assert len(sampler.jobs) == 2
    [(_, sets, *_)] = sampler.jobs[1]
    assert np.shape(sets) == (10, 2)
    found, a.grad = a.grad, None
    exact = qml.QNode(two_angles, qml.device("default.qubit"))
    exact(a, b).sum().backward()
    assert (found - a.grad).abs().max() < 5 / np.sqrt(2000)


def test_circuits_are_compiled_once():
    device = BondwiseDevice(4, backend="fake:manila")
    qnode = qml.QNode(energy, device)
    for scale in (1.0, 0.5):
        qml.grad(qnode)(scale * X)
    assert device._compiler.get.cache_info().misses == 1


def teleported(x):
    qml.RY(x, 0)
    qml.Hadamard(1)
    qml.CNOT([1, 2])
    qml.CNOT([0, 1])
    qml.Hadamard(0)
    first, second = qml.measure(0), qml.measure(1, reset=True)
    qml.cond(second, qml.X)(2)
    qml.cond(first, qml.Z)(2)
    qml.cond(first & ~second, qml.RX)(0.4, 1)
    return (
        qml.expval(qml.Z(2)),
        qml.expval(qml.Z(1)),
        qml.expval(first),
        qml.probs(op=[first, second]),
        qml.expval(first + 2 * second),
        qml.probs(wires=[2, 1]),
    )


@pytest.mark.parametrize("backend", ["statevector", "aer", "sampler"])
@pytest.mark.parametrize("method", [None, "deferred"])
def test_measurements_inside_of_circuits(backend, method):
    shots = 4000
    place = Counting() if backend == "sampler" else backend
    device = BondwiseDevice(backend=place, seed=1)
    found = qml.set_shots(qml.QNode(teleported, device, mcm_method=method), shots)(0.7)
    wanted = qml.QNode(teleported, qml.device("default.qubit"))(0.7)
    for one, other in zip(found, wanted, strict=True):
        assert np.shape(one) == np.shape(other)
        assert np.abs(one - other).max() < 5 * 1.2 / np.sqrt(shots)
    if backend != "sampler":
        exact = qml.QNode(teleported, device)(0.7)
        for one, other in zip(exact, wanted, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-10)


def test_one_wire_is_measured_twice():
    def circuit():
        qml.RX(0.9, 0)
        first = qml.measure(0)
        qml.RY(0.7, 0)
        second = qml.measure(0)
        qml.cond(first == second, qml.X)(1)
        return qml.probs(op=[first, second]), qml.expval(qml.Z(1)), qml.var(first - second)

    wanted = qml.QNode(circuit, qml.device("default.qubit"))()
    for backend in ("statevector", "aer"):
        device = BondwiseDevice(backend=backend, seed=1)
        found = qml.set_shots(qml.QNode(circuit, device), 4000)()
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one, other, atol=0.08)
        for one, other in zip(qml.QNode(circuit, device)(), wanted, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-10)


def test_a_device_branches():
    device = BondwiseDevice(3, backend="fake:manila", seed=1)
    found = qml.set_shots(qml.QNode(teleported, device), 2000)(0.7)
    wanted = qml.QNode(teleported, qml.device("default.qubit"))(0.7)
    assert found[0] == pytest.approx(wanted[0], abs=0.35)  # noise
    np.testing.assert_allclose(found[3], wanted[3], atol=0.15)


def test_selected_outcomes():
    def circuit(x):
        qml.RX(x, 0)
        qml.CNOT([0, 1])
        chosen = qml.measure(0, postselect=1)
        return qml.expval(qml.Z(1)), qml.sample(wires=[1]), qml.counts(chosen), qml.probs(wires=[1])

    device = BondwiseDevice(backend="aer", seed=1)
    value, samples, counts, probabilities = qml.set_shots(qml.QNode(circuit, device), 200)(0.9)
    assert value == -1
    assert len(samples) == counts[1.0] < 200
    np.testing.assert_allclose(probabilities, [0, 1])
    assert all(np.isnan(one).all() for one in qml.set_shots(qml.QNode(circuit, device), 200)(0.0))
    with pytest.raises(ValueError, match="Postselection is not allowed"):
        qml.QNode(circuit, device)(0.9)
    with pytest.raises(DeviceError, match="'fill-shots' is not available; write 'hw-like'"):
        qml.set_shots(qml.QNode(circuit, device, postselect_mode="fill-shots"), 10)(0.9)
    with pytest.raises(DeviceError, match="'tree-traversal' is not available; write 'device' or 'deferred'"):
        qml.set_shots(qml.QNode(circuit, device, mcm_method="tree-traversal"), 10)(0.9)
    qnode = qml.set_shots(qml.QNode(circuit, BondwiseDevice(backend=Counting()), mcm_method="device"), 10)
    with pytest.raises(DeviceError, match="does not measure inside of circuits"):
        qnode(0.9)


def test_gradients_with_branches():
    def circuit(x):
        qml.RX(x, 0)
        qml.cond(qml.measure(0), qml.RY)(x / 2, 1)
        return qml.expval(qml.Z(1))

    x = pnp.array(0.8, requires_grad=True)
    wanted = qml.grad(qml.QNode(circuit, qml.device("default.qubit")))(x)
    device = BondwiseDevice(backend="aer", seed=1)
    for method in ("best", "device"):
        qnode = qml.set_shots(qml.QNode(circuit, device, diff_method=method), 20_000)
        assert qml.grad(qnode)(x) == pytest.approx(wanted, abs=0.05)
    qnode = qml.set_shots(qml.QNode(circuit, device, diff_method="parameter-shift"), 100)
    with pytest.raises(DeviceError, match="which shots drown; write diff_method='best'"):
        qml.grad(qnode)(x)
    qnode = qml.set_shots(qml.QNode(circuit, device, mcm_method="device"), 100)
    with pytest.raises(DeviceError, match="a branch with free angles has no gradient"):
        qml.grad(qnode)(x)
    assert abs(qnode(0.8)) <= 1  # a number is not trained
