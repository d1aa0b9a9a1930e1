"""The bits of a register come back under its name on every backend, whatever the name is."""

import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Clbit, Qubit
from qiskit.primitives import StatevectorSampler
from qiskit.providers.fake_provider import GenericBackendV2

from bondwise.backends import estimate, sample
from bondwise.circuits import readable

BACKENDS = ["statevector", "aer:density_matrix", "aer:depolarizing=0.01", "fake:manila"]
BACKENDS += [GenericBackendV2(3, noise_info=False), StatevectorSampler()]
NAMES = [backend if isinstance(backend, str) else type(backend).__name__ for backend in BACKENDS]


def bits_of(samples):
    """The most frequent word of each register; noise and readout errors are small."""
    return {name: max(counts, key=counts.get) for name, counts in samples.counts.items()}


@pytest.mark.parametrize("backend", BACKENDS, ids=NAMES)
def test_names_that_results_use_themselves(backend):
    names = [
        "shape",
        "data",
        "values",
        "items",
        "keys",
        "self",
        "size",
        "_FIELDS",
        "__class__",
        "meas",
        "",
        "a b",
    ]
    registers = [ClassicalRegister(1 + index % 2, name) for index, name in enumerate(names)]
    circuit = QuantumCircuit(QuantumRegister(2, "q"), *registers, name="kept")
    circuit.x(0)
    for register in registers:
        circuit.measure(range(register.size), register)
    found = bits_of(sample(circuit, shots=100, seed=1, backend=backend))
    assert list(found.items()) == [(r.name, "01"[-r.size :]) for r in registers]
    kept = sample(circuit, shots=100, seed=1, backend=backend, post_select={"shape": "1"})
    assert kept.kept.mean() > 0.8


@pytest.mark.parametrize("backend", BACKENDS[:4])
def test_a_branch_on_a_renamed_register(backend):
    circuit = QuantumCircuit(QuantumRegister(2, "q"), ClassicalRegister(1, "shape"))
    circuit.x(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.cregs[0], 1)):
        circuit.x(1)
    assert estimate(circuit, "ZI", shots=100, backend=backend).value == pytest.approx(-1, abs=0.3)
    circuit.measure(1, 0)
    assert bits_of(sample(circuit, shots=100, backend=backend)) == {"shape": "1"}


@pytest.mark.parametrize("backend", BACKENDS, ids=NAMES)
def test_loose_bits_are_read(backend):
    circuit = QuantumCircuit([Qubit(), Qubit()], [Clbit(), Clbit()])
    circuit.x(0)
    circuit.measure([0, 1], [0, 1])
    found = sample(circuit, shots=100, seed=1, backend=backend)
    assert (bits_of(found), found.shots) == ({"c": "01"}, 100)
    circuit = QuantumCircuit(QuantumRegister(2, "q"), ClassicalRegister(1, "c"))
    circuit.add_bits([Clbit()])
    circuit.x(1)
    circuit.measure([0, 1], [0, 1])
    assert bits_of(sample(circuit, shots=100, seed=1, backend=backend)) == {"c": "0", "c_": "1"}


@pytest.mark.parametrize("backend", BACKENDS, ids=NAMES)
def test_a_register_that_is_called_meas_already(backend):
    for _ in range(2):  # the same names at every call
        circuit = QuantumCircuit(QuantumRegister(2, "q"), ClassicalRegister(2, "meas"))
        circuit.x(0)
        assert bits_of(sample(circuit, shots=100, seed=1, backend=backend)) == {"meas": "01"}
        circuit = QuantumCircuit(QuantumRegister(2, "q"), ClassicalRegister(1, "meas"))
        circuit.x(0)
        found = bits_of(sample(circuit, shots=100, seed=1, backend=backend))
        assert found == {"meas": "0", "meas_": "01"}


def test_qubits_called_like_our_registers():
    circuit = QuantumCircuit(QuantumRegister(1, "meas"), QuantumRegister(1, "basis"))
    circuit.x(1)
    assert bits_of(sample(circuit, shots=10)) == {"meas_": "10"}
    assert estimate(circuit, "ZI", shots=10).value == -1


def test_ordinary_circuits_pass_through():
    circuit = QuantumCircuit(2, 2)
    circuit.measure([0, 1], [0, 1])
    assert readable(circuit)[0] is circuit


@pytest.mark.parametrize("backend", BACKENDS[:2])
@pytest.mark.parametrize("sizes", [{"e": 0, "c": 70}, {"c": 70, "e": 0}, {"a": 3, "e": 0, "c": 2}])
def test_registers_without_bits_beside_others(backend, sizes):
    circuit = QuantumCircuit(
        QuantumRegister(1, "q"), *(ClassicalRegister(n, name) for name, n in sizes.items())
    )
    circuit.x(0)
    register = circuit.cregs[list(sizes).index("c")]
    circuit.measure(0, register[0])
    samples = sample(circuit, shots=4, backend=backend)
    words = {name: "0" * (size - 1) + "1" if name == "c" else "0" * size for name, size in sizes.items()}
    assert samples.counts == {name: {word: 4} for name, word in words.items()}
    assert samples.joint_counts == {" ".join(reversed(words.values())): 4}
