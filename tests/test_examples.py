"""Every example runs, quickly and within its length, and prints a result that is right."""

import re
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def numbers(pattern, text):
    found = re.findall(pattern, text)
    assert found, f"{pattern} is not in\n{text}"
    return [float(number) for number in found]


def gradients_are_exact(printed):
    assert numbers(r"dθ = (\S+)", printed) == pytest.approx([0.5, 0.5], abs=1e-5)


def mps_start_is_near_the_ground_state(printed):
    warm, cold = numbers(r"(?m)start +-\d\S+ +(\d\S+)$", printed.rsplit("relative error", 1)[1])
    assert warm < 2e-3 < cold / 5


def samples_look_like_the_data(printed):
    assert numbers(r"(\S+)% of 1000 are bars or stripes", printed)[0] > 95


def classifiers_learn_and_measure(printed):
    quantum, classical, _ = numbers(r"AUROC (\S+),", printed)
    assert quantum > 0.6
    assert classical > 0.75
    assert numbers(r"(\d+)% of 5 calls as without noise", printed)[0] >= 60


RESULTS = {
    "01_run_on_a_simulator": gradients_are_exact,
    "02_tn_start_for_vqe": mps_start_is_near_the_ground_state,
    "03_born_machine_from_data": samples_look_like_the_data,
    "04_protein_sentences": classifiers_learn_and_measure,
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path, monkeypatch, capsys):
    assert len(path.read_text().splitlines()) < 150
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path), "--quick"])
    runpy.run_path(str(path), run_name="__main__")
    printed = capsys.readouterr().out
    assert "nan" not in printed.lower()
    RESULTS[path.stem](printed)
