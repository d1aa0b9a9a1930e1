"""Training by epochs: Adam, a one-cycle rate, the best epoch by validation, exact resumption.

A checkpoint is written after every epoch and holds everything that the next epoch depends on, including the
state of the random numbers, so that an interrupted and resumed run equals an uninterrupted one bit for bit.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bondwise.runs import RunError, axes_or_new, load_checkpoint, progress_bar, save_checkpoint
from bondwise.runs.result import brief_html, brief_repr, html_curve

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

    __repr__ = brief_repr

    def _repr_html_(self) -> str:
        return brief_html(self) + html_curve("loss by epoch", self.losses)

    @classmethod
    def from_file(cls, entries: dict[str, Any]) -> History:
        """Create a history from the entries of a file, which may have the names of the previous release."""
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
            ax: Matplotlib axes to plot on; a new figure by default.

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


def train_epochs(
    network: nn.Module,
    loss: Callable[[np.ndarray], torch.Tensor],
    batches: Callable[[], Iterable[np.ndarray]],
    *,
    steps: int,
    epochs: int,
    learning_rate: float,
    validate: Callable[[], tuple[float, float]] | None = None,
    start_infidelity: Iterable[float] = (),
    checkpoint: Path | None = None,
    resume: bool = False,
    run: str = "",
    progress: bool = False,
    title: str = "training",
) -> History:
    """Train a network in place; afterwards it has the parameters of the best epoch.

    Args:
        network: The network. Random numbers come from torch's global generator.
        loss: Mean loss of the samples with the given indices.
        batches: Indices of the samples of each batch, in a new order at each call.
        steps: Batches in an epoch. If memory cuts batches short there can be more; the schedule then stays at
            its end.
        epochs: Number of passes over the data.
        learning_rate: Peak of the one-cycle schedule.
        validate: Loss and accuracy on the validation set. The epoch of the lowest loss is kept, which varies
            less by chance than the accuracy. None keeps the last epoch.
        start_infidelity: Entry of the history.
        checkpoint: File for the state after each epoch.
        resume: Whether to continue from the checkpoint.
        run: Fingerprint of model and data; a checkpoint with another fingerprint is refused.
        progress: Whether to show a progress bar.
        title: Title of the progress bar.

    Raises:
        RunError: If the loss is not finite.
        UsageError: If the checkpoint cannot be used.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=epochs * steps + 1, pct_start=0.15
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
    with progress_bar(epochs, title, progress, first=first) as bar:
        for epoch in range(first, epochs):
            network.train()
            total, samples = 0.0, 0
            for numbers in batches():
                value = loss(numbers)
                if not math.isfinite(value.item()):
                    raise RunError(
                        f"the loss is {value.item()} in epoch {epoch + 1}; "
                        f"lower the learning rate, which is {learning_rate:g}."
                    )
                optimizer.zero_grad()
                value.backward()
                nn.utils.clip_grad_norm_(network.parameters(), _MAX_GRADIENT)
                optimizer.step()
                if schedule.last_epoch < epochs * steps:
                    schedule.step()
                total += value.item() * len(numbers)
                samples += len(numbers)
            history.losses.append(total / samples)
            better = True
            if validate is not None:
                valid_loss, valid_accuracy = validate()
                history.valid_losses.append(valid_loss)
                history.valid_accuracies.append(valid_accuracy)
                better = epoch == 0 or history.valid_losses[epoch] < history.valid_losses[history.best]
                bar.set_postfix_str(f"validation accuracy {valid_accuracy:.3f}", refresh=False)
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
