"""`bondwise protein train` from files to reports, interrupted and resumed, and what it refuses."""

import gzip
import json
import re

import numpy as np
import pytest
from helpers import read_csv, short_proteins, write_proteins

from bondwise.qml import protein
from bondwise.qml.training import epochs

FIT = ("--epochs", 2, "--quiet")
BASELINES = {
    "majority": 0,
    "composition LR": 21,
    "hydropathy LR": 4,
    "composition + hydropathy LR": 24,
}


def test_result_of_a_training(finished):
    folder, _, printed = finished
    result = json.loads((folder / "result.json").read_text())
    assert result["data"]["sizes"] == {"train": 60, "valid": 24, "test": 30}
    assert result["data"]["synthetic"] is False
    assert "SYNTHETIC" not in printed
    assert result["classes"] == ["cytosol", "membrane"]
    assert result["legal_on_hardware"] is True
    model = protein.ProteinClassifier.load(folder)
    assert type(model).__name__ == result["model"]["name"] == "WindowQTN"
    assert result["model"]["parameters"] == model.num_parameters
    assert result["model"]["valid_accuracy"] == max(model.history_.valid_accuracies)
    found = {row["name"]: row["parameters"] for row in result["baselines"]}
    assert found.pop("3-mer LR") > 1000
    assert found == BASELINES
    for name in (*BASELINES, "WindowQTN", "legal on hardware", "splits: those of"):
        assert name in printed
    assert result["model"]["test"]["accuracy"] > 0.5 == result["baselines"][0]["test"]["accuracy"]


def test_a_classical_method_that_is_as_good_is_named(finished):
    folder, _, printed = finished
    result = json.loads((folder / "result.json").read_text())
    reached = result["model"]["test"]["accuracy"]
    for row in result["baselines"]:
        as_good = row["test"]["accuracy"] >= reached
        if as_good:
            assert re.search(rf"^{re.escape(row['name'])} with .* is (better|as good)", printed, re.MULTILINE)
    hydropathy = next(row for row in result["baselines"] if row["name"] == "hydropathy LR")
    assert hydropathy["test"]["accuracy"] > 0.9


def test_predictions_of_the_test_set(finished):
    folder, data, _ = finished
    rows = read_csv(folder / "predictions.csv")
    given = [row for row in read_csv(data) if row["split"] == "test"]
    assert [row["accession"] for row in rows] == [row["accession"] for row in given]
    assert [row["true"] for row in rows] == [row["label"] for row in given]
    chance = np.array([float(row["p_1"]) for row in rows])
    model = protein.ProteinClassifier.load(folder)
    expected = model.predict_proba([row["sequence"] for row in given])[:, 1]
    np.testing.assert_allclose(chance, expected, rtol=1e-5)
    assert [row["label"] for row in rows] == model.predict([row["sequence"] for row in given]).tolist()
    result = json.loads((folder / "result.json").read_text())
    right = np.mean([row["label"] == row["true"] for row in rows])
    assert result["model"]["test"]["accuracy"] == pytest.approx(right)


def test_report_opens_offline(finished):
    folder, *_ = finished
    text = (folder / "report.html").read_text()
    assert 5 <= text.count("<svg") <= 7
    for heading in ("Training", "ROC curve", "Confusion matrix", "cut out", "hydropathy LR"):
        assert heading in text
    assert "SYNTHETIC" not in text
    assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?!#)", text)
    assert "$" not in re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL)


@pytest.mark.slow
def test_synthetic_proteins_are_called_so_everywhere(bondwise, tmp_path):
    done = bondwise("protein", "train", "--epochs", 1, "--out", "run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("WindowQTN on SYNTHETIC")
    assert json.loads((tmp_path / "run" / "result.json").read_text())["data"]["synthetic"] is True
    text = (tmp_path / "run" / "report.html").read_text()
    headings = re.findall(r"<h2>(.*?)</h2><figure>", text)
    assert len(headings) >= 4
    assert all("SYNTHETIC" in heading for heading in [*headings, re.findall("<h1>(.*?)</h1>", text)[0]])
    write_proteins(tmp_path / "new.csv", {"test": 4})
    later = bondwise("protein", "predict", "run", "new.csv", "--out", "p.csv")
    assert "SYNTHETIC: the model was trained on" in later.stdout


def test_names_are_shown_and_not_obeyed(bondwise, tmp_path):
    labels = ("$$", "=[/b]")
    data = write_proteins(tmp_path / "[red]a.csv", {"train": 24, "valid": 8, "test": 12}, labels)
    data.write_text(re.sub(r"^P", "$[/b]P", data.read_text(), flags=re.MULTILINE))
    done = bondwise("protein", "train", data, "--epochs", 1, "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "[red]a.csv" in done.stdout
    report = (tmp_path / "run" / "report.html").read_text()
    assert "[red]a.csv" in report
    assert "$$" in report
    written = {row["true"] for row in read_csv(tmp_path / "run" / "predictions.csv")}
    assert written == {"$$", "'=[/b]"}
    done = bondwise("protein", "predict", "run", data, "--where", "label==[/b]", "--out", "p.csv")
    assert done.returncode == 0, done.stderr
    assert "accuracy" in done.stdout


def test_a_file_without_splits_is_divided_by_homology(bondwise, tmp_path):
    lines = [f"{label}\t{sequence}" for _, label, sequence in short_proteins(60, 3, ("cytosol", "membrane"))]
    (tmp_path / "data.tsv").write_text("\n".join(["label\tsequence", *lines]) + "\n")
    done = bondwise("protein", "train", "data.tsv", *FIT[:2], "--json", "--out", "run")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert "families of homologues" in result["data"]["splits"]
    assert "remote homologues may be" in result["data"]["splits"]
    assert sum(result["data"]["sizes"].values()) == 60
    names = [row["accession"] for row in read_csv(tmp_path / "run" / "predictions.csv")]
    assert names == [str(number + 1) for number in range(len(names))]


@pytest.mark.parametrize("command", ["train", "benchmark"])
def test_an_occupied_folder_is_refused_before_the_search(bondwise, tmp_path, monkeypatch, command):
    lines = [f"{label}\t{sequence}" for _, label, sequence in short_proteins(60, 3, ("cytosol", "membrane"))]
    (tmp_path / "data.tsv").write_text("\n".join(["label\tsequence", *lines]) + "\n")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    searched = []
    monkeypatch.setattr(protein, "homology_split", lambda *a, **k: searched.append(a))
    done = bondwise("protein", command, "data.tsv", "--out", "run")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "not empty" in done.stderr
    assert not searched


def test_a_search_that_is_stopped_leaves_nothing(bondwise, tmp_path, monkeypatch):
    lines = [f"{label}\t{sequence}" for _, label, sequence in short_proteins(60, 3, ("cytosol", "membrane"))]
    (tmp_path / "data.tsv").write_text("\n".join(["label\tsequence", *lines]) + "\n")

    def stopped(*arguments, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(protein, "homology_split", stopped)
    done = bondwise("protein", "train", "data.tsv", "--out", "run")
    assert done.returncode == 130
    assert "stopped before the training" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "model",
    [
        pytest.param("latch", marks=pytest.mark.slow),
        pytest.param("path", marks=pytest.mark.slow),
        "tree",
        "recurrent",
    ],
)
def test_other_models(bondwise, tmp_path, model):
    write_proteins(tmp_path / "data.csv", {"train": 12, "test": 6})
    words = ("protein", "train", "data.csv", "--model", model, "--qubits", 1, "--epochs", 1)
    done = bondwise(*words, "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "no validation set" in done.stdout
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["settings"]["qubits"] == 1
    assert result["model"]["valid_accuracy"] is None


def test_three_classes(bondwise, tmp_path):
    classes = ("a", "b", "c")
    data = write_proteins(tmp_path / "data.csv", {"train": 30, "valid": 12, "test": 12}, classes)
    done = bondwise("protein", "train", data, *FIT, "--out", "run")
    assert done.returncode == 0, done.stderr
    done = bondwise("protein", "predict", "run", data, "--where", "split=test", "--out", "p.csv")
    assert done.returncode == 0, done.stderr
    rows = read_csv(tmp_path / "p.csv")
    assert list(rows[0]) == ["accession", "label", "p_a", "p_b", "p_c"]
    for row in rows:
        chance = {name: float(row[f"p_{name}"]) for name in classes}
        assert sum(chance.values()) == pytest.approx(1, abs=1e-5)
        assert row["label"] == max(chance, key=chance.get)


def test_resumption_follows_the_path_of_an_uninterrupted_run(bondwise, tmp_path, monkeypatch):
    write_proteins(tmp_path / "data.csv", {"train": 40, "valid": 12, "test": 12})
    words = ("protein", "train", "data.csv", "--epochs", 4, "--quiet", "--seed", 5)
    assert bondwise(*words, "--out", "whole").returncode == 0

    def save_twice(*arguments, counts=iter(range(2)), **keywords):
        save(*arguments, **keywords)
        if next(counts) == 1:
            raise KeyboardInterrupt

    save = epochs.save_checkpoint
    with monkeypatch.context() as patch:
        patch.setattr(epochs, "save_checkpoint", save_twice)
        stopped = bondwise(*words, "--out", "parts")
    assert stopped.returncode == 130
    assert "--resume" in stopped.stderr
    assert not (tmp_path / "parts" / "model.json").exists()
    other = bondwise(*words[:4], 3, *words[5:], "--out", "parts", "--resume")
    assert other.returncode == 2
    assert "--epochs 4, not 3" in other.stderr
    assert bondwise(*words, "--out", "parts").returncode == 2
    resumed = bondwise("protein", "train", "--out", "parts", "--resume", "--quiet")
    assert resumed.returncode == 0, resumed.stderr
    for name in ("weights.safetensors", "predictions.csv"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    with (tmp_path / "data.csv").open("a") as file:
        file.write(f"Q1,cytosol,train,1,{'DEKR' * 10}\n")
    changed = bondwise(*words, "--out", "parts", "--resume")
    assert changed.returncode == 2
    assert "the file that DATA names has changed" in changed.stderr
    other = bondwise("vqe", "--out", "parts", "--resume")
    assert (other.returncode, len(other.stderr.splitlines())) == (2, 1)
    assert "parts holds the run of another command" in other.stderr


SEQUENCE = "MKTAYIAKQRQISFVKSHFSRQ"
BAD = {
    "empty": ("", "is empty"),
    "no_sequence": ("accession,label\nP1,a\n", "no column 'sequence'"),
    "one_class": (f"label,sequence\na,{SEQUENCE}\na,{SEQUENCE}K\n", "only the label 'a'"),
    "empty_sequence": (f"label,sequence\na,{SEQUENCE}\nb,\n", "line 3"),
    "letters": (f"label,sequence\na,{SEQUENCE}\nb,MK1A\n", "'1' at position 3"),
    "two_labels": (f"accession,label,sequence\nP1,a,{SEQUENCE}\nP1,b,{SEQUENCE}\n", "'a'"),
    "split_name": (f"label,split,sequence\na,train,{SEQUENCE}\nb,trian,{SEQUENCE}A\n", "'trian'"),
    "no_test": (f"label,split,sequence\na,train,{SEQUENCE}\nb,train,{SEQUENCE}A\n", "has no row with split"),
    "one_trained": (
        f"label,split,sequence\na,train,{SEQUENCE}\nb,test,{SEQUENCE}A\n",
        "label 'b' of the test set",
    ),
    "unlabelled": (f"sequence\n{SEQUENCE}\n", "no label"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_data_leaves_nothing_behind(bondwise, tmp_path, name):
    content, message = BAD[name]
    (tmp_path / "data.csv").write_text(content)
    done = bondwise("protein", "train", "data.csv", *FIT, "--out", "runs/new")
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, "")
    assert message in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["data.csv"]


@pytest.mark.parametrize("command", ["train", "predict"])
def test_cut_gzip(finished, bondwise, tmp_path, command):
    (tmp_path / "data.csv.gz").write_bytes(gzip.compress(finished[1].read_bytes())[:-40])
    model = [finished[0]] if command == "predict" else []
    done = bondwise("protein", command, *model, "data.csv.gz", "--out", "new")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "truncated" in done.stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--model", "windo"), "Did you mean 'window'"),
        (("--qubits", "9"), "--qubits"),
        (("--epochs", "0"), "--epochs"),
        (("--learning-rate", "-1"), "--learning-rate is -1.0"),
        (("--where", "kind"), "COLUMN=VALUE"),
        (("--where", "color=1"), "unknown column 'color'"),
        (("--where", "kind=1", "--where", "kind=2"), "kind twice"),
        (("--min-length", "1000"), "none of its"),
        (("--resume",), "no run to resume"),
    ],
)
def test_bad_options_of_train(finished, bondwise, tmp_path, words, message):
    done = bondwise("protein", "train", finished[1], *words, "--out", "new")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr
    assert not (tmp_path / "new").exists()


def test_cut_checkpoint(finished, bondwise, tmp_path):
    words = ("protein", "train", finished[1], *FIT, "--out", "run")
    assert bondwise(*words).returncode == 0
    checkpoint = tmp_path / "run" / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-10])
    done = bondwise(*words, "--resume")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "truncated or damaged" in done.stderr
