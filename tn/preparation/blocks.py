"""Two-qubit blocks of CX and rotations: from a gate's matrix to angles and back, and onto a circuit.

`SO4` makes every real gate of determinant +1 from 2 CX and 6 angles, `SU4` every two-qubit gate, up to its
global phase, from 3 CX and 15 angles; both numbers are the smallest possible (Vatan and Williams,
arXiv:quant-ph/0308006). All angles belong to RX, RY and RZ, so expectation values obey the two-term
parameter-shift rule, and all angles 0 give the identity. Single-qubit gates are split as RZ RY RX because RZ
RY RZ loses a direction at the identity. SU4 loses six directions there, as any block of three CX does; train
SO4 if real gates suffice.

At the beginning of a circuit, qubits are still in |0⟩ and smaller blocks suffice: `PAIR` and `REAL_PAIR` make
any state of two fresh qubits with 1 CX, and `ISOMETRY` with 2 CX acts like any gate whose second qubit is
fresh (Shende, Bullock and Markov, arXiv:quant-ph/0406176). These blocks agree with a gate only on the columns
in question. For ISOMETRY they agree to 1e-12, but only to 1e-6 within 1e-5 of gates such as CZ, where the
turn that saves a CX is ill conditioned.

Matrices act on 2 * (bit of the first qubit) + (bit of the second), as in `numpy.kron(first, second)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.synthesis import TwoQubitWeylDecomposition

from bondwise.runs import UsageError, unknown_name

# an instruction is (gate, wires); a rotation takes the next angle
Instructions = tuple[tuple[str, tuple[int, ...]], ...]
_LOCALS: Instructions = tuple((gate, (wire,)) for wire in (0, 1) for gate in ("rx", "ry", "rz"))
_SO4: Instructions = (
    *(("s", (0,)), ("s", (1,)), ("h", (1,)), ("cx", (1, 0))),
    *_LOCALS,
    *(("cx", (1, 0)), ("h", (1,)), ("sdg", (0,)), ("sdg", (1,))),
)
_SU4: Instructions = (
    *_LOCALS,
    *(("s", (1,)), ("cx", (1, 0))),
    *(("s", (0,)), ("rz", (0,)), ("z", (1,)), ("h", (1,)), ("ry", (1,))),
    *(("cx", (0, 1)), ("h", (1,)), ("z", (1,)), ("ry", (1,)), ("cx", (1, 0)), ("sdg", (0,))),
    *_LOCALS,
)
_PAIR: Instructions = (
    *(("ry", (0,)), ("cx", (0, 1))),
    *(("ry", (0,)), ("rz", (0,)), ("rx", (1,)), ("ry", (1,)), ("rz", (1,))),
)
_REAL_PAIR: Instructions = (("ry", (0,)), ("cx", (0, 1)), ("ry", (0,)), ("ry", (1,)))
_ISOMETRY: Instructions = (
    *_LOCALS[:5],  # RZ has no effect on |0⟩
    *(("cx", (0, 1)), ("rx", (0,)), ("rz", (1,)), ("cx", (0, 1))),
    *_LOCALS,
)
_PAULIS = {"rx": np.array([[0, 1], [1, 0]]), "ry": np.array([[0, -1j], [1j, 0]]), "rz": np.diag([1, -1])}
_FIXED = {
    "h": np.array([[1, 1], [1, -1]]) / np.sqrt(2),
    "s": np.diag([1, 1j]),
    "sdg": np.diag([1, -1j]),
    "z": np.diag([1, -1]),
}
_CX = {(0, 1): np.eye(4)[[0, 1, 3, 2]], (1, 0): np.eye(4)[[0, 3, 2, 1]]}


@dataclass(frozen=True)
class Block:
    """A two-qubit block of CX and rotations: `SO4`, `SU4`, `ISOMETRY`, `PAIR` or `REAL_PAIR`.

    Attributes:
        name: "so4", "su4", "isometry", "pair" or "real pair".
        size: Number of angles.
        cx_count: Number of CX gates.
        real: Whether its matrices are real.
        columns: Columns of a gate that the block reproduces; the others belong to qubits that are not in |0⟩.

    Example:
        >>> import numpy as np
        >>> from bondwise.tn import SU4
        >>> swap = np.eye(4)[[0, 2, 1, 3]]
        >>> made = SU4.matrix(SU4.angles(swap))
        >>> SU4.cx_count, round(float(abs(np.vdot(made, swap))), 12)
        (3, 4.0)
    """

    name: str
    size: int
    cx_count: int
    real: bool
    columns: tuple[int, ...]
    _program: Instructions
    _solve: Callable[[NDArray[np.complex128]], list[float]]

    def matrix(self, angles: Any) -> NDArray[Any]:
        """Compute the matrices of the block.

        Args:
            angles: Angles in radians, shape (..., size).

        Returns:
            Matrices of shape (..., 4, 4), float64 for real blocks, otherwise complex128.

        Raises:
            UsageError: If the last axis does not have `size` entries.
        """
        angles = np.asarray(angles, np.float64)
        if angles.shape[-1:] != (self.size,):
            raise UsageError(
                f"{self.name} takes {self.size} angles in the last axis; the shape is {angles.shape}."
            )
        total, used = np.eye(4), 0
        for gate, wires in self._program:
            if gate == "cx":
                total = _CX[wires[0], wires[1]] @ total
                continue
            if gate in _PAULIS:
                half = angles[..., used, None, None] / 2
                single = np.cos(half) * np.eye(2) - 1j * np.sin(half) * _PAULIS[gate]
                used += 1
            else:
                single = _FIXED[gate]
            total = (np.kron(single, np.eye(2)) if wires == (0,) else np.kron(np.eye(2), single)) @ total
        return total.real.copy() if self.real else total

    def angles(self, matrix: NDArray[Any]) -> NDArray[np.float64]:
        """Compute the angles with which the block makes given gates.

        Args:
            matrix: Unitary gates of shape (..., 4, 4).

        Returns:
            Angles in radians, shape (..., size). The matrix of the block then equals the gate in `columns`,
            up to a global phase if the block is not real.

        Raises:
            UsageError: If a matrix is not unitary to 1e-8, is complex for a real block, or has determinant -1
                for SO4.
        """
        matrix = np.asarray(matrix)
        if matrix.shape[-2:] != (4, 4):
            raise UsageError(f"a gate has shape {matrix.shape}; give matrices of shape (..., 4, 4).")
        gates = matrix.reshape(-1, 4, 4).astype(np.complex128)
        off = np.abs(gates.conj().transpose(0, 2, 1) @ gates - np.eye(4)).max(initial=0)
        if not off < 1e-8:
            raise UsageError(f"a gate is not unitary: U†U differs from 1 by {off:.1e}.")
        if self.real and np.abs(gates.imag).max(initial=0) > 1e-8:
            raise UsageError(f"a gate is complex; {self.name} makes real gates only, use SU4.")
        if self.name == "so4" and np.linalg.det(gates.real).min(initial=1) < 0:
            raise UsageError("a gate has determinant -1; SO4 makes gates with +1 only, use SU4.")
        return np.array([self._solve(gate) for gate in gates]).reshape(*matrix.shape[:-2], self.size)

    def append(self, circuit: QuantumCircuit, first: int, second: int, angles: Sequence[Any]) -> None:
        """Append the block to a circuit in place.

        Args:
            circuit: The circuit.
            first: Qubit of the first factor, the more significant bit of the matrix.
            second: Qubit of the second factor.
            angles: `size` numbers, Parameters or expressions of Parameters.
        """
        rest, qubits = iter(angles), (first, second)
        for gate, wires in self._program:
            on = [qubits[wire] for wire in wires]
            getattr(circuit, gate)(*([next(rest), *on] if gate in _PAULIS else on))


def get_block(name: str) -> Block:
    """Look up the block named "so4" or "su4".

    Args:
        name: Name of the block.

    Returns:
        `SO4` or `SU4`.

    Raises:
        UsageError: If the name is unknown.

    Example:
        >>> from bondwise.tn import get_block
        >>> get_block("so4").size, get_block("su4").size
        (6, 15)
    """
    blocks = {"so4": SO4, "su4": SU4}
    if name not in blocks:
        raise unknown_name("gate", str(name), blocks)
    return blocks[name]


def rotation_angles(gate: NDArray[Any]) -> list[float]:
    """Angles (x, y, z) with RZ(z) RY(y) RX(x) = gate, a 2 x 2 matrix of determinant 1."""
    # RX(x) = RY(π/2) RZ(x) RY(-π/2), so gate RY(π/2) = RZ(z) RY(y + π/2) RZ(x), which two entries fix
    (_, _), (low, high) = gate @ np.array([[1, -1], [1, 1]]) / np.sqrt(2)
    turn = 2 * np.arctan2(abs(low), abs(high))
    return [np.angle(high) - np.angle(low), turn - np.pi / 2, np.angle(high) + np.angle(low)]


def _locals(first: NDArray[Any], second: NDArray[Any]) -> list[float]:
    """The six angles of a product of two unitary 2 x 2 matrices, up to their phases."""
    return [
        angle for gate in (first, second) for angle in rotation_angles(gate / np.sqrt(np.linalg.det(gate)))
    ]


def _solve_so4(gate: NDArray[np.complex128]) -> list[float]:
    product = _MAGIC @ gate @ _MAGIC.conj().T  # a Kronecker product of two SU(2) matrices
    blocks = product.reshape(2, 2, 2, 2).transpose(0, 2, 1, 3)
    row, column = divmod(int(np.argmax(np.linalg.norm(blocks, axis=(2, 3)))), 2)
    second = blocks[row, column] / np.sqrt(np.linalg.det(blocks[row, column]))
    first = np.einsum("abij,ij->ab", blocks, second.conj()) / 2
    return rotation_angles(first) + rotation_angles(second)


def _solve_su4(gate: NDArray[np.complex128]) -> list[float]:
    # fidelity=None: no rounding to a nearby special gate, which costs up to 1e-5
    weyl = TwoQubitWeylDecomposition(gate, fidelity=None)
    turns = [-2 * weyl.c, -2 * weyl.a, 2 * weyl.b]
    return [*_locals(weyl.K2l, weyl.K2r), *turns, *_locals(weyl.K1l, weyl.K1r)]


def _solve_isometry(gate: NDArray[np.complex128]) -> list[float]:
    # exp(i t ZZ) turns the first qubit alone while the second is in |0⟩, and for one t the product
    # gate exp(i t ZZ) needs two CX: where tr(g YY g^T YY) is real
    gate = gate / np.linalg.det(gate) ** 0.25
    image = gate.T @ _YY @ gate
    offset, slope = np.trace(_YY @ image).imag, np.trace(_YY @ _ZZ @ image).real
    turn = np.arctan2(-offset, slope) / 2
    lighter = gate @ np.diag(np.exp(1j * turn * np.diag(_ZZ)))
    weyl = TwoQubitWeylDecomposition(lighter, fidelity=None)  # its third angle is 0
    quarter = np.array([[1, -1j], [-1j, 1]]) / np.sqrt(2)  # takes ZZ to YY
    undo = np.diag(np.exp(-1j * turn * np.array([1, -1])))
    before = [quarter.conj().T @ weyl.K2l @ undo, quarter.conj().T @ weyl.K2r]
    # RY RX |0⟩ = state
    low, high = before[1][:, 0]
    x, y, z = np.real([2 * np.conj(low) * high, -2j * np.conj(low) * high, abs(low) ** 2 - abs(high) ** 2])
    fresh = [np.arctan2(-y, np.hypot(x, z)), np.arctan2(x, z)]
    first = _locals(before[0], np.eye(2))[:3]
    return [*first, *fresh, -2 * weyl.a, -2 * weyl.b, *_locals(weyl.K1l @ quarter, weyl.K1r @ quarter)]


def _solve_pair(gate: NDArray[np.complex128]) -> list[float]:
    u, s, v = np.linalg.svd(gate[:, 0].reshape(2, 2))
    first = u / np.sqrt(np.linalg.det(u))  # RZ(z) RY(y) RZ(w)
    total, difference = 2 * np.angle(first[1, 1]), 2 * np.angle(first[1, 0])
    y, z, w = 2 * np.arctan2(abs(first[1, 0]), abs(first[0, 0])), total + difference, total - difference
    # between the CX and the rest a turn about z does the same to either qubit
    second = v.T @ np.diag(np.exp(0.25j * w * np.array([-1, 1])))
    return [2 * np.arctan2(s[1], s[0]), y, z / 2, *_locals(second, np.eye(2))[:3]]


def _solve_real_pair(gate: NDArray[np.complex128]) -> list[float]:
    u, s, v = np.linalg.svd(gate[:, 0].real.reshape(2, 2))
    sign = np.linalg.det(u) * np.linalg.det(v)  # both turned into rotations
    u[:, 1] *= np.linalg.det(u)
    v[1] *= np.linalg.det(v)
    turns = [2 * np.arctan2(rotation[1, 0], rotation[0, 0]) for rotation in (u, v.T)]
    return [2 * np.arctan2(sign * s[1], s[0]), *turns]


_MAGIC = _CX[1, 0] @ np.kron(_FIXED["s"], _FIXED["h"] @ _FIXED["s"])
_YY, _ZZ = np.kron(_PAULIS["ry"], _PAULIS["ry"]), np.kron(_PAULIS["rz"], _PAULIS["rz"])
SO4 = Block("so4", 6, 2, True, (0, 1, 2, 3), _SO4, _solve_so4)
SU4 = Block("su4", 15, 3, False, (0, 1, 2, 3), _SU4, _solve_su4)
ISOMETRY = Block("isometry", 13, 2, False, (0, 2), _ISOMETRY, _solve_isometry)
PAIR = Block("pair", 6, 1, False, (0,), _PAIR, _solve_pair)
REAL_PAIR = Block("real pair", 3, 1, True, (0,), _REAL_PAIR, _solve_real_pair)
