"""Success probabilities and durations of compiled circuits, against the target and against the snapshot."""

from math import exp, prod

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import efficient_su2
from qiskit.quantum_info import SparsePauliOp

from bondwise.backends import get_backend, plan, sample
from bondwise.backends.jobs.circuit_costs import circuit_cost
from bondwise.backends.simulators.reduced_device import scheduled


def test_success_is_the_product_of_what_the_target_reports():
    backend = get_backend("fake:torino")
    circuit = efficient_su2(3, reps=1)
    angles = np.linspace(-3, 3, circuit.num_parameters)
    circuit.measure_all()
    isa = backend.transpile(circuit)
    target = backend.target
    kept = []
    timed = scheduled(isa, target)
    for step in timed.data:  # the delays of Qiskit's own scheduler
        where = tuple(timed.find_bit(qubit).index for qubit in step.qubits)
        if step.name in ("barrier", "delay"):
            continue
        kept.append(1 - (target[step.name][where].error or 0))
    bare = prod(kept)
    cost = circuit_cost(isa, target)
    waits = prod(waiting(timed, target))
    assert cost.success == pytest.approx(bare * waits, rel=1e-9)
    assert cost.seconds == pytest.approx(
        timed.estimate_duration(target)
        + max(target["reset"][(place,)].duration for place in isa.layout.final_index_layout()),
        rel=1e-9,
    )
    assert waits < 1
    one = plan(backend, lambda place: sample(circuit, angles, shots=10, backend=place))
    assert one.success == one.least_success == cost.success


def waiting(timed, target):
    """Fidelities of the delays that Qiskit's scheduler inserts after a qubit's first gate."""
    started, last = set(), {}
    steps = list(timed.data)
    for place, step in enumerate(steps):
        if step.name not in ("barrier", "delay"):
            for qubit in step.qubits:
                last[qubit] = place
    for place, step in enumerate(steps):
        if step.name == "delay" and step.qubits[0] in started and last[step.qubits[0]] > place:
            seconds = step.operation.duration * target.dt
            known = target.qubit_properties[timed.find_bit(step.qubits[0]).index]
            yield 0.5 + exp(-seconds / known.t1) / 6 + exp(-seconds / min(known.t2, 2 * known.t1)) / 3
        elif step.name != "barrier":
            started.update(step.qubits)


@pytest.mark.parametrize("depth", [1, 3, 6])
def test_success_is_near_the_survival_on_the_snapshot(depth):
    """A circuit and its inverse return to zero; the shots that do not are those with an error."""
    rng = np.random.default_rng(depth)
    circuit = QuantumCircuit(4)
    for layer in range(depth):
        for qubit in range(4):
            circuit.u(*rng.uniform(-3, 3, 3), qubit)
        for qubit in range(layer % 2, 3, 2):
            circuit.cx(qubit, qubit + 1)
    circuit.barrier()
    mirror = circuit.compose(circuit.inverse())
    mirror.measure_all()
    found = plan("fake:torino", lambda place: sample(mirror, shots=1, backend=place))
    projector = SparsePauliOp(["I", "Z"], [0.5, 0.5])
    all_zero = projector.tensor(projector).tensor(projector).tensor(projector)
    backend = get_backend("fake:torino")
    isa = backend.transpile(mirror)
    bare = isa.remove_final_measurements(inplace=False)
    place = isa.layout.final_index_layout()
    moved = SparsePauliOp.from_sparse_list(
        [
            (word, [place[index] for index in where], weight)
            for word, where, weight in all_zero.to_sparse_list()
        ],
        isa.num_qubits,
    )
    survived = float(backend.run([(bare, moved)])[0].data.evs)
    assert 0.6 < np.log(survived) / np.log(found.success) < 1.2


def test_simple_circuits_survive_as_planned():
    """One X and a measurement: nothing else can go wrong."""
    circuit = QuantumCircuit(1)
    circuit.x(0)
    circuit.measure_all()
    found = plan("fake:manila", lambda place: sample(circuit, shots=1, backend=place))
    backend = get_backend("fake:manila")
    isa = backend.transpile(circuit)
    target = backend.target
    where = (isa.layout.final_index_layout()[0],)
    assert found.success == pytest.approx(
        (1 - target["x"][where].error) * (1 - target["measure"][where].error)
    )
    seen = sample(circuit, shots=100_000, backend=backend, seed=1).counts["meas"]["1"] / 100_000
    assert seen == pytest.approx(found.success, abs=0.003)


def test_branches_count_with_the_worst_block():
    target = get_backend("fake:manila").target
    circuit = QuantumCircuit(5, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)) as otherwise:
        circuit.cx(0, 1)
        circuit.cx(0, 1)
    with otherwise:
        circuit.x(1)
    cost = circuit_cost(circuit, target)
    pair = target["cx"][(0, 1)]
    assert cost.two_qubit_gates == 2
    x, read = target["x"][(0,)], target["measure"][(0,)]
    assert cost.success == pytest.approx((1 - x.error) * (1 - read.error) * (1 - pair.error) ** 2)
    reset = max(target["reset"][(qubit,)].duration for qubit in (0, 1))
    assert cost.seconds == pytest.approx(x.duration + read.duration + 2 * pair.duration + reset)


@pytest.mark.parametrize("delay", [("dt", 3600), ("us", 0.8), ("parameter", None)])
def test_delays_take_time_and_cost_coherence(delay):
    target = get_backend("fake:manila").target
    unit, length = delay
    seconds = {"dt": 3600 * target.dt, "us": 0.8e-6, "parameter": 0.0}[unit]
    circuit = QuantumCircuit(5, 1)
    circuit.delay(5000, 0, "dt")  # in the initial state, which costs nothing
    circuit.sx(0)
    if unit == "parameter":
        circuit.delay(Parameter("t"), 0, "dt")
    else:
        circuit.delay(length, 0, unit)
    circuit.measure(0, 0)
    known = target.qubit_properties[0]
    kept = 0.5 + exp(-seconds / known.t1) / 6 + exp(-seconds / known.t2) / 3
    gates = (1 - target["sx"][(0,)].error) * (1 - target["measure"][(0,)].error)
    assert circuit_cost(circuit, target).success == pytest.approx(gates * kept)


def test_a_target_that_reports_nothing():
    circuit = QuantumCircuit(2)
    circuit.cz(0, 1)
    cost = circuit_cost(circuit, None)
    assert (cost.two_qubit_gates, cost.two_qubit_depth, cost.seconds, cost.success) == (1, 1, None, None)
