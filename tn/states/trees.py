"""States as binary trees: the form in which chains and tree tensor networks are contracted with circuits.

The leaves are the qubits. Every node joins two children, each of them a qubit or an earlier node, by an array
of shape (left, right, up): `left` and `right` are the bonds to the children, 2 for a qubit, and `up` is the
bond to the parent, which is 1 at the root, the last node. A matrix product state is a tree with its root at
any of its bonds and two branches on which every node adds one site.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bondwise.runs import UsageError, kind_of
from bondwise.tn.states.imported_quimb import is_quimb
from bondwise.tn.states.networks import check_norm, numpy_array, site_names

if TYPE_CHECKING:
    from bondwise.tn.states.imported_quimb import qtn


@dataclass(frozen=True)
class Node:
    """Two children and the array that joins them.

    Attributes:
        left: Index of a qubit if `left_is_qubit`, otherwise of an earlier node.
        right: Index of a qubit if `right_is_qubit`, otherwise of an earlier node.
        array: Array of shape (left, right, up).
        left_is_qubit: Whether the left child is a qubit.
        right_is_qubit: Whether the right child is a qubit.
    """

    left: int
    right: int
    array: NDArray[Any]
    left_is_qubit: bool
    right_is_qubit: bool


@dataclass(frozen=True)
class Tree:
    """A state of at least two qubits as a binary tree, as `tree_state` returns it.

    Attributes:
        nodes: The n - 1 nodes for n qubits; children come before their parents, and the root is last.

    Example:
        >>> import numpy as np
        >>> from quimb.tensor import Tensor, TensorNetwork
        >>> from bondwise.tn import tree_state
        >>> pairs = [Tensor(np.eye(4).reshape(2, 2, 4), [f"k{i}", f"k{i + 1}", f"b{i}"]) for i in (0, 2)]
        >>> top = Tensor(np.eye(4) / 2, ["b0", "b2"])
        >>> tree = tree_state(TensorNetwork([*pairs, top]))
        >>> tree.sites, tree.largest_bond, tree.qubits()
        (4, 4, [(2, 3), (0, 1), (0, 1, 2, 3)])
    """

    nodes: tuple[Node, ...]

    @property
    def sites(self) -> int:
        """Number of qubits."""
        return len(self.nodes) + 1

    @property
    def dtype(self) -> Any:
        """float64 or complex128."""
        return np.result_type(np.float64, *(node.array for node in self.nodes))

    @property
    def largest_bond(self) -> int:
        """Largest bond dimension."""
        return max(node.array.shape[2] for node in self.nodes)

    def astype(self, dtype: Any) -> Tree:
        """The same state with arrays of another dtype."""
        return Tree(tuple(replace(node, array=node.array.astype(dtype)) for node in self.nodes))

    def trees(self) -> list[Tree]:
        """The forms from which the cheapest contraction is chosen: this tree only."""
        return [self]

    def nearest_product(self) -> list[NDArray[Any]]:
        """A product state near this one, as arrays (1, 2, 1): the first Schmidt vector of every qubit."""
        product: list[NDArray[Any]] = [np.zeros(0)] * self.sites
        # from the root down, keeping the Schmidt vector of largest weight of each child
        incoming: dict[int, NDArray[Any]] = {len(self.nodes) - 1: np.ones(1)}
        for index in range(len(self.nodes) - 1, -1, -1):
            node = self.nodes[index]
            u, _, v = np.linalg.svd(node.array @ incoming[index])
            for child, is_qubit, vector in (
                (node.left, node.left_is_qubit, u[:, 0]),
                (node.right, node.right_is_qubit, v[0]),
            ):
                if is_qubit:
                    product[child] = vector.reshape(1, 2, 1)
                else:
                    incoming[child] = vector
        return product

    def overlap(self, product: list[NDArray[Any]]) -> Any:
        """Overlap with a product state of site arrays (1, 2, 1), up to complex conjugation."""
        blocks: list[NDArray[Any]] = []
        for node in self.nodes:
            left = product[node.left].ravel().conj() if node.left_is_qubit else blocks[node.left]
            right = product[node.right].ravel().conj() if node.right_is_qubit else blocks[node.right]
            blocks.append(np.einsum("l,r,lru->u", left, right, node.array))
        return blocks[-1].item()

    def qubits(self) -> list[tuple[int, ...]]:
        """The qubits below each node, in the order of the leaves."""
        below: list[tuple[int, ...]] = []
        for node in self.nodes:
            left = (node.left,) if node.left_is_qubit else below[node.left]
            right = (node.right,) if node.right_is_qubit else below[node.right]
            below.append(left + right)
        return below


def tree_state(network: qtn.TensorNetwork) -> Tree:
    """Convert a quimb tree tensor network.

    Args:
        network: Any connected network without loops, normalized to 1e-4. Its outer indices have dimension 2
            and are called `k0` to `k(n-1)`, or as its `site_ind_id` specifies; a tensor may have any number
            of them.

    Returns:
        The tree, with children orthonormal towards the root and norm 1. It is real if all tensors are real up
        to a phase.

    Raises:
        UsageError: If the network has a loop, disconnected parts, other outer indices, fewer than 2 qubits,
            NaN, or another norm.

    Example:
        >>> from quimb.tensor import Tensor, TensorNetwork
        >>> from bondwise.tn import tree_state
        >>> pair = TensorNetwork([Tensor([[0.6, 0.0], [0.0, 0.8]], ["k0", "k1"])])
        >>> tree_state(pair).nodes[0].array[:, :, 0].tolist()
        [[0.6, 0.0], [0.0, 0.8]]
    """
    if not is_quimb(network):
        raise UsageError(f"the network is {kind_of(network)}; give a quimb TensorNetwork.")
    tensors = {tid: numpy_array(tensor.data) for tid, tensor in network.tensor_map.items()}
    if not all(np.isfinite(array).all() for array in tensors.values()):
        raise UsageError("a tensor of the network contains NaN or infinity; every number must be finite.")
    real = {tid: _without_phase(array) for tid, array in tensors.items()}
    if all(map(np.isrealobj, real.values())):
        tensors = real
    root = min(tensors)
    tensors[root] = tensors[root] * 10.0 ** float(network.exponent)  # quimb keeps part of the norm there
    inds = {tid: tuple(tensor.inds) for tid, tensor in network.tensor_map.items()}
    outer = {name: site for site, name in enumerate(site_names(network))}
    if len(outer) < 2:
        raise UsageError(
            "the network has a single outer index; give a state of at least two qubits, or a vector."
        )
    if any(len(set(names)) < len(names) for names in inds.values()):
        raise UsageError("an index of the network appears twice on one tensor; trace over it first.")
    if any(network.ind_size(index) != 2 for index in outer):
        raise UsageError("a site of the network does not have dimension 2; give a state of qubits.")
    neighbors: dict[int, set[int]] = {tid: set() for tid in tensors}
    for index, owners in network.ind_map.items():
        tids = set(owners)
        if len(tids) > 2:
            raise UsageError(
                f"index {index} of the network joins {len(tids)} tensors; in a tree it joins at most 2."
            )
        for tid in tids:
            neighbors[tid] |= tids - {tid}
    edges = sum(map(len, neighbors.values())) // 2
    order, seen = [(root, -1)], {root}
    for tid, _ in order:
        for other in sorted(neighbors[tid] - seen):
            seen.add(other)
            order.append((other, tid))
    if len(seen) < len(tensors):
        raise UsageError("the network has disconnected parts; give a connected tree.")
    if edges > len(tensors) - 1:
        raise UsageError(
            "the network has a loop, so it is not a tree; contract it to one, or give a matrix product state."
        )
    nodes: list[Node] = []
    found: dict[int, tuple[int, bool, NDArray[Any]]] = {}
    for tid, parent in reversed(order):
        up = [index for index in inds[tid] if parent >= 0 and index in inds[parent]]
        legs = [index for index in inds[tid] if index not in up]
        array = tensors[tid]
        array = np.transpose(array, [inds[tid].index(index) for index in (*legs, *up)])
        array = array.reshape(*(array.shape[: len(legs)]), -1).astype(np.result_type(array, np.float64))
        ends = [leg for leg in legs if leg in outer]
        below = sorted(neighbors[tid] - {parent})
        children = [*((outer[leg], True) for leg in ends), *(found[other][:2] for other in below)]
        merged = [*(np.eye(2) for _ in ends), *(found[other][2] for other in below)]
        # several indices between the same two tensors form one bond
        between = [index for other in below for index in inds[other] if index in legs]
        axes = [legs.index(leg) for leg in (*ends, *between)]
        array = np.transpose(array, (*axes, len(legs)))
        array = array.reshape(*(matrix.shape[1] for matrix in merged), -1)
        for axis, matrix in enumerate(merged):
            array = np.moveaxis(np.tensordot(matrix, array, (1, axis)), 0, axis)
        bare = tuple(k for k, child in enumerate(children) if child[0] < 0)  # ends without qubits
        array, children = np.squeeze(array, bare), [child for child in children if child[0] >= 0]
        found[tid] = _reduce(children, array, nodes, tid == root)
    return Tree(tuple(nodes))


def checked(tree: Tree) -> Tree:
    """The same tree with norm 1.

    Raises:
        UsageError: If the tree contains NaN or is not normalized to 1e-4.
    """
    grams: list[NDArray[Any]] = []
    for node in tree.nodes:
        if not np.isfinite(node.array).all():
            raise UsageError("a node of the tree contains NaN or infinity; every number must be finite.")
        left = np.eye(2) if node.left_is_qubit else grams[node.left]
        right = np.eye(2) if node.right_is_qubit else grams[node.right]
        half = np.tensordot(np.tensordot(left, node.array, 1), right, ((1,), (1,)))  # left, up, right
        grams.append(np.tensordot(node.array.conj(), half, ((0, 1), (0, 2))))
    norm = np.sqrt(grams[-1].item().real)
    check_norm(norm)
    *below, top = tree.nodes
    return Tree((*below, replace(top, array=top.array / norm)))


def _without_phase(array: NDArray[Any]) -> NDArray[Any]:
    """A real array if only a phase makes the array complex, otherwise the array itself."""
    if np.isrealobj(array) or not array.any():
        return array.real
    turned = array * np.exp(-1j * np.angle(array.flat[np.argmax(np.abs(array))]))
    return turned.real if np.abs(turned.imag).max() <= 1e-14 * np.abs(turned).max() else array


def _reduce(
    children: list[tuple[int, bool]], array: NDArray[Any], nodes: list[Node], is_root: bool
) -> tuple[int, bool, NDArray[Any]]:
    """Append the nodes of a tensor with any number of children.

    Returns:
        The index of the node or qubit that stands for the tensor, whether it is a qubit, and the matrix (own
        bond, up) that remains.
    """
    while len(children) > 2:  # split off the first two
        left, right, *rest = array.shape
        q, r = np.linalg.qr(array.reshape(left * right, -1))
        nodes.append(_node(children[0], children[1], q.reshape(left, right, -1)))
        children = [(len(nodes) - 1, False), *children[2:]]
        array = r.reshape(-1, *rest)
    if not children:  # an end without qubits
        return -1, False, array.reshape(1, -1)
    if len(children) < 2:  # a matrix between two tensors
        if not is_root:
            child = children[0]
            return child[0], child[1], array
        node = nodes.pop()  # the root has one branch: its matrix is absorbed below
        array = np.tensordot(node.array, array, 1)
        nodes.append(Node(node.left, node.right, _unit(array), node.left_is_qubit, node.right_is_qubit))
        return len(nodes) - 1, False, np.eye(1)
    if is_root:
        nodes.append(_node(children[0], children[1], _unit(array)))
        return len(nodes) - 1, False, np.eye(1)
    left, right, up = array.shape
    q, r = np.linalg.qr(array.reshape(left * right, up))
    nodes.append(_node(children[0], children[1], q.reshape(left, right, -1)))
    return len(nodes) - 1, False, r


def _node(left: tuple[int, bool], right: tuple[int, bool], array: NDArray[Any]) -> Node:
    return Node(left[0], right[0], array, left[1], right[1])


def _unit(array: NDArray[Any]) -> NDArray[Any]:
    norm = np.linalg.norm(array)
    check_norm(norm)
    return array / norm
