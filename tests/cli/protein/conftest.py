from contextlib import redirect_stdout
from io import StringIO

import pytest
from helpers import quick_starts, write_proteins  # noqa: F401

from bondwise.cli.main import main


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """One finished training for the tests that only read it."""
    folder = tmp_path_factory.mktemp("protein")
    data = write_proteins(folder / "data.csv", {"train": 60, "valid": 24, "test": 30})
    words = ["protein", "train", data, "--epochs", 8, "--learning-rate", 0.05, "--out", folder / "run"]
    printed = StringIO()
    with redirect_stdout(printed), pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    assert stop.value.code == 0
    return folder / "run", data, printed.getvalue()
