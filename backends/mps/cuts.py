"""The smallest bonds that an exact matrix product state of a circuit can be built with, by minimum cuts.

Take the network of a circuit, with one wire of dimension 2 between nodes that follow each other on a line. A
set of nodes that is to the left of a bond makes a state with a bond of 2^w, where w is the number of wires
from this set, and from the outputs to the left, to everything else. The smallest w is a minimum cut, and the
smallest of the minimum cuts are nested: those of later bonds contain those of earlier ones. What lies between
two of them is a tensor of the state. Nothing has to be decomposed, so that the tensors are polynomials of the
gates, which can be differentiated any number of times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow


@dataclass(frozen=True)
class Wires:
    """The wires of a network, numbered, and where each node's legs are.

    Attributes:
        ends: Two nodes for each wire, the earlier first. The output of qubit q is the node N + q.
        legs: For each node and each of its lines, the wires before and after it; None where it is |0⟩ or ⟨0|.
    """

    ends: list[tuple[int, int]]
    legs: list[list[tuple[int | None, int | None]]]


def wires(lines: Sequence[tuple[int, ...]], sites: int) -> Wires:
    """The wires of nodes on lines, of which the first `sites` are qubits.

    Args:
        lines: The lines of each of the N nodes in the order of application.
        sites: Number of qubits.
    """
    ends: list[tuple[int, int]] = []
    legs: list[list[tuple[int | None, int | None]]] = [[(None, None)] * len(own) for own in lines]
    last: dict[int, tuple[int, int]] = {}  # node and place among its lines

    def connect(line: int, node: int) -> int:
        before, place = last[line]
        ends.append((before, node))
        legs[before][place] = (legs[before][place][0], len(ends) - 1)
        return len(ends) - 1

    for node, own in enumerate(lines):
        for place, line in enumerate(own):
            if line in last:
                legs[node][place] = (connect(line, node), None)
            last[line] = (node, place)
    for qubit in range(sites):
        if qubit in last:
            connect(qubit, len(lines) + qubit)
    return Wires(ends, legs)


def regions(found: Wires, nodes: int, sites: int) -> list[int]:
    """The site to whose tensor each node belongs, with the outputs at the end: (N + sites) numbers."""
    where = [sites - 1] * nodes + list(range(sites))
    if sites < 2 or not found.ends:
        return where
    source, sink = nodes + sites, nodes + sites + 1
    ends = np.array(found.ends)
    plenty = len(ends) + 1
    start = np.concatenate([ends[:, 0], ends[:, 1]])
    stop = np.concatenate([ends[:, 1], ends[:, 0]])
    outputs = nodes + np.arange(sites)
    shape = (sink + 1, sink + 1)
    for site in range(sites - 2, -1, -1):  # a node to the left of several bonds belongs to the first of them
        left, right = outputs[: site + 1], outputs[site + 1 :]
        rows = np.concatenate([start, np.full(len(left), source), right])
        columns = np.concatenate([stop, left, np.full(len(right), sink)])
        weights = np.ones(len(rows), dtype=np.int32)
        weights[len(start) :] = plenty
        graph = csr_matrix((weights, (rows, columns)), shape=shape)
        residual = graph - maximum_flow(graph, source, sink).flow
        residual.eliminate_zeros()
        for node in breadth_first_order(residual, source, return_predecessors=False):
            if node < nodes:
                where[node] = site
    return where


def cuts(found: Wires, where: Sequence[int], sites: int) -> list[list[int]]:
    """The wires that cross each of the n - 1 bonds, for the sites of all nodes and outputs."""
    crossing: list[list[int]] = [[] for _ in range(sites - 1)]
    for wire, (one, other) in enumerate(found.ends):
        low, high = sorted((where[one], where[other]))
        for bond in range(low, high):
            crossing[bond].append(wire)
    return crossing
