"""IBM's devices by name, through an account saved on this machine or in the environment."""

from __future__ import annotations

import os
import secrets
from typing import Any

from qiskit_ibm_runtime import IBMBackend, QiskitRuntimeService

from bondwise.backends.backend import Backend
from bondwise.backends.ibm.accounts import open_service, without_secrets
from bondwise.backends.ibm.connection import Connection
from bondwise.backends.ibm.deadlines import within
from bondwise.backends.ibm.options import Wanted, wanted
from bondwise.backends.ibm.primitives import ServiceEstimator, ServiceSampler
from bondwise.backends.jobs.journal import Journal
from bondwise.backends.jobs.recording import RecordedBackend, recorded
from bondwise.runs import RunError

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
            account; nothing is then sent over the network.
        RunError: If the service refuses the account, does not know the device, or does not answer.
    """
    asked = wanted(name)
    account = asked.options.get("account")
    key = (account, *(os.environ.get(f"QISKIT_IBM_{variable}") for variable in _VARIABLES))
    service = _SERVICES.get(key) or open_service(f"ibm:{asked.device}", account)
    _SERVICES[key] = service
    return on_device(_found(service, asked), asked)


def on_device(device: IBMBackend, asked: Wanted | None = None) -> RecordedBackend:
    """The backend of a device of IBM's service; its jobs are recorded, under a new run.

    Args:
        device: The device.
        asked: Name and options; None for the default ones.
    """
    asked = asked or wanted(f"ibm:{device.name}")
    connection = Connection(device.service, device, asked.options.get("mode", "batch"))
    options = "".join(f",{key}={value}" for key, value in asked.options.items())
    level = asked.resilience
    backend = Backend(
        f"ibm:{device.name}{options}",
        sampler=ServiceSampler(connection) if level is None else None,
        estimator=None if level is None else ServiceEstimator(connection, level),
        target=device.target,
        noisy=True,
    )
    return recorded(backend, secrets.token_hex(8), Journal(), connection)


def _found(service: QiskitRuntimeService, asked: Wanted) -> IBMBackend:
    def find() -> IBMBackend:
        if asked.device == "least_busy":
            return service.least_busy(min_num_qubits=asked.min_qubits)
        return service.backend(asked.device)

    try:
        return within(find, f"the service of {asked.name}")
    except RunError:
        raise
    except Exception as error:  # errors of the service, of requests and of urllib
        raise RunError(f"{asked.name} cannot be reached: {without_secrets(error)}") from None
