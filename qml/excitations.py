"""Excitations as Givens rotations, which keep the number of electrons of each spin.

A rotation mixes two basis states that differ by a single or double excitation and leaves all others as they
are, without the signs that exchanged electrons have (Arrazola et al., arXiv:2106.13839). The gates are
PennyLane's.
"""

from __future__ import annotations

from qiskit import QuantumCircuit, transpile

from bondwise.backends import from_pennylane
from bondwise.qml.hamiltonians.molecules import Molecule, as_molecule, require_chemistry
from bondwise.runs import UsageError

_GATES = ("cx", "ry", "h", "x", "u")


def givens(molecule: Molecule) -> QuantumCircuit:
    """Build a circuit of Givens rotations, one for each single and double excitation.

    A double excitation takes at most 14 CX gates and a single one 2, however far apart their orbitals are;
    doubles come first. `bondwise.circuits.cx_count` is what the ansatz costs.

    Args:
        molecule: Result of `bondwise.qml.molecule` with the Jordan-Wigner mapping.

    Returns:
        The circuit, which prepares the Hartree-Fock state if all angles are zero. Its parameters are the
        vector `theta`, one angle per excitation.

    Raises:
        UsageError: If the argument is not a molecule, its mapping is another one, or packages are missing.

    Example:
        >>> from bondwise import qml
        >>> from bondwise.circuits import cx_count
        >>> molecule = qml.molecule("h2", bond=0.74)
        >>> circuit = qml.givens(molecule)
        >>> circuit.num_parameters, cx_count(circuit)
        (3, 17)
        >>> result = qml.VQE(molecule.hamiltonian, circuit, optimizer="lbfgs").run([0, 0, 0], steps=10)
        >>> bool(abs(result.value - molecule.casci_energy) < 1e-9)
        True
    """
    as_molecule(molecule, "givens")
    if molecule.mapping != "jordan-wigner":
        raise UsageError(
            f"givens needs one qubit per spin orbital; {molecule.name} was mapped by {molecule.mapping}, so "
            'write mapping="jordan-wigner", or take the ansatz uccsd.'
        )
    require_chemistry()
    import pennylane as qp  # seconds, which other ansätze need not wait
    from qiskit_nature.second_q.circuit.library.ansatzes.utils import generate_fermionic_excitations

    half = molecule.electrons // 2
    doubles, singles = (
        generate_fermionic_excitations(count, molecule.orbitals, (half, half)) for count in (2, 1)
    )

    def excited(theta):  # type: ignore[no-untyped-def]
        for qubit, bit in enumerate(reversed(molecule.hf_bits)):
            if bit == "1":
                qp.X(qubit)
        for angle, (filled, empty) in zip(theta, doubles + singles, strict=True):
            gate = qp.DoubleExcitation if len(filled) == 2 else qp.SingleExcitation
            gate(angle, wires=[*filled, *empty])

    circuit = from_pennylane(excited, [0.1] * len(doubles + singles)).circuit
    circuit = transpile(circuit, basis_gates=list(_GATES), optimization_level=2)
    circuit.name = "givens"
    return circuit
