"""The contraction of a circuit's tensor network, planned once per structure and run with many weights.

The leaves of the circuit are contracted pairwise, always the pair that shrinks most. In a mixed circuit,
leaves of the ket are first contracted with each other as long as no intermediate grows, and then with the
bra, their complex conjugate.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from bondwise.qml.lambeq.contraction_leaves import Leaf, fixed_leaf, fold
from bondwise.qml.lambeq.greedy_merging import Neighbors
from bondwise.qml.lambeq.networks import Network, gate_tensor
from bondwise.runs import UsageError

_RESCALE_AFTER = 8  # leaves
_MAX_RANK = 26
_LETTERS = string.ascii_letters.replace("z", "")  # z is the axis of the circuits
_numbers = itertools.count()


@dataclass(frozen=True)
class Contraction:
    """One pairwise contraction. Values are numbered: first the leaves, then the results of the steps.

    Attributes:
        left: Number of the left operand.
        right: Number of the right operand.
        conjugate: Whether the left and the right operand enter as their complex conjugates.
        equation: Equation for einsum; "z" is the axis of the circuits.
        level: 1 plus the larger level of the operands; leaves have level 0.
        rescale: Whether the result is divided by a power of 2.
        copies: Number of times that this factor enters the result of the circuit.
    """

    left: int
    right: int
    conjugate: tuple[bool, bool]
    equation: str
    level: int
    rescale: bool
    copies: int


@dataclass(frozen=True, eq=False)
class Plan:
    """The contraction of all circuits of one structure.

    Attributes:
        number: Serial number of the plan.
        leaves: Values 0 to len(leaves) − 1.
        steps: Contractions that make the values after the leaves; the last value is the result.
        axes: Axes of the result in the order of the open wires.
        mixed: Whether the result is part of a density matrix instead of amplitudes.
    """

    number: int
    leaves: tuple[Leaf, ...]
    steps: tuple[Contraction, ...]
    axes: tuple[int, ...]
    mixed: bool


@lru_cache(maxsize=4096)
def plan_contraction(network: Network, diagonal: bool = True) -> Plan:
    """Choose the contraction of a structure.

    Args:
        network: Structure of a circuit.
        diagonal: Whether the result of a mixed circuit is only the diagonal of the density matrix; otherwise
            its axes are bits, kets and bras.

    Raises:
        UsageError: If no contraction was found whose tensors fit into memory.
    """
    joined = set(network.joined)
    if network.mixed and diagonal:
        joined |= set(network.qubits)
    output = [*network.bits, *network.qubits]
    if network.mixed and not diagonal:
        output += [_bra(label, joined) for label in network.qubits]
    single = [tensor for tensor in network.tensors if tensor.once]
    fixed = {label for tensor in single for label in tensor.labels}
    fixed |= {~label for label in fixed}
    external = joined | set(output) | fixed if network.mixed else set(output)

    leaves = fold([tensor for tensor in network.tensors if not tensor.once], external)
    kets, rest = list(range(len(leaves))), list(range(len(leaves), len(leaves) + len(single)))
    for tensor in single:
        labels = [~label if ~label in joined else label for label in tensor.labels]
        leaves.append(fixed_leaf(gate_tensor(tensor.gate), labels))
    build = _Steps(leaves, external)
    operands = [(value, False) for value in kets + rest]
    if network.mixed:
        kets = build.shrink(kets)
        operands = [(value, False) for value in kets + rest] + [(value, True) for value in kets]
    build.contract(operands, output, joined)
    axes = tuple(build.labels[-1].index(label) for label in output)
    return Plan(next(_numbers), tuple(build.leaves), tuple(build.steps), axes, network.mixed)


def _bra(label: int, joined: set[int]) -> int:
    return label if label in joined else ~label


class _Steps:
    """Leaves, and the steps that contract them."""

    def __init__(self, leaves: list[tuple[Leaf, Sequence[int]]], external: set[int]) -> None:
        self.leaves = [leaf for leaf, _ in leaves]
        self.labels: list[Sequence[int]] = [labels for _, labels in leaves]
        self.levels = [0] * len(leaves)
        self.weights = [1] * len(leaves)
        self.steps: list[Contraction] = []
        self.external = external

    def shrink(self, values: list[int]) -> list[int]:
        """Contract ket values with each other while no result has more labels than the larger operand."""
        index = Neighbors(self.external)
        labels = {value: self.labels[value] for value in values}
        for value in values:
            index.insert(value, labels[value])

        def allowed(a: int, b: int, kept: list[int]) -> bool:
            return len(kept) <= max(len(labels[a]), len(labels[b]))

        def join(a: int, b: int, kept: list[int]) -> int:
            value = self.add((a, False), (b, False), labels[a], labels[b], kept, copies=2)
            labels[value] = self.labels[value]
            return value

        index.merge(labels, allowed, join)
        return list(labels)

    def contract(self, operands: list[tuple[int, bool]], output: list[int], joined: set[int]) -> None:
        """Contract all operands to one value; conjugated operands have the labels of the bra."""
        terms = dict(enumerate(operands))
        labels: dict[int, Sequence[int]] = {
            term: [_bra(label, joined) if bra else label for label in self.labels[value]]
            for term, (value, bra) in terms.items()
        }
        index = Neighbors(set(output))
        for term, names in labels.items():
            index.insert(term, names)

        def join(a: int, b: int, kept: list[int]) -> int:
            value = self.add(terms[a], terms[b], labels[a], labels[b], kept, copies=1)
            term = len(terms)
            terms[term], labels[term] = (value, False), self.labels[value]
            return term

        index.merge(labels, lambda *_: True, join)
        while len(labels) > 1:  # parts without a common label
            a, b = sorted(labels, key=lambda term: len(labels[term]))[:2]
            join(a, b, index.kept([*labels[a], *labels[b]], a, b))
            del labels[a], labels[b]

    def add(
        self,
        left: tuple[int, bool],
        right: tuple[int, bool],
        left_labels: Sequence[int],
        right_labels: Sequence[int],
        kept: list[int],
        copies: int,
    ) -> int:
        if len(left_labels) < len(right_labels):  # so that equal steps have equal equations
            left, right, left_labels, right_labels = right, left, right_labels, left_labels
        both = [label for label in left_labels if label in right_labels and label in kept]
        out = both + [label for label in (*left_labels, *right_labels) if label in kept and label not in both]
        if len(out) > _MAX_RANK:
            raise UsageError(
                f"a circuit of this batch needs tensors of 2^{len(out)} numbers; use fewer qubits per "
                "wire or fewer layers."
            )
        letter: dict[int, str] = {}
        for label in (*left_labels, *right_labels):
            letter.setdefault(label, _LETTERS[len(letter)])
        terms = [
            "z" + "".join(letter[label] for label in names) for names in (left_labels, right_labels, out)
        ]
        weight = self.weights[left[0]] + self.weights[right[0]]
        rescale = weight > _RESCALE_AFTER
        level = 1 + max(self.levels[left[0]], self.levels[right[0]])
        self.steps.append(
            Contraction(
                left[0],
                right[0],
                (left[1], right[1]),
                f"{terms[0]},{terms[1]}->{terms[2]}",
                level,
                rescale,
                copies,
            )
        )
        self.labels.append(out)
        self.levels.append(level)
        self.weights.append(1 if rescale else weight)
        return len(self.labels) - 1
