"""Initial angles of window circuits from a tensor network that is trained first.

The classical tensor network is the circuit without its constraint: the matrices of the residues need not be
unitary, and the vector that they act on is kept at norm 1. On a window this is a uniform matrix product state
of bond dimension 2^n. It is trained like the classifier itself. Then the circuit is fitted to it: the angles
maximize the fidelity of the two states, averaged over windows of the training proteins, as arXiv:2208.13673
fits a circuit to a matrix product state. Pooling and readout are kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from bondwise.qml.protein.boxes.channels import real_matrix
from bondwise.qml.protein.boxes.scanning import scan
from bondwise.qml.protein.classifiers.training import padded, train
from bondwise.qml.protein.networks.path import PathNetwork
from bondwise.qml.protein.networks.windows import WindowNetwork
from bondwise.runs import progress_bar

_WINDOWS = 4096  # windows of the training set on which the two states are compared
_STEPS = 300
_BATCH = 512


def tensor_network_start(
    network: nn.Module,
    filters: Sequence[WindowNetwork],
    sentences: Sequence[np.ndarray],
    targets: torch.Tensor,
    *,
    epochs: int,
    learning_rate: float,
    batch_size: int,
    progress: bool = False,
) -> list[float]:
    """Initialize the windows, and what follows them, with a trained tensor network.

    Args:
        network: Untrained network of a classifier; changed in place.
        filters: The windows of the network.
        sentences: Tokens of the training proteins.
        targets: Class indices (B,).
        epochs: Number of epochs of the tensor network's training.
        learning_rate: Learning rate of this training and of the fit.
        batch_size: Number of proteins per step of the training.
        progress: Whether to show progress bars.

    Returns:
        The mean infidelity 1 − |⟨tensor network|circuit⟩|² of each filter after the fit.
    """
    circuits = [part.path for part in filters]
    free = [FreePath(circuit.words, circuit.qubits) for circuit in circuits]
    for part, substitute in zip(filters, free, strict=True):
        part.path = substitute  # type: ignore[assignment]  # `final` and `pure` are all that is used
    try:
        train(
            network,
            sentences,
            targets,
            None,
            epochs=epochs,
            learning_rate=learning_rate,
            batch_size=batch_size,
            progress=progress,
            title="tensor network",
        )
    finally:
        for part, circuit in zip(filters, circuits, strict=True):
            part.path = circuit
    found = []
    for part, circuit, trained in zip(filters, circuits, free, strict=True):
        # small integers, because these are all windows of all proteins
        cut = (part.cut(padded(sentences, np.array([i])))[0].to(torch.int32) for i in range(len(sentences)))
        windows = torch.cat(list(cut))
        chosen = windows[torch.randperm(len(windows))[:_WINDOWS]].long()
        found.append(fit_circuit(circuit, trained, chosen, learning_rate, progress))
    return found


class FreePath(nn.Module):
    """Takes the place of a `PathNetwork`: complex matrices near the identity instead of unitaries."""

    pure = True

    def __init__(self, words: int, qubits: int) -> None:
        super().__init__()
        size = 2**qubits
        matrices = torch.zeros(words, size, size, 2)
        matrices[..., 0] = torch.eye(size)
        self.matrices = nn.Parameter(matrices + 0.05 * torch.randn_like(matrices))
        self.start = nn.Parameter(torch.randn(size, 2))

    def final(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Final states of norm 1 in real form, and the log of their original norm, as `PathNetwork.final`."""
        start = self.start.T.flatten()
        start = (start / start.norm()).expand(len(tokens), -1)
        matrices = real_matrix(torch.view_as_complex(self.matrices))
        states, log = scan(matrices, tokens, start, rescale=True)
        return states[:, -1], log


def fit_circuit(
    circuit: PathNetwork, trained: FreePath, windows: torch.Tensor, rate: float, progress: bool
) -> float:
    """Maximize the mean fidelity of the circuit's states with those of the tensor network."""
    with torch.no_grad():
        goal = trained.final(windows)[0]
    optimizer = torch.optim.Adam(circuit.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5 * rate, total_steps=_STEPS)
    with progress_bar(_STEPS, "circuit from tensor network", progress) as bar:
        for _ in range(_STEPS):
            chosen = torch.randint(len(windows), (_BATCH,))
            loss = infidelity(circuit.final(windows[chosen])[0], goal[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            bar.update()
    with torch.no_grad():
        return infidelity(circuit.final(windows)[0], goal).item()


def infidelity(states: torch.Tensor, goal: torch.Tensor) -> torch.Tensor:
    """Mean of 1 − |⟨goal|state⟩|² over states in real form (N, 2^(n + 1))."""
    real, imaginary = states.chunk(2, dim=-1)
    goal_real, goal_imaginary = goal.chunk(2, dim=-1)
    overlap = (goal_real * real + goal_imaginary * imaginary).sum(-1) ** 2
    overlap = overlap + (goal_real * imaginary - goal_imaginary * real).sum(-1) ** 2
    return 1 - overlap.mean()
