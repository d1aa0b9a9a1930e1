"""Expectation values that torch can differentiate, on every backend.

On "statevector" the gradient comes from the state: by adjoint differentiation, or by backpropagation if
second derivatives are needed; on "mps", from the contraction of the matrix product state. Elsewhere it comes
from shifted or perturbed circuits, which travel as one broadcast PUB together with the circuit itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from math import prod
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from bondwise.backends.backend import Backend, placed
from bondwise.backends.gradients.parameter_shift import shifted_values
from bondwise.backends.gradients.spreading import spread
from bondwise.backends.gradients.spsa import perturbed_values
from bondwise.backends.inputs import (
    NOT_FINITE,
    as_angles,
    as_operators,
    check_tensor,
)
from bondwise.backends.measurement import ShotAllocation
from bondwise.backends.names import BackendLike, get_backend
from bondwise.backends.primitives import check_shots, observables_array
from bondwise.circuits import Observable, is_observable, without_measurements
from bondwise.circuits.cache import CircuitCache
from bondwise.circuits.files.named_angles import named_angles
from bondwise.circuits.files.orders import AngleOrder, with_order
from bondwise.circuits.splitting import SplitCircuit, split
from bondwise.runs import UsageError, random_generator, unknown_name

Gradient = Literal["auto", "adjoint", "backprop", "parameter-shift", "spsa"]
_FROM_STATE = ("adjoint", "backprop")
_split: CircuitCache[SplitCircuit] = CircuitCache()


def expectation(
    circuit: QuantumCircuit,
    observables: Observable | Sequence[Observable],
    parameters: torch.Tensor | ArrayLike | Mapping[Any, Any] | None = None,
    backend: BackendLike = "statevector",
    *,
    gradient: Gradient = "auto",
    shots: int | None = None,
    seed: int | np.random.Generator | None = None,
    executor: Executor | None = None,
) -> torch.Tensor:
    """Compute expectation values that are differentiable with respect to the parameters.

    Args:
        circuit: Any circuit on n qubits. Final measurements are left out; "statevector" and "mps" accept no
            other measurements and no resets.
        observables: One operator on n qubits, or a sequence of K of them, as for `estimate`; qubit 0 is the
            rightmost letter, PennyLane's wire i is qubit i.
        parameters: Angles in radians in the order of `circuit.parameters` (for a path, of its declarations),
            shape (*batch, P), or by name, as for `estimate`; each tensor among them gets its gradient. May be
            omitted for P = 0.
        backend: Anything that `get_backend` takes.
        gradient: "adjoint" and "backprop" (exact, differentiable backends only; "backprop" also has second
            derivatives; on "mps" both are backpropagation, and truncated states have first ones),
            "parameter-shift" (as exact as the backend's values, from 2 circuits per angle, 4 for crx, cry and
            crz), or "spsa" (an estimate from 2 circuits in total). "auto": "adjoint" if available, otherwise
            "parameter-shift". Circuits for the gradient run only if `parameters` requires one.
        shots: Number of shots per measured basis and circuit. None: exact values if the backend has them,
            otherwise 4096.
        seed: Random seed for shots and for the directions of spsa. An int gives the same draws at every call;
            for training, pass a `numpy.random.Generator`, which advances.
        executor: Where exact values of a batch are computed: an `Executor` of concurrent.futures or Dask's
            `client.get_executor()`, over which the rows are spread in up to 16 chunks. Values and first
            derivatives are those without it, up to rounding; second derivatives are not available. Not for
            draws, which would depend on the chunks: shots, seeds, "spsa", and backends that only sample are
            refused. A device takes all rows in one job.

    Returns:
        (*batch, K), or (*batch,) for a single observable: float64, or float32 for float32 parameters.

    Raises:
        UsageError: If parameters have the wrong shape, are not finite, or are inside a transform of
            torch.func; if an observable is not Hermitian or has the wrong size; or if a gate has no gradient
            rule, the backend does not offer the gradient, or there are draws or a device with an executor.

    Example:
        >>> import torch
        >>> from qiskit import QuantumCircuit
        >>> from qiskit.circuit import Parameter
        >>> from bondwise.backends import expectation
        >>> circuit = QuantumCircuit(1)
        >>> _ = circuit.ry(Parameter("t"), 0)
        >>> theta = torch.tensor([0.5], requires_grad=True)
        >>> value = expectation(circuit, "Z", theta)  # cos(theta)
        >>> value.backward()
        >>> value.item(), theta.grad.item()
        (0.877..., -0.479...)
    """
    return expectation_with_errors(
        circuit,
        observables,
        parameters,
        backend,
        gradient=gradient,
        shots=shots,
        seed=seed,
        executor=executor,
    )[0]


def expectation_with_errors(
    circuit: QuantumCircuit,
    observables: Observable | Sequence[Observable],
    parameters: torch.Tensor | ArrayLike | Mapping[Any, Any] | None,
    backend: BackendLike,
    *,
    gradient: Gradient = "auto",
    shots: int | None = None,
    seed: int | np.random.Generator | None = None,
    executor: Executor | None = None,
    shot_allocation: ShotAllocation = "uniform",
) -> tuple[torch.Tensor, np.ndarray]:
    """What `expectation` returns, and the standard errors of these values, float64 of the same shape."""
    circuit, order = with_order(circuit)
    operators = as_operators(observables, circuit.num_qubits)
    given = order.to_circuit(_as_tensor(parameters, order))
    *batch, width = given.shape
    flat = given.to(device="cpu", dtype=torch.float64).reshape(prod(batch), width)
    place = get_backend(backend)
    method = choose_method(gradient, place, check_shots(shots))
    if executor is not None:
        _require_exact(place, method, shots, seed)
    parts = _parts(circuit, method != "parameter-shift" or _runs_cp(place))
    angles = parts.angles(flat)
    errors = np.zeros((len(flat), len(operators)))
    if not np.isfinite(angles.detach().numpy()).all():
        raise UsageError(NOT_FINITE)
    if not len(flat):  # nothing to run
        results = flat.sum(-1, keepdim=True).expand(0, len(operators))
    elif executor is not None and len(flat) > 1:
        # as a parameter of the circuit itself, the rows are in its own order
        work = partial(expectation, circuit, operators, backend=place, gradient=gradient)
        results = spread(work, flat, executor)
    elif method in _FROM_STATE and place.values is not None:
        results = place.values(parts, angles, operators, method)
    else:
        generator = random_generator(seed)
        job = _Job(parts, operators, place, shots, None if seed is None else generator, shot_allocation)
        if method == "spsa":
            results = perturbed_values(
                flat, lambda sets: job(parts.angles(torch.from_numpy(sets)).numpy()), generator
            )
        else:
            results = shifted_values(parts, angles, job)
        # rows come with their shifted sets behind each, or with those of all rows behind the last
        each = 1 if method == "spsa" else len(job.errors) // len(flat)
        errors = job.errors[::each][: len(flat)]
    if flat.requires_grad and not results.requires_grad and torch.is_grad_enabled():
        # the parameters affect only the global phase; sin has derivatives of any order
        results = results + 0.0 * flat.sin().sum(-1, keepdim=True)
    results = results.reshape(*batch, len(operators)).to(device=given.device, dtype=given.dtype)
    errors = errors.reshape(results.shape)
    if is_observable(observables):
        return results.squeeze(-1), errors.squeeze(-1)
    return results, errors


def _require_exact(backend: Backend, method: str, shots: int | None, seed: object) -> None:
    """Refuse to spread draws, which would depend on how rows are divided, or the one job of a device."""
    if backend.remote:
        raise UsageError(
            f"executor= is for simulators; {backend.name} takes all rows in one job; leave it out."
        )
    drawn = {
        f"shots={shots}": shots is not None,
        f"seed={seed!r}": seed is not None,
        "gradient='spsa'": method == "spsa",
        f"backend={backend.name!r}": not backend.exact,
    }
    for what, given in drawn.items():
        if given:
            raise UsageError(
                f"executor= is for exact values, and {what} stands for random draws, which would depend on "
                "how the rows are divided; leave one of them out."
            )


class _Job:
    """Evaluates any number of angle sets as one PUB, and keeps their standard errors (N, K)."""

    errors: np.ndarray

    def __init__(
        self,
        parts: SplitCircuit,
        operators: list[SparsePauliOp],
        backend: Backend,
        shots: int | None,
        generator: np.random.Generator | None,
        allocation: ShotAllocation,
    ) -> None:
        self._circuit = backend.transpile(parts.circuit)
        # one row per observable, broadcast against the angle sets
        moved = placed(operators, parts.circuit, self._circuit)
        self._observables = observables_array([[operator] for operator in moved])
        self._backend, self._generator = backend, generator
        self._options: dict[str, Any] = {"shots": shots, "shot_allocation": allocation}

    def __call__(self, angles: np.ndarray) -> np.ndarray:
        """Map angle sets (N, G) to expectation values (N, K)."""
        seed = None if self._generator is None else int(self._generator.integers(2**31))
        # the compiled circuit may lack an angle that has no effect
        columns = [parameter.index for parameter in self._circuit.parameters]
        pub = (self._circuit, self._observables, angles[:, columns])
        data = self._backend.run([pub], seed=seed, **self._options)[0].data
        shape = self._observables.size, len(angles)
        self.errors = np.array(np.broadcast_to(data.stds, shape).T, dtype=float)
        return np.array(np.broadcast_to(data.evs, shape).T, dtype=float)


def _parts(circuit: QuantumCircuit, keep_cp: bool) -> SplitCircuit:
    # found by the circuit as it was passed, so that its gates are looked at only once per call
    return _split.get(circuit, lambda: split(without_measurements(circuit), keep_cp=keep_cp), keep_cp)


def _as_tensor(
    parameters: torch.Tensor | ArrayLike | Mapping[Any, Any] | None, order: AngleOrder
) -> torch.Tensor:
    """Angles in the order of a plain array; tensors keep their gradients."""
    if isinstance(parameters, Mapping):
        parameters = named_angles(parameters, order.parameters)
    if isinstance(parameters, torch.Tensor) and parameters.is_floating_point():
        check_tensor(parameters)
        if parameters.shape[-1:] == (order.count,) and bool(torch.isfinite(parameters.detach()).all()):
            return parameters
    given: Any = [] if parameters is None else parameters
    checked = torch.from_numpy(as_angles("parameters", given, order.names, "circuit"))
    if isinstance(parameters, torch.Tensor) and parameters.is_floating_point():
        return parameters
    return checked.float() if getattr(parameters, "dtype", None) == np.float32 else checked


def _runs_cp(backend: Backend) -> bool:
    """Whether the backend runs `cp` as one gate, or as several without errors."""
    if backend.target is not None:
        return "cp" in backend.target.operation_names
    return backend.exact and not backend.noisy  # other primitives may compile inside


def shiftable(circuit: QuantumCircuit, backend: Backend) -> SplitCircuit:
    """The gates of a circuit, without final measurements, as the backend can run them with shifted angles."""
    return _parts(circuit, _runs_cp(backend))


def choose_method(gradient: str, backend: Backend, shots: int | None) -> str:
    """Return the gradient method that was requested, or the one that "auto" stands for.

    Args:
        gradient: As for `expectation`.
        backend: Backend that runs the circuit.
        shots: As for `expectation`.

    Raises:
        UsageError: If the method is unknown, or not available on this backend.
    """
    if gradient not in get_args(Gradient):
        raise unknown_name("gradient", str(gradient), get_args(Gradient))
    from_state = backend.differentiable and shots is None
    if gradient in _FROM_STATE and not from_state:
        where = f"backend={backend.name!r}" if shots is None else f"shots={shots}"
        raise UsageError(
            f"gradient={gradient!r} needs the exact state, which is not available with {where}; write "
            "gradient='parameter-shift', or backend='statevector' without shots."
        )
    if gradient != "auto":
        return gradient
    return "adjoint" if from_state else "parameter-shift"
