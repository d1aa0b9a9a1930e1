"""Small neural networks as baselines: a convolution of width 9 and a gated recurrent unit.

Both embed a word in 16 numbers and see the sentence through the maximum and the mean over its words of what
they make of each word. Padding never enters: embeddings are zero beyond the ends, as they are before the
beginning, and neither pooling looks there.
"""

from __future__ import annotations

import torch
from torch import nn

from bondwise.qml.protein.classifiers.classifier import ProteinClassifier

_EMBEDDING = 16
_SPREAD = 0.3  # of the embeddings that the convolution starts from; with 1 it overfits sooner


class CNN(ProteinClassifier):
    """One convolution with ReLU, then maximum and mean over the protein: 5,025 parameters for two classes.

    Args:
        channels: Filters of the convolution.
        width: Words that a filter sees.
        alphabet: See `Alphabet`.
        k: See `Alphabet`.
        epochs: Passes over the data.
        learning_rate: Peak of the one-cycle schedule.
        batch_size: Proteins per step.
        seed: Of start and batches.
    """

    _counts = {"channels": 100_000, "width": 100_000}

    def __init__(
        self,
        *,
        channels: int = 32,
        width: int = 9,
        alphabet: str = "residues",
        k: int = 1,
        epochs: int = 12,
        learning_rate: float = 0.01,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        self.channels = channels
        self.width = width
        self.alphabet = alphabet
        self.k = k
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.seed = seed

    def _network(self, words: int, outputs: int) -> nn.Module:
        return _Convolution(words, outputs, self.channels, self.width)


class GRU(ProteinClassifier):
    """One gated recurrent unit, then maximum and mean of its states: 5,185 parameters for two classes.

    The unit of Cho et al., arXiv:1406.1078, reads the protein from its beginning to its end.

    Args:
        hidden: Numbers in the state.
        alphabet: See `Alphabet`.
        k: See `Alphabet`.
        epochs: Passes over the data.
        learning_rate: Peak of the one-cycle schedule.
        batch_size: Proteins per step.
        seed: Of start and batches.
    """

    _counts = {"hidden": 100_000}

    def __init__(
        self,
        *,
        hidden: int = 32,
        alphabet: str = "residues",
        k: int = 1,
        epochs: int = 12,
        learning_rate: float = 0.01,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        self.hidden = hidden
        self.alphabet = alphabet
        self.k = k
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.seed = seed

    def _network(self, words: int, outputs: int) -> nn.Module:
        return _Recurrence(words, outputs, self.hidden)


class _Convolution(nn.Module):
    def __init__(self, words: int, outputs: int, channels: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, _EMBEDDING)
        with torch.no_grad():
            self.embedding.weight.mul_(_SPREAD)
        self.convolution = nn.Conv1d(_EMBEDDING, channels, width)
        self.ends = ((width - 1) // 2, width // 2)  # zeros, so that each word has its own features
        self.readout = nn.Linear(2 * channels, outputs)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        real = tokens >= 0
        values = self.embedding(tokens.clamp(min=0)) * real[..., None]
        values = nn.functional.pad(values.transpose(1, 2), self.ends)
        features = self.convolution(values).relu().transpose(1, 2)
        return as_logits(self.readout(_max_and_mean(features, real)))


class _Recurrence(nn.Module):
    def __init__(self, words: int, outputs: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, _EMBEDDING)
        self.unit = nn.GRU(_EMBEDDING, hidden, batch_first=True)
        self.readout = nn.Linear(2 * hidden, outputs)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        states = self.unit(self.embedding(tokens.clamp(min=0)))[0]
        return as_logits(self.readout(_max_and_mean(states, tokens >= 0)))


def _max_and_mean(features: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Features (B, T, F) pooled over the words that are real (B, T), to (B, 2F)."""
    real = real[..., None]
    highest = features.masked_fill(~real, -torch.inf).amax(1)
    # masked rather than multiplied, so that the mean is right whatever stands beyond the end
    return torch.cat([highest, features.masked_fill(~real, 0).sum(1) / real.sum(1)], 1)


def as_logits(values: torch.Tensor) -> torch.Tensor:
    """Logits (B, C) as they are, (B, 1) as (B,)."""
    return values[:, 0] if values.shape[1] == 1 else values
