"""Models come out smaller, as asked, and close to the dense one; wrong requests are refused in one line."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from bondwise.runs import RunError, UsageError
from bondwise.tn.compress import LowRank, compress, register
from bondwise.tn.compress.calibration.batches import answer, divergence
from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.formats.formats import is_factored
from bondwise.tn.compress.layers import find_layers, replace


def distance(model, dense, data):
    with torch.no_grad():
        return float(divergence(answer(model, data), answer(dense, data)))


def truncated(model, budget):
    """Every layer by its own singular value decomposition, at the same fraction."""
    import copy

    small = copy.deepcopy(model)
    for name, layer in find_layers(small).items():
        rank = max(1, int(budget * layer.num_params / sum(layer.shape)))
        factors = LowRank.fits(layer, layer.weight, Metric()).build(rank)
        replace(small, name, factors)
    return small.eval()


@pytest.mark.parametrize("budget", [0.25, 0.5, 0.9])
def test_the_budget_is_kept_and_the_answers_too(llama, budget):
    model, tokens = llama
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    small = compress(model, budget, data=tokens, seed=0)
    report = small.report
    layers = find_layers(model)
    left = sum(sum(p.numel() for p in small.get_submodule(name).parameters()) for name in layers)
    assert report.dense_params == sum(layer.num_params for layer in layers.values())
    assert left == round(report.value * report.dense_params)
    assert budget - 0.05 <= report.value <= budget
    assert not small.training
    assert small.lm_head.weight is small.model.embed_tokens.weight
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert distance(small, model.eval(), tokens) < 0.7 * distance(truncated(model, budget), model, tokens)


def test_the_same_seed_gives_the_same_model(llama):
    model, tokens = llama
    one, two = (compress(model, 0.5, data=tokens, seed=3).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["gpt2", "bert", "chain"])
def test_other_models(kind, dtype, request):
    model = request.getfixturevalue(kind)
    data = torch.randint(24, (20, 10))
    if kind == "bert":
        mask = torch.ones_like(data)
        mask[:, 7:] = 0
        pairs = zip(data.split(5), mask.split(5), strict=True)
        data = [{"input_ids": ids, "attention_mask": ones} for ids, ones in pairs]
    elif kind == "chain":
        data = [(torch.randn(5, 12).to(dtype), torch.zeros(5, dtype=torch.long)) for _ in range(4)]
    model = model.to(dtype).eval()
    small = compress(model, 0.6, data=data, seed=0)
    assert 0.5 < small.report.value <= 0.6
    factors = [module for module in small.modules() if is_factored(module)]
    assert factors
    assert all(parameter.dtype == dtype for parameter in small.parameters())
    probe = data if torch.is_tensor(data) else data[0]
    assert distance(small, model, probe) < distance(
        truncated(model.float(), 0.6).to(dtype), model.to(dtype), probe
    )


def test_a_layer_that_is_skipped_stays(llama):
    model, tokens = llama
    small = compress(model, 0.5, data=tokens, skip=["*.q_proj", "model.layers.1.*"], seed=0)
    assert set(small.report.layers) == {
        f"model.layers.0.{name}_proj"
        for name in ("self_attn.k", "self_attn.v", "self_attn.o", "mlp.gate", "mlp.up", "mlp.down")
    }


def test_a_real_language_model():
    if "BONDWISE_DATA" not in os.environ:
        pytest.skip("BONDWISE_DATA, the folder of data sets, is not set")
    folder = Path(os.environ["BONDWISE_DATA"]) / "lm" / "stories260K"
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    fitted, held = (
        torch.from_numpy(np.load(folder / f"samples_{part}.npy").astype(np.int64))
        for part in ("train", "valid")
    )
    small, held = compress(model, 0.8, data=fitted[:24, :96], seed=0), held[:16, :128]
    plain = distance(truncated(model, 0.8), model, held)
    assert distance(small, model, held) < min(1.2, plain / 2)


@pytest.mark.parametrize(
    ("budget", "more", "message"),
    [
        (0, {}, "budget"),
        (1.5, {}, "budget"),
        (-0.1, {}, "budget"),
        (float("nan"), {}, "budget"),
        (0.01, {}, "budget=0.01 is too small: the smallest factors keep 0.112"),
        (0.5, {"formats": ["lowrnk"]}, "unknown format 'lowrnk'. Did you mean 'lowrank'"),
        (
            0.5,
            {"skip": ["*.qproj"]},
            r"skip='\*.qproj' fits no layer of the model; one is called 'model.layers.0",
        ),
        (0.5, {"skip": ["*"]}, "the model has no layer to compress"),
        (0.5, {"formats": []}, "formats is empty; leave it out"),
        (0.5, {"formats": None}, "formats is empty; leave it out"),
        (0.5, {"data": torch.full((4, 5), 24)}, "data holds the token 24, but the model knows 0 to 23"),
        (0.5, {"data": torch.zeros(0, 5)}, "data is empty"),
    ],
)
def test_wrong_requests(llama, budget, more, message):
    model, tokens = llama
    with pytest.raises(UsageError, match=message) as error:
        compress(model, budget, **({"data": tokens} | more))
    assert "\n" not in str(error.value)


def test_weights_that_are_not_finite_and_models_without_layers(llama):
    model, tokens = llama
    with torch.no_grad():
        model.model.layers[1].self_attn.k_proj.weight[0, 0] = torch.nan
    with pytest.raises(UsageError, match=r"model.layers.1.self_attn.k_proj.weight holds NaN"):
        compress(model, 0.5, data=tokens)
    with pytest.raises(UsageError, match="no layer to compress"):
        compress(nn.Sequential(nn.ReLU()), 0.5, data=tokens)


def test_a_loss_that_is_too_large(llama):
    model, tokens = llama
    with pytest.raises(RunError, match=r"the divergence is .*, above max_loss=0.001; raise budget=0.3"):
        compress(model, 0.3, data=tokens, max_loss=1e-3, seed=0)


class Transposed(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.matrix = torch.nn.Parameter(torch.randn(size, 3) @ torch.randn(3, size))

    def forward(self, x):
        return x @ self.matrix


def test_registered_classes_are_compressed_and_subclasses_of_linear_are_not():
    class Doubled(torch.nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    torch.manual_seed(0)
    model = torch.nn.Sequential(Transposed(12), torch.nn.Tanh(), Doubled(12, 12))
    with pytest.raises(UsageError, match="no layer to compress"):
        find_layers(model)
    register(Transposed, weight=lambda module: module.matrix.T)
    data = torch.randn(64, 12)
    small = compress(model, 0.99, data=data, seed=0)
    assert list(small.report.layers) == ["0"]
    assert torch.allclose(small(data), model(data), atol=1e-3)
    with pytest.raises(UsageError, match="class of torch modules"):
        register(Transposed(2), weight=lambda module: module.matrix.T)


class Odd(Transposed):
    """Not what it will be registered as."""

    def forward(self, x):
        return super().forward(x).relu()


class Paired(Transposed):
    def forward(self, x):
        return super().forward(x), x


class Chosen(torch.nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.layer = kind(12)

    def forward(self, x):
        found = self.layer(x)
        return found if torch.is_tensor(found) else found[0]


@pytest.mark.parametrize(
    ("kind", "weight", "message"),
    [
        (
            Odd,
            lambda module: module.matrix.T,
            r"layer \(Odd\) returns something else \(relative difference 0",
        ),
        (Transposed, lambda module: module.matrix, "returns something else .* give it their weight and bias"),
        (Paired, lambda module: module.matrix.T, r"layer \(Paired\) returns a tuple; register is for layers"),
        (
            Transposed,
            lambda module: module.matrix[:, :5].T,
            r"returns 12 numbers for 12, while its weight has the shape \(5, 12\); register is for layers "
            r"that return weight · x \+ bias: give it their weight and bias, or add layer to skip",
        ),
    ],
)
def test_registered_classes_that_are_not_linear_are_refused(kind, weight, message):
    torch.manual_seed(0)
    register(kind, weight=weight)
    try:
        with pytest.raises(UsageError, match=message) as error:
            compress(Chosen(kind), 0.9, data=torch.randn(16, 12), seed=0)
        assert "\n" not in str(error.value)
    finally:
        register(kind, weight=lambda module: module.matrix.T)


@pytest.mark.parametrize(
    ("scale", "message"), [(200.0, "answers to the cal|numbers at .* not finite"), (1e30, "finite")]
)
def test_numbers_that_overflow_in_calibration(llama, scale, message):
    model, tokens = llama
    model = model.half() if scale < 1e4 else model
    with torch.no_grad():
        for block in model.model.layers:
            block.mlp.up_proj.weight.mul_(scale)
            block.mlp.down_proj.weight.mul_(scale)
    with pytest.raises(UsageError, match=message) as error:
        compress(model, 0.5, data=tokens, seed=0)
    assert "load the model in float32 or bfloat16, and check the data" in str(error.value)
    assert "\n" not in str(error.value)


def test_things_that_are_no_models_are_refused():
    with pytest.raises(
        UsageError, match="model is a NoneType; give a torch module, or the folder of a model"
    ):
        compress(None, 0.5, data=torch.zeros(2, 2))


def test_arrays_are_data(llama):
    model, tokens = llama
    small, other = (compress(model, 0.5, data=data, seed=0) for data in (tokens, tokens.numpy()))
    assert small.report == other.report


def test_one_layer_spends_its_budget():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(50, 8), nn.Flatten(), nn.Linear(96, 10)).eval()
    tokens = torch.randint(50, (256, 12))
    step = 106 / 960  # of a rank
    for budget in (0.3, 0.5, 0.7):
        assert budget - step < compress(model, budget, data=tokens, seed=0).report.value <= budget


class Twice(nn.Module):
    """Two layers with one weight."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8)
        self.two.weight = self.one.weight

    def forward(self, x):
        return self.two(self.one(x).tanh())


def on_meta():
    with torch.device("meta"):
        return nn.Sequential(nn.Linear(8, 8), nn.ReLU())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Linear(8, 8), r"it is itself a Linear; give torch.nn.Sequential\(model\)"),
        (lambda: nn.Embedding(20, 8), r"give torch.nn.Sequential\(model\), formats='tt_embedding'"),
        (lambda: nn.Sequential(nn.Embedding(20, 8)), "0 is an embedding, which only formats='tt_embedding'"),
        (Twice, "one shares its weight with another layer, two shares its weight with another layer"),
        (lambda: nn.Sequential(nn.ReLU(), nn.Linear(8, 1)), r"1 is a single row or column of shape \(1, 8\)"),
        (lambda: nn.Sequential(nn.ReLU()), "none of its modules is one of the kinds convolution or linear"),
        (on_meta, "0.weight is on the meta device and holds no numbers; load the model first"),
    ],
)
def test_why_there_is_nothing_to_compress(make, message):
    with pytest.raises(UsageError, match=message) as error:
        compress(make(), 0.5, data=torch.randn(16, 8))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("shape", [(64, 32), (7, 5), (10, 10), (12, 100), (33, 3)])
def test_the_smallest_fraction_that_is_named_is_accepted(shape):
    model, data = nn.Sequential(nn.Linear(*shape)), torch.randn(16, shape[0])
    with pytest.raises(UsageError, match="the smallest factors keep") as error:
        compress(model, 1e-9, data=data)
    named = str(error.value).split("keep ")[1].split(";")[0]
    assert compress(model, float(named), data=data, seed=0)[0].rank == 1


def test_no_factors_are_smaller_than_a_tiny_layer():
    with pytest.raises(UsageError, match="no factors of these formats are smaller than the dense layers"):
        compress(nn.Sequential(nn.Linear(2, 2)), 0.5, data=torch.randn(16, 2))


def test_the_error_of_the_divergence_is_that_of_the_samples(chain, llama):
    """It scatters as much as it says, and sequences are samples."""
    data = torch.randn(3200, 12, generator=torch.Generator().manual_seed(0))
    reports = [compress(chain, 0.6, data=part, seed=0, outputs="values").report for part in data.split(400)]
    scatter = np.std([one.divergence for one in reports], ddof=1)
    said = np.mean([one.divergence_std for one in reports])
    assert 0.4 < scatter / said < 2.5
    assert f" ± {reports[0].divergence_std:.2g}, outputs" in str(reports[0])
    model, tokens = llama
    assert compress(model, 0.5, data=tokens, seed=0).report.divergence_std > 0
    mask = (torch.arange(10) < 9) | (torch.arange(32)[:, None] > 0)  # 79 tokens in the batch that is held out
    padded = {"input_ids": tokens, "attention_mask": mask.long()}
    assert compress(model, 0.5, data=padded, seed=0).report.divergence_std is None
    alone = compress(chain, 0.6, data=data[:1], seed=0).report
    assert alone.divergence_std is None
    assert "±" not in str(alone)
