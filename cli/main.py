"""The command `bondwise`: how errors and exit codes look.

Exit codes: 0 done, 1 a run that failed, 2 wrong use, 130 stopped by Ctrl-C, 141 nobody reads what is printed.
Errors are one line on standard error. This file imports nothing heavy: it is in charge of Ctrl-C while
all else is imported.
"""

from __future__ import annotations

import _thread
import io
import logging
import os
import sys
import time
import warnings
from collections.abc import Sequence
from typing import TextIO

# One thread unless the user says otherwise, before any library starts its own: small circuits are slower with
# more, and the last bits of a sum, hence the path of an optimizer, depend on their number.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from bondwise.runs import RunError, Stopped, UsageError, printable  # noqa: E402

_STOPPED = 130  # also what typer makes of Ctrl-C
_UNREAD = 141
_LONGEST = 2000  # letters of a message: it may hold what was given


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Args:
        arguments: The words after `bondwise`; those of the process when None.
    """
    hook, silent, show = sys.unraisablehook, logging.NullHandler(), warnings.showwarning
    try:
        sys.unraisablehook = _unraisable
        logging.root.addHandler(silent)  # else what libraries log is printed beside our one line
        if not sys.warnoptions:
            warnings.showwarning = _warned
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a terminal may know fewer characters than we print
        code = _code(arguments)
    except KeyboardInterrupt:
        code = _fail("stopped.", _STOPPED)
    finally:
        sys.unraisablehook = hook
        logging.root.removeHandler(silent)
        warnings.showwarning = show
    sys.exit(code)


def _unraisable(lost: sys.UnraisableHookArgs) -> None:
    """Python drops what is raised in destructors and callbacks: raise Ctrl-C again, outside of them."""
    if isinstance(lost.exc_value, KeyboardInterrupt):
        _thread.start_new_thread(_interrupt, ())
    else:
        sys.__unraisablehook__(lost)


def _interrupt() -> None:
    time.sleep(0.05)
    _thread.interrupt_main()


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """One line of what concerns users; numerical and deprecation warnings concern developers."""
    if issubclass(category, UserWarning):
        _fail(message, 0)


def _code(arguments: Sequence[str] | None) -> int:
    try:
        from bondwise.cli.app import app

        code = app(args=arguments, standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except UsageError as error:
        return _fail(error, 2)
    except Stopped as error:
        return _fail(error, _STOPPED)
    except SystemExit:  # typer found the pipe closed
        return _unread()
    except BrokenPipeError:
        return _unread()
    except Exception as error:
        return _failure(error)
    if code == _STOPPED:
        return _fail("stopped.", _STOPPED)
    return code if isinstance(code, int) else 0


def _failure(error: Exception) -> int:
    import typer

    if isinstance(error, typer.TyperException):
        return _fail(error.format_message(), 2)
    if isinstance(error, typer.Abort) or _was_interrupted(error):
        return _fail("stopped.", _STOPPED)
    if isinstance(error, RunError | OSError | MemoryError):
        return _fail(str(error) or type(error).__name__, 1)
    if os.environ.get("BONDWISE_TRACEBACK"):
        raise error
    return _fail(f"{type(error).__name__}: {error} (BONDWISE_TRACEBACK=1 shows where)", 1)


def _was_interrupted(error: BaseException) -> bool:
    """Whether an error is what a library made of Ctrl-C."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, KeyboardInterrupt):
        seen = seen.__cause__ or seen.__context__
    return seen is not None


def _unread() -> int:
    """Nobody reads what is printed: no message, and none from Python at its end either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())  # type: ignore[union-attr]
    return _UNREAD


def _fail(message: object, code: int) -> int:
    line = printable(" ".join(str(message).split()))
    print(f"bondwise: {line if len(line) <= _LONGEST else line[:_LONGEST] + '…'}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
