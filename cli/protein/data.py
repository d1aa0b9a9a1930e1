"""The proteins a command works on, of a file or synthetic, in training, validation and test set."""

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
        help="CSV or TSV with columns sequence and label, or FASTA; .gz too. SYNTHETIC proteins if left out.",
        metavar="[DATA]",
        show_default=False,
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where", help="Only rows whose column has this value; may be repeated.", metavar="COLUMN=VALUE"
    ),
]
MinLength = Annotated[
    int | None, typer.Option("--min-length", min=1, help="Only proteins of at least so many residues.")
]
MaxLength = Annotated[
    int | None, typer.Option("--max-length", min=1, help="Only proteins of at most so many residues.")
]

SYNTHETIC = "SYNTHETIC"
_SYNTHETIC_SIZE = 2000
_SETS = ("train", "valid", "test")


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Labelled proteins in three sets.

    Attributes:
        name: What tables and reports call them; begins with SYNTHETIC where they are.
        train: Training set.
        valid: Validation set; None where a file has none.
        test: Test set.
        synthetic: Whether they were made up.
        note: A sentence on where the splits come from.
    """

    name: str
    train: ProteinSet
    valid: ProteinSet | None
    test: ProteinSet
    synthetic: bool
    note: str

    @property
    def validation(self) -> tuple[Any, Any] | None:
        """What `fit` takes as `validation`."""
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
        """What `result.json` says about the data."""
        sets = {"train": self.train, "valid": self.valid, "test": self.test}
        return {
            "name": self.name,
            "synthetic": self.synthetic,
            "splits": self.note,
            "sizes": {name: 0 if part is None else len(part.sequences) for name, part in sets.items()},
        }


def labels_of(proteins: ProteinSet) -> tuple[str, ...]:
    """The labels of proteins that all have one."""
    assert proteins.labels is not None
    return proteins.labels


def conditions(where: list[str] | None) -> dict[str, str]:
    """The column → value of `--where` flags.

    Raises:
        UsageError: One is not COLUMN=VALUE, or a column is given twice.
    """
    found: dict[str, str] = {}
    for text in where or []:
        column, sign, value = text.partition("=")
        if not (sign and column):
            raise UsageError(f"--where {text} is no condition; write it as COLUMN=VALUE, such as primary=1.")
        if column in found:
            raise UsageError(f"--where gives {column} twice; only one value can be asked for.")
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
    """Read labelled proteins, or make synthetic ones, and part them.

    The splits are those of the file; where it has none, they are made by `homology_split`.

    Args:
        data: The file; None makes synthetic proteins.
        where: `--where` flags.
        min_length: Residues; None for any.
        max_length: Residues; None for any.
        seed: Of synthetic proteins and of splits that are made here.
        progress: Show bars.

    Raises:
        UsageError: The file cannot be used, a set is empty, or a class of valid or test is not in train.
    """
    asked = conditions(where)
    if data is None:
        if asked or min_length or max_length:
            raise UsageError("--where, --min-length and --max-length choose from DATA; give a file.")
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
            "splits: made here, families of homologues that a search finds at 30 % identity kept together; "
            "equal sequences are never parted, remote homologues may be."
        )
        proteins = _split(proteins, seed, progress)
    found = set(proteins.splits or ())
    sets = {split: proteins.select(split) for split in _SETS if split in found}
    for needed in ("train", "test"):
        if needed not in sets:
            raise UsageError(
                f"{name} has no row with split {needed!r} (but {', '.join(sorted(found))}); "
                "mark the rows train, valid and test, or leave out the column."
            )
    known = set(labels_of(sets["train"]))
    for split, part in sets.items():
        for label in labels_of(part):
            if label not in known:
                raise UsageError(
                    f"label {label!r} of the {split} set is not in the training set; "
                    "a classifier cannot learn it. Add such proteins to train or leave them out."
                )
    if len(known) < 2:
        raise UsageError(
            f"the training set of {name} holds one class only ({known.pop()!r}); give two or more."
        )
    if "valid" not in sets:
        note += " There is no validation set: the last epoch is kept."
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
