"""The results of a VQE run in words and figures: energy per iteration, extrapolation, circuit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bondwise.cli.documents.envelope import flag_text
from bondwise.cli.documents.report import draw_skeleton, render_report
from bondwise.cli.documents.stages import References, Stage, table_rows
from bondwise.runs import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from qiskit import QuantumCircuit

    from bondwise.mitigation import Extrapolation
    from bondwise.qml import Molecule, VQEResult

_COLUMNS = ("stage", "energy", "CX", "two-qubit depth", "infidelity", "shots", "seconds")
_GRAY = "#7a8696"
_ACCURACY = 1.6e-3  # Hartree; 1 kcal/mol


def verdicts(
    dmrg: float,
    trained: dict[str, VQEResult],
    stages: list[Stage],
    extrapolation: Extrapolation | None,
    smallest: float,
) -> list[str]:
    """Sentences on which method won, DMRG included, why each training ended, and whether mitigation helped.

    Args:
        dmrg: Energy of the matrix product state.
        trained: Result of the training from each start, the main one first.
        stages: Stages of the run; with an extrapolation, the last two are the raw and the mitigated energy.
        extrapolation: Extrapolation to zero noise, or None.
        smallest: Smallest energy difference that counts.
    """
    (name, main), *others = trained.items()
    notes = []
    for other, result in others:
        steps = len(result.losses) - 1
        reached = [step for step, energy in enumerate(main.losses) if energy <= result.value + smallest]
        notes.append(
            f"The {name} start reaches at step {reached[0]} the energy that the {other} start "
            f"reaches at step {steps}."
            if reached
            else f"The {other} start wins: the {name} start does not reach its energy."
        )
    gain = dmrg - main.value
    if abs(gain) < smallest:
        notes.append("The trained circuit and DMRG at this bond dimension have the same energy.")
    elif gain > 0:
        notes.append(f"The trained circuit is {gain:.2e} below DMRG at this bond dimension.")
    else:
        notes.append(f"DMRG wins: at this bond dimension it is {-gain:.2e} below the trained circuit.")
    notes += [f"{start} start: {result.message}." for start, result in trained.items() if result.message]
    if extrapolation is not None:
        raw, mitigated = stages[-2:]
        before, after = abs(raw.energy - main.value), abs(mitigated.energy - main.value)
        margin = float(np.hypot(raw.std, mitigated.std))
        if abs(before - after) <= margin or max(before, after) < smallest:
            verdict = "no difference beyond the errors"
        else:
            verdict = "mitigation helped" if after < before else "mitigation did not help"
        notes.append(
            f"Distance to the circuit without noise: raw {before:.4f}, mitigated {after:.4f}: {verdict}."
        )
        if extrapolation.message:
            notes.append(f"mitigation: {extrapolation.message}.")
    return notes


def accuracies(molecule: Molecule, trained: dict[str, VQEResult]) -> list[str]:
    """Sentences on how far each training is from the exact energy of a molecule.

    Args:
        molecule: The molecule.
        trained: Result of the training from each start.
    """
    notes = []
    for name, result in trained.items():
        error = result.value - molecule.casci_energy
        reached = "reached" if abs(error) <= _ACCURACY else "not reached"
        if error < -_ACCURACY:
            reached += "; the state has another number of electrons, with which the energy is lower"
        notes.append(
            f"{name} start: {1000 * error:.3f} mHa from CASCI (Hartree-Fock: "
            f"{1000 * (molecule.hf_energy - molecule.casci_energy):.3f}): chemical accuracy, "
            f"{1000 * _ACCURACY} mHa, {reached}."
        )
    return notes


def described(molecule: Molecule, trained: dict[str, VQEResult]) -> dict[str, Any]:
    """The key `molecule` of `result.json`; energies in Hartree, the errors of the trainings in mHa."""
    return {
        "name": molecule.name,
        "basis": molecule.basis,
        "mapping": molecule.mapping,
        "electrons": molecule.electrons,
        "orbitals": molecule.orbitals,
        "hf_energy": molecule.hf_energy,
        "casci_energy": molecule.casci_energy,
        "errors_mha": {
            name: 1000 * (result.value - molecule.casci_energy) for name, result in trained.items()
        },
    }


def render(
    result: dict[str, Any],
    references: References,
    stages: list[Stage],
    trained: dict[str, VQEResult],
    extrapolation: Extrapolation | None,
    circuit: QuantumCircuit,
    smallest: float,
) -> str:
    """`report.html` of a run.

    Args:
        result: Content of `result.json`.
        references: Energies that the stages are compared with.
        stages: Rows of the table.
        trained: Result of the training from each start, the main one first.
        extrapolation: Extrapolation of the device's energies to zero noise, drawn if it has several scales;
            None if nothing was mitigated.
        circuit: The circuit that was trained.
        smallest: Energy difference at which the logarithmic axis ends.
    """
    settings = result["settings"]
    figures = [_training(result["exact_energy"], result["dmrg_energy"], trained, smallest)]
    if extrapolation is not None and extrapolation.scale_factors.size > 1:
        figures.append(_extrapolation(extrapolation, next(iter(trained.values())).value))
    ax = draw_skeleton(circuit, new_figure(height=1.0 + 0.22 * circuit.num_qubits).subplots())
    caption = "The two-qubit gates in order; single-qubit rotations are left out."
    figures.append(("Circuit", caption, ax))
    return render_report(
        result,
        title=f"VQE from a tensor network: {settings['molecule'] or settings['model']} "
        f"{flag_text(settings['size']) or ''}".strip(),
        lead=f"{circuit.num_qubits} qubits, {circuit.num_parameters} angles, on {settings['backend']}.",
        columns=_COLUMNS,
        rows=table_rows(references, stages),
        figures=figures,
    )


def _training(
    exact: float | None, dmrg: float, trained: dict[str, VQEResult], smallest: float
) -> tuple[str, str, Axes]:
    ax = new_figure().subplots()
    floor = min(dmrg, *(result.value for result in trained.values())) if exact is None else exact
    for name, result in trained.items():
        ax.plot((result.losses - floor).clip(smallest), label=f"{name} start")
    if dmrg - floor > smallest:
        ax.axhline(dmrg - floor, color=_GRAY, ls="--", lw=1, label="DMRG")
    above = "lowest" if exact is None else "exact"
    ax.set(xlabel="iteration", ylabel=f"energy above the {above} one", yscale="log")
    ax.legend(frameon=False)
    return (
        "Training",
        "Energy at each step of the optimizer, from every start of the same circuit.",
        ax,
    )


def _extrapolation(extrapolation: Extrapolation, noiseless: float) -> tuple[str, str, Axes]:
    ax = extrapolation.plot(new_figure().subplots())
    ax.axhline(noiseless, color=_GRAY, ls="--", lw=1, label="same circuit without noise")
    ax.set_ylabel("energy")
    ax.legend(frameon=False)
    return (
        "Zero-noise extrapolation",
        "Device energies at each noise scale, readout errors mitigated, and the fit to scale 0.",
        ax,
    )
