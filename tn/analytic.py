"""Staircase circuits by the analytic decomposition of Ran (Phys. Rev. A 101, 032310, arXiv:1908.07958).

The state is truncated to bond dimension 2, whose right-canonical tensors, completed to unitaries, are exactly
one staircase of gates (0, 1), (1, 2), ...; the inverse of this layer is applied to the state and the next
layer is read from what is left. Nothing is optimised, so the infidelity soon stops falling: it is the start,
and the yardstick, of `bondwise.tn.decompose`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bondwise.runs import UsageError
from bondwise.tn.staircase import (
    Decomposition,
    product_circuit,
    staircase_block,
    staircase_circuit,
    two_qubit_depth,
)
from bondwise.tn.states import Tensors, compress, site_tensors

# what some layers leave of the state is truncated to this bond, or to the state's own
_RESIDUAL_BOND = 64


def decompose_analytically(state: Any, layers: int) -> Decomposition:
    """Find a staircase circuit without any optimisation.

    Args:
        state: As for `bondwise.tn.decompose`; at least two sites.
        layers: Number of layers of n - 1 gates, at least 1.

    Returns:
        The circuit, its angles and the exact infidelity. Real states get gates of 2 CX: the columns that
        Ran's method leaves free are chosen such that the determinant is +1.

    Raises:
        UsageError: The state is not accepted, or `layers` is below 1.
    """
    if isinstance(layers, bool) or not isinstance(layers, int | np.integer) or layers < 1:
        raise UsageError(f"layers is {layers}; give a whole number of at least 1.")
    tensors = site_tensors(state)
    if len(tensors) < 2:
        raise UsageError("the state has one site; a staircase needs at least 2.")
    block = staircase_block(tensors)
    circuit, angles, infidelity = product_circuit(tensors)
    history: list[dict[str, Any]] = [
        {"layers": 0, "cx_count": 0, "infidelity": infidelity, "start": "product"}
    ]
    gates = np.zeros((0, 4, 4), tensors[0].dtype)
    for layer in range(1, layers + 1):
        gates = np.concatenate([analytic_layer(remove_layers(tensors, gates)), gates])
        circuit, angles, infidelity = staircase_circuit(tensors, gates)
        count = block.cx_count * len(gates)
        history.append({"layers": layer, "cx_count": count, "infidelity": infidelity, "start": "analytic"})
    return Decomposition(
        value=infidelity,
        circuit=circuit,
        parameters=angles,
        cx_count=history[-1]["cx_count"],
        depth=two_qubit_depth(circuit),
        history=tuple(history),
        converged=True,
        message=f"infidelity {infidelity:.3g} with {layers} analytic layers",
    )


def analytic_layer(tensors: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Gates (n - 1, 4, 4) of the staircase that makes the state truncated to bond 2; det +1 if real."""
    sites = compress(tensors, 2)
    # the last two sites belong to one gate
    last = np.tensordot(sites[-2], sites[-1], 1)
    return np.array([_complete(site) for site in [*sites[:-2], last]])


def remove_layers(tensors: Sequence[NDArray[Any]], gates: NDArray[Any]) -> Tensors:
    """Apply the inverse of staircase gates (M, 4, 4), the last one first; bonds are truncated."""
    result = list(tensors)
    sites = len(result)
    most = max(_RESIDUAL_BOND, *(tensor.shape[0] for tensor in result))
    for layer in gates.reshape(-1, sites - 1, 4, 4)[::-1]:
        for i in range(sites - 2):  # the weight to the right end, where the last gate is
            left, _, right = result[i].shape
            q, r = np.linalg.qr(result[i].reshape(2 * left, right))
            result[i] = q.reshape(left, 2, -1)
            result[i + 1] = np.tensordot(r, result[i + 1], 1)
        for i in range(sites - 2, -1, -1):
            joint = np.tensordot(result[i], result[i + 1], 1)
            left, _, _, right = joint.shape
            joint = np.tensordot(joint.reshape(left, 4, right), layer[i].conj(), (1, 0)).transpose(0, 2, 1)
            u, s, v = np.linalg.svd(joint.reshape(2 * left, 2 * right), full_matrices=False)
            keep = min(most, max(1, int((s > 1e-10 * s[0]).sum())))
            result[i] = (u[:, :keep] * s[:keep]).reshape(left, 2, keep)
            result[i + 1] = v[:keep].reshape(keep, 2, right)
        result[0] = result[0] / np.linalg.norm(result[0])
    return result


def _complete(site: NDArray[Any]) -> NDArray[Any]:
    """The gate that takes |bond, 0> to |bit, next bond>; on |bond, 1> it is as near to 1 as it can be."""
    bond = site.shape[0]
    columns = np.zeros((4, bond), site.dtype)
    columns.reshape(2, 2, bond)[:, : site.size // (2 * bond)] = site.reshape(bond, 2, -1).transpose(1, 2, 0)
    taken = [2 * b for b in range(bond)]
    free = [b for b in range(4) if b not in taken]
    gate = np.zeros((4, 4), site.dtype)
    gate[:, taken] = columns
    complement = np.linalg.svd(columns)[0][:, bond:]
    u, _, v = np.linalg.svd(complement.conj().T[:, free])
    gate[:, free] = complement @ u @ v
    if gate.dtype == np.float64 and np.linalg.det(gate) < 0:  # a free column may have either sign
        gate[:, free[-1]] *= -1
    return gate
