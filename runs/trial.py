"""Work that may crash, hang or eat memory, tried in a child process before it is done.

Parsers written in Rust end in a panic that prints to the terminal, or in an abort; others take days for a
file of a few hundred bytes. A forked child with limits of its own finds out, for some 20 ms.
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
    """Do something in a child process, and discard what it returns.

    Args:
        work: What is to be tried; it must not depend on threads.
        name: The file it is about, as the message begins.
        size: Of the file in bytes; each 20,000 add a second to the time it may take.

    Raises:
        UsageError: It raised; the message is that of its error, on one line and beginning with the name. Or
            it crashed, or took more time or memory than `BONDWISE_MAX_READ_SECONDS` and
            `BONDWISE_MAX_READ_BYTES` say.
    """
    seconds = limit("read_seconds") + size // 20_000
    receiving, sending = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some libraries warn of a fork: this child starts no thread
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
            "the environment variable BONDWISE_MAX_READ_SECONDS sets another limit."
        )
    elif not answer or answer == "memory":
        answer = (
            f"is damaged, or cannot be read in {limit('read_bytes'):,} bytes of memory; "
            "the environment variable BONDWISE_MAX_READ_BYTES sets another limit."
        )
    raise UsageError(answer if answer.startswith(name) else f"{name} {answer}")


def _child(work: Callable[[], object], answer: int, seconds: int, memory: int) -> NoReturn:
    try:
        with open("/proc/self/statm") as file:
            held = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # no Linux
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
        except BaseException as error:  # also a panic, which is no Exception
            message = f"cannot be read: {one_line(error).strip(chr(39) + chr(34)).rstrip('.')}."
        os.write(answer, message.encode(errors="replace"))
        code = 0
    finally:
        os._exit(code)  # without flushing the parent's buffers or running its exit handlers
