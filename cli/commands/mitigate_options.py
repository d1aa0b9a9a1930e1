"""The arguments and flags that the commands for mitigation share, and what a job of theirs costs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from bondwise import circuits
from bondwise.cli import options
from bondwise.cli.circuit_files import read_observable, read_program
from bondwise.runs import UsageError, read_bytes, whole_number
from bondwise.runs.text import counted

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import SparsePauliOp

    from bondwise.backends import Backend
    from bondwise.mitigation import PreparedJob

Circuit = Annotated[Path, typer.Argument(help="A .qpy or .qasm file (OpenQASM 2 or 3).", metavar="CIRCUIT")]
Observables = Annotated[
    list[str] | None,
    typer.Option(
        "--observable",
        help="Observable such as ZZI, '0.5*XX - ZZ' or '0.5 X0 - Z1', or a file; repeatable.",
    ),
]
Parameters = Annotated[
    str | None,
    typer.Option(
        "--parameters",
        help="Angles in radians: theta=0.3,x[0]=pi/4, JSON, or a file, JSON or .npy.",
        metavar="FILE|ANGLES",
    ),
]
ScaleFactors = Annotated[
    str,
    typer.Option("--scale-factors", help="Noise strengths to measure at, with commas.", metavar="LIST"),
]
Shares = Annotated[
    str | None,
    typer.Option(
        "--shares",
        help="How the shots are shared out over the noise strengths; 5,1,1 by default, if there are three.",
        metavar="LIST",
    ),
]
Folding = Annotated[
    str,
    typer.Option(
        "--folding",
        help="How noise is amplified: by folding the whole circuit (global), each gate (local), or each "
        "two-qubit gate (gates).",
        metavar="NAME",
    ),
]


class Program(NamedTuple):
    """What a command measures.

    Attributes:
        pub: The circuit without its measurements, its K observables, and its angles; values have the shape
            (K,), or (batch, K) for several sets of angles.
        parameters: Names of the parameters in the order of a plain list of angles; None without angles.
        contents: Checksums of the circuit and of the angles: a run can only be resumed with the same ones.
    """

    pub: tuple[QuantumCircuit, list[SparsePauliOp], Any]
    parameters: list[str] | None
    contents: dict[str, str | None]


def program_of(path: Path, observables: list[str] | None, parameters: str | None, said: list[str]) -> Program:
    """Read what a command measures.

    Args:
        path: The circuit.
        observables: Texts or files, one or more.
        parameters: Angles or their file.
        said: List to which the formats of files are added.

    Raises:
        UsageError: If something cannot be read, or does not fit the circuit.
    """
    if not observables:  # not a matter of typer, because a run that is resumed has some
        raise UsageError("--observable is missing; give one, such as --observable ZZI, or several.")
    circuit, angles = read_program(path, parameters)
    read = [read_observable(text, circuit.num_qubits, said=said) for text in observables]
    names = [parameter.name for parameter in circuits.declared_parameters(circuit)]
    contents = {"program": sha256(read_bytes(path, "text_bytes")).hexdigest()[:16], "angles": None}
    if angles is None:
        return Program((circuits.without_measurements(circuit), read, []), None, contents)
    contents["angles"] = sha256(angles.tobytes()).hexdigest()[:16]
    sets = angles if angles.ndim == 1 else angles[:, None]
    return Program((circuits.without_measurements(circuit), read, sets), names, contents)


def scan_flags(scale_factors: str, shares: str | None, shots: int | None) -> dict[str, Any]:
    """The arguments of a `MitigatedEstimator` that flags give.

    Raises:
        UsageError: If a list has something else than numbers, or the number of shots is out of range.
    """
    number = whole_number("shots", 4096 if shots is None else shots, least=0, most=options.MOST_SHOTS)
    return {
        "scale_factors": _numbers("--scale-factors", scale_factors, float, "1,3,5"),
        "shares": None if shares is None else _numbers("--shares", shares, int, "5,1,1"),
        "shots": number or None,
    }


def symmetry_of(text: str | None, num_qubits: int) -> tuple[SparsePauliOp, float] | None:
    """The symmetry that a flag gives, an observable and its value.

    Raises:
        UsageError: If it cannot be read, or the value is no number.
    """
    if text is None:
        return None
    observable, equals, value = text.rpartition("=")
    try:
        number = float(value)
    except ValueError:
        number, equals = 0.0, ""
    if not equals:
        raise UsageError(f"--symmetry {text!r} is no observable with its value; give one such as ZZZZ=1.")
    return read_observable(observable, num_qubits, said=[]), number


def require_noise(machine: Backend) -> None:
    """Refuse a backend that has nothing to mitigate.

    Raises:
        UsageError: If it has no noise.
    """
    if not machine.noisy:
        raise UsageError(
            f"{machine.name} has no noise, so there is nothing to mitigate; give a --backend with noise, "
            "such as fake:torino, or use `bondwise run`."
        )


def require_scales(costs: Costs, machine: Backend) -> None:
    """Refuse a circuit that is not folded.

    Raises:
        UsageError: If it has no gates that make noise.
    """
    if len(costs.scale_factors) < 2:
        raise UsageError(
            f"the circuit has no gates that make noise on {machine.name}, so there is nothing to "
            "extrapolate; use `bondwise run --mitigate readout`."
        )


@dataclass(frozen=True)
class Costs:
    """Where the shots of a job go; all numbers are 0 for exact values.

    Attributes:
        scale_factors: The noise strengths that folding reached.
        scan: Number of shots at each of them.
        readout: Number of shots that calibrate the readout.
        twins: Number of shots of the near-Clifford twins.
        twin_count: Number of these twins.
        symmetry: Number of shots of the symmetry.
    """

    scale_factors: tuple[float, ...]
    scan: tuple[int, ...]
    readout: int
    twins: int
    twin_count: int
    symmetry: int = 0

    @classmethod
    def of(cls, job: PreparedJob) -> Costs:
        """The costs of a job with one PUB."""
        item, *symmetries = job.items
        spent = job.spent
        calibrations, measured = job.calibrations, len(spent) - sum(one.size for one in job.items)
        ends = [measured + sum(item.repeats[:place]) for place in range(len(item.repeats) + 1)]
        return cls(
            scale_factors=item.factors,
            scan=tuple(sum(spent[a:b]) for a, b in zip(ends, ends[1:], strict=False)),
            readout=sum(spent[:calibrations]),
            twins=sum(spent[calibrations:measured]),
            twin_count=max((ideal.shape[-1] for _, ideal in job.twins.values()), default=0),
            symmetry=sum(spent[measured + item.size :]) if symmetries else 0,
        )

    @property
    def total(self) -> int:
        """Number of shots in all."""
        return sum(self.scan) + self.readout + self.twins + self.symmetry

    def as_dict(self) -> dict[str, Any]:
        """All attributes and the total, for JSON."""
        return asdict(self) | {"total": self.total}

    def __str__(self) -> str:
        factors = _listed([f"{factor:g}" for factor in self.scale_factors])
        more = f" and {counted(self.twin_count, 'twin')}" if self.twin_count else ""
        if not self.total:
            return f"exact values at noise {factors}{more}"
        parts = [f"{_listed([f'{shots:,}' for shots in self.scan])} shots at noise {factors}"]
        parts += [f"{self.readout:,} to calibrate the readout"] if self.readout else []
        parts += [f"{self.twins:,} for {counted(self.twin_count, 'twin')}"] if self.twin_count else []
        parts += [f"{self.symmetry:,} for the symmetry"] if self.symmetry else []
        return f"{', '.join(parts)}: {self.total:,} in all"


def shots_spent(shots: int) -> str:
    """A number of shots in words."""
    return counted(shots, "shot") if shots else "exact values"


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _numbers(flag: str, text: str, kind: type, example: str) -> list[Any]:
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{flag} {text} is no list of numbers; write {example}.") from None
