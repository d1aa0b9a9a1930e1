"""`bondwise protein predict`, exact and on backends, and what it refuses."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from helpers import read_csv

from bondwise.qml import protein


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
    assert "shots in total" in done.stdout


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
