"""Sequence classifiers trained by epochs: batches of sentences of similar length, cross-entropy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from bondwise.qml.training.epochs import History, train_epochs

_MAX_TOKENS = 100_000  # in a batch, padding included, to bound the memory of long sequences
_JITTER = 60  # words by which lengths are blurred, so that batches differ between epochs


def batches(lengths: Sequence[int], size: int, *, shuffle: bool) -> Iterator[np.ndarray]:
    """Yield the indices of the sequences of each batch; sequences of similar length share a batch.

    Args:
        lengths: Number of words of every sequence.
        size: Number of sequences in a batch; fewer if they are so long that the batch would not fit in
            memory.
        shuffle: Whether to shuffle with torch's global generator; otherwise batches run from short to long.
    """
    keys = torch.tensor(lengths, dtype=torch.float64)
    if shuffle:
        keys = keys + _JITTER * torch.rand(len(keys), dtype=torch.float64)
    order = torch.argsort(keys, stable=True).tolist()
    found: list[list[int]] = []
    longest = 0
    for number in order:
        longest = max(longest if found else 0, lengths[number])
        if not found or len(found[-1]) >= size or (len(found[-1]) + 1) * longest > _MAX_TOKENS:
            found.append([])
            longest = lengths[number]
        found[-1].append(number)
    for index in torch.randperm(len(found)).tolist() if shuffle else range(len(found)):
        yield np.array(found[index])


def padded(sentences: Sequence[np.ndarray], numbers: np.ndarray) -> torch.Tensor:
    """The tokenized sentences with these indices as one int64 tensor (B, longest), −1 beyond their ends."""
    longest = max(len(sentences[number]) for number in numbers)
    batch = torch.full((len(numbers), longest), -1)
    for row, number in enumerate(numbers):
        batch[row, : len(sentences[number])] = torch.from_numpy(sentences[number])
    return batch


def logits_of(network: nn.Module, sentences: Sequence[np.ndarray]) -> torch.Tensor:
    """Outputs of a network for all sentences in order, without gradients."""
    network.eval()
    rows: list[torch.Tensor | None] = [None] * len(sentences)
    with torch.no_grad():
        for numbers in batches([len(s) for s in sentences], 256, shuffle=False):
            for number, row in zip(numbers, network(padded(sentences, numbers)), strict=True):
                rows[number] = row
    return torch.stack([row for row in rows if row is not None])


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean loss in nats of logits (B,) for two classes or (B, C) for more; targets are class indices (B,)."""
    if logits.ndim == 1:
        return nn.functional.binary_cross_entropy_with_logits(logits, targets.to(logits))
    return nn.functional.cross_entropy(logits, targets)


def predicted(logits: torch.Tensor) -> torch.Tensor:
    """Predicted class indices (B,) from logits."""
    return (logits > 0).long() if logits.ndim == 1 else logits.argmax(1)


def train(
    network: nn.Module,
    sentences: Sequence[np.ndarray],
    targets: torch.Tensor,
    validation: tuple[Sequence[np.ndarray], torch.Tensor] | None,
    *,
    batch_size: int,
    **settings: Any,
) -> History:
    """Train a network on sentences in place, by `train_epochs`.

    Args:
        network: Maps token batches (B, T), padded by −1, to logits (B,) or (B, C).
        sentences: Tokens of each sentence.
        targets: Class indices (B,).
        validation: Sentences and class indices that select the epoch. None keeps the last epoch.
        batch_size: Number of sentences per step.
        settings: Further arguments of `train_epochs`.
    """

    def loss(numbers: np.ndarray) -> torch.Tensor:
        return cross_entropy(network(padded(sentences, numbers)), targets[numbers])

    lengths = [len(sentence) for sentence in sentences]
    return train_epochs(
        network,
        loss,
        lambda: batches(lengths, batch_size, shuffle=True),
        steps=sum(1 for _ in batches(lengths, batch_size, shuffle=False)),
        validate=None if validation is None else partial(_loss_and_accuracy, network, *validation),
        **settings,
    )


def _loss_and_accuracy(
    network: nn.Module, sentences: Sequence[np.ndarray], targets: torch.Tensor
) -> tuple[float, float]:
    logits = logits_of(network, sentences)
    accuracy = (predicted(logits) == targets).double().mean()
    return cross_entropy(logits, targets).item(), accuracy.item()
