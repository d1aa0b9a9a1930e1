"""Data-trained states against dense probabilities, entropies that cannot be beaten, and real data."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from helpers import bars_and_stripes
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.primitives import BitArray
from qiskit.quantum_info import Statevector
from sklearn.datasets import load_digits

from bondwise.backends import sample
from bondwise.runs import UsageError
from bondwise.tn import BornState, decompose, read_bitstrings, site_tensors, to_dense, train_born
from bondwise.tn.states.born import BornTraining, noisy_superposition


def all_strings(sites):
    return ((np.arange(2**sites)[:, None] >> np.arange(sites)) & 1).astype(np.uint8)


def weight_strings(sites, ones):
    strings = all_strings(sites)
    return strings[strings.sum(axis=1) == ones]


def dense_probabilities(tensors):
    """In the order of `all_strings`."""
    return to_dense(tensors) ** 2


def independent_bits_nll(training, strings):
    """Nats per string if the bits were independent, with one count more for each value of a bit."""
    ones = (training.sum(axis=0) + 1) / (len(training) + 2)
    return -np.log(np.where(strings, ones, 1 - ones)).sum(axis=1)


@st.composite
def data(draw):
    sites = draw(st.integers(2, 8))
    rows = draw(st.lists(st.integers(0, 2**sites - 1), min_size=1, max_size=30))
    return all_strings(sites)[rows]


@settings(max_examples=30, deadline=None)
@given(strings=data(), bond=st.integers(1, 8), seed=st.integers(0, 9), rate=st.sampled_from([0.05, 0.3, 1.0]))
def test_probabilities_are_those_of_the_dense_state(strings, bond, seed, rate):
    sites = strings.shape[1]
    trained = train_born(strings, bond, learning_rate=rate, sweeps=4, seed=seed)
    dense = dense_probabilities(trained.tensors)
    assert dense.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(np.exp(trained.log_probability(all_strings(sites))), dense, atol=1e-13)
    index = strings @ (1 << np.arange(sites))
    assert trained.nll == pytest.approx(-np.log(dense[index]).mean(), rel=1e-6)
    counts = np.unique(index, return_counts=True)[1]
    assert trained.entropy == pytest.approx(np.log(len(index)) - counts @ np.log(counts) / len(index))
    assert trained.nll >= trained.entropy - 1e-12
    assert all(tensor.shape[2] <= bond for tensor in trained.tensors)


@pytest.mark.parametrize("i", [0, 2, 4])
def test_gradient_of_the_merged_tensor(i):
    rng = np.random.default_rng(i)
    strings = all_strings(6)[rng.permutation(64)[:20]]
    frequencies = rng.dirichlet(np.ones(20))
    training = BornTraining(strings, frequencies, 4, 0.0, 0.5, seed=1)
    training.sweep()
    for left in range(i):  # bring the weight to site i
        u, s, v = training.improved(left)
        training.tensors[left], training.tensors[left + 1] = u, s[:, None, None] * v
        training.pass_right(left)
    merged = np.tensordot(training.tensors[i], training.tensors[i + 1], 1)
    assert np.linalg.norm(merged) == pytest.approx(1, abs=1e-12)

    def nll(merged):
        left, _, _, right = merged.shape
        pair = merged.reshape(left, 2, 2 * right), np.eye(2 * right).reshape(2 * right, 2, right)
        dense = dense_probabilities([*training.tensors[:i], *pair, *training.tensors[i + 2 :]])
        return -frequencies @ np.log(dense[strings @ (1 << np.arange(6))] / dense.sum())

    gradient = training.gradient(merged, training.amplitudes(merged, i), i)
    numeric = np.empty_like(gradient)
    for index in np.ndindex(merged.shape):
        step = np.zeros_like(merged)
        step[index] = 1e-6
        numeric[index] = (nll(merged + step) - nll(merged - step)) / 2e-6
    np.testing.assert_allclose(gradient, numeric, atol=1e-7 * np.abs(numeric).max())
    assert np.linalg.norm(gradient) > 0.01


@pytest.mark.parametrize(
    ("strings", "bond"),
    [
        (bars_and_stripes(4), 16),
        (bars_and_stripes(4), 32),
        (weight_strings(12, 6), 7),
        (weight_strings(12, 6), 20),
        (weight_strings(9, 1), 2),
        (np.concatenate([weight_strings(8, k) for k in (0, 2, 4, 6, 8)]), 8),  # parity: no marginal shows it
        (np.array([[0, 1], [1, 0], [1, 0]]), 2),
        (np.ones((3, 5), int), 4),
    ],
    ids=["bars 16", "bars 32", "weight 7", "weight 20", "W", "parity", "two bits", "one string"],
)
def test_distributions_of_small_bond_are_learnt_exactly(strings, bond):
    trained = train_born(strings, bond, seed=0)
    different = len(np.unique(strings, axis=0))
    if different == len(strings):
        assert trained.entropy == pytest.approx(np.log(different))
    assert trained.nll == pytest.approx(trained.entropy, abs=1e-4)
    assert trained.converged
    assert "lowest NLL after" in trained.message


def test_a_bond_that_is_too_small_says_so_in_the_likelihood():
    exact, smaller = (train_born(weight_strings(8, 4), bond, seed=0) for bond in (5, 3))
    assert exact.nll == pytest.approx(np.log(70), abs=1e-4)
    assert smaller.nll > np.log(70) + 0.02
    assert max(entry["bond"] for entry in smaller.history) == 3


def test_bonds_grow_from_two_and_the_cutoff_holds_them_down():
    trained = train_born(bars_and_stripes(4), 16, sweeps=4, seed=0)
    bonds = [entry["bond"] for entry in trained.history]
    assert bonds[0] == 2
    assert max(bonds) == 16
    assert [entry["sweep"] for entry in trained.history] == list(range(5))
    tight = train_born(bars_and_stripes(4), 16, cutoff=0.3, sweeps=4, seed=0)
    assert tight.history[-1]["bond"] < 16


def product_state(amplitudes, sites):
    tensors = [np.array(amplitudes, float).reshape(1, 2, 1)] * sites
    return BornState(
        value=0.0, validation_nll=None, entropy=0.0, tensors=tensors, history=(), converged=True, message=""
    )


def test_long_strings_do_not_underflow():
    strings = np.random.default_rng(3).integers(0, 2, (2, 3000))  # 2^-3000 and its root are not doubles
    found = product_state(np.sqrt([0.5, 0.5]), 3000).log_probability(strings)
    np.testing.assert_allclose(found, -3000 * np.log(2), rtol=1e-12)
    start = noisy_superposition(3000, 2, seed=0)
    assert np.linalg.norm(start[0]) == pytest.approx(1, abs=1e-12)

    strings = strings[:, :150]
    trained = train_born(strings, 2, learning_rate=1.0, sweeps=3, seed=0)
    assert trained.nll == pytest.approx(np.log(2), abs=1e-3)
    drawn = trained.sample(100, seed=0)
    different = (drawn[:, None] != strings).sum(axis=2)
    assert (different.min(axis=1) == 0).mean() > 0.95
    assert 30 <= (different[:, 0] == 0).sum() <= 70


def test_impossible_strings_are_minus_infinity_and_training_goes_on():
    state = product_state([1, 0], 3)
    assert state.log_probability(["000", "010"]).tolist() == [0, -np.inf]
    training = BornTraining(all_strings(3)[[0, 7]], np.array([0.5, 0.5]), 2, 0.0, 1.0, seed=0)
    training.tensors = list(state.tensors)
    for i in (1, 0):
        training.pass_left(i)
    for _ in range(10):
        training.sweep()
    dense = dense_probabilities(training.tensors)
    assert np.isfinite(dense).all()
    assert dense.sum() == pytest.approx(1, abs=1e-12)


def test_validation_strings_stop_the_training_and_choose_the_state():
    rng = np.random.default_rng(5)
    strings = rng.random((400, 12)) < np.linspace(0.1, 0.9, 12)  # there is nothing to learn except the mean
    trained = train_born(strings[:60], 16, validation=strings[60:], seed=0)
    losses = [entry["validation_nll"] for entry in trained.history]
    assert trained.converged
    assert trained.validation_nll == min(losses) < losses[-1]
    chosen = trained.history[int(np.argmin(losses))]
    assert f"lowest validation NLL after {chosen['sweep']}" in trained.message
    assert trained.nll == chosen["nll"] > trained.history[-1]["nll"]
    assert -trained.log_probability(strings[60:]).mean() == pytest.approx(trained.validation_nll, abs=1e-10)
    assert -trained.log_probability(strings[:60]).mean() == pytest.approx(trained.nll, abs=1e-10)


def test_validation_strings_that_become_impossible_choose_no_state():
    trained = train_born(["0000", "1111"], 4, validation=["0110", "0000"], learning_rate=1.0, seed=0)
    assert np.isfinite(trained.validation_nll)
    assert trained.validation_nll == min(entry["validation_nll"] for entry in trained.history)


def test_samples_follow_the_probabilities():
    rng = np.random.default_rng(2)
    strings = all_strings(5)[rng.choice(32, 300, p=rng.dirichlet(np.full(32, 0.5)))]
    trained = train_born(strings, 4, sweeps=10, seed=0)
    drawn = trained.sample(40_000, seed=1)
    assert drawn.shape == (40_000, 5)
    assert drawn.dtype == np.uint8
    probabilities = dense_probabilities(trained.tensors)
    counts = np.bincount(drawn @ (1 << np.arange(5)), minlength=32)
    often = 40_000 * probabilities > 5
    expected = np.append(40_000 * probabilities[often], 40_000 * probabilities[~often].sum() + 1e-9)
    found = np.append(counts[often], counts[~often].sum())
    distance = ((found - expected) ** 2 / np.maximum(expected, 1)).sum()
    freedom = often.sum()
    assert abs(distance - freedom) < 4 * np.sqrt(2 * freedom)
    assert np.array_equal(drawn, trained.sample(40_000, seed=1))
    assert not np.array_equal(drawn, trained.sample(40_000, seed=2))


def test_samples_keep_the_constraint_that_was_learnt():
    trained = train_born(weight_strings(10, 3), 6, seed=0)
    drawn = trained.sample(2000, seed=0)
    assert (drawn.sum(axis=1) == 3).all()
    assert len(np.unique(drawn, axis=0)) == 120  # of 120; each is missed with probability 6e-8


def test_digits_beat_independent_pixels():
    pixels = load_digits().data > 7
    order = np.random.default_rng(0).permutation(len(pixels))
    training, validation = pixels[order[:1437]], pixels[order[1437:]]
    trained = train_born(training, 12, validation=validation, sweeps=6, seed=0)
    baseline = independent_bits_nll(training, validation).mean()
    assert trained.validation_nll < baseline - 5  # 25.2 nats
    assert trained.entropy < trained.nll < trained.validation_nll
    assert -trained.log_probability(validation).mean() == pytest.approx(trained.validation_nll, abs=1e-9)


@pytest.mark.skipif("BONDWISE_DATA" not in os.environ, reason="BONDWISE_DATA names no folder of data sets")
def test_hydrophobic_patterns_of_proteins_beat_independent_residues():
    path = Path(os.environ["BONDWISE_DATA"]) / "proteins" / "cytoplasm_vs_cell_membrane.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    training, validation, test = (
        np.array([[a in "AVILMFWC" for a in row["sequence"][:24]] for row in rows if row["split"] == split])
        for split in ("train", "valid", "test")  # homology partitions
    )
    trained = train_born(training, 4, validation=validation, sweeps=8, seed=0)
    assert trained.entropy < trained.nll
    gains = independent_bits_nll(training, test) + trained.log_probability(test)
    assert gains.mean() > 3 * gains.std() / np.sqrt(len(gains))


def test_seeds_reproduce_and_results_are_stored(tmp_path):
    strings = bars_and_stripes(3)
    first, second, other = (train_born(strings, 8, sweeps=5, seed=seed) for seed in (4, 4, 5))
    assert all(np.array_equal(a, b) for a, b in zip(first.tensors, second.tensors, strict=True))
    assert first.nll != other.nll
    first.save(tmp_path / "born")
    again = BornState.load(tmp_path / "born")
    assert again.value == first.value
    assert again.history == first.history
    assert np.array_equal(again.log_probability(strings), first.log_probability(strings))


def test_kinds_of_strings_and_repetitions_make_no_difference():
    strings = bars_and_stripes(3)
    letters = ["".join(map(str, row)) for row in strings]
    forms = [strings.astype(bool), strings.astype(float), strings.tolist(), letters, np.array(letters)]
    forms += [np.repeat(strings, 3, axis=0), strings[::-1]]
    reference = train_born(strings, 4, sweeps=2, seed=0)
    for form in forms:
        trained = train_born(form, 4, sweeps=2, seed=0)
        assert trained.value == reference.value
        assert np.array_equal(trained.log_probability(letters), reference.log_probability(strings))


def test_site_i_is_column_i_of_the_state_and_qubit_i_of_the_circuit():
    trained = train_born(["0001", "0001", "0001", "0110"], 2, seed=0)
    dense = to_dense(site_tensors(trained.state)) ** 2
    np.testing.assert_allclose(dense[[0b1000, 0b0110]], [0.75, 0.25], atol=1e-4)
    start = decompose(trained.state, layers=1, seed=0)
    circuit = start.circuit.assign_parameters(start.parameters)
    found = Statevector(circuit).probabilities_dict()
    assert found["1000"] == pytest.approx(0.75, abs=1e-3)  # Qiskit writes qubit 0 last
    assert found["0110"] == pytest.approx(0.25, abs=1e-3)


def test_what_is_printed_and_drawn():
    strings = bars_and_stripes(3)
    trained = train_born(strings, 8, validation=strings[:5], sweeps=3, seed=0)
    line = str(trained)
    assert "\n" not in line
    for text in (
        f"train NLL {trained.nll:.4f}",
        f"validation NLL {trained.validation_nll:.4f}",
        f"entropy of the data {np.log(14):.4f}",
        "9 sites, bond 8",
    ):
        assert text in line
    assert "validation" not in str(train_born(strings, 4, sweeps=1, seed=0))
    axes = trained.plot()
    for line, key in zip(axes.lines, ("nll", "validation_nll"), strict=False):
        np.testing.assert_array_equal(line.get_ydata(), [entry[key] for entry in trained.history])
    np.testing.assert_allclose(axes.lines[2].get_ydata(), np.log(14))
    assert trained.plot(axes) is axes


def test_too_few_sweeps_are_said_not_raised():
    trained = train_born(bars_and_stripes(4), 8, sweeps=2, seed=0)
    assert not trained.converged
    assert "not settled after 2 sweeps; raise sweeps, bond 8" in trained.message


COIN = QuantumCircuit(2)
COIN.h(0)
COIN.measure_all()
GOOD = ["0110", "1001"]
REFUSED = [
    ([], {}, "bitstrings is empty"),
    (np.zeros((3, 0)), {}, "bitstrings is empty"),
    ([""], {}, "string 0 of bitstrings is empty"),
    ("0110", {}, "bitstrings is one string; give an array"),
    (["0110", "0210"], {}, "bitstrings holds '2' in string 1"),
    (["0110", "01 0"], {}, "bitstrings holds ' ' in string 1"),
    (["0110", "011"], {}, "bitstrings has 3 bits in string 1 and 4 in string 0"),
    ([[0, 1, 1], [0, 1]], {}, "the rows of bitstrings differ in length"),
    ([[0, 1], [0, 2]], {}, "bitstrings holds 2 in row 1, column 1"),
    ([[0, 1], [-1, 1]], {}, "bitstrings holds -1 in row 1, column 0"),
    ([[0, np.nan]], {}, "bitstrings holds nan in row 0, column 1"),
    ([[0, 0.5]], {}, "bitstrings holds 0.5 in row 0, column 1"),
    ([[0], [1]], {}, "the strings of bitstrings have a single bit; give at least 2 columns"),
    ([0, 1, 1], {}, r"an array of int64 of shape \(3,\)"),
    ([[0, 1j]], {}, "an array of complex128"),
    (None, {}, "an array of object"),
    (BitArray.from_counts({"01": 3}), {}, r"bitstrings is a BitArray; .*, pass .get_counts\(\)"),
    (sample(COIN, shots=5), {}, "bitstrings is a Samples; .*; of samples, pass .joint_counts"),
    (GOOD, {"validation": ["011"]}, "the strings of validation have 3 bits; the state has 4 sites"),
    (GOOD, {"validation": []}, "validation is empty"),
    (GOOD, {"validation": ["01x0"]}, "validation holds 'x' in string 0"),
    (GOOD, {"max_bond": 0}, "max_bond is 0; give a whole number of at least 1"),
    (GOOD, {"max_bond": 2.5}, "max_bond is 2.5"),
    (GOOD, {"sweeps": 0}, "sweeps is 0"),
    (GOOD, {"patience": True}, "patience is True"),
    (GOOD, {"learning_rate": 0}, "learning_rate is 0; give a positive number"),
    (GOOD, {"learning_rate": np.nan}, "learning_rate is nan"),
    (GOOD, {"cutoff": 1.0}, "cutoff is 1.0; give a number of at least 0 and below 1"),
]


@pytest.mark.parametrize(("strings", "options", "message"), REFUSED, ids=range(len(REFUSED)))
def test_wrong_use_is_refused(strings, options, message):
    with pytest.raises(UsageError, match=message) as error:
        train_born(strings, **options)
    assert "\n" not in str(error.value)


def test_wrong_use_of_a_state_is_refused():
    trained = train_born(GOOD, 2, sweeps=1, seed=0)
    with pytest.raises(UsageError, match="the strings of bitstrings have 2 bits; the state has 4 sites"):
        trained.log_probability(["01"])
    with pytest.raises(UsageError, match="count is 0; give a whole number"):
        trained.sample(0)


@pytest.mark.parametrize(
    "text", ["0110\n1001\n", "0,1,1,0\n\n1, 0, 0, 1", "0 1 1 0\r\n1\t0 0 1\r\n", "\ufeff0110\n1001"]
)
@pytest.mark.parametrize("suffix", [".csv", ".txt"])
def test_files_of_text(tmp_path, text, suffix):
    path = tmp_path / f"strings{suffix}"
    path.write_bytes(text.encode())
    found = read_bitstrings(path)
    assert found.dtype == np.uint8
    assert found.tolist() == [[0, 1, 1, 0], [1, 0, 0, 1]]


@pytest.mark.parametrize("dtype", [bool, np.int64, np.float32])
def test_files_of_arrays(tmp_path, dtype):
    np.save(tmp_path / "strings.npy", bars_and_stripes(3).astype(dtype))
    found = read_bitstrings(str(tmp_path / "strings.npy"))
    assert found.dtype == np.uint8
    assert np.array_equal(found, bars_and_stripes(3))


BAD_FILES = [
    ("a.txt", b"0110\n\n0120\n", "a.txt, line 3: '2' is not 0 or 1"),
    ("a.csv", b"pixel0,pixel1\n0,a\n", "a.csv, line 2: 'a' is not 0 or 1; write strings such as 0110"),
    ("a.csv", b"0,1\nlast,row\n", "a.csv, line 2: 'l' is not 0 or 1"),
    ("a.csv", b"0.5,1\n", "a.csv, line 1: '.' is not 0 or 1"),
    ("a.csv", b"0,1,1\n0,1\n", "a.csv, line 2: 2 bits; the first has 3"),
    ("a.txt", b"\n \n", "a.txt is empty"),
    ("a.txt", b"0\n1\n", "a.txt have a single bit"),
    ("a.txt", b"\xff\xfe0\x001\x00", "a.txt cannot be read"),
    ("a.npy", b"0110\n", "a.npy cannot be read"),
    ("a.npy", b"", "a.npy cannot be read"),
    ("a.json", b"[1]", 'a.json is not a file of counts; write {"0110": 12'),
    ("a.json", b'{"01": 1.5}', "a.json has 1.5 for the outcome '01'; give whole numbers"),
    ("a.json", b'{"01": -1}', "a.json has -1 for the outcome"),
    ("a.json", b'{"0x3": 5}', "a.json has hexadecimal outcomes, .*get_counts"),
    ("a.json", b'{"01": 1, "011": 1}', "3 bits in string 1 and 2 in string 0"),
    ("a.json", b'{"01": 0}', "a.json is empty"),
    ("a.json", b'{"01": 1000000000000}', "MAX_ARRAY_BYTES"),
    ("a.json", b'{"a": {"01": 1}, "b": {"01": 1}}', "a.json has {'01': 1} for the outcome 'a'"),
    ("a.dat", b"0110\n", "a.dat is not a file of bit strings; give one that ends in .npy, .csv, .txt or"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD_FILES, ids=range(len(BAD_FILES)))
def test_bad_files_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message) as error:
        read_bitstrings(tmp_path / name)
    assert "\n" not in str(error.value)


def test_missing_files_and_bad_arrays_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere.txt cannot be read: No such file or directory"):
        read_bitstrings(tmp_path / "nowhere.txt")
    np.save(tmp_path / "counts.npy", np.array([[0, 1], [3, 1]]))
    with pytest.raises(UsageError, match=r"counts.npy holds 3 in row 1, column 0"):
        read_bitstrings(tmp_path / "counts.npy")
    np.save(tmp_path / "objects.npy", np.array([[0, None]]), allow_pickle=True)
    with pytest.raises(UsageError, match=r"objects.npy cannot be read"):
        read_bitstrings(tmp_path / "objects.npy")
