"""The arguments and flags that the commands for compression share, and how they are read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from bondwise.cli.documents.settings import keep_settings
from bondwise.cli.model_files import digest_of, model_digest
from bondwise.runs import RunFolder, Stopped, UsageError, real_number

SEQUENCES = 192  # that a model is calibrated with
_BUDGETS = ({"params"}, {"bytes"}, {"flops"}, {"latency_ms", "batch"})

ModelFolder = Annotated[
    Path,
    typer.Argument(
        help="Folder with a language model as safetensors, as save_pretrained writes it.", metavar="MODEL_DIR"
    ),
]
Calibration = Annotated[
    Path,
    typer.Option(
        "--calibration",
        help="Text that the model is meant for, or token ids (.npy). Nothing is sent anywhere.",
        metavar="FILE",
    ),
]
Formats = Annotated[
    str | None,
    typer.Option(
        "--formats", help="Formats to choose from, with commas, such as lowrank,btt.", metavar="LIST"
    ),
]
Skip = Annotated[
    list[str] | None,
    typer.Option("--skip", help="Layers that stay dense, such as '*.o_proj'; may be given again."),
]


@contextmanager
def run_folder(out: Path, *inputs: Path, overwrite: bool, resume: bool) -> Iterator[RunFolder]:
    """The folder of a run that may be stopped and continued.

    Raises:
        UsageError: If what the run reads would be replaced.
        Stopped: After Ctrl-C.
    """
    for path in inputs:
        if overwrite and path.resolve().is_relative_to(out.resolve()):
            raise UsageError(
                f"{path} is in {out}, which --overwrite replaces; move it, or give another --out."
            )
    try:
        with RunFolder(out, overwrite=overwrite, resume=resume) as folder:
            yield folder
    except KeyboardInterrupt:
        raise Stopped(f"stopped; the same command with --resume continues from what is in {out}.") from None


def keep_run(
    folder: RunFolder, settings: dict[str, Any], resume: bool, command: str, model: Path, calibration: Path
) -> str:
    """Keep the settings of a run, with checksums of its files, which are added to them; its fingerprint.

    Raises:
        UsageError: If an earlier run that is resumed had others.
    """
    settings |= {"model_content": model_digest(model), "content": digest_of(calibration)}
    return keep_settings(
        folder,
        settings,
        resume,
        command=command,
        flags={"model": "MODEL_DIR"},
        contents={"model_content": "MODEL_DIR", "content": "--calibration"},
    )


def listed(text: str | None) -> list[str] | None:
    """The words between commas."""
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


def budget_of(text: str) -> float | dict[str, float]:
    """A budget as `compress` takes it.

    Args:
        text: A number such as 0.5, or names and numbers such as `params=1e6` or `latency_ms=20,batch=8`.
    """
    try:
        if "=" not in text:
            return real_number("budget", float(text), below=1)
        parts: dict[str, Any] = dict(part.split("=", 1) for part in text.split(","))  # type: ignore[misc]
        found = {name.strip(): _number(number) for name, number in parts.items()}
        if set(found) not in _BUDGETS:
            raise ValueError(f"unknown names {', '.join(found)}")
        return found
    except ValueError:
        raise UsageError(
            f"--budget {text} is not a budget; write a fraction above 0 and below 1 such as 0.5, params=1e6, "
            "bytes=4e5, flops=1e9 or latency_ms=20,batch=8."
        ) from None


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number
