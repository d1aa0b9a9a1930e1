"""from_lambeq against lambeq's own contraction, exactly and by sampling."""

import numpy as np
import pytest
from lambeq import (
    AtomicType,
    IQPAnsatz,
    Sim4Ansatz,
    Sim9Ansatz,
    Sim9CxAnsatz,
    Sim14Ansatz,
    Sim15Ansatz,
    StronglyEntanglingAnsatz,
    TensorAnsatz,
    cups_reader,
    stairs_reader,
)
from lambeq.backend.grammar import Cup, Word
from lambeq.backend.quantum import (
    CCX,
    CCZ,
    CX,
    CY,
    CZ,
    SWAP,
    Box,
    Bra,
    Controlled,
    CRx,
    CRy,
    CRz,
    Diagram,
    Discard,
    Encode,
    H,
    Id,
    Ket,
    Measure,
    MixedState,
    Rx,
    Ry,
    Rz,
    S,
    Scalar,
    Sqrt,
    Swap,
    T,
    X,
    Y,
    Z,
    bit,
    generate_spider,
    qubit,
)
from lambeq.backend.symbol import Symbol
from lambeq.backend.tensor import Dim
from qiskit.quantum_info import Statevector
from scipy.stats import unitary_group

from bondwise.backends import sample
from bondwise.qml import LambeqCircuit, from_lambeq
from bondwise.runs import UsageError

NOUN, SENTENCE = AtomicType.NOUN, AtomicType.SENTENCE
DISCOCAT = Word("Alice", NOUN) @ Word("loves", NOUN.r @ SENTENCE @ NOUN.l) @ Word("Bob", NOUN) >> Cup(
    NOUN, NOUN.r
) @ SENTENCE @ Cup(NOUN.l, NOUN)
SENTENCES = {
    "cups": cups_reader.sentence2diagram("a b"),
    "stairs": stairs_reader.sentence2diagram("a b c"),
    "discocat": DISCOCAT,
}
ANSATZE = (
    IQPAnsatz,
    Sim4Ansatz,
    Sim9Ansatz,
    Sim9CxAnsatz,
    Sim14Ansatz,
    Sim15Ansatz,
    StronglyEntanglingAnsatz,
)
a, b = Symbol("a"), Symbol("b")
THREE = Ket(0, 0, 0) >> H @ Ry(0.15) @ Rx(0.3) >> Rz(0.2) @ H @ Ry(0.35)
FOUR = Ket(0, 1, 0, 0) >> H @ Ry(0.15) @ Rx(0.3) @ H >> Rz(0.2) @ H @ Ry(0.35) @ Rz(0.1)
MIX = H @ Rx(0.2) @ Ry(0.1)  # so that phases show
U2 = Box("U2", qubit**2, qubit**2, unitary_group.rvs(4, random_state=1))
U1 = Box("U1", qubit, qubit, unitary_group.rvs(2, random_state=2))
ODD = Box("S", qubit, qubit, unitary_group.rvs(2, random_state=3))  # not what the name says

CIRCUITS = {
    "one ket": Ket(1) >> H >> S >> H,
    "fixed gates": THREE >> X @ Y @ Z >> S @ T @ S.dagger() >> T.dagger() @ H @ H >> H @ CX >> MIX,
    "controls": THREE >> CX @ Id(qubit) >> Id(qubit) @ CY >> CZ @ H >> MIX,
    "controls from the right": THREE >> Controlled(X, -1) @ H >> H @ Controlled(Y, -1) >> MIX,
    "distant controls": THREE >> Controlled(U1, 2) >> Controlled(S.dagger(), -2) >> MIX,
    "rotations": THREE >> Rx(a) @ Ry(b) @ Rz(a) >> CX @ Rx(-b) >> Ry(a * 0.5) @ Rx(2.5 * b) @ H,
    "controlled rotations": THREE >> CRx(a) @ H >> H @ CRy(-b) >> CRz(0.3 * a, -2) >> CRy(b, 2) >> MIX,
    "daggers": THREE >> (CRy(a) @ Rx(b) >> H @ CRz(b)).dagger() >> MIX,
    "two controls": THREE >> CCX >> MIX >> CCZ >> MIX,
    "two controls on both sides": THREE >> Controlled(Controlled(Ry(a), -1), 1) >> MIX,
    "two controls on the right": THREE >> Controlled(CRx(a, -1), -1) >> MIX,
    "two distant controls": FOUR
    >> Controlled(CRy(a, 2), -1)
    >> MIX @ H
    >> Controlled(CRz(b, -1), -2)
    >> H @ MIX,
    "swaps": THREE >> SWAP @ H >> Rx(a) @ SWAP >> CX @ Rz(b) >> MIX,
    "own boxes": THREE >> U2 @ U1 >> Id(qubit) @ U2.dagger() >> U1.dagger() @ ODD @ H,
    "controlled own boxes": FOUR >> Controlled(U2, 2) >> Controlled(U2, -2) >> MIX @ H,
    "cap": Diagram.caps(qubit, qubit) >> Rx(a) @ Ry(b) >> CX,
    "cup": THREE >> Diagram.cups(qubit, qubit) @ Rx(a),
    "kets and bras in the middle": THREE
    >> Id(qubit) @ Bra(1) @ Id(qubit)
    >> CX
    >> H @ Ket(1) @ Bra(0)
    >> CRy(a),
    "spiders": THREE >> generate_spider(qubit, 3, 2) >> Rx(a) @ H,
    "discards": FOUR >> CX @ CX >> H @ Discard() @ CRx(a) >> Rx(b) @ Bra(1) @ H >> CX,
    "measurements": THREE >> Measure() @ CX >> Id(bit) @ Measure() @ Discard(),
    "bits cross": FOUR >> Measure() @ Measure() @ Measure() @ Bra(0) >> Swap(bit, bit) @ Id(bit),
    "mixed state": MixedState() @ Ket(0) @ MixedState() >> CRy(a) @ H >> CX @ Id(qubit) >> H @ Bra(1) @ H,
    "scalars": Sqrt(3) @ Ket(0) >> Scalar(0.5j) @ H >> Rx(a),
    "no output": THREE >> CRy(a) @ H >> Bra(1) @ Bra(0) @ Discard(),
    "numbers alone": Scalar(2j) @ Sqrt(2),
}


def weights_of(circuit, seed=0):
    symbols = sorted(circuit.free_symbols)
    return dict(zip(symbols, np.random.default_rng(seed).uniform(-1, 1, len(symbols)), strict=True))


def contracted(circuit, weights) -> np.ndarray:
    """Unnormalized probabilities of the outputs by lambeq, first wire first."""
    if weights:
        circuit = circuit.lambdify(*weights)(*weights.values())
    tensor, size = np.asarray(circuit.eval(mixed=True)), len(circuit.cod)
    if qubit in circuit.cod:
        tensor = np.einsum(tensor, [*range(size), *range(size)], [*range(size)])
    assert np.abs(np.imag(tensor)).max() < 1e-12
    return np.real(tensor)


def simulated(converted: LambeqCircuit, weights) -> np.ndarray:
    """The same from the state before the measurements."""
    bound = converted.circuit.assign_parameters(converted.parameters(weights))
    read = {}
    for register in bound.cregs:
        for instruction in bound.data:
            if instruction.operation.name == "measure" and instruction.clbits[0] in register:
                read.setdefault(register.name, []).append(bound.find_bit(instruction.qubits[0]).index)
    outputs, selected = read.get("output", []), read.get("postselect", [])
    assert sorted([*outputs, *selected, *converted.discards]) == list(range(bound.num_qubits))
    if not bound.num_qubits:
        return np.array(abs(converted.scalar) ** 2)
    bound.remove_final_measurements()
    probabilities = Statevector(bound).probabilities([*outputs, *selected])
    table = probabilities.reshape((2,) * (len(outputs) + len(selected))).T  # axes in the order of the qubits
    bits = converted.post_select.get("postselect", ())
    return abs(converted.scalar) ** 2 * table[(..., *bits)]


@pytest.mark.parametrize("name", CIRCUITS)
def test_every_box(name):
    circuit = CIRCUITS[name].to_diagram()
    weights = weights_of(circuit)
    expected = contracted(circuit, weights)
    np.testing.assert_allclose(simulated(from_lambeq(circuit), weights), expected, atol=1e-12)
    assert expected.sum() > 1e-3


@pytest.mark.parametrize("discard", [False, True])
@pytest.mark.parametrize("sentence", SENTENCES)
@pytest.mark.parametrize("ansatz", ANSATZE)
def test_every_ansatz_equals_its_contraction(ansatz, sentence, discard):
    for qubits in ((1, 1), (2, 1)) if sentence != "stairs" else ((1, 1), (2, 2)):
        make = ansatz(dict(zip((NOUN, SENTENCE), qubits, strict=True)), n_layers=2, discard=discard)
        circuit = make(SENTENCES[sentence])
        weights = weights_of(circuit)
        converted = from_lambeq(SENTENCES[sentence], make)
        expected, found = contracted(circuit, weights), simulated(converted, weights)
        np.testing.assert_allclose(found, expected, atol=1e-10)
        np.testing.assert_allclose(found / found.sum(), expected / expected.sum(), atol=1e-10)
        assert {parameter.name for parameter in converted.circuit.parameters} == {s.name for s in weights}


@pytest.mark.parametrize("backend", ["statevector", "aer", "fake:torino"])
@pytest.mark.parametrize("discard", [False, True])
def test_sampling_follows_the_contraction(backend, discard):
    make = Sim14Ansatz({NOUN: 1, SENTENCE: 1}, n_layers=1, discard=discard)
    converted = from_lambeq(DISCOCAT, make)
    weights = weights_of(make(DISCOCAT), seed=4)
    expected = contracted(make(DISCOCAT), weights)
    shots = 4000 if backend != "fake:torino" else 3000
    found = sample(
        converted.circuit,
        converted.parameters(weights),
        shots=shots,
        backend=backend,
        seed=1,
        post_select=converted.post_select,
    )
    kept, survival = found.kept.sum(), expected.sum() / abs(converted.scalar) ** 2
    ones = found.counts["output"].get("1", 0) / kept
    true = expected[1] / expected.sum()
    if backend == "fake:torino":
        assert abs(ones - true) < 0.2
        assert 0.5 * survival < kept / shots < 2 * survival
    else:
        assert abs(ones - true) < 5 * np.sqrt(true * (1 - true) / kept)
        assert abs(kept / shots - survival) < 5 * np.sqrt(survival * (1 - survival) / shots)


def test_bits_may_cross_qubits():
    """lambeq contracts this swap wrongly, so it is compared with one of qubits."""
    crossed = THREE >> Measure() @ Id(qubit**2) >> Swap(bit, qubit) @ H >> Ry(0.3) @ Id(bit) @ Rx(0.2)
    plain = THREE >> SWAP @ H >> Ry(0.3) @ Id(qubit) @ Rx(0.2)
    np.testing.assert_allclose(
        simulated(from_lambeq(crossed), {}), simulated(from_lambeq(plain), {}), atol=1e-12
    )


def test_a_controlled_swap():
    """It has no array in lambeq."""
    fredkin = THREE >> Controlled(SWAP)
    written_out = THREE >> Id(qubit) @ Controlled(X, -1) >> CCX >> Id(qubit) @ Controlled(X, -1)
    np.testing.assert_allclose(
        simulated(from_lambeq(fredkin >> MIX), {}), contracted(written_out >> MIX, {}), atol=1e-12
    )


def test_parameters_are_radians_and_may_come_in_batches():
    converted = from_lambeq(Ket(0, 0) >> Rx(b) @ Ry(a))
    assert [parameter.name for parameter in converted.circuit.parameters] == ["a", "b"]
    angles = converted.parameters({a: 0.25, "b": 0.5, "elsewhere": 3.0})
    np.testing.assert_allclose(angles, [np.pi / 2, np.pi])
    batch = converted.parameters({a: np.zeros((4, 3)), b: np.ones((4, 3))})
    assert batch.shape == (4, 3, 2)
    np.testing.assert_array_equal(batch[..., 1], 2 * np.pi)
    found = sample(converted.circuit, angles, shots=50, seed=1)
    np.testing.assert_array_equal(found.bits["output"][:, 0], 1)  # the first wire is bit 0
    assert from_lambeq(Ket(0) >> H).parameters({}).shape == (0,)


def test_the_diagram_is_left_as_it_was():
    circuit = IQPAnsatz({NOUN: 1, SENTENCE: 1}, n_layers=1)(DISCOCAT)
    before = repr(circuit)
    from_lambeq(circuit)
    assert repr(circuit) == before


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: from_lambeq(DISCOCAT), "give an ansatz"),
        (lambda: from_lambeq(Ket(0), IQPAnsatz({}, n_layers=1)), "leave the ansatz out"),
        (lambda: from_lambeq(DISCOCAT, TensorAnsatz({NOUN: Dim(2), SENTENCE: Dim(2)})), "does not make"),
        (lambda: from_lambeq(CX), "2 open inputs"),
        (lambda: from_lambeq("sentence"), "not str"),
        (lambda: from_lambeq(Ket(0) >> Measure() >> Encode()), "the box 'Encode'"),
        (lambda: from_lambeq(Ket(0) >> Box("N", qubit, qubit, np.ones((2, 2)))), "the box 'N'"),
        (lambda: from_lambeq(Ket(0) >> Box("N", qubit, qubit)), "the box 'N'"),
        (lambda: from_lambeq(Ket(0) >> Rx(a)).parameters({"b": 1.0}), r"1 weights are missing \(a\)"),
    ],
)
def test_wrong_use(call, message):
    with pytest.raises(UsageError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
