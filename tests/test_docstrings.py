"""Every public name shows how it is used, and what it shows is true."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ["runs", "circuits", "backends", "tn", "qml", "qml/protein", "mitigation", "cli"]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def public_names(room):
    stub = (ROOT / room / "__init__.pyi").read_text()
    return re.findall(r"^from \.\S+ import \w+ as (\w+)$", stub, re.MULTILINE)


def modules_with_examples():
    yield "bondwise"
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            if room == "qml" and "protein" in path.parts:
                continue
            if ">>>" in path.read_text():
                yield ".".join(("bondwise", *path.relative_to(ROOT).with_suffix("").parts))


@pytest.mark.parametrize("name", list(modules_with_examples()))
def test_examples_in_docstrings(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some of them write files
    module = importlib.import_module(name)
    finder, runner = doctest.DocTestFinder(exclude_empty=True), doctest.DocTestRunner(optionflags=FLAGS)
    report = []
    for example in finder.find(module, name):
        example.globs = {}  # as for a reader: only what the example imports
        runner.run(example, out=report.append)
    assert not runner.failures, "".join(report)


@pytest.mark.parametrize("room", [*ROOMS, "tn/compress"])
def test_every_public_name_has_an_example(room):
    package = importlib.import_module("bondwise." + room.replace("/", "."))
    without = [
        name
        for name in public_names(room)
        if callable(getattr(package, name)) and ">>>" not in (getattr(package, name).__doc__ or "")
    ]
    assert not without
