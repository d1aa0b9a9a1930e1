"""Whether outputs are probabilities or values: said by the caller, or told by one rule that is stated."""

import copy

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, BertModel

from bondwise.runs import UsageError
from bondwise.tn.compress import (
    Compression,
    compress,
    compress_folder,
    costs,
    heal,
    load,
    profile,
    quantize,
    refine,
    report,
)
from bondwise.tn.compress.calibration.batches import Answer, answer, divergence

from ..conftest import SIZES

DATA = torch.randn(64, 12, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Times are measured once."""
    monkeypatch.setattr(costs, "_RUNS", 1)
    monkeypatch.setattr(costs, "_SHORT", 0.0)
    monkeypatch.setattr(costs, "_TURNS", 1)


class Shaped(nn.Module):
    """A model whose answers have another shape."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x).unsqueeze(-1)


class Wrapped(nn.Module):
    """A model of one's own that returns hidden states as a plain tensor."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, tokens):
        return self.inner(tokens).last_hidden_state


def moved(model, by):
    """The model with a constant added to all of its outputs."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        other[-1].bias += by
    return other


def test_a_constant_is_no_difference_of_logits_and_one_of_values(chain):
    for outputs, expected in ((None, 0.0), ("logits", 0.0), ("values", 0.5 * 3 * 25)):
        found = report(moved(chain, 5.0), reference=chain, data=DATA, batch=1, outputs=outputs)
        assert found.value == pytest.approx(expected, abs=1e-5)
        assert found.value >= 0
        assert found.outputs == (outputs or "logits")
    assert "Outputs compared as values (squared distance), mean per sample." in str(found)
    assert "squared distance" in found._repr_html_()


def test_values_are_compressed_alike_whatever_the_shape_of_the_output(chain):
    flat = compress(chain, 0.5, data=DATA, outputs="values", seed=0)
    shaped = compress(Shaped(chain), 0.5, data=DATA, seed=0)
    assert flat.report.outputs == shaped.report.outputs == "values"
    assert flat.report.divergence == pytest.approx(shaped.report.divergence, rel=1e-4)
    assert torch.allclose(flat(DATA), shaped(DATA)[..., 0], atol=1e-5)
    assert str(flat.report).endswith(", outputs compared as values (squared distance), mean per sample")
    blind = compress(chain, 0.5, data=DATA, seed=0)
    assert str(blind.report).endswith(", outputs compared as probabilities (KL), mean per sample")
    with torch.no_grad():
        error, worse = (float((one(DATA) - chain(DATA)).norm()) for one in (flat, blind))
    assert error < worse


def test_what_compress_was_told_holds_for_what_follows(chain, tmp_path):
    small = compress(chain, 0.5, data=DATA, outputs="values", seed=0)
    assert heal(copy.deepcopy(small), chain, data=DATA, steps=3, seed=0).outputs == "values"
    assert heal(copy.deepcopy(small), chain, data=DATA, steps=3, seed=0, outputs="logits").outputs == "logits"
    assert report(small, reference=chain, data=DATA, batch=1).outputs == "values"
    assert quantize(small, data=DATA).report.outputs == "values"
    small.report.save(tmp_path / "compression")
    assert Compression.load(tmp_path / "compression") == small.report


@torch.no_grad()
def test_profiles_and_rounding_are_told_too(chain):
    found = [profile(chain, data=DATA, fractions=[0.5], outputs=one, seed=0) for one in ("logits", "values")]
    assert [one.outputs for one in found] == ["logits", "values"]
    assert (found[0].value != found[1].value).all()
    small = quantize(chain, "int2", data=DATA, outputs="values")
    expected = 0.5 * (small(DATA[:8]) - chain(DATA[:8])).square().sum(-1).mean()
    assert small.report.divergence == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize(
    ("kind", "logits"),
    [
        (None, True),
        ("single_label_classification", True),
        ("regression", False),
        ("multi_label_classification", False),
    ],
)
def test_the_config_of_a_transformer_says_it(kind, logits):
    config = BertConfig(**SIZES, intermediate_size=32, num_labels=3, problem_type=kind)
    found = answer(BertForSequenceClassification(config), torch.randint(24, (4, 6)))
    assert found.logits == logits
    assert found.rows.shape == (4, 3)


@torch.no_grad()
def test_a_folder_is_told_too(llama, tmp_path):
    model, tokens = llama
    model.save_pretrained(tmp_path / "dense")
    found = compress_folder(tmp_path / "dense", tmp_path / "small", 0.6, data=tokens, outputs="values")
    small = load(tmp_path / "small")
    expected = 0.5 * (small(tokens[::16]).logits - model(tokens[::16]).logits).square().sum(-1).mean()
    assert found.outputs == small.report.outputs == "values"
    assert found.divergence == pytest.approx(float(expected), rel=1e-3)


@pytest.fixture
def encoder():
    """A BERT that returns hidden states, and token ids."""
    torch.manual_seed(0)
    return BertModel(BertConfig(**SIZES, intermediate_size=32)).eval(), torch.randint(24, (40, 6))


def test_hidden_states_are_compared_by_token_whatever_the_form_of_the_data(encoder):
    model, ids = encoder
    mask = torch.ones_like(ids)
    forms = [ids, {"input_ids": ids}, {"input_ids": ids, "attention_mask": mask}, [(ids[:20],), ids[20:]]]
    small = compress(model, 0.5, data=ids, seed=0)
    with torch.no_grad():
        lost = 0.5 * (small(ids).last_hidden_state - model(ids).last_hidden_state).square().sum(-1)
    assert small.report.divergence == pytest.approx(float(lost[:8].mean()), rel=1e-4)
    assert str(small.report).endswith(", mean per token")
    for data in forms:
        found = report(small, reference=model, data=data, batch=1)
        assert found.value == pytest.approx(float(lost.mean()), rel=1e-4)
        assert "(squared distance), mean per token." in str(found)
        healed = heal(copy.deepcopy(small), model, data=data, steps=1, seed=0)
        assert healed.before == pytest.approx(float(lost.mean()), rel=1e-4)
        assert "mean per token" in str(healed)
        assert quantize(small, "int8", data=data).report.unit == "token"
    for data in forms[:3]:
        assert compress(model, 0.5, data=data, seed=0, max_loss=1.1 * float(lost[:8].mean())).report == (
            small.report
        )
        found = refine(copy.deepcopy(small), model, data=data, steps=1, batch=40, seed=0)
        assert found.losses[0, 0] == pytest.approx(float(lost.mean()), rel=1e-4)
        assert profile(model, data=data, fractions=0.5, seed=0).unit == "token"


def test_what_a_row_of_an_answer_is_of(encoder):
    model, ids = encoder
    found = answer(Wrapped(model), {"tokens": ids})
    assert (found.rows.shape, found.unit) == ((240, 16), "token")
    values = compress(Wrapped(model), 0.5, data=ids, outputs="values", seed=0).report
    assert (values.outputs, values.unit) == ("values", "token")
    assert values.divergence == pytest.approx(compress(model, 0.5, data=ids, seed=0).report.divergence)
    scored = BertForSequenceClassification(BertConfig(**SIZES, intermediate_size=32, num_labels=6))
    found = answer(scored, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    assert (found.rows.shape, found.unit) == ((40, 6), "sample")  # as many classes as tokens
    images, x = nn.Conv2d(3, 5, 1), torch.randn(2, 3, 4, 6)
    assert answer(images, x).unit == "sample"
    assert answer(images, (x, torch.zeros(2, 4, 6, dtype=torch.long))).unit == "point"


@torch.no_grad()
def test_no_divergence_is_below_zero():
    torch.manual_seed(0)
    rows = Answer(100 * torch.randn(1000, 50), True)
    for scale in (1e-7, 1e-6, 0.0):
        assert divergence(Answer(rows.rows + scale, True), rows) >= 0


def test_wrong_outputs(chain):
    with pytest.raises(UsageError, match="outputs 'value'.*values"):
        compress(chain, 0.5, data=DATA, outputs="value")
    single = nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 1))
    with pytest.raises(UsageError, match=r"shape \(60, 1\), which has no axis .*outputs='values'"):
        compress(single, 0.5, data=[DATA[:60]], outputs="logits")
