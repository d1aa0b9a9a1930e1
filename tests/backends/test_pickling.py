"""Objects sent to workers keep their state and leave their caches behind."""

import copy
import io
import multiprocessing
import pickle

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.primitives import StatevectorEstimator, StatevectorSampler
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, depolarizing_error
from qiskit_ibm_runtime import QiskitRuntimeService

from bondwise.backends import Backend, estimate, get_backend, sample, to_torch
from bondwise.mitigation import MitigatedEstimator
from bondwise.qml import VQE
from bondwise.runs import UsageError

pytest_plugins = ["bondwise.backends.ibm.fixtures"]

ANGLES = ParameterVector("t", 2)
CIRCUIT = QuantumCircuit(2)
CIRCUIT.ry(ANGLES[0] * ANGLES[1], 0)
CIRCUIT.cx(0, 1)
CIRCUIT.rx(ANGLES[1], 1)
NOISE = NoiseModel()
NOISE.add_all_qubit_quantum_error(depolarizing_error(0.05, 2), ["cx"])


def saved(thing):
    file = io.BytesIO()
    torch.save(thing, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


WAYS = {"pickle": lambda thing: pickle.loads(pickle.dumps(thing)), "deepcopy": copy.deepcopy, "torch": saved}
BACKENDS = {
    "statevector": lambda: get_backend("statevector"),
    "mps": lambda: get_backend("aer:matrix_product_state"),
    "depolarizing": lambda: get_backend("aer:depolarizing=0.05"),
    "noise model": lambda: get_backend("aer", noise=NOISE),
    "snapshot": lambda: get_backend("fake:manila"),
    "device": lambda: get_backend(GenericBackendV2(3, seed=1)),
    "simulator": lambda: get_backend(AerSimulator(method="density_matrix")),
    "estimator": lambda: get_backend(StatevectorEstimator(seed=1)),
    "sampler": lambda: get_backend(StatevectorSampler(seed=1)),
    "by hand": lambda: Backend(
        "mine", sampler=StatevectorSampler(seed=1), target=GenericBackendV2(3, seed=1).target
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", BACKENDS)
def test_backends_give_the_same_values_after_the_way(name, way):
    value = [estimate(CIRCUIT, "ZZ", [0.3, 0.8], backend=BACKENDS[name](), shots=200, seed=3).value]
    backend = BACKENDS[name]()
    backend.transpile(CIRCUIT)  # something to cache
    there = WAYS[way](backend)
    assert (there.name, there.exact, there.noisy) == (backend.name, backend.exact, backend.noisy)
    value.append(estimate(CIRCUIT, "ZZ", [0.3, 0.8], backend=there, shots=200, seed=3).value)
    assert value[0] == value[1]


def test_a_name_arrives_as_the_backend_of_that_name():
    backend = get_backend("statevector")
    assert pickle.loads(pickle.dumps(backend)) is backend
    assert len(pickle.dumps(backend)) < 200
    assert copy.deepcopy({"backend": backend})["backend"] is backend


def test_no_account_is_written(loopback_ibm):
    backend = get_backend(QiskitRuntimeService().backend("ibm_manila"))
    assert backend.name == "ibm:ibm_manila"
    with pytest.raises(UsageError, match="must not leave this process"):
        pickle.dumps(backend)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("observables", [None, "ZZ", ["ZZ", "IX"]])
def test_modules(observables, way):
    module = to_torch(CIRCUIT, observables, parameters=[0.3, 0.8], seed=1)
    module()
    there = WAYS[way](module)
    assert torch.equal(there(), module())
    with torch.no_grad():
        there.weight += 1
    assert module.weight.tolist() == [0.3, 0.8]
    there().abs().sum().backward()
    assert there.weight.grad.abs().sum() > 0
    assert module.weight.grad is None


@pytest.mark.parametrize("way", WAYS)
def test_trainers_estimators_and_results(way):
    vqe = VQE("ZZ", CIRCUIT)
    result = vqe.run([0.3, 0.8], steps=2)
    there = WAYS[way](vqe)
    np.testing.assert_array_equal(there.run([0.3, 0.8], steps=2).losses, result.losses)
    np.testing.assert_array_equal(WAYS[way](result).losses, result.losses)
    pub = (CIRCUIT, "ZZ", [0.3, 0.8])
    estimator = MitigatedEstimator("aer:depolarizing=0.05", extrapolation="linear")
    value = estimator.run([pub]).result()[0].data.evs
    assert WAYS[way](estimator).run([pub]).result()[0].data.evs == value
    measured = sample(CIRCUIT, [0.3, 0.8], shots=50, seed=2)
    assert WAYS[way](measured).counts == measured.counts


def double(module):
    return (2 * module()).detach()


def test_a_spawned_worker():
    module = to_torch(CIRCUIT, ["ZZ", "IX"], parameters=[0.3, 0.8])
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        (there,) = pool.map(double, [module])
    torch.testing.assert_close(there, 2 * module().detach())
