"""Unitary coupled cluster with single and double excitations (UCCSD), through Qiskit Nature."""

from __future__ import annotations

import warnings

from qiskit import QuantumCircuit, transpile

from bondwise.qml.hamiltonians.molecules import Molecule, as_molecule, require_chemistry

_GATES = ("cx", "rz", "rx", "ry", "h", "x", "sx", "sxdg", "p")


def uccsd(molecule: Molecule) -> QuantumCircuit:
    """Build the circuit of unitary coupled cluster, exp(T - T†) with all single and double excitations.

    The excitations follow one another as a product (one Trotter step), singles first. Gates that cancel are
    removed, so that `bondwise.circuits.cx_count` is what the ansatz costs.

    Args:
        molecule: Result of `bondwise.qml.molecule`, of either mapping.

    Returns:
        The circuit, which prepares the Hartree-Fock state if all angles are zero. It has one parameter per
        excitation.

    Raises:
        UsageError: If the argument is not a molecule, or packages are missing.

    Example:
        >>> from bondwise import qml
        >>> from bondwise.circuits import cx_count
        >>> molecule = qml.molecule("h2", bond=0.74)
        >>> circuit = qml.uccsd(molecule)
        >>> circuit.num_parameters, cx_count(circuit)
        (3, 17)
        >>> result = qml.VQE(molecule.hamiltonian, circuit, optimizer="lbfgs").run([0, 0, 0], steps=10)
        >>> bool(abs(result.value - molecule.casci_energy) < 1e-9)
        True
    """
    as_molecule(molecule, "uccsd")
    require_chemistry()
    from qiskit_nature.second_q.circuit.library import UCCSD, HartreeFock

    from bondwise.qml.hamiltonians.electronic import mapper_of

    half = molecule.electrons // 2
    system = (molecule.orbitals, (half, half), mapper_of(molecule.mapping, molecule.electrons))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the class that Qiskit Nature builds upon
        circuit = UCCSD(*system, initial_state=HartreeFock(*system))
        circuit = transpile(circuit, basis_gates=list(_GATES), optimization_level=2)
    circuit.name = "uccsd"
    return circuit
