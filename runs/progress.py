"""Progress bars, written to standard error so that standard output holds only a table or JSON.

While numba compiles a function, which takes seconds but happens once, every bar says so.
"""

from __future__ import annotations

import sys
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

_COMPILING = "compiling, once: a few seconds"
_shown: weakref.WeakSet[Any] = weakref.WeakSet()
_listeners: list[Any] = []


def progress_bar(total: int | None, description: str, progress: bool = True) -> tqdm[Any]:
    """Create a progress bar, for use as a context manager.

    Args:
        total: Number of steps; None if unknown.
        description: Text shown before the bar.
        progress: Whether to show the bar.

    Example:
        >>> from bondwise.runs import progress_bar
        >>> with progress_bar(3, "VQE", progress=False) as bar:
        ...     for _ in range(3):
        ...         _ = bar.update()
    """
    if progress:  # warns in a notebook without ipywidgets
        from tqdm.auto import tqdm
    else:
        from tqdm import tqdm
    bar = tqdm(
        total=total, desc=description, disable=not progress, leave=True, dynamic_ncols=True, mininterval=0.2
    )
    if progress and "numba" in sys.modules:
        _shown.add(bar)
        _announce_compilation()
    return bar


def _announce_compilation() -> None:
    """Have numba report every compilation; functions that its cache holds are not compiled."""
    if _listeners:
        return
    from numba.core import event

    class Announcement(event.Listener):
        """Shows a note in all bars as long as something compiles."""

        depth = 0  # a function can wait for another one

        def on_start(self, event: Any) -> None:
            self.depth += 1
            if self.depth == 1:
                _note(_COMPILING)

        def on_end(self, event: Any) -> None:
            self.depth -= 1
            if self.depth == 0:
                _note("")

    _listeners.append(Announcement())
    event.register("numba:compile", _listeners[0])


def _note(text: str) -> None:
    for bar in _shown:
        if not bar.disable:  # closed bars are disabled too
            bar.set_postfix_str(text)
