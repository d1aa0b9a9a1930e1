"""Half of a language model's parameters, at what price? And is int4 not simply better?

python examples/05_compress_a_language_model.py [--model DIR] [--quick]

Without --model, a small Llama is first trained, for less than a minute, on the manual that ships with Python.
"""

import argparse
import math
import time
from pathlib import Path
from pydoc_data.topics import topics

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from bondwise.tn.compress import compress, compress_evenly, heal, load, quantize, report, save

parser = argparse.ArgumentParser()
parser.add_argument("--model", help="folder with a language model and its tokenizer")
parser.add_argument("--quick", action="store_true")
options = parser.parse_args()
LENGTH, BUDGET = 128, 0.5
SECONDS, STEPS = 50, 40 if options.quick else 200  # of training at most, and of healing
RATE = 0.02 if options.quick else 0.01
torch.manual_seed(0)


def sequences(ids):
    """Token ids of shape (sequences, length)."""
    return torch.tensor(ids[: len(ids) // LENGTH * LENGTH]).view(-1, LENGTH)


def trained(data):
    """A small Llama that reads bytes."""
    width, depth, steps = (64, 1, 80) if options.quick else (96, 3, 800)
    config = LlamaConfig(
        vocab_size=256,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=depth,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=LENGTH,
        tie_word_embeddings=True,
        initializer_range=0.1,
    )
    model = LlamaForCausalLM(config)
    print(f"training a small Llama, {SECONDS} s at most", flush=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.95))
    start = time.perf_counter()
    for step in range(steps):
        done = max(step / steps, (time.perf_counter() - start) / SECONDS)
        if done >= 1:
            break
        optimizer.param_groups[0]["lr"] = RATE * min(1, step / 10) * (1 + math.cos(math.pi * done)) / 2
        batch = data[torch.randint(len(data), (8,))]
        loss = model(batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % (steps // 4) == 0:
            print(f"step {step + 1} of {steps}, perplexity {math.exp(loss.detach()):.3g}", flush=True)
    return model.eval()


def perplexity(model, data):
    with torch.no_grad():
        losses = [float(model(part, labels=part).loss) * len(part) for part in data.split(16)]
    return math.exp(sum(losses) / len(data))


text = "\n\n".join(topics[name] for name in sorted(topics))
if options.model:
    tokenizer = AutoTokenizer.from_pretrained(options.model, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(options.model, local_files_only=True).eval()
    data = sequences(tokenizer(text)["input_ids"])
    train, held = data[: -len(data) // 10], data[-len(data) // 10 :][:64]
else:
    data = sequences(list(text.encode()))
    train, held = data[: -len(data) // 10], data[-len(data) // 10 :][:64]
    model = trained(train)
calibration = train[torch.randperm(len(train))[: 32 if options.quick else 192]]
print(f"{sum(one.numel() for one in model.parameters()):,} parameters, {train.numel():,} tokens to train on")

# factors of the ranks that cost the model least, then some steps of training toward its own answers
small = compress(model, BUDGET, data=calibration, seed=0, progress=True)
print(small.report)
models = {
    "dense": model,
    "plain SVD, the same for every layer": compress_evenly(model, BUDGET),
    "whitened SVD, the same for every layer": compress_evenly(model, BUDGET, data=calibration),
    "compress": small,
}
healed = compress(model, BUDGET, data=calibration, seed=0)
print(heal(healed, model, data=train, steps=STEPS, batch=8, seed=0, progress=True))
models |= {
    "compress, healed": healed,
    "compress, healed, in int4": quantize(healed, "int4", data=calibration),
    "dense in int4": quantize(model, "int4", data=calibration),
    "dense in int2": quantize(model, "int2", data=calibration),
}
print(f"\n{'model':40} {'bytes on disk':>14} {'perplexity':>11}")
for name, one in models.items():
    folder = save(one, Path("models") / name.replace(", ", "-").replace(" ", "-"))
    size = (folder / "model.safetensors").stat().st_size
    print(f"{name:40} {size:14,} {perplexity(one, held):11.3f}")

# the folder is all that is needed
again = load("models/compress-healed-in-int4")
same = torch.equal(again(held).logits, models["compress, healed, in int4"](held).logits)
print(f"\nread from its folder, the model gives the same logits: {same}\n")
if not options.quick:
    print(report(healed, reference=model, data=held, calibration=calibration, batch=(1, 16)))
