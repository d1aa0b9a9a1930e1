"""A run that is repeated finds its jobs, and gets the same numbers from the journal."""

from types import SimpleNamespace

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import efficient_su2
from qiskit.primitives import (
    BaseSamplerV2,
    BitArray,
    DataBin,
    PrimitiveResult,
    PubResult,
    SamplerPubResult,
    StatevectorSampler,
)
from qiskit.providers.fake_provider import GenericBackendV2

from bondwise import qml
from bondwise.backends import Journal, estimate, expectation, get_backend, record, sample
from bondwise.backends.jobs.contents import content_of
from bondwise.backends.jobs.storage import pack_result, unpack_result
from bondwise.backends.pubs import estimator_pubs, sampler_pubs
from bondwise.runs import RunError, UsageError

PLACES = {
    "statevector": lambda: "statevector",
    "aer": lambda: "aer:depolarizing=0.02",
    "fake": lambda: "fake:manila",
    "device": lambda: GenericBackendV2(4, seed=0),
}


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "jobs.sqlite")


def circuit_and_angles(seed=0, sets=3):
    circuit = efficient_su2(3, reps=1)
    return circuit, np.random.default_rng(seed).uniform(-3, 3, (sets, circuit.num_parameters))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("shots", [None, 50])
def test_recorded_values_are_those_of_the_backend_and_are_found_again(place, shots, journal):
    circuit, angles = circuit_and_angles()
    options = {"shots": shots, "seed": 3}
    wanted = estimate(circuit, ["ZII", "XXI"], angles, backend=PLACES[place](), **options)
    found = [
        estimate(
            efficient_su2(3, reps=1),  # other parameter objects of the same names
            ["ZII", "XXI"],
            angles,
            backend=record(PLACES[place](), "run", journal=journal),
            **options,
        )
        for _ in range(2)
    ]
    for one in found:
        assert np.array_equal(one.value, wanted.value)
        assert np.array_equal(one.std, wanted.std)
        assert one.shots == wanted.shots
    [job] = journal.records()
    assert (job.run, job.state, job.job_ids) == ("run", "done", ())


@pytest.mark.parametrize("place", PLACES)
def test_recorded_samples_are_those_of_the_backend(place, journal):
    circuit, angles = circuit_and_angles(1)
    wanted = sample(circuit, angles, shots=40, backend=PLACES[place](), seed=2)
    for _ in range(2):
        backend = record(PLACES[place](), "run", journal=journal)
        found = sample(circuit, angles, shots=40, backend=backend, seed=2)
        assert np.array_equal(found.bits["meas"], wanted.bits["meas"])
    assert len(journal.records()) == 1


def test_what_is_stored_is_not_computed_again(journal, monkeypatch):
    circuit, angles = circuit_and_angles()
    first = estimate(circuit, "ZZI", angles, shots=20, backend=record("fake:manila", "run", journal=journal))
    bare = get_backend("fake:manila")

    def refuse(*args, **options):
        raise AssertionError("run again")

    monkeypatch.setattr(bare.estimator, "run", refuse)
    again = estimate(circuit, "ZZI", angles, shots=20, backend=record("fake:manila", "run", journal=journal))
    assert np.array_equal(again.value, first.value)


def test_the_same_question_is_asked_as_often_as_the_run_asks_it(journal):
    circuit, angles = circuit_and_angles()

    def thrice():
        backend = record("aer", "run", journal=journal)
        return [estimate(circuit, "ZXI", angles[0], shots=30, backend=backend).value for _ in range(3)]

    first = thrice()
    assert len(set(first)) > 1  # independent samples
    assert len(journal.records()) == 3
    assert thrice() == first
    assert len(journal.records()) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"run": "other"},
        {"seed": 4},
        {"shots": 31},
        {"observable": "ZXZ"},
        {"observable": "0.5*ZXI"},
        {"angle": 1e-16},
        {"circuit": True},
        {"place": "aer:depolarizing=0.01"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_question_is_another_job(journal, change):
    def ask(run="run", seed=3, shots=30, observable="ZXI", angle=0.0, circuit=False, place="aer"):
        ansatz, angles = circuit_and_angles()
        if circuit:
            ansatz.x(0)
        backend = record(place, run, journal=journal)
        set_ = angles[0] * (1 + angle)
        set_[0] = np.nextafter(set_[0], 9) if angle else set_[0]
        estimate(ansatz, observable, set_, shots=shots, backend=backend, seed=seed)

    ask()
    ask()
    assert len(journal.records()) == 1
    ask(**change)
    assert len(journal.records()) == 2


def test_gradients_are_one_recorded_job_each(journal):
    import torch

    circuit, angles = circuit_and_angles()

    def gradient():
        tensor = torch.tensor(angles[0], requires_grad=True)
        backend = record("aer:depolarizing=0.02", "run", journal=journal)
        expectation(circuit, "ZZI", tensor, backend=backend, shots=100, seed=1).backward()
        return tensor.grad

    first = gradient()
    assert len(journal.records()) == 1
    assert torch.equal(gradient(), first)
    assert len(journal.records()) == 1


def test_a_killed_vqe_takes_no_job_again(journal, tmp_path):
    """Also the steps after the last checkpoint, whose shots are drawn with the seeds of the first time."""
    circuit = qml.brickwall(2, 1)
    start = qml.random_start(circuit, seed=1)

    def train(steps, resume):
        backend = record("aer:depolarizing=0.02", "run", journal=journal)
        vqe = qml.VQE(qml.heisenberg(2), circuit, backend=backend, shots=50, optimizer="adam")
        checkpoint = {"checkpoint": tmp_path / "state.safetensors", "checkpoint_every": 4, "resume": resume}
        return vqe.run(start, steps=steps, seed=5, **checkpoint)

    class Killed(BaseException):
        pass

    def kill(step):
        if step.step == 6:
            raise Killed

    backend = record("aer:depolarizing=0.02", "run", journal=journal)
    vqe = qml.VQE(qml.heisenberg(2), circuit, backend=backend, shots=50, optimizer="adam")
    with pytest.raises(Killed):
        vqe.run(
            start,
            steps=8,
            seed=5,
            checkpoint=tmp_path / "state.safetensors",
            checkpoint_every=4,
            callbacks=[kill],
        )
    before = {one.tag for one in journal.records()}
    resumed = train(8, True)
    after = journal.records()
    assert before < {one.tag for one in after}
    whole = qml.VQE(
        qml.heisenberg(2), circuit, backend="aer:depolarizing=0.02", shots=50, optimizer="adam"
    ).run(start, steps=8, seed=5)
    np.testing.assert_array_equal(resumed.losses, whole.losses)
    assert len(after) == len(whole.losses) + 1  # one for each step, and the final measurement


def test_a_compiled_circuit_is_kept_for_the_run(journal):
    theta = Parameter("theta")
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.rx(2 * theta + 0.1, 0)
    circuit.cx(0, 1)
    first = record("fake:manila", "run", journal=journal).transpile(circuit)
    again = QuantumCircuit(2)
    other = Parameter("theta")
    again.h(0)
    again.rx(2 * other + 0.1, 0)
    again.cx(0, 1)
    # a device that was calibrated anew compiles otherwise, and keeps its name
    place = record("fake:manila", "run", journal=journal)
    place.bare = SimpleNamespace(transpile=lambda circuit: pytest.fail("compiled again"))
    second = place.transpile(again)
    assert list(second.parameters) == [other]
    assert second.layout.final_index_layout() == first.layout.final_index_layout()
    one, two = (isa.assign_parameters({p: 0.3 for p in isa.parameters}) for isa in (first, second))
    assert one == two


def test_circuits_are_compiled_as_the_backend_compiles_them(journal):
    circuit, _ = circuit_and_angles()
    for name in ("aer:depolarizing=0.02", "fake:manila", "statevector"):
        bare, place = get_backend(name), record(name, "run", journal=journal)
        assert place.transpile(circuit) == bare.transpile(circuit)


def test_a_failure_is_recorded_and_tried_again_by_the_next_process(journal):
    class Fails(BaseSamplerV2):
        asked = 0

        def run(self, pubs, *, shots=None):
            Fails.asked += 1
            if Fails.asked == 1:
                raise RunError("out of helium.")
            return StatevectorSampler(seed=1).run(pubs, shots=shots)

    circuit, angles = circuit_and_angles()
    with pytest.raises(RunError, match="helium"):
        sample(circuit, angles[0], shots=10, backend=record(Fails(), "run", journal=journal))
    [job] = journal.records()
    assert (job.state, job.message) == ("failed", "out of helium.")
    sample(circuit, angles[0], shots=10, backend=record(Fails(), "run", journal=journal))
    [job] = journal.records()
    assert (job.state, job.message) == ("done", "")


@pytest.mark.parametrize("run", ["", "  ", None, 3])
def test_a_run_needs_a_name(run, journal):
    with pytest.raises(UsageError, match="name it"):
        record("aer", run, journal=journal)


def test_results_survive_storage():
    bits = BitArray(np.array([[[1], [2]], [[255], [0]]], dtype=np.uint8), 3)
    parts = [
        PubResult(
            DataBin(evs=np.array([[0.1], [np.nan]]), stds=np.zeros((2, 1)), shape=(2, 1)), {"a": (1, 2)}
        ),
        SamplerPubResult(DataBin(meas=bits, shape=(2,)), {"odd": object(), "deep": {"x": [1.5, None]}}),
    ]
    found = unpack_result(pack_result(PrimitiveResult(parts, metadata={"job_ids": ("a",), "s": {1, 2}})))
    np.testing.assert_array_equal(found[0].data.evs, parts[0].data.evs)
    assert found[0].data.shape == (2, 1)
    assert found[0].metadata == {"a": (1, 2)}
    assert found[1].data.meas == bits
    assert found[1].metadata == {"deep": {"x": [1.5, None]}}
    assert isinstance(found[1], SamplerPubResult)
    assert found.metadata == {"job_ids": ("a",)}


def test_content_does_not_depend_on_objects():
    def pubs():
        circuit, angles = circuit_and_angles()
        return estimator_pubs([(circuit, ["ZII", "XXI"], angles[:, None])], 0.1)

    assert content_of(pubs(), seed=1) == content_of(pubs(), seed=1)
    assert content_of(pubs(), seed=1) != content_of(pubs(), seed=2)
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)
    assert content_of(sampler_pubs([circuit])) == content_of(sampler_pubs([circuit.copy()]))
