"""Perplexity of a language model in each format, with the budget shared out evenly or by `compress`.

Evenly means that every layer gets the largest rank within the same fraction of its parameters; the fit is the
same for both, layer by layer to the inputs that it will see. The matrix product operators of CompactifAI
(arXiv:2401.14109), which know no data, are cut from the dense weights evenly. In the end every layer may have
any of the formats.

    BONDWISE_DATA=DIR python benchmarks/compress/formats_table.py [--formats lowrank] [--budgets 0.8 0.5 0.3]
"""

import argparse
import copy
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from language_models import perplexity, tokens_of
from record import add_out, save
from torch import nn
from tqdm import tqdm
from transformers import AutoModelForCausalLM

from bondwise.tn.compress import allocation, journal, layers
from bondwise.tn.compress.calibration import batches, blocks, calls, fitting, metric, moments, probes
from bondwise.tn.compress.formats import formats

CALIBRATION = 96  # sequences


class Experiment:
    """A model with calibration data, of which all layers are written in one format."""

    def __init__(self, model: nn.Module, calibration: torch.Tensor, kind: str, seed: int) -> None:
        self.model, self.kind = model, formats.FORMATS[kind]
        self.layers = layers.find_layers(model)
        self.fitted_to, held_out = batches.parts_of(batches.batches_of(calibration, 8))
        generator = torch.Generator().manual_seed(seed)
        with moments.frozen(model):
            leaders = calls.leaders_of(model, self.layers, self.fitted_to[0])
            self.moments = moments.measure_moments(model, self.layers, leaders, self.fitted_to, generator)
            measured = probes.Probes(blocks.Blocks(model, self.layers, held_out))
            self.options: dict[str, list[allocation.Choice]] = {}
            for name, layer in self.layers.items():
                fits = self.kind.fits(layer, layer.weight, self.moments.metrics[name])
                sizes = [self.kind.num_params(layer, rank) for rank in fits.ranks]
                points = zip(fits.ranks, sizes, fits.losses, strict=True)
                choices = [allocation.Choice(kind, *point) for point in points]
                self.options[name] = measured.correct(layer, choices, fits)

    def evenly(self, budget: float) -> dict[str, allocation.Choice]:
        """The largest rank within the same fraction of every layer."""
        return {
            name: max(
                (one for one in choices if one.size <= budget * self.layers[name].num_params),
                key=lambda one: one.size,
                default=choices[0],
            )
            for name, choices in self.options.items()
        }

    def shared_out(self, budget: float, others: Sequence["Experiment"] = ()) -> dict[str, allocation.Choice]:
        """What `compress` chooses, from the formats of other experiments too."""
        options = {
            name: [allocation.Choice("dense", 0, layer.num_params, 0.0)]
            + [choice for one in (self, *others) for choice in one.options[name]]
            for name, layer in self.layers.items()
        }
        return allocation.allocate(options, budget * self.total)

    def fitted(self, chosen: Mapping[str, allocation.Choice]) -> nn.Module:
        """The model with the layers that were chosen."""
        small = copy.deepcopy(self.model)
        found = layers.find_layers(small)
        with moments.frozen(self.model), moments.frozen(small), tqdm(disable=True) as bar:
            none = journal.Journal(None, small, [], None, [], [], None)
            fitting.fit_in_order(small, self.model, found, chosen, self.moments, self.fitted_to, bar, none)
        return small.eval()

    def plain(self, chosen: Mapping[str, allocation.Choice]) -> nn.Module:
        """The same without any data."""
        small = copy.deepcopy(self.model)
        for name, layer in layers.find_layers(small).items():
            fits = self.kind.fits(layer, layer.weight, metric.Metric())
            layers.replace(small, name, fits.build(chosen[name].rank))
        return small.eval()

    @property
    def total(self) -> int:
        return sum(layer.num_params for layer in self.layers.values())

    def models(self, budget: float) -> Iterator[tuple[str, nn.Module, float]]:
        """Name, model, and fraction of the parameters that is left."""
        for name, chosen in (("evenly", self.evenly(budget)), ("compress", self.shared_out(budget))):
            kept = sum(choice.size for choice in chosen.values()) / self.total
            yield name, self.fitted(chosen), kept
            if name == "evenly" and self.kind is formats.FORMATS["mpo"]:
                yield "CompactifAI", self.plain(chosen), kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="dickens-1M", help="a folder in BONDWISE_DATA/lm")
    parser.add_argument("--formats", nargs="+", default=["lowrank", "btt", "mpo", "mpo3"])
    parser.add_argument("--budgets", nargs="+", type=float, default=[0.8, 0.5, 0.3])
    parser.add_argument("--seed", type=int, default=0)
    add_out(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path(os.environ["BONDWISE_DATA"]) / "lm"
    model = AutoModelForCausalLM.from_pretrained(folder / arguments.model).eval()
    train, valid = tokens_of(folder, arguments.model)
    valid = valid[:128]
    dense = perplexity(model, valid)
    print(f"dense {dense:.3f}")
    print(f"{'format':<9}{'budget':>7}  {'method':<12}{'kept':>6}{'ratio':>9}{'CPU s':>7}")
    results: list[dict[str, Any]] = []

    def record(kind: str, budget: float, name: str, small: nn.Module, kept: float, start: float) -> None:
        ratio = perplexity(small, valid) / dense
        seconds = time.process_time() - start
        print(f"{kind:<9}{budget:>7}  {name:<12}{kept:>6.3f}{ratio:>9.3f}{seconds:>7.0f}", flush=True)
        row = {"format": kind, "budget": budget, "method": name, "kept": round(kept, 4)}
        results.append(row | {"ratio": round(ratio, 4)})

    experiments = []
    for kind in arguments.formats:
        start = time.process_time()
        experiment = Experiment(model, train[:CALIBRATION], kind, arguments.seed)
        experiments.append(experiment)
        seconds = time.process_time() - start
        print(f"{kind:<9}{'':>7}  {'calibration':<12}{'':>15}{seconds:>7.0f}", flush=True)
        for budget in arguments.budgets:
            start = time.process_time()
            for name, small, kept in experiment.models(budget):
                record(kind, budget, name, small, kept, start)
                start = time.process_time()
    for budget in arguments.budgets if len(experiments) > 1 else ():
        start = time.process_time()
        chosen = experiment.shared_out(budget, experiments[:-1])
        kept = sum(choice.size for choice in chosen.values()) / experiment.total
        record("any", budget, "compress", experiment.fitted(chosen), kept, start)
        print(dict(Counter(choice.format for choice in chosen.values())))
    save(arguments.out, {"dense_perplexity": round(dense, 4), "rows": results})


if __name__ == "__main__":
    main()
