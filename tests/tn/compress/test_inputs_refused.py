"""Data that could mean two things or holds no numbers is refused, and loading changes no model."""

import copy

import pytest
import torch

from bondwise.runs import UsageError
from bondwise.tn.compress import compress, compress_evenly, load, quantize, save, to_dense


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
