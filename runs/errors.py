"""The error types. Each message is one line with the value, what is accepted, and what to write instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class UsageError(ValueError):
    """A request that cannot be fulfilled as written; the command line exits with 2.

    Example:
        >>> from bondwise.runs import UsageError
        >>> issubclass(UsageError, ValueError)
        True
    """


class RunError(RuntimeError):
    """A failure of a correct request, such as a full disk or a lost device; the command line exits with 1.

    Example:
        >>> from bondwise.runs import RunError
        >>> issubclass(RunError, RuntimeError)
        True
    """


class Stopped(RunError):  # noqa: N818 (not an error)
    """A run stopped by Ctrl-C; the message says how to continue, and the command line exits with 130.

    Example:
        >>> from bondwise.runs import RunError, Stopped
        >>> issubclass(Stopped, RunError)
        True
    """


def unknown_name(what: str, given: object, known: Iterable[str], *, meant: str | None = None) -> UsageError:
    """Build the error for an unknown name, suggesting the most similar known one.

    Args:
        what: What the name stands for, such as "backend".
        given: Name that was passed.
        known: All accepted names, of which at most a dozen are shown.
        meant: Name to suggest; by default a known one that begins as the given one does, or looks like it.

    Returns:
        The error, for the caller to raise.

    Example:
        >>> from bondwise.runs import unknown_name
        >>> print(unknown_name("optimizer", "adma", ["adam", "spsa"]))
        unknown optimizer 'adma'. Did you mean 'adam'? Known: adam, spsa.
    """
    names = sorted(known, key=_natural)
    lower, text = {name.lower(): name for name in names}, str(given).lower()
    kind = text[: text.find(":") + 1]
    if kind and all(name.startswith(kind) for name in lower):  # all are "fake:…", which says nothing
        lower = {name.removeprefix(kind): full for name, full in lower.items()}
        text = text.removeprefix(kind)
    near = [name for name in lower if len(text) > 1 and name.startswith(text)]
    near += difflib.get_close_matches(text, lower, n=1, cutoff=0.6)
    meant = meant or (lower[near[0]] if near else None)
    hint = f" Did you mean {meant!r}?" if meant else ""
    shown = ", ".join(names[:12]) + (f", … ({len(names)} in all)" if len(names) > 12 else "")
    return UsageError(f"unknown {what} {given!r}.{hint} Known: {shown}.")


def _natural(name: str) -> list[tuple[int, str]]:
    """The key of an order in which x[2] comes before x[10]."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), "") if index % 2 else (-1, part) for index, part in enumerate(parts)]
