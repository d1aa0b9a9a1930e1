"""`bondwise vqe` from end to end on small systems, and what it says to wrong use."""

import json
import os
import re
import resource
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest
from qiskit import qasm3, qpy
from qiskit.quantum_info import SparsePauliOp, Statevector

from bondwise.cli.main import main
from bondwise.qml.training.optimizers import OPTIMIZERS
from bondwise.runs import RunFolder

SMALL = ("vqe", "--model", "heisenberg", "--size", 4, "--max-bond", 2, "--layers", 1, "--seed", 3)
DEVICE = ("--backend", "fake:manila", "--mitigate", "exponential", "--shots", 500)
QUIET = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
NO_DEVICE = ("--backend", "statevector", "--mitigate", "none", "--shots", 0)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One finished run for the tests that only read it."""
    folder, printed = tmp_path_factory.mktemp("vqe"), StringIO()
    words = [*map(str, SMALL + DEVICE), "--steps", "8", "--out", str(folder / "run")]
    with redirect_stdout(printed), pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 0
    return folder / "run", printed.getvalue()


def test_result(finished):
    folder, printed = finished
    result = json.loads((folder / "result.json").read_text())
    assert result["schema"] == 2
    assert result["settings"] | {"hamiltonian": ""} == {
        **{"model": "heisenberg", "size": 4, "periodic": False, "max_bond": 2, "layers": 1, "extend": 1},
        **{"start": "mps", "steps": 8, "optimizer": "lbfgs", "learning_rate": None, "shots": 500},
        **{"backend": "fake:manila", "mitigate": "exponential", "seed": 3, "hamiltonian": ""},
        **{"train_on": None, "ansatz": "staircase", "embed": False},
        **{"molecule": None, "bond": None, "basis": None, "active": None, "mapping": None},
    }
    assert result["seed"] == 3
    assert result["versions"].keys() >= {"bondwise", "qiskit", "torch", "quimb"}
    assert result["exact_energy"] == pytest.approx(-1.6160254037844386)  # -(3 + 2√3)/4
    assert result["exact_energy"] <= result["dmrg_energy"]
    stages = {stage["name"]: stage for stage in result["stages"]}
    assert stages.keys() == {
        "MPS as a circuit",
        "MPS start",
        "MPS start, trained",
        "random start",
        "random start, trained",
        "fake:manila, raw",
        "fake:manila, mitigated",
    }
    for stage in stages.values():
        assert stage.keys() == {
            *("name", "energy", "std", "infidelity", "cx", "depth2q", "shots", "seconds", "job_ids"),
        }
        assert stage["energy"] + 5 * stage["std"] >= result["exact_energy"]
    assert stages["MPS as a circuit"]["cx"] == 5
    assert stages["MPS start"]["cx"] == 11
    assert stages["MPS start, trained"]["energy"] < stages["MPS start"]["energy"]
    assert stages["fake:manila, raw"]["shots"] == 3 * 500  # XX, YY and ZZ are read in three bases
    assert stages["fake:manila, raw"]["std"] > 0
    assert stages["fake:manila, raw"]["job_ids"] == []  # nothing was submitted anywhere
    for name in stages:
        assert name in printed
    assert "exact" in printed


def test_trained_circuit_is_stored_twice(finished):
    folder, _ = finished
    result = json.loads((folder / "result.json").read_text())
    energy = next(stage["energy"] for stage in result["stages"] if stage["name"] == "MPS start, trained")
    with (folder / "trained.qpy").open("rb") as file:
        circuits = [qpy.load(file)[0], qasm3.load(str(folder / "trained.qasm"))]
    hamiltonian = SparsePauliOp.from_sparse_list(
        [(2 * pauli, [site, site + 1], 0.25) for site in range(3) for pauli in "XYZ"], num_qubits=4
    )
    for circuit in circuits:
        assert Statevector(circuit).expectation_value(hamiltonian).real == pytest.approx(energy, abs=1e-9)


def test_stored_angles_fit_the_stored_circuit(finished, bondwise):
    folder, _ = finished
    words = ("run", folder / "ansatz.qpy", "--parameters", folder / "parameters.json", "--shots", 0)
    done = bondwise(*words, "--observable", "0.25*IIXX + 0.25*IIYY + 0.25*IIZZ", "--json")
    assert done.returncode == 0, done.stderr
    bound = bondwise(
        "run", folder / "trained.qpy", *words[4:], "--observable", "IIXX", "--out", "b", "--json"
    )
    assert bound.returncode == 0, bound.stderr


def test_report_opens_offline(finished):
    folder, _ = finished
    text = (folder / "report.html").read_text()
    assert text.count("<svg") == 3
    for heading in ("Training", "Zero-noise extrapolation", "Circuit", "MPS start, trained"):
        assert heading in text
    assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?!#)", text)
    assert "$" not in re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL)


def test_sizes_of_grids_are_numbers_in_files_and_text_for_readers(bondwise, tmp_path):
    words = ("--size", "2x3", "--max-bond", 2, "--layers", 1, "--out")
    done = bondwise("vqe", *words, "out", *NO_DEVICE, "--steps", 1)
    assert done.returncode == 0, done.stderr
    assert "heisenberg 2x3 on statevector" in done.stdout
    assert "heisenberg 2x3</h1>" in (tmp_path / "out" / "report.html").read_text()
    for name in ("result.json", "settings.json"):
        assert json.loads((tmp_path / "out" / name).read_text())["settings"]["size"] == [2, 3]
    done = bondwise("decompose", "--model", "ising", *words, "ising.qpy", "--quiet")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "ising.json").read_text())
    assert result["settings"]["size"] == result["state"]["size"] == [2, 3]


def test_the_angles_start_another_run(finished, bondwise):
    folder, _ = finished
    words = (
        *SMALL,
        *NO_DEVICE,
        "--steps",
        1,
        "--start",
        folder / "parameters.json",
        "--out",
        "out",
        "--json",
        "-q",
    )
    done = bondwise(*words)
    assert done.returncode == 0, done.stderr
    before = json.loads((folder / "result.json").read_text())["stages"]
    after = json.loads(done.stdout)["stages"]
    trained = next(stage["energy"] for stage in before if stage["name"] == "MPS start, trained")
    given = next(stage["energy"] for stage in after if stage["name"] == "given start")
    assert given == pytest.approx(trained, abs=1e-12)


@pytest.mark.parametrize("start", ["product", "near-identity", "random"])
def test_other_starts(bondwise, start):
    done = bondwise(*SMALL, *NO_DEVICE, "--steps", 1, "--start", start, "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    names = [stage["name"] for stage in json.loads(done.stdout)["stages"]]
    assert f"{start} start, trained" in names
    assert "random start, trained" in names
    assert done.stderr == ""


def test_complex_hamiltonian(bondwise, tmp_path):
    """Terms with one Y have complex ground states, whose circuits need gates of 3 CX."""
    (tmp_path / "h.txt").write_text("-1 ZII\n-1 IZI\n-1 IIZ\n0.5 YXI\n0.5 IYX\n")
    for start in ("mps", "product"):
        words = ("vqe", "--model", "h.txt", *NO_DEVICE, "--layers", 1, "--steps", 60, "--start", start)
        done = bondwise(*words, "--json", "--quiet", "--out", start)
        assert done.returncode == 0, done.stderr
        stages = {stage["name"]: stage for stage in json.loads(done.stdout)["stages"]}
        main = stages[f"{'MPS' if start == 'mps' else start} start, trained"]
        assert main["cx"] == 1 + 2 + 3 * 2  # fresh qubits need fewer
        assert main["infidelity"] < 1e-6


def test_infidelity_is_to_the_whole_ground_level(bondwise):
    """Five spins have two ground states; training finds some mixture of them."""
    done = bondwise("vqe", "--size", 5, *NO_DEVICE, "--seed", 1, "--steps", 150, "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    stages = [stage for stage in result["stages"] if stage["infidelity"] is not None]
    near = [stage for stage in stages if stage["energy"] < result["exact_energy"] + 1e-3]
    assert near
    assert all(stage["infidelity"] < 5e-3 for stage in near)


def test_training_that_threw_its_start_away_says_so(bondwise):
    words = ("vqe", "--size", 4, "--max-bond", 8, "--layers", 2, "--optimizer", "adam", "--steps", 2)
    done = bondwise(*words, *NO_DEVICE, "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    stages = {stage["name"]: stage["energy"] for stage in result["stages"]}
    assert stages["MPS start, trained"] == stages["MPS start"]
    (said,) = [note for note in result["notes"] if "did not improve on its start" in note]
    assert said.startswith("MPS start: all 2 steps were taken; ")
    assert said.endswith("try L-BFGS or a smaller learning rate.")


def test_divergence_keeps_what_was_reached(bondwise, tmp_path):
    words = (*SMALL, *NO_DEVICE, "--optimizer", "sgd", "--learning-rate", 1.7e308, "--quiet", "--json")
    done = bondwise(*words, "--steps", 30)
    assert done.returncode == 0, done.stderr
    assert any("is not finite at step" in note for note in json.loads(done.stdout)["notes"])


@pytest.mark.parametrize("optimizer", ["qng", "spsa", "cmaes"])
def test_other_optimizers(bondwise, optimizer):
    """They run, keep the start if they find nothing better, and are named in the help."""
    done = bondwise(*SMALL, *NO_DEVICE, "--optimizer", optimizer, "--steps", 3, "--quiet", "--json")
    assert done.returncode == 0, done.stderr
    stages = {stage["name"]: stage["energy"] for stage in json.loads(done.stdout)["stages"]}
    assert stages["MPS start, trained"] <= stages["MPS start"] + 1e-12
    assert optimizer in bondwise("vqe", "--help").stdout


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_folder_in_use_is_refused(bondwise, tmp_path, optimizer):
    with RunFolder(tmp_path / "run"):
        done = bondwise(*SMALL, *NO_DEVICE, "--optimizer", optimizer, "--quiet", "--out", "run")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "in use by another run" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--model", "heisenburg", "--size", 4), "Did you mean 'heisenberg'"),
        (("--model", "heisenberg"), "--size is missing"),
        (("--model", "heisenberg", "--size", 1), "size '1' is not a lattice"),
        (("--model", "heisenberg", "--size", 0), "size '0' is not a lattice"),
        (("--model", "heisenberg", "--size", -3), "size '-3' is not a lattice"),
        (
            ("--model", "heisenberg", "--size", 200000),
            "200000 qubits are too many to train; give at most 256",
        ),
        (("--model", "heisenberg", "--size", 30, "--train-on", "statevector"), "give at most 24"),
        (("--model", "heisenberg", "--size", 4, "--train-on", "fake:manila"), "no exact values to train on"),
        (("--model", "heisenberg", "--size", 4, "--train-on", "mps:bond=3"), "unknown option of mps"),
        (("--model", "h" * 300, "--size", 4), "unknown model"),
        (
            ("--model", "nope"),
            "Known: FILE (with a Hamiltonian), a sum such as 1.0*ZZ, heisenberg, ising, xxz",
        ),
        (("--model", "heis"), "Did you mean 'heisenberg'"),
        (("--model", "heisenberg", "--size", 4, "--backend", "aer:mps"), "'aer:matrix_product_state'"),
        (("--model", "heisenberg", "--size", 4, "--mitigate", "exp"), "Did you mean 'exponential'"),
        (("--model", "heisenberg", "--size", 4, "--seed", -1), "--seed"),
        (("--model", "heisenberg", "--size", 4, "--max-bond", 0), "--max-bond is 0"),
        (("--model", "heisenberg", "--size", 4, "--backend", "statvector"), "Did you mean 'statevector'"),
        (("--model", "heisenberg", "--size", 4, "--backend", "fake:torini"), "Did you mean"),
        (("--model", "heisenberg", "--size", 4, "--backend", "ibm:torino"), "account"),
        (("--model", "heisenberg", "--size", 6, "--backend", "fake:manila"), "fake:manila 5"),
        (("--model", "heisenberg", "--size", 4, "--mitigate", "linea"), "Did you mean 'linear'"),
        (("--model", "heisenberg", "--size", 4, "--start", "mp"), "Did you mean 'mps'"),
        (("--model", "heisenberg", "--size", 4, "--optimizer", "adan"), "Did you mean"),
        (
            ("--model", "heisenberg", "--size", 4, "--optimizer", "newton"),
            "Known: adam, cmaes, lbfgs, nadam, qng, rmsprop, sgd, spsa",
        ),
        (("--model", "heisenberg", "--size", 4, "--learning-rate", 0), "--learning-rate is 0"),
        (("--model", "heisenberg", "--size", 4, "--steps", 0), "--steps is 0"),
        (("--model", "heisenberg", "--size", 4, "--shots", -1), "--shots is -1"),
        (("--model", "no.json"), "no.json"),
        (("--model", "broken.json"), "broken.json"),
        (("--model", "complex.json"), "Hermitian"),
        (("--model", "wide.json", "--backend", "fake:manila"), "fake:manila 5"),
    ],
)
def test_wrong_use_is_one_line_and_leaves_nothing(bondwise, tmp_path, words, message):
    (tmp_path / "broken.json").write_text('[["ZZ", 1.0')
    (tmp_path / "complex.json").write_text('[["ZZ", "1j"]]')
    (tmp_path / "wide.json").write_text(json.dumps([["Z" * 7, 1.0]]))
    done = bondwise("vqe", *words, "--out", "deep/run")
    assert message in done.stderr
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert not (tmp_path / "deep").exists()


def test_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    """A limit on the size of files fails like a full disk: in the midst of the first file that matters."""

    def no_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))

    words = [
        sys.executable,
        "-m",
        "bondwise.cli.main",
        *map(str, SMALL + NO_DEVICE),
        "--quiet",
        "--out",
        "run",
    ]
    done = subprocess.run(
        words,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        preexec_fn=no_room,
        env=QUIET,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "cannot write to run: File too large" in done.stderr
    assert not (tmp_path / "run").exists()


def test_read_only_disk_is_one_line(bondwise):
    done = bondwise(*SMALL, *NO_DEVICE, "--quiet", "--out", "/proc/run")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "cannot write to /proc/run" in done.stderr


def test_readout_alone_has_no_extrapolation_to_draw(bondwise, tmp_path):
    words = (*SMALL, "--backend", "fake:manila", "--shots", 500, "--quiet", "--json")
    done = bondwise(*words, "--mitigate", "readout")
    assert done.returncode == 0, done.stderr
    raw, undone = json.loads(done.stdout)["stages"][-2:]
    assert undone["name"] == "fake:manila, mitigated"
    assert undone["shots"] == raw["shots"] + 500
    assert "Zero-noise" not in (tmp_path / "runs" / "vqe" / "report.html").read_text()


def test_hamiltonian_from_a_file(bondwise, tmp_path):
    (tmp_path / "h.json").write_text('[["ZI", -1.0], ["IZ", -1.0], ["XX", 0.5]]')
    done = bondwise("vqe", "--model", "h.json", *NO_DEVICE, "--layers", 1, "--steps", 3, "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["exact_energy"] == pytest.approx(-np.sqrt(4.25))


def test_names_are_shown_in_table_and_report_as_they_are(bondwise, tmp_path, monkeypatch):
    name = "[red]$$[/b]<script>.json"
    (tmp_path / name).parent.mkdir()  # the slash is one of folders
    (tmp_path / name).write_text('[["ZI", -1.0], ["IZ", -1.0], ["XX", 0.5]]')
    monkeypatch.setenv("COLUMNS", "200")
    done = bondwise("vqe", "--model", name, *NO_DEVICE, "--layers", 1, "--steps", 2, "--out", "$$\x1b[1m")
    assert done.returncode == 0, done.stderr
    assert f"{name} " in done.stdout
    assert r"$$\x1b[1m/report.html" in done.stdout
    report = (tmp_path / "$$\x1b[1m" / "report.html").read_text()
    assert "[red]$$[/b]&lt;script&gt;.json" in report
    assert "<script>" not in report
    assert "\x1b" not in report


def test_one_shot_is_refused_before_the_training(bondwise, tmp_path):
    done = bondwise(*SMALL, "--shots", 1)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "--shots 1 has no error bar" in done.stderr
    assert not list(tmp_path.iterdir())


def test_training_on_products_is_that_on_the_state_vector(bondwise, tmp_path):
    energies = []
    for trainer in ("mps", "statevector"):
        done = bondwise(*SMALL, *NO_DEVICE, "--steps", 6, "--train-on", trainer, "--out", trainer, "--quiet")
        assert done.returncode == 0, done.stderr
        result = json.loads((tmp_path / trainer / "result.json").read_text())
        energies.append([stage["energy"] for stage in result["stages"]])
    np.testing.assert_allclose(*energies, atol=1e-6)


def test_forty_qubits_are_trained_on_products(bondwise, tmp_path):
    words = ("--size", 40, "--max-bond", 4, "--layers", 1, "--steps", 3, "--backend", "mps", "--shots", 0)
    done = bondwise("vqe", "--model", "ising", *words, "--mitigate", "none", "--out", "run")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    energies = {stage["name"]: stage["energy"] for stage in result["stages"]}
    assert result["exact_energy"] is None
    assert result["dmrg_energy"] < energies["MPS start, trained"] < energies["MPS start"]
    assert energies["mps, raw"] == pytest.approx(energies["MPS start, trained"], abs=1e-10)
    assert "this circuit is exactly simulable: bond 4, 0.0" in done.stdout
    assert "Trained on mps." in done.stdout


def test_mitigation_without_noise_says_that_it_does_nothing(bondwise):
    words = (*SMALL, "--backend", "statevector", "--shots", 0, "--steps", 1, "--json", "--quiet")
    notes = {
        mitigate: json.loads(bondwise(*words, *mitigate, "--out", f"run{len(mitigate)}").stdout)["notes"]
        for mitigate in ((), ("--mitigate", "linear"))
    }
    assert not any("nothing to do" in note for note in notes[()])
    assert any("nothing to do" in note for note in notes["--mitigate", "linear"])
