"""Calls to a service that must not hang: the client waits for an answer without limit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar, cast

from bondwise.runs import RunError

T = TypeVar("T")

DEADLINE = 300.0  # seconds; the client repeats a refused request within them


def within(call: Callable[[], T], what: str, seconds: float | None = None) -> T:
    """Call a function and wait for it, at most for a time.

    Args:
        call: The function; if it does not return in time, it goes on in a thread whose result is dropped.
        what: What is called, for the message.
        seconds: How long to wait; five minutes by default.

    Raises:
        RunError: If there is no answer in time.
    """
    seconds = DEADLINE if seconds is None else seconds
    outcome: list[tuple[T | None, BaseException | None]] = []

    def work() -> None:
        try:
            outcome.append((call(), None))
        except BaseException as error:  # raised again where it is waited for
            outcome.append((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise RunError(f"{what} has not answered for {seconds:.0f} s; try again later.")
    result, error = outcome[0]
    if error is not None:
        raise error
    return cast(T, result)
