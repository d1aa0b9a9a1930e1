"""Matrix product states as plain arrays: conversion, canonical form, truncation, and other formats.

A state of n qubits is a list of n arrays of shape (left, 2, right) with outer bonds 1. **Site i is qubit i.**
Dense vectors follow Qiskit's Statevector: qubit i is bit i of the index, so site 0 is the least significant
bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from bondwise.circuits.files.formats import is_circuit_file
from bondwise.runs import Result, UsageError, kind_of
from bondwise.tn.states.bitstrings import way_to_read
from bondwise.tn.states.imported_quimb import import_quimb, is_quimb
from bondwise.tn.states.networks import chain_arrays, check_norm, numpy_array, with_open_ends
from bondwise.tn.states.trees import Node, Tree

if TYPE_CHECKING:
    from bondwise.tn.states.imported_quimb import qtn

Tensors = list[NDArray[Any]]
Order = Literal["little", "big"]
_ACCEPTED = "give a quimb MatrixProductState, a list of (left, 2, right) arrays, or a vector of length 2**n"


def site_tensors(state: Any, *, order: Order = "little") -> Tensors:
    """Convert a pure state of qubits to canonical site tensors.

    Args:
        state: A quimb `MatrixProductState` with open ends or `CircuitMPS`; a sequence of arrays of shape
            (left, 2, right), or quimb's `.arrays`; a vector of length 2**n (array or tensor, also as a column
            of shape (2**n, 1), or a Qiskit `Statevector`); or the result of `ground_state` or `train_born`.
            It must be normalized to 1e-4; it is divided by its norm, with a warning for deviations above
            1e-6.
        order: Bit order of a vector's index: "little" if qubit 0 is its lowest bit, as in Qiskit, or "big" if
            qubit 0 is its highest bit, as in quimb's kets and PennyLane. Other states have no such order;
            their site i is qubit i.

    Returns:
        One array of shape (left, 2, right) per site: right-canonical, of norm 1, without superfluous bonds.
        The dtype is float64 if the state is real up to a global phase (which is dropped), otherwise
        complex128.

    Raises:
        UsageError: If the state is of another type, periodic, not made of qubits, not normalized or not
            finite, its bonds do not match, or `order` is "big" for a state that is not a vector.

    Example:
        >>> import numpy as np
        >>> from bondwise.tn import site_tensors
        >>> ghz = np.zeros(8)
        >>> ghz[[0, 7]] = np.sqrt(0.5)
        >>> [tensor.shape for tensor in site_tensors(ghz)]
        [(1, 2, 2), (2, 2, 2), (2, 2, 1)]
    """
    require_order(order)
    tensors = _read(state, order)
    check_norm(np.linalg.norm(_right_canonical(tensors)[0]))
    tensors = compress(tensors)
    if np.iscomplexobj(tensors[0]):
        tensors = _real_form(tensors) or tensors
    return tensors


def require_order(order: Order, vector: bool = True) -> None:
    """Raise UsageError if the order is unknown, or if it is "big" for a state that is not a vector."""
    if order not in ("little", "big"):
        raise UsageError(
            f'order is {order!r}; write "little" (qubit 0 is the lowest bit of a vector\'s index, as in '
            'Qiskit) or "big" (the highest, as in quimb and PennyLane).'
        )
    if order == "big" and not vector:
        raise UsageError(
            'order="big" is for vectors; site i of any other state is qubit i, so leave order out.'
        )


@dataclass(frozen=True)
class Chain:
    """A matrix product state with the same properties and methods as a `Tree`.

    Attributes:
        tensors: One array of shape (left, 2, right) per site, with outer bonds 1.
    """

    tensors: Tensors

    @property
    def sites(self) -> int:
        """Number of qubits."""
        return len(self.tensors)

    @property
    def dtype(self) -> Any:
        """float64 or complex128."""
        return np.result_type(np.float64, *self.tensors)

    @property
    def largest_bond(self) -> int:
        """Largest bond dimension."""
        return largest_bond(self.tensors)

    def astype(self, dtype: Any) -> Chain:
        """The same state with arrays of another dtype."""
        return Chain([tensor.astype(dtype) for tensor in self.tensors])

    def trees(self) -> list[Tree]:
        """The forms from which the cheapest contraction is chosen.

        Their roots are at both ends of the chain and in the middle, where a light cone begins.
        """
        return [self.tree(root) for root in sorted({0, (self.sites - 1) // 2, self.sites - 2})]

    def tree(self, root: int) -> Tree:
        """The same state, of two sites or more, as a tree; its root joins sites 0 to `root` to the others."""
        nodes: list[Node] = []

        def branch(sites: Sequence[int], arrays: Sequence[NDArray[Any]]) -> tuple[int, bool, NDArray[Any]]:
            """Add the nodes from an end of the chain inwards: the branch as a child, and a qubit's matrix."""
            if len(sites) == 1:
                return sites[0], True, arrays[0][0]
            first = np.tensordot(arrays[0][0], arrays[1], 1)
            nodes.append(Node(sites[0], sites[1], first, True, True))
            for site, array in zip(sites[2:], arrays[2:], strict=True):
                nodes.append(Node(len(nodes) - 1, site, array, False, True))
            return len(nodes) - 1, False, np.eye(arrays[-1].shape[2])

        left = branch(range(root + 1), self.tensors[: root + 1])
        mirrored = [array.transpose(2, 1, 0) for array in self.tensors[:root:-1]]
        right = branch(range(self.sites - 1, root, -1), mirrored)
        joint = (left[2] @ right[2].T)[:, :, None]
        return Tree((*nodes, Node(left[0], right[0], joint, left[1], right[1])))

    def nearest_product(self) -> Tensors:
        """The state truncated to bond 1."""
        return compress(self.tensors, 1)

    def overlap(self, product: Tensors) -> Any:
        """Overlap with a product state of arrays (1, 2, 1), up to complex conjugation."""
        return inner(self.tensors, product)


def largest_bond(tensors: Sequence[NDArray[Any]]) -> int:
    """Largest bond dimension of site tensors."""
    return max(tensor.shape[2] for tensor in tensors)


def compress(tensors: Sequence[NDArray[Any]], max_bond: int | None = None, cutoff: float = 1e-12) -> Tensors:
    """The nearest state with smaller bonds, up to the usual factor of successive truncations, normalized.

    Args:
        tensors: Arrays of shape (left, d, right), in any gauge.
        max_bond: Largest bond kept; None for no limit.
        cutoff: Singular values below this fraction of the largest are dropped.

    Returns:
        Right-canonical tensors of norm 1.
    """
    result = _right_canonical(tensors)
    for i in range(len(result) - 1):
        left, d, right = result[i].shape
        u, s, v = np.linalg.svd(result[i].reshape(left * d, right), full_matrices=False)
        keep = rank(s, cutoff, max_bond)
        result[i] = u[:, :keep].reshape(left, d, keep)
        result[i + 1] = np.tensordot(s[:keep, None] * v[:keep], result[i + 1], 1)
    result = _right_canonical(result)
    result[0] = result[0] / np.linalg.norm(result[0])
    return result


def move_center(tensors: Tensors, center: int, site: int) -> None:
    """Move the orthogonality center from one site to another, in place."""
    for i in range(center, site):
        left, _, right = tensors[i].shape
        q, r = np.linalg.qr(tensors[i].reshape(2 * left, right))
        tensors[i], tensors[i + 1] = q.reshape(left, 2, -1), np.tensordot(r, tensors[i + 1], 1)
    for i in range(center, site, -1):
        left, _, right = tensors[i].shape
        q, r = np.linalg.qr(tensors[i].reshape(left, 2 * right).T)
        tensors[i], tensors[i - 1] = q.T.reshape(-1, 2, right), np.tensordot(tensors[i - 1], r.T, 1)


def merge(tensors: Tensors, site: int, center: int) -> NDArray[Any]:
    """Sites `site` and `site + 1` as one array (left, 2, 2, right), with the center moved there first."""
    if not site <= center <= site + 1:
        move_center(tensors, center, site if center < site else site + 1)
    return np.tensordot(tensors[site], tensors[site + 1], 1)


def split(
    joint: NDArray[Any], cutoff: float, max_bond: int | None = None
) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[Any], float]:
    """Split two sites by a truncated singular value decomposition.

    Args:
        joint: Array of shape (left, 2, 2, right), or with both bits as a single axis.
        cutoff: Singular values below this fraction of the largest are dropped.
        max_bond: Largest bond kept; None for no limit.

    Returns:
        Isometries (left, 2, bond) and (bond, 2, right) with the singular values between them, in the order
        left, values, right; and the fraction of the weight that is kept.
    """
    left, right = joint.shape[0], joint.shape[-1]
    u, s, v = np.linalg.svd(joint.reshape(2 * left, 2 * right), full_matrices=False)
    keep = rank(s, cutoff, max_bond)
    kept = float((s[:keep] ** 2).sum() / (s**2).sum())
    return u[:, :keep].reshape(left, 2, keep), s[:keep], v[:keep].reshape(keep, 2, right), kept


def rank(s: NDArray[np.float64], cutoff: float, max_bond: int | None = None) -> int:
    """Number of singular values kept: those above `cutoff` times the largest, and at least one."""
    keep = max(1, int((s > cutoff * s[0]).sum()))
    return keep if max_bond is None else min(keep, max_bond)


def inner(bra: Sequence[NDArray[Any]], ket: Sequence[NDArray[Any]]) -> Any:
    """⟨bra|ket⟩."""
    return left_block(bra, ket).item()


def left_block(bra: Sequence[NDArray[Any]], ket: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Contraction of the first sites of two states, (bond of bra, bond of ket)."""
    bond = np.ones((1, 1))
    for a, b in zip(bra, ket, strict=True):
        bond = np.tensordot(a.conj(), np.tensordot(bond, b, 1), ((0, 1), (0, 1)))
    return bond


def to_quimb(tensors: Sequence[NDArray[Any]]) -> qtn.MatrixProductState:
    """Convert site tensors to a quimb MatrixProductState with sites 0 to n - 1.

    Args:
        tensors: One array of shape (left, 2, right) per site.

    Returns:
        The same state.

    Raises:
        UsageError: If the input is not a list of such arrays.

    Example:
        >>> from bondwise.tn import site_tensors, to_quimb
        >>> to_quimb(site_tensors([0.6, 0, 0, 0.8])).bond_sizes()
        [2]
    """
    if not isinstance(tensors, list | tuple) or not tensors or any(np.ndim(item) != 3 for item in tensors):
        raise UsageError("to_quimb takes site tensors; give a list of (left, 2, right) arrays.")
    qtn = import_quimb()
    arrays = [np.ascontiguousarray(tensor.transpose(0, 2, 1)) for tensor in tensors]
    if len(arrays) == 1:
        return qtn.MatrixProductState([arrays[0].reshape(2)])
    arrays[0], arrays[-1] = arrays[0][0], arrays[-1][:, 0]
    return qtn.MatrixProductState(arrays, shape="lrp")


def to_dense(state: Any) -> NDArray[Any]:
    """Convert a state to a vector of length 2**n, little-endian like Qiskit's Statevector.

    Args:
        state: Site tensors, which are contracted unchanged, or any other state that `site_tensors` accepts.

    Returns:
        Vector of length 2**n, float64 or complex128.

    Example:
        >>> import numpy as np
        >>> from bondwise.tn import to_dense
        >>> plus = np.full((1, 2, 1), np.sqrt(0.5))
        >>> to_dense([plus, plus]).round(3)
        array([0.5, 0.5, 0.5, 0.5])
    """
    tensors = state if isinstance(state, list | tuple) else site_tensors(state)
    block = np.ones((1, 1))
    for tensor in tensors:  # block: (bond, earlier sites); later sites are more significant
        block = np.tensordot(tensor, block, ((0,), (0,))).transpose(1, 0, 2).reshape(tensor.shape[2], -1)
    return block[0]


def _read(state: Any, order: Order) -> Tensors:
    if isinstance(state, Result):
        state = list(getattr(state, "tensors", ()))
    if is_quimb(state, "CircuitMPS"):
        state = state.psi
    listed = isinstance(state, list | tuple) and all(np.ndim(item) > 0 for item in state)
    require_order(order, vector=not (listed or is_quimb(state)))
    if is_quimb(state, "MatrixProductState"):
        arrays = chain_arrays(state)
        if not arrays:
            raise UsageError(
                "the matrix product state is not an open chain: it does not have one tensor per site, "
                "each joined to the next one only; contract or compress it to one."
            )
    elif listed:
        arrays = list(state)
    else:
        if hasattr(state, "to_statevector"):
            raise UsageError(
                f"the state is a {type(state).__name__}; if it is pure, pass state.to_statevector()."
            )
        known = isinstance(state, list | tuple) or hasattr(state, "__array__")
        arrays = [numpy_array(state)] if known and not is_quimb(state) else []
        if len(arrays) != 1 or arrays[0].dtype.kind not in "biufc":
            of_circuit = isinstance(state, QuantumCircuit) or is_circuit_file(state)
            more = ", such as qiskit.quantum_info.Statevector(circuit)" if of_circuit else way_to_read(state)
            raise UsageError(f"the state is {kind_of(state)}; {_ACCEPTED}{more}.")
        vector = arrays[0]
        if vector.ndim == 2 and vector.shape[0] == 1 < vector.shape[1]:
            raise UsageError(
                f"the state is a row of shape {vector.shape}; give its entries as a vector with .ravel(), "
                "conjugated first if it is a bra."
            )
        sites = max(vector.size - 1, 0).bit_length()
        column = vector.ndim == 2 and vector.shape[1] == 1
        if not (vector.ndim == 1 or column) or vector.size < 2 or vector.size != 1 << sites:
            raise UsageError(f"the state is an array of shape {vector.shape}; {_ACCEPTED}.")
        _require_finite(vector, "the vector")
        vector = vector.ravel().astype(_double(vector))
        if order == "big":
            vector = vector.reshape((2,) * sites).transpose().ravel()
        return _split_vector(vector, sites)

    arrays = with_open_ends([numpy_array(array) for array in arrays])
    if not arrays:
        raise UsageError(f"the state has no sites; {_ACCEPTED}.")
    for i, array in enumerate(arrays):
        if array.ndim != 3 or array.shape[1] != 2 or array.dtype.kind not in "biufc":
            raise UsageError(
                f"site {i} is {array.dtype} of shape {array.shape}; give numbers of shape (left, 2, right)."
            )
        _require_finite(array, f"site {i}")
        before = arrays[i - 1].shape[2] if i else 1
        if array.shape[0] != before:
            what = f"the right bond of site {i - 1}, {before}" if i else "1, as at an open end"
            raise UsageError(f"the left bond of site {i} is {array.shape[0]}; it must equal {what}.")
    if arrays[-1].shape[2] != 1:
        raise UsageError(
            f"the right bond of the last site is {arrays[-1].shape[2]}; it must be 1, as at an open end."
        )
    return [array.astype(_double(*arrays)) for array in arrays]


def _double(*arrays: NDArray[Any]) -> Any:
    """float64 or complex128; also for wider dtypes, for which NumPy has no decompositions."""
    return np.complex128 if any(map(np.iscomplexobj, arrays)) else np.float64


def _require_finite(array: NDArray[Any], name: str) -> None:
    if not np.isfinite(array).all():
        raise UsageError(f"{name} of the state contains NaN or infinity; every amplitude must be finite.")


def _split_vector(vector: NDArray[Any], sites: int) -> Tensors:
    """Exact site tensors of a dense little-endian vector."""
    # site 0 is the fastest index of the vector; reverse, so that it comes first
    rest = vector.reshape((2,) * sites).transpose().reshape(1, -1)
    tensors = []
    for _ in range(sites - 1):
        left = rest.shape[0]
        u, s, v = np.linalg.svd(rest.reshape(2 * left, -1), full_matrices=False)
        keep = rank(s, 1e-15)
        tensors.append(u[:, :keep].reshape(left, 2, keep))
        rest = s[:keep, None] * v[:keep]
    return [*tensors, rest.reshape(-1, 2, 1)]


def _right_canonical(tensors: Sequence[NDArray[Any]]) -> Tensors:
    """The same state with its center at site 0 and isometries to the right."""
    result = list(tensors)
    for i in range(len(result) - 1, 0, -1):
        left, d, right = result[i].shape
        q, r = np.linalg.qr(result[i].reshape(left, d * right).conj().T)
        result[i] = q.conj().T.reshape(-1, d, right)
        result[i - 1] = np.tensordot(result[i - 1], r.conj().T, 1)
    return result


def _real_form(tensors: Tensors) -> Tensors | None:
    """Real tensors of a state that is real up to a global phase; None for any other state."""
    overlap = inner(
        [tensor.conj() for tensor in tensors], tensors
    )  # exp(2i·phase) if the state is real up to a phase
    if abs(overlap) < 1 - 1e-13:
        return None
    first = tensors[0] * np.exp(-0.5j * np.angle(overlap))
    doubled = []
    for tensor in [first, *tensors[1:]]:  # x + iy becomes [[x, -y], [y, x]] on the bonds
        top = np.concatenate([tensor.real, -tensor.imag], axis=2)
        bottom = np.concatenate([tensor.imag, tensor.real], axis=2)
        doubled.append(np.concatenate([top, bottom]))
    doubled[0] = doubled[0][:1]  # the first row and column of the product hold its real part
    doubled[-1] = doubled[-1][..., :1]
    return compress(doubled)
