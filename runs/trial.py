"""Risky work, tried in a child process first.

Parsers written in Rust may panic, which prints to the terminal, or abort; others take days for a file of a
few hundred bytes. A forked child process with limits on time and memory tries the work first, which costs
about 20 ms.
"""

from __future__ import annotations

import os
import resource
import signal
import warnings
from collections.abc import Callable
from typing import NoReturn

from bondwise.runs.errors import UsageError
from bondwise.runs.limits import limit
from bondwise.runs.reading import one_line


def try_apart(work: Callable[[], object], *, name: str, size: int = 0) -> None:
    """Call a function in a child process and discard what it returns.

    Args:
        work: The function; it must not depend on threads.
        name: Start of the message, usually the path of a file.
        size: Size of the file in bytes; every 20,000 bytes allow one more second.

    Raises:
        UsageError: If the function raised, with the message of its error in one line; or if it crashed or
            exceeded the limit "read_seconds" or "read_bytes"; see `limit`.

    Example:
        >>> from bondwise.runs import try_apart
        >>> try_apart(lambda: 1 / 0, name="ansatz.qasm")
        Traceback (most recent call last):
        bondwise.runs.errors.UsageError: ansatz.qasm cannot be read: division by zero.
    """
    seconds = limit("read_seconds") + size // 20_000
    receiving, sending = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some libraries warn about forks; this child starts no threads
        child = os.fork()
    if child == 0:
        _child(work, sending, seconds, limit("read_bytes"))
    os.close(sending)
    try:
        with os.fdopen(receiving, "rb") as pipe:
            answer = pipe.read(65_536).decode(errors="replace")
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        _, status = os.waitpid(child, 0)
    if answer == "done":
        return
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL):
        answer = (
            f"cannot be read in {seconds} s; "
            "the environment variable BONDWISE_MAX_READ_SECONDS changes this limit."
        )
    elif not answer or answer == "memory":
        answer = (
            f"is damaged, or cannot be read in {limit('read_bytes'):,} bytes of memory; "
            "the environment variable BONDWISE_MAX_READ_BYTES changes this limit."
        )
    raise UsageError(answer if answer.startswith(name) else f"{name} {answer}")


def _child(work: Callable[[], object], answer: int, seconds: int, memory: int) -> NoReturn:
    try:
        with open("/proc/self/statm") as file:
            held = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # not Linux
        held = 0
    code = 1
    try:
        for handled in (signal.SIGINT, signal.SIGTERM, signal.SIGXCPU):
            signal.signal(handled, signal.SIG_DFL)
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        if held:
            resource.setrlimit(resource.RLIMIT_AS, (held + memory, held + memory))
        try:
            work()
            message = "done"
        except MemoryError:
            message = "memory"
        except UsageError as error:
            message = one_line(error)
        except RecursionError:
            message = "cannot be read: it is nested too deeply."
        except BaseException as error:  # includes panics, which are not an Exception
            message = f"cannot be read: {one_line(error).strip(chr(39) + chr(34)).rstrip('.')}."
        os.write(answer, message.encode(errors="replace"))
        code = 0
    finally:
        os._exit(code)  # without flushing the parent's buffers or running its exit handlers
