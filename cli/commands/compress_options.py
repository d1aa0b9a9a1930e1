"""The arguments and flags that the commands for compression share, and how they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bondwise.runs import UsageError, real_number

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
            f"--budget {text} is not a budget; write a fraction below 1 such as 0.5, params=1e6, bytes=4e5, "
            "flops=1e9 or latency_ms=20,batch=8."
        ) from None


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number
