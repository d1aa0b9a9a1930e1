"""The classical twin of the window model: the same wiring, with a sigmoid of a sum in place of a circuit.

Filter f maps a window to `z = sigmoid(b_f + Σ_j x_f(word_j))`, where a circuit would rotate qubits word by
word and measure ⟨Z⟩. The soft maximum `log Σ exp(κz) / κ`, the soft minimum and the mean of z over the
windows go into an affine map. A quantum model that does better owes it to its circuit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from bondwise.qml.protein.baselines.neural_baselines import as_logits
from bondwise.qml.protein.classifiers.classifier import ProteinClassifier

_SPREAD = 0.1  # of the initial scalars of words, which keeps windows where the sigmoid is steep
_SHARPNESS = 2.5  # log of the initial κ
_READOUT = 1.5  # of the initial weights of the readout: z lies between 0 and 1


@dataclass(kw_only=True, eq=False, repr=False)
class ClassicalTwin(ProteinClassifier):
    """Filters with one scalar per word, summed over windows: 98 parameters for 4 filters and two classes.

    Windows are those of `WindowReader`: words that do not fill a last window are left out, and a shorter
    sentence is one window. The settings of `ProteinClassifier` also apply.

    Args:
        filters: Number of filters.
        window: Number of words in a window.
        stride: Number of words from the start of one window to the next.

    Example:
        >>> from bondwise.qml.protein import ClassicalTwin, synthetic_proteins
        >>> train = synthetic_proteins(20).select("train")
        >>> ClassicalTwin(epochs=1).fit(train.sequences, train.labels).num_parameters
        98
    """

    filters: int = 4
    window: int = 15
    stride: int = 3
    learning_rate: float = 0.05
    _counts = {"filters": 1_000, "window": 100_000, "stride": 100_000}

    def _network(self, words: int, outputs: int) -> nn.Module:
        return _Twin(words, outputs, self.filters, self.window, self.stride)


class _Twin(nn.Module):
    def __init__(self, words: int, outputs: int, filters: int, window: int, stride: int) -> None:
        super().__init__()
        self.window, self.stride = window, stride
        self.scalars = nn.Parameter(_SPREAD * torch.randn(words, filters))
        self.bias = nn.Parameter(torch.zeros(filters))
        self.sharpness = nn.Parameter(torch.tensor(_SHARPNESS))
        self.readout = nn.Linear(3 * filters, outputs)
        nn.init.normal_(self.readout.weight, std=_READOUT)
        nn.init.zeros_(self.readout.bias)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        lengths = (tokens >= 0).sum(1)
        # a last row of zeros, to which the padding −1 points
        values = nn.functional.pad(self.scalars, (0, 0, 0, 1))[tokens].transpose(1, 2)
        values = nn.functional.pad(values, (0, max(0, self.window - tokens.shape[1])))
        sums = self.window * nn.functional.avg_pool1d(values, self.window, self.stride)
        z = torch.sigmoid(sums + self.bias[:, None])
        starts = self.stride * torch.arange(z.shape[2])
        absent = ((starts > 0) & (starts + self.window > lengths[:, None]))[:, None]
        sharpness = self.sharpness.exp()
        highest = (sharpness * z).masked_fill(absent, -torch.inf).logsumexp(2) / sharpness
        lowest = -(-sharpness * z).masked_fill(absent, -torch.inf).logsumexp(2) / sharpness
        mean = z.masked_fill(absent, 0).sum(2) / (~absent).sum(2)
        return as_logits(self.readout(torch.cat([highest, lowest, mean], 1)))
