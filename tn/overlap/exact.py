"""Exact overlap of a circuit with a state, and its derivative with respect to every gate, in two passes.

The contraction follows `bondwise.tn.overlap.contraction_order`: light cones from the leaves of the state to
its root. Its cost is linear in the number of sites, gates * 2^w * bond for cones of w qubits; L staircase
layers have w = L + 1. Nothing is truncated. Because the overlap is linear in each gate, one pass up and one
down give it together with its derivative with respect to every gate (the environment of the gate).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bondwise.runs import UsageError
from bondwise.tn.overlap.contraction_order import Schedule, checked_pairs, plan
from bondwise.tn.overlap.programs import run_program
from bondwise.tn.states.chains import Chain
from bondwise.tn.states.trees import Tree


class ExactOverlap:
    """Exact overlap ⟨ψ|U|0…0⟩ of a state with circuits of one layout, and its environments.

    Gates are arrays of shape (M, 4, 4). Gate k acts on `pairs[k] = (i, j)`, and its row and column index is 2
    * (bit of qubit i) + (bit of qubit j), as in `numpy.kron(qubit i, qubit j)`. Every call reuses the same
    buffers, so use an object in one thread only.

    Args:
        state: One array of shape (left, 2, right) per site with outer bonds 1, at least two sites, where site
            i is qubit i; or a `Tree`.
        pairs: Two qubits for each gate, in the order in which the gates are applied. Any pairs are allowed;
            the contraction is cheap if they are neighbors in the chain or tree and the circuit is shallow.

    Raises:
        UsageError: If a pair is not two qubits of the state, or the circuit is too deep or too entangling.
            The environment variable `BONDWISE_MAX_CONTRACTION_NUMBERS` sets the limit.

    Example:
        >>> import numpy as np
        >>> from bondwise.tn import ExactOverlap, site_tensors
        >>> state = site_tensors([0.6, 0, 0, 0.8])
        >>> overlap, environments = ExactOverlap(state, [(0, 1)]).environments(np.eye(4)[None])
        >>> round(overlap, 12), environments.shape
        (0.6, (1, 4, 4))
    """

    def __init__(
        self, state: Sequence[NDArray[Any]] | Chain | Tree, pairs: Sequence[tuple[int, int]]
    ) -> None:
        if not isinstance(state, Chain | Tree):
            state = Chain(list(state))
        self.pairs = checked_pairs(pairs, state.sites)
        if state.sites < 2:
            raise UsageError("the state has one site; a circuit of two-qubit gates needs at least 2.")
        self._schedule = _cheapest(state.trees(), self.pairs)
        self.dtype = self._schedule.arrays.dtype
        self._memories: dict[Any, NDArray[Any]] = {}

    @property
    def cost(self) -> int:
        """Count of numbers written in one pass; memory holds twice as many, of 8 or 16 bytes each."""
        return self._schedule.cost

    def overlap(self, gates: NDArray[Any]) -> Any:
        """The overlap ⟨ψ|U|0…0⟩: a float if state and gates are real, otherwise a complex number."""
        gates, memory = self._cast(gates)
        self._run(self._schedule.forward, memory, gates, gates)
        return memory[self._schedule.overlap].item()

    def environments(self, gates: NDArray[Any]) -> tuple[Any, NDArray[Any]]:
        """The overlap and environments E (M, 4, 4): `overlap == (gates[k] * E[k]).sum()` for every k."""
        gates, memory = self._cast(gates)
        environments = np.zeros_like(gates)
        self._run(self._schedule.forward, memory, gates, environments)
        self._run(self._schedule.backward, memory, gates, environments)
        return memory[self._schedule.overlap].item(), environments

    def sweep(self, gates: NDArray[Any], count: int = 1) -> NDArray[Any]:
        """Improve one gate after the other, from the root to the leaves and back, `count` times.

        Each gate becomes the unitary with the largest overlap while the others stay fixed (Evenbly and Vidal,
        arXiv:0707.1454), so |overlap| never decreases. Real gates must have determinant +1, which they keep.

        Args:
            gates: Unitary matrices of shape (M, 4, 4).
            count: Number of sweeps.

        Returns:
            New gates of shape (M, 4, 4).
        """
        gates, memory = self._cast(gates)
        gates = gates.copy()
        environments = np.zeros_like(gates)
        self._run(self._schedule.forward, memory, gates, environments)
        for _ in range(count):
            self._run(self._schedule.sweep, memory, gates, environments, True)
        return gates

    def _run(
        self,
        program: NDArray[np.int64],
        memory: NDArray[Any],
        gates: NDArray[Any],
        environments: NDArray[Any],
        improve: bool = False,
    ) -> None:
        work = np.empty(32, memory.dtype)
        rows = gates.reshape(-1, 16), environments.reshape(-1, 16)
        run_program(program, memory, *rows, work, improve, True if memory.dtype == np.float64 else None)

    def _cast(self, gates: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        if gates.shape != (len(self.pairs), 4, 4):
            raise UsageError(
                f"gates have shape {gates.shape}; give one 4 x 4 matrix for each of {len(self.pairs)} pairs."
            )
        dtype = np.result_type(self.dtype, gates)
        if dtype not in self._memories:  # large, so allocated once
            memory = np.zeros(self._schedule.size, dtype)
            memory[: len(self._schedule.arrays)] = self._schedule.arrays
            memory[self._schedule.slope] = 1
            self._memories[dtype] = memory
        return np.ascontiguousarray(gates, dtype), self._memories[dtype]


def _cheapest(trees: list[Tree], pairs: Sequence[tuple[int, int]]) -> Schedule:
    """The contraction of least cost among several forms of one state."""
    schedules: list[Schedule] = []
    for tree in trees:
        try:
            schedules.append(plan(tree, pairs))
        except UsageError:
            if tree is trees[-1] and not schedules:
                raise
    return min(schedules, key=lambda schedule: schedule.cost)
