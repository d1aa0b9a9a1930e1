"""`bondwise warmup`: everything is compiled beforehand, and once."""

import pytest


def test_a_second_run_finds_everything_compiled(bondwise):
    assert bondwise("warmup").returncode == 0
    again = bondwise("warmup")
    assert again.returncode == 0
    assert "Everything was compiled already." in again.stdout
    assert "warmup: protein classifiers" in again.stderr


@pytest.mark.slow
def test_a_first_run_says_what_it_compiles(tmp_path):
    """In a process of its own with an empty cache; quimb, which compiles for long, is left out."""
    import os
    import subprocess
    import sys

    code = (
        "from bondwise.cli.commands import warmup\n"
        "warmup._PARTS = {k: v for k, v in warmup._PARTS.items() if k.startswith('families')}\n"
        "warmup.command()"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    for end in ("Compiled; the next runs start at once.", "Everything was compiled already."):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
        )
        assert done.stdout.rstrip().endswith(end)
    assert "compiling" not in done.stderr
