"""lambeq's trainable circuit model, but with batched contraction and true probabilities.

lambeq's `PytorchQuantumModel` contracts the circuits one by one. It returns |ρ| / Σ |ρ_ij| for circuits with
discards, which are not probabilities, and |amplitude|² / max(1e-9, Σ |amplitude|²) for others, which vanish
for long sentences. Here the output is |amplitude|² / Σ |amplitude|², or diag ρ / tr ρ, at any length.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bondwise.qml.lambeq.batched_contraction import contract, rescaled
from bondwise.qml.lambeq.checkpoint import read_lambeq_checkpoint
from bondwise.qml.lambeq.contraction_plan import plan_contraction
from bondwise.qml.lambeq.networks import Reading, read_circuit
from bondwise.runs import UsageError, load_checkpoint, save_checkpoint, unchanged_process, unknown_name
from bondwise.runs.renames import renamed_keyword

with unchanged_process():
    from lambeq import PytorchQuantumModel
    from lambeq.backend.quantum import Diagram
    from lambeq.backend.symbol import Symbol
    from lambeq.training.tn_path_optimizer import TnPathOptimizer

_RUN = "BatchedModel"


class BatchedModel(PytorchQuantumModel):
    """Drop-in replacement for lambeq's `PytorchQuantumModel`: same weights, symbols, trainer and data sets.

    The output for a list of circuits is real, of shape (circuits, 2, …, 2), with one axis per open wire, bits
    before qubits, in lambeq's order; the entries of a circuit are ≥ 0 and sum to 1. A circuit whose
    post-selection has probability 0 gives zeros, and one without open wires gives its unnormalized
    probability.

    Weights are in turns (1 is the angle 2π). Outputs have the precision of the weights: float32 after
    `initialise_weights`, like the targets of lambeq's `Dataset`, and float64 after `.double()`. lambeq's
    class always returns float64; a loss that converts targets by `y.double()` should use `y.to(y_hat.dtype)`.

    Args:
        tn_path_optimizer: Accepted for compatibility but unused.
        legacy_normalization: Whether to return what lambeq's class returns, including its shape and float64,
            for comparison with old results.

    Example:
        >>> from lambeq import AtomicType, IQPAnsatz, stairs_reader
        >>> from bondwise.qml import BatchedModel
        >>> ansatz = IQPAnsatz({AtomicType.SENTENCE: 1}, n_layers=1)
        >>> circuits = [ansatz(stairs_reader.sentence2diagram(text)) for text in ("a b c", "c b")]
        >>> model = BatchedModel.from_diagrams(circuits)
        >>> model.initialise_weights()
        >>> outputs = model(circuits)
        >>> outputs.shape, outputs.sum(1).round(decimals=4).tolist()
        (torch.Size([2, 2]), [1.0, 1.0])
    """

    @renamed_keyword("legacy_normalisation", "legacy_normalization")
    def __init__(
        self, tn_path_optimizer: TnPathOptimizer | None = None, *, legacy_normalization: bool = False
    ) -> None:
        super().__init__(tn_path_optimizer)
        self.legacy_normalization = legacy_normalization
        if legacy_normalization:
            warnings.warn(
                "legacy_normalization: outputs are not probabilities for circuits with discards and vanish "
                "for long post-selected sentences; use it only for comparison with old results.",
                stacklevel=2,
            )

    def get_diagram_output(self, diagrams: Sequence[Diagram]) -> torch.Tensor:
        """Compute the probabilities of all circuits.

        Args:
            diagrams: lambeq circuits of any structure with the same open wires.

        Returns:
            Probabilities (circuits, 2, …, 2) in the order of the circuits.

        Raises:
            UsageError: If there are no circuits, one is not a lambeq circuit, their open wires differ, a
                symbol is not one of the model's, or the weights are not initialized.
        """
        weights: torch.Tensor = self.weights
        if not self.symbols:  # circuits without symbols need no weights, but rotations by numbers look one up
            weights = torch.zeros(1)
        elif not isinstance(weights, torch.Tensor):
            raise UsageError("the model has no weights yet; call initialise_weights() first.")
        if isinstance(diagrams, Diagram):
            raise UsageError("the model takes a list of circuits; write model([circuit]).")
        readings = [read_circuit(diagram) for diagram in diagrams]
        structures: dict[int, list[int]] = {}
        for row, reading in enumerate(readings):
            structures.setdefault(id(reading.network), []).append(row)
        made = [
            (plan_contraction(readings[rows[0]].network, not self.legacy_normalization), rows)
            for rows in structures.values()
        ]
        made.sort(key=lambda pair: pair[0].number)  # so that batches of the same structures share a schedule
        plans, groups = [plan for plan, _ in made], [rows for _, rows in made]
        widths = sorted({len(plan.axes) for plan in plans})
        if len(widths) != 1:
            given = f"circuits with {' and '.join(map(str, widths))} axes" if widths else "no circuit"
            raise UsageError(f"got {given}; give at least one circuit, all with the same open wires.")
        position = {symbol.name: i for i, symbol in enumerate(self.symbols)}
        parameters = [_parameters([readings[row] for row in rows], position) for rows in groups]
        results = contract(plans, parameters, weights)
        parts, order = [], []
        for mixed in (False, True):
            chosen = [i for i, plan in enumerate(plans) if plan.mixed == mixed]
            if chosen:
                value, exponent = (
                    torch.cat(items) for items in zip(*(results[i] for i in chosen), strict=True)
                )
                parts.append(self._probabilities(value, exponent, mixed))
                order += [row for i in chosen for row in groups[i]]
        output = parts[0] if len(parts) == 1 else torch.cat(parts)
        if order != sorted(order):
            output = output.index_select(0, torch.as_tensor(np.argsort(order), device=output.device))
        return output if self.legacy_normalization else output.to(weights.dtype)

    def _probabilities(self, value: torch.Tensor, exponent: torch.Tensor, mixed: bool) -> torch.Tensor:
        value, shift = rescaled(value)
        value, exponent = value.to(torch.complex128), (exponent + shift).double()
        if mixed:
            positive = value.abs() if self.legacy_normalization else value.real.clamp(min=0)
        else:
            positive = torch.view_as_real(value.resolve_conj()).square().sum(-1)
            exponent = 2 * exponent
        if self.legacy_normalization or positive.ndim == 1:
            positive = positive * torch.exp2(exponent).view(-1, *(1,) * (positive.ndim - 1))
            if positive.ndim == 1:
                return positive
            total = positive.flatten(1).sum(1).clamp(min=1e-9)
        else:
            total = positive.flatten(1).sum(1)
            total = torch.where(total > 0, total, torch.ones_like(total))
        return positive / total.view(-1, *(1,) * (positive.ndim - 1))

    def save(self, checkpoint_path: str | os.PathLike[str]) -> None:
        """Write weights and symbols as safetensors with JSON in the header (lambeq writes pickles).

        Args:
            checkpoint_path: File to write, conventionally with the extension `.safetensors`.

        Raises:
            UsageError: If the weights are not initialized.
            RunError: If the disk is full or read-only.
        """
        if not isinstance(self.weights, torch.Tensor):
            raise UsageError("the model has no weights yet; call initialise_weights() first.")
        symbols = [[s.name, s.directed_dom, s.directed_cod, s.scale] for s in self.symbols]
        state = {"weights": self.weights.detach().cpu(), "symbols": symbols}
        save_checkpoint(Path(checkpoint_path), state, run=_RUN)

    def load(self, checkpoint_path: str | os.PathLike[str]) -> None:
        """Read weights and symbols from a file written by `save`, by lambeq's `save`, or by its `Trainer`.

        Args:
            checkpoint_path: File to read, such as a trainer's `best_model.lt`. Only symbols and tensors of
                lambeq's pickles are read, and no code in them is run.

        Raises:
            UsageError: If the file does not exist, is damaged, or has another format.
        """
        path = Path(checkpoint_path)
        if not path.is_file():
            raise UsageError(f"there is no model {path}; give a file written by save or by lambeq's trainer.")
        with path.open("rb") as file:
            head = file.read(9)
        if head[:1] == b"\x80" and head[8:] != b"{":
            self.symbols, weights = read_lambeq_checkpoint(path)
        else:
            try:
                state = load_checkpoint(path, run=_RUN)
            except UsageError:
                raise UsageError(
                    f"{path} is not a model written by save or by lambeq's trainer, or it is damaged."
                ) from None
            self.symbols, weights = [Symbol(*fields) for fields in state["symbols"]], state["weights"]
        self.weights = torch.nn.Parameter(weights)

    @classmethod
    def from_checkpoint(cls, checkpoint_path: str | os.PathLike[str], **kwargs: Any) -> BatchedModel:
        """Create a model with the weights and symbols of a file, read as by `load`.

        Args:
            checkpoint_path: File to read.
            **kwargs: Arguments of the model.

        Raises:
            UsageError: As for `load`.
        """
        model = cls(**kwargs)
        model.load(checkpoint_path)
        return model


def _parameters(readings: list[Reading], position: dict[str, int]) -> np.ndarray:
    """Position, scale and offset of the parameters of each circuit, (3, circuits, parameters)."""
    try:
        index = [[0 if name is None else position[name] for name in reading.names] for reading in readings]
    except KeyError as error:
        if not position:
            raise UsageError(
                f"the model has no symbols and the circuit has {error.args[0]!r}; write "
                "BatchedModel.from_diagrams(circuits) and initialise_weights()."
            ) from None
        raise unknown_name("symbol", error.args[0], position) from None
    return np.array([index, [r.scales for r in readings], [r.offsets for r in readings]], float)
