"""Molecules: energies in the sector of their electrons, geometries, and what is refused."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyscf import scf
from qiskit import QuantumCircuit

from bondwise.backends import estimate
from bondwise.qml import molecule
from bondwise.runs import UsageError


def occupations(molecule):
    """The occupied spin orbitals of every basis state, bool of shape (2**n, 2 * orbitals)."""
    states = np.arange(2**molecule.num_qubits)[:, None] >> np.arange(molecule.num_qubits) & 1
    if molecule.mapping == "jordan-wigner":
        return states.astype(bool)
    spin = molecule.electrons // 2 % 2  # the parities of all up spins and of all spins are no qubits
    up, down = np.split(states, 2, axis=1)
    last = np.full((len(states), 1), spin)
    parities = np.hstack([up, last, down, np.zeros_like(last)])
    return (parities ^ np.pad(parities, ((0, 0), (1, 0)))[:, :-1]).astype(bool)


def lowest_with_its_electrons(molecule):
    """The lowest eigenvalue of the block with half of the electrons in each spin."""
    up, down = np.split(occupations(molecule), 2, axis=1)
    half = molecule.electrons // 2
    block = np.flatnonzero((up.sum(axis=1) == half) & (down.sum(axis=1) == half))
    matrix = molecule.hamiltonian.to_matrix(sparse=True)
    outside = np.setdiff1d(np.arange(matrix.shape[0]), block)
    assert abs(matrix[block][:, outside]).sum() < 1e-10  # the numbers are conserved
    return np.linalg.eigvalsh(matrix[block][:, block].toarray())[0]


def energy_of(molecule, bits):
    circuit = QuantumCircuit(molecule.num_qubits)
    circuit.x([qubit for qubit, bit in enumerate(reversed(bits)) if bit == "1"])
    return float(estimate(circuit, molecule.hamiltonian).value)


@pytest.mark.parametrize("mapping", ["jordan-wigner", "parity"])
@pytest.mark.parametrize(("name", "active"), [("h2", None), ("lih", (2, 5)), ("h2o", (4, 4))])
def test_energies_of_the_qubits_are_those_of_the_molecule(name, active, mapping):
    found = molecule(name, active=active, mapping=mapping)
    assert found.num_qubits == found.hamiltonian.num_qubits == 2 * found.orbitals - 2 * (mapping == "parity")
    assert energy_of(found, found.hf_bits) == pytest.approx(found.hf_energy, abs=1e-8)
    assert lowest_with_its_electrons(found) == pytest.approx(found.casci_energy, abs=1e-8)


@pytest.mark.parametrize(
    ("name", "bond", "hf", "fci"),  # Helgaker, Jørgensen and Olsen; Szabo and Ostlund: R = 1.4 bohr
    [("h2", 1.4 * 0.529177210903, -1.1167, -1.1373), ("lih", 1.6, -7.8619, -7.8823)],
)
def test_energies_are_those_of_the_literature(name, bond, hf, fci):
    found = molecule(name, bond=bond, active=None if name == "h2" else (4, 6))
    assert found.hf_energy == pytest.approx(hf, abs=1e-4)
    assert found.casci_energy == pytest.approx(fci, abs=1e-4)


@settings(max_examples=15, deadline=None)
@given(
    steps=st.lists(st.tuples(*[st.floats(0.5, 1.6)] * 3), min_size=1, max_size=3).filter(
        lambda steps: len(steps) % 2
    ),
    mapping=st.sampled_from(["jordan-wigner", "parity"]),
)
def test_any_chain_of_hydrogen(steps, mapping):
    places = np.cumsum([(0.0, 0.0, 0.0), *steps], axis=0)
    found = molecule("\n".join(f"H {x!r} {y!r} {z!r}" for x, y, z in places.tolist()), mapping=mapping)
    assert found.electrons == len(places)
    assert energy_of(found, found.hf_bits) == pytest.approx(found.hf_energy, abs=1e-8)
    assert lowest_with_its_electrons(found) == pytest.approx(found.casci_energy, abs=1e-8)


def test_core_orbitals_are_frozen_by_default():
    sizes = {name: molecule(name) for name in ("h2", "lih", "beh2")}
    assert {name: (found.electrons, found.orbitals) for name, found in sizes.items()} == {
        "h2": (2, 2),
        "lih": (2, 5),
        "beh2": (4, 6),
    }


def test_files_and_text_hold_the_same_molecule(tmp_path):
    (tmp_path / "h2.xyz").write_text("2\na comment; H 9 9 9\nH 0 0 0\nh 0.0 0.0 0.9\n")
    found = [
        molecule(tmp_path / "h2.xyz"),
        molecule("H 0 0 0; H 0 0 0.9"),
        molecule("2\n\nH 0 0 0\nH 0 0 0.9"),
        molecule("H2", bond=0.9),
    ]
    assert [one.name for one in found] == ["H2", "H2", "H2", "h2"]
    for other in found[1:]:
        assert other.hf_energy == pytest.approx(found[0].hf_energy, abs=1e-10)
        assert other.hf_bits == found[0].hf_bits


def test_a_molecule_is_printed_in_one_line():
    found = molecule("h2", bond=0.74)
    assert str(found).startswith("h2, sto-3g: 2 electrons in 2 orbitals, 4 qubits, HF -1.116759, CASCI -1.1")
    assert "<SparsePauliOp>" in repr(found)


@pytest.mark.parametrize(
    ("geometry", "options", "message"),
    [
        ("h3", {}, "unknown molecule 'h3'"),
        ("no.xyz", {}, "Known: FILE (in XYZ format), beh2"),
        ("H 0 0 0; Q 0 0 1", {}, "line 2: 'Q' is not an element"),
        ("2\n\nH 0 0 0\nHx 0 0 1", {}, "line 4: 'Hx' is not an element"),
        ("H 0 0 0; H 0 1", {}, "line 2: 'H 0 1' is not an atom"),
        ("H 0 0 0; H 0 0 nan", {}, "line 2: a coordinate is not a number from"),
        ("H 0 0 0; H 0 0 1e9", {}, "line 2: a coordinate"),
        ("H 0 0 0; H 0 0 0.01", {}, "atoms 1 and 2 are 0.01 Å apart"),
        ("3\n\nH 0 0 0\nH 0 0 1", {}, "announces 3 atoms and holds 2"),
        (";", {}, "is empty"),
        ("0\n\n", {}, "holds no atoms"),
        ("H 0 0 0; H 0 0 1; H 0 0 2", {}, "3 electrons, an odd number"),
        ("H 0 0 0; H 0 0 1", {"bond": 1.0}, "bond is for named molecules"),
        ("He 0 0 0;", {}, "all filled"),
        ("h2", {"bond": -1}, "bond is -1"),
        ("h2", {"bond": 1e-3}, "bond is 0.001"),
        ("h2", {"basis": "sto-4g5"}, "no basis 'sto-4g5' for H; give one such as sto-3g"),
        ("h2", {"mapping": "jordan wigner"}, "Did you mean 'jordan-wigner'"),
        ("lih", {"active": (3, 5)}, "active electrons 3 do not fit the molecule, which has 4"),
        ("lih", {"active": (6, 6)}, "active electrons 6"),
        ("lih", {"active": (2, 6)}, "active orbitals 6 do not fit 2 electrons: with 1 frozen of the 6"),
        ("lih", {"active": (4, 2)}, "active orbitals 2"),
        ("lih", {"active": (2, 0)}, "active orbitals is 0"),
        ("lih", {"active": 2}, "active is 2; give (electrons, orbitals)"),
        ("n2", {"basis": "cc-pvdz"}, "too large (52 qubits)"),
    ],
)
def test_wrong_use_is_named(geometry, options, message):
    with pytest.raises(UsageError) as error:
        molecule(geometry, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_empty_file_is_named(tmp_path):
    (tmp_path / "nothing.xyz").write_text("\n\n")
    with pytest.raises(UsageError, match=r"nothing\.xyz is empty"):
        molecule(tmp_path / "nothing.xyz")


def test_hartree_fock_that_does_not_converge_is_refused(monkeypatch):
    monkeypatch.setattr(scf.hf.SCF, "max_cycle", 2)
    with pytest.raises(UsageError, match=r"did not converge: after 2 iterations its gradient is \d\.\de"):
        molecule("h2o", active=(4, 4))


@pytest.mark.parametrize("package", ["pyscf", "qiskit_nature"])
def test_missing_packages_are_named(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    with pytest.raises(UsageError, match=r'pip install "bondwise\[chemistry\]"') as error:
        molecule("h2")
    assert package.replace("_", "-") in str(error.value)


def test_lattices_need_no_chemistry():
    code = (
        "import sys\nsys.modules['pyscf'] = sys.modules['qiskit_nature'] = None\n"
        "from bondwise import qml\nprint(list(qml.prepare(qml.ising(3), layers=1, max_bond=2).starts))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['mps', 'random']\n"
