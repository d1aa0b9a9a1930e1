"""CSV and TSV: what is written comes back, no text is a formula, columns that say the same are refused."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bondwise.qml.protein.data.dataset import read_proteins
from bondwise.qml.protein.data.tables import csv_text
from bondwise.runs import UsageError

FORMULAS = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", "'=1", "''+1"]


def read(folder, text, **options):
    path = folder / "proteins"
    path.write_bytes(text.encode())
    return read_proteins(path, **options)


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_written_as_text(text):
    (name, label, number), *_ = csv.reader(io.StringIO(csv_text([[text, f"p{text}", -0.5]]), newline=""))
    assert name == f"'{text}"
    assert (label, number) == (f"p{text}", "-0.5")


@pytest.mark.parametrize("label", ["=1+1", "+1", "-1", "@a", "'=1", "''-1", "'quoted'", "''", "plain"])
def test_the_reader_takes_the_apostrophe_off(tmp_path, label):
    text = csv_text([["accession", "label", "sequence"], [label, label, "MK"], ["P2", "other", "MW"]])
    proteins = read(tmp_path, text)
    assert (proteins.accessions, proteins.labels) == ((label, "P2"), (label, "other"))


labels = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=9)


@settings(max_examples=100, deadline=None)
@given(st.lists(labels, min_size=1, max_size=5, unique=True))
def test_any_text_is_written_and_read_back(tmp_path_factory, names):
    rows = [[name, name, "MK" + "A" * number] for number, name in enumerate(names)]
    text = csv_text([["accession", "label", "sequence"], *rows])
    proteins = read(tmp_path_factory.mktemp("table"), text, labeled=False)
    assert proteins.accessions == proteins.labels == tuple(names)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("sequence,label,Sequence", "has 2 columns 'sequence'; keep one"),
        ("label,sequence,LABEL ", "has 2 columns 'label'; keep one"),
        ("sequence\tlabel\tsplit\tsplit", "has 2 columns 'split'; keep one"),
        ("accession,accession,sequence,label", "has 2 columns 'accession'; keep one"),
        ("Entry,Accession,sequence,label", "has the columns 'accession' and 'entry'; keep the one"),
        ("kingdom,kingdom,sequence,label", "has 2 columns 'kingdom'; keep one"),
        ("sequence;label", "separate columns by commas or tabs"),
    ],
)
def test_columns_that_say_the_same_are_refused(tmp_path, head, message):
    mark = "\t" if "\t" in head else ","
    text = head + "\n" + mark.join(["MK"] * (head.count(mark) + 1)) + "\n"
    with pytest.raises(UsageError, match=message):
        read(tmp_path, text, where={"kingdom": "MK"} if "kingdom" in head else None, labeled=False)


def test_columns_nobody_asks_for_may_repeat(tmp_path):
    assert read(tmp_path, "note,note,,,sequence\n1,2,,,MK\n", labeled=False).sequences == ("MK",)


def test_blanks_before_a_quoted_value(tmp_path):
    proteins = read(tmp_path, 'sequence, "label"\n"MK", "a, b"\nMW, c\n')
    assert proteins.labels == ("a, b", "c")


def test_lines_that_end_in_carriage_returns(tmp_path):
    proteins = read(tmp_path, "\r \rlabel,sequence,note\ra,MK,x\ty\rb,MW,z\r")
    assert (proteins.sequences, proteins.labels) == (("MK", "MW"), ("a", "b"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n\nsequence,label\nMK,a\nM1,b\n", "line 5: '1' at position 2"),
        ("sequence,label\nMK,a\x07\n", r"line 2: the label holds the control character '\\x07'"),
        ('sequence,label\nMK,"a\nb"\n', r"line 3: the label holds the control character '\\n'"),
        ("accession,sequence\nP1,MK\n,MW\n", "line 3 has no accession, unlike those before"),
        ('sequence,label\nMK,a\n"M"K,b\n', "line 3: not valid CSV"),
        (f"sequence\n{'M' * 140_000}\n", "line 2: a value is longer than 131,072 letters; .* as FASTA"),
        (f"sequence,{'x' * 1_000_000}\nMK,a\n", "the line of column names has 1,000,010 letters"),
        ("sequence\nMK\n" + "," * 100_000 + "x\n", "line 3: 100001 values for 1 columns"),
    ],
)
def test_wrong_lines_are_named(tmp_path, text, message):
    with pytest.raises(UsageError, match=message) as caught:
        read(tmp_path, text, labeled=False)
    assert "\n" not in str(caught.value)
