"""What the torch module refuses, in one line each."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import PHASED_INPUTS, PHASED_OBSERVABLES, phased
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter

from bondwise.backends import to_torch
from bondwise.runs import UsageError


def refused():
    circuit = phased()
    measured = phased()
    measured.measure_all()
    reset = QuantumCircuit(1)
    reset.reset(0)
    prepared = QuantumCircuit(1)
    prepared.initialize([0, 1], 0)
    branched = QuantumCircuit(1, 1)
    with branched.if_test((0, True)):
        branched.x(0)
    mystery = QuantumCircuit(1)
    mystery.append(Gate("mystery", 1, [Parameter("x")]), [0])
    inner = QuantumCircuit(1, name="inner")
    inner.reset(0)
    hidden = QuantumCircuit(1)
    hidden.append(inner.to_instruction(), [0])
    return [
        ((circuit,), {"inputs": ["x2"]}, "unknown input parameter 'x2'. Known: u0, w1, x1, z"),
        ((circuit,), {"inputs": [Parameter("v")]}, "unknown input parameter 'v'"),
        ((circuit,), {"inputs": [0]}, "unknown input parameter '0'"),
        ((circuit,), {"inputs": ["x1", "z", "x1"]}, "'x1' is named twice"),
        (
            (circuit,),
            {"parameters": [0.1, 0.2]},
            r"shape \(2,\) and the module has 4 parameters \(u0, w1, x1, …\)",
        ),
        ((circuit,), {"parameters": np.zeros((1, 4))}, r"shape \(1, 4\) and the module has 4 parameters"),
        ((circuit,), {"parameters": 0.1}, r"shape \(\) and the module has 4 parameters"),
        (
            (circuit,),
            {"inputs": PHASED_INPUTS, "parameters": np.zeros(4)},
            r"the module has 2 parameters \(w1, z\)",
        ),
        ((circuit,), {"parameters": [0.1, np.nan, 0.2, 0.3]}, r"parameters\[1\] is nan"),
        ((circuit,), {"parameters": ["a"] * 4}, "parameters are not numbers"),
        ((circuit,), {"parameters": [1j] * 4}, "parameters are complex"),
        ((circuit,), {"backend": "aer"}, "backend='aer'; pass observables"),
        ((circuit,), {"backend": "aero"}, "unknown backend 'aero'"),
        ((circuit,), {"shots": 10}, "shots=10; pass observables"),
        ((circuit,), {"gradient": "spsa"}, "gradient='spsa' is for expectation values"),
        ((circuit,), {"gradient": "adjoin"}, "Did you mean 'adjoint'"),
        ((circuit, "ZZZ"), {"gradient": "adjoin"}, "Did you mean 'adjoint'"),
        ((circuit, "ZZZ"), {"gradient": "adjoint", "backend": "aer"}, "backend='aer'; write"),
        ((circuit, "ZZZ"), {"shots": 0}, "shots is 0"),
        ((circuit, "ZZ"), {}, "acts on 2 qubits and the circuit has 3"),
        ((circuit, []), {}, "list of observables is empty"),
        ((circuit, 3.0), {}, "the observable is a float"),
        ((measured,), {}, "'measure' has no single final state"),
        ((reset,), {}, "'reset' has no single final state"),
        ((prepared,), {}, "'initialize' has no single final state"),
        ((branched,), {}, "'if_else' has no single final state"),
        ((hidden,), {}, r"'reset' \(inside 'inner'\)"),
        ((mystery,), {}, "'mystery' has free parameters"),
        ((mystery, "Z"), {}, "'mystery' has free parameters"),
    ]


@pytest.mark.parametrize(("arguments", "keywords", "message"), refused())
def test_wrong_use(arguments, keywords, message):
    with pytest.raises(UsageError, match=message) as error:
        to_torch(*arguments, **keywords)
    assert "\n" not in str(error.value)


def test_wrong_calls():
    pole = QuantumCircuit(1)
    pole.ry(1 / Parameter("x"), 0)
    for observables in (None, PHASED_OBSERVABLES):
        module = to_torch(phased(), observables, inputs=PHASED_INPUTS)
        for data, message in (
            (None, r"has 2 inputs \(x1, u0\) and was called without"),
            (torch.zeros(4, 3), r"inputs have shape \(4, 3\) and the module has 2 inputs \(x1, u0\)"),
            (torch.tensor(0.3), r"inputs have shape \(\)"),
            ([[0.1, np.inf]], r"inputs\[0, 1\] is inf"),
            (["a", "b"], "inputs are not numbers"),
            (torch.zeros(2, dtype=torch.complex128), "inputs are complex"),
        ):
            with pytest.raises(UsageError, match=message) as error:
                module(data)
            assert "\n" not in str(error.value)
        with pytest.raises(UsageError, match="has no inputs"):
            to_torch(phased(), observables)(torch.zeros(4))
        with pytest.raises(UsageError, match="not a finite real number"):
            to_torch(pole, observables and "Z", parameters=[0.0])()
    with pytest.raises(UsageError, match="1 states of 34 qubits would take 256 GiB"):
        to_torch(QuantumCircuit(34))()
