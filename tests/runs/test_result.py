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
    with pytest.raises(UsageError, match="value is object, which cannot be stored"):
        Result(value=object()).save(tmp_path / "r")
    assert not list(tmp_path.iterdir())
