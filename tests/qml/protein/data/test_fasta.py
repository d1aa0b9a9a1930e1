"""FASTA headers and lines against entries that were put together by the rules of the format."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bondwise.qml.protein.data.dataset import read_proteins
from bondwise.runs import UsageError


def read(folder, text):
    path = folder / "proteins"
    path.write_bytes(text.encode())
    return read_proteins(path, labeled=False)


@pytest.mark.parametrize(
    ("header", "accession"),
    [
        ("P12345", "P12345"),
        ("P12345\tGeneID:1", "P12345"),
        ("  P12345  text", "P12345"),
        ("P12345\x0bmore", "P12345"),
        ("P12345\xa0more", "P12345"),
        ("P12345 one [Homo sapiens]\x01P54321 two", "P12345"),
        ("P12345\x01P54321", "P12345"),
        ("sp|P12345|AATM_RABIT Aspartate", "P12345"),
        ("tr|A0A024R161|A0A024R161_HUMAN", "A0A024R161"),
        ("ref|NP_001234.1| protein", "NP_001234.1"),
        ("sp|P12345", "P12345"),
        ("sp||NAME", "sp||NAME"),
        ("Q8TF40|EUKARYA|Homo", "Q8TF40|EUKARYA|Homo"),
        ("jgi|Aspni7|1234|gw1", "jgi|Aspni7|1234|gw1"),
        ("gnl|BL_ORD_ID|0 text", "gnl|BL_ORD_ID|0"),
        ("pdb|1ABC|A", "pdb|1ABC|A"),
        ("gi|129295|sp|P01013|OVAX_CHICK", "gi|129295|sp|P01013|OVAX_CHICK"),
        ("|B", "|B"),
        ("lcl|P1", "lcl|P1"),
        ("P1\u2028rest", "P1"),
        ("Prot\u00e9ine", "Prot\u00e9ine"),
    ],
)
def test_accession_of_a_header(tmp_path, header, accession):
    assert read(tmp_path, f">{header}\nMKTA\n").accessions == (accession,)


@pytest.mark.parametrize("bars", ["jgi|Aspni7|{}", "Q{}|EUKARYA|x", "pdb|1ABC|{}", "gnl|db|{}", "x|B|{}"])
def test_proteins_that_share_a_field_between_bars_stay_apart(tmp_path, bars):
    text = "".join(f">{bars.format(n)} label={label}\nMKTA\n" for n, label in enumerate("ab"))
    path = tmp_path / "p.fasta"
    path.write_text(text)
    proteins = read_proteins(path)
    assert proteins.accessions == (bars.format(0), bars.format(1))
    assert proteins.labels == ("a", "b")


@pytest.mark.parametrize("mark", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"])
def test_only_line_feed_and_carriage_return_end_a_line(tmp_path, mark):
    assert read(tmp_path, f">P1 text{mark}>P2\nMKTA\n").accessions == ("P1",)
    with pytest.raises(UsageError, match=r"line 1 \(P1\): .* at position 3 is not a residue"):
        read(tmp_path, f">P1\nMK{mark}TA\n")


def test_an_indented_header_is_a_header(tmp_path):
    proteins = read(tmp_path, " \n  >P1\nMKTA\n\t>P2\nMW\n")
    assert (proteins.accessions, proteins.sequences) == (("P1", "P2"), ("MKTA", "MW"))


def test_keys_begin_a_word_and_hold_all_up_to_the_next(tmp_path):
    path = tmp_path / "p.fasta"
    path.write_text(
        ">P1\tnot-label=no label=cell  membrane \tsplit=train OS=x\nMK\n>P2 label=b split=test\nMW\n"
    )
    proteins = read_proteins(path)
    assert (proteins.labels, proteins.splits) == (("cell  membrane", "b"), ("train", "test"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (">P1 label=a label=b\nMK\n", r"line 1 \(P1\): the header has label= twice"),
        (">P1\nMK\n>P2 split=train Split=test\nMK\n", r"line 3 \(P2\): the header has split= twice"),
        (">P1\nMK\n>\nMW\n", "line 3 has no accession, unlike those before"),
        (">\nMK\n>P2\nMW\n", r"line 3 \(P2\) has an accession, unlike those before"),
        (">P1 label=a\x1b[2Jb\nMK\n", r"line 1: the label holds the control character '\\x1b'"),
        (">P1\nMKTAYIAK QISF\n", "' ' at position 9 is not a residue"),
        (">P1\n1 MKTA\n", "'1' at position 1 is not a residue"),
        (">P1\nMK-TA\n", "'-' at position 3 is not a residue"),
        (">P1\nMK*TA*\n", r"'\*' at position 3 is not a residue"),
        (">P1\nMK\u00dfTA\n", "'\u00df' at position 3 is not a residue"),
        (">P1\nMK\u017fTA\n", "'\u017f' at position 3 is not a residue"),  # str.upper makes S of it
        (">P1\nMK\n>P2\n>P3\nMK\n", r"line 3 \(P2\): the sequence '' has no residues"),
        (">P1 " + "x" * 1_000_001 + "\nMK\n", "line 1: the header has 1,000,004 letters; at most 1,000,000"),
    ],
)
def test_wrong_entries_are_refused_with_their_line(tmp_path, text, message):
    with pytest.raises(UsageError, match=message) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_long_sequence_is_refused_or_left_out(tmp_path):
    path = tmp_path / "p.fasta"
    path.write_text(">P1\nMKTA\n>P2\n" + "MKTAYIAKQR\n" * 10_001)
    with pytest.raises(UsageError, match=r"line 3 \(P2\): more than 100,000 residues; give max_length"):
        read_proteins(path, labeled=False)
    assert read_proteins(path, labeled=False, max_length=50).accessions == ("P1",)
    assert len(read_proteins(path, labeled=False, max_length=200_000).sequences[1]) == 100_010


words = st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=1, max_size=8)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\n=>"), max_size=20)
entries = st.tuples(words.filter(lambda word: not word.startswith((">", "sp|", "tr|", "ref|"))), texts)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_entries_in_any_layout(tmp_path_factory, data):
    named = data.draw(st.lists(entries, min_size=1, max_size=5, unique_by=lambda entry: entry[0]))
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    blanks = st.sampled_from(["", " ", "\t"])
    sequences, text = [], data.draw(st.sampled_from(["", "\ufeff", end]))
    for name, rest in named:
        lines = data.draw(st.lists(st.text("ACDEFGHIKLMNPQRSTVWYacd", max_size=9), min_size=1, max_size=4))
        lines[0] = "M" + lines[0]
        sequences.append("".join(lines).upper())
        text += f">{name} {rest}{end}" + "".join(line + data.draw(blanks) + end for line in lines)
    path = tmp_path_factory.mktemp("fasta") / "p"
    path.write_bytes(text.encode())
    proteins = read_proteins(path, labeled=False)
    assert proteins.accessions == tuple(name for name, _ in named)
    assert proteins.sequences == tuple(sequences)
