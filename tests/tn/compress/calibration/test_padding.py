"""Sequences that are nothing but padding are as if they were not there."""

import pytest
import torch
from transformers import BertConfig, BertModel, T5Config, T5ForConditionalGeneration

from bondwise.runs import UsageError
from bondwise.tn.compress import (
    compress,
    compress_evenly,
    compress_folder,
    costs,
    heal,
    profile,
    quantize,
    report,
)
from bondwise.tn.compress.calibration.batches import answer, batches_of

from ..conftest import SIZES


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Times are measured once."""
    monkeypatch.setattr(costs, "_RUNS", 1)
    monkeypatch.setattr(costs, "_SHORT", 0.0)
    monkeypatch.setattr(costs, "_TURNS", 1)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return BertModel(BertConfig(**SIZES, intermediate_size=32)).eval()


def padded(rows, count=40):
    """Token ids of which some sequences are padding, and the same without these."""
    ids = torch.randint(24, (count, 6), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[:, 5] = torch.arange(count) % 2
    mask[rows] = 0
    kept = mask.any(1)
    whole = {"input_ids": ids, "attention_mask": mask}
    return whole, {name: value[kept] for name, value in whole.items()}


@pytest.mark.parametrize(
    "rows",
    [[3], pytest.param(range(9), marks=pytest.mark.slow), pytest.param(range(1, 40), marks=pytest.mark.slow)],
)
def test_padding_is_ignored(encoder, rows):
    data, kept = padded(list(rows))
    wanted = compress(encoder, 0.5, data=kept, seed=0)
    assert compress(encoder, 0.5, data=data, seed=0).report == wanted.report
    batches = [{name: value[start : start + 8] for name, value in data.items()} for start in range(0, 40, 8)]
    assert compress(encoder, 0.5, data=batches, seed=0).report.divergence > 0
    found, other = (report(wanted, reference=encoder, data=one, batch=1) for one in (batches, kept))
    assert found.value == pytest.approx(other.value, rel=1e-4)


def test_padding_is_ignored_block_by_block(bert, tmp_path):
    bert.save_pretrained(tmp_path / "dense")
    data, kept = padded([0, 5, 16])
    one, two = (
        compress_folder(tmp_path / "dense", tmp_path / name, 0.5, data=given)
        for name, given in (("one", data), ("two", kept))
    )
    assert one == two


def test_data_that_are_nothing_but_padding(encoder, bert, tmp_path):
    data, _ = padded(list(range(40)))
    bert.save_pretrained(tmp_path / "dense")
    calls = [
        lambda given: compress(encoder, 0.5, data=given),
        lambda given: compress_evenly(encoder, 0.5, data=given),
        lambda given: quantize(encoder, data=given),
        lambda given: profile(encoder, data=given),
        lambda given: heal(compress(encoder, 0.5, data=data["input_ids"]), encoder, data=given),
        lambda given: compress_folder(tmp_path / "dense", tmp_path / "small", data=given),
    ]
    for call in calls:
        for given in (data, [data, data]):
            with pytest.raises(UsageError, match="all of the data are padding: attention_mask is zero for"):
                call(given)


def test_padding_of_a_decoder_is_ignored():
    torch.manual_seed(0)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    model = T5ForConditionalGeneration(T5Config(vocab_size=24, decoder_start_token_id=0, **sizes)).eval()
    data, _ = padded([])
    mask = torch.ones(40, 6)
    mask[:8] = 0
    batches = batches_of(
        {**data, "decoder_input_ids": data["input_ids"], "decoder_attention_mask": mask}, 8, None
    )
    assert len(batches) == 4
    assert answer(model, batches[0]).rows.shape == (48, 24)
