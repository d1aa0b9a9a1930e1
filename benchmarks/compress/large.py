"""Memory and time that it takes to compress a large language model from folder to folder, block by block.

A Llama with random weights is written to a temporary folder, a shard per block, and compressed in a process
of its own, whose largest resident set is read from the operating system. Random weights have flat spectra,
so that nothing can be said of the quality: memory and time are what is measured.

    python benchmarks/compress/large.py [--blocks 16] [--out FILE]
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from record import add_out, save
from safetensors.torch import save_file
from transformers import LlamaConfig

from bondwise.tn.compress import compress_folder, load

SEQUENCES, LENGTH = 16, 128
BAR = 12.0  # GB of memory


def write_model(folder: Path, config: LlamaConfig) -> int:
    """Write random weights in bfloat16, one block at a time; returns the number of parameters."""
    generator = torch.Generator().manual_seed(0)
    width, inner = config.hidden_size, config.intermediate_size
    keys = width // config.num_attention_heads * config.num_key_value_heads
    shapes = {
        "self_attn.q_proj": (width, width),
        "self_attn.k_proj": (keys, width),
        "self_attn.v_proj": (keys, width),
        "self_attn.o_proj": (width, width),
        "mlp.gate_proj": (inner, width),
        "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner),
    }

    def drawn(*shape: int) -> torch.Tensor:
        return torch.empty(shape, dtype=torch.bfloat16).normal_(0, 0.02, generator=generator)

    places, params = {}, 0

    def write(shard: str, tensors: dict[str, torch.Tensor]) -> None:
        nonlocal params
        save_file(tensors, folder / shard, metadata={"format": "pt"})
        places.update(dict.fromkeys(tensors, shard))
        params += sum(tensor.numel() for tensor in tensors.values())

    config.save_pretrained(folder)
    for block in range(config.num_hidden_layers):
        prefix = f"model.layers.{block}."
        tensors = {f"{prefix}{name}.weight": drawn(*shape) for name, shape in shapes.items()}
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{prefix}{norm}.weight"] = torch.ones(width, dtype=torch.bfloat16)
        write(f"block-{block}.safetensors", tensors)
    outside = {
        name: drawn(config.vocab_size, width) for name in ("model.embed_tokens.weight", "lm_head.weight")
    }
    write("rest.safetensors", {**outside, "model.norm.weight": torch.ones(width, dtype=torch.bfloat16)})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return params


def child(folder: Path, tokens: torch.Tensor) -> None:
    """Compress, and print what it took."""
    start = time.perf_counter(), time.process_time()
    done = compress_folder(folder / "dense", folder / "small", 0.5, data=tokens)
    wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(
        json.dumps({"kept": done.value, "layers": len(done.layers), "wall": wall, "cpu": cpu, "peak": peak})
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)  # in the child process
    add_out(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = LlamaConfig(
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=options.blocks,
        num_attention_heads=32,
        num_key_value_heads=8,
        vocab_size=32_000,
        architectures=["LlamaForCausalLM"],
        dtype="bfloat16",
    )
    tokens = torch.randint(config.vocab_size, (SEQUENCES, LENGTH), generator=torch.Generator().manual_seed(1))
    if options.folder is not None:
        child(options.folder, tokens)
        return
    folder = Path(tempfile.mkdtemp(prefix="large-"))
    try:
        (folder / "dense").mkdir()
        params = write_model(folder / "dense", config)
        print(f"{params:,} parameters in {options.blocks} blocks, {SEQUENCES} sequences of {LENGTH} tokens")
        command = [sys.executable, __file__, "--folder", str(folder), "--blocks", str(options.blocks)]
        command += ["--threads", str(options.threads)]
        ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        row = json.loads(ran.stdout.splitlines()[-1])
        said = "within" if row["peak"] <= BAR else "ABOVE"
        print(f"kept {row['kept']:.3f} of the layers; peak memory {row['peak']:.2f} GB, {said} {BAR:g} GB")
        seconds = row["cpu"] / row["layers"]
        print(f"{row['cpu']:.0f} CPU s, {row['wall']:.0f} s of wall time; {seconds:.1f} CPU s per layer")
        sizes = [
            sum(path.stat().st_size for path in (folder / part).glob("*.safetensors"))
            for part in ("dense", "small")
        ]
        model = load(folder / "small")
        with torch.no_grad():
            finite = bool(torch.isfinite(model(tokens[:1]).logits).all())
        said = f"{sizes[0] / 1e9:.2f} GB on disk -> {sizes[1] / 1e9:.2f} GB"
        print(f"{said}; the result loads, and its logits are finite: {finite}")
        left = sum(parameter.numel() for parameter in model.parameters())
        row |= {"params": params, "params_left": left, "cpu_per_layer": seconds, "finite": finite}
        save(options.out, {**row, "bytes": sizes[0], "bytes_left": sizes[1]})
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
