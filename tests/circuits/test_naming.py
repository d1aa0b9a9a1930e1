"""Gates with the names of other gates run as what they are; `Operator`, which goes by class, agrees."""

import numpy as np
import pytest
from helpers import called_noisy
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, qasm2, qasm3, transpile
from qiskit.circuit import (
    AnnotatedOperation,
    Barrier,
    ControlModifier,
    Delay,
    Gate,
    Instruction,
    InverseModifier,
    Measure,
    Parameter,
    Reset,
)
from qiskit.circuit.equivalence_library import StandardEquivalenceLibrary
from qiskit.circuit.library import HGate, RYGate, efficient_su2, get_standard_gate_name_mapping
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import Kraus, Operator, SparsePauliOp, Statevector, random_unitary
from qiskit.transpiler.passes.synthesis.plugin import HighLevelSynthesisPluginManager
from qiskit_aer import AerSimulator

from bondwise import tn
from bondwise.backends import estimate, expectation, get_backend, sample, to_pennylane
from bondwise.circuits import cx_count, true_names, two_qubit_depth
from bondwise.mitigation import MitigatedEstimator
from bondwise.mitigation.rewriting.folding import fold_gates, fold_global

NAMES = ["h", "rz", "cx", "ccx", "barrier", "delay", "reset", "measure", "initialize", "unitary", "if_else"]
NAMES += ["kraus", "save_statevector", "set_statevector", "diagonal", "mcphase", "quantum_channel", "id"]
N = 3


def subcircuit(name, angle, size, as_gate=True):
    inner = QuantumCircuit(size, name=name)
    for qubit in range(size):
        inner.ry(angle + 0.3 * qubit, qubit)
        inner.rz(0.5 * angle, qubit)
    for qubit in range(size - 1):
        inner.cx(qubit, qubit + 1)
    return inner.to_gate() if as_gate else inner.to_instruction()


def written_over(name):
    gate = RYGate(0.7).to_mutable()
    gate.name = name
    return gate


@st.composite
def masquerades(draw):
    """A circuit on three qubits, some of whose gates have misleading names."""
    circuit = QuantumCircuit(N)
    for _ in range(draw(st.integers(1, 6))):
        name, size = draw(st.sampled_from(NAMES)), draw(st.integers(1, N))
        qubits = draw(st.permutations(range(N)))
        gate = subcircuit(name, draw(st.floats(0.2, 3)), size)
        kind = draw(st.sampled_from("plain nested controlled annotated written honest".split()))
        if kind == "nested":
            inner = QuantumCircuit(size, name="outer")
            inner.append(gate, range(size))
            gate = inner.to_gate(label="mine")
        elif kind == "controlled" and size < N and name in ("h", "barrier", "measure"):
            gate, size = gate.control(1), size + 1
        elif kind == "annotated" and size < N:
            gate = AnnotatedOperation(gate, [ControlModifier(1), InverseModifier()])
            size += 1
        elif kind == "written":
            gate, size = written_over(name), 1
        circuit.append(gate, qubits[:size])
        circuit.h(qubits[0])
        circuit.cx(qubits[0], qubits[1])
    return circuit


OBSERVABLES = ["ZII", "IXI", "IYZ", "XXX"]


def values_of(circuit):
    state = Statevector(circuit)
    return np.array([state.expectation_value(SparsePauliOp(word)).real for word in OBSERVABLES])


@given(masquerades())
@settings(max_examples=15, deadline=None)
def test_masquerades_keep_their_operator_and_exact_values(circuit):
    named = true_names(circuit)
    assert Operator(named).equiv(Operator(circuit))
    assert Operator(transpile(named, basis_gates=["u", "cx"], optimization_level=0)).equiv(Operator(circuit))
    expected = values_of(circuit)
    for backend in ("statevector", "aer:density_matrix", "aer:matrix_product_state"):
        np.testing.assert_allclose(estimate(circuit, OBSERVABLES, backend=backend).value, expected, atol=1e-9)
    np.testing.assert_allclose(expectation(circuit, OBSERVABLES).detach(), expected, atol=1e-9)


@given(masquerades())
@settings(max_examples=6, deadline=None)
def test_masquerades_on_every_other_path(circuit):
    expected, state = values_of(circuit), Statevector(circuit)
    noiseless = get_backend("aer:depolarizing=1e-12")
    np.testing.assert_allclose(estimate(circuit, OBSERVABLES, backend=noiseless).value, expected, atol=1e-6)
    counts = sample(circuit, shots=2000, seed=1).counts["meas"]
    for word, probability in state.probabilities_dict().items():
        assert counts.get(word, 0) / 2000 == pytest.approx(probability, abs=0.06)
    for fold in (fold_global, fold_gates):
        plain = transpile(true_names(circuit), basis_gates=["u", "cx"], optimization_level=0)
        assert Operator(fold(plain, 3)[0]).equiv(Operator(circuit))
    assert tn.decompose(circuit, infidelity=1e-9).infidelity < 1e-8
    import pennylane as qml

    made = qml.matrix(to_pennylane(circuit), wire_order=range(N)[::-1])()
    assert Operator(made).equiv(Operator(circuit))


@pytest.mark.parametrize("name", NAMES)
def test_one_gate_of_the_name_on_every_backend(name):
    circuit = QuantumCircuit(2, 2)
    circuit.append(subcircuit(name, 0.7, 1), [0])
    circuit.cx(0, 1)
    value = Statevector(circuit).expectation_value(SparsePauliOp("IZ")).real
    for backend in ("statevector", "aer", "aer:depolarizing=0", "fake:manila"):
        noise = 0.1 if backend == "fake:manila" else 1e-9
        assert estimate(circuit, "IZ", backend=backend).value == pytest.approx(value, abs=noise), backend
        circuit_ = circuit.copy()
        circuit_.measure([0, 1], [0, 1])
        ones = sample(circuit_, shots=3000, seed=2, backend=backend).bits["c"][:, 0].mean()
        assert 1 - 2 * ones == pytest.approx(value, abs=0.15), backend
    assert MitigatedEstimator("aer:depolarizing=0.01", scale_factors=(1, 3)).run([(circuit, "IZ")]).result()[
        0
    ].data.evs == pytest.approx(value, abs=0.02)
    assert Operator(fold_global(circuit, 3)[0]).equiv(Operator(circuit))
    assert Operator(fold_gates(circuit, 3)[0]).equiv(Operator(circuit))


@pytest.mark.parametrize("name", ["h", "barrier", "unitary", "ry"])
def test_free_angles_in_gates_of_the_name(name):
    angle = Parameter("a")
    circuit = QuantumCircuit(2)
    circuit.append(subcircuit(name, angle, 2), [1, 0])
    circuit.ry(angle, 0)
    bound = circuit.assign_parameters([0.4])
    expected = Statevector(bound).expectation_value(SparsePauliOp("ZX")).real
    assert estimate(circuit, "ZX", [0.4]).value == pytest.approx(expected)
    assert float(expectation(circuit, "ZX", [0.4])) == pytest.approx(expected)
    assert float(expectation(circuit, "ZX", [0.4], backend="aer")) == pytest.approx(expected)
    found = tn.fit(circuit, tn.site_tensors(Statevector(bound).data), [0.4])
    assert found.infidelity < 1e-10


@pytest.mark.parametrize("name", ["aer", "aer:depolarizing=1e-12"])
def test_primitives_run_directly(name):
    circuit = QuantumCircuit(2)
    circuit.append(subcircuit("h", 0.7, 1), [0])
    expected = Statevector(circuit).expectation_value(SparsePauliOp("IZ")).real
    backend = get_backend(name)
    assert backend.estimator.run([(circuit, "IZ")]).result()[0].data.evs == pytest.approx(expected)
    circuit.measure_all()
    bits = backend.sampler.run([(circuit,)], shots=4000, seed=1).result()[0].data.meas
    ones = bits.get_int_counts().get(1, 0) / 4000
    assert 1 - 2 * ones == pytest.approx(expected, abs=0.05)


def test_a_device_given_to_mitigation_does_not_take_it_by_its_name():
    target = GenericBackendV2(2, basis_gates=["h", "rz", "ry", "cx"], noise_info=False, seed=1).target
    circuit = QuantumCircuit(2)
    circuit.append(subcircuit("h", 0.7, 1), [0])
    circuit.cx(0, 1)
    estimator = MitigatedEstimator(called_noisy(), extrapolation="linear", target=target)
    value = estimator.run([(circuit, "IZ")]).result()[0].data.evs
    assert value == pytest.approx(Statevector(circuit).expectation_value(SparsePauliOp("IZ")), abs=1e-9)


@pytest.mark.parametrize("name", ["barrier", "measure", "delay", "reset"])
def test_a_gate_of_the_name_before_measurements_is_not_one(name):
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.append(subcircuit(name, 0.7, 2), [0, 1])
    expected = Statevector(circuit).expectation_value(SparsePauliOp("ZI")).real
    circuit.measure([0, 1], [0, 1])
    assert estimate(circuit, "ZI").value == pytest.approx(expected)
    assert cx_count(circuit) == 1
    assert two_qubit_depth(circuit) == 1


def test_branches():
    circuit = QuantumCircuit(2, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    with circuit.if_test((0, 1)):
        circuit.append(subcircuit("h", np.pi, 1), [1])
    circuit.measure_all()
    assert set(sample(circuit, shots=50).counts["meas"]) == {"11"}


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("version", [2, 3])
def test_unitaries_through_openqasm(size, version):
    circuit = QuantumCircuit(3)
    circuit.h(range(3))
    circuit.unitary(random_unitary(2**size, seed=size), range(size))
    circuit.cx(0, 2)
    if version == 2:
        again = qasm2.loads(qasm2.dumps(circuit), custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS)
    else:
        again = qasm3.loads(qasm3.dumps(circuit))
    np.testing.assert_allclose(estimate(again, OBSERVABLES).value, values_of(circuit), atol=1e-8)
    assert sum(sample(again, shots=10).counts["meas"].values()) == 10


def test_true_names_pass_through():
    circuit = efficient_su2(3, reps=1)
    circuit.barrier()
    circuit.delay(10, 0)
    circuit.reset(1)
    circuit.append(Kraus([np.eye(2) * 0.8**0.5, np.diag([1, -1]) * 0.2**0.5]).to_instruction(), [0])
    circuit.unitary(np.eye(2), [0])
    circuit.initialize(1, [2])
    circuit.append(HGate().control(2), [0, 1, 2])
    circuit.append(AnnotatedOperation(HGate(), ControlModifier(1)), [0, 1])
    circuit.append(subcircuit("mine", 0.3, 2, as_gate=False), [0, 1])
    circuit.measure_all()
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)
    circuit.save_statevector()
    assert true_names(circuit) is circuit


def test_label_layout_and_registers_stay():
    circuit = QuantumCircuit(2, 1, name="kept", metadata={"a": 1})
    gate = subcircuit("h", 0.3, 1)
    gate.label = "loud"
    circuit.append(gate, [0])
    isa = get_backend("fake:manila").transpile(circuit)
    isa.append(gate, [1])
    named = true_names(isa)
    assert named.layout == isa.layout
    assert named.data[-1].operation.label == "loud"
    assert (named.name, named.metadata, named.cregs) == (isa.name, isa.metadata, isa.cregs)
    assert isa.data[-1].operation.name == "h"  # the circuit that was passed is unchanged


def test_a_gate_without_meaning_but_its_name_is_refused():
    circuit = QuantumCircuit(1)
    circuit.append(Gate("h", 1, []), [0])
    with pytest.raises(Exception, match="own_h"):
        estimate(circuit, "Z")


def test_no_name_that_qiskit_or_aer_acts_on_is_forgotten():
    """Every name with a meaning is taken from custom gates that carry it."""
    claimed = {*get_standard_gate_name_mapping(), *(key.name for key in StandardEquivalenceLibrary.keys())}
    for method in AerSimulator().available_methods():
        claimed |= set(AerSimulator(method=method).operation_names)
    claimed |= {name.split(".")[0] for name in HighLevelSynthesisPluginManager().plugins.names()}
    claimed |= set(get_backend("fake:torino").target.operation_names)
    for name in sorted(claimed):
        circuit = QuantumCircuit(2)
        try:
            circuit.append(subcircuit(name, 0.3, 2), [0, 1])
        except (AttributeError, IndexError):  # Qiskit itself goes by the name
            continue
        assert true_names(circuit).data[0].operation.name == f"own_{name}", name


@pytest.mark.parametrize("kind", [Barrier(1), Delay(5), Reset(), Measure()])
def test_an_instruction_written_over(kind):
    operation = kind.to_mutable()
    operation.name = "x"
    circuit = QuantumCircuit(1, 1)
    circuit.append(operation, [0], [0] if isinstance(kind, Measure) else [])
    assert isinstance(true_names(circuit).data[0].operation, Instruction)
    assert true_names(circuit).data[0].operation.name == "own_x"
