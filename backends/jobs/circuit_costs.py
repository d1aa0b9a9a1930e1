"""What a compiled circuit costs on a device, by the errors and durations that the target reports.

The success probability is the product of 1 - error over all gates and measurements, and of the fidelities of
all waits. A wait of time t has the average fidelity of thermal relaxation, 1/2 + exp(-t/T1)/6 + exp(-t/T2)/3,
which is what 1 - error is for gates. Everything is as late as possible; qubits in their initial state and
qubits that are not used again wait without errors.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import exp, inf
from typing import Any, NamedTuple

from qiskit import QuantumCircuit
from qiskit.circuit import Barrier, ControlFlowOp, Delay, Operation, Reset
from qiskit.transpiler import Target
from qiskit.utils import apply_prefix

from bondwise.circuits import two_qubit_depth


class Load(NamedTuple):
    """A circuit with all its executions.

    Attributes:
        circuit: The compiled circuit.
        sets: Number of parameter sets, each a circuit to run.
        shots: Number of shots of each.
        target: Target that it is compiled for; None for that of the backend.
        qubits: Qubits whose errors matter; None for all that are used.
    """

    circuit: QuantumCircuit
    sets: int
    shots: int
    target: Target | None = None
    qubits: Collection[int] | None = None


@dataclass(frozen=True)
class CircuitCost:
    """What one execution of a circuit costs.

    Attributes:
        two_qubit_gates: Number of gates on two or more qubits, as compiled.
        two_qubit_depth: Depth of these gates.
        seconds: How long it takes, from the reset of its qubits to the last measurement; None if the target
            reports no durations.
        success: Probability that nothing goes wrong; None if the target reports no errors.
    """

    two_qubit_gates: int
    two_qubit_depth: int
    seconds: float | None
    success: float | None


def circuit_cost(
    circuit: QuantumCircuit, target: Target | None, qubits: Collection[int] | None = None
) -> CircuitCost:
    """Compute what a compiled circuit costs.

    Of the branches of a circuit the longest and the most faulty count, of a loop one round. Angles do not
    matter: gates with angles have the same error and duration for all.

    Args:
        circuit: Circuit in the gates of the target, on its qubits.
        target: Target of the device; None if there is none.
        qubits: Qubits whose errors matter; None for all that are used.
    """
    gates, depth = _count(circuit), two_qubit_depth(circuit)
    if target is None:
        return CircuitCost(gates, depth, None, None)
    timeline = _Timeline(target, qubits)
    seconds, success = timeline.walk(circuit, list(range(circuit.num_qubits)))
    if timeline.timed:
        resets = [timeline.reported("reset", (qubit,))[1] for qubit in timeline.used]
        seconds += max((each for each in resets if each is not None), default=0.0)
    return CircuitCost(
        gates, depth, seconds if timeline.timed else None, success if timeline.erroneous else None
    )


class _Timeline:
    """A walk through a circuit from its end to its start."""

    def __init__(self, target: Target, qubits: Collection[int] | None) -> None:
        self._target, self._matter = target, qubits
        self.timed = self.erroneous = False  # whether the target has reported anything
        self.used: set[int] = set()

    def reported(self, name: str, where: tuple[int, ...]) -> tuple[float | None, float | None]:
        """Error and duration of a gate on these qubits."""
        known = self._target[name] if name in self._target.operation_names else None
        found = (known or {}).get(where)
        return (None, None) if found is None else (found.error, found.duration)

    def walk(self, circuit: QuantumCircuit, places: list[int]) -> tuple[float, float]:
        """Duration and success probability of a circuit whose qubits are at these places of the device."""
        steps = []
        excited: set[int] = set()  # qubits that a gate has acted on since they were reset
        for step in circuit.data:
            where = tuple(places[circuit.find_bit(qubit).index] for qubit in step.qubits)
            if isinstance(step.operation, Reset):
                excited -= set(where)
            elif not isinstance(step.operation, Barrier | Delay):
                excited |= set(where)
            steps.append((step.operation, where, excited & set(where)))
            self.used |= set() if isinstance(step.operation, Barrier | Delay) else set(where)
        reach: dict[int, float] = {}  # how long before the end each qubit is used again
        success = 1.0
        for operation, where, live in reversed(steps):
            begin = max((reach.get(qubit, 0.0) for qubit in where), default=0.0)
            duration, one = self._step(operation, where)
            success *= one
            for qubit in where:
                if qubit in reach and qubit in live:
                    waits = isinstance(operation, Delay)
                    success *= self._kept(qubit, begin - reach[qubit] + (duration if waits else 0.0))
            if isinstance(operation, Barrier | Delay):
                where = tuple(qubit for qubit in where if qubit in reach)
            reach |= dict.fromkeys(where, begin + duration)
        return max(reach.values(), default=0.0), success

    def _step(self, operation: Operation, where: tuple[int, ...]) -> tuple[float, float]:
        if isinstance(operation, Barrier):
            return 0.0, 1.0
        if isinstance(operation, Delay):
            return self._delay(operation), 1.0
        if isinstance(operation, ControlFlowOp):
            blocks = [self.walk(block, list(where)) for block in operation.blocks]
            return max(seconds for seconds, _ in blocks), min(success for _, success in blocks)
        error, duration = self.reported(operation.name, where)
        self.timed |= bool(duration)
        self.erroneous |= error is not None
        matters = self._matter is None or any(qubit in self._matter for qubit in where)
        return duration or 0.0, 1.0 - min(error or 0.0, 1.0) if matters else 1.0

    def _delay(self, delay: Any) -> float:
        try:
            if delay.unit == "dt":
                return float(delay.duration) * (self._target.dt or 0.0)
            return float(apply_prefix(float(delay.duration), delay.unit))
        except (TypeError, ValueError):  # a free parameter, or an expression of the circuit
            return 0.0

    def _kept(self, qubit: int, seconds: float) -> float:
        properties = (self._target.qubit_properties or {qubit: None})[qubit]
        if properties is None or seconds <= 0 or (self._matter is not None and qubit not in self._matter):
            return 1.0
        t1 = getattr(properties, "t1", None) or inf
        t2 = min(getattr(properties, "t2", None) or inf, 2 * t1)
        return 0.5 + exp(-seconds / t1) / 6 + exp(-seconds / t2) / 3


def _count(circuit: QuantumCircuit) -> int:
    """Gates on two or more qubits; of branches, the most."""
    total = 0
    for step in circuit.data:
        operation = step.operation
        if isinstance(operation, ControlFlowOp):
            total += max(map(_count, operation.blocks))
        elif len(step.qubits) > 1 and not isinstance(operation, Barrier):
            total += 1
    return total
