"""Files and answers changed at random are read or refused in one line; nothing runs, hangs or is left."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

READERS = ("fasta", "csv", "tsv", "model", "uniprot")


def fuzz(readers, seed, count, folder):
    script = Path(__file__).with_name("fuzzing.py")
    words = [
        sys.executable,
        "-W",
        "error::RuntimeWarning",
        script,
        ",".join(readers),
        str(seed),
        str(count),
        folder,
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found.keys() == set(readers)
    for result in found.values():
        assert result["wrong"] == []
        assert result["refused"] > 0
    return found


def test_fifty_changes_of_each_kind(tmp_path):
    fuzz(READERS, 1, 50, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_two_thousand_changes(tmp_path, reader):
    assert fuzz([reader], 2, 2000, tmp_path)[reader]["parsed"] > 5
