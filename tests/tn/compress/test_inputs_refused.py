"""Data that could mean two things or holds no numbers is refused, and loading changes no model."""

import copy

import pytest
import torch

from bondwise.runs import RunError, UsageError
from bondwise.tn.compress import (
    FactorizedConv2d,
    FactorizedLinear,
    compress,
    compress_evenly,
    heal,
    load,
    profile,
    quantize,
    refine,
    report,
    save,
    to_dense,
)


def network(outputs=16):
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, outputs))


def test_two_tensors_in_a_tuple_could_be_labels_or_batches():
    data = torch.randn(64, 16)
    with pytest.raises(UsageError, match=r"\[\(inputs, labels\)\]"):
        compress(network(), 0.5, data=(data, 100 * data))
    compress(network(), 0.5, data=[(data, data)], seed=0)
    compress(network(), 0.5, data=[data, data], seed=0)


def test_data_without_numbers_is_refused():
    with pytest.raises(UsageError, match="holds no numbers"):
        compress(network(), 0.5, data=torch.randn(64, 16, device="meta"))


CALLS = [
    lambda model, data: compress(model, 0.5, data=data, seed=0),
    lambda model, data: quantize(model, "int4", data=data),
    lambda model, data: quantize(model, "int4", method="round"),
    lambda model, data: profile(model, data=data, fractions=0.5, seed=0),
    lambda model, data: compress_evenly(model, 0.5, data=data),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", ["0.weight", "1.bias", "3.weight"])
@pytest.mark.parametrize("wrong", [torch.nan, -torch.inf])
def test_parameters_that_are_not_finite_are_named(call, name, wrong):
    torch.manual_seed(0)
    layers = torch.nn.Embedding(50, 16), torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4)
    model, data = torch.nn.Sequential(*layers), torch.randint(49, (20, 6))
    with torch.no_grad():
        model.get_parameter(name)[-1] = wrong  # the row of a token that the data do not have
    with pytest.raises(UsageError, match=f"^{name} holds NaN or infinite numbers; load the model again"):
        call(model, data)


@pytest.mark.parametrize("call", [CALLS[0], CALLS[1], CALLS[3], CALLS[4]])
@pytest.mark.parametrize("rows", [slice(0, 64), slice(40, 41)])
def test_data_that_are_not_finite_are_named(call, rows):
    data = torch.randn(64, 16)
    data[rows] = torch.nan
    with pytest.raises(UsageError, match="are not finite.*; .*check the data"):
        call(network(), data)


def test_training_and_reports_name_data_that_are_not_finite():
    model, good = network(), torch.randn(64, 16)
    small = compress(model, 0.5, data=good, outputs="values", seed=0)
    before = copy.deepcopy(small.state_dict())
    for rows in (slice(0, 64), slice(40, 41)):
        data = good.clone()
        data[rows] = torch.nan
        for call in (heal, lambda *models, data: report(models[0], reference=models[1], data=data, batch=1)):
            with pytest.raises(UsageError, match="dense model's answers to the data are not finite; .*check"):
                call(small, model, data=data)
    late = [*torch.randn(40, 4, 16), torch.full((4, 16), torch.nan)]  # not among those that are checked
    for order in (late, late[::-1]):
        with pytest.raises(UsageError, match="the data are not finite"):
            heal(small, model, data=order, steps=60, seed=0)
    assert all(torch.equal(before[name], tensor) for name, tensor in small.state_dict().items())
    with torch.no_grad():
        small[2].bias[0] = torch.nan
    with pytest.raises(RunError, match="compressed model's answers to the data are not finite before any"):
        heal(small, model, data=good, steps=3)


def test_what_a_divergence_that_is_too_large_is_due_to():
    data = torch.randn(64, 16)
    with pytest.raises(RunError, match=r"; raise budget=0.9, or raise max_loss$"):
        compress(network(), 0.9, data=data, max_loss=1e-12, seed=0)
    said = "; raise budget=0.9, leave out quantize=int2 or give more bits, or raise max_loss$"
    with pytest.raises(RunError, match=said):
        compress(network(), 0.9, data=data, max_loss=1e-12, quantize="int2", seed=0)


def test_loading_leaves_the_dense_model_alone(tmp_path):
    dense, data = network(), torch.randn(64, 16)
    folder = save(compress(dense, 0.5, data=data, seed=0), tmp_path / "small")
    before = copy.deepcopy(dense.state_dict())
    again = load(folder, model=dense)
    assert again is not dense
    other = network(outputs=11)
    kinds = [type(module) for module in other.modules()]
    with pytest.raises(UsageError, match="does not fit"):
        load(folder, model=other)
    assert [type(module) for module in other.modules()] == kinds
    assert all(torch.equal(before[name], tensor) for name, tensor in dense.state_dict().items())


@pytest.mark.parametrize("budget", [0.1, 0.9])
def test_a_model_that_is_compressed_already(budget):
    dense, data = network(), torch.randn(64, 16)
    small = compress(dense, budget, data=data, seed=0)
    again = [
        lambda model: compress(model, 0.5, data=data, seed=0),
        lambda model: compress_evenly(model, 0.5),
    ]
    for one in again:
        with pytest.raises(UsageError, match=r"compressed already \([02] is in factors\).*to_dense\(model\)"):
            one(small)
        with pytest.raises(UsageError, match=r"2.weight is quantized already; .*dequantize\(model\)"):
            one(quantize(dense, "int8", method="round", skip="0"))
        one(to_dense(small))


@pytest.mark.parametrize(
    ("dtype", "remedy"),
    [(torch.float32, r"float\(\)"), (torch.bfloat16, r"to\(torch.bfloat16\)")],
)
def test_data_of_another_type_than_the_model(dtype, remedy):
    with pytest.raises(UsageError, match=f"type float64: .*; the model is of type .*: give data.{remedy}"):
        compress(network().to(dtype), 0.5, data=torch.randn(64, 16).double())


def test_formats_that_are_for_other_layers():
    with pytest.raises(
        UsageError, match="formats that were given are for convolution layers, and it has only lin"
    ):
        compress(network(), 0.5, data=torch.randn(64, 16), formats="tucker2")


@pytest.mark.parametrize(
    "wrong", [{"groups": 5}, {"padding": "all"}, {"padding": "same", "stride": 2}, {"padding_mode": "ones"}]
)
def test_convolutions_that_torch_refuses(wrong):
    with pytest.raises(UsageError, match="refuses the arguments"):
        FactorizedConv2d(16, 32, 3, rank=2, **wrong)


def test_a_file_is_no_folder(tmp_path):
    path = tmp_path / "small"
    path.write_text("mine")
    with pytest.raises(UsageError, match="small is a file; give a folder"):
        save(quantize(network(), "int8", method="round"), path)
    assert path.read_text() == "mine"


def test_layers_without_numbers_are_refused():
    for make in (
        lambda: FactorizedLinear(0, 4, budget=0.3),
        lambda: FactorizedConv2d(0, 32, 3, budget=0.3),
        lambda: FactorizedConv2d(16, 32, 0, budget=0.3),
    ):
        with pytest.raises(UsageError, match="has no numbers to factorize; give sizes of at least 1"):
            make()


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = torch.nn.Linear(16, 32), torch.nn.Linear(32, 16)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(x)))


class Blocks(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = torch.nn.ModuleList([Block(), Block()])

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


@pytest.mark.parametrize("row", [5, 40])
def test_refine_names_the_data_wherever_they_are_not_finite(row):
    torch.manual_seed(0)
    model, data = Blocks().eval(), torch.randn(64, 16)
    small, wrong = compress(model, 0.5, data=data, seed=0), data.clone()
    wrong[row, 3] = torch.nan
    with pytest.raises(UsageError, match="the dense model's answers to the data are not finite"):
        refine(small, model, data=[wrong[:32], wrong[32:]], steps=5, seed=0)
