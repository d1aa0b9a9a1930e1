"""Snapshots of IBM devices: noise, couplings and readout errors of the qubits in use, including idle time.

The circuit that is passed runs without changes; internally, its active qubits are scheduled as late as
possible, so that idle qubits relax. Basis changes are gates of the device with their errors, during which
other qubits do not relax. All errors are those of Aer's own model of the device; its readout error is the
mean of the reported probabilities of both flips.
"""

from __future__ import annotations

import inspect
import json
import os
from functools import cache, lru_cache
from statistics import median

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Barrier, ControlFlowOp, Delay, Instruction
from qiskit.primitives import PrimitiveResult, SamplerPubResult
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import SuperOp
from qiskit.transpiler import Target
from qiskit_ibm_runtime import fake_provider
from qiskit_ibm_runtime.fake_provider.fake_backend import FakeBackendV2

from bondwise.backends.backend import Backend
from bondwise.backends.primitives import Sampler, sampler_result
from bondwise.backends.sampled import NativeRotations, SampledEstimator
from bondwise.backends.simulators.aer_runs import MAX_QUBITS, Shots, needs_products, simulator
from bondwise.backends.simulators.density import DensityEstimator, Prepared
from bondwise.backends.simulators.reduced_device import (
    ReducedDevice,
    active_qubits,
    check_native,
    reduced_circuit,
    scheduled,
)
from bondwise.circuits import refuse_variables, true_names
from bondwise.circuits.cache import CircuitCache
from bondwise.runs import UsageError, random_generator, unknown_name


@cache
def fake_devices() -> dict[str, type[FakeBackendV2]]:
    """The classes of all snapshots by short name, such as `"torino"`."""
    found = {}
    for name, member in inspect.getmembers(fake_provider, inspect.isclass):
        if issubclass(member, FakeBackendV2):
            found[_short(name)] = member
    return found


def describe(device: type[FakeBackendV2]) -> tuple[int, float | None]:
    """Number of qubits and median two-qubit error of a snapshot, from its files without building it."""
    with open(os.path.join(device.dirname, device.conf_filename)) as file:
        num_qubits = json.load(file)["n_qubits"]
    with open(os.path.join(device.dirname, device.props_filename)) as file:
        gates = json.load(file)["gates"]
    errors = [
        parameter["value"]
        for gate in gates
        for parameter in gate["parameters"]
        if len(gate["qubits"]) == 2 and parameter["name"] == "gate_error" and parameter["value"] < 1
    ]
    return num_qubits, median(errors) if errors else None


def fake_backend(device: str) -> Backend:
    """Look up the backend of a snapshot.

    Raises:
        UsageError: If there is no such snapshot.
    """
    devices = fake_devices()
    if _short(device) not in devices:
        error = unknown_name("device", f"fake:{device}", (f"fake:{name}" for name in devices))
        raise UsageError(f"{error} `bondwise backends` lists all.")
    return on_snapshot(devices[_short(device)]())


def on_snapshot(snapshot: FakeBackendV2) -> Backend:
    """A backend that emulates the device of a snapshot: its errors, durations and readout."""
    name, target = f"fake:{_short(snapshot.name)}", snapshot.target
    device = EmulatedDevice(name, target)
    sampler = DeviceSampler(device)
    estimator = DensityEstimator(device.prepare, SampledEstimator(sampler, NativeRotations(target)))
    return Backend(
        name,
        estimator=estimator,
        sampler=sampler,
        target=target,
        exact=True,
        noisy=True,
        symmetric_readout=True,
    )


class DeviceSampler(Sampler):
    """Samples circuits on the active qubits of a device; mid-circuit measurements are allowed."""

    def __init__(self, device: EmulatedDevice) -> None:
        self._device = device

    def _run(self, pubs: list[SamplerPub], seed: int | None) -> PrimitiveResult[SamplerPubResult]:
        rng = random_generator(seed)
        results = []
        for pub in pubs:
            circuit, shots = self._device.runnable(pub.circuit, pub.shots)
            results.append(shots.take(circuit, pub, rng))
        return sampler_result(pubs, results)


class EmulatedDevice:
    """A device of which only the active qubits of each circuit are modeled; the models are cached.

    Args:
        name: Name for messages and for the files of the cache.
        target: Target of the whole device.
    """

    def __init__(self, name: str, target: Target) -> None:
        self._name = name
        self._target = target
        self._prepared: CircuitCache[Prepared | None] = CircuitCache()
        self._runnable: CircuitCache[tuple[QuantumCircuit, tuple[int, ...]]] = CircuitCache()
        self._density = simulator("density_matrix")
        # by the qubits in use; simulators and channels take megabytes each
        kept = lru_cache(maxsize=16)
        self._reduced = kept(lambda qubits: ReducedDevice(name.replace(":", "-"), target, qubits))
        self._channels = kept(lambda qubits: self._reduced(qubits).channels())
        self._shots = kept(lambda qubits, method: Shots(self._reduced(qubits).simulator(method)))

    def prepare(self, circuit: QuantumCircuit, observed: tuple[int, ...]) -> Prepared | None:
        """A circuit with its noise as superoperators; None if it can only be sampled."""
        qubits = active_qubits(circuit, observed)
        return self._prepared.get(circuit, lambda: self._prepare(circuit, qubits), qubits)

    def runnable(self, circuit: QuantumCircuit, shots: int) -> tuple[QuantumCircuit, Shots]:
        """A circuit on its active qubits, and what takes that many noisy shots of it."""

        def make() -> tuple[QuantumCircuit, tuple[int, ...]]:
            refuse_variables(circuit)
            named = true_names(circuit)
            check_native(named, self._target, self._name)
            qubits = active_qubits(named)
            return scheduled(reduced_circuit(named, qubits), self._reduced(qubits).target), qubits

        small, qubits = self._runnable.get(circuit, make)
        method = "matrix_product_state" if needs_products(small, shots) else "automatic"
        return small, self._shots(qubits, method)

    def _prepare(self, circuit: QuantumCircuit, qubits: tuple[int, ...]) -> Prepared | None:
        refuse_variables(circuit)
        circuit = true_names(circuit)
        check_native(circuit, self._target, self._name)
        branches = any(i.clbits or isinstance(i.operation, ControlFlowOp) for i in circuit.data)
        if branches or len(qubits) > MAX_QUBITS:
            return None
        device, channels = self._reduced(qubits), self._channels(qubits)
        rotations = NativeRotations(device.target)

        def basis_change(place: int, letter: str) -> np.ndarray:
            channel = np.eye(4, dtype=complex)
            for instruction in rotations({place: letter}, len(qubits)).data:
                gate = instruction.operation
                channel = SuperOp(gate).data @ channel
                channel = channels.get((gate.name, (place,)), np.eye(4)) @ channel
            return channel

        return Prepared(
            circuit=_with_noise(scheduled(reduced_circuit(circuit, qubits), device.target), device, channels),
            positions={qubit: place for place, qubit in enumerate(qubits)},
            simulator=self._density,
            channel=basis_change,
            readout=device.readout(),
        )


def _with_noise(
    circuit: QuantumCircuit, device: ReducedDevice, channels: dict[tuple[str, tuple[int, ...]], np.ndarray]
) -> QuantumCircuit:
    """Each gate and its error as one superoperator; gates with angles are kept and followed by the error."""
    relaxations: dict[tuple[object, ...], np.ndarray] = {}
    noisy = QuantumCircuit(circuit.num_qubits, global_phase=circuit.global_phase)
    for instruction in circuit.data:
        gate = instruction.operation
        where = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
        error = channels.get((gate.name, where))
        if isinstance(gate, Barrier):
            continue
        if isinstance(gate, Delay):
            key = (where, gate.duration, gate.unit)
            if key not in relaxations:
                relaxations[key] = device.relaxation(where[0], gate)
            noisy.append(_superoperator(relaxations[key]), where)
        elif error is None:
            noisy.append(gate, where)
        elif gate.params:
            noisy.append(gate, where)
            noisy.append(_superoperator(error), where)
        else:
            noisy.append(_superoperator(error @ SuperOp(gate).data), where)
    return noisy


def _superoperator(matrix: np.ndarray) -> Instruction:
    return Instruction("superop", len(matrix).bit_length() // 2, 0, [matrix])


def _short(name: str) -> str:
    plain = name.lower().replace("_", "").removeprefix("fake")
    return plain.removesuffix("v2").removesuffix("backend")
