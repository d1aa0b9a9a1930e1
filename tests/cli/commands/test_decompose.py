"""`bondwise decompose` from every kind of state to files that run, all of them or none."""

import json
import math
import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from itertools import count

import numpy as np
import pytest
from qiskit import QuantumCircuit, qasm3, qpy
from qiskit.quantum_info import SparsePauliOp, Statevector

from bondwise import qml, tn
from bondwise.cli.main import main

COMMAND = (sys.executable, "-m", "bondwise.cli.main", "decompose")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
FILES = {"c.qpy", "c.json", "c.ansatz.qpy", "c.parameters.json"}


def ising_energy(sites):
    """Of the open critical chain, in closed form."""
    return 1 - 1 / math.sin(math.pi / (2 * (2 * sites + 1)))


def names(folder):
    return {path.name for path in folder.iterdir()}


def load(path):
    with path.open("rb") as file:
        return qpy.load(file)[0]


def random_vector(qubits, seed=0):
    rng = np.random.default_rng(seed)
    vector = rng.normal(size=2**qubits) + 1j * rng.normal(size=2**qubits)
    return vector / np.linalg.norm(vector)


@pytest.fixture
def vector(tmp_path):
    """A complex state of three qubits in state.npy."""
    state = random_vector(3)
    np.save(tmp_path / "state.npy", state)
    return state


@pytest.mark.parametrize(("sites", "backend", "excess"), [(6, "statevector", 1e-5), (32, "aer:mps", 5e-2)])
def test_ground_state_runs_as_a_circuit(bondwise, tmp_path, sites, backend, excess):
    backend = backend.replace("mps", "matrix_product_state")
    words = (
        "decompose",
        "--model",
        "ising",
        "--size",
        sites,
        "--max-bond",
        8,
        "--out",
        "c.qpy",
        "--json",
        "-q",
    )
    done = bondwise(*words, "--infidelity", 1e-6 if sites < 10 else 2e-3, "--restarts", 1)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["converged"]
    assert found["state"]["energy"] == pytest.approx(ising_energy(sites), abs=1e-4)
    assert names(tmp_path) == FILES
    qml.write_hamiltonian(qml.ising(sites), tmp_path / "h.json")
    measure = ("--backend", backend, "--observable", "h.json", "--shots", 0, "--json", "--quiet")
    bound = bondwise("run", "c.qpy", *measure, "--out", "bound")
    assert bound.returncode == 0, bound.stderr
    (energy,) = json.loads(bound.stdout)["values"]
    assert ising_energy(sites) - 1e-9 <= energy <= ising_energy(sites) + excess
    free = bondwise("run", "c.ansatz.qpy", "--parameters", "c.parameters.json", *measure, "--out", "free")
    assert json.loads(free.stdout)["values"] == pytest.approx([energy], abs=1e-9)


@pytest.mark.parametrize("flags", [("--out", "c.qasm2"), ("--out", "c.qasm", "--qasm", 2)])
def test_openqasm_2_for_quimb(bondwise, vector, tmp_path, flags):
    import quimb.tensor as qtn

    done = bondwise("decompose", "state.npy", "--layers", 1, *flags, "--json")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / flags[1]).read_text().startswith("OPENQASM 2.0;")
    state = qtn.Circuit.from_openqasm2_file(str(tmp_path / flags[1])).to_dense().reshape(2, 2, 2)
    infidelity = 1 - abs(np.vdot(vector, state.transpose().ravel())) ** 2  # quimb: qubit 0 is the highest bit
    assert json.loads(done.stdout)["infidelity"] == pytest.approx(infidelity, abs=1e-10)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--out", "c.txt"), "ends in .qpy, .qasm (OpenQASM 3) or .qasm2"),
        (("--out", "c.qpy", "--qasm", 2), "cannot hold OpenQASM 2"),
        (("--out", "c.qasm", "--qasm", 4), "--qasm"),
    ],
)
def test_formats_that_are_not_there(bondwise, vector, tmp_path, flags, message):
    done = bondwise("decompose", "state.npy", *flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in " ".join(done.stderr.split())
    assert names(tmp_path) == {"state.npy"}


def test_vector_to_qasm(bondwise, vector, tmp_path):
    done = bondwise("decompose", "state.npy", "--layers", 1, "--out", "deep/c.qasm", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "deep" / "c.json").read_text())
    assert found == json.loads(done.stdout)
    circuit = qasm3.load(str(tmp_path / "deep" / "c.qasm"))
    infidelity = 1 - abs(np.vdot(vector, Statevector(circuit).data)) ** 2
    assert found["infidelity"] == pytest.approx(infidelity, abs=1e-12)
    assert (
        found["cx_count"]
        == circuit.count_ops()["cx"]
        == load(tmp_path / "deep" / "c.ansatz.qpy").count_ops()["cx"]
    )
    assert found["depth"] == circuit.depth(lambda gate: len(gate.qubits) == 2)
    assert [entry["layers"] for entry in found["history"]] == [0, 1]
    assert found.keys() >= {"schema", "exact", "message", "seed", "versions", "command", "settings"}
    np.savez(tmp_path / "v.npz", vector=vector)
    again = bondwise("decompose", "v.npz", "--layers", 1, "--out", "v.qpy", "--json", "--quiet")
    assert again.stderr == ""
    assert json.loads(again.stdout)["infidelity"] == found["infidelity"]


def test_the_order_of_a_vector(bondwise, tmp_path):
    np.save(tmp_path / "column.npy", np.eye(8)[:, [4]])
    done = bondwise("decompose", "column.npy", "--order", "big", "--out", "c.qpy", "--quiet")
    assert done.returncode == 0, done.stderr
    assert Statevector(load(tmp_path / "c.qpy")).probabilities()[1] == pytest.approx(1)  # qubit 0 is 1
    for words in (("column.npy", "--order", "middle"), ("--model", "ising", "--order", "big")):
        done = bondwise("decompose", *words, "--out", "d.qpy")
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    (tmp_path / "state.dmp").write_bytes(b"")
    assert "is a pickle" in bondwise("decompose", "state.dmp").stderr


@pytest.mark.parametrize("name", ["site{}", "site_{}", "{}", "site{:03}", "arr_{}"])
def test_tensors_are_taken_by_the_numbers_in_their_names(bondwise, tmp_path, name):
    angles = np.linspace(0.1, 2.9, 11)
    tensors = np.stack([np.cos(angles / 2), np.sin(angles / 2)], axis=1).reshape(11, 1, 2, 1)
    order = np.random.default_rng(0).permutation(11)
    np.savez(tmp_path / "state.npz", **{name.format(site): tensors[site] for site in order})
    done = bondwise("decompose", "state.npz", "--layers", 0, "--quiet")
    assert done.returncode == 0, done.stderr
    state = Statevector(load(tmp_path / "circuit.qpy"))
    ones = [state.probabilities([qubit])[1] for qubit in range(11)]
    np.testing.assert_allclose(ones, np.sin(angles / 2) ** 2, atol=1e-12)


@pytest.mark.parametrize("name", ["strings.csv", "strings.txt", "strings.npy"])
def test_bit_strings(bondwise, tmp_path, name):
    if name.endswith("npy"):
        np.save(tmp_path / name, np.array([[0, 0, 0, 1], [1, 1, 1, 0]]))
    else:
        (tmp_path / name).write_text("0001\n1110\n" if name.endswith("txt") else "0,0,0,1\n1,1,1,0\n")
    done = bondwise("decompose", name, "--max-bond", 2, "--infidelity", 1e-8, "--out", "c.qpy")
    assert done.returncode == 0, done.stderr
    assert "NLL 0.6931" in done.stdout
    assert "entropy of the data 0.6931" in done.stdout
    assert "validation" not in done.stdout
    facts = json.loads((tmp_path / "c.json").read_text())["state"]
    assert facts["nll"] == pytest.approx(math.log(2), abs=1e-4)
    assert facts["entropy"] == pytest.approx(math.log(2))
    # column 0 is qubit 0, the rightmost letter of what Qiskit counts
    chances = Statevector(load(tmp_path / "c.qpy")).probabilities_dict()
    assert chances["1000"] == pytest.approx(0.5, abs=1e-3)
    assert chances["0111"] == pytest.approx(0.5, abs=1e-3)


def test_validation(bondwise, tmp_path):
    (tmp_path / "strings.txt").write_text("0001\n1110\n")
    (tmp_path / "held.txt").write_text("0001\n")
    done = bondwise("decompose", "strings.txt", "--validation", "held.txt", "--layers", 1, "--out", "c.qpy")
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "c.json").read_text())["state"]
    assert f"validation NLL {facts['validation_nll']:.4f}" in done.stdout
    assert facts["validation_nll"] == pytest.approx(math.log(2), abs=0.1)
    (tmp_path / "held.txt").write_text("00011\n")
    done = bondwise("decompose", "strings.txt", "--validation", "held.txt", "--out", "d.qpy")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_circuit_becomes_shallower(bondwise, tmp_path):
    circuit = QuantumCircuit(4)
    circuit.h(0)
    for qubit in (0, 1, 2):
        circuit.cx(qubit, qubit + 1)
    for _ in range(5):  # twice the same is nothing
        circuit.swap(0, 3)
        circuit.swap(0, 3)
    circuit.measure_all()
    with (tmp_path / "deep.qpy").open("wb") as file:
        qpy.dump(circuit, file)
    done = bondwise("decompose", "deep.qpy", "--out", "c.qpy")
    assert done.returncode == 0, done.stderr
    assert "deep.qpy: 33 CX, two-qubit depth 13" in done.stdout
    assert json.loads((tmp_path / "c.json").read_text())["depth"] <= 5
    chances = Statevector(load(tmp_path / "c.qpy")).probabilities_dict()
    assert chances["0000"] == pytest.approx(0.5, abs=1e-2)
    assert chances["1111"] == pytest.approx(0.5, abs=1e-2)


def test_layouts_differ_in_depth(bondwise, tmp_path):
    state = tn.ground_state(qml.ising(8), 4, seed=0)
    np.savez(tmp_path / "state.npz", *state.tensors)
    depth = {}
    for layout in ("staircase", "bidirectional", "tree", "brickwall"):
        words = ("decompose", "state.npz", "--layout", layout, "--layers", 1, "--restarts", 0, "--quiet")
        done = bondwise(*words, "--json", "--out", f"{layout}.qpy")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["layout"] == layout
        depth[layout] = found["depth"]
    assert depth["brickwall"] <= depth["tree"] < depth["bidirectional"] < depth["staircase"]


def test_limits_and_a_target_that_is_missed(bondwise, tmp_path):
    np.save(tmp_path / "state.npy", random_vector(5))
    words = (
        "decompose",
        "state.npy",
        "--infidelity",
        1e-9,
        "--max-cx",
        25,
        "--restarts",
        0,
        "--out",
        "c.qpy",
    )
    done = bondwise(*words)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "c.json").read_text())
    assert not found["converged"]
    assert found["cx_count"] == found["history"][-1]["cx_count"] <= 25
    assert "the target of 1e-09" in done.stdout
    for entry in found["history"]:
        assert f"{entry['infidelity']:.2e}" in done.stdout
        assert entry["start"] in done.stdout
    assert f"{found['cx_count']} CX, two-qubit depth {found['depth']}" in done.stdout


def test_same_seed_same_circuit(bondwise, vector, tmp_path):
    for name in "ab":
        words = ("decompose", "state.npy", "--layers", 2, "--seed", 7, "--quiet", "--out", f"{name}.qpy")
        assert bondwise(*words).returncode == 0
    assert (tmp_path / "a.parameters.json").read_text() == (tmp_path / "b.parameters.json").read_text()
    assert load(tmp_path / "a.qpy") == load(tmp_path / "b.qpy")


@pytest.mark.parametrize("taken", sorted(FILES))
def test_files_that_are_there_are_replaced_only_when_asked(bondwise, vector, tmp_path, taken):
    (tmp_path / taken).write_text("mine")
    words = ("decompose", "state.npy", "--layers", 0, "--out", "c.qpy")
    done = bondwise(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert f"{taken} exists; give --overwrite" in done.stderr
    assert names(tmp_path) == {"state.npy", taken}
    wrong = bondwise(*words, "--overwrite", "--max-bond", 0)
    assert wrong.returncode == 2
    assert (tmp_path / taken).read_text() == "mine"
    assert bondwise(*words, "--overwrite").returncode == 0
    assert names(tmp_path) == FILES | {"state.npy"}
    assert load(tmp_path / "c.qpy").num_qubits == 3


def test_full_disk_leaves_an_earlier_run_alone(bondwise, vector, tmp_path):
    """A limit on the size of files fails like a full disk: in the midst of the files that matter."""

    def little_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400))  # the angles fit, the circuit does not

    assert bondwise("decompose", "state.npy", "--layers", 0, "--quiet", "--out", "c.qpy").returncode == 0
    np.save(tmp_path / "other.npy", random_vector(3, seed=1))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for words in (("--out", "c.qpy", "--overwrite"), ("--out", "deep/er/c.qpy")):
        done = subprocess.run(
            [*COMMAND, "other.npy", "--layers", "0", "--quiet", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
            preexec_fn=little_room,
        )
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert f"cannot write to {'deep/er' if 'deep' in words[1] else '.'}: File too large" in done.stderr
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_place_that_cannot_be_written_is_said_before_the_work(bondwise, vector):
    done = bondwise("decompose", "state.npy", "--out", "/proc/run/c.qpy")
    assert done.returncode == 1
    assert "cannot write to /proc/run" in done.stderr
    assert len(done.stderr.splitlines()) == 1  # no progress bar either


def hear_interrupts():
    """A process started in the background of a script ignores Ctrl-C by inheritance."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_stopped_run_leaves_nothing(tmp_path, end):
    np.save(tmp_path / "state.npy", random_vector(10))
    words = [*COMMAND, "state.npy", "--layers", "6", "--restarts", "20", "--out", "deep/c.qpy"]
    process = subprocess.Popen(
        words, cwd=tmp_path, stderr=subprocess.PIPE, env=ENVIRONMENT, preexec_fn=hear_interrupts
    )
    shown = b""
    while b"decompose" not in shown:
        part = os.read(process.stderr.fileno(), 4096)
        assert part, shown
        shown += part
    process.send_signal(end)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == (130 if end == signal.SIGINT else -signal.SIGKILL)
    assert b"Traceback" not in rest
    assert names(tmp_path) == {"state.npy"}


@pytest.mark.slow
def test_killed_at_any_step_of_replacing_files(bondwise, tmp_path, kill_at):
    """Whatever is there then is of one run, and the next command ends well."""
    for seed in range(3):
        np.save(tmp_path / f"{seed}.npy", random_vector(3, seed))

    def replace(number):
        with suppress(SystemExit):
            main(["decompose", f"{number}.npy", "--layers", "0", "-q", "--out", "c.qpy", "--overwrite"])

    replace(0)
    old = {name: (tmp_path / name).read_bytes() for name in FILES}
    for step in count():
        for name, content in old.items():
            (tmp_path / name).write_bytes(content)
        killed = kill_at(step, lambda: replace(1))
        found = {name: (tmp_path / name).read_bytes() for name in FILES if (tmp_path / name).exists()}
        was = [content == old[name] for name, content in found.items()]
        assert all(was) or not any(was)
        assert "c.json" not in found or len(found) == 4
        if not killed:
            break
        replace(2)
        assert json.loads((tmp_path / "c.json").read_text())["state"]["file"] == "2.npy"
        assert names(tmp_path) == FILES | {"0.npy", "1.npy", "2.npy"}
    assert step > 20
    assert not any(was)


def test_the_command_knows_every_layout():
    from typing import get_args

    from bondwise.cli.commands.decompose import LAYOUTS
    from bondwise.tn.preparation.layouts import Layout

    assert get_args(Layout) == LAYOUTS


def test_a_sum_of_pauli_words_as_the_model(bondwise, tmp_path):
    done = bondwise(
        "decompose", "--model", "0.5*XXI - ZZZ", "--layers", 1, "--restarts", 1, "--json", "--quiet"
    )
    assert done.returncode == 0, done.stderr
    lowest = np.linalg.eigvalsh(SparsePauliOp(["XXI", "ZZZ"], [0.5, -1]).to_matrix())[0]
    assert json.loads(done.stdout)["state"]["energy"] == pytest.approx(lowest)
    done = bondwise("decompose", "--model", "0.5*XXI - ZZZ", "--size", 3, "--overwrite")
    assert done.returncode == 2
    assert "--size and --periodic are for named models" in done.stderr
