"""Factored layers multiply by factors or by the weight, and never by a weight that was."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from bondwise.tn.compress.costs import flops_of
from bondwise.tn.compress.formats.factored import Cost, Factored
from bondwise.tn.compress.formats.formats import FORMATS
from bondwise.tn.compress.layers import Layer

LINEAR = [name for name, kind in FORMATS.items() if kind.kind == "linear"]
ROWS = 3  # few, so that small layers take the copy


def module_of(name, rows=24, columns=16, rank=2, dtype=torch.float32):
    torch.manual_seed(0)
    module = FORMATS[name].empty(Layer("layer", nn.Linear(columns, rows)), rank).to(dtype)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


def by_factors(module, x):
    """What the layer is to return, without any shortcut."""
    with torch.no_grad():
        return nn.functional.linear(x, module.dense(), module.bias)


@pytest.fixture(params=LINEAR)
def copied(request):
    """A layer that has a copy of its weight, and an input."""
    module, x = module_of(request.param), torch.randn(ROWS, 16)
    with torch.no_grad():
        module(x)
    assert module._copy is not None
    return module, x


def assert_fresh(module, x):
    with torch.no_grad():
        assert torch.equal(module(x), by_factors(module, x))


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1),
    "foreach": lambda p: torch.optim.Adam(p, lr=0.1, foreach=True),
    "fused": lambda p: torch.optim.AdamW(p, lr=0.1, fused=True),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_steps_of_optimizers(copied, optimizer):
    """Even those that PyTorch does not count, between two calls without gradients."""
    module, x = copied
    steps = OPTIMIZERS[optimizer](module.parameters())
    nn.functional.linear(x, module.dense(), module.bias).square().sum().backward()
    with torch.no_grad():
        before = module(x)
        steps.step()
        assert not torch.equal(module(x), before)
    assert_fresh(module, x)


def test_other_numbers_in_place(copied):
    module, x = copied
    state = {name: tensor + 1 for name, tensor in module.state_dict().items()}
    module.load_state_dict(state)
    assert_fresh(module, x)
    module.load_state_dict({name: tensor + 1 for name, tensor in state.items()}, assign=True)
    assert_fresh(module, x)
    with torch.no_grad():
        module.factors[0][0].mul_(2)
    assert_fresh(module, x)
    with torch.inference_mode():
        module.factors[-1].mul_(2)
    assert_fresh(module, x)
    nn.init.ones_(module.factors[0])
    assert_fresh(module, x)
    nn.utils.vector_to_parameters(
        torch.randn(sum(p.numel() for p in module.parameters())), module.parameters()
    )
    assert_fresh(module, x)


def test_other_tensors_in_the_place_of_parameters(copied):
    module, x = copied
    name = module._names[0]
    setattr(module, name, nn.Parameter(torch.randn_like(module.factors[0])))
    assert_fresh(module, x)
    module.factors[0].data = torch.randn_like(module.factors[0])
    assert_fresh(module, x)
    for _ in range(5):  # freed memory is given out again
        shape = module.factors[0].shape
        delattr(module, name)
        setattr(module, name, nn.Parameter(torch.randn(shape)))
        assert_fresh(module, x)


EDITS = {
    "copy": lambda data: data.copy_(torch.randn(data.shape)),
    "scale": lambda data: data.mul_(2),
    "sign": lambda data: data.neg_(),
    "mask": lambda data: data.masked_fill_(torch.rand(data.shape) < 0.5, 0),
    "numpy": lambda data: np.add(data.numpy(), 1, out=data.numpy()),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_edits_that_pytorch_does_not_count(copied, edit):
    """An average of weights is often swapped in through `data`."""
    module, x = copied
    module.eval()
    for factor in module.factors:
        edit(factor.data)
        assert_fresh(module, x)


def test_a_small_edit_that_pytorch_does_not_count_needs_a_call_of_eval():
    module, x = module_of("mpo", 64, 64, 16, torch.float64), torch.randn(ROWS, 64, dtype=torch.float64)
    module.eval()
    with torch.no_grad():
        module(x)
    module.factors[0].data.view(-1)[0] += 1
    module.eval()
    assert_fresh(module, x)


def test_edits_of_coarse_numbers_and_of_transposed_factors():
    module = module_of("lowrank", 15, 7, 3, torch.bfloat16)
    module.left.data = torch.randn(3, 15, dtype=torch.bfloat16).T
    x = torch.randn(ROWS, 7, dtype=torch.bfloat16)
    for factor in (*module.factors, *module.factors):
        assert_fresh(module, x)
        factor.data += 1
        assert_fresh(module, x)


def test_other_types_and_back(copied):
    module, x = copied
    module.to(torch.bfloat16)
    assert_fresh(module, x.bfloat16())
    module.to(torch.float32)
    assert_fresh(module, x)
    module.double()
    assert_fresh(module, x.double())


def test_copies_of_the_module(copied):
    module, x = copied
    with torch.no_grad():
        module.factors[0].add_(1)
    twin = copy.deepcopy(module)
    assert twin._copy is None
    assert_fresh(twin, x)
    for _ in range(8):  # whatever version the old copy had
        with torch.no_grad():
            twin.factors[0].add_(1)
        assert_fresh(twin, x)
    assert_fresh(module, x)


def test_the_copy_is_neither_saved_nor_a_buffer(copied):
    module, _ = copied
    places = {"index"} if hasattr(module, "index") else set()
    assert set(module.state_dict()) == {"bias", *module._names} | places
    assert {name for name, _ in module.named_buffers()} == places


def test_numbers_that_stand_in_for_parameters_are_used_and_not_kept(copied):
    module, x = copied
    others = {name: torch.randn_like(p) for name, p in module.named_parameters()}
    with torch.no_grad():
        found = torch.func.functional_call(module, others, (x,))
        expected = copy.deepcopy(module)
        expected.load_state_dict(others, strict=False)
        assert torch.allclose(found, by_factors(expected, x), atol=1e-5)
    assert_fresh(module, x)
    with torch.no_grad():
        stacked = {name: torch.stack([p, 2 * p]) for name, p in others.items()}
        many = torch.vmap(lambda state: torch.func.functional_call(module, state, (x,)))(stacked)
    assert torch.allclose(many[0], found, atol=1e-5)
    assert_fresh(module, x)


def test_a_copy_made_in_inference_mode_serves_gradients_of_the_input(copied):
    module, x = copied
    module.eval()
    with torch.inference_mode():
        module(x)
    module.requires_grad_(False)
    x.requires_grad_()
    module(x).sum().backward()
    assert torch.allclose(
        x.grad, by_factors(module, torch.eye(16)).sub(module.bias).sum(1).expand(ROWS, -1), atol=1e-4
    )


@pytest.mark.parametrize("rows", [ROWS, 4096])
@pytest.mark.parametrize("name", LINEAR)
def test_gradients_reach_every_factor(name, rows):
    module = module_of(name, dtype=torch.float64)
    x = torch.randn(rows, 16, dtype=torch.float64, requires_grad=True)
    module(x).sin().sum().backward()
    found = [x.grad.clone(), *(p.grad.clone() for p in module.parameters())]
    assert module._copy is None
    x.grad = None
    module.zero_grad()
    nn.functional.linear(x, module.dense(), module.bias).sin().sum().backward()
    expected = [x.grad, *(p.grad for p in module.parameters())]
    assert all(torch.allclose(one, two, atol=1e-8) for one, two in zip(found, expected, strict=True))


@pytest.mark.parametrize("rows", [ROWS, 4096])
@pytest.mark.parametrize("name", LINEAR)
def test_reduced_precision(name, rows):
    module, x = module_of(name), torch.randn(rows, 16)
    expected = by_factors(module, x)
    for mode in (torch.no_grad(), torch.enable_grad()):
        with mode, torch.autocast("cpu", torch.bfloat16):
            found = module(x)
        assert found.dtype == torch.bfloat16
        assert torch.allclose(found.float(), expected, atol=0.05 * float(expected.abs().max()))
    found.float().square().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().max() > 0 for p in module.parameters())
    with torch.no_grad():
        assert torch.allclose(module(x), expected, atol=1e-4)  # a copy made meanwhile has full precision


@pytest.mark.parametrize("rows", [ROWS, 4096])
@pytest.mark.parametrize("name", LINEAR)
def test_compiled_as_one_graph(name, rows):
    module, x = module_of(name), torch.randn(rows, 16)
    torch._dynamo.reset()
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    assert torch.allclose(compiled(x), by_factors(module, x), atol=1e-4)
    with torch.no_grad():
        module.factors[0].mul_(2)
        assert torch.allclose(compiled(x), by_factors(module, x), atol=1e-4)


@pytest.mark.parametrize("name", ["lowrank", "btt", "mpo"])
def test_compiled_training_in_reduced_precision(name):
    module, x = module_of(name), torch.randn(ROWS, 16)
    torch._dynamo.reset()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    found = []
    for one in (module, compiled):
        module.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            one(x).float().square().sum().backward()
        found.append(torch.cat([p.grad.flatten() for p in module.parameters()]))
    assert (found[0] - found[1]).norm() < 0.03 * found[0].norm()


class Counted(Factored):
    """Tells which way was taken."""

    rank = 1

    def __init__(self, *args):
        super().__init__(None, (8, 8), *args, matrix=torch.eye(8))
        self.taken = []

    def multiply(self, x):
        self.taken.append("factors")
        return x

    def dense(self):
        self.taken.append("weight")
        return self.matrix


def test_the_faster_way_is_taken():
    cheap = Counted(Cost(1, 8, 8, 8, 512))
    dear = Counted(Cost(9, 999, 999, 999, 512))
    for layer, ways in ((cheap, ["factors"] * 2), (dear, ["weight"])):
        with torch.no_grad():
            layer(torch.ones(5, 8))
            layer(torch.ones(5, 8))
        assert layer.taken == ways
    slow_to_rebuild = Counted(Cost(2, 64, 64, 64, 10**9))
    slow_to_rebuild(torch.ones(5, 8))
    assert slow_to_rebuild.taken == ["factors"]  # while it trains
    with torch.no_grad():
        slow_to_rebuild(torch.ones(5, 8))
    assert slow_to_rebuild.taken == ["factors", "weight"]


def test_more_rows_take_the_factors_of_a_large_layer():
    layer = module_of("lowrank", 384, 128, 10)
    x = torch.randn(512, 128)
    with torch.no_grad():
        layer(x)
    assert layer._copy is None


@pytest.mark.parametrize("name", LINEAR)
def test_counted_operations_are_those_that_the_format_tells(name):
    layer = Layer("layer", nn.Linear(16, 24))
    for rank in (1, 2):
        model = nn.Sequential(module_of(name, rank=rank))
        assert flops_of(model, torch.randn(7, 16)) == 2 * 7 * FORMATS[name].flops(layer, rank)
