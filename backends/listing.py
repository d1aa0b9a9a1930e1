"""A list of all backends, without building any of them."""

from __future__ import annotations

from dataclasses import dataclass

from bondwise.backends.simulators.fake import describe, fake_devices


@dataclass(frozen=True)
class BackendInfo:
    """A backend as listed by `list_backends`.

    Attributes:
        name: Name that `get_backend` takes.
        num_qubits: Number of qubits; None if it is not fixed.
        two_qubit_error: Median reported error of the two-qubit gates; None if there is no noise.
        noisy: Whether circuits suffer noise.

    Example:
        >>> from bondwise.backends import list_backends
        >>> [info for info in list_backends() if info.name == "aer:depolarizing=0.01"]
        [BackendInfo(name='aer:depolarizing=0.01', num_qubits=None, two_qubit_error=0.0075, noisy=True)]
    """

    name: str
    num_qubits: int | None
    two_qubit_error: float | None
    noisy: bool


def list_backends() -> list[BackendInfo]:
    """List all simulators, then all device snapshots from the smallest to the largest.

    Example:
        >>> from bondwise.backends import list_backends
        >>> [info.name for info in list_backends()][:5]
        ['statevector', 'mps', 'aer', 'aer:matrix_product_state', 'aer:depolarizing=0.01']
    """
    simulators = [
        BackendInfo("statevector", None, None, False),
        BackendInfo("mps", None, None, False),
        BackendInfo("aer", None, None, False),
        BackendInfo("aer:matrix_product_state", None, None, False),
        # the average infidelity of (1-p) ρ + p I/4 is 3p/4
        BackendInfo("aer:depolarizing=0.01", None, 0.0075, True),
    ]
    devices = [
        BackendInfo(f"fake:{name}", *describe(device), True) for name, device in fake_devices().items()
    ]
    return simulators + sorted(devices, key=lambda info: (info.num_qubits or 0, info.name))
