"""The keys that every result file begins with: schema, versions, command and settings."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

SCHEMA = 2
_NOT_SETTINGS = ("out", "overwrite", "resume", "json", "quiet")
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
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in flags.items()
        if name not in _NOT_SETTINGS
    }


def envelope(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The first keys of a result: `schema`, `versions`, `command` and `settings`."""
    return {
        "schema": SCHEMA,
        "versions": {name: version(name) for name in _PACKAGES},
        "command": shlex.join(["bondwise", *sys.argv[1:]]),
        "settings": dict(settings),
    }
