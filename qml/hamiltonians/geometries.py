"""Positions of atoms: a few small molecules by name, and XYZ files and text."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable

from bondwise.runs import UsageError, is_file, read_text, real_number, unknown_name

Atoms = list[tuple[str, tuple[float, float, float]]]

_WATER = math.radians(104.5)  # the angle between the bonds of water

# Each molecule by the length of its bonds, and their default length near equilibrium.
_NAMED: dict[str, tuple[float, Callable[[float], Atoms]]] = {
    "h2": (0.735, lambda bond: [("H", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, bond))]),
    "lih": (1.6, lambda bond: [("Li", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, bond))]),
    "beh2": (
        1.33,
        lambda bond: [("Be", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, -bond)), ("H", (0.0, 0.0, bond))],
    ),
    "h2o": (
        0.958,
        lambda bond: [
            ("O", (0.0, 0.0, 0.0)),
            ("H", (0.0, 0.0, bond)),
            ("H", (0.0, bond * math.sin(_WATER), bond * math.cos(_WATER))),
        ],
    ),
    "n2": (1.098, lambda bond: [("N", (0.0, 0.0, 0.0)), ("N", (0.0, 0.0, bond))]),
}
MOLECULES = tuple(_NAMED)
_ELEMENTS = frozenset(
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr "
    "Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe".split()
)
_LARGEST = 1e3  # Å; a larger coordinate is in another unit, or a slip
_CLOSEST = 0.1  # Å; nearer atoms are the same one, written twice


def read_geometry(source: str | os.PathLike[str], bond: float | None = None) -> tuple[str, Atoms]:
    """Find the positions of the atoms of a molecule.

    Args:
        source: Name of a molecule, XYZ file, or the text of one. The two lines above the atoms, their number
            and a comment, may be left out of it; `;` ends the lines of a text without line breaks.
        bond: Length of the bonds of a named molecule in Å, by default near equilibrium.

    Returns:
        A name, and symbol and position in Å of each atom.

    Raises:
        UsageError: If the name is unknown, the file cannot be read, or a line is not an atom; the message
            names the line.
    """
    name = str(source)
    if name.lower() in _NAMED:
        length, build = _NAMED[name.lower()]
        if bond is not None:
            real_number("bond", bond)
        return name.lower(), build(_separate(float(bond or length)))
    if is_file(source):
        text, place = read_text(source), name
    elif re.search(r"[\n;]", name):
        text, place = name, "the XYZ text"
    else:
        raise unknown_name("molecule", name[:60], [*MOLECULES, "FILE (in XYZ format)"])
    if bond is not None:
        raise UsageError(f"bond is for named molecules; {place} holds all positions, so leave it out.")
    atoms = _atoms(text, place)
    return _formula(atoms), atoms


def _separate(bond: float) -> float:
    if not _CLOSEST <= bond <= _LARGEST:
        raise UsageError(f"bond is {bond:g}; give a length in Å, {_CLOSEST} to {_LARGEST:g}, such as 0.74.")
    return bond


def _atoms(text: str, place: str) -> Atoms:
    """The atoms in XYZ text, with or without the two lines above them."""
    lines = list(enumerate(text.split("\n" if "\n" in text else ";"), start=1))
    header = next((line.split() for _, line in lines if line.strip()), [])
    if not header:
        raise UsageError(f"{place} is empty; write a line for each atom, such as H 0 0 0.74.")
    expected = int(header[0]) if len(header) == 1 and re.fullmatch(r"[0-9]{1,6}", header[0]) else None
    if expected is not None:  # the number of atoms, and a comment
        above = next(number for number, line in lines if line.strip()) + 1
        lines = lines[above : above + expected]
    atoms: Atoms = []
    for number, line in lines:
        if line.strip():
            atoms.append(_atom(line.split(), f"{place}, line {number}"))
    if expected not in (None, len(atoms)):
        raise UsageError(f"{place} announces {expected} atoms and holds {len(atoms)}; correct one of them.")
    if not atoms:
        raise UsageError(f"{place} holds no atoms; write a line for each, such as H 0 0 0.74.")
    for index, (_, one) in enumerate(atoms):
        for other, (_, two) in enumerate(atoms[:index]):
            if math.dist(one, two) < _CLOSEST:
                raise UsageError(
                    f"{place}: atoms {other + 1} and {index + 1} are {math.dist(one, two):.2g} Å apart; "
                    f"give positions in Å that differ by {_CLOSEST} at least."
                )
    return atoms


def _atom(words: list[str], place: str) -> tuple[str, tuple[float, float, float]]:
    symbol = words[0].capitalize()
    if symbol not in _ELEMENTS:
        raise UsageError(f"{place}: {words[0][:20]!r} is not an element; write a symbol from H to Xe.")
    try:
        x, y, z = (float(word) for word in words[1:4])
    except ValueError:
        raise UsageError(
            f"{place}: {' '.join(words)[:40]!r} is not an atom; write its symbol and x, y and z in Å."
        ) from None
    if not all(abs(length) <= _LARGEST for length in (x, y, z)):
        raise UsageError(f"{place}: a coordinate is not a number from -{_LARGEST:g} to {_LARGEST:g} Å.")
    return symbol, (x, y, z)


def _formula(atoms: Atoms) -> str:
    symbols = [symbol for symbol, _ in atoms]
    counts = {symbol: symbols.count(symbol) for symbol in sorted(set(symbols))}
    return "".join(f"{symbol}{count if count > 1 else ''}" for symbol, count in counts.items())
