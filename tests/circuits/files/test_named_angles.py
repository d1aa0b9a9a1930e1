"""Angles by name mean what they mean in Qiskit's `assign_parameters`, wherever angles are taken."""

import json

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp, Statevector

from bondwise.backends import estimate, expectation, get_backend, sample, to_torch
from bondwise.circuits import read_parameters
from bondwise.cli.circuit_files import read_angles
from bondwise.qml import VQE
from bondwise.runs import UsageError
from bondwise.tn import extend, fit

THETA, X, W = Parameter("theta"), ParameterVector("x", 11), ParameterVector("w", 2)
OBSERVABLE = SparsePauliOp(["ZZ", "XI", "IY"], [0.5, 1.0, -0.7])
VALUES = np.random.default_rng(0).normal(size=12)  # theta, then x


def circuit():
    """With x[10] after x[9], which sorting by letters would confuse."""
    made = QuantumCircuit(2)
    for index in range(11):
        made.ry(X[index], index % 2)
        made.rx(0.3 * X[index], (index + 1) % 2)
        made.cx(0, 1)
    made.rz(THETA, 0)
    made.h(0)
    return made


def exact(assignment):
    return Statevector(circuit().assign_parameters(assignment)).expectation_value(OBSERVABLE).real


FORMS = {
    "parameters": {THETA: VALUES[0], **{X[i]: VALUES[1 + i] for i in range(11)}},
    "names": {"theta": VALUES[0], **{f"x[{i}]": VALUES[1 + i] for i in reversed(range(11))}},
    "vector": {X: VALUES[1:], THETA: VALUES[0]},
    "name of the vector": {"x": list(VALUES[1:]), "theta": VALUES[0]},
    "vector and element of other types": {"x": tuple(VALUES[1:]), THETA: np.float64(VALUES[0])},
    "tuple, as in PUBs": {(THETA, *X): VALUES},
    "list of tensors": {"x": [torch.tensor(v, dtype=torch.float64) for v in VALUES[1:]], "theta": VALUES[0]},
    "tensors": {"x": torch.from_numpy(VALUES[1:]), THETA: torch.tensor(VALUES[0], dtype=torch.float64)},
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_is_taken_by_every_verb(name):
    given = FORMS[name]
    value = exact({THETA: VALUES[0], X: VALUES[1:]})
    assert estimate(circuit(), OBSERVABLE, given).value == pytest.approx(value, abs=1e-12)
    assert expectation(circuit(), OBSERVABLE, given).item() == pytest.approx(value, abs=1e-12)
    assert to_torch(circuit(), OBSERVABLE, parameters=given)().item() == pytest.approx(value, abs=1e-12)
    assert VQE(OBSERVABLE, circuit()).run(given, steps=0).value == pytest.approx(value, abs=1e-12)
    drawn = sample(circuit(), given, shots=50, seed=1).counts
    in_order = [VALUES[0] if p == THETA else VALUES[1 + p.index] for p in circuit().parameters]
    assert drawn == sample(circuit(), in_order, shots=50, seed=1).counts
    np.testing.assert_array_equal(extend(circuit(), given, [(0, 1)], strength=0.0).parameters[:12], in_order)
    found = fit(circuit(), Statevector(circuit().assign_parameters(in_order)).data, given, iterations=1)
    assert found.infidelity < 1e-12


def test_batches_are_broadcast_as_in_qiskits_pubs():
    rng = np.random.default_rng(1)
    thetas, vectors = rng.normal(size=(3, 1)), rng.normal(size=(4, 11))
    full = {THETA: np.broadcast_to(thetas, (3, 4)), tuple(X): np.broadcast_to(vectors, (3, 4, 11))}
    pub = (circuit(), OBSERVABLE, full)
    expected = StatevectorEstimator().run([pub]).result()[0].data.evs
    for given in ({"theta": thetas, "x": vectors}, {THETA: thetas, X: torch.from_numpy(vectors)}):
        np.testing.assert_allclose(estimate(circuit(), OBSERVABLE, given).value, expected, atol=1e-12)
        np.testing.assert_allclose(expectation(circuit(), OBSERVABLE, given), expected, atol=1e-12)
    one = {"theta": 0.2, "x": vectors}
    expected = [exact({THETA: 0.2, X: row}) for row in vectors]
    np.testing.assert_allclose(estimate(circuit(), OBSERVABLE, one).value, expected, atol=1e-12)


@pytest.mark.parametrize("gradient", ["adjoint", "backprop", "parameter-shift"])
def test_gradients_flow_to_each_tensor(gradient):
    theta = torch.tensor(VALUES[0], dtype=torch.float64, requires_grad=True)
    vector = torch.tensor(VALUES[1:], requires_grad=True)
    plain = torch.tensor([*VALUES], requires_grad=True)
    order = [0 if p == THETA else 1 + p.index for p in circuit().parameters]
    expectation(circuit(), OBSERVABLE, {"x": vector, THETA: theta}, gradient=gradient).backward()
    expectation(circuit(), OBSERVABLE, plain[order], gradient=gradient).backward()
    np.testing.assert_allclose(theta.grad, plain.grad[0], atol=1e-12)
    np.testing.assert_allclose(vector.grad, plain.grad[1:], atol=1e-12)
    first = torch.tensor(VALUES[1], dtype=torch.float64, requires_grad=True)  # beside plain numbers
    rest = {"x": [first, *VALUES[2:]], "theta": float(VALUES[0])}
    expectation(circuit(), OBSERVABLE, rest, gradient=gradient).backward()
    np.testing.assert_allclose(first.grad, plain.grad[1], atol=1e-12)


def test_precision_is_that_of_the_tensors():
    single = {"x": torch.zeros(11), "theta": 0.1}
    assert expectation(circuit(), OBSERVABLE, single).dtype == torch.float32
    mixed = {"x": torch.zeros(11), "theta": torch.tensor(0.1, dtype=torch.float64)}
    assert expectation(circuit(), OBSERVABLE, mixed).dtype == torch.float64


def test_inputs_of_a_module_by_name():
    made = QuantumCircuit(1)
    made.ry(W[0], 0)
    made.rx(W[1] + THETA, 0)
    module = to_torch(made, "Z", inputs=[THETA], parameters={"w": [0.3, 0.4]})
    data = torch.tensor([0.1, 0.2], dtype=torch.float64, requires_grad=True)
    values = module({"theta": data})
    np.testing.assert_allclose(values.detach(), module(data[:, None]).detach(), atol=1e-14)
    values.sum().backward()
    assert data.grad.abs().min() > 0.01


def test_vectors_of_which_a_circuit_uses_a_part():
    made = QuantumCircuit(1)
    made.ry(X[3], 0)
    for given in ({X: np.arange(11.0)}, {"x": np.arange(4.0)}, {"x[3]": 3.0}, {X[3]: 3.0}):
        assert estimate(made, "Z", given).value == pytest.approx(np.cos(3.0))


@pytest.mark.parametrize("key", ["x", X])
def test_a_whole_vector_is_taken_where_a_circuit_uses_its_first_elements(key, tmp_path):
    made = QuantumCircuit(2)
    made.ry(X[2], 0)
    made.ry(X[0], 1)
    angles = np.linspace(0.1, 1.1, 11)
    wanted = np.cos(angles[[2, 0]])
    given = {key: angles}
    for found in (
        estimate(made, ["IZ", "ZI"], given).value,
        expectation(made, ["IZ", "ZI"], given).numpy(),
        to_torch(made, ["IZ", "ZI"], parameters=given)().detach().numpy(),
        to_torch(made, ["IZ", "ZI"], inputs=X[:1], parameters={"x[2]": angles[2]})(
            {"x[0]": angles[0]}
        ).detach(),
        estimate(made, ["IZ", "ZI"], extend(made, given, []).parameters).value,
    ):
        np.testing.assert_allclose(found, wanted, atol=1e-12)
    assert VQE("IZ", made).run(given, steps=1).losses[0] == pytest.approx(wanted[0], abs=1e-9)
    (tmp_path / "angles.json").write_text(json.dumps({"x": angles.tolist()}))
    assert read_parameters(tmp_path / "angles.json", made).tolist() == angles[[0, 2]].tolist()
    with pytest.raises(UsageError, match="give 5 for 'x', which has 11 elements; give 11 numbers"):
        estimate(made, "IZ", {key: angles[:5]})


GOOD = {"theta": 0.1, "x": np.zeros(11)}
REFUSED = [
    ({"theta": 0.1}, r"the parameters lack 'x\[0\]' and 10 more; give all 12 by name"),
    ({**GOOD, "thata": 0.1}, "unknown parameter 'thata'. Did you mean 'theta'"),
    ({**GOOD, Parameter("phi"): 0.1}, "unknown parameter 'phi'"),
    ({**GOOD, "x[3]": 0.1}, r"the parameters give 'x\[3\]' twice; leave one out"),
    ({**GOOD, THETA: 0.1}, "the parameters give 'theta' twice"),
    ({**GOOD, "x": np.zeros(10)}, "give 10 for 'x', which has 11 elements; give 11 numbers"),
    ({**GOOD, "x": 1.0}, "give one number for 'x', which has 11 elements"),
    ({"theta": np.zeros(2), "x": np.zeros((3, 11))}, r"shapes that do not fit together \(theta: \(2,\), x"),
    ({**GOOD, "theta": "a"}, "are not numbers"),
    ({**GOOD, "theta": 1j}, "parameters are complex"),
    ({**GOOD, "theta": np.nan}, "must be finite"),
    ({**GOOD, 3: 0.1}, "a key of the parameters is an int; give a name"),
    ({}, "lack 'theta' and 11 more"),
]


@pytest.mark.parametrize(("given", "message"), REFUSED, ids=[message[:30] for _, message in REFUSED])
def test_the_rest_is_refused_in_one_line(given, message):
    calls = [
        lambda: estimate(circuit(), OBSERVABLE, given),
        lambda: expectation(circuit(), OBSERVABLE, given),
        lambda: sample(circuit(), given),
    ]
    for call in calls:
        with pytest.raises(UsageError, match=message) as error:
            call()
        assert "\n" not in str(error.value)


def test_circuits_without_parameters_take_no_names():
    assert estimate(QuantumCircuit(1), "Z", {}).value == 1.0
    with pytest.raises(UsageError, match="no parameters to give by name; leave them out"):
        estimate(QuantumCircuit(1), "Z", {"theta": 0.1})


def test_pubs_take_names_too():
    given = {"theta": VALUES[0], tuple(f"x[{i}]" for i in range(11)): VALUES[1:]}
    value = get_backend("statevector").run([(circuit(), OBSERVABLE, given)])[0].data.evs
    assert value == pytest.approx(exact({THETA: VALUES[0], X: VALUES[1:]}), abs=1e-12)


def test_vectors_in_files_and_flags(tmp_path):
    in_order = [VALUES[0] if p == THETA else VALUES[1 + p.index] for p in circuit().parameters]
    theta, *vector = VALUES.tolist()
    (tmp_path / "a.json").write_text(json.dumps({"theta": theta, "x": vector}))
    np.testing.assert_array_equal(read_parameters(tmp_path / "a.json", circuit()), in_order)
    np.testing.assert_array_equal(read_angles(str(tmp_path / "a.json"), circuit()), in_order)
    flag = ", ".join([f"theta={theta!r}", *(f"x[{place}]={angle!r}" for place, angle in enumerate(vector))])
    np.testing.assert_array_equal(read_angles(flag, circuit()), in_order)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("theta", "--parameters: there is no file theta; give one, JSON or .npy, or write theta=0.3"),
        ("theta=0.1", r"--parameters: the angles lack 'x\[0\]' and 10 more"),
        ("theta=pie", "--parameters: 'theta=pie' is not an angle by name; write theta=0.3"),
        ("theta=pi**9", "is not an angle by name"),
        ("theta=__import__('os').getpid()", "is not an angle by name"),
        ("theta=1/0", "is not an angle by name"),
        ('{"theta": 0.1}', r"--parameters: the angles lack 'x\[0\]' and 10 more"),
        ('{"theta": 0.1', "--parameters cannot be read: it is not valid JSON"),
        ("[0.1, 0.2]", r"--parameters holds numbers of shape \(2,\); the circuit has 12 parameters"),
        ("theta=nan", "is not an angle by name"),
        ("theta=0.1,theta=0.2", "--parameters gives 'theta' twice"),
        ("thata=0.1", "Did you mean 'theta'"),
        ("=0.1", "is not an angle by name"),
    ],
)
def test_wrong_flags_are_refused(text, message):
    with pytest.raises(UsageError, match=message):
        read_angles(text, circuit())


@pytest.mark.parametrize(
    ("text", "angle"),
    [
        ("theta=pi/4", np.pi / 4),
        ("theta = -3*pi/2 + 0.5", 0.5 - 1.5 * np.pi),
        ("theta=(1 + pi)/2", (1 + np.pi) / 2),
        ("theta=2.5e-3", 0.0025),
        ("theta=π", np.pi),
        ('{"theta": 0.3}', 0.3),
        ("[0.3]", 0.3),
    ],
)
def test_angles_in_a_flag(text, angle):
    made = QuantumCircuit(1)
    made.rx(THETA, 0)
    assert read_angles(text, made).tolist() == pytest.approx([angle], abs=1e-15)


def test_an_angle_that_is_not_finite_is_named(tmp_path):
    made = QuantumCircuit(1)
    made.u(Parameter("alpha"), Parameter("beta"), 0.1, 0)
    for call in (estimate, expectation):
        with pytest.raises(UsageError, match=r"parameters\[1\] is nan, the angle of 'beta'; angles must be"):
            call(made, "Z", [0.1, np.nan])
    np.save(tmp_path / "a.npy", [0.1, np.inf])
    with pytest.raises(UsageError, match="holds NaN or infinity for 'beta'; give finite angles"):
        read_parameters(tmp_path / "a.npy", made)


def test_known_names_are_listed_as_people_count():
    with pytest.raises(UsageError, match=r"Known: theta, x\[0\], x\[1\], x\[2\], .*x\[9\], x\[10\]"):
        estimate(circuit(), OBSERVABLE, {**GOOD, "thata": 0.1})
