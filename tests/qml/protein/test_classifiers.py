"""The face of the classifiers: scikit-learn's rules, files, resumption, bad input, long sequences."""

import json

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from bondwise.qml.protein import (
    RESIDUES,
    LatchQTN,
    PathQTN,
    ProteinClassifier,
    RecurrentQTN,
    TreeQTN,
    WindowQTN,
)
from bondwise.runs import UsageError

MODELS = [
    PathQTN(epochs=2),
    PathQTN(epochs=2, residues="gates", boxes=3, qubits=2, ansatz="reupload"),
    PathQTN(epochs=2, discard=False, boxes=4),
    TreeQTN(epochs=2, boxes=2),
    TreeQTN(epochs=2, discard=False, ansatz="sim15"),
    RecurrentQTN(epochs=2, qubits=1),
    LatchQTN(epochs=2, stride=5),
    WindowQTN(epochs=2),
    WindowQTN(epochs=2, filters=2, qubits=1, window=7, alphabet="murphy10"),
]


def planted(size, seed, classes=2, length=60):
    """Proteins of random letters; class c > 0 has a stretch of twenty residues of its own kind."""
    rng = np.random.default_rng(seed)
    sequences, labels = [], []
    for number in range(size):
        letters = rng.choice(list(RESIDUES), rng.integers(length // 2, length))
        label = number % classes
        if label:
            start = rng.integers(len(letters) - 20)
            letters[start : start + 20] = rng.choice(list("LIVF" if label == 1 else "DEKR"), 20)
        sequences.append("".join(letters))
        labels.append(("soluble", "membrane", "charged")[label])
    return sequences, labels


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_fit_save_and_load(model, tmp_path):
    sequences, labels = planted(24, 0)
    model = clone(model).fit(sequences, labels, validation=planted(8, 1))
    assert model.classes_.tolist() == ["membrane", "soluble"]
    found = model.predict_proba(sequences)
    np.testing.assert_allclose(found.sum(1), 1)
    assert model.score(sequences, labels) == np.mean(model.predict(sequences) == labels)
    log10 = model.log10_postselection(sequences)
    assert (log10 == 0).all() if model.legal_on_hardware else (log10 < 0).all()
    # batches and padding do not matter
    alone = np.vstack([model.predict_proba([sequence]) for sequence in sequences])
    np.testing.assert_allclose(alone, found, atol=2e-6)
    loaded = ProteinClassifier.load(model.save(tmp_path / "model"))
    assert type(loaded) is type(model)
    np.testing.assert_array_equal(loaded.predict_proba(sequences), found)
    assert loaded.history_ == model.history_
    assert (
        loaded.num_parameters == model.num_parameters == sum(p.numel() for p in model.network_.parameters())
    )


@pytest.mark.parametrize("model", [WindowQTN(epochs=15), LatchQTN(epochs=15)], ids=str)
def test_learns_what_was_planted(model):
    test, truth = planted(100, 5)
    model = clone(model).fit(*planted(200, 3), validation=planted(60, 4))
    assert model.score(test, truth) > 0.9


def test_three_classes():
    model = WindowQTN(epochs=20, seed=1).fit(
        *planted(240, 3, classes=3), validation=planted(60, 4, classes=3)
    )
    test, truth = planted(90, 5, classes=3)
    assert model.predict_proba(test).shape == (90, 3)
    assert model.score(test, truth) > 0.75


def test_same_seed_same_model_and_the_global_generator_is_left_alone():
    sequences, labels = planted(24, 0)
    state = torch.get_rng_state()
    one, other = (WindowQTN(epochs=1, seed=4).fit(sequences, labels) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(one.decision_function(sequences), other.decision_function(sequences))


def test_resumed_training_is_the_same_bit_for_bit(tmp_path, monkeypatch):
    sequences, labels = planted(40, 0)
    validation = planted(10, 1)
    whole = WindowQTN(epochs=4).fit(sequences, labels, validation=validation)
    checkpoint = tmp_path / "training.safetensors"
    from bondwise.qml.protein import training

    real, written = training.save_checkpoint, []

    def interrupted(*arguments, **keywords):
        real(*arguments, **keywords)
        written.append(1)
        if len(written) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "save_checkpoint", interrupted)
    with pytest.raises(KeyboardInterrupt):
        WindowQTN(epochs=4).fit(sequences, labels, validation=validation, checkpoint=checkpoint)
    resumed = WindowQTN(epochs=4).fit(
        sequences, labels, validation=validation, checkpoint=checkpoint, resume=True
    )
    assert resumed.history_.loss == whole.history_.loss
    np.testing.assert_array_equal(resumed.decision_function(sequences), whole.decision_function(sequences))
    with pytest.raises(UsageError, match="another run"):
        WindowQTN(epochs=4).fit(sequences, labels[::-1], checkpoint=checkpoint, resume=True)


@pytest.mark.parametrize("model", [m for m in MODELS if m.legal_on_hardware], ids=str)
def test_two_thousand_and_fifty_thousand_residues(model):
    model = clone(model).set_params(epochs=1)
    sequences, labels = planted(6, 2, length=2000)
    model.fit(sequences, labels)
    long = "".join(np.random.default_rng(0).choice(list(RESIDUES), 50_000))
    assert np.isfinite(model.predict_proba([*sequences, long, "M"])).all()
    assert all(torch.isfinite(p).all() for p in model.network_.parameters())


def test_post_selected_networks_train_on_two_thousand_residues():
    for model in (PathQTN(discard=False, epochs=1), TreeQTN(discard=False, epochs=1)):
        sequences, labels = planted(6, 2, length=2000)
        model.fit(sequences, labels)
        assert np.isfinite(model.predict_proba(sequences)).all()
        assert np.isfinite(model.log10_postselection(sequences)).all()


def test_models_equal_their_lambeq_circuits():
    sequences, labels = planted(8, 0)
    for model in (PathQTN(epochs=1), TreeQTN(epochs=1), RecurrentQTN(qubits=1, epochs=1)):
        model.fit(sequences, labels)
        circuit, weights = model.lambeq_circuit("MKTAYLLW")
        symbols = list(weights)
        rho = circuit.lambdify(*symbols)(*weights.values()).eval(mixed=True)
        exact = np.diag(np.asarray(rho)).real
        tokens = torch.tensor(model._checked().tokenise("MKTAYLLW"))[None]
        np.testing.assert_allclose(model.network_.core(tokens)[0][0].detach(), exact, atol=1e-6)


def test_bad_input(tmp_path):
    sequences, labels = planted(8, 0)
    with pytest.raises(UsageError, match="one class only"):
        WindowQTN().fit(sequences, ["a"] * 8)
    with pytest.raises(UsageError, match="8 sequences and 7 labels"):
        WindowQTN().fit(sequences, labels[:7])
    with pytest.raises(UsageError, match="no residues"):
        WindowQTN().fit([*sequences[:7], ""], labels)
    with pytest.raises(UsageError, match="'1' at position 2"):
        WindowQTN().fit([*sequences[:7], "A1"], labels)
    with pytest.raises(UsageError, match="not among the classes"):
        WindowQTN().fit(sequences, labels, validation=(sequences[:1], ["nucleus"]))
    with pytest.raises(UsageError, match="epochs is 0"):
        WindowQTN(epochs=0).fit(sequences, labels)
    with pytest.raises(UsageError, match="Did you mean 'sim14'"):
        PathQTN(ansatz="Sim14 ").fit(sequences, labels)
    with pytest.raises(UsageError, match="qubits is 9"):
        WindowQTN(qubits=9).fit(sequences, labels)
    with pytest.raises(NotFittedError):
        WindowQTN().predict(sequences)
    with pytest.raises(UsageError, match="no model.json"):
        ProteinClassifier.load(tmp_path)


def test_damaged_models(tmp_path):
    folder = WindowQTN(epochs=1).fit(*planted(8, 0)).save(tmp_path)
    weights = (folder / "weights.safetensors").read_bytes()
    document = json.loads((folder / "model.json").read_text())

    (folder / "weights.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(UsageError, match="missing or cut"):
        ProteinClassifier.load(folder)
    (folder / "weights.safetensors").write_bytes(weights[:-4] + b"\0\0\0\1")
    with pytest.raises(UsageError, match="is not the file that"):
        ProteinClassifier.load(folder)
    (folder / "weights.safetensors").write_bytes(weights)
    document["settings"]["alphabet"] = "murphy10"
    (folder / "model.json").write_text(json.dumps(document))
    with pytest.raises(UsageError, match="another alphabet"):
        ProteinClassifier.load(folder)
    document["settings"] = {"unheard": 1}
    (folder / "model.json").write_text(json.dumps(document))
    with pytest.raises(UsageError, match="WindowQTN has not"):
        ProteinClassifier.load(folder)
    (folder / "model.json").write_text("{")
    with pytest.raises(UsageError, match="damaged"):
        ProteinClassifier.load(folder)
    (folder / "model.json").write_text(json.dumps(document))
    with pytest.raises(UsageError, match="holds a WindowQTN, not a PathQTN"):
        PathQTN.load(folder)
