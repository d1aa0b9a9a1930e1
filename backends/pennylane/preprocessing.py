"""What PennyLane does to a circuit before it runs on a backend."""

from __future__ import annotations

from copy import copy
from typing import Any

import pennylane as qml
from pennylane.devices.preprocess import decompose, device_resolve_dynamic_wires, validate_device_wires
from pennylane.exceptions import DeviceError
from pennylane.measurements import (
    ExpectationMP,
    ProbabilityMP,
    SampleMeasurement,
    StateMeasurement,
    VarianceMP,
)
from pennylane.ops import MidMeasure
from pennylane.transforms import broadcast_expand, defer_measurements
from pennylane.transforms.core import CompilePipeline

from bondwise.backends.backend import Backend
from bondwise.backends.pennylane.structures import accepts, standard_wires, takes_batch

DYNAMIC = ("device", "one-shot")  # both names mean that the backend measures and branches
_FROM_VALUES = (ExpectationMP, VarianceMP, ProbabilityMP)


def pipeline(name: str, wires: Any, backend: Backend, *, dynamic: bool, shifts: bool) -> CompilePipeline:
    """The transforms of a device.

    Args:
        name: Name of the device in messages.
        wires: Its wires, or None.
        backend: Where circuits run.
        dynamic: Whether the backend runs mid-circuit measurements; otherwise they are deferred.
        shifts: Whether circuits must be ready for the parameter-shift rule.
    """
    found = CompilePipeline()
    if not dynamic:
        found.add_transform(defer_measurements, allow_postselect=False)
    found.add_transform(_named, device=wires)
    found.add_transform(
        decompose, stopping_condition=lambda operator: accepts(operator, dynamic=dynamic), name=name
    )
    found.add_transform(device_resolve_dynamic_wires, wires=wires, allow_resets=dynamic)
    found.add_transform(validate_device_wires, wires, name=name)
    found.add_transform(_checked, backend=backend)
    found.add_transform(_expanded, shifts=shifts)
    if shifts:
        found.add_transform(_shiftable)
    return found


def refusal(measured: Any, has_shots: bool, backend: Backend) -> str | None:
    """Why a backend cannot evaluate a measurement, in a line; None if it can."""
    from_values = isinstance(measured, _FROM_VALUES)
    name = type(measured).__name__.removesuffix("MP")
    with_shots = f"{name} not accepted with finite shots on {backend.name}: "
    exactly = f"{name} not accepted for analytic simulation on {backend.name}: "
    if has_shots and backend.sampler is None:
        return None if from_values else with_shots + "it has an estimator only; measure expval, var or probs."
    if has_shots:
        sampled = isinstance(measured, SampleMeasurement)
        return None if sampled else with_shots + "measure expval, var, probs, counts or sample."
    if not isinstance(measured, StateMeasurement):
        return exactly + "write qml.set_shots(qnode, shots=1000)."
    if backend.dense:
        return None
    if backend.exact or backend.sampler is None:
        return None if from_values else exactly + "it needs the state; write backend='statevector'."
    return exactly + "it only samples; write qml.set_shots(qnode, shots=1000)."


def has_trained_branch(tape: Any) -> bool:
    """Whether an angle to train is in an operator that depends on a mid-circuit measurement."""
    return any(
        isinstance(operator, qml.ops.Conditional) and any(map(qml.math.requires_grad, operator.base.data))
        for operator in tape.operations
    )


@qml.transform
def _named(tape: Any, device: Any) -> tuple[list[Any], Any]:
    """Name the wires of measurements of all wires, whose order would depend on the decomposition."""
    if all(measured.wires or measured.obs is not None for measured in tape.measurements):
        return [tape], _first
    wires = device or qml.wires.Wires(standard_wires(tape))
    measurements = [
        measured if measured.wires or measured.obs is not None else _on(measured, wires)
        for measured in tape.measurements
    ]
    return [tape.copy(measurements=measurements)], _first


def _on(measured: Any, wires: Any) -> Any:
    named = copy(measured)
    named._wires = wires  # as PennyLane's validate_device_wires does
    return named


@qml.transform
def _shiftable(tape: Any) -> tuple[list[Any], Any]:
    return qml.gradients.param_shift.expand_transform(tape)


@qml.transform
def _checked(tape: Any, backend: Backend) -> tuple[list[Any], Any]:
    """Refuse measurements that the backend cannot evaluate."""
    for measured in tape.measurements:
        if (reason := refusal(measured, bool(tape.shots), backend)) is not None:
            raise DeviceError(reason)
    return [tape], _first


@qml.transform
def _expanded(tape: Any, shifts: bool) -> tuple[list[Any], Any]:
    """Write out a batch unless its numbers are angles that stay; the circuits remain one job."""
    if tape.batch_size is None or all(_keeps_batch(operator, shifts) for operator in tape.operations):
        return [tape], _first
    return broadcast_expand(tape)


def _keeps_batch(operator: Any, shifts: bool) -> bool:
    if isinstance(operator, MidMeasure):
        return False
    if getattr(operator, "batch_size", None) is None:
        return True
    # PennyLane has no shift rule for a batch that is trained
    return takes_batch(operator) and not (shifts and any(map(qml.math.requires_grad, operator.data)))


def _first(results: Any) -> Any:
    return results[0]
