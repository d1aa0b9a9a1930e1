"""Plain arrays along with the path of an OpenQASM 3 file follow its declarations, in every verb."""

import numpy as np
import pennylane
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.primitives import StatevectorSampler
from qiskit.quantum_info import SparsePauliOp, Statevector

from bondwise import backends, circuits, mitigation, qml, tn

PROGRAM = """OPENQASM 3.0;
include "stdgates.inc";
input float c;
input float a;
input float b;
qubit[2] q;
rx(c) q[0];
rz(a) q[0];
ry(2 * b) q[1];
cx q[0], q[1];
"""
OBSERVABLES = ["ZI", "YX", "IY"]
ANGLES = [0.3, 0.7, 1.1]  # of c, a, b
SETS = [ANGLES, [1.2, -0.4, 0.5]]


@pytest.fixture
def path(tmp_path):
    (tmp_path / "declared.qasm").write_text(PROGRAM)
    return tmp_path / "declared.qasm"


def bound(c, a, b):
    circuit = QuantumCircuit(2)
    circuit.rx(c, 0)
    circuit.rz(a, 0)
    circuit.ry(2 * b, 1)
    circuit.cx(0, 1)
    return circuit


def values(angles):
    state = Statevector(bound(*angles))
    return np.array([state.expectation_value(SparsePauliOp(word)).real for word in OBSERVABLES])


EXACT = np.array([values(angles) for angles in SETS])
SLOPES = np.array([(values(ANGLES + 1e-6 * e) - values(ANGLES - 1e-6 * e)) / 2e-6 for e in np.eye(3)]).T


def pennylane_values(path):
    function = backends.to_pennylane(path)

    @pennylane.qnode(pennylane.device("default.qubit", wires=2))
    def measured(angles):
        function(angles)
        return [pennylane.expval(backends.to_pennylane(word)) for word in OBSERVABLES]

    return np.array(measured(np.array(SETS))).T


@pytest.mark.parametrize(
    "use",
    [
        lambda path: backends.estimate(path, OBSERVABLES, SETS).value,
        lambda path: backends.estimate(str(path), OBSERVABLES, np.array(SETS), backend="aer").value,
        lambda path: backends.expectation(path, OBSERVABLES, torch.tensor(SETS)).numpy(),
        lambda path: backends.expectation(path, OBSERVABLES, np.array(SETS), backend="aer").numpy(),
        lambda path: np.array(
            [backends.to_torch(path, OBSERVABLES, parameters=angles)().tolist() for angles in SETS]
        ),
        lambda path: backends.get_backend("statevector").run([(path, OBSERVABLES, a) for a in SETS])[0],
        lambda path: (
            mitigation.MitigatedEstimator("statevector").run([(path, OBSERVABLES, SETS[0])]).result()[0]
        ),
        pennylane_values,
        lambda path: np.array(
            [
                [qml.VQE(word, path, optimizer="adam").run(a, steps=1).losses[0] for word in OBSERVABLES]
                for a in SETS
            ]
        ),
        lambda path: np.array(
            [backends.estimate(circuits.bind_soundly(path, a, path), OBSERVABLES).value for a in SETS]
        ),
        lambda path: backends.estimate(*_longer(path)).value,
    ],
)
def test_values_are_those_of_the_declared_order(path, use):
    found = use(path)
    if hasattr(found, "data"):
        found = getattr(found.data, "evs", found)
    wanted = EXACT[0] if np.ndim(found) == 1 else EXACT
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def _longer(path):
    extended = tn.extend(path, SETS, [(0, 1)], strength=0.0)
    return extended.circuit, OBSERVABLES, extended.parameters


@pytest.mark.parametrize("gradient", ["adjoint", "backprop", "parameter-shift"])
def test_gradients_come_back_in_the_declared_order(path, gradient):
    angles = torch.tensor(ANGLES, dtype=torch.float64)

    def function(angles):
        return backends.expectation(path, OBSERVABLES, angles, gradient=gradient)

    slopes = torch.autograd.functional.jacobian(function, angles)
    np.testing.assert_allclose(slopes.numpy(), SLOPES, atol=1e-8)
    module = backends.to_torch(path, OBSERVABLES, parameters=ANGLES, gradient=gradient)
    assert module.trained == ("c", "a", "b")
    assert module.weight.tolist() == ANGLES
    module()[1].backward()
    np.testing.assert_allclose(module.weight.grad.numpy(), SLOPES[1], atol=1e-8)


def test_inputs_of_a_module_leave_the_declared_order(path):
    module = backends.to_torch(path, OBSERVABLES, inputs=["a"], parameters=[ANGLES[0], ANGLES[2]])
    assert module.trained == ("c", "b")
    np.testing.assert_allclose(module([[ANGLES[1]]]).detach().numpy()[0], EXACT[0], atol=1e-12)


@pytest.mark.parametrize("run", ["sample", "pub", "pub of a device"])
def test_samples_are_those_of_the_declared_order(path, run):
    measured = path.with_name("measured.qasm")
    measured.write_text(PROGRAM.replace("cx q", "bit[2] m;\ncx q") + "m = measure q;\n")
    angles = [np.pi, 0.0, 0.0]  # both qubits are 1
    if run == "sample":
        counts = backends.sample(measured, angles, shots=10).counts["m"]
    else:
        backend = backends.get_backend(StatevectorSampler() if run == "pub" else "aer")
        counts = backend.sample([(measured, angles)], shots=10)[0].data.m.get_counts()
    assert counts == {"11": 10}


def test_a_sampler_takes_paths_alone(tmp_path):
    circuit = QuantumCircuit(1)
    circuit.x(0)
    circuit.measure_all()
    path = circuits.write_circuit(circuit, tmp_path / "a.qasm")
    for backend in ("statevector", "aer"):
        result = backends.get_backend(backend).sample([path, str(path)], shots=5)
        assert [part.data.meas.get_counts() for part in result] == [{"1": 5}, {"1": 5}]


def test_fits_start_from_the_declared_order_and_say_theirs(path):
    with pytest.warns(UserWarning, match="in the order of its circuit, not of the file; pass its circuit"):
        found = tn.fit(path, Statevector(bound(*ANGLES)), ANGLES, iterations=1)
    assert found.history[0]["infidelity"] < 1e-12
    assert found.message.endswith(
        "parameters are in the order of circuit.parameters, not of the file: go on with circuit"
    )
    value = backends.estimate(found.circuit, OBSERVABLES, found.parameters).value
    np.testing.assert_allclose(value, EXACT[0], atol=1e-6)
    plain = tn.fit(circuits.read_circuit(path), Statevector(bound(*ANGLES)), seed=0)
    assert "order" not in plain.message


def test_a_vqe_gives_angles_back_in_the_order_that_it_takes(path, tmp_path):
    vqe = qml.VQE("ZI", path, optimizer="lbfgs")
    result = vqe.run(ANGLES, steps=30, checkpoint=tmp_path / "angles.ckpt")
    assert backends.estimate(path, "ZI", result.parameters).value == pytest.approx(result.value, abs=1e-9)
    assert vqe.run(result.parameters, steps=1).losses[0] == pytest.approx(result.value, abs=1e-9)
    noisy = qml.VQE("ZI", path, shots=100_000).run([np.pi, 0.0, 0.0], steps=1, seed=0)
    assert noisy.value == pytest.approx(-1, abs=0.1)
    # a checkpoint holds an array, which means something else for the circuit of the same file
    other = qml.VQE("ZI", circuits.read_circuit(path), optimizer="lbfgs")
    with pytest.raises(Exception, match="another"):
        other.run(ANGLES, steps=30, checkpoint=tmp_path / "angles.ckpt", resume=True)


def test_angles_from_files_are_those_that_go_along_with_the_path(path, tmp_path):
    np.save(tmp_path / "angles.npy", ANGLES)
    (tmp_path / "angles.json").write_text('{"b": 1.1, "a": 0.7, "c": 0.3}')
    for name in ("angles.npy", "angles.json"):
        angles = circuits.read_parameters(tmp_path / name, path)
        assert angles.tolist() == ANGLES
        np.testing.assert_allclose(backends.estimate(path, OBSERVABLES, angles).value, EXACT[0], atol=1e-12)
        circuit = circuits.read_circuit(path)
        angles = circuits.read_parameters(tmp_path / name, circuit)
        np.testing.assert_allclose(
            backends.estimate(circuit, OBSERVABLES, angles).value, EXACT[0], atol=1e-12
        )


def test_circuits_keep_the_order_of_qiskit_and_names_need_none(path):
    circuit = circuits.read_circuit(path)
    c, a, b = ANGLES
    for given, angles in (
        (circuit, [a, b, c]),
        (circuit, {"a": a, "c": c, "b": b}),
        (path, {"a": a, "c": c, "b": b}),
    ):
        np.testing.assert_allclose(backends.estimate(given, OBSERVABLES, angles).value, EXACT[0], atol=1e-12)
        found = backends.expectation(given, OBSERVABLES, angles).numpy()
        np.testing.assert_allclose(found, EXACT[0], atol=1e-12)
    found = qml.VQE("ZI", path).run({"a": a, "b": b, "c": c}, steps=1).losses[0]
    assert found == pytest.approx(EXACT[0][0], abs=1e-9)


def test_vectors_of_more_than_ten_angles_survive_openqasm_3(tmp_path):
    vector = ParameterVector("x", 12)
    circuit = QuantumCircuit(2)
    for index, angle in enumerate(vector):
        circuit.ry(angle, index % 2)
        circuit.cx(index % 2, 1 - index % 2)
        circuit.rx(angle, 0)
    angles = np.random.default_rng(0).normal(size=12)
    path = circuits.write_circuit(circuit, tmp_path / "x.qasm")
    wanted = backends.estimate(circuit, OBSERVABLES, angles).value
    for given in (angles, angles.tolist(), {"x": angles}):
        np.testing.assert_allclose(backends.estimate(path, OBSERVABLES, given).value, wanted, atol=1e-12)
    slopes = []
    for given in (circuit, path):
        tensor = torch.tensor(angles, requires_grad=True)
        backends.expectation(given, "ZI", tensor).backward()
        slopes.append(tensor.grad.numpy())
    np.testing.assert_allclose(slopes[1], slopes[0], atol=1e-12)
