"""Results print in one line, show a table in notebooks, and come back from disk as they were."""

from dataclasses import dataclass, field
from xml.dom.minidom import parseString

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from bondwise.runs import Result, UsageError
from bondwise.runs.result import html_curve


@dataclass(frozen=True, kw_only=True)
class Energy(Result):
    circuit: QuantumCircuit
    trace: np.ndarray
    notes: dict[str, float]


def test_prints_in_one_line():
    result = Result(value=-1.5, std=0.25, shots=100, seed=3, job_ids=("a", "b"))
    assert str(result) == "Result: -1.5 ± 0.25, 100 shots, seed 3, 2 jobs"
    assert str(Result(value=2.0)) == "Result: 2, no shots"
    assert "shape (2,)" in str(Result(value=np.zeros(2), std=np.ones(2)))


def test_an_unknown_error_is_not_printed_as_a_number():
    assert str(Result(value=0.5, std=np.nan, shots=8)) == "Result: 0.5, standard error unknown, 8 shots"
    several = Result(value=np.zeros(2), std=np.array([0.1, np.nan]))
    assert str(several) == "Result: 2 values of shape (2,), standard errors unknown, no shots"


@dataclass(frozen=True, kw_only=True)
class Many(Result):
    circuit: QuantumCircuit
    arrays: tuple
    starts: dict[str, np.ndarray]
    history: tuple[dict, ...]
    ids: list[int]
    message: str
    hidden: int = field(default=0, repr=False)


def many(**fields):
    given = {
        "circuit": QuantumCircuit(2),
        "arrays": (torch.zeros(2, 3, dtype=torch.float64),),
        "starts": {"MPS": np.zeros(120)},
        "history": tuple({"cx": number} for number in range(3)),
        "ids": list(range(1000)),
        "message": "<b>" * 100,
    }
    return Many(value=np.float64(0.5), **given | fields)


def test_repr_is_one_line_without_the_arrays():
    assert repr(many()) == (
        "Many(value=0.5, std=0.0, shots=0, seed=None, job_ids=(), "
        "circuit=<QuantumCircuit: 2 qubits, 0 parameters>, arrays=(<float64 (2, 3)>,), "
        "starts={'MPS': <float64 (120,)>}, history=(<dict of 1>, <dict of 1>, <dict of 1>), "
        "ids=<list of 1000>, message='" + ("<b>" * 20)[:59] + "…')"
    )
    assert repr(Result(value=np.zeros((), dtype=int), std=torch.tensor(1.5))) == (
        "Result(value=0, std=1.5, shots=0, seed=None, job_ids=())"
    )


def test_notebooks_show_a_table_in_which_markup_is_inert():
    (table,) = parseString(many()._repr_html_()).getElementsByTagName("table")
    cells = [[cell.firstChild.data for cell in row.childNodes] for row in table.getElementsByTagName("tr")]
    assert ["arrays", "(<float64 (2, 3)>,)"] in cells
    assert not table.getElementsByTagName("b")
    assert "color:" not in table.toxml()  # that of the page


def cells_of(result):
    (table,) = parseString(result._repr_html_()).getElementsByTagName("table")
    rows = table.getElementsByTagName("tr")
    return {
        heading.firstChild.data: cell.firstChild.data for heading, cell in (row.childNodes for row in rows)
    }


def test_notebooks_show_several_values_with_their_errors():
    measured = cells_of(Result(value=np.array([0.5, -1.25]), std=np.array([0.0625, 0.0]), shots=8))
    assert measured["value"] == "[0.5 ± 0.062, -1.25 ± 0]"
    assert "std" not in measured
    unbounded = cells_of(Result(value=np.array([0.5, -1.25]), std=np.array([np.inf, np.nan]), shots=8))
    assert unbounded["value"] == "[0.5 ± inf, -1.25 ± unknown]"
    exact = cells_of(Result(value=np.array([[0.5, 1 / 3]]), std=np.zeros((1, 2))))
    assert (exact["value"], exact["std"]) == ("[[0.5, 0.333333]]", "[[0, 0]]")
    assert repr(Result(value=np.array([0.5, -1.25]))).startswith("Result(value=<float64 (2,)>, ")


def test_notebooks_show_the_ends_of_many_values():
    many = cells_of(Result(value=np.arange(10_000.0), std=np.full(10_000, 0.5), shots=8))
    assert many["value"] == (
        "[0 ± 0.5, 1 ± 0.5, 2 ± 0.5, …, 9997 ± 0.5, 9998 ± 0.5, 9999 ± 0.5] of shape (10000,)"
    )
    assert cells_of(Result(value=np.zeros((0, 3))))["value"] == "<float64 (0, 3)>"
    assert cells_of(Result(value=torch.ones(2, requires_grad=True).detach()))["value"] == "[1, 1]"
    assert cells_of(Result(value=np.array([1j, 2])))["value"] == "[0+1j, 2+0j]"
    assert cells_of(Result(value=np.array([True, False])))["value"] == "[True, False]"


def test_curve_leaves_out_what_is_not_finite():
    drawn = parseString(html_curve("a < b", [3.0, np.nan, 1.0, 2.0, np.inf]))
    (line,) = drawn.getElementsByTagName("polyline")
    assert line.getAttribute("points") == "0.0,0.0 200.0,60.0 300.0,30.0"
    assert html_curve("one", [1.0, np.nan]) == ""
    flat = parseString(html_curve("flat", np.ones(100_000))).getElementsByTagName("polyline")[0]
    assert len(flat.getAttribute("points").split()) == 400


def test_saves_and_loads(tmp_path):
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("x"), 0)
    energy = Energy(
        value=1.0, circuit=circuit, trace=np.arange(3) * (1 + 0.5j), notes={"depth": 2.0}, job_ids=("j",)
    )
    energy.save(tmp_path / "e")
    back = Energy.load(tmp_path / "e")
    assert (back.value, back.notes, back.job_ids, back.circuit) == (1.0, {"depth": 2.0}, ("j",), circuit)
    np.testing.assert_array_equal(back.trace, energy.trace)
    assert back.trace.dtype == np.complex128
    with pytest.raises(UsageError, match=r"write Energy\.load"):
        Result.load(tmp_path / "e")
    with pytest.raises(UsageError, match="is not a saved result"):
        Energy.load(tmp_path / "f")
    for name, damage in (("e.safetensors", b"cut"), ("e.json", b"[]"), ("e.json", b"{")):
        (tmp_path / name).write_bytes(damage)
        with pytest.raises(UsageError, match="damaged"):
            Energy.load(tmp_path / "e")


@pytest.mark.parametrize("name", ["e", "e.json", "e.safetensors", "rate0.1", "rate0.1.json"])
def test_the_names_of_its_files_are_accepted_too(tmp_path, name):
    stem = name.removesuffix(".json").removesuffix(".safetensors")
    Result(value=np.arange(2)).save(tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {f"{stem}.json", f"{stem}.safetensors"}
    for given in (stem, f"{stem}.json", f"{stem}.safetensors"):
        np.testing.assert_array_equal(Result.load(tmp_path / given).value, [0, 1])
    with pytest.raises(UsageError, match=r"absent\.json is not a saved result"):
        Result.load(tmp_path / "absent.json")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UsageError, match=f"there is no folder {tmp_path / 'absent'}; create it"):
        Result(value=1.0).save(tmp_path / "absent" / "e")


def test_refuses_what_it_cannot_store(tmp_path):
    with pytest.raises(UsageError, match="value is an object, which cannot be stored"):
        Result(value=object()).save(tmp_path / "r")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("count", "seed"), [(50, 0), pytest.param(2000, 1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("end", ["json", "safetensors"])
def test_mutated_results_are_read_or_refused_in_one_line(assert_robust, tmp_path, end, count, seed):
    circuit = QuantumCircuit(2)
    circuit.h(0)
    stored = Result(value=np.arange(3.0), std=np.ones(3), shots=10, seed=1, job_ids=("a", circuit))
    stored.save(tmp_path / "good")
    contents = {kind: (tmp_path / f"good.{kind}").read_bytes() for kind in ("json", "safetensors")}
    other = "json" if end == "safetensors" else "safetensors"

    def lay(path):
        path.with_suffix(f".{other}").write_bytes(contents[other])

    def load(path):
        Result.load(path.with_suffix(""))

    words = {"count": count, "seed": seed, "prepare": lay, "named": "r.json"}
    assert_robust(load, [contents[end]], f"r.{end}", **words)
