"""Exact outcomes of RY-RZ layers and CX chains under depolarizing noise (the circuits of arXiv:2403.07025).

The state is a real vector of Pauli expectation values, in which RY and RZ are rotations, CX is a permutation
with signs, and depolarizing noise is a factor. Folding every gate s times is the s-th power of these factors.
A gate is applied as soon as the gates before it allow it, in the order of the diagonals of the circuit, and a
qubit that is done is read at once: only 2L + 1 qubits of L layers have all four Paulis at a time.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

PAULIS = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
CX = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]])  # the first qubit controls


def conjugation(gate: np.ndarray) -> np.ndarray:
    """How a two-qubit gate transforms Pauli expectation values, (16, 16)."""
    pairs = np.einsum("aij,bkl->abikjl", PAULIS, PAULIS).reshape(16, 4, 4)
    return np.einsum("aij,jk,bkl,il->ab", pairs, gate, pairs, gate.conj()).real / 4


CHAIN = torch.from_numpy(conjugation(CX))


def angle_shape(n: int, layers: int) -> tuple[int, int, int]:
    """Shape of the angles of a circuit: layer, RY or RZ, qubit."""
    return layers + 1, 2, n


def z_expectations(angles: Tensor, two: Tensor, one: Tensor) -> Tensor:
    """Expectation values of all products of Z after the circuits, (B, 2^n); the lowest bit is qubit 0.

    Args:
        angles: Angles of B circuits, `(B, layers + 1, 2, n)`.
        two: What noise leaves of a Pauli after each CX, `(B,)`: (1 - p)^s for depolarizing p, folded s times.
        one: The same after each rotation.
    """
    batch, layers, n = len(angles), angles.shape[1] - 1, angles.shape[-1]
    turns = rotations(angles, one)  # (B, layers + 1, n, 4, 4)
    noise = torch.cat([torch.ones_like(two)[:, None], two[:, None].expand(-1, 15)], 1)
    chain = noise[..., None] * CHAIN  # (B, 16, 16)
    starts = turns[:, 0, :, :, [0, 3]].sum(-1)  # |0⟩ has ⟨I⟩ = ⟨Z⟩ = 1
    state, joined, done = starts[:, 0], 1, 0
    for diagonal in range(n - 1 + 2 * (layers - 1)):
        for layer in range(layers):
            qubit = diagonal - 2 * layer
            if not 0 <= qubit < n - 1:
                continue
            if layer == 0:
                state = (state[..., None] * starts[:, qubit + 1, None]).reshape(batch, -1)
                joined += 1
                gate = chain
            else:
                gate = turned(
                    chain, turns[:, layer, qubit + 1], turns[:, layer, qubit] if qubit == 0 else None
                )
            left = 2**done * 4 ** (qubit - done)
            state = applied(gate, state.reshape(batch, left, 16, -1)).reshape(batch, -1)
            if layer == layers - 1:
                state = read(state, turns[:, layers, qubit], done)
                done += 1
    state = read(state, turns[:, layers, n - 1], done)
    return state.reshape(batch, *[2] * n).permute(0, *range(n, 0, -1)).reshape(batch, -1)


def rotations(angles: Tensor, one: Tensor) -> Tensor:
    """RY, noise, RZ, noise on expectation values, (B, layers + 1, n, 4, 4)."""
    (cy, cz), (sy, sz) = (function(angles).unbind(2) for function in (torch.cos, torch.sin))
    none, whole = torch.zeros_like(cy), torch.ones_like(cy)
    rows = [[whole, none, none, none], [none, cz * cy, -sz, cz * sy], [none, sz * cy, cz, sz * sy]]
    rows.append([none, -sy, none, cy])
    noise = torch.stack([torch.ones_like(one), *[one**2] * 3], -1)
    return torch.stack([torch.stack(row, -1) for row in rows], -2) * noise[:, None, None, :, None]


def turned(chain: Tensor, second: Tensor, first: Tensor | None) -> Tensor:
    """CX after the rotation of its second qubit, and of its first one if no CX has turned that before."""
    gate = torch.einsum("bxij,bjk->bxik", chain.reshape(-1, 16, 4, 4), second)
    if first is not None:
        gate = torch.einsum("bxij,bik->bxkj", gate, first)
    return gate.reshape(-1, 16, 16)


def applied(gate: Tensor, state: Tensor) -> Tensor:
    """Multiply (B, 16, 16) into (B, left, 16, right), with the longer side as the columns."""
    if state.shape[1] > state.shape[3]:
        return torch.einsum("bij,bljr->blir", gate, state)
    return gate[:, None] @ state


def read(state: Tensor, turn: Tensor, done: int) -> Tensor:
    """Turn the first open qubit and keep its I and Z."""
    batch = len(state)
    return (turn[:, None, [0, 3]] @ state.reshape(batch, 2**done, 4, -1)).reshape(batch, -1)


def walsh(values: np.ndarray) -> np.ndarray:
    """Walsh-Hadamard transform of the last axis: probabilities to Z expectations, or back times 2^n."""
    shape, width = values.shape, 1
    while width < shape[-1]:
        pairs = values.reshape(-1, shape[-1] // (2 * width), 2, width)
        values = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2)
        width *= 2
    return values.reshape(shape)


def outcomes(angles: np.ndarray, strength: float, scale: float, chunk: int = 16) -> np.ndarray:
    """Probabilities of all outcomes of circuits, (C, 2^n), with qubit 0 as the lowest bit.

    Args:
        angles: `(C, layers + 1, 2, n)`.
        strength: Depolarizing p after each CX; p / 10 after each rotation.
        scale: How often each gate's noise acts.
        chunk: Circuits at a time.
    """
    two, one = (1 - strength) ** scale, (1 - strength / 10) ** scale
    found = []
    with torch.no_grad():
        for part in torch.from_numpy(angles).split(chunk):
            kept = torch.ones(len(part), dtype=torch.float64)
            found.append(z_expectations(part, two * kept, one * kept).numpy())
    probabilities = np.clip(walsh(np.concatenate(found)) / 2 ** angles.shape[-1], 0, None)
    return probabilities / probabilities.sum(-1, keepdims=True)
