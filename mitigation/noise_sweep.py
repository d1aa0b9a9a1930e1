"""Noise scans of a simulator whose two-qubit gates fail with known probabilities, as in arXiv:2403.07025.

On a device, nobody knows the error probability, and noise can only be amplified. A simulator can be told,
which is how the paper measures the values that its network extrapolates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from qiskit import QuantumCircuit

from bondwise.backends import estimate
from bondwise.backends.inputs import as_operators
from bondwise.backends.primitives import check_shots
from bondwise.circuits import Observable, as_circuit, is_observable
from bondwise.mitigation.prepared import limits
from bondwise.mitigation.scales import with_error
from bondwise.mitigation.scan import NoiseScan
from bondwise.runs import UsageError, random_generator, real_number


def scan_error_probabilities(
    circuit: QuantumCircuit,
    observables: Observable | Sequence[Observable],
    parameters: ArrayLike | Mapping[Any, Any] | None = None,
    *,
    error_probabilities: Sequence[float] = (0.01, 0.02, 0.03, 0.04, 0.05),
    shots: int | None = None,
    seed: int | None = None,
) -> NoiseScan:
    """Measure a circuit on simulators with depolarizing noise of several strengths.

    Each two-qubit gate is followed by (1-p) ρ + p I/4 on its qubits, as on `"aer:depolarizing=p"`; one-qubit
    gates and readout are ideal. These are the data from which the network of arXiv:2403.07025 predicts the
    value at p = 0. All extrapolations that need no twins take the scan, for a comparison on the same shots.

    Args:
        circuit: A circuit or gate, as for `bondwise.backends.estimate`.
        observables: One Hermitian operator, or a sequence of K, as for `estimate`.
        parameters: Angles in radians, shape (*batch, P), or by name, as for `estimate`.
        error_probabilities: S ≥ 2 distinct strengths p between 0 and 1.
        shots: Number of shots per measured basis, parameter set and strength. None: exact values up to
            12 qubits, and 4096 shots above.
        seed: Random seed; each strength draws shots of its own from it.

    Returns:
        The scan, whose `value` has the shape (*batch, S), or (*batch, K, S) for a sequence of observables.
        Scale factors are the strengths divided by the smallest, so 0 stands for p = 0; the strengths
        themselves are in `meta["error_probabilities"]`, shape (S,), in the order given.

    Raises:
        UsageError: If there are fewer than two strengths, one is not between 0 and 1, or two are equal; or as
            for `estimate`.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.mitigation import extrapolate_linear, scan_error_probabilities
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1)
        >>> scan = scan_error_probabilities(bell, "ZZ", error_probabilities=(0.01, 0.03, 0.05))
        >>> print(scan.value.round(3), scan.scale_factors.round(3))
        [0.99 0.97 0.95] [1. 3. 5.]
        >>> round(extrapolate_linear(scan).value, 6)
        1.0
    """
    strengths = _checked(error_probabilities)
    shots = with_error(check_shots(shots))
    operators = as_operators(observables, as_circuit(circuit).num_qubits)
    seeds = random_generator(seed).integers(2**31, size=len(strengths)).tolist()
    parts = [
        estimate(circuit, observables, parameters, shots=shots, backend=f"aer:depolarizing={p}", seed=draw)
        for p, draw in zip(strengths, seeds, strict=True)
    ]
    value = np.stack([np.asarray(part.value) for part in parts], axis=-1)
    spectra = np.array([limits(operator) for operator in operators])
    if is_observable(observables):
        spectra = spectra[0]
    leading = value.shape[:-1]
    return NoiseScan(
        value=value,
        std=np.stack([np.asarray(part.std) for part in parts], axis=-1),
        scale_factors=np.array(strengths) / min(strengths),
        shots=sum(part.shots for part in parts),
        seed=seed,
        asymptote=np.broadcast_to(spectra.mean(axis=-1), leading),
        spectrum=np.broadcast_to(spectra, (*leading, 2)),
        meta={"error_probabilities": np.array(strengths), "device": "aer:depolarizing"},
    )


def _checked(given: Any) -> list[float]:
    """The strengths as Python floats.

    Raises:
        UsageError: As for `scan_error_probabilities`.
    """
    listed = given.tolist() if hasattr(given, "tolist") else given
    if isinstance(listed, str) or not isinstance(listed, Iterable):
        raise UsageError(
            f"error_probabilities is {given!r}; give two or more numbers below 1, such as (0.01, 0.02)."
        )
    strengths = [real_number("error probability", one, below=1) for one in listed]
    if len(strengths) < 2:
        raise UsageError(
            f"error_probabilities {strengths} cannot be extrapolated; give two or more, such as (0.01, 0.02)."
        )
    if len(set(strengths)) < len(strengths):
        raise UsageError(f"error_probabilities {strengths} must be distinct, such as (0.01, 0.02).")
    return strengths
