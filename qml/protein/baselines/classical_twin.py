"""The classical twin of the window model: the same wiring, with a sigmoid of a sum in the place of a circuit.

Filter f turns a window into `z = sigmoid(b_f + Σ_j x_f(word_j))`, where a circuit would rotate qubits word by
word and measure ⟨Z⟩. Soft maximum `log Σ exp(κz) / κ`, soft minimum and mean of z over the windows go into an
affine map. What a quantum model has over this one is what its circuit does.
"""

from __future__ import annotations

import torch
from torch import nn

from bondwise.qml.protein.baselines.neural_baselines import as_logits
from bondwise.qml.protein.classifiers.classifier import ProteinClassifier

_SPREAD = 0.1  # of the scalars of words: windows begin in the sensitive part of the sigmoid
_SHARPNESS = 2.5  # log of the initial κ
_READOUT = 1.5  # of the readout's weights: z lies between 0 and 1


class ClassicalTwin(ProteinClassifier):
    """Filters with one scalar per word, summed over windows: 98 parameters for 4 filters and two classes.

    Windows are those of `WindowReader`: words that do not fill a last window are left out, and a shorter
    sentence is one window.

    Args:
        filters: Number of filters.
        window: Words in a window.
        stride: Words from the beginning of one window to the next.
        alphabet: See `Alphabet`.
        k: See `Alphabet`.
        epochs: Passes over the data.
        learning_rate: Peak of the one-cycle schedule.
        batch_size: Proteins per step.
        seed: Of start and batches.
    """

    _counts = {"filters": 1_000, "window": 100_000, "stride": 100_000}

    def __init__(
        self,
        *,
        filters: int = 4,
        window: int = 15,
        stride: int = 3,
        alphabet: str = "residues",
        k: int = 1,
        epochs: int = 12,
        learning_rate: float = 0.05,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        self.filters = filters
        self.window = window
        self.stride = stride
        self.alphabet = alphabet
        self.k = k
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.seed = seed

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
        # the last row, of zeros, is what −1 points at
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
