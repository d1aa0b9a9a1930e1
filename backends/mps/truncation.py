"""Matrix product states with truncated bonds, for circuits that entangle too much to be exact.

Nodes are applied one after the other, as matrix product operators, without any decomposition. When a bond
that is to grow is already too large, all such bonds are truncated at once, see
`bondwise.backends.mps.projectors`. Derivatives are those of the approximation to first order: as exact as its
values where nothing is lost, and off by about the root of what is.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import torch

from bondwise.backends.mps.nodes import Network, network
from bondwise.backends.mps.projectors import overlap, projectors
from bondwise.circuits.splitting import SplitCircuit

_Local = tuple[int, torch.Tensor]  # a site and its operator (left, right, out, in)


class TruncatedChain:
    """The truncated matrix product state of a circuit as a function of its angles.

    Args:
        circuit: The nodes.
        max_bond: Largest bond that is kept.
    """

    def __init__(self, circuit: Network, max_bond: int) -> None:
        self._circuit = circuit
        self._max_bond = max_bond

    def tensors(self, angles: torch.Tensor) -> tuple[list[torch.Tensor], float]:
        """The tensors (1, left, 2, right) of all sites for one set of angles (G,), and what is left out.

        Returns:
            The tensors, of norm 1 up to rounding, and 1 - the product of the fidelities of all truncations.
        """
        state = [torch.eye(2, dtype=self._circuit.dtype)[:1, :, None] for _ in range(self._circuit.sites)]
        matrices = [matrix[0] for matrix in self._circuit.matrices(angles[None])]
        tangent, kept = angles.requires_grad and torch.is_grad_enabled(), 1.0
        for operator in self._operators(matrices):
            kept *= self._apply(state, operator, tangent)
        kept *= self._truncate(state, tangent)
        return [tensor[None] for tensor in state], max(1 - kept, 0.0)

    def _operators(self, matrices: list[torch.Tensor]) -> Iterator[list[_Local]]:
        """Each node, or each pair of joined nodes, as local operators in the order of their sites."""
        circuit = self._circuit
        for node, (lines, other) in enumerate(zip(circuit.lines, circuit.pairs, strict=True)):
            matrix = matrices[node]
            if other < node:
                continue
            if other > node:  # C on the first qubit opens the line between them, D closes it
                opening = matrix.reshape(2, 2, 2, 2)[:, :, 0][None]
                closing = matrices[other].reshape(2, 2, 2, 2)[0].permute(1, 0, 2)[:, None]
                yield [(lines[0], opening), (circuit.lines[other][0], closing)]
            elif len(lines) == 2 and lines[1] >= circuit.sites:
                yield [(lines[0], matrix.reshape(2, 2, 2, 2)[0, :, 0][None, None])]
            else:
                yield _split(matrix, lines)

    def _apply(self, state: list[torch.Tensor], operator: list[_Local], tangent: bool) -> float:
        """Apply an operator in place; the fidelity of the truncation before it."""
        first, last = operator[0][0], operator[-1][0]
        kept = 1.0
        if any(state[site].shape[-1] > self._max_bond for site in range(first, last)):
            kept = self._truncate(state, tangent)
        local = dict(operator)
        identity = torch.eye(2, dtype=self._circuit.dtype)
        width = 1
        for site in range(first, last + 1):
            here = local.get(site)
            if here is None:  # the bond passes by
                here = torch.einsum("ab,pq->abpq", torch.eye(width, dtype=self._circuit.dtype), identity)
            width = here.shape[1]
            left, _, right = state[site].shape
            made = torch.einsum("abpq,lqr->laprb", here, state[site])
            state[site] = made.reshape(left * here.shape[0], 2, right * here.shape[1])
        return kept

    def _truncate(self, state: list[torch.Tensor], tangent: bool) -> float:
        """Truncate all bonds that are too large, in place; the fidelity of the new state."""
        if all(tensor.shape[2] <= self._max_bond for tensor in state):
            return 1.0
        before = [tensor.detach() for tensor in state]
        for bond, (down, up) in projectors(state, self._max_bond, tangent=tangent).items():
            state[bond] = state[bond] @ down
            state[bond + 1] = torch.tensordot(up, state[bond + 1], 1)
        after = [tensor.detach() for tensor in state]
        norm = overlap(after, after).real
        kept = float(abs(overlap(after, before)) ** 2 / (norm * overlap(before, before).real))
        state[0] = state[0] / norm.sqrt()
        return min(kept, 1.0)


def _split(matrix: torch.Tensor, lines: tuple[int, ...]) -> list[_Local]:
    """A matrix on several qubits as local operators; the lowest bit of its index is the first line."""
    count = len(lines)
    places = sorted(range(count), key=lambda place: lines[place])
    axes = [axis for place in places for axis in (count - 1 - place, 2 * count - 1 - place)]
    rest = matrix.reshape([2] * (2 * count)).permute(axes).reshape(1, 4, -1)
    found: list[_Local] = []
    for place in places[:-1]:
        width = rest.shape[0]
        if rest.shape[0] * 4 <= rest.shape[2]:  # the letters of the next sites are told apart by the bond
            unit = torch.eye(4 * width, dtype=matrix.dtype).reshape(width, 2, 2, 4 * width)
            found.append((lines[place], unit.permute(0, 3, 1, 2)))
            rest = rest.reshape(4 * width, 4, -1)
        else:
            wider = rest.shape[2]
            found.append((lines[place], rest.reshape(width, 2, 2, wider).permute(0, 3, 1, 2)))
            rest = torch.eye(wider, dtype=matrix.dtype).reshape(wider, 4, -1)
    return [*found, (lines[places[-1]], rest.reshape(-1, 2, 2, 1).permute(0, 3, 1, 2))]


@lru_cache(maxsize=64)
def truncated_chain(parts: SplitCircuit, max_bond: int) -> TruncatedChain:
    """The truncated matrix product state of a circuit."""
    return TruncatedChain(network(parts), max_bond)
