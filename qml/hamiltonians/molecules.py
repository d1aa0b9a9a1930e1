"""Molecules: the electronic Hamiltonian of an active space on qubits, and its reference energies.

H = E_core + Σ h_pq a†_p a_q + ½ Σ g_pqrs a†_p a†_r a_s a_q over the active spin orbitals, in Hartree. PySCF
computes the integrals and the energies, Qiskit Nature maps them to qubits.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec

from qiskit.quantum_info import SparsePauliOp

from bondwise.qml.hamiltonians.geometries import read_geometry
from bondwise.runs import UsageError, kind_of, unknown_name
from bondwise.runs.result import brief_repr
from bondwise.runs.text import counted

MAPPINGS = ("jordan-wigner", "parity")


@dataclass(frozen=True, kw_only=True)
class Molecule:
    """A molecule on qubits, with the energies that results are compared with.

    Energies are in Hartree and include the repulsion of the nuclei and the frozen core.

    Attributes:
        name: Name of the molecule, or its formula.
        hamiltonian: The Hamiltonian; its identity term holds the nuclear repulsion and the frozen core.
        num_qubits: Number of qubits n.
        electrons: Number of active electrons, half of them with spin up.
        orbitals: Number of active spatial orbitals.
        hf_energy: Hartree-Fock energy.
        casci_energy: Energy of the ground state in the active space (CASCI; FCI if it is the whole space),
            the lowest that this Hamiltonian has with these electrons.
        hf_bits: The Hartree-Fock state as a bit string of n letters, qubit 0 last.
        mapping: `"jordan-wigner"` or `"parity"`.
        basis: Name of the basis set.

    Example:
        >>> from bondwise import qml
        >>> molecule = qml.molecule("h2", bond=0.74)
        >>> print(molecule)
        h2, sto-3g: 2 electrons in 2 orbitals, 4 qubits, HF -1.116759, CASCI -1.137284 Hartree
        >>> molecule.hf_bits
        '0101'
    """

    name: str
    hamiltonian: SparsePauliOp
    num_qubits: int
    electrons: int
    orbitals: int
    hf_energy: float
    casci_energy: float
    hf_bits: str
    mapping: str
    basis: str

    __repr__ = brief_repr

    def __str__(self) -> str:
        return (
            f"{self.name}, {self.basis}: {counted(self.electrons, 'electron')} in "
            f"{counted(self.orbitals, 'orbital')}, {counted(self.num_qubits, 'qubit')}, "
            f"HF {self.hf_energy:.6f}, CASCI {self.casci_energy:.6f} Hartree"
        )


def molecule(
    geometry: str | os.PathLike[str],
    *,
    bond: float | None = None,
    basis: str = "sto-3g",
    active: tuple[int, int] | None = None,
    mapping: str = "jordan-wigner",
) -> Molecule:
    """Build the Hamiltonian of a neutral molecule with paired electrons.

    The orbitals are those of restricted Hartree-Fock. Spin orbital i is qubit i before the parity mapping
    removes two: those with spin up come first, by energy, then those with spin down. Needs the packages of
    `pip install "bondwise[chemistry]"`.

    Args:
        geometry: `"h2"`, `"lih"`, `"beh2"`, `"h2o"`, `"n2"`, an XYZ file in Å, or the text of one, on one
            line with `;` between the atoms if you like: `"H 0 0 0; H 0 0 0.74"`.
        bond: Length of the bonds of a named molecule in Å, by default near equilibrium.
        basis: Name of a basis set of PySCF.
        active: Numbers of electrons and of spatial orbitals that are described; those below are frozen and
            those above are empty. By default all but the core orbitals.
        mapping: `"jordan-wigner"`, two qubits per orbital, or `"parity"`, two qubits fewer.

    Returns:
        Hamiltonian, Hartree-Fock state and reference energies.

    Raises:
        UsageError: If packages are missing; the geometry, the basis or the mapping is unknown; the number of
            electrons is odd; the active space is not part of the molecule or has more than 12 orbitals; or
            Hartree-Fock does not converge.

    Example:
        >>> from bondwise import qml
        >>> water = qml.molecule("h2o", active=(4, 4), mapping="parity")
        >>> water.num_qubits, water.hf_bits
        (6, '001001')
        >>> print(f"{1000 * (water.hf_energy - water.casci_energy):.1f} mHa")
        7.4 mHa
    """
    if mapping not in MAPPINGS:
        raise unknown_name("mapping", mapping, MAPPINGS)
    name, atoms = read_geometry(geometry, bond)
    require_chemistry()
    from bondwise.qml.hamiltonians.electronic import active_space, on_qubits

    space = active_space(atoms, basis, active)
    hamiltonian, bits = on_qubits(space, mapping)
    return Molecule(
        name=name,
        hamiltonian=hamiltonian,
        num_qubits=hamiltonian.num_qubits,
        electrons=space.electrons,
        orbitals=space.orbitals,
        hf_energy=space.hf_energy,
        casci_energy=space.casci_energy,
        hf_bits=bits,
        mapping=mapping,
        basis=basis,
    )


def as_molecule(given: object, ansatz: str) -> Molecule:
    """Return the molecule that an ansatz is for.

    Raises:
        UsageError: If it is something else.
    """
    if not isinstance(given, Molecule):
        raise UsageError(
            f"the ansatz {ansatz} is for molecules, not for {kind_of(given)}; "
            "give the result of qml.molecule, or take staircase, brickwall or hardware-efficient."
        )
    return given


def require_chemistry() -> None:
    """Check that the optional packages are installed.

    Raises:
        UsageError: If one is missing.
    """
    missing = [package for package in ("pyscf", "qiskit_nature") if find_spec(package) is None]
    if missing:
        raise UsageError(
            f"molecules need {' and '.join(missing).replace('_', '-')}, which "
            f'{"are" if len(missing) > 1 else "is"} not installed; pip install "bondwise[chemistry]".'
        )
