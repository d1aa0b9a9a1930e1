"""The stages of a run: what `result.json` lists and the table shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bondwise.cli.terminal import show_table

References = Sequence[tuple[str, float | None]]  # name and energy, None if unknown


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One line of the table.

    Attributes:
        name: Name of the stage.
        energy: Energy in the units of the Hamiltonian.
        std: Standard error; 0 if the energy is exact.
        infidelity: 1 − |⟨ground state|state⟩|²; None if unknown.
        cx: Number of CX gates of the circuit.
        depth2q: Depth of the circuit, counting two-qubit gates only.
        shots: Total number of circuit executions; 0 if nothing was sampled.
        seconds: Wall time of the stage.
        job_ids: Identifiers of the submitted jobs.
    """

    name: str
    energy: float
    std: float = 0.0
    infidelity: float | None = None
    cx: int
    depth2q: int
    shots: int = 0
    seconds: float
    job_ids: tuple[str, ...] = ()


def show_stages(title: str, references: References, stages: Sequence[Stage]) -> None:
    """Print the table of a run.

    Args:
        title: Text above the table.
        references: Energies that the stages are compared with, shown first.
        stages: Stages of the run, in order.
    """
    rows = table_rows(references, stages)
    columns = ("stage", "energy", "CX", "depth", "infidelity", "shots", "s")
    show_table(title, columns, rows, sections=[len(rows) - len(stages)])


def table_rows(references: References, stages: Sequence[Stage]) -> list[list[str]]:
    """The cells of the table: name, energy, CX, depth, infidelity, shots, seconds."""
    known = [[name, f"{energy:.6f}", *[""] * 5] for name, energy in references if energy is not None]
    return known + [_cells(stage) for stage in stages]


def _cells(stage: Stage) -> list[str]:
    return [
        stage.name,
        f"{stage.energy:.4f} ± {stage.std:.4f}" if stage.std else f"{stage.energy:.6f}",
        str(stage.cx),
        str(stage.depth2q),
        "" if stage.infidelity is None else f"{stage.infidelity:.2e}",
        f"{stage.shots:,}" if stage.shots else "–",
        f"{stage.seconds:.1f}",
    ]
