from types import SimpleNamespace

import pytest

from bondwise.cli.main import main


@pytest.fixture
def bondwise(tmp_path, monkeypatch, capsys):
    """Calls the command in an empty folder; returns its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        printed = capsys.readouterr()
        return SimpleNamespace(returncode=stop.value.code, stdout=printed.out, stderr=printed.err)

    return run
