"""Probabilities of bit strings that torch can differentiate, exact or as frequencies among shots."""

from __future__ import annotations

import numpy as np
import torch
from qiskit import ClassicalRegister, QuantumCircuit

from bondwise.backends.backend import Backend
from bondwise.backends.gradients.differentiation import shiftable
from bondwise.backends.gradients.parameter_shift import shifted_values
from bondwise.circuits import without_measurements
from bondwise.circuits.splitting import split
from bondwise.runs import UsageError, require_memory
from bondwise.runs.text import counted

_REGISTER = "outcome"


def probabilities(
    circuit: QuantumCircuit, bits: np.ndarray, parameters: torch.Tensor, backend: Backend
) -> torch.Tensor:
    """Exact probabilities of bit strings, with first derivatives.

    Args:
        circuit: Circuit on n qubits; final measurements are left out.
        bits: 0 and 1, (M, n); column i is qubit i.
        parameters: float64 (P,), radians, in the order of `circuit.parameters`.
        backend: One that has `amplitudes`.

    Returns:
        float64 (M,).

    Raises:
        UsageError: If the backend has no amplitudes or cannot hold the state, or the circuit contains
            something that is not a gate.
    """
    if backend.amplitudes is None:
        raise UsageError(
            f"{backend.name} has no exact probabilities; write backend='statevector', or 'mps' for shallow "
            "circuits on many qubits."
        )
    parts = split(without_measurements(circuit))
    [amplitudes] = backend.amplitudes(parts, parts.angles(parameters[None]), bits)
    return torch.view_as_real(amplitudes).square().sum(-1)


class Frequencies:
    """Frequencies of all bit strings among shots, with parameter-shift gradients; each call is one PUB.

    The gradient is unbiased: frequencies and those of shifted circuits are from shots of their own.

    Args:
        circuit: Circuit on n qubits; final measurements are left out.
        backend: Where it runs.
        shots: Number of shots per circuit.

    Raises:
        UsageError: If the gradient of 2^n frequencies does not fit into memory, a gate has no shift rule, or
            the backend cannot run the circuit.
    """

    def __init__(self, circuit: QuantumCircuit, backend: Backend, shots: int) -> None:
        self._parts = shiftable(circuit, backend)
        self._backend, self._shots = backend, shots
        gates, count = self._parts.circuit, self._parts.angles.count
        require_memory(
            f"the frequencies of {gates.num_qubits} bits by {counted(count, 'angle')}",
            8 * 5 * (count + 1) << gates.num_qubits,
            "use fewer qubits",
        )
        register = ClassicalRegister(gates.num_qubits, _REGISTER)
        measured = QuantumCircuit(gates.qubits, register)
        measured.compose(gates, gates.qubits, inplace=True)
        measured.measure(gates.qubits, register)
        self._circuit = backend.transpile(measured)

    def __call__(self, parameters: torch.Tensor, seed: int) -> torch.Tensor:
        """Frequencies at parameters (P,), float64 (2^n,); bit i of the index is qubit i."""

        def evaluate(sets: np.ndarray) -> np.ndarray:
            columns = [parameter.index for parameter in self._circuit.parameters]
            [part] = self._backend.sample([(self._circuit, sets[:, columns])], shots=self._shots, seed=seed)
            bits = part.data[_REGISTER].to_bool_array(order="little").reshape(len(sets), self._shots, -1)
            size = 1 << bits.shape[-1]
            outcomes = bits @ (1 << np.arange(bits.shape[-1])) + size * np.arange(len(sets))[:, None]
            counts = np.bincount(outcomes.ravel(), minlength=size * len(sets))
            return counts.reshape(len(sets), size) / self._shots

        angles = self._parts.angles(parameters[None])
        return shifted_values(self._parts, angles, evaluate)[0]
