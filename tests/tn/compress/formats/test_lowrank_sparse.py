"""A low rank and single entries: fitted in turn, run without the dense weight, and stored exactly."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bondwise.tn.compress import (
    FactorizedLinear,
    LowRank,
    LowRankSparse,
    compress,
    load,
    quantize,
    save,
    to_dense,
)
from bondwise.tn.compress.allocation import Choice
from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.files import entries_of
from bondwise.tn.compress.layers import Layer
from bondwise.tn.compress.quantization.modules import empty_module
from bondwise.tn.compress.quantization.packed import packed_parameters
from bondwise.tn.compress.quantization.sizes import stored_size

ROWS, COLUMNS = 20, 28


def layer_of(weight):
    module = torch.nn.Linear(*reversed(weight.shape), dtype=weight.dtype)
    module.weight = torch.nn.Parameter(weight)
    return Layer("layer", module)


def case(seed):
    """A weight and a metric whose variances fall off."""
    generator = torch.Generator().manual_seed(seed)
    weight, *rows = (
        torch.randn(shape, dtype=torch.float64, generator=generator)
        for shape in ((ROWS, COLUMNS), (COLUMNS, COLUMNS), (ROWS, ROWS))
    )
    colored = [one / torch.arange(1, len(one) + 1) for one in rows]
    return weight, Metric(*(one.T @ one for one in colored))


def loss_of(metric, change):
    return 0.5 * float(metric.weighted(change).square().sum())


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 7))
def test_no_step_raises_the_loss_which_is_that_of_the_layer(seed, rank):
    weight, metric = case(seed)
    fits = LowRankSparse.fits(layer_of(weight), weight, metric)
    *_, index, losses = fits.fit(rank)
    module = fits.build(rank)
    alone = LowRank.fits(layer_of(weight), weight, metric).losses[rank - 1]
    assert losses[0] == pytest.approx(alone, rel=1e-6)
    assert all(after <= before * (1 + 1e-9) for before, after in zip(losses, losses[1:], strict=False))
    assert losses[-1] <= losses[0]  # sometimes no step helps
    assert loss_of(metric, weight - module.dense()) == pytest.approx(losses[-1], rel=1e-6)
    assert len(index) == len(index.unique()) == rank * (ROWS + COLUMNS) // 8
    assert bool((index.diff() > 0).all())


def test_steps_lower_the_loss_of_nearly_all_layers():
    lower = 0
    for seed in range(20):
        weight, metric = case(seed)
        *_, losses = LowRankSparse.fits(layer_of(weight), weight, metric).fit(3)
        lower += losses[-1] < losses[0]
    assert lower >= 18


def test_zero_weights_singular_covariances_and_small_floats():
    rows = torch.randn(1, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for weight in (torch.zeros(24, 16), torch.linspace(-1, 1, 24 * 16).view(24, 16).bfloat16()):
        for inputs in (rows.T @ rows, torch.zeros(16, 16, dtype=torch.float64)):
            fits = LowRankSparse.fits(layer_of(weight), weight, Metric(inputs, inputs.new_zeros(24, 24)))
            assert torch.tensor(fits.losses).isfinite().all()
            module = fits.build(2)
            assert module.dense().dtype == weight.dtype
            assert module.index.dtype == torch.int32
            assert module.dense().isfinite().all()


def test_a_large_layer_runs_without_its_dense_weight():
    layer = LowRankSparse.empty(Layer("layer", torch.nn.Linear(1024, 1024)), 32)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    x = torch.randn(512, 1024)
    with torch.no_grad():
        found = layer(x)
        assert layer._copy is None
        assert torch.allclose(found, torch.nn.functional.linear(x, layer.dense(), layer.bias), atol=1e-3)


@pytest.fixture
def compressed(llama):
    model, tokens = llama
    small = compress(model, 0.6, data=tokens, formats="lowrank_sparse", skip="*.0.*", seed=0)
    assert any(type(module) is LowRankSparse for module in small.modules())
    return small, tokens


def test_it_comes_back_exactly(compressed, tmp_path):
    small, tokens = compressed
    wanted = small(tokens).logits
    again = load(save(small, tmp_path))
    for one in (again, copy.deepcopy(again)):
        state = one.state_dict()
        assert all(
            torch.equal(tensor, state[name]) and tensor.dtype == state[name].dtype
            for name, tensor in small.state_dict().items()
        )
        assert torch.equal(one(tokens).logits, wanted)
    assert torch.allclose(to_dense(small)(tokens).logits, wanted, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_places_are_left_alone_in_few_bits_and_other_floats(compressed, dtype, tmp_path):
    small, tokens = compressed
    small = small.to(dtype)
    rounded = quantize(small, "int8", data=tokens)
    before, after = dict(small.named_buffers()), dict(rounded.named_buffers())
    places = [name for name in before if name.endswith(".index")]
    assert places
    assert all(torch.equal(before[name], after[name]) and after[name].dtype == torch.int32 for name in places)
    packed = dict(packed_parameters(rounded))
    owner = places[0].removesuffix(".index")
    assert {f"{owner}.{name}" for name in ("left", "right", "values")} <= packed.keys()
    assert torch.allclose(rounded(tokens).logits, small(tokens).logits, atol=0.5)
    again = load(save(rounded, tmp_path))
    assert torch.equal(again(tokens).logits, rounded(tokens).logits)
    assert rounded.report.value == (tmp_path / "model.safetensors").stat().st_size


@pytest.mark.parametrize("bits", [0, 8])
def test_places_count_in_bytes(bits):
    layer, choice = Layer("layer", torch.nn.Linear(64, 48)), Choice("lowrank_sparse", 8, 0, 0.0, bits)
    entries = entries_of(empty_module(layer, choice))
    assert entries["index"].num_bytes == 4 * (8 * (64 + 48) // 8)
    needed = sum(entry.num_bytes for name, entry in entries.items() if name != "bias")
    assert needed < stored_size(layer, choice, 10**6) < needed + 100 * len(entries)


def test_trained_from_scratch_it_starts_as_a_low_rank_does():
    torch.manual_seed(0)
    layer, dense = FactorizedLinear(256, 128, format="lowrank_sparse", budget=0.5), torch.nn.Linear(256, 128)
    assert type(layer) is LowRankSparse
    assert len(layer.index.unique()) == layer.values.numel()
    x = torch.randn(500, 256)
    assert float(layer(x).var().detach()) == pytest.approx(float(dense(x).var().detach()), rel=0.1)
    layer(x).square().sum().backward()
    assert layer.values.grad.abs().min() > 0
