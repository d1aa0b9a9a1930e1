"""Extension by gates near the identity."""

import numpy as np
import pytest
from helpers import random_tensors
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import Statevector, state_fidelity

from bondwise.runs import UsageError
from bondwise.tn import decompose, extend


def state(circuit, parameters):
    return Statevector(circuit.assign_parameters(parameters))


def started(*parameters):
    circuit = QuantumCircuit(4)
    for k, parameter in enumerate(parameters):
        circuit.ry(parameter, k % 4)
        circuit.rx(parameter, (k + 1) % 4)
    return circuit, np.linspace(0.1, 2, len(parameters))


STARTS = {
    "vector": list(ParameterVector("theta", 12)),
    "scalars": [Parameter("theta[10]"), Parameter("theta[9]"), Parameter("z"), Parameter("β")],
    "several": [*ParameterVector("a", 11), *ParameterVector("zeta", 3), Parameter("a_x001")],
    "none": [],
}


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("gate", ["so4", "su4"])
def test_strength_zero_changes_nothing_and_new_parameters_come_last(start, gate):
    circuit, parameters = started(*STARTS[start])
    before = state(circuit, parameters).data
    for _ in range(12):  # often enough for numbers of two digits
        longer, values = extend(circuit, parameters, [(0, 1), (3, 0)], strength=0, gate=gate)
        assert list(longer.parameters)[: len(parameters)] == list(circuit.parameters)
        assert np.array_equal(values[: len(parameters)], parameters)
        assert len(values) == len(parameters) + 2 * (6 if gate == "so4" else 15)
        np.testing.assert_allclose(state(longer, values).data, before, atol=1e-12, rtol=0)
        circuit, parameters = longer, values


@settings(max_examples=15, deadline=None)
@given(strength=st.floats(1e-3, 0.05), gate=st.sampled_from(["so4", "su4"]), seed=st.integers(0, 2**16))
def test_small_strength_moves_the_state_little(strength, gate, seed):
    circuit, parameters = started(*STARTS["vector"])
    longer, values = extend(circuit, parameters, [(0, 2), (1, 3)], strength=strength, gate=gate, seed=seed)
    lost = 1 - state_fidelity(state(longer, values), state(circuit, parameters))
    assert lost > 0
    # 1 - F is at most the square of the sum of |angle| / 2
    assert lost <= (np.abs(values[len(parameters) :]).sum() / 2) ** 2


def test_a_decomposed_state_stays_real_and_the_given_circuit_as_it_was():
    found = decompose(random_tensors(5, 4, np.random.default_rng(0)), layers=1, seed=0)
    copy = found.circuit.copy()
    longer, values = extend(found.circuit, found.parameters, [(0, 4), (1, 2)], strength=0.3, seed=1)
    assert found.circuit == copy
    assert np.abs(state(longer, values).data.imag).max() < 1e-12
    assert longer.count_ops()["cx"] == found.cx_count + 4


def test_seeds_reproduce_and_batches_are_extended():
    circuit, parameters = started(*STARTS["vector"])
    batch = np.stack([parameters, 2 * parameters])
    first, second, other = (extend(circuit, batch, [(0, 1)], seed=seed) for seed in (1, 1, 2))
    assert first.parameters.shape == (2, 18)
    assert np.array_equal(first.parameters[:, :12], batch)
    assert np.array_equal(first.parameters, second.parameters)
    assert not np.array_equal(first.parameters, other.parameters)


def test_wrong_use_is_refused():
    circuit, parameters = started(*STARTS["vector"])
    measured = circuit.copy()
    measured.measure_all()
    for wrong, message in [
        ((circuit, parameters[:-1], [(0, 1)]), "the circuit takes 12 in the last axis"),
        ((circuit, parameters, [(1, 1)]), "pair .1, 1. is not two different qubits out of 0 to 3"),
        ((circuit, parameters, [(0, 4)]), "pair .0, 4. is not two different qubits"),
        ((measured, parameters, [(0, 1)]), "extend it before adding measurements"),
    ]:
        with pytest.raises(UsageError, match=message):
            extend(*wrong)
    for options, message in [
        ({"strength": -1}, "strength is -1; give a number of at least 0"),
        ({"strength": np.nan}, "strength is nan"),
        ({"gate": "cz"}, "unknown gate 'cz'.*Known: so4, su4"),
    ]:
        with pytest.raises(UsageError, match=message):
            extend(circuit, parameters, [(0, 1)], **options)


@pytest.mark.parametrize(
    ("circuit", "pairs", "message"),
    [
        ("circuit.qpy", [(0, 1)], "there is no file circuit.qpy"),
        (QuantumCircuit(2), 3, "pairs is 3; give pairs of qubits"),
        (QuantumCircuit(2), [0, 1], "pairs is .0, 1.; give pairs of qubits"),
        (QuantumCircuit(2), [(0, 0.5)], "give pairs of qubits"),
    ],
)
def test_natural_mistakes_are_one_line(circuit, pairs, message):
    with pytest.raises(UsageError, match=message):
        extend(circuit, [], pairs)


def test_text_for_numbers_is_one_line():
    with pytest.raises(UsageError, match="strength is .a.; give a number of at least 0"):
        extend(QuantumCircuit(2), [], [(0, 1)], strength="a")
    with pytest.raises(UsageError, match="infidelity is .4.; give a positive number below 1"):
        decompose([1, 0, 0, 0], infidelity="4")
