"""A pytest plugin that puts our objects into the tests of another package, without changing them.

    python -m pytest -p plugin --swap aer-estimator --record FILE TESTS

What the tests import is replaced once they are collected, by classes that pass the peer's arguments on to
ours: default precisions, default shots and seeds of a constructor go to each run. The record holds the
outcome of every test and whether it used one of our objects at all.
"""

import json
import os
import re
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from qiskit.primitives import BaseEstimatorV2, BaseSamplerV2

from bondwise.backends import Backend, get_backend

used: set[str] = set()
shift = 0  # added to every seed
Swap = Callable[[ModuleType], None]


def shifted(seed: Any) -> Any:
    return seed + shift if isinstance(seed, int) else seed


class Estimator(BaseEstimatorV2):
    """One of our estimators behind the constructor of another package's."""

    def __init__(self, backend: Backend, precision: float | None = None, seed: int | None = None) -> None:
        used.add(backend.name)
        self._inner, self.seed = backend.estimator, seed
        self.options = SimpleNamespace(default_precision=precision)

    def run(self, pubs: Any, *, precision: float | None = None) -> Any:
        precision = self.options.default_precision if precision is None else precision
        return self._inner.run(pubs, precision=precision, seed=shifted(self.seed))


class Sampler(BaseSamplerV2):
    """One of our samplers behind the constructor of another package's."""

    def __init__(self, backend: Backend, shots: int | None = None, seed: int | None = None) -> None:
        used.add(backend.name)
        self._inner, self.seed = backend.sampler, seed
        self.options = SimpleNamespace(default_shots=shots)

    @property
    def default_shots(self) -> int | None:
        return self.options.default_shots

    def run(self, pubs: Any, *, shots: int | None = None) -> Any:
        shots = self.default_shots if shots is None else shots
        return self._inner.run(pubs, shots=shots, seed=shifted(self.seed))


def statevector_estimator(*, default_precision: float = 0.0, seed: int | None = None) -> Estimator:
    return Estimator(get_backend("statevector"), default_precision, seed)


def statevector_sampler(*, default_shots: int = 1024, seed: int | None = None) -> Sampler:
    return Sampler(get_backend("statevector"), default_shots, seed)


def backend_estimator(*, backend: Any, options: dict[str, Any] | None = None) -> Estimator:
    given = options or {}
    precision = given.get("default_precision", 0.015625)
    return Estimator(get_backend(backend), precision, given.get("seed_simulator"))


def backend_sampler(*, backend: Any, options: dict[str, Any] | None = None) -> Sampler:
    given = options or {}
    return Sampler(get_backend(backend), given.get("default_shots", 1024), given.get("seed_simulator"))


class AerEstimator(Estimator):
    """Replaces `qiskit_aer.primitives.EstimatorV2`."""

    def __init__(self, *, options: dict[str, Any] | None = None, device: Any = "aer") -> None:
        given = options or {}
        seed = given.get("run_options", {}).get("seed_simulator")
        super().__init__(get_backend(device), given.get("default_precision", 0.0), seed)

    @classmethod
    def from_backend(cls, backend: Any, **options: Any) -> "AerEstimator":
        return cls(device=backend, **options)


def aer_sampler(*, default_shots: int = 1024, seed: int | None = None, options: Any = None) -> Sampler:
    return Sampler(get_backend("aer"), default_shots, seed)


def names(**replacements: Any) -> Swap:
    """Replace names of the test module."""

    def swap(module: ModuleType) -> None:
        for name, replacement in replacements.items():
            if hasattr(module, name):
                setattr(module, name, replacement)

    return swap


def batched_model(module: ModuleType) -> None:
    """Replace lambeq's model with ours; the trainer's tests train circuits instead of tensors."""
    from lambeq import IQPAnsatz
    from lambeq.training import checkpoint

    from bondwise.qml import BatchedModel

    class Model(BatchedModel):
        def __init__(self, *args: Any, **keywords: Any) -> None:
            used.add("BatchedModel")
            super().__init__(*args, **keywords)

        @classmethod
        def from_checkpoint(cls, checkpoint_path: str, **keywords: Any) -> Any:
            # ours reads real files; the tests patch the function that lambeq opens files with
            opened = getattr(checkpoint, "open", None)
            if opened is None or not os.path.exists(checkpoint_path):
                return super().from_checkpoint(checkpoint_path, **keywords)
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder, checkpoint_path)
                file.write_bytes(opened(checkpoint_path, "rb").read())
                return super().from_checkpoint(file, **keywords)

    names(PytorchQuantumModel=Model, PytorchModel=Model)(module)
    if hasattr(module, "SpiderAnsatz"):
        circuit = IQPAnsatz({module.N: 1, module.S: 1}, n_layers=1)
        module.ansatz = circuit
        module.train_circuits = [circuit(diagram) for diagram in module.train_diagrams]
        module.dev_circuits = [circuit(diagram) for diagram in module.dev_diagrams]


def extrapolations(module: ModuleType) -> None:
    """Put our fits into mitiq's factories, which return our value, error and curve."""
    from bondwise.mitigation import (
        Extrapolation,
        NoiseScan,
        extrapolate_exponential,
        extrapolate_linear,
        extrapolate_polynomial,
        extrapolate_richardson,
    )

    def scan(at: Any, values: Any) -> NoiseScan:
        used.add("extrapolation")
        return NoiseScan(value=values, std=np.zeros(len(values)), scale_factors=at)

    def returned(fit: Extrapolation, curve: Callable[[float], float], parameters: Any, full: bool) -> Any:
        return (fit.value, fit.std or None, list(parameters), None, curve) if full else fit.value

    def polynomial(fit: Extrapolation, degree: int, full: bool) -> Any:
        unit = fit.curve_at[-1]
        scaled = np.polyfit(fit.curve_at / unit, fit.curve, degree)
        parameters = scaled / unit ** np.arange(degree, -1, -1.0)
        parameters[-1] = fit.value
        return returned(fit, lambda at: np.polyval(parameters, at), parameters, full)

    def linear(scale_factors: Any, exp_values: Any, full_output: bool = False) -> Any:
        return polynomial(extrapolate_linear(scan(scale_factors, exp_values)), 1, full_output)

    def richardson(scale_factors: Any, exp_values: Any, full_output: bool = False) -> Any:
        fit = extrapolate_richardson(scan(scale_factors, exp_values))
        return polynomial(fit, len(scale_factors) - 1, full_output)

    def poly(scale_factors: Any, exp_values: Any, order: int, full_output: bool = False) -> Any:
        return polynomial(extrapolate_polynomial(scan(scale_factors, exp_values), order), order, full_output)

    def exponential(
        scale_factors: Any,
        exp_values: Any,
        asymptote: float | None = None,
        avoid_log: bool = False,
        eps: float = 1e-6,
        full_output: bool = False,
    ) -> Any:
        fit = extrapolate_exponential(scan(scale_factors, exp_values), asymptote)
        floor = asymptote or 0.0
        height = fit.value - floor
        decay = np.log(height / (fit.curve[1] - floor)) / fit.curve_at[1] if fit.converged else 0.0
        curve = lambda at: np.interp(at, fit.curve_at, fit.curve)  # noqa: E731
        return returned(fit, curve, (floor, height, -decay), full_output)

    fits = {"LinearFactory": linear, "RichardsonFactory": richardson, "PolyFactory": poly}
    for name, fit in {**fits, "ExpFactory": exponential}.items():
        if hasattr(module, name):
            getattr(module, name).extrapolate = staticmethod(fit)


def gradients(module: ModuleType) -> None:
    """Nothing to swap: these tests are written for our objects."""

    def get(name: Any) -> Backend:
        used.add("gradients")
        return get_backend(name)

    names(get_backend=get)(module)


SWAPS: dict[str, Swap] = {
    "statevector-estimator": names(StatevectorEstimator=statevector_estimator),
    "statevector-sampler": names(StatevectorSampler=statevector_sampler),
    "backend-estimator": names(BackendEstimatorV2=backend_estimator),
    "backend-sampler": names(BackendSamplerV2=backend_sampler),
    "aer-estimator": names(EstimatorV2=AerEstimator),
    "aer-sampler": names(SamplerV2=aer_sampler),
    "lambeq": batched_model,
    "mitiq": extrapolations,
    "gradients": gradients,
}


def error_line(report: pytest.TestReport) -> str:
    """The error's class and message; testtools passes pytest a whole traceback as the message."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(getattr(crash, "message", report.longrepr))
    lines = [line for line in text.splitlines() if re.match(r"[\w.]*(Error|Exception|Failed)\b", line)]
    return lines[-1] if lines else text.partition("\n")[0]


class Recorder:
    """Records each test: its outcome, the last line of its error, and whether it used one of our objects."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._tests: dict[str, dict[str, Any]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        used.clear()
        self._tests[item.nodeid] = {"outcome": "passed", "error": "", "used": False}
        result = yield
        self._tests[item.nodeid]["used"] = bool(used)
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = self._tests[report.nodeid]  # a subtest reports under the name of its test
        if report.failed:
            if test["outcome"] != "failed":
                test["error"] = error_line(report)
            test["outcome"] = "failed"
        elif report.skipped and test["outcome"] == "passed":
            test["outcome"] = "skipped"

    def pytest_sessionfinish(self) -> None:
        self._file.write_text(json.dumps(self._tests, indent=1))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--swap", choices=sorted(SWAPS), required=True, help="which objects to replace")
    parser.addoption(
        "--shift", type=int, default=0, help="number added to every seed that our objects receive"
    )
    parser.addoption("--record", type=Path, help="JSON file for the outcomes")


def pytest_configure(config: pytest.Config) -> None:
    # mitiq looks for this warning where NumPy 1 had it
    if "numpy.lib.polynomial" not in sys.modules:
        old = types.ModuleType("numpy.lib.polynomial")
        old.RankWarning = np.exceptions.RankWarning  # type: ignore[attr-defined]
        sys.modules["numpy.lib.polynomial"] = old
    global shift
    shift = config.option.shift
    if config.option.record:
        config.pluginmanager.register(Recorder(config.option.record))


def pytest_collection_finish(session: pytest.Session) -> None:
    swap = SWAPS[session.config.option.swap]
    for module in {item.module for item in session.items if isinstance(item, pytest.Function)}:
        swap(module)
