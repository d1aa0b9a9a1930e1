"""Statevectors of a circuit, differentiable with respect to its gate angles.

The adjoint method (see `blocks`) gives the gradient of any real function of the final state by one sweep back
through the circuit. Only that state is stored, and the number of observables does not matter. Backpropagation
runs on PennyLane's `default.qubit`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from bondwise.backends.gradients.blocks import Blocks, blocks
from bondwise.circuits.splitting import SplitCircuit
from bondwise.runs import UsageError


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


class _AdjointStates(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, angles: torch.Tensor, circuit: Blocks) -> torch.Tensor:
        ctx.circuit = circuit
        states = torch.from_numpy(np.stack([circuit.state(row) for row in angles.detach().numpy()]))
        ctx.save_for_backward(angles, states)
        return states

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        if torch.is_grad_enabled():
            raise UsageError(
                "the adjoint method only gives first derivatives; write gradient='backprop' for higher ones."
            )
        angles, states = ctx.saved_tensors
        cotangents = gradients[0].resolve_conj().numpy()
        rows = zip(angles.numpy(), states.numpy(), cotangents, strict=True)
        return torch.from_numpy(np.stack([ctx.circuit.pullback(*row) for row in rows])), None
