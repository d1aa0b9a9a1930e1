"""Models in folders are compressed as those in memory; damaged ones and those with code are refused."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from bondwise.runs import UsageError
from bondwise.tn.compress import compress, save
from bondwise.tn.compress.checkpoints import load_checkpoint, tokenizer_files


@pytest.fixture
def folder(llama, tmp_path):
    llama[0].save_pretrained(tmp_path / "dense", max_shard_size="8KB")
    return tmp_path / "dense"


def test_a_folder_is_compressed_as_the_model_in_it(llama, folder, tmp_path):
    model, tokens = llama
    assert len(list(folder.glob("*.safetensors"))) > 1
    one, two = (compress(given, 0.5, data=tokens, seed=0) for given in (str(folder), model))
    assert type(one) is type(two)
    assert all(torch.equal(tensor, two.state_dict()[name]) for name, tensor in one.state_dict().items())
    with pytest.raises(UsageError, match="is compressed already; read it with bondwise.tn.compress.load"):
        compress(save(one, tmp_path / "small"), 0.5, data=tokens)


@pytest.mark.parametrize("kind", ["gpt2", "bert"])
def test_other_models_and_dtypes(kind, tmp_path, request):
    model = request.getfixturevalue(kind).bfloat16()
    model.save_pretrained(tmp_path)
    again = load_checkpoint(tmp_path)
    assert type(again) is type(model)
    assert again.dtype == torch.bfloat16
    assert not again.training
    tokens = torch.randint(24, (4, 10))
    assert torch.equal(again(tokens).logits, model.eval()(tokens).logits)


def change(folder, **entries):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def without_a_tensor(path):
    tensors = load_file(path)
    del tensors[next(iter(tensors))]
    save_file(tensors, path)


SHARD = "model-00002-of-0000"


def shard(folder):
    return next(folder.glob(f"{SHARD}*"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: shard(folder).unlink(), f"dense lacks the shard {SHARD}.*; download it again"),
        (lambda folder: cut(shard(folder)), f"{SHARD}.* is damaged .*; download it again"),
        (lambda folder: shard(folder).write_bytes(b""), f"{SHARD}.* is damaged"),
        (lambda folder: without_a_tensor(shard(folder)), f"{SHARD}.* lacks .*, which model"),
        (
            lambda folder: (folder / "model.safetensors.index.json").unlink(),
            "has neither model.safetensors nor model.safetensors.index.json",
        ),
        (
            lambda folder: (folder / "model.safetensors.index.json").write_text("[]"),
            "index.json does not say where tensors are",
        ),
        (lambda folder: (folder / "config.json").unlink(), "dense has no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json cannot be read"),
        (lambda folder: (folder / "config.json").write_text("3"), "config.json holds no configuration"),
        (lambda folder: change(folder, hidden_size=32), "missing or of another shape|cannot be loaded"),
        (lambda folder: change(folder, num_hidden_layers=3), "does not fit its config.json: .*layers.2"),
        (lambda folder: change(folder, architectures=["Path"]), r"\('Path'\); load the model yourself"),
        (
            lambda folder: change(folder, architectures=None),
            r'not say of which class.*"architectures": \["LlamaForCausalLM"\], or load the model yourself',
        ),
        (lambda folder: change(folder, quantization_config={"bits": 4}), "is quantized; give the model from"),
        (
            lambda folder: change(folder, auto_map={"AutoModelForCausalLM": "evil.Model"}),
            r"needs code of its own \(auto_map\), which is not run",
        ),
    ],
)
def test_folders_that_cannot_be_read(folder, damage, message):
    damage(folder)
    with pytest.raises(UsageError, match=message) as error:
        compress(folder, 0.5, data=torch.zeros(4, 5, dtype=torch.long))
    assert "\n" not in str(error.value)


def test_what_is_no_folder(tmp_path):
    with pytest.raises(UsageError, match="nothing is no folder; give one that save_pretrained wrote"):
        compress(tmp_path / "nothing", 0.5, data=torch.zeros(4, 5, dtype=torch.long))


def test_all_kinds_of_tokenizers_are_copied(tmp_path):
    names = {
        *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
        *("vocab.json", "vocab.txt", "merges.txt", "tokenizer.model", "spiece.model"),
        *("sentencepiece.bpe.model", "chat_template.jinja", "generation_config.json"),
    }
    for name in (*names, "model.safetensors", "README.md", "config.json"):
        (tmp_path / name).write_text(name)
    assert tokenizer_files(tmp_path) == {name: name.encode() for name in names}
