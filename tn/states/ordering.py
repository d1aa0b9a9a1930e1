"""Orders of the qubits along a chain that place strongly correlated ones next to each other.

Finding one is a quadratic assignment problem (Szoldra, Mukherjee, Schmelcher, arXiv:2602.12042). Here the
cost of an order is

    sum over pairs i < j of I(i, j)² |p(i) - p(j)|,

where p(i) is the position of qubit i and I the mutual information. With |p(i) - p(j)|, a pair counts once for
every cut that separates it. I is squared because chains whose end bonds are nearly singlets, such as the open
Heisenberg and XX chains, would otherwise have the two qubits at each end exchanged; with the square these
chains keep their order. The search is local, by exchanges and insertions. One of its starting points is the
Fiedler vector, which solves the problem of squared distances with real numbers as positions.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.special import entr

from bondwise.runs import UsageError, random_generator, real_number, whole_number
from bondwise.tn.states.chains import Tensors, compress, merge, site_tensors, split

_ROUNDING = 1e-13  # nats
_RANDOM_STARTS = 8
_TIE = 1e-10  # costs that differ by less than this, relatively, are equal


def mutual_information(state: Any) -> NDArray[np.float64]:
    """Compute the mutual information of all pairs of qubits of a pure state.

    I(i, j) = S(i) + S(j) - S(ij), with the von Neumann entropies of the reduced density matrices of one and
    two sites, bounds all correlations between the two qubits. The time grows as n² bond³.

    Args:
        state: A normalized state in any form that `site_tensors` accepts: a quimb MatrixProductState with
            open ends, a list of (left, 2, right) arrays, or a vector of length 2**n (little-endian). Site i
            is qubit i.

    Returns:
        float64 array of shape (n, n), in nats, with values between 0 and 2 ln 2: symmetric, with zeros on the
        diagonal. Values below 1e-13 are rounding and are set to 0.

    Raises:
        UsageError: If the state is not one of the above.

    Example:
        >>> from bondwise.tn import mutual_information
        >>> mutual_information([0.5**0.5, 0, 0, 0.5**0.5]).round(4)
        array([[0.    , 1.3863],
               [1.3863, 0.    ]])
    """
    tensors = site_tensors(state)
    sites = len(tensors)
    single, pair = np.zeros(sites), np.zeros((sites, sites))
    before = np.ones((1, 1))  # all earlier sites traced out: (bra bond, ket bond)
    opened = np.zeros((0, 2, 2, 1, 1))  # one of them left open: (which, bra, ket, bra bond, ket bond)
    for j, ket in enumerate(tensors):
        bra = ket.conj()
        # later sites are isometries and trace to the identity: (bra bond, bra, ket bond, ket)
        after = np.tensordot(bra, ket, (2, 2))
        single[j] = _entropy(np.tensordot(before, after, ((0, 1), (0, 2))))
        joint = np.tensordot(opened, after, ((3, 4), (0, 2))).transpose(0, 1, 3, 2, 4)
        pair[:j, j] = _entropy(joint.reshape(j, 4, 4))
        passed = np.tensordot(np.tensordot(opened, ket, 1), bra, ((3, 4), (0, 1))).swapaxes(3, 4)
        own = np.tensordot(bra, np.tensordot(before, ket, 1), (0, 0)).transpose(0, 2, 1, 3)
        opened = np.concatenate([passed, own[None]])
        before = np.trace(own)
    information = np.triu(single[:, None] + single - pair, 1)
    information[information < _ROUNDING] = 0.0
    return information + information.T


def order_qubits(state_or_information: Any, *, seed: int | None = None) -> list[int]:
    """Find an order of the qubits that places strongly correlated ones next to each other.

    It minimizes the sum of I(i, j)² |p(i) - p(j)| over pairs, where p(i) is the position of qubit i. The
    search is heuristic. Because it also starts from the given order, it never returns one that costs more.
    Among orders of equal cost, and between an order and its mirror image, it returns the one closest to the
    given order. The cost depends on pairs only: if all pairs are alike, as in a Dicke state, the given order
    is returned.

    Args:
        state_or_information: A state as for `mutual_information`, or an array (n, n) of pair weights such as
            that function returns: symmetric and nonnegative, in any unit; the diagonal is ignored.
        seed: Random seed for some of the starting points.

    Returns:
        n integers: `order[k]` is the qubit to place at position k, as `permute` expects it. If a circuit
        prepares the reordered state, `QuantumCircuit(n).compose(circuit, order)` prepares the given one.

    Raises:
        UsageError: If the state is not accepted, or the array is not a symmetric matrix of weights.

    Example:
        >>> import numpy as np
        >>> from bondwise.tn import order_qubits
        >>> weights = np.zeros((4, 4))
        >>> for i, j in [(0, 2), (2, 1), (1, 3)]:
        ...     weights[i, j] = weights[j, i] = 1
        >>> order_qubits(weights, seed=0)
        [0, 2, 1, 3]
    """
    weights = _read_information(state_or_information) ** 2
    sites = len(weights)
    rng = random_generator(seed)
    given = np.arange(sites)
    starts = [given, _spectral_order(weights), *(rng.permutation(sites) for _ in range(_RANDOM_STARTS))]
    found = [given, *(_improve(weights, start) for start in starts)]
    costs = np.array([_cost(weights, order) for order in found])
    best = [order for order, cost in zip(found, costs, strict=True) if cost <= costs.min() * (1 + _TIE)]
    nearest = min([turned for order in best for turned in (order, order[::-1])], key=_inversions)
    return nearest.tolist()


def permute(state: Any, order: Iterable[int], max_bond: int | None = None, cutoff: float = 1e-12) -> Tensors:
    """Reorder the sites of a state with the smallest number of exchanges of neighbors.

    Args:
        state: As for `mutual_information`.
        order: Each of 0 to n - 1 once; site k of the result is site `order[k]` of the state.
        max_bond: Largest bond kept after each exchange; None for no limit. A bad order needs bonds of up to
            2**(n // 2).
        cutoff: Singular values below this fraction of the largest are dropped.

    Returns:
        Right-canonical arrays of shape (left, 2, right) of norm 1, real if the state is real up to a global
        phase, which is dropped.

    Raises:
        UsageError: If the state is not accepted, `order` is not a permutation of its sites, `max_bond` is
            below 1, or `cutoff` is not in [0, 1).

    Example:
        >>> import numpy as np
        >>> from qiskit.quantum_info import Statevector
        >>> from bondwise.tn import permute, to_dense
        >>> moved = permute(Statevector.from_label("0001"), [1, 2, 3, 0])  # qubit 0 goes last
        >>> format(np.argmax(to_dense(moved)), "04b")
        '1000'
    """
    if max_bond is not None:
        whole_number("max_bond", max_bond)
    real_number("cutoff", cutoff, zero=True, below=1)
    tensors = site_tensors(state)
    sites = len(tensors)
    try:
        wanted = [index(site) for site in order]
    except TypeError:
        wanted = []
    if sorted(wanted) != list(range(sites)):
        raise UsageError(f"order is {order}; give each of the sites 0 to {sites - 1} once.")
    now = list(range(sites))
    center = 0
    for k, site in enumerate(wanted):
        place = now.index(site)
        if place == k:
            continue
        now.insert(k, now.pop(place))
        for i in range(place - 1, k - 1, -1):
            u, s, v, _ = split(merge(tensors, i, center).transpose(0, 2, 1, 3), cutoff, max_bond)
            tensors[i], tensors[i + 1], center = u * s, v, i
    return compress(tensors, max_bond, cutoff)


def snake_order(rows: int, cols: int) -> list[int]:
    """Order a grid along a snake: back and forth along the shorter side, always moving to a neighbor.

    Args:
        rows: Number of rows, at least 1.
        cols: Number of columns, at least 1.

    Returns:
        The sites, numbered row by row, in the order of the chain: down the first column, up the second and so
        on if rows <= cols.

    Raises:
        UsageError: If a side is below 1.

    Example:
        >>> from bondwise.tn import snake_order
        >>> snake_order(2, 3)
        [0, 3, 4, 1, 2, 5]
    """
    grid = _grid(rows, cols)
    lines = grid.T if rows <= cols else grid
    return np.concatenate([line[:: 1 - 2 * (k % 2)] for k, line in enumerate(lines)]).tolist()


def block_order(rows: int, cols: int) -> list[int]:
    """Order a grid by halves, like the leaves of a binary tree, so that blocks stay together.

    A block is cut in two across its longer side, or across the other side if only that one is even, so that
    both halves are equal. If both sides are odd, the first part of the longer side has one line more.

    Args:
        rows: Number of rows, at least 1.
        cols: Number of columns, at least 1.

    Returns:
        The sites, numbered row by row, in the order of the leaves. The halves of this order, their halves and
        so on are rectangles as long as their size is even.

    Raises:
        UsageError: If a side is below 1.

    Example:
        >>> from bondwise.tn import block_order
        >>> block_order(2, 4)
        [0, 4, 1, 5, 2, 6, 3, 7]
    """
    return _leaves(_grid(rows, cols))


def _entropy(density: NDArray[Any]) -> Any:
    """Von Neumann entropy of density matrices (..., d, d) in nats."""
    return entr(np.linalg.eigvalsh(density).clip(min=0)).sum(-1)


def _read_information(state_or_information: Any) -> NDArray[np.float64]:
    if not (isinstance(state_or_information, np.ndarray) and state_or_information.ndim == 2):
        return mutual_information(state_or_information)
    given = state_or_information
    what = "give real, symmetric weights of shape (n, n) that are not negative, or a state"
    if given.shape[0] != given.shape[1] or not given.size or given.dtype.kind not in "biuf":
        raise UsageError(f"the information is {given.dtype} of shape {given.shape}; {what}.")
    weights = given.astype(np.float64)
    np.fill_diagonal(weights, 0.0)
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise UsageError(f"the information has entries that are negative or not finite; {what}.")
    difference = np.abs(weights - weights.T)
    if difference.max() > 1e-9 * weights.max():
        i, j = np.unravel_index(difference.argmax(), difference.shape)
        values = f"{weights[i, j]:.6g} at ({i}, {j}) and {weights[j, i]:.6g} at ({j}, {i})"
        raise UsageError(f"the information is {values}; {what}.")
    return (weights + weights.T) / 2


def _cost(weights: NDArray[np.float64], order: NDArray[np.intp]) -> float:
    places = np.arange(len(order))
    return float((weights[np.ix_(order, order)] * np.abs(places[:, None] - places)).sum() / 2)


def _spectral_order(weights: NDArray[np.float64]) -> NDArray[np.intp]:
    """The uncorrelated parts one after the other, each in the order of its Fiedler vector."""
    count, label = connected_components(weights > 0)
    order = []
    for part in range(count):
        members = np.flatnonzero(label == part)
        inside = weights[np.ix_(members, members)]
        vectors = np.linalg.eigh(np.diag(inside.sum(1)) - inside)[1]
        order.append(members[np.argsort(vectors[:, min(1, len(members) - 1)], kind="stable")])
    return np.concatenate(order)


def _improve(weights: NDArray[np.float64], order: NDArray[np.intp]) -> NDArray[np.intp]:
    """Local search: the best exchange of two qubits or insertion of one elsewhere, until neither helps."""
    enough = -_TIE * weights.sum()
    places = np.arange(len(order))
    distance = np.abs(places[:, None] - places).astype(np.float64)
    while True:
        placed = weights[np.ix_(order, order)]
        moves = np.stack([exchange_changes(placed, distance), insertion_changes(placed)])
        kind, a, b = np.unravel_index(moves.argmin(), moves.shape)
        if moves[kind, a, b] >= enough:
            return order
        if kind == 0:
            order = order.copy()
            order[[a, b]] = order[[b, a]]
        else:
            order = np.insert(np.delete(order, a), b, order[a])


def exchange_changes(placed: NDArray[np.float64], distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Change of the cost if the qubits at positions a and b are exchanged, (n, n)."""
    product = placed @ distance
    own = product.diagonal()
    return product + product.T - own[:, None] - own + 2 * placed * distance


def insertion_changes(placed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Change of the cost if the qubit at position a is moved to position b, (n, n)."""
    forward = _forward_insertion_changes(placed)
    return forward + _forward_insertion_changes(placed[::-1, ::-1])[::-1, ::-1]


def _forward_insertion_changes(placed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Change of the cost for b > a, where qubit a passes its later neighbors one by one; 0 for b <= a.

    As a passes f, it comes closer by 1 to everything beyond f and moves away by 1 from everything before f;
    for f it is the other way round.
    """
    balance = 2 * placed.cumsum(1) - placed.sum(1)[:, None]  # weight up to a position minus weight beyond it
    return np.triu(balance - balance.diagonal(), 1).cumsum(1)


def _inversions(order: NDArray[np.intp]) -> int:
    """Number of exchanges of neighbors that sort the order."""
    return int(np.triu(order[:, None] > order, 1).sum())


def _grid(rows: int, cols: int) -> NDArray[np.intp]:
    for name, number in (("rows", rows), ("cols", cols)):
        whole_number(name, number)
    return np.arange(rows * cols).reshape(rows, cols)


def _leaves(grid: NDArray[np.intp]) -> list[int]:
    if grid.size == 1:
        return [int(grid[0, 0])]
    longer = int(grid.shape[1] >= grid.shape[0])
    axis = 1 - longer if grid.shape[longer] % 2 and not grid.shape[1 - longer] % 2 else longer
    first, second = np.array_split(grid, 2, axis)  # the first half is the longer one
    return _leaves(first) + _leaves(second)
