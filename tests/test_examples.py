"""Every example runs, quickly and within its length, and prints a result that is right.

The notebook keeps its outputs; run again, it prints them again.
"""

import os
import re
import runpy
import sys
from pathlib import Path
from unittest.mock import patch

import nbformat
import pytest
from nbclient import NotebookClient

pytest_plugins = ["bondwise.backends.ibm.fixtures"]

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))
NOTEBOOK = FOLDER / "00_first_hour.ipynb"
PRINTED = {  # how far a value may be from the one that is kept, on another machine or release
    r"DMRG: .*: (\S+), no": 1e-4,
    r"your QNode: +(\S+)": 0.1,
    r"random weights: +(\S+)": 1e-3,
    r"tensor network start .* → (\S+)": 0.1,
    r"random start .* → (\S+)": 0.5,
    r"without noise: .*: (\S+), no": 0.1,
    r"raw: .*: (\S+) ±": 0.8,
    r"mitigated: .*: (\S+) ±": 0.8,
    r"quantum tensor network: +(\S+)%": 12,
    r"hydropathy: +(\S+)%": 5,
    r"without noise: \[(\S+)": 0.2,
    r"fake:torino: +\[(\S+)": 0.25,
}


def numbers(pattern, text):
    found = re.findall(pattern, text)
    assert found, f"{pattern} is not in\n{text}"
    return [float(number) for number in found]


def gradients_are_exact_or_sampled(printed):
    exact, *sampled = numbers(r"dθ = (\S+)", printed)
    assert exact == pytest.approx(0.5, abs=1e-5)
    assert sampled == pytest.approx([0.5, 0.48, 0.43], abs=0.1)  # less with noise; five standard errors


def a_device_gives_noisy_values_once(printed):
    assert printed.startswith("No backend was named")
    assert numbers(r"(?m)^ibm:ibm_manila +(\S+) ±", printed)[0] == pytest.approx(0.79, abs=0.12)
    exact, measured = numbers(r"dθ = (\S+)", printed)
    assert exact == pytest.approx(0.5, abs=1e-5)
    assert measured == pytest.approx(0.32, abs=0.12)
    assert "asked again: 0 new jobs, same counts: True" in printed
    assert numbers(r"(?m)^\w{20} done, circuits: (\d), QPU time: \S+ s$", printed) == [3, 2, 1]


def mps_start_is_near_the_ground_state(printed):
    warm, cold = numbers(r"(?m)start +-\d\S+ +(\d\S+)$", printed.rsplit("relative error", 1)[1])
    assert warm < 2e-3 < cold / 5


def samples_look_like_the_data(printed):
    assert numbers(r"(\S+)% of 1000 are bars or stripes", printed)[0] > 95
    alone, start = numbers(r"(?m)^(?:state alone|as a circuit) +(\d\S+)", printed)
    warm, _ = numbers(r"(?m)^trained.* (\S+) to ", printed)
    assert warm < alone < start  # the circuit learns what a state of this bond does not hold
    exact, noisy = numbers(r"(?m)^trained(?:  |, on fake:torino).* (\S+)%$", printed)
    assert 100 * 14 / 512 < 15 < noisy < exact
    assert "the circuit is the better model; so is a state of larger bond" in printed


def classifiers_learn_and_measure(printed):
    quantum, classical, _ = numbers(r"AUROC (\S+),", printed)
    assert quantum > 0.6
    assert classical > 0.75
    assert numbers(r"(\d+)% of 5 calls as without noise", printed)[0] >= 60


def compression_costs_less_than_plain_methods(printed):
    rows = dict(re.findall(r"(?m)^(.*\S) +[\d,]+ +(\d+\.\d+)$", printed))
    found = {name: float(perplexity) for name, perplexity in rows.items()}
    assert len(found) == 8
    assert printed.startswith("training a small Llama")
    assert (
        found["compress"] - found["dense"]
        < (found["plain SVD, the same for every layer"] - found["dense"]) / 3
    )
    assert found["compress, healed"] < 1.01 * found["dense"]
    assert "the model gives the same logits: True" in printed


def one_job_for_a_gradient(printed):
    rows = re.findall(r"(?m)^(\S.*\S) +(-\d\S+) +(\S+) +(\S+)$", printed)
    assert [row[3] for row in rows] == ["–", "1", "1"]
    assert rows[1][1:3] == rows[0][1:3]  # the exact simulators agree
    assert 0.8 < float(rows[2][1]) / float(rows[0][1]) < 1
    before, after, ground = map(float, re.search(r"noise: (\S+) → (\S+) .*state (\S+)\)", printed).groups())
    assert ground < after < before
    measured, ideal = numbers(r"(\S+)%", printed)
    assert measured == pytest.approx(ideal, abs=4)
    assert numbers(r"⟨Z⟩ = (\S+)", printed)[0] > 0.9


def a_batch_is_one_job(printed):
    assert numbers(r"(?m)^(?:hybrid|classical) +(\S+)% right", printed) == pytest.approx([90, 88], abs=10)
    exact, noisy = numbers(r"(?m)^(?:last hybrid network|on fake:torino) +(\S+)% right", printed)
    assert noisy == pytest.approx(exact, abs=5)
    jobs = re.findall(r"(?m)^.* batch\S* of 50 +(\d+) +(\d+) +(\S+)$", printed)
    assert jobs == [("4", "4", "200"), ("1", "1", "2,750")]
    assert "which decides nothing" in printed


def mitigated_energies_are_closer(printed):
    errors = numbers(r"(?m)^(?:none|network|exponential|neural).* (\S+)$", printed)
    assert max(errors[1:]) < errors[0] < 0.06
    assert errors[3] < errors[1]  # than the paper's network
    assert numbers(r"ground state (\S+),", printed) == [-4.7588, -1.1373]
    pairs = re.findall(r"mean error: raw (\S+), mitigated (\S+); mitigated is closer", printed)
    (raw_chain, chain), (raw_hydrogen, hydrogen) = [map(float, pair) for pair in pairs]
    assert chain < raw_chain / 3
    assert hydrogen < raw_hydrogen / 3
    assert Path("neural_zne.png").stat().st_size > 10_000


RESULTS = {
    "01_run_on_a_simulator": gradients_are_exact_or_sampled,
    "02_tn_start_for_vqe": mps_start_is_near_the_ground_state,
    "03_born_machine_from_data": samples_look_like_the_data,
    "04_protein_sentences": classifiers_learn_and_measure,
    "05_compress_a_language_model": compression_costs_less_than_plain_methods,
    "06_ibm_hardware": a_device_gives_noisy_values_once,
    "07_pennylane_on_a_device": one_job_for_a_gradient,
    "08_neural_zne": mitigated_energies_are_closer,
    "09_hybrid_network": a_batch_is_one_job,
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path, monkeypatch, capsys):
    assert len(path.read_text().splitlines()) < 150
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path), "--quick"])
    with patch.dict(os.environ):  # one of them puts an account there
        runpy.run_path(str(path), run_name="__main__")
    printed = capsys.readouterr().out
    assert "nan" not in printed.lower()
    RESULTS[path.stem](printed)


def test_the_qnode_runs_on_a_device_that_is_named(loopback_ibm, monkeypatch, capsys):
    path = FOLDER / "07_pennylane_on_a_device.py"
    monkeypatch.setattr(sys, "argv", [str(path), "--quick", "ibm:ibm_manila"])
    runpy.run_path(str(path), run_name="__main__")
    assert "bondwise, ibm:ibm_manila" in capsys.readouterr().out
    assert len(loopback_ibm.jobs) == 4


def test_a_trajectory_is_one_job_on_a_device(loopback_ibm, tmp_path, monkeypatch, capsys):
    path = FOLDER / "08_neural_zne.py"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path), "--quick", "--backend", "ibm:ibm_manila"])
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out.count("mitigated is closer") == 2
    assert len(loopback_ibm.jobs) == 4  # of two problems, mitigated and raw


def test_a_trained_network_is_one_job_for_each_batch(loopback_ibm, monkeypatch, capsys):
    path = FOLDER / "09_hybrid_network.py"
    monkeypatch.setattr(sys, "argv", [str(path), "--quick", "ibm:ibm_manila"])
    runpy.run_path(str(path), run_name="__main__")
    assert re.search(r"on ibm:ibm_manila +\S+% right", capsys.readouterr().out)
    assert len(loopback_ibm.jobs) == 4


def test_only_the_names_of_backends_differ_on_hardware():
    shared = (FOLDER / "01_run_on_a_simulator.py").read_text().partition("\n# A GHZ-like state")[2]
    assert shared
    assert shared in (FOLDER / "06_ibm_hardware.py").read_text()


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def printed(notebook):
    assert {output.get("name", "stdout") for output in outputs(notebook)} == {"stdout"}  # no warnings
    return "".join(output.get("text", "") for output in outputs(notebook))


def figures(notebook):
    return sum(output.output_type == "display_data" for output in outputs(notebook))


def test_the_notebook_prints_what_it_shows(tmp_path, monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)
    shown = nbformat.read(NOTEBOOK, as_version=4)
    again = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(again, timeout=300, kernel_name="python3").execute(cwd=tmp_path)
    for pattern, tolerance in PRINTED.items():
        kept = numbers(pattern, printed(shown))
        assert numbers(pattern, printed(again)) == pytest.approx(kept, abs=tolerance), pattern
    assert figures(again) == figures(shown) == 3


def test_the_notebook_keeps_its_figures_and_nothing_of_the_machine():
    text = NOTEBOOK.read_text()
    assert text.count('"image/png"') == 3
    assert len(text) < 300_000
    assert not re.search(r"/(home|root|tmp|usr|work|Users)/|site-packages", text)
