"""Circuits as matrices of their parameters: against Qiskit's states, and derivatives against differences."""

import numpy as np
import pytest
from helpers import applied
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ClassicalRegister, Parameter, ParameterVector, QuantumRegister
from qiskit.circuit.library import (
    DiagonalGate,
    GlobalPhaseGate,
    MCPhaseGate,
    PauliEvolutionGate,
    PauliGate,
    QFTGate,
    RXGate,
    SXGate,
    U3Gate,
    efficient_su2,
    get_standard_gate_name_mapping,
)
from qiskit.quantum_info import SparsePauliOp, Statevector, random_unitary

from bondwise.runs import UsageError
from bondwise.tn.preparation.gate_matrices import GateMatrices

GATES = {
    name: gate
    for name, gate in get_standard_gate_name_mapping().items()
    if name not in ("measure", "reset", "delay")
}


def check(circuit, seed=0, *, parameters=None):
    """State and derivative at one point."""
    rng = np.random.default_rng(seed)
    if parameters is None:
        parameters = rng.uniform(0.3, 1.5, circuit.num_parameters)
    matrices = GateMatrices(circuit)
    assert all(0 <= a < b < circuit.num_qubits for a, b in matrices.pairs)
    gates = matrices.gates(parameters)
    assert gates.shape == (len(matrices.pairs), 4, 4)
    bound = circuit.remove_final_measurements(inplace=False).assign_parameters(parameters)
    exact = Statevector(bound).data
    state = applied(gates, matrices.pairs, circuit.num_qubits)
    assert abs(np.vdot(exact, state)) == pytest.approx(1, abs=1e-12)

    weights = rng.normal(size=gates.shape) + 1j * rng.normal(size=gates.shape)
    slopes = matrices.pullback(parameters, weights)
    assert slopes.shape == parameters.shape
    for j, unit in enumerate(np.eye(len(parameters))):
        ahead, behind = (matrices.gates(parameters + step * unit) for step in (1e-5, -1e-5))
        assert slopes[j] == pytest.approx(((ahead - behind) * weights).sum() / 2e-5, abs=1e-7)
    return matrices


def dressed(build, sites=3):
    """A circuit whose qubits are all rotated before it and entangled after it."""
    circuit = QuantumCircuit(sites)
    for qubit in range(sites):
        circuit.ry(0.3 + qubit, qubit)
        circuit.rz(0.2 * qubit + 0.1, qubit)
    build(circuit)
    for qubit in range(sites - 1):
        circuit.cx(qubit, qubit + 1)
    return circuit


@pytest.mark.parametrize("name", sorted(GATES))
def test_every_standard_gate(name):
    gate = GATES[name]
    sites = max(3, gate.num_qubits)
    for qubits in (range(gate.num_qubits), range(sites)[::-1][: gate.num_qubits]):
        check(dressed(lambda circuit, qubits=qubits: circuit.append(gate, list(qubits)), sites))


def test_the_promised_gates_are_among_them():
    promised = """id x y z h s sdg t tdg sx sxdg rx ry rz p u u1 u2 u3 r cx cy cz ch cs csdg csx cp crx cry
    crz cu cu1 cu3 swap iswap dcx ecr rxx ryy rzz rzx xx_minus_yy xx_plus_yy ccx ccz cswap
    global_phase""".split()
    assert set(promised) <= set(GATES)


T = ParameterVector("t", 6)
PAIR = random_unitary(4, seed=1)


def composite():
    inner = QuantumCircuit(2, name="inner")
    inner.rx(T[0], 0)
    inner.cp(T[1], 1, 0)
    return inner.to_gate()


OTHERS = {
    "unitary 1": lambda c: c.unitary(random_unitary(2, seed=1), [2]),
    "unitary 2": lambda c: (c.unitary(PAIR, [2, 0]), c.unitary(PAIR, [0, 1])),
    "unitary 2, angles": lambda c: (c.unitary(PAIR, [2, 0]), c.cu(*T[:4], 0, 2)),
    "unitary 3": lambda c: (c.unitary(random_unitary(8, seed=3), [3, 0, 2]), c.rx(T[0], 3)),
    "pauli": lambda c: (c.append(PauliGate("XYZ"), [2, 0, 1]), c.ry(T[0], 1)),
    "evolution 2": lambda c: c.append(PauliEvolutionGate(SparsePauliOp(["ZZ", "XX"]), T[0]), [0, 2]),
    "evolution 3": lambda c: c.append(PauliEvolutionGate(SparsePauliOp(["ZZX", "IZX"]), T[0] / 2), [3, 0, 2]),
    "controlled twice": lambda c: c.append(RXGate(T[0]).control(2, ctrl_state=1), [0, 1, 2]),
    "controlled, annotated": lambda c: c.append(RXGate(T[0]).control(1, annotated=True), [2, 1]),
    "controlled phase": lambda c: c.append(MCPhaseGate(T[0], 3), [0, 1, 2, 3]),
    "inverse": lambda c: c.append(U3Gate(*T[:3]).inverse(), [1]),
    "power": lambda c: (c.append(SXGate().power(0.3), [0]), c.rz(T[0], 0)),
    "diagonal": lambda c: (c.append(DiagonalGate([1, -1, 1j, 1]), [0, 1]), c.rx(T[0], 0)),
    "state preparation": lambda c: (c.prepare_state([0.6, 0, 0, 0.8j], [0, 1]), c.rx(T[0], 0)),
    "qft": lambda c: (c.append(QFTGate(3), [0, 1, 3]), c.rx(T[0], 0)),
    "composite, twice": lambda c: (c.append(composite(), [1, 3]), c.append(composite(), [3, 0])),
    "ansatz": lambda c: c.compose(efficient_su2(4, reps=1), inplace=True),
    "barrier and delay": lambda c: (c.barrier(), c.rx(T[0], 0), c.delay(10, 1), c.barrier(0, 1)),
    "global phase": lambda c: (c.append(GlobalPhaseGate(0.3), []), c.rx(T[0], 0)),
    "free global phase": lambda c: (c.append(GlobalPhaseGate(T[1]), []), c.rx(T[0], 0)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_gates(name):
    check(dressed(OTHERS[name], 4))


@pytest.mark.parametrize("sites", [2, 3])
def test_evolutions_are_the_product_formula_that_a_device_runs(sites):
    """The words do not commute, so that the exact evolution is another state."""
    words = SparsePauliOp.from_sparse_list(
        [("ZZ", [0, sites - 1], 1.0), *(("X", [i], 1.0) for i in range(sites))], sites
    )
    circuit = dressed(lambda c: c.append(PauliEvolutionGate(words, T[0]), range(sites)))
    matrices = GateMatrices(circuit)
    state = applied(matrices.gates(np.array([0.7])), matrices.pairs, 3)
    formula = Statevector(circuit.assign_parameters([0.7]).decompose("PauliEvolution", reps=3)).data
    assert abs(np.vdot(formula, state)) == pytest.approx(1, abs=1e-12)
    assert abs(np.vdot(Statevector(circuit.assign_parameters([0.7])).data, state)) < 1 - 1e-4


EXPRESSIONS = {
    "shared": lambda c: (c.rx(T[0], 0), c.ry(T[0], 1), c.rzz(T[0], 0, 1), c.crx(T[0], 1, 2)),
    "scaled": lambda c: (c.rx(2 * T[0] + 0.3, 0), c.ry(-T[0] / 3, 1), c.rxx(T[1] * np.pi, 0, 2)),
    "sums": lambda c: (c.rx(T[0] + T[1], 0), c.ry(T[0] - 2 * T[1] + 1, 0), c.rz(T[1] - T[1] + T[0], 0)),
    "products": lambda c: (c.rx(T[0] * T[1], 0), c.ry(T[0] ** 2, 1), c.rz(T[0] * T[1] * T[2], 2)),
    "functions": lambda c: (
        c.rx(T[0].sin() * T[1], 0),
        c.ry(T[0].exp(), 1),
        c.cp(T[2].arctan(), 0, 2),
        c.p(T[1].log(), 1),
        c.rzz(1 / T[0], 1, 2),
        c.u(T[0].cos(), T[1] ** 0.5, T[2].abs(), 0),
    ),
    "a number after all": lambda c: (c.rx(T[0] - T[0] + 0.4, 0), c.ry(T[0], 1), c.rz(T[1] * 0 + 0.3, 2)),
    "two names": lambda c: (c.rx(Parameter("zeta"), 0), c.ry(Parameter("alpha"), 1), c.rz(T[0], 2)),
    "many elements": lambda c: [c.rx(angle, k % 3) for k, angle in enumerate(ParameterVector("w", 12))],
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions_of_parameters(name):
    check(dressed(EXPRESSIONS[name]))


class TestShapes:
    def test_no_two_qubit_gates(self):
        circuit = QuantumCircuit(3)
        circuit.rx(T[0], 0)
        circuit.h(2)
        circuit.ry(T[1], 2)
        check(circuit)

    def test_nothing_at_all(self):
        assert check(QuantumCircuit(2)).pairs == []
        circuit = QuantumCircuit(2, global_phase=T[0])
        assert check(circuit).pairs == []

    def test_idle_qubits(self):
        circuit = QuantumCircuit(5)
        circuit.rx(T[0], 3)
        circuit.cx(3, 1)
        circuit.ry(T[0], 4)
        check(circuit)

    def test_the_order_in_which_independent_gates_are_written_does_not_matter(self):
        found = []
        for pairs in ([(0, 1), (2, 3), (1, 2)], [(2, 3), (0, 1), (1, 2)]):
            circuit = QuantumCircuit(4)
            for pair in pairs:
                circuit.rzz(T[pair[0]], *pair)
            found.append(check(circuit).pairs)
        assert found[0] == found[1]

    def test_runs_on_the_same_qubits_are_one_matrix(self):
        circuit = QuantumCircuit(3)
        for angle in T[:3]:
            circuit.cx(0, 1)
            circuit.rx(angle, 0)
            circuit.cz(1, 0)
        circuit.cx(1, 2)
        circuit.ry(T[3], 0)  # still the first run's
        circuit.cx(0, 1)
        assert check(circuit).pairs == [(0, 1), (1, 2), (0, 1)]

    def test_gates_of_one_qubit_at_the_end(self):
        circuit = QuantumCircuit(2)
        circuit.cx(0, 1)
        circuit.u(*T[:3], 0)
        circuit.rx(T[3], 1)
        assert check(circuit).pairs == [(0, 1)]

    def test_several_registers_and_final_measurements(self):
        circuit = QuantumCircuit(QuantumRegister(2, "b"), QuantumRegister(1, "a"), ClassicalRegister(2, "c"))
        circuit.rx(T[0], 2)
        circuit.cx(2, 0)
        circuit.barrier()
        circuit.measure([2, 1], [0, 1])
        check(circuit)

    def test_the_circuit_stays_as_it_was(self):
        circuit = dressed(lambda c: c.cu(*T[:4], 0, 2))
        circuit.measure_all()
        before = circuit.copy()
        GateMatrices(circuit).gates(np.ones(4))
        assert circuit == before

    def test_barriers_and_unitaries_do_not_hinder_known_gates(self):
        """Three fixed gates and a rotation on one pair remain one matrix of the same values."""
        circuit = QuantumCircuit(3)
        circuit.h(0)
        circuit.barrier()
        circuit.cx(0, 1)
        circuit.rzz(T[0], 0, 1)
        assert check(circuit).pairs == [(0, 1)]


@st.composite
def circuits(draw):
    """Any gates on any qubits with shared parameters, free or scaled, and numbers."""
    sites = draw(st.integers(2, 5))
    circuit = QuantumCircuit(sites, global_phase=draw(st.floats(-3, 3)))
    angles = st.one_of(
        st.sampled_from(list(T)),
        st.builds(lambda t, k: k * t + 0.2, st.sampled_from(list(T)), st.sampled_from([-1.5, 0.5, 2])),
        st.builds(lambda s, t: s * t, st.sampled_from(list(T)), st.sampled_from(list(T))),
        st.floats(-3, 3),
    )
    names = [
        name for name, gate in GATES.items() if gate.num_qubits <= min(3, sites) and name != "global_phase"
    ]
    for name in draw(st.lists(st.sampled_from(names), max_size=10)):
        gate = GATES[name]
        qubits = draw(st.permutations(range(sites)))[: gate.num_qubits]
        circuit.append(type(gate)(*(draw(angles) for _ in gate.params)), qubits)
    return circuit


@settings(max_examples=40, deadline=None)
@given(circuit=circuits(), seed=st.integers(0, 99))
def test_any_circuit(circuit, seed):
    check(circuit, seed)


class TestRefused:
    @pytest.mark.parametrize(
        ("build", "message"),
        [
            (lambda c: c.reset(0), "holds 'reset'"),
            (lambda c: (c.measure(0, 0), c.x(0)), "holds 'measure', which is not a gate; remove it"),
            (lambda c: c.initialize([0.6, 0.8], 0), "the circuit holds '.*'.*; remove it"),
            (lambda c: c.initialize([0.5] * 4, [0, 1]), "the circuit holds '.*'.*; remove it"),
            (lambda c: c.if_test((c.clbits[0], 1), QuantumCircuit(1), [0], []), "holds 'if_else'"),
        ],
        ids=["reset", "measurement in the middle", "initialize", "initialize 2", "if"],
    )
    def test_what_is_not_a_gate(self, build, message):
        circuit = QuantumCircuit(2, 1)
        circuit.rx(T[0], 0)
        build(circuit)
        circuit.cx(0, 1)
        with pytest.raises(UsageError, match=message) as caught:
            GateMatrices(circuit)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("sites", [0, 1])
    def test_fewer_than_two_qubits(self, sites):
        with pytest.raises(UsageError, match=r"give one on at least 2"):
            GateMatrices(QuantumCircuit(sites))

    def test_numbers_that_are_not_finite(self):
        circuit = QuantumCircuit(2)
        circuit.rx(np.nan, 0)
        circuit.cx(0, 1)
        with pytest.raises(UsageError, match="NaN|finite"):
            GateMatrices(circuit)
