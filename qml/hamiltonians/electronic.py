"""The electronic structure of a molecule: PySCF's integrals and energies, and Qiskit Nature's mappings."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyscf import ao2mo, gto, mcscf, scf
from pyscf.lib.exceptions import BasisNotFoundError
from qiskit.quantum_info import SparsePauliOp
from qiskit_nature.second_q.circuit.library.initial_states.hartree_fock import hartree_fock_bitstring_mapped
from qiskit_nature.second_q.hamiltonians import ElectronicEnergy
from qiskit_nature.second_q.mappers import JordanWignerMapper, ParityMapper
from qiskit_nature.second_q.mappers.fermionic_mapper import FermionicMapper

from bondwise.qml.hamiltonians.geometries import Atoms
from bondwise.runs import UsageError, whole_number
from bondwise.runs.text import counted

MOST_ORBITALS = 12  # 24 qubits; the exact energy takes 853,776 determinants
_NOBLE = (2, 10, 18, 36)  # electrons of He, Ne, Ar and Kr, the closed shells below the valence electrons


@dataclass(frozen=True)
class ActiveSpace:
    """Integrals over the active orbitals and the energies of the molecule, in Hartree."""

    electrons: int
    orbitals: int
    one_body: NDArray[np.float64]
    two_body: NDArray[np.float64]
    core_energy: float
    hf_energy: float
    casci_energy: float


def active_space(atoms: Atoms, basis: str, active: tuple[int, int] | None) -> ActiveSpace:
    """Run Hartree-Fock and diagonalize the active space.

    Args:
        atoms: Symbol and position in Å of each atom.
        basis: Name of a basis set.
        active: Numbers of electrons and spatial orbitals; None for all but the core.

    Raises:
        UsageError: See `bondwise.qml.molecule`.
    """
    total = sum(gto.charge(symbol) for symbol, _ in atoms)
    if total % 2:
        raise UsageError(f"the molecule has {total} electrons, an odd number; only pairs are described.")
    mol = _in_basis(atoms, basis)
    electrons, orbitals = _checked(active, mol, basis)
    field = scf.RHF(mol)
    field.kernel()
    if not field.converged:
        residual = float(np.linalg.norm(field.get_grad(field.mo_coeff, field.mo_occ)))
        raise UsageError(
            f"Hartree-Fock did not converge: after {field.max_cycle} iterations its gradient is "
            f"{residual:.1e} Hartree; try another geometry, such as a shorter bond, or another basis."
        )
    space = mcscf.CASCI(field, orbitals, electrons)
    space.fcisolver.conv_tol = 1e-11
    casci_energy = float(space.kernel()[0])
    one_body, core_energy = space.get_h1eff()
    two_body = ao2mo.restore(1, space.get_h2eff(), orbitals)
    return ActiveSpace(
        electrons, orbitals, one_body, two_body, float(core_energy), float(field.e_tot), casci_energy
    )


def on_qubits(space: ActiveSpace, mapping: str) -> tuple[SparsePauliOp, str]:
    """Map an active space to qubits: its Hamiltonian, and the Hartree-Fock state, qubit 0 last."""
    electronic = ElectronicEnergy.from_raw_integrals(space.one_body, space.two_body)
    mapper = mapper_of(mapping, space.electrons)
    terms = mapper.map(electronic.second_q_op())
    constant = SparsePauliOp("I" * terms.num_qubits, space.core_energy)
    hamiltonian = (terms + constant).simplify()
    half = space.electrons // 2
    bits = hartree_fock_bitstring_mapped(space.orbitals, (half, half), qubit_mapper=mapper)
    return hamiltonian, "".join("1" if bit else "0" for bit in reversed(bits))


def mapper_of(mapping: str, electrons: int) -> FermionicMapper:
    """Qiskit Nature's mapper; that of the parity mapping removes the two qubits of conserved parities."""
    if mapping == "parity":
        return ParityMapper(num_particles=(electrons // 2, electrons // 2))
    return JordanWignerMapper()


def _in_basis(atoms: Atoms, basis: str) -> gto.Mole:
    """The molecule in a basis set."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on similar names, which go on to the error
            return gto.M(atom=atoms, basis=basis, unit="Angstrom", verbose=0)
    except (BasisNotFoundError, KeyError, ValueError, OSError) as error:
        symbols = ", ".join(dict.fromkeys(symbol for symbol, _ in atoms))
        raise UsageError(
            f"PySCF has no basis {basis[:40]!r} for {symbols}; give one such as sto-3g, 6-31g or cc-pvdz."
        ) from error


def _checked(active: tuple[int, int] | None, mol: gto.Mole, basis: str) -> tuple[int, int]:
    """The numbers of active electrons and orbitals, possible ones."""
    total, every = mol.nelectron, mol.nao
    if active is None:
        core = _core(mol)
        electrons, orbitals = total - 2 * core, every - core
        what = f"all {counted(orbitals, 'orbital')} outside the core"
    else:
        if not isinstance(active, tuple | list) or len(active) != 2:
            raise UsageError(f"active is {active!r}; give (electrons, orbitals), such as (2, 5).")
        electrons = whole_number("active electrons", active[0])
        orbitals = whole_number("active orbitals", active[1])
        what = f"an active space of {counted(orbitals, 'orbital')}"
    if orbitals > MOST_ORBITALS:
        raise UsageError(
            f"{what} is too large ({2 * orbitals} qubits); give electrons and at most {MOST_ORBITALS} "
            "orbitals, such as active=(6,6)."
        )
    if electrons % 2 or not 2 <= electrons <= total:
        raise UsageError(
            f"active electrons {electrons} do not fit the molecule, which has {total}; give an even number "
            f"from 2 to {total}."
        )
    frozen = (total - electrons) // 2
    least, most = electrons // 2, every - frozen
    if not least < orbitals <= most:
        raise UsageError(
            f"active orbitals {orbitals} do not fit {counted(electrons, 'electron')}: with {frozen} frozen "
            f"of the {every} orbitals in {basis}, give {least + 1} to {most}."
            if least < most
            else f"the {every} orbitals in {basis} are all filled, so there is nothing to compute; give a "
            "larger basis."
        )
    return electrons, orbitals


def _core(mol: gto.Mole) -> int:
    """The number of orbitals in noble gas shells, less those that a pseudopotential replaces."""
    charges = [gto.charge(mol.atom_pure_symbol(index)) for index in range(mol.natm)]
    inner = sum(max((shell for shell in _NOBLE if shell < charge), default=0) for charge in charges)
    return max(inner - (sum(charges) - mol.nelectron), 0) // 2
