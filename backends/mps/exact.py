"""The tensors of an exact matrix product state, contracted from the nodes of a circuit.

Site i is qubit i. The order of contraction is planned once per circuit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch

from bondwise.backends.mps.cuts import Wires, cuts, regions, wires
from bondwise.backends.mps.nodes import Network, network
from bondwise.circuits.splitting import SplitCircuit

_LETTERS = "abcdefghijklmnopqrstuvwxyzACDEFGHIJKLMNOPQRSTUVWXYZ"  # B is the batch
_Label = tuple[str, int]  # of a leg: kind and wire
_Operand = tuple[int, tuple[int, ...], list[_Label]]  # node, or -1 for identities; places of zeros; legs


@dataclass(frozen=True)
class _Step:
    """An operand of a site's tensor and the einsum that merges it with what has been made so far.

    Attributes:
        node: Number of the node; -1 for identities.
        zeros: Legs of the node that are |0⟩ or ⟨0|, as places of its tensor without the batch.
        identities: Number of identities on one wire each, if it is no node.
        equation: The einsum.
        size: Numbers in its result.
    """

    node: int
    zeros: tuple[int, ...]
    identities: int
    equation: str
    size: int


class ExactChain:
    """The exact matrix product state of a circuit as a function of its angles.

    Attributes:
        widths: Binary logarithms of the n - 1 bonds.

    Args:
        circuit: The nodes.
    """

    def __init__(self, circuit: Network) -> None:
        self._circuit = circuit
        sites, nodes = circuit.sites, len(circuit.lines)
        found = wires(circuit.lines, sites)
        where = regions(found, nodes, sites)
        crossing = cuts(found, where, sites)
        self.widths = [len(cut) for cut in crossing]
        self._members: list[list[int]] = [[] for _ in range(sites)]
        for node in range(nodes):
            self._members[where[node]].append(node)
        self._bounds: list[list[int]] = [[], *crossing, []]
        self._wires = found

    @property
    def bond(self) -> int:
        """The largest bond dimension."""
        return int(1 << max(self.widths, default=0))

    @property
    def dtype(self) -> torch.dtype:
        """float64 or complex128."""
        return self._circuit.dtype

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return len(self._circuit.lines)

    @cached_property
    def largest(self) -> int:
        """Numbers in the largest tensor on the way to the state."""
        return max(step.size for plan in self._plans for step in plan)

    @cached_property
    def numbers(self) -> int:
        """Numbers in all tensors on the way to the state, for one set of angles."""
        return sum(step.size for plan in self._plans for step in plan)

    def tensors(self, angles: torch.Tensor) -> list[torch.Tensor]:
        """The tensors (B, left, 2, right) of all sites, for angles (B, G)."""
        matrices = self._circuit.matrices(angles)
        tensors = []
        for site, plan in enumerate(self._plans):
            left, right = (1 << width for width in self._around(site))
            tensor = torch.einsum(plan[0].equation, self._operand(plan[0], matrices))
            for step in plan[1:]:
                tensor = torch.einsum(step.equation, tensor, self._operand(step, matrices))
            tensors.append(tensor.reshape(-1, left, 2, right).expand(len(angles), -1, -1, -1))
        return tensors

    def _around(self, site: int) -> tuple[int, int]:
        widths = [0, *self.widths, 0]
        return widths[site], widths[site + 1]

    def _operand(self, step: _Step, matrices: Sequence[torch.Tensor]) -> torch.Tensor:
        if step.node < 0:
            size = 1 << step.identities
            tensor = torch.eye(size, dtype=self._circuit.dtype)
            if step.zeros:  # a qubit that nothing acts on
                tensor = torch.outer(tensor.flatten(), torch.eye(2, dtype=self._circuit.dtype)[0])
                return tensor.reshape(1, *[2] * (2 * step.identities + 1))
            return tensor.reshape(1, *[2] * (2 * step.identities))
        matrix = matrices[step.node]
        legs = 2 * len(self._circuit.lines[step.node])
        tensor = matrix.reshape(len(matrix), *[2] * legs)
        if step.zeros:
            zeros = set(step.zeros)
            tensor = tensor[(slice(None), *(0 if leg in zeros else slice(None) for leg in range(legs)))]
        return tensor

    @cached_property
    def _plans(self) -> list[list[_Step]]:
        return [self._plan(self._wires, site) for site in range(self._circuit.sites)]

    def _plan(self, found: Wires, site: int) -> list[_Step]:
        """The steps that make a tensor of a site, ending with its legs in the order left, bit, right."""
        left, right = self._bounds[site], self._bounds[site + 1]
        output = len(self._circuit.lines) + site
        before, after = set(left), set(right)
        identities = [wire for wire in left if wire in after]  # wires that pass by

        def label(wire: int) -> _Label:
            if output in found.ends[wire]:
                return ("bit", 0)
            return ("left", wire) if wire in before else ("right", wire) if wire in after else ("own", wire)

        crossing = [wire for wire in (*left, *right) if output in found.ends[wire]]
        operands: list[_Operand] = []
        for node in self._members[site]:
            legs: list[_Label] = []
            zeros: list[int] = []
            # the rows of a matrix are its outputs, and the highest bit comes first
            both = [leg[1] for leg in reversed(found.legs[node])] + [
                leg[0] for leg in reversed(found.legs[node])
            ]
            for place, leg in enumerate(both):
                if leg is None:
                    zeros.append(place)
                else:
                    legs.append(label(leg))
            operands.append((node, tuple(zeros), legs))
        passing: list[_Label] = [("left", wire) for wire in identities]
        passing += [("right", wire) for wire in identities]
        count = len(identities)
        if crossing:  # the bit of this site was made, or will be made, in another region
            side = "left" if crossing[0] in before else "right"
            passing = [*passing[:count], (side, crossing[0]), *passing[count:], ("bit", 0)]
            count += 1
        idle = not crossing and not any(("bit", 0) in legs for _, _, legs in operands)
        goal: list[_Label] = [*(("left", wire) for wire in left), ("bit", 0)]
        goal += [("right", wire) for wire in right]
        last = None
        if count or idle:
            last = (-1, (0,) if idle else (), [*passing, *([("bit", 0)] if idle else [])])
        return _ordered(operands, last, count, goal)


def _ordered(
    operands: list[_Operand], last: _Operand | None, identities: int, goal: list[_Label]
) -> list[_Step]:
    """Merge one operand after the other, always the neighbor that leaves the fewest legs, and one at last."""
    owners: dict[_Label, list[int]] = {}
    for number, operand in enumerate(operands):
        for leg in operand[2]:
            owners.setdefault(leg, []).append(number)
    remaining = dict.fromkeys(range(len(operands)))
    steps: list[_Step] = []
    legs: list[_Label] = []
    while remaining or last is not None:
        if remaining:
            near = {number for leg in legs for number in owners[leg] if number in remaining}
            open_legs = set(legs)
            left = {number: len(open_legs ^ {*operands[number][2]}) for number in near}
            number = min(left, key=lambda one: (left[one], one)) if left else next(iter(remaining))
            del remaining[number]
            chosen = operands[number]
        elif last is not None:
            chosen, last = last, None
        ending = not remaining and last is None
        kept = [one for one in legs if one not in chosen[2]]
        result = goal if ending else kept + [one for one in chosen[2] if one not in legs]
        equation = _equation([*([legs] if steps else []), chosen[2]], result)
        counted = identities if chosen[0] < 0 else 0
        steps.append(_Step(chosen[0], chosen[1], counted, equation, 1 << len(result)))
        legs = result
    return steps


def _equation(operands: Sequence[Iterable[_Label]], result: Iterable[_Label]) -> str:
    """The einsum of operands, with an axis for the batch; "" for more legs than any memory has room for."""
    labels = dict.fromkeys(label for operand in operands for label in operand)
    if len(labels) > len(_LETTERS):
        return ""
    letters = dict(zip(labels, _LETTERS, strict=False))

    def word(labels: Iterable[_Label]) -> str:
        return "B" + "".join(letters[label] for label in labels)

    return ",".join(map(word, operands)) + "->" + word(result)


@lru_cache(maxsize=64)
def exact_chain(parts: SplitCircuit) -> ExactChain:
    """The exact matrix product state of a circuit, planned once."""
    return ExactChain(network(parts))
