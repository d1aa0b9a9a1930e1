"""The keys that every result file begins with: schema, versions, command and settings."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

SCHEMA = 2
_NOT_SETTINGS = (
    *("out", "overwrite", "resume", "json", "quiet"),
    *("no_wait", "dry_run", "yes", "max_qpu_seconds"),
)
_PACKAGES = (  # those that can change a number
    "bondwise",
    "torch",
    "qiskit",
    "qiskit-aer",
    "qiskit-ibm-runtime",
    "pennylane",
    "quimb",
    "numpy",
    "scipy",
)


def settings_of(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a command that affect its result, as JSON types.

    Args:
        flags: `locals()` at the beginning of the command.
    """
    settings = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in flags.items()
        if name not in _NOT_SETTINGS
    }
    if "size" in settings:
        settings["size"] = size_setting(settings["size"])
    return settings


def size_setting(size: str | None) -> int | list[int] | str | None:
    """The size of a lattice as JSON: 12, or [3, 4] for 3x4; text that is no size is returned as it is."""
    if size is None or not re.fullmatch(r"\s*\d+\s*(x\s*\d+\s*)?", size, re.ASCII):
        return size
    lengths = [int(length) for length in size.split("x")]
    return lengths[0] if len(lengths) == 1 else lengths


def flag_text(setting: Any) -> Any:
    """A setting as its flag takes it: the size of a lattice as text again, such as 3x4."""
    if isinstance(setting, list) and setting and all(isinstance(length, int) for length in setting):
        return "x".join(map(str, setting))
    return setting


def envelope(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The first keys of a result: `schema`, `versions`, `command` and `settings`."""
    return {
        "schema": SCHEMA,
        "versions": {name: version(name) for name in _PACKAGES},
        "command": shlex.join(["bondwise", *sys.argv[1:]]),
        "settings": dict(settings),
    }
