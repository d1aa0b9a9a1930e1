"""What IBM's estimator makes of PUBs: circuits with randomizations, noise factors and calibrations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.transpiler import Target
from qiskit_ibm_runtime.executor_estimator.prepare import prepare
from qiskit_ibm_runtime.options_models.estimator import EstimatorOptions

from bondwise.backends.jobs.circuit_costs import Load
from bondwise.backends.simulators.reduced_device import active_qubits


def client_options(level: int, amplifier: str) -> EstimatorOptions:
    """The options of IBM's estimator: the level of its mitigation, and how level 2 amplifies noise."""
    options = EstimatorOptions()
    options.resilience_level = level  # type: ignore[assignment]
    options.resilience.zne.amplifier = amplifier  # type: ignore[assignment]
    return options


def mitigated_loads(
    pubs: Sequence[Any], options: EstimatorOptions, precision: float | None, target: Target | None
) -> list[Load]:
    """What the client submits for PUBs, from its own preparation of the job.

    It measures all qubits of a circuit; only errors on those that the PUBs use matter.

    Args:
        pubs: The PUBs.
        options: What the client is told, with the noise of the layers if that is injected.
        precision: Precision of PUBs that do not set one; None for the client's default.
        target: Target that the circuits are compiled for.
    """
    program, _ = prepare(pubs, options, precision)
    used: set[int] = set()
    for pub in map(EstimatorPub.coerce, pubs):
        used.update(active_qubits(pub.circuit, observed_qubits(pub)))
    return [Load(item.circuit, item.size(), program.shots, target, used) for item in program.items]


def observed_qubits(pub: EstimatorPub) -> set[int]:
    """The qubits that the observables of a PUB act on."""
    observables = pub.observables.sparse_observables_array().ravel()
    return {int(qubit) for one in observables for qubit in np.asarray(one.indices).tolist()}
