"""Readers draw diagrams that lambeq can draw and serialize, with the boxes that the models name."""

import numpy as np
import pytest
from lambeq import AtomicType, IQPAnsatz, stairs_reader
from lambeq.backend.grammar import Diagram
from matplotlib import pyplot

from bondwise.qml.protein import Alphabet, PathReader, TreeReader, WindowReader
from bondwise.runs import UsageError

READERS = [
    PathReader(),
    PathReader(Alphabet("hp", 2), residues="gates", boxes=3),
    PathReader(residues="gates", ancilla=True),
    TreeReader(boxes=2),
    WindowReader(window=3, stride=2),
    WindowReader(window=3, stride=2, residues="states"),
]


@pytest.mark.parametrize("reader", READERS)
def test_draws_and_serializes(reader, tmp_path):
    diagram = reader.sentence2diagram("mktaUYx")
    assert Diagram.from_json(diagram.to_json()) == diagram
    picture = tmp_path / "diagram.png"
    diagram.draw(path=str(picture))
    pyplot.close("all")
    assert picture.stat().st_size > 1000


def test_uniform_path_is_lambeqs_stairs():
    """The same diagram: its boxes come in another order, so their contractions are compared."""
    ansatz, found = IQPAnsatz({AtomicType.SENTENCE: 1}, n_layers=1), []
    theirs = stairs_reader.sentence2diagram(list("MKTA"), tokenised=True)
    for diagram in (PathReader().sentence2diagram("MKTA"), theirs):
        circuit = ansatz(diagram)
        symbols = sorted(circuit.free_symbols, key=lambda symbol: symbol.name)
        values = np.random.default_rng(0).random(len(symbols))
        found.append((symbols, np.asarray(circuit.lambdify(*symbols)(*values).eval(mixed=True))))
    assert found[0][0] == found[1][0]
    np.testing.assert_allclose(found[0][1], found[1][1], atol=1e-12)


def test_hierarchical_boxes_share_the_last():
    names = [box.name for box in PathReader(boxes=2).sentence2diagram("MKTAY").boxes]
    assert [name for name in names if "STAIR" in name] == ["STAIR_0", "STAIR_1", "STAIR_1", "STAIR_1"]


def test_what_is_refused():
    with pytest.raises(UsageError, match="2,001 words are too many"):
        PathReader().sentence2diagram("M" * 2001)
    with pytest.raises(UsageError, match="'Q7' is not a word"):
        TreeReader().sentence2diagram(["M", "Q7"], tokenised=True)
    with pytest.raises(UsageError, match="ancilla needs"):
        PathReader(ancilla=True)
