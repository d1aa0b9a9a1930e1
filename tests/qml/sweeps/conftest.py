import sqlite3

import pytest

# functions that other processes import; each call leaves a line in LOG
STUDY = """
import os
import signal
import threading
from pathlib import Path

folder = Path(__file__).parent
log = folder / "calls.log"


def called(x):
    with log.open("a") as file:
        file.write(f"{x}\\n")


def square(x):
    called(x)
    return {"square": x * x, "process": os.getpid()}


def deadly(x):
    '''Kills its process at 3, and the first time at 5.'''
    called(x)
    first = not (folder / "five").exists()
    if x == 5:
        (folder / "five").touch()
    if x == 3 or (x == 5 and first):
        os.kill(os.getpid(), signal.SIGKILL)
    return x * x
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A module of functions, and the arguments of their calls so far."""
    name = f"study_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    module = __import__(name)
    module.calls = lambda: module.log.read_text().split() if module.log.exists() else []
    return module


@pytest.fixture
def stored():
    """The rows of a store: point, state and content."""

    def read(path="sweep.sqlite"):
        with sqlite3.connect(path) as database:
            return database.execute("SELECT point, state, content, tries FROM points").fetchall()

    return read
