"""IBM's client-side sampler and estimator, each job in the mode and under the tag of a connection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qiskit.primitives import BaseEstimatorV2, BaseSamplerV2
from qiskit.primitives.containers.estimator_pub import EstimatorPubLike
from qiskit.primitives.containers.sampler_pub import SamplerPub, SamplerPubLike
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.executor_sampler import Sampler
from qiskit_ibm_runtime.options_models.estimator import EstimatorOptions

from bondwise.backends.ibm.connection import Connection
from bondwise.backends.ibm.workloads import client_options, mitigated_loads
from bondwise.backends.jobs.circuit_costs import Load
from bondwise.backends.jobs.places import require_shots


class ServiceSampler(BaseSamplerV2):
    """IBM's sampler on a device."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def run(self, pubs: Iterable[SamplerPubLike], *, shots: int | None = None) -> Any:
        """Submit PUBs as one job.

        Raises:
            UsageError: If the device does not take that many shots.
        """
        held = [SamplerPub.coerce(pub, shots) for pub in pubs]
        asked = max((pub.shots for pub in held if pub.shots), default=0)
        require_shots(self._connection, self._connection.name, asked)

        def start(mode: Any, tags: list[str]) -> Any:
            sampler = Sampler(mode=mode)
            sampler.options.environment.job_tags = tags
            return sampler.run(held, shots=shots)

        return self._connection.submit(start)


class ServiceEstimator(BaseEstimatorV2):
    """IBM's estimator on a device, with its own mitigation.

    Args:
        connection: The connection.
        level: 1 mitigates readout errors (TREX), 2 also extrapolates to zero noise.
        amplifier: How level 2 amplifies noise.
    """

    def __init__(self, connection: Connection, level: int, amplifier: str) -> None:
        self._connection, self._level, self._amplifier = connection, level, amplifier

    def loads(self, pubs: Iterable[EstimatorPubLike], precision: float | None) -> list[Load]:
        """What `run` would submit."""
        return mitigated_loads(list(pubs), self._options(), precision, self._connection.target)

    def run(self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None) -> Any:
        """Submit PUBs as one job."""
        held = list(pubs)

        def start(mode: Any, tags: list[str]) -> Any:
            estimator = Estimator(mode=mode, options=self._options())
            estimator.options.environment.job_tags = tags
            return estimator.run(held, precision=precision)

        return self._connection.submit(start)

    def _options(self) -> EstimatorOptions:
        return client_options(self._level, self._amplifier)
