"""Circuits as `torch.nn.Module`s, to be trained, stacked and saved like any other layer.

The module holds the angles and computes nothing itself: expectation values are those of `expectation`, and
states come from the same simulations, with the global phase that those leave out put back.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from math import pi
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from qiskit import QuantumCircuit
from qiskit.circuit import ControlFlowOp, Measure, Parameter, Reset
from qiskit.circuit.library import Initialize

from bondwise.backends.gradients.differentiation import Gradient, choose_method, expectation
from bondwise.backends.gradients.statevector import adjoint_states, backprop_states
from bondwise.backends.inputs import NOT_FINITE, as_operators, check_tensor
from bondwise.backends.names import get_backend
from bondwise.backends.pennylane.conversion import translated
from bondwise.circuits import Observable, as_circuit, is_observable, without_measurements
from bondwise.circuits.splitting import SplitCircuit, split
from bondwise.runs import UsageError, random_generator, require_memory, unknown_name


def to_torch(
    circuit: QuantumCircuit,
    observables: Observable | Sequence[Observable] | None = None,
    *,
    inputs: Parameter | str | Iterable[Parameter | str] = (),
    parameters: torch.Tensor | ArrayLike | None = None,
    backend: Any = "statevector",
    gradient: Gradient = "auto",
    shots: int | None = None,
    seed: int | np.random.Generator | None = None,
) -> CircuitModule:
    """Make a circuit a torch module whose weight is its parameters.

    Without inputs, `module()` is the state or the expectation values at the module's weight. With inputs,
    `module(x)` is that for every row of x, so that the module stands between layers of a `nn.Sequential`.

    Args:
        circuit: Any circuit on n qubits with P parameters; it may be changed afterwards. For expectation
            values measurements at its end are left out; for a state there must be none.
        observables: None for the state; or, for expectation values and as for `estimate`, one operator on n
            qubits or a sequence of K of them; qubit 0 is the rightmost letter, PennyLane's wire i is qubit i.
        inputs: The I parameters of the circuit, or their names, that are data and come with each call, in the
            order of their columns; a `ParameterVector` is fine. All others are trained.
        parameters: The weight's first values, radians, (P - I,) in the order of `circuit.parameters` without
            the inputs. None: uniform in [-π, π), drawn with `seed`, or with torch's own generator
            (`torch.manual_seed`) where no seed is given.
        backend: Whatever `get_backend` takes; a state is to be had from "statevector" only.
        gradient: As for `expectation`; for a state "auto", "adjoint" or "backprop".
        shots: As for `expectation`; None for a state.
        seed: Of the first values, of shots and of spsa's directions. One generator is made of it, which moves
            on from call to call. Without a seed shots and directions differ at every run.

    Returns:
        The module. Its one parameter is `weight`, float64 (P - I,).
        `module()` gives the state, complex128 (2^n,), the amplitude of the basis state with qubit i in b_i at
        index sum_i b_i 2^i and with the global phase of the circuit, as Qiskit's `Statevector`; or float64
        (K,), or () for a single observable. Float32 and complex64 after `module.float()`; what is
        computed inside is float64 always.
        `module(x)` with x (*batch, I) gives (*batch, 2^n), (*batch, K) or (*batch,), in the precision of x.

    Raises:
        UsageError: An input that the circuit does not have, parameters of the wrong shape or not finite, a
            state of a circuit with measurements, resets or branches or from another backend, whatever
            `expectation` refuses. On calling the module: inputs missing, of the wrong shape or not finite, or
            states that take more than 8 GiB.
    """
    return CircuitModule(
        circuit,
        observables,
        inputs=inputs,
        parameters=parameters,
        backend=backend,
        gradient=gradient,
        shots=shots,
        seed=seed,
    )


class CircuitModule(torch.nn.Module):
    """A circuit with its angles as weight; made by `to_torch`, which says what arguments and outputs are.

    `state_dict()` holds the weight alone. Copies by `copy.deepcopy` have a weight of their own and share the
    circuit and the backend.

    Attributes:
        circuit: The circuit.
        weight: What is trained, radians, (P - I,) in the order of `circuit.parameters` without the inputs.
            Where there are none, `weight.detach()` is what `estimate` and `sample` take.
        trained: Names of the parameters in the weight.
        inputs: Names of the parameters that come with each call.
        observables: The Pauli sum or sums; None for the state.
        backend: Where the circuit runs.
        gradient: How it is differentiated.
        shots: Per measured basis and circuit.
    """

    def __init__(
        self,
        circuit: QuantumCircuit,
        observables: Observable | Sequence[Observable] | None = None,
        *,
        inputs: Parameter | str | Iterable[Parameter | str] = (),
        parameters: torch.Tensor | ArrayLike | None = None,
        backend: Any = "statevector",
        gradient: Gradient = "auto",
        shots: int | None = None,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        super().__init__()
        circuit = as_circuit(circuit)
        self.backend, self.gradient, self.shots = get_backend(backend), gradient, shots
        self._generator = None if seed is None else random_generator(seed)
        self._parts: SplitCircuit | None = None
        if observables is None:
            self._refuse_what_has_no_state(circuit)
            self.circuit, self.observables = circuit.copy(), None
            self._parts = split(self.circuit)
            translated(self._parts)  # names what is no gate
        else:
            self.circuit = without_measurements(circuit).copy()
            single, operators = is_observable(observables), as_operators(observables, circuit.num_qubits)
            self.observables = operators[0] if single else operators
            self._values(torch.zeros(0, circuit.num_parameters, dtype=torch.float64))  # checks, runs nothing
        names = [parameter.name for parameter in circuit.parameters]
        self.inputs = _input_names(inputs, names)
        self.trained = tuple(name for name in names if name not in self.inputs)
        place = {name: index for index, name in enumerate([*self.trained, *self.inputs])}
        self._order = [place[name] for name in names]
        self.weight = torch.nn.Parameter(self._first(parameters))

    def forward(self, inputs: torch.Tensor | ArrayLike | None = None) -> torch.Tensor:
        """The state or the expectation values, for each row of `inputs` (*batch, I) where there are any."""
        if not self.inputs:
            if inputs is not None:
                raise UsageError(
                    "the module has no inputs and is called without any; name the parameters that are data, "
                    "to_torch(circuit, ..., inputs=[...])."
                )
            return self._outputs(self.weight)
        if inputs is None:
            raise UsageError(
                f"the module has {len(self.inputs)} inputs{_listed(self.inputs)} and is called without; pass "
                f"real numbers of shape (*batch, {len(self.inputs)})."
            )
        data = _real("inputs", inputs, self.inputs)
        dtype = data.dtype if data.is_floating_point() else self.weight.dtype
        weight = self.weight.expand(*data.shape[:-1], -1)
        merged = torch.cat([weight, data.to(dtype)], dim=-1)  # in the better of the two precisions
        outputs = self._outputs(merged[..., self._order])
        return outputs.to(_complex(dtype) if outputs.is_complex() else dtype)

    def extra_repr(self) -> str:
        """What stands between the brackets when the module is printed."""
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
        return {**self.__dict__, "_parts": None}  # made again from the circuit

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self.observables is None:
            self._parts = split(self.circuit)

    def __deepcopy__(self, memo: dict[int, Any]) -> CircuitModule:
        # a backend holds locks and connections, and what was compiled for a circuit is found by the circuit
        memo |= {id(kept): kept for kept in (self.circuit, self.backend, self._parts)}
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        made.__dict__ = copy.deepcopy(self.__dict__, memo)
        return made

    def _first(self, parameters: Any) -> torch.Tensor:
        if parameters is not None:
            given = _real("parameters", parameters, self.trained, batch=False)
            return given.detach().to(torch.float64, copy=True)
        if self._generator is not None:
            return torch.from_numpy(self._generator.uniform(-pi, pi, len(self.trained)))
        return torch.empty(len(self.trained), dtype=torch.float64).uniform_(-pi, pi)

    def _outputs(self, parameters: torch.Tensor) -> torch.Tensor:
        """(*batch, P) → (*batch, 2^n) or what `expectation` makes of them."""
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
        elif choose_method(self.gradient, self.backend, None, num_qubits, len(flat)) == "adjoint":
            states = adjoint_states(parts, angles)
            phases = phases + _constant_phase(parts)
        else:
            states = backprop_states(parts, angles)
        states = states * torch.exp(1j * phases)[:, None]
        return states.reshape(*batch, 2**num_qubits).to(
            device=parameters.device, dtype=_complex(parameters.dtype)
        )

    def _refuse_what_has_no_state(self, circuit: QuantumCircuit) -> None:
        if not self.backend.differentiable or self.shots is not None:
            where = f"backend={self.backend.name!r}" if self.shots is None else f"shots={self.shots}"
            raise UsageError(
                f"the state is not to be had with {where}; pass observables, or write backend='statevector' "
                "without shots."
            )
        if choose_method(self.gradient, self.backend, None, circuit.num_qubits, 1) not in (
            "adjoint",
            "backprop",
        ):
            raise UsageError(
                f"gradient={self.gradient!r} is for expectation values; write 'auto', 'adjoint' or "
                "'backprop' for the state, or pass observables."
            )
        for step in circuit.data:
            if isinstance(step.operation, Measure | Reset | Initialize | ControlFlowOp):
                raise UsageError(
                    f"a circuit with '{step.operation.name}' has no single final state; leave it out "
                    "(circuit.remove_final_measurements() does for measurements at the end), or pass "
                    "observables."
                )


def _constant_phase(parts: SplitCircuit) -> float:
    """The global phase of the gates without parameters, which the adjoint method skips."""
    phases = [made for gate in translated(parts) if not gate.qubits for made in gate.make(0.0, [])]
    return -sum(float(phase.data[0]) for phase in phases)


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


def _listed(names: Sequence[str]) -> str:
    return f" ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})" if names else ""


def _real(what: str, values: Any, names: Sequence[str], *, batch: bool = True) -> torch.Tensor:
    """Finite real numbers with one column for each name."""
    count = len(names)
    wanted = f"pass real numbers of shape {f'(*batch, {count})' if batch else f'({count},)'}."
    try:
        # torch would take lists for float32
        tensor = values if isinstance(values, torch.Tensor) else torch.from_numpy(np.array(values, order="C"))
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{what} are not numbers ({' '.join(str(error).split())}); {wanted}") from None
    check_tensor(tensor)
    if tensor.is_complex():
        raise UsageError(f"{what} are complex; {wanted}")
    if tensor.ndim == 0 or tensor.shape[-1] != count or not (batch or tensor.ndim == 1):
        raise UsageError(
            f"{what} have shape {tuple(tensor.shape)} and the module has {count} {what}{_listed(names)}; "
            f"{wanted}"
        )
    bad = torch.nonzero(~torch.isfinite(tensor))
    if len(bad):
        where = tuple(bad[0].tolist())
        raise UsageError(f"{what}{list(where)} is {tensor[where].item()}; angles must be finite numbers.")
    return tensor
