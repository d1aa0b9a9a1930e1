"""Faults on demand: what can go wrong between a client and a service, one by one."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from fnmatch import fnmatchcase

from bondwise.runs import UsageError, real_number, unknown_name, whole_number

FAULTS = {
    "error": "answered with a status such as 500; nothing is done",
    "error-after": "done, then answered with a status such as 500",
    "busy": "answered with 429 and Retry-After; nothing is done",
    "drop": "the connection is closed; nothing is done",
    "drop-after": "done, then the connection is closed without an answer",
    "slow": "done after some seconds",
    "expired": "answered with 401, as if the access token had expired; nothing is done",
    "garbage": "done, then answered with something that is not JSON",
    "shape": "done, then answered with JSON of another shape",
    "failed": "the job is accepted, and fails",
    "cancelled": "the job is accepted, and the service cancels it",
    "drift": "the device is calibrated anew right after the job is accepted, before it runs",
}
JOB_FAULTS = {"failed", "cancelled", "drift"}  # of accepted jobs, so of POST /jobs only
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@dataclass
class Fault:
    """One fault that waits for its requests.

    Args:
        kind: One of `FAULTS`.
        method: HTTP method of the requests.
        path: Path below the service's URL; `*` stands for one part, as in `/jobs/*/results`.
        times: How many requests it still strikes; None for all.
        seconds: Delay of "slow", and Retry-After of "busy".
        status: Status of "error" and "error-after".
        reason: Reason given by "failed" and "cancelled".
    """

    kind: str
    method: str
    path: str
    times: int | None
    seconds: float
    status: int
    reason: str

    def __post_init__(self) -> None:
        if self.kind not in FAULTS:
            raise unknown_name("fault", self.kind, FAULTS)
        if self.method not in METHODS:
            raise unknown_name("method", self.method, METHODS)
        if not self.path.startswith("/"):
            raise UsageError(f"path is {self.path!r}; write it as in '/jobs' or '/jobs/*/results'.")
        if self.kind in JOB_FAULTS and (self.method, self.path) != ("POST", "/jobs"):
            raise UsageError(f"{self.kind} is a fault of jobs; use it with method='POST' and path='/jobs'.")
        if self.times is not None:
            self.times = whole_number("times", self.times, otherwise="None")
        self.seconds = real_number("seconds", self.seconds, zero=True)
        self.status = whole_number("status", self.status, least=400, most=599)

    def strikes(self, method: str, path: str) -> bool:
        """Whether a request is one of those that it waits for."""
        given, wanted = path.split("/"), self.path.split("/")
        same = len(given) == len(wanted) and all(map(fnmatchcase, given, wanted))
        return same and method == self.method and self.times != 0


class Faults:
    """The faults that wait, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Have a fault wait for its requests."""
        with self._lock:
            self._waiting.append(fault)

    def clear(self) -> None:
        """Forget all faults that still wait."""
        with self._lock:
            self._waiting.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that strikes a request, which is thereby spent once; None if nothing goes wrong."""
        with self._lock:
            for fault in self._waiting:
                if fault.strikes(method, path):
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None
