"""Matrix product state to a shallow circuit of two-qubit blocks, layer by layer.

Every new staircase layer enters in several ways that compete: next to |0...0>, read analytically from what
the earlier layers leave of the state (Ran, arXiv:1908.07958); the same with all gates turned a little at
random, which leads away from saddle points; and next to the state as the identity. All gates are then
optimised together (the scheme Iter[D, O_all] of Rudolph et al., arXiv:2209.00595), by environment sweeps and
by L-BFGS, on the exact overlap. The identity start makes sure that no layer raises the infidelity.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bondwise.runs import UsageError, progress_bar
from bondwise.tn.analytic import analytic_layer, remove_layers
from bondwise.tn.polish import coordinates, polish, turn
from bondwise.tn.staircase import (
    Decomposition,
    product_circuit,
    staircase_block,
    staircase_circuit,
    staircase_pairs,
    two_qubit_depth,
)
from bondwise.tn.states import Tensors, site_tensors
from bondwise.tn.window import Window

_MOST_LAYERS = 8  # where no number is given; the cost doubles with every layer
_TARGET = 1e-3  # where nothing at all is given
_EXACT = 1e-13
_SWEEPS = 10  # environment sweeps of every start
_ROUNDS = ((50, 3), (100, 2), (2000, 1))  # L-BFGS iterations, and how many of the starts then stay
_TURNED, _TURN = 4, 0.03  # number of turned starts, standard deviation of their angles in radians


def decompose(
    state: Any,
    *,
    layers: int | None = None,
    max_cx: int | None = None,
    infidelity: float | None = None,
    real: bool | Literal["auto"] = "auto",
    seed: int | None = None,
    progress: bool = False,
) -> Decomposition:
    """Find a staircase circuit that prepares a matrix product state.

    Real states get gates of exactly 2 CX and 6 angles, complex ones of 3 CX and 15 angles. Layers are added
    until the first of the given limits is reached. With none given the target is an infidelity of 1e-3. Where
    neither `layers` nor `max_cx` is given, at most 8 layers are used.

    Args:
        state: A quimb MatrixProductState with open ends, a list of (left, 2, right) arrays, or a vector of
            length 2**n (little-endian), normalised; site i becomes qubit i.
        layers: Number of layers of n - 1 gates; 0 gives a product state, without CX.
        max_cx: Most CX gates; whole layers are used.
        infidelity: Stop as soon as 1 - |<state|circuit>|^2 is at most this.
        real: Whether to use real gates; "auto" does so for real states, a global phase aside. False gives
            every state the gates of complex ones.
        seed: Seed of the random turns of some of the starts; the same seed gives the same circuit.
        progress: Show a progress bar.

    Returns:
        The circuit, its angles and the exact infidelity; `converged` is False if `infidelity` was not
        reached.

    Raises:
        UsageError: The state is not one of the above, or a limit is out of range.
    """
    _require_limits(layers, max_cx, infidelity)
    tensors = site_tensors(state)
    if real is True and np.iscomplexobj(tensors[0]):
        raise UsageError('the state is complex; give real=False or "auto".')
    if real is False:
        tensors = [tensor.astype(np.complex128) for tensor in tensors]
    sites, block = len(tensors), staircase_block(tensors)
    layer_cx = block.cx_count * (sites - 1)
    limits = [] if layers is None else [layers]
    if max_cx is not None and sites > 1:
        limits.append(max_cx // layer_cx)
    most = 0 if sites == 1 else min(limits, default=_MOST_LAYERS)
    target = infidelity
    if layers is None and max_cx is None and infidelity is None:
        target = _TARGET
    enough = target if target is not None else (_EXACT if layers is None else -1.0)

    circuit, angles, reached = product_circuit(tensors)
    history: list[dict[str, Any]] = [{"layers": 0, "cx_count": 0, "infidelity": reached, "start": "product"}]
    gates = np.zeros((0, 4, 4), tensors[0].dtype)
    rng = np.random.default_rng(seed)
    with progress_bar(most, "decompose", progress) as bar:
        while len(history) <= most and reached > enough:
            gates, start = _add_layer(tensors, gates, rng)
            circuit, angles, reached = staircase_circuit(tensors, gates)
            count = len(history)
            history.append(
                {"layers": count, "cx_count": count * layer_cx, "infidelity": reached, "start": start}
            )
            bar.set_postfix_str(f"infidelity {reached:.2e}")
            bar.update()

    converged = target is None or reached <= target
    message = f"infidelity {reached:.3g} with {len(history) - 1} layers"
    if not converged:
        message += f"; the target of {target:.3g} needs more: raise " + (
            "layers or max_cx" if limits else f"layers above {_MOST_LAYERS}"
        )
    return Decomposition(
        value=reached,
        seed=seed,
        circuit=circuit,
        parameters=angles,
        cx_count=history[-1]["cx_count"],
        depth=two_qubit_depth(circuit),
        history=tuple(history),
        converged=converged,
        message=message,
    )


def _add_layer(tensors: Tensors, gates: NDArray[Any], rng: np.random.Generator) -> tuple[NDArray[Any], str]:
    """One layer more than `gates`, all gates optimised; also the name of the start that won."""
    sites = len(tensors)
    inner = np.concatenate([analytic_layer(remove_layers(tensors, gates)), gates])
    outer = np.concatenate([gates, np.broadcast_to(np.eye(4), (sites - 1, 4, 4))])
    starts = {"analytic": inner, "identity": outer}
    for k in range(_TURNED):
        starts[f"turned {k + 1}"] = turn(inner, rng.normal(scale=_TURN, size=coordinates(inner)))
    window = Window(tensors, staircase_pairs(sites, len(inner) // (sites - 1)))
    starts = {name: window.sweep(start, _SWEEPS) for name, start in starts.items()}
    for iterations, stay in _ROUNDS:
        reached = {}
        for name, start in starts.items():
            starts[name], reached[name] = polish(window, start, iterations)
        starts = {name: starts[name] for name in sorted(reached, key=reached.__getitem__)[:stay]}
    (name, found), *_ = starts.items()
    return found, name


def _require_limits(layers: int | None, max_cx: int | None, infidelity: float | None) -> None:
    for name, limit in (("layers", layers), ("max_cx", max_cx)):
        if limit is not None and (
            isinstance(limit, bool) or not isinstance(limit, int | np.integer) or limit < 0
        ):
            raise UsageError(f"{name} is {limit}; give a whole number of at least 0.")
    if infidelity is not None and not 0 < infidelity < 1:
        raise UsageError(f"infidelity is {infidelity}; give a number between 0 and 1, such as 1e-3.")
