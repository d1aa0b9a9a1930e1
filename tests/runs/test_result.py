"""Results print in one line and come back from disk as they were."""

from dataclasses import dataclass

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from bondwise.runs import Result, UsageError


@dataclass(frozen=True, kw_only=True)
class Energy(Result):
    circuit: QuantumCircuit
    trace: np.ndarray
    notes: dict[str, float]


def test_prints_in_one_line():
    result = Result(value=-1.5, std=0.25, shots=100, seed=3, job_ids=("a", "b"))
    assert str(result) == "Result: -1.5 ± 0.25, 100 shots, seed 3, 2 jobs"
    assert str(Result(value=2.0)) == "Result: 2, no shots"
    assert "shape (2,)" in str(Result(value=np.zeros(2), std=np.ones(2)))


def test_saves_and_loads(tmp_path):
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("x"), 0)
    energy = Energy(
        value=1.0, circuit=circuit, trace=np.arange(3) * (1 + 0.5j), notes={"depth": 2.0}, job_ids=("j",)
    )
    energy.save(tmp_path / "e")
    back = Energy.load(tmp_path / "e")
    assert (back.value, back.notes, back.job_ids, back.circuit) == (1.0, {"depth": 2.0}, ("j",), circuit)
    np.testing.assert_array_equal(back.trace, energy.trace)
    assert back.trace.dtype == np.complex128
    with pytest.raises(UsageError, match=r"write Energy\.load"):
        Result.load(tmp_path / "e")
    with pytest.raises(UsageError, match="is not a saved result"):
        Energy.load(tmp_path / "f")
    for name, damage in (("e.safetensors", b"cut"), ("e.json", b"[]"), ("e.json", b"{")):
        (tmp_path / name).write_bytes(damage)
        with pytest.raises(UsageError, match="damaged"):
            Energy.load(tmp_path / "e")


def test_refuses_what_it_cannot_store(tmp_path):
    with pytest.raises(UsageError, match="value is an object, which cannot be stored"):
        Result(value=object()).save(tmp_path / "r")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("count", "seed"), [(50, 0), pytest.param(2000, 1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("end", ["json", "safetensors"])
def test_mutated_results_are_read_or_refused_in_one_line(assert_robust, tmp_path, end, count, seed):
    circuit = QuantumCircuit(2)
    circuit.h(0)
    stored = Result(value=np.arange(3.0), std=np.ones(3), shots=10, seed=1, job_ids=("a", circuit))
    stored.save(tmp_path / "good")
    contents = {kind: (tmp_path / f"good.{kind}").read_bytes() for kind in ("json", "safetensors")}
    other = "json" if end == "safetensors" else "safetensors"

    def lay(path):
        path.with_suffix(f".{other}").write_bytes(contents[other])

    def load(path):
        Result.load(path.with_suffix(""))

    words = {"count": count, "seed": seed, "prepare": lay, "named": "r.json"}
    assert_robust(load, [contents[end]], f"r.{end}", **words)
