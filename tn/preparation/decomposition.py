"""From a state to a shallow circuit of two-qubit blocks, layer by layer, with the exact infidelity.

Every new layer is tried in several competing ways: next to |0…0⟩ as the identity, which leaves the state of
the earlier layers unchanged, with the nearest product state as first layer ("product"); next to |0…0⟩, read
analytically from what the earlier layers leave of the state (Ran, arXiv:1908.07958; "analytic"); next to the
state as the identity ("identity"); and the first two turned a little at random, which leads away from saddle
points. All gates are then optimized together (the scheme Iter[D, O_all] of Rudolph et al., arXiv:2209.00595),
by environment sweeps and by L-BFGS, on the exact overlap. Two of the starts have the infidelity of the
previous circuit, so no layer raises it.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bondwise.circuits import two_qubit_depth
from bondwise.runs import UsageError, progress_bar, random_generator, real_number, whole_number
from bondwise.tn.overlap.exact import ExactOverlap
from bondwise.tn.preparation.analytic import analytic_layer, remove_gates
from bondwise.tn.preparation.assembly import (
    Decomposition,
    assemble,
    count_cx,
    product_circuit,
)
from bondwise.tn.preparation.joint_optimization import coordinates, polish, turn
from bondwise.tn.preparation.layouts import Layout, Pairs, layer_pairs, layer_root
from bondwise.tn.states.chains import Chain, Order
from bondwise.tn.states.sources import read_state
from bondwise.tn.states.trees import Tree

_MOST_LAYERS = 8  # if no number is given; the cost doubles with every layer
_TARGET = 1e-3  # if no limit is given
_EXACT = 1e-13
_SWEEPS = 10  # environment sweeps of every start
_ROUNDS = (50, 150, 2000)  # L-BFGS iterations; a third of the starts enter the second round, one the last
_TURN = 0.1  # standard deviation of the angles of turned starts, radians
_WORTH = 0.95  # a layer that leaves more than this fraction of the infidelity is not worth its CX


def decompose(
    state: Any,
    *,
    layers: int | None = None,
    max_cx: int | None = None,
    infidelity: float | None = None,
    layout: Layout | None = None,
    real: bool | Literal["auto"] = "auto",
    restarts: int = 4,
    max_bond: int = 32,
    order: Order = "little",
    seed: int | None = None,
    progress: bool = False,
) -> Decomposition:
    """Find a circuit that prepares a state.

    Real states get gates of 2 CX and 6 angles, complex ones of 3 CX and 15 angles; gates on qubits that are
    still in |0⟩ need fewer. Layers are added until the first of the given limits is reached. Without
    `layers`, the search also ends after two layers in a row that each leave 95 % of the infidelity or more;
    these two are dropped. Without any limit the target is an infidelity of 1e-3. Without `layers` and
    `max_cx` at most 8 layers are used.

    Args:
        state: A quimb MatrixProductState with open ends or its `.arrays`, a list of (left, 2, right) arrays,
            a vector of length 2**n (see `order`), or a quimb tree tensor network with outer indices k0, k1,
            ...; each normalized to 1e-4. Site i becomes qubit i. Or the source of a state: bitstrings, as an
            array (samples, n) of 0 and 1, a list such as ["0110", ...] (column i is qubit i), or counts such
            as {"0110": 12} (the rightmost bit is qubit 0), trained by `train_born`; an observable (solved by
            `ground_state`); or a QuantumCircuit that should become shallower, or the path of its file. The
            results of these functions are accepted too.
        layers: Number of layers of n - 1 gates; 0 gives a product state, without CX.
        max_cx: Maximum number of CX gates; only whole layers are used.
        infidelity: Target for 1 - |⟨state|circuit⟩|², at which the search stops.
        layout: "staircase" (from one end to the other), "bidirectional" (from the middle outwards, half the
            depth), "brickwall" (smallest depth, more CX for the same infidelity) or "tree" (gates along the
            branches of a tree state or of a balanced tree: log2(n) steps, but between distant qubits). None
            chooses "tree" for tree states and "staircase" for others.
        real: Whether to use real gates. "auto" does so for states that are real up to a global phase (for a
            tree, if every tensor is). False uses complex gates for every state.
        restarts: Number of turned starts per layer; more can find lower infidelities.
        max_bond: Bond dimension of a state that is found first (from bitstrings, an observable or a circuit).
        order: Bit order of a vector's index: "little" if qubit 0 is its lowest bit, as in Qiskit, or "big" if
            qubit 0 is its highest bit, as in quimb's kets and PennyLane.
        seed: Random seed for the turned starts and for a state that is found first.
        progress: Whether to show a progress bar.

    Returns:
        The circuit, its angles and the infidelity, exact for the state given or found. If `infidelity` was
        not reached, `converged` is False and `message` says why. Large circuits are first truncated to
        `max_bond`; if that drops any weight, `message` names it, `exact` is False, and `converged` takes it
        into account.

    Raises:
        UsageError: If the state is not one of the above, a limit is out of range, or the requested circuit is
            too deep for an exact contraction.

    Example:
        >>> import numpy as np
        >>> from bondwise.tn import decompose
        >>> ghz = np.zeros(16)
        >>> ghz[[0, 15]] = np.sqrt(0.5)
        >>> found = decompose(ghz, layers=1, restarts=0)
        >>> found.cx_count, found.depth, found.infidelity < 1e-9
        (5, 5, True)
    """
    _require_limits(layers, max_cx, infidelity, restarts)
    whole_number("max_bond", max_bond)
    if not (isinstance(real, bool) or real == "auto"):
        raise UsageError(f'real is {real!r}; give True, False or "auto".')
    if layout is not None:
        layer_root(layout, 2)  # refuses unknown names
    goal, origin, lost = read_state(state, max_bond=max_bond, order=order, seed=seed, progress=progress)
    if real is True and goal.dtype != np.float64:
        raise UsageError('the state is complex; give real=False or "auto".')
    if real is False:
        goal = goal.astype(np.complex128)
    tree = goal if isinstance(goal, Tree) else None
    layout = layout or ("staircase" if tree is None else "tree")
    layer = [] if goal.sites == 1 else layer_pairs(layout, goal.sites, tree)
    real_gates = goal.dtype == np.float64
    most = _most_layers(layer, layers, max_cx, real_gates)
    if layers is not None and most:
        ExactOverlap(goal, layer * most)  # refuses circuits that are too deep before any work is done
    target = infidelity
    if layers is None and max_cx is None and infidelity is None:
        target = _TARGET
    enough = target if target is not None else (_EXACT if layers is None else -1.0)

    made = [product_circuit(goal)]
    history: list[dict[str, Any]] = [
        {"layers": 0, "cx_count": 0, "infidelity": made[0][2], "start": "product"}
    ]
    gates = np.zeros((0, 4, 4), np.float64 if real_gates else np.complex128)
    rng = random_generator(seed)
    stopped = ""
    with progress_bar(most, "decompose", progress) as bar:
        while len(history) <= most and made[-1][2] > enough:
            count = len(history)
            try:
                contraction = ExactOverlap(goal, layer * count)
            except UsageError as error:
                if count == 1:
                    raise
                stopped = "with one more layer, " + str(error).rstrip(".")
                break
            starts = _starts(goal, layout, layer, gates, restarts, rng)
            gates, start = _compete(contraction, starts, max(enough, _EXACT))
            made.append(assemble(goal, layer * count, gates))
            reached, cx = made[-1][2], count_cx(layer * count, real_gates)
            history.append({"layers": count, "cx_count": cx, "infidelity": reached, "start": start})
            bar.set_postfix_str(f"infidelity {reached:.2e}, {cx} CX")
            bar.update()
            if layers is None and reached > enough and _not_worth_it(history):
                made, history = made[:-2], history[:-2]
                stopped = (
                    f"two more layers were left out, as they only reached {reached:.3g} "
                    f"for {cx - history[-1]['cx_count']} CX"
                )
                break

    circuit, angles, reached = made[-1]
    converged = target is None or max(reached, lost) <= target
    count = len(history) - 1
    message = f"{origin}infidelity {reached:.3g} with {count} layer{'' if count == 1 else 's'}"
    message += f", {history[-1]['cx_count']} CX"
    if max_cx is not None and layer and not most and layers != 0:
        message += f"; one layer needs {count_cx(layer, real_gates)} CX"
    if not converged:
        message += f"; the target of {target:.3g} was not reached: {stopped or _advice(layers, max_cx)}"
        message += f"; the state has bond {goal.largest_bond}"
        if len(history) > 1:
            before, after = history[-2:]
            message += (
                f", and the last layer lowered {before['infidelity']:.3g} to "
                f"{after['infidelity']:.3g} for {after['cx_count'] - before['cx_count']} CX"
            )
    elif stopped:
        message += f"; {stopped}"
    return Decomposition(
        value=reached,
        seed=seed,
        circuit=circuit,
        parameters=angles,
        cx_count=history[-1]["cx_count"],
        depth=two_qubit_depth(circuit),
        history=tuple(history),
        exact=not lost,
        converged=converged,
        message=message,
    )


def _starts(
    state: Chain | Tree,
    layout: str,
    layer: Pairs,
    gates: NDArray[Any],
    restarts: int,
    rng: np.random.Generator,
) -> dict[str, NDArray[Any]]:
    """Gates with one more layer, by the name of the start."""
    starts: dict[str, NDArray[Any]] = {}
    root = layer_root(layout, len(layer) + 1)
    if root is not None and isinstance(state, Chain):
        left = remove_gates(state.tensors, layer * (len(gates) // len(layer)), gates)
        starts["analytic"] = np.concatenate([analytic_layer(left, root), gates])
    if len(gates):
        nothing = np.broadcast_to(np.eye(4), (len(layer), 4, 4)).astype(gates.dtype)
        starts["product"] = np.concatenate([nothing, gates])
        starts["identity"] = np.concatenate([gates, nothing])
    else:
        starts["product"] = _product_gates(state, layer, gates.dtype)
    turned = [name for name in ("analytic", "product") if name in starts]
    for k in range(restarts):
        name = turned[k % len(turned)]
        angles = rng.normal(scale=_TURN, size=coordinates(starts[name]))
        starts[f"{name}, turned {k + 1}"] = turn(starts[name], angles)
    return starts


def _product_gates(state: Chain | Tree, layer: Pairs, dtype: Any) -> NDArray[Any]:
    """Gates that prepare the nearest product state; the first gate on a qubit turns it."""
    turns = []
    for low, high in (vector.ravel() for vector in state.nearest_product()):
        turns.append(np.array([[low, -np.conj(high)], [high, np.conj(low)]], dtype))
    gates = []
    for pair in layer:
        first, second = (turns[qubit] for qubit in pair)
        gates.append(np.kron(first, second))
        for qubit in pair:
            turns[qubit] = np.eye(2, dtype=dtype)
    return np.array(gates)


def _compete(
    contraction: ExactOverlap, starts: dict[str, NDArray[Any]], enough: float
) -> tuple[NDArray[Any], str]:
    """Optimize all starts, dropping the worse ones on the way; return the winner's gates and name."""
    stay = -(-len(starts) // 3)
    for count, iterations in enumerate(_ROUNDS):
        reached = {}
        for name, start in starts.items():
            swept = contraction.sweep(start, _SWEEPS) if count == 0 else start
            starts[name], reached[name] = polish(contraction, swept, iterations, enough)
            if reached[name] <= enough:
                return starts[name], name
        best = sorted(reached, key=reached.__getitem__)
        starts = {name: starts[name] for name in best[:stay]}
        stay = 1
    (name, found), *_ = starts.items()
    return found, name


def _most_layers(layer: Pairs, layers: int | None, max_cx: int | None, real: bool) -> int:
    if not layer:
        return 0
    if max_cx is None:
        return _MOST_LAYERS if layers is None else layers
    first = count_cx(layer, real)
    each = count_cx(layer * 2, real) - first
    fits = 0 if first > max_cx else 1 + (max_cx - first) // each
    return fits if layers is None else min(fits, layers)


def _advice(layers: int | None, max_cx: int | None) -> str:
    given = [name for name, limit in (("layers", layers), ("max_cx", max_cx)) if limit is not None]
    return f"raise {' or '.join(given)}" if given else f"raise layers above {_MOST_LAYERS}"


def _not_worth_it(history: list[dict[str, Any]]) -> bool:
    """Whether two layers in a row hardly lowered the infidelity."""
    last = [entry["infidelity"] for entry in history[-3:]]
    return len(last) == 3 and last[1] > _WORTH * last[0] and last[2] > _WORTH * last[1]


def _require_limits(layers: int | None, max_cx: int | None, infidelity: float | None, restarts: int) -> None:
    for name, limit in (("layers", layers), ("max_cx", max_cx), ("restarts", restarts)):
        if limit is not None:
            whole_number(name, limit, least=0)
    if infidelity is not None:
        real_number("infidelity", infidelity, below=1)
