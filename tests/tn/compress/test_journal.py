"""A compression that is killed continues where it was, and comes to the same model."""

import copy
import os
import signal

import numpy as np
import pytest
import torch

from bondwise.runs import UsageError
from bondwise.tn.compress import compress, refine
from bondwise.tn.compress.journal import Journal


def killed_in(work, monkeypatch, place, name, after):
    """Run something in a process that is killed when it has called a function some times."""
    child = os.fork()
    if child:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        return
    left, real = after, getattr(place, name)

    def counting(*args, **more):
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **more)

    try:
        monkeypatch.setattr(place, name, counting)
        work()
    finally:
        os._exit(1)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_killed_compression_continues(kind, tmp_path, monkeypatch, request):
    model = request.getfixturevalue(kind)
    model = (model[0] if kind == "llama" else model).bfloat16()
    tokens = torch.randint(24, (32, 10))

    def work():
        return compress(model, 0.5, data=tokens, seed=0, checkpoint=tmp_path / "kept")

    whole = compress(model, 0.5, data=tokens, seed=0)
    files = []
    last = 1 + len(whole.report.layers) + 1  # parts before the first layer is fitted
    for after in (1, last, 3):  # one after another: in probing, after a layer is fitted, and further on
        killed_in(work, monkeypatch, Journal, "put", after)
        files.append(len(list((tmp_path / "kept").iterdir())))
    assert files == [1, last + 1, last + 4]
    again = work()
    assert again.report == whole.report
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in whole.state_dict().items())
    assert {parameter.dtype for parameter in again.parameters()} == {torch.bfloat16}
    monkeypatch.setattr(Journal, "put", lambda *_: pytest.fail("nothing is left to do"))
    assert work().report == whole.report
    with pytest.raises(UsageError, match="belongs to another run"):
        compress(model, 0.6, data=tokens, seed=0, checkpoint=tmp_path / "kept")
    with torch.no_grad():
        next(model.parameters())[0, 0] += 1
    with pytest.raises(UsageError, match="belongs to another run"):
        work()


def test_a_killed_refinement_continues(llama, tmp_path, monkeypatch):
    model, tokens = llama
    small = compress(model, 0.5, data=tokens, seed=0)
    whole, parts = copy.deepcopy(small), copy.deepcopy(small)
    expected = refine(whole, model, data=tokens, steps=9, seed=0)

    def work():
        return refine(parts, model, data=tokens, steps=9, seed=0, checkpoint=tmp_path / "kept")

    killed_in(work, monkeypatch, Journal, "put", 1)
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["refined-0.safetensors"]
    assert np.array_equal(work().losses, expected.losses)
    assert all(torch.equal(tensor, parts.state_dict()[name]) for name, tensor in whole.state_dict().items())
    assert all("original" not in block.__dict__ for block in (*model.model.layers, *parts.model.layers))


def test_parts_that_are_too_large_are_not_kept(tmp_path, monkeypatch):
    journal = Journal(tmp_path / "kept", "settings")
    monkeypatch.setenv("BONDWISE_MAX_ARRAY_BYTES", "2000")
    journal.put("small", {"a": [torch.zeros(100)]})
    assert torch.equal(journal.get("small")["a"][0], torch.zeros(100))
    journal.put("large", {"a": [(torch.zeros(300),), torch.zeros(300)]})
    assert journal.get("large") is None
    journal.remove()
    assert not (tmp_path / "kept").exists()
    assert Journal(None).put("nothing", 3) == 3
    assert Journal(None).get("nothing") is None
