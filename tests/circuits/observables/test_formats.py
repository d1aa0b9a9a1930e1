"""Hamiltonians in the formats of other packages are the operators that those packages mean."""

import json
import logging

import numpy as np
import pennylane
import pytest
from qiskit.quantum_info import SparseObservable, SparsePauliOp

from bondwise.circuits import as_operator
from bondwise.circuits.observables.text import read_operator
from bondwise.qml import read_hamiltonian
from bondwise.runs import UsageError

LETTERS = "IXYZ"


def random_words(rng, qubits=4, count=12):
    """Labels with real coefficients; qubit 0 is the rightmost letter."""
    labels = {"".join(rng.choice(list(LETTERS), qubits)) for _ in range(count)} | {"Z" + "I" * (qubits - 1)}
    return [(label, float(rng.normal() * 10.0 ** rng.integers(-9, 9))) for label in sorted(labels)]


def letters(label):
    """The letters of a label by qubit."""
    return {qubit: letter for qubit, letter in enumerate(label[::-1]) if letter != "I"}


def openfermion_sum(words):
    openfermion = pytest.importorskip("openfermion")
    return sum(
        (openfermion.QubitOperator(tuple((q, p) for q, p in letters(w).items()), c) for w, c in words),
        openfermion.QubitOperator(),
    )


def pennylane_sum(words):
    paulis = {"X": pennylane.X, "Y": pennylane.Y, "Z": pennylane.Z}
    products = [
        pennylane.prod(*(paulis[p](q) for q, p in letters(w).items())) if letters(w) else pennylane.I(0)
        for w, _ in words
    ]
    return pennylane.Hamiltonian([c for _, c in words], products)


def matrix_in_pennylane(operator, qubits=4):
    """PennyLane's own matrix, in Qiskit's order."""
    return pennylane.matrix(operator, wire_order=range(qubits)[::-1])


def sparse_word(label, join):
    return join.join(f"{p}{q}" for q, p in letters(label).items()) or "I"


def table(words, separator, header="", swap=False):
    rows = [header] if header else []
    rows += [separator.join([repr(c), w] if swap else [w, repr(c)]) for w, c in words]
    return "\n".join(rows) + "\n"


def qiskit_runtime(words):
    from qiskit_ibm_runtime.json import RuntimeEncoder

    return json.dumps(SparsePauliOp.from_list(words), cls=RuntimeEncoder)


def to_sparse_list(words):
    return SparsePauliOp.from_list(words).to_sparse_list()


def table_of_letters(words, header):
    rows = enumerate(to_sparse_list(words))
    lines = [f'{place},{letters},"{qubits}",{number}' for place, (letters, qubits, number) in rows]
    return "\n".join([header, *lines])


def with_constant(words):
    """A sum whose identity is a number without a word."""
    rest, identity = [(w, c) for w, c in words if set(w) != {"I"}], dict(words).get("IIII", 0.0)
    text = "".join(f" {'-' if c < 0 else '+'} {abs(c)!r}*{w}" for w, c in rest)
    return f"{identity!r}{text}" if identity else text


def printed_sentence(words):
    return str(pennylane_sum(words).pauli_rep)


FORMATS = {
    "lines, number first": (lambda words: table(words, " ", swap=True), "labels"),
    "lines, word first": (lambda words: table(words, " "), "labels"),
    "lines with a star": (lambda words: table(words, " * ", swap=True), "labels"),
    "lines with a colon": (lambda words: table(words, ": "), "labels"),
    "lines that end in +": (lambda words: " +\n".join(f"{c!r} {w}" for w, c in words), "labels"),
    "lines that begin with +": (lambda words: "\n + ".join(f"{c!r}*{w}" for w, c in words), "labels"),
    "a sum": (lambda words: " + ".join(f"{c!r}*{w}" for w, c in words).replace("+ -", "- "), "labels"),
    "complex numbers": (lambda words: "\n".join(f"{complex(c)} {w}" for w, c in words), "labels"),
    "a comment and CRLF": (
        lambda words: "# h\r\n" + table(words, " ").replace("\n", " // term\r\n"),
        "labels",
    ),
    "a byte order mark": (lambda words: "\ufeff" + table(words, " "), "labels"),
    "letters with qubits": (
        lambda words: "\n".join(f"{sparse_word(w, ' ')} {c!r}" for w, c in words),
        "letters with qubits: index 0",
    ),
    "letters with qubits, number first": (
        lambda words: "\n".join(f"{c!r} {sparse_word(w, '@')}" for w, c in words),
        "letters with qubits: index 0",
    ),
    "CSV": (lambda words: table(words, ","), "labels"),
    "CSV with semicolons": (lambda words: table(words, ";", swap=True), "labels"),
    "CSV with tabs": (lambda words: table(words, "\t"), "labels"),
    "CSV with a header": (lambda words: table(words, ",", "pauli,coefficient"), "CSV"),
    "CSV with a swapped header": (lambda words: table(words, ",", "coeff,Pauli", swap=True), "CSV"),
    "CSV of letters with qubits": (
        lambda words: "term;coef\n" + "".join(f'"{sparse_word(w, " ")}";{c!r}\n' for w, c in words),
        "CSV: index 0",
    ),
    "CSV with an index": (
        lambda words: ",pauli,coefficient\n" + "".join(f"{i},{w},{c!r}\n" for i, (w, c) in enumerate(words)),
        "CSV",
    ),
    "CSV with an imaginary part": (
        lambda words: "pauli\treal\timag\n" + "".join(f"{w}\t{c!r}\t0.0\n" for w, c in words),
        "CSV",
    ),
    "CSV of to_sparse_list": (
        lambda words: table_of_letters(words, ",pauli,qubits,coeff"),
        "CSV: index 0",
    ),
    "a constant": (lambda words: with_constant([*words, ("IIII", -0.75)]), "labels"),
    "quotients": (lambda words: "\n".join(f"{w} * {2 * c!r}/2" for w, c in words), "labels"),
    "mathematical signs": (
        lambda words: "\n".join(f"{c!r} · {' ⊗ '.join(w)}".replace("-", "−") for w, c in words),
        "labels",
    ),
    "subscripts": (
        lambda words: "\n".join(
            f"{c!r} {sparse_word(w, '⊗').translate(str.maketrans('0123', '₀₁₂₃'))}" for w, c in words
        ),
        "letters with qubits: index 0",
    ),
    "print of to_list": (
        lambda words: str(SparsePauliOp.from_list(words).to_list()),
        "printed terms",
    ),
    "print of to_sparse_list": (
        lambda words: str(SparsePauliOp.from_list(words).to_sparse_list()),
        "printed terms: index 0",
    ),
    "print of a dictionary": (lambda words: str(dict(words)), "printed terms"),
    "print of a SparseObservable": (
        lambda words: repr(SparseObservable.from_list(words)),
        "a printed SparseObservable: index 0",
    ),
    "JSON with the number of qubits": (
        lambda words: json.dumps(
            {"num_qubits": 4, "terms": [[*row[:2], row[2].real] for row in to_sparse_list(words)]}
        ),
        "JSON: index 0",
    ),
    "JSON columns with qubits": (
        lambda words: json.dumps(
            {
                "paulis": [row[0] for row in to_sparse_list(words)],
                "qubits": [row[1] for row in to_sparse_list(words)],
                "coeffs": [row[2].real for row in to_sparse_list(words)],
            }
        ),
        "JSON: index 0",
    ),
    "JSON pairs": (lambda words: json.dumps(words), "JSON"),
    "JSON pairs, number first": (lambda words: json.dumps([[c, w] for w, c in words], indent=1), "JSON"),
    "JSON object": (lambda words: json.dumps(dict(words)), "JSON"),
    "JSON columns": (
        lambda words: json.dumps({"paulis": [w for w, _ in words], "coeffs": [c for _, c in words]}),
        "JSON",
    ),
    "JSON with [re, im]": (lambda words: json.dumps([[w, [c, 0.0]] for w, c in words]), "JSON"),
    "JSON with text": (
        lambda words: json.dumps(SparsePauliOp.from_list(words).to_list(), default=str),
        "JSON",
    ),
    "JSON of letters with qubits": (
        lambda words: json.dumps({sparse_word(w, " "): c for w, c in words}),
        "JSON: index 0",
    ),
    "to_sparse_list": (
        lambda words: json.dumps(
            SparsePauliOp.from_list(words).to_sparse_list(), default=lambda z: str(complex(z))
        ),
        "JSON: index 0",
    ),
    "Qiskit Runtime": (qiskit_runtime, "JSON"),
    "OpenFermion": (lambda words: str(openfermion_sum(words)), "OpenFermion: index 0"),
    "OpenFermion's save_operator": (
        lambda words: "QubitOperator:\n" + str(openfermion_sum(words)),
        "OpenFermion: index 0",
    ),
    "PennyLane": (lambda words: str(pennylane_sum(words)), "PennyLane: wire 0"),
    "PennyLane's PauliSentence": (printed_sentence, "PennyLane: wire 0"),
    "PennyLane, products of products": (
        lambda words: str(0.5 * (2.0 * (pennylane_sum(words) + pennylane.X(0))) - pennylane.X(0)),
        "PennyLane: wire 0",
    ),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("seed", range(3))
def test_every_format_is_the_same_operator(tmp_path, name, seed):
    words = random_words(np.random.default_rng(seed))
    write, form = FORMATS[name]
    (tmp_path / "h.txt").write_bytes(write(words).encode())
    operator, read = read_operator(tmp_path / "h.txt")
    if name == "a constant":
        words = [*words, ("IIII", -0.75)]
    expected = SparsePauliOp.from_list(words).to_matrix()
    np.testing.assert_allclose(operator.to_matrix(), expected, atol=1e-12 * np.abs(expected).max())
    first = form if ":" in form else f"{form}: the rightmost letter"
    assert read.endswith(f"on 4 qubits from {tmp_path}/h.txt ({first} is qubit 0)")


@pytest.mark.parametrize("seed", range(3))
def test_printed_operators_of_qiskit(tmp_path, seed):
    words = [(word, round(number, 3)) for word, number in random_words(np.random.default_rng(seed))]
    operator = SparsePauliOp.from_list(words)
    (tmp_path / "h.txt").write_text(repr(operator))  # over several lines, in columns
    assert read_hamiltonian(tmp_path / "h.txt") == operator


def test_openfermions_own_matrix_and_file(tmp_path):
    openfermion = pytest.importorskip("openfermion")
    rng = np.random.default_rng(5)
    hamiltonian = openfermion.QubitOperator()
    for _ in range(10):
        word = [(int(q), str(rng.choice(list("XYZ")))) for q in rng.choice(5, size=3, replace=False)]
        hamiltonian += openfermion.QubitOperator(word, float(rng.normal()))
    hamiltonian += openfermion.QubitOperator("Z4", 0.25)
    openfermion.utils.save_operator(hamiltonian, "h", str(tmp_path), plain_text=True)
    dense = openfermion.get_sparse_operator(hamiltonian, n_qubits=5).toarray()
    big_endian = dense.reshape([2] * 10).transpose([*range(5)[::-1], *range(5, 10)[::-1]]).reshape(32, 32)
    for operator in (read_hamiltonian(tmp_path / "h.data"), as_operator(hamiltonian)):
        np.testing.assert_allclose(operator.to_matrix(), big_endian, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_pennylanes_own_matrix(tmp_path, seed):
    rng = np.random.default_rng(seed)
    paulis = [pennylane.X, pennylane.Y, pennylane.Z, pennylane.I]

    def product():
        wires = rng.permutation(4)[: rng.integers(1, 4)]
        return pennylane.prod(*(paulis[rng.integers(4)](int(wire)) for wire in wires))

    def products(count):
        return rng.normal(size=count), [product() for _ in range(count)]

    forms = {
        "Hamiltonian": pennylane.Hamiltonian(*products(5)),
        "LinearCombination": pennylane.ops.LinearCombination(*products(3)),
        "Sum": pennylane.sum(*(pennylane.s_prod(float(rng.normal()), product()) for _ in range(4))),
        "SProd": float(rng.normal()) * (product() + 0.5 * pennylane.X(3)),
        "Prod": pennylane.X(1) @ (0.5 * pennylane.Z(3) + pennylane.Y(2)),
    }
    forms["PauliSentence"] = forms["Sum"].pauli_rep
    forms["PauliWord"] = pennylane.pauli.PauliWord({0: "X", 3: "Y"})
    for name, operator in forms.items():
        sentence = name.startswith("Pauli")
        expected = matrix_in_pennylane(operator.operation(range(4)) if sentence else operator)
        np.testing.assert_allclose(as_operator(operator, 4).to_matrix(), expected, atol=1e-12, err_msg=name)
        if name != "PauliWord":
            (tmp_path / "h.txt").write_text(f"{operator}\n+ 0 * I(3)")
            np.testing.assert_allclose(
                read_hamiltonian(tmp_path / "h.txt").to_matrix(), expected, atol=1e-12, err_msg=str(operator)
            )


def test_the_format_is_logged(tmp_path, caplog):
    (tmp_path / "h.txt").write_text("1.0 [Z0 Z3]\n")
    with caplog.at_level(logging.INFO):
        read_hamiltonian(tmp_path / "h.txt")
    assert caplog.messages == [
        f"read 1 term on 4 qubits from {tmp_path}/h.txt (OpenFermion: index 0 is qubit 0)"
    ]


def test_fermions_are_refused_with_the_line_that_converts_them():
    openfermion = pytest.importorskip("openfermion")
    for operator, line in [
        (openfermion.FermionOperator("0^ 1", 0.5), "openfermion.jordan_wigner"),
        (openfermion.MajoranaOperator((0, 1), 0.5), "openfermion.jordan_wigner"),
        (pennylane.FermiC(0) * pennylane.FermiA(1), "pennylane.jordan_wigner"),
        (pennylane.FermiC(0) + pennylane.FermiA(1), "pennylane.jordan_wigner"),
    ]:
        with pytest.raises(UsageError, match=rf"whose letters are not Paulis; pass {line}\(operator\)"):
            as_operator(operator)
    hopping = openfermion.FermionOperator("0^ 1", 0.5) + openfermion.FermionOperator("1^ 0", 0.5)
    assert as_operator(openfermion.jordan_wigner(hopping)).equiv(SparsePauliOp(["XX", "YY"], [0.25, 0.25]))
    fermi = 0.5 * (pennylane.FermiC(0) * pennylane.FermiA(1) + pennylane.FermiC(1) * pennylane.FermiA(0))
    assert as_operator(pennylane.jordan_wigner(fermi)).equiv(SparsePauliOp(["XX", "YY"], [0.25, 0.25]))


def test_identities_of_pennylane_on_several_wires(tmp_path):
    for operator, labels in [
        (pennylane.Identity([0, 1, 2, 3]), [("IIII", 1)]),
        (0.5 * pennylane.Identity([0, 1]) @ pennylane.Z(0) + pennylane.I(2), [("IIZ", 0.5), ("III", 1)]),
        (pennylane.Hamiltonian([-1.5], [pennylane.Z(0) @ pennylane.I([2, 1])]), [("IIZ", -1.5)]),
    ]:
        (tmp_path / "h.txt").write_text(str(operator))
        assert read_hamiltonian(tmp_path / "h.txt").to_list() == labels


def test_files_of_openfermion_in_binary_are_named(tmp_path):
    openfermion = pytest.importorskip("openfermion")
    for operator in (openfermion.QubitOperator("X0 Z3", 0.5), openfermion.FermionOperator("0^ 1")):
        openfermion.utils.save_operator(operator, "h", str(tmp_path), allow_overwrite=True)
        with pytest.raises(UsageError, match=r"h.data is a binary file of OpenFermion, .*plain_text=True"):
            read_hamiltonian(tmp_path / "h.data")


def test_prints_of_fermions_are_named(tmp_path):
    openfermion = pytest.importorskip("openfermion")
    fermions = [
        openfermion.FermionOperator("0^ 1", 0.5),
        openfermion.BosonOperator("0^ 1"),
        openfermion.MajoranaOperator((0, 1), 0.5),
        pennylane.FermiC(0) * pennylane.FermiA(1),
        "Fermionic Operator\nnumber spin orbitals=4, number terms=1\n  0.5 * ( +_0 -_1 )",
        "0.5 a†_0 a_1",
        "-1.0 * ( +_0 -_1 )",
    ]
    for operator in fermions:
        (tmp_path / "h.txt").write_text(str(operator))
        with pytest.raises(UsageError, match="line 1: .* belongs to an operator of fermions") as error:
            read_hamiltonian(tmp_path / "h.txt")
        assert "\n" not in str(error.value)


def test_a_sum_is_read_where_there_is_no_such_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_hamiltonian("0.5*ZZZZ").to_list() == [("ZZZZ", 0.5)]
    assert read_hamiltonian("1/2*XX - 1").to_list() == [("XX", 0.5), ("II", -1)]
    (tmp_path / "ZZ").write_text("0.25 X")
    assert read_hamiltonian("ZZ").to_list() == [("X", 0.25)]
    for text in ("h.json", "data/h", "../h"):
        with pytest.raises(UsageError, match=f"there is no file '{text}'; give one, or a sum such as"):
            read_hamiltonian(text)
    with pytest.raises(UsageError, match="'1j\\*XX': the coefficient 1j is not real"):
        read_hamiltonian("1j*XX")
