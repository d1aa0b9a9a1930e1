"""Progress bars, written to standard error so that standard output holds only a table or JSON.

While numba compiles a function, which takes seconds but happens once, every bar says so. If none is shown, it
is logged.
"""

from __future__ import annotations

import logging
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

_COMPILING = "compiling, once: a few seconds"
_log = logging.getLogger(__name__)
_shown: weakref.WeakSet[Any] = weakref.WeakSet()
_listeners: list[Any] = []


def progress_bar(total: int | None, description: str, progress: bool = True, *, first: int = 0) -> tqdm[Any]:
    """Create a progress bar, for use as a context manager.

    Args:
        total: Number of steps; None if unknown.
        description: Text shown before the bar.
        progress: Whether to show the bar.
        first: Number of steps that an earlier run took; they do not count for the speed.

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
        total=total,
        initial=first,
        desc=description,
        disable=not progress,
        leave=True,
        dynamic_ncols=True,
        mininterval=0.2,
    )
    _shown.add(bar)
    return bar


def announce_compilation() -> None:
    """Have numba report every compilation; functions that its cache holds are not compiled.

    Files that hold compiled functions call this. The first compilation without a bar is logged
    (`logging.basicConfig(level="INFO")` shows it).
    """
    if _listeners:
        return
    from numba.core import event

    class Announcement(event.Listener):
        """Shows a note in all bars as long as something compiles."""

        depth = 0  # a function can wait for another one
        said = False

        def on_start(self, event: Any) -> None:
            self.depth += 1
            if self.depth == 1 and not _note(_COMPILING) and not self.said:
                self.said = True
                _log.info("numba is %s; `bondwise warmup` does it beforehand", _COMPILING)

        def on_end(self, event: Any) -> None:
            self.depth -= 1
            if self.depth == 0:
                _note("")

    _listeners.append(Announcement())
    event.register("numba:compile", _listeners[0])


def _note(text: str) -> bool:
    """Show a text in all bars; whether there is one."""
    bars = [bar for bar in _shown if not bar.disable]  # closed bars are disabled too
    for bar in bars:
        bar.set_postfix_str(text)
    return bool(bars)
