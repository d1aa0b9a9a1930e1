"""`bondwise compress`: a model in a folder becomes a smaller one in another, also after kills."""

import json
import os
import signal

import numpy as np
import pytest
import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from bondwise.cli.main import main
from bondwise.tn.compress import Compression, Profile, Report, costs, load
from bondwise.tn.compress.journal import Journal

LETTERS = "abcdefghijklmnopqrstuvwx"
FILES = {
    *(".bondwise", "settings.json", "config.json", "model.safetensors", "tokenizer.json"),
    *("tokenizer_config.json", "generation_config.json", "compression.json", "profile.json"),
    *("profile.safetensors", "report.json", "report.html", "result.json"),
}


@pytest.fixture(autouse=True)
def dense(tmp_path, monkeypatch):
    """A folder `dense` with a model and its tokenizer, and a text."""
    monkeypatch.setattr(costs, "_RUNS", 1)
    monkeypatch.setattr(costs, "_SHORT", 0.0)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=24,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=16,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "dense")
    tokenizer = Tokenizer(
        models.WordLevel({letter: index for index, letter in enumerate(LETTERS)}, LETTERS[0])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(tmp_path / "dense")
    letters = np.random.default_rng(0).choice(list(LETTERS), 16 * 40 + 5)
    (tmp_path / "text.txt").write_text("".join(letters))
    return tmp_path / "dense"


WORDS = ("compress", "dense", "--calibration", "text.txt", "--quiet", "--out", "small")


def test_a_model_in_a_folder(bondwise, tmp_path, dense):
    more = ("--budget", 0.6, "--heal-steps", 20, "--refine-steps", 10, "--skip", "*.v_proj", "--json")
    done = bondwise(*WORDS, *more)
    assert (done.returncode, done.stderr) == (0, "")
    folder, result = tmp_path / "small", json.loads(done.stdout)
    assert {path.name for path in folder.iterdir()} == FILES
    assert json.loads((folder / "result.json").read_text()) == result
    assert 0.5 < result["kept"] <= 0.6
    assert not any("v_proj" in name for name in result["layers"])
    names = [row["name"] for row in result["models"]]
    assert names[:4] == ["dense", "compressed", "plain SVD", names[3]]
    assert len(result["models"][0]["latency"]) == 2
    small, ours = load(folder), result["models"][1]
    assert ours["params"] == sum(parameter.numel() for parameter in small.parameters())
    assert ours["bytes"] == (folder / "model.safetensors").stat().st_size
    ids = torch.tensor([LETTERS.index(letter) for letter in (tmp_path / "text.txt").read_text()])
    held = ids[: 16 * 40].view(40, 16)[-4:]
    with torch.no_grad():
        assert ours["perplexity"] == pytest.approx(float(small(held, labels=held).loss.exp()), rel=1e-5)
    compression = Compression.load(folder / "compression")
    assert compression.value == result["kept"]
    assert Report.load(folder / "report").value == ours["divergence"]
    assert Profile.load(folder / "profile").layers == tuple(compression.layers)
    page = (folder / "report.html").read_text()
    assert page.count("<svg") == 5
    for word in ("Sensitivity", "Allocation", "Quality and size", "batch 16", "whitened SVD"):
        assert word in page
    before, after = (row["perplexity"] for row in result["models"][:2])
    assert f"Perplexity {after:.2f}, against {before:.2f} of the dense model" in page
    assert any("Healing: 20 steps" in note for note in result["notes"])


@pytest.mark.parametrize(
    "more",
    [
        ("--budget", 0.6, "--quantize", "int4", "--heal-steps", 2),
        pytest.param(("--budget", "bytes=8000", "--quantize", "int8,int4"), marks=pytest.mark.slow),
    ],
)
def test_numbers_in_few_bits(bondwise, tmp_path, more):
    done = bondwise(*WORDS, "--json", *more)
    assert (done.returncode, done.stderr) == (0, "")
    dense, compressed, *others = json.loads(done.stdout)["models"]
    size = (tmp_path / "small" / "model.safetensors").stat().st_size
    assert compressed["bytes"] == size < 0.5 * dense["bytes"]
    assert load(tmp_path / "small")(torch.zeros(1, 3, dtype=torch.long)).logits.isfinite().all()
    assert [row["name"] for row in others][-4:] == [f"dense in int{bits}" for bits in (8, 4, 3, 2)]
    if "bytes=8000" in more:
        assert size <= 8000
    else:
        assert any(row["name"] in ("plain SVD in int8", "plain SVD in int4") for row in others)


def test_the_table_is_shown(bondwise, tmp_path):
    done = bondwise(*(word for word in WORDS if word != "--quiet"), "--budget", 0.6, "--quantize", "int8")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert [line.split()[0][:9] for line in lines if line.strip()][:4] == ["dense", "model", "─" * 9, "dense"]
    assert any(line.startswith("Measured on 4 sequences of 16 tokens of text.txt") for line in lines)
    assert "probing model.layers.0.mlp.up_proj" in done.stderr
    size = (tmp_path / "small" / "model.safetensors").stat().st_size
    dense, compressed, *others = json.loads((tmp_path / "small" / "result.json").read_text())["models"]
    assert compressed["bytes"] == size < 0.5 * dense["bytes"]
    assert others[0]["name"] == "plain SVD in int8"


def test_without_rivals(bondwise, tmp_path):
    done = bondwise(*(word for word in WORDS if word != "--quiet"), "--budget", 0.6, "--no-rivals")
    assert done.returncode == 0
    result = json.loads((tmp_path / "small" / "result.json").read_text())
    assert [row["name"] for row in result["models"]] == ["dense", "compressed"]
    assert any("times as fast as the dense model" in note for note in result["notes"])
    assert "outputs compared as probabilities (KL)" in done.stdout


def killed(words, after):
    """Run a command in a process that is killed when it has kept some parts."""
    child = os.fork()
    if not child:
        left, put = after, Journal.put

        def counting(self, name, part):
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return put(self, name, part)

        try:
            Journal.put = counting
            main([str(word) for word in words])
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.slow
def test_a_killed_run_continues(bondwise, tmp_path):
    words = (*WORDS, "--budget", 0.5, "--refine-steps", 5, "--heal-steps", 5)
    assert bondwise(*words, "--out", "whole").returncode == 0
    assert killed(words, 5) == -signal.SIGKILL
    done = bondwise(*words)
    assert done.returncode == 2
    assert (
        "small holds an earlier run; give --overwrite to replace it, --resume to continue it" in done.stderr
    )
    kept = [len(list((tmp_path / "small" / "checkpoint").rglob("*.safetensors")))]
    for after in (23, 2):
        assert killed((*words, "--resume"), after) == -signal.SIGKILL
        kept.append(len(list((tmp_path / "small" / "checkpoint").rglob("*.safetensors"))))
    assert kept == [5, 28, 30]
    assert bondwise(*words, "--resume").returncode == 0
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "small"))
    assert one == two
    done = bondwise(*WORDS, "--budget", 0.4, "--resume")
    assert done.returncode == 2
    assert "small was run with --budget 0.5, not 0.4" in done.stderr
    (tmp_path / "text.txt").write_text("abc" * 100)
    assert "the file that --calibration names has changed" in bondwise(*words, "--resume").stderr


def test_a_profile(bondwise, tmp_path):
    words = (
        "compress",
        "profile",
        "dense",
        "--calibration",
        "text.txt",
        "--fractions",
        "0.3,0.6",
        "--out",
        "found",
    )
    done = bondwise(*words)
    assert done.returncode == 0
    assert "model.layers.0.mlp.down_proj" in done.stdout
    result = json.loads((tmp_path / "found" / "result.json").read_text())
    assert np.shape(result["divergence"]) == (1, 7, 2)
    assert np.array_equal(Profile.load(tmp_path / "found" / "profile").value, result["divergence"])
    assert (tmp_path / "found" / "report.html").read_text().count("<svg") == 1
    assert not (tmp_path / "found" / "checkpoint").exists()
    assert bondwise(*words, "--resume").returncode == 0


def test_a_folder_called_profile(bondwise, dense):
    dense.rename(dense.parent / "profile")
    done = bondwise("compress", "./profile", *WORDS[2:], "--budget", 0)
    assert "--budget 0 is not a budget" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--budget", "half"),
            "--budget half is not a budget; write a fraction above 0 and below 1 such as 0.5, params=1e6",
        ),
        (
            ("--budget", "1.5"),
            "--budget 1.5 is not a budget; write a fraction above 0 and below 1 such as 0.5, params=1e6",
        ),
        (("--budget", "latency_ms=20"), "--budget latency_ms=20 is not a budget; write a fraction"),
        (("--skip", "nomatch"), "--skip 'nomatch' fits no layer of the model"),
        (("--budget", "params=10"), "--budget params=10 is too small: the smallest factors keep"),
        (("--quantize", "int5"), "unknown --quantize 'int5'. Did you mean 'int8'? Known: int2, int3"),
        (
            ("--quantize", "int4", "--budget", "bytes=8000", "--heal-steps", "5"),
            "--heal-steps are for factors that are not quantized yet",
        ),
        (
            ("--quantize", "int4,int8", "--heal-steps", "5"),
            "--quantize int8,int4 is a choice, which only a budget in bytes makes; give one of them, or "
            "--budget bytes=N",
        ),
        (("--formats", "lowrnk"), "unknown format 'lowrnk'. Did you mean 'lowrank'?"),
        (("--skip", "*.nothing"), "'*.nothing' fits no layer of the model"),
        (("--heal-steps", "-1"), "--heal-steps is -1"),
        (("--max-loss", "0"), "--max-loss is 0"),
        (("--calibration", "missing.txt"), "missing.txt cannot be read"),
        (("--calibration", "short.txt"), "short.txt holds 1 sequence of 16 tokens; give at least 2"),
        (("--calibration", "one.npy"), "one.npy holds 1 sequence of 12 tokens; give at least 2"),
        (("--calibration", "floats.npy"), "floats.npy holds float64 of shape (20,); token ids are"),
        (("--calibration", "long.npy"), "long.npy holds sequences of 20 tokens; the model takes 2 to 16."),
        (("--calibration", "empty.npy"), "empty.npy holds sequences of 0 tokens; the model takes 2 to 16."),
        (("--calibration", "other.npy"), "data holds the token 99, but the model knows 0 to 23"),
    ],
)
def test_wrong_usage(bondwise, tmp_path, words, message):
    (tmp_path / "short.txt").write_text(LETTERS)
    np.save(tmp_path / "floats.npy", np.zeros(20))
    np.save(tmp_path / "one.npy", np.zeros((1, 12), dtype=int))
    np.save(tmp_path / "other.npy", np.full((5, 16), 99))
    np.save(tmp_path / "long.npy", np.zeros((5, 20), dtype=int))
    np.save(tmp_path / "empty.npy", np.zeros((5, 0), dtype=int))
    done = bondwise(*WORDS, *words)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert message in done.stderr
    assert not (tmp_path / "small").exists()


def test_what_is_read_is_not_overwritten(bondwise, tmp_path):
    (tmp_path / "small").mkdir()
    (tmp_path / "text.txt").rename(tmp_path / "small" / "text.txt")
    words = ("compress", "dense", "--calibration", "small/text.txt", "--out", "small", "--overwrite")
    for more in (words, ("compress", "profile", *words[1:])):
        done = bondwise(*more)
        assert done.returncode == 2
        assert "small/text.txt is in small, which --overwrite replaces; move it" in done.stderr
    assert (tmp_path / "small" / "text.txt").exists()


@pytest.mark.slow
def test_a_divergence_that_is_too_large_is_told_in_flags(bondwise):
    done = bondwise(*WORDS, "--max-loss", "1e-9", "--budget", "params=2000")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "above --max-loss 1e-09; raise --budget params=2000, or raise --max-loss, and run" in done.stderr
    assert done.stderr.endswith(" again with --overwrite\n")
    again = bondwise(*WORDS, "--max-loss", "9", "--budget", "params=2000", "--no-rivals", "--overwrite")
    assert again.returncode == 0


def test_models_that_cannot_be_read(bondwise, tmp_path, dense):
    assert "nowhere is no folder" in bondwise("compress", "nowhere", *WORDS[2:]).stderr
    (dense / "tokenizer.json").unlink()
    assert "dense has no tokenizer that can be read" in bondwise(*WORDS).stderr
    ids = np.random.default_rng(0).integers(24, size=200)
    np.save(tmp_path / "ids.npy", ids)
    words = ("compress", "profile", *WORDS[1:], "--fractions", "0.5", "--calibration", "ids.npy")
    assert bondwise(*words).returncode == 0
