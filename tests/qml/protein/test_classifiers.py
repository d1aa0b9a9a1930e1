"""The classifiers: scikit-learn's rules, files, resumption, bad input, long sequences."""

import json

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import bondwise.qml.protein.classifiers.classifier as classifier
import bondwise.qml.training.epochs as epochs
from bondwise.qml.protein import (
    CNN,
    RESIDUES,
    CompositionLR,
    LatchQTN,
    Majority,
    PathQTN,
    ProteinClassifier,
    RecurrentQTN,
    TreeQTN,
    WindowQTN,
)
from bondwise.qml.protein.boxes.channels import z_values
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
    real, written = epochs.save_checkpoint, []

    def interrupted(*arguments, **keywords):
        real(*arguments, **keywords)
        written.append(1)
        if len(written) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(epochs, "save_checkpoint", interrupted)
    with pytest.raises(KeyboardInterrupt):
        WindowQTN(epochs=4).fit(sequences, labels, validation=validation, checkpoint=checkpoint)
    resumed = WindowQTN(epochs=4).fit(
        sequences, labels, validation=validation, checkpoint=checkpoint, resume=True
    )
    assert resumed.history_.losses == whole.history_.losses
    np.testing.assert_array_equal(resumed.decision_function(sequences), whole.decision_function(sequences))
    assert resumed.history_.start_infidelity == whole.history_.start_infidelity
    assert len(resumed.history_.start_infidelity) == 1
    renamed = ["a" if label == "membrane" else "b" for label in labels]
    for wrong in (
        {"labels": labels[::-1], "validation": validation},
        {"labels": labels, "validation": None},
        {"labels": labels, "validation": (validation[0], validation[1][::-1])},
        {"labels": renamed, "validation": (validation[0], renamed[:10])},
    ):
        with pytest.raises(UsageError, match="another run") as caught:
            WindowQTN(epochs=4).fit(sequences, **wrong, checkpoint=checkpoint, resume=True)
        assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="give checkpoint="):
        WindowQTN(epochs=4).fit(sequences, labels, resume=True)


def test_an_interrupted_fit_leaves_what_was_there(monkeypatch):
    sequences, labels = planted(12, 0)
    model = WindowQTN(epochs=1, start="angles")

    def interrupted(*arguments, **keywords):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(classifier, "train", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.fit(sequences, labels)
        with pytest.raises(NotFittedError):
            model.predict(sequences)
        fitted = clone(model)
        patch.undo()
        before = fitted.fit(sequences, labels).predict_proba(sequences)
        patch.setattr(classifier, "train", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fitted.fit(*planted(12, 1, classes=3))
    np.testing.assert_array_equal(fitted.predict_proba(sequences), before)
    assert fitted.classes_.tolist() == ["membrane", "soluble"]


def test_numbers_of_numpy_as_settings(tmp_path):
    sequences, labels = planted(12, 0)
    whole = {"qubits": 1, "k": 2, "epochs": 2, "batch_size": 4, "seed": 5, "window": 5, "stride": 3}
    own = WindowQTN(**whole, learning_rate=0.03125).fit(sequences, labels)
    given = {name: np.int64(value) for name, value in whole.items()} | {"learning_rate": np.float32(0.03125)}
    model = WindowQTN(**given).fit(sequences, labels, checkpoint=tmp_path / "checkpoint")
    WindowQTN(**whole, learning_rate=0.03125).fit(
        sequences, labels, checkpoint=tmp_path / "checkpoint", resume=True
    )
    np.testing.assert_array_equal(model.predict_proba(sequences), own.predict_proba(sequences))
    loaded = ProteinClassifier.load(model.save(tmp_path / "model"))
    assert loaded.get_params() == own.get_params()
    np.testing.assert_array_equal(loaded.predict_proba(sequences), own.predict_proba(sequences))
    PathQTN(layers=np.int64(2), boxes=np.int64(2), epochs=1).fit(sequences, labels)


def test_save_writes_nothing_that_json_cannot_hold(tmp_path):
    model = WindowQTN(epochs=1).fit(*planted(8, 0))
    model.alphabet = object()
    with pytest.raises(TypeError):
        model.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (WindowQTN(window=0), "window is 0; give a whole number from 1 to 100000"),
        (WindowQTN(stride=1.5), "stride is 1.5"),
        (WindowQTN(filters=True), "filters is True"),
        (LatchQTN(memory=0), "memory is 0"),
        (LatchQTN(latch_layers="2"), "latch_layers is '2'"),
        (PathQTN(boxes=0), "boxes is 0"),
        (TreeQTN(boxes=-1), "boxes is -1"),
        (PathQTN(layers=0), "layers is 0"),
        (PathQTN(k=1.0), "k is 1.0"),
        (PathQTN(qubits=2.0), "qubits is 2.0; give a whole number from 1 to 5"),
        (WindowQTN(seed=-1), "seed is -1; give a whole number from 0"),
        (WindowQTN(seed=1.5), "seed is 1.5"),
        (WindowQTN(seed=2**64), "seed is"),
        (WindowQTN(learning_rate=float("nan")), "learning_rate is nan; give a positive number"),
        (WindowQTN(learning_rate=float("inf")), "learning_rate is inf"),
        (WindowQTN(learning_rate="0.1"), "learning_rate is '0.1'"),
        (WindowQTN(spread=-0.1), "spread is -0.1; give a number of at least 0"),
        (RecurrentQTN(spread=float("nan")), "spread is nan"),
        (PathQTN(residues="state"), "unknown residues 'state'. Did you mean 'states'"),
    ],
)
def test_refuses_settings(model, message):
    with pytest.raises(UsageError, match=message) as caught:
        model.fit(["A", "C"], [0, 1])
    assert "\n" not in str(caught.value)


class Column:
    """As a column of a table: an array of objects with an index of its own."""

    def __init__(self, values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype or object)

    def __getitem__(self, index):
        raise KeyError(index)


@pytest.mark.parametrize(
    "shape",
    [list, tuple, np.array, lambda v: np.array(v, dtype=object), lambda v: list(np.array(v)), Column],
)
@pytest.mark.parametrize("names", [("b", "a"), (3, -1), (True, False)])
def test_labels_in_any_shape(shape, names):
    sequences = ["AAAA", "WWWW"] * 3
    model = CNN(epochs=1).fit(
        sequences, shape(list(names) * 3), validation=(sequences[:2], shape(list(names)))
    )
    assert model.classes_.tolist() == sorted(names)
    assert set(model.predict(sequences).tolist()) <= set(names)
    with pytest.raises(UsageError, match=f"only one class .{names[0]!r}"):
        CNN().fit(sequences, shape([names[0]] * 6))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, "a"], "several kinds, such as 1 and 'a'"),
        (np.array([1, "a"], dtype=object), "several kinds"),
        ([[0, 1], [1, 0]], "not a list"),
        ([[0], [1, 2]], "is a list; give text or whole numbers"),
        ([0.5, 1.5], "label 0.5 is a float"),
        ([None, "a"], "label None is a NoneType"),
        ("ab", "labels are 'ab', not a list"),
        ([2**70, 0], "more than 64 bits"),
    ],
)
@pytest.mark.parametrize("kind", [CNN, CompositionLR, Majority])
def test_refuses_labels(kind, labels, message):
    with pytest.raises(UsageError, match=message) as caught:
        kind().fit(["A", "C"], labels)
    assert "\n" not in str(caught.value)
    if kind is not Majority:
        with pytest.raises(UsageError):
            kind().fit(["A", "C"], ["a", "b"], validation=(["A", "C"], labels))


def test_refuses_a_wrong_validation_set():
    for wrong in ((["A"], [0, 1]), ([], [])):
        with pytest.raises(UsageError, match="validation set has"):
            CNN().fit(["A", "C"], [0, 1], validation=wrong)


@pytest.mark.parametrize("kind", [CNN, PathQTN, CompositionLR, Majority])
def test_one_text_is_no_list_of_proteins(kind):
    message = "sequences is one string, 'AC'"
    with pytest.raises(UsageError, match=message):
        kind().fit("AC", [0, 1])
    model = kind(epochs=1) if kind in (CNN, PathQTN) else kind()
    if kind is not Majority:
        with pytest.raises(UsageError, match=message):
            clone(model).fit(["A", "C"], [0, 1], validation=("AC", [0, 1]))
    model.fit(["A", "C"], [0, 1])
    with pytest.raises(UsageError, match=message):
        model.predict("AC")
    if kind is PathQTN:
        with pytest.raises(UsageError, match=message):
            model.log10_postselection("AC")


def test_calibration_sees_all_of_a_sorted_file(monkeypatch):
    """256 proteins of one class come first; the readout is centered on both, in batches."""
    sequences, labels = ["A" * 1000] * 256 + ["W" * 1000] * 256, [0] * 256 + [1] * 256
    model = PathQTN(residues="gates", ansatz="reupload", epochs=1)
    tokens = np.stack([model.vocabulary.tokenize(sequences[at]) for at in (0, -1)])
    torch.manual_seed(0)
    network = model._network(20, 1)
    sizes, forward = [], network.core.forward
    monkeypatch.setattr(network.core, "forward", lambda t: sizes.append(t.numel()) or forward(t))
    model._prepare(network, list(tokens.repeat(256, axis=0)), torch.tensor(labels), False)
    assert len(sizes) > 1
    assert max(sizes) <= 100_000
    one, other = z_values(forward(torch.tensor(tokens))[0])[:, 0].tolist()
    share = (network.readout.centre.item() - one) / (other - one)
    assert 0.35 < share < 0.65
    assert share == pytest.approx(round(share * 256) / 256, abs=1e-3)


def test_lambeq_circuit_of_windows():
    """The open wires are those of all windows, of the filter that is asked for."""
    sequences, labels = planted(8, 0)
    model = WindowQTN(qubits=1, window=4, stride=3, filters=2, epochs=1, start="angles").fit(
        sequences, labels
    )
    tokens = torch.tensor(model.vocabulary.tokenize("MKTAYLL"))[None]
    for filter in (0, 1):
        circuit, weights = model.lambeq_circuit("MKTAYLL", filter)
        rho = circuit.lambdify(*weights)(*weights.values()).eval(mixed=True)
        found = np.asarray(rho).reshape(4, 4).diagonal().real
        first, second = model.network_.filters[filter](tokens)[0][0, :, 0].tolist()
        np.testing.assert_allclose(found @ [1, 1, -1, -1], first, atol=1e-5)
        np.testing.assert_allclose(found @ [1, -1, 1, -1], second, atol=1e-5)
    with pytest.raises(UsageError, match="filter is 2; give a whole number from 0 to 1"):
        model.lambeq_circuit("MKTAYLL", 2)
    with pytest.raises(UsageError, match="lambeq has no LATCH box"):
        LatchQTN(epochs=1).fit(sequences, labels).lambeq_circuit("MKTAYLL")


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
        tokens = torch.tensor(model.vocabulary.tokenize("MKTAYLLW"))[None]
        np.testing.assert_allclose(model.network_.core(tokens)[0][0].detach(), exact, atol=1e-6)


def test_bad_input(tmp_path):
    sequences, labels = planted(8, 0)
    with pytest.raises(UsageError, match="only one class"):
        WindowQTN().fit(sequences, ["a"] * 8)
    with pytest.raises(UsageError, match="8 sequences and 7 labels"):
        WindowQTN().fit(sequences, labels[:7])
    with pytest.raises(UsageError, match="no residues"):
        WindowQTN().fit([*sequences[:7], ""], labels)
    with pytest.raises(UsageError, match=r"sequences\[7\]: '1' at position 2"):
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
    with pytest.raises(UsageError, match="weights.safetensors is damaged"):
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
    with pytest.raises(UsageError, match="is not a setting of WindowQTN"):
        ProteinClassifier.load(folder)
    (folder / "model.json").write_text("{")
    with pytest.raises(UsageError, match="damaged"):
        ProteinClassifier.load(folder)
    (folder / "model.json").write_text(json.dumps(document))
    with pytest.raises(UsageError, match="holds a WindowQTN, not a PathQTN"):
        PathQTN.load(folder)
