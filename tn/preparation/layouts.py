"""Which qubits the gates of one layer act on, in time order.

Every layer has n - 1 gates. Three of the layouts are trees over the qubits, from the root to the leaves, so
that one layer makes every state of bond dimension 2 on that tree: a staircase has its root at the first bond;
the bidirectional layout has its root in the middle, which halves the depth; and the balanced tree reaches all
qubits in log2(n) steps but needs gates between distant ones. The brickwall has two rows per layer, even and
odd bonds.
"""

from __future__ import annotations

from typing import Literal, get_args

from bondwise.runs import unknown_name
from bondwise.tn.states.trees import Tree

Layout = Literal["staircase", "bidirectional", "brickwall", "tree"]
Pairs = list[tuple[int, int]]


def layer_pairs(layout: str, sites: int, tree: Tree | None = None) -> Pairs:
    """The pairs of one layer.

    Args:
        layout: "staircase", "bidirectional", "brickwall" or "tree".
        sites: Number of qubits, at least 2.
        tree: The state, if it is a tree, whose branches the layout "tree" then follows; None for a balanced
            tree of neighboring ranges of qubits.

    Returns:
        n - 1 pairs of qubits in time order.

    Raises:
        UsageError: If the layout is unknown.
    """
    if layout == "brickwall":
        return [(i, i + 1) for first in (0, 1) for i in range(first, sites - 1, 2)]
    root = layer_root(layout, sites)
    if root is not None:
        right = [(i, i + 1) for i in range(root + 1, sites - 1)]
        left = [(i, i + 1) for i in range(root - 1, -1, -1)]
        return [(root, root + 1), *right, *left]
    if tree is None:
        return _balanced(0, sites)
    below = tree.qubits()
    pairs = []
    for node in reversed(tree.nodes):
        left_qubit = node.left if node.left_is_qubit else below[node.left][0]
        right_qubit = node.right if node.right_is_qubit else below[node.right][0]
        pairs.append((left_qubit, right_qubit))
    return pairs


def layer_root(layout: str, sites: int) -> int | None:
    """The bond at which a layer begins, counted from the left; None for layouts that are not rooted chains.

    Raises:
        UsageError: If the layout is unknown.
    """
    if layout not in get_args(Layout):
        raise unknown_name("layout", str(layout), get_args(Layout))
    return {"staircase": 0, "bidirectional": (sites - 2) // 2}.get(layout)


def _balanced(start: int, stop: int) -> Pairs:
    if stop - start < 2:
        return []
    middle = (start + stop + 1) // 2
    return [(start, middle), *_balanced(start, middle), *_balanced(middle, stop)]
