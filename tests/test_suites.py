"""The benchmark that runs other packages' tests: what is swapped in, and how the outcomes are counted."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
MADE_UP = """
import unittest

from qiskit import QuantumCircuit
from qiskit.primitives import StatevectorEstimator


def value(precision=None):
    circuit = QuantumCircuit(1)
    circuit.x(0)
    return float(StatevectorEstimator(seed=1).run([(circuit, "Z")], precision=precision).result()[0].data.evs)


def test_value():
    assert value() == -1


def test_ours():
    assert type(StatevectorEstimator()).__module__ == "plugin"


def test_wrong():
    assert value(0.1) == 1, "not minus one"


def test_pinned():
    assert value() == 0


def test_arithmetic():
    assert 1 + 1 == 2


class Cases(unittest.TestCase):
    def test_cases(self):
        for sign in (1, -1):
            with self.subTest(sign):
                self.assertEqual(value(), sign)
"""


@pytest.fixture
def suites(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("suites.run")


def test_made_up_suite(suites: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "qiskit").mkdir()  # would shadow the package if the tests ran in the checkout
    (tmp_path / "qiskit" / "__init__.py").write_text("raise ImportError('not compiled')")
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "test_made_up.py").write_text(MADE_UP)
    suite = suites.Suite(
        "statevector-estimator",
        "made-up",
        "checks",
        ("checks/test_made_up.py",),
        by_design={"test_pinned": "nobody knows", "test_value": "passes all the same"},
    )
    found = suites.run_suite(suite, tmp_path, seeds=1)
    assert {name: test["verdict"] for name, test in found.items()} == {
        "test_value": "passed",
        "test_ours": "passed",
        "test_wrong": "failed",
        "test_pinned": "different",
        "test_arithmetic": "untouched",
        "test_cases": "failed",
    }
    assert found["test_pinned"]["why"] == "nobody knows"
    assert "not minus one" in found["test_wrong"]["why"]
    assert not list(tmp_path.rglob("__pycache__"))


def test_outcomes_that_depend_on_the_seed(suites: ModuleType) -> None:
    def outcome(name: str) -> dict[str, object]:
        return {"outcome": name, "error": "3 != 4" if name == "failed" else "", "used": True}

    suite = suites.Suite("any", "any", "", (), by_design={"test_listed": "other draws"})
    rounds = [
        {"file::test_lucky": outcome("passed"), "file::test_listed[a::b]": outcome("passed")},
        {"file::test_lucky": outcome("failed"), "file::test_listed[a::b]": outcome("failed")},
    ]
    found = suites.judged(suite, rounds)
    assert found["test_lucky"] == {"verdict": "failed", "why": "with 1 of 2 seeds: 3 != 4"}
    assert found["test_listed[a::b]"] == {"verdict": "different", "why": "other draws"}


def test_what_is_missing(suites: ModuleType, tmp_path: Path) -> None:
    suite = next(suite for suite in suites.SUITES if suite.name == "lambeq")
    suite = suites.Suite("lambeq", "lambeq", "tests", suite.tests, needs=())
    with pytest.raises(SystemExit, match="give a checkout of lambeq's repository"):
        suites.run_suite(suite, tmp_path, seeds=1)
    suite = suites.Suite("lambeq", "lambeq", "tests", suite.tests, needs=("no_such_package",))
    with pytest.raises(SystemExit, match="no_such_package not installed"):
        suites.run_suite(suite, tmp_path, seeds=1)
