"""Operations beside plain gates: what is mitigated all the same, and what is refused with a reason."""

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import AnnotatedOperation, ControlModifier, InverseModifier
from qiskit.circuit.library import CXGate, RYGate
from qiskit.quantum_info import Clifford, Operator, SparsePauliOp, Statevector

from bondwise.mitigation import MitigatedEstimator
from bondwise.runs import UsageError


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
