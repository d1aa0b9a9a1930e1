"""Folders of trained models: right, or refused in one line before anything large is built."""

import hashlib
import json
import time

import pytest
import torch
from safetensors.torch import load, save

from bondwise.qml.protein import CNN, ClassicalTwin, LatchQTN, PathQTN, ProteinClassifier, TreeQTN, WindowQTN
from bondwise.runs import UsageError

SEQUENCES, LABELS = ["MKTAYIAKQR", "LLVVIIAAFF"] * 3, ["a", "b"] * 3


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    model = WindowQTN(epochs=1, window=5, start="angles").fit(SEQUENCES, LABELS)
    return model.save(tmp_path_factory.mktemp("model"))


@pytest.fixture
def changed(trained, tmp_path):
    """Writes the model with parts of `model.json`, or its weights, replaced."""

    def write(new=None, **parts):
        content = (trained / "weights.safetensors").read_bytes() if new is None else new
        document = json.loads((trained / "model.json").read_text())
        document |= {} if new is None else {"weights": hashlib.sha256(content).hexdigest()}
        for key, value in parts.items():
            document[key] = document[key] | value if isinstance(value, dict) else value
        (tmp_path / "weights.safetensors").write_bytes(content)
        (tmp_path / "model.json").write_text(json.dumps(document))
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"settings": {"filters": 10**7}}, "filters is 10000000; give a whole number from 1 to 1000"),
        ({"settings": {"window": 10**9}}, "window is 1000000000; give"),
        ({"settings": {"qubits": 40}}, "qubits is 40; give a whole number from 1 to 5"),
        ({"settings": {"seed": 2**64}}, "seed is 18446744073709551616; give"),
        ({"settings": {"seed": "1"}}, "seed is '1'; give"),
        ({"settings": {"entangle": "no"}}, "entangle is 'no'"),
        ({"settings": {"stride": True}}, "stride is 'True'"),
        ({"settings": {"unheard": 1}}, "'unheard' is not a setting of WindowQTN"),
        ({"settings": {"k": 12}}, "k = 12 of residues makes"),
        ({"settings": []}, "settings is a list"),
        ({"classes": []}, "damaged"),
        ({"classes": ["a"]}, "damaged"),
        ({"classes": ["b", "a"]}, "classes are not sorted"),
        ({"classes": ["a", "a", "b"]}, "classes are not sorted"),
        ({"classes": ["a", 1]}, "damaged"),
        ({"classes": [["a"], ["b"]]}, "damaged"),
        ({"classes": "ab"}, "classes is a str"),
        ({"classes": [1, 10**30]}, "more than 64 bits"),
        ({"classes": ["a", "b", "c"]}, "for another alphabet or other settings"),
        ({"class": 1}, "class is an int"),
        ({"class": "Ansatz"}, "holds a Ansatz, not a ProteinClassifier"),
        ({"class": "ProteinClassifier"}, "ProteinClassifier"),
        ({"history": {"loss": None}}, "losses of the history"),
        ({"history": {"best": "1"}}, "best of the history"),
        ({"history": {"other": []}}, "damaged"),
        ({"weights": None}, "weights is None"),
        ({"format": "bondwise protein classifier 2"}, "format 'bondwise protein classifier 2'"),
    ],
)
def test_a_changed_document_is_refused(changed, parts, message):
    folder = changed(**parts)
    with pytest.raises(UsageError, match=message) as caught:
        ProteinClassifier.load(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_setting_that_is_missing_is_not_guessed(changed):
    path = changed() / "model.json"
    document = json.loads(path.read_text())
    del document["settings"]["stride"]
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError, match="'stride' is missing from the settings of WindowQTN"):
        ProteinClassifier.load(path.parent)


@pytest.mark.parametrize("content", ["", "[", "1", "[" * 10**6, "\udcff", '{"a": ' + "9" * 10**5 + "}"])
def test_what_is_no_document_is_refused(changed, content):
    path = changed() / "model.json"
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(UsageError, match="model.json (is damaged|cannot be read)") as caught:
        ProteinClassifier.load(path.parent)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_large_files_are_refused_unread(changed, name):
    path = changed() / name
    with path.open("r+b") as file:
        file.truncate(3 << 30)  # of no room on the disk
    began = time.process_time()
    with pytest.raises(UsageError, match=f"{name} has 3,221,225,472 bytes .*BONDWISE_MAX_"):
        ProteinClassifier.load(path.parent)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: {"extra": torch.zeros(1)} | weights, "'extra' is not one of its weights"),
        (lambda weights: {key: value.double() for key, value in weights.items()}, "is torch.float64, not"),
        (lambda weights: {key: value * torch.nan for key, value in weights.items()}, "is not finite"),
        (lambda weights: dict(list(weights.items())[1:]), "is missing, not"),
    ],
)
def test_weights_of_another_kind_are_refused(trained, changed, change, message):
    weights = load((trained / "weights.safetensors").read_bytes())
    with pytest.raises(UsageError, match=message):
        ProteinClassifier.load(changed(save(change(weights))))


@pytest.mark.parametrize(
    ("model", "setting", "value"),
    [
        (CNN(), "channels", 10**5),
        (ClassicalTwin(), "filters", 10**7),
        (PathQTN(), "layers", 10**7),
        (TreeQTN(), "boxes", 10**7),
        (LatchQTN(), "latch_layers", 10**7),
        (LatchQTN(), "memory", 30),
    ],
)
def test_settings_of_any_class_ask_for_no_more_than_is_there(tmp_path, model, setting, value):
    folder = model.set_params(epochs=1).fit(SEQUENCES, LABELS).save(tmp_path)
    document = json.loads((folder / "model.json").read_text())
    document["settings"][setting] = value
    if setting == "channels":
        document["settings"]["width"] = 10**5  # 10^11 weights
    (folder / "model.json").write_text(json.dumps(document))
    began = time.process_time()
    with pytest.raises(UsageError, match=f"{setting} is|other settings"):
        ProteinClassifier.load(folder)
    assert time.process_time() - began < 2


def test_what_is_saved_comes_back(trained, changed):
    model = ProteinClassifier.load(trained)
    assert model.predict(SEQUENCES).tolist() == ProteinClassifier.load(changed()).predict(SEQUENCES).tolist()
