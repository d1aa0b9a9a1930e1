"""What a job asks for, as a hash that is the same in every process."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from qiskit import QuantumCircuit, qasm3
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.sampler_pub import SamplerPub

from bondwise.backends.measurement import WeightedPub
from bondwise.circuits import fingerprint
from bondwise.circuits.fingerprint import UnknownContent


def content_of(pubs: Iterable[EstimatorPub | SamplerPub], **options: Any) -> str:
    """Hash the circuits, parameters, observables and accuracy of PUBs, and the options of a job.

    Parameters count in the order of `circuit.parameters`; names of circuits and registers do not matter.

    Args:
        pubs: The PUBs, as Qiskit reads them.
        **options: Whatever else the job depends on, of JSON types: its seed, the options of a primitive.

    Returns:
        A SHA-256 hash, 64 hexadecimal digits.
    """
    digest = sha256(json.dumps(options, sort_keys=True, default=str).encode())
    known: dict[int, str] = {}
    for pub in pubs:
        key = id(pub.circuit)
        known[key] = known.get(key) or circuit_hash(pub.circuit)
        accuracy = pub.precision if isinstance(pub, EstimatorPub) else pub.shots
        digest.update(f"{known[key]} {accuracy!r} {pub.parameter_values.shape}".encode())
        values = pub.parameter_values.as_array(pub.circuit.parameters)
        digest.update(np.ascontiguousarray(values, dtype=float).tobytes())
        if isinstance(pub, SamplerPub):
            digest.update(repr(registers_of(pub.circuit)).encode())
        else:
            digest.update(b"weighted" * isinstance(pub, WeightedPub))  # others hash as in 0.1.1
            digest.update(repr(pub.observables.shape).encode())
            for observable in np.ravel(pub.observables.sparse_observables_array()):
                for name in ("coeffs", "bit_terms", "indices", "boundaries"):
                    digest.update(np.asarray(getattr(observable, name)).tobytes())
                digest.update(b"|")
    return digest.hexdigest()


def content_of_circuits(circuits: Sequence[QuantumCircuit], **options: Any) -> str:
    """Hash circuits without parameters, and the options of a job."""
    digest = sha256(json.dumps(options, sort_keys=True, default=str).encode())
    for circuit in circuits:
        digest.update(circuit_hash(circuit).encode())
    return digest.hexdigest()


def registers_of(circuit: QuantumCircuit) -> list[list[int]]:
    """The bits of each classical register. Names do not count, as Qiskit may have made them up."""
    return [[circuit.find_bit(bit).index for bit in register] for register in circuit.cregs]


def circuit_hash(circuit: QuantumCircuit) -> str:
    """The fingerprint of a circuit; for one with classical variables, the hash of its program."""
    try:
        return fingerprint(circuit)
    except UnknownContent:
        return sha256(qasm3.dumps(circuit).encode()).hexdigest()
