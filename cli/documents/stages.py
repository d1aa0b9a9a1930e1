"""The stages of a run: what `result.json` lists and the table shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from time import perf_counter
from typing import TYPE_CHECKING, Any

from bondwise.cli.terminal import show_table

if TYPE_CHECKING:
    from qiskit import QuantumCircuit


@dataclass(kw_only=True)
class Stage:
    """One line of the table.

    Attributes:
        name: What was measured.
        energy: In the units of the Hamiltonian.
        std: Standard error, 0 where exact.
        infidelity: 1 − |⟨ground state|state⟩|², None where the state is not at hand.
        cx: CX gates that the circuit which was run needs.
        depth2q: Its depth counting two-qubit gates only.
        shots: Circuit executions in all; 0 where no sampling took place.
        seconds: Wall time of this stage.
        job_ids: Jobs submitted.
    """

    name: str
    energy: float | None = None
    std: float = 0.0
    infidelity: float | None = None
    cx: int | None = None
    depth2q: int | None = None
    shots: int = 0
    seconds: float = 0.0
    job_ids: list[str] = field(default_factory=list)

    def count(self, circuit: QuantumCircuit) -> None:
        """Take the CX count and the two-qubit depth of a circuit."""
        from bondwise.circuits import cx_count, two_qubit_depth

        self.cx, self.depth2q = cx_count(circuit), two_qubit_depth(circuit)


@contextmanager
def timed(name: str, stages: list[Stage]) -> Iterator[Stage]:
    """A stage that is appended to the list, with its seconds, when its block ends well."""
    stage, began = Stage(name=name), perf_counter()
    yield stage
    stage.seconds = round(perf_counter() - began, 3)
    stages.append(stage)


def versions() -> dict[str, str]:
    """Versions of everything that can change a number."""
    names = (
        "bondwise",
        "torch",
        "qiskit",
        "qiskit-aer",
        "qiskit-ibm-runtime",
        "pennylane",
        "quimb",
        "numpy",
        "scipy",
    )
    return {name: version(name) for name in names}


def show_stages(title: str, references: list[tuple[str, float | None]], stages: list[Stage]) -> None:
    """Print the table of a run: energies without a circuit first, then every stage.

    Args:
        title: Shown above.
        references: Name and energy of what the stages are compared with; None is left out.
        stages: In order.
    """
    known = [[name, f"{energy:.6f}", *[""] * 5] for name, energy in references if energy is not None]
    columns = ("stage", "energy", "CX", "depth", "infidelity", "shots", "s")
    show_table(title, columns, known + [cells(stage) for stage in stages], sections=[len(known)])


def cells(stage: Stage) -> list[str]:
    """The stage's fields as they are shown, in the order of the table's columns."""
    energy = "" if stage.energy is None else f"{stage.energy:.6f}"
    if stage.std:
        energy = f"{stage.energy:.4f} ± {stage.std:.4f}"

    def shown(value: Any) -> str:
        return "" if value is None else str(value)

    infidelity = "" if stage.infidelity is None else f"{stage.infidelity:.2e}"
    return [
        stage.name,
        energy,
        shown(stage.cx),
        shown(stage.depth2q),
        infidelity,
        f"{stage.shots:,}" if stage.shots else "–",
        f"{stage.seconds:.1f}",
    ]
