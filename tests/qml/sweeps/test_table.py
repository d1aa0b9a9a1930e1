"""The table of a sweep: columns, means, CSV."""

import csv
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bondwise.qml import Sweep
from bondwise.qml.sweeps.table import mean_with_half_interval
from bondwise.runs import UsageError


def swept(rows, names=("chi", "seed"), failed=()):
    return Sweep(function="energy", names=names, rows=rows, failed=list(failed), store="sweep.sqlite")


ROWS = [
    {"chi": 1, "seed": 0, "energy": -1.0, "how": "a", "ok": True, "late": None, "curve": [1, 2]},
    {"chi": 1, "seed": 1, "energy": -2.0, "how": "a,b", "ok": False, "late": 2, "curve": [3, 4]},
    {"chi": 2, "seed": 0, "energy": -3, "how": "c", "ok": True, "curve": []},
]


def test_columns():
    table = swept(ROWS)
    assert table.columns == ["chi", "seed", "energy", "how", "ok", "late", "curve"]
    assert table.column("chi").dtype.kind == "i"
    assert table.column("energy").tolist() == [-1.0, -2.0, -3.0]
    assert table.column("how").tolist() == ["a", "a,b", "c"]
    assert table.column("ok").dtype == bool
    np.testing.assert_array_equal(table.column("late"), [math.nan, 2, math.nan])
    assert list(table.column("curve")) == [[1, 2], [3, 4], []]
    with pytest.raises(UsageError, match="unknown column 'enrgy'. Did you mean 'energy'"):
        table.column("enrgy")


def test_text(tmp_path):
    failed = [{"point": {"chi": 9, "seed": 1}, "reason": "ValueError: no", "tries": 2}]
    lines = str(swept(ROWS, failed=failed)).splitlines()
    assert lines[0] == "energy: 3 points, 1 failed"
    assert lines[1].split() == ["chi", "seed", "energy", "how", "ok", "late", "curve"]
    assert lines[2].split() == ["1", "0", "-1", "a", "True", "[1,", "2]"]
    assert lines[-1] == "failed: {'chi': 9, 'seed': 1}: ValueError: no"
    assert "<th" in swept(ROWS)._repr_html_()
    assert repr(swept(ROWS)).startswith("Sweep(function='energy'")
    assert str(swept([])) == "energy: 0 points, 0 failed"


def test_csv(tmp_path):
    swept(ROWS).to_csv(tmp_path / "out.csv")
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["energy"]) for row in rows] == [-1, -2, -3]
    assert rows[1]["how"] == "a,b"
    assert [row["late"] for row in rows] == ["", "2", ""]
    assert rows[0]["curve"] == "[1, 2]"


def test_summary():
    rows = [{"chi": chi, "seed": seed, "e": chi + seed, "text": "x"} for seed in range(3) for chi in (4, 1)]
    found = swept(rows).summary()
    assert [(one["chi"], one["seeds"], one["e"]) for one in found] == [(4, 3, 5.0), (1, 3, 2.0)]
    half = stats.t.ppf(0.975, 2) / math.sqrt(3)  # the deviation of 0, 1, 2 is 1
    assert found[0]["e_low"] == pytest.approx(5 - half)
    assert found[0]["e_high"] == pytest.approx(5 + half)
    assert set(found[0]) == {"chi", "seeds", "e", "e_low", "e_high"}
    over_chi = swept(rows).summary(over="chi")
    assert [(one["seed"], one["chis"], one["e"]) for one in over_chi] == [
        (0, 2, 2.5),
        (1, 2, 3.5),
        (2, 2, 4.5),
    ]
    one_seed = swept(rows[:2]).summary()
    assert math.isnan(one_seed[0]["e_low"])
    with pytest.raises(UsageError, match="unknown value of the points 'sed'. Did you mean 'seed'"):
        swept(rows).summary("sed")


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_the_interval_is_that_of_scipy(values):
    mean, half = mean_with_half_interval(values)
    wanted = stats.ttest_1samp(values, 0).confidence_interval(0.95) if np.ptp(values) else (mean, mean)
    np.testing.assert_allclose([mean - half, mean + half], wanted, rtol=1e-9, atol=1e-6)


def test_intervals_cover_the_mean_as_often_as_they_say():
    draws = np.random.default_rng(0).normal(3.0, 2.0, size=(2000, 4))
    inside = [abs(mean - 3.0) < half for mean, half in map(mean_with_half_interval, draws)]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)
