"""Gradients of QNodes on the device `"bondwise"`."""

import numpy as np
import pennylane as qml
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pennylane import numpy as pnp
from pennylane_circuits import LABELS, assert_same, random_gates

from bondwise.backends import BondwiseDevice


def circuit_of_layers(weights, inputs):
    qml.AngleEmbedding(inputs, wires=range(3))
    qml.StronglyEntanglingLayers(weights, wires=range(3))
    return qml.expval(qml.Z(0) @ qml.X(1)), qml.probs(wires=[0, 2]), qml.var(qml.Y(1))


@pytest.mark.parametrize("method", ["best", "parameter-shift", "device", "finite-diff"])
def test_gradients_are_those_of_default_qubit(method):
    weights = pnp.array(np.random.default_rng(0).normal(size=(1, 3, 3)), requires_grad=True)
    inputs = pnp.array([0.1, 0.2, 0.3], requires_grad=True)

    def jacobian(device, **keywords):
        qnode = qml.QNode(circuit_of_layers, device, **keywords)
        return qml.jacobian(lambda *given: qml.math.hstack(qnode(*given)), argnums=[0, 1])(weights, inputs)

    wanted = jacobian(qml.device("default.qubit"))
    for backend in ("statevector", "aer"):
        found = jacobian(BondwiseDevice(backend=backend), diff_method=method)
        assert_same(found, wanted, atol=1e-5 if method == "finite-diff" else 1e-10)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(), (2,)]), st.sampled_from([1, 3]))
def test_adjoint_gradients_are_those_of_default_qubit(seed, batch, count):
    rng = np.random.default_rng(seed)
    fixed = random_gates(rng, LABELS, batch=batch)
    a, b, c, d = LABELS
    observables = [qml.Z(a) @ qml.X(b), qml.Hamiltonian(rng.normal(size=2), [qml.Y(c), qml.Z(d)]), qml.I(a)]

    def circuit(x, y):
        qml.Rot(*x[0], wires=a)
        for gate in fixed:
            qml.apply(gate)
        qml.Rot(*x[1], wires=c)
        qml.PauliRot(y, "YX", [a, d])
        qml.CRX(y / 2, [b, c])
        qml.U3(y, x[0, 0], x[1, 1], wires=d)
        return [qml.expval(one) for one in observables[:count]]

    x, y = pnp.array(rng.normal(size=(2, 3))), pnp.array(rng.normal())
    found = []
    for device, method in ((qml.device("default.qubit"), "backprop"), (BondwiseDevice(), "device")):
        qnode = qml.QNode(circuit, device, diff_method=method)
        found.append(qml.jacobian(lambda x, y, q=qnode: qml.math.stack(q(x, y)), argnums=[0, 1])(x, y))
    assert_same(*found)


def test_adjoint_gradients_run_no_shifted_circuits():
    def circuit(x):
        qml.StronglyEntanglingLayers(x, wires=range(3))
        return qml.expval(qml.Z(0) @ qml.X(2))

    x, device = pnp.array(np.random.default_rng(0).normal(size=(2, 3, 3))), BondwiseDevice(3)
    for method in ("best", "device"):
        with qml.Tracker(device) as tracker:
            found = qml.grad(qml.QNode(circuit, device, diff_method=method))(x)
        assert tracker.totals["jobs"] == 1  # the value
        np.testing.assert_allclose(
            found, qml.grad(qml.QNode(circuit, qml.device("default.qubit")))(x), atol=1e-10
        )


def test_coefficients_and_matrices_have_gradients():
    matrix = np.array([[1, 2 - 1j], [2 + 1j, -1]])

    def circuit(angles, weights):
        qml.BasisState([1, 0], wires=[0, 1])
        qml.CRY(angles[0], [0, 1])
        qml.PauliRot(angles[1], "XY", [0, 1])
        energy = qml.Hamiltonian(weights, [qml.Z(0) @ qml.Z(1), qml.X(1)])
        return qml.expval(energy), qml.expval(qml.Hermitian(matrix, 1) @ qml.Z(0))

    given = pnp.array([0.4, -0.8]), pnp.array([0.7, 1.3])
    results = []
    for device in (BondwiseDevice(backend="statevector"), qml.device("default.qubit")):
        qnode = qml.QNode(circuit, device, diff_method="parameter-shift")
        results.append(qml.jacobian(lambda *x, q=qnode: qml.math.stack(q(*x)), argnums=[0, 1])(*given))
    assert_same(*results)


def test_second_derivatives_and_hadamard_gradients():
    x = pnp.array([0.3, 0.8], requires_grad=True)

    def circuit(x):
        qml.RX(x[0], 0)
        qml.CNOT([0, 1])
        qml.RY(x[1], 1)
        return qml.expval(qml.Z(1))

    device = BondwiseDevice(3, backend="statevector")
    twice = qml.QNode(circuit, device, diff_method="parameter-shift", max_diff=2)
    hessian = qml.jacobian(qml.grad(twice))(x)
    a, b = x
    wanted = [
        [-np.cos(a) * np.cos(b), np.sin(a) * np.sin(b)],
        [np.sin(a) * np.sin(b), -np.cos(a) * np.cos(b)],
    ]
    np.testing.assert_allclose(hessian, wanted, atol=1e-10)
    found = qml.grad(qml.QNode(circuit, device, diff_method="hadamard", gradient_kwargs={"aux_wire": 2}))(x)
    np.testing.assert_allclose(found, [-np.sin(a) * np.cos(b), -np.cos(a) * np.sin(b)], atol=1e-10)


@pytest.mark.parametrize("backend", ["statevector", "fake:manila"])
def test_a_torch_layer_learns(backend):
    torch.manual_seed(0)

    @qml.qnode(BondwiseDevice(2, backend=backend))
    def circuit(inputs, weights):
        qml.AngleEmbedding(inputs, wires=range(2))
        qml.BasicEntanglerLayers(weights, wires=range(2))
        return [qml.expval(qml.Z(wire)) for wire in range(2)]

    layer = qml.qnn.TorchLayer(circuit, {"weights": (2, 2)})
    inputs, target = torch.rand(5, 2), torch.rand(5, 2)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.2)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(layer(inputs), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
