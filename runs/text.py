"""Text from outside (a file, a flag, a server), made safe for a terminal, a figure or JSON.

Names may contain anything: line breaks, terminal escapes, marks that reverse the reading direction, bytes
that are not UTF-8, or a `$` that starts a formula. They are escaped on output, never on input.
"""

from __future__ import annotations

import json
import math
from typing import Any


def printable(text: object) -> str:
    r"""Return one line of visible characters; others are written as `\n`, `\x1b`, `\u202e` and so on.

    Args:
        text: Any object; its string is used.

    Example:
        >>> from bondwise.runs import printable
        >>> print(printable("two\nlines"))
        two\nlines
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )


def kind_of(given: object) -> str:
    """Name the type of an object for a message: "an int", "a list", "None", "the class int".

    Args:
        given: Any object.

    Example:
        >>> from bondwise.runs import kind_of
        >>> f"the state is {kind_of(5)}"
        'the state is an int'
    """
    name = type(given).__name__
    if given is None:
        return "None"
    if isinstance(given, type):
        return f"the class {given.__name__}"
    return f"{'an' if name[0] in 'aeioAEIO' or name == 'ndarray' else 'a'} {name}"


def rounded_up(number: float, digits: int = 3) -> str:
    """A positive number with a few digits that is not below it: a limit that keeps to it, as text.

    Args:
        number: The number.
        digits: How many of its digits are kept.
    """
    shown = f"{number:.{digits}g}"
    while float(shown) < number:
        step = 10.0 ** (math.floor(math.log10(number)) - digits + 1)
        shown = f"{float(shown) + step:.{digits}g}"
    return shown


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 qubit", "2 qubits", "4,096 shots".

    Args:
        number: The number.
        noun: Noun in the singular, whose plural ends in s.
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def json_text(content: Any) -> str:
    """Convert data to JSON text, with null for NaN and infinity, which JSON does not have.

    Args:
        content: Nested dictionaries, lists and tuples of None, booleans, numbers and strings.

    Raises:
        TypeError: If the content contains anything else.

    Example:
        >>> from bondwise.runs import json_text
        >>> print(json_text({"energy": -1.5, "std": float("nan")}))
        {
          "energy": -1.5,
          "std": null
        }
    """
    return json.dumps(_without_nan(content), indent=2, allow_nan=False)


def _without_nan(node: Any) -> Any:
    if isinstance(node, float) and not math.isfinite(node):
        return None
    if isinstance(node, dict):
        return {key: _without_nan(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_without_nan(item) for item in node]
    return node
