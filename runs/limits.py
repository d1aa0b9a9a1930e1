"""How much a file may ask for: checked before the work that it would cost, and raised by the user alone.

A file of a few bytes can declare a billion qubits, and a few kilobytes of zip unpack to gigabytes. The limits
are far above what this package can compute, and each has an environment variable that sets it.
"""

from __future__ import annotations

import os

from bondwise.runs.errors import UsageError

# what → most, and how a message counts it
_LIMITS = {
    "text_bytes": (64 << 20, "bytes of text"),
    "array_bytes": (512 << 20, "bytes of arrays"),
    "protein_bytes": (256 << 20, "bytes of proteins, unpacked"),
    "proteins": (1_000_000, "proteins"),
    "qubits": (10_000, "qubits"),
    "clbits": (1_000_000, "classical bits"),
    "operations": (2_000_000, "operations once its definitions and loops are written out"),
    "terms": (1_000_000, "terms"),
    "contraction_numbers": (1 << 26, "numbers of an exact contraction, which keeps twice as many"),
    "json_values": (10_000_000, "JSON values"),
    "read_seconds": (3, "seconds"),
    "read_bytes": (1_500_000_000, "bytes of memory"),
}


def limit(what: str) -> int:
    """The limit in force.

    Args:
        what: One of `text_bytes`, `array_bytes`, `protein_bytes`, `proteins`, `qubits`, `clbits`,
            `operations`, `terms`; the environment variable that sets it is called so, such as
            `BONDWISE_MAX_QUBITS`.

    Raises:
        UsageError: The variable is no whole number.
    """
    variable = _variable(what)
    given = os.environ.get(variable)
    if given is None:
        return _LIMITS[what][0]
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        raise UsageError(f"{variable} is {given[:40]!r}; give a whole number, such as {_LIMITS[what][0]}.")
    return int(given)


def require_within(what: str, amount: float, name: object) -> None:
    """Refuse more than the limit.

    Args:
        what: The limit, as for `limit`.
        amount: How much is asked for.
        name: Who asks, as the message begins: the path of the file.

    Raises:
        UsageError: It is more; the message names the limit and the variable that raises it.
    """
    most = limit(what)
    if amount > most:
        shown = f"{amount:,}" if amount < 1e18 else "more than 10^18"
        raise UsageError(
            f"{name} has {shown} {_LIMITS[what][1]}; the limit is {most:,}, "
            f"and the environment variable {_variable(what)} sets another."
        )


def _variable(what: str) -> str:
    return f"BONDWISE_MAX_{what.upper()}"
