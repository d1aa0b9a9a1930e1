"""Greedy contraction of a tensor network: always the pair whose contraction shrinks most.

The cost of a pair is the size of the result minus both sizes, as in opt_einsum's greedy search. Every label
has dimension 2 and can join many tensors. Older tensors win a tie.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence


class Neighbors:
    """The nodes of every label.

    Args:
        external: Labels that must stay, even if only one tensor has them.
    """

    def __init__(self, external: set[int]) -> None:
        self.external = external
        self.users: dict[int, set[int]] = {}

    def insert(self, node: int, labels: Iterable[int]) -> None:
        """Add a node with these labels."""
        for label in labels:
            self.users.setdefault(label, set()).add(node)

    def remove(self, node: int, labels: Iterable[int]) -> None:
        """Remove a node with these labels."""
        for label in labels:
            self.users[label].discard(node)

    def kept(self, labels: Iterable[int], *nodes: int) -> list[int]:
        """The labels that also occur outside the nodes, sorted."""
        return sorted(x for x in set(labels) if x in self.external or self.users[x].difference(nodes))

    def merge(
        self,
        labels: dict[int, Sequence[int]],
        allowed: Callable[[int, int, list[int]], bool],
        join: Callable[[int, int, list[int]], int],
    ) -> None:
        """Join pairs until no two neighbors may be joined.

        Args:
            labels: Labels of every node; joined nodes are removed.
            allowed: Whether two nodes may become one with these labels.
            join: Makes a node from two nodes and the labels to keep, enters it in `labels` and returns it.
        """
        heap: list[tuple[int, int, int, list[int]]] = []

        def offer(node: int, later: bool) -> None:
            for other in sorted({user for label in labels[node] for user in self.users[label]} - {node}):
                if later or other > node:
                    push(node, other)

        def push(a: int, b: int) -> None:
            kept = self.kept([*labels[a], *labels[b]], a, b)
            cost = 2 ** len(kept) - 2 ** len(labels[a]) - 2 ** len(labels[b])
            heapq.heappush(heap, (cost, a, b, kept))

        for node in list(labels):
            offer(node, later=False)
        while heap:
            _, a, b, kept = heapq.heappop(heap)
            if a not in labels or b not in labels:
                continue
            if kept != self.kept([*labels[a], *labels[b]], a, b):
                push(a, b)
            elif allowed(a, b, kept):
                node = join(a, b, kept)
                for old in (a, b):
                    self.remove(old, labels.pop(old))
                self.insert(node, labels[node])
                offer(node, later=True)
