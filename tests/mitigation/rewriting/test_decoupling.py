"""Decoupling keeps what a circuit does, and refocuses slow errors of idle qubits."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Delay
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
    circuit.h(0)
    circuit.barrier()
    for _ in range(4):
        circuit.cx(1, 2)
        circuit.rx(0.3, 2)
    circuit.barrier()
    circuit.h(0)
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
    isa = BACKEND.transpile(waiting())
    pulses = decouple(isa, BACKEND.target, sequence)
    plain = decouple(isa, BACKEND.target, sequence)
    assert pulses.count_ops()["x"] > isa.count_ops().get("x", 0)
    ideal = Statevector(detuned(pulses, 0.0))
    scheduled = QuantumCircuit(*plain.qregs)
    for step in plain.data:  # the same waits without the pulses: those of one qubit in a row
        if step.operation.name != "x":
            scheduled.append(step.operation, [plain.find_bit(qubit).index for qubit in step.qubits])
    assert abs(Statevector(detuned(isa, 0.0)).inner(ideal)) == pytest.approx(1)
    for rate in (0.001, 0.004):
        assert abs(ideal.inner(Statevector(detuned(pulses, rate)))) > 1 - 2e-3
        assert abs(Statevector(detuned(scheduled, 0.0)).inner(Statevector(detuned(scheduled, rate)))) < 0.9999


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
        MitigatedEstimator("aer:matrix_product_state,depolarizing=0.01", decoupling="XX", target=None)
    with pytest.raises(UsageError, match="has no rz and x gate"):
        decouple(QuantumCircuit(1), Target(num_qubits=1), "XY4")
    with pytest.raises(UsageError, match="idle times cannot be filled"):
        decouple(QuantumCircuit(2), Target.from_configuration(["x", "rz", "cz"], 2))
    assert np.isfinite(
        estimate(waiting(), "ZII", backend=MitigatedEstimator(BACKEND, decoupling="XY4")).value
    )
