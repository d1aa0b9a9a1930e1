"""`bondwise decompose`: a state, or data to find it from, as a shallow circuit in a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from bondwise import circuits, tn
from bondwise.circuits.files.formats import circuit_format
from bondwise.cli import options
from bondwise.cli.circuit_files import circuit_contents, read_model, read_state, say
from bondwise.cli.documents.envelope import envelope, settings_of, size_setting
from bondwise.cli.terminal import show, show_json, show_table
from bondwise.runs import FileSet, UsageError, json_text, real_number, unknown_name, whole_number
from bondwise.runs.text import counted

if TYPE_CHECKING:
    from bondwise.tn import Decomposition
    from bondwise.tn.preparation.layouts import Layout
    from bondwise.tn.states.chains import Order

LAYOUTS = ("staircase", "bidirectional", "brickwall", "tree")
ORDERS = ("little", "big")
MAX_BOND = 32
FOUND_UP_TO = 1000  # sites: DMRG takes minutes, and the terms of a model take some megabytes


def command(
    state: Annotated[
        Path | None,
        typer.Argument(
            help="Site tensors (.npz, .safetensors), a vector (.npy), bit strings (.npy, .csv, .txt), counts "
            "(.json, .csv), or a circuit that is too deep (.qpy, .qasm).",
            metavar="STATE",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="Ground state of heisenberg, ising, xxz, a file with a Hamiltonian, or a sum of Paulis.",
            metavar="NAME|FILE",
        ),
    ] = None,
    size: options.Size = None,
    periodic: options.Periodic = False,
    max_bond: Annotated[
        int | None,
        typer.Option(
            "--max-bond",
            help="Bond dimension of the state found from a model, bit strings or a circuit; 32 by default.",
        ),
    ] = None,
    order: Annotated[
        str,
        typer.Option(
            "--order",
            help="Order of a vector's index: little (qubit 0 is the lowest bit, as in Qiskit) or big (the "
            "highest, as in quimb and PennyLane).",
        ),
    ] = "little",
    layers: Annotated[
        int | None,
        typer.Option("--layers", help="Maximum number of layers of two-qubit gates; 8 if no limit is given."),
    ] = None,
    max_cx: Annotated[int | None, typer.Option("--max-cx", help="Maximum number of CX gates.")] = None,
    infidelity: Annotated[
        float | None,
        typer.Option(
            "--infidelity", help="Infidelity to stop at; 1e-3 if neither layers nor CX are limited."
        ),
    ] = None,
    layout: Annotated[
        str,
        typer.Option(
            "--layout", help="Arrangement of the gates: staircase, bidirectional, brickwall or tree."
        ),
    ] = "staircase",
    restarts: Annotated[
        int,
        typer.Option("--restarts", help="Number of random starts per layer; more can find better circuits."),
    ] = 4,
    validation: Annotated[
        Path | None,
        typer.Option(
            "--validation",
            help="Held-out bit strings that decide when to stop.",
            metavar="FILE",
        ),
    ] = None,
    seed: options.Seed = 0,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="File for the circuit: .qpy, .qasm (OpenQASM 3) or .qasm2 (OpenQASM 2); other files go next "
            "to it.",
            metavar="FILE",
        ),
    ] = Path("circuit.qpy"),
    qasm: Annotated[
        int | None, typer.Option("--qasm", help="Version of OpenQASM in a .qasm file, 2 or 3; 3 by default.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Turn a state into a shallow circuit.

    If the target is missed, the best circuit is written, a message says so, and the exit code is 0.
    """
    settings = settings_of(locals())
    for name, number, least in (
        ("max_bond", max_bond, 1),
        ("layers", layers, 0),
        ("max_cx", max_cx, 0),
        ("restarts", restarts, 0),
    ):
        if number is not None:
            whole_number(name, number, least=least)
    if infidelity is not None:
        real_number("infidelity", infidelity, below=1)
    if order not in ORDERS:
        raise unknown_name("order", order, ORDERS)
    if model is not None and order != "little":
        raise UsageError(f"--order is for vectors in a file; leave it out with --model {model}.")
    if layout not in LAYOUTS:
        raise unknown_name("layout", layout, LAYOUTS)
    if (state is None) == (model is None):
        given = "a state is given twice" if model else "no state is given"
        raise UsageError(f"{given}; give either a file or --model NAME.")
    if model is None and (size is not None or periodic):
        raise UsageError(f"--size and --periodic are for --model; {state} holds the whole state.")
    if model is not None and validation is not None:
        raise UsageError("--validation is for bit strings; leave it out with --model.")
    if qasm is not None:
        whole_number("--qasm", qasm, least=2, most=3)
    files = _files(out, qasm)
    place = FileSet(*files.values())  # a file that cannot be written must fail now, not after the work
    _require_free(files, overwrite)

    search = {"max_bond": max_bond or MAX_BOND, "seed": seed, "progress": not quiet}
    if model is not None:
        source = _from_model(model, size, periodic, search)
    else:
        assert state is not None
        source = _from_file(state, cast("Order", order), validation, search)
        if max_bond is not None and isinstance(source.state, list):
            raise UsageError(
                f"--max-bond is for a state that is found first; {state} holds one, so leave it out."
            )
    found = tn.decompose(
        source.state,
        layers=layers,
        max_cx=max_cx,
        infidelity=infidelity,
        layout=cast("Layout", layout),
        restarts=restarts,
        max_bond=max_bond or MAX_BOND,
        seed=seed,
        progress=not quiet,
    )
    result = envelope(settings) | {
        "state": source.facts,
        "qubits": found.circuit.num_qubits,
        "layout": layout,
        "infidelity": found.infidelity,
        "exact": found.exact,
        "cx_count": found.cx_count,
        "depth": found.depth,
        "converged": found.converged,
        "message": found.message,
        "history": list(found.history),
        "seed": seed,
    }
    _write(place, files, qasm, found, result)
    if json:
        show_json(result)
    elif not quiet:
        rows = [
            [entry["layers"], entry["cx_count"], f"{entry['infidelity']:.2e}", entry["start"]]
            for entry in found.history
        ]
        show_table(
            f"{source.name} as a circuit", ("layer", "CX", "infidelity", "start"), rows, left=["start"]
        )
        show(
            *source.notes,
            f"{found.cx_count} CX, two-qubit depth {found.depth}, {counted(len(found.parameters), 'angle')}",
            found.message,
            f"files in {out.parent}: {', '.join(path.name for path in files.values())}",
        )


@dataclass(frozen=True, kw_only=True)
class _Source:
    """A state as `decompose` takes it, with facts for the file and notes for the terminal."""

    state: Any
    name: str
    facts: dict[str, Any]
    notes: list[str]


def _from_model(model: str, size: str | None, periodic: bool, search: dict[str, Any]) -> _Source:
    """The ground state of a Hamiltonian."""
    said: list[str] = []
    hamiltonian = read_model(
        model,
        size,
        periodic,
        most=FOUND_UP_TO,
        task="find their ground state in reasonable time",
        said=said,
    )
    say(said, quiet=not search["progress"])
    ground = tn.ground_state(hamiltonian, **search)
    facts = {
        "model": model,
        "size": size_setting(size),
        "periodic": periodic,
        "energy": ground.energy,
        "converged": ground.converged,
        "message": ground.message,
    }
    note = f"ground state: energy {ground.energy:.6f}, {ground.message}"
    return _Source(state=ground, name=f"{model} {size or ''}".strip(), facts=facts, notes=[note])


def _from_file(path: Path, order: Order, validation: Path | None, search: dict[str, Any]) -> _Source:
    """The state in a file, or the one trained on the bit strings in it."""
    from qiskit import QuantumCircuit

    state = read_state(path, order)
    facts: dict[str, Any] = {"file": str(path)}
    if isinstance(state, QuantumCircuit | list) and validation is not None:
        raise UsageError(f"--validation is for bit strings; {path} holds something else.")
    if isinstance(state, QuantumCircuit):
        count, depth = circuits.cx_count(state), circuits.two_qubit_depth(state)
        facts |= {"cx_count": count, "depth": depth}
        notes = [f"{path.name}: {count} CX, two-qubit depth {depth}"]
        return _Source(state=state, name=path.name, facts=facts, notes=notes)
    if isinstance(state, list):
        return _Source(state=state, name=path.name, facts=facts, notes=[])
    held = None if validation is None else tn.read_bitstrings(validation)
    trained = tn.train_born(state, validation=held, **search)
    facts |= {"strings": len(state), "nll": trained.nll, "entropy": trained.entropy}
    note = f"state trained on {len(state)} strings: NLL {trained.nll:z.4f}"
    if trained.validation_nll is not None:
        facts |= {"validation": str(validation), "validation_nll": trained.validation_nll}
        note += f", validation NLL {trained.validation_nll:z.4f}"
    note += f", entropy of the data {trained.entropy:z.4f} nats per string; {trained.message}"
    facts |= {"converged": trained.converged, "message": trained.message}
    return _Source(state=trained, name=path.name, facts=facts, notes=[note])


def _files(out: Path, qasm: int | None) -> dict[str, Path]:
    """The files that belong to an `--out`, by their content."""
    try:
        circuit_format(out, qasm)
    except UsageError as error:
        raise UsageError(f"--out {error}") from error
    ends = {"circuit": out.suffix, "ansatz": ".ansatz.qpy", "angles": ".parameters.json", "result": ".json"}
    files = {kind: out.with_name(out.stem + end) for kind, end in ends.items()}
    for path in files.values():
        if path.is_dir():
            raise UsageError(f"{path} is a folder; give another name with --out.")
    return files


def _require_free(files: dict[str, Path], overwrite: bool) -> None:
    for path in files.values():
        if path.exists() and not overwrite:
            raise UsageError(f"{path} exists; give --overwrite to replace it, or another --out.")


def _write(
    place: FileSet, files: dict[str, Path], qasm: int | None, found: Decomposition, result: dict[str, Any]
) -> None:
    """Write all files, or none."""
    from bondwise.circuits.files.writing import circuit_content

    contents = circuit_contents(found.circuit, found.parameters)
    bound = found.circuit.assign_parameters(found.parameters)
    contents["circuit"] = circuit_content(bound, files["circuit"], qasm=qasm)
    contents["result"] = json_text(result) + "\n"
    place.write({files[kind]: contents[kind] for kind in ("angles", "ansatz", "result", "circuit")})
