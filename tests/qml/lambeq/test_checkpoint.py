"""Models in files: what `save` writes and what lambeq writes are read alike, and nothing in them is run."""

import importlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from lambeq import AtomicType, Dataset, IQPAnsatz, PytorchModel, PytorchQuantumModel, PytorchTrainer, Symbol
from lambeq.backend.grammar import Cup, Id, Word
from lambeq.backend.quantum import Bra, Discard, H, Ket, Rx, Ry, X

from bondwise.qml import BatchedModel
from bondwise.runs import UsageError

N, S = AtomicType.NOUN, AtomicType.SENTENCE
BUILD = IQPAnsatz({N: 1, S: 1}, n_layers=1)
CIRCUITS = [
    BUILD((Word(name, N) @ Word("runs", N >> S)) >> (Cup(N, N.r) @ Id(S))) for name in ("Alice", "Bob")
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Checkpoints of lambeq's trainer, of a metric in numpy's numbers too."""
    where = tmp_path_factory.mktemp("log")
    data = Dataset(CIRCUITS, [[0.0, 1.0], [1.0, 0.0]])
    trainer = PytorchTrainer(
        BatchedModel.from_diagrams(CIRCUITS),
        loss_function=torch.nn.MSELoss(),
        epochs=2,
        learning_rate=0.1,
        evaluate_functions={"mean": lambda found, wanted: np.float64(found.mean().item())},
        log_dir=where,
        verbose="suppress",
        seed=0,
    )
    trainer.fit(data, data)
    return where


@pytest.mark.parametrize("name", ["best_model.lt", "model.lt"])
def test_the_trainers_files(folder, name):
    lambeqs = PytorchQuantumModel.from_checkpoint(folder / name)
    model = BatchedModel.from_diagrams(CIRCUITS)
    model.load(str(folder) + "/" + name)
    for one in (model, BatchedModel.from_checkpoint(folder / name)):
        assert one.symbols == lambeqs.symbols
        assert torch.equal(one.weights, lambeqs.weights)
        assert one.weights.requires_grad
        torch.testing.assert_close(one(CIRCUITS).double(), lambeqs(CIRCUITS))


def test_a_pickled_checkpoint_object(tmp_path):
    model = PytorchQuantumModel.from_diagrams(CIRCUITS)
    model.initialise_weights()
    (tmp_path / "whole.lt").write_bytes(pickle.dumps(model._make_checkpoint()))
    read = BatchedModel.from_checkpoint(tmp_path / "whole.lt")
    assert read.symbols == model.symbols
    assert torch.equal(read.weights, model.weights)


@pytest.mark.parametrize("kind", [BatchedModel, PytorchQuantumModel])
def test_what_either_class_saves(kind, tmp_path):
    model = kind.from_diagrams(CIRCUITS)
    model.initialise_weights()
    model.double()
    model.save(tmp_path / "model.lt")
    loaded = BatchedModel()
    loaded.load(tmp_path / "model.lt")
    for one in (loaded, BatchedModel.from_checkpoint(tmp_path / "model.lt", legacy_normalization=False)):
        assert one.symbols == model.symbols
        assert torch.equal(one.weights, model.weights)


class Evil:
    """Would write a file when unpickled."""

    def __init__(self, where):
        self.where = where

    def __reduce__(self):
        return Path.write_text, (self.where, "run")


def test_nothing_in_a_checkpoint_is_run(tmp_path):
    model = PytorchQuantumModel.from_diagrams(CIRCUITS)
    model.initialise_weights()
    entries = {
        "model_symbols": model.symbols,
        "model_weights": model.weights,
        "evil": [Evil(tmp_path / "run"), np.float64(3.0), np.arange(3), {1: Evil(tmp_path / "run")}],
    }
    (tmp_path / "model.lt").write_bytes(pickle.dumps(entries))
    assert torch.equal(BatchedModel.from_checkpoint(tmp_path / "model.lt").weights, model.weights)
    assert not (tmp_path / "run").exists()
    # and through torch's own storage
    (tmp_path / "model.lt").write_bytes(pickle.dumps({**entries, "model_weights": Evil(tmp_path / "run")}))
    with pytest.raises(UsageError, match="does not hold one weight per symbol"):
        BatchedModel.from_checkpoint(tmp_path / "model.lt")
    assert not (tmp_path / "run").exists()


def refused(path):
    before = path.read_bytes() if path.is_file() else None
    for read in (BatchedModel().load, BatchedModel.from_checkpoint):
        with pytest.raises(UsageError) as error:
            read(path)
        assert "\n" not in str(error.value)
        assert path.name in str(error.value)
        assert "delete" not in str(error.value)
    assert (path.read_bytes() if path.is_file() else None) == before
    return str(error.value)


def test_what_is_no_model(tmp_path):
    assert "there is no model" in refused(tmp_path / "none.lt")
    assert "there is no model" in refused(tmp_path)
    path = tmp_path / "model.lt"
    classical = PytorchModel()
    classical.symbols = [Symbol("a", directed_cod=2)]
    classical.initialise_weights()
    for content in (
        b"",
        b"not ours",
        pickle.dumps(3),
        pickle.dumps({"model_weights": np.array([1, 2, 3])}),
        pickle.dumps({"model_symbols": ["a"], "model_weights": torch.zeros(1)}),
        pickle.dumps({"model_symbols": [], "model_weights": torch.zeros(1)}),
        pickle.dumps({"model_symbols": classical.symbols, "model_weights": classical.weights}),
    ):
        path.write_bytes(content)
        refused(path)


@pytest.mark.parametrize(("count", "seed"), [(50, 0), pytest.param(2000, 1, marks=pytest.mark.slow)])
def test_mutated_checkpoints_are_read_or_refused_in_one_line(folder, assert_robust, count, seed):
    model = PytorchQuantumModel.from_diagrams(CIRCUITS)
    model.initialise_weights()
    samples = [(folder / "model.lt").read_bytes(), pickle.dumps(model._make_checkpoint())]
    assert_robust(BatchedModel().load, samples, "model.lt", count=count, seed=seed)


GLOBAL, BUILD_STATE = b"\x8c%c%s\x8c%c%s\x93", b"N}\x8c%c%s\x8c\x01xs\x86b."


@pytest.mark.parametrize(
    ("module", "name", "attribute"),
    [
        ("lambeq.backend.symbol", "Symbol", "to_sympy"),
        ("lambeq.training.checkpoint", "Checkpoint", "from_file"),
        ("torch._utils", "_rebuild_tensor_v2", "__doc__"),
        ("torch.storage", "_load_from_bytes", "__doc__"),
    ],
)
def test_what_a_checkpoint_names_stays_as_it_was(tmp_path, module, name, attribute):
    words = [module, name, attribute]
    sizes = [part for word in words for part in (len(word), word.encode())]
    (tmp_path / "model.lt").write_bytes(
        b"\x80\x04" + GLOBAL % tuple(sizes[:4]) + BUILD_STATE % tuple(sizes[4:])
    )
    named = getattr(importlib.import_module(module), name)
    before = getattr(named, attribute)
    with pytest.raises(UsageError, match="not a checkpoint of lambeq"):
        BatchedModel().load(tmp_path / "model.lt")
    assert getattr(named, attribute) == before != "x"


SCALARS = {
    "half": (Ket(0) >> H >> Bra(0), 0.5),
    "zero": (Ket(0) >> X >> Bra(0), 0.0),
    "two": (Ket(0, 0) >> H @ H >> Bra(0, 1), 0.25),
    "mixed": (Ket(0, 0) >> H @ H >> Bra(0) @ Discard(), 0.5),
    "trace": (Ket(0) >> H >> Discard(), 1.0),
    "parted": ((Ket(0) >> H >> Bra(0)) @ (Ket(0) >> Ry(0.25) >> Bra(0)), 0.25),
}


@pytest.mark.parametrize("name", SCALARS)
def test_scalar_circuits_without_parameters(name):
    circuit, value = SCALARS[name]
    model = BatchedModel.from_diagrams([circuit])
    assert model([circuit]).tolist() == pytest.approx([value], abs=1e-6)
    trained = BatchedModel.from_diagrams([Ket(0) >> Rx(Symbol("a")) >> Bra(0)])
    trained.initialise_weights()
    trained.double()
    both = trained([circuit, Ket(0) >> Rx(Symbol("a")) >> Bra(0), circuit])
    expected = [value, np.cos(np.pi * trained.weights.item()) ** 2, value]
    assert both.tolist() == pytest.approx(expected, abs=1e-12)


def test_circuits_with_symbols_need_a_model_with_symbols():
    with pytest.raises(UsageError, match=r"from_diagrams\(circuits\)"):
        BatchedModel()([Ket(0) >> Rx(Symbol("a"))])
    with pytest.raises(UsageError, match=r"model\(\[circuit\]\)"):
        BatchedModel()(Ket(0) >> H)
