"""A device reduced to the qubits that a circuit uses: target, scheduled circuit, error channels.

A model of all 127 to 156 qubits of a device takes seconds to build and slows down every run, and qubits
without gates have no effect. The reduced model is the same model: errors, couplings and readout of the active
qubits are copied, not refitted.
"""

from __future__ import annotations

import copy
import hashlib
import json
import warnings
from collections.abc import Iterable

import numpy as np
import qiskit
import qiskit_aer
from qiskit import QuantumCircuit
from qiskit.circuit import ControlFlowOp, Delay, QuantumRegister
from qiskit.circuit.library import Barrier
from qiskit.providers import BackendV2, Options
from qiskit.quantum_info import SuperOp
from qiskit.transpiler import InstructionProperties, PassManager, Target, TranspilerError
from qiskit.transpiler.passes import ALAPScheduleAnalysis, PadDelay, TimeUnitConversion
from qiskit.utils import apply_prefix
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, thermal_relaxation_error
from qiskit_aer.noise.device import basic_device_gate_errors, basic_device_readout_errors

from bondwise.backends.simulators.aer_runs import threads
from bondwise.backends.simulators.noise_cache import cached_arrays
from bondwise.runs import UsageError


class ReducedDevice(BackendV2):
    """Some qubits of a device, numbered from 0, with their errors, durations and couplings.

    Args:
        name: Name of the device, for messages and file names.
        target: Target of the whole device.
        qubits: Qubits to keep; qubit k of the reduced device is `qubits[k]`.
    """

    def __init__(self, name: str, target: Target, qubits: tuple[int, ...]) -> None:
        super().__init__(name=name)
        self.qubits = qubits
        self._target = _reduced_target(target, qubits)

    @property
    def target(self) -> Target:
        """The target of the kept qubits."""
        return self._target

    @property
    def max_circuits(self) -> None:
        """No limit."""
        return None

    @classmethod
    def _default_options(cls) -> Options:
        return Options()

    def run(self, run_input: object, **options: object) -> None:
        """Not available: circuits run on `simulator()`."""
        raise NotImplementedError("a reduced device only describes qubits; run circuits on its simulator()")

    def simulator(self, method: str) -> AerSimulator:
        """Aer with the noise of these qubits: gate errors, relaxation in delays, readout errors."""
        with warnings.catch_warnings():  # some devices report T2 > 2 T1; Aer truncates and warns
            warnings.simplefilter("ignore")
            made = AerSimulator.from_backend(self, method=method, max_parallel_threads=threads())
        _share_errors(made.options.noise_model)
        return made

    def relaxation(self, qubit: int, delay: Delay) -> np.ndarray:
        """The superoperator (4, 4) of a delay on a qubit."""
        if not self._target.qubit_properties:
            return np.eye(4)
        properties = self._target.qubit_properties[qubit]
        t1 = np.inf if properties.t1 is None else properties.t1
        t2 = min(np.inf if properties.t2 is None else properties.t2, 2 * t1)
        if delay.unit == "dt":
            seconds = delay.duration * self._target.dt
        else:
            seconds = apply_prefix(delay.duration, delay.unit)
        return SuperOp(thermal_relaxation_error(t1, t2, seconds)).data

    def channels(self) -> dict[tuple[str, tuple[int, ...]], np.ndarray]:
        """The error that follows each gate, as superoperators (4^k, 4^k) by gate name and qubits."""

        def make() -> dict[str, np.ndarray]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                errors = basic_device_gate_errors(target=self._target)
            return {".".join([gate, *map(str, where)]): SuperOp(error).data for gate, where, error in errors}

        content = json.dumps([1, qiskit.__version__, qiskit_aer.__version__, _content(self._target)])
        name = f"{self.name}-{hashlib.sha256(content.encode()).hexdigest()[:32]}"
        found = {}
        for key, array in cached_arrays(name, make).items():
            gate, *where = key.split(".")
            found[gate, tuple(map(int, where))] = array
        return found

    def readout(self) -> np.ndarray:
        """Confusion matrices (n, 2, 2): [qubit, bit read, true bit]; columns sum to one."""
        confusion = np.tile(np.eye(2), (len(self.qubits), 1, 1))
        for (qubit,), error in basic_device_readout_errors(target=self._target):
            confusion[qubit] = np.asarray(error.probabilities).T
        return confusion


def active_qubits(circuit: QuantumCircuit, observed: Iterable[int] = ()) -> tuple[int, ...]:
    """The qubits that gates, measurements or observables act on, in ascending order; at least one."""
    found = set(observed)
    for instruction in circuit.data:
        if not isinstance(instruction.operation, Delay | Barrier):
            found.update(circuit.find_bit(qubit).index for qubit in instruction.qubits)
    return tuple(sorted(found)) or (0,)


def reduced_circuit(circuit: QuantumCircuit, qubits: tuple[int, ...]) -> QuantumCircuit:
    """The circuit on these qubits only, with its classical registers; everything else is dropped."""
    position = {circuit.qubits[qubit]: index for index, qubit in enumerate(qubits)}
    small = QuantumCircuit(QuantumRegister(len(qubits), "q"), global_phase=circuit.global_phase)
    small.add_bits(circuit.clbits)
    for register in circuit.cregs:
        small.add_register(register)
    for instruction in circuit.data:
        where = [position[qubit] for qubit in instruction.qubits if qubit in position]
        operation = instruction.operation
        if isinstance(operation, Barrier):
            operation = Barrier(len(where))
        elif getattr(operation, "label", None) is not None:
            operation = operation.to_mutable()  # Aer looks up errors by label, and devices have none
            operation.label = None
        if where:
            small.append(operation, where, instruction.clbits)
    return small


def scheduled(circuit: QuantumCircuit, target: Target) -> QuantumCircuit:
    """The circuit with everything as late as possible, and delays where qubits wait.

    Circuits with branches, or of devices that do not report how long gates take, are returned unchanged.
    """
    if any(isinstance(instruction.operation, ControlFlowOp) for instruction in circuit.data):
        return circuit
    try:
        passes = [
            TimeUnitConversion(target=target),
            ALAPScheduleAnalysis(target=target),
            PadDelay(target=target),
        ]
        return PassManager(passes).run(circuit)
    except TranspilerError:
        return circuit


def check_native(circuit: QuantumCircuit, target: Target, name: str) -> None:
    """Raise a UsageError that names the gate unless the device can run the circuit without changes."""
    for instruction in circuit.data:
        operation = instruction.operation
        where = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
        native = isinstance(operation, Barrier | ControlFlowOp)
        if not native and not target.instruction_supported(operation.name, where):
            raise UsageError(
                f"{operation.name} on qubits {where} is not a gate of {name}; "
                "pass the circuit through backend.transpile first."
            )


def _share_errors(model: NoiseModel) -> None:
    """Have deep copies of a noise model share its errors, which nothing changes.

    Aer adds the errors of delays to such a copy in each run; to copy the others takes longer than to sample.
    """

    def copied(_: object) -> NoiseModel:
        twin = copy.copy(model)
        del twin.__deepcopy__
        parts = {
            name: copy.copy(one) for name, one in vars(twin).items() if isinstance(one, dict | list | set)
        }
        vars(twin).update(parts)
        return twin

    model.__deepcopy__ = copied


def _reduced_target(target: Target, qubits: tuple[int, ...]) -> Target:
    position = {qubit: index for index, qubit in enumerate(qubits)}
    properties = target.qubit_properties
    small = Target(
        num_qubits=len(qubits),
        dt=target.dt,
        qubit_properties=[properties[qubit] for qubit in qubits] if properties else None,
    )
    for name in target.operation_names:
        operation, where = target.operation_from_name(name), target[name]
        if isinstance(operation, type) or where is None or None in where:
            small.add_instruction(operation, name=name)
            continue
        kept = {
            tuple(position[qubit] for qubit in pair): _timed(name, error)
            for pair, error in where.items()
            if position.keys() >= set(pair)
        }
        if kept:
            small.add_instruction(operation, kept, name=name)
    return small


def _timed(name: str, reported: InstructionProperties | None) -> InstructionProperties | None:
    """Measurements and resets without a reported duration take no time, so that they can be scheduled."""
    if name not in ("measure", "reset") or reported is None or reported.duration is not None:
        return reported
    return InstructionProperties(0.0, reported.error)


def _content(target: Target) -> list[object]:
    """All numbers of a target that determine its noise."""
    gates = [
        [name, list(where), error.error, error.duration]
        for name in sorted(target.operation_names)
        for where, error in (target[name] or {}).items()
        if where is not None and error is not None
    ]
    return [target.dt, gates, [[q.t1, q.t2, q.frequency] for q in target.qubit_properties or []]]
