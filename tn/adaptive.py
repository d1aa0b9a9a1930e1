"""More gates for a circuit, one at a time, each where it gains most: what CX are left when no layer fits.

A new gate is tried, as the identity, on every bond and at every moment of the circuit. A contraction gives the
environment E of each, and with it what the best gate in this place gains while all others stand still: it
raises the overlap to the sum of the singular values of E. The most promising places per CX are then judged by
optimising all gates, first a little, then the best of them more. Placing gates one at a time is the idea of
ADAPT-VQE (Grimsley et al., arXiv:1812.11173) and of ADAPT-AQC (Jaderberg et al., arXiv:2503.09683).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bondwise.tn.circuits import count_cx
from bondwise.tn.layouts import Pairs
from bondwise.tn.polish import polish
from bondwise.tn.states import Tensors
from bondwise.tn.window import Window

_TRIED, _SWEEPS = 40, 3  # places that get environment sweeps of all gates
_POLISHED, _SHORT, _LONG = 5, 100, 500  # of these, some get L-BFGS iterations; the winner more

Place = tuple[int, int]  # index in the list of pairs, left qubit


def add_gates(
    tensors: Tensors, pairs: Pairs, gates: NDArray[Any], max_cx: int, enough: float
) -> Iterator[tuple[Pairs, NDArray[Any]]]:
    """Add gates while CX are left and the infidelity is above `enough`.

    Args:
        tensors: Canonical site tensors of at least two sites.
        pairs: Neighbouring qubits (i, i + 1) of the gates there are, in time order.
        gates: These gates, shape (M, 4, 4).
        max_cx: Most CX in all.
        enough: Infidelity at which to stop.

    Yields:
        Pairs and gates after every new gate; the infidelity never rises.
    """
    while True:
        tried = []
        for bond, place in _promising(tensors, pairs, gates, max_cx):
            longer, start = _insert(pairs, gates, [(place, bond)])
            window = Window(tensors, longer)
            swept = window.sweep(start, _SWEEPS)
            tried.append((1 - abs(window.overlap(swept)) ** 2, longer, swept, window))
        if not tried:
            return
        tried.sort(key=lambda item: item[0])
        found = []
        for _, longer, swept, window in tried[:_POLISHED]:
            polished, reached = polish(window, swept, _SHORT, enough)
            found.append((reached, longer, polished, window))
        _, pairs, gates, window = min(found, key=lambda item: item[0])
        gates, reached = polish(window, gates, _LONG, enough)
        yield pairs, gates
        if reached <= enough:
            return


def _promising(tensors: Tensors, pairs: Pairs, gates: NDArray[Any], max_cx: int) -> list[Place]:
    """(bond, index) of the places whose best gate alone gains most per CX."""
    real = bool(np.isrealobj(gates))
    moments = [_moments(pairs, bond) for bond in range(len(tensors) - 1)]
    before = count_cx(pairs, real)
    judged: list[tuple[float, Place]] = []
    for first in range(3):  # bonds that stand apart are judged in one contraction
        for turn in range(max(map(len, moments))):
            places = [
                (moments[bond][turn], bond)
                for bond in range(first, len(moments), 3)
                if turn < len(moments[bond])
            ]
            places.sort()
            if not places:
                continue
            longer, all_gates = _insert(pairs, gates, places)
            overlap, environments = Window(tensors, longer).environments(all_gates)
            left = max(1 - abs(overlap) ** 2, 1e-16)
            for k, (place, bond) in enumerate(places):
                cost = count_cx(_insert(pairs, gates, [(place, bond)])[0], real) - before
                if before + cost > max_cx:
                    continue
                size = min(_largest_overlap(environments[place + k], real), 1.0)
                judged.append((np.log(left / max(1 - size**2, 1e-16)) / cost, (bond, place)))
    judged.sort(key=lambda item: -item[0])
    return [place for _, place in judged[:_TRIED]]


def _moments(pairs: Pairs, bond: int) -> list[int]:
    """Where in the list a gate on (bond, bond + 1) would not merge with one that is there."""
    touching = [k for k, pair in enumerate(pairs) if {bond, bond + 1} & set(pair)]
    same = [pairs[k] == (bond, bond + 1) for k in touching]
    places = [0, *(k + 1 for k in touching)]
    around = zip(places, [False, *same], [*same, False], strict=True)
    return [place for place, before, after in around if not (before or after)]


def _insert(pairs: Pairs, gates: NDArray[Any], places: list[Place]) -> tuple[Pairs, NDArray[Any]]:
    """Identities on (bond, bond + 1) before the gates with the given indices; places (index, bond) in order."""
    longer = list(pairs)
    for k, (index, bond) in enumerate(places):
        longer.insert(index + k, (bond, bond + 1))
    return longer, np.insert(gates, [index for index, _ in places], np.eye(4), axis=0)


def _largest_overlap(environment: NDArray[Any], real: bool) -> float:
    """The largest |sum(gate * environment)| of any gate, of determinant +1 if real."""
    u, s, v = np.linalg.svd(environment)
    if real and np.linalg.det(u) * np.linalg.det(v) < 0:
        s[-1] *= -1
    return float(s.sum())
