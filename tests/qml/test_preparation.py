"""The preparation of a VQE: one circuit for all starts, kept in files, with angles from files."""

import json

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp, Statevector

from bondwise.qml import Preparation, exact_ground_state, heisenberg, lattice_edges, mps_start, prepare
from bondwise.runs import UsageError
from bondwise.tn import ground_state


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
    ],
)
def test_wrong_use(options, message):
    with pytest.raises(UsageError, match=message):
        prepare(heisenberg(3), **options)
