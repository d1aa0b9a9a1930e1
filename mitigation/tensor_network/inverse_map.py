"""The inverse of a circuit's noise as a matrix product operator, and the observable that it makes.

A circuit of gates U_1 … U_L, each followed by a channel N_l, prepares a noisy state. The map

    M_l = U_l M_{l-1} U_l⁻¹ N_l⁻¹,   M_0 = 1,

turns it into the noise-free one: M_L is built "from the middle out" (arXiv:2307.11740), so that it stays
close to the identity, with small bonds, as long as the noise is weak. Its transpose, applied to an
observable, yields the observable whose mean in the noisy state is the noise-free mean.

Maps and observables are real tensors in the basis of Pauli words, with letters I, X, Y, Z.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from qiskit import QuantumCircuit
from qiskit.circuit import Barrier, CircuitInstruction, Delay, Instruction
from qiskit.quantum_info import PTM, Operator, PauliList, SparsePauliOp
from qiskit_aer.noise import NoiseModel
from scipy.sparse import coo_array
from scipy.sparse.csgraph import reverse_cuthill_mckee

from bondwise.backends.inputs import as_operators, as_parameters
from bondwise.backends.simulators.gate_errors import GateErrors
from bondwise.circuits import Observable, bind_soundly, without_measurements
from bondwise.circuits.files.orders import with_order
from bondwise.runs import UsageError, real_number, require_memory, whole_number

MAX_BOND, CUTOFF = 128, 1e-6
_ROUNDING = 1e-14  # relative size below which a singular value is rounding
ERASED = 1e-6  # what is left of a Pauli that a channel or readout erases


@dataclass(frozen=True)
class MitigatedObservable:
    """An observable of the noisy state, as a matrix product in the basis of Pauli words.

    Attributes:
        tensors: One for each site, float64 `(left, 4, right)` with the letters I, X, Y, Z; their product
            holds the coefficients of the words.
        qubits: The qubit of the circuit at each site.
        num_qubits: Number of qubits of the circuit; those without a site have the letter I.
        bond: Largest bond of the inverse of the noise.
        truncation: Part of the squared norm that truncation took from the inverse and the observable.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qiskit_aer.noise import NoiseModel
        >>> from bondwise.mitigation import mitigated_observable
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1)
        >>> mitigated_observable(bell, "ZZ", NoiseModel()).bond  # nothing to invert
        1
    """

    tensors: tuple[np.ndarray, ...]
    qubits: tuple[int, ...]
    num_qubits: int
    bond: int
    truncation: float

    def to_operator(self) -> SparsePauliOp:
        """The observable as a Pauli sum of up to 4^n words on n active qubits.

        Raises:
            UsageError: If it does not fit into memory.
        """
        sites = len(self.tensors)
        need = 4**sites * (2 * self.num_qubits + 64)
        require_memory(f"a Pauli sum of 4^{sites} words", need, "sample its mean")
        words = reduce(lambda left, right: np.tensordot(left, right, 1), self.tensors)
        coefficients = words.ravel()
        kept = np.flatnonzero(np.abs(coefficients) > _ROUNDING * np.abs(coefficients).max())
        letters = np.stack(np.unravel_index(kept, (4,) * sites), axis=1)
        x, z = np.zeros((2, len(kept), self.num_qubits), dtype=bool)
        x[:, self.qubits] = (letters == 1) | (letters == 2)
        z[:, self.qubits] = letters >= 2
        return SparsePauliOp(PauliList.from_symplectic(z, x), coefficients[kept])


def mitigated_observable(
    circuit: QuantumCircuit,
    observable: Observable,
    noise: NoiseModel,
    parameters: ArrayLike | Mapping[Any, Any] | None = None,
    *,
    max_bond: int | None = MAX_BOND,
    cutoff: float = CUTOFF,
) -> MitigatedObservable:
    """The observable whose mean in the noisy final state of a circuit is the noise-free mean.

    Source: Filippov, Leahy, Rossi and García-Pérez, arXiv:2307.11740.

    Args:
        circuit: A circuit of gates on one and two qubits, as it runs; final measurements are left out.
        observable: Anything that `estimate` takes, on the circuit's qubits.
        noise: Aer's model of the errors of gates, found by name (or label) and qubits: any invertible
            channels. Readout errors, and relaxation that passes add to delays, are not part of the final
            state.
        parameters: Angles in radians, shape `(P,)`, or by name, as for `estimate`.
        max_bond: Largest bond of the inverse of the noise; None for no limit.
        cutoff: Singular values are dropped below this part of the norm.

    Raises:
        UsageError: If a channel cannot be inverted, the circuit measures, resets, branches or has a gate on
            more than two qubits, or the arguments are not as described.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qiskit_aer.noise import NoiseModel, depolarizing_error
        >>> from bondwise.mitigation import mitigated_observable
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1)
        >>> noise = NoiseModel()
        >>> noise.add_all_qubit_quantum_error(depolarizing_error(0.2, 2), "cx")
        >>> mitigated_observable(bell, "ZZ", noise).to_operator()
        SparsePauliOp(['ZZ'],
                      coeffs=[1.25+0.j])
    """
    circuit, order = with_order(circuit)
    circuit = without_measurements(circuit)
    operator = only_operator(observable, circuit.num_qubits)
    angles = as_parameters(order, parameters)
    if angles.ndim > 1:
        raise UsageError(
            f"parameters have shape {angles.shape}; pass one set, of shape ({angles.shape[-1]},)."
        )
    if circuit.parameters:
        circuit = bind_soundly(circuit, angles.tolist(), "the circuit")
    if max_bond is not None:
        max_bond = whole_number("max_bond", max_bond, otherwise="None for no limit")
    cutoff = real_number("cutoff", cutoff, zero=True, below=1)
    errors = _InverseErrors(noise)
    steps = [_step(circuit, step, errors) for step in circuit.data if not isinstance(step.operation, Barrier)]
    observed = np.flatnonzero((operator.paulis.x | operator.paulis.z).any(axis=0)).tolist()
    inverse = _InverseMap(_chain([where for where, _, _ in steps], observed), max_bond, cutoff)
    for where, gate, undone in steps:
        inverse.extend(where, gate, undone)
    tensors = inverse.transposed_on(operator)
    return MitigatedObservable(
        tensors, tuple(inverse.qubits), circuit.num_qubits, inverse.bond, inverse.truncation
    )


def only_operator(observable: Observable, num_qubits: int) -> SparsePauliOp:
    """One observable as a Pauli sum.

    Raises:
        UsageError: If there are several, or it does not act on so many qubits.
    """
    operators = as_operators(observable, num_qubits)
    if len(operators) > 1:
        raise UsageError(f"{len(operators)} observables were passed; pass one, or their sum.")
    return operators[0]


class _InverseErrors:
    """The inverses of the channels after the gates of a noise model, as Pauli transfer matrices."""

    def __init__(self, noise: NoiseModel) -> None:
        self._errors = GateErrors(noise)
        self._inverses: dict[int, np.ndarray] = {}  # by the channel, which the errors keep alive

    def find(self, name: str, qubits: tuple[int, ...]) -> np.ndarray | None:
        """The inverse (4^k, 4^k) of the error of a gate on k qubits; None without an error.

        Raises:
            UsageError: If it has none.
        """
        channel = self._errors.channel(name, qubits)
        if channel is None:
            return None
        if id(channel) not in self._inverses:
            matrix = np.asarray(PTM(channel).data.real)
            if np.linalg.svd(matrix, compute_uv=False)[-1] < ERASED:
                raise UsageError(
                    f"the error of {name} on qubits {qubits} cannot be inverted, because it erases what it "
                    "acts on; pass weaker noise."
                )
            self._inverses[id(channel)] = np.linalg.inv(matrix)
        return self._inverses[id(channel)]


class _InverseMap:
    """The map M as tensors (left, 4 out, 4 in, right), all but one of which are isometries."""

    def __init__(self, qubits: list[int], max_bond: int | None, cutoff: float) -> None:
        self.qubits = qubits  # at each site
        self.bond, self.truncation = 1, 0.0
        self._max_bond, self._cutoff = max_bond, cutoff
        self._tensors = [np.eye(4).reshape(1, 4, 4, 1) / 2 for _ in qubits]  # of norm 1; see `transposed_on`
        self._center = 0

    def extend(self, where: tuple[int, ...], gate: np.ndarray, undone: np.ndarray) -> None:
        """M becomes `gate M undone`, on one or two qubits."""
        site = self.qubits.index(where[0])
        if len(where) == 1:
            if not np.allclose(undone @ gate, np.eye(4), rtol=0, atol=_ROUNDING):
                self._move(site)  # isometries do not survive an error
            tensor = self._tensors[site]
            self._tensors[site] = np.einsum("Oo,loir,iI->lOIr", gate, tensor, undone, optimize=True)
            return
        other = self.qubits.index(where[1])
        while abs(other - site) > 1:
            step = 1 if site < other else -1
            self._exchange(min(site, site + step))
            site += step
        if site < other:  # Qiskit's first qubit is the last index
            gate, undone = _reversed(gate), _reversed(undone)
        self._update(min(site, other), lambda theta: gate @ theta @ undone)

    def transposed_on(self, operator: SparsePauliOp) -> tuple[np.ndarray, ...]:
        """The transpose of M applied to a Pauli sum: one tensor (left, 4, right) for each site."""
        self._move(0)
        x, z = (bits[:, self.qubits] for bits in (operator.paulis.x, operator.paulis.z))
        rests = np.where(x, np.where(z, 2, 1), np.where(z, 3, 0))
        weights = operator.coeffs.real.reshape(1, -1, 1)  # left bond, remainder of a word, bond of M
        made: list[np.ndarray] = []
        for tensor in self._tensors:
            rests, column, letters = *_remainders(rests), rests[:, 0]
            joint = np.zeros((weights.shape[0], 4, len(rests), tensor.shape[-1]))
            for index, letter in enumerate(letters):
                joint[:, :, column[index]] += np.tensordot(weights[:, index], 2 * tensor[:, letter], 1)
            u, s, v = np.linalg.svd(joint.reshape(4 * len(weights), -1), full_matrices=False)
            rank = max(1, int((s > _ROUNDING * s[0]).sum()))
            made.append(u[:, :rank].reshape(-1, 4, rank))
            weights = (s[:rank, None] * v[:rank]).reshape(rank, len(rests), -1)
        made[-1] = made[-1] * weights.ravel()
        for site in range(len(made) - 1, 0, -1):
            left, _, right = made[site].shape
            u, s, v = self._split(made[site].reshape(left, -1), None)
            made[site] = v.reshape(-1, 4, right)
            made[site - 1] = np.tensordot(made[site - 1], u * s, 1)
        return tuple(made)

    def _exchange(self, site: int) -> None:
        """Exchange the qubits of two neighboring sites."""
        self._update(site, lambda theta: theta.reshape(-1, 4, 4, 4, 4).transpose(0, 2, 1, 4, 3))
        self.qubits[site : site + 2] = self.qubits[site : site + 2][::-1]

    def _update(self, site: int, change: Any) -> None:
        """Change two neighboring tensors, as matrices (left · right, 16 out, 16 in)."""
        self._move(site)
        one, two = self._tensors[site : site + 2]
        theta = np.tensordot(one, two, 1)  # left, out, in, out, in, right
        left, right = theta.shape[0], theta.shape[-1]
        theta = change(theta.transpose(0, 5, 1, 3, 2, 4).reshape(-1, 16, 16))
        theta = theta.reshape(left, right, 4, 4, 4, 4).transpose(0, 2, 4, 3, 5, 1)
        u, s, v = self._split(theta.reshape(16 * left, 16 * right), self._max_bond)
        self._tensors[site] = u.reshape(left, 4, 4, -1)
        self._tensors[site + 1] = (s[:, None] * v).reshape(-1, 4, 4, right)
        self._center = site + 1
        self.bond = max(self.bond, len(s))

    def _split(self, matrix: np.ndarray, most: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        u, s, v = np.linalg.svd(matrix, full_matrices=False)
        norm = np.linalg.norm(s)
        rank = max(1, int((s > max(self._cutoff, _ROUNDING) * norm).sum()))
        rank = rank if most is None else min(rank, most)
        self.truncation += float(np.sum((s[rank:] / norm) ** 2))
        return u[:, :rank], s[:rank], v[:rank]

    def _move(self, site: int) -> None:
        """Move the tensor that is not an isometry."""
        tensors = self._tensors
        while self._center < site:
            at = self._center
            left, _, _, right = tensors[at].shape
            q, r = np.linalg.qr(tensors[at].reshape(-1, right))
            tensors[at] = q.reshape(left, 4, 4, -1)
            tensors[at + 1] = np.tensordot(r, tensors[at + 1], 1)
            self._center += 1
        while self._center > site:
            at = self._center
            left, _, _, right = tensors[at].shape
            q, r = np.linalg.qr(tensors[at].reshape(left, -1).T)
            tensors[at] = q.T.reshape(-1, 4, 4, right)
            tensors[at - 1] = np.tensordot(tensors[at - 1], r.T, 1)
            self._center -= 1


def _step(
    circuit: QuantumCircuit, step: CircuitInstruction, errors: _InverseErrors
) -> tuple[tuple[int, ...], np.ndarray, np.ndarray]:
    """The qubits of a gate, its Pauli transfer matrix U, and U⁻¹ N⁻¹."""
    operation = step.operation
    where = tuple(circuit.find_bit(qubit).index for qubit in step.qubits)
    check_gate(step, where)
    if len(where) > 2:
        raise UsageError(
            f"{operation.name} acts on {len(where)} qubits; transpile the circuit to gates on one and two."
        )
    gate = np.eye(4) if isinstance(operation, Delay) else PTM(Operator(operation)).data.real
    inverse = errors.find(name_of(operation), where)
    return where, gate, gate.T if inverse is None else gate.T @ inverse


def check_gate(step: CircuitInstruction, where: tuple[int, ...]) -> None:
    """Refuse what measures, resets or branches.

    Raises:
        UsageError: If the step does.
    """
    operation = step.operation
    if step.clbits or operation.name in ("reset", "initialize") or not hasattr(operation, "to_matrix"):
        raise UsageError(
            f"the circuit has {operation.name!r} on qubits {where}, and only gates can be mitigated; pass a "
            "circuit of gates, with measurements at its end only."
        )


def name_of(operation: Instruction) -> str:
    """The name by which a noise model finds the error of an operation: its label if it has one."""
    return getattr(operation, "label", None) or str(operation.name)


def _chain(pairs: list[tuple[int, ...]], observed: list[int]) -> list[int]:
    """All active qubits in an order in which those that share gates are close to each other."""
    active = np.unique(
        [*observed, *(qubit for where in pairs for qubit in where), *([] if observed else [0])]
    )
    edges = np.array([where for where in pairs if len(where) == 2]).reshape(-1, 2)
    rows, columns = np.searchsorted(active, edges).T
    ends = (np.concatenate([rows, columns]), np.concatenate([columns, rows]))
    graph = coo_array((np.ones(len(ends[0])), ends), shape=(len(active),) * 2).tocsr()
    return active[reverse_cuthill_mckee(graph, symmetric_mode=True)].tolist()


def _remainders(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct remainders of words without their first letter, and which one each word has."""
    unique, column = np.unique(words[:, 1:], axis=0, return_inverse=True)
    return unique, column.ravel()


def _reversed(matrix: np.ndarray) -> np.ndarray:
    """A matrix (16, 16) on two qubits with these exchanged."""
    return matrix.reshape(4, 4, 4, 4).transpose(1, 0, 3, 2).reshape(16, 16)
