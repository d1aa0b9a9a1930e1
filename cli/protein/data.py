"""The proteins of a command, from a file or synthetic, as training, validation and test sets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bondwise.qml import protein
from bondwise.runs import UsageError

if TYPE_CHECKING:
    from bondwise.qml.protein import ProteinSet

Data = Annotated[
    Path | None,
    typer.Argument(
        help="CSV or TSV with columns sequence and label, or FASTA; also .gz. SYNTHETIC proteins by default.",
        metavar="[DATA]",
        show_default=False,
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where", help="Only rows whose column has this value; repeatable.", metavar="COLUMN=VALUE"
    ),
]
MinLength = Annotated[
    int | None, typer.Option("--min-length", min=1, help="Only proteins with at least this many residues.")
]
MaxLength = Annotated[
    int | None, typer.Option("--max-length", min=1, help="Only proteins with at most this many residues.")
]

SYNTHETIC = "SYNTHETIC"
_SYNTHETIC_SIZE = 2000
_SETS = ("train", "valid", "test")


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Labeled proteins in three sets.

    Attributes:
        name: Name in tables and reports; it begins with SYNTHETIC for synthetic proteins.
        train: Training set.
        valid: Validation set; None if the file has none.
        test: Test set.
        synthetic: Whether the proteins are synthetic.
        note: A sentence on the origin of the splits.
    """

    name: str
    train: ProteinSet
    valid: ProteinSet | None
    test: ProteinSet
    synthetic: bool
    note: str

    @property
    def validation(self) -> tuple[Any, Any] | None:
        """The argument `validation` of `fit`."""
        return None if self.valid is None else (self.valid.sequences, labels_of(self.valid))

    @property
    def sizes(self) -> str:
        """A sentence on the sizes of the sets."""
        valid = 0 if self.valid is None else len(self.valid.sequences)
        return (
            f"{len(self.train.sequences):,} proteins to train on, {valid:,} to choose the epoch by, "
            f"{len(self.test.sequences):,} to test on"
        )

    def facts(self) -> dict[str, Any]:
        """Entries about the data in `result.json`."""
        sets = {"train": self.train, "valid": self.valid, "test": self.test}
        return {
            "name": self.name,
            "synthetic": self.synthetic,
            "splits": self.note,
            "sizes": {name: 0 if part is None else len(part.sequences) for name, part in sets.items()},
        }


def labels_of(proteins: ProteinSet) -> tuple[str, ...]:
    """The labels of labeled proteins."""
    assert proteins.labels is not None
    return proteins.labels


def conditions(where: list[str] | None) -> dict[str, str]:
    """The values of `--where` flags by column.

    Raises:
        UsageError: If a flag is not COLUMN=VALUE, or a column is given twice.
    """
    found: dict[str, str] = {}
    for text in where or []:
        column, sign, value = text.partition("=")
        if not (sign and column):
            raise UsageError(f"--where {text} is not a condition; write COLUMN=VALUE, such as primary=1.")
        if column in found:
            raise UsageError(f"--where gives {column} twice; give it once.")
        found[column] = value
    return found


def read_splits(
    data: Path | None,
    *,
    where: list[str] | None,
    min_length: int | None,
    max_length: int | None,
    seed: int,
    progress: bool,
) -> Splits:
    """Read labeled proteins, or make synthetic ones, and split them.

    The splits are those of the file or, if it has none, those of `homology_split`.

    Args:
        data: File with proteins; None for synthetic proteins.
        where: `--where` flags.
        min_length: Minimum number of residues, or None.
        max_length: Maximum number of residues, or None.
        seed: Random seed for synthetic proteins and for splits.
        progress: Whether to show progress bars.

    Raises:
        UsageError: If the file cannot be used, a set is empty, or a class of valid or test is not in train.
    """
    asked = conditions(where)
    if data is None:
        if asked or min_length or max_length:
            raise UsageError(
                "--where, --min-length and --max-length are for proteins from a file; give DATA."
            )
        proteins = protein.synthetic_proteins(_SYNTHETIC_SIZE, seed=seed)
        name = f"{SYNTHETIC} proteins"
    else:
        proteins = protein.read_proteins(
            data, where=asked, min_length=min_length, max_length=max_length, labeled=True
        )
        name = data.name
    if proteins.synthetic and SYNTHETIC not in name:
        name = f"{SYNTHETIC} proteins of {name}"
    note = f"splits: those of {name}."
    if proteins.splits is None:
        note = (
            "splits: by homology; families of homologues found at 30 % identity stay together, "
            "as do equal sequences, but remote homologues may be separated."
        )
        proteins = _split(proteins, seed, progress)
    found = set(proteins.splits or ())
    sets = {split: proteins.select(split) for split in _SETS if split in found}
    for needed in ("train", "test"):
        if needed not in sets:
            raise UsageError(
                f"{name} has no row with split {needed!r} (only {', '.join(sorted(found))}); "
                "write train, valid or test in each row, or leave out the column."
            )
    known = set(labels_of(sets["train"]))
    for split, part in sets.items():
        for label in labels_of(part):
            if label not in known:
                raise UsageError(
                    f"label {label!r} of the {split} set is not in the training set; "
                    "add such proteins to train or leave them out."
                )
    if len(known) < 2:
        raise UsageError(
            f"the training set of {name} has a single class ({known.pop()!r}); give two or more."
        )
    if "valid" not in sets:
        note += " There is no validation set, so the last epoch is kept."
    return Splits(
        name=name,
        train=sets["train"],
        valid=sets.get("valid"),
        test=sets["test"],
        synthetic=proteins.synthetic,
        note=note,
    )


def _split(proteins: ProteinSet, seed: int, progress: bool) -> ProteinSet:
    from dataclasses import replace

    splits = protein.homology_split(proteins.sequences, labels_of(proteins), seed=seed, progress=progress)
    return replace(proteins, splits=splits)
