"""What counts as a distribution over classes, and what as values, in the answers of all kinds of models."""

import pytest
import torch
from torch import nn
from transformers import BatchEncoding, BertConfig, BertModel, T5Config, T5ForConditionalGeneration

from bondwise.runs import UsageError
from bondwise.tn.compress import compress, compress_folder, quantize, refine
from bondwise.tn.compress.calibration.batches import answer, batches_of, divergence


def test_one_output_is_a_value():
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 1)), torch.randn(64, 12)
    small = compress(model, 0.4, data=x, seed=0)
    held_out = x[:8]
    with torch.no_grad():
        expected = 0.5 * (small(held_out) - model(held_out)).square().mean()
    assert small.report.divergence == pytest.approx(float(expected), rel=1e-5)
    assert small.report.divergence > 1e-6


def test_values_without_an_axis_of_their_own():
    model = nn.Sequential(nn.Linear(3, 1), nn.Flatten(0))
    found = answer(model, torch.randn(5, 3))
    assert found.rows.shape == (5, 1)
    assert not found.logits


@pytest.mark.parametrize("labels", [True, False])
def test_classes_of_points_are_those_of_the_second_axis(labels):
    torch.manual_seed(0)
    model, x = nn.Conv2d(3, 5, 1), torch.randn(2, 3, 4, 6)
    found = answer(model, (x, torch.zeros(2, 4, 6, dtype=torch.long)) if labels else x)
    assert found.logits is labels
    wanted = model(x).movedim(1, -1).reshape(-1, 5) if labels else model(x).reshape(2, -1)
    assert torch.equal(found.rows, wanted)


def test_hidden_states_are_values():
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = BertModel(BertConfig(vocab_size=24, **sizes)).eval()
    tokens, mask = torch.randint(24, (3, 6)), torch.ones(3, 6, dtype=torch.long)
    mask[1, 4:] = 0
    with torch.no_grad():
        hidden = model(tokens, attention_mask=mask).last_hidden_state[mask.bool()]
        found = answer(model, {"input_ids": tokens, "attention_mask": mask})
    assert not found.logits
    assert torch.equal(found.rows, hidden)
    moved = found._replace(rows=found.rows + 2)
    assert float(divergence(moved, found)) == pytest.approx(0.5 * 16 * 4, rel=1e-5)


def test_a_mask_of_the_encoder_does_not_hide_answers_of_the_decoder():
    torch.manual_seed(0)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    model = T5ForConditionalGeneration(T5Config(vocab_size=24, decoder_start_token_id=0, **sizes)).eval()
    tokens, mask = torch.randint(24, (3, 6)), torch.ones(3, 6, dtype=torch.long)
    mask[1, 2:] = 0
    batch = {"input_ids": tokens, "attention_mask": mask, "decoder_input_ids": tokens}
    assert answer(model, batch).rows.shape == (18, 24)
    assert answer(model, {**batch, "decoder_attention_mask": mask}).rows.shape == (14, 24)


@pytest.fixture
def padded():
    """What a tokenizer gives for sequences of different lengths."""
    torch.manual_seed(1)
    mask = (torch.arange(10) < torch.randint(4, 11, (20, 1))).long()
    return BatchEncoding({"input_ids": torch.randint(24, (20, 10)), "attention_mask": mask})


def test_arguments_of_a_model_are_cut_into_batches(padded):
    positions = torch.arange(10)[None]
    found = batches_of({**padded, "position_ids": positions, "use_cache": False}, 8)
    assert [len(batch["input_ids"]) for batch in found] == [8, 8, 4]
    for name in ("input_ids", "attention_mask"):
        assert torch.equal(torch.cat([batch[name] for batch in found]), padded[name])
    assert all(batch["position_ids"] is positions and batch["use_cache"] is False for batch in found)
    assert [dict(batch) for batch in batches_of(padded, 32)][0].keys() == padded.keys()


def test_arguments_of_a_model_as_data(padded, llama, tmp_path):
    model, _ = llama
    small = compress(model, 0.5, data=padded, seed=0)
    wanted = compress(model, 0.5, data=batches_of(padded, 8), seed=0)
    ids = padded["input_ids"]
    with torch.no_grad():
        assert torch.equal(small(ids).logits, wanted(ids).logits)
    assert refine(small, model, data=padded, steps=2, batch=4, seed=0).value > 0
    assert quantize(model, "int8", data=padded).report.divergence < 0.01
    model.save_pretrained(tmp_path / "dense")
    done = compress_folder(tmp_path / "dense", tmp_path / "small", data=padded)
    assert done.divergence < 2


IMAGES = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(1), nn.Linear(8 * 16, 4))


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        (
            nn.Sequential(nn.Linear(12, 16), nn.Linear(16, 3)),
            torch.zeros(8, 7),
            r"data of shape \(8, 7\) and type float32: 0 \(Linear\) says mat1 and mat2 shapes cannot be mul",
        ),
        (
            IMAGES,
            torch.zeros(4, 1, 6, 6),
            r"of shape \(4, 1, 6, 6\) and type float32: 0 \(Conv2d\) says .* 3 ch",
        ),
        (
            IMAGES,
            torch.zeros(4, 3, 7, 7),
            r"of shape \(4, 3, 7, 7\) and type float32: 2 \(Linear\) says mat1",
        ),
        (
            IMAGES,
            torch.zeros(4, 3, 6, 6).byte(),
            r"and type uint8: 0 \(Conv2d\) says .*give images as floating-point numbers, such as data.float",
        ),
        (
            IMAGES,
            torch.zeros(4, 3, 6, 6).double(),
            r"and type float64: 0 \(Conv2d\) says .*; .* give data.float\(\)",
        ),
        (
            "llama",
            torch.rand(4, 6),
            r"of shape \(4, 6\) and type float32: model.embed_tokens \(Embedding\) says",
        ),
        (
            IMAGES,
            {"pixels": torch.zeros(2, 6), "mask": torch.zeros(2, 6).long()},
            r"data pixels of shape \(2, 6\) and type float32, mask of .* and type int64: .*unexpected",
        ),
    ],
)
def test_data_that_a_model_cannot_take(model, data, message, llama):
    model = llama[0] if model == "llama" else model
    with pytest.raises(UsageError, match=message) as error:
        compress(model, 0.5, data=data, formats=("lowrank", "separable"), seed=0)
    assert "\n" not in str(error.value)
    assert error.value.__cause__ is not None


def test_the_type_of_an_error_of_the_model_is_named():
    class Broken(nn.Sequential):
        def forward(self, x):
            return super().forward(x) * {}["boo"]

    with pytest.raises(UsageError, match="KeyError: 'boo'; check the shape"):
        compress(Broken(nn.Linear(4, 4), nn.Linear(4, 3)), 0.5, data=torch.randn(8, 4))
