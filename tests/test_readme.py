"""Python blocks of the README and of docs/ run, those of one page in order; links lead somewhere."""

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from unittest.mock import patch

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem)
def test_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if page.stem == "upstream":  # shows what quimb does to scipy, with two threads
        monkeypatch.setenv("QUIMB_NUM_THREAD_WORKERS", "2")
        subprocess.run([sys.executable, "-c", "\n".join(blocks(page))], check=True, timeout=300)
        return
    namespace = {"__name__": page.stem}
    with warnings.catch_warnings(), patch.dict(os.environ):  # the guide puts an account there
        warnings.filterwarnings("error", category=DeprecationWarning, module=page.stem)
        for block in blocks(page):
            exec(block, namespace)
    if page.stem == "README":  # a PennyLane user's first start from a tensor network
        (start,) = (block for block in blocks(page) if "from_pennylane" in block)
        assert len(start.splitlines()) <= 5
        assert namespace["energy"](namespace["weights"]) == pytest.approx(-7.2962, abs=0.3)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    assert not [link for link in links if "://" not in link and not (page.parent / link).exists()]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_bytes()) <= 10_000


@pytest.mark.parametrize("path", [*PAGES, *sorted((ROOT / "examples").iterdir())], ids=lambda path: path.name)
def test_nothing_hides_pennylanes_qml(path):
    assert not re.search(r"^from bondwise import", path.read_text(), re.MULTILINE)
