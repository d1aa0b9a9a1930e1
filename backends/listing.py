"""What backends there are, without building any of them."""

from __future__ import annotations

from dataclasses import dataclass

from bondwise.backends.simulators.fake import describe, fake_devices


@dataclass(frozen=True)
class BackendInfo:
    """A line about a backend.

    Attributes:
        name: What `get_backend` takes.
        num_qubits: None where there is no fixed number.
        two_qubit_error: Median reported error of the two-qubit gates; None where there is no noise.
        noisy: Whether circuits suffer noise.
    """

    name: str
    num_qubits: int | None
    two_qubit_error: float | None
    noisy: bool


def list_backends() -> list[BackendInfo]:
    """All simulators, and all device snapshots from the smallest to the largest."""
    simulators = [
        BackendInfo("statevector", None, None, False),
        BackendInfo("aer", None, None, False),
        BackendInfo("aer:matrix_product_state", None, None, False),
        # the average infidelity of (1-p) rho + p I/4 is 3p/4
        BackendInfo("aer:depolarizing=0.01", None, 0.0075, True),
    ]
    devices = [
        BackendInfo(f"fake:{name}", *describe(device), True) for name, device in fake_devices().items()
    ]
    return simulators + sorted(devices, key=lambda info: (info.num_qubits or 0, info.name))
