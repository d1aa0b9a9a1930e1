"""Small neural networks as baselines: a convolution of width 9 and a gated recurrent unit.

Both embed a word in 16 numbers, compute features of each word, and pool them by maximum and mean over the
protein. Padding has no effect: embeddings are zero beyond both ends, and the pooling ignores these positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from bondwise.qml.protein.classifiers.classifier import ProteinClassifier

_EMBEDDING = 16
_SPREAD = 0.3  # of the initial embeddings of the convolution, which overfits sooner with 1


@dataclass(kw_only=True, eq=False, repr=False)
class CNN(ProteinClassifier):
    """One convolution with ReLU, then maximum and mean over the protein: 5,025 parameters for two classes.

    The settings of `ProteinClassifier` also apply.

    Args:
        channels: Number of filters of the convolution.
        width: Number of words that a filter sees.

    Example:
        >>> from bondwise.qml.protein import CNN, synthetic_proteins
        >>> proteins = synthetic_proteins(20)
        >>> train, test = proteins.select("train"), proteins.select("test")
        >>> model = CNN(epochs=1).fit(train.sequences, train.labels)
        >>> model.num_parameters, model.predict_proba(test.sequences).shape
        (5025, (4, 2))
    """

    channels: int = 32
    width: int = 9
    learning_rate: float = 0.01
    _counts = {"channels": 100_000, "width": 100_000}

    def _network(self, words: int, outputs: int) -> nn.Module:
        return _Convolution(words, outputs, self.channels, self.width)


@dataclass(kw_only=True, eq=False, repr=False)
class GRU(ProteinClassifier):
    """One gated recurrent unit, then maximum and mean of its states: 5,185 parameters for two classes.

    The unit of Cho et al., arXiv:1406.1078, reads the protein from its beginning to its end. The settings of
    `ProteinClassifier` also apply.

    Args:
        hidden: Size of the state.

    Example:
        >>> from bondwise.qml.protein import GRU, synthetic_proteins
        >>> train = synthetic_proteins(20).select("train")
        >>> GRU(epochs=1).fit(train.sequences, train.labels).num_parameters
        5185
    """

    hidden: int = 32
    learning_rate: float = 0.01
    _counts = {"hidden": 100_000}

    def _network(self, words: int, outputs: int) -> nn.Module:
        return _Recurrence(words, outputs, self.hidden)


class _Convolution(nn.Module):
    def __init__(self, words: int, outputs: int, channels: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, _EMBEDDING)
        with torch.no_grad():
            self.embedding.weight.mul_(_SPREAD)
        self.convolution = nn.Conv1d(_EMBEDDING, channels, width)
        self.ends = ((width - 1) // 2, width // 2)  # zeros on either side, so that every word has features
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
    """Features (B, T, F) pooled over the words, where `real` (B, T) is True, to (B, 2F)."""
    real = real[..., None]
    highest = features.masked_fill(~real, -torch.inf).amax(1)
    # masked, not multiplied by 0, because the features of padding may be infinite
    return torch.cat([highest, features.masked_fill(~real, 0).sum(1) / real.sum(1)], 1)


def as_logits(values: torch.Tensor) -> torch.Tensor:
    """Logits (B, C) unchanged, or (B, 1) as (B,)."""
    return values[:, 0] if values.shape[1] == 1 else values
