"""`bondwise protein benchmark`."""

import json
import re

import numpy as np
import pytest
from helpers import write_proteins


def test_benchmark(bondwise, tmp_path):
    write_proteins(tmp_path / "data.csv", {"train": 16, "valid": 8, "test": 10})
    done = bondwise("protein", "benchmark", "data.csv", "--quick", "--out", "run")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    rows = {row["name"]: row for row in result["methods"]}
    assert rows.keys() - {"ESM-2 LR"} == {
        "majority",
        "composition LR",
        "hydropathy LR",
        "composition + hydropathy LR",
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
