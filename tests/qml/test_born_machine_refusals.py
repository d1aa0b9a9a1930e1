"""What a Born machine refuses, in one clear line."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers import real_circuit
from qiskit import QuantumCircuit

from bondwise.qml import BornMachine
from bondwise.runs import UsageError


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.array([[0, 2], [1, 0]]), "data holds 2 in row 0, column 1"),
        (["012", "000"], "data holds '2' in string 0"),
        (["0110"], "strings of data have 4 bits and the circuit has 2 qubits"),
        ([], "data is empty"),
        ({}, "data is empty"),
        (np.zeros((0, 2)), "data is empty"),
        ("01", "data is one string"),
        ({"01": 0.5, "11": 0.6}, "sum to 1.1; divide them by their sum"),
        ([0.5, 0.25, 0.25, 0.25], "sum to 1.25"),
        ([0.5, 0.5, 0.0], "an array of 3 probabilities; a circuit of 2 qubits needs 4"),
        ([1.5, -0.5, 0.0, 0.0], "negative or not finite"),
        ([math.nan, 1.0, 0.0, 0.0], "negative or not finite"),
        ({"01": math.inf}, "negative or not finite"),
        ({"0": 0.5, "1": 0.5}, "single bit"),
    ],
)
def test_wrong_data(data, message):
    with pytest.raises(UsageError, match=message) as caught:
        BornMachine(real_circuit(2, 1), data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"loss": "mse"}, "unknown loss 'mse'"),
        ({"optimizer": "adan"}, "unknown optimizer"),
        ({"learning_rate": 0}, "learning_rate is 0"),
        ({"shots": 100}, "loss='kl' needs exact probabilities, and shots=100 has none"),
        ({"loss": "nll", "backend": "fake:manila"}, "loss='nll' needs exact probabilities, and fake:manila"),
        ({"loss": "mmd", "shots": 0}, "shots"),
        ({"loss": "mmd", "bandwidths": [0.5, 0]}, "finite numbers above 0"),
        ({"loss": "mmd", "bandwidths": []}, "finite numbers above 0"),
        ({"loss": "mmd", "bandwidths": [math.nan]}, "finite numbers above 0"),
    ],
)
def test_wrong_settings(keywords, message):
    with pytest.raises(UsageError, match=message) as caught:
        BornMachine(real_circuit(2, 1), ["01", "11"], **keywords)
    assert "\n" not in str(caught.value)


def test_wrong_circuits_and_angles():
    with pytest.raises(UsageError, match="no parameters to train"):
        BornMachine(QuantumCircuit(2), ["01"])
    with pytest.raises(UsageError, match=r"has 4 parameters; the angles given are of shape \(3,\)"):
        BornMachine(real_circuit(2, 1), ["01"]).run(np.zeros(3))
    with pytest.raises(UsageError, match="finite"):
        BornMachine(real_circuit(2, 1), ["01"]).run([0.1, 0.2, math.nan, 0.3])
    with pytest.raises(UsageError, match="write loss='nll'|use fewer qubits"):
        BornMachine(real_circuit(40, 1), np.ones((1, 40)), loss="mmd", backend="mps").run(np.ones(80))
    result = BornMachine(real_circuit(2, 1), ["01"]).run(np.ones(4), steps=1)
    with pytest.raises(UsageError, match="aer has no exact probabilities"):
        result.log_probability(["01"], backend="aer")


def test_a_string_that_cannot_occur_is_named_at_the_start():
    start = np.zeros(4)
    for loss in ("kl", "nll"):
        with pytest.raises(
            UsageError, match=r"never gives '01' \(qubit 0 on the right\), which has .* 0.333"
        ):
            BornMachine(real_circuit(2, 1), ["10", "00", "00"], loss=loss).run(start)
    assert BornMachine(real_circuit(2, 1), ["10", "00", "00"], loss="mmd").run(start, steps=0).value > 0


def test_a_loss_that_becomes_infinite_ends_the_training():
    machine = BornMachine(real_circuit(2, 1), ["10", "11"], optimizer="sgd", learning_rate=1.7e308)
    result = machine.run(np.full(4, 0.5))
    assert "not finite at step 1" in result.message
    assert not result.converged
    assert result.parameters.tolist() == [0.5] * 4
