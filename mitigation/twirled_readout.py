"""Readout errors undone by twirling (TREX, arXiv:2012.09738): on any number of qubits, correlated or not.

A random Pauli before the measurement, whose sign is undone afterwards, leaves of all readout errors a factor:
the mean of a Pauli P is read as `f_S ⟨P⟩`, where S are the qubits on which P acts. The same measurement of
`|0…0⟩`, where the true mean is 1, yields f_S. Gates of the twirl and errors of the initial state count as
readout errors.

The Paulis are not drawn: they are the rows of an orthogonal array, in which any two qubits see all pairs of
Paulis equally often. Then no run is luckier than another, and a job that is submitted again is the same. What
more than two qubits have in common is only balanced in part: very asymmetric readout (0.02 and 0.2) leaves
0.0015 of Z⊗Z⊗Z⊗Z, and 0.01 of Z on 8 qubits, which no standard error tells. A simulator whose readout is
symmetric already needs no twirl.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TypeAlias

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.primitives import PubResult
from qiskit.primitives.containers.bindings_array import BindingsArray
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Target

from bondwise.backends import Backend
from bondwise.backends.primitives import observables_array
from bondwise.backends.sampled import in_native_gates
from bondwise.runs import RunError

Support: TypeAlias = tuple[int, ...]  # the qubits on which a Pauli acts, in ascending order

_SHOTS_PER_ROW = 16  # at least, unless there are fewer shots
_CLEAR = 5  # standard errors from 0 at which one can divide by a fidelity


@dataclass(frozen=True)
class Fidelity:
    """What twirled readout leaves of the mean of a Pauli.

    Attributes:
        value: The factor f_S.
        std: Its standard error; 0 if it is exact.
        shots: Number of shots spent on it; 0 if it is exact.
    """

    value: float
    std: float
    shots: int


class Twirl:
    """The Paulis of a job, and how its circuits and observables change with them.

    Args:
        backend: Where the job runs.
        qubits: All qubits that the job measures.
        shots: Number of shots per basis and parameter set; None for exact values.
    """

    def __init__(self, backend: Backend, qubits: Sequence[int], shots: int | None) -> None:
        self._target = backend.target
        self._place = {qubit: index for index, qubit in enumerate(sorted(qubits))}
        self._flips = np.zeros((1, 2, len(self._place)), dtype=bool)
        if self._place and not backend.symmetric_readout:
            most = None if shots is None else max(1, shots // (4 * _SHOTS_PER_ROW))
            self._flips = _orthogonal_array(len(self._place), most)
        # with each Pauli; a single one has no error
        self.shots = None if shots is None else max(2, ceil(shots / len(self._flips)))

    def pub(self, circuit: QuantumCircuit, observables: np.ndarray, values: np.ndarray) -> EstimatorPub:
        """A circuit that is measured after each of the R Paulis.

        Args:
            circuit: A compiled circuit with P parameters.
            observables: Array of `SparsePauliOp`, shape `(E, *shape)`.
            values: Their values, shape `(*batch, P)`.

        Returns:
            A PUB of shape `(R, E, *broadcast)`, where shape and batch are broadcast.
        """
        axes = max(observables.ndim, values.ndim) - 1
        given = observables.reshape(len(observables), *_padded(observables.shape[1:], axes))
        batch = (len(self._flips), 1, *_padded(values.shape[:-1], axes))

        def spread(array: np.ndarray) -> np.ndarray:
            return np.broadcast_to(array, (*batch, array.shape[-1]))

        bound = {tuple(circuit.parameters): spread(values.reshape(*batch[2:], -1))}
        signed = np.empty((len(self._flips), *given.shape), dtype=object)
        if len(self._flips) == 1:
            signed[0] = given
            return EstimatorPub(circuit, observables_array(signed), BindingsArray(bound, batch))
        qubits = measured_qubits(observables)
        flips = np.zeros((len(self._flips), 2, circuit.num_qubits), dtype=bool)
        flips[..., qubits] = self._flips[..., [self._place[qubit] for qubit in qubits]]
        for index, observable in np.ndenumerate(given):
            x, z = observable.paulis.x.astype(int), observable.paulis.z.astype(int)
            signs = 1 - 2 * ((flips[:, 0] @ z.T + flips[:, 1] @ x.T) & 1)
            for row, sign in enumerate(signs):
                signed[(row, *index)] = SparsePauliOp(observable.paulis, observable.coeffs * sign)
        circuit, angles = _with_layer(circuit, qubits, self._target)
        rows = np.pi * flips[..., qubits].reshape(len(flips), *(1,) * (axes + 1), -1)
        bound[angles] = spread(rows)
        return EstimatorPub(circuit, observables_array(signed), BindingsArray(bound, batch))

    def calibration(self, supports: Sequence[Support], circuit: QuantumCircuit) -> EstimatorPub:
        """A PUB whose values are the fidelities of the supports, after each Pauli: shape `(R, supports)`.

        Args:
            supports: One or more sets of qubits.
            circuit: A compiled circuit of the job, which has at least these qubits.
        """
        empty = circuit.copy_empty_like()
        empty.global_phase = 0  # which may have parameters
        parity = np.empty(len(supports), dtype=object)
        for index, support in enumerate(supports):
            term = ("Z" * len(support), list(support), 1.0)
            parity[index] = SparsePauliOp.from_sparse_list([term], empty.num_qubits)
        return self.pub(empty, parity, np.zeros(0))


def averaged(part: PubResult) -> tuple[np.ndarray, np.ndarray]:
    """Values and variances of a PUB of `Twirl.pub`, averaged over the Paulis: shape `(E, *broadcast)`."""
    evs, variances = np.asarray(part.data["evs"]), np.asarray(part.data["stds"]) ** 2
    return evs.mean(axis=0), variances.sum(axis=0) / len(evs) ** 2


def fidelities(
    supports: Sequence[Support], parts: Sequence[PubResult], shots: int
) -> dict[Support, Fidelity]:
    """The fidelities of the supports from the results of one or more calibration PUBs with so many shots.

    Raises:
        RunError: If one is so small that it cannot be divided by.
    """
    measured = [averaged(part) for part in parts]
    values = np.mean([value for value, _ in measured], axis=0)
    stds = np.sqrt(np.sum([variance for _, variance in measured], axis=0)) / len(parts)
    for support, value, std in zip(supports, values, stds, strict=True):
        if not value > max(_CLEAR * std, 1e-6):
            raise RunError(
                f"the readout of qubits {support} keeps {value:.2g} ± {std:.1g} of a product of their "
                "outcomes, so its errors cannot be undone; choose another layout, take more shots, or pass "
                "readout=False."
            )
    found = zip(supports, values.tolist(), stds.tolist(), strict=True)
    return {support: Fidelity(value, std, shots) for support, value, std in found}


def measured_qubits(observables: np.ndarray) -> list[int]:
    """The qubits that an array of `SparsePauliOp` reads, in ascending order."""
    reads = [(one.paulis.x | one.paulis.z).any(axis=0) for one in observables.flat]
    return np.flatnonzero(np.any(reads, axis=0)).tolist() if reads else []


def _orthogonal_array(qubits: int, most: int | None) -> np.ndarray:
    """Paulis X^x Z^z as bits (rows, 2, qubits), of which x comes first; at most `4 most` rows.

    They are linear functions of a row's number, over the field of four elements, times the same Pauli on all
    qubits. All rows are an orthogonal array of strength 2; any four from the first on balance each qubit.
    """
    digits = 0
    while 4**digits < qubits:
        digits += 1
    base = np.arange(4**digits)
    if most is not None and most < base.size:
        base = np.sort(np.random.default_rng(0).permutation(base)[:most])
    ones = np.arange(qubits)
    high, low = ones & 0xAAAAAAAA, ones & 0x55555555
    omegas = (high ^ (low << 1)) | (high >> 1)  # each digit in base 4 times ω
    x, z = (np.bitwise_count(base[:, None, None] & column) & 1 for column in (ones, omegas))
    everywhere = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    rows = np.stack([x ^ everywhere[:, :1], z ^ everywhere[:, 1:]], axis=2)
    return rows.reshape(-1, 2, qubits).astype(bool)


def _padded(shape: tuple[int, ...], axes: int) -> tuple[int, ...]:
    return (1,) * (axes - len(shape)) + shape


def _with_layer(
    circuit: QuantumCircuit, qubits: Sequence[int], target: Target | None
) -> tuple[QuantumCircuit, tuple[Parameter, ...]]:
    """The circuit followed by a Pauli X^x Z^z on each qubit, and the angles πx and πz of all qubits."""
    name = "twirl"
    while any(parameter.name.startswith(name) for parameter in circuit.parameters):
        name += "_"
    angles = ParameterVector(name, 2 * len(qubits))
    layer = QuantumCircuit(circuit.num_qubits)
    for index, qubit in enumerate(qubits):
        layer.rx(angles[index], qubit)
        layer.rz(angles[len(qubits) + index], qubit)
    twirled = circuit.copy()
    twirled.barrier([twirled.qubits[qubit] for qubit in qubits])
    for step in in_native_gates(layer, target).data:
        twirled.append(step.operation, [twirled.qubits[layer.find_bit(qubit).index] for qubit in step.qubits])
    return twirled, tuple(angles)
