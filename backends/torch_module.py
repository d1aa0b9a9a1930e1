"""Circuits as `torch.nn.Module`s, which train, stack and save like any other layer.

The module holds the angles and computes nothing itself: expectation values are those of `expectation`, and
states come from the same simulations, with the global phase that those omit put back.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from math import pi
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from qiskit import QuantumCircuit
from qiskit.circuit import ControlFlowOp, Measure, Parameter, Reset
from qiskit.circuit.library import Initialize

from bondwise.backends.gradients.blocks import blocks
from bondwise.backends.gradients.differentiation import Gradient, choose_method, expectation
from bondwise.backends.gradients.statevector import final_states
from bondwise.backends.inputs import NOT_FINITE, as_angles, as_operators, check_tensor, listed
from bondwise.backends.names import BackendLike, get_backend
from bondwise.circuits import Observable, is_observable, without_measurements
from bondwise.circuits.files.named_angles import named_angles
from bondwise.circuits.files.orders import with_order
from bondwise.circuits.splitting import SplitCircuit, split
from bondwise.runs import UsageError, random_generator, require_memory, unknown_name


class CircuitModule(torch.nn.Module):
    """A circuit as a torch module whose weight is its parameters.

    Without inputs, `module()` is the state or the expectation values at the module's weight. With inputs,
    `module(x)` computes the same for each row of x, so that the module can stand between the layers of an
    `nn.Sequential`. `state_dict()` holds the weight alone. A copy by `copy.deepcopy` has its own weight and
    shares the circuit and the backend.

    `module()` returns the state, complex128 (2^n,): the amplitude of the basis state with qubit i in bit b_i
    is at index sum_i b_i 2^i, with the global phase of the circuit, as in Qiskit's `Statevector`. With
    observables it returns their values, float64 (K,), or () for a single one. After `module.float()` the
    outputs are complex64 and float32; the computation itself always uses float64. `module(x)` with x
    (*batch, I) returns (*batch, 2^n), (*batch, K) or (*batch,), in the precision of x.

    Args:
        circuit: Any circuit on n qubits with P parameters; later changes to it have no effect. For
            expectation values, final measurements are left out; for a state there must not be any.
        observables: None for the state. For expectation values one operator on n qubits or a sequence of K of
            them, as for `estimate`; qubit 0 is the rightmost letter, PennyLane's wire i is qubit i.
        inputs: The I parameters of the circuit, or their names, that are data and are passed at each call, in
            the order of their columns; may be a `ParameterVector`. All others are trained.
        parameters: Initial weight in radians, (P - I,), in the order of `trained`, or by name. None: uniform
            in [-π, π), drawn with `seed`, or with torch's global generator (`torch.manual_seed`) if there is
            no seed.
        backend: Anything that `get_backend` takes; states are available from "statevector" only.
        gradient: As for `expectation`; for a state "auto", "adjoint" or "backprop".
        shots: As for `expectation`; None for a state.
        seed: Random seed for the initial weight, for shots and for the directions of spsa, used by a single
            generator that advances from call to call. Without a seed, shots and directions differ in every
            run.

    Attributes:
        circuit: The circuit.
        weight: Trained angles in radians, float64 (P - I,), in the order of `trained`. Without inputs,
            `weight.detach()` is what `estimate` and `sample` take along with what the module was made from.
        trained: Names of the parameters in the weight, in the order of `circuit.parameters` without the
            inputs or, for the path of an OpenQASM 3 file, in that of its declarations.
        inputs: Names of the parameters that are passed at each call.
        observables: The Pauli sum or sums; None for the state.
        backend: Where the circuit runs.
        gradient: How it is differentiated.
        shots: Number of shots per measured basis and circuit.

    Raises:
        UsageError: If an input is not a parameter of the circuit, the initial weight has the wrong shape or
            is not finite, the state of a circuit with measurements, resets or branches or on another backend
            is requested, or `expectation` refuses an argument. When called: if inputs are missing, have the
            wrong shape or are not finite, or the states take more than 8 GiB.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qiskit.circuit import ParameterVector
        >>> from bondwise.backends import to_torch
        >>> x, w = ParameterVector("x", 1), ParameterVector("w", 1)
        >>> circuit = QuantumCircuit(1)
        >>> _ = circuit.ry(x[0] + w[0], 0)
        >>> module = to_torch(circuit, "Z", inputs=x, parameters=[0.0])
        >>> module([[0.0], [1.0]])  # cos(x + w)
        tensor([1.0000, 0.5403], dtype=torch.float64, grad_fn=<SqueezeBackward1>)
    """

    def __init__(
        self,
        circuit: QuantumCircuit,
        observables: Observable | Sequence[Observable] | None = None,
        *,
        inputs: Parameter | str | Iterable[Parameter | str] = (),
        parameters: torch.Tensor | ArrayLike | Mapping[Any, Any] | None = None,
        backend: BackendLike = "statevector",
        gradient: Gradient = "auto",
        shots: int | None = None,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        super().__init__()
        circuit, order = with_order(circuit)
        self.backend, self.gradient, self.shots = get_backend(backend), gradient, shots
        self._generator = None if seed is None else random_generator(seed)
        self._parts: SplitCircuit | None = None
        if observables is None:
            self._require_state(circuit)
            self.circuit, self.observables = circuit.copy(), None
            self._parts = split(self.circuit)
            blocks(self._parts)  # raises for anything that is not a gate
        else:
            self.circuit = without_measurements(circuit).copy()
            single, operators = is_observable(observables), as_operators(observables, circuit.num_qubits)
            self.observables = operators[0] if single else operators
            self._values(torch.zeros(0, circuit.num_parameters, dtype=torch.float64))  # checks, runs nothing
        self.inputs = _input_names(inputs, order.names)
        self.trained = tuple(name for name in order.names if name not in self.inputs)
        place = {name: index for index, name in enumerate([*self.trained, *self.inputs])}
        self._order = [place[parameter.name] for parameter in circuit.parameters]
        self.weight = torch.nn.Parameter(self._first(parameters))

    def forward(self, inputs: torch.Tensor | ArrayLike | Mapping[Any, Any] | None = None) -> torch.Tensor:
        """The state or the expectation values, for each row of `inputs` (*batch, I) if there are any."""
        if not self.inputs:
            if inputs is not None:
                raise UsageError(
                    "the module has no inputs and must be called without any; name the parameters that are "
                    "data, to_torch(circuit, ..., inputs=[...])."
                )
            return self._outputs(self.weight[self._order])
        if inputs is None:
            raise UsageError(
                f"the module has {len(self.inputs)} inputs{listed(self.inputs)} and was called without "
                f"any; pass real numbers of shape (*batch, {len(self.inputs)})."
            )
        data = self._real("inputs", inputs, self.inputs)
        dtype = data.dtype if data.is_floating_point() else self.weight.dtype
        weight = self.weight.expand(*data.shape[:-1], -1)
        merged = torch.cat([weight, data.to(dtype)], dim=-1)  # in the higher of the two precisions
        outputs = self._outputs(merged[..., self._order])
        return outputs.to(_complex(dtype) if outputs.is_complex() else dtype)

    def extra_repr(self) -> str:
        """The text between the parentheses when the module is printed."""
        count = None
        if self.observables is not None:
            count = 1 if is_observable(self.observables) else len(self.observables)
        fields = {
            "qubits": self.circuit.num_qubits,
            "parameters": len(self.trained),
            "inputs": len(self.inputs),
            "observables": count,
            "backend": self.backend.name,
            "gradient": self.gradient,
            "shots": self.shots,
        }
        return ", ".join(f"{name}={value!r}" for name, value in fields.items())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_parts": None}  # rebuilt from the circuit

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self.observables is None:
            self._parts = split(self.circuit)

    def __deepcopy__(self, memo: dict[int, Any]) -> CircuitModule:
        # backends hold locks and connections, and find what they compiled by the circuit itself
        memo |= {id(kept): kept for kept in (self.circuit, self.backend, self._parts)}
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        made.__dict__ = copy.deepcopy(self.__dict__, memo)
        return made

    def _first(self, parameters: Any) -> torch.Tensor:
        if parameters is not None:
            given = self._real("parameters", parameters, self.trained, batch=False)
            return given.detach().to(torch.float64, copy=True)
        if self._generator is not None:
            return torch.from_numpy(self._generator.uniform(-pi, pi, len(self.trained)))
        return torch.empty(len(self.trained), dtype=torch.float64).uniform_(-pi, pi)

    def _real(self, what: str, values: Any, names: Sequence[str], *, batch: bool = True) -> torch.Tensor:
        """Finite real numbers with one column per name, in their own precision; tensors keep gradients."""
        if isinstance(values, Mapping):
            values = named_angles(values, [self.circuit.get_parameter(name) for name in names], what)
        checked = as_angles(what, values, names, "module", batch=batch)
        if isinstance(values, torch.Tensor):
            return values
        kind = np.asarray(values).dtype
        return torch.from_numpy(checked if kind.hasobject else checked.astype(kind))

    def _outputs(self, parameters: torch.Tensor) -> torch.Tensor:
        """(*batch, P) → (*batch, 2^n), or the shape of `expectation`."""
        return self._values(parameters) if self._parts is None else self._states(self._parts, parameters)

    def _values(self, parameters: torch.Tensor) -> torch.Tensor:
        return expectation(
            self.circuit,
            self.observables,
            parameters,
            self.backend,
            gradient=self.gradient,
            shots=self.shots,
            seed=self._generator,
        )

    def _states(self, parts: SplitCircuit, parameters: torch.Tensor) -> torch.Tensor:
        check_tensor(parameters)
        *batch, width = parameters.shape
        flat = parameters.to(device="cpu", dtype=torch.float64).reshape(int(np.prod(batch)), width)
        num_qubits = self.circuit.num_qubits
        require_memory(
            f"{len(flat)} states of {num_qubits} qubits",
            16 * len(flat) << num_qubits,
            "pass smaller batches, or observables and backend='aer:matrix_product_state'",
        )
        angles = parts.angles(flat)
        if not bool(torch.isfinite(angles).all()):
            raise UsageError(NOT_FINITE)
        phases = parts.phases(flat).sum(-1)
        if not len(flat):  # nothing to run
            states = flat.sum(-1, keepdim=True).expand(0, 2**num_qubits)
        else:
            method = choose_method(self.gradient, self.backend, None)
            states = final_states(parts, angles, method)
        states = states * torch.exp(1j * phases)[:, None]
        return states.reshape(*batch, 2**num_qubits).to(
            device=parameters.device, dtype=_complex(parameters.dtype)
        )

    def _require_state(self, circuit: QuantumCircuit) -> None:
        if not self.backend.dense or self.shots is not None:
            where = f"backend={self.backend.name!r}" if self.shots is None else f"shots={self.shots}"
            raise UsageError(
                f"the state is not available with {where}; pass observables, or write backend='statevector' "
                "without shots."
            )
        if choose_method(self.gradient, self.backend, None) not in ("adjoint", "backprop"):
            raise UsageError(
                f"gradient={self.gradient!r} is for expectation values; write 'auto', 'adjoint' or "
                "'backprop' for the state, or pass observables."
            )
        for step in circuit.data:
            if isinstance(step.operation, Measure | Reset | Initialize | ControlFlowOp):
                raise UsageError(
                    f"a circuit with '{step.operation.name}' has no single final state; leave it out "
                    "(for final measurements with circuit.remove_final_measurements()), or pass "
                    "observables."
                )


def _complex(dtype: torch.dtype) -> torch.dtype:
    return torch.complex128 if dtype == torch.float64 else torch.complex64


def _input_names(inputs: Any, known: Sequence[str]) -> tuple[str, ...]:
    if isinstance(inputs, Parameter | str):
        inputs = [inputs]
    names = [str(getattr(one, "name", one)) for one in inputs]
    for index, name in enumerate(names):
        if name not in known:
            raise unknown_name("input parameter", name, known)
        if name in names[:index]:
            raise UsageError(f"the input {name!r} is named twice; name each parameter once.")
    return tuple(names)


to_torch = CircuitModule  # the verb beside `to_pennylane`
