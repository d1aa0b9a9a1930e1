"""Circuits as states that `decompose` takes, against Qiskit's dense states, and what is refused."""

import numpy as np
import pytest
from helpers import prepared, up_to_phase
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ClassicalRegister, Parameter, QuantumRegister
from qiskit.circuit.library import DiagonalGate, PauliEvolutionGate, get_standard_gate_name_mapping
from qiskit.quantum_info import SparsePauliOp, Statevector, random_unitary

from bondwise.runs import UsageError
from bondwise.tn import decompose, to_dense
from bondwise.tn.states.circuit_state import circuit_tensors


def dense(circuit):
    return to_dense(circuit_tensors(circuit, 32)[0])


def random_circuit(sites, gates, rng):
    """Standard gates of one to three qubits anywhere, with numbers."""
    known = [
        gate for name, gate in get_standard_gate_name_mapping().items() if gate.num_qubits <= min(3, sites)
    ]
    known = [gate for gate in known if gate.name not in ("measure", "reset", "delay", "global_phase")]
    circuit = QuantumCircuit(sites, global_phase=rng.normal())
    for qubit in range(sites):
        circuit.u(*rng.normal(size=3), qubit)
    for k in rng.integers(len(known), size=gates):
        qubits = [int(q) for q in rng.choice(sites, known[k].num_qubits, replace=False)]
        circuit.append(type(known[k])(*rng.normal(size=len(known[k].params))), qubits)
    return circuit


def composite(sites):
    inner = QuantumCircuit(sites, name="inner")
    inner.h(0)
    for qubit in range(sites - 1):
        inner.cx(qubit, qubit + 1)
        inner.ry(0.3, qubit)
    return inner.to_gate()


@settings(max_examples=15, deadline=None)
@given(sites=st.integers(2, 6), gates=st.integers(0, 12), seed=st.integers(0, 2**16))
def test_circuits_of_standard_gates(sites, gates, seed):
    circuit = random_circuit(sites, gates, np.random.default_rng(seed))
    tensors, lost = circuit_tensors(circuit, 8)
    assert up_to_phase(to_dense(tensors), Statevector(circuit).data) < 1e-10
    assert lost < 1e-10
    assert np.linalg.norm(to_dense(tensors)) == pytest.approx(1, abs=1e-12)


def test_circuits_become_shallower():
    circuit = random_circuit(5, 10, np.random.default_rng(0))
    found = decompose(circuit, infidelity=1e-6, seed=0)
    exact = 1 - abs(np.vdot(Statevector(circuit).data, prepared(found))) ** 2
    assert found.infidelity == pytest.approx(exact, abs=1e-9)
    assert found.message.startswith("state of the circuit, bond ")
    assert "left out" not in found.message


BUILDS = {
    "measured": lambda c: (c.h(0), c.cx(0, 2), c.measure_all()),
    "partly measured": lambda c: (c.h(0), c.cx(0, 2), c.barrier(), c.measure(1, 0), c.ry(0.3, 0)),
    "toffoli": lambda c: (c.h(0), c.h(3), c.ccx(3, 0, 2), c.cswap(0, 1, 2)),
    "unitaries": lambda c: (
        c.unitary(random_unitary(4, seed=1), [3, 0]),
        c.unitary(random_unitary(8, seed=2), [1, 3, 0]),
        c.unitary(random_unitary(16, seed=3), [1, 3, 0, 2]),
    ),
    "composite of 3": lambda c: (c.append(composite(3), [2, 0, 3]), c.append(composite(3), [3, 1, 2])),
    "composite of 2": lambda c: (c.append(composite(2), [2, 0]), c.append(composite(2), [0, 1])),
    "composite of 1": lambda c: (c.append(composite(1), [2]), c.cx(2, 0)),
    "state preparation": lambda c: c.prepare_state([0.6, 0, 0, 0.8j], [0, 2]),
    "diagonal": lambda c: (c.h(0), c.h(1), c.append(DiagonalGate([1, -1, 1j, 1]), [0, 1])),
    "idle": lambda c: (c.h(1), c.cx(1, 3), c.delay(100, 0), c.barrier()),
    "no gates": lambda c: None,
    "far": lambda c: (c.h(3), c.cx(3, 0), c.cu(0.1, 0.2, 0.3, 0.4, 0, 3), c.ecr(3, 1)),
}


@pytest.mark.parametrize("name", BUILDS)
def test_circuits_of_all_kinds(name):
    circuit = QuantumCircuit(QuantumRegister(2, "b"), QuantumRegister(2, "a"), ClassicalRegister(4))
    BUILDS[name](circuit)
    plain = circuit.remove_final_measurements(inplace=False)
    assert up_to_phase(dense(circuit), Statevector(plain).data) < 1e-12


@pytest.mark.parametrize("sites", [2, 3])
def test_evolutions_are_the_product_formula_whatever_their_size(sites):
    """The words do not commute: what a device runs is not the exact evolution."""
    words = SparsePauliOp.from_sparse_list(
        [("ZZ", [0, sites - 1], 1.0), *(("X", [i], 1.0) for i in range(sites))], sites
    )
    circuit = QuantumCircuit(4)
    circuit.append(PauliEvolutionGate(words, 0.7), range(sites))
    formula = Statevector(circuit.decompose("PauliEvolution", reps=3)).data
    assert up_to_phase(dense(circuit), formula) < 1e-12


@pytest.mark.parametrize("sites", [1, 2])
def test_circuits_of_few_qubits(sites):
    circuit = QuantumCircuit(sites)
    circuit.ry(0.3, 0)
    circuit.rx(0.4, sites - 1)
    assert up_to_phase(prepared(decompose(circuit, seed=0)), Statevector(circuit).data) < 1e-12


def test_parameters_that_are_bound():
    circuit = QuantumCircuit(3)
    circuit.rx(2 * Parameter("x"), 0)
    circuit.cp(Parameter("y"), 0, 2)
    with pytest.raises(UsageError, match="has 2 free parameters; bind them with assign_parameters"):
        decompose(circuit)
    bound = circuit.assign_parameters([0.3, 0.4])
    assert up_to_phase(dense(bound), Statevector(bound).data) < 1e-12


def test_what_a_small_bond_leaves_out_is_said():
    """Bell pairs across the middle: bond 4 holds them, bond 2 half of their weight."""
    circuit = QuantumCircuit(4)
    circuit.h([0, 1])
    circuit.cx([0, 1], [2, 3])
    whole, half = (decompose(circuit, layers=1, restarts=0, seed=0, max_bond=bond) for bond in (4, 2))
    assert whole.exact
    assert "left out" not in whole.message
    assert "bond 2, which leaves out a weight of 5.0e-01" in half.message
    assert not half.exact  # the infidelity is that of another state than the circuit's


@pytest.mark.parametrize("max_bond", [0, -1, 1.5, True, "8"])
def test_bonds_that_are_none(max_bond):
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    with pytest.raises(UsageError, match="max_bond is .*; give a whole number of at least 1"):
        decompose(circuit, max_bond=max_bond)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda c: c.reset(0), "holds 'reset'.*; remove it"),
        (lambda c: (c.ccx(0, 1, 2), c.reset(0)), "holds 'reset'.*; remove it"),
        (lambda c: (c.measure(0, 0), c.x(0)), "holds 'measure'.*; remove it"),
        (lambda c: c.initialize([0.6, 0.8], 0), "holds '(initialize|reset)'.*; remove it"),
        (lambda c: c.initialize(np.full(8, 8**-0.5)), "holds '(initialize|reset)'.*; remove it"),
        (
            lambda c: c.if_test((c.clbits[0], 1), QuantumCircuit(1), [0], []),
            "holds 'if_else'.*; remove it",
        ),
    ],
    ids=["reset", "reset and toffoli", "measurement in the middle", "initialize", "initialize 3", "if"],
)
def test_what_is_not_a_gate_is_refused(build, message):
    circuit = QuantumCircuit(3, 1)
    build(circuit)
    with pytest.raises(UsageError, match=message) as caught:
        decompose(circuit)
    assert "\n" not in str(caught.value)


def test_numbers_that_are_not_finite_are_refused():
    circuit = QuantumCircuit(2)
    circuit.rx(np.nan, 1)
    circuit.cx(1, 0)
    with pytest.raises(UsageError, match="NaN|finite"):
        decompose(circuit)


def test_no_qubits_are_refused():
    with pytest.raises(UsageError, match="qubit"):
        decompose(QuantumCircuit(0))


def test_the_circuit_stays_as_it_was():
    circuit = random_circuit(3, 5, np.random.default_rng(1))
    circuit.measure_all()
    before = circuit.copy()
    decompose(circuit, layers=1, restarts=0, seed=0)
    assert circuit == before


def test_deep_circuits_of_simple_states_are_exact():
    """A Fourier transform of a basis state is a product state, whatever its bonds on the way."""
    from qiskit.circuit.library import QFTGate

    circuit = QuantumCircuit(10)
    circuit.x([0, 3])
    circuit.append(QFTGate(10), range(10))
    found = decompose(circuit.decompose(reps=3), max_bond=2, seed=0)
    assert (found.cx_count, found.exact, found.converged) == (0, True, True)
    exact = Statevector(circuit).data
    assert (
        abs(np.vdot(exact, Statevector(found.circuit.assign_parameters(found.parameters)).data)) > 1 - 1e-10
    )


def test_what_is_left_out_of_a_circuit_counts():
    circuit = QuantumCircuit(4)
    for qubit in (0, 1):
        circuit.h(qubit)
        circuit.cx(qubit, qubit + 2)
    found = decompose(circuit, infidelity=1e-3, max_bond=1, seed=0)
    assert not found.converged
    assert not found.exact
    assert "(approximate)" in str(found)
    assert "raise max_bond" in found.message
