"""The preparation of a VQE: one circuit for all starts, kept in files, with angles from files."""

import json

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp, Statevector

from bondwise.backends import estimate
from bondwise.circuits import fingerprint, write_circuit
from bondwise.qml import (
    Preparation,
    brickwall,
    exact_ground_state,
    heisenberg,
    ising,
    lattice_edges,
    molecule,
    mps_start,
    prepare,
    xxz,
)
from bondwise.runs import UsageError
from bondwise.tn import extend, ground_state


def test_mps_start_of_a_lattice():
    hamiltonian = heisenberg((2, 3))
    prepared = prepare(hamiltonian, layers=1, max_bond=4, extend=2, seed=0)
    state = ground_state(hamiltonian, max_bond=4, seed=0)
    circuit, angles = mps_start(1, state, pairs=2 * lattice_edges((2, 3)), seed=0)
    assert prepared.starts["mps"].tobytes() == angles.tobytes()
    assert prepared.circuit.assign_parameters(angles) == circuit.assign_parameters(angles)
    assert list(prepared.starts) == ["mps", "random"]
    assert prepared.value == state.value
    assert prepared.exact_energy == exact_ground_state(hamiltonian)[0]
    assert prepared.mps_circuit.num_parameters == len(prepared.mps_parameters) < len(angles)


@pytest.mark.parametrize("start", ["product", "near-identity", "random"])
def test_all_starts_belong_to_one_circuit(start):
    prepared = prepare(heisenberg(3), start=start, layers=1, max_bond=2, seed=1)
    assert list(prepared.starts) == list(dict.fromkeys([start, "random"]))
    for angles in prepared.starts.values():
        assert angles.shape == (prepared.circuit.num_parameters,)


def test_angles_from_a_file(tmp_path):
    names = [parameter.name for parameter in prepare(heisenberg(3), layers=1, seed=0).circuit.parameters]
    angles = np.linspace(-1, 1, len(names))
    (tmp_path / "angles.json").write_text(json.dumps(dict(zip(names, angles.tolist(), strict=True))))
    prepared = prepare(heisenberg(3), start=tmp_path / "angles.json", layers=1, seed=0)
    assert prepared.starts["given"].tolist() == angles.tolist()


def test_without_two_qubit_terms_neighbors_are_joined():
    prepared = prepare(SparsePauliOp(["ZZZ", "IIX"]), layers=1, max_bond=2, seed=0)
    added = prepared.circuit.num_parameters - prepared.mps_circuit.num_parameters
    assert added == 2 * 6  # real blocks on (0, 1) and (1, 2)


def energy(prepared, start, hamiltonian):
    return float(estimate(prepared.circuit, hamiltonian, prepared.starts[start]).value)


@pytest.mark.parametrize("ansatz", ["staircase", "brickwall", "hardware-efficient", "uccsd", "givens"])
@pytest.mark.parametrize("start", ["mps", "product", "near-identity", "random", "hf"])
def test_every_start_of_every_ansatz_of_a_molecule(ansatz, start):
    hydrogen = molecule("h2")
    prepared = prepare(hydrogen, ansatz=ansatz, start=start, layers=2, extend=0, seed=0)
    found = energy(prepared, start, hydrogen.hamiltonian)
    assert list(prepared.starts) == list(dict.fromkeys([start, "random"]))
    assert prepared.value == pytest.approx(hydrogen.casci_energy, abs=1e-8)
    assert hydrogen.casci_energy - 1e-8 <= found
    if start in ("hf", "product"):  # no product state is lower than Hartree-Fock here
        assert found == pytest.approx(hydrogen.hf_energy, abs=1e-6)
    if start == "mps":
        exact = ansatz != "brickwall"  # three blocks are too few
        assert found == pytest.approx(hydrogen.casci_energy if exact else hydrogen.hf_energy, abs=1e-6)
    assert (prepared.mps_circuit is None) == (ansatz != "staircase")


def test_the_best_product_state_of_antiferromagnets_is_the_neel_state():
    chain = xxz(6, anisotropy=2.0)  # along z, unlike the Heisenberg model
    prepared = prepare(chain, start="product", layers=1, extend=0, seed=0)
    state = Statevector(prepared.circuit.assign_parameters(prepared.starts["product"]))
    neel = [abs(state.data[int(bits, 2)]) ** 2 for bits in ("010101", "101010")]
    assert max(neel) == pytest.approx(1, abs=1e-6)
    prepared = prepare(heisenberg(6), start="product", layers=1, extend=0, seed=0)
    assert energy(prepared, "product", heisenberg(6)) == pytest.approx(-5 / 4, abs=1e-6)


@pytest.mark.parametrize("ansatz", ["brickwall", "hardware-efficient"])
def test_lattices_start_other_circuits(ansatz):
    hamiltonian = ising(4, field=1.5)
    prepared = prepare(hamiltonian, ansatz=ansatz, layers=4, seed=0)
    random, found = (energy(prepared, start, hamiltonian) for start in ("random", "mps"))
    assert found == pytest.approx(prepared.exact_energy, rel=1e-2)
    assert found < random


def test_a_brickwall_is_embedded_after_the_staircase():
    hamiltonian = heisenberg(4)
    prepared = prepare(hamiltonian, ansatz="brickwall", embed=True, layers=2, max_bond=4, seed=0)
    pairs = [(0, 1), (2, 3), (1, 2)]
    circuit, angles = extend(prepared.mps_circuit, prepared.mps_parameters, pairs, seed=0)
    assert fingerprint(prepared.circuit) == fingerprint(circuit)
    assert prepared.starts["mps"].tobytes() == angles.tobytes()
    assert len(angles) - len(prepared.mps_parameters) == brickwall(4, 2).num_parameters
    assert energy(prepared, "mps", hamiltonian) == pytest.approx(prepared.exact_energy, abs=1e-2)


def test_angles_may_be_an_array():
    count = prepare(heisenberg(3), layers=1, seed=0).circuit.num_parameters
    angles = np.linspace(-1, 1, count)
    assert prepare(heisenberg(3), start=angles, layers=1, seed=0).starts["given"].tolist() == angles.tolist()
    with pytest.raises(UsageError, match=rf"start has shape \(2,\); give {count} finite angles"):
        prepare(heisenberg(3), start=[0.1, 0.2], layers=1, seed=0)


def test_the_folder_of_a_run_starts_the_same_circuit_only(tmp_path):
    prepared = prepare(ising(3), layers=1, seed=0)
    angles = prepared.starts["random"].tolist()
    names = [parameter.name for parameter in prepared.circuit.parameters]
    with pytest.raises(UsageError, match="holds no finished run of bondwise vqe"):
        prepare(ising(3), start=tmp_path, layers=1, seed=0)
    write_circuit(prepared.circuit, tmp_path / "ansatz.qpy")
    (tmp_path / "parameters.json").write_text(json.dumps(dict(zip(names, angles, strict=True))))
    again = prepare(ising(3, field=0.7), start=tmp_path, layers=1, seed=1)
    assert again.starts["given"].tolist() == angles
    with pytest.raises(
        UsageError,
        match="trained another circuit, 3 qubits, 21 angles and 7 CX, and this is one of 3 qubits, 33",
    ):
        prepare(ising(3), start=str(tmp_path), layers=2, seed=0)


def test_preparation_comes_back(tmp_path):
    prepared = prepare(heisenberg(3), layers=1, max_bond=2, seed=0)
    prepared.save(tmp_path / "p")
    again = Preparation.load(tmp_path / "p")
    state, other = (Statevector(p.circuit.assign_parameters(p.starts["mps"])) for p in (prepared, again))
    assert np.array_equal(state.data, other.data)
    assert np.array_equal(again.ground_states, prepared.ground_states)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": "mp"}, "Did you mean 'mps'"),
        ({"start": "no.json"}, "unknown start"),
        ({"extend": -1}, "extend is -1"),
        ({"layers": -1}, "layers"),
        ({"max_bond": 0}, "max_bond"),
        ({"start": "hf"}, "hf is the Hartree-Fock state of a molecule"),
        ({"ansatz": "uccsd"}, "ansatz uccsd is for molecules"),
        ({"ansatz": "brickwal"}, "Did you mean 'brickwall'"),
        ({"ansatz": "hardware-efficient", "embed": True}, "which hardware-efficient is not; take brickwall"),
        ({"embed": True}, "which staircase is not"),
    ],
)
def test_wrong_use(options, message):
    with pytest.raises(UsageError, match=message):
        prepare(heisenberg(3), **options)
