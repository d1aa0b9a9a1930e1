"""The tables of `docs/compression.md`, from `benchmarks/results/compress_*.json`.

python docs/compression_tables.py    # rewrites the tables in place
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

from tables import grouped, rendered, results, table

PAGE = Path(__file__).parent / "compression.md"


def spread(values: list[float], digits: int = 3) -> str:
    """The mean, and the smallest and largest value if there are several."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{mean(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def language() -> str:
    """Perplexities of language models at equal numbers of parameters."""
    rows = []
    for group in grouped(results("compress_language"), "model", "budget", "method"):
        first = group[0]
        slices = [spread([row["ratios"][part] for row in group]) for part in range(len(first["ratios"]))]
        more = slices[1] if len(slices) > 1 else "–"
        seconds = f"{mean(row['cpu_seconds'] for row in group):.0f}"
        rows.append([first["model"], first["budget"], first["method"], len(group), slices[0], more, seconds])
    heads = [
        "model",
        "kept",
        "method",
        "seeds",
        "validation text",
        "more text, hardly used to choose",
        "CPU s",
    ]
    return table(heads, rows)


def formats() -> str:
    """Perplexities by format, with the budget shared out in several ways."""
    methods = ("CompactifAI", "evenly", "compress")
    rows = []
    for group in grouped(results("compress_formats")["rows"], "format", "budget"):
        found = {row["method"]: f"{row['ratio']:.3f}" for row in group}
        rows.append([group[0]["format"], group[0]["budget"], *(found.get(name, "–") for name in methods)])
    return table(["format", "kept", "plain, evenly", "data-aware, evenly", "`compress`"], rows)


def sizes() -> str:
    """Perplexities at sizes of the file."""
    rows = sorted(results("compress_bytes")["rows"], key=lambda row: (-row["bytes"], row["perplexity"]))
    cells = [[row["method"], f"{row['bytes']:,}", f"{row['part']:.1%}", row["perplexity"]] for row in rows]
    return table(["method", "bytes", "of float32", "perplexity"], cells)


def speed() -> str:
    """Layers by themselves."""
    rows: list[list[Any]] = []
    measured = [row | {"shape": "×".join(map(str, row["shape"]))} for row in results("compress_layers")]
    names = list(dict.fromkeys(row["format"] for row in measured))
    for group in grouped(measured, "shape", "batch"):
        found = {row["format"]: f"{row['speed_up']:.2f}" for row in group}
        rows.append([group[0]["shape"], group[0]["batch"], *(found.get(name, "–") for name in names[1:])])
    return table(["layer", "batch", *names[1:]], rows)


def latency() -> str:
    """Whole models against the time that was asked for."""
    cells = [
        [row["batch"], f"{row['dense_ms']:.1f}", f"{row['asked_ms']:.1f}", f"{row['found_ms']:.1f}"]
        + [f"{row['found_ms'] / row['asked_ms'] - 1:+.1%}", f"{row['kept']:.1%}"]
        for row in results("compress_latency")
    ]
    heads = ["batch", "dense, ms", "asked for, ms", "found, ms", "difference", "parameters kept"]
    return table(heads, cells)


def wave() -> str:
    """Surrogates of the wave equation."""
    cells = [
        [row["format"], f"{row['error']:.4f}", f"{row['error_ratio']:.3f}", f"{row['conv_params']:,}"]
        + [f"{row['params_ratio']:.2f}", f"{row['train_cpu_seconds']:.0f}"]
        for row in results("compress_wave")["rows"]
    ]
    heads = ["layers", "relative error", "to dense", "convolution parameters", "times fewer"]
    return table([*heads, "training, CPU s"], cells)


def digits() -> str:
    """A residual network on scikit-learn's digits."""
    cells = [
        [group[0]["budget"], group[0]["method"], spread([100 * row["accuracy"] for row in group], 1)]
        for group in grouped(results("compress_digits"), "budget", "method")
    ]
    return table(["kept", "method", "test accuracy, %"], cells)


def large() -> str:
    """A large model from folder to folder."""
    row = results("compress_large")
    cells = [f"{row['params']:,}", f"{row['kept']:.1%}", f"{row['bytes'] / 1e9:.2f}"]
    cells += [f"{row['bytes_left'] / 1e9:.2f}", f"{row['peak']:.2f}", f"{row['cpu']:.0f}"]
    heads = ["parameters", "of the layers kept", "GB on disk", "GB afterwards", "GB of memory", "CPU s"]
    return table(heads, [cells])


TABLES: dict[str, Callable[[], str]] = {
    "language": language,
    "formats": formats,
    "sizes": sizes,
    "speed": speed,
    "latency": latency,
    "wave": wave,
    "digits": digits,
    "large": large,
}


def main() -> None:
    PAGE.write_text(rendered(PAGE.read_text(), TABLES))


if __name__ == "__main__":
    main()
