"""The contract: models equal the exact contraction of lambeq's own circuits before it normalizes them."""

import numpy as np
import pytest
import torch
from lambeq import AtomicType

from bondwise.qml.protein.boxes.ansatz import Ansatz
from bondwise.qml.protein.boxes.lambeq_ansatz import lambeq_ansatz
from bondwise.qml.protein.boxes.readers import A, PathReader, TreeReader, WindowReader
from bondwise.qml.protein.data.alphabet import Alphabet
from bondwise.qml.protein.networks.merging import Merging
from bondwise.qml.protein.networks.path import PathNetwork

S = AtomicType.SENTENCE
ALPHABET = Alphabet("murphy10")
TREES = [(1, 1, 11), (3, 1, 13), (1, 1, 16), (2, 2, 3), (1, 1, 1)]
ANSATZE = ["reupload", "exchange", "iqp", "sim14", "sim15", "strongly"]


@pytest.fixture(autouse=True)
def double_precision():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def contracted(diagram, ansatz, angles, qubits, discard):
    """Outcome weights of the open wires of lambeq's circuit, not normalized."""
    circuit = lambeq_ansatz(ansatz, {S: qubits, A: 1}, discard=discard)(diagram)
    symbols = sorted(circuit.free_symbols, key=lambda symbol: symbol.name)
    values = []
    for symbol in symbols:
        name, _, _, number = symbol.name.rsplit("_", 3)
        values.append(angles[name][int(number)].item() / (2 * np.pi))
    bound = circuit.lambdify(*symbols)(*values) if symbols else circuit
    result = np.asarray(bound.eval(mixed=True))
    wires = len(circuit.cod)
    return np.einsum(result.reshape(*(2,) * (2 * wires)), [*range(wires)] * 2, [*range(wires)]).real.ravel()


def random_words(length):
    torch.manual_seed(length)
    return [ALPHABET.words[i] for i in torch.randint(len(ALPHABET), (length,))]


def tokens_of(words):
    return torch.tensor([[ALPHABET.words.index(word) for word in words]])


def assert_equal(found, log10, exact):
    weight = exact.sum()
    np.testing.assert_allclose(found, exact / weight, atol=1e-10)
    assert log10 == pytest.approx(np.log10(weight), abs=1e-10)


@pytest.mark.parametrize("discard", [False, True])
@pytest.mark.parametrize("name", ANSATZE)
@pytest.mark.parametrize(
    ("residues", "boxes", "qubits", "length"),
    [
        ("states", 1, 1, 9),
        ("states", 4, 1, 7),
        ("states", 1, 2, 4),
        ("gates", 1, 2, 9),
        ("gates", 3, 1, 16),
    ],
)
def test_path(residues, boxes, qubits, length, name, discard):
    words = random_words(length)
    ansatz = Ansatz(name, layers=2 if qubits == 1 else 1)
    path = PathNetwork(
        len(ALPHABET),
        qubits=qubits,
        ansatz=ansatz,
        residues=residues,
        boxes=boxes,
        discard=discard,
        spread=1.5,
    )
    diagram = PathReader(ALPHABET, residues=residues, boxes=boxes).sentence2diagram(words, tokenised=True)
    found, log10 = path(tokens_of(words))
    exact = contracted(diagram, ansatz, path.angles(ALPHABET.words), qubits, discard)
    assert_equal(found[0].detach(), log10.item(), exact)


@pytest.mark.parametrize("discard", [False, True])
@pytest.mark.parametrize("name", ANSATZE)
def test_path_with_ancilla(name, discard):
    words, ansatz = random_words(6), Ansatz(name)
    path = PathNetwork(
        len(ALPHABET), qubits=2, ansatz=ansatz, residues="gates", ancillas=1, discard=discard, spread=1.0
    )
    diagram = PathReader(ALPHABET, residues="gates", ancilla=True).sentence2diagram(words, tokenised=True)
    found, log10 = path(tokens_of(words))
    exact = contracted(diagram, ansatz, path.angles(ALPHABET.words), 2, discard)
    assert_equal(found[0].detach(), log10.item(), exact)


@pytest.mark.parametrize("discard", [False, True])
@pytest.mark.parametrize("name", ANSATZE)
@pytest.mark.parametrize(
    ("boxes", "qubits", "length"), [(1, 1, 11), (3, 1, 13), (1, 1, 16), (2, 2, 3), (1, 1, 1)]
)
def test_tree(boxes, qubits, length, name, discard):
    words, ansatz = random_words(length), Ansatz(name)
    tree = Merging(len(ALPHABET), qubits=qubits, ansatz=ansatz, boxes=boxes, discard=discard, spread=1.5)
    diagram = TreeReader(ALPHABET, boxes=boxes).sentence2diagram(words, tokenised=True)
    found, log10 = tree(tokens_of(words))
    exact = contracted(diagram, ansatz, tree.angles(ALPHABET.words), qubits, discard)
    assert_equal(found[0].detach(), log10.item(), exact)


@pytest.mark.parametrize("discard", [False, True])
@pytest.mark.parametrize("name", ANSATZE)
@pytest.mark.parametrize("residues", ["states", "gates"])
def test_windows(residues, name, discard):
    """All windows at once in lambeq's circuit; the model contracts one after the other."""
    words, ansatz = random_words(11), Ansatz(name)
    path = PathNetwork(
        len(ALPHABET),
        qubits=1,
        ansatz=ansatz,
        residues=residues,
        discard=discard,
        end=residues == "gates",
        spread=1.5,
    )
    reader = WindowReader(ALPHABET, window=5, stride=3, residues=residues)
    diagram = reader.sentence2diagram(words, tokenised=True)
    found, log10 = path(tokens_of(words)[0].unfold(0, 5, 3))
    exact = contracted(diagram, ansatz, path.angles(ALPHABET.words), 1, discard)
    first, second, third = found.detach()
    together = torch.einsum("a,b,c->abc", first, second, third).flatten()
    assert_equal(together, log10.sum().item(), exact)
    assert len(reader.windows(words, tokenised=True)) == 3


def test_batches_of_unequal_length_equal_single_sentences():
    torch.manual_seed(0)
    path = PathNetwork(
        10, qubits=1, ansatz=Ansatz("sim14"), residues="states", boxes=3, discard=False, spread=1.0
    )
    tree = Merging(10, qubits=1, ansatz=Ansatz("sim14"), boxes=3, discard=False, spread=1.0)
    lengths = [1, 2, 3, 7, 16]
    batch = torch.full((5, 16), -1)
    for row, length in enumerate(lengths):
        batch[row, :length] = torch.randint(10, (length,))
    for network in (path, tree):
        found, log10 = network(batch)
        for row, length in enumerate(lengths):
            alone, alone_log10 = network(batch[row : row + 1, :length])
            assert torch.allclose(found[row], alone[0], atol=1e-12)
            assert torch.allclose(log10[row], alone_log10[0], atol=1e-12)
