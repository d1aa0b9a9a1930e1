"""The errors that a device reports, as gate twirling leaves them: a random Pauli after each gate."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from qiskit.quantum_info import Chi, SuperOp, pauli_basis
from qiskit_aer.noise import NoiseModel, ReadoutError, pauli_error

from bondwise.backends import BackendLike, get_backend
from bondwise.backends.simulators.reduced_device import ReducedDevice
from bondwise.runs import UsageError


def twirled_noise(backend: BackendLike, qubits: Iterable[int], *, readout: bool = True) -> NoiseModel:
    """The noise of some qubits of a device, if its gates are twirled (arXiv:1512.01098).

    Each error is that of Aer's model of the device, of which twirling keeps the diagonal of the Pauli
    transfer matrix. `mitigate_by_tensor_network` inverts it, and `get_backend("aer", noise=…)` simulates it.

    Args:
        backend: A snapshot such as `"fake:torino"`, or a device that reports its errors.
        qubits: Qubits of the device; they keep their numbers.
        readout: Whether to include the errors of readout.

    Raises:
        UsageError: If the backend reports no errors, or does not have these qubits.

    Example:
        >>> from bondwise.mitigation import twirled_noise
        >>> twirled_noise("fake:manila", [0, 1], readout=False).noise_instructions
        ['cx', 'id', 'sx', 'x']
    """
    place = get_backend(backend)
    if place.target is None or place.num_qubits is None:
        raise UsageError(f"{place.name} reports no errors; pass a device, such as 'fake:torino'.")
    kept = tuple(sorted(set(qubits)))
    if not kept or not set(kept) <= set(range(place.num_qubits)):
        raise UsageError(f"qubits {kept} are not all among the {place.num_qubits} of {place.name}.")
    device = ReducedDevice(place.name.replace(":", "-"), place.target, kept)
    noise = NoiseModel(basis_gates=list(place.target.operation_names))
    for (gate, where), channel in device.channels().items():
        if gate == "reset":
            continue
        labels = pauli_basis(len(where)).to_labels()
        # rounding leaves some of them below 0
        odds = np.maximum(Chi(SuperOp(channel)).data.diagonal().real, 0)
        error = pauli_error(list(zip(labels, odds / odds.sum(), strict=True)))
        noise.add_quantum_error(error, gate, [kept[index] for index in where])
    if readout:
        for qubit, confusion in zip(kept, device.readout(), strict=True):
            noise.add_readout_error(ReadoutError(confusion.T), [qubit])
    return noise
