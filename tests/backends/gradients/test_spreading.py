"""`expectation(executor=)`: the values and gradients without it, whatever the chunks."""

import multiprocessing
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
import torch
from helpers import PHASED_OBSERVABLES, jacobian, mixture, phased, rows, two_qubits
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from bondwise.backends import Backend, expectation, get_backend
from bondwise.runs import UsageError

CIRCUITS = [(two_qubits(), ["ZZ", "XI"]), mixture(), (phased(), PHASED_OBSERVABLES)]


class Reversed(Executor):
    """Calls functions only when a result is asked for, the last one first."""

    def __init__(self):
        self.queue = []

    def submit(self, fn, /, *args):
        future = Waiting(self)
        self.queue.append((future, fn, args))
        return future


class Waiting(Future):
    def __init__(self, executor):
        super().__init__()
        self.executor = executor

    def result(self, timeout=None):
        while not self.done():
            future, fn, args = self.executor.queue.pop()
            try:
                future.set_result(fn(*args))
            except Exception as error:
                future.set_exception(error)
        return super().result(timeout)


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(range(len(CIRCUITS))),
    st.sampled_from(["statevector", "mps", "aer:depolarizing=0.01"]),
    st.sampled_from([(1,), (5,), (40,), (2, 3), (3, 1, 12)]),
    st.booleans(),
    st.integers(0, 10**6),
)
def test_values_and_gradients_are_those_without_executor(which, backend, batch, single, seed):
    circuit, observables = CIRCUITS[which]
    observables = observables[0] if single else observables
    theta = rows(*batch, circuit.num_parameters, seed=seed)
    found, slopes = [], []
    for executor in (None, Reversed()):
        angles = theta.clone().requires_grad_()
        values = expectation(circuit, observables, angles, backend, executor=executor)
        weights = rows(*values.shape, seed=1)
        (values * weights).sum().backward()
        found.append(values.detach())
        slopes.append(angles.grad)
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(slopes[1], slopes[0], rtol=0, atol=1e-12)


def test_forms_of_parameters():
    circuit, observables = mixture()
    with ThreadPoolExecutor(2) as pool:
        theta = rows(4, 3).float()
        spread = expectation(circuit, observables, theta, executor=pool)
        assert spread.dtype == torch.float32
        torch.testing.assert_close(spread, expectation(circuit, observables, theta))
        named = {"t": np.linspace(0, 1, 12).reshape(4, 3)}
        torch.testing.assert_close(
            expectation(circuit, observables, named, executor=pool), expectation(circuit, observables, named)
        )
        assert expectation(circuit, observables, np.zeros((0, 3)), executor=pool).shape == (0, 3)
        assert expectation(circuit, observables, [0.1, 0.2, 0.3], executor=pool).shape == (3,)
        bare = QuantumCircuit(1)
        assert expectation(bare, "Z", np.zeros((4, 0)), executor=pool).tolist() == [1.0] * 4


def test_angles_of_a_file_keep_the_order_of_their_declarations(tmp_path):
    path = tmp_path / "ordered.qasm"
    path.write_text(
        'OPENQASM 3; include "stdgates.inc"; input float b; input float a; qubit[2] q;'
        "ry(b) q[0]; rx(2*a) q[1];"
    )
    theta = rows(6, 2)
    wanted = torch.stack([theta[:, 0].cos(), (2 * theta[:, 1]).cos()], dim=1)
    found = expectation(path, ["IZ", "ZI"], theta, executor=Reversed())
    torch.testing.assert_close(found, wanted)


def test_processes():
    circuit, observables = mixture()
    theta = rows(7, 3).requires_grad_()
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        spread = expectation(circuit, observables, theta, executor=pool)
        torch.testing.assert_close(spread, expectation(circuit, observables, theta), rtol=0, atol=1e-12)
        (slopes,) = torch.autograd.grad(spread[:, 0].sum(), theta)
        wanted = jacobian(circuit, observables[0], theta.tolist(), "auto", "statevector")
        np.testing.assert_allclose(slopes, np.einsum("bbp->bp", wanted), atol=1e-12)


def test_dask():
    distributed = pytest.importorskip("distributed")
    circuit, observables = mixture()
    theta = rows(7, 3)
    with distributed.Client(processes=False, n_workers=1, dashboard_address=None) as client:
        spread = expectation(circuit, observables, theta, executor=client.get_executor())
    torch.testing.assert_close(spread, expectation(circuit, observables, theta), rtol=0, atol=1e-12)


def test_a_snapshot_with_noise():
    theta = rows(5, 6)
    with ThreadPoolExecutor(2) as pool:
        noisy = expectation(two_qubits(), "ZZ", theta, "fake:manila", executor=pool)
    alone = expectation(two_qubits(), "ZZ", theta, "fake:manila")
    torch.testing.assert_close(noisy, alone, rtol=0, atol=1e-12)


def test_an_error_of_a_row_is_raised_here():
    circuit = QuantumCircuit(1)
    circuit.ry(1 / Parameter("a"), 0)
    with ThreadPoolExecutor(2) as pool, pytest.raises(UsageError, match="finite"):
        expectation(circuit, "Z", [[1.0], [0.0]], executor=pool)


class Remote(Backend):
    remote = True


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"shots": 10}, "executor= is for exact values, and shots=10 stands for random draws, .*leave one"),
        ({"seed": 3}, "seed=3 stands for random draws"),
        ({"gradient": "spsa"}, "gradient='spsa' stands for random draws"),
        ({"backend": "ibm"}, "executor= is for simulators; device takes all rows in one job; leave it out"),
        ({"backend": "sampler"}, "backend='sampler' stands for random draws"),
    ],
)
def test_draws_and_devices_are_refused(how, message):
    place = get_backend("statevector")
    if how.get("backend") == "ibm":
        how = {"backend": Remote("device", sampler=place.sampler)}
    elif how.get("backend") == "sampler":
        how = {"backend": Backend("sampler", sampler=place.sampler)}
    with ThreadPoolExecutor(1) as pool, pytest.raises(UsageError, match=message) as error:
        expectation(two_qubits(), "ZZ", rows(3, 6), executor=pool, **how)
    assert "\n" not in str(error.value)


def test_second_derivatives_are_not_available():
    theta = rows(3, 6).requires_grad_()
    with ThreadPoolExecutor(1) as pool:
        values = expectation(two_qubits(), "ZZ", theta, gradient="backprop", executor=pool)
        (slopes,) = torch.autograd.grad(values.sum(), theta, create_graph=True)
        with pytest.raises(RuntimeError):
            slopes.sum().backward()
