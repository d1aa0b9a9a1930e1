"""The plan of a job before anything is spent: what would be submitted, and what it would cost."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from bondwise.backends.backend import Backend
from bondwise.backends.jobs.planning import Ledger, planned
from bondwise.backends.jobs.recording import place_of
from bondwise.backends.names import BackendLike, get_backend
from bondwise.runs import RunError, UsageError, kind_of
from bondwise.runs.result import html_table
from bondwise.runs.text import counted

OVERHEAD = 2.0  # seconds for each job
REP_DELAY = 250e-6  # seconds between two executions, on most of IBM's devices


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a computation would run.

    The QPU time is IBM's formula for usage, `2 s + (rep_delay + length of the circuit) × executions`, summed
    over jobs (https://quantum.cloud.ibm.com/docs/guides/estimate-job-run-time, "Estimate usage before
    submitting a job"). Lengths include the reset of the qubits and come from the durations that the device
    reports; rep_delay is the default of the device, or 250 µs. A job that the service divides into parts
    takes 2 s for each; how many is not known beforehand.

    The success probability of a circuit is the product of 1 - error over its gates and measurements, and of
    the fidelities of qubits that wait, by their T1 and T2. Correlated errors and crosstalk are not included.

    Attributes:
        backend: Name of the backend.
        jobs: Number of jobs.
        pubs: Number of PUBs in all jobs.
        circuits: Number of circuits: parameter sets times measured bases, noise scales and randomizations.
        shots: Number of shots in total; 0 for exact values.
        two_qubit_gates: Number of gates on two or more qubits in all circuits, as compiled.
        most_two_qubit_gates: Number of these gates in the circuit that has the most.
        two_qubit_depth: Two-qubit depth of all circuits together.
        most_two_qubit_depth: Two-qubit depth of the deepest circuit.
        success: Mean success probability of the circuits, None if the target reports no errors.
        least_success: Success probability of the worst circuit.
        device: Whether it would run on a device, and not on a simulator.
        device_seconds: Seconds of QPU time on a device with these errors and durations, by IBM's formula;
            None if the target reports no durations.
        simulation_seconds: Estimated seconds of simulation on this machine, as far as it is known.
        waiting_jobs: How many jobs wait for the device; None if not known.
        known_jobs: Number of jobs that the journal has already, which are not paid for again.
        complete: Whether the computation went on to its end with made-up results; otherwise there may be more
            jobs.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.backends import estimate, plan
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1)
        >>> found = plan("fake:manila", lambda place: estimate(bell, ["ZZ", "XX"], shots=1000, backend=place))
        >>> found.circuits, found.shots, found.qpu_seconds
        (2, 2000, 0.0)
    """

    backend: str
    jobs: int
    pubs: int
    circuits: int
    shots: int
    two_qubit_gates: int
    most_two_qubit_gates: int
    two_qubit_depth: int
    most_two_qubit_depth: int
    success: float | None
    least_success: float | None
    device: bool
    device_seconds: float | None
    simulation_seconds: float
    waiting_jobs: int | None = None
    known_jobs: int = 0
    complete: bool = True

    def as_dict(self) -> dict[str, Any]:
        """All attributes and `qpu_seconds`, for JSON."""
        return asdict(self) | {"qpu_seconds": self.qpu_seconds}

    @property
    def qpu_seconds(self) -> float | None:
        """Estimated seconds of QPU time: 0 for a simulator, None for a device that reports no durations."""
        return self.device_seconds if self.device and self.jobs else 0.0

    def __str__(self) -> str:
        return "\n".join([self._title(), *(f"  {name}: {text}" for name, text in self._rows())])

    def _repr_html_(self) -> str:
        return html_table(self._title(), self._rows())

    def _title(self) -> str:
        return f"Plan for {self.backend}"

    def _rows(self) -> list[tuple[str, str]]:
        sizes = (self.jobs, "job"), (self.pubs, "PUB"), (self.circuits, "circuit"), (self.shots, "shot")
        submits = ", ".join(counted(number, noun) for number, noun in sizes)
        rows = [("submits", submits if self.complete else f"at least {submits}")]
        if self.known_jobs:
            rows.append(("in the journal", f"{counted(self.known_jobs, 'job')}, not paid for again"))
        if self.two_qubit_gates:
            most = f"{self.most_two_qubit_gates:,} in a circuit, depth {self.most_two_qubit_depth:,}, at most"
            rows.append(("two-qubit gates", f"{most}; {self.two_qubit_gates:,} in all"))
        if self.success is not None and self.least_success is not None:
            rows.append(
                (
                    "success",
                    f"{self.success:.3g} on average, {self.least_success:.3g} at least, by reported errors",
                )
            )
        rows.append(("QPU time", self._time()))
        return rows

    def _time(self) -> str:
        seconds = "unknown" if self.device_seconds is None else f"about {_duration(self.device_seconds)}"
        if self.device:
            waiting = (
                "" if self.waiting_jobs is None else f"; {counted(self.waiting_jobs, 'job')} in the queue"
            )
            return (seconds if self.jobs else "none") + waiting
        text = "none, simulated"
        if self.simulation_seconds >= 1:
            text += f" in about {_duration(self.simulation_seconds)}"
        return text if self.device_seconds is None or not self.shots else f"{text}; on the device {seconds}"


def plan(backend: BackendLike, work: Callable[[Backend], object]) -> Plan:
    """Find out what a computation would submit, without submitting or simulating anything.

    The computation runs with a backend that compiles circuits and makes results up, to its end, so that all
    its jobs are counted. Gradients that come from the state of a simulator in this process are no jobs, and
    are computed.

    Args:
        backend: Anything that `get_backend` takes. Of a recorded run (`record`), jobs that are in the journal
            are not counted; nothing is written there.
        work: The computation; it must use the backend that it is given, and what it returns is dropped.

    Returns:
        What it would cost. `complete` is False if made-up results let it end with a `RunError`.

    Raises:
        UsageError: If `work` is not a function of one argument; whatever is wrong with the computation.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.backends import plan, sample
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1)
        >>> print(plan("aer", lambda place: sample(bell, shots=1000, backend=place)))
        Plan for aer
          submits: 1 job, 1 PUB, 1 circuit, 1,000 shots
          two-qubit gates: 1 in a circuit, depth 1, at most; 1 in all
          QPU time: none, simulated
    """
    _require_function(work)
    place = get_backend(backend)
    made, ledger = planned(place)
    complete = True
    try:
        work(made)
    except RunError:
        if not ledger.jobs and not ledger.known:
            raise
        complete = False
    return _summary(place, ledger, complete)


def _require_function(work: object) -> None:
    instead = "give a function of the backend, such as lambda place: estimate(…, backend=place)."
    if not callable(work):
        raise UsageError(f"work is {kind_of(work)}; {instead}")
    try:
        inspect.signature(work).bind(None)
    except TypeError:
        name = getattr(work, "__name__", kind_of(work))
        raise UsageError(f"work is {name}, which does not take one argument; {instead}") from None
    except ValueError:  # written in C, without a signature
        pass


def runs_on_device(backend: Backend) -> bool:
    """Whether jobs of a backend run on a device, and not on a simulator in this process."""
    return place_of(backend).remote


def _summary(backend: Backend, ledger: Ledger, complete: bool) -> Plan:
    place = place_of(backend)
    delay = place.rep_delay() or REP_DELAY
    seconds: float | None = 0.0
    jobs_with_shots = ledger.jobs if any(load.shots for load, _ in ledger.loads) else 0
    for load, cost in ledger.loads:
        if cost.seconds is None or seconds is None:
            seconds = None
        else:
            seconds += load.sets * load.shots * (delay + cost.seconds)
    circuits = sum(load.sets for load, _ in ledger.loads)
    chances = [(cost.success, load.sets) for load, cost in ledger.loads if cost.success is not None]
    weight = sum(sets for _, sets in chances)
    return Plan(
        backend=backend.name,
        jobs=ledger.jobs,
        pubs=ledger.pubs,
        circuits=circuits,
        shots=sum(load.sets * load.shots for load, _ in ledger.loads),
        two_qubit_gates=sum(load.sets * cost.two_qubit_gates for load, cost in ledger.loads),
        most_two_qubit_gates=max((cost.two_qubit_gates for _, cost in ledger.loads), default=0),
        two_qubit_depth=sum(load.sets * cost.two_qubit_depth for load, cost in ledger.loads),
        most_two_qubit_depth=max((cost.two_qubit_depth for _, cost in ledger.loads), default=0),
        success=sum(chance * sets for chance, sets in chances) / weight if weight else None,
        least_success=min((chance for chance, _ in chances), default=None),
        device=place.remote,
        device_seconds=None if seconds is None else seconds + OVERHEAD * jobs_with_shots,
        simulation_seconds=ledger.seconds,
        waiting_jobs=place.waiting_jobs() if place.remote else None,
        known_jobs=ledger.known,
        complete=complete,
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
