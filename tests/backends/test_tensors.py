"""Tensors that torch wraps or stores on other devices: the result's device, or a one-line error."""

import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, vmap

from bondwise.backends import estimate, expectation, to_torch
from bondwise.runs import UsageError

ANGLES = ParameterVector("t", 2)
CIRCUIT = QuantumCircuit(2)
CIRCUIT.ry(ANGLES[0], 0)
CIRCUIT.cx(0, 1)
CIRCUIT.rx(ANGLES[0] * ANGLES[1], 1)
POINT = torch.tensor([0.3, 0.8], dtype=torch.float64)


def value(gradient):
    return lambda angles: expectation(CIRCUIT, "ZZ", angles, gradient=gradient, seed=0)


TRANSFORMS = {
    "grad": lambda function: grad(function)(POINT),
    "vmap": lambda function: vmap(function)(POINT.expand(3, 2)),
    "vmap of grad": lambda function: vmap(grad(function))(POINT.expand(3, 2)),
    "jacrev": lambda function: jacrev(function)(POINT),
    "jacfwd": lambda function: jacfwd(function)(POINT),
    "hessian": lambda function: hessian(function)(POINT),
}


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # by torch itself
@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("gradient", ["auto", "adjoint", "backprop", "parameter-shift", "spsa"])
def test_transforms_of_torch_func_are_one_line(name, gradient):
    module = to_torch(CIRCUIT, parameters=POINT)
    inputs = to_torch(CIRCUIT, "ZZ", inputs=ANGLES)
    for function in (
        value(gradient),
        lambda angles: functional_call(module, {"weight": angles}).real.sum(),
        lambda angles: inputs(angles),
    ):
        with pytest.raises(UsageError, match=r"torch\.autograd\.grad") as error:
            TRANSFORMS[name](function)
        assert "\n" not in str(error.value)


def test_what_the_line_names_works():
    leaf = POINT.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(value("adjoint")(leaf), leaf)
    jacobian = torch.autograd.functional.jacobian(value("adjoint"), POINT)
    torch.testing.assert_close(jacobian, slopes)
    second = torch.autograd.functional.hessian(value("backprop"), POINT)
    torch.testing.assert_close(second, second.T)
    assert expectation(CIRCUIT, "ZZ", POINT.expand(3, 2)).shape == (3,)


def test_the_device_without_numbers():
    nowhere = torch.empty(2, device="meta")
    for call in (
        lambda: expectation(CIRCUIT, "ZZ", nowhere),
        lambda: estimate(CIRCUIT, "ZZ", nowhere),
        lambda: to_torch(CIRCUIT, "ZZ", parameters=nowhere),
        lambda: to_torch(CIRCUIT).to("meta")(),
        lambda: to_torch(CIRCUIT, "ZZ").to("meta")(),
    ):
        with pytest.raises(UsageError, match="'meta'"):
            call()


class Elsewhere(torch.Tensor):
    """Numbers that can only be read after `cpu()` or `to("cpu")`, like those of an accelerator."""

    @property
    def device(self):
        return torch.device("cuda:0")

    def numpy(self, *args, **keywords):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    def cpu(self, *args, **keywords):
        return self.as_subclass(torch.Tensor)

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        wanted = kwargs.get("device")
        if function is torch.Tensor.to and wanted is not None:
            with torch._C.DisableTorchFunctionSubclass():
                plain = args[0].as_subclass(torch.Tensor).to(**{**kwargs, "device": "cpu"})
            return plain if str(wanted) == "cpu" else plain.as_subclass(cls)
        return super().__torch_function__(function, types, args, kwargs)


def test_numbers_are_fetched_from_their_device_and_the_result_sent_back(monkeypatch):
    sent = []
    original = torch.Tensor.to

    def to(self, *args, **keywords):
        if str(keywords.get("device")) == "cuda:0":
            sent.append(keywords["device"])
            keywords = {**keywords, "device": "cpu"}
        return original(self, *args, **keywords)

    monkeypatch.setattr(torch.Tensor, "to", to)
    there = POINT.as_subclass(Elsewhere)
    for gradient in ("adjoint", "backprop", "parameter-shift"):
        found = expectation(CIRCUIT, "ZZ", there, gradient=gradient)
        torch.testing.assert_close(found.as_subclass(torch.Tensor), value(gradient)(POINT))
    assert sent == [torch.device("cuda:0")] * 3
