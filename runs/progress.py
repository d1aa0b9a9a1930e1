"""Progress bars, the same everywhere: on standard error, so that standard output stays a table or JSON."""

from __future__ import annotations

from typing import Any

from tqdm.auto import tqdm


def progress_bar(total: int | None, description: str, progress: bool = True) -> tqdm[Any]:
    """A bar to be used as `with progress_bar(steps, "VQE", progress) as bar: bar.update()`.

    Args:
        total: Number of steps, None when it is not known.
        description: A word or two shown before the bar.
        progress: False gives a bar that shows nothing.
    """
    return tqdm(
        total=total, desc=description, disable=not progress, leave=True, dynamic_ncols=True, mininterval=0.2
    )
