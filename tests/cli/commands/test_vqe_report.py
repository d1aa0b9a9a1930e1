"""The sentences of a VQE report."""

from types import SimpleNamespace

import numpy as np
import pytest

from bondwise.cli.commands.vqe_report import accuracies, verdicts


@pytest.mark.parametrize("scale", [1.0, 1e-10])
def test_energies_are_the_same_relative_to_the_hamiltonian(scale: float) -> None:
    """A Hamiltonian of 1e-10 has verdicts of its own: a tenth of its scale is no rounding error."""

    def found(energy: float) -> SimpleNamespace:
        return SimpleNamespace(value=scale * energy, losses=scale * np.array([0.0, energy]), message="")

    def said(dmrg: float, mps: float, random: float) -> list[str]:
        trained = {"mps": found(mps), "random": found(random)}
        return verdicts(scale * dmrg, trained, [], None, 1e-10 * scale)  # type: ignore[arg-type]

    first, second = said(-1.0, -1.1, -1.2)
    assert first == "The random start wins: the mps start does not reach its energy."
    assert second == f"The trained circuit is {0.1 * scale:.2e} below DMRG at this bond dimension."
    first, second = said(-1.0, -1.0 - 1e-13, -0.9)
    assert first == "The mps start reaches at step 1 the energy that the random start reaches at step 1."
    assert second == "The trained circuit and DMRG at this bond dimension have the same energy."


@pytest.mark.parametrize(
    ("energy", "said"),
    [
        (
            -1.0985,
            "start: 1.500 mHa from CASCI (Hartree-Fock: 100.000): chemical accuracy, 1.6 mHa, reached.",
        ),
        (-1.0983, "1.700 mHa from CASCI (Hartree-Fock: 100.000): chemical accuracy, 1.6 mHa, not reached."),
        (-1.1017, "1.6 mHa, not reached; the state has another number of electrons, with which the energy"),
    ],
)
def test_errors_of_molecules_are_judged(energy: float, said: str) -> None:
    molecule = SimpleNamespace(hf_energy=-1.0, casci_energy=-1.1)
    (note,) = accuracies(molecule, {"MPS": SimpleNamespace(value=energy)})  # type: ignore[arg-type,dict-item]
    assert said in note
