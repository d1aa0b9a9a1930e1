"""ESM-2 features from a tiny model of random weights on the disk: pooling, padding, cutting, refusals."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.base import clone
from transformers import EsmConfig, EsmForMaskedLM, EsmModel

from bondwise.qml.protein.baselines.esm import EsmLR
from bondwise.qml.protein.data.alphabet import RESIDUES
from bondwise.runs import UsageError

VOCABULARY = [
    "<cls>",
    "<pad>",
    "<eos>",
    "<unk>",
    *"LAGVSERTIDPKQNFYMHWCXBUZO",
    ".",
    "-",
    "<null_1>",
    "<mask>",
]
SEQUENCES = ["MKTAYIAKQR", "W", "GAVLIPFMWSTCYNQDEKRHGAVLI", "ACD", "ACDEFGHIKL"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A model as it comes from the hub, masked-residue head included; the hub's cache is empty."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    config = EsmConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=1026,
        position_embedding_type="rotary",
        token_dropout=True,
        emb_layer_norm_before=False,
        pad_token_id=1,
        mask_token_id=32,
        initializer_range=0.5,
    )
    torch.manual_seed(0)
    model = tmp_path / "model"
    EsmForMaskedLM(config).save_pretrained(model)
    (model / "vocab.txt").write_text("\n".join(VOCABULARY))
    return model


def directly(folder, sequence):
    """The mean state, from the library alone and without a batch."""
    numbers = [0, *(VOCABULARY.index(residue) for residue in sequence), 2]
    model = EsmModel.from_pretrained(folder, local_files_only=True).eval()
    with torch.no_grad():
        states = model(torch.tensor([numbers])).last_hidden_state[0]
    return states[1:-1].mean(0).numpy()


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_equals_the_library_whatever_is_in_the_batch(folder, batch_size):
    found = EsmLR(model=str(folder), batch_size=batch_size).embed(SEQUENCES)
    assert found.dtype == np.float32
    assert found.shape == (5, 8)
    np.testing.assert_allclose(found, [directly(folder, s) for s in SEQUENCES], atol=2e-6)
    assert np.abs(found[0] - found[4]).max() > 0.01


def test_the_first_1022_residues_are_read(folder):
    rng = np.random.default_rng(0)
    long = "".join(rng.choice(list(RESIDUES), 1030))
    model = EsmLR(model=str(folder))
    whole, cut, shorter = model.embed([long, long[:1022], long[:1021]])
    np.testing.assert_allclose(whole, cut, atol=2e-6)
    assert np.abs(shorter - cut).max() > 1e-5


def test_learns_on_top_of_it(folder):
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list("ILVFA" if i % 2 else "KRDES"), 30)) for i in range(80)]
    labels = ["membrane" if i % 2 else "soluble" for i in range(80)]
    model = EsmLR(model=str(folder)).fit(
        sequences[:40], labels[:40], validation=(sequences[40:60], labels[40:60])
    )
    assert model.score(sequences[60:], labels[60:]) == 1.0
    assert model.num_parameters == 9
    assert model.classes_.tolist() == ["membrane", "soluble"]
    assert clone(model).get_params() == {"model": str(folder), "batch_size": 16}
    three = EsmLR(model=str(folder)).fit(sequences[:9], ["a", "b", "c"] * 3)
    assert three.predict_proba(sequences[:2]).shape == (2, 3)


def test_another_model_is_read_when_the_setting_changes(folder, tmp_path):
    model = EsmLR(model=str(folder))
    before = model.embed(["MKT"])
    other = tmp_path / "other"
    other.mkdir()
    for name in ("config.json", "vocab.txt"):
        (other / name).write_text((folder / name).read_text())
    weights = load_file(folder / "model.safetensors")
    weights = {key: -value if "word_embeddings" in key else value for key, value in weights.items()}
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    after = model.set_params(model=str(other)).embed(["MKT"])
    assert np.abs(before - after).max() > 0.01


def test_says_where_the_weights_should_be(folder, tmp_path):
    with pytest.raises(
        UsageError, match="hf download facebook/esm2_t6_8M_UR50D.*set model= to a folder"
    ) as error:
        EsmLR().fit(["A", "C"], [0, 1])
    assert "\n" not in str(error.value)
    with pytest.raises(UsageError, match="neither a folder nor"):
        EsmLR(model=str(tmp_path / "nowhere" / "at" / "all")).embed(["A"])
    (folder / "vocab.txt").unlink()
    with pytest.raises(UsageError, match=r"has no vocab\.txt; download it there"):
        EsmLR(model=str(folder)).embed(["A"])


def test_opens_no_pickle(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UsageError, match=r"has no model\.safetensors"):
        EsmLR(model=str(folder)).embed(["A"])


def test_finds_a_model_in_the_cache_of_the_hub(folder, tmp_path, monkeypatch):
    cache = tmp_path / "hub"
    snapshot = cache / "models--somebody--tiny" / "snapshots" / ("0" * 40)
    snapshot.parent.mkdir(parents=True)
    folder.rename(snapshot)
    (cache / "models--somebody--tiny" / "refs").mkdir()
    (cache / "models--somebody--tiny" / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    found = EsmLR(model="somebody/tiny").embed(SEQUENCES[:1])
    np.testing.assert_allclose(found[0], directly(snapshot, SEQUENCES[0]), atol=2e-6)


def test_refuses_weights_of_something_else(folder):
    weights = load_file(folder / "model.safetensors")
    lost = {key: value for key, value in weights.items() if "layer.1.attention.self.key" not in key}
    save_file(lost, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match=r"layer\.1\.attention\.self\.key\.bias is missing"):
        EsmLR(model=str(folder)).embed(["A"])
    (folder / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(UsageError, match="cannot be read as an ESM-2 model"):
        EsmLR(model=str(folder)).embed(["A"])


def test_reads_checkpoints_with_frequencies_in_every_layer(folder):
    expected = directly(folder, SEQUENCES[0])
    weights = load_file(folder / "model.safetensors")
    frequencies = 1 / 10000 ** (torch.arange(0, 4, 2) / 4)
    weights = {key: value for key, value in weights.items() if "inv_freq" not in key}
    for layer in range(2):
        key = f"esm.encoder.layer.{layer}.attention.self.rotary_embeddings.inv_freq"
        weights[key] = frequencies.clone()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    np.testing.assert_allclose(EsmLR(model=str(folder)).embed(SEQUENCES[:1])[0], expected, atol=2e-6)


def test_is_silent(folder, capfd):
    EsmLR(model=str(folder)).embed(["A"])
    assert capfd.readouterr() == ("", "")
    EsmLR(model=str(folder)).embed(["A"], progress=True)
    assert "ESM-2: 100%" in capfd.readouterr().err


@pytest.mark.parametrize("batch_size", [0, 2.0])
def test_refuses_a_batch_size(folder, batch_size):
    with pytest.raises(UsageError, match="batch_size is"):
        EsmLR(model=str(folder), batch_size=batch_size).embed(["A"])


def test_refuses_a_model_of_another_kind(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 12}))
    with pytest.raises(UsageError, match="cannot be read as an ESM-2 model") as error:
        EsmLR(model=str(folder)).embed(["A"])
    assert "\n" not in str(error.value)
