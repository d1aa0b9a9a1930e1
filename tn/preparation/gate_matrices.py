"""A parametrized Qiskit circuit as two-qubit matrices that depend on its parameters, with derivatives.

Every run of gates on the same two qubits becomes one 4 x 4 matrix: a product of fixed matrices and of
rotations exp(-i angle/2 P) about Pauli words P. From the derivative of a function with respect to the entries
of these matrices, the chain rule gives its derivative with respect to the parameters. Global phases are
dropped.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Barrier, CircuitError, Delay, Measure, Parameter, ParameterExpression, Reset
from qiskit.exceptions import QiskitError
from scipy.sparse import csr_array

from bondwise.circuits import refuse_variables
from bondwise.circuits.expressions import affine
from bondwise.runs import UsageError
from bondwise.runs.text import counted
from bondwise.tn.states.circuit_state import in_order

_WORDS = {"rx": "X", "ry": "Y", "rz": "Z", "p": "Z", "rxx": "XX", "ryy": "YY", "rzz": "ZZ", "rzx": "XZ"}
_PAULIS = {
    "X": np.array([[0, 1], [1, 0]]),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]),
}
_FIXED = ["id", "x", "y", "z", "h", "s", "sdg", "t", "tdg", "sx", "sxdg", "cx", "cz", "swap", "unitary"]
_SWAP = np.array([0, 2, 1, 3])
_Factor = tuple[NDArray[Any], ParameterExpression | None]  # a fixed matrix, or a Pauli word and its angle


class GateMatrices:
    """The matrices of a circuit.

    Args:
        circuit: A circuit of gates on at least two qubits; final measurements are left out.

    Attributes:
        circuit: The same circuit in fixed gates and rotations of one or two qubits.
        pairs: The qubits (a, b) of each matrix, a < b, in time order; rows and columns are 2 * (bit of a) +
            (bit of b).

    Raises:
        UsageError: If the circuit contains an operation that is not a gate, or has a single qubit.
    """

    def __init__(self, circuit: QuantumCircuit) -> None:
        self.circuit = plain = _unrolled(circuit)
        self.pairs: list[tuple[int, int]] = []
        self._parameters = list(circuit.parameters)
        operations: list[list[_Factor]] = []  # of each matrix
        current: dict[int, int] = {}  # the last matrix that acts on a qubit
        waiting: dict[int, list[_Factor]] = {}
        for step in plain.data:
            if isinstance(step.operation, Barrier | Delay) or not step.qubits:
                continue
            qubits = tuple(plain.find_bit(qubit).index for qubit in step.qubits)
            parts = _parts(step.operation)
            if len(qubits) == 1 and qubits[0] not in current:
                waiting.setdefault(qubits[0], []).extend(parts)
                continue
            block = current.get(qubits[0], -1)
            if block != current.get(qubits[-1], -2):
                block = self._open(qubits, operations, current, waiting)
            operations[block] += [(_on_pair(m, qubits, self.pairs[block]), angle) for m, angle in parts]
        for qubit in list(waiting):  # qubits without two-qubit gates
            if qubit in waiting:
                other = qubit + 1 if qubit + 1 < circuit.num_qubits else qubit - 1
                self._open((qubit, other), operations, current, waiting)
        depth = max(map(len, operations), default=0)
        self._matrices = np.broadcast_to(np.eye(4), (depth, len(operations), 4, 4)).astype(complex)
        self._where: list[tuple[int, int]] = []
        words, angles = [], []
        for k, sequence in enumerate(operations):
            for t, (matrix, angle) in enumerate(sequence):
                if angle is None:
                    self._matrices[t, k] = matrix
                else:
                    self._where.append((t, k))
                    words.append(matrix)
                    angles.append(angle)
        self._words = np.array(words, complex).reshape(-1, 4, 4)
        self._angles = _Angles(angles, self._parameters)
        if not (np.isfinite(self._matrices).all() and np.isfinite(self._angles._offsets).all()):
            raise UsageError("an angle of the circuit is NaN or infinite; every number must be finite.")
        self._t, self._k = np.array(self._where, int).reshape(-1, 2).T

    def gates(self, parameters: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Matrices (M, 4, 4) at parameters (P,) in the order of `circuit.parameters`."""
        return self._products(parameters)[-1]

    def pullback(self, parameters: NDArray[np.float64], environments: NDArray[Any]) -> NDArray[np.complex128]:
        """The derivative of a function o with respect to the parameters, (P,).

        Args:
            parameters: Parameters, shape (P,).
            environments: Derivative of o with respect to the entries of `gates(parameters)`, (M, 4, 4); o
                must be linear in each matrix.
        """
        before = self._products(parameters)
        matrices = self._filled(parameters)
        after = environments.transpose(0, 2, 1).astype(complex)
        closed = np.empty_like(matrices)  # all but one factor, for each factor
        for t in range(len(matrices) - 1, -1, -1):
            # tr(after P matrix before) with the rotation at t; P commutes with its own rotation
            closed[t] = before[t + 1] @ after
            after = after @ matrices[t]
        slopes = -0.5j * np.einsum("jab,jba->j", closed[self._t, self._k], self._words)
        return self._angles.pullback(parameters, slopes)

    def _filled(self, parameters: NDArray[np.float64]) -> NDArray[np.complex128]:
        half = self._angles(parameters)[:, None, None] / 2
        matrices = self._matrices.copy()
        matrices[self._t, self._k] = np.cos(half) * np.eye(4) - 1j * np.sin(half) * self._words
        return matrices

    def _products(self, parameters: NDArray[np.float64]) -> list[NDArray[np.complex128]]:
        """Products of the first t factors, for t = 0, 1, ..."""
        matrices = self._filled(parameters)
        products = [np.broadcast_to(np.eye(4), (len(self.pairs), 4, 4)).astype(complex)]
        for factors in matrices:
            products.append(factors @ products[-1])
        return products

    def _open(
        self,
        qubits: tuple[int, ...],
        operations: list[list[_Factor]],
        current: dict[int, int],
        waiting: dict[int, list[_Factor]],
    ) -> int:
        """Start a matrix on two qubits with the gates that wait on them; return its index."""
        pair = (min(qubits), max(qubits))
        self.pairs.append(pair)
        operations.append(
            [
                (_on_pair(matrix, (qubit,), pair), angle)
                for qubit in pair
                for matrix, angle in waiting.pop(qubit, [])
            ]
        )
        current[pair[0]] = current[pair[1]] = len(self.pairs) - 1
        return len(self.pairs) - 1


class _Angles:
    """Rotation angles as functions of the parameters; affine ones, nearly all, are one matrix product."""

    def __init__(self, expressions: list[ParameterExpression], parameters: list[Parameter]) -> None:
        column = {parameter: j for j, parameter in enumerate(parameters)}
        entries: dict[tuple[int, int], float] = {}
        self._offsets = np.zeros(len(expressions))
        self._parameters = parameters
        self._curved: list[tuple[int, ParameterExpression, dict[int, Any]]] = []
        for i, expression in enumerate(expressions):
            row = affine(expression)
            if row is None:
                derivatives = {column[p]: expression.gradient(p) for p in expression.parameters}
                self._curved.append((i, expression, derivatives))
                continue
            slopes, self._offsets[i] = row
            entries |= {(i, column[p]): slope for p, slope in slopes.items()}
        rows, columns = np.array([*entries], int).reshape(-1, 2).T
        shape = (len(expressions), len(parameters))
        self._matrix = csr_array((list(entries.values()), (rows, columns)), shape=shape)

    def __call__(self, parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        angles = self._matrix @ parameters + self._offsets
        for i, expression, _ in self._curved:
            angles[i] = self._bound(expression, parameters)
        return angles

    def pullback(self, parameters: NDArray[np.float64], slopes: NDArray[Any]) -> NDArray[Any]:
        result = self._matrix.T @ slopes
        for i, _, derivatives in self._curved:
            for j, derivative in derivatives.items():
                result[j] += slopes[i] * self._bound(derivative, parameters)
        return result

    def _bound(self, expression: Any, parameters: NDArray[np.float64]) -> float:
        if not isinstance(expression, ParameterExpression):
            return float(expression)
        values = {
            p: float(parameters[j]) for j, p in enumerate(self._parameters) if p in expression.parameters
        }
        try:
            return float(expression.bind(values))
        except (TypeError, ZeroDivisionError):  # complex or infinite, so not an angle
            return np.nan


def _unrolled(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit in fixed gates and rotations of one or two qubits."""
    if circuit.num_qubits < 2:
        raise UsageError(f"the circuit has {counted(circuit.num_qubits, 'qubit')}; give one on at least 2.")
    refuse_variables(circuit)
    plain = in_order(circuit)
    for step in plain.data:
        if not hasattr(step.operation, "inverse") or isinstance(step.operation, Measure | Reset):
            raise UsageError(f"the circuit holds '{step.operation.name}', which is not a gate; remove it.")
    known = {*_WORDS, *_FIXED, "barrier", "delay"}
    if all(step.operation.name in known and len(step.qubits) <= 2 for step in plain.data):
        return plain
    try:
        # no "unitary" of many qubits stays; those of two are kept by the equivalence library's target
        return transpile(plain, basis_gates=[*_WORDS, *_FIXED[:-1], "u"], optimization_level=0)
    except QiskitError as error:
        raise UsageError(f"the circuit cannot be written in rotations and CX: {error}") from error


def _parts(operation: Any) -> list[_Factor]:
    """Factors of a gate in time order: (matrix, None), or (Pauli word, angle)."""
    if operation.name == "u":
        theta, phi, lam = operation.params
        return [(_PAULIS["Z"], lam), (_PAULIS["Y"], theta), (_PAULIS["Z"], phi)]
    if operation.name in _WORDS:
        word = _WORDS[operation.name]
        matrix = _PAULIS[word[0]]
        if len(word) == 2:  # Qiskit's rzx has Z on its first qubit, the lower bit
            matrix = np.kron(_PAULIS[word[0]], _PAULIS[word[1]])
        return [(matrix, operation.params[0])]
    try:
        return [(operation.to_matrix(), None)]
    except (AttributeError, CircuitError) as error:
        raise UsageError(f"the circuit holds '{operation.name}', which has no matrix; remove it.") from error


def _on_pair(matrix: NDArray[Any], qubits: tuple[int, ...], pair: tuple[int, int]) -> NDArray[Any]:
    """A gate's matrix, in Qiskit's bit order, on the pair that it belongs to."""
    if len(qubits) == 1:
        return np.kron(matrix, np.eye(2)) if qubits[0] == pair[0] else np.kron(np.eye(2), matrix)
    # Qiskit's first qubit is the lower bit, ours the higher
    return matrix[_SWAP][:, _SWAP] if qubits == pair else matrix
