"""Fixtures for tests against the loopback service: `pytest_plugins = ["bondwise.backends.ibm.fixtures"]`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from qiskit_ibm_runtime.accounts import management

from bondwise.backends.ibm.loopback import LoopbackService


@pytest.fixture
def loopback_ibm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackService]:
    """A running loopback service with the device `ibm_manila`, which `QiskitRuntimeService()` finds.

    Saved accounts are out of reach meanwhile: the home folder is empty.
    """
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    accounts = str(home / ".qiskit" / "qiskit-ibm.json")  # the client computes it once, when it is imported
    monkeypatch.setattr(management, "_DEFAULT_ACCOUNT_CONFIG_JSON_FILE", accounts)
    # Otherwise each request reads the source of its whole stack to name the package that asked.
    monkeypatch.setenv("USAGE_DATA_OPT_OUT", "True")
    with LoopbackService(seed=1, folder=tmp_path / "service") as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server
