"""From names and Qiskit objects to backends."""

from __future__ import annotations

from typing import Any

from qiskit.primitives import BaseEstimatorV2, BaseSamplerV2

from bondwise.backends.backend import Backend
from bondwise.backends.simulators import SimulatorEstimator, SimulatorSampler, simulator
from bondwise.runs import UsageError, unknown_name


def get_backend(name_or_object: Any, *, noise: Any = None) -> Backend:
    """The backend of a name or of a Qiskit object."""
    if isinstance(name_or_object, Backend):
        return name_or_object
    if name_or_object in ("statevector", "aer"):
        aer = simulator("statevector")
        return Backend(
            name_or_object, estimator=SimulatorEstimator(aer), sampler=SimulatorSampler(aer), exact=True
        )
    if isinstance(name_or_object, BaseEstimatorV2):
        return Backend(type(name_or_object).__name__, estimator=name_or_object)
    if isinstance(name_or_object, BaseSamplerV2):
        return Backend(type(name_or_object).__name__, sampler=name_or_object)
    raise unknown_name("backend", str(name_or_object), ["statevector", "aer"])
