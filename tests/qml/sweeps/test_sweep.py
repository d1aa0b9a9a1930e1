"""Sweeps in one process: what is stored, skipped, tried again and refused."""

import json
import math
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bondwise import backends, qml
from bondwise.qml.sweeps.points import key_of, plain, points_of
from bondwise.runs import Result, RunError, UsageError

NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5), lambda items: st.lists(items, max_size=3)
)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=5)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def energy(chi, seed=0):
    return {"energy": -chi + 0.5 * seed, "how": "made up"}


def test_all_combinations_in_order_and_a_second_run_that_computes_nothing(stored):
    def energy(chi, seed):
        calls.append((chi, seed))
        return chi + 10 * seed

    calls = []
    grid = {"chi": np.array([1, 2, 4]), "seed": range(2)}
    first = qml.sweep(energy, grid)
    assert calls == [(1, 0), (1, 1), (2, 0), (2, 1), (4, 0), (4, 1)]
    assert first.rows == [{"chi": chi, "seed": seed, "value": chi + 10 * seed} for chi, seed in calls]
    assert first.failed == []
    again = qml.sweep(energy, [{"seed": 1, "chi": 2}, {"seed": 7, "chi": 2}])
    assert calls[6:] == [(2, 7)]
    assert [row["value"] for row in again.rows] == [12, 72]
    assert len(stored()) == 7
    assert qml.sweep(energy, grid).rows == first.rows
    assert len(calls) == 7


def test_the_key_is_name_version_and_canonical_point(stored):
    def one(x):
        return 1

    def two(x):
        return 2

    assert qml.sweep(one, {"x": [1]}).rows[0]["value"] == 1
    assert qml.sweep(two, {"x": [1]}).rows[0]["value"] == 2
    assert qml.sweep(two, {"x": [1]}, version="2").rows[0]["value"] == 2
    assert qml.sweep(two, {"x": [1.0]}).rows[0]["value"] == 2
    assert qml.sweep(two, {"x": [True]}).rows[0]["value"] == 2
    assert sorted(row[0] for row in stored()) == ['{"x":1.0}', '{"x":1}', '{"x":1}', '{"x":1}', '{"x":true}']


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(points=st.lists(st.dictionaries(NAMES, VALUES, max_size=3), min_size=1, max_size=4, unique_by=key_of))
def test_any_json_comes_back_as_it_was(points, tmp_path):
    seen = []

    def echo(**point):
        seen.append(point)
        return {f"{name}'": value for name, value in point.items()}

    store = tmp_path / "echo.sqlite"
    store.unlink(missing_ok=True)
    made = qml.sweep(echo, points, store=store)
    assert seen == points
    again = qml.sweep(echo, points, store=store)
    assert len(seen) == len(points)
    for row, other, point in zip(made.rows, again.rows, points, strict=True):
        assert row == other
        assert {name: row[name] for name in point} == point
        assert all(
            row.get(f"{name}'", ...) == value for name, value in point.items() if f"{name}'" not in point
        )
    assert str(made)


def test_what_functions_may_return():
    def scalar(kind):
        return {"torch": torch.tensor(0.5), "numpy": np.float32(0.5), "array": np.array(0.5), "float": 0.5}[
            kind
        ]

    found = qml.sweep(scalar, {"kind": ["torch", "numpy", "array", "float"]}, store="kinds.sqlite")
    assert found.column("value").tolist() == [0.5] * 4

    def flipped(shots, seed):
        from qiskit import QuantumCircuit

        return backends.estimate(QuantumCircuit(1), "X", shots=shots, seed=seed)

    rows = qml.sweep(flipped, {"shots": [1, 100], "seed": [3]}).rows
    assert rows[0] == {"shots": 1, "seed": 3, "value": rows[0]["value"], "std": None, "lost": 0.0}
    assert rows[1]["std"] == pytest.approx(math.sqrt((1 - rows[1]["value"] ** 2) / 100), rel=0.02)


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (math.nan, "UsageError: the result 'value' is nan, which JSON cannot hold; give finite numbers"),
        ({"energy": math.inf}, "UsageError: the result 'energy' is inf, which JSON cannot hold"),
        ({"e": np.zeros(2)}, "UsageError: the result 'e' is an ndarray, which JSON cannot hold.*tolist"),
        ({"e": 1j}, "UsageError: the result 'e' is 1j, which JSON cannot hold"),
        ({"e": {1, 2}}, "UsageError: the result 'e' is a set, which JSON cannot hold"),
        ({1: 2}, "UsageError: a result is called 1; names of results are text"),
        (None, "UsageError: the function returned None; return a number"),
        ("text", "UsageError: the function returned a str; return a number"),
        (np.zeros(2), "UsageError: the function returned an ndarray; return a number"),
        (Result(value=np.zeros(2)), "UsageError: the result 'value' is an ndarray"),
        ({"x": 2}, "UsageError: the result 'x' has the name of a value of the point"),
    ],
)
def test_results_that_cannot_be_stored_fail_at_once(returned, reason):
    def fn(x):
        calls.append(x)
        return returned

    calls = []
    found = qml.sweep(fn, {"x": [1]}, retries=3)
    assert re.match(reason, found.failed[0]["reason"])
    assert len(calls) == 1
    assert "\n" not in found.failed[0]["reason"]


def test_failures_are_tried_again_and_do_not_stop_the_others(stored):
    def moody(x):
        calls.append(x)
        if x == 2 or (x == 3 and calls.count(3) < 3):
            raise ValueError("no\nluck")
        if x == 4:
            raise SystemExit(1)
        return x

    calls = []
    found = qml.sweep(moody, {"x": range(6)}, retries=2)
    assert [row["x"] for row in found.rows] == [0, 1, 3, 5]
    assert found.failed == [
        {"point": {"x": 2}, "reason": "ValueError: no luck", "tries": 3},
        {"point": {"x": 4}, "reason": "SystemExit: 1", "tries": 3},
    ]
    assert {(json.loads(point)["x"], state, tries) for point, state, _, tries in stored()} == {
        (0, "done", 1),
        (1, "done", 1),
        (2, "failed", 3),
        (3, "done", 3),
        (4, "failed", 3),
        (5, "done", 1),
    }
    assert "failed: {'x': 2}: ValueError: no luck" in str(found)
    before = len(calls)
    qml.sweep(moody, {"x": range(6)}, retries=0)
    assert calls[before:] == [2, 4]  # what failed is not done


def test_ctrl_c_keeps_what_is_done(stored):
    def fn(x):
        if x == 3 and not again:
            raise KeyboardInterrupt
        calls.append(x)
        return x

    calls, again = [], []
    with pytest.raises(KeyboardInterrupt):
        qml.sweep(fn, {"x": range(6)})
    assert len(stored()) == 3
    again.append(True)
    assert len(qml.sweep(fn, {"x": range(6)}).rows) == 6
    assert calls == list(range(6))


KILLED = """
import os, signal, sys
from bondwise import qml

def fn(x):
    with open("calls.log", "a") as file:
        file.write(f"{x}\\n")
    return x * x

found = qml.sweep(fn, {"x": range(200)})
print(len(found.rows), sum(row["value"] for row in found.rows))
"""


def test_kill_9_at_any_moment_loses_and_doubles_nothing(tmp_path, stored):
    """A process is killed again and again, each time after some more points."""
    (tmp_path / "script.py").write_text(KILLED)
    log = tmp_path / "calls.log"
    rng = np.random.default_rng()
    killed = 0
    for _ in range(4):
        begun = log.stat().st_size if log.exists() else 0
        process = subprocess.Popen([sys.executable, "script.py"], cwd=tmp_path, stdout=subprocess.PIPE)
        more = rng.integers(1, 150)
        while process.poll() is None and (not log.exists() or log.stat().st_size < begun + more):
            time.sleep(0.001)
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        process.communicate()
        if process.returncode == -signal.SIGKILL:
            killed += 1
            done = len(stored())
            calls = log.read_text().split()
            # each kill costs at most the point that was not stored yet
            assert len(set(calls)) - 1 <= done <= len(set(calls))
    assert killed >= 2
    last = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert last.stdout.split() == ["200", str(sum(x * x for x in range(200)))]
    calls = log.read_text().split()
    assert len(calls) - len(set(calls)) <= killed
    assert len(stored()) == 200


def test_a_second_sweep_on_the_same_file_is_refused(tmp_path):
    def fn(x):
        with pytest.raises(UsageError, match="sweep.sqlite is in use by another sweep; wait"):
            qml.sweep(energy, {"chi": [1]})
        code = "from bondwise import qml; import math\ndef f(x): return x\nqml.sweep(f, {'x': [1]})"
        other = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert "sweep.sqlite is in use by another sweep" in other.stderr
        return x

    assert qml.sweep(fn, {"x": [1]}, retries=0).failed == []
    qml.sweep(energy, {"chi": [1]})  # free again
    assert [path.name for path in tmp_path.glob("*.lock")] == []


def test_a_store_can_be_read_while_it_is_written(stored):
    def fn(x):
        return len(stored())

    assert qml.sweep(fn, {"x": range(3)}).column("value").tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({}, "the grid has 0 points; give from 1 to 1,000,000"),
        ([], "the grid has 0 points"),
        ({"chi": []}, "the grid has 0 points"),
        ({"chi": range(2000), "seed": range(2000)}, "the grid has 4,000,000 points"),
        (5, "the grid is an int; give {'seed': "),
        ("chi", "the grid is a str"),
        ({"chi": 4}, "the values of 'chi' are 4; give a list of them"),
        ({"chi": "abc"}, "the values of 'chi' are 'abc'; give a list"),
        ([4], "a point is 4; give dictionaries"),
        ([{4: 1}], "a point is {4: 1}; give dictionaries with names as keys"),
        ({"chi": [math.nan]}, "the value 'chi' of a point is nan, which JSON cannot hold"),
        ({"chi": [np.zeros(2)]}, "the value 'chi' of a point is an ndarray, which JSON"),
        ({"chi": [object()]}, "the value 'chi' of a point is an object, which JSON cannot hold"),
        ({"chi": [1, 1]}, "the point chi=1 is in the grid twice; leave one out, or give each its own seed"),
        ({"chi": [1], "sede": [1]}, r"energy\(\) cannot be called at chi=1 sede=1: .*'sede'"),
        ({"seed": [1]}, r"energy\(\) cannot be called at seed=1: missing a required argument: 'chi'"),
    ],
)
def test_grids_that_are_refused_before_anything_runs(grid, message, tmp_path):
    with pytest.raises(UsageError, match=message) as error:
        qml.sweep(energy, grid)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (lambda x: x, "the function is a lambda, by whose name .*write `def NAME"),
        (5, "the function is an int"),
        (None, "the function is None"),
        (Result(value=1).save, "the function is a method"),
    ],
)
def test_functions_without_a_name_are_refused(fn, message):
    with pytest.raises(UsageError, match=message):
        qml.sweep(fn, {"x": [1]})


def test_other_refusals(tmp_path):
    grid = {"chi": [1]}
    with pytest.raises(UsageError, match="retries is -1; give a whole number of at least 0"):
        qml.sweep(energy, grid, retries=-1)
    with pytest.raises(UsageError, match="executor is an int; give an Executor of concurrent.futures"):
        qml.sweep(energy, grid, executor=4)
    with pytest.raises(UsageError, match="the function given as executor returned an int"):
        qml.sweep(energy, grid, executor=lambda: 4)
    (tmp_path / "text.sqlite").write_text("this is not a database" * 100)
    with pytest.raises(UsageError, match="text.sqlite is not a store of sweeps, or it is damaged"):
        qml.sweep(energy, grid, store="text.sqlite")
    with sqlite3.connect("other.sqlite") as database:
        database.execute("CREATE TABLE points (x)")
    with pytest.raises(UsageError, match="other.sqlite is a database of something else; give another store"):
        qml.sweep(energy, grid, store="other.sqlite")
    qml.sweep(energy, grid, store="new.sqlite")
    with sqlite3.connect("new.sqlite") as database:
        database.execute("PRAGMA user_version=2")
    with pytest.raises(UsageError, match="new.sqlite was written by a newer release of bondwise"):
        qml.sweep(energy, grid, store="new.sqlite")
    with pytest.raises(RunError, match="the store nowhere/sweep.sqlite cannot be used: No such file"):
        qml.sweep(energy, grid, store="nowhere/sweep.sqlite")
    with pytest.raises(RunError, match="cannot be used"):
        qml.sweep(energy, grid, store=".")
    assert not list(tmp_path.glob("*.lock"))


def test_a_grid_is_made_of_what_json_holds():
    assert points_of({"a": (np.int64(1), True), "b": [[1, (2.0,)]]}) == [
        {"a": 1, "b": [1, [2.0]]},
        {"a": True, "b": [1, [2.0]]},
    ]
    assert type(plain("x", np.bool_(True))) is bool
    assert type(plain("x", np.str_("a"))) is str


def test_a_bar_names_the_point(capsys):
    qml.sweep(energy, {"chi": [1, 2], "seed": [5]}, progress=True)
    shown = capsys.readouterr().err
    assert "energy: chi=2 seed=5" in shown
    assert "2/2" in shown
