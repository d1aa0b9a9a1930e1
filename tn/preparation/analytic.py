"""Circuits by the analytic decomposition of Ran (Phys. Rev. A 101, 032310, arXiv:1908.07958).

The state is truncated to bond dimension 2. Its tensors, made isometries that point away from a root and
completed to unitaries, are exactly one layer of gates. The inverse of this layer is applied to the state, and
the next layer is read from what is left. Nothing is optimized, so the infidelity soon stops decreasing: this
is a starting point of, and a benchmark for, `bondwise.tn.decompose`. Ran's root is the left end; any other
bond works too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bondwise.circuits import two_qubit_depth
from bondwise.runs import UsageError, whole_number
from bondwise.tn.preparation.assembly import Decomposition, assemble, count_cx, product_circuit
from bondwise.tn.preparation.layouts import layer_pairs, layer_root
from bondwise.tn.states.chains import Chain, Tensors, compress, merge, move_center, site_tensors, split

# what remains of the state after some layers is truncated to this bond, or to that of the state if larger
_RESIDUAL_BOND = 64


def decompose_analytically(state: Any, layers: int, *, layout: str = "staircase") -> Decomposition:
    """Find a circuit that prepares a state without any optimization.

    Args:
        state: A matrix product state, as for `bondwise.tn.decompose`, with at least two sites.
        layers: Number of layers of n - 1 gates, at least 1.
        layout: "staircase" or "bidirectional".

    Returns:
        The circuit, its angles and the exact infidelity. Real states get gates of 2 CX: the columns that
        Ran's method leaves free are chosen such that the determinant is +1.

    Raises:
        UsageError: If the state or the layout is not accepted, or `layers` is below 1.

    Example:
        >>> import numpy as np
        >>> from bondwise.tn import decompose_analytically
        >>> ghz = np.zeros(8)
        >>> ghz[[0, 7]] = np.sqrt(0.5)
        >>> found = decompose_analytically(ghz, layers=1)
        >>> found.cx_count, found.infidelity < 1e-12
        (3, True)
    """
    whole_number("layers", layers)
    tensors = site_tensors(state)
    target, sites = Chain(tensors), len(tensors)
    if sites < 2:
        raise UsageError("the state has one site; a layer of gates needs at least 2.")
    root = layer_root(layout, sites)
    if root is None:
        raise UsageError(f'layout "{layout}" has no analytic layers; give "staircase" or "bidirectional".')
    layer = layer_pairs(layout, sites)
    circuit, angles, infidelity = product_circuit(target)
    history: list[dict[str, Any]] = [
        {"layers": 0, "cx_count": 0, "infidelity": infidelity, "start": "product"}
    ]
    gates = np.zeros((0, 4, 4), tensors[0].dtype)
    for count in range(1, layers + 1):
        left = remove_gates(tensors, layer * (count - 1), gates)
        gates = np.concatenate([analytic_layer(left, root), gates])
        circuit, angles, infidelity = assemble(target, layer * count, gates)
        cx = count_cx(layer * count, bool(np.isrealobj(gates)))
        history.append({"layers": count, "cx_count": cx, "infidelity": infidelity, "start": "analytic"})
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


def analytic_layer(tensors: Sequence[NDArray[Any]], root: int = 0) -> NDArray[Any]:
    """The layer of gates that prepares the state truncated to bond 2.

    Args:
        tensors: Arrays of shape (left, 2, right).
        root: Bond between sites root and root + 1 at which the layer begins.

    Returns:
        Gates (n - 1, 4, 4) in the order of `bondwise.tn.preparation.layouts.layer_pairs`, with determinant +1
        if real.
    """
    sites = compress(tensors, 2)
    last = len(sites) - 1
    move_center(sites, 0, root)  # isometries point away from the root on its left too
    if 0 < root:  # split the weight off site root
        left, _, right = sites[root].shape
        q, middle = np.linalg.qr(sites[root].reshape(2 * left, right))
        sites[root] = q.reshape(left, 2, -1)
    else:
        middle = sites[0][0]
    if root + 1 == last:  # a branch of one site belongs to the first gate
        middle = middle @ sites[last][:, :, 0]
    gates = [_complete(middle.reshape(1, *middle.shape))]
    rightwards = sites[root + 1 : last - 1] if root + 1 < last else []
    if root + 1 < last:  # the last two sites belong to one gate
        rightwards = [*rightwards, np.tensordot(sites[last - 1], sites[last], 1)[..., 0]]
    gates += [_complete(site) for site in rightwards]
    if root > 0:
        leftwards = [site.transpose(2, 1, 0) for site in sites[root:1:-1]]
        leftwards.append(np.tensordot(sites[0], sites[1], 1)[0].transpose(2, 1, 0))
        # mirrored: the bond enters on the second qubit
        gates += [_complete(site)[[0, 2, 1, 3]][:, [0, 2, 1, 3]] for site in leftwards]
    return np.array(gates)


def remove_gates(
    tensors: Sequence[NDArray[Any]], pairs: Sequence[tuple[int, int]], gates: NDArray[Any]
) -> Tensors:
    """Apply the inverses of gates on neighboring pairs, the last one first, with truncated bonds."""
    result = list(tensors)
    most = max(_RESIDUAL_BOND, *(tensor.shape[0] for tensor in result))
    center = 0
    for (i, _), gate in zip(reversed(pairs), gates[::-1], strict=True):
        joint = merge(result, i, center)
        joint = joint.reshape(joint.shape[0], 4, -1)
        u, s, v, _ = split(np.tensordot(joint, gate.conj(), (1, 0)).transpose(0, 2, 1), 1e-10, most)
        result[i], result[i + 1], center = u * s, v, i
    result[center] = result[center] / np.linalg.norm(result[center])
    return result


def _complete(site: NDArray[Any]) -> NDArray[Any]:
    """The gate that takes |bond, 0⟩ to |bit, next bond⟩ and is as close to 1 as possible on |bond, 1⟩."""
    bond = site.shape[0]
    columns = np.zeros((4, bond), site.dtype)
    columns.reshape(2, 2, bond)[: site.shape[1], : site.shape[2]] = site.transpose(1, 2, 0)
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
