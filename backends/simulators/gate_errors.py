"""The channels that follow the gates of Aer's noise models."""

from __future__ import annotations

from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Instruction, Reset
from qiskit.circuit.library import PauliGate, UnitaryGate, get_standard_gate_name_mapping
from qiskit.quantum_info import SuperOp
from qiskit_aer.noise import NoiseModel, PauliLindbladError

from bondwise.runs import UsageError, kind_of


class GateErrors:
    """The errors of a noise model by gate and qubits, read from the dictionary that Aer itself simulates.

    Args:
        noise: The model; errors that are added to it later are not seen.

    Attributes:
        two_qubit: Names (or labels) of the gates with errors on two or more qubits.

    Raises:
        UsageError: If `noise` is not a noise model.

    Example:
        >>> from qiskit_aer.noise import NoiseModel, pauli_error
        >>> from bondwise.backends.simulators.gate_errors import GateErrors
        >>> noise = NoiseModel(basis_gates=["x"])
        >>> noise.add_quantum_error(pauli_error([("X", 0.1), ("I", 0.9)]), "x", [3])
        >>> errors = GateErrors(noise)
        >>> errors.channel("x", (3,)).dim, errors.channel("x", (2,))
        ((2, 2), None)
    """

    def __init__(self, noise: NoiseModel) -> None:
        if not isinstance(noise, NoiseModel):
            raise UsageError(f"noise is {kind_of(noise)}; pass a qiskit_aer.noise.NoiseModel.")
        self._errors: dict[tuple[str, tuple[int, ...] | None], dict[str, Any]] = {}
        self._channels: dict[tuple[str, int], SuperOp] = {}
        for error in noise.to_dict()["errors"]:
            if error["type"] != "roerror":
                for name in error["operations"]:
                    for qubits in error.get("gate_qubits", [None]):
                        self._errors[name, qubits] = error
        self.two_qubit = sorted({name for (name, _), error in self._errors.items() if _width(error) > 1})

    def channel(self, name: str, qubits: tuple[int, ...]) -> SuperOp | None:
        """The channel (4^k, 4^k) after a gate on k qubits, the first one the lowest; None without an error.

        Gates that share an error share the object.

        Raises:
            UsageError: If the error consists of operations that Aer does not simulate.
        """
        error = self._errors.get((name, qubits), self._errors.get((name, None)))
        if error is None:
            return None
        key = error["id"], len(qubits)
        if key not in self._channels:
            self._channels[key] = _channel(error, len(qubits))
        return self._channels[key]


def _width(error: dict[str, Any]) -> int:
    return 1 + max(max(step["qubits"]) for steps in error["instructions"] for step in steps)


def _channel(error: dict[str, Any], num_qubits: int) -> SuperOp:
    if error["type"] == "plerror":
        return SuperOp(PauliLindbladError.from_dict(error))
    total = np.zeros((4**num_qubits, 4**num_qubits), dtype=complex)
    for steps, probability in zip(error["instructions"], error["probabilities"], strict=True):
        circuit = QuantumCircuit(num_qubits)
        for step in steps:
            circuit.append(_operation(step), step["qubits"])
        total += probability * SuperOp(circuit).data
    return SuperOp(total)


def _operation(step: dict[str, Any]) -> Instruction:
    name, params = step["name"], step.get("params", [])
    if name == "reset":
        return Reset()
    if name == "pauli":
        return PauliGate(*params)
    if name == "unitary":
        return UnitaryGate(*params)
    if name in ("kraus", "superop"):
        return Instruction(name, len(step["qubits"]), 0, params)
    gates = get_standard_gate_name_mapping()
    if name not in gates:
        raise UsageError(
            f"the noise model has an error with {name!r}; write it as a unitary or Kraus channel."
        )
    return gates[name].base_class(*params)
