"""Statevectors of a circuit, differentiable with respect to its gate angles.

The adjoint method (arXiv:2009.02823) runs on `lightning.qubit`. The gradient of any real function f of the
final state ψ needs only its cotangent v (df = Re ⟨v|dψ⟩), and one sweep back through the circuit gives
Re ⟨v|∂ψ/∂angle⟩ for all angles. The number of observables does not matter, and only ψ is stored. PennyLane's
own interface builds a tape at each call and returns float32 to torch, so the gates are converted once to the
form that lightning's C++ classes take, and the angles are filled in.

Backpropagation runs on `default.qubit`: one broadcast run for a batch with all intermediate states stored,
differentiable any number of times.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pennylane as qml
import torch
from pennylane.devices.qubit import get_final_state
from pennylane_lightning.lightning_base._serialize import QuantumScriptSerializer
from pennylane_lightning.lightning_qubit_ops import StateVectorC128
from pennylane_lightning.lightning_qubit_ops.algorithms import VectorJacobianProductC128, create_ops_listC128

from bondwise.backends.pennylane.conversion import build, translated
from bondwise.circuits.splitting import SplitCircuit
from bondwise.runs import UsageError


def adjoint_states(parts: SplitCircuit, angles: torch.Tensor) -> torch.Tensor:
    """Final states, one simulation per set of angles; first derivatives by the adjoint method.

    Args:
        parts: The circuit.
        angles: float64 (B, G), radians.

    Returns:
        complex128 (B, 2^n), qubit 0 the lowest bit of the index, up to a global phase.

    Raises:
        UsageError: If the circuit contains something that is not a gate, or is differentiated twice.
    """
    return _AdjointStates.apply(angles, _program(parts))


def backprop_states(parts: SplitCircuit, angles: torch.Tensor) -> torch.Tensor:
    """Final states, all sets of angles at once; any number of derivatives by torch.

    Arguments, result and errors are those of `adjoint_states`.
    """
    num_qubits = parts.circuit.num_qubits
    wires = range(num_qubits)[::-1]
    operators = [qml.Identity(wire) for wire in wires]  # otherwise wires without gates are left out
    operators += build(translated(parts), angles, wires)
    state, _ = get_final_state(qml.tape.QuantumScript(operators), interface="torch")
    state = torch.as_tensor(state, dtype=torch.complex128).reshape(-1, 2**num_qubits)
    return state.expand(len(angles), -1)


class _AdjointStates(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, angles: torch.Tensor, program: _Program) -> torch.Tensor:
        states = torch.from_numpy(np.stack([program.state(row) for row in angles.tolist()]))
        ctx.program = program
        ctx.save_for_backward(angles, states)
        return states

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        if torch.is_grad_enabled():
            raise UsageError(
                "the adjoint method only gives first derivatives; write gradient='backprop' for higher ones."
            )
        angles, states = ctx.saved_tensors
        cotangents = gradients[0].resolve_conj().contiguous().numpy()
        rows = zip(angles.tolist(), states.numpy(), cotangents, strict=True)
        return torch.from_numpy(np.stack([ctx.program.pullback(*row) for row in rows])), None


class _Program:
    """A circuit in the form of lightning's C++ classes, with places for the angles."""

    def __init__(self, parts: SplitCircuit) -> None:
        self._num_qubits = parts.circuit.num_qubits
        wires = range(self._num_qubits)[::-1]  # lightning's first wire is the highest bit
        operators: list[Any] = []
        slots: list[int | None] = []
        for gate in translated(parts):
            made = gate.make(0.0, [wires[qubit] for qubit in gate.qubits])
            made = [one for one in made if not isinstance(one, qml.GlobalPhase | qml.Identity)]
            operators += made
            slots += [gate.angle if one.num_params else None for one in made]
        serializer = QuantumScriptSerializer("lightning.qubit")
        (
            (
                self._names,
                self._params,
                self._wires,
                self._inverses,
                self._matrices,
                self._controls,
                self._values,
            ),
            _,
        ) = serializer.serialize_ops(qml.tape.QuantumScript(operators))
        self._slots = [(place, angle) for place, angle in enumerate(slots) if angle is not None]
        # lightning counts the gates with numbers, including constants
        carries = [place for place, params in enumerate(self._params) if len(params)]
        number = {place: count for count, place in enumerate(carries)}
        self._trainable = [number[place] for place, _ in self._slots]
        self._columns = np.array([angle for _, angle in self._slots], dtype=int)
        self._moves = [self._move(place) for place in range(len(self._names))]

    def state(self, angles: list[float]) -> np.ndarray:
        """The final state, complex128 (2^n,)."""
        vector = StateVectorC128(self._num_qubits)
        for move, params in zip(self._moves, self._filled(angles), strict=True):
            move(vector, params)
        state = np.empty(2**self._num_qubits, dtype=complex)
        vector.getState(state)
        return state

    def pullback(self, angles: list[float], state: np.ndarray, cotangent: np.ndarray) -> np.ndarray:
        """Re ⟨cotangent|∂state/∂angle⟩, float64 (G,), at the final state."""
        result = np.zeros(len(angles))
        if self._trainable:
            vector = StateVectorC128(self._num_qubits)
            vector.updateData(state)
            gates = create_ops_listC128(
                self._names,
                self._filled(angles),
                self._wires,
                self._inverses,
                self._matrices,
                self._controls,
                self._values,
            )
            slopes = VectorJacobianProductC128()(vector, gates, cotangent, self._trainable)
            np.add.at(result, self._columns, slopes.real)
        return result

    def _filled(self, angles: list[float]) -> list[Any]:
        params = self._params.copy()
        for place, angle in self._slots:
            params[place] = [angles[angle]]
        return params

    def _move(self, place: int) -> Callable[[Any, Any], None]:
        wires, inverse = self._wires[place], self._inverses[place]
        controls, values, matrix = self._controls[place], self._values[place], self._matrices[place]
        method = getattr(StateVectorC128, self._names[place], None)
        if method is None or self._names[place] == "QubitUnitary":
            return lambda vector, _: vector.applyMatrix(matrix, wires, False)
        if controls:
            return lambda vector, params: method(vector, controls, values, wires, inverse, params)
        return lambda vector, params: method(vector, wires, inverse, params)


@lru_cache(maxsize=64)
def _program(parts: SplitCircuit) -> _Program:
    return _Program(parts)
