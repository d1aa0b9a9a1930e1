"""Planned shots reach the standard error, for as many values as the PUB has."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from bondwise.mitigation import MitigatedEstimator
from bondwise.runs import UsageError


def turned():
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("angle"), 0)
    for _ in range(25):
        circuit.cx(1, 0)
        circuit.cx(0, 1)
    return circuit


@pytest.mark.parametrize(("name", "sets"), [("linear", 1), ("bayes", 1), ("bayes", 12), ("neural", 1)])
def test_the_error_that_was_planned_is_reached(name, sets):
    backend, wanted = "aer:depolarizing=0.005", 0.05
    pub = (turned(), "ZZ", np.linspace(0.9, 1.3, sets)[:, None])
    plan = MitigatedEstimator(backend, extrapolation=name, shots=100).plan_shots(pub, wanted)
    assert 0.8 * wanted < plan.std <= 1.01 * wanted
    reached = []
    for seed in range(4 if sets == 1 else 2):
        estimator = MitigatedEstimator(
            backend, extrapolation=name, shots=plan.shots, shares=plan.shares, seed=seed
        )
        reached += estimator.run([pub]).result()[0].data.stds.ravel().tolist()
    assert 0.6 < np.sqrt(np.mean(np.square(reached))) / wanted < 1.4


def test_one_value_takes_more_shots_than_many_for_a_method_that_learns_from_all():
    estimator = MitigatedEstimator("aer:depolarizing=0.005", extrapolation="bayes", shots=100)
    one, many = (
        estimator.plan_shots((turned(), "ZZ", np.full((sets, 1), 1.1)), 0.02).shots for sets in (1, 200)
    )
    assert one > 1.1 * many


def test_what_takes_no_extrapolation():
    estimator = MitigatedEstimator("fake:manila", shots=100)
    empty = QuantumCircuit(2)
    plan = estimator.plan_shots((empty, "ZZ"), 0.02)
    assert plan.shares == (1,)
    assert 0.5 < 0.02**-2 / plan.shots <= 1.01
    with pytest.raises(UsageError, match="all observables are identities"):
        estimator.plan_shots((turned(), "II", [1.0]), 0.02)
