"""Statevectors of a circuit, differentiable with respect to its gate angles.

The adjoint method (see `blocks`) gives the gradient of any real function of the final state by one sweep back
through the circuit. Only that state is stored, and the number of observables does not matter. Backpropagation
runs on PennyLane's `default.qubit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse
import torch
from qiskit.quantum_info import SparsePauliOp

from bondwise.backends.gradients.blocks import Blocks, blocks
from bondwise.backends.gradients.sparse_observables import expectation_values, product, sparse_matrices
from bondwise.circuits.splitting import SplitCircuit
from bondwise.runs import UsageError, require_memory
from bondwise.runs.text import counted


def final_states(parts: SplitCircuit, angles: torch.Tensor, method: str) -> torch.Tensor:
    """Final states for sets of angles.

    Args:
        parts: The circuit.
        angles: float64 (B, G), radians.
        method: "adjoint" (first derivatives) or "backprop" (any number of them).

    Returns:
        complex128 (B, 2^n), qubit 0 the lowest bit of the index, without the phase `parts.phases`.

    Raises:
        UsageError: If the circuit contains something that is not a gate, or is differentiated twice by the
            adjoint method.
    """
    if method == "adjoint":
        return _AdjointStates.apply(angles, blocks(parts))
    from bondwise.backends.gradients.backpropagation import backprop_states  # loads PennyLane: seconds

    return backprop_states(parts, angles)


def adjoint_values(
    parts: SplitCircuit, angles: torch.Tensor, matrices: Sequence[scipy.sparse.csr_matrix]
) -> torch.Tensor:
    """Expectation values in the final states, with first derivatives by the adjoint method.

    Args:
        parts: The circuit.
        angles: float64 (B, G), radians.
        matrices: K Hermitian matrices (2^n, 2^n).

    Returns:
        float64 (B, K).

    Raises:
        UsageError: As for `final_states`.
    """
    return _AdjointValues.apply(angles, blocks(parts), matrices)


def state_values(
    parts: SplitCircuit, angles: torch.Tensor, operators: Sequence[SparsePauliOp], method: str
) -> torch.Tensor:
    """Expectation values of K Pauli sums in the final states for angles (B, G), float64 (B, K).

    Raises:
        UsageError: As for `final_states`, or if the matrices of the sums do not fit into memory.
    """
    matrices = sparse_matrices(operators)
    if method == "adjoint":
        return adjoint_values(parts, angles, matrices)
    return expectation_values(final_states(parts, angles, method), matrices)


def state_amplitudes(parts: SplitCircuit, angles: torch.Tensor, bits: np.ndarray) -> torch.Tensor:
    """Amplitudes of bit strings in the final states, with first derivatives by the adjoint method.

    Args:
        parts: The circuit.
        angles: float64 (B, G), radians.
        bits: 0 and 1, (M, n); column i is qubit i.

    Returns:
        complex128 (B, M), without the phase `parts.phases`.

    Raises:
        UsageError: As for `final_states`, or if the states do not fit into memory.
    """
    count, num_qubits = len(angles), parts.circuit.num_qubits
    require_memory(
        f"{counted(count, 'state')} of {num_qubits} qubits",
        16 * count << num_qubits,
        "use fewer qubits, or backend='mps'",
    )
    index = torch.from_numpy(bits.astype(np.int64) @ (1 << np.arange(num_qubits)))
    return final_states(parts, angles, "adjoint")[:, index]


class _AdjointStates(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, angles: torch.Tensor, circuit: Blocks) -> torch.Tensor:
        ctx.circuit = circuit
        states = torch.from_numpy(_states(circuit, angles))
        ctx.save_for_backward(angles, states)
        return states

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        _require_first()
        angles, states = ctx.saved_tensors
        return _pullback(ctx.circuit, angles, states, gradients[0].resolve_conj().numpy()), None


class _AdjointValues(torch.autograd.Function):
    """One function instead of two: what torch does around each takes longer than a small circuit itself."""

    @staticmethod
    def forward(
        ctx: Any, angles: torch.Tensor, circuit: Blocks, matrices: Sequence[scipy.sparse.csr_matrix]
    ) -> torch.Tensor:
        ctx.circuit = circuit
        states = _states(circuit, angles)
        products = [product(states, matrix) for matrix in matrices]
        ctx.save_for_backward(angles, *map(torch.from_numpy, (states, *products)))
        values = np.stack([np.vecdot(states, one).real for one in products], axis=-1)
        return torch.from_numpy(values)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        _require_first()
        angles, states, *products = ctx.saved_tensors
        weights = 2 * gradients[0].numpy()
        cotangents = weights[:, :1] * products[0].numpy()
        for index, one in enumerate(products[1:], 1):
            cotangents += weights[:, index, None] * one.numpy()
        return _pullback(ctx.circuit, angles, states, cotangents), None, None


def _states(circuit: Blocks, angles: torch.Tensor) -> np.ndarray:
    rows = [circuit.state(row) for row in angles.detach().numpy()]
    return rows[0][None] if len(rows) == 1 else np.stack(rows)


def _pullback(
    circuit: Blocks, angles: torch.Tensor, states: torch.Tensor, cotangents: np.ndarray
) -> torch.Tensor:
    rows = zip(angles.detach().numpy(), states.numpy(), cotangents, strict=True)
    return torch.from_numpy(np.stack([circuit.pullback(*row) for row in rows]))


def _require_first() -> None:
    if torch.is_grad_enabled():
        raise UsageError(
            "the adjoint method only gives first derivatives; write gradient='backprop' for higher ones."
        )
