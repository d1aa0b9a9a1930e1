"""The interface to Aer: threads, failures in one line, bound angles, and independent shots."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import (
    Barrier,
    ControlFlowOp,
    ControlledGate,
    Delay,
    Gate,
    Instruction,
    Measure,
    Parameter,
    Reset,
)
from qiskit.primitives import BitArray, DataBin
from qiskit.primitives.containers.bindings_array import BindingsArray
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.result.models import ExperimentResult
from qiskit_aer import AerError, AerSimulator
from qiskit_aer.noise import NoiseModel
from qiskit_aer.primitives import SamplerV2 as AerSamplerV2

from bondwise.backends.inputs import kept_columns
from bondwise.backends.outcomes import Counted, of_last_register
from bondwise.circuits import with_constants
from bondwise.runs import RunError, one_line, require_memory

MAX_QUBITS = 12  # a density matrix of 12 qubits takes 0.27 GB, of 13 already 1.1 GB
MOST_IN_STATE_VECTORS = 24  # qubits of noisy shots; more take minutes each
_RANK_TWO = frozenset("cx cy cz ch cp crx cry crz csx cu1 cu3 ecr rxx ryy rzz rzx".split())
_TOGETHER = 256  # parameter sets in one run; with thousands, each takes several times as long


def threads() -> int:
    """The number of threads that OMP_NUM_THREADS allows; 0, which Aer reads as all, if it is not set."""
    value = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(value) if value.isdigit() else 0


def simulator(method: str, noise: NoiseModel | None = None) -> AerSimulator:
    """An Aer simulator with the number of threads in OMP_NUM_THREADS."""
    return AerSimulator(method=method, noise_model=noise, max_parallel_threads=threads())


def _threads_for(aer: AerSimulator, circuit: QuantumCircuit) -> dict[str, int]:
    """One thread for states below 8 MB, for which several threads are slower."""
    bits = circuit.num_qubits * (2 if aer.options.method == "density_matrix" else 1)
    return {"max_parallel_threads": 1} if bits < 19 else {}


def _require_memory(aer: AerSimulator, circuit: QuantumCircuit) -> None:
    """Refuse a state that does not fit into memory before Aer starts with it."""
    sides = {"statevector": 1, "density_matrix": 2}.get(aer.options.method)
    if sides is not None:
        used = _qubits_in_use(circuit)
        what = f"a {aer.options.method} of {used} qubits"
        instead = "use 'aer:matrix_product_state' or fewer qubits"
        if aer.options.noise_model is not None:  # without a method, one that fits is chosen
            instead = "leave the method out, as in 'aer:depolarizing=0.01', or use fewer qubits"
        require_memory(what, 16 << sides * used, instead)


def _qubits_in_use(circuit: QuantumCircuit) -> int:
    steps = [step for step in circuit.data if not isinstance(step.operation, Barrier | Delay)]
    return len({qubit for step in steps for qubit in step.qubits})


def trajectory_bits(circuit: QuantumCircuit) -> int:
    """Cost of a noisy shot as a matrix product state: gates take as long as on a state vector of that size.

    Aer multiplies matrices as large as the bond, which each gate at most doubles, or quadruples, between its
    qubits.
    """
    steps = [step for step in circuit.data if not isinstance(step.operation, Barrier | Delay)]
    used = sorted({circuit.find_bit(qubit).index for step in steps for qubit in step.qubits})
    place = {qubit: position for position, qubit in enumerate(used)}
    crossed = np.zeros(len(used) + 1, dtype=int)
    for step in steps:
        where = [place[circuit.find_bit(qubit).index] for qubit in step.qubits]
        if len(where) > 1:
            rank = 1 if step.operation.name in _RANK_TWO else len(where)
            crossed[min(where) + 1 : max(where) + 1] += rank
    most = np.minimum(np.arange(len(crossed)), np.arange(len(crossed))[::-1])
    return 2 * int(np.minimum(crossed, most).max()) + 6


def needs_products(circuit: QuantumCircuit, shots: int) -> bool:
    """Whether noisy shots are faster as matrix product states than as Aer chooses, or need to be these."""
    used = _qubits_in_use(circuit)
    if used <= MAX_QUBITS and _share_density_matrix(circuit, shots):
        return False
    return used > MOST_IN_STATE_VECTORS or trajectory_bits(circuit) <= used


def _share_density_matrix(circuit: QuantumCircuit, shots: int) -> bool:
    """Whether Aer, left to choose, draws all noisy shots from one density matrix, if that fits."""
    return shots > 2 ** _qubits_in_use(circuit) and not _measures_early(circuit)


def replaced(circuit: QuantumCircuit, replace: Callable[[Instruction], Instruction]) -> QuantumCircuit:
    """The circuit with its operations replaced, including those in branches."""
    changed = circuit.copy_empty_like()
    for instruction in circuit.data:
        operation = instruction.operation
        if isinstance(operation, ControlFlowOp):
            operation = operation.replace_blocks([replaced(block, replace) for block in operation.blocks])
        changed.append(replace(operation), instruction.qubits, instruction.clbits)
    return changed


def _bindable(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit with its free angles where Aer looks for them; angles that cancel become numbers."""
    return with_constants(replaced(circuit, _with_angles_in_sight))


def _with_angles_in_sight(operation: Instruction) -> Instruction:
    """A controlled gate as a plain gate of the same name.

    Controlled gates keep their angles in their base gate, where Aer does not find them and runs the gate at
    angle 0. Aer identifies gates by name.
    """
    if not isinstance(operation, ControlledGate) or not operation.params:
        return operation
    return Gate(operation.name, operation.num_qubits, list(operation.params), label=operation.label)


def evolve(
    aer: AerSimulator, circuit: QuantumCircuit, parameters: Sequence[Parameter], sets: np.ndarray
) -> list[dict[str, Any]]:
    """The data that the circuit saves, for each parameter set (N, P).

    Raises:
        UsageError: If the state would take more memory than allowed.
        RunError: If Aer cannot run the circuit; the message contains its reason.
    """
    if not len(sets):  # Aer would report a crash
        return []
    _require_memory(aer, circuit)
    if parameters:
        circuit = _bindable(circuit)
    if not circuit.parameters:
        return _run(aer, circuit, None, 1) * len(sets)
    saved = []
    for start in range(0, len(sets), _TOGETHER):
        part = sets[start : start + _TOGETHER]
        binds = {parameter: part[:, i] for i, parameter in enumerate(parameters)}
        saved += _run(aer, circuit, [binds], len(part))
    return saved


def _run(
    aer: AerSimulator, circuit: QuantumCircuit, binds: list[dict[Parameter, np.ndarray]] | None, count: int
) -> list[dict[str, Any]]:
    # Aer's truncation drops gates before a save instruction that an earlier one needs
    options = {**_threads_for(aer, circuit), "enable_truncation": False}
    run = aer.run(circuit, parameter_binds=binds, **options).result()
    if not run.success:
        raise _failure(aer, run.status)
    return [run.data(index) for index in range(count)]


class Shots:
    """Samples circuits so that all shots are independent of each other.

    If every shot is a run of its own (noise, mid-circuit measurements), Aer starts the random numbers of
    shot k of circuit i from seed + 2113 i + k. The circuits of one job therefore repeat each other's errors
    from shot 2113 on, and neighboring seeds repeat each other. Here every circuit has a seed of its own.

    Args:
        aer: Simulator to run on.
    """

    def __init__(self, aer: AerSimulator) -> None:
        self._aer = aer
        self._sampler = AerSamplerV2.from_backend(aer)
        self._one_at_a_time = Lock()  # the seed is an option of the sampler

    def take(self, circuit: QuantumCircuit, pub: SamplerPub, rng: np.random.Generator) -> DataBin:
        """Sample a PUB with `circuit`, which has the same parameters and registers, instead of its own."""
        values = pub.parameter_values
        if circuit.parameters:
            angles, written = values.as_array(circuit.parameters), circuit
            circuit = _bindable(circuit)
            left = {tuple(circuit.parameters): kept_columns(written, circuit, angles)}
            values = BindingsArray(left, shape=values.shape)
        _require_memory(self._aer, circuit)
        if not values.size:  # Aer would report a crash
            bits = {
                r.name: np.zeros((*values.shape, pub.shots, -(-r.size // 8)), np.uint8) for r in circuit.cregs
            }
            none = {r.name: BitArray(bits[r.name], r.size) for r in circuit.cregs}
            return DataBin(**none, shape=values.shape)
        each = self._aer.options.noise_model is not None or not circuit.parameters or _measures_early(circuit)
        if values.size == 1 or not each:
            return self._run(circuit, values, pub.shots, rng)
        parts = [self._run(circuit, values[index], pub.shots, rng) for index in np.ndindex(values.shape)]
        registers = {}
        for name, first in parts[0].items():
            packed = np.stack([part[name].array for part in parts])
            registers[name] = BitArray(packed.reshape(*values.shape, *first.array.shape), first.num_bits)
        return DataBin(**registers, shape=values.shape)

    @property
    def noise_free(self) -> bool:
        """Whether the simulator has no noise model."""
        return self._aer.options.noise_model is None

    def counted(
        self, tasks: Sequence[tuple[QuantumCircuit, SamplerPub]], rng: np.random.Generator
    ) -> list[list[Counted]]:
        """The outcomes of the register that was added last, for each PUB and parameter set.

        Aer reads the noise model again in each run. Circuits whose shots are all drawn from one density
        matrix therefore share a run; all others have a run and a seed of their own.
        """
        found: list[list[Counted]] = [[] for _ in tasks]
        left = []
        for index, (circuit, pub) in enumerate(tasks):
            _require_memory(self._aer, circuit)
            drawn = self._aer.options.method in ("automatic", "density_matrix")
            drawn &= _share_density_matrix(circuit, pub.shots)
            angles = pub.parameter_values.as_array(circuit.parameters).reshape(pub.size, -1)
            left += [(index, circuit.assign_parameters(row), pub.shots if drawn else 0) for row in angles]
        while left:
            _, _, shots = left[0]
            same = next((place for place, (_, _, other) in enumerate(left) if other != shots), len(left))
            part = left[: min(same, _TOGETHER) if shots else 1]
            seed = int(rng.integers(2**31))
            each = tasks[part[0][0]][1].shots
            circuits = [circuit for _, circuit, _ in part]
            options = {"shots": each, "seed_simulator": seed, **_truncation(circuits)}
            run = self._aer.run(circuits, **options).result()
            if not run.success:
                raise _failure(self._aer, run.status)
            if len(part) > 1 and not all(map(_drawn_from_density_matrix, run.results)):
                left = [(index, circuit, 0) for index, circuit, _ in part] + left[len(part) :]
                continue
            for place, (index, circuit, _) in enumerate(part):
                found[index].append(of_last_register(circuit, run.data(place)["counts"]))
            left = left[len(part) :]
        return found

    def _run(
        self, circuit: QuantumCircuit, values: BindingsArray, shots: int, rng: np.random.Generator
    ) -> DataBin:
        options: dict[str, Any] = {} if self._aer.options.noise_model else _threads_for(self._aer, circuit)
        options |= {"seed_simulator": int(rng.integers(2**31)), **_truncation([circuit])}
        with self._one_at_a_time:
            self._sampler.options.run_options = options
            try:
                return self._sampler.run([SamplerPub(circuit, values, shots)]).result()[0].data
            except (AerError, TypeError) as error:
                if isinstance(error, TypeError) and "unsigned byte" not in str(error):
                    raise  # else a run that failed has no counts
                raise _failure(self._aer, one_line(error)) from error


def _truncation(circuits: Sequence[QuantumCircuit]) -> dict[str, bool]:
    """Options that keep Aer from leaving out qubits that are in a branch and not measured: it then fails."""
    for circuit in circuits:
        flow = {q for step in circuit.data if isinstance(step.operation, ControlFlowOp) for q in step.qubits}
        if flow and flow - {q for step in circuit.data if step.name == "measure" for q in step.qubits}:
            return {"enable_truncation": False}
    return {}


def _failure(aer: AerSimulator, reason: str) -> RunError:
    reason = " ".join(reason.split())
    return RunError(f"Aer cannot run the circuit with its method {aer.options.method!r}: {reason}")


def _drawn_from_density_matrix(result: ExperimentResult) -> bool:
    return result.metadata["method"] == "density_matrix" and result.metadata.get("measure_sampling", False)


def _measures_early(circuit: QuantumCircuit) -> bool:
    measured = False
    for instruction in circuit.data:
        operation = instruction.operation
        if isinstance(operation, Reset | ControlFlowOp):
            return True
        if measured and not isinstance(operation, Measure | Barrier | Delay):
            return True
        measured |= isinstance(operation, Measure)
    return False
