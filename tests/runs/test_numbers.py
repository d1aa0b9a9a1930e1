"""Wrong numbers and seeds are refused in one line everywhere."""

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp

from bondwise import tn
from bondwise.qml import brickwall, random_start
from bondwise.runs import UsageError, random_generator, real_number, whole_number

XX = SparsePauliOp(["XXI", "IXX"])


@pytest.mark.parametrize("seed", ["a", -1, 1.5, {}, b"x"])
def test_what_is_no_seed(seed):
    for use in (
        lambda: random_generator(seed),
        lambda: tn.ground_state(XX, seed=seed),
        lambda: tn.decompose([1, 0, 0, 0], seed=seed),
        lambda: random_start(brickwall(3, 1), seed=seed),
    ):
        with pytest.raises(UsageError, match="seed is .*; give a whole number of at least 0, or None"):
            use()


@pytest.mark.parametrize("option", ["cutoff", "tolerance"])
@pytest.mark.parametrize("given", ["a", None, [1], -1, np.nan])
def test_what_is_no_tolerance(option, given):
    with pytest.raises(UsageError, match=f"{option} is .*; give a number of at least 0"):
        tn.ground_state(XX, **{option: given})


def test_numbers_come_out_as_python_has_them():
    assert type(whole_number("n", np.int64(3))) is int
    assert type(real_number("x", np.float32(0.5))) is float
    for given in (True, 2.0, "2", 0):
        with pytest.raises(UsageError, match="n is .*; give a whole number of at least 1"):
            whole_number("n", given)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: tn.to_quimb(5), "give a list of .left, 2, right. arrays"),
        (lambda: tn.to_quimb([1.0, 0.0]), "give a list of .left, 2, right. arrays"),
        (lambda: tn.read_bitstrings(5), "the path is an int; give the name of a file"),
    ],
)
def test_other_kinds(use, message):
    with pytest.raises(UsageError, match=message):
        use()
