"""What kind of Qiskit object a backend was made of."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from qiskit.primitives import BaseEstimatorV2, BaseSamplerV2
from qiskit.providers import BackendV2
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2

from bondwise.backends.backend import Backend

if TYPE_CHECKING:
    from qiskit_aer.noise import NoiseModel

# classes of packages that are imported only when needed
AER = "qiskit_aer.backends.aerbackend.AerBackend"
FAKE = "qiskit_ibm_runtime.fake_provider.fake_backend.FakeBackendV2"
IBM = "qiskit_ibm_runtime.ibm_backend.IBMBackend"


def made_of(backend: Backend) -> tuple[Any, NoiseModel | None]:
    """What `get_backend` was given for a backend; the backend itself if it did not make it."""
    given, noise, *_ = getattr(backend.reduce, "args", (backend, None))
    return given, noise


def is_simulator(device: BackendV2) -> bool:
    """Whether a Qiskit device is one of the simulators that run in this process."""
    known = isinstance(device, GenericBackendV2 | BasicSimulator)
    return known or is_a(AER, device) or is_a(FAKE, device)


def is_a(path: str, given: object) -> bool:
    """Whether an object is an instance of the class at a path, without importing its module."""
    module, _, name = path.rpartition(".")
    return isinstance(given, getattr(sys.modules.get(module), name, ()))


def device_of(given: Any) -> object:
    """The device of a primitive, None if it does not have one; anything else is returned unchanged."""
    if not isinstance(given, BaseEstimatorV2 | BaseSamplerV2):
        return given
    device = getattr(given, "backend", None)
    return device() if callable(device) else device


def device_behind(backend: Backend) -> BackendV2 | None:
    """The device of a backend that was made of a primitive, unless it is a simulator."""
    for primitive in (backend.sampler, backend.estimator):
        device = None if primitive is None else device_of(primitive)
        if isinstance(device, BackendV2) and not is_simulator(device):
            return device
    return None
