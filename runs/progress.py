"""Progress bars, written to standard error so that standard output holds only a table or JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm


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
    return tqdm(
        total=total, desc=description, disable=not progress, leave=True, dynamic_ncols=True, mininterval=0.2
    )
