"""QNodes and tapes as circuits: values, gradients, names of parameters, and the way back."""

import numpy as np
import pennylane as qml
import pytest
import torch
from qiskit.quantum_info import Operator

from bondwise import tn
from bondwise.backends import estimate, expectation, from_pennylane, to_pennylane
from bondwise.runs import UsageError

HAMILTONIAN = qml.dot(
    [-1.0, -1.0, -1.0, 0.7, 0.3, 0.4],
    [qml.Z(0) @ qml.Z(1), qml.Z(1) @ qml.Z(2), qml.X(1), qml.X(0) @ qml.Y(2), qml.Z(2), qml.I(0)],
)


@qml.qnode(qml.device("default.qubit"))
def energy(weights):
    qml.StronglyEntanglingLayers(weights, wires=range(3))
    return qml.expval(HAMILTONIAN)


@qml.qnode(qml.device("default.qubit", wires=4))
def rich(x, weights, angles, data=None, layers=2):
    """Arithmetic of every kind, in an order that is not the alphabetical one."""
    qml.AngleEmbedding(data, wires=range(3), rotation="Y")
    for _ in range(layers):
        qml.RX(2 * x + np.pi / 3, 0)
        qml.RY(qml.math.sin(x) * weights[0, 1], 1)
        qml.BasicEntanglerLayers(weights, range(3))
    qml.RZ(qml.math.sum(angles**2) - weights[1, 2] / 3, 2)
    qml.ctrl(qml.Rot, control=[3])(*angles, wires=0)
    qml.DoubleExcitation(-x, wires=range(4))
    qml.evolve(qml.X(0) @ qml.Z(2), angles[1])
    return qml.expval(HAMILTONIAN), qml.expval(qml.Hermitian([[0.3, 0.2j], [-0.2j, 0.1]], 3)), qml.probs(0)


def rich_arguments():
    rng = qml.numpy.random.default_rng(3)
    array = qml.numpy.array
    return 0.4, array(rng.normal(size=(2, 3))), array(rng.normal(size=3)), {"data": rng.normal(size=3)}


def test_values_and_gradients_are_those_of_the_qnode():
    x, weights, angles, keywords = rich_arguments()
    converted = from_pennylane(rich, x, weights, angles, **keywords)
    names = [parameter.name for parameter in converted.circuit.parameters]
    assert names == [*(f"angles[{k}]" for k in range(3)), *(f"weights[{k}]" for k in range(6)), "x"]
    np.testing.assert_array_equal(converted.parameters, [*angles, *weights.ravel(), x])
    values = rich(x, weights, angles, **keywords)[:2]
    found = torch.tensor(converted.parameters, requires_grad=True)
    for index, observable in enumerate(converted.observables):
        found.grad = None
        ours = expectation(converted.circuit, observable, found, "statevector")
        ours.backward()
        assert ours.item() == pytest.approx(float(values[index]), abs=1e-12)
        slopes = qml.grad(lambda *given, index=index: rich(*given, **keywords)[index])(
            qml.numpy.array(x, requires_grad=True), weights, angles
        )
        expected = np.concatenate([slopes[2], slopes[1].ravel(), np.ravel(slopes[0])])
        np.testing.assert_allclose(found.grad.numpy(), expected, atol=1e-12)


def test_parameters_follow_the_raveled_argument():
    weights = np.random.default_rng(0).normal(size=(4, 3, 3))
    converted = from_pennylane(energy, weights)
    np.testing.assert_array_equal(converted.parameters, weights.ravel())
    assert [p.name for p in converted.circuit.parameters] == [f"weights[{k}]" for k in range(36)]
    (back,) = converted.arguments(converted.parameters + 1)
    np.testing.assert_array_equal(back, weights + 1)
    value = estimate(converted.circuit, HAMILTONIAN, converted.parameters).value
    assert value == pytest.approx(float(energy(weights)), abs=1e-12)


def test_arguments_in_nested_lists_and_unused_elements():
    def function(scale, layers, count, unused):
        for weights in layers["inner"]:
            qml.RX(scale * weights[0], 0)
        for _ in range(count):
            qml.RY(layers["outer"], 0)

    given = (0.5, {"inner": [np.array([0.1, 0.2]), np.array([0.3])], "outer": 0.7}, 2, np.ones(2))
    converted = from_pennylane(function, *given)
    assert [p.name for p in converted.circuit.parameters] == [
        "layers_inner_0[0]", "layers_inner_1[0]", "layers_outer", "scale",
    ]  # fmt: skip
    scale, layers, count, unused = converted.arguments([1.0, 2.0, 3.0, 4.0])
    assert (scale, count, layers["outer"]) == (4.0, 2, 3.0)
    np.testing.assert_array_equal(layers["inner"][0], [1.0, 0.2])
    np.testing.assert_array_equal(layers["inner"][1], [2.0])
    np.testing.assert_array_equal(unused, [1.0, 1.0])
    with pytest.raises(UsageError, match=r"has 4 parameters and an array of shape \(3,\)"):
        converted.arguments([1.0, 2.0, 3.0])


def test_what_is_free_and_what_is_not():
    def function(a, b, c, d):
        for angle in (a, b, c[0], d[0]):
            qml.RX(angle, 0)

    fixed = qml.numpy.array(0.2, requires_grad=False)
    tensor = torch.ones(1, dtype=torch.float64)
    names = [
        [p.name for p in from_pennylane(function, *given).circuit.parameters]
        for given in (
            (0.1, fixed, [0.3], tensor),
            (1, 0.2, (0.3,), tensor.clone().requires_grad_()),
            (qml.numpy.array(0.1), np.float32(0.2), np.ones(1, dtype=int), np.ones(1)),
        )
    ]
    assert names == [["a", "c[0]"], ["b", "c[0]", "d[0]"], ["a", "b", "d[0]"]]


@pytest.mark.parametrize(
    ("device", "order"),
    [(None, ["b", "a", 7]), (["a", "b", 7, "c"], ["a", "b", 7, "c"]), (5, [0, 1, 2, 3, 4])],
)
def test_wires(device, order):
    labels = ["b", "a", 7] if device != 5 else [1, 0, 2]

    @qml.qnode(qml.device("default.qubit", wires=device))
    def value(x):
        qml.RX(x, labels[0])
        qml.CNOT(labels[:2])
        qml.RY(x / 2, labels[2])
        return qml.expval(qml.Z(labels[1]) @ qml.X(labels[2]))

    converted = from_pennylane(value, 0.3)
    assert list(converted.wires) == order
    found = estimate(converted.circuit, converted.observables, converted.parameters).value
    np.testing.assert_allclose(found, [value(0.3)], atol=1e-12)


def test_tapes_have_one_parameter_per_angle():
    weights = np.random.default_rng(0).normal(size=(2, 3, 3))
    tape = qml.tape.QuantumScript(
        [
            qml.StatePrep(np.ones(8) / np.sqrt(8), range(3)),
            qml.RX(0.3, 0),
            qml.StronglyEntanglingLayers(weights, range(3)),
            qml.QubitUnitary(np.diag([1, 1j]), 1),
            qml.CRot(0.1, 0.2, 0.3, [0, 2]),
        ],
        [qml.expval(HAMILTONIAN)],
    )
    converted = from_pennylane(tape)
    np.testing.assert_array_equal(converted.parameters, [0.3, *weights.ravel(), 0.1, 0.2, 0.3])
    assert converted.arguments(converted.parameters) == ()
    value = estimate(converted.circuit, converted.observables, converted.parameters).value
    (expected,) = qml.execute([tape], qml.device("default.qubit"))
    np.testing.assert_allclose(value, [expected], atol=1e-12)
    with pytest.raises(UsageError, match="a tape has no arguments"):
        from_pennylane(tape, 0.3)


def test_transforms_of_a_qnode_are_applied():
    @qml.defer_measurements
    @qml.qnode(qml.device("default.qubit"))
    def value(x):
        qml.RY(x, 0)
        qml.cond(qml.measure(0), qml.RX)(2 * x, 1)
        return qml.expval(qml.Y(1))

    converted = from_pennylane(value, 0.7)
    found = estimate(converted.circuit, converted.observables, converted.parameters).value
    np.testing.assert_allclose(found, [value(0.7)], atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_there_and_back(seed):
    rng = np.random.default_rng(seed)
    names = rng.choice(["RX", "RY", "RZ", "PhaseShift", "CRX", "CRZ", "IsingXX", "IsingZZ", "CNOT", "SX"], 25)
    angles = rng.normal(size=25)

    def function(angles):
        for angle, name in zip(angles, names, strict=True):
            kind = getattr(qml, name)
            wires = [int(wire) for wire in np.random.default_rng(len(name)).permutation(3)[: kind.num_wires]]
            kind(*[angle] * kind.num_params, wires=wires)

    circuit = from_pennylane(function, angles).circuit
    values = rng.normal(size=circuit.num_parameters)
    again = from_pennylane(to_pennylane(circuit), values)
    np.testing.assert_allclose(
        Operator(again.circuit.assign_parameters(again.parameters)).data,
        Operator(circuit.assign_parameters(values)).data,
        atol=1e-12,
    )


def test_what_is_no_qnode():
    with pytest.raises(
        UsageError, match="a QNode, a quantum function or a tape of PennyLane is expected, not"
    ):
        from_pennylane(3)
    with pytest.raises(UsageError, match="2 arguments were given, and the function takes 1"):
        from_pennylane(energy, np.zeros((1, 3, 3)), 2.0)


@pytest.mark.parametrize("condition", ["y", "y == 0", "y != 0", "y > 0", "not y"])
def test_a_condition_on_a_free_angle_is_refused(condition):
    def function(x, y):
        if eval(condition):
            qml.X(0)
        qml.RX(x, 0)

    with pytest.raises(UsageError, match="cannot be called with free parameters .*; pass arguments"):
        from_pennylane(function, 0.3, 0.0)


def test_two_parameters_of_one_name_are_refused():
    def function(x, x_0):
        qml.RX(x[0], 0)
        qml.RX(x_0, 0)

    with pytest.raises(UsageError, match="two parameters would be called 'x_0'; rename an argument"):
        from_pennylane(function, [np.array(0.1), np.array(0.2)], 0.3)


@pytest.mark.parametrize(("qubits", "layers", "share"), [(4, 3, 0.999), (8, 2, 0.75)])
def test_a_warm_start_of_strongly_entangling_layers(qubits, layers, share):
    terms = [qml.Z(k) @ qml.Z(k + 1) for k in range(qubits - 1)] + [qml.X(k) for k in range(qubits)]
    hamiltonian = qml.dot([-1.0] * len(terms), terms)

    @qml.qnode(qml.device("default.qubit"))
    def qnode(weights):
        qml.StronglyEntanglingLayers(weights, wires=range(qubits))
        return qml.expval(hamiltonian)

    weights = np.random.default_rng(0).uniform(0, 2 * np.pi, (layers, qubits, 3))
    converted = from_pennylane(qnode, weights)
    ground = tn.ground_state(hamiltonian, seed=0)
    found = tn.fit(converted.circuit, ground, seed=0, iterations=100, restarts=2)
    (start,) = converted.arguments(found.parameters)
    assert start.shape == weights.shape
    assert qnode(start) < share * ground.energy < 0.2 * ground.energy < qnode(weights)


@pytest.mark.parametrize(
    ("condition", "free"),
    [
        ("np.any(x)", 0.0),
        ("np.any(x)", [0.1, 0.0]),
        ("np.count_nonzero(x) > 1", [0.1, 0.2]),
        ("len(np.nonzero(x)[0]) > 1", [0.1, 0.2]),
        ("np.array_equal(x, [0.1, 0.2])", [0.1, 0.2]),
        ("x.tolist()[1]", [0.1, 0.0]),
        ("x.item(1)", [0.1, 0.0]),
        ("np.asarray(x)[1]", [0.1, 0.0]),
    ],
)
def test_gates_that_depend_on_free_numbers_are_refused(condition, free):
    def function(x):
        if eval(condition):
            qml.X(0)
        qml.RX(np.ravel(x)[0], 0)

    with pytest.raises(UsageError, match="requires_grad=False") as refusal:
        from_pennylane(function, np.array(free))
    assert "\n" not in str(refusal.value)


def test_angles_that_are_computed_from_numbers_are_refused():
    def function(x):
        qml.RX(1.0 if x.tolist()[0] else 0.0, 0)

    with pytest.raises(
        UsageError, match=r"looks at the numbers in its free arguments \(at RX on wires \[0\]\)"
    ):
        from_pennylane(function, np.array([0.0]))


def test_gates_that_differ_at_each_call_are_refused():
    rng = np.random.default_rng(0)

    def function(x):
        qml.RX(x, 0)
        qml.RY(rng.normal(), 0)

    with pytest.raises(UsageError, match=r"makes other gates at each call \(at RY on wires \[0\]\); draw"):
        from_pennylane(function, 0.1)


def test_matrices_of_free_numbers_are_refused():
    def function(x):
        qml.QubitUnitary(np.array([[np.cos(x), -np.sin(x)], [np.sin(x), np.cos(x)]]), 0)

    with pytest.raises(UsageError, match=r"QubitUnitary on wires \[0\] has a matrix of free numbers"):
        from_pennylane(function, 0.1)


def test_a_rotation_by_zero_that_a_transform_drops_is_kept():
    @qml.transforms.merge_rotations
    @qml.qnode(qml.device("default.qubit", wires=1))
    def merged(x):
        qml.RX(x, 0)
        return qml.expval(qml.Z(0))

    assert from_pennylane(merged, 0.0).circuit.num_parameters == 1


def measured(x):
    qml.RX(x[0], 0)
    return qml.expval(qml.Z(0)), qml.var(qml.Z(0)), qml.probs([0])


def test_measurements_that_are_left_out_are_named():
    with pytest.warns(UserWarning, match=r"leaves out var\(Z\(0\)\), probs\(wires=\[0\]\)\.$"):
        converted = from_pennylane(measured, [0.3])
    assert len(converted.observables) == 1


def test_tensors_that_stay_numbers_are_named(recwarn):
    def function(x):
        qml.RX(x[0], 0)

    with pytest.warns(
        UserWarning, match=r"argument 0 has requires_grad=False, torch's default.*requires_grad_"
    ):
        assert from_pennylane(function, torch.tensor([0.3])).circuit.num_parameters == 0
    recwarn.clear()
    assert from_pennylane(function, torch.tensor([0.3], requires_grad=True)).circuit.num_parameters == 1
    assert not recwarn.list


def test_reprs_are_one_line():
    converted = from_pennylane(energy, np.zeros((6, 3, 3)))
    assert "\n" not in repr(converted)
    assert "<QuantumCircuit: 3 qubits, 54 parameters>" in repr(converted)
    longer = tn.extend(converted.circuit, converted.parameters, [(0, 1), (1, 2)])
    assert repr(longer) == (
        "Extension(circuit=<QuantumCircuit: 3 qubits, 66 parameters>, parameters=<float64 (66,)>)"
    )
