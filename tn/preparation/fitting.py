"""The parameters of a given circuit that bring it closest to a state.

The fidelity |⟨state|circuit⟩|² and its gradient follow from one contraction forwards and backwards
(`bondwise.tn.overlap.exact`), which is exact for any gates as long as the light cones of the circuit are
narrow. For wider ones, intermediate states are truncated (`bondwise.tn.overlap.truncated`). L-BFGS minimizes
-ln of the fidelity, whose gradient does not vanish where the fidelity is small.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from bondwise.circuits import cx_count, two_qubit_depth
from bondwise.circuits.files.named_angles import named_angles
from bondwise.circuits.files.orders import AngleOrder, with_order
from bondwise.runs import UsageError, progress_bar, random_generator, real_array, real_number, whole_number
from bondwise.runs.text import counted
from bondwise.tn.overlap.exact import ExactOverlap
from bondwise.tn.overlap.truncated import TruncatedOverlap
from bondwise.tn.preparation.assembly import Decomposition
from bondwise.tn.preparation.descent import descend
from bondwise.tn.preparation.gate_matrices import GateMatrices
from bondwise.tn.states.chains import Chain, Order
from bondwise.tn.states.sources import read_state
from bondwise.tn.states.trees import Tree

_SPREAD = (0.1, 1.0)  # standard deviations of the angles of alternating random starts, radians
_FIRST = 50  # iterations after which only the best start continues
_EXACT = 1e-14
_NOWHERE = 1e4  # larger than the loss of any nonzero overlap


def fit(
    circuit: QuantumCircuit,
    state: Any,
    parameters: Any = None,
    *,
    infidelity: float | None = None,
    iterations: int = 1000,
    restarts: int = 4,
    max_bond: int = 64,
    order: Order = "little",
    seed: int | None = None,
    progress: bool = False,
) -> Decomposition:
    """Find the parameters of a circuit that maximize its fidelity with a state.

    Args:
        circuit: Any circuit of gates with free parameters on n >= 2 qubits, applied to |0…0⟩; qubit i is site
            i. Parameters may be shared, scaled, or part of any differentiable expression.
        state: As for `bondwise.tn.decompose`, on n qubits.
        parameters: Initial values in radians, shape (P,), in the order of `circuit.parameters` or, for the
            path of an OpenQASM 3 file, in that of its declarations; or by name. None uses `restarts` random
            starts, alternately near zero and far from it, and keeps the best.
        infidelity: Infidelity at which to stop.
        iterations: Maximum number of L-BFGS iterations of the start that is kept; every start gets the first
            50 of them.
        restarts: Number of random starts, at least 1.
        max_bond: Bond dimension of a state that is found first, and of the approximation if an exact
            contraction is too large.
        order: Bit order of a vector's index: "little" if qubit 0 is its lowest bit, as in Qiskit, or "big" if
            qubit 0 is its highest bit, as in quimb's kets and PennyLane.
        seed: Random seed for the starts.
        progress: Whether to show a progress bar.

    Returns:
        The circuit as given, the parameters found, in the order of its `circuit.parameters` (also for a
        path), and their infidelity, with the start and the end in `history`. If the infidelity is not
        `exact`, `message` names the weight that truncation dropped. `cx_count` is what the gates of the
        circuit need, and `depth` the depth in two-qubit gates, with larger gates written out.

    Raises:
        UsageError: If the circuit has no free parameters, contains an operation that is not a gate, or
            differs in size from the state; if the state or a number is not accepted; or if an exact
            contraction with a tree state is too large.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qiskit.circuit import Parameter
        >>> from bondwise.tn import fit
        >>> circuit = QuantumCircuit(2)
        >>> _ = circuit.ry(Parameter("a"), 0), circuit.cx(0, 1)
        >>> found = fit(circuit, [0.6, 0, 0, 0.8], seed=0)  # cos(a/2) = 0.6
        >>> round(float(abs(found.parameters[0])), 4), found.infidelity < 1e-9
        (1.8546, True)
    """
    for name, number in (("iterations", iterations), ("restarts", restarts), ("max_bond", max_bond)):
        whole_number(name, number)
    if infidelity is not None:
        real_number("infidelity", infidelity, below=1)
    circuit, given_order = with_order(circuit)
    starts = _start_points(given_order, parameters, restarts, seed)
    matrices = GateMatrices(circuit)
    target, origin, left_out = read_state(state, max_bond=max_bond, order=order, seed=seed, progress=progress)
    if target.sites != circuit.num_qubits:
        raise UsageError(
            f"the circuit has {counted(circuit.num_qubits, 'qubit')} and the state "
            f"{counted(target.sites, 'site')}."
        )
    contraction = _contraction(target, matrices, max_bond)
    enough = -np.log1p(-(infidelity or _EXACT))
    losses = [_loss(contraction, matrices, start) for start in starts]
    if np.isnan(losses).any():
        raise UsageError(
            "an expression of the circuit's parameters is not a finite real angle at the start; "
            "give other parameters."
        )
    first = min(_FIRST, iterations) if len(starts) > 1 else 0
    begun, best = losses[0], 0
    with progress_bar(len(starts) * first + iterations - first, "fit", progress) as bar:
        if first:
            found = [_descend(contraction, matrices, start, first, enough, bar) for start in starts]
            best = int(np.argmin([loss for _, loss in found]))
            begun, starts = losses[best], [point for point, _ in found]
        point, loss = starts[best], _loss(contraction, matrices, starts[best])
        if loss > enough and iterations > first:
            point, loss = _descend(contraction, matrices, point, iterations - first, enough, bar)
    loss = _loss(contraction, matrices, point)  # at this point, which also sets `contraction.lost`
    value = -float(np.expm1(-loss))
    lost = np.isinf(loss)
    converged = not lost and (infidelity is None or max(value, left_out) <= infidelity)
    message = f"{origin}infidelity {value:.3g}"
    if isinstance(contraction, TruncatedOverlap):
        message += (
            f", approximate: bonds truncated at {max_bond}, a weight of {contraction.lost:.1e} left out"
        )
    if lost:
        message += "; the start is orthogonal to the state, so the gradient is zero: give other parameters"
    elif not converged:
        ways = "iterations" if parameters is not None else "iterations or restarts"
        message += f"; the target of {infidelity:.3g} was not reached: raise {ways}, or give more gates"
    if given_order.differs:
        message += "; parameters are in the order of circuit.parameters, not of the file: go on with circuit"
        warnings.warn(
            "the parameters that fit found are in the order of its circuit, not of the file; pass its "
            "circuit along with them",
            stacklevel=2,
        )
    label = "given" if parameters is not None else f"random {best + 1}"
    count = cx_count(circuit)
    return Decomposition(
        value=value,
        seed=seed,
        circuit=circuit.copy(),
        parameters=point,
        cx_count=count,
        depth=two_qubit_depth(matrices.circuit),
        history=tuple(
            {"layers": None, "cx_count": count, "infidelity": -float(np.expm1(-number)), "start": name}
            for number, name in ((begun, label), (loss, "fitted"))
        ),
        exact=not left_out and isinstance(contraction, ExactOverlap),
        converged=bool(converged),
        message=message,
    )


def _start_points(
    order: AngleOrder, parameters: Any, restarts: int, seed: int | None
) -> list[NDArray[np.float64]]:
    count = order.count
    if not count:
        raise UsageError("the circuit has no free parameters; give one with qiskit Parameters in its gates.")
    if parameters is None:
        rng = random_generator(seed)
        return [rng.normal(scale=_SPREAD[k % 2], size=count) for k in range(restarts)]
    if isinstance(parameters, Mapping):
        parameters = named_angles(parameters, order.parameters)
    start = real_array("parameters", parameters)
    if start.shape != (count,) or not np.isfinite(start).all():
        raise UsageError(
            f"parameters have shape {start.shape}; give {count} finite numbers in the order of "
            f"{'the declarations in its file' if order.differs else 'circuit.parameters'}."
        )
    return [order.to_circuit(start)]


def _contraction(
    target: Chain | Tree, matrices: GateMatrices, max_bond: int
) -> ExactOverlap | TruncatedOverlap:
    try:
        return ExactOverlap(target, matrices.pairs)
    except UsageError:
        if not isinstance(target, Chain):
            raise
        return TruncatedOverlap(target.tensors, matrices.pairs, max_bond)


def _real_if_close(gates: NDArray[np.complex128]) -> NDArray[Any]:
    """Real gates if the circuit is real, which halves the work; the environments do not change."""
    return gates.real.copy() if np.abs(gates.imag).max(initial=0) < 1e-14 else gates


def _loss(
    contraction: ExactOverlap | TruncatedOverlap, matrices: GateMatrices, parameters: NDArray[np.float64]
) -> float:
    """-ln of the fidelity: at least 0, and infinite if the overlap is 0."""
    overlap = contraction.overlap(_real_if_close(matrices.gates(parameters)))
    return max(-2 * float(np.log(abs(overlap))), 0.0) if overlap else np.inf


def _descend(
    contraction: ExactOverlap | TruncatedOverlap,
    matrices: GateMatrices,
    start: NDArray[np.float64],
    iterations: int,
    enough: float,
    bar: Any,
) -> tuple[NDArray[np.float64], float]:
    """The best point visited and its loss."""
    best: list[Any] = [np.inf, start]

    def loss(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        overlap, environments = contraction.environments(_real_if_close(matrices.gates(x)))
        if not np.isfinite(overlap) or overlap == 0:  # no real angle here, or no gradient
            return _NOWHERE, np.zeros_like(x)
        value = -2 * float(np.log(abs(overlap)))
        if value < best[0]:
            best[:] = value, x.copy()
        return value, -2 * (matrices.pullback(x, environments) / overlap).real

    def after() -> bool:
        bar.set_postfix_str(f"infidelity {-np.expm1(-best[0]):.2e}", refresh=False)
        bar.update()
        return bool(best[0] <= enough)

    descend(loss, start, iterations=iterations, change=1e-13, slope=1e-10, after=after)
    return best[1], best[0]
