"""IBM's devices by name, through an account saved on this machine or in the environment."""

from __future__ import annotations

import os
from typing import Any

from qiskit.providers.exceptions import QiskitBackendNotFoundError
from qiskit_ibm_runtime import IBMBackend, QiskitRuntimeService

from bondwise.backends.backend import Backend
from bondwise.backends.ibm.accounts import open_service, quiet, said_variables
from bondwise.backends.ibm.asking import asked
from bondwise.backends.ibm.connection import Connection
from bondwise.backends.ibm.options import UnsupportedOption, Wanted, wanted
from bondwise.backends.ibm.primitives import ServiceEstimator, ServiceSampler
from bondwise.backends.jobs.journal import Journal
from bondwise.backends.jobs.recording import RecordedBackend, recorded
from bondwise.runs import RunError, UsageError, unknown_name

_SERVICES: dict[tuple[Any, ...], QiskitRuntimeService] = {}
_VARIABLES = ("TOKEN", "INSTANCE", "CHANNEL", "URL")


def ibm_backend(name: str) -> RecordedBackend:
    """Look up the backend of an IBM device; its jobs are recorded, under a new run.

    Args:
        name: `ibm:` and the name of a device, or `least_busy`, or `least_busy:20` for 20 qubits or more,
            followed by options: `mode=batch|job|session` (batch by default), `resilience=1|2` (values through
            IBM's estimator with its own mitigation), `amplifier=gate_folding` (of level 2) and `account=NAME`
            of a saved account.

    Raises:
        UnsupportedOption: If an option is unknown, or has no effect on a device.
        UsageError: If the name cannot be read, others can read the saved tokens, or there is no
            account, nothing being sent over the network; or if the account has no such device.
        RunError: If the service refuses the account, has no device that is large enough, or does not answer.
    """
    place = wanted(name)
    if place.amplifier == "pea":
        raise UnsupportedOption(
            f"amplifier=pea in {name!r} injects noise that has to be learned on the device first, and "
            "bondwise cannot do that; give amplifier=gate_folding, or a snapshot such as fake:torino."
        )
    account = place.options.get("account")
    key = (account, *(os.environ.get(f"QISKIT_IBM_{variable}") for variable in _VARIABLES))
    # the client keeps the queues of the devices, which change
    service = None if place.device == "least_busy" else _SERVICES.get(key)
    device = None if service is None else _found(service, place)
    for _ in range(2):  # the client also keeps a configuration that it could not read
        if device is None:
            service = _SERVICES[key] = open_service(f"ibm:{place.device}", account)
            device = _found(service, place)
    if device is None:
        raise _unknown(_SERVICES[key], place)
    return on_device(device, place)


def on_device(device: IBMBackend, place: Wanted | None = None) -> RecordedBackend:
    """The backend of a device of IBM's service; its jobs are recorded, under a new run.

    Args:
        device: The device.
        place: Name and options; None for the default ones.
    """
    place = place or wanted(f"ibm:{device.name}")
    connection = Connection(device.service, device, place.options.get("mode", "batch"))
    options = "".join(f",{key}={value}" for key, value in place.options.items())
    level = place.resilience
    backend = Backend(
        f"ibm:{device.name}{options}",
        sampler=ServiceSampler(connection) if level is None else None,
        estimator=None if level is None else ServiceEstimator(connection, level, place.amplifier),
        target=connection.target,
        noisy=True,
    )
    return recorded(backend, None, Journal(create=False), connection)


def _found(service: QiskitRuntimeService, place: Wanted) -> IBMBackend | None:
    def find() -> IBMBackend:
        with quiet():
            if place.device == "least_busy":
                return service.least_busy(min_num_qubits=place.min_qubits)
            return service.backend(place.device)

    try:
        return asked(find, service, f"the service of {place.name}")
    except QiskitBackendNotFoundError:
        return None


def _unknown(service: QiskitRuntimeService, place: Wanted) -> RunError | UsageError:
    def find() -> list[IBMBackend]:
        with quiet():
            return service.backends()

    names = [f"ibm:{device.name}" for device in asked(find, service, f"the service of {place.name}")]
    if names and place.device != "least_busy" and f"ibm:{place.device}" not in names:
        return unknown_name("device", f"ibm:{place.device}", names)
    size = f" of {place.min_qubits} qubits or more" if place.min_qubits else ""
    said = said_variables() if not names else ""
    return RunError(f"{place.name}: no device{size} of the account is available now{said}.")
