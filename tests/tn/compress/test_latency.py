"""A model is as fast as asked, by the clock; the search is also tested with a clock of its own."""

import pytest
import torch
from torch import nn

from bondwise.runs import UsageError
from bondwise.tn.compress import Compression, budgets, compress, costs, latency
from bondwise.tn.compress.allocation import Choice
from bondwise.tn.compress.costs import latency_of
from bondwise.tn.compress.formats.formats import is_factored
from bondwise.tn.compress.layers import find_layers
from bondwise.tn.compress.quantization.packed import packed_parameters

DATA = torch.randn(8, 64)


def wide(width=64, depth=4):
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Linear(width, width) for _ in range(depth))).eval()


def options(model):
    return {
        name: [Choice("dense", 0, layer.num_params, 0.0)]
        + [Choice("lowrank", rank, rank * sum(layer.shape), (1 - rank / 32) ** 2) for rank in range(1, 32)]
        for name, layer in find_layers(model).items()
    }


def by_numbers(options, model, layers, batch):
    """A microsecond for each number in a layer."""
    return {
        name: {one._replace(size=1e-3 * one.size): one for one in choices}
        for name, choices in options.items()
    }


@pytest.mark.parametrize("overhead", [0.7, 1.0, 1.4, 2.0])
@pytest.mark.parametrize("wanted", [8.0, 12.0])
def test_the_measured_time_decides(monkeypatch, overhead, wanted):
    model = wide()

    def whole(model, batch, runs=9):
        numbers = sum(parameter.numel() for parameter in model.parameters())
        return 1e-3 * numbers * (overhead if any(map(is_factored, model.modules())) else 1) + 2.0

    monkeypatch.setattr(latency, "latency_of", whole)
    monkeypatch.setattr(latency, "_timed", by_numbers)
    layers = find_layers(model)
    found = latency.choose_within(wanted, options(model), model, layers, DATA, "budget")
    assert all(type(module) is nn.Linear for module in model)
    with latency._exchanged(model, layers, found):
        assert 0.9 * wanted <= whole(model, DATA) <= wanted
    with pytest.raises(UsageError, match=r"budget is too small: with the fastest factors .* takes \d"):
        latency.choose_within(2.1, options(model), model, layers, DATA, "budget")
    kept = latency.choose_within(30.0, options(model), model, layers, DATA, "budget")
    assert {choice.format for choice in kept.values()} == {"dense"}


@pytest.mark.parametrize("start", range(0, 20, 4))
def test_a_machine_that_is_slow_for_some_time_misleads_nobody(monkeypatch, start):
    model, calls = wide(), []

    def quiet(model):
        return 1e-3 * sum(parameter.numel() for parameter in model.parameters()) + 2.0

    def seen(model, batch, runs=9):
        calls.append(1)
        return quiet(model) * (1.8 if start <= len(calls) < start + 4 else 1)

    monkeypatch.setattr(latency, "latency_of", seen)
    monkeypatch.setattr(latency, "_timed", by_numbers)
    for wanted in (7.0, 9.0, 11.0, 13.0):
        calls.clear()
        layers = find_layers(model)
        found = latency.choose_within(wanted, options(model), model, layers, DATA, "budget")
        with latency._exchanged(model, layers, found):
            assert 0.9 * wanted <= quiet(model) <= wanted


def test_layers_of_one_shape_are_timed_once_and_ranks_between_interpolated(monkeypatch):
    model = wide()
    calls = []
    monkeypatch.setattr(
        latency, "milliseconds", lambda work, device: calls.append(work()) or float(len(calls))
    )
    timed = latency._timed(options(model), model, find_layers(model), DATA)
    assert len(calls) == 1 + 6
    assert all(call.shape == DATA.shape for call in calls)
    sizes = [choice.size for choice in timed["3"]]
    assert sizes[0] == 1
    assert sizes[1:] == sorted(sizes[1:])
    assert (sizes[1], sizes[2], sizes[-1]) == (2.0, pytest.approx(2 + 1 / 6), 7.0)


def test_the_report_says_what_was_asked_for_and_what_was_measured(tmp_path, recwarn):
    small = compress(wide(8, 2), {"latency_ms": 1e5, "batch": 4}, data=torch.randn(16, 8), seed=0)
    found = small.report.latency_ms
    assert (found["asked"], found["batch"]) == (1e5, 4)
    assert found["measured"] > 0 < found["dense"]
    assert "ms for a batch of 4 (asked for 1e+05, dense " in str(small.report)
    assert not [one for one in recwarn if "above budget" in str(one.message)]
    small.report.save(tmp_path / "compression")
    assert Compression.load(tmp_path / "compression") == small.report


@pytest.mark.parametrize(("measured", "said"), [(6.7, "6.7"), (6.0001, "6.001")])
def test_a_miss_is_warned_of(monkeypatch, measured, said):
    monkeypatch.setattr(budgets, "compared", lambda times: (9.0, measured, 0.74))
    with pytest.warns(UserWarning, match=rf"takes {said} ms, above budget=\{{'latency_ms': 6, 'batch': 4\}}"):
        budgets.latency_found(budgets.Budget("latency_ms", 6.0, 4), wide(), wide(), [DATA])


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 64])
def test_by_the_clock(batch):
    model, data = wide(768, 6), torch.randn(64, 768)
    dense = latency_of(model, data[:batch])
    small = compress(model, {"latency_ms": 0.6 * dense, "batch": batch}, data=data, seed=0)
    # a machine that does something else too: the fastest of some medians
    again = min(latency_of(small, data[:batch]) for _ in range(5))
    assert again <= 1.1 * 0.6 * dense
    assert small.report.value > 0.1
    with pytest.raises(UsageError, match="is too small: with the fastest factors the model takes"):
        compress(model, {"latency_ms": 1e-3 * dense, "batch": batch}, data=data, seed=0)


@pytest.mark.parametrize("choice", [Choice("dense", 0, 1.0, 0.0, 4), Choice("lowrank", 3, 1.0, 0.0, 4)])
def test_layers_in_few_bits_are_timed_as_such(choice):
    (layer, *_) = find_layers(wide()).values()
    module = latency._shaped(layer, choice)
    assert [packed.layout.bits for _, packed in packed_parameters(module)] in ([4], [4, 4])
    assert module(DATA).isfinite().all()
    assert not list(packed_parameters(layer.module))


def test_long_calls_are_not_timed_more_often_than_asked(monkeypatch):
    calls = []
    monkeypatch.setattr(costs, "_LONG", 0.0)
    monkeypatch.setattr(costs, "_SHORT", 0.0)
    costs.milliseconds(lambda: calls.append(1), torch.device("cpu"), 1)
    assert len(calls) == 3  # two of them to warm up
