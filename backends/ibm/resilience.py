"""IBM's own mitigation on a snapshot of a device: levels 1 and 2 of its client-side estimator.

The client runs them on a simulator of the device. A device of 133 qubits needs 2^133 numbers there, so each
circuit is first reduced to its active qubits, with their errors and with the delays of a schedule.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from functools import lru_cache
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.primitives import DataBin, PrimitiveResult, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.quantum_info import SparseObservable
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime.executor_estimator import Estimator as ServiceEstimator
from qiskit_ibm_runtime.options_models.estimator import EstimatorOptions

from bondwise.backends.backend import Backend
from bondwise.backends.ibm.connection import shots_by_pub, shots_of
from bondwise.backends.ibm.layer_noise import layer_noise
from bondwise.backends.ibm.options import wanted
from bondwise.backends.ibm.standard_errors import known_errors
from bondwise.backends.ibm.workloads import client_options, mitigated_loads, observed_qubits
from bondwise.backends.jobs.circuit_costs import Load
from bondwise.backends.primitives import DEFAULT_PRECISION, NOT_EXACT, Estimator
from bondwise.backends.simulators.aer_runs import MAX_QUBITS
from bondwise.backends.simulators.fake import fake_backend
from bondwise.backends.simulators.reduced_device import (
    ReducedDevice,
    active_qubits,
    check_native,
    reduced_circuit,
    scheduled,
)
from bondwise.circuits import refuse_variables, true_names
from bondwise.circuits.cache import CircuitCache
from bondwise.runs import UsageError, random_generator

_SHOTS_OF_INJECTION = 16  # shots of each draw of the noise; fewer are more exact and take longer


@lru_cache(maxsize=16)
def mitigated_snapshot(name: str) -> Backend:
    """The backend of a snapshot whose values IBM's client mitigates.

    Args:
        name: Such as `fake:torino,resilience=2` or `fake:torino,resilience=2,amplifier=pea`.

    Raises:
        UsageError: If there is no such snapshot, or an option has no effect here.
    """
    asked = wanted(name, effective=("resilience", "amplifier"))
    bare = fake_backend(asked.device)
    if asked.resilience is None:
        return bare
    full = f"{bare.name},{','.join(f'{key}={value}' for key, value in asked.options.items())}"
    estimator = SnapshotEstimator(bare, asked.resilience, asked.amplifier)
    return Backend(full, estimator=estimator, target=bare.target, noisy=True)


class SnapshotEstimator(Estimator):
    """IBM's client-side estimator on the active qubits of a snapshot.

    Args:
        bare: The backend of the snapshot.
        level: 1 mitigates readout errors (TREX), 2 also extrapolates to zero noise.
        amplifier: How level 2 amplifies noise: `"gate_folding"`, or `"pea"`, which injects the noise of the
            two-qubit gates of the snapshot, where a device would have to be learned.
    """

    def __init__(self, bare: Backend, level: int, amplifier: str) -> None:
        self._target, self._name = bare.target, bare.name
        self._level, self._amplifier = level, amplifier
        self._simulator = lru_cache(maxsize=16)(self._make_simulator)
        self._device = lru_cache(maxsize=16)(self._make_device)
        self._small: CircuitCache[QuantumCircuit] = CircuitCache()

    @property
    def default_precision(self) -> float:
        """Target standard error of PUBs that do not set one: 1/64, from 4096 shots."""
        return DEFAULT_PRECISION

    def run(self, pubs: Any, *, precision: float | None = None, seed: int | None = None) -> Any:
        """Evaluate each PUB with about 1/precision² shots per basis, parameter set and noise factor.

        Raises:
            UsageError: If a precision is 0, which no number of shots reaches.
        """
        held = list(pubs)
        if precision == 0 or any(isinstance(pub, EstimatorPub) and pub.precision == 0 for pub in held):
            raise UsageError(NOT_EXACT)
        return super().run(held, precision=precision or DEFAULT_PRECISION, seed=seed)

    def loads(self, pubs: list[EstimatorPub], precision: float | None) -> list[Load]:
        """What `run` would simulate."""
        found = []
        for (qubits, each), indices in self._together(pubs, precision or DEFAULT_PRECISION).items():
            target = self._device(qubits).target
            reduced = [self._reduced(pubs[index], qubits) for index in indices]
            found += mitigated_loads(reduced, self._options(reduced, qubits), each, target)
        return found

    def _together(
        self, pubs: list[EstimatorPub], precision: float
    ) -> dict[tuple[tuple[int, ...], float], list[int]]:
        """PUBs on the same qubits with the same precision, which are one job, calibrated once."""
        together: dict[tuple[tuple[int, ...], float], list[int]] = defaultdict(list)
        for index, pub in enumerate(pubs):
            together[self._qubits(pub), pub.precision or precision].append(index)
        return together

    def _run(self, pubs: list[EstimatorPub], seed: int | None) -> PrimitiveResult[PubResult]:
        rng = random_generator(seed)
        parts: dict[int, PubResult] = {}
        total = 0
        for (qubits, precision), indices in self._together(pubs, DEFAULT_PRECISION).items():
            reduced = [self._reduced(pubs[index], qubits) for index in indices]
            options = self._options(reduced, qubits)
            options.simulator.seed_simulator = int(rng.integers(2**31))
            estimator = ServiceEstimator(mode=self._simulator(qubits), options=options)
            job = estimator.run(reduced, precision=precision)
            total += shots_of(job.inputs)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", module="qiskit_mitigation")  # of fits to too little
                result = job.result()
            for index, part, shots in zip(indices, result, shots_by_pub(job.inputs), strict=True):
                parts[index] = self._plain(part, pubs[index], precision, shots)
        ordered = [parts[index] for index in range(len(pubs))]
        return PrimitiveResult(ordered, metadata={"version": 2, "shots": total, "job_ids": ()})

    def _options(self, reduced: list[Any], qubits: tuple[int, ...]) -> EstimatorOptions:
        """What the client is told of a job."""
        options = client_options(self._level, self._amplifier)
        if self._amplifier == "pea":
            device = self._device(qubits)
            layers = ServiceEstimator(mode=device, options=options).find_unique_layers(reduced)
            options.resilience.layer_noise_model = layer_noise(layers, reduced[0][0], device.channels())
            options.simulator.layer_noise_model = []  # by default the simulator would add it once more
            # among the 32 randomizations of the client, injected noise would spread far more than shots do
            options.twirling.shots_per_randomization = _SHOTS_OF_INJECTION
        return options

    def _qubits(self, pub: EstimatorPub) -> tuple[int, ...]:
        refuse_variables(pub.circuit)
        check_native(true_names(pub.circuit), self._target, self._name)
        return active_qubits(pub.circuit, observed_qubits(pub))

    def _make_simulator(self, qubits: tuple[int, ...]) -> AerSimulator:
        # density matrices cost less than trajectories for the few shots of each of many circuits
        method = "density_matrix" if len(qubits) <= MAX_QUBITS else "automatic"
        return self._device(qubits).simulator(method)

    def _make_device(self, qubits: tuple[int, ...]) -> ReducedDevice:
        return ReducedDevice(self._name.replace(":", "-"), self._target, qubits)

    def _reduced(self, pub: EstimatorPub, qubits: tuple[int, ...]) -> Any:
        target = self._device(qubits).target

        def make() -> QuantumCircuit:
            return scheduled(reduced_circuit(true_names(pub.circuit), qubits), target)

        small = self._small.get(pub.circuit, make, qubits)
        place = {qubit: index for index, qubit in enumerate(qubits)}
        array = _observables(pub)
        reduced = np.empty(array.shape, dtype=object)
        for index, observable in np.ndenumerate(array):
            terms = [
                (word, [place[qubit] for qubit in where], weight)
                for word, where, weight in observable.to_sparse_list()
            ]
            reduced[index] = SparseObservable.from_sparse_list(terms, num_qubits=len(qubits))
        values = pub.parameter_values.as_array(small.parameters)
        return small, ObservablesArray(reduced, validate=False), values

    def _plain(self, part: PubResult, pub: EstimatorPub, precision: float, shots: int) -> PubResult:
        """Values and errors, with those at each noise factor where there are any."""
        known = known_errors(part)
        data = known.data
        wanted = ("evs", "stds", "evs_noise_factors", "stds_noise_factors")
        fields = {name: data[name] for name in data if name in wanted}
        metadata: dict[str, Any] = {"target_precision": precision, "shots": shots}
        metadata |= {"device": self._name, "circuit_metadata": pub.circuit.metadata}
        if self._level == 2:
            metadata["amplifier"] = self._amplifier
        for name in ("message", "noise_factors"):
            if name in known.metadata:
                metadata[name] = known.metadata[name]
        return PubResult(DataBin(**fields, shape=part.data.shape), metadata)


def _observables(pub: EstimatorPub) -> np.ndarray:
    return pub.observables.sparse_observables_array()
