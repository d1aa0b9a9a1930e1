"""Training of sequence classifiers: Adam, a one-cycle rate, the best epoch by validation, exact resumption.

A checkpoint is written after every epoch and holds everything that the next epoch depends on, including the
state of the random numbers, so that an interrupted and resumed run equals an uninterrupted one bit for bit.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bondwise.runs import RunError, axes_or_new, load_checkpoint, progress_bar, save_checkpoint

_MAX_TOKENS = 100_000  # in a batch, padding included, to bound the memory of long sequences
_JITTER = 60  # words by which lengths are blurred, so that batches differ between epochs
_MAX_GRADIENT = 1.0
_OLD = {"loss": "losses", "valid_loss": "valid_losses", "valid_accuracy": "valid_accuracies"}


@dataclass
class History:
    """History of a training by epoch, as `qml.Training` is one by step.

    Attributes:
        losses: Mean cross-entropy on the training set during each epoch, nats.
        valid_losses: Cross-entropy on the validation set after each epoch, nats; empty without one.
        valid_accuracies: Accuracy on the validation set after each epoch; empty without one.
        seconds: Wall time since the start after each epoch, including earlier parts of a resumed run.
        best: Epoch whose parameters were kept, counted from 0.
        start_infidelity: Mean of 1 − |⟨tensor network|circuit⟩|² per filter after a tensor network start;
            empty without that start.
    """

    losses: list[float] = field(default_factory=list)
    valid_losses: list[float] = field(default_factory=list)
    valid_accuracies: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    best: int = -1
    start_infidelity: list[float] = field(default_factory=list)

    @classmethod
    def from_file(cls, entries: dict[str, Any]) -> History:
        """A history from the entries of a file, which may have the names of the last release."""
        return cls(**{_OLD.get(name, name): value for name, value in entries.items()})

    def __getattr__(self, name: str) -> Any:
        if name not in _OLD:
            raise AttributeError(f"a History has no attribute {name!r}")
        message = f"history_.{name} is now history_.{_OLD[name]}; the old name goes in the next release."
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return getattr(self, _OLD[name])

    def plot(self, ax: Any = None) -> Any:
        """Draw the learning curve.

        Args:
            ax: Matplotlib Axes; None creates a figure.

        Returns:
            The Axes.
        """
        ax = axes_or_new(ax)
        epochs = np.arange(1, len(self.losses) + 1)
        ax.plot(epochs, self.losses, label="loss, training")
        if self.valid_losses:
            ax.plot(epochs, self.valid_losses, label="loss, validation")
            ax.plot(epochs, self.valid_accuracies, label="accuracy, validation")
        ax.axvline(self.best + 1, color="0.7", lw=0.8, zorder=0)
        ax.set(xlabel="epoch", ylabel="cross-entropy (nats), accuracy")
        ax.legend()
        return ax


def batches(lengths: Sequence[int], size: int, *, shuffle: bool) -> Iterator[np.ndarray]:
    """Yield the indices of the sequences of each batch; sequences of similar length share a batch.

    Args:
        lengths: Number of words of every sequence.
        size: Sequences in a batch; fewer if they are so long that the batch would not fit in memory.
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


def logits_of(network: nn.Module, sentences: Sequence[np.ndarray], size: int = 256) -> torch.Tensor:
    """Outputs of a network for all sentences in order, without gradients."""
    network.eval()
    rows: list[torch.Tensor | None] = [None] * len(sentences)
    with torch.no_grad():
        for numbers in batches([len(s) for s in sentences], size, shuffle=False):
            for number, row in zip(numbers, network(padded(sentences, numbers)), strict=True):
                rows[number] = row
    return torch.stack([row for row in rows if row is not None])


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean loss in nats of logits (B,) for two classes or (B, C) for more; targets are class numbers (B,)."""
    if logits.ndim == 1:
        return nn.functional.binary_cross_entropy_with_logits(logits, targets.to(logits))
    return nn.functional.cross_entropy(logits, targets)


def predicted(logits: torch.Tensor) -> torch.Tensor:
    """Class numbers (B,) of logits."""
    return (logits > 0).long() if logits.ndim == 1 else logits.argmax(1)


def train(
    network: nn.Module,
    sentences: Sequence[np.ndarray],
    targets: torch.Tensor,
    validation: tuple[Sequence[np.ndarray], torch.Tensor] | None,
    *,
    epochs: int,
    learning_rate: float,
    batch_size: int,
    start_infidelity: Sequence[float] = (),
    checkpoint: Path | None = None,
    resume: bool = False,
    run: str = "",
    progress: bool = False,
    title: str = "training",
) -> History:
    """Train a network in place; afterwards it has the parameters of the best epoch.

    Args:
        network: Maps token batches (B, T), padded by −1, to logits (B,) or (B, C). Random numbers come from
            torch's global generator.
        sentences: Tokens of each sentence.
        targets: Class numbers (B,).
        validation: Sentences and class numbers that select the epoch of the lowest loss, which varies less by
            chance than the accuracy. None keeps the last epoch.
        epochs: Passes over the data.
        learning_rate: Peak of the one-cycle schedule.
        batch_size: Sentences per step.
        start_infidelity: Entry of the history.
        checkpoint: File for the state after each epoch.
        resume: Whether to continue from the checkpoint.
        run: Fingerprint of model and data; a checkpoint with another fingerprint is refused.
        progress: Show a progress bar.
        title: Title of the bar.

    Raises:
        RunError: The loss is not finite.
        UsageError: The checkpoint cannot be used.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    steps = epochs * sum(1 for _ in batches([len(s) for s in sentences], batch_size, shuffle=False))
    # batches cut short by memory can make an epoch longer; the schedule then stays at its end
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=steps + 1, pct_start=0.15
    )
    history, first, before = History(start_infidelity=list(start_infidelity)), 0, 0.0
    best = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    if resume and checkpoint is not None:
        state = load_checkpoint(checkpoint, run=run)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        history, best, first = History.from_file(state["history"]), state["best"], state["epoch"]
        before = history.seconds[-1] if history.seconds else 0.0
        torch.set_rng_state(state["random"])
    began = time.perf_counter()
    with progress_bar(epochs, title, progress) as bar:
        bar.update(first)
        for epoch in range(first, epochs):
            network.train()
            total = 0.0
            for numbers in batches([len(s) for s in sentences], batch_size, shuffle=True):
                loss = cross_entropy(network(padded(sentences, numbers)), targets[numbers])
                if not math.isfinite(loss.item()):
                    raise RunError(
                        f"the loss is {loss.item()} in epoch {epoch + 1}; "
                        f"lower the learning rate, which is {learning_rate:g}."
                    )
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), _MAX_GRADIENT)
                optimizer.step()
                if schedule.last_epoch < steps:
                    schedule.step()
                total += loss.item() * len(numbers)
            history.losses.append(total / len(sentences))
            better = True
            if validation is not None:
                logits = logits_of(network, validation[0])
                history.valid_losses.append(cross_entropy(logits, validation[1]).item())
                history.valid_accuracies.append((predicted(logits) == validation[1]).double().mean().item())
                better = epoch == 0 or history.valid_losses[epoch] < history.valid_losses[history.best]
                bar.set_postfix_str(f"valid {history.valid_accuracies[-1]:.3f}", refresh=False)
            if better:
                history.best = epoch
                best = {name: tensor.clone() for name, tensor in network.state_dict().items()}
            history.seconds.append(before + time.perf_counter() - began)
            if checkpoint is not None:
                state = {
                    "network": dict(network.state_dict()),
                    "optimiser": optimizer.state_dict(),
                    "schedule": _plain(schedule.state_dict()),
                    "history": dict(vars(history)),
                    "best": best,
                    "epoch": epoch + 1,
                    "random": torch.get_rng_state(),
                }
                save_checkpoint(checkpoint, state, run=run)
            bar.update()
    network.load_state_dict(best)
    return history


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """The state of a scheduler without its functions, which are the same in every run."""
    kinds = (int, float, str, bool, list, type(None))
    return {key: value for key, value in state.items() if isinstance(value, kinds)}
