"""Lattice models of spins 1/2 as `SparsePauliOp`.

With S = σ/2 and a sum over the edges ⟨ij⟩ of the lattice, each counted once:

    Heisenberg    H = J Σ⟨ij⟩ S_i·S_j                     (open chain, n = 12, J = 1: E0 = -5.1420906328)
    XXZ           H = J Σ⟨ij⟩ (SxSx + SySy + Δ SzSz)      (Δ = 1 is Heisenberg)
    Ising         H = -J Σ⟨ij⟩ Z_i Z_j - h Σ_i X_i        (σ, not S; the chain is critical at h = J)

Site i is qubit i, the letter i places from the right of a Pauli string. A grid is numbered by a snake along
its shorter side (down the first column and up the second if rows ≤ columns), so that neighbors stay close on
the line, as a matrix product state needs. The 3×4 grid:

    0  5  6 11
    1  4  7 10
    2  3  8  9
"""

from __future__ import annotations

import math
import re

from qiskit.quantum_info import SparsePauliOp

from bondwise.runs import UsageError, unknown_name, whole_number

Size = int | tuple[int, int]


def heisenberg(size: Size, *, coupling: float = 1.0, periodic: bool = False) -> SparsePauliOp:
    """Build the Heisenberg model, J Σ S·S; antiferromagnetic for J > 0.

    Args:
        size: Number of sites of a chain, or (rows, columns) of a grid; two rows are a ladder.
        coupling: J.
        periodic: Whether to close the lattice in every direction with at least three sites.

    Returns:
        The operator, with real coefficients and one qubit per site.

    Raises:
        UsageError: If there are fewer than two sites, or the coupling is not finite.

    Example:
        >>> from bondwise.qml import heisenberg
        >>> heisenberg(2)
        SparsePauliOp(['XX', 'YY', 'ZZ'],
                      coeffs=[0.25+0.j, 0.25+0.j, 0.25+0.j])
    """
    return xxz(size, coupling=coupling, anisotropy=1.0, periodic=periodic)


def xxz(
    size: Size, *, coupling: float = 1.0, anisotropy: float = 1.0, periodic: bool = False
) -> SparsePauliOp:
    """Build the XXZ model, J Σ (SxSx + SySy + Δ SzSz).

    Args:
        size: Number of sites of a chain, or (rows, columns) of a grid.
        coupling: J.
        anisotropy: Δ; 1 is the Heisenberg model.
        periodic: Whether to close the lattice in every direction with at least three sites.

    Returns:
        The operator, with real coefficients and one qubit per site.

    Raises:
        UsageError: If there are fewer than two sites, or a constant is not finite.

    Example:
        >>> from bondwise.qml import xxz
        >>> xxz(2, anisotropy=0.5).coeffs.real
        array([0.25 , 0.25 , 0.125])
    """
    exchange, longitudinal = coupling / 4, coupling * anisotropy / 4
    strengths = {"XX": exchange, "YY": exchange, "ZZ": longitudinal}
    return _operator(size, strengths, {}, periodic)


def ising(size: Size, *, coupling: float = 1.0, field: float = 1.0, periodic: bool = False) -> SparsePauliOp:
    """Build the Ising model in a transverse field, -J Σ ZZ - h Σ X.

    Args:
        size: Number of sites of a chain, or (rows, columns) of a grid.
        coupling: J; ferromagnetic for J > 0.
        field: h; the default makes the chain critical.
        periodic: Whether to close the lattice in every direction with at least three sites.

    Returns:
        The operator, with real coefficients and one qubit per site.

    Raises:
        UsageError: If there are fewer than two sites, or a constant is not finite.

    Example:
        >>> from bondwise.qml import ising
        >>> ising(3, field=0.5).paulis.to_labels()
        ['IZZ', 'ZZI', 'IIX', 'IXI', 'XII']
    """
    return _operator(size, {"ZZ": -coupling}, {"X": -field}, periodic)


MODELS = {"heisenberg": heisenberg, "ising": ising, "xxz": xxz}


def model_hamiltonian(name: str, size: Size | str, *, periodic: bool = False) -> SparsePauliOp:
    """Build a model by name, with its default constants.

    Args:
        name: `"heisenberg"`, `"ising"` or `"xxz"`.
        size: Number of sites of a chain or (rows, columns) of a grid, or text: `"12"`, `"3x4"`.
        periodic: Whether to close the lattice in every direction with at least three sites.

    Returns:
        The operator, with real coefficients and one qubit per site.

    Raises:
        UsageError: If the model is unknown, or the size is not that of a lattice.

    Example:
        >>> from bondwise.qml import model_hamiltonian
        >>> model_hamiltonian("heisenberg", "3x4").num_qubits
        12
    """
    if name.lower() not in MODELS:
        raise unknown_name("model", name, MODELS)
    return MODELS[name.lower()](lattice_size(size), periodic=periodic)


def lattice_size(size: Size | str) -> Size:
    """Check the size of a lattice.

    Args:
        size: Number of sites of a chain or (rows, columns) of a grid, or text: `"12"`, `"3x4"`.

    Returns:
        An int for a chain, (rows, columns) for a grid.

    Raises:
        UsageError: If the size is not that of a lattice with at least two sites.

    Example:
        >>> from bondwise.qml import lattice_size
        >>> lattice_size("12"), lattice_size("3x4")
        (12, (3, 4))
    """
    wrong = UsageError(
        f"size {size!r} is not a lattice; give the sites of a chain, two or more, such as 8, or rows and "
        "columns, such as 3x4."
    )
    if isinstance(size, str):
        if not re.fullmatch(r"\s*\d+\s*(x\s*\d+\s*)?", size):
            raise wrong
        parts = [int(part) for part in size.split("x")]
    else:
        parts = list(size) if isinstance(size, tuple | list) else [size]
    try:
        lengths = [whole_number("size", part) for part in parts]
    except UsageError:
        raise wrong from None
    if len(lengths) not in (1, 2) or math.prod(lengths) < 2:
        raise wrong
    return lengths[0] if len(lengths) == 1 else (lengths[0], lengths[1])


def lattice_edges(size: Size, *, periodic: bool = False) -> list[tuple[int, int]]:
    """List the pairs of neighboring sites.

    Sites of a grid are numbered by a snake along its shorter side, as shown in the module's docstring.

    Args:
        size: Number of sites of a chain, or (rows, columns) of a grid.
        periodic: Whether to close every direction with at least three sites; two sites have one bond, not
            two.

    Returns:
        Each pair once, as (smaller, larger), sorted.

    Raises:
        UsageError: If the size is not that of a lattice with at least two sites.

    Example:
        >>> from bondwise.qml import lattice_edges
        >>> lattice_edges((2, 3))
        [(0, 1), (0, 3), (1, 2), (2, 3), (2, 5), (3, 4), (4, 5)]
    """
    size = lattice_size(size)
    short, long = (1, size) if isinstance(size, int) else sorted(size)
    sites = [
        [col * short + (row if col % 2 == 0 else short - 1 - row) for row in range(short)]
        for col in range(long)
    ]
    edges = set()
    for col in range(long):
        for row in range(short):
            if row + 1 < short or (periodic and short > 2):
                edges.add((sites[col][row], sites[col][(row + 1) % short]))
            if col + 1 < long or (periodic and long > 2):
                edges.add((sites[col][row], sites[(col + 1) % long][row]))
    return sorted((min(edge), max(edge)) for edge in edges)


def _operator(
    size: Size, on_edges: dict[str, float], on_sites: dict[str, float], periodic: bool
) -> SparsePauliOp:
    for strength in (*on_edges.values(), *on_sites.values()):
        if not math.isfinite(strength):
            raise UsageError(f"the constants of a model must be finite numbers; they give {strength}.")
    size = lattice_size(size)
    num_sites = size if isinstance(size, int) else math.prod(size)
    edges = lattice_edges(size, periodic=periodic)
    terms = [(pauli, list(edge), strength) for edge in edges for pauli, strength in on_edges.items()]
    terms += [(pauli, [site], strength) for site in range(num_sites) for pauli, strength in on_sites.items()]
    return SparsePauliOp.from_sparse_list(terms, num_qubits=num_sites)
