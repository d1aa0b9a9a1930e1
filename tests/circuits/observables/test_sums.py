"""Pauli sums as text: what is printed comes back, what is wrong is refused in one line with its place."""

import base64
import io
import json
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.quantum_info import SparsePauliOp

from bondwise.circuits import as_operator
from bondwise.circuits.observables.text import read_operator
from bondwise.runs import UsageError

numbers = st.floats(-1e6, 1e6)
words = st.dictionaries(st.integers(0, 6), st.sampled_from("XYZ"), min_size=1, max_size=4)
labels = st.integers(1, 5).flatmap(
    lambda n: st.lists(st.text("IXYZ", min_size=n, max_size=n), min_size=1, max_size=5)
)


def spelled(draw, word):
    """A word in one of its spellings."""
    one = draw(st.sampled_from(["{}{}", "{}_{}", "{}({})", "Pauli{}({})", "{}(wires=[{}])"]))
    join = draw(st.sampled_from([" ", " @ ", "*", "@", "  "]))
    text = join.join(one.format(letter, qubit) for qubit, letter in word.items())
    return draw(st.sampled_from(["{}", "({})", "[{}]", "(({}))"])).format(text)


@st.composite
def sums(draw):
    """A text, and the terms that it means."""
    text, meant = "", []
    for word in draw(st.lists(words, min_size=1, max_size=5)):
        number = draw(numbers)
        shown = draw(st.sampled_from([repr(number), f"({number!r}+0j)", f"({complex(number)})"]))
        term = draw(st.sampled_from(["{0} {1}", "{0} * {1}", "{1}*{0}", "{0}*({1})", "({1}): {0}"]))
        text += draw(st.sampled_from([" +\n", "\n+ ", " + ", "\n", " + # rest\n"])) if text else ""
        text += term.format(shown, spelled(draw, word))
        meant.append((word, number))
    return text, meant


@settings(max_examples=200, deadline=None)
@given(sums())
def test_sums_in_every_spelling(case):
    text, meant = case
    rows = [("".join(word.values()), list(word), number) for word, number in meant]
    expected = SparsePauliOp.from_sparse_list(rows, num_qubits=7)
    found = as_operator(text, 7)
    assert found.paulis == expected.paulis
    assert np.array_equal(found.coeffs, expected.coeffs)


@settings(max_examples=100, deadline=None)
@given(labels, st.data())
def test_labels_in_one_line(words, data):
    text, coefficients = "", []
    for word in words:
        sign = data.draw(st.sampled_from(["+", "-", " + ", " - ", "+ -"]))
        number = data.draw(st.none() | st.floats(0, 1e6))
        text += sign + (word if number is None else f"{number!r}*{word}")
        coefficients.append((1.0 if number is None else number) * (-1 if "-" in sign else 1))
    found = as_operator(text)
    assert found.to_list() == list(zip(words, map(complex, coefficients), strict=True))


MATRICES = {"X": [[0, 1], [1, 0]], "Y": [[0, -1j], [1j, 0]], "Z": [[1, 0], [0, -1]]}


@st.composite
def formulas(draw, depth=3):
    """A formula as Python and mathematicians read it, its matrix on two qubits, and whether it is a sum."""
    kind = draw(st.sampled_from(["number", "word", "word", "label"] + ["sum", "product", "over"] * depth))
    if kind == "number":
        number = draw(st.integers(0, 40)) / 8
        return draw(st.sampled_from([f"{number}", f"{number:e}"])), number * np.eye(4), False
    if kind == "word":
        letter, qubit = draw(st.sampled_from("XYZ")), draw(st.integers(0, 1))
        identity = np.eye(2)
        factors = (MATRICES[letter], identity) if qubit else (identity, MATRICES[letter])
        spelling = draw(st.sampled_from(["{}{}", "{}({})", "[{}{}]"]))
        return spelling.format(letter, qubit), np.kron(*factors), False
    if kind == "label":
        text = draw(st.sampled_from(["XX", "ZY", "(YZ)"]))
        return text, np.kron(*(MATRICES[letter] for letter in text.strip("()"))), False
    left, first, left_is_sum = draw(formulas(depth - 1))
    right, second, right_is_sum = draw(formulas(depth - 1))
    space = draw(st.sampled_from(["", " "]))
    if kind == "sum":
        sign = draw(st.sampled_from("+-"))
        right = f"({right})" if right_is_sum else right
        return f"{left}{space}{sign}{space}{right}", first + (1 if sign == "+" else -1) * second, True
    left = f"({left})" if left_is_sum else left
    if kind == "over":
        return f"{left}{space}/{space}4", first / 4, False
    return f"{left}{space}*{space}({right})", first @ second, False


@settings(max_examples=400, deadline=None)
@given(formulas())
def test_formulas_mean_what_they_mean_elsewhere_or_are_refused(case):
    text, matrix, _ = case
    try:
        found = as_operator(text, 2)
    except UsageError:
        return
    np.testing.assert_allclose(
        found.to_matrix(), matrix, atol=1e-9 * max(1, np.abs(matrix).max()), err_msg=text
    )


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("-1+2j XX", [("XX", -1 + 2j)]),  # one number
        ("-(1+2j) XX", [("XX", -1 - 2j)]),
        ("1 X\n2.0 Z", [("X", 1), ("Z", 2)]),
        ("X 1.0\nZ*2", [("X", 1), ("Z", 2)]),
        ("XX - 0.5*YY", [("XX", 1), ("YY", -0.5)]),
        ("XX -0.5\nYY 2", [("XX", -0.5), ("YY", 2)]),
        ("-iXX", [("XX", -1j)]),
        ("2 * 0.25 * XX", [("XX", 0.5)]),
        ("2*(X0 - 3*(Z1 + Y0))", [("IX", 2), ("ZI", -6), ("IY", -6)]),
        ("(X0 + Z0) @ (Y1 - 2*X1)", [("YX", 1), ("XX", -2), ("YZ", 1), ("XZ", -2)]),
        ("0.5 [] + [Z1]", [("II", 0.5), ("ZI", 1)]),
        ("0.5*I + Z1", [("II", 0.5), ("ZI", 1)]),
        ("I() - I(1)*X(0)", [("II", 1), ("IX", -1)]),
        ("1_0", None),
        ("ZZ - 1.0", [("ZZ", 1), ("II", -1)]),
        ("1.0 + ZZ", [("II", 1), ("ZZ", 1)]),
        ("2*ZZ-1", [("ZZ", 2), ("II", -1)]),
        ("0.5 Z1 + 0.25", [("ZI", 0.5), ("II", 0.25)]),
        ("(1 - Z0)*(1 - Z1)/4", [("II", 0.25), ("ZI", -0.25), ("IZ", -0.25), ("ZZ", 0.25)]),
        ("1/2 XX", [("XX", 0.5)]),
        ("pi/4*XX - ZZ/π", [("XX", np.pi / 4), ("ZZ", -1 / np.pi)]),
        ("XX -5/3\nZZ 2/3", [("XX", -5 / 3), ("ZZ", 2 / 3)]),
        ("−0.5 X⊗I⊗Z", [("XIZ", -0.5)]),
        ("X₀⊗Z₁₀", [("Z" + "I" * 9 + "X", 1)]),
        ("0.5 [] + ZZ", [("II", 0.5), ("ZZ", 1)]),
        ("1I0", None),
        ("1Z0", None),
        ("0XX", None),
        ("Z0Z", None),
        ("0.5 I0I", None),
        ("1*Z0", [("Z", 1)]),
        ("10.0Z0Z1", [("ZZ", 10)]),
        ("Z1.5", None),
        ("Z0 1 Z1", None),
        ("X0 2 Z1", None),
        ("X0 2*Z1", None),
        ("Z0(2)", None),
        ("Z0,Z1", None),
        ("Z-1", None),
        ("ZZ 0.5 + 0.5j", None),
        ("0.5 + 0.5j ZZ", None),
        ("0.5 -ZZ", None),
        ("ZZ +1 XX -1", None),
        ("1 + 2", None),
        ("XX/0", None),
        ("XX/ZZ", None),
    ],
)
def test_what_sums_mean(text, terms):
    if terms is None:
        with pytest.raises(UsageError):
            as_operator(text)
    else:
        assert as_operator(text).to_list() == terms


def numpy_file(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def packed(array, labels=("ZZ",), kind="SparsePauliOp"):
    """Qiskit Runtime's JSON with any bytes as its coefficients."""
    data = {"__value__": {"data": list(labels)}}
    numbers = {"__value__": base64.b64encode(zlib.compress(array)).decode()}
    return json.dumps(
        {"__type__": "settings", "__class__": kind, "__value__": {"data": data, "coeffs": numbers}}
    )


REFUSED = [
    (
        "0.5 [0^ 1]\n",
        "line 1: '0\\^' belongs to an operator of fermions .*; write .*openfermion.jordan_wigner",
    ),
    ("FermionOperator:\n0.5 [0^ 1]\n", "line 1: 'FermionOperator' belongs to .*jordan_wigner"),
    ("1 ZZ\n0.5 [1 0]\n", "line 2: .* write terms such as"),
    (
        "1 ZZ\n0.5 Z0 Z1\n",
        "line 1: 'ZZ' and 'Z0 Z1' are of two kinds; write all",
    ),
    ("1 Z0\n\n0.5 X0 Y0\n", "line 3: a term has two letters for qubit 0; multiply them out"),
    ("1 Z0\n0.5 Z0 +\n", "line 3: a term is missing after the last sign"),
    ("1 ZZ\n0.5 XX 0.25 YY\n", "line 2: a term has two .*one to a line|line 2: a term has two words"),
    ("ZZ,0.5,0.0\n", "line 1: a term has two numbers; write terms such as .* one to a line"),
    ("1 ZZ\n0.5\n", "line 2: the number 0.5 has no Pauli word"),
    ("1 ZZ\n(0.5 XX\n", "line 2: '\\(' is not closed; write"),
    ("1 ZZ\n0.5 XX)\n", "line 2: nothing is open that '\\)' could close"),
    ("1 XX\n- ZZ -0.5\n", "line 2: the number -0.5 has no Pauli word"),  # a coefficient, or a constant
    ("X0 - Z1 -1\n", "line 1: the number -1.0 has no Pauli word"),
    ("Z 0\nZ 1\n", "line 1: 'Z 0' may be a letter with its qubit or with its coefficient; write Z0 or 0"),
    ("0.5 X 0 Z 1\n", "line 1: 'X 0' may be"),
    ('{"Z 1": 0.5}', "'Z 1' may be"),
    ('{"ZZ": 1, "XX": 2, "ZZ": 3}', "'ZZ' is given twice in one object"),
    ("(" * 5000, "line 1: more than 20 parentheses are nested"),
    ("-0.5 X('a')\n", "line 1: \"X\\('a'\\)\" is neither"),
    ("1 X(0)**2\n", "line 1: '\\*' is not expected here"),
    ("1 Z99999\n", "h.txt has 100,000 qubits; the limit is 10,000"),
    ("1 Z9999999999\n", "line 1: 'Z9999999999' is neither"),
    ("pauli,coefficient\nZZ,1.0,2\n", "line 2: 3 cells, and the header names 2"),
    ("pauli,coefficient\nZZ,one\n", "line 2: 'one' is not a coefficient; write a real number"),
    ("\x1cC\n", "line 1: 'C' is neither a Pauli word nor a number"),
    ("[('ZZ', " + "1" * 60_000 + ")]", "is not valid JSON|coefficient"),
    ("1" * 60_000, r"line 1: the number \(?inf"),
    ("X0 2 Z1\n", "line 1: the number 2.0 is between two words; write"),
    ("1 Z0\nZ1.5\n", "line 2: 'Z1.5' is neither a Pauli word nor a number"),
    ("Z0(2)\n", "line 1: the number 2.0 adjoins a word"),
    ("1Z0\n", r"line 1: '1Z0' looks like a label with the projectors 0 and 1; write \(1 \+ Z0\)/2"),
    ("Z0,Z1\n", "line 1: ',' is between two words; put . for their product or . for their sum"),
    ("ZZ -1 +XX\n", r"line 1: the number -1.0 .* write -1.0\*ZZ if it .* ZZ - 1.0, with spaces, if"),
    ("XX/ZZ\n", "line 1: only a number other than 0 can follow '/'"),
    ("pauli,coeff,foo\nZZ,1,2\n", "line 1: the column 'foo' is not known; the columns may be pauli, coeff"),
    ("index,pauli,coeff\n0,Z,2\n", "line 1: the column 'index' is not known"),
    ("pauli,coeff,imag\nZZ,1,1j\n", "line 2: beside a column of imaginary parts both are real"),
    ("pauli,coeff,imag\nZZ,1,0\nXX,1,0.5\n", r"line 3: the coefficient \(1\+0.5j\) is not real"),
    ("pauli,coeff,weight\nZZ,1,0\n", "line 1: the column 'weight' is a second number"),
    ("pauli,,coeff\nZZ,0,1\n", "line 1: the column '' has no name"),
    (",pauli,coeff\n3,Z,1\n", "line 2: '3' is in a column without a name, which may only count the rows"),
    ("pauli,qubits,coeff\nZZ,0,1\n", r"line 2: \['ZZ', \[0\]\] is not a word with its qubits"),
    ("pauli,qubits,coeff\nZZ,0-1,1\n", "line 2: '0-1' is not a list of qubits; write 0 1"),
    ('{"ZZ": 1, "num_qubits": 3}', "gives 3 as the number of qubits, and its terms act on 2"),
    ('{"paulis": ["Z5"], "coeffs": [1], "num_qubits": 3}', "gives 3 as .* its terms act on 6; write 6"),
    ('{"Z0": 1, "num_qubits": "3"}', "num_qubits is '3'; write a whole number"),
    ('{"paulis": ["ZZ"], "coeffs": [1], "wires": [[0, 1]]}', "'wires' is not expected; the keys may be"),
    ('{"Z0 1": 1}', "term 1: 'Z0 1' is not one Pauli word"),
    ("<SparseObservable with 1 term on 2 qubits: (1+0j)(0_1 +_0)>", "'0_1' is a projector .*to_list"),
    ("<SparseObservable with 1 term on 2", "is not a whole printed SparseObservable"),
    ("[('ZZ', __import__('os'))]", "is not valid JSON"),
    ("{'ZZ': 1, 'ZZ': 2}", "'ZZ' is given twice"),
    ("pauli,coefficient\nZQ,1\n", "line 2: 'ZQ' is neither a Pauli word"),
    ("SparsePauliOp(['ZZ', 'XX'],\n coeffs=[1.+0.j, ..., 2.+0.j])", "was printed with ... in place of most"),
    ("SparsePauliOp(['ZZ', 'XX'],\n coeffs=[1.+0.j])", "has 2 labels and 1 coefficients; save"),
    ("SparsePauliOp(['ZZ'],", "is not a whole printed SparsePauliOp; save"),
    (
        "SparsePauliOp(['ZZ'], coeffs=[ParameterExpression(a)])",
        "term 1: 'Param.* is not a coeff",
    ),
    ('{"paulis": ["ZZ", "XX"], "coeffs": [1]}', '2 paulis and 1 coeffs; write {"paulis"'),
    ('{"ZZ": {"re": 1}}', "term 1: {'re': 1} is not a coefficient; write a real"),
    ('[["ZZ", [0, 0], 1.0]]', 'term 1: .* is not a word with its qubits; write ."ZZ", .0, 1., -1.0'),
    ('[["ZZ", [0, 1.5], 1.0]]', "term 1: .* is not a word with its qubits"),
    ('["ZZ", 1.0]', "term 1: expected .*, found 'ZZ'"),
    ("[1, 2]", "term 1: expected"),
    ('{"a": 1}', "term 1: 'a' is neither a Pauli word"),
    ('{"0.5 ZZ": 1}', "term 1: '0.5 ZZ' is not one Pauli word"),
    (packed(b"\0" * 10_000_000), "cannot be read as a SparsePauliOp of Qiskit Runtime"),
    (packed(b"", kind="PauliList"), "holds a 'PauliList' of Qiskit; write a SparsePauliOp"),
    ('{"__type__": "settings"}', "cannot be read as a SparsePauliOp"),
]


@pytest.mark.parametrize(("content", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
def test_the_rest_is_refused_with_its_place(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "h.txt").write_text(content)
    with pytest.raises(UsageError, match=message) as error:
        read_operator("h.txt")
    assert str(error.value).startswith("h.txt")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


def test_long_sums_take_linear_time_and_products_are_limited(tmp_path):
    (tmp_path / "h.txt").write_text("1 " + "@".join(f"Z{qubit}" for qubit in range(1_999)))
    assert read_operator(tmp_path / "h.txt")[0].num_qubits == 1_999
    (tmp_path / "h.txt").write_text("@".join(f"(X{qubit} + Z{qubit})" for qubit in range(40)))
    with pytest.raises(UsageError, match="MAX_TERMS"):
        read_operator(tmp_path / "h.txt")


@pytest.mark.parametrize(("count", "seed"), [(60, 0), pytest.param(2000, 1, marks=pytest.mark.slow)])
def test_mutated_files_are_read_or_refused_in_one_line(assert_robust, count, seed):
    samples = [
        b"-0.5 [X0 Y1] +\n0.25 [Z0 Z1] +\n(0.5+0j) []\n",
        b"-1.0 * (Z(0) @ Z(1)) + 0.5 * (X(0) - 2*Y(1)) // h\n",
        b"pauli,coefficient\nZZ,-1.0\nXX,(0.5+0j)\n",
        b"SparsePauliOp(['ZZ', 'XI'],\n              coeffs=[ 0.5 +0.j, -0.25+0.j])",
        b'{"paulis": ["Z0", "Z0 Z1"], "coeffs": [[1, 0], "0.5+0j"]}',
        b'[["ZZ", [0, 1], "(0.5+0j)"], ["XY", [2, 0], 1.0]]',
        b"[('ZZ', [0, 1], np.complex128(0.5+0j)), ('X', [2], 1)]",
        b',pauli,qubits,coeff,imag\n0,ZZ,"0 1",pi/4,0\n1,,,1/2,0\n',
        b'{"terms": {"Z0": 0.5}, "num_qubits": 3}',
        b"<SparseObservable with 2 terms on 3 qubits: (1+0j)(Z_2 Z_1) + (0.25+0j)()>",
        "−0.5 X⊗Z - 1 + 2*(XX - 3)/π".encode(),
        packed(numpy_file(np.array([0.5 + 0j]))).encode(),
    ]
    assert_robust(lambda path: read_operator(path)[0], samples, "h.txt", count=count, seed=seed)
