"""QNodes on the device `"bondwise"` against PennyLane's own simulators, and what the device refuses."""

import tomllib
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pennylane as qml
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pennylane.exceptions import DeviceError, PennyLaneDeprecationWarning, WireError
from pennylane_circuits import LABELS, assert_same, random_gates
from qiskit.primitives import StatevectorEstimator, StatevectorSampler
from qiskit.providers.fake_provider import GenericBackendV2

from bondwise.backends import BondwiseDevice, estimate, from_pennylane, get_backend
from bondwise.runs import UsageError

PROJECT = Path(__file__).parents[3] / "pyproject.toml"


def random_measurements(rng: np.random.Generator, wires: Sequence[Any]) -> list[Any]:
    """Local and joint observables, with and without a Pauli form."""
    a, b, c, d = (wires[at] for at in rng.permutation(4))
    matrix = rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4))
    hermitian = qml.Hermitian(matrix + matrix.conj().T, wires=[a, c])
    joint = qml.Hamiltonian(rng.normal(size=3), [qml.X(a) @ qml.Y(b), qml.Z(c), qml.Z(a) @ qml.Z(d)])
    return [
        qml.expval(qml.Z(a)),
        qml.expval(joint + 0.5 * qml.I(a)),
        qml.expval(hermitian @ qml.Y(b)),
        qml.expval(qml.Projector([0, 1], wires=[b, d])),
        qml.expval(qml.Hadamard(c) @ qml.X(d)),
        qml.var(joint),
        qml.var(hermitian),
        qml.var(qml.Y(b)),
        qml.probs(wires=[c, a]),
        qml.probs(op=qml.X(b) @ qml.Y(a)),
    ]


STATES = [
    qml.state(),
    qml.density_matrix(wires=[0, "b"]),
    qml.purity(wires=["a"]),
    qml.vn_entropy(wires=[3, "a"]),
    qml.mutual_info(wires0=[3], wires1=["a", 0]),
]


def run(device: Any, gates: list[Any], measurements: list[Any], shots: Any = None) -> Any:
    @qml.set_shots(shots)
    @qml.qnode(device)
    def circuit() -> Any:
        for gate in gates:
            qml.apply(gate)
        return tuple(map(qml.apply, measurements))

    return circuit()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(), (3,)]), st.booleans())
def test_random_circuits_are_those_of_default_qubit(seed, batch, labeled):
    rng = np.random.default_rng(seed)
    wires = LABELS if labeled else range(4)
    gates, measured = random_gates(rng, wires, batch=batch), random_measurements(rng, wires)
    if labeled:
        measured += STATES
    wanted = run(qml.device("default.qubit"), gates, measured)
    assert_same(run(BondwiseDevice(backend="statevector"), gates, measured), wanted)
    some = [at for at, one in enumerate(measured) if one not in STATES]
    found = run(
        BondwiseDevice(wires if labeled else 4, backend="aer"), gates, [measured[at] for at in some]
    )  # from expectation values alone
    assert_same(found, [wanted[at] for at in some])


@pytest.mark.parametrize("batch", [(), (2,)])
def test_exact_values_with_noise_are_those_of_estimate(batch):
    rng = np.random.default_rng(1)
    gates = [
        *(qml.RY(angle, wire) for wire, angle in enumerate(rng.normal(size=(3, *batch)))),
        qml.CNOT([0, 1]),
        qml.CNOT([2, 1]),
        qml.RX(0.3, 2),
    ]
    observables = [qml.Z(0) @ qml.X(1), qml.Y(2) + 0.3 * qml.Z(1)]
    measured = [*map(qml.expval, observables), qml.var(observables[1]), qml.probs(wires=[2, 0])]
    device = BondwiseDevice(backend="fake:manila")
    found = run(device, gates, measured)
    [tapes, _] = qml.transforms.broadcast_expand(qml.tape.QuantumScript(gates)) if batch else ([None], None)
    for index in range(len(tapes)):
        tape = tapes[index] or qml.tape.QuantumScript(gates)
        converted = from_pennylane(tape)
        squared = qml.simplify(observables[1] @ observables[1])
        paulis = [*observables, squared, *(qml.Projector([i, j], [2, 0]) for i in (0, 1) for j in (0, 1))]
        wanted = estimate(converted.circuit, paulis, converted.parameters, backend="fake:manila").value
        here = [np.asarray(one)[index] if batch else one for one in found]
        # the angles that the transpiler sees are free in both; the layout may differ from that of a tape
        np.testing.assert_allclose(here[:2], wanted[:2], atol=1e-9)
        np.testing.assert_allclose(here[2], wanted[2] - wanted[1] ** 2, atol=1e-9)
        np.testing.assert_allclose(here[3], wanted[3:], atol=1e-9)


def test_a_state_is_in_the_order_of_the_device():
    device = BondwiseDevice(["x", "y", "z"], backend="statevector")
    found = run(device, [qml.X("z"), qml.GlobalPhase(0.4, "y")], [qml.state()])[0]
    wanted = run(
        qml.device("default.qubit", wires=["x", "y", "z"]),
        [qml.X("z"), qml.GlobalPhase(0.4, "y")],
        [qml.state()],
    )[0]
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    assert abs(found[1]) == pytest.approx(1)  # wire 0 is the most significant bit


@pytest.mark.parametrize("name", ["statevector", "aer", "sampler"])
def test_samples_are_within_five_errors(name):
    rng = np.random.default_rng(3)
    backend = StatevectorSampler(seed=np.random.default_rng(5)) if name == "sampler" else name
    shots = 4000
    for labeled in (False, True):
        wires = LABELS if labeled else range(4)
        gates, measured = random_gates(rng, wires), random_measurements(rng, wires)
        device = BondwiseDevice(backend=backend, seed=7)
        wanted = run(qml.device("default.qubit"), gates, measured)
        spread = run(qml.device("default.qubit"), gates, [qml.var(one.obs) for one in measured[:5]])
        found = run(device, gates, measured, shots)
        for at in range(5):
            assert abs(found[at] - wanted[at]) < 5 * np.sqrt(max(spread[at], 0.01) / shots) * 1.8  # 3 bases
        for at in (8, 9):
            error = np.sqrt(np.maximum(wanted[at] * (1 - wanted[at]), 1e-3) / shots)
            assert (np.abs(found[at] - wanted[at]) < 5 * error).all()
        assert found[7] == pytest.approx(wanted[7], abs=0.15)


def test_samples_counts_and_shot_vectors_have_the_forms_of_pennylane():
    gates = [qml.RY(0.7, "a"), qml.CNOT(["a", 1]), qml.RX(0.2, 1)]
    measured = [
        qml.sample(),
        qml.sample(wires=[1]),
        qml.sample(qml.X(1) @ qml.Z("a")),
        qml.counts(),
        qml.counts(qml.Y(1)),
        qml.counts(wires=["a"], all_outcomes=True),
        qml.probs(),
        qml.expval(qml.X(1)),
        qml.var(qml.Hermitian(np.array([[1, 1j], [-1j, 2]]), "a")),
    ]
    for shots in (50, (20, 30), [10, 10, (5, 2)]):
        found = run(BondwiseDevice(backend="aer", seed=1), gates, measured, shots)
        wanted = run(qml.device("default.qubit", seed=1), gates, measured, shots)
        rows = [(found, wanted)] if isinstance(shots, int) else list(zip(found, wanted, strict=True))
        for ours, theirs in rows:
            for one, other in zip(ours, theirs, strict=True):
                assert np.shape(one) == np.shape(other)
                if isinstance(one, dict):
                    assert sum(one.values()) == sum(other.values())
                    assert {type(key) for key in one} <= {type(key) for key in other} | {np.float64}
    constant = [qml.expval(qml.I("a")), qml.expval(2 * qml.I(1))]
    assert run(BondwiseDevice(backend="aer"), gates, constant, (20, 30)) == ((1, 2), (1, 2))
    batch = [qml.RY(np.array([0.1, 0.2, 0.3]), 0)]
    found = run(BondwiseDevice(backend="aer", seed=1), batch, [qml.sample(), qml.counts(), qml.probs()], 7)
    wanted = run(qml.device("default.qubit"), batch, [qml.sample(), qml.counts(), qml.probs()], 7)
    assert [np.shape(one) for one in found] == [np.shape(one) for one in wanted]


def test_seeds_repeat_and_advance():
    def values(seed):
        device = BondwiseDevice(backend="aer", seed=seed)
        return [run(device, [qml.RX(0.9, 0)], [qml.expval(qml.Z(0))], 100)[0] for _ in range(4)]

    first = values(1)
    assert first == values(1)
    assert len(set(first)) > 1
    assert first != values(2)


@pytest.mark.parametrize("name", ["fake:manila", "generic", "estimator"])
def test_other_backends(name):
    backend = {
        "fake:manila": "fake:manila",
        "generic": GenericBackendV2(4, seed=1),
        "estimator": StatevectorEstimator(seed=1),
    }[name]
    device = BondwiseDevice(3, backend=backend, seed=1)
    gates = [qml.RY(0.8, 0), qml.CNOT([0, 1]), qml.CNOT([1, 2])]
    measured = [qml.expval(qml.Z(0) @ qml.Z(2)), qml.expval(qml.Z(1)), qml.probs(wires=[0])]
    wanted = run(qml.device("default.qubit"), gates, measured)
    found = run(device, gates, measured, 2000)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=0.3)  # three qubits with readout errors
    if name == "estimator":  # at its own precision, which is exact
        assert_same(run(device, gates, measured), wanted)


def test_the_entry_point_is_the_class():
    [path] = tomllib.loads(PROJECT.read_text())["project"]["entry-points"]["pennylane.plugins"].values()
    module, name = path.split(":")
    assert getattr(import_module(module), name) is BondwiseDevice
    assert BondwiseDevice(2).name == "bondwise"


REFUSALS = {
    "state with noise": (
        "fake:manila",
        [qml.state()],
        None,
        "it needs the state; write backend='statevector'",
    ),
    "state with shots": ("statevector", [qml.state()], 10, "measure expval, var, probs, counts or sample"),
    "samples without shots": (
        "statevector",
        [qml.sample()],
        None,
        r"write qml.set_shots\(qnode, shots=1000\)",
    ),
    "a sampler without shots": (
        "sampler",
        [qml.expval(qml.Z(0))],
        None,
        r"only samples; write qml.set_shots",
    ),
    "counts of an estimator": (
        "estimator",
        [qml.counts()],
        10,
        "estimator only; measure expval, var or probs",
    ),
    "shadows": ("aer", [qml.classical_shadow(wires=[0])], 10, "not accepted with finite shots on aer"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals_are_one_line(case):
    name, measured, shots, words = REFUSALS[case]
    backend = {"sampler": StatevectorSampler(), "estimator": StatevectorEstimator()}.get(name, name)
    with pytest.raises(DeviceError, match=words) as refused:
        run(BondwiseDevice(backend=backend), [qml.RX(0.1, 0)], measured, shots)
    assert "\n" not in str(refused.value)


def test_options_are_checked():
    with pytest.raises(
        UsageError, match="no option 'method'; its options are wires, backend, shots and seed"
    ):
        BondwiseDevice(2, method="x")
    with pytest.raises(UsageError, match="fake:manila has 5 qubits and 7 wires were given"):
        BondwiseDevice(7, backend="fake:manila")
    with pytest.raises(UsageError, match="statevector"):
        BondwiseDevice(2, backend="default.qubit")
    with pytest.raises(UsageError, match="seed"):
        BondwiseDevice(2, seed=-1)
    with pytest.raises(WireError):
        run(BondwiseDevice(2), [qml.X(5)], [qml.expval(qml.Z(0))])
    with pytest.raises(DeviceError, match="11 wires need 2\\^11"):
        run(BondwiseDevice(backend="aer"), [qml.X(0)], [qml.probs(wires=range(11))])
    matrix = qml.Hermitian(np.eye(512), wires=range(9))
    with pytest.raises(DeviceError, match="on 9 wires has no Pauli form"):
        run(BondwiseDevice(backend="aer"), [qml.X(0)], [qml.expval(matrix)])
    with pytest.warns(PennyLaneDeprecationWarning):
        assert BondwiseDevice(2, shots=10).shots.total_shots == 10
    assert BondwiseDevice(2, backend=get_backend("aer")).backend is get_backend("aer")
