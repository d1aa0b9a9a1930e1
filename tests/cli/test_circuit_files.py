"""States, angles and observables from files: the order of angles, what is refused, and mutated files."""

import io
import json
import zipfile

import numpy as np
import pytest
from qiskit import QuantumCircuit, qasm3, qpy
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import SparsePauliOp, Statevector

from bondwise.circuits import read_circuit, read_parameters
from bondwise.cli.circuit_files import read_model, read_observable, read_state
from bondwise.runs import UsageError, read_arrays
from bondwise.tn import read_bitstrings


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


VECTOR = np.array([0.6, 0, 0, 0.8])
SITES = {"site0": np.eye(2)[None] / np.sqrt(2), "site1": np.eye(2)[:, :, None]}
BITS = np.array([[0, 1, 1], [1, 0, 1], [0, 0, 0]])
STATES = {
    "a.npz": [npz(vector=VECTOR), npz(**SITES)],
    "a.npy": [
        npy(VECTOR),
        npy(VECTOR.astype(complex)),
        npy(BITS.astype(np.uint8)),
        npy(np.array(["011", "100"])),
    ],
    "a.csv": [b"0,1,1\n1,0,1\n"],
    "a.txt": [b"0110\n1001\n\n1 1 1 1\n"],
}
ANGLES = {"angles.json": [b'{"x": 0.5, "y": 1.5}', b"[0.25, -1e-3]"]}
ANGLES["angles.npy"] = [npy(np.array([0.1, 0.2])), npy(np.ones((3, 2)))]


def with_two_angles(path):
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("x"), 0)
    circuit.ry(Parameter("y"), 0)
    return read_parameters(path, circuit)


@pytest.mark.parametrize(("count", "seed"), [(50, 0), pytest.param(2000, 1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", [*STATES, *ANGLES])
def test_mutated_files_are_read_or_refused_in_one_line(assert_robust, name, count, seed):
    if name in STATES:
        assert_robust(read_state, STATES[name], name, count=count, seed=seed)
    else:
        assert_robust(with_two_angles, ANGLES[name], name, count=count, seed=seed)


@pytest.mark.parametrize("exported", ["qpy", "qasm"])
def test_plain_angles_are_in_the_order_of_the_file(bondwise, tmp_path, exported):
    circuit = QuantumCircuit(2)
    vector = ParameterVector("x", 11)
    for index, parameter in enumerate(vector):
        circuit.rx(parameter, index % 2)
        circuit.ry(0.3 * parameter, (index + 1) % 2)
        circuit.cx(0, 1)
    circuit.rz(Parameter("θ"), 0)
    circuit.h(0)
    angles = np.linspace(-1, 2, 12)
    if exported == "qpy":
        with (tmp_path / "c.qpy").open("wb") as file:
            qpy.dump(circuit, file)
    else:
        (tmp_path / "c.qasm").write_text(qasm3.dumps(circuit))
    (tmp_path / "list.json").write_text(json.dumps(angles.tolist()))
    np.save(tmp_path / "rows.npy", np.stack([angles, 2 * angles]))
    names = [parameter.name for parameter in circuit.parameters]
    (tmp_path / "names.json").write_text(json.dumps(dict(zip(names, angles.tolist(), strict=True))))
    value = Statevector(circuit.assign_parameters(angles)).expectation_value
    for name in ("list.json", "rows.npy", "names.json"):
        words = (
            "run",
            f"c.{exported}",
            "--parameters",
            name,
            "--observable",
            "ZX",
            "--shots",
            0,
            "--overwrite",
        )
        done = bondwise(*words, "--overwrite", "--json")
        assert done.returncode == 0, done.stderr
        found = np.atleast_2d(json.loads(done.stdout)["values"])[0, 0]
        assert found == pytest.approx(value_of(value), abs=1e-9)
        shown = bondwise(*words, "--overwrite").stdout
        first = "x[0], x[1], x[2]" if exported == "qpy" else "_x_0_, _x_1_, _x_2_"
        assert f"order of a plain list of angles: {first}" in shown


def value_of(expectation_value):
    from qiskit.quantum_info import Pauli

    return expectation_value(Pauli("ZX")).real


def test_plain_angles_follow_the_declarations(tmp_path):
    (tmp_path / "c.qasm").write_text(
        'OPENQASM 3.0;\ninclude "stdgates.inc";\ninput float b;\ninput float a;\n'
        "qubit q;\nrx(a) q;\nry(b) q;\n"
    )
    (tmp_path / "list.json").write_text("[1.0, 2.0]")
    circuit = read_circuit(tmp_path / "c.qasm")
    found = dict(zip(circuit.parameters, read_parameters(tmp_path / "list.json", circuit), strict=True))
    assert {parameter.name: angle for parameter, angle in found.items()} == {"b": 1.0, "a": 2.0}


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(2, np.longdouble), "float128"),
        (np.zeros(2, [("a", float)]), "give booleans"),
        (np.array([b"01", b"10"]), "give booleans"),
        (np.zeros(2, "V3"), "give booleans"),
        (np.array([{}, 1], object), "Object arrays cannot be loaded"),
        (np.zeros(2, "M8[s]"), "give booleans"),
    ],
)
def test_dtypes_that_are_not_read(tmp_path, array, message):
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, array, allow_pickle=True)
    with pytest.raises(UsageError, match=f"a.npy cannot be read as numpy arrays: .*{message}"):
        read_state(tmp_path / "a.npy")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<c16", ">i4", "?", "<f2", "<U3"])
def test_arrays_come_back(tmp_path, dtype, order):
    array = np.asarray([[0, 1, 1], [1, 1, 0]]).astype(dtype, order=order)
    for version in ((1, 0), (2, 0), (3, 0)):
        with (tmp_path / "a.npy").open("wb") as file:
            np.lib.format.write_array(file, array, version=version)
        np.testing.assert_array_equal(read_arrays(tmp_path / "a.npy")["vector"], array)
    np.savez_compressed(tmp_path / "a.npz", one=array, two=array[0])
    found = read_arrays(tmp_path / "a.npz")
    np.testing.assert_array_equal(found["one"], array)
    np.testing.assert_array_equal(found["two"], array[0])


def header(shape):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


@pytest.mark.parametrize("shape", [(1 << 40,), (1 << 20, 1 << 20), (10**30,), (1 << 62, 4)])
@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_declared_sizes_are_checked_first(tmp_path, kind, shape):
    path = tmp_path / f"a.{kind}"
    if kind == "npy":
        path.write_bytes(header(shape))
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("site0.npy", header(shape) + bytes(10_000_000))
    with pytest.raises(UsageError, match=r"a\.np[yz] has .* bytes of arrays; .*BONDWISE_MAX_ARRAY_BYTES"):
        read_state(path)


def test_zip_bombs_are_refused_before_they_are_unpacked(tmp_path, monkeypatch):
    monkeypatch.setenv("BONDWISE_MAX_ARRAY_BYTES", "1000000")
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for site in range(3):
            archive.writestr(f"site{site}.npy", header((50_000,)) + bytes(400_000))
    with pytest.raises(UsageError, match=r"a\.npz has 1,200,000 bytes of arrays; the limit is 1,000,000"):
        read_state(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"[" * 100_000, "nested too deeply"),
        ("a.json", b"[" + b"9" * 5000 + b"]", "not valid JSON"),
        ("a.json", b'["1.0", "2.0"]', "cannot be read as angles"),
        ("a.json", b'{"x": 1.0, "x[0]": 1, "y": 2.0}', "unknown parameter 'x.0.'"),
        ("a.json", b"\xff\xfe[1]", "not text"),
        ("a.npy", npy(np.array([1j, 2])), "complex128"),
    ],
)
def test_angles_that_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=f"a.{name[2:]}:? .*{message}"):
        with_two_angles(tmp_path / name)


def test_strings_of_a_million_bits_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("01" * 500_000 + "\n")
    np.save(tmp_path / "a.npy", np.zeros((2, 1_000_000), np.uint8))
    for name in ("a.txt", "a.npy"):
        with pytest.raises(UsageError, match=r"a\.(txt|npy) has 1,000,000 qubits; .*BONDWISE_MAX_QUBITS"):
            read_bitstrings(tmp_path / name)


@pytest.mark.parametrize("seed", [-1, 2**32, 2**64, 10**400])
def test_seeds_out_of_range(bondwise, tmp_path, seed):
    (tmp_path / "a.qasm").write_text("OPENQASM 2.0;\nqreg q[1];\ncreg c[1];\nmeasure q -> c;\n")
    done = bondwise("run", "a.qasm", "--seed", seed)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "--seed" in done.stderr
    assert len(done.stderr) < 1000


def test_sums_in_flags(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = SparsePauliOp(["XX", "ZZ", "II"], [0.5, np.pi / 4, -1])
    text = "1/2*XX + pi/4*ZZ - 1"
    assert read_observable(text, 2).equiv(expected)
    assert read_model(text, None, False, most=20, task="").equiv(expected)
    assert read_model("ising", "2", False, most=20, task="").num_qubits == 2
    for name, message in [
        ("XYZ", "unknown model 'XYZ'"),
        ("heisenberg8", "unknown model"),
        ("0.5*XX -", "--model '0.5\\*XX -': a term is missing"),
        ("h.json", "h.json cannot be read: No such file"),
        ("data/h", "data/h cannot be read: No such file"),
    ]:
        with pytest.raises(UsageError, match=message):
            read_model(name, None, False, most=20, task="")
