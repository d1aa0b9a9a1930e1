"""The two kinds of error. Their messages are one line: the value, what is accepted, what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageError(ValueError):
    """Something was asked for that cannot be done as written. The command line exits with 2."""


class RunError(RuntimeError):
    """What was rightly asked for failed on the way (disk, device). The command line exits with 1."""


class Stopped(RunError):  # noqa: N818 (not an error)
    """A run was stopped by Ctrl-C; the message says how to go on. The command line exits with 130."""


def unknown_name(what: str, given: str, known: Iterable[str]) -> UsageError:
    """The error for a name that is not on a list, with the nearest name that is.

    Args:
        what: What the name stands for, such as `"backend"`.
        given: The name that was passed.
        known: All accepted names; at most a dozen are shown.

    Returns:
        The error, to be raised by the caller.
    """
    names = sorted(known)
    lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(given.lower(), lower, n=1, cutoff=0.5)
    hint = f" Did you mean {lower[near[0]]!r}?" if near else ""
    shown = ", ".join(names[:12]) + (f", … ({len(names)} in all)" if len(names) > 12 else "")
    return UsageError(f"unknown {what} {given!r}.{hint} Known: {shown}.")
