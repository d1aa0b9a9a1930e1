"""Hamiltonians in files: what is written comes back, what is wrong is named with its place."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.quantum_info import SparsePauliOp

from bondwise.qml import heisenberg, read_hamiltonian, write_hamiltonian
from bondwise.runs import UsageError

operators = st.integers(1, 5).flatmap(
    lambda n: st.lists(
        st.tuples(st.text("IXYZ", min_size=n, max_size=n), st.floats(-1e307, 1e307)),
        min_size=1,
        max_size=6,
    )
)


@settings(max_examples=50, deadline=None)
@given(terms=operators)
def test_both_forms_come_back_to_the_last_bit(tmp_path_factory, terms):
    folder = tmp_path_factory.mktemp("hamiltonian")
    operator = SparsePauliOp.from_list(terms)
    write_hamiltonian(operator, folder / "h.json")
    (folder / "h.txt").write_text("".join(f"{c!r} {p}\n" for p, c in terms))
    for name in ("h.json", "h.txt"):
        back = read_hamiltonian(folder / name)
        assert back.paulis == operator.paulis
        assert np.array_equal(back.coeffs, operator.coeffs)


def test_json_is_json(tmp_path):
    write_hamiltonian(heisenberg(2), tmp_path / "h.json")
    assert json.loads((tmp_path / "h.json").read_text()) == [["XX", 0.25], ["YY", 0.25], ["ZZ", 0.25]]


def test_comments_and_complex_numbers_without_imaginary_part(tmp_path):
    (tmp_path / "h.txt").write_text("# pair\n\n 1.5 XX  # exchange\n(0.5+0j) IZ\n")
    assert read_hamiltonian(tmp_path / "h.txt").to_list() == [("XX", 1.5), ("IZ", 0.5)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no term"),
        ("# nothing\n", "holds no term"),
        ("[]", "holds no term"),
        (
            "1.0 XX\n2.0 XQ\n",
            "line 2: 'XQ' is neither a Pauli word nor a number; write terms such as",
        ),
        ("1.0 XX\n2.0 xx\n", "line 2: 'xx' is neither a Pauli word"),
        ("1.0 XX\n\n2.0 XXX\n", "line 3: 'XXX' has 3 letters, the first term has 2; write"),
        ("one XX\n", "line 1: 'one' is neither a Pauli word nor a number"),
        ("1j XX\n", "line 1: the coefficient 1j is not real, so the operator is not Hermitian"),
        ("nan XX\n", "line 1: the coefficient nan.* is not a finite number"),
        ("1e999 XX\n", "line 1: the coefficient inf.* is not a finite number"),
        ('[["XX", 1.0], ["XX"]]', "term 2: expected"),
        ('[["XX", 1.0], ["ZZ", NaN]]', "term 2: the coefficient nan.* is not a finite number"),
        ('[["XX", 1.0], ["ZZ", true]]', "term 2: True is not a coefficient"),
        ('[["XX", 1.0], ["ZZ", [0, 1]]]', "term 2: the coefficient 1j is not real"),
        ('[["XX", 1.0], ["ZZ", "1j"]]', "term 2: .* not Hermitian"),
        ('[["XX", 1' + "0" * 400 + "]]", "term 1: 1.* is not a coefficient"),
        ('[["XX", 1.0], [3, 1.0]]', "term 2: 3 is not a Pauli word; write ZZI or"),
        ('[["", 1.0]]', "term 1: '' is not a Pauli word"),
        ('[["XX", 1.0]', "is not valid JSON: .*line 1 column"),
        ("1e308 XX\n-1e308 ZZ\n", "the sum of the coefficients is infinite"),
    ],
)
def test_wrong_files_are_named_with_the_place(tmp_path, content, message):
    path = tmp_path / "wrong.txt"
    path.write_text(content)
    with pytest.raises(UsageError, match=message) as caught:
        read_hamiltonian(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unreadable_files(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name, reason in [("absent", "No such file"), (".", "directory"), ("binary", "not text")]:
        with pytest.raises(UsageError, match=reason):
            read_hamiltonian(tmp_path / name)


def test_only_hermitian_operators_are_written(tmp_path):
    with pytest.raises(UsageError, match="term 2: .* not Hermitian"):
        write_hamiltonian(SparsePauliOp(["XX", "ZZ"], [1, 1j]), tmp_path / "h.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("count", "seed"), [(50, 0), pytest.param(2000, 1, marks=pytest.mark.slow)])
def test_mutated_files_are_read_or_refused_in_one_line(assert_robust, count, seed):
    samples = [
        b'[["ZZI", -1.0], ["IIX", 0.5], ["YIY", 1e-3]]',
        b"-1.0 ZZI\n0.5 IIX  # field\n(0.25+0j) YYI\n",
    ]
    assert_robust(read_hamiltonian, samples, "h.txt", count=count, seed=seed)


@pytest.mark.parametrize(
    ("content", "variable"),
    [
        ("1 Z\n" * 10_001, "TERMS"),
        ("1 " + "Z" * 1_000_000, "QUBITS"),
        ("1 Z9999\n" * 50_000, "ARRAY_BYTES"),
        ("[" * 2_000_000, None),
        ("[" + "0," * 20_000_000, "JSON_VALUES"),
    ],
)
def test_files_that_ask_for_much_are_refused(tmp_path, monkeypatch, content, variable):
    if variable == "TERMS":
        monkeypatch.setenv("BONDWISE_MAX_TERMS", "10000")
    (tmp_path / "h.txt").write_text(content)
    with pytest.raises(UsageError, match=f"MAX_{variable}" if variable else "nested too deeply") as caught:
        read_hamiltonian(tmp_path / "h.txt")
    assert "h.txt" in str(caught.value)
