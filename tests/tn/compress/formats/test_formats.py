"""Every format of linear layers: what its factors stand for, and how they are fitted in a metric."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bondwise.runs import UsageError
from bondwise.tn.compress import BlockTensorTrain, MatrixProductOperator, compress, heal, load, refine, save
from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.formats.arrangements import Blocks, Operator, factors
from bondwise.tn.compress.formats.formats import FORMATS
from bondwise.tn.compress.formats.trains import Trains, contract, split
from bondwise.tn.compress.layers import Layer

LINEAR = [name for name, kind in FORMATS.items() if kind.kind == "linear"]
TRAINS = ["mpo", "mpo3", "mpo4", "btt"]
seeds = st.integers(0, 2**16)


def layer_of(weight, bias=False):
    module = torch.nn.Linear(*reversed(weight.shape), bias=bias, dtype=weight.dtype)
    module.weight = torch.nn.Parameter(weight)
    return Layer("layer", module)


def colored(size, generator):
    """A covariance whose variances fall off as powers."""
    basis = torch.linalg.qr(torch.randn(size, size, dtype=torch.float64, generator=generator))[0]
    return (basis * torch.arange(1.0, size + 1).double() ** -2) @ basis.T


def case(seed, rows, columns):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, dtype=torch.float64, generator=generator)
    return weight, Metric(colored(columns, generator), colored(rows, generator))


def loss_of(metric, change):
    return 0.5 * float(metric.weighted(change).square().sum())


@pytest.mark.parametrize(
    ("size", "number", "expected"),
    [
        (216, 3, [6, 6, 6]),
        (128, 2, [8, 16]),
        (384, 3, [6, 8, 8]),
        (7, 2, [1, 7]),
        (1, 3, [1, 1, 1]),
        (22, 3, [1, 2, 11]),
    ],
)
def test_factors_of_a_size_are_as_equal_as_they_can_be(size, number, expected):
    assert factors(size, number) == expected


@given(st.integers(1, 3000), st.integers(1, 4))
def test_factors_multiply_to_the_size(size, number):
    found = factors(size, number)
    assert len(found) == number
    assert np.prod(found) == size
    assert found == sorted(found)


def test_the_example_of_the_paper():
    """216 × 216 in three cores of 6 × 6."""
    layer = layer_of(torch.zeros(216, 216))
    for rank in (1, 5, 20, 36):
        assert FORMATS["mpo3"].num_params(layer, rank) == 2 * 36 * rank + 36 * rank**2


@pytest.mark.parametrize("shape", [(12, 18), (7, 10), (11, 13), (16, 4)])
@pytest.mark.parametrize("name", LINEAR)
def test_a_module_computes_with_its_dense_weight(name, shape):
    torch.manual_seed(0)
    layer, kind = layer_of(torch.randn(shape), bias=True), FORMATS[name]
    for rank in (1, 2, 3):
        module = kind.empty(layer, rank)
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter)
        x = torch.randn(2, 5, shape[1])
        expected = torch.nn.functional.linear(x, module.dense(), module.bias)
        assert module.dense().shape == shape
        assert torch.allclose(module.multiply(x), expected, rtol=1e-4, atol=1e-4)
        assert torch.allclose(module(x), expected, rtol=1e-4, atol=1e-4)
        assert module.multiply(x[:0]).shape == (0, 5, shape[0])
        numbers = sum(part.numel() for part in (*module.factors, *module.buffers()))
        assert numbers == kind.num_params(layer, rank)


@pytest.mark.parametrize("arrangement", [Operator((3, 4), (6, 2)), Operator((2, 2, 3), (3, 2, 2))])
def test_cores_of_full_rank_are_the_weight(arrangement):
    shape = np.prod(arrangement.outputs), np.prod(arrangement.inputs)
    weight, metric = case(0, *shape)
    trains = Trains(weight, metric, arrangement)
    found, losses = trains.fit(10**6, 1)
    assert torch.allclose(found, weight, atol=1e-10)
    assert losses[-1] < 1e-15
    cores = split(arrangement.tensors(weight), 10**6)
    assert torch.allclose(arrangement.weight(contract(cores)), weight, atol=1e-10)
    norms = [core.norm() for core in cores]
    assert max(norms) < 3 * min(norms)


@settings(max_examples=10, deadline=None)
@given(seeds, st.sampled_from(["mpo2", "mpo3", "blocks"]))
def test_no_sweep_raises_the_loss_and_the_plain_decomposition_loses_no_less(seed, kind):
    shape = (12, 18)
    arrangement = {
        "mpo2": Operator((3, 4), (6, 3)),
        "mpo3": Operator((2, 2, 3), (3, 3, 2)),
        "blocks": Blocks(2, 3, shape),
    }[kind]
    weight, metric = case(seed, *shape)
    trains = Trains(weight, metric, arrangement)
    for rank in (1, 2, 4):
        found, losses = trains.fit(rank, 4)
        plain = arrangement.weight(contract(split(arrangement.tensors(weight), rank)))
        assert all(np.diff(losses) <= 1e-12 * losses[0])
        assert losses[-1] <= losses[0] <= loss_of(metric, weight - plain) * (1 + 1e-9)
        assert loss_of(metric, weight - found) == pytest.approx(losses[-1], rel=1e-6, abs=1e-12)
        again = arrangement.weight(contract(split(arrangement.tensors(found), rank)))
        assert torch.allclose(again, found, atol=1e-8)  # the bonds are no larger


@pytest.mark.parametrize("name", TRAINS)
def test_where_inputs_are_colored_the_metric_is_worth_more_than_15_percent(name):
    weight, metric = case(1, 36, 48)
    layer, kind = layer_of(weight), FORMATS[name]
    fits, plain = kind.fits(layer, weight, metric), kind.fits(layer, weight, Metric())
    for rank in (1, len(fits.ranks) // 2):
        losses = [loss_of(metric, weight - one.build(rank).dense()) for one in (fits, plain)]
        assert losses[0] < 0.85 * losses[1]


@pytest.mark.parametrize("name", TRAINS)
def test_alternating_least_squares_end_where_no_core_can_be_improved(name):
    """After many sweeps the gradient of the loss by each factor is gone."""
    weight, metric = case(2, 12, 18)
    layer, kind = layer_of(weight), FORMATS[name]
    fits = kind.fits(layer, weight, metric)
    found, losses = fits._trains.fit(2, 60)
    fits._fitted[2] = found, losses[-1]
    module = fits.build(2)
    start = kind.fits(layer, weight, Metric()).build(2)
    sizes = []
    for one in (start, module):
        gradients, inputs = metric.covariances(weight)
        change = weight - one.dense()
        (0.5 * (change * (gradients @ change @ inputs)).sum()).backward()
        sizes.append(max(float(factor.grad.norm()) for factor in one.factors))
    assert sizes[1] < 1e-2 * sizes[0]


@pytest.mark.parametrize("name", LINEAR)
def test_fits_of_all_ranks(name):
    weight, metric = case(3, 24, 16)
    layer, kind = layer_of(weight, bias=True), FORMATS[name]
    fits = kind.fits(layer, weight, metric)
    sizes = [kind.num_params(layer, rank) for rank in fits.ranks]
    assert fits.ranks[0] == 1
    assert sizes == sorted(set(sizes))
    assert sizes[-1] < layer.num_params
    assert len(fits.losses) == len(fits.ranks)
    assert all(np.diff(fits.losses) <= 1e-12)
    for rank in (1, fits.ranks[-1] // 2 + 1, fits.ranks[-1]):
        module = fits.build(rank)
        empty = kind.empty(layer, rank)
        assert module.rank == empty.rank == rank
        assert {n: p.shape for n, p in module.named_parameters()} == {
            n: p.shape for n, p in empty.named_parameters()
        }
        assert torch.equal(module.bias, layer.bias)
        assert module.bias is not layer.bias
        actual = loss_of(metric, weight - module.dense())
        assert actual == pytest.approx(fits.losses[rank - 1], rel=0.3, abs=1e-9 * fits.losses[0])
        factors = [factor for factor in module.factors if factor is not getattr(module, "values", None)]
        norms = [float(factor.detach().norm()) for factor in factors]
        assert max(norms) < 4 * min(norms)


@pytest.mark.parametrize("name", TRAINS)
def test_singular_covariances_zero_weights_and_small_floats(name):
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(1, 16, dtype=torch.float64, generator=generator)
    for weight in (torch.zeros(24, 16), torch.randn(24, 16, generator=generator).bfloat16()):
        for inputs in (rows.T @ rows, torch.zeros(16, 16, dtype=torch.float64)):
            fits = FORMATS[name].fits(layer_of(weight), weight, Metric(inputs, inputs.new_zeros(24, 24)))
            assert np.isfinite(fits.losses).all()
            module = fits.build(2)
            assert module.dense().dtype == weight.dtype
            assert torch.isfinite(module.dense()).all()


def test_blocks_that_do_not_divide_a_size():
    layer = layer_of(torch.zeros(9, 7))
    module = BlockTensorTrain.empty(layer, 2)
    assert module.left.shape == (3, 1 * 2, 3)
    assert module.right.shape == (1, 3 * 2, 7)


def test_the_number_of_cores_is_that_of_the_class():
    with pytest.raises(UsageError, match="1 cores were given to MatrixProductOperator; give 2"):
        MatrixProductOperator([torch.ones(2, 1, 1, 2)])


@pytest.mark.parametrize("formats", [["btt"], ["mpo"], ["mpo3"], ["lowrank", "btt", "mpo"]])
def test_models_with_each_format_are_saved_and_trained(formats, llama, tmp_path):
    model, tokens = llama
    model.model.layers = model.model.layers[:1]
    model.config.num_hidden_layers = 1
    small = compress(model, 0.6, data=tokens, formats=formats, seed=0)
    found = {choice.format for choice in small.report.layers.values()} - {"dense"}
    assert found
    assert found <= set(formats)
    again = load(save(small, tmp_path))
    assert torch.equal(again(tokens).logits, small(tokens).logits)
    assert all(
        type(again.get_submodule(name)) is type(small.get_submodule(name)) for name in small.report.layers
    )
    refined = refine(small, model, data=tokens, steps=30, learning_rate=5e-3, seed=0)
    assert refined.losses[0, 1] < refined.losses[0, 0]
    healed = heal(small, model, data=tokens, steps=30, learning_rate=5e-3, seed=0)
    assert healed.value < healed.losses[:3].mean()


def test_two_cores_are_a_sum_of_kronecker_products():
    layer = layer_of(torch.randn(12, 20))
    module = FORMATS["kron"].fits(layer, layer.weight, Metric()).build(3)
    first, second = module.factors
    terms = [torch.kron(first[:, k, 0], second[:, 0, k]) for k in range(first.shape[1])]
    assert torch.allclose(module.dense(), sum(terms), atol=1e-5)
