"""Files that would eat memory or time are refused within 5 CPU seconds and 2 GB, in one line."""

import gzip
import json
import re
import subprocess
import sys

import pytest

READ = """
import json, resource, sys
from bondwise.qml.protein.data.dataset import read_proteins
from bondwise.runs import UsageError
before = resource.getrusage(resource.RUSAGE_SELF)
try:
    read_proteins(sys.argv[1], labeled=False)
    said = ""
except UsageError as error:
    said = str(error)
after = resource.getrusage(resource.RUSAGE_SELF)
seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
print(json.dumps({"said": said, "seconds": seconds, "bytes": after.ru_maxrss * 1024}))
"""


def long_line(path):
    path.write_bytes(b">P1\n" + b"M" * (100 << 20) + b"\n")


def long_sequence(path):
    path.write_bytes(b">P1\n" + (b"M" * 59 + b"\n") * 1_000_000)


def bomb(path):
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(300):
            file.write(b"\0" * (1 << 20))


def bomb_of_proteins(path):
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(3000):
            file.write(b">P\nMKTA\n" * 13_000)


def hole(path):
    with path.open("wb") as file:
        file.truncate(3 << 30)  # of no room on the disk


def many_columns(path):
    path.write_bytes(b"sequence\nMK\n" + b"," * (60 << 20) + b"\n")


def many_blanks(path):
    path.write_bytes(b"\n" * (20 << 20))


def many_proteins(path):
    path.write_bytes(b"".join(b">%d\nM\n" % number for number in range(1_100_000)))


def blanks_in_a_header(path):
    path.write_bytes(b">P1 " + b" " * 900_000 + b"x\n")


def one_wide_letter(path):
    path.write_bytes(b">P1\n" + b"M" * (60 << 20) + "\U0001f9ec\n".encode())


FILES = {
    long_line: "line 2 has 67,108,865 bytes of text; the limit is 67,108,864, .* BONDWISE_MAX_TEXT_BYTES",
    long_sequence: r"line 1 \(P1\): more than 100,000 residues; give max_length \(--max-length\)",
    bomb: "bytes of proteins, unpacked; the limit is 268,435,456, .* BONDWISE_MAX_PROTEIN_BYTES",
    bomb_of_proteins: "bytes of proteins, unpacked; the limit is 268,435,456",
    hole: "has 3,221,225,472 bytes of proteins, unpacked; the limit is",
    many_columns: "line 3: 62914561 values for 1 columns|line 3: a value",
    many_blanks: "is empty",
    many_proteins: "has 1,000,001 proteins; the limit is 1,000,000, .* BONDWISE_MAX_PROTEINS",
    blanks_in_a_header: "has no residues",
    one_wide_letter: r"more than 100,000 residues",
}


@pytest.mark.slow
@pytest.mark.parametrize("write", FILES, ids=lambda write: write.__name__)
def test_refused_cheaply(tmp_path, write):

    write(tmp_path / "data")
    done = subprocess.run(
        [sys.executable, "-c", READ, tmp_path / "data"], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert re.search(FILES[write], found["said"]), found
    assert "\n" not in found["said"]
    assert found["seconds"] <= 5, found
    assert found["bytes"] <= 2 << 30, found
