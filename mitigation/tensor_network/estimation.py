"""Tensor network error mitigation (TEM): the noise of a circuit is inverted in post-processing."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from qiskit import QuantumCircuit
from qiskit.circuit import Barrier
from qiskit_aer.noise import NoiseModel

from bondwise.backends import BackendLike, get_backend
from bondwise.backends.backend import placed
from bondwise.backends.inputs import as_parameters, kept_columns
from bondwise.backends.outcomes import counted
from bondwise.backends.sampled import measured_in, native_rotations
from bondwise.backends.simulators.aer import confusion_matrices
from bondwise.backends.simulators.gate_errors import GateErrors
from bondwise.circuits import Observable, without_measurements
from bondwise.circuits.files.orders import with_order
from bondwise.mitigation.rewriting.gate_twirling import twirl_gates
from bondwise.mitigation.tensor_network.inverse_map import (
    CUTOFF,
    ERASED,
    MAX_BOND,
    check_gate,
    mitigated_observable,
    name_of,
    only_operator,
)
from bondwise.mitigation.tensor_network.random_bases import best_bases
from bondwise.runs import Result, UsageError, random_generator, whole_number

_SHOWN = 8  # qubits in a message


@dataclass(frozen=True, kw_only=True)
class TensorNetworkMitigation(Result):
    """A noise-free expectation value from noisy shots.

    Attributes:
        bond: Largest bond of the inverse of the noise.
        truncation: Part of the squared norm that was truncated; unless it is tiny, the value is biased.
        overhead: How many times more shots it takes than without noise for the same standard error,
            averaged over all states, with the best random bases in both cases.
        qubits: The measured qubits of the transpiled circuit.
        bases: How likely X, Y and Z are measured on each of them, shape `(n, 3)`.
        message: Which noise was not inverted, because the model does not have it; otherwise empty.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.backends import get_backend
        >>> from bondwise.mitigation import mitigate_by_tensor_network, twirled_noise
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1)
        >>> noise = twirled_noise("fake:manila", [0, 1])
        >>> device = get_backend("aer", noise=noise)
        >>> result = mitigate_by_tensor_network(bell, "ZZ", noise, backend=device, shots=100, seed=1)
        >>> result.bond, result.qubits, result.bases.shape
        (3, (1, 0), (2, 3))
    """

    bond: int
    truncation: float
    overhead: float
    qubits: tuple[int, ...]
    bases: np.ndarray
    message: str = ""


def mitigate_by_tensor_network(
    circuit: QuantumCircuit,
    observable: Observable,
    noise: NoiseModel,
    parameters: ArrayLike | Mapping[Any, Any] | None = None,
    *,
    backend: BackendLike,
    shots: int = 4096,
    max_bond: int | None = MAX_BOND,
    cutoff: float = CUTOFF,
    gate_twirls: int = 0,
    seed: int | None = None,
) -> TensorNetworkMitigation:
    """Estimate a noise-free expectation value by tensor network error mitigation (TEM).

    The circuit runs as it is; each shot is measured in a random local basis. In post-processing, the inverse
    of the noise, a matrix product operator, is applied to the observable. The value has no bias if `noise` is
    the noise of the backend and nothing was truncated. Errors that are not in the model remain: crosstalk,
    errors of idle qubits, and those of basis changes.

    It is made for observables of a few qubits, or sums of them. The parity of all qubits pays for each qubit
    whose basis is random: its overhead grows faster than that of probabilistic error cancellation.

    Source: Filippov, Leahy, Rossi and García-Pérez, arXiv:2307.11740; bases as in arXiv:2006.15788.

    Args:
        circuit: A circuit of gates; final measurements are left out. It is transpiled by the backend.
        observable: Anything that `estimate` takes.
        noise: Aer's model of the errors of gates and readout, by the names and qubits of the transpiled
            circuit; `twirled_noise` makes it from the errors that a device reports.
        parameters: Angles in radians, shape `(P,)`, or by name, as for `estimate`.
        backend: Anything that `get_backend` takes, if it can be sampled.
        shots: Number of shots, at least 2, each with its own basis.
        max_bond: Largest bond of the inverse of the noise; None for no limit.
        cutoff: Singular values are dropped below this part of the norm.
        gate_twirls: Number of randomized copies of the circuit, over which the shots are spread, with Paulis
            around the two-qubit gates: then the model may hold twirled errors. 0 for none. The standard error
            includes the spread between the copies, which a few of them tell poorly: take 16 or more.
        seed: Random seed for bases, twirls and sampling.

    Returns:
        The value with its standard error, the bond reached, and the overhead.

    Warns:
        UserWarning: If the noise model has no errors, so that there is nothing to invert.

    Raises:
        UsageError: If an error cannot be inverted, the backend has no noise at all, the noise is that of
            other gates or qubits than those of the transpiled circuit, the circuit measures before its end
            or has gates on more than two qubits, or the arguments are not as described.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qiskit_aer.noise import NoiseModel, depolarizing_error
        >>> from bondwise.backends import get_backend
        >>> from bondwise.mitigation import mitigate_by_tensor_network
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1)
        >>> noise = NoiseModel(basis_gates=["h", "cx"])
        >>> noise.add_all_qubit_quantum_error(depolarizing_error(0.2, 2), "cx")
        >>> device = get_backend("aer", noise=noise)
        >>> result = mitigate_by_tensor_network(bell, "ZZ", noise, backend=device, shots=1000, seed=1)
        >>> abs(result.value - 1) < 4 * result.std, round(result.overhead, 4)
        (True, 1.5625)
    """
    shots = whole_number("shots", shots, least=2)
    gate_twirls = whole_number("gate_twirls", gate_twirls, least=0)
    if gate_twirls == 1:
        raise UsageError(
            "gate_twirls is 1, and one copy does not tell how much copies differ; pass 16, or 0 for none."
        )
    place, rng = get_backend(backend), random_generator(seed)
    circuit, order = with_order(circuit)
    circuit = without_measurements(circuit)
    operator = only_operator(observable, circuit.num_qubits)
    angles = as_parameters(order, parameters)
    isa = place.transpile(circuit)
    angles = kept_columns(circuit, isa, angles)
    [operator] = placed([operator], circuit, isa)
    limits: dict[str, Any] = {"max_bond": max_bond, "cutoff": cutoff}
    try:
        mitigated = mitigated_observable(isa, operator, noise, angles, **limits)
    except UsageError:
        for step in circuit.data:  # names what the caller wrote
            if not isinstance(step.operation, Barrier):
                check_gate(step, tuple(circuit.find_bit(qubit).index for qubit in step.qubits))
        raise
    if place.exact and not place.noisy and not noise.is_ideal():
        raise UsageError(
            f"{place.name} has no noise to mitigate; pass the backend with this noise, such as "
            "get_backend('aer', noise=noise)."
        )
    outcome_factors = _outcome_factors(noise, mitigated.qubits)
    message = _left(noise, isa, mitigated.qubits)
    if noise.is_ideal():
        warnings.warn(f"{message}.", stacklevel=2)
    bases = best_bases(mitigated.tensors, np.array([scatter for _, scatter in outcome_factors]))
    drawn = bases.draw(shots, rng)
    copies = [isa]
    if gate_twirls:
        most = min(gate_twirls, shots)
        copies = twirl_gates(isa, most, target=place.target, seed=int(rng.integers(2**31)))
    drawn = np.column_stack([np.arange(shots) % len(copies), drawn])
    settings, counts = np.unique(drawn, axis=0, return_counts=True)
    rotations = getattr(place.estimator, "rotations", None) or native_rotations(place.target)
    pubs = []
    for (copy, *letters), count in zip(settings.tolist(), counts.tolist(), strict=True):
        basis = {qubit: "XYZ"[letter] for qubit, letter in zip(mitigated.qubits, letters, strict=True)}
        pubs.append((measured_in(copies[copy], basis, rotations), angles, count))
    result = place.sample(pubs, seed=int(rng.integers(2**31)))
    # shots with the same basis and outcome have the same value
    seen = [counted(part.data[pub[0].cregs[-1].name], 1)[0] for pub, part in zip(pubs, result, strict=True)]
    times = np.concatenate([often for _, often in seen])
    bits = np.concatenate([outcomes for outcomes, _ in seen]).astype(int)
    copy_of, *measured = np.repeat(settings, [len(often) for _, often in seen], axis=0).T
    tables = np.array([table for table, _ in outcome_factors])
    factors = tables[np.arange(bits.shape[1]), bits]
    values = bases.values(mitigated.tensors, np.column_stack(measured), factors)
    value = float(np.average(values, weights=times))
    variance = float(times @ (values - value) ** 2) / (shots - 1) / shots
    if gate_twirls:
        # the scatter of the copies contains that of the shots, but a few may agree by chance
        weights = np.bincount(copy_of, times)
        means = np.bincount(copy_of, times * values) / weights
        between = (weights / shots) ** 2 @ (means - value) ** 2
        variance = max(variance, float(between) * len(copies) / (len(copies) - 1))
    plain = mitigated_observable(QuantumCircuit(isa.num_qubits), operator, NoiseModel(), cutoff=0)
    ideal = best_bases(plain.tensors, np.ones(len(plain.tensors))).variance
    return TensorNetworkMitigation(
        value=value,
        std=float(np.sqrt(variance)),
        shots=result.metadata["shots"],
        seed=seed,
        job_ids=result.metadata["job_ids"],
        bond=mitigated.bond,
        truncation=mitigated.truncation,
        overhead=bases.variance / ideal if ideal > 0 else 1.0,
        qubits=mitigated.qubits,
        bases=bases.probabilities,
        message=message,
    )


def _left(noise: NoiseModel, isa: QuantumCircuit, measured: tuple[int, ...]) -> str:
    """What the noise leaves as noisy as it is, for the message; noise of other gates or qubits is refused."""
    if noise.is_ideal():
        return "noise has no errors, so nothing was inverted and the value is the mean of the shots"
    gates = [
        (name_of(step.operation), tuple(isa.find_bit(qubit).index for qubit in step.qubits))
        for step in isa.data
        if not isinstance(step.operation, Barrier)
    ]
    pairs = [(name, where) for name, where in gates if len(where) == 2]
    if not pairs:
        return ""
    errors = GateErrors(noise)
    # noise of one-qubit gates alone is possible, too
    concerned = pairs if errors.two_qubit else gates
    readout = confusion_matrices(noise) or {}
    reads = any(not np.array_equal(readout.get(qubit, readout[None]), np.eye(2)) for qubit in measured)
    only_readout = reads and not set(noise.noise_instructions) - {"measure", "reset", "delay"}
    if only_readout or any(errors.channel(name, where) is not None for name, where in concerned):
        without = dict.fromkeys(one for one in pairs if errors.channel(*one) is None)
        some = [f"{name} on qubits {where}" for name, where in list(without)[:_SHOWN]]
        more = f" and {len(without) - _SHOWN} others" if len(without) > _SHOWN else ""
        return f"noise has no error of {', '.join(some)}{more}, so none was inverted there" if some else ""
    own = sorted(noise.noise_qubits)
    raise UsageError(
        f"noise has errors of {', '.join(sorted(noise.noise_instructions))} on "
        f"{f'qubits {_listed(own)}' if own else 'all qubits'}, and the transpiled circuit has "
        f"{', '.join(sorted({name for name, _ in pairs}))} on qubits "
        f"{_listed(sorted({qubit for _, where in pairs for qubit in where}))}: none of its two-qubit gates "
        "has an error; pass the noise of these gates and qubits."
    )


def _listed(qubits: list[int]) -> str:
    shown = ", ".join(map(str, qubits[:_SHOWN]))
    return shown if len(qubits) <= _SHOWN else f"{shown}, … ({len(qubits)})"


def _outcome_factors(noise: NoiseModel, qubits: tuple[int, ...]) -> list[tuple[np.ndarray, float]]:
    """What 0 and 1 count on each qubit so that the mean is that of Z; their mean square in a mixed state."""
    confusions = confusion_matrices(noise)
    if confusions is None:
        raise UsageError(
            "noise has readout errors of several qubits together, or gate errors on 'measure'; pass one "
            "ReadoutError for each qubit."
        )
    found = []
    for qubit in qubits:
        confusion = confusions.get(qubit, confusions[None])
        if abs(np.linalg.det(confusion)) < ERASED:
            raise UsageError(
                f"qubit {qubit} reads 0 and 1 alike, which cannot be inverted; pass weaker noise."
            )
        table = np.linalg.solve(confusion.T, [1.0, -1.0])
        found.append((table, float(table**2 @ confusion.mean(axis=1))))
    return found
