"""Proteins from files: sequences and, if the file has them, labels, accessions and splits.

Tables are CSV with a line of column names, or TSV as UniProt writes it; FASTA names its entries in headers
such as `>P12345 label=membrane split=train` or `>sp|P12345|AATM_RABIT ...`. The format of a file is
recognized by its first line, and gzip by its first bytes; its name does not matter.
`BONDWISE_MAX_PROTEIN_BYTES` and `BONDWISE_MAX_PROTEINS` limit the content of a file.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from bondwise.qml.protein.data.alphabet import standardize
from bondwise.qml.protein.data.fasta import fasta_rows
from bondwise.qml.protein.data.tables import table_rows
from bondwise.runs import UsageError, limit, require_within, unknown_name
from bondwise.runs.renames import renamed_keyword
from bondwise.runs.result import brief_html, brief_repr

_SPLITS = {"train": "train", "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid"}
_SPLITS["test"] = "test"
_COLUMNS = ("sequence", "label", "split", "accession", "entry")  # read in addition to those of `where`
_MAX_RESIDUES = 100_000  # the longest known protein has about 40,000
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # they could move a terminal's cursor


@dataclass(frozen=True)
class ProteinSet:
    """A set of N proteins.

    Attributes:
        sequences: Sequences in the 20 standard residues.
        labels: Class of every protein, or None.
        accessions: Name of every protein, or None.
        splits: "train", "valid" or "test" for every protein; None if they are not split.
        synthetic: Whether `synthetic_proteins` made them.
        classes: Distinct labels, sorted; empty without labels.

    Raises:
        UsageError: If the number of labels, accessions or splits is not N.

    Example:
        >>> from bondwise.qml.protein import ProteinSet
        >>> proteins = ProteinSet(("MKT", "LIV"), labels=("a", "b"), splits=("train", "test"))
        >>> print(proteins)
        2 proteins: train 1 (a: 1); test 1 (b: 1)
        >>> proteins.select("test").sequences
        ('LIV',)
    """

    sequences: tuple[str, ...]
    labels: tuple[str, ...] | None = None
    accessions: tuple[str, ...] | None = None
    splits: tuple[str, ...] | None = None
    synthetic: bool = False

    __repr__ = brief_repr
    _repr_html_ = brief_html

    def __post_init__(self) -> None:
        for name in ("labels", "accessions", "splits"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self):
                raise UsageError(f"{len(values)} {name} for {len(self)} sequences; give one for each.")

    def __len__(self) -> int:
        return len(self.sequences)

    @property
    def classes(self) -> tuple[str, ...]:
        """Distinct labels, sorted; empty without labels."""
        return tuple(sorted(set(self.labels or ())))

    def select(self, split: str) -> ProteinSet:
        """The proteins of one split.

        Args:
            split: "train", "valid" (also "validation", "val", "dev") or "test".

        Raises:
            UsageError: If the split is unknown or has no proteins, or the proteins are not split.
        """
        if split not in _SPLITS:
            raise unknown_name("split", str(split), _SPLITS)
        if self.splits is None:
            raise UsageError("these proteins are not split; split them with homology_split.")
        chosen = [index for index, name in enumerate(self.splits) if name == _SPLITS[split]]
        if not chosen:
            raise UsageError(f"no protein is in split {split!r}; there are {sorted(set(self.splits))}.")

        return self.take(chosen)

    def take(self, indices: Sequence[int]) -> ProteinSet:
        """The proteins with these indices, counted from 0, in this order."""

        def of(values: tuple[str, ...] | None) -> tuple[str, ...] | None:
            return None if values is None else tuple(values[index] for index in indices)

        sequences = tuple(self.sequences[index] for index in indices)
        return ProteinSet(sequences, of(self.labels), of(self.accessions), of(self.splits), self.synthetic)

    def __str__(self) -> str:
        kind = "SYNTHETIC proteins" if self.synthetic else "proteins"
        held = [name for name in dict.fromkeys(_SPLITS.values()) if name in (self.splits or ())]
        parts = []
        for split in held or [""]:
            of = self.select(split) if split else self
            counts = ", ".join(f"{label}: {n:,}" for label, n in sorted(Counter(of.labels or ()).items()))
            parts.append(f"{split} {len(of):,} ({counts})" if counts else f"{split} {len(of):,}")
        shown = "; ".join(parts).strip() if self.splits or self.labels else "no labels, no splits"
        return f"{len(self):,} {kind}: {shown}"


@renamed_keyword("labelled", "labeled")
def read_proteins(
    path: str | os.PathLike[str],
    *,
    where: Mapping[str, str] | None = None,
    min_length: int | None = None,
    max_length: int | None = None,
    labeled: bool = True,
) -> ProteinSet:
    """Read proteins from CSV, TSV or FASTA, gzipped or not.

    Tables need a column `sequence`; the columns `label`, `split` and `accession` (or UniProt's `Entry`) are
    read if they exist. Case does not matter, and other columns are used by `where` only. An
    apostrophe before `=`, `+`, `-` or `@`, which marks a cell as text in a spreadsheet, is removed. In FASTA,
    the accession is the first word of the header, or its second field in `sp|P12345|NAME`, `tr|…` and
    `ref|…`; `label=`, `split=` and any other `key=` extend to the next key. Lines end with \\n, \\r\\n or
    \\r. Splits are train, valid (or validation, val, dev) and test. Sequences are standardized. Proteins with
    the same accession, label, sequence and split are kept once.

    Args:
        path: File to read.
        where: Required value of a column, such as `{"primary": "1"}`; other rows are skipped.
        min_length: Minimum number of residues, after standardizing; shorter proteins are left out.
        max_length: Maximum number of residues; longer proteins are left out. None accepts up to 100,000 and
            raises an error beyond.
        labeled: Whether labels of at least two classes are required. With False, proteins are read for
            prediction, and their labels are None unless all of them have one.

    Returns:
        The proteins in the order of the file.

    Raises:
        UsageError: If the file cannot be read or exceeds a limit, two columns have the same meaning, no
            protein remains, or a row is invalid; the message names its place. A protein with two labels is
            invalid, and so is a sequence in two splits, because a test on training data is worthless.

    Example:
        >>> from pathlib import Path
        >>> from bondwise.qml.protein import read_proteins
        >>> size = Path("p.csv").write_text("sequence,label\\nMKTAYIAK,soluble\\nLLVVIIAA,membrane\\n")
        >>> print(read_proteins("p.csv"))
        2 proteins: 2 (membrane: 1, soluble: 1)
    """
    path = Path(path)
    wanted = {column.lower(): str(value) for column, value in (where or {}).items()}
    longest = max(_MAX_RESIDUES, max_length or 0)
    columns: dict[str, str] = {}
    found: dict[tuple[str, str, str, str], None] = {}
    label_of: dict[str, str] = {}
    split_of: dict[str, str] = {}
    total = 0
    for place, row in _rows(path, longest, {*_COLUMNS, *wanted}):
        total += 1
        columns.update(dict.fromkeys(row, ""))
        if any(row.get(column) != value for column, value in wanted.items()):
            continue
        accession, label = row.get("accession", row.get("entry", "")), row.get("label", "")
        for name, value in (("accession", accession), ("label", label)):
            if strange := _CONTROL.search(value):
                raise UsageError(
                    f"{place}: the {name} holds the control character {strange[0]!r}; remove it."
                )
        place += f" ({accession[:40]})" if accession else ""
        if len(row["sequence"]) > longest:
            if max_length:
                continue
            raise UsageError(
                f"{place}: more than {longest:,} residues; give max_length (--max-length) to leave such "
                "proteins out, or a larger one to accept them."
            )
        try:
            sequence = standardize(row["sequence"])
        except UsageError as error:
            raise UsageError(f"{place}: {error}") from None
        if not (min_length or 0) <= len(sequence) <= (max_length or len(sequence)):
            continue
        if labeled and not label:
            raise UsageError(
                f"{place} has no label; training needs a column 'label', in FASTA headers label=membrane."
            )
        split = _split(place, row.get("split", ""))
        if accession and label and label_of.setdefault(accession, label) != label:
            before = label_of[accession]
            raise UsageError(f"{place} is labeled {label[:40]!r} here and {before[:40]!r} earlier; keep one.")
        if split_of.setdefault(sequence, split) != split:
            raise UsageError(
                f"{place}: the same sequence is in split {split_of[sequence] or 'none'!r} and in "
                f"{split or 'none'!r}; keep it in one, or drop the column and use homology_split."
            )
        if found and bool(accession) != bool(next(iter(found))[0]):
            raise UsageError(
                f"{place} has {'an' if accession else 'no'} accession, unlike those before it; give every "
                "protein one, or none."
            )
        found[accession, label, sequence, split] = None
        require_within("proteins", len(found), path)
    for column in wanted:
        if total and column not in columns:
            raise unknown_name("column", column, columns)
    if not found:
        if not total:
            raise UsageError(f"{path} has no protein below its header; write one protein per line.")
        raise UsageError(
            f"{path}: none of its {total} proteins has the requested values and length; widen where, "
            "min_length and max_length."
        )
    proteins = ProteinSet(
        sequences=tuple(sequence for _, _, sequence, _ in found),
        labels=_complete(label for _, label, _, _ in found),
        accessions=_complete(accession for accession, _, _, _ in found),
        splits=_complete(split for _, _, _, split in found),
    )
    if proteins.splits is None and any(split for _, _, _, split in found):
        raise UsageError(f"{path}: some proteins have a split and some have none; give all or none a split.")
    if labeled and len(proteins.classes) < 2:
        raise UsageError(
            f"{path} has only the label {proteins.classes[0][:40]!r}; training needs two classes."
        )
    return proteins


def _complete(values: Iterator[str]) -> tuple[str, ...] | None:
    held = tuple(values)
    return held if all(held) else None


def _split(place: str, name: str) -> str:
    if name and name.lower() not in _SPLITS:
        raise UsageError(f"{place}: {unknown_name('split', name[:40], _SPLITS)}")
    return _SPLITS[name.lower()] if name else ""


def _rows(path: Path, longest: int, unique: set[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the place, for errors, and the values of every protein in a file of any format."""
    lines = enumerate(_lines(path), 1)
    for number, first in lines:
        if first.strip():
            rest = chain([(number, first)], lines)
            if first.lstrip().startswith(">"):
                return fasta_rows(path, rest, longest=longest, unique=unique)
            return table_rows(path, rest, unique=unique)
    raise UsageError(f"{path} is empty; give a CSV with columns sequence and label, or a FASTA file.")


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a text file, gzipped or not; only \\n, \\r\\n and \\r end a line."""
    most, total = limit("text_bytes"), 0
    try:
        with path.open("rb") as file:
            packed = file.peek(2)[:2] == b"\x1f\x8b"
            content: Any = gzip.GzipFile(fileobj=file) if packed else file
            if file.seekable():
                require_within("protein_bytes", _size(content), path)
            text = io.TextIOWrapper(content, encoding="utf-8-sig", newline="")
            for number in count(1):
                line = text.readline(most + 1)
                if not line:
                    return
                total += len(line)
                require_within("text_bytes", len(line), f"{path}, line {number}")
                require_within("protein_bytes", total, path)
                yield line
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text; save it as CSV, TSV or FASTA in UTF-8.") from None
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise UsageError(
            f"{path} is truncated or damaged: its gzip stream ends early; copy it again."
        ) from None
    except OSError as error:
        raise UsageError(f"cannot read proteins from {path}: {error.strerror}.") from None


def _size(content: Any) -> int:
    """Number of unpacked bytes of a file, counted until just above the limit."""
    if not isinstance(content, gzip.GzipFile):
        return int(content.seek(0, io.SEEK_END) + content.seek(0))
    size, most = 0, limit("protein_bytes")
    while size <= most and (piece := content.read(1 << 20)):
        size += len(piece)
    content.seek(0)
    return size
