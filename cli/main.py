"""The command `bondwise`: which commands there are, and how errors and exit codes look.

Exit codes: 0 done, 1 a run that failed or was stopped, 2 wrong use. Errors are one line on standard error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version as installed
from typing import Annotated

import typer

# One thread unless the user says otherwise, before any library starts its own: small circuits are slower with
# more, and the last bits of a sum, hence the path of an optimiser, depend on their number.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from bondwise.cli import backends, decompose, protein, run, vqe  # noqa: E402
from bondwise.runs import RunError, UsageError, printable  # noqa: E402

app = typer.Typer(
    name="bondwise",
    help="Tensor networks that start quantum circuits: train, mitigate and run them.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _app(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if version:
        print(f"bondwise {installed('bondwise')}")
    elif context.invoked_subcommand is None:
        print(context.get_help())


app.command("vqe")(vqe.command)
app.command("decompose")(decompose.command)
app.command("run")(run.command)
app.add_typer(protein.app, name="protein")
app.command("backends")(backends.command)

_INTERRUPTED = 130  # what typer makes of Ctrl-C


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Args:
        arguments: The words after `bondwise`; those of the process when None.
    """
    sys.exit(_code(arguments))


def _code(arguments: Sequence[str] | None) -> int:
    try:
        code = app(args=arguments, standalone_mode=False)
    except UsageError as error:
        return _fail(error, 2)
    except typer.TyperException as error:
        return _fail(error.format_message(), 2)
    except (RunError, OSError, MemoryError) as error:
        return _fail(error or type(error).__name__, 1)
    except typer.Abort:
        return _fail("stopped.", 1)
    except Exception as error:
        if os.environ.get("BONDWISE_TRACEBACK"):
            raise
        return _fail(f"{type(error).__name__}: {error} (BONDWISE_TRACEBACK=1 shows where)", 1)
    if code == _INTERRUPTED:
        return _fail("stopped.", 1)
    return code if isinstance(code, int) else 0


def _fail(message: object, code: int) -> int:
    line = " ".join(str(message).split())
    print(f"bondwise: {printable(line)}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
