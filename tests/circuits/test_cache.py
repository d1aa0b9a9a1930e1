"""The cache of compiled circuits: what shares an entry and what does not."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter
from qiskit.circuit.library import CXGate, PauliEvolutionGate, RYGate, UnitaryGate
from qiskit.quantum_info import SparsePauliOp

from bondwise.backends import estimate, get_backend
from bondwise.circuits.cache import CircuitCache

x = Parameter("x")


def circuit(write, *, phase: float = 0.0) -> QuantumCircuit:
    made = QuantumCircuit(2, 2, global_phase=phase)
    write(made)
    return made


def boxed(angle: float):
    inner = QuantumCircuit(1, name="inner")
    inner.ry(angle, 0)
    return inner.to_gate(label="box")


def evolution(weight: float) -> PauliEvolutionGate:
    return PauliEvolutionGate(SparsePauliOp("XX", weight), x)


DIFFERENT = {
    "angle": (lambda q: q.ry(0.1, 0), lambda q: q.ry(0.1 + 1e-15, 0)),
    "expression": (lambda q: q.ry(2 * x + 0.1, 0), lambda q: q.ry(2 * x + (0.1 + 1e-15), 0)),
    "nearly the number": (lambda q: q.ry(0.5, 0), lambda q: q.ry(x - x + 0.5, 0)),
    "qubit": (lambda q: q.ry(x, 0), lambda q: q.ry(x, 1)),
    "kind": (lambda q: q.ry(x, 0), lambda q: q.rx(x, 0)),
    "one more": (lambda q: q.ry(x, 0), lambda q: (q.ry(x, 0), q.h(0))),
    "parameter": (lambda q: q.ry(x, 0), lambda q: q.ry(Parameter("x"), 0)),
    "label": (lambda q: q.append(RYGate(0.1), [0]), lambda q: q.append(RYGate(0.1, label="a"), [0])),
    "matrix": (lambda q: q.unitary(np.eye(2), 0), lambda q: q.unitary(np.diag([1, np.exp(1e-8j)]), 0)),
    "definition": (lambda q: q.append(boxed(0.1), [0]), lambda q: q.append(boxed(0.1 + 1e-15), [0])),
    "control": (lambda q: q.cx(0, 1), lambda q: q.append(CXGate(ctrl_state=0), [0, 1])),
    "delay": (lambda q: q.delay(1, 0, unit="ns"), lambda q: q.delay(1, 0, unit="us")),
    "clbit": (lambda q: q.measure(0, 0), lambda q: q.measure(0, 1)),
    "operator": (lambda q: q.append(evolution(1.0), [0, 1]), lambda q: q.append(evolution(2.0), [0, 1])),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_equal_circuits_share_an_entry_and_different_ones_do_not(what: str) -> None:
    cache: CircuitCache[int] = CircuitCache()
    first, second = DIFFERENT[what]
    fresh = iter(range(9))
    found = [cache.get(circuit(write), lambda: next(fresh)) for write in (first, first, second)]
    assert found == [0, 0, 1]
    assert cache.get(circuit(first, phase=0.1), lambda: 7) == 7


@pytest.mark.parametrize("what", DIFFERENT)
def test_a_circuit_that_is_rewritten_in_place_is_another_one(what: str) -> None:
    cache: CircuitCache[str] = CircuitCache()
    first, second = DIFFERENT[what]
    made = circuit(first)
    for _ in range(2):
        assert cache.get(made, lambda: "first") == "first"
    assert cache.get(made, lambda: "other", extra="other") == "other"
    made.data = []
    second(made)
    for _ in range(2):
        assert cache.get(made, lambda: "second") == "second"
    made.global_phase = 0.1
    assert cache.get(made, lambda: "phase") == "phase"
    made.add_register(ClassicalRegister(1, "more"))
    assert cache.get(made, lambda: "register") == "register"


def test_registers_count() -> None:
    cache: CircuitCache[str] = CircuitCache()
    for name in "ab":
        made = QuantumCircuit(QuantumRegister(1, "q"), ClassicalRegister(1, name))
        assert cache.get(made, lambda name=name: name) == name


def test_circuits_with_branches_are_made_each_time() -> None:
    def branch(q: QuantumCircuit) -> None:
        with q.if_test((0, 1)):
            q.x(0)

    cache: CircuitCache[int] = CircuitCache()
    assert [cache.get(circuit(branch), lambda made=made: made) for made in (1, 2)] == [1, 2]


def test_the_least_recently_used_is_dropped() -> None:
    cache: CircuitCache[str] = CircuitCache(size=2)
    one, two, three = (circuit(lambda q, angle=angle: q.ry(angle, 0)) for angle in (1.0, 2.0, 3.0))
    for made in (one, two, one, three):
        cache.get(made, lambda: "first")
    assert [cache.get(made, lambda: "again") for made in (one, three, two)] == ["first", "first", "again"]


def test_threads_share_a_cache() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    cache: CircuitCache[float] = CircuitCache(size=3)

    def look(step: int) -> bool:
        angle = float(step % 7)
        return cache.get(circuit(lambda q: q.ry(angle, 0)), lambda: angle) == angle

    try:
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(look, range(2000)))
    finally:
        sys.setswitchinterval(interval)


def test_compiled_circuits_bear_the_callers_name_and_metadata() -> None:
    backend = get_backend("fake:manila")
    for name in ("first", "second"):
        made = QuantumCircuit(1, name=name, metadata={"whose": name})
        made.ry(0.25, 0)
        compiled = backend.transpile(made)
        assert (compiled.name, compiled.metadata) == (name, {"whose": name})


def test_finite_differences_of_a_fixed_matrix() -> None:
    def value(angle: float) -> float:
        made = QuantumCircuit(1)
        made.append(UnitaryGate(RYGate(angle).to_matrix()), [0])
        return estimate(made, SparsePauliOp("Z"), backend="aer:depolarizing=0.01").value

    assert (value(0.3 + 1e-7) - value(0.3 - 1e-7)) / 2e-7 == pytest.approx(-np.sin(0.3), abs=1e-6)
