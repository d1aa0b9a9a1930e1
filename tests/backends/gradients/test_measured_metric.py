"""Blocks of the metric against the whole one, differences of a dense state, and PennyLane."""

import numpy as np
import pennylane as qp
import pytest
import torch
from helpers import metric_by_differences, mixture, phased, real_circuit
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.primitives import StatevectorEstimator

from bondwise.backends import get_backend
from bondwise.backends.gradients.measured_metric import _layers, measured_metric
from bondwise.backends.gradients.metric import metric_tensor
from bondwise.backends.measurement import Tally
from bondwise.backends.primitives import estimator_pub
from bondwise.circuits.splitting import split
from bondwise.runs import UsageError

# name and number of qubits; of one eigenvalue pair, of three, and with projectors
KINDS = {"rx": 1, "ry": 1, "rz": 1, "p": 1, "rxx": 2, "rzz": 2, "rzx": 2, "crx": 2, "crz": 2, "cp": 2}


def random_circuit(seed: int, qubits: int = 3, gates: int = 9) -> QuantumCircuit:
    """Rotations of all kinds between fixed gates, each with an angle of its own."""
    rng, circuit = np.random.default_rng(seed), QuantumCircuit(qubits)
    circuit.h(0)
    for angle in ParameterVector("t", gates):
        kind = rng.choice(list(KINDS))
        getattr(circuit, kind)(angle, *rng.choice(qubits, KINDS[kind], replace=False).tolist())
        if rng.random() < 0.6:
            circuit.cx(*rng.choice(qubits, 2, replace=False).tolist())
        if rng.random() < 0.4:
            getattr(circuit, rng.choice(["sx", "t", "h"]))(int(rng.integers(qubits)))
    return circuit


def independent(circuit: QuantumCircuit) -> list[set[int]]:
    """Which angles lie in the past of each, by walking a circuit with one angle a gate."""
    light = {qubit: set() for qubit in circuit.qubits}
    pasts = {}
    for step in circuit.data:
        past = set().union(*(light[qubit] for qubit in step.qubits))
        if step.operation.params and step.operation.params[0].parameters:
            (angle,) = step.operation.params[0].parameters
            pasts[angle.index] = set(past)
            past = past | {angle.index}
        for qubit in step.qubits:
            light[qubit] = past
    return [pasts[index] for index in range(len(pasts))]


@pytest.mark.parametrize("seed", range(8))
def test_blocks_are_those_of_the_whole_metric(seed):
    """Within a layer it is what differences give; layers are causal, in order, and hold every angle."""
    circuit = random_circuit(seed)
    point = np.random.default_rng(seed).uniform(-np.pi, np.pi, circuit.num_parameters)
    found = measured_metric(circuit, torch.from_numpy(point), get_backend("statevector")).numpy()
    layers = [layer.angles for layer in _layers(split(circuit))]
    assert sorted(sum(layers, [])) == list(range(circuit.num_parameters))
    layer_of = {angle: number for number, layer in enumerate(layers) for angle in layer}
    for angle, past in enumerate(independent(circuit)):
        assert all(layer_of[other] < layer_of[angle] for other in past)
    mask = np.array([[layer_of[i] == layer_of[j] for j in layer_of] for i in layer_of])
    mask = mask[np.ix_(*2 * [np.argsort(list(layer_of))])]
    assert found == pytest.approx(metric_by_differences(circuit, point) * mask, abs=1e-8)


@pytest.mark.parametrize("circuit", [mixture()[0], phased(), real_circuit(3, 2)])
@pytest.mark.parametrize("backend", ["statevector", "aer", "mps"])
def test_the_chain_rule_of_shared_parameters(circuit, backend):
    """It carries the blocks of the gates' angles, from the whole metric of these, to the parameters."""
    parts = split(circuit)
    point = torch.from_numpy(np.random.default_rng(1).uniform(-2, 2, circuit.num_parameters))
    whole = metric_tensor(parts.circuit, parts.angles(point)).numpy()
    blocks = np.zeros_like(whole)
    for layer in _layers(parts):
        where = np.ix_(layer.angles, layer.angles)
        blocks[where] = whole[where]
    chain = torch.autograd.functional.jacobian(parts.angles, point).numpy()
    found = measured_metric(circuit, point, get_backend(backend)).numpy()
    assert found == pytest.approx(chain.T @ blocks @ chain, abs=1e-9)
    assert np.linalg.eigvalsh(found).min() > -1e-12


@pytest.mark.parametrize("seed", range(3))
def test_it_is_what_pennylane_finds(seed):
    point = np.random.default_rng(seed).uniform(-2, 2, 9)
    circuit, t = QuantumCircuit(3), ParameterVector("t", 9)

    @qp.qnode(qp.device("default.qubit", wires=3))
    def theirs(x):
        for wire in range(3):
            qp.RY(x[wire], wires=wire)
        qp.CNOT(wires=[0, 1])
        qp.CZ(wires=[1, 2])
        for wire in range(3):
            qp.RX(x[3 + wire], wires=wire)
        qp.CNOT(wires=[2, 0])
        qp.IsingZZ(x[6], wires=[0, 1])
        qp.PhaseShift(x[7], wires=2)
        qp.RY(2 * x[8] - x[0], wires=2)
        return qp.expval(qp.Z(0))

    circuit.ry(t[0], 0)
    circuit.ry(t[1], 1)
    circuit.ry(t[2], 2)
    circuit.cx(0, 1)
    circuit.cz(1, 2)
    circuit.rx(t[3], 0)
    circuit.rx(t[4], 1)
    circuit.rx(t[5], 2)
    circuit.cx(2, 0)
    circuit.rzz(t[6], 0, 1)
    circuit.p(t[7], 2)
    circuit.ry(2 * t[8] - t[0], 2)
    given = qp.numpy.array(point, requires_grad=True)
    expected = qp.metric_tensor(theirs, approx="block-diag")(given)
    found = measured_metric(circuit, torch.from_numpy(point), get_backend("statevector")).numpy()
    assert found == pytest.approx(np.asarray(expected), abs=1e-10)


def test_one_basis_a_layer_and_one_job():
    circuit = random_circuit(3, qubits=4, gates=12)
    for layer in _layers(split(circuit)):
        sets = np.zeros((1, layer.past.num_parameters))
        tally = Tally(estimator_pub((layer.past, [[one] for one in layer.observables], sets)))
        assert len(tally.bases) == 1
    jobs = []

    class Watched(StatevectorEstimator):
        def run(self, pubs, *, precision=None):
            jobs.append(len(pubs))
            return super().run(pubs, precision=precision)

    point = torch.zeros(12, dtype=torch.float64)
    measured_metric(circuit, point, get_backend(Watched()))
    assert jobs == [len(_layers(split(circuit)))]


@pytest.mark.parametrize("backend", ["statevector", "aer", "mps", "fake:manila"])
def test_shots_measure_it(backend):
    """Near the exact one, positive semidefinite to rounding, and the same again for the same seed."""
    circuit = real_circuit(3, 1)
    circuit.barrier()
    circuit.rzz(Parameter("z"), 0, 1)
    point = torch.from_numpy(np.random.default_rng(2).uniform(-1, 1, circuit.num_parameters))
    place = get_backend(backend)
    exact = measured_metric(circuit, point, place).numpy()
    found, again = (measured_metric(circuit, point, place, shots=4000, seed=3).numpy() for _ in range(2))
    assert np.array_equal(found, again)
    assert abs(found - exact).max() < 5 * 0.25 / np.sqrt(4000)
    assert np.linalg.eigvalsh(found).min() > -1e-12
    if backend != "fake:manila":
        return
    ideal = measured_metric(circuit, point, get_backend("statevector")).numpy()
    assert 1e-4 < abs(exact - ideal).max() < 0.05  # that of the noisy state


def test_noise_that_differs_between_observables_points_uphill_nowhere():
    circuit = real_circuit(3, 1)
    point = torch.zeros(circuit.num_parameters, dtype=torch.float64)
    place = get_backend(StatevectorEstimator(seed=1))
    metric = measured_metric(circuit, point, place, shots=20).numpy()
    assert np.linalg.eigvalsh(metric).min() > -1e-12


def test_circuits_that_are_not_of_gates_are_refused():
    for spoil in (
        lambda circuit: circuit.reset(0),
        lambda circuit: (circuit.add_register(ClassicalRegister(1)), circuit.measure(0, 0)),
    ):
        circuit = QuantumCircuit(2)
        spoil(circuit)
        circuit.ry(Parameter("a"), 0)
        with pytest.raises(UsageError, match="is not a gate, and the metric is that of a circuit of gates"):
            measured_metric(circuit, torch.zeros(1, dtype=torch.float64), get_backend("aer"), shots=10)
