"""States as other packages hold and save them: quimb's arrays and pickles, kets, counts, tables of bits."""

import json

import numpy as np
import pytest
import quimb
import quimb.tensor as qtn
from qiskit import QuantumCircuit
from qiskit.primitives import StatevectorSampler
from qiskit.quantum_info import DensityMatrix, Statevector, random_statevector
from safetensors.numpy import save_file

from bondwise.cli.circuit_files import read_state
from bondwise.qml import mps_start
from bondwise.runs import UsageError
from bondwise.tn import decompose, fit, ground_state, read_bitstrings, site_tensors, to_dense, train_born


def same(state, vector):
    return abs(abs(np.vdot(to_dense(state), vector)) - 1) < 1e-10


def quimb_vector(state):
    """quimb's own ket, with qubit 0 as the lowest bit."""
    return np.asarray(state.to_dense()).reshape([2] * state.L).transpose().ravel()


STATES = {
    "real": lambda: qtn.MPS_rand_state(6, 5, seed=1),
    "complex": lambda: qtn.MPS_rand_state(5, 3, dtype=complex, seed=2),
    "bonds of 2 and 3": lambda: qtn.MPS_rand_state(7, 3, seed=3),
    "product": lambda: qtn.MPS_rand_state(4, 1, seed=4),
    "two sites": lambda: qtn.MPS_rand_state(2, 2, seed=5),
    "ground state": lambda: ground(8),
    "GHZ": lambda: qtn.MPS_ghz_state(5),
}


def ground(sites):
    dmrg = qtn.DMRG2(qtn.MPO_ham_heis(sites), bond_dims=[8], cutoffs=1e-10)
    dmrg.solve(verbosity=0)
    return dmrg.state


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if name == "ground state" else []) for name in STATES],
)
def test_arrays_of_quimb_in_a_file_and_in_python(tmp_path, name):
    state = STATES[name]()
    state.normalize()
    vector = quimb_vector(state)
    state.permute_arrays("lrp")
    np.savez(tmp_path / "state.npz", *state.arrays)
    assert same(read_state(tmp_path / "state.npz"), vector)
    assert same(site_tensors(state.arrays), vector)
    assert same(site_tensors(state), vector)
    from_arrays, from_state = (mps_start(1, given, seed=0) for given in (state.arrays, state))
    np.testing.assert_allclose(from_arrays[1], from_state[1], atol=1e-12)


def test_our_order_of_the_axes_without_the_outer_bonds():
    tensors = site_tensors(random_statevector(2**5, seed=1))
    ends = [tensors[0][0], *tensors[1:-1], tensors[-1][..., 0]]
    assert same(site_tensors(ends), to_dense(tensors))


def test_arrays_that_are_two_states_are_refused(tmp_path):
    line = r"one state as \(left, right, 2\) and another .*; pass the quimb state itself, or save numpy.savez"
    with pytest.raises(UsageError, match=line):
        site_tensors([np.array([[0.0, 1.0], [0.0, 0.0]]), np.eye(2)])
    circuit = qtn.CircuitMPS(3)
    for qubit in range(3):
        circuit.ry(0.3 + qubit, qubit)
    circuit.cnot(0, 1)
    circuit.cnot(1, 2)
    state = circuit.psi
    state.permute_arrays("lrp")
    with pytest.raises(UsageError, match=line):
        site_tensors(state.arrays)
    assert same(site_tensors(state), quimb_vector(state))
    np.savez(tmp_path / "state.npz", *site_tensors(state))  # the line
    assert same(read_state(tmp_path / "state.npz"), quimb_vector(state))


def test_arrays_that_are_not_in_the_order_of_the_sites(tmp_path):
    state = qtn.MPS_rand_state(4, 2, seed=1)
    state.right_canonize(normalize=True)
    with pytest.raises(UsageError, match=r"arrays \d and \d have two axes, .* order of its sites; pass the"):
        site_tensors(state.arrays)
    np.savez(tmp_path / "raw.npz", *state.arrays)
    with pytest.raises(UsageError, match=r"raw.npz: arrays \d and \d have two axes"):
        read_state(tmp_path / "raw.npz")
    assert same(site_tensors(state), quimb_vector(state))


@pytest.mark.parametrize("bond", [1, 2, 3, 4])
@pytest.mark.parametrize("sites", [2, 3, 4, 6])
@pytest.mark.parametrize("order", ["lrp", "lpr"])
def test_arrays_are_never_another_state(sites, bond, order):
    """In either order of the axes; random states of norm 1 have one reading."""
    for seed in range(5):
        state = qtn.MPS_rand_state(sites, bond, seed=seed, dtype=complex)
        state.normalize()
        vector = quimb_vector(state)
        state.permute_arrays(order)
        assert same(site_tensors(state.arrays), vector)


@pytest.mark.parametrize("name", ["state.dmp", "state.pkl", "state.joblib", "state", "state.xyz"])
def test_pickles_are_refused_with_the_line_that_converts(tmp_path, name):
    state = qtn.MPS_rand_state(4, 2, seed=1)
    quimb.save_to_disk(state, str(tmp_path / name))
    with pytest.raises(
        UsageError, match=r"is a pickle, as quimb.save_to_disk .*site_tensors\(state\)"
    ) as error:
        read_state(tmp_path / name)
    assert "\n" not in str(error.value)
    loaded = quimb.load_from_disk(str(tmp_path / name))
    np.savez(tmp_path / "state.npz", *site_tensors(loaded))  # the line
    assert same(read_state(tmp_path / "state.npz"), quimb_vector(state))


@pytest.mark.parametrize(
    "model", [{"XXI": -1.0, "ZIZ": 0.5, "IZX": 0.3}, {"XYI": 1.0, "YZX": 0.7, "ZZY": 0.3}]
)
def test_saved_results_and_safetensors(tmp_path, model):
    found = ground_state(model, 4, seed=0)
    found.save(tmp_path / "ground")
    assert same(read_state(tmp_path / "ground.safetensors"), to_dense(list(found.tensors)))
    if not np.iscomplexobj(found.tensors[0]):
        tensors = {f"site{i}": np.ascontiguousarray(array) for i, array in enumerate(found.tensors)}
        save_file(tensors, tmp_path / "state.safetensors")
        assert same(read_state(tmp_path / "state.safetensors"), to_dense(list(found.tensors)))
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "ground.safetensors").read_bytes()[:-8])
    with pytest.raises(UsageError, match="cut.safetensors cannot be read as numpy arrays") as error:
        read_state(tmp_path / "cut.safetensors")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_kets_in_files(tmp_path, ending):
    vector = random_statevector(2**4, seed=3).data
    path = tmp_path / f"state.{ending}"

    def save(array):
        np.save(path, array) if ending == "npy" else np.savez(path, array)

    for array in (vector, vector[:, None], quimb.qu(vector, "ket"), Statevector(vector)):
        save(np.asarray(array))
        assert same(read_state(path), vector)
    np.savez(tmp_path / "named.npz", psi=vector)
    assert same(read_state(tmp_path / "named.npz"), vector)
    big = vector.reshape([2] * 4).transpose().ravel()
    save(big)
    assert same(read_state(path, "big"), vector)


def test_density_matrices_are_refused_with_the_line_that_converts():
    state = random_statevector(8, seed=1)
    with pytest.raises(UsageError, match=r"if it is pure, pass state.to_statevector\(\)"):
        site_tensors(DensityMatrix(state))
    assert same(site_tensors(DensityMatrix(state).to_statevector()), state.data)


def outcomes():
    """Counts of a circuit in two registers, as Qiskit prints them, and the qubits of the shots."""
    circuit = QuantumCircuit(3)
    circuit.x(0)
    circuit.ry(1.0, 2)
    circuit.cx(2, 1)
    circuit.measure_all()
    return StatevectorSampler(seed=1).run([circuit], shots=100).result()[0].data.meas.get_counts()


def test_counts_are_data_with_qubit_0_on_the_right(tmp_path):
    counts = outcomes()
    bits = np.array(
        [[int(bit) for bit in word[::-1]] for word, often in counts.items() for _ in range(often)]
    )
    assert bits[:, 0].all()  # the qubit that was flipped
    from_counts, from_bits = (train_born(data, 2, sweeps=3, seed=0) for data in (counts, bits))
    np.testing.assert_allclose(to_dense(from_counts), to_dense(from_bits), atol=1e-12)
    spaced = {f"{word[:2]} {word[2:]}": often for word, often in counts.items()}  # two registers
    run = {"schema": 2, "counts": {"meas": counts}}
    for number, content in enumerate((counts, spaced, run)):
        path = tmp_path / f"counts{number}.json"
        path.write_text(json.dumps(content))
        assert read_bitstrings(path).tolist() == bits.tolist()
        assert read_state(path).tolist() == bits.tolist()
    found = decompose(counts, layers=1, max_bond=2, restarts=1, seed=0)
    trained = train_born(counts, 2, seed=0)
    assert found.history == decompose(trained, layers=1, max_bond=2, restarts=1, seed=0).history
    assert fit(found.circuit, counts, found.parameters, max_bond=2, seed=0, iterations=1).infidelity < 1


@pytest.mark.parametrize(
    "text",
    [
        "0110\n1001\n",
        "q0,q1,q2,q3\n0,1,1,0\n1,0,0,1\n",
        "bits\n0110\n1001\n",
        "0.0,1.0,1.0,0.0\r\n1.0,0.0,0.0,1.0\r\n",
        "0;1.;1;0\n1;0.000;0;1\n",
        "0\t1\t1\t0\n\n1\t0\t0\t1\n",
        "'01 10'\n'10 01'\n",
        '\ufeff"a","b","c","d"\n"0","1","1","0"\n"1","0","0","1"\n',
    ],
)
def test_tables_of_bits(tmp_path, text):
    (tmp_path / "bits.csv").write_text(text, encoding="utf-8", newline="")
    assert read_bitstrings(tmp_path / "bits.csv").tolist() == [[0, 1, 1, 0], [1, 0, 0, 1]]


def test_tables_of_pandas_and_numpy(tmp_path):
    pandas = pytest.importorskip("pandas")
    bits = np.random.default_rng(0).integers(0, 2, (20, 5))
    pandas.DataFrame(bits.astype(float), columns=list("abcde")).to_csv(tmp_path / "p.csv", index=False)
    np.savetxt(tmp_path / "n.txt", bits)  # 0.000000000000000000e+00
    assert np.array_equal(read_bitstrings(tmp_path / "p.csv"), bits)
    assert np.array_equal(read_bitstrings(tmp_path / "n.txt"), bits)
    np.save(tmp_path / "n.npy", bits.astype(float))
    assert np.array_equal(read_state(tmp_path / "n.npy"), bits)


@pytest.mark.parametrize(
    "text",
    [
        "q2,q1,q0\n1,1,0\n1,0,0\n",
        "q1,q0,q2\n1,0,1\n0,0,1\n",
        "qubit_3;qubit_2;qubit_1\n1;1;0\n1;0;0\n",
        "q[2] q[1] q[0]\n1 1 0\n1 0 0\n",
        ",c0,c2,c1\n0,0,1,1\n1,0,1,0\n",
        "q2q1q0\n110\n100\n",
        ",0,1,2\n0,0,1,1\n1,0,0,1\n",
        "0,1,2\n0,1,1\n0,0,1\n",
        "bitstring,count\n110,1\n100,1\n",
        "count;outcome\n1;110\n1;100\n",
        "a,b,c\n0,1,1\n0,0,1\n",
    ],
)
def test_columns_follow_the_numbers_in_the_header(tmp_path, text):
    (tmp_path / "bits.csv").write_text(text)
    assert read_bitstrings(tmp_path / "bits.csv").tolist() == [[0, 1, 1], [0, 0, 1]]


def test_counts_in_a_table(tmp_path):
    counts = outcomes()
    rows = "".join(f"{word},{often}\n" for word, often in counts.items())
    (tmp_path / "counts.csv").write_text("bitstring,count\n" + rows)
    (tmp_path / "counts.json").write_text(json.dumps(counts))
    assert np.array_equal(read_bitstrings(tmp_path / "counts.csv"), read_bitstrings(tmp_path / "counts.json"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0110,1\n1001,1\n", "line 1: '0110 1' may be one string or .* begin with the line bitstring,count"),
        ("0110 1\n1001 1\n", "line 1: '0110 1' may be one string or a string with its count"),
        ("O110\n1001\n", "line 1: 'O' is not 0 or 1"),
        ("shot,q0,q1\n0,1,0\n1,1,1\n", "the column 'shot' does not seem to hold bits; leave it out"),
        ("q0,q1,label\n0,1,0\n", "the column 'label' does not seem to hold bits"),
        ("q0,q1,b\n0,1,0\n", "the column 'b' does not seem to hold bits"),
        ("a,b,weight\n0,1,0\n", "the column 'weight' does not seem to hold bits"),
        ("q0,q1,q1\n0,1,0\n", "the header 'q0,q1,q1' gives a number twice"),
        ("q0,q1\n0,1,0\n", "line 2: 3 cells, and the header names 2"),
        (",q0,q1\n1,1,0\n0,1,0\n", "line 2: '1' is in a column without a name, which may only count"),
        ("bitstring,count\n01,1.5\n", "line 2: '1.5' is not a count; write a whole number"),
        ("bitstring,probability\n01,0.5\n", "line 2: '.' is not 0 or 1"),
    ],
)
def test_tables_with_other_columns_are_refused(tmp_path, text, message):
    (tmp_path / "bits.csv").write_text(text)
    with pytest.raises(UsageError, match=f"bits.csv(, |: ){message}") as error:
        read_bitstrings(tmp_path / "bits.csv")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("separator", ["", " ", ",", ";", "\t"])
@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_the_columns(tmp_path, separator, seed):
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, (15, 6))
    columns = rng.permutation(6)
    rows = [[f"c_{column}" for column in columns], *bits[:, columns].astype(str).tolist()]
    (tmp_path / "bits.txt").write_text("\n".join(map(separator.join, rows)))
    assert np.array_equal(read_bitstrings(tmp_path / "bits.txt"), bits)


def test_hexadecimal_counts():
    trained = train_born(["0110", "1001"], 2, sweeps=2, seed=0)
    counts, words = {"0x6": 3, "0x1": 2}, {"0110": 3, "0001": 2}
    found = trained.log_probability(counts)
    np.testing.assert_allclose(found, trained.log_probability(words))
    with pytest.raises(UsageError, match=r"hexadecimal outcomes, .* give \{format\(int\(key, 16\)"):
        train_born(counts, 2)
    n = 4
    assert {format(int(key, 16), f"0{n}b"): count for key, count in counts.items()} == words  # the line
    with pytest.raises(UsageError, match="have 7 bits; the state has 4|7 bits in string 0 and"):
        trained.log_probability({"0x7f": 1})
    with pytest.raises(UsageError, match=r"has the key 6; give an array of 0 and 1"):
        train_born({6: 3}, 2)


def test_nearly_normalized_states(tmp_path):
    vector = random_statevector(8, seed=1).data
    assert same(site_tensors(vector * (1 + 1e-7)), vector)
    with pytest.warns(UserWarning, match="norm 1.00005"):
        assert same(site_tensors(vector * 1.00005), vector)
    np.save(tmp_path / "state.npy", 3 * vector)
    line = (
        r"state.npy: the state has norm 3, not 1; divide it by its norm: vector / numpy.linalg.norm\(vector\)"
    )
    with pytest.raises(UsageError, match=line):
        read_state(tmp_path / "state.npy")
