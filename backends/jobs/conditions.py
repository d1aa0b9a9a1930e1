"""What a result depends on besides the circuit: noise, settings and seeds of objects that have no name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from qiskit.primitives import BaseEstimatorV2, BaseSamplerV2
from qiskit.providers import BackendV2
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.transpiler import Target

from bondwise.backends.backend import Backend
from bondwise.backends.jobs.kinds import is_simulator, made_of

_DEEPEST = 4  # primitives in primitives
# whole numbers with other names may count calls
_NUMBERS = {"seed", "shots", "default_shots", "level"}
_PARTS = {"backend", "device", "noise", "options", "scale_factors", "target"}


def conditions_of(backend: Backend) -> str:
    """Hash what the results of a backend depend on, with the same result in every process.

    A name says it all, and so does the name of a device, which is calibrated anew while its jobs wait. Of
    other objects count the noise model, the options, the seed, and what the target reports.

    Args:
        backend: A backend whose jobs are not recorded.

    Returns:
        16 hexadecimal digits; nothing if the name says it all.
    """
    given, noise = made_of(backend)
    if isinstance(given, str) and noise is None:
        return ""
    if isinstance(given, BackendV2) and not is_simulator(given):
        return ""
    if isinstance(given, Backend):
        said = [_primitive(one, 1) for one in (given.estimator, given.sampler) if one is not None]
    else:
        said = [_said(given, 0), _said(noise, 0)]
    return sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def _said(thing: Any, depth: int) -> Any:
    """What is known of an object, of JSON types."""
    if thing is None or isinstance(thing, bool | int | float | str):
        return thing
    if isinstance(thing, np.generic | complex):
        return repr(thing.item() if isinstance(thing, np.generic) else thing)
    kind = type(thing).__qualname__
    if depth > _DEEPEST:
        return kind
    if isinstance(thing, np.ndarray):
        return [thing.dtype.str, list(thing.shape), thing.tolist() if thing.dtype != object else kind]
    if hasattr(thing, "noise_instructions"):
        return _noise(thing)
    if isinstance(thing, Backend):
        return [thing.name, conditions_of(getattr(thing, "bare", thing))]
    if isinstance(thing, BackendV2):
        return _device(thing, depth)
    if isinstance(thing, Target):
        return _target(thing)
    if isinstance(thing, BaseEstimatorV2 | BaseSamplerV2):
        return _primitive(thing, depth)
    if isinstance(thing, Mapping):
        return {str(key): _said(value, depth + 1) for key, value in thing.items()}
    if is_dataclass(thing):
        return {field.name: _said(getattr(thing, field.name, None), depth + 1) for field in fields(thing)}
    if isinstance(thing, list | tuple):
        return [_said(each, depth + 1) for each in thing]
    if isinstance(thing, set | frozenset):
        return sorted(map(str, thing))
    return kind


def _primitive(primitive: Any, depth: int) -> Any:
    found = {}
    for attribute, value in getattr(primitive, "__dict__", {}).items():
        name = attribute.lstrip("_")
        setting = isinstance(value, bool | float | str) or (isinstance(value, int) and name in _NUMBERS)
        part = isinstance(value, BaseEstimatorV2 | BaseSamplerV2 | BackendV2 | Backend) or is_dataclass(value)
        if setting or part or name in _PARTS:
            found[name] = _said(value, depth + 1)
    return [type(primitive).__qualname__, found]


def _device(device: BackendV2, depth: int) -> Any:
    if not is_simulator(device):
        return [type(device).__qualname__, device.name]
    options = dict(device.options.items())
    if isinstance(device, GenericBackendV2):  # it makes a noise model of its target at its first job
        options.pop("noise_model", None)
    return [type(device).__qualname__, device.name, _said(options, depth + 1), _target(device.target)]


def _target(target: Target) -> Any:
    return sorted(
        [name, str(where), *(repr(getattr(properties, field, None)) for field in ("error", "duration"))]
        for name in target.operation_names
        for where, properties in (target[name] or {None: None}).items()
    )


def _noise(model: Any) -> Any:
    """A noise model of Aer; its errors have random identifiers."""
    content = model.to_dict(serializable=True)
    errors = [{key: value for key, value in error.items() if key != "id"} for error in content["errors"]]
    return [json.dumps(errors, sort_keys=True, default=str), sorted(model.basis_gates)]
