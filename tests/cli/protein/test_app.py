"""`bondwise protein` from files to reports, and what it says to bad input."""

import csv
import functools
import gzip
import http.server
import json
import re
import subprocess
import sys
import threading
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest

from bondwise.cli.main import main
from bondwise.qml import protein
from bondwise.qml.protein.classifiers import training

POLAR, HYDROPHOBIC = list("DEKRNQSTGPAH"), list("LIVFAMLIV")
FIT = ("--epochs", 2, "--quiet")
BASELINES = {
    "majority": 0,
    "composition LR": 21,
    "hydropathy LR": 4,
    "composition + hydropathy LR": 24,
}


def made(count, seed, classes=("cytosol", "membrane")):
    """Short proteins; those of the second class have a hydrophobic segment, of the third two."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        kind = number % len(classes)
        residues = rng.choice(POLAR, 70)
        for segment in range(kind):
            residues[5 + 30 * segment : 25 + 30 * segment] = rng.choice(HYDROPHOBIC, 20)
        yield f"P{seed}{number:03d}", classes[kind], "".join(residues)


def write_table(path, sizes, classes=("cytosol", "membrane")):
    lines = ["accession,label,split,kind,sequence"]
    for seed, (split, count) in enumerate(sizes.items()):
        lines += [f"{name},{label},{split},1,{s}" for name, label, s in made(count, seed, classes)]
    path.write_text("\n".join(lines) + "\n")
    return path


def read_csv(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One finished training for the tests that only read it."""
    folder = tmp_path_factory.mktemp("protein")
    data = write_table(folder / "data.csv", {"train": 60, "valid": 24, "test": 30})
    words = ["protein", "train", data, "--epochs", 8, "--learning-rate", 0.05, "--out", folder / "run"]
    printed = StringIO()
    with redirect_stdout(printed), pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    assert stop.value.code == 0
    return folder / "run", data, printed.getvalue()


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


def test_synthetic_proteins_are_called_so_everywhere(bondwise, tmp_path):
    done = bondwise("protein", "train", "--epochs", 1, "--out", "run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("WindowQTN on SYNTHETIC")
    assert json.loads((tmp_path / "run" / "result.json").read_text())["data"]["synthetic"] is True
    text = (tmp_path / "run" / "report.html").read_text()
    headings = re.findall(r"<h2>(.*?)</h2><figure>", text)
    assert len(headings) >= 4
    assert all("SYNTHETIC" in heading for heading in [*headings, re.findall("<h1>(.*?)</h1>", text)[0]])
    write_table(tmp_path / "new.csv", {"test": 4})
    later = bondwise("protein", "predict", "run", "new.csv", "--out", "p.csv")
    assert "SYNTHETIC: the model was trained on" in later.stdout


def test_names_are_shown_and_not_obeyed(bondwise, tmp_path):
    labels = ("$$", "=[/b]")
    data = write_table(tmp_path / "[red]a.csv", {"train": 24, "valid": 8, "test": 12}, labels)
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
    lines = [f"{label}\t{sequence}" for _, label, sequence in made(60, 3)]
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
    lines = [f"{label}\t{sequence}" for _, label, sequence in made(60, 3)]
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
    lines = [f"{label}\t{sequence}" for _, label, sequence in made(60, 3)]
    (tmp_path / "data.tsv").write_text("\n".join(["label\tsequence", *lines]) + "\n")

    def stopped(*arguments, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(protein, "homology_split", stopped)
    done = bondwise("protein", "train", "data.tsv", "--out", "run")
    assert done.returncode == 130
    assert "stopped before the training" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("model", ["latch", "path", "tree", "recurrent"])
def test_other_models(bondwise, tmp_path, model):
    write_table(tmp_path / "data.csv", {"train": 12, "test": 6})
    words = ("protein", "train", "data.csv", "--model", model, "--qubits", 1, "--epochs", 1)
    done = bondwise(*words, "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "no validation set" in done.stdout
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["settings"]["qubits"] == 1
    assert result["model"]["valid_accuracy"] is None


def test_three_classes(bondwise, tmp_path):
    classes = ("a", "b", "c")
    data = write_table(tmp_path / "data.csv", {"train": 30, "valid": 12, "test": 12}, classes)
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
    write_table(tmp_path / "data.csv", {"train": 40, "valid": 12, "test": 12})
    words = ("protein", "train", "data.csv", "--epochs", 4, "--quiet", "--seed", 5)
    assert bondwise(*words, "--out", "whole").returncode == 0

    def save_twice(*arguments, counts=iter(range(2)), **keywords):
        save(*arguments, **keywords)
        if next(counts) == 1:
            raise KeyboardInterrupt

    save = training.save_checkpoint
    with monkeypatch.context() as patch:
        patch.setattr(training, "save_checkpoint", save_twice)
        stopped = bondwise(*words, "--out", "parts")
    assert stopped.returncode == 130
    assert "--resume" in stopped.stderr
    assert not (tmp_path / "parts" / "model.json").exists()
    other = bondwise(*words[:4], 3, *words[5:], "--out", "parts", "--resume")
    assert other.returncode == 2
    assert "--epochs 4, not 3" in other.stderr
    assert bondwise(*words, "--out", "parts").returncode == 2
    resumed = bondwise(*words, "--out", "parts", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    for name in ("weights.safetensors", "predictions.csv"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    with (tmp_path / "data.csv").open("a") as file:
        file.write(f"Q1,cytosol,train,1,{'DEKR' * 10}\n")
    changed = bondwise(*words, "--out", "parts", "--resume")
    assert changed.returncode == 2
    assert "DATA" in changed.stderr


def test_predict_says_how_good_it_is(finished, bondwise, tmp_path):
    folder, data, _ = finished
    words = ("protein", "predict", folder, data, "--where", "split=test")
    done = bondwise(*words, "--out", "p.csv", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["exact"] == json.loads((folder / "result.json").read_text())["model"]["test"]
    assert list(read_csv(tmp_path / "p.csv")[0]) == ["accession", "label", "p_1"]
    again = bondwise(*words, "--out", "p.csv")
    assert again.returncode == 2
    assert "--overwrite" in again.stderr
    fewer = bondwise(*words, "--out", "p.csv", "--overwrite", "--limit", 3)
    assert fewer.returncode == 0, fewer.stderr
    assert "3 predictions" in fewer.stdout
    assert "accuracy ± std" in fewer.stdout
    assert len(read_csv(tmp_path / "p.csv")) == 3


def test_predict_without_labels_or_with_strange_ones(finished, bondwise, tmp_path):
    folder, *_ = finished
    (tmp_path / "p.fasta").write_text(f">sp|Q1|NAME text\n{'MKTAYIAK' * 5}\n>Q2\nAC\n")
    done = bondwise("protein", "predict", folder, "p.fasta", "--out", "p.csv")
    assert done.returncode == 0, done.stderr
    assert "accuracy" not in done.stdout
    assert [row["accession"] for row in read_csv(tmp_path / "p.csv")] == ["Q1", "Q2"]
    (tmp_path / "odd.csv").write_text("label,sequence\nnucleus,MKTAYIAK\n")
    done = bondwise("protein", "predict", folder, "odd.csv", "--out", "odd_p.csv")
    assert done.returncode == 0, done.stderr
    assert "'nucleus' is not among" in done.stdout
    assert [row["accession"] for row in read_csv(tmp_path / "odd_p.csv")] == ["1"]


def test_predict_a_protein_of_50_000_residues(finished, bondwise, tmp_path):
    (tmp_path / "long.csv").write_text(f"sequence\n{'MKTAYIAKQL' * 5000}\n")
    done = bondwise("protein", "predict", finished[0], "long.csv", "--out", "p.csv")
    assert done.returncode == 0, done.stderr
    assert 0 < float(read_csv(tmp_path / "p.csv")[0]["p_1"]) < 1


@pytest.mark.parametrize(
    ("backend", "more"),
    [("statevector", ()), ("aer", ()), ("fake:torino", ()), ("fake:torino", ("--mitigate", "readout"))],
)
def test_predict_on_a_backend(finished, bondwise, tmp_path, backend, more):
    folder, data, _ = finished
    words = ("protein", "predict", folder, data, "--where", "split=test", "--limit", 2, "--json", "--quiet")
    done = bondwise(*words, "--backend", backend, "--shots", 512, *more, "--seed", 1, "--out", "p.csv")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["circuits"] > 20
    assert result["shots"] >= 512 * result["circuits"]
    assert 0 < result["largest_difference"] < 0.25
    assert result["exact"].keys() == result["measured"].keys()
    sampled = np.array([float(row["p_1"]) for row in read_csv(tmp_path / "p.csv")])
    exact = protein.ProteinClassifier.load(folder).predict_proba(
        [row["sequence"] for row in read_csv(data) if row["split"] == "test"][:2]
    )[:, 1]
    assert abs(sampled - exact).max() == pytest.approx(result["largest_difference"], abs=1e-5)


def test_backend_prints_both_accuracies(finished, bondwise):
    folder, data, _ = finished
    words = ("protein", "predict", folder, data, "--where", "split=test", "--limit", 2)
    done = bondwise(*words, "--backend", "statevector", "--shots", 64, "--out", "p.csv")
    assert done.returncode == 0, done.stderr
    for values in ("exact", "statevector"):
        assert re.search(rf"^ {values} +\d\.\d\d\d ± 0\.\d\d\d ", done.stdout, re.MULTILINE)
    assert "shots in all" in done.stdout


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
        (("--learning-rate", "-1"), "--learning-rate -1.0"),
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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--mitigate", "readout"), "--backend"),
        (("--mitigate", "linear", "--backend", "aer"), "unknown mitigation"),
        (("--backend", "fake:nowhere"), "nowhere"),
        (("--shots", "0"), "--shots"),
        (("--limit", "0"), "--limit"),
    ],
)
def test_bad_options_of_predict(finished, bondwise, tmp_path, words, message):
    done = bondwise("protein", "predict", *finished[:2], *words, "--out", "p.csv")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr
    assert not (tmp_path / "p.csv").exists()


@pytest.mark.parametrize("out", ["/proc/p.csv", "a" * 256, "/dev/null"])
def test_a_place_that_cannot_be_written_is_said_before_the_work(bondwise, tmp_path, monkeypatch, out):
    monkeypatch.setattr(protein.ProteinClassifier, "load", pytest.fail)
    done = bondwise("protein", "predict", "model", "data.csv", "--overwrite", "--out", out)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert not list(tmp_path.iterdir())


def test_damaged_models(finished, bondwise, tmp_path):
    folder, data, _ = finished
    model, weights = (folder / "model.json").read_text(), (folder / "weights.safetensors").read_bytes()
    cases = {
        "absent": (None, weights, "no model.json"),
        "cut_json": (model[:100], weights, "not valid JSON"),
        "cut_weights": (model, weights[:-50], "weights.safetensors is damaged"),
        "alphabet": (model.replace('"residues"', '"hp"'), weights, "another alphabet"),
    }
    for name, (text, content, message) in cases.items():
        (tmp_path / name).mkdir()
        if text is not None:
            (tmp_path / name / "model.json").write_text(text)
        (tmp_path / name / "weights.safetensors").write_bytes(content)
        done = bondwise("protein", "predict", name, data, "--out", "p.csv")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert message in done.stderr
    assert not (tmp_path / "p.csv").exists()


def test_cut_checkpoint(finished, bondwise, tmp_path):
    words = ("protein", "train", finished[1], *FIT, "--out", "run")
    assert bondwise(*words).returncode == 0
    checkpoint = tmp_path / "run" / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-10])
    done = bondwise(*words, "--resume")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "truncated or damaged" in done.stderr


def test_benchmark(bondwise, tmp_path):
    write_table(tmp_path / "data.csv", {"train": 16, "valid": 8, "test": 10})
    done = bondwise("protein", "benchmark", "data.csv", "--quick", "--out", "run")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    rows = {row["name"]: row for row in result["methods"]}
    assert rows.keys() - {"ESM-2 LR"} == {
        *BASELINES,
        "3-mer LR",
        "CNN",
        "GRU",
        "classical twin",
        "WindowQTN",
        "WindowQTN, entanglers off",
        "LatchQTN",
        "WindowQTN, random labels",
    }
    assert ("ESM-2 LR" in rows) != ("ESM-2 is left out" in done.stdout)
    for row in rows.values():
        accuracies = [trial["test"]["accuracy"] for trial in row["seeds"]]
        assert (row["mean"], row["worst"]) == (pytest.approx(np.mean(accuracies)), min(accuracies))
        assert row["std"] == pytest.approx(np.sqrt(row["mean"] * (1 - row["mean"]) / 10))
    for sentence in ("highest accuracy|wins", "Entanglers in windows", "Random labels", "--quick"):
        assert re.search(sentence, done.stdout)
    assert (tmp_path / "run" / "report.html").read_text().count("<svg") == 1
    assert bondwise("protein", "benchmark", "data.csv", "--out", "run").returncode == 2


class _UniProt(http.server.BaseHTTPRequestHandler):
    """Two proteins for each location, on one page."""

    def do_GET(self):
        first = (
            "P"
            if "term:SL-0086) AND" in self.path.replace("%3A", ":").replace("%29", ")").replace("+", " ")
            else "Q"
        )
        page = f"Entry\tSequence\n{first}00001\t{SEQUENCE}\n{first}00002\t{SEQUENCE}K\n".encode()
        self.send_response(200)
        for name, value in (
            ("X-Total-Results", 2),
            ("X-UniProt-Release", "2026_04"),
            ("Content-Length", len(page)),
        ):
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *arguments):
        pass


def test_fetch(bondwise, tmp_path, monkeypatch):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _UniProt) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(protein, "fetch_uniprot", functools.partial(protein.fetch_uniprot, url=url))
        words = ("protein", "fetch", "--location", "cytosol=SL-0086", "--location", "membrane=SL-0039")
        done = bondwise(*words, "--min-length", 10, "--out", "p.csv", "--json", "--quiet")
        server.shutdown()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"] == {"cytosol": 2, "membrane": 2}
    assert [row["label"] for row in read_csv(tmp_path / "p.csv")] == ["cytosol"] * 2 + ["membrane"] * 2
    assert bondwise(*words, "--out", "p.csv").returncode == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--location", "cytosol"), "label=TERM"),
        (("--location", "cytosol=SL-0086"), "two or more labels"),
        (("--location", "a=SL-0086", "--location", "b=membrane"), "'membrane'"),
        (("--location", "a=SL-0086", "--location", "a=SL-0039"), "label=TERM"),
    ],
)
def test_wrong_fetch(bondwise, tmp_path, words, message):
    done = bondwise("protein", "fetch", *words, "--out", "p.csv")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr
    assert not list(tmp_path.iterdir())


def test_help_and_no_lambeq(finished, bondwise, tmp_path):
    shown = bondwise("protein")
    assert shown.returncode == 0
    for command in ("train", "predict", "benchmark", "fetch"):
        assert command in shown.stdout
        assert bondwise("protein", command, "--help").returncode == 0
    folder, data, _ = finished
    words = [
        "protein", "predict", str(folder), str(data), "--where", "split=test", "--limit", "1",
        "--backend", "statevector", "--shots", "16", "--out", str(tmp_path / "p.csv"), "--quiet",
    ]  # fmt: skip
    code = (
        "import sys\nfrom bondwise.cli.main import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit as end:\n    print(end.code, 'lambeq' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0 False\n", done.stderr
