"""The circuits for hardware against the networks that they were made of."""

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit, qasm3
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import DensityMatrix, Operator

from bondwise.backends import estimate, get_backend, sample
from bondwise.mitigation import MitigatedEstimator
from bondwise.qml.protein import (
    RESIDUES,
    ClassicalTwin,
    LatchQTN,
    PathQTN,
    RecurrentQTN,
    TreeQTN,
    WindowQTN,
    dynamic_circuit,
    predict_on_backend,
    window_circuit,
)
from bondwise.qml.protein.boxes.ansatz import PARAMETERIZED, Gate
from bondwise.qml.protein.boxes.box_unitaries import unitaries
from bondwise.qml.protein.boxes.channels import z_values
from bondwise.qml.protein.hardware.export import append_gates
from bondwise.runs import UsageError

MODELS = {
    "path": PathQTN(epochs=1, spread=0.8),
    "path, 2 qubits, hierarchical": PathQTN(epochs=1, qubits=2, boxes=3, ansatz="strongly", spread=0.8),
    "path of gates": PathQTN(epochs=1, qubits=2, residues="gates", boxes=2, ansatz="iqp", spread=0.8),
    "path of triples": PathQTN(epochs=1, alphabet="murphy4", k=3, ansatz="reupload", spread=0.8),
    "tree": TreeQTN(epochs=1, spread=0.8),
    "tree, hierarchical": TreeQTN(epochs=1, boxes=3, ansatz="sim15", spread=0.8),
    "tree by exchange": TreeQTN(epochs=1, ansatz="exchange"),
    "tree, 2 qubits": TreeQTN(epochs=1, qubits=2, ansatz="reupload", spread=0.8),
    "recurrent": RecurrentQTN(epochs=1, qubits=2, spread=0.5),
    "latch": LatchQTN(epochs=1, spread=0.5),
    "latch, 2 memory qubits": LatchQTN(epochs=1, memory=2, window=4, stride=2, spread=0.5),
}


def proteins(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list(RESIDUES), length)) for length in lengths]


def fitted(model, labels="ab"):
    sequences = proteins(np.random.default_rng(1).integers(5, 30, 20))
    model.fit(sequences, [labels[i % len(labels)] for i in range(20)])
    if isinstance(model, LatchQTN):  # its box begins as the identity, and after one epoch it still is
        with torch.no_grad():
            model.network_.core.box.mul_(15)
    return model


@pytest.fixture(scope="module")
def window():
    return fitted(WindowQTN(epochs=1, spread=0.6))


@pytest.fixture(scope="module")
def latch():
    return fitted(LatchQTN(epochs=1, spread=0.5))


def memory_distribution(circuit):
    """Probabilities of the bits of `memory`, bit 0 the most significant, from Qiskit's density matrix."""
    where = {
        circuit.find_bit(s.clbits[0]).index: circuit.find_bit(s.qubits[0]).index
        for s in circuit.data
        if s.clbits
    }
    bare = circuit.copy()
    bare.remove_final_measurements()
    assert not bare.clbits
    return DensityMatrix.from_instruction(bare).probabilities(
        [where[bit] for bit in sorted(where, reverse=True)]
    )


def tokens_of(model, sequence):
    return torch.from_numpy(model.vocabulary.tokenize(sequence))[None]


@pytest.mark.parametrize("name", [*PARAMETERIZED, "H", "CX"])
def test_gates_are_those_of_the_networks(name):
    count = 1 if name in ("H", "Rx", "Ry", "Rz") else 2
    gate = Gate(name, (1, 0)[-count:], 0 if name in PARAMETERIZED else None)
    circuit, expected = QuantumCircuit(3), QuantumCircuit(3)
    append_gates(circuit, [gate], [2, 0], [0.7])
    matrix = unitaries([gate], count, torch.tensor([[0.7]], dtype=torch.float64))[0].numpy()
    # wire 0, the most significant bit, is qubit 2; Qiskit lists the least significant one first
    expected.unitary(matrix, [2] if count == 1 else [0, 2])
    np.testing.assert_allclose(Operator(circuit).data, Operator(expected).data, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_dynamic_circuit_is_the_network(name):
    for length in (1, 2, 3, 6) if name == "tree, 2 qubits" else (1, 2, 3, 6, 11):
        model = fitted(MODELS[name])
        (sequence,) = proteins([length], seed=length)
        circuit = dynamic_circuit(model, sequence)
        assert circuit.num_qubits <= model.num_qubits
        assert set(circuit.count_ops()) <= {
            "ry",
            "rx",
            "rz",
            "h",
            "cx",
            "crx",
            "crz",
            "rzz",
            "rxx",
            "ryy",
            "reset",
            "measure",
        }
        found = memory_distribution(circuit)
        single = model.network_.core(tokens_of(model, sequence))[0][0].detach().numpy()
        np.testing.assert_allclose(found, single, atol=2e-6)
        double = (
            fitted(MODELS[name]).network_.double().core(tokens_of(model, sequence))[0][0].detach().numpy()
        )
        np.testing.assert_allclose(found, double, atol=1e-10)


@pytest.mark.parametrize(
    ("model", "length", "width"),
    [
        (RecurrentQTN(epochs=1, qubits=2), 300, 3),
        (LatchQTN(epochs=1), 60, 3),
        (PathQTN(epochs=1, ansatz="reupload"), 150, 2),
        (TreeQTN(epochs=1, ansatz="reupload", spread=0.5), 64, 7),
    ],
)
def test_sampled_long_proteins_agree_with_the_executor(model, length, width):
    (sequence,) = proteins([length])
    circuit = dynamic_circuit(fitted(model), sequence)
    assert circuit.num_qubits == width
    bits = sample(circuit, shots=512, backend="aer", seed=3).bits["memory"]
    exact = z_values(model.network_.core(tokens_of(model, sequence))[0])[0].detach().numpy()
    error = np.sqrt((1 - exact**2) / 512)
    assert np.all(np.abs((1 - 2.0 * bits).mean(0) - exact) < 4 * error)


def test_tree_is_as_narrow_as_it_says():
    model = fitted(TreeQTN(epochs=1))
    widths = [
        dynamic_circuit(model, sequence).num_qubits for sequence in proteins([1, 2, 3, 4, 5, 300, 1024])
    ]
    assert widths == [1, 2, 3, 3, 4, 10, 11]
    assert model.num_qubits == 11


def test_windows_in_one_circuit():
    model = fitted(WindowQTN(epochs=1, filters=2, window=5, stride=2, spread=0.6))
    (sequence,) = proteins([12])
    circuit = dynamic_circuit(model, sequence)
    assert circuit.num_qubits == 2
    bits = sample(circuit, shots=2000, backend="aer", seed=1).bits["windows"].reshape(2000, 2, 4, 2)
    signs = 1 - 2.0 * bits
    measured = np.concatenate([signs, signs[..., :1] * signs[..., 1:]], axis=-1).mean(0)
    exact = np.stack(
        [part(tokens_of(model, sequence))[0][0].detach().numpy() for part in model.network_.filters]
    )
    assert exact.shape == measured.shape
    assert np.all(np.abs(measured - exact) < 4.5 * np.sqrt((1 - exact**2 + 1e-6) / 2000))


@pytest.mark.parametrize("name", ["recurrent", "latch", "tree"])
def test_openqasm(name):
    text = qasm3.dumps(dynamic_circuit(fitted(MODELS[name]), "ACDEFGHIKLMNPQRSTV"))
    assert text.startswith("OPENQASM 3.0;")
    assert "reset q[" in text
    assert "memory[0] = measure" in text


@pytest.mark.parametrize("length", [1, 4, 15])
def test_template(window, length):
    sequences = proteins([length] * 3)
    template = window_circuit(window, length=length)
    tokens = np.concatenate([tokens_of(window, s).numpy() for s in sequences])
    angles = template.angles(tokens)
    assert angles.shape == (3, template.circuit.num_parameters) == (3, length * 4)
    found = estimate(template.circuit, ["IZ", "ZI", "ZZ"], angles).value  # qubit 0 is the rightmost letter
    exact = window.network_.filters[0](torch.from_numpy(tokens))[0][:, 0].detach().numpy()
    np.testing.assert_allclose(found, exact, atol=2e-6)


def test_windows_on_the_exact_backend():
    model = fitted(WindowQTN(epochs=1, filters=2, qubits=3, window=6, stride=2, spread=0.5))
    model.network_.double()
    sequences = [*proteins([4, 6, 7, 25, 1]), *proteins([25], seed=8)]
    whole = predict_on_backend(model, sequences, shots=None)
    np.testing.assert_allclose(whole.logits, model.decision_function(sequences), atol=1e-10)
    np.testing.assert_allclose(whole.probabilities, model.predict_proba(sequences), atol=1e-10)
    np.testing.assert_array_equal(whole.std, 0)
    np.testing.assert_array_equal(whole.uncorrected, whole.logits)
    assert (whole.shots, whole.backend) == (0, "statevector")
    twice = predict_on_backend(model, sequences * 2, shots=None)
    assert twice.circuits == whole.circuits  # each window once


def test_more_windows_than_one_job_takes():
    model = fitted(WindowQTN(epochs=1, qubits=1, window=4, stride=1))
    model.network_.double()
    long = proteins([5500])
    found = predict_on_backend(model, long, shots=None)
    assert found.circuits > 5000
    np.testing.assert_allclose(found.logits, model.decision_function(long), atol=1e-9)


@pytest.mark.parametrize("kind", [WindowQTN, LatchQTN, TreeQTN])
def test_three_classes(kind):
    model = fitted(kind(epochs=1), labels="abc")
    sequences = proteins([20, 3, 17])
    backend = "statevector" if kind is WindowQTN else "aer:density_matrix"
    model.network_.double()
    found = predict_on_backend(model, sequences, backend=backend, shots=None)
    assert found.logits.shape == found.std.shape == found.uncorrected.shape == (3, 3)
    np.testing.assert_allclose(found.logits, model.decision_function(sequences), atol=1e-9)
    sampled = predict_on_backend(model, sequences, backend=backend, shots=4096, seed=1)
    assert np.all(np.abs(sampled.logits - found.logits) < 5 * sampled.std + 1e-9)


@pytest.mark.parametrize("name", ["path", "tree", "recurrent", "latch"])
def test_dynamic_models_on_backends(name):
    model = fitted(MODELS[name])
    model.network_.double()
    sequences = proteins([9, 2, 16])
    exact = predict_on_backend(model, sequences, backend="aer:density_matrix", shots=None)
    np.testing.assert_allclose(exact.logits, model.decision_function(sequences), atol=1e-9)
    assert exact.circuits == 3
    for backend in ("statevector", "aer", "aer:density_matrix"):
        sampled = predict_on_backend(model, sequences, backend=backend, shots=400, seed=2)
        assert sampled.shots == 1200
        assert np.all(np.abs(sampled.logits - exact.logits) < 4.5 * sampled.std + 1e-6)
    again = predict_on_backend(model, sequences, backend=get_backend("aer"), shots=400, seed=2)
    np.testing.assert_array_equal(
        again.logits, predict_on_backend(model, sequences, backend="aer", shots=400, seed=2).logits
    )


@pytest.mark.parametrize("qubits", [2, 3])
def test_standard_errors_and_seeds(qubits):
    """The pulls of repeated runs have a spread of one."""
    window = fitted(WindowQTN(epochs=1, spread=0.6, qubits=qubits))
    sequences = proteins([25, 20, 30, 22])
    exact = window.decision_function(sequences)
    runs = [predict_on_backend(window, sequences, shots=1024, seed=seed) for seed in range(25)]
    pulls = np.array([(run.logits - exact) / run.std for run in runs])
    assert 0.7 < np.sqrt((pulls**2).mean()) < 1.35
    assert runs[0].shots == 1024 * runs[0].circuits
    same = predict_on_backend(window, sequences, shots=1024, seed=0)
    np.testing.assert_array_equal(same.logits, runs[0].logits)
    assert not np.array_equal(runs[0].logits, runs[1].logits)


def test_standard_errors_where_windows_repeat(window):
    """A window that a protein holds many times is measured once, so its errors add up."""
    sequences = ["MKT" + "QA" * 60 + "KLV", "LIVF" * 20]
    exact = window.decision_function(sequences)
    runs = [predict_on_backend(window, sequences, shots=256, seed=seed) for seed in range(40)]
    pulls = np.array([(run.logits - exact) / run.std for run in runs])
    assert 0.7 < np.sqrt((pulls**2).mean()) < 1.35


def test_the_bias_of_sampled_extremes_is_taken_off():
    """A soft maximum takes noise for an extreme: few shots of windows that are all alike read too high."""
    model = fitted(WindowQTN(epochs=1, spread=0.2, start="angles"))
    with torch.no_grad():
        model.network_.weight.zero_()
        model.network_.weight[:, 1, :2] = 1.0
        model.network_.pooling.log_sharpness.fill_(np.log(6.0))
    sequences = proteins([60] * 12)
    exact = model.decision_function(sequences)
    runs = [predict_on_backend(model, sequences, shots=64, seed=seed) for seed in range(16)]
    plain = np.mean([run.uncorrected - exact for run in runs])
    corrected = np.mean([run.logits - exact for run in runs])
    assert plain > 0.03
    assert abs(corrected) < 0.4 * plain


def test_snapshot_of_a_device(window, latch):
    sequences = proteins([18, 6])
    for model in (window, latch):
        ideal = model.decision_function(sequences)
        raw = predict_on_backend(model, sequences, backend="fake:torino", shots=None)
        assert 0 < np.abs(raw.logits - ideal).max() < 2
        np.testing.assert_array_equal(raw.std, 0)
        sampled = predict_on_backend(model, sequences, backend="fake:torino", shots=2000, seed=1)
        assert np.all(np.abs(sampled.uncorrected - raw.logits) < 6 * sampled.std)


def test_mitigated_readout_and_other_estimators(window, latch):
    sequences = proteins([18, 16])
    ideal = window.decision_function(sequences)
    raw = predict_on_backend(window, sequences, backend="fake:torino", shots=None).logits
    readout = MitigatedEstimator("fake:torino", extrapolation=None)
    better = predict_on_backend(window, sequences, backend=readout, shots=None)
    assert better.backend == "MitigatedEstimator"
    assert np.abs(better.logits - ideal).mean() < np.abs(raw - ideal).mean()
    sampled = predict_on_backend(window, sequences, backend=readout, shots=4096, seed=1)
    assert np.all(np.abs(sampled.logits - better.logits) < 5 * sampled.std)
    qiskit = predict_on_backend(window, sequences, backend=StatevectorEstimator(seed=1), shots=10_000)
    assert np.all(np.abs(qiskit.logits - ideal) < 5 * qiskit.std)
    assert predict_on_backend(latch, sequences, backend=readout, shots=None).logits.shape == (2,)


def test_no_proteins(window, latch):
    for model in (window, latch):
        nothing = predict_on_backend(model, [])
        assert nothing.logits.shape == nothing.std.shape == (0,)
        assert nothing.probabilities.shape == (0, 2)
        assert (nothing.shots, nothing.circuits) == (0, 0)


def test_saved_and_read_back(window, tmp_path):
    found = predict_on_backend(window, proteins([16]), shots=100, seed=4)
    found.save(tmp_path / "prediction")
    assert type(found).load(tmp_path / "prediction").probabilities.tolist() == found.probabilities.tolist()


def test_wrong_use(window, latch):
    selected = fitted(PathQTN(epochs=1, discard=False, spread=0.8))
    for run in (dynamic_circuit, lambda model, sequence: predict_on_backend(model, [sequence])):
        with pytest.raises(UsageError, match=r"log10 .* is -\d+\.\d; train it with discard=True"):
            run(selected, "MKTAYIAKQRQISFVKSHFSRQ")
    with pytest.raises(UsageError, match="a ClassicalTwin has no circuit"):
        dynamic_circuit(fitted(ClassicalTwin(epochs=1)), "MKT")
    with pytest.raises(UsageError, match="has no circuits of windows"):
        window_circuit(latch)
    with pytest.raises(UsageError, match="filter is 1; give a whole number from 0 to 0"):
        window_circuit(window, filter=1)
    with pytest.raises(UsageError, match="from 1 to 15"):
        window_circuit(window, length=16)
    with pytest.raises(UsageError, match="shots is 1"):
        predict_on_backend(window, ["MKT"], shots=1)
    with pytest.raises(UsageError, match=r"sequences\[1\]: '1' at position 2 is not a residue"):
        predict_on_backend(window, ["M", "M1"])
    with pytest.raises(UsageError, match="sequences is one string"):
        predict_on_backend(window, "MKT")
    with pytest.raises(UsageError, match="pass shots="):
        predict_on_backend(latch, proteins([20]), shots=None)
    with pytest.raises(UsageError, match="cannot be undone"):
        predict_on_backend(latch, proteins([20]), backend=MitigatedEstimator("fake:torino"))
    with pytest.raises(UsageError, match="one random outcome of each reset"):
        predict_on_backend(latch, proteins([20]), backend=StatevectorEstimator())
