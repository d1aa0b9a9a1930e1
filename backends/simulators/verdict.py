"""Whether a circuit can be simulated exactly on this machine, by which simulator, and at what cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log2
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Barrier, Delay
from qiskit.quantum_info import SparsePauliOp

from bondwise.backends.inputs import as_operators
from bondwise.backends.mps.exact import exact_chain
from bondwise.backends.mps.states import contraction_cost
from bondwise.backends.simulators.mps import MAX_BOND
from bondwise.circuits import Observable, without_measurements
from bondwise.circuits.files.orders import with_order
from bondwise.circuits.splitting import split
from bondwise.runs import Result, limit

_LONGEST = 3600.0  # seconds
_AMPLITUDE = 1e-9  # seconds per gate and amplitude, as measured on one core; Aer is as fast
_START = 0.02  # seconds before the first gate
_HUGE = 500  # qubits above which no number matters any more


@dataclass(frozen=True, kw_only=True)
class Simulability(Result):
    """What an exact simulation of a circuit costs; `value` is the predicted time of the fastest one.

    Times are those of one core for one set of angles, with all observables and without gradients. They are
    predictions from the circuit's structure, right within a factor of a few.

    Attributes:
        value: Seconds on `best`; infinite if there is none.
        best: The fastest simulator whose state fits into memory and takes less than an hour, or None.
        bond: Largest bond dimension of the exact matrix product state that "mps" builds.
        light_cone: Largest number of qubits that a term of the observables depends on; of a single measured
            qubit without observables.
        seconds: Predicted seconds by simulator.
        memory: Predicted bytes by simulator.

    Example:
        >>> from bondwise import backends, qml
        >>> circuit = qml.brickwall(60, 4)
        >>> verdict = backends.simulability(circuit, qml.heisenberg(60))
        >>> verdict.best, verdict.bond, verdict.light_cone
        ('mps', 16, 10)
    """

    best: str | None
    bond: int
    light_cone: int
    seconds: dict[str, float]
    memory: dict[str, int]

    def __str__(self) -> str:
        power = log2(self.bond)
        bond = f"bond {self.bond}" if self.bond < 10**5 else f"bond 2^{power:.0f}"
        if self.best is None:
            least = min(self.memory.values()) / 2**30
            size = f"{least:,.0f}" if least < 10**6 else "more than a million"
            return (
                f"this circuit is not exactly simulable here: {bond}, {size} GiB at least, "
                f"light cones of {self.light_cone} qubits"
            )
        return f'this circuit is exactly simulable: {bond}, {_time(self.value)} on "{self.best}"'


def simulability(
    circuit: QuantumCircuit, observables: Observable | Sequence[Observable] | None = None
) -> Simulability:
    """Predict what an exact simulation of a circuit costs on each simulator, without running it.

    The bond dimension is that of the best cuts through the circuit, whatever its angles are; a state may have
    a smaller one at some angles. The light cone of a term consists of all qubits that its value depends on.

    Args:
        circuit: Any circuit of gates. Final measurements are left out.
        observables: As for `estimate`; None for samples.

    Returns:
        The bond dimension, the widest light cone, and predicted seconds and bytes on "statevector", "aer" and
        "mps".

    Raises:
        UsageError: If the circuit has operations that are not gates, or an observable is not accepted.

    Example:
        >>> from bondwise import backends, qml
        >>> print(backends.simulability(qml.brickwall(60, 60), qml.heisenberg(60)))
        this circuit is not exactly simulable here: bond 2^30, ...
    """
    circuit = without_measurements(with_order(circuit)[0])
    operators = [] if observables is None else as_operators(observables, circuit.num_qubits)
    steps = [step for step in circuit.data if not isinstance(step.operation, Barrier | Delay)]
    places = [[circuit.find_bit(qubit).index for qubit in step.qubits] for step in steps]
    parts = split(circuit)
    chain = exact_chain(parts)
    used = len({place for where in places for place in where} | _observed(operators))
    used = min(used, _HUGE)
    dense = _START + (len(places) + 1) * _AMPLITUDE * 2.0**used
    name = "mps" if chain.bond <= MAX_BOND else f"mps:max_bond={chain.bond}"
    time, size = contraction_cost(chain, operators)
    seconds = {"statevector": dense, "aer": dense, name: time}
    memory = {"statevector": 16 << used, "aer": 16 << used, name: size}
    most = limit("memory_bytes")
    possible = {one: took for one, took in seconds.items() if memory[one] <= most and took <= _LONGEST}
    best = min(possible, key=lambda one: possible[one]) if possible else None
    return Simulability(
        value=inf if best is None else seconds[best],
        best=best,
        bond=chain.bond,
        light_cone=_light_cone(places, circuit.num_qubits, operators),
        seconds=seconds,
        memory=memory,
    )


def _observed(operators: Sequence[SparsePauliOp]) -> set[int]:
    letters = [np.flatnonzero((one.paulis.x | one.paulis.z).any(axis=0)) for one in operators]
    return {int(qubit) for own in letters for qubit in own}


def _light_cone(places: Sequence[Sequence[int]], qubits: int, operators: Sequence[SparsePauliOp]) -> int:
    """The largest number of qubits that are connected to a term, or to a qubit, backwards in time."""
    cones = [1 << qubit for qubit in range(qubits)]  # of the outputs: what each depends on, as bits
    for where in places:
        joined = 0
        for place in where:
            joined |= cones[place]
        for place in where:
            cones[place] = joined
    widest = 0 if operators else max((cone.bit_count() for cone in cones), default=0)
    for operator in operators:
        for row in np.unique(operator.paulis.x | operator.paulis.z, axis=0):
            cone = 0
            for qubit in np.flatnonzero(row):
                cone |= cones[qubit]
            widest = max(widest, cone.bit_count())
    return widest


def _time(seconds: float) -> Any:
    if seconds < 90:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"
