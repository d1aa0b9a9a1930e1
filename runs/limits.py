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
    "memory_bytes": (8 << 30, "bytes of states and matrices"),
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


def require_memory(what: str, needed: int, instead: str) -> None:
    """Refuse work that would fill the memory of the machine.

    Args:
        what: What takes the memory, as the message begins.
        needed: Bytes that it takes.
        instead: What to do about it.

    Raises:
        UsageError: It takes more than `limit("memory_bytes")`.

    Example:
        >>> from bondwise.runs import require_memory
        >>> require_memory("a state of 40 qubits", 16 * 2**40, "use fewer")
        Traceback (most recent call last):
        bondwise.runs.errors.UsageError: a state of 40 qubits would take 16,384 GiB and 8 GiB are allowed; ...
    """
    most = limit("memory_bytes")
    if needed > most:
        size = f"{needed / 2**30:,.0f}" if needed < 1 << 90 else "more than 10^18"
        raise UsageError(
            f"{what} would take {size} GiB and {most / 2**30:,.0f} GiB are allowed; {instead}, "
            f"or set {_variable('memory_bytes')}."
        )


def _variable(what: str) -> str:
    return f"BONDWISE_MAX_{what.upper()}"
