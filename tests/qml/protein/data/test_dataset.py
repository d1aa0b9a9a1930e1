"""Proteins from files: three formats, gzipped or not, and what is wrong is named with its place."""

import gzip
import os
from pathlib import Path

import pytest

from bondwise.qml.protein.data.dataset import ProteinSet, read_proteins
from bondwise.runs import UsageError

CSV = "accession,label,split,kingdom,sequence\nP1,in,train,Fungi,MKTA\nP2,out,test,Metazoa,MWWCH\n"
TSV = (
    "Entry\tSequence\tSubcellular location [CC]\tlabel\nP1\tMKTA\tCytoplasm.\tin\nP2\tMWWCH\tMembrane.\tout\n"
)
FASTA = ">P1 label=in split=train\nMK\nTA\n\n>sp|P2|NAME_HUMAN OS=Homo sapiens label=out split=test\nMWWCH\n"
PAIR = dict(sequences=("MKTA", "MWWCH"), labels=("in", "out"), accessions=("P1", "P2"))


def write(folder, content, name="proteins"):
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "splits"), [(CSV, ("train", "test")), (TSV, None), (FASTA, ("train", "test"))]
)
@pytest.mark.parametrize("pack", [str.encode, lambda text: gzip.compress(text.encode())])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_three_formats_by_content(tmp_path, content, splits, pack, line_end):
    path = write(tmp_path, pack(content.replace("\n", line_end)), "data.bin")
    assert read_proteins(path) == ProteinSet(**PAIR, splits=splits)


def test_column_names_in_any_case_and_letters_standardized(tmp_path):
    text = "\ufeffLabel, SEQUENCE ,Split\n in , mktu* ,Validation\n\nout,MXB,dev\n"
    proteins = read_proteins(write(tmp_path, text))
    assert proteins == ProteinSet(("MKTC", "MN"), ("in", "out"), None, ("valid", "valid"))


def test_where_and_lengths(tmp_path):
    path = write(tmp_path, CSV + "P3,in,valid,Metazoa,MKTAYIAK\n")
    assert read_proteins(path, where={"Kingdom": "Metazoa"}).accessions == ("P2", "P3")
    assert read_proteins(path, min_length=5).accessions == ("P2", "P3")
    assert read_proteins(path, max_length=5).accessions == ("P1", "P2")
    fasta = write(tmp_path, FASTA, "fasta")
    assert read_proteins(fasta, where={"OS": "Homo sapiens"}, labeled=False).accessions == ("P2",)


def test_for_prediction_labels_are_not_needed(tmp_path):
    assert read_proteins(write(tmp_path, ">a\nMK\n>b\nMW\n"), labeled=False) == ProteinSet(
        ("MK", "MW"), accessions=("a", "b")
    )
    some = write(tmp_path, "sequence,label\nMK,in\nMW,\n")
    assert read_proteins(some, labeled=False).labels is None
    one = write(tmp_path, "sequence,label\nMK,in\nMW,in\n")
    assert read_proteins(one, labeled=False).labels == ("in", "in")


def test_duplicates_are_kept_once(tmp_path):
    proteins = read_proteins(write(tmp_path, CSV + "P1,in,train,Fungi,mkta\nP9,out,train,Fungi,MKTA\n"))
    assert proteins.accessions == ("P1", "P2", "P9")


def test_long_sequences(tmp_path):
    sequence = "MKTAYIAKQR" * 5000
    proteins = read_proteins(write(tmp_path, f"sequence,label\n{sequence},a\nMK,b\n"))
    assert proteins.sequences == (sequence, "MK")


def test_select_classes_and_print():
    proteins = ProteinSet(
        ("MK", "MW", "MC"), ("b", "a", "b"), ("1", "2", "3"), ("train", "valid", "train"), True
    )
    assert proteins.classes == ("a", "b")
    assert proteins.select("train") == ProteinSet(
        ("MK", "MC"), ("b", "b"), ("1", "3"), ("train", "train"), True
    )
    assert proteins.select("dev").sequences == ("MW",)
    assert str(proteins) == "3 SYNTHETIC proteins: train 2 (b: 2); valid 1 (a: 1)"
    assert str(ProteinSet(("MK",) * 3, ("a", "b", "a"))) == "3 proteins: 3 (a: 2, b: 1)"
    assert str(ProteinSet(("MK",))) == "1 proteins: no labels, no splits"
    assert ProteinSet(("MK",)).classes == ()


@pytest.mark.parametrize(
    ("proteins", "split", "message"),
    [
        (ProteinSet(("MK",), splits=("train",)), "tset", "unknown split 'tset'. Did you mean 'test'"),
        (
            ProteinSet(("MK",), splits=("train",)),
            "test",
            r"no protein is in split 'test'; there are \['train'\]",
        ),
        (ProteinSet(("MK",)), "test", "not split; split them with homology_split"),
    ],
)
def test_wrong_selections(proteins, split, message):
    with pytest.raises(UsageError, match=message):
        proteins.select(split)


def test_lengths_must_agree():
    with pytest.raises(UsageError, match="1 labels for 2 sequences"):
        ProteinSet(("MK", "MW"), labels=("a",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; give a CSV"),
        ("\n \n", "is empty; give a CSV"),
        ("sequence,label\n", "has no protein below its header"),
        ("protein,label\nMK,a\n", "has no column 'sequence', only protein, label"),
        ("sequence,label\nMK,a\nMW,a\n", "has only the label 'a'; training needs two classes"),
        ("sequence,label\nMK,a\n,b\n", r"line 3: the sequence '' has no residues"),
        ("accession,sequence,label\nP1,MK,a\nP2,,b\n", r"line 3 \(P2\): the sequence '' has no residues"),
        ("sequence,label\nMK,a\nM4K,b\n", "line 3: '4' at position 2 is not a residue"),
        ("sequence,label\nMK,a\nM K,b\n", "line 3: ' ' at position 2 is not a residue"),
        ("sequence\nMK\n", "line 2 has no label; training needs"),
        ("sequence,label\nMK,a\nMW,\n", "line 3 has no label; training needs"),
        ("sequence,label\nMK\n", "line 2: 1 values for 2 columns"),
        ("sequence,label\nMK,a,b\n", "line 2: 3 values for 2 columns"),
        ('sequence,label\n"MK,a\nMW,b\n', "not valid CSV"),
        (
            "accession,sequence,label\nP1,MK,a\nP1,MW,b\n",
            r"line 3 \(P1\) is labeled 'b' here and 'a' earlier",
        ),
        (
            "sequence,label,split\nMK,a,train\nMW,b,tset\n",
            "line 3: unknown split 'tset'. Did you mean 'test'",
        ),
        ("sequence,label,split\nMK,a,train\nMW,b,\n", "some proteins have a split and some have none"),
        (
            "sequence,label,split\nMK,a,train\nMK,b,test\n",
            "the same sequence is in split 'train' and in 'test'",
        ),
        (">a label=x\nMK\n>b label=y\n", r"line 3 \(b\): the sequence '' has no residues"),
        (">a\nMK\n", r"line 1 \(a\) has no label; training needs"),
        (">a label=x\nMK\n>a label=y\nMW\n", r"line 3 \(a\) is labeled 'y' here and 'x' earlier"),
    ],
)
def test_wrong_files_are_named_with_the_place(tmp_path, content, message):
    path = write(tmp_path, content)
    with pytest.raises(UsageError, match=message) as caught:
        read_proteins(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"where": {"kingdm": "Fungi"}}, "unknown column 'kingdm'. Did you mean 'kingdom'"),
        ({"where": {"kingdom": "Viruses"}}, "none of its 2 proteins has the requested values and length"),
        ({"min_length": 6}, "none of its 2 proteins has the requested values and length"),
        ({"max_length": 4}, "has only the label 'in'"),
    ],
)
def test_nothing_left(tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        read_proteins(write(tmp_path, CSV), **options)


def test_unreadable_files(tmp_path):
    write(tmp_path, gzip.compress(CSV.encode() * 50)[:-12], "cut.csv.gz")
    write(tmp_path, gzip.compress(CSV.encode())[:3], "stub.gz")
    write(tmp_path, b"\x1f\x8b\x08\x00nonsense, not a gzip stream", "damaged.gz")
    write(tmp_path, CSV.encode("utf-16"), "utf16.csv")
    write(tmp_path, "sequence,label\nMK,Zellkörper\n".encode("latin-1"), "latin.csv")
    for name, reason in [
        ("absent.csv", "No such file"),
        (".", "directory"),
        ("cut.csv.gz", "is truncated or damaged"),
        ("stub.gz", "is truncated or damaged"),
        ("damaged.gz", "is truncated or damaged"),
        ("utf16.csv", "is not UTF-8 text"),
        ("latin.csv", "is not UTF-8 text"),
    ]:
        with pytest.raises(UsageError, match=reason) as caught:
            read_proteins(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif("BONDWISE_DATA" not in os.environ, reason="BONDWISE_DATA names no folder of data sets")
def test_real_file_has_the_known_counts():
    path = Path(os.environ["BONDWISE_DATA"]) / "proteins" / "cytoplasm_vs_cell_membrane.csv"
    core = read_proteins(path, where={"primary": "1"}, min_length=80, max_length=500)
    assert str(core) == (
        "2,840 proteins: train 1,506 (0: 975, 1: 531); valid 643 (0: 400, 1: 243); test 691 (0: 443, 1: 248)"
    )
