"""What the mitigated estimator accepts, and what it refuses in one line before anything is measured."""

import numpy as np
import pytest
from helpers import called_noisy
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from bondwise.mitigation import (
    MitigatedEstimator,
    extrapolate_linear,
    extrapolate_poly_exponential,
    extrapolate_vncdr,
)
from bondwise.runs import UsageError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"extrapolation": "exponental"}, "Did you mean 'exponential'"),
        ({"folding": "gate"}, "Did you mean 'gates'"),
        ({"scale_factors": (3,)}, "two or more"),
        ({"scale_factors": 3}, "two or more"),
        ({"scale_factors": (1, 3, 3)}, "distinct"),
        ({"scale_factors": (0.5, 3)}, "at least 1"),
        ({"scale_factors": "three"}, "no numbers"),
        ({"scale_factors": []}, "are not a list of numbers"),
        ({"scale_factors": ((1, 3), (5, 7))}, "are not a list of numbers"),
        ({"backend": MitigatedEstimator("fake:manila")}, "would be mitigated twice; pass its backend"),
        ({"backend": "fake:manila,resilience=2"}, "mitigated twice; leave out resilience=2"),
        ({"scale_factors": [1, "3"]}, r"scale_factors \[1, '3'\] are no numbers"),
        ({"readout": "x"}, "readout is 'x'; give True .*, or False"),
        ({"readout": None}, "readout is None; give True"),
        ({"target": 3}, "a target is expected, not an int 3; pass a qiskit.transpiler.Target"),
        ({"target": "fake:torino"}, "a target is expected, not a str fake:torino"),
        (
            {"extrapolation": None, "shares": (5,)},
            r"shares \(5,\) share nothing out without an extrapolation",
        ),
        (
            {"extrapolation": "linear", "twins": 5},
            "twins is 5 and linear does not learn .* cdr, vncdr, neural",
        ),
        ({"extrapolation": extrapolate_linear, "twins": 5}, "twins is 5 and linear does not learn from them"),
        ({"scale_factors": (1, 3), "extrapolation": "polynomial"}, "too few for polynomial; pass three"),
        ({"scale_factors": (1, 3), "extrapolation": "free_exponential"}, "pass three or more"),
        ({"scale_factors": (1, 3), "extrapolation": extrapolate_poly_exponential}, "pass three or more"),
        ({"twins": 2, "extrapolation": "vncdr"}, "twins is 2 and vncdr has 3 unknowns"),
        ({"twins": 1, "extrapolation": "cdr"}, "twins is 1 and cdr has 2 unknowns"),
        ({"scale_factors": (1, float("nan"))}, "at least 1"),
        ({"shots": 0}, "shots is 0; give a whole number"),
        ({"shots": 1}, "shots is 1, which says nothing about the error"),
        ({"shots": "100"}, "shots is '100'; give a whole number"),
        ({"shots": 1.5}, "shots is 1.5; give a whole number"),
        ({"shots": True}, "shots is True; give a whole number"),
        ({"extrapolation": None, "scale_factors": (1, 3)}, "need an extrapolation"),
        ({"extrapolation": None, "readout": False}, "nothing to mitigate"),
        ({"backend": "statevektor"}, "Did you mean 'statevector'"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(UsageError, match=message):
        MitigatedEstimator(**{"backend": "statevector", **options})


def test_what_a_plan_or_an_own_function_needs_is_accepted():
    assert MitigatedEstimator(called_noisy(), extrapolation=None, shares=(1,)).shares == (1,)
    for extrapolation in ("neural", lambda scan: 0):
        assert MitigatedEstimator(called_noisy(), extrapolation=extrapolation, twins=5).twins == 5


@pytest.mark.parametrize("angle", [np.nan, np.inf])
def test_angles_that_are_not_finite_are_refused(angle):
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("a"), 0)
    estimator = MitigatedEstimator("aer:depolarizing=0.05", extrapolation="linear")
    for work in (lambda pub: estimator.run([pub]), lambda pub: estimator.plan_shots(pub, 0.1)):
        with pytest.raises(UsageError, match=rf"parameter_values\[1, 0\] is {angle}, the angle of 'a'"):
            work((circuit, "Z", [[0.1], [angle]]))


def test_a_late_gate_has_the_name_that_the_caller_gave_it():
    circuit = QuantumCircuit(2, 1)
    circuit.h(0)
    circuit.measure(0, 0)
    circuit.swap(0, 1)
    circuit.crx(0.3, 0, 1)
    with pytest.raises(UsageError, match="'swap' acts after a measurement"):
        MitigatedEstimator("fake:manila", extrapolation="linear").run([(circuit, "ZZ")])


def test_our_functions_need_the_same_as_their_names():
    assert MitigatedEstimator(called_noisy(), extrapolation=extrapolate_vncdr).twins == 20
    own = MitigatedEstimator(called_noisy(), extrapolation=lambda scan: 0, scale_factors=(1, 3))
    assert (own.twins, own.scale_factors) == (0, (1, 3))


def test_scale_factors_that_fold_alike_are_refused():
    circuit = QuantumCircuit(2)
    circuit.cx(0, 1)
    with pytest.raises(UsageError, match=r"fold this circuit to \(1.0, 1.0, 3.0\)"):
        MitigatedEstimator(called_noisy(), scale_factors=(1, 1.2, 3)).run([(circuit, "ZZ")])
