"""The parameters of a given circuit that bring it nearest to a state.

The fidelity |<state|circuit>|^2 and its gradient follow from one contraction forwards and backwards
(`bondwise.tn.window`), exact as long as the circuit's light cones are narrow, whatever its gates; beyond,
states on the way are truncated (`bondwise.tn.truncated`). L-BFGS minimises -ln of the fidelity, whose
gradient does not fade where the fidelity is small.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from scipy.optimize import minimize

from bondwise.runs import UsageError, progress_bar
from bondwise.tn.circuits import Decomposition, two_qubit_depth
from bondwise.tn.program import Program
from bondwise.tn.sources import read_state
from bondwise.tn.states import Tensors
from bondwise.tn.trees import Tree
from bondwise.tn.truncated import TruncatedWindow
from bondwise.tn.window import Window

_SPREAD = (0.1, 1.0)  # standard deviations of the angles of random starts in turn, radians
_FIRST = 50  # iterations after which only the best start goes on
_EXACT = 1e-14


def fit(
    circuit: QuantumCircuit,
    state: Any,
    parameters: Any = None,
    *,
    infidelity: float | None = None,
    iterations: int = 1000,
    restarts: int = 4,
    max_bond: int = 64,
    seed: int | None = None,
    progress: bool = False,
) -> Decomposition:
    """Find the parameters of a circuit that maximise its fidelity with a state.

    Args:
        circuit: Any circuit of gates with free parameters on n >= 2 qubits, started in |0...0>; qubit i is
            site i. Parameters may be shared, scaled, or stand in any differentiable expression.
        state: As for `bondwise.tn.decompose`, on n qubits.
        parameters: Where to start, shape (P,), radians, in the order of `circuit.parameters`; None for
            `restarts` random starts, near zero and far from it in turn, of which the best is kept.
        infidelity: Stop as soon as the infidelity is at most this.
        iterations: Most L-BFGS iterations.
        restarts: Number of random starts, at least 1.
        max_bond: Bond dimension of states that are yet to be found, and of the approximation where an exact
            contraction is too large.
        seed: Seed of the random starts.
        progress: Show a progress bar.

    Returns:
        The circuit as given, the parameters found and their infidelity, with the start and the end in
        `history`. `exact` tells whether the infidelity is exact; if not, `message` names the weight that
        truncation left out. `cx_count` counts the two-qubit gates of the circuit as it stands.

    Raises:
        UsageError: The circuit has nothing to fit, holds something that is not a gate, or is of another size
            than the state; the state or a number is not accepted.
    """
    for name, number in (("iterations", iterations), ("restarts", restarts), ("max_bond", max_bond)):
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 1:
            raise UsageError(f"{name} is {number}; give a whole number of at least 1.")
    if infidelity is not None and not 0 < infidelity < 1:
        raise UsageError(f"infidelity is {infidelity}; give a number between 0 and 1, such as 1e-3.")
    target, origin = read_state(state, max_bond=max_bond, seed=seed, progress=progress)
    sites = target.sites if isinstance(target, Tree) else len(target)
    if sites != circuit.num_qubits:
        raise UsageError(f"the circuit has {circuit.num_qubits} qubits and the state {sites} sites.")
    count = circuit.num_parameters
    if not count:
        raise UsageError("the circuit has no free parameters; give one with qiskit Parameters in its gates.")
    rng = np.random.default_rng(seed)
    if parameters is None:
        starts = [rng.normal(scale=_SPREAD[k % 2], size=count) for k in range(restarts)]
    else:
        starts = [np.array(parameters, np.float64)]
        if starts[0].shape != (count,) or not np.isfinite(starts[0]).all():
            raise UsageError(
                f"parameters have shape {starts[0].shape}; give {count} finite numbers in the order of "
                "circuit.parameters."
            )
    program = Program(circuit)
    window = _window(target, program, max_bond)
    enough = _EXACT if infidelity is None else infidelity
    begin = [_infidelity(window, program, start) for start in starts]
    with progress_bar(iterations, "fit", progress) as bar:
        if len(starts) > 1:
            first = min(_FIRST, iterations)
            starts = [_descend(window, program, start, first, enough) for start in starts]
            reached = [_infidelity(window, program, start) for start in starts]
            best = int(np.argmin(reached))
        else:
            best = 0
        found = _descend(window, program, starts[best], iterations, enough, bar)
    value = max(0.0, _infidelity(window, program, found))
    exact = isinstance(window, Window)
    converged = infidelity is None or value <= infidelity
    message = f"{origin}infidelity {value:.3g}"
    if not exact:
        message += (
            f", approximate: bonds were truncated at {max_bond}, a weight of {window.lost:.1e} left out"
        )
    if not converged:
        message += (
            f"; the target of {infidelity:.3g} was not reached: raise iterations or restarts, or give a "
            "circuit with more gates"
        )
    gates = sum(len(step.qubits) == 2 and step.operation.name != "barrier" for step in circuit.data)
    history = tuple(
        {"layers": None, "cx_count": gates, "infidelity": float(number), "start": label}
        for number, label in (
            (begin[best], "given" if parameters is not None else f"random {best + 1}"),
            (value, "fitted"),
        )
    )
    return Decomposition(
        value=value,
        seed=seed,
        circuit=circuit.copy(),
        parameters=found,
        cx_count=gates,
        depth=two_qubit_depth(circuit),
        history=history,
        exact=exact,
        converged=converged,
        message=message,
    )


def _window(target: Tensors | Tree, program: Program, max_bond: int) -> Window | TruncatedWindow:
    try:
        return Window(target, program.pairs)
    except UsageError:
        if isinstance(target, Tree):
            raise
        return TruncatedWindow(target, program.pairs, max_bond)


def _real_if_close(gates: NDArray[np.complex128]) -> NDArray[Any]:
    """Half the work where a circuit is real: the environments do not change."""
    return gates.real.copy() if np.abs(gates.imag).max(initial=0) < 1e-14 else gates


def _infidelity(window: Window | TruncatedWindow, program: Program, parameters: NDArray[np.float64]) -> float:
    return 1 - abs(window.overlap(_real_if_close(program.gates(parameters)))) ** 2


def _descend(
    window: Window | TruncatedWindow,
    program: Program,
    start: NDArray[np.float64],
    iterations: int,
    enough: float,
    bar: Any = None,
) -> NDArray[np.float64]:
    """Parameters of the lowest infidelity met."""
    best: list[Any] = [np.inf, start]

    def loss(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        overlap, environments = window.environments(_real_if_close(program.gates(x)))
        fidelity = max(abs(overlap) ** 2, 1e-300)
        if 1 - fidelity < best[0]:
            best[:] = 1 - fidelity, x.copy()
        slopes = program.pullback(x, environments)
        return -np.log(fidelity), -2 * (np.conj(overlap) * slopes).real / fidelity

    def after(_: NDArray[np.float64]) -> None:
        if bar is not None:
            bar.set_postfix_str(f"infidelity {best[0]:.2e}", refresh=False)
            bar.update()
        if best[0] <= enough:
            raise StopIteration

    options = {"maxiter": iterations, "maxfun": 2 * iterations, "maxcor": 20, "ftol": 1e-13, "gtol": 1e-10}
    minimize(loss, start, jac=True, method="L-BFGS-B", options=options, callback=after)
    return best[1]
