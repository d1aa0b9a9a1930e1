"""The tensor network start: a circuit found again, a known fidelity, a better start of the training."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import bondwise.qml.protein.classifiers.tensor_start as tensor_start
from bondwise.qml.protein import LatchQTN, WindowQTN, synthetic_proteins
from bondwise.qml.protein.boxes.ansatz import Ansatz
from bondwise.qml.protein.classifiers.tensor_start import FreePath, fit_circuit, infidelity
from bondwise.qml.protein.networks.path import PathNetwork
from bondwise.runs import UsageError


@pytest.fixture(scope="module", autouse=True)
def quick_starts():
    """All steps: how well circuits are fitted is the question here."""


def test_fit_finds_a_network_that_is_a_circuit():
    """The tensor network is set to a circuit of the same ansatz, so that the best infidelity is 0."""
    torch.manual_seed(0)
    hidden = PathNetwork(6, qubits=1, ansatz=Ansatz(), residues="gates", spread=0.3)
    free = FreePath(6, 1)
    with torch.no_grad():
        real = hidden.matrices()[:, :, :2]
        free.matrices.copy_(torch.stack([real[:, :2], real[:, 2:]], dim=-1))
        start = hidden.final(torch.full((1, 1), -1))[0][0]  # of padding alone
        free.start.copy_(torch.stack([start[:2], start[2:]], dim=-1))
    windows = torch.randint(6, (500, 8))
    torch.testing.assert_close(free.final(windows)[0], hidden.final(windows)[0], atol=1e-5, rtol=0)
    found = PathNetwork(6, qubits=1, ansatz=Ansatz(), residues="gates", spread=0.1)
    before = infidelity(found.final(windows)[0], free.final(windows)[0]).item()
    after = fit_circuit(found, free, windows, 0.02, progress=False)
    assert after < 0.01 < before


def test_infidelity_of_known_states():
    zero, one = torch.eye(4)[:2]  # |0> and |1> in real form
    phase = torch.tensor([0.0, 0.0, 1.0, 0.0])  # i|0>
    half = (zero + one) / 2**0.5
    states = torch.stack([zero, one, phase, half])
    assert infidelity(states, zero.expand(4, -1)).item() == pytest.approx(1 - (1 + 0 + 1 + 0.5) / 4)


@pytest.mark.parametrize("kind", [WindowQTN, LatchQTN])
def test_training_begins_further_on(kind):
    proteins = synthetic_proteins(300, seed=3)
    train, valid = proteins.select("train"), proteins.select("valid")
    losses = {}
    for start in ("angles", "tensor-network"):
        model = kind(start=start, epochs=8, seed=2)
        model.fit(train.sequences, train.labels, validation=(valid.sequences, valid.labels))
        losses[start] = model.history_.losses[0]
        assert len(model.history_.start_infidelity) == (start == "tensor-network")
    assert losses["tensor-network"] < losses["angles"]
    assert 0 < model.history_.start_infidelity[0] < 0.6


@pytest.mark.parametrize("stopped", ["train", "fit_circuit"])
def test_an_interrupted_start_puts_the_circuits_back(stopped, monkeypatch):
    def interrupted(*arguments, **keywords):
        raise KeyboardInterrupt

    network = WindowQTN(start="angles", epochs=1).fit(["A", "C"], [0, 1]).network_
    monkeypatch.setattr(tensor_start, stopped, interrupted)
    circuit = network.filters[0].path
    sentences = [np.arange(20), np.arange(20)[::-1].copy()]
    with pytest.raises(KeyboardInterrupt):
        tensor_start.tensor_network_start(
            network, list(network.filters), sentences, torch.tensor([0, 1]),
            epochs=1, learning_rate=0.01, batch_size=2,
        )  # fmt: skip
    assert network.filters[0].path is circuit
    model = WindowQTN(epochs=1)
    with pytest.raises(KeyboardInterrupt):
        model.fit(["A", "C"], [0, 1])
    assert not hasattr(model, "network_")
    with pytest.raises(NotFittedError):
        model.predict(["A"])


def test_deterministic_and_checked(tmp_path):
    proteins = synthetic_proteins(40, seed=1)
    model = WindowQTN(start="tensor-network", epochs=1)
    one, other = (clone(model).fit(proteins.sequences, proteins.labels) for _ in range(2))
    np.testing.assert_array_equal(
        one.decision_function(proteins.sequences), other.decision_function(proteins.sequences)
    )
    loaded = WindowQTN.load(one.save(tmp_path))
    assert loaded.history_.start_infidelity == one.history_.start_infidelity != []
    with pytest.raises(UsageError, match="unknown start 'mps'"):
        WindowQTN(start="mps").fit(proteins.sequences, proteins.labels)
