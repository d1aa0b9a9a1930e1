"""Outcome distributions of state vectors, measured in the basis of any Pauli letters."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bondwise.backends.sampled import BASIS_CHANGES


def state_distributions(states: np.ndarray, letters: Mapping[int, str]) -> np.ndarray:
    """Probabilities (N, 2^m) of the outcomes of m measured qubits, the lowest of them the lowest bit.

    Args:
        states: complex (N, 2^n), qubit 0 the lowest bit of the index.
        letters: Pauli letter by measured qubit; the other qubits are traced out.
    """
    number, size = states.shape
    num_qubits = size.bit_length() - 1
    for qubit, letter in letters.items():
        if letter != "Z":
            pairs = states.reshape(number, -1, 2, 2**qubit)
            (a, b), (c, d) = BASIS_CHANGES[letter]
            zero, one = pairs[:, :, 0], pairs[:, :, 1]
            states = np.stack([a * zero + b * one, c * zero + d * one], axis=2)
    probabilities = (states.real**2 + states.imag**2).astype(float).reshape(number, *(2,) * num_qubits)
    idle = tuple(num_qubits - qubit for qubit in range(num_qubits) if qubit not in letters)
    probabilities = probabilities.sum(axis=idle).reshape(number, -1)
    return probabilities / probabilities.sum(axis=1, keepdims=True)
