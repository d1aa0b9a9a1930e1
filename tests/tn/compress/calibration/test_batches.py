"""What counts as a distribution over classes, and what as values, in the answers of all kinds of models."""

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel, T5Config, T5ForConditionalGeneration

from bondwise.tn.compress import compress
from bondwise.tn.compress.calibration.batches import answer, divergence


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
