"""Progress bars say that numba compiles, and only then."""

import io
from contextlib import redirect_stderr

from numba import njit

from bondwise.runs import progress_bar


def test_compilation_is_announced_once():
    @njit
    def half(x):
        return x / 2

    shown = io.StringIO()
    with redirect_stderr(shown), progress_bar(2, "work") as bar:
        assert half(3.0) == 1.5
        bar.refresh()
        first = shown.getvalue()
        half(4.0)
        bar.update()
    assert "compiling, once" in first
    assert "compiling" not in shown.getvalue()[len(first) :]
    assert "compiling" not in first.split("\r")[-1]


def test_bars_that_are_not_shown_say_nothing():
    @njit
    def double(x):
        return x * 2

    shown = io.StringIO()
    with redirect_stderr(shown), progress_bar(2, "work", progress=False):
        assert double(3.0) == 6.0
    assert shown.getvalue() == ""
