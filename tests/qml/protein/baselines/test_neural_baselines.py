"""Small networks: their equations, padding without effect, scikit-learn's interface, real data."""

import numpy as np
import pytest
import torch
from helpers import membrane_or_cytoplasm, planted
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from bondwise.qml.protein.baselines.classical_twin import ClassicalTwin
from bondwise.qml.protein.baselines.neural_baselines import CNN, GRU
from bondwise.qml.protein.classifiers.classifier import ProteinClassifier
from bondwise.runs import UsageError

ALL = [CNN, GRU, ClassicalTwin]


def network(model, labels=(0, 1)):
    """A network in double precision with parameters of its own."""
    model = clone(model).set_params(epochs=1)
    return model.fit(["ACD", "WYV", "KKK"][: len(labels)], labels).network_.double()


@settings(max_examples=20, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4), more=st.integers(0, 20), seed=st.integers(0)
)
@pytest.mark.parametrize("kind", ALL)
def test_padding_never_enters(kind, lengths, more, seed):
    generator = torch.Generator().manual_seed(seed % 2**31)
    net = network(kind(seed=seed % 2**31), (0, 1, 2))
    rows = [torch.randint(0, 20, (n,), generator=generator) for n in lengths]
    batch = torch.full((len(rows), max(lengths) + more), -1)
    for i, row in enumerate(rows):
        batch[i, : len(row)] = row
    together = net(batch)
    alone = torch.cat([net(row[None]) for row in rows])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)
    gradients = torch.autograd.grad(together.sum(), list(net.parameters()))
    expected = torch.autograd.grad(alone.sum(), list(net.parameters()))
    for one, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_twin_equals_its_equation():
    model = ClassicalTwin(filters=2, window=4, stride=3)
    net = network(model)
    tokens = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8])
    x, bias = net.scalars.detach().numpy(), net.bias.detach().numpy()
    kappa = np.exp(net.sharpness.item())
    z = np.array([1 / (1 + np.exp(-bias - x[tokens[i : i + 4]].sum(0))) for i in (0, 3, 6)])
    features = np.concatenate(
        [np.log(np.exp(kappa * z).sum(0)) / kappa, -np.log(np.exp(-kappa * z).sum(0)) / kappa, z.mean(0)]
    )
    expected = net.readout.weight.detach().numpy() @ features + net.readout.bias.detach().numpy()
    np.testing.assert_allclose(net(torch.tensor(tokens)[None]).detach(), expected, atol=1e-12)


def test_twin_leaves_out_words_that_fill_no_window_and_keeps_short_sentences():
    net = network(ClassicalTwin(filters=3, window=5, stride=2))
    tokens = torch.tensor([[7, 1, 8, 2, 8, 1, 8, 2]])  # windows at 0 and 2
    torch.testing.assert_close(net(tokens), net(tokens[:, :7]), rtol=0, atol=0)
    assert abs(net(tokens) - net(tokens[:, :6])).item() > 1e-6
    short = torch.tensor([[7, 1]])
    z = torch.sigmoid(net.scalars[short[0]].sum(0) + net.bias)
    torch.testing.assert_close(net(short), net.readout(torch.cat([z, z, z]))[:1], rtol=0, atol=1e-12)


def test_convolution_equals_its_equation():
    net = network(CNN(channels=3, width=3))
    tokens = torch.tensor([4, 0, 19, 7, 7])
    around = nn_pad(net.embedding(tokens))
    features = torch.stack(
        [
            torch.relu(
                torch.einsum("cew,we->c", net.convolution.weight, around[i : i + 3]) + net.convolution.bias
            )
            for i in range(5)
        ]
    )
    expected = net.readout(torch.cat([features.max(0).values, features.mean(0)]))
    torch.testing.assert_close(net(tokens[None]), expected, rtol=0, atol=1e-12)


def nn_pad(values):
    """One zero row before and one after."""
    return torch.nn.functional.pad(values, (0, 0, 1, 1))


def test_unit_equals_its_equation():
    net = network(GRU(hidden=5))
    unit, state, states = net.unit, torch.zeros(5, dtype=torch.float64), []
    tokens = torch.tensor([4, 0, 19, 7])
    for value in net.embedding(tokens):
        of_input = unit.weight_ih_l0 @ value + unit.bias_ih_l0
        of_state = unit.weight_hh_l0 @ state + unit.bias_hh_l0
        reset, update = torch.sigmoid(of_input[:10] + of_state[:10]).split(5)
        state = (1 - update) * torch.tanh(of_input[10:] + reset * of_state[10:]) + update * state
        states.append(state)
    table = torch.stack(states)
    expected = net.readout(torch.cat([table.max(0).values, table.mean(0)]))
    torch.testing.assert_close(net(tokens[None]), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("model", "binary", "ternary"),
    [
        (CNN(), 20 * 16 + 32 * (16 * 9 + 1) + 65, 20 * 16 + 32 * (16 * 9 + 1) + 3 * 65),
        (GRU(), 20 * 16 + 96 * (16 + 32 + 2) + 65, 20 * 16 + 96 * (16 + 32 + 2) + 3 * 65),
        (ClassicalTwin(), 98, 80 + 4 + 1 + 3 * 13),
    ],
)
def test_counts_of_parameters(model, binary, ternary):
    model = clone(model).set_params(epochs=1)
    assert model.fit(["ACD", "WYV"], [0, 1]).num_parameters == binary
    assert model.fit(["ACD", "WYV", "KKK"], [0, 1, 2]).num_parameters == ternary
    assert model.predict_proba(["ACD", "W"]).shape == (2, 3)


@pytest.mark.parametrize("kind", ALL)
def test_learns_a_planted_segment(kind):
    model = kind(epochs=8, learning_rate=0.03, batch_size=16)
    model.fit(*planted(200, 0), validation=planted(60, 1))
    assert model.classes_.tolist() == ["membrane", "soluble"]
    assert model.score(*planted(200, 2)) > 0.9


@pytest.mark.parametrize("kind", ALL)
def test_learns_three_classes(kind):
    names = ("soluble", "membrane", "charged")
    model = kind(epochs=8, learning_rate=0.03, batch_size=16)
    model.fit(*planted(240, 0, names), validation=planted(60, 1, names))
    assert model.score(*planted(240, 2, names)) > 0.85


@pytest.mark.parametrize("kind", ALL)
def test_face_of_scikit_learn(kind, tmp_path):
    own = {
        CNN: {"channels": 3, "width": 4},
        GRU: {"hidden": 3},
        ClassicalTwin: {"filters": 2, "window": 7, "stride": 2},
    }
    model = kind(**own[kind], epochs=2, seed=3)
    assert own[kind].items() <= model.get_params().items()
    assert set(model.get_params()) - set(own[kind]) == {
        "alphabet",
        "k",
        "epochs",
        "learning_rate",
        "batch_size",
        "seed",
    }
    with pytest.raises(NotFittedError, match="call fit first"):
        model.predict_proba(["A"])
    train, test = planted(30, 0), planted(11, 1)
    other = clone(model).fit(*train)
    assert model.fit(*train) is model
    probabilities = model.predict_proba(test[0])
    np.testing.assert_array_equal(probabilities, other.predict_proba(test[0]))
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-12)
    assert model.score(*test) == np.mean(model.predict(test[0]) == np.array(test[1]))
    model.save(tmp_path)
    for loaded in (kind.load(tmp_path), ProteinClassifier.load(tmp_path)):
        assert type(loaded) is kind
        assert loaded.get_params() == model.get_params()
        np.testing.assert_array_equal(loaded.predict_proba(test[0]), probabilities)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (CNN(channels=0), "channels is 0"),
        (CNN(width=2.5), "width is 2.5"),
        (GRU(hidden=-1), "hidden is -1"),
        (ClassicalTwin(filters="4"), "filters is '4'"),
        (ClassicalTwin(window=0), "window is 0"),
        (ClassicalTwin(stride=0), "stride is 0"),
        (ClassicalTwin(epochs=0), "epochs is 0"),
    ],
)
def test_refuses_settings(model, message):
    with pytest.raises(UsageError, match=message):
        model.fit(["A", "C"], [0, 1])


@pytest.mark.slow
def test_twin_on_proteins_of_membrane_and_cytoplasm():
    data = membrane_or_cytoplasm()
    accuracies = [
        ClassicalTwin(seed=seed).fit(*data["train"], validation=data["valid"]).score(*data["test"])
        for seed in range(3)
    ]
    assert np.mean(accuracies) == pytest.approx(0.886, abs=0.005)
