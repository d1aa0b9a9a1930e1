"""Compress a model that does not fit into memory: its blocks are read, fitted and written one by one.

The calibration data flows through the blocks twice. First through the dense ones, to measure what each layer
loses at each rank, so that the budget can be shared out. Then through the dense and the compressed ones side
by side: each layer is fitted to what the compressed layers before it give (AA-SVD, arXiv:2604.02119). One
block, the second moments of its inputs, and the hidden states of the data are in memory.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bondwise.runs import progress_bar, real_number
from bondwise.tn.compress.allocation import allocate
from bondwise.tn.compress.budgets import Budget, require_possible
from bondwise.tn.compress.calibration.batches import (
    Batch,
    batches_of,
    counting,
    inputs_of,
    parts_of,
    read_outputs,
    selected,
)
from bondwise.tn.compress.checkpoints import ENTRY
from bondwise.tn.compress.compression import Compression
from bondwise.tn.compress.journal import feed
from bondwise.tn.compress.models import report_entry
from bondwise.tn.compress.quantization.options import smallest_options
from bondwise.tn.compress.streaming.passes import Stream
from bondwise.tn.compress.streaming.reading import Source
from bondwise.tn.compress.streaming.unfinished import Unfinished, files_for

_TOKENS = 1024  # in a batch
_HELD_OUT = 16  # every 16th sequence is for probes and for the divergence that is reported


def compress_folder(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    budget: float = 0.5,
    *,
    data: Any,
    skip: Iterable[str] = (),
    outputs: str | None = None,
    progress: bool = False,
) -> Compression:
    """Compress a model of transformers from folder to folder, one block at a time.

    The linear layers in its blocks become low-rank factors in the dtype of the weights. Computations are in
    float32. If the process is killed, the same call goes on after the last finished block.

    Args:
        folder: Folder with a `config.json` and safetensors, in one file or in several with an index, as
            `save_pretrained` writes them. Code in it is not run.
        out: A new folder for the result; `load` reads it, one file per block.
        budget: Fraction of the parameters of the layers to keep, between 0 and 1.
        data: Calibration data: token ids, int64 (sequences, length), or batches as for `compress`. Their
            hidden states are kept in memory, twice (tokens, hidden size) in float32.
        skip: Names of layers that stay dense, with wildcards such as `*.o_proj`.
        outputs: As for `compress`: `logits`, `values`, or None to tell from config and labels.
        progress: Whether to show a progress bar.

    Returns:
        What was done; the expected losses of layers are relative squared errors of their block's output.

    Raises:
        UsageError: If an argument is out of range, if the folder holds no whole model of transformers with
            blocks, if numbers are not finite, or if `out` holds something else.
        RunError: If `out` cannot be written.

    Example:
        >>> import torch
        >>> from transformers import LlamaConfig, LlamaForCausalLM
        >>> from bondwise.tn.compress import compress_folder, load
        >>> _ = torch.manual_seed(0)
        >>> config = LlamaConfig(
        ...     vocab_size=20,
        ...     hidden_size=16,
        ...     intermediate_size=32,
        ...     num_hidden_layers=2,
        ...     num_attention_heads=2,
        ... )
        >>> tokens = torch.randint(20, (32, 10))
        >>> LlamaForCausalLM(config).save_pretrained("dense")
        >>> print(compress_folder("dense", "small", 0.5, data=tokens))
        Compression: ...% of 5,120 parameters in 14 layers, ... of them in factors, divergence ...
        >>> load("small")(tokens).logits.shape
        torch.Size([32, 10, 20])
    """
    budget = real_number("budget", budget, below=1)
    stream = Stream(Source(Path(folder)), skip, *_split(data, read_outputs(outputs)))
    smallest = {name: smallest_options(layer, ("lowrank",), ()) for name, layer in stream.layers.items()}
    require_possible(Budget("fraction", budget), smallest, stream.dense, stream.layers, stream.fitted_to)
    total = sum(layer.num_params for layer in stream.layers.values())
    rest = files_for({name: tensor.nbytes for name, tensor in stream.fill_rest().items()})
    run = _fingerprint(stream.source, [*stream.fitted_to, *stream.held_out], [budget, *stream.layers])
    work = Unfinished(Path(out), run, len(stream.blocks) + len(rest))
    try:
        with torch.no_grad(), progress_bar(2 * len(stream.layers), "compress", progress) as bar:
            options = stream.measure(work, bar)
            chosen = allocate(options, budget * total)
            stored, loss, wanted = stream.fit(work, chosen, bar)
            for part, names in enumerate(rest, len(stream.blocks)):
                tensors = stream.source.read(stream.dense, names)
                work.write(part, tensors)
                stored[part] = {name: tensor.nbytes for name, tensor in tensors.items()}
        factored = {name: one for name, one in chosen.items() if one.format != "dense"}
        layers = {name: {"format": one.format, "rank": one.rank} for name, one in factored.items()}
        entry = {"version": 1, "layers": layers, "packed": [], "tied": stream.ties()}
        kept = sum(choice.size for choice in chosen.values())
        done = Compression(
            value=kept / total,
            divergence=loss,
            layers=chosen,
            dense_params=total,
            outputs=wanted.outputs,
            unit=wanted.unit,
        )
        entry |= report_entry(done)
        work.finish(stored, {**stream.source.config, ENTRY: entry}, stream.source.folder)
    finally:
        work.close()
    return done


def _split(data: Any, outputs: str | None) -> tuple[list[Batch], list[Batch]]:
    """Batches to fit to, and others to measure losses on; the same if there is only one sequence or batch."""
    whole = inputs_of(data) if isinstance(data, Mapping) else data
    if not isinstance(whole, Tensor) or whole.ndim < 2:
        return parts_of(batches_of(data, 1, outputs))
    size, every = max(1, _TOKENS // max(1, whole.shape[1])), counting(data)
    if len(every) < 2:
        return batches_of(data, size, outputs), batches_of(data, size, outputs)
    places = torch.arange(len(every))
    fitted_to, held_out = every[places % _HELD_OUT > 0], every[::_HELD_OUT]
    fitted, held = (batches_of(selected(data, part), size, outputs) for part in (fitted_to, held_out))
    return fitted, held


def _fingerprint(source: Source, batches: Sequence[Batch], settings: Sequence[Any]) -> str:
    """Of everything that decides what is written."""
    files = [(shard, (source.folder / shard).stat()) for shard in source.shards]
    said = [source.config, settings, [(shard, status.st_size, status.st_mtime_ns) for shard, status in files]]
    digest = hashlib.sha256(json.dumps(said, default=str).encode())
    feed(digest, batches)
    return digest.hexdigest()
