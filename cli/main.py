"""The entry point of the command `bondwise`: errors and exit codes.

Exit codes: 0 success, 1 a failed run, 2 wrong usage, 130 stopped by Ctrl-C, 141 the output pipe is closed.
Errors are one line on standard error. This file imports nothing heavy, because it handles Ctrl-C while
everything else is imported.
"""

from __future__ import annotations

import sys

try:
    import _thread
    import errno
    import io
    import logging
    import os
    import time
    import warnings
    from collections.abc import Sequence
    from typing import TextIO

    # One thread unless the user sets a number, before any library starts threads: small circuits are slower
    # with more, and the last bits of a sum, and with them the path of an optimizer, depend on the number.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    from bondwise.runs import RunError, Stopped, UsageError, printable
except KeyboardInterrupt:
    sys.stderr.write("bondwise: stopped.\n")
    raise SystemExit(130) from None

_STOPPED = 130  # also typer's code for Ctrl-C
_UNREAD = 141
_LONGEST = 2000  # letters of a message, which may quote the input


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit.

    Args:
        arguments: Words after `bondwise`; None for those of the process.

    Example:
        >>> from bondwise.cli import main
        >>> main(["--help"])
        Traceback (most recent call last):
        SystemExit: 0
    """
    hook, silent, show = sys.unraisablehook, logging.NullHandler(), warnings.showwarning
    try:
        sys.unraisablehook = _unraisable
        logging.root.addHandler(silent)  # otherwise Python prints what libraries log
        if not sys.warnoptions:
            warnings.showwarning = _warned
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a terminal may not support every character
        code = _code(arguments)
    except KeyboardInterrupt:
        code = _fail("stopped.", _STOPPED)
    finally:
        sys.unraisablehook = hook
        logging.root.removeHandler(silent)
        warnings.showwarning = show
    sys.exit(code)


def _unraisable(lost: sys.UnraisableHookArgs) -> None:
    """Python drops exceptions in destructors and callbacks; raise Ctrl-C again outside of them."""
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
    """Print warnings for users as one line; numerical and deprecation warnings are for developers."""
    if issubclass(category, UserWarning):
        _fail(message, 0)


def _code(arguments: Sequence[str] | None) -> int:
    try:
        from bondwise.cli.app import app

        code = app(args=arguments, prog_name="bondwise", standalone_mode=False)
        _flushed()
    except UsageError as error:
        return _fail(error, 2)
    except Stopped as error:
        return _fail(error, _STOPPED)
    except SystemExit as stop:  # the end of shell completion, or typer found a closed pipe
        return _unread() if stop.code else _flushed()
    except BrokenPipeError:
        return _unread()
    except Exception as error:
        return _failure(error)
    if code == _STOPPED:
        return _fail("stopped.", _STOPPED)
    return code if isinstance(code, int) else 0


def _flushed() -> int:
    if sys.stdout is not None:
        sys.stdout.flush()
    return 0


def _failure(error: Exception) -> int:
    import typer

    if isinstance(error, typer.TyperException):
        return _fail(error.format_message(), 2)
    if isinstance(error, typer.Abort) or _was_interrupted(error):
        return _fail("stopped.", _STOPPED)
    if isinstance(error, RunError | OSError | MemoryError):
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            _discard_output()  # it may be the output that does not fit
        return _fail(str(error) or type(error).__name__, 1)
    if os.environ.get("BONDWISE_TRACEBACK"):
        raise error
    return _fail(f"{type(error).__name__}: {error} (BONDWISE_TRACEBACK=1 shows where)", 1)


def _was_interrupted(error: BaseException) -> bool:
    """Whether a library turned Ctrl-C into this error."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, KeyboardInterrupt):
        seen = seen.__cause__ or seen.__context__
    return seen is not None


def _unread() -> int:
    """The output pipe is closed: print nothing."""
    _discard_output()
    return _UNREAD


def _discard_output() -> None:
    """Drop what cannot be written, so that Python does not complain when it exits."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())  # type: ignore[union-attr]


def _fail(message: object, code: int) -> int:
    line = printable(" ".join(str(message).split()))
    print(f"bondwise: {line if len(line) <= _LONGEST else line[:_LONGEST] + '…'}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
