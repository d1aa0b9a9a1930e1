"""What progress bars show, and that they, or the log, say that numba compiles, and only then."""

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr

import pytest
from numba import njit

from bondwise.runs import progress_bar
from bondwise.runs.progress import announce_compilation

announce_compilation()


def run_script(script, cache):
    """What a new process prints to standard error, with compiled functions in the folder `cache`."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


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


def test_a_bar_is_announced_to_that_was_made_before_numba_was_imported(tmp_path):
    script = (
        "from bondwise.runs import progress_bar\n"
        "with progress_bar(1, 'work'):\n"
        "    from bondwise.runs.progress import announce_compilation\n"
        "    from numba import njit\n"
        "    announce_compilation()\n"
        "    assert njit(lambda x: x / 2)(3.0) == 1.5\n"
    )
    assert "compiling, once" in run_script(script, tmp_path)


def test_bars_that_are_not_shown_say_nothing():
    @njit
    def double(x):
        return x * 2

    shown = io.StringIO()
    with redirect_stderr(shown), progress_bar(2, "work", progress=False):
        assert double(3.0) == 6.0
    assert shown.getvalue() == ""


@pytest.mark.slow
def test_without_a_bar_compilation_is_logged_once(tmp_path):
    script = (
        "import logging; logging.basicConfig(level='INFO')\n"
        "import bondwise as bw\n"
        "bw.tn.decompose([0.6, 0, 0, 0.8], layers=1, seed=0)\n"
        "bw.tn.decompose([0.6, 0, 0, 0.8j], layers=1, seed=0)\n"
    )
    said = [line for line in run_script(script, tmp_path).splitlines() if "compiling" in line]
    assert len(said) == 1
    assert "once: a few seconds; `bondwise warmup` does it beforehand" in said[0]
    assert "compiling" not in run_script(script, tmp_path)


def test_earlier_steps_do_not_count_for_the_speed():
    shown = io.StringIO()
    with redirect_stderr(shown), progress_bar(200, "work", first=100) as bar:
        bar.update()
        assert (bar.n, bar.initial) == (101, 100)
    assert "101/200" in shown.getvalue()
