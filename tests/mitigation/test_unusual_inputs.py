"""What is mitigated all the same, with a warning where it may be wrong, and what is refused with a reason."""

import warnings

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import AnnotatedOperation, ControlModifier, InverseModifier
from qiskit.circuit.library import CXGate, RYGate
from qiskit.quantum_info import Clifford, Operator, SparsePauliOp, Statevector

from bondwise.mitigation import MitigatedEstimator, NoiseScan
from bondwise.runs import UsageError


def bell():
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    return circuit


def test_what_another_device_measured_is_used_with_a_warning_that_names_both():
    """A fit does not depend on the device, but what it learns from others, and the calibration do."""
    one, other = (MitigatedEstimator(f"fake:{name}", shots=100, seed=1) for name in ("manila", "belem"))
    pub = (bell(), "ZZ")
    job = one.prepare([pub])
    result = one.backend.run(job.pubs, shots=job.shots, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mine = NoiseScan.from_pub_result(one.combine(job, result)[0])
        one.extrapolate(mine)
        NoiseScan.joined([mine, mine])
    with pytest.warns(UserWarning, match="a job of fake:manila is combined by an estimator of fake:belem"):
        combined = other.combine(job, result)
    assert combined[0].metadata["device"] == "fake:manila"
    with pytest.warns(UserWarning, match="a scan of fake:manila is extrapolated .* of fake:belem") as caught:
        other.extrapolate(mine)
    assert len(caught) == 1
    theirs = NoiseScan.from_pub_result(other.run([pub]).result()[0])
    with pytest.warns(UserWarning, match="a scan of fake:belem is joined to one of fake:manila"):
        NoiseScan.joined([mine, theirs])


def test_options_that_leave_the_noise_as_it_is_make_no_other_device():
    scan = NoiseScan(value=[0.5, 0.3], scale_factors=[1, 3], meta={"device": "fake:manila,resilience=2"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MitigatedEstimator("fake:manila").extrapolate(scan)


@pytest.mark.parametrize("folding", ["global", "local", "gates"])
def test_a_measurement_in_the_middle_is_refused_with_the_reason(folding):
    circuit = QuantumCircuit(2, 1)
    circuit.h(0)
    circuit.measure(0, 0)
    circuit.h(0)
    circuit.cx(0, 1)
    estimator = MitigatedEstimator("fake:manila", folding=folding, shots=100)
    with pytest.raises(UsageError, match="acts after a measurement; only measurements at the end") as caught:
        estimator.run([(circuit, "ZZ")])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("folding", ["global", "local", "gates"])
def test_composite_operations_are_mitigated(folding):
    inner = QuantumCircuit(2, name="inner")
    inner.ry(0.4, 0)
    inner.cx(0, 1)
    circuit = QuantumCircuit(2)
    circuit.append(inner.to_instruction(), [0, 1])
    circuit.append(Clifford(CXGate()), [1, 0])
    circuit.append(AnnotatedOperation(RYGate(0.3), [ControlModifier(1), InverseModifier()]), [0, 1])
    exact = Statevector.from_label("00").evolve(Operator(circuit)).expectation_value(SparsePauliOp("ZZ"))
    estimator = MitigatedEstimator("aer:depolarizing=0.01", folding=folding)
    assert float(estimator.run([(circuit, "ZZ")]).result()[0].data.evs) == pytest.approx(exact, abs=2e-3)
