"""Which two tensors of a network to contract next: always the pair whose contraction shrinks most.

The cost of a pair is the size of the result less the sizes of both, as in opt_einsum's greedy search; every
label has dimension 2 and may join many tensors. Ties go to the older tensors.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence


class Neighbors:
    """Who has which label.

    Args:
        external: Labels that must stay, even where one tensor alone has them.
    """

    def __init__(self, external: set[int]) -> None:
        self.external = external
        self.users: dict[int, set[int]] = {}

    def insert(self, node: int, labels: Iterable[int]) -> None:
        """Note that a node has these labels."""
        for label in labels:
            self.users.setdefault(label, set()).add(node)

    def remove(self, node: int, labels: Iterable[int]) -> None:
        """Forget that a node has these labels."""
        for label in labels:
            self.users[label].discard(node)

    def kept(self, labels: Iterable[int], *nodes: int) -> list[int]:
        """Those of the labels that stand elsewhere, too, sorted."""
        return sorted(x for x in set(labels) if x in self.external or self.users[x].difference(nodes))

    def merge(
        self,
        labels: dict[int, Sequence[int]],
        allowed: Callable[[int, int, list[int]], bool],
        join: Callable[[int, int, list[int]], int],
    ) -> None:
        """Join pairs until no two neighbors may be joined.

        Args:
            labels: Labels of each node; nodes that were joined vanish from it.
            allowed: Whether a, b may become one that has these labels.
            join: Makes a node of a, b and the labels kept, puts its labels into `labels` and returns it.
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
