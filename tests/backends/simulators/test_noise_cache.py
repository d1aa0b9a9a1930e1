"""The cache on disk is used if intact, rebuilt if not, and never prevents a run."""

from pathlib import Path

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from bondwise.backends import estimate
from bondwise.backends.simulators.fake import fake_backend
from bondwise.backends.simulators.noise_cache import cache_folder, cached_arrays

ARRAYS = {"sx.0": np.array([[1, 2j], [3, 4]]), "cz.0.1": np.eye(4, dtype=complex)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BONDWISE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def refuse() -> dict[str, np.ndarray]:
    raise AssertionError("made again")


def test_made_once(folder: Path) -> None:
    made = cached_arrays("device", lambda: ARRAYS)
    again = cached_arrays("device", refuse)
    for found in (made, again):
        assert found.keys() == ARRAYS.keys()
        for key, array in ARRAYS.items():
            np.testing.assert_array_equal(found[key], array)
    assert [path.name for path in folder.iterdir()] == ["device.safetensors"]


@pytest.mark.parametrize("damage", ["empty", "truncated", "garbage", "one byte"])
def test_a_damaged_file_is_made_anew(folder: Path, damage: str) -> None:
    cached_arrays("device", lambda: ARRAYS)
    path = folder / "device.safetensors"
    content = path.read_bytes()
    changed = bytearray(content)
    changed[-5] ^= 1
    path.write_bytes(
        {"empty": b"", "truncated": content[:-9], "garbage": b"\x00" * 500, "one byte": bytes(changed)}[
            damage
        ]
    )
    found = cached_arrays("device", lambda: ARRAYS)
    np.testing.assert_array_equal(found["sx.0"], ARRAYS["sx.0"])
    assert path.read_bytes() == content


def test_a_folder_that_cannot_be_written_costs_time_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("BONDWISE_CACHE", str(tmp_path / "file" / "cache"))
    assert cached_arrays("device", lambda: ARRAYS).keys() == ARRAYS.keys()
    assert (tmp_path / "file").read_text() == "in the way"


def test_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BONDWISE_CACHE", "/somewhere")
    assert cache_folder() == Path("/somewhere")
    monkeypatch.delenv("BONDWISE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache_folder() == Path("/elsewhere/bondwise")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "bondwise"


def test_a_device_reads_its_noise_back(folder: Path) -> None:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    first = estimate(circuit, SparsePauliOp("XX"), backend=fake_backend("manila")).value
    (path,) = folder.iterdir()
    assert path.name.startswith("fake-manila-")
    stamp = path.stat().st_mtime_ns
    assert estimate(circuit, SparsePauliOp("XX"), backend=fake_backend("manila")).value == first
    assert path.stat().st_mtime_ns == stamp
    path.write_bytes(path.read_bytes()[:100])
    assert estimate(circuit, SparsePauliOp("XX"), backend=fake_backend("manila")).value == first


def test_a_user_without_a_home_makes_them_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BONDWISE_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # what it does for an unknown uid
    assert cached_arrays("device", lambda: ARRAYS).keys() == ARRAYS.keys()
