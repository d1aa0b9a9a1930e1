"""Sampling on any device that Qiskit knows, through `BackendV2.run`."""

from __future__ import annotations

import threading
from collections import defaultdict
from contextlib import nullcontext
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.primitives import BackendSamplerV2, PrimitiveResult, SamplerPubResult
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.providers import BackendV2
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2

from bondwise.backends.jobs.handles import Submitted
from bondwise.backends.outcomes import Counted, of_last_register
from bondwise.backends.primitives import Sampler


class AnyDeviceSampler(Sampler):
    """Qiskit's sampler on a device, with a seed if the device takes one."""

    def __init__(self, device: BackendV2) -> None:
        self._device = device
        # Qiskit's own simulators keep what belongs to a job in themselves: one at a time
        local = isinstance(device, BasicSimulator | GenericBackendV2)
        self._alone = threading.Lock() if local else None

    def _run(self, pubs: list[SamplerPub], seed: int | None) -> PrimitiveResult[SamplerPubResult]:
        with self._alone or nullcontext():
            return BackendSamplerV2(backend=self._device, options=self._options(seed)).run(pubs).result()

    def submit_counted(self, pubs: list[SamplerPub], seed: int | None) -> Submitted:
        """Jobs with the circuits that `run` would run; counts are asked for, instead of every shot."""
        circuits = [np.ravel(pub.parameter_values.bind_all(pub.circuit)).tolist() for pub in pubs]
        # a job holds circuits with the same number of shots
        together: dict[int, list[tuple[int, QuantumCircuit]]] = defaultdict(list)
        for index, pub in enumerate(pubs):
            together[pub.shots] += [(index, circuit) for circuit in circuits[index]]
        jobs = []
        for shots, tasks in together.items():
            most = self._device.max_circuits or len(tasks)
            for start in range(0, len(tasks), most):
                part = tasks[start : start + most]
                with self._alone or nullcontext():
                    job = self._device.run([one for _, one in part], shots=shots, **self._options(seed))
                    if self._alone:
                        job.result()
                jobs.append((part, job))

        def collect() -> list[list[Counted]]:
            found: list[list[Counted]] = [[] for _ in pubs]
            for part, job in jobs:
                result = job.result()
                for place, (index, circuit) in enumerate(part):
                    found[index].append(of_last_register(circuit, result.data(place)["counts"]))
            return found

        return Submitted(tuple(job for _, job in jobs), collect)

    def counted(self, pubs: list[SamplerPub], seed: int | None) -> list[list[Counted]]:
        """The outcomes of the circuits that `run` would run."""
        found: list[list[Counted]] = self.submit_counted(pubs, seed).collect()
        return found

    def _options(self, seed: int | None) -> dict[str, Any]:
        takes = seed is not None and "seed_simulator" in self._device.options
        return {"seed_simulator": seed} if takes else {}
