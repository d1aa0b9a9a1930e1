"""PUBs of every form on `Backend.run`, `Backend.sample` and the mitigated estimator."""

import numpy as np
import pennylane as qml
import pytest
from helpers import called_noisy
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import HGate
from qiskit.quantum_info import SparsePauliOp

from bondwise.backends import get_backend
from bondwise.mitigation import MitigatedEstimator
from bondwise.runs import UsageError

PLUS = QuantumCircuit(2)
PLUS.h(0)
MEASURED = PLUS.copy()
MEASURED.measure_all()
RUNS = {
    "backend": lambda pubs: get_backend("statevector").run(pubs),
    "mitigated": lambda pubs: MitigatedEstimator(called_noisy(), extrapolation="linear").run(pubs).result(),
}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_observables_of_every_form(run):
    for observable in (qml.X(0), [("IX", 1.0)], {"IX": 1.0}, "IX"):
        assert run([(PLUS, observable)])[0].data.evs == pytest.approx(1.0)
    assert run([(HGate(), "X")])[0].data.evs == pytest.approx(1.0)


WRONG = [
    PLUS, 3, None, "x.qasm", [PLUS], [3], [None], ["x.qasm"], [(PLUS,)], [(3, "ZZ")], [(PLUS, 3)], 
    [(PLUS, None)],
    [(PLUS, "ZZZ")], [(PLUS, np.eye(4))], [(PLUS, "ZZ", [1.0])], [(PLUS, qml.Z(7))], (PLUS, "ZZ"),
]  # fmt: skip


@pytest.mark.parametrize("pubs", WRONG, ids=range(len(WRONG)))
@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_the_rest_is_one_line(run, pubs):
    with pytest.raises(UsageError) as error:
        run(pubs)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_numbers_that_are_not_finite_are_named(run, number):
    turned = QuantumCircuit(2)
    turned.ry(Parameter("a"), 0)
    for observable in (SparsePauliOp("ZZ", number), {"ZZ": number}):
        with pytest.raises(UsageError, match="coefficient that is not finite; give finite numbers"):
            run([(PLUS, observable)])
    with pytest.raises(UsageError, match=rf"parameter_values\[0\] is {number}, the angle of 'a'"):
        run([(turned, "ZZ", [number])])
    with pytest.raises(UsageError, match=f"precision is {number}; give a number of at least 0"):
        run([(PLUS, "ZZ", None, number)])
    turned.measure_all()
    with pytest.raises(UsageError, match="the angle of 'a'"):
        get_backend("statevector").sample([(turned, [number])])


@pytest.mark.parametrize(
    "pubs", [MEASURED, 3, None, "x", [3], [None], ["x"], [(3,)], [(MEASURED, [1.0])]], ids=range(9)
)
def test_the_samplers_too(pubs):
    with pytest.raises(UsageError) as error:
        get_backend("statevector").sample(pubs)
    assert "\n" not in str(error.value)
