"""`bondwise mitigate` and its `benchmark`: every method on the same shots, and which one won."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp, Statevector

from bondwise.backends import Journal
from bondwise.cli.commands.mitigate_benchmark import _halves, _judged, _Test, _verdicts
from bondwise.cli.options import MITIGATIONS
from bondwise.mitigation import NoiseScan, ShotPlan
from bondwise.mitigation.names import (
    DEFAULT,
    EXTRAPOLATIONS,
    NEED_SYMMETRY,
    NEED_TWINS,
    extrapolation_named,
)

pytest_plugins = ["bondwise.backends.ibm.fixtures"]

WORDS = ["ZZ", "0.5*XX - ZI"]
FLAGS = [flag for word in WORDS for flag in ("--observable", word)]
ANGLES = ("--parameters", "x=0.4,y=-0.7")


@pytest.fixture(autouse=True)
def quick_network(monkeypatch):
    """The network is trained in few steps where its values do not matter."""
    monkeypatch.setattr("bondwise.mitigation.extrapolations.paper_network._STEPS", 5)


@pytest.fixture
def circuit(tmp_path):
    """Two rotations, entangled and turned again, measured; its parameters are x and y."""
    x, y = Parameter("x"), Parameter("y")
    circuit = QuantumCircuit(2)
    circuit.ry(x, 0)
    circuit.cx(0, 1)
    circuit.rx(y, 1)
    circuit.ry(0.3, 0)
    circuit.cx(0, 1)
    with (tmp_path / "c.qpy").open("wb") as file:
        qpy.dump(circuit.measure_all(inplace=False), file)
    return circuit


def exact(circuit, *angles):
    state = Statevector(circuit.assign_parameters(angles))
    operators = (SparsePauliOp("ZZ"), SparsePauliOp(["XX", "ZI"], [0.5, -1]))
    return np.array([state.expectation_value(operator).real for operator in operators])


def result_of(done, folder):
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout, parse_constant=pytest.fail)
    assert result == json.loads((folder / "result.json").read_text())
    return result


def test_names_come_from_the_registry(bondwise, monkeypatch):
    alone = [name for name in EXTRAPOLATIONS if name not in NEED_SYMMETRY]
    assert (*alone, "readout", "none") == MITIGATIONS
    monkeypatch.setenv("COLUMNS", "300")
    for command, names in (("run", alone), ("vqe", alone), ("mitigate", EXTRAPOLATIONS)):
        shown = bondwise(command, "--help").stdout
        assert all(name in shown for name in names), command


def test_exact_values_of_a_scan_by_every_method(bondwise, circuit, tmp_path):
    words = ("mitigate", "c.qpy", *FLAGS, *ANGLES, "--backend", "aer:depolarizing=0.02", "--shots", 0)
    result = result_of(bondwise(*words, "--out", "out", "--json"), tmp_path / "out")
    true = exact(circuit, 0.4, -0.7)
    raw, values = np.array(result["readout"]["values"]), np.array(result["values"])
    assert (np.abs(raw - true) > 0.01).all()
    np.testing.assert_allclose(values, true, atol=1e-3)  # depolarizing noise decays exponentially
    assert result["mitigate"] == DEFAULT
    assert (result["shots"], result["costs"]["total"]) == (0, 0)
    assert set(result["skipped"]) == {*NEED_TWINS, *NEED_SYMMETRY}
    assert set(result["methods"]) == set(EXTRAPOLATIONS) - set(result["skipped"])
    scan = NoiseScan.load(tmp_path / "out" / "scan")
    np.testing.assert_array_equal(raw, scan.value[:, 0])
    for name in ("linear", "richardson", "poly_exponential"):
        fit = extrapolation_named(name)(scan)
        np.testing.assert_allclose(result["methods"][name]["values"], fit.value, atol=1e-12)
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<svg") == len(WORDS)
    assert all(name in page for name in result["methods"])


def test_shots_and_twins_are_counted_before_they_are_spent(bondwise, circuit, tmp_path):
    words = ("mitigate", "c.qpy", *FLAGS, *ANGLES, "--backend", "fake:manila", "--mitigate", "vncdr")
    words = (*words, "--twins", 6, "--shares", "3,1,2", "--shots", 200, "--out", "out")
    planned = bondwise(*words, "--dry-run", "--json")
    assert planned.returncode == 0, planned.stderr
    assert not (tmp_path / "out").exists()
    done = bondwise(*words)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    costs = result["costs"]
    assert result["shots"] == costs["total"] == json.loads(planned.stdout)["shots"]
    assert costs["scan"] == [3 * costs["scan"][1], costs["scan"][1], 2 * costs["scan"][1]]
    assert costs["twins"] == 6 * sum(costs["scan"])
    assert f"{costs['total']:,} in all" in done.stderr
    assert set(result["methods"]) == set(EXTRAPOLATIONS) - {"guess"}  # twins are no symmetry
    lines = [line.split() for line in done.stdout.splitlines()]
    for value, std in zip(result["values"], result["std"], strict=True):
        assert any(line[-4:] == ["vncdr", f"{value:.6f}", f"{std:.6f}", "chosen"] for line in lines)
    assert max(map(len, done.stdout.splitlines())) <= 80
    again = result_of(bondwise(*words, "--resume", "--json"), tmp_path / "out")
    assert again["methods"] == result["methods"]
    other = bondwise(*words, "--resume", "--twins", 7)
    assert (other.returncode, "--twins 6, not 7" in other.stderr) == (2, True)


def test_a_symmetry_is_measured_and_counted(bondwise, tmp_path):
    circuit = QuantumCircuit(2)
    circuit.x(0)
    for _ in range(4):
        circuit.rxx(0.9, 0, 1)
        circuit.ryy(0.9, 0, 1)
    with (tmp_path / "s.qpy").open("wb") as file:
        qpy.dump(circuit, file)
    words = ("mitigate", "s.qpy", "--observable", "ZI", "--backend", "aer:depolarizing=0.02", "--out", "out")
    words = (*words, "--mitigate", "guess", "--symmetry", "ZZ=-1", "--shots", 20_000)
    done = bondwise(*words)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    true = Statevector(circuit).expectation_value(SparsePauliOp("ZI")).real
    assert abs(result["values"][0] - true) < 0.3 * abs(result["readout"]["values"][0] - true)
    assert result["shots"] == result["costs"]["total"]
    assert result["costs"]["symmetry"] == sum(result["costs"]["scan"])
    assert "for the symmetry" in done.stderr
    for flag, said in [
        ("ZZ", "is no observable with its value"),
        ("ZZ=a", "such as ZZZZ=1"),
        ("ZZZ=1", "3 qubits"),
    ]:
        refused = bondwise(*words, "--symmetry", flag, "--overwrite")
        assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
        assert said in refused.stderr


def test_a_standard_error_is_planned_and_reached(bondwise, circuit, tmp_path):
    words = ("mitigate", "c.qpy", *FLAGS, *ANGLES, "--backend", "fake:manila", "--mitigate", "linear")
    done = bondwise(*words, "--std", 0.05, "--out", "out")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    plan = ShotPlan(**result["plan"] | {"shares": tuple(result["plan"]["shares"])})
    assert str(plan) in done.stderr
    assert result["costs"]["scan"][0] == plan.shares[0] * result["costs"]["scan"][1] // plan.shares[1]
    assert 0.01 < max(result["std"]) < 0.07
    assert np.abs(np.array(result["values"]) - exact(circuit, 0.4, -0.7)).max() < 0.25
    kept = json.loads((tmp_path / "out" / "shots.json").read_text())
    kept["shots"] *= 2  # a device that has drifted would plan anew; the run keeps to its plan
    (tmp_path / "out" / "shots.json").write_text(json.dumps(kept))
    again = bondwise(*words, "--std", 0.05, "--out", "out", "--resume", "--json")
    assert json.loads(again.stdout)["plan"]["shots"] == kept["shots"]
    (tmp_path / "out" / "shots.json").write_text("[]")
    damaged = bondwise(*words, "--std", 0.05, "--out", "out", "--resume")
    assert (damaged.returncode, "is damaged" in damaged.stderr) == (2, True)


def test_several_sets_of_angles(bondwise, circuit, tmp_path):
    np.save(tmp_path / "angles.npy", [[0.4, -0.7], [1.1, 0.2], [-0.3, 0.9]])
    words = ("mitigate", "c.qpy", *FLAGS, "--parameters", "angles.npy", "--backend", "aer:depolarizing=0.02")
    result = result_of(bondwise(*words, "--shots", 0, "--out", "out", "--json"), tmp_path / "out")
    true = [exact(circuit, 0.4, -0.7), exact(circuit, 1.1, 0.2), exact(circuit, -0.3, 0.9)]
    np.testing.assert_allclose(result["values"], true, atol=1e-3)
    shown = bondwise(*words, "--shots", 0, "--out", "out", "--overwrite")
    assert shown.returncode == 0, shown.stderr
    assert [line.split()[:2] for line in shown.stdout.splitlines()].count(["2", "ZZ"]) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--observable is missing"),
        (["--observable", "ZZZ"], "has 3 qubits and the circuit 2"),
        ([*FLAGS, "--backend", "statevector"], "has no noise"),
        ([*FLAGS, "--mitigate", "linaer"], "Did you mean 'linear'"),
        ([*FLAGS, "--mitigate", "readout"], "`bondwise run --mitigate readout`"),
        ([*FLAGS, "--mitigate", "cdr", "--twins", 0], "give --twins 20"),
        ([*FLAGS, "--mitigate", "guess"], "such as --symmetry ZZZZ=1"),
        ([*FLAGS, "--symmetry", "ZZ=0"], "is 0.0, which noise does not change"),
        ([*FLAGS, "--symmetry", "ZZ=1", "--twins", 5], "pass one of them"),
        ([*FLAGS, "--scale-factors", "1,a"], "write 1,3,5"),
        ([*FLAGS, "--scale-factors", "1,1,3"], "distinct"),
        ([*FLAGS, "--scale-factors", "1"], "--scale-factors (1.0,) cannot be extrapolated"),
        ([*FLAGS, "--scale-factors", "0.5,3"], "at least 1"),
        ([*FLAGS, "--scale-factors", "1,3", "--mitigate", "polynomial"], "too few for polynomial"),
        ([*FLAGS, "--scale-factors", "1,3", "--mitigate", "free_exponential"], "pass three or more"),
        ([*FLAGS, "--mitigate", "vncdr", "--twins", 2], "--twins is 2 and vncdr has 3 unknowns"),
        ([*FLAGS, "--shares", "5,1"], "there are 3 scale factors"),
        ([*FLAGS, "--shares", "5,0.5,1"], "write 5,1,1"),
        ([*FLAGS, "--folding", "locally"], "unknown folding"),
        ([*FLAGS, "--std", 0.01, "--shots", 100], "leave out --shots"),
        ([*FLAGS, "--std", 1e-9], "ask for a larger one"),
        ([*FLAGS, "--shots", 1], "--shots is 1"),
        ([*FLAGS, "--parameters", "x=0.1"], "'y'"),
        ([*FLAGS, "--no-wait"], "--no-wait has no effect"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(bondwise, circuit, tmp_path, words, message):
    words = [*ANGLES, "--backend", "fake:manila", *words] if "--backend" not in words else [*ANGLES, *words]
    done = bondwise("mitigate", "c.qpy", *words, "--out", "out")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert message in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["c.qpy"]


@pytest.mark.parametrize("command", [("mitigate",), ("mitigate", "benchmark")], ids=" ".join)
def test_a_circuit_without_noise_is_refused_before_it_is_measured(bondwise, tmp_path, command):
    turned = QuantumCircuit(2)
    turned.rz(0.3, 0)
    with (tmp_path / "c.qpy").open("wb") as file:
        qpy.dump(turned, file)
    words = (*command, "c.qpy", "--observable", "ZZ", "--backend", "fake:manila", "--out", "out")
    done = bondwise(*words)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "no gates that make noise on fake:manila" in done.stderr
    assert not (tmp_path / "out").exists()


def test_folding_each_gate_alone(bondwise, circuit, tmp_path):
    words = ("mitigate", "c.qpy", *FLAGS, *ANGLES, "--backend", "aer:depolarizing=0.02", "--shots", 0)
    result = result_of(bondwise(*words, "--folding", "local", "--out", "out", "--json"), tmp_path / "out")
    np.testing.assert_allclose(result["values"], exact(circuit, 0.4, -0.7), atol=1e-3)
    assert NoiseScan.load(tmp_path / "out" / "scan").meta["folding"] == "local"


def test_benchmark_tests_all_methods_on_the_same_shots(bondwise, circuit, tmp_path):
    words = ("mitigate", "benchmark", "c.qpy", *FLAGS, *ANGLES, "--backend", "fake:manila", "--shots", 7 * 32)
    words = (*words, "--twins", 16, "--out", "out")
    planned = bondwise(*words, "--dry-run", "--json")
    done = bondwise(*words)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["shots"] == json.loads(planned.stdout)["shots"] == sum(c["total"] for c in result["costs"])
    assert sum(result["costs"][1]["scan"]) * 2 == sum(result["costs"][0]["scan"])  # half of the twins
    assert set(result["methods"]) == {"readout", *EXTRAPOLATIONS} - {"guess"}  # twins are no symmetry
    errors = [row["error"] for row in result["methods"].values()]
    assert errors == sorted(errors)
    assert result["best"] == next(iter(result["methods"]))
    scan, ideal = NoiseScan.load(tmp_path / "out" / "scan"), np.array(result["ideal"])
    assert scan.value.shape == (2, 8, 3)
    assert result["twins"] == {"calibrate": scan.twins.ideal.shape[-1], "test": 8}
    for name in ("linear", "vncdr"):
        fit, row = extrapolation_named(name)(scan), result["methods"][name]
        off = np.abs(fit.value - ideal)
        assert row["error"] == pytest.approx(off.mean(), rel=1e-9)
        assert row["coverage"] == pytest.approx(np.mean(off <= 2 * fit.std))
    assert result["methods"]["linear"]["error"] < 0.2
    assert "16 twins, of which 8 are tested" in done.stderr
    assert max(map(len, done.stdout.splitlines()[: 3 + len(result["methods"])])) <= 80
    few = bondwise(*words[:-2], "--twins", 7, "--out", "few")
    assert (few.returncode, len(few.stderr.splitlines()), "--twins is 7" in few.stderr) == (2, 1, True)


def test_benchmark_of_exact_values(bondwise, circuit, tmp_path):
    """Depolarizing noise of folded gates decays exponentially, so a fit of that has no error."""
    words = ("mitigate", "benchmark", "c.qpy", "--observable", "ZZ", *ANGLES, "--twins", 8, "--shots", 0)
    result = result_of(
        bondwise(*words, "--backend", "aer:depolarizing=0.05", "--out", "out", "--json"), tmp_path / "out"
    )
    assert result["methods"]["exponential"]["error"] < 2e-3 < result["methods"]["readout"]["error"]


@given(seed=st.integers(0, 999), kinds=st.integers(2, 30))
def test_no_twin_is_tested_that_calibrates(seed, kinds):
    rng = np.random.default_rng(seed)
    different = rng.uniform(-np.pi, np.pi, (kinds, 5))
    which = rng.integers(kinds, size=20)
    angles = different[which] + 2 * np.pi * rng.integers(-1, 2, (20, 5))
    known, tested = _halves(angles, seed)
    assert len(set(tested)) == 10
    assert not set(which[known]) & set(which[tested])
    assert len(known) == 10 or np.bincount(which).max() > 1
    assert len({*known, *tested}) >= 20 - np.bincount(which).max() + 1  # one kind at most is left out


def made_up(rng, errors):
    """Tests of methods whose errors have these sizes, and of readout."""
    truth = rng.uniform(-1, 1, (2, 30))
    tests = {
        name: _Test(truth + size * rng.normal(size=truth.shape), np.full(truth.shape, size), truth < 2)
        for name, size in errors.items()
    }
    return tests, truth


def test_verdicts_on_errors_of_known_sizes():
    rng = np.random.default_rng(0)
    tests, truth = made_up(rng, {"readout": 0.1, "linear": 0.01, "vncdr": 0.05})
    rows = _judged(tests, truth)
    assert list(rows) == ["linear", "vncdr", "readout"]
    assert rows["linear"]["error"] == pytest.approx(0.01 * np.sqrt(2 / np.pi), rel=0.3)
    assert 0.85 < rows["linear"]["coverage"] <= 1
    notes = _verdicts(tests, truth, {})
    assert notes[0] == "linear won, beyond noise."
    assert "beyond noise" in notes[1]
    tests, truth = made_up(rng, {"readout": 0.01, "linear": 0.1, "vncdr": 0.1})
    assert _verdicts(tests, truth, {})[0].startswith("readout won")
    tests, truth = made_up(rng, {"readout": 0.3, "linear": 0.05, "vncdr": 0.05})
    assert "Within noise as good" in " ".join(_verdicts(tests, truth, {"polynomial": "needs more."}))


@pytest.mark.parametrize("command", [("mitigate",), ("mitigate", "benchmark")], ids=" ".join)
def test_a_device_is_waited_for_later(bondwise, circuit, loopback_ibm, tmp_path, monkeypatch, command):
    monkeypatch.setenv("BONDWISE_JOURNAL", str(tmp_path / "jobs.sqlite"))
    (tmp_path / "c.qpy").rename(tmp_path / "-c.qpy")
    words = (*command, *ANGLES, "--observable", "ZZ", "--backend", "ibm:ibm_manila", "--out", "out")
    words = (*words, "--shots", 20, "--twins", 8)
    refused = bondwise(*words, "--", "-c.qpy")
    assert (refused.returncode, "--yes" in refused.stderr) == (2, True)
    assert loopback_ibm.jobs == ()
    assert not (tmp_path / "out").exists()
    loopback_ibm.hold()
    done = bondwise(*words, "--yes", "--no-wait", "--", "-c.qpy")
    assert done.returncode == 0, done.stderr
    assert "bondwise jobs resume out" in done.stdout
    assert len(loopback_ibm.jobs) == len(Journal().records()) == len(command)  # the yardstick is a job too
    assert not (tmp_path / "out" / "result.json").exists()
    loopback_ibm.release()
    result = result_of(bondwise("jobs", "resume", "out", "--json"), tmp_path / "out")
    assert sorted(result["job_ids"]) == sorted(job.id for job in loopback_ibm.jobs)
    assert len(result["job_ids"]) == len(command)
    assert result["backend"] == "ibm:ibm_manila"
