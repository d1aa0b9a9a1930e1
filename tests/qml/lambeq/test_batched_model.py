"""BatchedModel against lambeq's exact contraction of density matrices and lambeq's own torch model."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lambeq import (
    AtomicType,
    Dataset,
    IQPAnsatz,
    PytorchQuantumModel,
    PytorchTrainer,
    Sim4Ansatz,
    Sim9Ansatz,
    Sim14Ansatz,
    Sim15Ansatz,
    StronglyEntanglingAnsatz,
    TnPathOptimizer,
    cups_reader,
    spiders_reader,
    stairs_reader,
)
from lambeq.backend.grammar import Cup, Spider, Word
from lambeq.backend.grammar import Id as Wires
from lambeq.backend.quantum import (
    CCX,
    CCZ,
    CX,
    CY,
    CZ,
    SWAP,
    Bit,
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
    T,
    X,
    Y,
    Z,
    bit,
    qubit,
)
from lambeq.backend.symbol import Symbol

from bondwise.qml import BatchedModel
from bondwise.runs import UsageError

N, SENTENCE = AtomicType.NOUN, AtomicType.SENTENCE
TYPES = {"n": N, "adj": N @ N.l, "verb": N.r @ SENTENCE @ N.l, "runs": N.r @ SENTENCE}
ANSATZE = [IQPAnsatz, Sim14Ansatz, Sim15Ansatz, Sim4Ansatz, Sim9Ansatz, StronglyEntanglingAnsatz]
GREEDY = TnPathOptimizer("greedy")


def sentence(text):
    """A pregroup diagram of words with their kind, such as "man:n runs:runs"."""
    words = [Word(name, TYPES[kind]) for name, kind in (item.split(":") for item in text.split())]
    diagram = Wires().tensor(*words)
    place = 0
    while place + 1 < len(diagram.cod):
        left, right = diagram.cod[place : place + 1], diagram.cod[place + 1 : place + 2]
        if left.r == right:
            diagram >>= Wires(diagram.cod[:place]) @ Cup(left, right) @ Wires(diagram.cod[place + 2 :])
            place = max(0, place - 1)
        else:
            place += 1
    assert diagram.cod == SENTENCE
    return diagram


PREGROUP = [
    "man:n cooks:verb sauce:n",
    "old:adj man:n cooks:verb hot:adj sauce:n",
    "sauce:n cooks:verb man:n",
    "man:n sleeps:runs",
    "hot:adj old:adj man:n fixes:verb hot:adj code:n",
]
KINDS = {
    "cups": [cups_reader.sentence2diagram(text) for text in ("a b c", "c a b", "b a")],
    "stairs": [stairs_reader.sentence2diagram(text) for text in ("a b c", "c a b", "b a")],
    "bag": [spiders_reader.sentence2diagram(text) for text in ("a b c", "c a b", "b a", "a b c d e")],
    "spider": [sentence("man:n sleeps:runs") >> Spider(SENTENCE, 1, 2) >> Spider(SENTENCE, 2, 1)],
    "pregroup": [sentence(text) for text in PREGROUP],
}


def model_of(circuits, seed=0, **options):
    model = BatchedModel.from_diagrams(circuits, **options)
    torch.manual_seed(seed)
    model.initialise_weights()
    return model.double()


def exact(circuit, model):
    """Diagonal of the density matrix, of trace 1, by lambeq's own contraction in complex128."""
    values = model.weights.detach().double().numpy()
    rho = circuit.lambdify(*model.symbols)(*values).eval(mixed=True)
    bits = sum(kind == bit for kind in circuit.cod)
    qubits = (rho.ndim - bits) // 2
    axes = [*range(bits), *range(bits, bits + qubits), *range(bits, bits + qubits)]
    diagonal = np.einsum(rho, axes, list(range(bits + qubits))).real
    return diagonal / diagonal.sum()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("discard", [False, True])
@pytest.mark.parametrize("ansatz", ANSATZE)
def test_exact_probabilities(ansatz, discard, kind):
    build = ansatz({N: 1, SENTENCE: 1}, n_layers=1, discard=discard)
    circuits = [build(diagram) for diagram in KINDS[kind]]
    model = model_of(circuits)
    with torch.no_grad():
        output = model(circuits)
    assert output.dtype == torch.float64
    for circuit, row in zip(circuits, output, strict=True):
        np.testing.assert_allclose(row, exact(circuit, model), atol=1e-10)


@pytest.mark.parametrize("ansatz", [IQPAnsatz, Sim14Ansatz])
@pytest.mark.parametrize("discard", [False, True])
def test_ancillas_two_qubit_nouns_and_layers(ansatz, discard):
    build = ansatz({N: 2, SENTENCE: 1}, n_layers=2, discard=discard, n_ancillas=1)
    circuits = [build(sentence("old:adj man:n sleeps:runs")), build(sentence("man:n sleeps:runs"))]
    assert circuits[0].is_mixed == discard
    model = model_of(circuits)
    for circuit, row in zip(circuits, model(circuits).detach(), strict=True):
        np.testing.assert_allclose(row, exact(circuit, model), atol=1e-10)


ANGLE = st.one_of(st.floats(-1, 1), st.sampled_from("abc").map(Symbol), st.just(-0.5 * Symbol("d")))
BOXES = st.one_of(
    st.sampled_from([H, X, Y, Z, S, T, S.dagger(), T.dagger(), S.rotate(1), CX, CY, CZ, CCX, CCZ, SWAP]),
    st.sampled_from(
        [Controlled(S, 2), Controlled(X, -1), Controlled(CX, -1), Controlled(Controlled(Y, -1), 1)]
    ),
    st.sampled_from([Sqrt(2), Scalar(0.5 + 0.5j), Ket(0), Ket(1)]),
    st.builds(lambda make, angle: make(angle), st.sampled_from([Rx, Ry, Rz, CRx, CRy, CRz]), ANGLE),
    st.builds(
        lambda make, angle, d: make(angle, d),
        st.sampled_from([CRx, CRy, CRz]),
        ANGLE,
        st.sampled_from([-2, -1, 2]),
    ),
    st.builds(lambda angle: CRx(angle).dagger().rotate(1), ANGLE),
    st.builds(lambda angle: Controlled(CRz(angle), -2), ANGLE),
)
MIXED = [Discard(), MixedState(), Measure() >> Encode(), Bra(0), Bra(1)]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_circuit(data):
    """All gates at all places, pure or mixed, with ends measured or open, beside lambeq's own contraction."""
    boxes = data.draw(st.lists(BOXES, min_size=4, max_size=14))
    boxes += data.draw(st.lists(st.sampled_from(MIXED), max_size=3))
    circuit = Ket(0) @ Ket(1) @ Ket(0) @ Ket(0) >> H @ Ry(Symbol("a")) @ H @ Rx(0.3)
    for box in boxes:
        room = len(circuit.cod) - len(box.dom)
        if room >= 0 and len(circuit.cod) - len(box.dom) + len(box.cod) <= 5:
            place = data.draw(st.integers(0, room))
            rest = room - place
            circuit >>= Id(place) @ box @ Id(rest)
    if circuit.cod and data.draw(st.booleans()):
        circuit >>= Id().tensor(*[Measure()] * len(circuit.cod))
    model = BatchedModel()
    model.symbols = [Symbol(name) for name in "abcd"]
    model.weights = torch.nn.Parameter(
        torch.rand(4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    )
    output = model([circuit]).detach()[0]
    values = circuit.lambdify(*model.symbols)(*model.weights.tolist()).eval(mixed=True)
    open_bits = sum(kind == bit for kind in circuit.cod)
    if not circuit.cod:
        np.testing.assert_allclose(output, values.real, atol=1e-10)
    elif np.abs(values).max() > 1e-9:
        expected = values if open_bits else np.diagonal(values.reshape((2 ** len(circuit.cod),) * 2))
        np.testing.assert_allclose(output.ravel(), expected.real.ravel() / expected.real.sum(), atol=1e-9)
    else:
        assert torch.isfinite(output).all()


def test_bits_come_before_qubits():
    circuit = Ket(0, 0, 0) >> Rx(0.1) @ Rx(0.2) @ Rx(0.3) >> Id(qubit) @ Measure() @ Id(qubit)
    model = BatchedModel()
    model.symbols, model.weights = [Symbol("a")], torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    ones = [np.sin(np.pi * turns) ** 2 for turns in (0.1, 0.2, 0.3)]
    first, middle, last = ([1 - p, p] for p in ones)
    np.testing.assert_allclose(
        model([circuit]).detach()[0], np.einsum("a,b,c->bac", first, middle, last), atol=1e-12
    )


def test_a_bit_in_a_mixed_circuit_is_classical():
    circuit = Bit(1) @ Ket(0) >> Encode() @ Ry(0.1) >> CX >> Discard() @ Id(qubit)
    model = BatchedModel()
    model.symbols, model.weights = [Symbol("a")], torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    flipped = np.sin(0.1 * np.pi) ** 2
    np.testing.assert_allclose(model([circuit]).detach()[0], [flipped, 1 - flipped], atol=1e-12)


def test_open_inputs_are_axes_before_the_outputs():
    circuit = Id(2) >> CRx(Symbol("a")) >> H @ Id(1)
    model = model_of([circuit])
    amplitude = circuit.lambdify(*model.symbols)(*model.weights.tolist()).eval()
    expected = np.abs(amplitude) ** 2
    np.testing.assert_allclose(model([circuit]).detach()[0], expected / expected.sum(), atol=1e-12)


def test_rows_keep_the_order_given():
    build = {discard: Sim14Ansatz({SENTENCE: 1}, n_layers=1, discard=discard) for discard in (False, True)}
    texts = ["a b c", "a b", "c b a", "b a", "a a a a", "b c a"]
    circuits = [build[i % 2 == 0](stairs_reader.sentence2diagram(text)) for i, text in enumerate(texts)]
    model = model_of(circuits)
    together = model(circuits)
    alone = torch.cat([model([circuit]) for circuit in circuits])
    torch.testing.assert_close(together, alone, atol=1e-13, rtol=0)
    assert len({round(float(p), 6) for p in together[:, 0].detach()}) == len(texts)


@pytest.mark.parametrize("ansatz", [IQPAnsatz, Sim14Ansatz, Sim15Ansatz])
def test_gradient_is_lambeqs_where_lambeq_is_right(ansatz):
    build = ansatz({N: 1, SENTENCE: 1}, n_layers=1)
    circuits = [build(diagram) for diagram in KINDS["pregroup"][:3] + KINDS["stairs"]]
    ours = model_of(circuits)
    theirs = PytorchQuantumModel.from_diagrams(circuits, tn_path_optimizer=GREEDY)
    theirs.weights = ours.weights
    labels = torch.eye(2, dtype=torch.float64)[[0, 1, 1, 0, 1, 0]]
    gradients = [
        torch.autograd.grad(torch.nn.functional.binary_cross_entropy(m(circuits), labels), m.weights)[0]
        for m in (ours, theirs)
    ]
    assert gradients[1].abs().max() > 1e-3
    # lambeq divides by single-precision constants in places
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("discard", [False, True])
def test_gradcheck(discard):
    build = Sim14Ansatz({SENTENCE: 1}, n_layers=1, discard=discard)
    circuits = [build(diagram) for diagram in KINDS["stairs"][1:]]
    model = model_of(circuits)

    def output(weights):
        clone = BatchedModel()
        clone.symbols, clone.weights = model.symbols, weights
        return clone(circuits)

    assert torch.autograd.gradcheck(output, (model.weights.detach().requires_grad_(),))


@pytest.mark.parametrize("discard", [False, True])
def test_legacy_mode_is_lambeq(discard):
    build = IQPAnsatz({N: 1, SENTENCE: 1}, n_layers=1, discard=discard)
    circuits = [build(diagram) for diagram in KINDS["stairs"]]
    with pytest.warns(UserWarning, match="legacy_normalization"):
        ours = model_of(circuits, legacy_normalization=True)
    theirs = PytorchQuantumModel.from_diagrams(circuits, tn_path_optimizer=GREEDY)
    theirs.weights = ours.weights
    expected = theirs(circuits)
    assert ours(circuits).shape == expected.shape == ((3, 2, 2) if discard else (3, 2))
    torch.testing.assert_close(ours(circuits), expected, atol=1e-6, rtol=0)


def test_legacy_mode_vanishes_where_lambeq_does():
    """24 words: the norm falls below lambeq's 1e-9, which also shows that powers of 2 are accounted for."""
    circuits = [Sim14Ansatz({SENTENCE: 1}, n_layers=1)(stairs_reader.sentence2diagram("a b c " * 8))]
    with pytest.warns(UserWarning, match="legacy_normalization"):
        legacy = model_of(circuits, legacy_normalization=True)
    theirs = PytorchQuantumModel.from_diagrams(circuits, tn_path_optimizer=GREEDY)
    theirs.weights = legacy.weights
    expected = theirs(circuits)
    assert expected.sum() < 0.1
    torch.testing.assert_close(legacy(circuits), expected, rtol=1e-5, atol=0)
    output = model_of(circuits)(circuits)
    torch.testing.assert_close(output, expected / expected.sum(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("discard", [False, True])
def test_sixty_four_words_in_single_precision(discard):
    build = Sim14Ansatz({SENTENCE: 1}, n_layers=1, discard=discard)
    words = [f"w{(7 * i) % 11}" for i in range(64)]
    circuits = [build(stairs_reader.sentence2diagram(" ".join(w))) for w in (words, words[::-1])]
    model = BatchedModel.from_diagrams(circuits)
    torch.manual_seed(3)
    model.initialise_weights()
    output = model(circuits)
    torch.testing.assert_close(output.sum(1), torch.ones(2), atol=1e-6, rtol=0)
    output[0, 0].log().backward()
    assert model.weights.grad.dtype == torch.float32
    assert torch.isfinite(model.weights.grad).all()
    assert model.weights.grad.abs().max() > 0
    double = model_of(circuits)
    double.weights = torch.nn.Parameter(model.weights.detach().double())
    torch.testing.assert_close(output.double(), double(circuits), atol=1e-5, rtol=0)


def test_post_selection_that_cannot_happen_gives_zeros():
    circuits = [Ket(0, 0) >> X @ Rx(Symbol("a")) >> Bra(0) @ Id(qubit), Ket(0) >> Rx(Symbol("a"))]
    model = model_of(circuits)
    output = model(circuits)
    output.sum().backward()
    assert output[0].tolist() == [0, 0]
    assert output[1].sum().item() == pytest.approx(1)
    assert torch.isfinite(model.weights.grad).all()


def test_trains_with_lambeqs_trainer(tmp_path):
    """Sentences on food against sentences on software, some with adjectives."""
    food = [(v, o, a) for v in ("cooks", "bakes") for o in ("meal", "sauce") for a in ("", "tasty")]
    software = [(v, o, a) for v in ("runs", "debugs") for o in ("program", "code") for a in ("", "useful")]
    texts, labels = [], []
    for label, group in enumerate((food, software)):
        for subject in ("man:n", "skilled:adj woman:n"):
            for verb, thing, adjective in group:
                words = [subject, f"{verb}:verb", f"{adjective}:adj" if adjective else "", f"{thing}:n"]
                texts.append(" ".join(filter(None, words)))
                labels.append([float(label == 0), float(label == 1)])
    build = IQPAnsatz({N: 1, SENTENCE: 1}, n_layers=1)
    circuits = [build(sentence(text)) for text in texts]
    model = BatchedModel.from_diagrams(circuits)
    target = torch.tensor(labels)
    trainer = PytorchTrainer(
        model=model,
        loss_function=torch.nn.BCELoss(),
        epochs=40,
        learning_rate=0.05,
        evaluate_functions={"accuracy": lambda p, y: (p.argmax(1) == y.argmax(1)).double().mean().item()},
        log_dir=tmp_path,
        verbose="suppress",
        seed=0,
    )
    trainer.fit(Dataset(circuits, labels, batch_size=8), Dataset(circuits, labels, shuffle=False))
    accuracy = (model(circuits).argmax(1) == target.argmax(1)).double().mean().item()
    assert accuracy > 0.9
    assert trainer.val_eval_results["accuracy"][-1] == pytest.approx(accuracy)
    again = BatchedModel.from_checkpoint(tmp_path / "model.lt")  # the trainer's own file is lambeq's
    torch.testing.assert_close(again(circuits), model(circuits))


@pytest.fixture
def small():
    build = IQPAnsatz({SENTENCE: 1}, n_layers=1)
    circuits = [build(diagram) for diagram in KINDS["stairs"]]
    return model_of(circuits), circuits


def test_save_and_load(small, tmp_path):
    model, circuits = small
    model.save(tmp_path / "model.safetensors")
    again = BatchedModel()
    again.load(tmp_path / "model.safetensors")
    assert again.symbols == model.symbols
    assert torch.equal(again(circuits), model(circuits))
    (tmp_path / "other.lt").write_bytes(b"not ours")
    with pytest.raises(UsageError, match=r"other\.lt"):
        again.load(tmp_path / "other.lt")


def test_state_dict_copies_and_pickles(small):
    model, circuits = small
    expected = model(circuits)
    other = model_of(circuits, seed=5)
    assert not torch.equal(other(circuits), expected)
    other.load_state_dict(model.state_dict())
    for twin in (other, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(circuits), expected)


def test_unknown_symbol_is_named(small):
    model, _ = small
    circuit = IQPAnsatz({SENTENCE: 1}, n_layers=1)(stairs_reader.sentence2diagram("a zebra"))
    with pytest.raises(UsageError, match="unknown symbol 'zebra__s_0'"):
        model([circuit])


def test_wrong_use(small):
    model, circuits = small
    with pytest.raises(UsageError, match="initialise_weights"):
        BatchedModel.from_diagrams(circuits)(circuits)
    with pytest.raises(UsageError, match="initialise_weights"):
        BatchedModel().save("nowhere")
    with pytest.raises(UsageError, match="no circuit"):
        model([])
    with pytest.raises(UsageError, match="1 and 2 axes"):
        model([circuits[0], circuits[0] @ circuits[0]])
    with pytest.raises(UsageError, match="not a lambeq circuit"):
        model([KINDS["stairs"][0]])
    with pytest.raises(UsageError, match="str"):
        model(["a b c"])
    with pytest.raises(UsageError, match="phase"):
        model([Ket(0) >> Rx("a")])


def test_symbols_are_not_confused_by_equal_structures():
    """Circuits that differ in symbols, factors and phases alone share one plan and have their own angles."""
    circuits = [Ket(0) >> Ry(angle) for angle in (Symbol("a"), Symbol("b"), 3 * Symbol("a"), 0.2)]
    assert isinstance(circuits[0], Diagram)
    model = model_of(circuits)
    a, b = model.weights.tolist()
    expected = [np.cos(np.pi * angle) ** 2 for angle in (a, b, 3 * a, 0.2)]
    np.testing.assert_allclose(model(circuits)[:, 0].detach(), expected, atol=1e-12)
