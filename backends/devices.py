"""Sampling on any device that Qiskit knows, through `BackendV2.run`."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.primitives import BasePrimitiveJob, BitArray, DataBin, PrimitiveResult, SamplerPubResult
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.providers import BackendV2
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2

from bondwise.backends.jobs.handles import FollowUp, Submitted, started
from bondwise.backends.outcomes import Counted, of_last_register, unpacked
from bondwise.backends.primitives import Sampler, sampler_result


class AnyDeviceSampler(Sampler):
    """A sampler on a device, with a seed if the device takes one.

    Args:
        device: The device.
        local: Whether its jobs run in this process; None for Qiskit's own simulators only.
    """

    def __init__(self, device: BackendV2, *, local: bool | None = None) -> None:
        self.device = device
        self.local = isinstance(device, BasicSimulator | GenericBackendV2) if local is None else local
        # Qiskit's own simulators keep what belongs to a job in themselves: one at a time
        self._alone = threading.Lock() if self.local else None

    def _start(
        self, pubs: list[SamplerPub], seed: int | None
    ) -> BasePrimitiveJob[PrimitiveResult[SamplerPubResult], Any]:
        def read(circuit: QuantumCircuit, data: dict[str, Any], shots: int) -> list[str]:
            """The outcome of every shot, in hexadecimal."""
            words = data.get("memory")
            if words is None:  # the device counts only, or nothing is measured
                words = [word for word, count in data.get("counts", {}).items() for _ in range(count)]
            return words or ["0x0"] * shots

        submitted = self._submit(pubs, seed, read, memory=True)

        def collect() -> PrimitiveResult[SamplerPubResult]:
            words = submitted.collect()
            parts = [_registers(pub, shots) for pub, shots in zip(pubs, words, strict=True)]
            return sampler_result(pubs, parts, submitted.job_ids)

        return FollowUp(Submitted(submitted.jobs, collect)) if submitted.jobs else started(collect)

    def _run(self, pubs: list[SamplerPub], seed: int | None) -> PrimitiveResult[SamplerPubResult]:
        result: PrimitiveResult[SamplerPubResult] = self._start(pubs, seed).result()
        return result

    def submit_counted(self, pubs: list[SamplerPub], seed: int | None) -> Submitted:
        """Jobs with the circuits that `run` would run; counts are asked for, instead of every shot."""
        return self._submit(
            pubs, seed, lambda circuit, data, shots: of_last_register(circuit, data["counts"])
        )

    def counted(self, pubs: list[SamplerPub], seed: int | None) -> list[list[Counted]]:
        """The outcomes of the circuits that `run` would run."""
        found: list[list[Counted]] = self.submit_counted(pubs, seed).collect()
        return found

    def _submit(
        self,
        pubs: list[SamplerPub],
        seed: int | None,
        read: Callable[[QuantumCircuit, dict[str, Any], int], Any],
        **options: Any,
    ) -> Submitted:
        """Submit all circuits; what `read` makes of the data of each is collected by PUB."""
        takes_seed = "seed_simulator" in self.device.options
        circuits = [np.ravel(pub.parameter_values.bind_all(pub.circuit)).tolist() for pub in pubs]
        # a job holds circuits with the same number of shots
        together: dict[int, list[tuple[int, QuantumCircuit]]] = defaultdict(list)
        for index, pub in enumerate(pubs):
            together[pub.shots] += [(index, circuit) for circuit in circuits[index]]
        jobs: list[tuple[int, list[tuple[int, QuantumCircuit]], Any]] = []
        for shots, tasks in together.items():
            most = self.device.max_circuits or len(tasks)
            for start in range(0, len(tasks), most):
                part = tasks[start : start + most]
                if seed is not None and takes_seed:  # jobs of the same seed would draw the same
                    own = np.random.default_rng([seed, len(jobs)]).integers(2**31)
                    options["seed_simulator"] = int(own) if jobs else seed
                with self._alone or nullcontext():
                    job = self.device.run([one for _, one in part], shots=shots, **options)
                    if self._alone:
                        job.result()
                jobs.append((shots, part, job))

        def collect() -> list[list[Any]]:
            found: list[list[Any]] = [[] for _ in pubs]
            for shots, part, job in jobs:
                result = job.result()
                for place, (index, circuit) in enumerate(part):
                    found[index].append(read(circuit, result.data(place), shots))
            return found

        return Submitted(tuple(job for _, _, job in jobs), collect)


def _registers(pub: SamplerPub, words: list[list[str]]) -> DataBin:
    """The bits of all registers from the outcomes of every parameter set's shots."""
    circuit, shape = pub.circuit, pub.parameter_values.shape
    bits = np.array([unpacked(shots, circuit.num_clbits) for shots in words], dtype=np.uint8)
    bits = bits.reshape(*shape, pub.shots, circuit.num_clbits)
    found = {}
    for register in circuit.cregs:
        mine = bits[..., [circuit.find_bit(bit).index for bit in register]]
        found[register.name] = BitArray.from_bool_array(mine.astype(bool), order="little")
    return DataBin(**found, shape=shape)
