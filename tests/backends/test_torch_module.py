"""The torch module against Qiskit's Statevector, `expectation`, PennyLane's TorchLayer and quimb."""

from __future__ import annotations

import copy
import functools

import numpy as np
import pennylane as qml
import pytest
import torch
from helpers import PHASED_INPUTS, PHASED_OBSERVABLES, Counting, phased, rows
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import Statevector
from safetensors.torch import load_file, save_file

from bondwise.backends import Backend, CircuitModule, expectation, get_backend, to_pennylane, to_torch
from bondwise.runs import UsageError

METHODS = ("adjoint", "backprop")


def qiskit_state(circuit: QuantumCircuit, **values: float) -> np.ndarray:
    return Statevector(circuit.assign_parameters(values)).data


@pytest.mark.parametrize("gradient", METHODS)
@pytest.mark.parametrize("observables", [None, PHASED_OBSERVABLES])
def test_gradcheck(gradient, observables):
    module = to_torch(phased(), observables, inputs=PHASED_INPUTS, gradient=gradient, seed=4)
    alone = to_torch(phased(), observables, gradient=gradient, seed=4)

    def outputs(weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(module, {"weight": weight}, (x,))

    def output(weight: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(alone, {"weight": weight})

    arguments = (rows(2).requires_grad_(), rows(2, 2, seed=1).requires_grad_())
    assert torch.autograd.gradcheck(outputs, arguments)
    assert torch.autograd.gradcheck(output, (rows(4).requires_grad_(),))
    if gradient == "backprop":
        assert torch.autograd.gradgradcheck(outputs, (arguments[0], rows(1, 2).requires_grad_()))
    else:
        with pytest.raises(UsageError, match="gradient='backprop'"):
            torch.autograd.grad(outputs(*arguments).abs().sum(), arguments, create_graph=True)


@pytest.mark.parametrize(
    "backend",
    [
        "statevector",
        "aer",
        "aer:depolarizing=0.05",
        "fake:manila",
        Backend("exact", estimator=StatevectorEstimator(), exact=True),
    ],
)
def test_values_are_those_of_expectation(backend):
    circuit, theta = phased(), rows(4).requires_grad_()
    for observables, shape in (
        (PHASED_OBSERVABLES, (3,)),
        (PHASED_OBSERVABLES[:1], (1,)),
        (PHASED_OBSERVABLES[0], ()),
        ("ZZI", ()),
    ):
        module = to_torch(circuit, observables, parameters=theta, backend=backend)
        values, expected = module(), expectation(circuit, observables, theta, backend)
        assert values.shape == shape
        assert values.dtype == torch.float64
        assert torch.equal(values, expected)
    values.backward()
    expected.backward()
    np.testing.assert_allclose(module.weight.grad, theta.grad, rtol=0, atol=1e-12)


def test_measurements_at_the_end_do_not_matter_to_values():
    circuit = phased()
    circuit.measure_all()
    start = rows(4)
    plain = to_torch(phased(), PHASED_OBSERVABLES, parameters=start)
    measured = to_torch(circuit, PHASED_OBSERVABLES, parameters=start)
    torch.testing.assert_close(measured(), plain(), rtol=0, atol=1e-14)  # the order of the gates may change


def test_shots_follow_the_seed_and_move_on():
    def two(seed) -> list[float]:
        module = to_torch(phased(), "ZZI", parameters=np.ones(4), shots=50, seed=seed)
        return [module().item(), module().item()]

    assert two(7) == two(7)
    assert two(7) != two(8)
    module = to_torch(phased(), "ZZI", parameters=np.ones(4), shots=50, seed=7)
    assert len({module().item() for _ in range(8)}) > 3


def test_first_values():
    def weight(**keywords) -> torch.Tensor:
        return to_torch(phased(), **keywords).weight.detach()

    torch.manual_seed(1)
    first = [weight(), weight()]
    torch.manual_seed(1)
    assert torch.equal(torch.stack(first), torch.stack([weight(), weight()]))
    assert not torch.equal(*first)
    assert torch.equal(weight(seed=5), weight(seed=5))
    assert not torch.equal(weight(seed=5), weight(seed=6))
    circuit = QuantumCircuit(1)
    for parameter in ParameterVector("t", 400):
        circuit.rx(parameter, 0)
    drawn = to_torch(circuit, seed=0).weight.detach()
    assert -np.pi <= drawn.min() < -3
    assert 3 < drawn.max() < np.pi
    given = np.arange(4.0)
    module = to_torch(phased(), parameters=given)
    given[0] = 9.0
    np.testing.assert_array_equal(module.weight.detach(), [0, 1, 2, 3])


def test_one_parameter_of_float64_called_weight():
    module = to_torch(phased(), inputs=PHASED_INPUTS, parameters=torch.ones(2))
    assert isinstance(module, CircuitModule)
    [(name, weight)] = module.named_parameters()
    assert (name, weight.dtype, weight.shape, weight.requires_grad) == ("weight", torch.float64, (2,), True)
    assert list(module.state_dict()) == ["weight"]


def test_inputs_by_parameter_name_and_vector():
    x, w = ParameterVector("x", 11), Parameter("w")
    circuit = QuantumCircuit(1)
    for index, parameter in enumerate(x):
        circuit.ry(parameter / (index + 1), 0)
    circuit.ry(w, 0)
    data = rows(3, 11)
    expected = np.cos((data.numpy() / np.arange(1, 12)).sum(1) + 0.5)
    for inputs in (x, list(x), [parameter.name for parameter in x]):
        values = to_torch(circuit, "Z", inputs=inputs, parameters=[0.5])(data)
        np.testing.assert_allclose(values.detach(), expected, rtol=0, atol=1e-12)
    for inputs in (w, "w"):
        values = to_torch(circuit, "Z", inputs=inputs, parameters=np.zeros(11))([[0.3], [0.4]])
        np.testing.assert_allclose(values.detach(), np.cos([0.3, 0.4]), rtol=0, atol=1e-12)


def test_everything_may_be_an_input():
    module = to_torch(phased(), PHASED_OBSERVABLES, inputs=["u0", "w1", "x1", "z"])
    x = rows(5, 4)
    assert module.weight.shape == (0,)
    assert torch.equal(module(x), expectation(phased(), PHASED_OBSERVABLES, x))


def reuploading() -> tuple[QuantumCircuit, ParameterVector]:
    x, w = ParameterVector("x", 2), ParameterVector("w", 8)
    circuit = QuantumCircuit(2)
    for layer in range(2):
        for qubit in range(2):
            circuit.rx(x[qubit], qubit)
            circuit.ry(w[4 * layer + qubit], qubit)
            circuit.rz(w[4 * layer + 2 + qubit], qubit)
        circuit.cx(0, 1)
    return circuit, x


def test_learns_between_layers_of_a_sequential():
    circuit, x = reuploading()
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(2, 2),
        to_torch(circuit, ["IZ", "ZI", "ZZ"], inputs=x),
        torch.nn.Linear(3, 1),
    )
    assert model[0].weight.dtype == torch.float32
    data = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    target = torch.tensor([[0.0], [1.0], [1.0], [0.0]])  # exclusive or
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(data), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]
    assert all(bool((a != b).any()) for a, b in zip(before, model.parameters(), strict=True))


def test_precision_follows_the_inputs_or_the_weight():
    circuit, x = reuploading()
    state = to_torch(circuit, inputs=x, seed=0)
    values = to_torch(circuit, "ZZ", inputs=x, seed=0)
    data = rows(3, 2)
    exact, exact_state = values(data), state(data)
    assert (exact.dtype, exact_state.dtype) == (torch.float64, torch.complex128)
    assert values(data.float()).dtype == torch.float32
    assert state(data.float()).dtype == torch.complex64
    # the weight keeps its digits beside the inputs
    rounded = data.float().double()
    assert torch.equal(values(data.float()), values(rounded).float())
    assert torch.equal(values(torch.ones(2, dtype=torch.long)), values(torch.ones(2, dtype=torch.float64)))
    values.float(), state.float()
    assert values.weight.dtype == torch.float32
    assert values(torch.ones(2, dtype=torch.long)).dtype == torch.float32
    assert state(torch.ones(2, dtype=torch.long)).dtype == torch.complex64
    short = values(data)
    assert short.dtype == torch.float64
    np.testing.assert_allclose(short.detach(), exact.detach(), atol=1e-5)
    short.sum().backward()
    assert values.weight.grad.dtype == torch.float32
    alone = to_torch(phased(), seed=1).float()
    assert alone().dtype == torch.complex64
    assert to_torch(phased(), PHASED_OBSERVABLES, seed=1).float()().dtype == torch.float32
    alone().abs().sum().backward()
    assert alone.weight.grad.dtype == torch.float32
    assert alone.double()().dtype == torch.complex128


def test_state_dicts_go_through_safetensors(tmp_path):
    circuit, x = reuploading()

    def model(seed: int) -> torch.nn.Module:
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Linear(2, 2), to_torch(circuit, ["IZ", "ZI"], inputs=x))

    first, second = model(1), model(2)
    data = torch.ones(1, 2)
    assert not torch.equal(first(data), second(data))
    save_file(first.state_dict(), tmp_path / "model.safetensors")
    stored = load_file(tmp_path / "model.safetensors")
    assert set(stored) == {"0.weight", "0.bias", "1.weight"}
    second.load_state_dict(stored)
    assert torch.equal(first(data), second(data))
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        to_torch(phased()).load_state_dict({"weight": torch.zeros(3)})
    empty = to_torch(QuantumCircuit(1))
    save_file(empty.state_dict(), tmp_path / "empty.safetensors")
    empty.load_state_dict(load_file(tmp_path / "empty.safetensors"))


@pytest.mark.parametrize("backend", ["statevector", "aer", "fake:manila"])
def test_copies_have_a_weight_of_their_own(backend):
    module = torch.nn.Sequential(to_torch(phased(), PHASED_OBSERVABLES, backend=backend, seed=3))
    twin = copy.deepcopy(module)
    assert twin[0].backend is module[0].backend is get_backend(backend)
    assert torch.equal(module[0](), twin[0]())
    before = module[0]().detach()
    with torch.no_grad():
        twin[0].weight += 0.5
    assert torch.equal(module[0](), before)
    assert not torch.equal(twin[0](), before)
    twin[0]().sum().backward()
    assert module[0].weight.grad is None


def test_copies_of_states_and_of_generators():
    module = to_torch(phased(), seed=3)
    assert torch.equal(copy.deepcopy(module)(), module())
    sampled = to_torch(phased(), "ZZI", shots=100, seed=3)
    twin = copy.deepcopy(sampled)
    assert [sampled().item() for _ in range(3)] == [twin().item() for _ in range(3)]


def test_later_changes_of_the_circuit_do_not_matter():
    circuit = phased()
    modules = [to_torch(circuit, seed=0), to_torch(circuit, PHASED_OBSERVABLES, seed=0)]
    before = [module() for module in modules]
    circuit.x(0)
    assert all(torch.equal(module(), old) for module, old in zip(modules, before, strict=True))


@pytest.mark.parametrize("gradient", METHODS)
def test_circuit_without_parameters(gradient):
    circuit = QuantumCircuit(2, global_phase=0.3)
    circuit.ry(0.5, 1)
    state, values = to_torch(circuit, gradient=gradient), to_torch(circuit, ["IZ", "ZI"], gradient=gradient)
    assert state.weight.shape == (0,)
    np.testing.assert_allclose(state().detach(), Statevector(circuit).data, rtol=0, atol=1e-12)
    np.testing.assert_allclose(values().detach(), [1, np.cos(0.5)], rtol=0, atol=1e-12)
    idle = to_torch(QuantumCircuit(2), gradient=gradient)
    np.testing.assert_array_equal(idle().detach(), [1, 0, 0, 0])


@pytest.mark.parametrize("gradient", METHODS)
def test_empty_and_large_batches(gradient):
    circuit, x = reuploading()
    module = to_torch(circuit, inputs=x, seed=0, gradient=gradient)
    nothing = module(torch.zeros(2, 0, 2))
    assert nothing.shape == (2, 0, 4)
    nothing.abs().sum().backward()
    np.testing.assert_array_equal(module.weight.grad, np.zeros(8))
    assert to_torch(circuit, ["ZZ"], inputs=x)(torch.zeros(0, 2)).shape == (0, 1)
    data = rows(130, 2)  # enough to be simulated at once
    expected = torch.stack([module(row) for row in data[:3]])
    auto = to_torch(circuit, inputs=x, seed=0)(data)
    np.testing.assert_allclose(auto[:3].detach(), expected.detach(), rtol=0, atol=1e-12)


def test_agrees_with_pennylanes_torch_layer():
    circuit, x = reuploading()
    module = to_torch(circuit, ["IZ", "ZX"], inputs=x, seed=0)
    names = [parameter.name for parameter in circuit.parameters]
    assert names == [*module.trained, *module.inputs]
    ansatz = to_pennylane(circuit)

    @qml.qnode(qml.device("default.qubit"))
    def node(inputs, weight):
        ansatz(torch.cat([weight.expand(len(inputs), -1), inputs], dim=-1))
        return qml.expval(qml.PauliZ(0)), qml.expval(qml.PauliX(0) @ qml.PauliZ(1))

    layer = qml.qnn.TorchLayer(node, {"weight": (8,)}, init_method=lambda _: module.weight.detach().clone())
    data = rows(4, 2)
    values, expected = module(data), layer(data)[..., 0].T  # their layer stacks outputs along the first axis
    values.square().sum().backward()
    expected.square().sum().backward()
    np.testing.assert_allclose(values.detach(), expected.detach(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(module.weight.grad, layer.weight.grad, rtol=0, atol=1e-12)


def test_prints_what_it_is():
    circuit, x = reuploading()
    module = to_torch(circuit, ["IZ", "ZI"], inputs=x, backend="aer", shots=100)
    assert repr(module) == (
        "CircuitModule(qubits=2, parameters=8, inputs=2, observables=2, backend='aer', "
        "gradient='auto', shots=100)"
    )
    assert "observables=None, backend='statevector'" in repr(to_torch(circuit))


def test_a_batch_on_a_device_is_one_pub_forwards_and_backwards(monkeypatch):
    circuit, x = reuploading()
    device, jobs = get_backend("fake:manila"), []
    submit = device.estimator.run

    @functools.wraps(submit)
    def counted(pubs, **keywords):
        pubs = list(pubs)
        jobs.append([pub.parameter_values.size for pub in pubs])
        return submit(pubs, **keywords)

    monkeypatch.setattr(device.estimator, "run", counted)
    layer = to_torch(circuit, ["IZ", "ZI"], inputs=x, backend=device, shots=200, seed=0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), layer, torch.nn.Linear(2, 1)).double()
    with torch.no_grad():
        model(rows(6, 2))
    assert jobs == [[6]]
    loss = model(rows(6, 2)).square().mean()
    assert jobs[1:] == [[6 * (1 + 2 * 12)]]  # 8 weights and 2 inputs in 12 places
    loss.backward()
    assert len(jobs) == 2
    assert all(bool(parameter.grad.any()) for parameter in model.parameters())


def test_a_call_is_one_job_and_making_a_module_is_none():
    circuit, x = reuploading()
    estimator = Counting()
    module = to_torch(circuit, "ZZ", inputs=x, backend=Backend("counting", estimator=estimator, exact=True))
    with torch.no_grad():
        module(rows(3, 2))
    module(rows(3, 2))
    assert estimator.jobs == [[3], [3 * (1 + 2 * 12)]]  # 8 weights and 2 inputs in 12 places
