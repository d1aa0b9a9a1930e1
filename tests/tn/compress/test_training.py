"""Healing and refinement lower the error that they claim to lower, and touch nothing else."""

import copy

import pytest
import torch

from bondwise.runs import RunError, UsageError
from bondwise.tn.compress import compress, heal, refine
from bondwise.tn.compress.calibration.batches import answer, divergence
from bondwise.tn.compress.formats.formats import is_factored


def distance(model, dense, data):
    with torch.no_grad():
        return float(divergence(answer(model, data), answer(dense, data)))


@pytest.fixture
def compressed(llama):
    model, tokens = llama
    model.eval()
    return compress(model, 0.4, data=tokens, seed=0), model, tokens


@pytest.mark.parametrize(
    ("train", "more", "where"),
    [
        (heal, {"train": "factors"}, ("left", "right")),
        (refine, {}, ("left", "right", "norm.weight", "_proj.weight")),
    ],
)
def test_the_model_comes_closer_and_only_what_is_trained_changes(compressed, train, more, where):
    small, model, tokens = compressed
    before, raw = copy.deepcopy(small.state_dict()), distance(small, model, tokens)
    with torch.no_grad():  # as a user may have turned gradients off
        found = train(small, model, data=tokens, steps=150, learning_rate=5e-3, seed=0, **more)
    assert distance(small, model, tokens) < 0.9 * raw
    changed = {name for name, tensor in small.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name for name in changed if not name.startswith("model.layers.")} == set()
    trained = {name for name in before if name.startswith("model.layers.") and name.endswith(where)}
    assert changed == trained
    assert all(p.requires_grad and p.grad is None for p in [*small.parameters(), *model.parameters()])
    assert found.seed == 0


def test_the_losses_of_a_refinement_are_those_of_the_model_by_then(compressed):
    small, model, tokens = compressed
    begun, second = distance(small, model, tokens), copy.deepcopy(small.model.layers[1])
    found = refine(small, model, data=tokens, steps=60, batch=32, seed=0)
    assert found.losses.shape == (2, 2)
    assert (found.losses[:, 1] < found.losses[:, 0]).all()
    assert found.losses[0, 0] == pytest.approx(begun, rel=1e-4)
    assert found.value == pytest.approx(distance(small, model, tokens), rel=1e-4)
    small.model.layers[1] = second
    assert found.losses[0, 1] == pytest.approx(distance(small, model, tokens), rel=1e-4)


def test_a_teacher_may_be_wrapped(compressed):
    small, model, tokens = compressed

    class Wrapped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, tokens):
            return self.inner(tokens).logits

    other = copy.deepcopy(small)
    wanted = refine(small, model, data=tokens, steps=5, seed=0)
    assert refine(other, Wrapped(), data=tokens, steps=5, seed=0).value == pytest.approx(wanted.value)


def test_healing_trains_all_parameters(compressed):
    small, model, tokens = compressed
    norm = small.model.norm.weight.clone()
    found = heal(small, model, data=tokens, steps=20, seed=0)
    assert not torch.equal(small.model.norm.weight, norm)
    assert small.lm_head.weight is small.model.embed_tokens.weight
    assert str(found).startswith("Healing: 20 steps, divergence ")
    assert "<svg" in found._repr_html_()


def test_additions_of_low_rank_end_up_in_the_matrices(compressed):
    small, model, tokens = compressed
    before, raw = copy.deepcopy(small.state_dict()), distance(small, model, tokens)
    heal(small, model, data=tokens, steps=100, train="lora", learning_rate=1e-2, seed=0)
    assert distance(small, model, tokens) < 0.9 * raw
    after = small.state_dict()
    assert list(after) == list(before)
    changes = {
        name: after[name] - before[name] for name in after if not torch.equal(after[name], before[name])
    }
    assert set(changes) == {name for name in before if name.endswith(("left", "right", "_proj.weight"))}
    assert all(torch.linalg.matrix_rank(change) <= 8 for change in changes.values())
    assert any(torch.linalg.matrix_rank(change) == 8 < min(change.shape) for change in changes.values())
    assert sum(is_factored(module) for module in small.modules()) > 0
    assert all(p.requires_grad and p.grad is None for p in small.parameters())


def test_the_same_seed_gives_the_same_path(compressed):
    small, model, tokens = compressed
    losses = [heal(copy.deepcopy(small), model, data=tokens, steps=5, seed=7).losses for _ in range(2)]
    assert (losses[0] == losses[1]).all()


def test_training_that_diverges_says_so(compressed):
    small, model, tokens = compressed
    with pytest.raises(RunError, match=r"loss in step \d+ is not finite; lower learning_rate=1e\+20"):
        heal(small, model, data=tokens, steps=30, learning_rate=1e20, seed=0)


@pytest.mark.parametrize("train", [heal, refine])
def test_a_training_that_ends_worse_is_undone(compressed, train):
    small, model, tokens = compressed
    before, raw = copy.deepcopy(small.state_dict()), distance(small, model, tokens)
    found = train(small, model, data=tokens, steps=20, learning_rate=10.0, seed=0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in small.state_dict().items())
    assert found.value == pytest.approx(raw, rel=1e-4)
    assert found.undone
    assert "left as" in str(found)
    assert "lower learning_rate" in str(found)


def test_one_bad_block_does_not_undo_the_others(compressed, tmp_path):
    small, model, tokens = compressed
    again = copy.deepcopy(small)
    found = refine(small, model, data=tokens, steps=12, learning_rate=0.3, seed=0, checkpoint=tmp_path)
    raw = distance(again, model, tokens)
    assert found.losses[0, 0] == pytest.approx(raw, rel=1e-4)
    assert (found.losses[:, 1] <= found.losses[:, 0]).all()
    assert distance(small, model, tokens) == pytest.approx(found.value, rel=1e-4)
    kept = refine(again, model, data=tokens, steps=12, learning_rate=0.3, seed=0, checkpoint=tmp_path)
    assert kept.undone == found.undone
    assert kept.value == found.value


@pytest.mark.parametrize("train", [heal, refine])
def test_the_compressed_model_comes_first(compressed, train):
    small, model, tokens = compressed
    with pytest.raises(UsageError, match="give what compress returned first"):
        train(model, small, data=tokens, steps=1)
    with pytest.raises(UsageError, match="both models are the same"):
        train(small, small, data=tokens, steps=1)


@pytest.mark.parametrize("train", [heal, refine])
def test_training_that_diverges_leaves_frozen_parameters_frozen(compressed, train):
    small, model, tokens = compressed
    small.requires_grad_(False)
    before = copy.deepcopy(small.state_dict())
    with pytest.raises(RunError, match="not finite"):
        train(small, model, data=tokens, steps=30, learning_rate=1e20, seed=0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in small.state_dict().items())
    assert not any(parameter.requires_grad for parameter in small.parameters())
    assert all(parameter.grad is None for parameter in small.parameters())


@pytest.mark.parametrize(
    ("train", "more", "message"),
    [
        (heal, {"steps": 0}, "steps"),
        (refine, {"batch": 0}, "batch"),
        (heal, {"learning_rate": -1}, "learning_rate"),
        (heal, {"train": "none"}, "train='none' must be 'all', 'factors' or 'lora'"),
    ],
)
def test_wrong_requests(compressed, train, more, message):
    small, model, tokens = compressed
    with pytest.raises(UsageError, match=message):
        train(small, model, data=tokens, **more)


def test_another_dense_model_is_refused(compressed):
    small, model, tokens = compressed
    other = copy.deepcopy(model)
    other.resize_token_embeddings(model.config.vocab_size + 1)
    for train in (heal, refine):
        with pytest.raises(UsageError, match="give the model that was compressed as the dense one"):
            train(small, other, data=tokens, steps=1)


def test_models_without_factors_or_blocks(llama, chain):
    model, tokens = llama
    with pytest.raises(UsageError, match="no factors to train; give what compress returned"):
        heal(copy.deepcopy(model), model, data=tokens, train="factors")
    data = torch.randn(8, 12)
    with pytest.raises(UsageError, match="no factors in a ModuleList of blocks to refine"):
        refine(compress(chain, 0.6, data=data), chain, data=data)
