"""Decoupling keeps what a circuit does, and refocuses slow errors of idle qubits."""

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Delay
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import Operator, Statevector
from qiskit.transpiler import Target

from bondwise.backends import estimate, get_backend
from bondwise.backends.simulators.reduced_device import active_qubits, reduced_circuit
from bondwise.mitigation import MitigatedEstimator, decouple
from bondwise.runs import UsageError

BACKEND = get_backend("fake:torino")


def waiting():
    """A circuit in which qubit 0 waits in superposition while the others are busy."""
    circuit = QuantumCircuit(3)
    circuit.ry(0.7, 0)
    circuit.barrier()
    for _ in range(4):
        circuit.cx(1, 2)
        circuit.ry(0.3, 2)
        circuit.barrier(1, 2)
    circuit.barrier()
    circuit.cx(0, 1)
    return circuit


def detuned(circuit, rate):
    """The circuit on its active qubits, with a phase during each delay, as a wrong frequency makes it."""
    used = active_qubits(circuit)
    small, made = reduced_circuit(circuit, used), QuantumCircuit(len(used))
    for step in small.data:
        qubits = [small.find_bit(qubit).index for qubit in step.qubits]
        if isinstance(step.operation, Delay):
            made.rz(rate * step.operation.duration, qubits)
        else:
            made.append(step.operation, qubits)
    return made


@pytest.mark.parametrize("sequence", ["XX", "XY4"])
def test_slow_errors_are_refocused(sequence):
    """In the circuit with the same waits, but without the pulses, they turn the idle qubit."""
    isa = BACKEND.transpile(waiting())
    decoupled = decouple(isa, BACKEND.target, sequence)
    pulses = detuned(decoupled, 0.0)
    assert pulses.count_ops()["x"] > detuned(isa, 0.0).count_ops().get("x", 0)

    def fidelity(rate, keep):
        states = []
        for speed in (0.0, rate):
            made = detuned(decoupled, speed)
            kept = QuantumCircuit(*made.qregs)
            for step in made.data:
                if keep or step.operation.name != "x":
                    kept.append(step)
            states.append(Statevector(kept))
        return abs(states[0].inner(states[1])) ** 2

    for rate in (0.002, 0.005):
        assert fidelity(rate, keep=True) > 1 - 0.1 * (1 - fidelity(rate, keep=False))
    assert fidelity(0.005, keep=False) < 0.95


@pytest.mark.parametrize("sequence", ["XX", "XY4"])
def test_the_unitary_and_the_layout_are_kept(sequence):
    isa = BACKEND.transpile(waiting())
    pulses = decouple(isa, BACKEND.target, sequence)
    used = active_qubits(isa)
    assert active_qubits(pulses) == used
    assert pulses.layout is isa.layout
    assert Operator(detuned(pulses, 0)).equiv(Operator(detuned(isa, 0)))
    names = set(pulses.count_ops()) - {"barrier"}
    assert names <= set(BACKEND.target.operation_names)


def test_an_estimator_decouples():
    estimator = MitigatedEstimator(BACKEND, extrapolation="linear", decoupling="XX")
    job = estimator.prepare([(waiting(), "ZZI")])
    assert all("delay" in pub.circuit.count_ops() for pub in job.pubs[1:])
    exact = estimate(waiting(), "ZZI").value
    assert estimate(waiting(), "ZZI", backend=estimator).value == pytest.approx(exact, abs=0.02)


def test_wrong_use():
    with pytest.raises(UsageError, match="Did you mean 'XX'"):
        MitigatedEstimator(BACKEND, decoupling="XXX")
    with pytest.raises(UsageError, match="reports no durations"):
        MitigatedEstimator(get_backend(StatevectorEstimator()), decoupling="XX")
    with pytest.raises(UsageError, match="has no rz and x gate"):
        decouple(QuantumCircuit(1), Target(num_qubits=1), "XY4")
    with pytest.raises(UsageError, match="idle times cannot be filled"):
        decouple(QuantumCircuit(2), Target.from_configuration(["x", "rz", "cz"], 2))
