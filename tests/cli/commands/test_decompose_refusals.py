"""What `bondwise decompose` refuses: one line, no files, and nothing is unpickled."""

import pickle
import zipfile

import numpy as np
import pytest
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import Parameter

GOOD = np.array([0.6, 0, 0, 0.8j])


def names(folder):
    return {path.name for path in folder.iterdir()}


class Trap:
    """Makes a file when it is unpickled."""

    def __reduce__(self):
        return (open, ("sprung", "w"))


def write_bad_files(folder):
    site = np.ones((1, 2, 1)) / np.sqrt(2)
    traps = np.array([Trap(), Trap()], dtype=object)
    np.save(folder / "good.npy", GOOD)
    np.save(folder / "three.npy", np.ones(3) / np.sqrt(3))
    np.save(folder / "long.npy", np.ones(4))
    np.save(folder / "nan.npy", np.array([1.0, np.nan]))
    np.save(folder / "cube.npy", np.ones((2, 2, 2)))
    np.save(folder / "amplitudes.npy", np.full((2, 2), 0.5))
    np.save(folder / "objects.npy", traps)
    np.savez(folder / "objects.npz", site0=traps)
    np.savez(folder / "names.npz", left=site, right=site)
    np.savez(folder / "gap.npz", site0=site, site2=site)
    np.savez(folder / "twice.npz", site0=site, site00=site, site1=site)
    np.savez(folder / "empty.npz")
    np.savez(folder / "bonds.npz", site0=np.ones((1, 2, 2)), site1=np.ones((3, 2, 1)))
    np.savez(folder / "flat.npz", site0=np.ones((2, 1)), site1=site)
    np.savez(folder / "letters.npz", site0=np.full((1, 2, 1), "a"), site1=site)
    np.savez(folder / "whole.npz", site0=site, site1=site)
    whole = (folder / "whole.npz").read_bytes()
    (folder / "cut.npz").write_bytes(whole[:-30])
    with zipfile.ZipFile(folder / "whole.npz") as archive:
        data = whole.index(b"NUMPY") + 100
        assert archive.infolist()[0].compress_type == zipfile.ZIP_STORED
    (folder / "crc.npz").write_bytes(whole[:data] + bytes([whole[data] ^ 255]) + whole[data + 1 :])
    (folder / "pickle.npz").write_bytes(pickle.dumps(Trap()))
    (folder / "text.npy").write_text("0110\n")
    (folder / "state.dat").write_text("0110\n")
    (folder / "bits.txt").write_text("0110\n1001\n")
    (folder / "bad.txt").write_text("0110\n0120\n")
    (folder / "ragged.csv").write_text("0110\n011\n")
    (folder / "broken.qasm").write_text("OPENQASM 3.0;\nqubit q;\nfrobnicate q;\n")
    free, reset = QuantumCircuit(2), QuantumCircuit(2)
    free.rx(Parameter("x"), 0)
    reset.reset(0)
    reset.h(0)
    for name, circuit in (("free", free), ("reset", reset)):
        with (folder / f"{name}.qpy").open("wb") as file:
            qpy.dump(circuit, file)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no state is given; give either a file or --model NAME"),
        (("good.npy", "--model", "ising", "--size", 4), "a state is given twice"),
        (("good.npy", "--size", 4), "--size and --periodic are for --model"),
        (("good.npy", "--periodic"), "--size and --periodic are for --model"),
        (("good.npy", "--validation", "bits.txt"), "--validation is for bit strings"),
        (("--model", "ising", "--size", 4, "--validation", "bits.txt"), "--validation is for bit strings"),
        (("--model", "isng", "--size", 4), "Did you mean 'ising'"),
        (("--model", "ising"), "--size is missing"),
        (("--model", "ising", "--size", 200000), "200000 qubits are too many"),
        (("--model", "no.json"), "no.json"),
        (("good.npy", "--layout", "stairs"), "Did you mean 'staircase'"),
        (("good.npy", "--layers", -1), "--layers is -1"),
        (("good.npy", "--max-cx", -1), "--max-cx is -1"),
        (("good.npy", "--restarts", -1), "--restarts is -1"),
        (("good.npy", "--max-bond", 0), "--max-bond is 0"),
        (("good.npy", "--max-bond", 4), "--max-bond is for a state that is found first; good.npy"),
        (("good.npy", "--infidelity", 0), "--infidelity is 0.0; give a positive number below 1"),
        (("good.npy", "--infidelity", "nan"), "--infidelity is nan; give a positive number below 1"),
        (("good.npy", "--seed", -1), "--seed"),
        (("nowhere.npy",), "there is no file nowhere.npy"),
        (("x" * 300,), "there is no file"),
        (("state.dat",), "ends in '.dat'"),
        (("three.npy",), "three.npy: the state is an array of shape (3,)"),
        (("long.npy",), "long.npy: the state has norm 2"),
        (("nan.npy",), "NaN"),
        (("cube.npy",), "shape (2, 2, 2)"),
        (("amplitudes.npy",), "holds 0.5"),
        (("text.npy",), "text.npy cannot be read as numpy arrays"),
        (("objects.npy",), "Object arrays cannot be loaded"),
        (("objects.npz",), "Object arrays cannot be loaded"),
        (("pickle.npz",), "not an .npz file"),
        (("cut.npz",), "only the beginning"),
        (("crc.npz",), "crc.npz cannot be read as numpy arrays"),
        (("names.npz",), "holds an array 'left'"),
        (("gap.npz",), "holds no tensor of site 1"),
        (("twice.npz",), "holds two tensors of site 0"),
        (("empty.npz",), "no sites"),
        (("bonds.npz",), "bonds.npz: the left bond of site 1 is 3"),
        (("flat.npz",), "flat.npz: site 0 is float64 of shape (2, 1)"),
        (("letters.npz",), "letters.npz: site 0 is <U1"),
        (("bad.txt",), "bad.txt, line 2: '2' is not 0 or 1"),
        (("ragged.csv",), "ragged.csv, line 2"),
        (("free.qpy",), "free.qpy has 1 free parameter;"),
        (("reset.qpy",), "reset"),
        (("broken.qasm",), "cannot be read as a circuit"),
    ],
)
def test_wrong_use_is_one_line_and_leaves_nothing(bondwise, tmp_path, words, message):
    write_bad_files(tmp_path)
    before = names(tmp_path)
    done = bondwise("decompose", *words, "--out", "deep/er/c.qpy")
    assert message in done.stderr
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert names(tmp_path) == before


@pytest.mark.parametrize("out", ["c", "c.json", ".qpy", "deep/", "c.qpy.txt"])
def test_out_needs_a_kind(bondwise, tmp_path, out):
    np.save(tmp_path / "state.npy", GOOD)
    done = bondwise("decompose", "state.npy", "--out", out)
    assert done.returncode == 2
    assert "ends in .qpy, .qasm (OpenQASM 3) or .qasm2" in done.stderr
    assert names(tmp_path) == {"state.npy"}
