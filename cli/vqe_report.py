"""The report of `bondwise vqe`: energy against iterations, the extrapolation, the circuit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwise.cli.report import draw_skeleton, new_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from qiskit import QuantumCircuit

    from bondwise.mitigation import Extrapolation
    from bondwise.qml import VQEResult


def vqe_figures(
    trained: dict[str, VQEResult],
    extrapolation: Extrapolation | None,
    circuit: QuantumCircuit,
    *,
    exact_energy: float | None,
    dmrg_energy: float,
    trained_energy: float,
) -> list[tuple[str, str, Figure]]:
    """Heading, caption and figure of each part of the report.

    Args:
        trained: Result of the training from each start, the main one first.
        extrapolation: Of the device's energies to zero noise, None when nothing was mitigated.
        circuit: The circuit that was trained.
        exact_energy: Ground-state energy, None when it is not known.
        dmrg_energy: Energy of the matrix product state.
        trained_energy: Noiseless energy of the circuit that was run on the device.
    """
    figures = []
    ax = new_axes()
    floor = exact_energy if exact_energy is not None else min(dmrg_energy, *(r.value for r in trained.values())) - 1e-6
    for name, result in trained.items():
        ax.plot(np.maximum(result.trace_energy - floor, 1e-12), label=f"{name} start")
    if dmrg_energy > floor:
        ax.axhline(dmrg_energy - floor, color="#7a8696", ls="--", lw=1, label="DMRG")
    ax.set(xlabel="iteration", ylabel="energy above the exact one" if exact_energy is not None else "energy above the lowest", yscale="log")
    ax.legend(frameon=False)
    figures.append(("Training", "Energy at each step of the optimiser, from both starts of the same circuit.", ax.figure))
    if extrapolation is not None:
        ax = new_axes()
        extrapolation.plot(ax)
        ax.axhline(trained_energy, color="#7a8696", ls="--", lw=1, label="same circuit without noise")
        ax.legend(frameon=False)
        figures.append(
            ("Zero-noise extrapolation", "Device energies at each noise scale, and the fit to scale 0.", ax.figure)
        )
    ax = draw_skeleton(circuit, new_axes(height=0.9 + 0.25 * circuit.num_qubits))
    figures.append(
        ("Circuit", "Two-qubit gates in order; blue where a pair meets again. Single-qubit rotations are left out.", ax.figure)
    )
    return figures
