"""Counts of outcomes, against Python's counter and Qiskit's own joint counts."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter
from qiskit.primitives import BitArray, StatevectorSampler
from qiskit_aer import AerSimulator

from bondwise.backends import Samples, get_backend, sample
from bondwise.backends.outcomes import count_words, distinct


@given(st.integers(0, 2**32), st.integers(0, 400), st.lists(st.integers(0, 140), min_size=1, max_size=3))
def test_counts_are_those_of_strings(seed: int, shots: int, sizes: list[int]) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.choice([0.02, 0.5], size=len(sizes))  # few outcomes or many
    registers = [
        (rng.random((shots, size)) < p).astype(np.uint8) for size, p in zip(sizes, weights, strict=True)
    ]
    kept = None if seed % 2 else rng.random(shots) < 0.7
    words = [
        " ".join("".join(map(str, bits[shot, ::-1])) for bits in reversed(registers)) for shot in range(shots)
    ]
    left = [word for shot, word in enumerate(words) if kept is None or kept[shot]]
    found = count_words(registers, kept)
    assert list(found.items()) == list(Counter(left).items())  # in order of appearance


def test_many_shots_of_many_words() -> None:
    rng = np.random.default_rng(5)
    rows = rng.integers(0, 3, size=(20_000, 17), dtype=np.uint8)
    rows[:, 2:] = rows[:, :1]
    first, counts = distinct(rows)
    reference, where, often = np.unique(rows, axis=0, return_index=True, return_counts=True)
    order = np.argsort(where)
    np.testing.assert_array_equal(rows[first], reference[order])
    np.testing.assert_array_equal(first, where[order])
    np.testing.assert_array_equal(counts, often[order])


def several_registers(seed: int) -> QuantumCircuit:
    """Random rotations measured into registers of 2, 0, 3 and 1 bits, in an order that is not theirs."""
    rng = np.random.default_rng(seed)
    registers = [ClassicalRegister(size, name) for size, name in ((2, "c"), (0, "none"), (3, "d"), (1, "e"))]
    circuit = QuantumCircuit(QuantumRegister(6, "q"), *registers)
    for qubit, angle in enumerate(rng.uniform(0.3, 2.8, 6)):
        circuit.ry(angle, qubit)
    circuit.measure(rng.permutation(6), range(6))
    return circuit


@pytest.mark.parametrize("seed", range(3))
def test_joint_counts_are_keyed_as_qiskit_prints_them(seed: int) -> None:
    circuit, shots = several_registers(seed), 4000
    found = sample(circuit, shots=shots, seed=seed, backend="aer").joint_counts
    aer = AerSimulator(seed_simulator=seed).run(circuit, shots=shots).result().get_counts()
    assert len(found) > 40
    assert sum(found.values()) == shots
    assert {len(word) for word in found} == {len(word) for word in aer} == {6 + 3}
    for word in found | aer:
        expected = np.sqrt(found.get(word, 0) + aer.get(word, 0) + 1)
        assert abs(found.get(word, 0) - aer.get(word, 0)) < 6 * expected


def test_joint_counts_equal_qiskits_of_the_same_shots() -> None:
    circuit = several_registers(7)
    place, shots = get_backend(AerSimulator()), 2000
    data = place.sample([circuit], shots=shots, seed=3)[0].data
    joined = BitArray.concatenate_bits([data["c"], data["d"], data["e"]]).get_counts()
    ours = sample(circuit, shots=shots, seed=3, backend=place).joint_counts
    assert {word.replace(" ", ""): count for word, count in ours.items()} == joined


def test_joint_counts_of_batches_and_of_shots_that_are_kept() -> None:
    a, b = QuantumRegister(2, "a"), QuantumRegister(1, "b")
    flags, out = ClassicalRegister(1, "flags"), ClassicalRegister(2, "out")
    circuit, angle = QuantumCircuit(a, b, flags, out), Parameter("t")
    circuit.rx(angle, a[0])
    circuit.h(b)
    circuit.cx(b[0], a[1])
    circuit.measure(b, flags)
    circuit.measure(a, out)
    found = sample(circuit, [[[0.0]], [[np.pi]]], shots=300, seed=2, post_select={"flags": "1"})
    assert found.joint_counts == [
        [{"10 1": int(found.kept[0, 0].sum())}],
        [{"11 1": int(found.kept[1, 0].sum())}],
    ]
    assert found.counts["out"] == [
        [{"10": int(found.kept[0, 0].sum())}],
        [{"11": int(found.kept[1, 0].sum())}],
    ]
    assert "out: 1" in str(found)


def test_one_register_and_none() -> None:
    circuit = QuantumCircuit(3)
    circuit.h([0, 1, 2])
    found = sample(circuit, shots=500, seed=1)
    assert found.joint_counts == found.counts["meas"]
    assert len(found.joint_counts) == 8
    assert Samples(value={}).joint_counts == {}


def test_joint_counts_agree_with_the_statevector_sampler() -> None:
    circuit = QuantumCircuit(QuantumRegister(3), ClassicalRegister(1, "c"), ClassicalRegister(2, "d"))
    circuit.x(1)
    circuit.measure([1, 0, 2], [0, 1, 2])
    reference = StatevectorSampler().run([circuit], shots=9).result()[0].join_data().get_counts()
    assert reference == {"001": 9}
    assert sample(circuit, shots=9).joint_counts == {"00 1": 9}


def test_counts_are_made_once() -> None:
    samples = sample(several_registers(1), shots=100, seed=1)
    assert samples.counts is samples.counts
    assert samples.joint_counts is samples.joint_counts


def test_notebooks_show_the_most_frequent_outcomes():
    samples = sample(several_registers(1), shots=100, seed=1)
    shown = samples._repr_html_()
    most = max(samples.joint_counts, key=samples.joint_counts.__getitem__)
    assert f">{most}</th><td style='text-align:left'>{samples.joint_counts[most]}</td>" in shown
    assert "0x" not in repr(samples)
    rng = np.random.default_rng(0)
    many = Samples(value={"<c>": rng.integers(2, size=(1000, 9), dtype=np.uint8)}, shots=1000)
    shown = many._repr_html_()
    assert f"… {len(many.joint_counts) - 8} more" in shown
    assert "&lt;c&gt;" in shown
    assert "<c>" not in shown
    batch = Samples(value={"c": np.zeros((2, 5, 1), dtype=np.uint8)}, shots=10)
    assert "{&#x27;c&#x27;: &lt;uint8 (2, 5, 1)&gt;}" in batch._repr_html_()
