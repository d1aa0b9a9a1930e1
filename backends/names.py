"""From names and Qiskit objects to backends."""

from __future__ import annotations

import re
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, TypeAlias

from qiskit.primitives import (
    BaseEstimatorV2,
    BaseSamplerV2,
)
from qiskit.providers import BackendV2
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2

from bondwise.backends.backend import Backend
from bondwise.backends.devices import AnyDeviceSampler
from bondwise.backends.jobs.kinds import AER, FAKE, IBM, device_of, is_a
from bondwise.runs import UsageError, kind_of, unknown_name

if TYPE_CHECKING:
    from qiskit_aer.noise import NoiseModel

BackendLike: TypeAlias = str | Backend | BackendV2 | BaseEstimatorV2 | BaseSamplerV2


_EXAMPLES = ("statevector", "mps", "aer", "aer:matrix_product_state", "aer:depolarizing=0.01", "fake:torino")
# what Qiskit and PennyLane call them
_ELSEWHERE = {
    "default.qubit": "statevector",
    "statevector_simulator": "statevector",
    "default.clifford": "aer:stabilizer",
    "default.mixed": "aer:density_matrix",
    "default.tensor": "aer:matrix_product_state",
    "qasm_simulator": "aer",
    "ibmq_qasm_simulator": "aer",
    "aer_simulator": "aer",
    "aersimulator": "aer",
    "qiskit.aer": "aer",
    "qiskit.basicsim": "aer",
    "basic_simulator": "aer",
}


def get_backend(name_or_object: BackendLike, *, noise: NoiseModel | None = None) -> Backend:
    """Return the backend for a name or a Qiskit object.

    Args:
        name_or_object: One of

            - `"statevector"`: exact values, and samples if shots are given;
            - `"aer"`, with options after a colon, separated by commas: a method
              (`"aer:matrix_product_state"`), `"aer:depolarizing=0.01"` (each two-qubit gate is followed by
              (1-p) ρ + p I/4; one-qubit gates and readout are ideal), or both. Noisy values are exact up to
              12 qubits, and sampled above that or with a method other than `density_matrix`;
            - `"mps"`: exact values, their gradients and samples of shallow circuits, to 100 qubits and more.
              Circuits that need a bond dimension above 128, or `"mps:max_bond=256"`, are refused;
              `"mps:max_bond=64,truncate"` leaves out what exceeds it, and results say how much (`lost`);
            - `"fake:torino"` and other snapshots of IBM devices, exact up to 12 active qubits;
              `"fake:torino,resilience=1"` (or 2) mitigates values as IBM's client does, and
              `"fake:torino,resilience=2,amplifier=pea"` by injecting noise instead of folding gates;
            - `"ibm:NAME"`, `"ibm:least_busy"` or `"ibm:least_busy:20"` (20 qubits or more): the device,
              through the account in QISKIT_IBM_TOKEN or a saved one, with options after commas:
              `resilience=1|2`, `mode=batch|job|session`, `account=NAME`. All jobs are recorded, see `record`;
            - a `Backend` (returned unchanged), a Qiskit `BackendV2`, `BaseEstimatorV2` or `BaseSamplerV2`.
        noise: A `qiskit_aer.noise.NoiseModel` for names that start with `"aer"`; a circuit is then translated
            to the model's basis gates and otherwise run as written.

    Returns:
        The backend; the same one for the same name.

    Raises:
        UsageError: If the name is unknown, `noise` does not apply, or an IBM device has no account.

    Example:
        >>> from bondwise.backends import get_backend
        >>> get_backend("aer:depolarizing=0.01")
        Backend('aer:depolarizing=0.01')
        >>> get_backend("fake:torino").num_qubits
        133
    """
    given = name_or_object
    if isinstance(given, Backend) and noise is None:
        return given
    backend = _made(given, noise)
    backend.reduce = partial(_reduced, given, noise, backend.name)
    return backend


def _reduced(given: BackendLike, noise: NoiseModel | None, name: str) -> tuple[Any, ...]:
    if is_a(IBM, device_of(given)):
        raise UsageError(
            f"{name} holds the connection of an account, which must not leave this process; "
            "call get_backend('ibm:…') in the other process."
        )
    if isinstance(given, str) and given.startswith("ibm:"):
        given = name  # the least busy device is the same one in the other process
    return partial(get_backend, noise=noise), (given,)


def _made(given: BackendLike, noise: NoiseModel | None) -> Backend:
    if isinstance(given, str):
        kind, _, rest = given.partition(":")
        if noise is not None:
            if kind != "aer":
                raise UsageError(
                    f"noise= belongs to 'aer'; write get_backend('aer', noise=...) instead of {given!r}."
                )
            from bondwise.backends.simulators.aer import aer_backend

            return aer_backend(given, noise)
        if kind == "ibm" and rest:
            from bondwise.backends.ibm.service import ibm_backend

            return ibm_backend(given)
        return _named(given)
    if noise is not None:
        raise UsageError(f"noise= belongs to 'aer'; a {type(given).__name__} has its own noise.")
    if isinstance(given, BackendV2):
        # Aer's options, including its noise model, may change between calls
        return _device(given) if is_a(AER, given) else _kept(given)
    if isinstance(given, BaseEstimatorV2 | BaseSamplerV2):
        # circuits of a primitive that knows its device have to be compiled for it
        device = device_of(given)
        target = device.target if isinstance(device, BackendV2) else None
        name, noisy = type(given).__name__, isinstance(device, BackendV2) and _noisy(device)
        if isinstance(given, BaseSamplerV2):
            return Backend(name, sampler=given, target=target, noisy=noisy)
        return Backend(name, estimator=given, target=target, noisy=noisy, default_shots=None)
    raise UsageError(
        f"a backend cannot be made of {kind_of(given)}; pass a name such as 'statevector' or "
        "'fake:torino', a Qiskit BackendV2, or a V2 primitive."
    )


@lru_cache(maxsize=32)
def _named(name: str) -> Backend:
    """The backend of a name, cached so that later callers find the circuits that it has compiled."""
    kind, _, rest = name.partition(":")
    if name == "statevector" or (kind == "aer" and "mps" not in rest.split(",")):
        from bondwise.backends.simulators.aer import aer_backend

        return aer_backend(name)
    if kind == "mps" and (rest or name == "mps"):
        from bondwise.backends.simulators.mps import mps_backend

        return mps_backend(name)
    if kind == "fake" and "," in rest:
        from bondwise.backends.ibm.resilience import mitigated_snapshot

        return mitigated_snapshot(name)
    if kind == "fake" and rest:
        from bondwise.backends.simulators.fake import fake_backend

        return fake_backend(rest)
    raise unknown_name("backend", name, [*_EXAMPLES, "ibm:least_busy"], meant=_meant(name))


def _meant(name: str) -> str | None:
    """The name of what another package calls so, or None."""
    from bondwise.backends.simulators.fake import fake_devices

    lower = name.lower()
    if lower in _ELSEWHERE:
        return _ELSEWHERE[lower]
    if lower.startswith("lightning."):
        return "statevector"
    if lower.startswith("aer:"):
        return re.sub(r"(?<=[:,])mps(?=,|$)", "matrix_product_state", lower)
    if lower.startswith("aer_simulator_"):
        return lower.replace("aer_simulator_", "aer:")
    kind, _, rest = name.partition(":")
    if kind.lower() == "ibm" and rest:
        device, comma, options = rest.partition(",")
        return f"ibm:{device.lower()}{comma}{options}"
    if lower.startswith("ibm_"):
        return f"ibm:{lower}"
    device = re.sub(r"^(fake_?|ibmq_)|(_?v2)$", "", lower)
    if device in fake_devices():
        return f"fake:{device}"
    return "ibm:least_busy" if lower.startswith("ibmq") else None


@lru_cache(maxsize=16)
def _kept(device: BackendV2) -> Backend:
    """The backend of a device, cached so that later calls find the circuits that it has compiled."""
    return _device(device)


def _device(device: BackendV2) -> Backend:
    if is_a(FAKE, device):
        from bondwise.backends.simulators.fake import on_snapshot

        return on_snapshot(device)
    if is_a(IBM, device):
        from bondwise.backends.ibm.service import on_device

        return on_device(device)
    if is_a(AER, device):
        from bondwise.backends.simulators.aer import on_simulator

        return on_simulator(device)
    return Backend(device.name, sampler=AnyDeviceSampler(device), target=device.target, noisy=_noisy(device))


def _noisy(device: BackendV2) -> bool:
    """Whether circuits suffer noise on a device; anything but a simulator is taken for hardware."""
    if isinstance(device, GenericBackendV2 | BasicSimulator):
        reported = (error for where in device.target.values() for error in (where or {}).values())
        return any(error is not None and bool(error.error) for error in reported)
    if is_a(AER, device):
        noise = device.options.noise_model
        return noise is not None and not noise.is_ideal()
    return True
