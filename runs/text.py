"""Text that came from outside (a file, a flag, a server), made fit for a terminal, a figure or JSON.

Names may hold anything: line ends, terminal escapes, marks that turn the direction of reading, bytes that are
no UTF-8, `$` that starts a formula. They are escaped where they leave the program, never where they enter it.
"""

from __future__ import annotations

import json
import math
from typing import Any


def printable(text: object) -> str:
    r"""One line in which every character shows: others are written as `\n`, `\x1b`, `\u202e` and the like.

    Args:
        text: Anything; what is no string is turned into one.
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )


def kind_of(given: object) -> str:
    """The type of something, for messages: "an int", "a list", "None".

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
    return f"{'an' if name[0] in 'aeioAEIO' or name == 'ndarray' else 'a'} {name}"


def json_text(content: Any) -> str:
    """JSON as every reader takes it: NaN and infinity, which JSON has not, are null.

    Args:
        content: Nested dicts, lists and tuples of None, booleans, numbers and strings.

    Raises:
        TypeError: There is something else in it.
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
