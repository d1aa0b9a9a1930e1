"""sample(post_select=): which shots are kept, counted and reported."""

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter

from bondwise.backends import Samples, sample
from bondwise.runs import RunError, UsageError

THETA = Parameter("theta")


def steered():
    """`flags` reads 01 (bit 0 set) with probability sin²(θ/2), else 00; `out` then reads 1, else 0."""
    out, flags = ClassicalRegister(1, "out"), ClassicalRegister(2, "flags")
    circuit = QuantumCircuit(QuantumRegister(3), out, flags)
    circuit.ry(THETA, 1)
    circuit.cx(1, 0)
    circuit.measure(0, out[0])
    circuit.measure([1, 2], flags)
    return circuit


@pytest.mark.parametrize("backend", ["statevector", "aer", "fake:manila"])
def test_words_as_in_counts_and_sequences_from_bit_0(backend):
    everything = sample(steered(), [1.0], shots=600, seed=3, backend=backend)
    assert everything.kept is None
    for word in ("01", [1, 0], (1, 0), np.array([1, 0])):
        found = sample(steered(), [1.0], shots=600, seed=3, backend=backend, post_select={"flags": word})
        np.testing.assert_array_equal(found.bits["out"], everything.bits["out"])  # all shots are returned
        flags = everything.bits["flags"]
        np.testing.assert_array_equal(found.kept, (flags[:, 0] == 1) & (flags[:, 1] == 0))
        assert found.counts["flags"] == {"01": found.kept.sum()}
        assert sum(found.counts["out"].values()) == found.kept.sum()
        assert found.shots == 600
    share = found.kept.mean()
    assert abs(share - np.sin(0.5) ** 2) < 5 * np.sqrt(0.25 / 600) + (0.05 if "fake" in backend else 0)
    assert found.counts["out"].get("1", 0) > (0.9 if "fake" in backend else 0.999) * found.kept.sum()
    assert f"600 shots, {found.kept.sum()} kept" in str(found)


def test_several_registers_must_all_match():
    found = sample(steered(), [1.0], shots=200, seed=1, post_select={"flags": "01", "out": "1"})
    alone = sample(steered(), [1.0], shots=200, seed=1, post_select={"out": [1]})
    np.testing.assert_array_equal(found.kept, alone.kept)
    assert found.counts == {"out": {"1": found.kept.sum()}, "flags": {"01": found.kept.sum()}}
    with pytest.raises(RunError):
        sample(steered(), [1.0], shots=200, seed=1, post_select={"flags": "01", "out": "0"})


def test_a_batch_keeps_as_many_as_each_set_has():
    angles = np.array([[[0.0], [1.0]], [[2.0], [np.pi]]])
    found = sample(steered(), angles, shots=400, seed=2, post_select={"flags": "01"})
    assert found.kept.shape == (2, 2, 400)
    number = found.kept.sum(-1)
    assert (number[0, 0], number[1, 1]) == (0, 400)
    deviation = number / 400 - np.sin(angles[..., 0] / 2) ** 2
    assert np.abs(deviation).max() < 5 * np.sqrt(0.25 / 400)
    counts = found.counts["out"]
    assert counts[0][0] == {}
    assert counts[0][1] == {"1": number[0, 1]}
    assert counts[1][1] == {"1": 400}
    assert found.bits["out"][found.kept].all()
    assert "out: 1 in 100.0%" in str(found)


def test_an_empty_batch():
    found = sample(steered(), np.zeros((3, 0, 1)), shots=5, post_select={"flags": "00"})
    assert found.kept.shape == (3, 0, 5)
    assert found.counts["out"] == [[], [], []]


def test_a_circuit_without_measurements_is_read_into_meas():
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    found = sample(circuit, shots=50, seed=1, post_select={"meas": "11"})
    assert found.counts == {"meas": {"11": found.kept.sum()}}


def test_it_comes_back_from_disk(tmp_path):
    found = sample(steered(), [1.0], shots=30, seed=4, post_select={"flags": "01"})
    found.save(tmp_path / "samples")
    again = Samples.load(tmp_path / "samples")
    np.testing.assert_array_equal(again.kept, found.kept)
    assert again.counts == found.counts


def test_no_shot_left_is_said():
    with pytest.raises(RunError, match="none of 70 shots reads flags = 01; take more shots") as caught:
        sample(steered(), [0.0], shots=70, post_select={"flags": "01"})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("post_select", "message"),
    [
        ({"flag": "01"}, "Did you mean 'flags'"),
        ({"flags": "0"}, r"post_select\['flags'\] is '0'; pass a 0 or 1 for each bit .* such as '00'"),
        ({"flags": "02"}, "pass a 0 or 1"),
        ({"flags": [0, 2]}, "pass a 0 or 1"),
        ({"flags": [0.5, 1]}, "pass a 0 or 1"),
        ({"flags": 1}, "pass a 0 or 1"),
    ],
)
def test_wrong_words(post_select, message):
    with pytest.raises(UsageError, match=message):
        sample(steered(), [1.0], post_select=post_select)
