"""The devices of the loopback service: snapshots that run the service's programs, with their noise.

A program is decoded with the client's own converters and run with the client's own `run_quantum_program`, as
in its local testing mode; only that each circuit is reduced to its active qubits and split where nothing
connects them, without which 133 qubits would need a state of 2^133 amplitudes. As in local mode, qubits that
wait suffer no noise.
"""

from __future__ import annotations

import copy
import json
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from ibm_quantum_schemas.common import CompressedTensorModel
from ibm_quantum_schemas.executor.version_2_0.models import (
    ItemMetadataModel,
    MetadataModel,
    QuantumProgramResultItemModel,
    QuantumProgramResultModel,
)
from qiskit.primitives import BackendEstimatorV2, BackendSamplerV2, PrimitiveResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.transpiler import Target
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime.fake_provider.executor.broadcast_sample import broadcast_sample
from qiskit_ibm_runtime.fake_provider.executor.run_quantum_program import run_quantum_program
from qiskit_ibm_runtime.fake_provider.fake_backend import FakeBackendV2
from qiskit_ibm_runtime.json import RuntimeDecoder, RuntimeEncoder
from qiskit_ibm_runtime.options_models.simulator import SimulatorOptions
from qiskit_ibm_runtime.quantum_program import QuantumProgram
from qiskit_ibm_runtime.quantum_program.converters.converters_2_0 import passthrough_data_to_2_0
from qiskit_ibm_runtime.quantum_program.params_converters import QUANTUM_PROGRAM_PARAMS_CONVERTERS
from qiskit_ibm_runtime.utils.backend_converter import convert_to_target
from qiskit_ibm_runtime.utils.backend_decoder import (
    configuration_from_server_data,
    properties_from_server_data,
)
from samplomatic.quantum_program import CircuitItem, SamplexItem

from bondwise.backends.loopback.lone_qubits import (
    LoneQubit,
    independent,
    instructions_by_qubit,
    is_lone,
    sample_lone,
)
from bondwise.backends.simulators.reduced_device import ReducedDevice, active_qubits, reduced_circuit

PROGRAMS = ("executor", "sampler", "estimator")
_SCHEMA = "v2.0"  # the only one whose results are written
_OVERHEAD = 1.0  # seconds that each job is charged for, beside its shots
_SIMULATORS = 32  # kept per device; each holds the noise of a few qubits


class Device:
    """A device of the loopback service.

    Args:
        name: Name such as `"ibm_manila"`.
        snapshot: Class of the snapshot; its files are what the service answers.
    """

    def __init__(self, name: str, snapshot: type[FakeBackendV2]) -> None:
        self.name = name
        folder = Path(snapshot.dirname)
        self.configuration: dict[str, Any] = json.loads((folder / snapshot.conf_filename).read_text())
        self.configuration |= {"backend_name": name, "simulator": False}
        self._properties: dict[str, Any] = json.loads((folder / snapshot.props_filename).read_text())
        self._properties["backend_name"] = name
        self._targets: dict[int, Target] = {}
        self._lone: dict[tuple[int, int], LoneQubit] = {}
        self._simulators: OrderedDict[tuple[int, tuple[int, ...]], AerSimulator] = OrderedDict()

    def properties(self, calibration: int = 0, when: str = "") -> dict[str, Any]:
        """Errors and times after a number of new calibrations; 0 is the snapshot itself.

        Args:
            calibration: Number of the calibration; each has its own errors and coherence times.
            when: When it was made (ISO 8601).
        """
        properties = copy.deepcopy(self._properties)
        if calibration:
            _drift(properties, np.random.default_rng([zlib.crc32(self.name.encode()), calibration]))
            properties["last_update_date"] = when or properties["last_update_date"]
        return properties

    def run(self, program: str, params: dict[str, Any], calibration: int, seed: int) -> tuple[str, float]:
        """Run a program.

        Args:
            program: One of `PROGRAMS`.
            params: What the client submitted.
            calibration: Number of the calibration whose noise it suffers.
            seed: Random seed.

        Returns:
            The result as the service sends it, and the seconds it is charged for.

        Raises:
            Exception: Whatever is wrong with the program; the job then fails.
        """
        run = {"executor": self._run_executor, "sampler": self._sample, "estimator": self._estimate}[program]
        text, shots = run(params, calibration, seed)
        return text, _OVERHEAD + shots * self.configuration.get("default_rep_delay", 250.0) * 1e-6

    def _run_executor(self, params: dict[str, Any], calibration: int, seed: int) -> tuple[str, int]:
        if params.get("schema_version") != _SCHEMA:
            raise ValueError(
                f"schema version {params.get('schema_version')} of executor; supported: {_SCHEMA}"
            )
        converter = QUANTUM_PROGRAM_PARAMS_CONVERTERS[_SCHEMA]
        program, _ = converter.decoder(converter.model.model_validate(params))
        if program.meas_level != "classified":
            raise ValueError(f"meas_level {program.meas_level} is not simulated; supported: classified")
        rng = np.random.default_rng(seed)
        data, shots = [], 0
        for item in program.items:
            result = self._run_item(item, program.shots, calibration, rng)
            tensors = {name: CompressedTensorModel.from_numpy(np.asarray(v)) for name, v in result.items()}
            data.append(QuantumProgramResultItemModel(results=tensors, metadata=ItemMetadataModel()))
            shots += program.shots * int(np.prod(item.shape, dtype=int))
        model = QuantumProgramResultModel(
            data=data,
            metadata=MetadataModel(chunk_timing=[]),
            passthrough_data=passthrough_data_to_2_0(program.passthrough_data),
            semantic_role=program._semantic_role,
        )
        return model.model_dump_json(), shots

    def _run_item(
        self, item: CircuitItem | SamplexItem, shots: int, calibration: int, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Results of an item by name; qubits that nothing connects are simulated apart from each other."""
        circuit, size = item.circuit, int(np.prod(item.shape, dtype=int))
        found: dict[str, np.ndarray] = {}
        values = item.circuit_arguments if isinstance(item, CircuitItem) and circuit.parameters else None
        if isinstance(item, SamplexItem):
            item.samplex.finalize()
            found = broadcast_sample(item.samplex, item.samplex_arguments, item.shape, rng)
            values = found.pop("parameter_values")
        for register in circuit.cregs:
            found[register.name] = np.zeros((*item.shape, shots, register.size), dtype=bool)
        place = {parameter: index for index, parameter in enumerate(circuit.parameters)}
        on_qubit = instructions_by_qubit(circuit)
        for qubits in independent(circuit):
            if len(qubits) == 1 and is_lone(on_qubit[qubits[0]]):
                qubit, used = self._lone_qubit(calibration, qubits[0]), on_qubit[qubits[0]]
                bits = sample_lone(qubit, used, place, values, (*item.shape, shots), rng)
                for register, index in circuit.find_bit(used[-1].clbits[0]).registers:
                    found[register.name][..., index] = bits
                continue
            small = reduced_circuit(circuit, qubits)
            columns = [place[parameter] for parameter in small.parameters]
            if values is not None and columns:
                program = QuantumProgram(shots, [CircuitItem(small, circuit_arguments=values[..., columns])])
            else:  # the same circuit for all parameters of the others
                program = QuantumProgram(shots * size, [CircuitItem(small)])
            options = SimulatorOptions(seed_simulator=int(rng.integers(2**31)))
            [result] = run_quantum_program(self._simulator(calibration, qubits), program, options)
            for name, measured in result.items():
                found[name] |= np.asarray(measured).reshape(found[name].shape)
        return found

    def _sample(self, params: dict[str, Any], calibration: int, seed: int) -> tuple[str, int]:
        params, options = _decoded(params)
        default = options.get("default_shots") or 4096
        results, shots = [], 0
        for place, raw in enumerate(params["pubs"]):
            pub = SamplerPub.coerce(tuple(raw), shots=params.get("shots") or default)
            qubits = active_qubits(pub.circuit)
            small = SamplerPub(
                reduced_circuit(pub.circuit, qubits), pub.parameter_values, pub.shots, validate=False
            )
            sampler = BackendSamplerV2(
                backend=self._simulator(calibration, qubits), options={"seed_simulator": seed + place}
            )
            results.append(sampler.run([small]).result()[0])
            shots += pub.shots * int(np.prod(pub.shape, dtype=int))
        return json.dumps(PrimitiveResult(results, {"version": 2}), cls=RuntimeEncoder), shots

    def _estimate(self, params: dict[str, Any], calibration: int, seed: int) -> tuple[str, int]:
        params, options = _decoded(params)
        default = options.get("default_precision") or (options.get("default_shots") or 4096) ** -0.5
        results, shots = [], 0
        for place, raw in enumerate(params["pubs"]):
            pub = EstimatorPub.coerce(tuple(raw), precision=params.get("precision") or default)
            qubits = active_qubits(pub.circuit, _observed(pub.observables))
            small = EstimatorPub(
                reduced_circuit(pub.circuit, qubits),
                _on_qubits(pub.observables, qubits),
                pub.parameter_values,
                pub.precision,
                validate=False,
            )
            estimator = BackendEstimatorV2(
                backend=self._simulator(calibration, qubits), options={"seed_simulator": seed + place}
            )
            results.append(estimator.run([small]).result()[0])
            shots += round(pub.precision**-2) * int(np.prod(pub.parameter_values.shape, dtype=int))
        return json.dumps(PrimitiveResult(results, {"version": 2}), cls=RuntimeEncoder), shots

    def _simulator(self, calibration: int, qubits: tuple[int, ...]) -> AerSimulator:
        key = calibration, qubits
        if key not in self._simulators:
            reduced = ReducedDevice(self.name, self._target(calibration), qubits)
            self._simulators[key] = reduced.simulator("automatic")
            if len(self._simulators) > _SIMULATORS:
                self._simulators.popitem(last=False)
        self._simulators.move_to_end(key)
        return self._simulators[key]

    def _lone_qubit(self, calibration: int, qubit: int) -> LoneQubit:
        key = calibration, qubit
        if key not in self._lone:
            self._lone[key] = LoneQubit(self._target(calibration), qubit)
        return self._lone[key]

    def _target(self, calibration: int) -> Target:
        if calibration not in self._targets:
            configuration = configuration_from_server_data(
                copy.deepcopy(self.configuration), use_fractional_gates=None
            )
            properties = properties_from_server_data(self.properties(calibration), use_fractional_gates=None)
            self._targets[calibration] = convert_to_target(configuration, properties)
        return self._targets[calibration]


def _drift(properties: dict[str, Any], rng: np.random.Generator) -> None:
    """Change errors by a factor of about 1.6, coherence times by about 1.2, as one day does to a device."""
    for qubit in properties["qubits"]:
        values = {entry["name"]: entry for entry in qubit}
        for name, spread in (
            ("T1", 0.2),
            ("T2", 0.2),
            ("prob_meas0_prep1", 0.5),
            ("prob_meas1_prep0", 0.5),
            ("readout_error", 0.5),
        ):
            factor = rng.lognormal(0, spread)
            if name in values:
                drifted = values[name]["value"] * factor
                values[name]["value"] = drifted if name in ("T1", "T2") else min(drifted, 0.5)
        if {"prob_meas0_prep1", "prob_meas1_prep0", "readout_error"} <= values.keys():
            pair = values["prob_meas0_prep1"]["value"], values["prob_meas1_prep0"]["value"]
            values["readout_error"]["value"] = sum(pair) / 2
    factors: dict[tuple[str, tuple[int, ...]], float] = {}
    for gate in properties["gates"]:
        where = gate["gate"], tuple(sorted(gate["qubits"]))  # both directions of a pair drift alike
        factor = factors.setdefault(where, rng.lognormal(0, 0.5))
        for parameter in gate["parameters"]:
            if parameter["name"] == "gate_error" and parameter["value"] < 1:  # 1: out of order
                parameter["value"] = min(parameter["value"] * factor, 0.5)


def _decoded(params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters of the older programs, with circuits and arrays, and their options."""
    decoded = json.loads(json.dumps(params), cls=RuntimeDecoder)
    return decoded, decoded.get("options") or {}


def _observed(observables: ObservablesArray) -> set[int]:
    return {
        place
        for terms in observables.ravel().tolist()
        for word in terms
        for place, letter in enumerate(reversed(word))
        if letter != "I"
    }


def _on_qubits(observables: ObservablesArray, qubits: tuple[int, ...]) -> ObservablesArray:
    """The same observables on some qubits, in the order given."""
    flat = np.empty(observables.size, dtype=object)
    for index, terms in enumerate(observables.ravel().tolist()):
        flat[index] = {"".join(w[-1 - q] for q in reversed(qubits)): value for w, value in terms.items()}
    return ObservablesArray(flat.reshape(observables.shape))
