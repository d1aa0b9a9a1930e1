"""FASTA: a header that starts with `>`, then the sequence on any number of lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from bondwise.runs import UsageError

_NAME = re.compile(r"[^\s\x00-\x1f\x7f]*")  # NCBI joins the headers of equal proteins with \x01
_KEY = re.compile(r"(?<!\S)(\w+)=")
_BARRED = ("sp", "tr", "ref")  # UniProt and RefSeq: the accession is the second field between bars
_MAX_HEADER = 1_000_000


def fasta_rows(
    path: Path, lines: Iterable[tuple[int, str]], *, longest: int, unique: Iterable[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the entries of a FASTA file.

    The accession is the first word of the header, or its second field in `sp|P12345|NAME`, `tr|…` and
    `ref|…`. The value of a `key=` at the beginning of a word extends to the next key.

    Args:
        path: Path for error messages.
        lines: Numbers and texts of the lines, from the first header on.
        longest: Maximum number of letters of a sequence; longer ones are cut to `longest` + 1.
        unique: Keys that a header may have only once.

    Yields:
        The place of an entry, and its values by key in lower case, including `accession` and `sequence`.

    Raises:
        UsageError: If a header has a key of `unique` twice, or more than a million letters.
    """
    place, length = "", 0
    values: dict[str, str] = {}
    parts: list[str] = []
    for number, line in chain(lines, [(0, ">")]):
        text = line.strip()
        if not text.startswith(">"):
            if length <= longest:
                parts.append(text)
                length += len(text)
            continue
        if place:
            yield place, values | {"sequence": "".join(parts)[: longest + 1]}
        if number:  # not the extra header that ends the last entry
            place = f"{path}, line {number}"
            values, parts, length = _header(text[1:].strip(), place, unique), [], 0


def _header(header: str, place: str, unique: Iterable[str]) -> dict[str, str]:
    if len(header) > _MAX_HEADER:
        raise UsageError(
            f"{place}: the header has {len(header):,} letters; at most {_MAX_HEADER:,} are accepted."
        )
    match = _NAME.match(header)
    name = match[0] if match else ""
    bars = name.split("|")
    accession = bars[1] if bars[0] in _BARRED and len(bars) > 1 and bars[1] else name
    rest = header[len(name) :]
    keys = list(_KEY.finditer(rest))
    ends = [key.start() for key in keys[1:]] + [len(rest)]
    values: dict[str, str] = {}
    for key, end in zip(keys, ends, strict=False):
        text = key[1].lower()
        if text in values and text in unique:
            raise UsageError(f"{place} ({accession[:40]}): the header has {text}= twice; keep one.")
        values[text] = rest[key.end() : end].strip()
    return values | {"accession": accession}
