"""Tables of the commands fit a terminal of 80 columns, and a pipe, which has none."""

import pytest

from bondwise.cli.documents.envelope import size_setting
from bondwise.cli.documents.stages import Stage, show_stages
from bondwise.cli.protein.entries import COLUMNS
from bondwise.cli.terminal import show_table

LONG = "a-name-without-a-space-" * 8


@pytest.fixture(params=["80", None], ids=["terminal", "pipe"])
def printed(request, monkeypatch, capsys):
    """What was printed, once it is known to fit."""
    monkeypatch.setenv("COLUMNS", request.param) if request.param else monkeypatch.delenv("COLUMNS", False)

    def lines():
        found = capsys.readouterr().out.splitlines()
        assert max(map(len, found)) <= 80
        return found

    return lines


def test_stages(printed):
    stage = {"energy": -123.456789, "cx": 12345, "depth2q": 12345, "seconds": 12345.6}
    names = ("near-identity start, trained", f"{LONG}, mitigated", "fake:sherbrooke, mitigated")
    stages = [Stage(name=name, **stage, std=0.1234, infidelity=1.23e-4, shots=12_345_678) for name in names]
    show_stages(f"{LONG}.json on {LONG}", [("exact", -123.4), ("DMRG, bond 1024", -123.3)], stages)
    shown = printed()
    for cell in ("-123.4568 ± 0.1234", "12345", "1.23e-04", "12,345,678", "12345.6"):
        assert sum(cell in line for line in shown) == 3, cell
    assert "".join("".join(line.split()) for line in shown).count("mitigated") == 2


def test_values_and_counts_of_many_qubits(printed):
    show_table(
        "expectation values",
        ("angles", "observable", "value", "± std"),
        [[0, "Z" * 200, "-0.123456", "0.001234"], [1, f"{LONG}.json", "0.123456", "0.001234"]],
        left=["observable"],
    )
    show_table(
        "counts",
        ("angles", "register", "outcome", "count"),
        [[0, LONG, "01" * 100, "4,096"]],
        left=["register", "outcome"],
    )
    joined = "".join("".join(line.split()) for line in printed())
    assert joined.count("Z") == 200
    assert "-0.123456" in joined
    assert "0.001234" in joined
    assert "4,096" in joined


def test_proteins(printed):
    rows = [[LONG, "1,234,567", "0.987 ± 0.012", "0.987", "0.987", "12,345.6"]]
    columns = ("model", "parameters", "test ± std", "MCC", "AUROC", "seconds")
    show_table(f"1,234 test proteins of {LONG}", columns, rows)
    cells = ("1,234,567", "0.987", "0.987 ± 0.012", "0.987", "0.987", "0.987", "12345")
    show_table("proteins", COLUMNS, [["composition + hydropathy LR", *cells]])
    assert "1,234,567" in " ".join(printed())


def test_names_are_whole_where_they_are_searched_for(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", False)
    show_table("layers", ["layer", "0.5"], [["a", "0.1"], [LONG, "0.2"]], whole=True)
    lines = capsys.readouterr().out.splitlines()
    assert any(LONG in line and "0.2" in line for line in lines)


@pytest.mark.parametrize(
    ("size", "setting"),
    [("12", 12), ("3x4", [3, 4]), (" 3 x 4 ", [3, 4]), (None, None), ("3x", "3x"), ("three", "three")],
)
def test_sizes_are_numbers_in_json(size, setting):
    assert size_setting(size) == setting
