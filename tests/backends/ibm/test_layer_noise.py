"""Probabilistic error amplification on a snapshot: what is injected is the noise of its two-qubit gates."""

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import BoxOp
from qiskit.circuit.library import efficient_su2
from qiskit.quantum_info import (
    PTM,
    Kraus,
    PauliLindbladMap,
    QubitSparsePauli,
    SparsePauliOp,
    SuperOp,
    pauli_basis,
    random_unitary,
)
from qiskit_aer.noise import PauliLindbladError, amplitude_damping_error, depolarizing_error
from qiskit_aer.noise.noiseerror import NoiseError

from bondwise.backends import UnsupportedOption, estimate, get_backend, plan
from bondwise.backends.ibm.layer_noise import layer_noise
from bondwise.backends.simulators.fake import fake_backend
from bondwise.backends.simulators.reduced_device import ReducedDevice
from bondwise.mitigation import NoiseScan

pytest_plugins = ["bondwise.backends.ibm.fixtures"]
PEA = "fake:manila,resilience=2,amplifier=pea"


def boxed(size, *pairs):
    """A circuit with one box of cx gates, and the box."""
    circuit, body = QuantumCircuit(size), QuantumCircuit(size)
    for pair in pairs:
        body.cx(*pair)
    order = np.random.default_rng(0).permutation(size).tolist()
    inner = QuantumCircuit(size)
    place = {qubit: index for index, qubit in enumerate(order)}
    for pair in pairs:
        inner.cx(*(place[qubit] for qubit in pair))
    circuit.append(BoxOp(inner), order)
    return circuit, circuit.data[0]


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_rates_of_pauli_lindblad_channels_are_found_on_the_right_qubits(seed):
    rng = np.random.default_rng(seed)
    channels, wanted = {}, []
    for where in ((2, 0), (1, 3)):
        rates = rng.uniform(0, 0.02, 15) * rng.integers(0, 2, 15)
        try:
            error = PauliLindbladError(pauli_basis(2)[1:], rates).to_quantum_error()
        except NoiseError:  # Aer drops tiny probabilities, and may then find the sum too small
            reject()
        channels["cx", where] = SuperOp(error).data
        labels = [label[::-1] for label in pauli_basis(2)[1:].to_labels()]
        wanted += [(label, list(where), rate) for label, rate in zip(labels, rates, strict=True)]
    circuit, box = boxed(4, (2, 0), (1, 3))
    [(layer, found)] = layer_noise([box], circuit, channels)
    assert layer is box
    expected = PauliLindbladMap.from_sparse_list(wanted, num_qubits=4)
    for label in map("".join, rng.choice(list("IXYZ"), (20, 4))):
        fidelity = [one.pauli_fidelity(QubitSparsePauli.from_label(label)) for one in (found, expected)]
        assert fidelity[0] == pytest.approx(fidelity[1], abs=1e-7)  # Aer drops tiny probabilities


@pytest.mark.parametrize("kind", ["damping", "depolarizing", "coherent"])
def test_other_channels_keep_their_twirled_fidelities(kind):
    """Of coherent errors the largest fidelities are kept; their rates need not be probabilities."""
    if kind == "damping":
        channel = SuperOp(amplitude_damping_error(0.1).tensor(amplitude_damping_error(0.02)))
    elif kind == "depolarizing":
        channel = SuperOp(depolarizing_error(0.05, 2))
    else:
        channel = SuperOp(Kraus(random_unitary(4, seed=1).power(0.02)))
    circuit, box = boxed(2, (0, 1))
    [(_, found)] = layer_noise([box], circuit, {("cx", (0, 1)): channel.data})
    fidelities = np.real(np.diag(PTM(channel).data))
    assert (found.rates >= 0).all()
    for pauli, fidelity in zip(pauli_basis(2), fidelities, strict=True):
        tolerance = 1e-3 if kind == "coherent" else 1e-12
        assert found.pauli_fidelity(QubitSparsePauli.from_label(pauli.to_label())) == pytest.approx(
            fidelity, abs=tolerance
        )


def test_noise_of_the_gates_grows_by_the_factor():
    """Z of a control passes through all gates, so its value decays by their Pauli fidelity, once for each.

    At factor 1 nothing is injected: the value is that of the noise of the snapshot alone.
    """
    backend, gates = get_backend(PEA), 20
    circuit = QuantumCircuit(5)
    for _ in range(gates):
        circuit.cx(0, 1)
        circuit.barrier(0, 1)
    [part] = backend.run([(circuit, ["IIIIZ"])], shots=4000, seed=4)
    scan = NoiseScan.from_pub_result(part)
    channel = ReducedDevice("manila", fake_backend("manila").target, (0, 1)).channels()["cx", (0, 1)]
    fidelity = np.real(np.diag(PTM(SuperOp(channel)).data))[pauli_basis(2).to_labels().index("IZ")]
    expected = fidelity ** (gates * scan.scale_factors)
    assert np.abs(expected - [0.83, 0.57, 0.39]).max() < 0.01
    # the gates that twirl have errors too
    assert np.all(np.abs(scan.value[0] - expected) < 3 * scan.std[0] + 0.01)
    assert scan.std.max() < 0.06


@pytest.mark.parametrize("device", ["torino", "brisbane"], ids=["cz", "ecr"])
def test_other_gates_and_several_layers(device):
    circuit = efficient_su2(3, reps=2, entanglement="linear")
    angles = np.random.default_rng(1).uniform(-0.4, 0.4, circuit.num_parameters)
    name = f"fake:{device},resilience=2,amplifier=pea"
    found = estimate(circuit, ["ZZI", "IXX"], angles, shots=2000, backend=name, seed=1)
    exact = estimate(circuit, ["ZZI", "IXX"], angles).value
    assert np.abs(found.value - exact).max() < 0.3


def test_without_two_qubit_gates_nothing_is_injected():
    circuit = QuantumCircuit(1)
    circuit.ry(0.4, 0)
    found = estimate(circuit, "Z", shots=4000, backend=PEA, seed=1)
    assert found.value == pytest.approx(np.cos(0.4), abs=0.1)


def test_its_cost_is_known_before():
    circuit = efficient_su2(2, reps=1)
    angles = np.ones(circuit.num_parameters)

    def work(backend):
        return estimate(circuit, "ZZ", angles, shots=500, backend=backend, seed=1)

    assert plan(PEA, work).shots == work(PEA).shots


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fake:manila,amplifier=pea", "'amplifier' has no effect in .* without resilience=2"),
        ("fake:manila,resilience=1,amplifier=pea", "without resilience=2"),
        ("ibm:ibm_manila,amplifier=gate_folding", "without resilience=2"),
        ("fake:manila,resilience=2,amplifier=zne", r"does not exist; give gate_folding\|pea"),
        ("fake:manila,resilience=2,amplifier=pea,amplifier=pea", "given twice"),
        ("ibm:ibm_manila,resilience=2,amplifier=pea", "has to be learned on the device first"),
        ("fake:manila,resilience=2,pea", "is not an option of"),
    ],
)
def test_what_has_no_effect_is_refused_in_one_line(name, message):
    with pytest.raises(UnsupportedOption, match=message) as caught:
        get_backend(name)
    assert "\n" not in str(caught.value)


def test_a_device_takes_the_amplifier_that_needs_no_learning(loopback_ibm, tmp_path, monkeypatch):
    monkeypatch.setenv("BONDWISE_JOURNAL", str(tmp_path / "user.sqlite"))
    circuit = QuantumCircuit(2)
    circuit.ry(0.3, 0)
    circuit.cx(0, 1)
    backend = get_backend("ibm:ibm_manila,resilience=2,amplifier=gate_folding")
    isa = backend.transpile(circuit)
    result = backend.run([(isa, [SparsePauliOp("ZZ").apply_layout(isa.layout)])], shots=300, seed=1)
    scan = NoiseScan.from_pub_result(result[0])
    assert 3 * 300 <= scan.shots < result.metadata["shots"]
    assert scan.meta["device"] == "ibm:ibm_manila"
