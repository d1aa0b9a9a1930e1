"""The cells of the mitigation benchmark are exact, and its methods spend as many shots."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, depolarizing_error

FOLDER = Path(__file__).parents[1] / "benchmarks" / "mitigation"


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        names = (
            "ansatz",
            "angles",
            "cells",
            "compare",
            "device_cells",
            "ibm_levels",
            "judgement",
            "mitiq_fits",
            "sampling",
        )
        yield type("Bench", (), {name: importlib.import_module(name) for name in names})


def folded(angles, scale):
    """The ansatz with every gate folded, gate by gate."""
    layers, _, n = angles.shape
    circuit = QuantumCircuit(n)
    for layer in range(layers):
        for qubit in range(n):
            for turn, angle in zip((circuit.ry, circuit.rz), angles[layer, :, qubit], strict=True):
                for repetition in range(scale):
                    turn((-1) ** repetition * angle, qubit)
        for qubit in range(n - 1) if layer < layers - 1 else ():
            for _ in range(scale):
                circuit.cx(qubit, qubit + 1)
    return circuit


@pytest.mark.parametrize(("n", "layers", "scale"), [(2, 1, 3), (3, 2, 5), (4, 3, 1), (5, 2, 3), (3, 5, 1)])
def test_outcomes_are_those_of_aer(bench, n, layers, scale):
    p, angles = 0.03, np.random.default_rng(n).uniform(-np.pi, np.pi, (3, layers + 1, 2, n))
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(p, 2), ["cx"])
    model.add_all_qubit_quantum_error(depolarizing_error(p / 10, 1), ["ry", "rz"])
    aer = AerSimulator(method="density_matrix", noise_model=model, fusion_enable=False)
    found = bench.ansatz.outcomes(angles, p, scale)
    for each, own in zip(angles, found, strict=True):
        circuit = folded(each, scale)
        circuit.save_probabilities()
        probabilities = aer.run(circuit, optimization_level=0).result().data()["probabilities"]
        np.testing.assert_allclose(own, probabilities, atol=1e-10)


@pytest.mark.parametrize("observable", ["parity", "chain"])
def test_observables_are_those_of_qiskit(bench, observable):
    n, angles = 4, np.random.default_rng(3).uniform(-3, 3, (2, 3, 2, 4))
    labels = {"parity": ["ZZZZ"], "chain": ["ZZII", "IZZI", "IIZZ"]}[observable]
    states = [
        Statevector(bench.device_cells.circuit(n, 2).assign_parameters(each.ravel())) for each in angles
    ]
    exact = [state.expectation_value(SparsePauliOp(labels)).real for state in states]
    value = bench.ansatz.outcomes(angles, 0.0, 1) @ bench.angles.signs(observable, n).sum(0)
    np.testing.assert_allclose(value, exact, atol=1e-12)
    mean = bench.angles.energy(torch.from_numpy(angles), observable)
    np.testing.assert_allclose(mean, np.array(exact) / len(labels), atol=1e-12)


def test_a_device_reads_the_same_bits_as_the_ansatz(bench):
    """Different qubits, so that a reversed order would show; the noise shrinks what is expected."""
    from bondwise.backends import get_backend

    angles = np.zeros((1, 2, 2, 3))
    angles[0, 0, 0] = 0.3, 1.1, 2.0
    noisy, readout = bench.device_cells.run(get_backend("fake:manila"), angles)
    assert noisy.shape == (3, 1, 8)
    assert readout.shape == (3,)
    np.testing.assert_allclose(noisy[0], bench.ansatz.outcomes(angles, 0.0, 1), atol=0.12)
    assert np.abs(noisy[0] - bench.ansatz.outcomes(angles[..., ::-1].copy(), 0.0, 1)).max() > 0.2


def example(bench, rng, readout=None):
    """A cell of 3 qubits with a perfect or a bad readout."""
    signs = bench.angles.signs("chain", 3)
    values, groups = np.unique(signs, axis=1, return_inverse=True)
    angles = rng.uniform(-3, 3, (40, 3, 2, 3))
    noisy = np.stack([bench.ansatz.outcomes(angles, 0.02, scale) for scale in (1, 3, 5)], 1)
    supports = (np.array(bench.angles.z_strings("chain", 3))[:, None] >> np.arange(3)) & 1
    if readout is not None:
        shrink = [np.prod(readout[(string >> np.arange(3)) & 1 == 1]) for string in range(8)]
        noisy = bench.ansatz.walsh(bench.ansatz.walsh(noisy) * shrink) / 8
    noisy = bench.cells.grouped(noisy, groups, values.shape[1])
    ideal = bench.ansatz.outcomes(angles, 0.0, 1) @ signs.sum(0)
    return bench.cells.Cell("example", values, ideal, noisy, ideal, noisy, readout, supports)


@pytest.mark.parametrize("readout", [None, np.array([0.9, 0.7, 0.95])], ids=["perfect", "bad readout"])
def test_shots_are_unbiased_with_honest_errors(bench, readout):
    rng = np.random.default_rng(5)
    cell = example(bench, rng, readout)
    true = example(bench, np.random.default_rng(5)).noisy @ cell.values.sum(0)
    rows = np.arange(20)
    pulls, totals = [], []
    for _ in range(300):
        scan = bench.sampling.draw(cell, rows, rows, 600, rng)["scan"]
        pulls.append((scan.value - true[rows]) / scan.std)
        totals.append(((scan.value - true[rows]).sum(1), scan.covariances().sum((1, 2))))
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.25
    assert np.std(pulls) == pytest.approx(1, abs=0.05)
    errors, variances = (np.array(part) for part in zip(*totals, strict=True))
    assert (errors**2).mean() == pytest.approx(variances.mean(), rel=0.1)  # the calibration is shared


def test_all_plans_spend_the_same(bench):
    plans = bench.sampling.PLANS
    for budget, circuits, twins, calibration in [(12288, 100, 30, False), (768, 100, 30, True)]:
        for plan in (plan for plan in plans.values() if plan.paid):
            each = sum(plan.shots(budget, circuits, twins, calibration))
            measured = circuits * (1 + plan.own) + twins * (plan.twins and not plan.own)
            spent = each * measured + budget * (calibration and plan.corrected)
            assert 0.99 * circuits * budget <= spent <= circuits * budget


def test_more_shots_continue_fewer(bench):
    counts = bench.sampling.nested(np.full((5, 4), 0.25), {"many": 900, "few": 300}, np.random.default_rng(1))
    assert (counts["many"].sum(1) == 900).all()
    assert (counts["few"].sum(1) == 300).all()
    assert (counts["many"] >= counts["few"]).all()


def test_fits_of_mitiq_are_exact_where_their_models_hold(bench):
    at, ideal = np.array([1.0, 3.0, 5.0]), np.array([0.8, -0.3])
    fits = bench.mitiq_fits.ZNE
    line, curve, decay = 1 - 0.1 * at, 1 - 0.1 * at + 0.01 * at**2, np.exp(-0.2 * at - 0.01 * at**2)
    for shape, exact in [(line, "linear"), (curve, "Richardson"), (decay, "poly-exponential")]:
        np.testing.assert_allclose(fits[exact](at, ideal[:, None] * shape), ideal, atol=1e-12)
    np.testing.assert_allclose(fits["exponential"](at, ideal[:, None] * np.exp(-0.2 * at)), ideal)
    chebyshev = 3 * (1 - np.cos(np.pi * at / 6))
    np.testing.assert_allclose(fits["fake nodes"](at, ideal[:, None] * (1 - 0.1 * chebyshev)), ideal)


def test_twins_spread_over_the_spectrum_and_points_move_towards_its_ends(bench, monkeypatch):
    rng = np.random.default_rng(0)
    monkeypatch.setattr(bench.angles, "WALK", 100)
    twins = bench.angles.twin_angles(3, 2, "chain", 40, rng)
    values = bench.angles.energy(torch.from_numpy(twins), "chain").numpy()
    assert np.histogram(values, [-1, -0.5, 0, 0.5, 1])[0].min() >= 3
    assert np.isclose(twins % (np.pi / 2), 0).mean() > 0.8
    stopped = bench.angles.stopped_angles(3, 2, "parity", 40, rng)
    assert np.abs(bench.angles.energy(torch.from_numpy(stopped), "parity").numpy()).mean() > 0.6


def test_a_run_that_was_stopped_goes_on(bench, tmp_path, monkeypatch, capsys):
    """The second run measures what the first one has not, and says the same."""
    monkeypatch.setattr(bench.compare, "BATCH", 10)
    cell, measured = example(bench, np.random.default_rng(3)), []
    known = {"n": 3, "kind": "random", "observable": "chain", "noise": "p = 0.02"}
    monkeypatch.setattr(bench.compare, "grid", lambda _: [(known, lambda: cell)])
    measure = bench.compare.measure
    monkeypatch.setattr(bench.compare, "measure", lambda *of: measured.append(of[1]) or measure(*of))

    def run(name, *flags):
        monkeypatch.setattr("sys.argv", ["compare.py", "--quick", "--out", str(tmp_path / name), *flags])
        bench.compare.main()
        return json.loads((tmp_path / name).read_text())["results"]

    whole = run("whole.json")
    assert measured == [12288, 768]
    lines = (tmp_path / "whole.cells.jsonl").read_text().splitlines()
    (tmp_path / "cut.cells.jsonl").write_text(lines[0] + "\n" + lines[1][:100])
    assert run("cut.json") == whole
    assert measured == [12288, 768, 768]
    errors = whole["cells"][0]["errors"]
    assert errors["bayes"] < 0.6 * errors["raw"]
    assert all(0.8 < cell["coverage"] <= 1 for cell in whole["cells"])
    with pytest.raises(SystemExit, match="other settings"):
        run("cut.json", "--first-seed", "3")


def test_judgement_finds_the_best_and_what_is_missed(bench, capsys):
    rng = np.random.default_rng(2)
    rows = []
    for shots in ("many", "few"):
        errors = {name: rng.uniform(1.5, 2.5, 50) for name in bench.compare.METHODS}
        errors["bayes"] = errors["mitiq linear"] * 0.5
        errors["mitiq linear"] = errors["mitiq linear"] * 0.8
        found = {
            name: {"errors": of.tolist(), "inside": [2] * 50, "missing": 0} for name, of in errors.items()
        }
        row = {"n": 4, "kind": "random", "observable": "parity", "noise": "p = 0.01", "shots": shots}
        rows.append({**row, "limit": 1.0, "count": [2] * 50, "methods": found})
    summary = bench.judgement.judge(rows, "bayes")
    assert [cell["best"] for cell in summary["cells"]] == ["mitiq linear"] * 2
    assert summary["cells"][0]["ratio"] == pytest.approx([0.625] * 3)
    met = [bar["met"] for bar in summary["bars"]]
    assert met == [True, True, True, False, False, True, True]  # every interval holds the truth
    assert "MISSED" in capsys.readouterr().out


def test_methods_beside_ibm_spend_the_same_and_a_stopped_run_goes_on(bench, tmp_path, monkeypatch, capsys):
    """Two circuits of 3 qubits; the second run measures the VQE points only."""
    script, measured = bench.ibm_levels, []
    monkeypatch.setitem(bench.ibm_levels.LAYERS, "shallow", {3: 1})
    sets = [("random", ("parity", "chain")), ("vqe", ("chain",))]
    monkeypatch.setattr(script, "grid", lambda _: [(3, "shallow", "manila", *of, 2) for of in sets])
    measure = script.measure
    monkeypatch.setattr(script, "measure", lambda *of: measured.append(of[3]) or measure(*of))

    def run():
        monkeypatch.setattr("sys.argv", ["ibm_levels.py", "--out", str(tmp_path / "found.json")])
        script.main()
        return json.loads((tmp_path / "found.json").read_text())["results"]

    first = run()
    store = tmp_path / "found.cells.jsonl"
    lines = store.read_text().splitlines()
    store.write_text("\n".join(lines[:2]) + "\n" + lines[2][:50])
    again = run()
    assert measured == ["random", "vqe", "vqe"]
    assert again["cells"][:2] == first["cells"][:2]
    assert [cell["observable"] for cell in first["cells"]] == ["parity", "chain", "chain"]
    for cell in first["cells"]:
        spent = cell["shots"].values()
        assert (3 * 2 + 1) * 4096 * 0.98 < min(spent) <= max(spent) < (3 * 2 + 1) * 4096 * 1.02
        assert max(cell["errors"][name] for name in ("ours", "IBM level 1", "IBM level 2")) < 0.1
    for line in lines:
        row = json.loads(line)
        angles = bench.cells.angles_of("test", 3, 1, row["kind"], row["observable"], 150)[:2]
        labels = {"parity": ["ZZZ"], "chain": ["ZZI", "IZZ"]}[row["observable"]]
        made = [bench.device_cells.circuit(3, 1).assign_parameters(each.ravel()) for each in angles]
        exact = [Statevector(each).expectation_value(SparsePauliOp(labels)).real for each in made]
        np.testing.assert_allclose(row["ideal"], exact, atol=1e-12)


def test_judgement_beside_ibm_takes_the_better_level_of_each_cell(bench, capsys):
    """The errors are known: level 1 is better on random circuits, level 2 at VQE points."""
    rng = np.random.default_rng(7)
    away = {
        "random": {"IBM level 1": 0.1, "IBM level 2": 0.4, "ours": 0.05, "raw": 0.2},
        "vqe": {"IBM level 1": 0.9, "IBM level 2": 0.2, "ours": 0.24, "raw": 0.8},
    }
    rows = []
    for kind, errors in away.items():
        row = {"n": 4, "kind": kind, "observable": "parity", "noise": "torino, deep", "limit": 1.0}
        ideal = rng.uniform(0.7, 0.95, 12)
        measured = {
            name: {"values": (ideal + error).tolist(), "stds": [0.09] * 12, "shots": 1000}
            for name, error in errors.items()
        }
        rows.append({**row, "count": [1] * 12, "ideal": ideal.tolist(), "measured": measured})
    found = bench.ibm_levels.judge(rows)
    assert [cell["ratio"][0] for cell in found["cells"]] == pytest.approx([0.5, 1.2])
    assert [bar["value"] for bar in found["bars"]] == pytest.approx([np.sqrt(0.5 * 1.2), 1.2, 0.3])
    assert [bar["met"] for bar in found["bars"]] == [True, False, True]
    coverage = found["cells"][0]["coverage"]
    assert [coverage[name] for name in ("IBM level 1", "IBM level 2", "raw")] == [1, 0, 0]
    assert found["overall"]["IBM, cut off"][0] > found["overall"]["n = 4"][0]
    assert "MISSED" in capsys.readouterr().out


def test_a_value_that_is_missing_has_the_largest_error(bench):
    measured = {
        name: {"values": [np.nan, 0.5], "stds": [np.nan, 0.1], "shots": 10}
        for name in ("IBM level 1", "IBM level 2", "ours", "raw")
    }
    row = bench.ibm_levels.judged({"limit": 3.0, "ideal": [2.0, 0.6], "measured": measured})
    for found in row["methods"].values():
        assert found["errors"] == pytest.approx([6.0, 0.1])
        assert found["inside"].tolist() == [False, True]
