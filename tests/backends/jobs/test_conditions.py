"""A run that is repeated under other conditions gets new results, not those of the earlier ones."""

import os
import subprocess
import sys

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter
from qiskit.primitives import BackendSamplerV2, StatevectorEstimator, StatevectorSampler
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, depolarizing_error
from qiskit_aer.primitives import EstimatorV2, SamplerV2

from bondwise.backends import Backend, Journal, estimate, get_backend, plan, record, sample
from bondwise.backends.jobs.conditions import conditions_of
from bondwise.mitigation import MitigatedEstimator


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "jobs.sqlite")


def noise(strength):
    model = NoiseModel(basis_gates=["h", "cx", "u"])
    model.add_all_qubit_quantum_error(depolarizing_error(strength, 2), ["cx"])
    return model


def line(*pairs):
    return [list(pair) for one in pairs for pair in (one, one[::-1])]


def mitigated(**how):
    return MitigatedEstimator("aer:depolarizing=0.01", shots=100, seed=1, **how)


# each makes the same name twice
SAME_NAMES = {
    "noise": lambda other: get_backend("aer", noise=noise(0.5 if other else 0.1)),
    "Aer": lambda other: AerSimulator(noise_model=noise(0.5 if other else 0.1)),
    "Aer's seed": lambda other: AerSimulator(seed_simulator=1 + other),
    "Aer's sampler": lambda other: SamplerV2(
        options={"backend_options": {"noise_model": noise(0.5 if other else 0.1)}}
    ),
    "Aer's estimator": lambda other: EstimatorV2(
        options={"backend_options": {"noise_model": noise(0.5 if other else 0.1)}}
    ),
    "seed": lambda other: StatevectorSampler(seed=1 + other),
    "precision": lambda other: StatevectorEstimator(default_precision=0.1 if other else 0.0, seed=1),
    "errors": lambda other: GenericBackendV2(3, seed=1 + other),
    "coupling": lambda other: GenericBackendV2(
        3, seed=1, coupling_map=line((0, 2), (1, 2)) if other else line((0, 1), (1, 2))
    ),
    "device": lambda other: BackendSamplerV2(backend=GenericBackendV2(3, seed=1 + other)),
    "mitigation": lambda other: mitigated(scale_factors=(1, 5) if other else (1, 3)),
    "by hand": lambda other: Backend("mine", sampler=StatevectorSampler(seed=1 + other)),
}


def answer(backend):
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    if backend.sampler is None:
        return estimate(circuit, ["XX", "ZI"], backend=backend, shots=100).value.tolist()
    return sample(circuit, shots=200, seed=3, backend=backend).counts


@pytest.mark.parametrize("case", SAME_NAMES)
def test_equal_names_do_not_share_results(case, journal):
    make = SAME_NAMES[case]
    first = answer(record(make(False), "run", journal=journal))
    before = len(journal.records())
    assert plan(record(make(False), "run", journal=journal), answer).jobs == 0
    assert plan(record(make(True), "run", journal=journal), answer).jobs == 1
    answer(record(make(True), "run", journal=journal))
    assert len(journal.records()) == before + 1
    assert answer(record(make(False), "run", journal=journal)) == first  # found again
    assert len(journal.records()) == before + 1


def test_conditions_are_the_same_in_every_process():
    here = [conditions_of(get_backend(make(False))) for make in SAME_NAMES.values()]
    code = (
        f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})\n"
        "from test_conditions import *\n"
        "print(*[conditions_of(get_backend(make(False))) for make in SAME_NAMES.values()])"
    )
    there = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert there.stdout.split() == here
    assert conditions_of(get_backend("fake:manila")) == conditions_of(get_backend("aer")) == ""


def test_sets_of_angles_and_observables_in_other_shapes_are_other_questions(journal):
    circuit = QuantumCircuit(2)
    circuit.rx(Parameter("a"), 0)
    circuit.ry(Parameter("b"), 1)
    observables, angles = [["ZI", "IZ"], ["XX", "YY"]], np.arange(4.0).reshape(2, 2)
    found = []
    for shape in ((2, 1, 2), (1, 2, 2)):  # both broadcast to (2, 2)
        backend = record("statevector", "run", journal=journal)
        [part] = backend.run([(circuit, observables, angles.reshape(shape))])
        [exact] = get_backend("statevector").run([(circuit, observables, angles.reshape(shape))])
        np.testing.assert_allclose(part.data.evs, exact.data.evs, atol=1e-12)
        found.append(part.data.evs)
    assert not np.allclose(*found)


def measured(*registers):
    circuit = QuantumCircuit(QuantumRegister(2), *registers)
    circuit.h(0)
    circuit.measure([0, 1], [0, 1])
    return circuit


@pytest.mark.parametrize("name", ["statevector", "fake:manila", "aer:depolarizing=0.1"])
def test_results_carry_the_names_that_registers_have_now(name, journal):
    """Qiskit numbers registers without a name by a counter of the process."""
    before, now = (ClassicalRegister(2, one) for one in ("c7", "c9"))
    first = sample(measured(before), shots=20, seed=1, backend=record(name, "run", journal=journal))
    again = sample(measured(now), shots=20, seed=1, backend=record(name, "run", journal=journal))
    assert first.counts == {"c7": again.counts["c9"]}
    assert len(journal.records()) == 1
    split = measured(ClassicalRegister(1, "c7"), ClassicalRegister(1, "c8"))
    apart = sample(split, shots=20, seed=1, backend=record(name, "run", journal=journal))
    assert {word for register in apart.counts.values() for word in register} <= {"0", "1"}


def test_branches_keep_their_condition_under_new_names(journal):
    def circuit(name):
        register = ClassicalRegister(2, name)
        made = QuantumCircuit(QuantumRegister(2), register)
        made.x(0)
        made.measure(0, 1)
        with made.if_test((register, 2)):
            made.x(1)
        made.measure(1, 0)
        return made

    backend = record(GenericBackendV2(2, control_flow=True, noise_info=False), "run", journal=journal)
    for name in ("a", "b"):
        assert sample(circuit(name), shots=20, seed=1, backend=backend).counts == {name: {"11": 20}}


def test_metadata_of_any_kind_stays_with_its_circuit(journal):
    backend = record("fake:manila", "run", journal=journal)
    for mark in (1j, 2j):  # JSON has no such numbers
        circuit = measured(ClassicalRegister(2, "c"))
        circuit.metadata = {"mark": mark}
        assert backend.transpile(circuit).metadata == {"mark": mark}
        assert sample(circuit, shots=5, backend=backend).shots == 5
