"""IBM's devices by name, through an account saved on this machine or in the environment."""

from __future__ import annotations

import os
from typing import Any

from qiskit.providers.exceptions import QiskitBackendNotFoundError
from qiskit_ibm_runtime import IBMBackend, QiskitRuntimeService

from bondwise.backends.backend import Backend
from bondwise.backends.ibm.accounts import open_service
from bondwise.backends.ibm.asking import asked
from bondwise.backends.ibm.connection import Connection
from bondwise.backends.ibm.options import Wanted, wanted
from bondwise.backends.ibm.primitives import ServiceEstimator, ServiceSampler
from bondwise.backends.jobs.journal import Journal
from bondwise.backends.jobs.recording import RecordedBackend, recorded
from bondwise.runs import RunError, unknown_name

_SERVICES: dict[tuple[Any, ...], QiskitRuntimeService] = {}
_VARIABLES = ("TOKEN", "INSTANCE", "CHANNEL", "URL")


def ibm_backend(name: str) -> RecordedBackend:
    """Look up the backend of an IBM device; its jobs are recorded, under a new run.

    Args:
        name: `ibm:` and the name of a device, or `least_busy`, or `least_busy:20` for 20 qubits or more,
            followed by options: `mode=batch|job|session` (batch by default), `resilience=1|2` (values through
            IBM's estimator with its own mitigation) and `account=NAME` of a saved account.

    Raises:
        UsageError: If the name cannot be read, others can read the saved tokens, or there is no
            account, nothing being sent over the network; or if the account has no such device.
        RunError: If the service refuses the account, has no device that is large enough, or does not answer.
    """
    place = wanted(name)
    account = place.options.get("account")
    key = (account, *(os.environ.get(f"QISKIT_IBM_{variable}") for variable in _VARIABLES))
    # the client keeps the queues of the devices, which change
    known = None if place.device == "least_busy" else _SERVICES.get(key)
    service = _SERVICES[key] = known or open_service(f"ibm:{place.device}", account)
    return on_device(_found(service, place), place)


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
        estimator=None if level is None else ServiceEstimator(connection, level),
        target=device.target,
        noisy=True,
    )
    return recorded(backend, None, Journal(create=False), connection)


def _found(service: QiskitRuntimeService, wanted: Wanted) -> IBMBackend:
    def find() -> IBMBackend:
        if wanted.device == "least_busy":
            return service.least_busy(min_num_qubits=wanted.min_qubits)
        return service.backend(wanted.device)

    place = f"the service of {wanted.name}"
    try:
        return asked(find, service, place)
    except QiskitBackendNotFoundError:
        # it says so too if it could not be asked for its configuration
        known = asked(lambda: service.backends(min_num_qubits=wanted.min_qubits), service, place)
        names = [device.name for device in known]
        if wanted.device == "least_busy":
            size = f" of {wanted.min_qubits} qubits or more" if wanted.min_qubits else ""
            raise RunError(f"{wanted.name}: no device{size} of the account is available now.") from None
        if wanted.device not in names:
            raise unknown_name("device", f"ibm:{wanted.device}", [f"ibm:{name}" for name in names]) from None
        return known[names.index(wanted.device)]
