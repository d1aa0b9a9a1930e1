"""The tables in the documentation show what the benchmarks measured."""

import importlib
import json
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("tables")


@pytest.mark.parametrize(
    ("page", "module"),
    [("benchmarks", "tables"), ("compression", "compression_tables"), ("mitigation", "mitigation_tables")],
)
def test_tables_are_those_of_the_results(tables, page, module):
    page, named = (ROOT / "docs" / f"{page}.md").read_text(), importlib.import_module(module).TABLES
    assert tables.rendered(page, named) == page, "run make docs-tables"
    for name in named:
        assert page.count(f"<!-- table {name} -->") == 1


def test_a_changed_figure_shows(tables, monkeypatch, tmp_path):
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    document = json.loads((tables.RESULTS / "gradients.json").read_text())
    slowest = max(document["results"], key=lambda row: row["ours_ms"])
    before, slowest["ours_ms"] = slowest["ours_ms"], slowest["ours_ms"] + 100
    (tmp_path / "gradients.json").write_text(json.dumps(document))
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    monkeypatch.setattr(tables, "TABLES", {"gradients": tables.gradients})
    only = page[page.index("<!-- table gradients -->") : page.index("Other packages")]
    assert f"| {before:.0f} |" in only
    assert f"| {before + 100:.0f} |" in tables.rendered(only)


def test_the_stored_command_can_be_pasted_into_a_shell(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT / "benchmarks" / "hardware")
    record = importlib.import_module("record")
    script, out = ROOT / "benchmarks" / "hardware" / "jobs.py", tmp_path / "found.json"
    words = ["--device", "aer:thermal relaxation=1", "--pattern", "a*;b"]
    monkeypatch.setattr("sys.argv", [str(script), *words, "--out", str(out)])
    record.save(out, [])
    command = shlex.split(json.loads(out.read_text())["command"])
    assert command == ["python", "benchmarks/hardware/jobs.py", *words]
