"""IBM's devices, through an account saved on this machine or in the environment; tokens are never shown."""

from __future__ import annotations

import os

from qiskit.providers import BackendV2
from qiskit_ibm_runtime import QiskitRuntimeService
from qiskit_ibm_runtime.executor_sampler import Sampler

from bondwise.backends.backend import Backend
from bondwise.runs import RunError, UsageError


def ibm_backend(device: str) -> Backend:
    """Look up the backend of an IBM device.

    Args:
        device: Name of a device, such as `"ibm_torino"`, or `"least_busy"`.

    Raises:
        UsageError: If there is no account, either saved by `QiskitRuntimeService.save_account` or in
            QISKIT_IBM_TOKEN (with QISKIT_IBM_INSTANCE, QISKIT_IBM_CHANNEL and QISKIT_IBM_URL if needed).
            In this case, nothing is sent over the network.
        RunError: If the service refuses the account or does not know the device.
    """
    token = os.environ.get("QISKIT_IBM_TOKEN")
    if not token and not QiskitRuntimeService.saved_accounts():
        raise UsageError(
            f"ibm:{device} needs an IBM Quantum account: set QISKIT_IBM_TOKEN, or save one with "
            "QiskitRuntimeService.save_account; 'fake:torino' needs no account."
        )
    try:
        if token:
            service = QiskitRuntimeService(
                channel=os.environ.get("QISKIT_IBM_CHANNEL") or "ibm_quantum_platform",
                token=token,
                url=os.environ.get("QISKIT_IBM_URL"),
                instance=os.environ.get("QISKIT_IBM_INSTANCE"),
            )
        else:
            service = QiskitRuntimeService()
        found = service.least_busy() if device == "least_busy" else service.backend(device)
    except Exception as error:  # errors of the service, of requests and of urllib
        reason = str(error).replace(token, "***") if token else str(error)
        raise RunError(f"ibm:{device} cannot be reached: {' '.join(reason.split())}") from None
    return on_device(found)


def on_device(device: BackendV2) -> Backend:
    """The backend of a device of IBM's service; observables are measured with its sampler."""
    return Backend(f"ibm:{device.name}", sampler=Sampler(mode=device), target=device.target, noisy=True)
