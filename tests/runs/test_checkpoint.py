"""Checkpoints come back bit for bit, or not at all."""

import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit

from bondwise.runs import RunError, UsageError, load_checkpoint, save_checkpoint

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**120), 2**120),  # numpy's generator states are integers of 128 bits
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.lists(st.floats(width=64, allow_nan=False), max_size=4).map(np.array),
    st.lists(st.complex_numbers(allow_nan=False), max_size=4).map(lambda row: np.array(row, complex)),
)
states = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=4), st.integers(0, 9)), inner, max_size=3),
    ),
    max_leaves=12,
)


def same(left, right):
    if isinstance(left, np.ndarray):
        return (
            isinstance(right, np.ndarray) and left.dtype == right.dtype and left.tobytes() == right.tobytes()
        )
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple) and type(left) is type(right):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and left == right


@settings(max_examples=40, deadline=None)
@given(state=states)
def test_any_nesting_comes_back(tmp_path_factory, state):
    path = tmp_path_factory.mktemp("checkpoint") / "a.safetensors"
    save_checkpoint(path, state, run="r")
    assert same(state, load_checkpoint(path, run="r"))


def test_complex_tensors_and_views_come_back(tmp_path):
    whole = torch.randn(3, 4, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    state = {"part": whole[:, ::2].conj(), "scalar": whole[0, 0]}
    back = load_checkpoint(save_checkpoint(tmp_path / "a", state, run="r"), run="r")
    assert all(torch.equal(state[key], back[key]) for key in state)


def test_names_with_dots_do_not_clash(tmp_path):
    state = {"a": {"b": np.zeros(1)}, "a.b": np.ones(1), 0: [np.full(1, 2.0)], "0.0": np.full(1, 3.0)}
    assert same(state, load_checkpoint(save_checkpoint(tmp_path / "a", state, run="r"), run="r"))


def test_optimiser_state_comes_back(tmp_path):
    parameters = torch.ones(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([parameters])
    (parameters**2).sum().backward()
    optimizer.step()
    save_checkpoint(tmp_path / "a", optimizer.state_dict(), run="r")
    other = torch.optim.Adam([torch.ones(3, dtype=torch.float64, requires_grad=True)])
    other.load_state_dict(load_checkpoint(tmp_path / "a", run="r"))
    moments = [optimizer.state_dict()["state"][0]["exp_avg"] for optimizer in (optimizer, other)]
    assert torch.equal(*moments)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_cut_file_is_refused(tmp_path, keep):
    path = save_checkpoint(tmp_path / "a", {"x": np.arange(100.0)}, run="r")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UsageError, match=r"truncated or damaged.*delete it"):
        load_checkpoint(path, run="r")


def test_flipped_bit_is_found(tmp_path):
    path = save_checkpoint(tmp_path / "a", {"x": np.arange(100.0)}, run="r")
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(UsageError, match="checksum differs"):
        load_checkpoint(path, run="r")


def test_other_run_missing_file_and_objects_are_refused(tmp_path):
    path = save_checkpoint(tmp_path / "a", [1], run="r")
    with pytest.raises(UsageError, match="belongs to another run"):
        load_checkpoint(path, run="s")
    with pytest.raises(UsageError, match="there is no checkpoint"):
        load_checkpoint(tmp_path / "b", run="r")
    with pytest.raises(UsageError, match="x is an object, which cannot be stored"):
        save_checkpoint(path, {"x": object()}, run="r")
    assert load_checkpoint(path, run="r") == [1]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_full_disk_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = save_checkpoint(tmp_path / "a", [1], run="r")
    monkeypatch.setattr(
        "tempfile.mkstemp", lambda **_: (os.open("/dev/full", os.O_WRONLY), str(tmp_path / "x"))
    )
    with pytest.raises(RunError, match="No space left on device"):
        save_checkpoint(path, [2], run="r")
    assert load_checkpoint(path, run="r") == [1]


@pytest.mark.parametrize(("count", "seed"), [(50, 0), pytest.param(2000, 1, marks=pytest.mark.slow)])
def test_mutated_checkpoints_are_read_or_refused_in_one_line(assert_robust, tmp_path, count, seed):
    state = {"step": 3, "angles": np.arange(3.0), "tensors": [np.eye(2) * 1j], "circuit": QuantumCircuit(1)}
    path = save_checkpoint(tmp_path / "good", state, run="r")
    samples = [path.read_bytes(), save_checkpoint(path, [1], run="r").read_bytes()]
    path.unlink()
    assert_robust(lambda path: load_checkpoint(path, run="r"), samples, "c.bin", count=count, seed=seed)


def test_bfloat16_comes_back(tmp_path):
    state = {"weight": torch.randn(3, 4).bfloat16(), "none": torch.zeros(0, 2).bfloat16()}
    again = load_checkpoint(save_checkpoint(tmp_path / "a", state, run="r"), run="r")
    assert all(torch.equal(again[key], state[key]) and again[key].dtype == torch.bfloat16 for key in state)
