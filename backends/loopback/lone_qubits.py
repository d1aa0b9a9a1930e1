"""Qubits that nothing connects to others, sampled from their exact outcome probability.

The client's estimator twirls and measures all qubits of a device, though an observable acts on a few. The
others get a few one-qubit gates each; a simulation of all of them would take longer than that of the circuit.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, Delay, Gate, Instruction, Measure, Parameter
from qiskit.circuit.library import RZGate
from qiskit.quantum_info import SuperOp
from qiskit.transpiler import Target
from qiskit_aer.noise.device import basic_device_gate_errors

from bondwise.backends.simulators.reduced_device import ReducedDevice, active_qubits


class LoneQubit:
    """A qubit of a device, with its errors.

    Args:
        target: Target of the device.
        qubit: Index of the qubit.
    """

    def __init__(self, target: Target, qubit: int) -> None:
        self._device = device = ReducedDevice(f"qubit {qubit}", target, (qubit,))
        with warnings.catch_warnings():  # some devices report T2 > 2 T1; Aer truncates and warns
            warnings.simplefilter("ignore")
            errors = basic_device_gate_errors(target=device.target)
        self._channels = {gate: SuperOp(error).data for gate, _, error in errors}
        self._read_one = device.readout()[0, 1]  # probabilities to read 1 for 0 and for 1

    def probability(self, gates: Sequence[Instruction], angles: Sequence[np.ndarray | None]) -> np.ndarray:
        """Probability to read 1 after some gates.

        Args:
            gates: Gates and delays in their order; those with angles are rotations about z.
            angles: Of each gate, its angles in radians in all settings, or None.

        Returns:
            Array of the shape of the angles; of shape () if there are none.
        """
        state = np.array([1, 0, 0, 0], dtype=complex)  # density matrix, column by column
        for gate, angle in zip(gates, angles, strict=True):
            if isinstance(gate, Delay):
                state = state @ self._device.relaxation(0, gate).T
            elif angle is None:
                state = state @ SuperOp(gate).data.T
            else:
                turned = np.exp(1j * angle)
                one = np.ones_like(turned)
                state = state * np.stack([one, turned, turned.conj(), one], axis=-1)
            if gate.name in self._channels:
                state = state @ self._channels[gate.name].T
        ones = np.clip(state[..., 3].real, 0, 1)
        return self._read_one[0] * (1 - ones) + self._read_one[1] * ones


def is_lone(instructions: Sequence[CircuitInstruction]) -> bool:
    """Whether a qubit with these instructions is sampled exactly: gates, then one measurement."""
    *before, last = instructions
    return isinstance(last.operation, Measure) and all(
        isinstance(one.operation, Gate | Delay)
        and len(one.qubits) == 1
        and (not one.operation.is_parameterized() or _is_free(one.operation))
        for one in before
    )


def sample_lone(
    qubit: LoneQubit,
    instructions: Sequence[CircuitInstruction],
    place: dict[Parameter, int],
    values: np.ndarray | None,
    shape: tuple[int, ...],
    rng: np.random.Generator,
) -> np.ndarray:
    """Outcomes of a lone qubit.

    Args:
        qubit: The qubit.
        instructions: Instructions for which `is_lone` holds.
        place: Column of each parameter.
        values: Angles in radians, of shape (*settings, parameters); None without parameters.
        shape: (*settings, shots).
        rng: Random generator.

    Returns:
        Array of bool of this shape.
    """
    gates = [one.operation for one in instructions[:-1]]
    angles = [
        values[..., place[gate.params[0]]] if gate.is_parameterized() else None  # type: ignore[index]
        for gate in gates
    ]
    return rng.random(shape) < qubit.probability(gates, angles)[..., None]


def independent(circuit: QuantumCircuit) -> list[tuple[int, ...]]:
    """The qubits that matter to any outcome, in groups that no gate and no classical bit connects."""
    qubits = active_qubits(circuit)
    if circuit.has_control_flow_op():
        return [qubits]
    root: dict[object, object] = {}
    measured: set[object] = set()

    def find(bit: object) -> object:
        while root.setdefault(bit, bit) is not bit:
            bit = root[bit]
        return bit

    for instruction in circuit.data:
        if instruction.operation.name != "barrier":
            first, *others = map(find, (*instruction.qubits, *instruction.clbits))
            root.update((other, first) for other in others)
            measured.update(instruction.clbits)
    seen = {find(bit) for bit in measured}
    groups: dict[object, list[int]] = {}
    for qubit in qubits:
        if (group := find(circuit.qubits[qubit])) in seen:
            groups.setdefault(group, []).append(qubit)
    return [tuple(group) for group in groups.values()]


def instructions_by_qubit(circuit: QuantumCircuit) -> dict[int, list[CircuitInstruction]]:
    """The instructions on each qubit, without barriers."""
    found: dict[int, list[CircuitInstruction]] = {}
    for instruction in circuit.data:
        if instruction.operation.name != "barrier":
            for qubit in instruction.qubits:
                found.setdefault(circuit.find_bit(qubit).index, []).append(instruction)
    return found


def _is_free(gate: Instruction) -> bool:
    return isinstance(gate, RZGate) and isinstance(gate.params[0], Parameter)
