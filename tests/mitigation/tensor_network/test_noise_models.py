"""Tensor network error mitigation with models of other noise, of a part of it, and of none."""

import pytest
from qiskit import QuantumCircuit
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error

from bondwise.backends import get_backend
from bondwise.mitigation import mitigate_by_tensor_network, twirled_noise
from bondwise.runs import UsageError


def other_noise(kind):
    if kind == "qubits":
        return twirled_noise("fake:torino", range(4))
    noise = NoiseModel(basis_gates=["sx", "cx"])
    noise.add_all_qubit_quantum_error(depolarizing_error(0.01, 1), "sx")
    noise.add_all_qubit_quantum_error(depolarizing_error(0.1, 2), "cx")
    if kind == "gates and readout":
        noise.add_all_qubit_readout_error(ReadoutError([[0.9, 0.1], [0.1, 0.9]]))
    return noise


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("qubits", r"cz, id, measure, .* on qubits 0, 1, 2, 3, and .* has cz on qubits \d+, .*: none of its"),
        ("gates", "errors of cx, sx on all qubits, and the transpiled circuit has cz on qubits"),
        ("gates and readout", "errors of cx, measure, sx on .* none of its two-qubit gates has an error"),
    ],
)
def test_noise_of_other_gates_or_qubits_is_refused(kind, message):
    """Else the value would stay as noisy as it is, without a word."""
    chain = QuantumCircuit(4)
    chain.h(0)
    for qubit in range(3):
        chain.cx(qubit, qubit + 1)
    isa = get_backend("fake:torino").transpile(chain)
    used = {isa.find_bit(qubit).index for step in isa.data for qubit in step.qubits}
    assert not used & set(range(4))
    with pytest.raises(UsageError, match=message) as caught:
        mitigate_by_tensor_network(chain, "Z0 Z1", other_noise(kind), backend="fake:torino", shots=10)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["one-qubit gates", "readout", "one pair"])
def test_noise_of_a_part_of_the_circuit_is_mitigated(kind):
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    noise = NoiseModel(basis_gates=["h", "cx"])
    if kind == "one-qubit gates":
        noise.add_all_qubit_quantum_error(depolarizing_error(0.2, 1), "h")
    elif kind == "readout":
        noise.add_readout_error(ReadoutError([[0.9, 0.1], [0.1, 0.9]]), [2])
    else:
        noise.add_quantum_error(depolarizing_error(0.2, 2), "cx", [1, 2])
    device = get_backend("aer", noise=noise)
    found = mitigate_by_tensor_network(circuit, "XXX", noise, backend=device, shots=4000, seed=2)
    assert found.overhead > 1.2
    assert abs(found.value - 1) < 4 * found.std
    left = {"readout": "cx on qubits (0, 1), cx on qubits (1, 2)", "one pair": "cx on qubits (0, 1)"}
    left["one-qubit gates"] = left["readout"]
    assert found.message == f"noise has no error of {left[kind]}, so none was inverted there"


@pytest.mark.parametrize("backend", ["aer", "aer:depolarizing=0.1"])
def test_a_model_without_errors_inverts_nothing_and_says_so(backend):
    pair = QuantumCircuit(2)
    pair.h(0)
    pair.cx(0, 1)
    with pytest.warns(UserWarning, match="noise has no errors, so nothing was inverted"):
        found = mitigate_by_tensor_network(pair, "ZZ", NoiseModel(), backend=backend, shots=2000, seed=1)
    assert found.message.startswith("noise has no errors, so nothing was inverted")
    assert abs(found.value - (1 if backend == "aer" else 0.9)) < 5 * found.std + 1e-9
    assert found.overhead == pytest.approx(1)
