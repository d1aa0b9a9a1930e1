"""Limits on the size of files and computations, checked before any work is done.

A file of a few bytes can declare a billion qubits, and a few kilobytes of zip can unpack to gigabytes. The
limits are far above what this package can compute, and an environment variable changes each of them.
"""

from __future__ import annotations

import os

from bondwise.runs.errors import UsageError

# name → default value, and the unit in messages
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
    """Return the value of a limit.

    Args:
        what: Name of the limit: "text_bytes", "array_bytes", "protein_bytes", "proteins", "qubits", "clbits",
            "operations", "terms", "contraction_numbers", "memory_bytes", "json_values", "read_seconds" or
            "read_bytes". An environment variable overrides it, such as `BONDWISE_MAX_QUBITS` for "qubits".

    Raises:
        UsageError: If the variable is not a whole number.

    Example:
        >>> from bondwise.runs import limit
        >>> limit("qubits")
        10000
    """
    variable = _variable(what)
    given = os.environ.get(variable)
    if given is None:
        return _LIMITS[what][0]
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        raise UsageError(f"{variable} is {given[:40]!r}; give a whole number, such as {_LIMITS[what][0]}.")
    return int(given)


def require_within(what: str, amount: float, name: object) -> None:
    """Refuse an amount above a limit.

    Args:
        what: Name of the limit; see `limit`.
        amount: Amount to check.
        name: Start of the message, usually the path of a file.

    Raises:
        UsageError: If the amount exceeds the limit; the message names the variable that changes it.

    Example:
        >>> from bondwise.runs import require_within
        >>> require_within("qubits", 20_000, "big.qasm")
        Traceback (most recent call last):
        bondwise.runs.errors.UsageError: big.qasm has 20,000 qubits; the limit is 10,000, ...
    """
    most = limit(what)
    if amount > most:
        shown = f"{amount:,}" if amount < 1e18 else "more than 10^18"
        raise UsageError(
            f"{name} has {shown} {_LIMITS[what][1]}; the limit is {most:,}, "
            f"and the environment variable {_variable(what)} changes it."
        )


def require_memory(what: str, needed: int, instead: str) -> None:
    """Refuse work that needs more memory than is allowed.

    Args:
        what: What takes the memory, as the start of the message.
        needed: Number of bytes.
        instead: What to do instead, for the message.

    Raises:
        UsageError: If more than `limit("memory_bytes")` is needed.

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
