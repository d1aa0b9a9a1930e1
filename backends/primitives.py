"""Base classes of our primitives: how they read PUBs, their defaults, and results with Qiskit's metadata.

Qiskit drops every term of an observable below 1e-8, however large the others are; here all terms count.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit.primitives import (
    BaseEstimatorV2,
    BasePrimitiveJob,
    BaseSamplerV2,
    DataBin,
    PrimitiveResult,
    PubResult,
    SamplerPubResult,
)
from qiskit.primitives.containers.estimator_pub import EstimatorPub, EstimatorPubLike
from qiskit.primitives.containers.object_array import object_array
from qiskit.primitives.containers.observables_array import ObservablesArray, ObservablesArrayLike
from qiskit.primitives.containers.sampler_pub import SamplerPub, SamplerPubLike
from qiskit.quantum_info import Pauli, PauliList, SparseObservable, SparsePauliOp

from bondwise.backends.inputs import check_finite
from bondwise.backends.jobs.handles import Submitted, started
from bondwise.backends.outcomes import Counted, counted
from bondwise.circuits import real_coefficients
from bondwise.runs import UsageError, real_number, require_memory, whole_number

DEFAULT_SHOTS = 4096
DEFAULT_PRECISION = DEFAULT_SHOTS**-0.5
_SHOT_BYTES, _BIT_BYTES = 240, 4  # of memory while shots are drawn and counted, as measured
NOT_EXACT = (
    "precision 0 asks for exact values and the circuit can only be sampled on this backend; "
    "pass a positive one, such as 0.01."
)


@dataclass(frozen=True)
class EstimatorOptions:
    """Default precision of an estimator; 0 means exact values."""

    default_precision: float


@dataclass(frozen=True)
class SamplerOptions:
    """Default number of shots of a sampler."""

    default_shots: int


class Estimator(BaseEstimatorV2):
    """An estimator with a default precision, whose `run` takes a seed."""

    @property
    def default_precision(self) -> float:
        """Target standard error of PUBs that do not set one: 0, which means exact values."""
        return 0.0

    @property
    def options(self) -> EstimatorOptions:
        """The default precision, in the place where Qiskit's algorithms read it."""
        return EstimatorOptions(self.default_precision)

    def run(
        self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None, seed: int | None = None
    ) -> BasePrimitiveJob[PrimitiveResult[PubResult], Any]:
        """Evaluate each PUB with 1/precision² shots per basis and parameter set.

        For precision 0, or None on an estimator with exact values, the values are exact.
        """
        return self._start([estimator_pub(pub, precision) for pub in pubs], seed)

    def _start(
        self, pubs: list[EstimatorPub], seed: int | None
    ) -> BasePrimitiveJob[PrimitiveResult[PubResult], Any]:
        """Start a job that evaluates the PUBs, in a thread."""
        return started(self._run, pubs, seed)

    @abstractmethod
    def _run(self, pubs: list[EstimatorPub], seed: int | None) -> PrimitiveResult[PubResult]:
        """Evaluate the PUBs."""


class Sampler(BaseSamplerV2):
    """A sampler with a default number of shots, whose `run` takes a seed."""

    @property
    def default_shots(self) -> int:
        """Number of shots of PUBs that do not set one."""
        return DEFAULT_SHOTS

    @property
    def options(self) -> SamplerOptions:
        """The default number of shots, in the place where Qiskit's algorithms read it."""
        return SamplerOptions(self.default_shots)

    def run(
        self, pubs: Iterable[SamplerPubLike], *, shots: int | None = None, seed: int | None = None
    ) -> BasePrimitiveJob[PrimitiveResult[SamplerPubResult], Any]:
        """Sample each PUB, with 4096 shots by default.

        Raises:
            UsageError: If the bits of all shots would take more memory than allowed.
        """
        coerced = [sampler_pub(pub, shots) for pub in pubs]
        _require_memory(coerced)
        return self._start(coerced, seed)

    def _start(
        self, pubs: list[SamplerPub], seed: int | None
    ) -> BasePrimitiveJob[PrimitiveResult[SamplerPubResult], Any]:
        """Start a job that samples the PUBs, in a thread."""
        return started(self._run, pubs, seed)

    def submit_counted(self, pubs: list[SamplerPub], seed: int | None) -> Submitted:
        """Jobs that `counted` waits for; it is called when they are collected, if there are none."""
        return Submitted((), lambda: self.counted(pubs, seed))

    def counted(self, pubs: list[SamplerPub], seed: int | None) -> list[list[Counted]]:
        """For each PUB and parameter set, the outcomes of the register that was added last."""
        _require_memory(pubs)
        parts = zip(pubs, self._run(pubs, seed), strict=True)
        return [counted(part.data[pub.circuit.cregs[-1].name], pub.size) for pub, part in parts]

    @abstractmethod
    def _run(self, pubs: list[SamplerPub], seed: int | None) -> PrimitiveResult[SamplerPubResult]:
        """Sample the PUBs."""


def estimator_pub(pub: EstimatorPubLike, precision: float | None = None) -> EstimatorPub:
    """The PUB as Qiskit reads it, with all terms of its observables.

    Args:
        pub: Anything an estimator takes.
        precision: Precision of PUBs that do not set one.

    Raises:
        UsageError: If an observable is zero, not finite or not Hermitian, or an angle or the precision is not
            finite.
        ValueError: If Qiskit refuses the PUB.
        TypeError: If Qiskit refuses the PUB.
    """
    if not isinstance(pub, tuple | list) or len(pub) < 2:
        return _finite(EstimatorPub.coerce(pub, precision))
    array = observables_array(pub[1])
    if not array.size:
        return _finite(EstimatorPub.coerce((pub[0], array, *pub[2:]), precision))
    # Qiskit writes out the label of every term to check the number of qubits: one term is enough
    checked = _finite(EstimatorPub.coerce((pub[0], "I" * array.num_qubits, *pub[2:]), precision))
    return EstimatorPub(checked.circuit, array, checked.parameter_values, checked.precision, validate=False)


def sampler_pub(pub: SamplerPubLike, shots: int | None) -> SamplerPub:
    """The PUB as Qiskit reads it, with 4096 shots by default.

    Raises:
        UsageError: If the number of shots is not positive, or an angle is not finite.
        ValueError: If Qiskit refuses the PUB.
        TypeError: If Qiskit refuses the PUB.
    """
    coerced = SamplerPub.coerce(pub, sampler_shots(shots))
    whole_number("shots", coerced.shots)
    _check_angles(coerced)
    return coerced


def sampler_result(
    pubs: Sequence[SamplerPub], parts: Sequence[DataBin], job_ids: tuple[str, ...] = ()
) -> PrimitiveResult[SamplerPubResult]:
    """The result of a sampler job; without identifiers, it ran in this process."""
    results = [
        SamplerPubResult(part, {"shots": pub.shots, "circuit_metadata": pub.circuit.metadata})
        for pub, part in zip(pubs, parts, strict=True)
    ]
    return PrimitiveResult(results, metadata={"version": 2, "job_ids": job_ids})


def observables_array(observables: ObservablesArrayLike) -> ObservablesArray:
    """Observables as Qiskit's primitives hold them, equal terms added up and none dropped.

    Raises:
        UsageError: If one is zero or not Hermitian.
        ValueError: If Qiskit cannot read one, or they act on different numbers of qubits.
        TypeError: If Qiskit cannot read one.
    """
    if isinstance(observables, ObservablesArray):
        return observables
    array = object_array(observables, copy=True, list_types=(PauliList,))
    for index, observable in np.ndenumerate(array):
        array[index] = _simplified(observable)
    made = ObservablesArray(array, validate=False)
    made.validate()
    return made


def check_shots(shots: int | None, otherwise: str = "None for exact values") -> int | None:
    """Return `shots` if it is a positive whole number, or None, which stands for `otherwise`.

    Raises:
        UsageError: If `shots` is anything else.
    """
    return None if shots is None else whole_number("shots", shots, otherwise=otherwise)


def sampler_shots(shots: int | None) -> int:
    """Return the number of shots of a sampler, 4096 for None.

    Raises:
        UsageError: If `shots` is not a positive whole number.
    """
    return check_shots(shots, f"None for {DEFAULT_SHOTS}") or DEFAULT_SHOTS


def _finite(pub: EstimatorPub) -> EstimatorPub:
    """The same PUB, checked."""
    _check_angles(pub)
    if pub.precision is not None:  # Qiskit takes NaN
        real_number("precision", pub.precision, zero=True)
    return pub


def _check_angles(pub: EstimatorPub | SamplerPub) -> None:
    if pub.circuit.num_parameters:
        names = [parameter.name for parameter in pub.circuit.parameters]
        values = pub.parameter_values.as_array(pub.circuit.parameters)
        check_finite("parameter_values", values, names)


def _require_memory(pubs: Sequence[SamplerPub]) -> None:
    """Refuse shots whose bits do not fit into memory."""
    for pub in pubs:
        needed = pub.shots * pub.size * (_SHOT_BYTES + _BIT_BYTES * pub.circuit.num_clbits)
        require_memory(f"the bits of {pub.shots * pub.size:,} shots", needed, "ask for fewer")


def _simplified(observable: Any) -> SparseObservable:
    if isinstance(observable, SparsePauliOp):
        observable = SparseObservable.from_sparse_pauli_op(observable)
    elif isinstance(observable, Mapping) and observable:
        observable = SparseObservable.from_list([_term(*item) for item in observable.items()])
    if not isinstance(observable, SparseObservable):  # a single term, or Qiskit raises
        return ObservablesArray.coerce_observable(observable)
    simple = observable.simplify(tol=0)
    coefficients = real_coefficients(np.asarray(simple.coeffs))
    if not coefficients.any():
        raise UsageError("an observable is zero; its expectation value is 0 in every state.")
    return SparseObservable.from_raw_parts(
        simple.num_qubits, coefficients, simple.bit_terms, simple.indices, simple.boundaries
    )


def _term(basis: Any, coefficient: complex) -> tuple[str, complex]:
    if isinstance(basis, Pauli):
        return basis[:].to_label(), (-1j) ** basis.phase * coefficient
    return basis, coefficient
