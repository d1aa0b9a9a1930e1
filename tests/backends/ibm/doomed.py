"""Runs the same small study again and again, each time in a new process that may kill itself.

Started once by `test_kills.py`, so that the imports are paid for once; each study is a fork of it. Reads
orders from standard input, one JSON object a line, and answers each with lines of its own: the process, each
place it came to if asked for, and its numbers, if it lives that long.
"""

import json
import os
import signal
import sys
import threading
from collections import Counter

import numpy as np
from qiskit.circuit.library import efficient_su2

import bondwise.backends.ibm.service  # noqa: F401 (imported once, before the forks)
from bondwise.backends import Journal, estimate, record, sample

WATCHED = ("/backends/jobs/", "/backends/ibm/")


def study(journal, run):
    backend = record("ibm:least_busy", run, journal=Journal(journal))
    circuit = efficient_su2(2, reps=1)
    angles = np.linspace(0.1, 0.8, circuit.num_parameters)
    values = estimate(circuit, ["ZZ", "IX"], angles, shots=20, backend=backend, seed=1)
    samples = sample(circuit, angles, shots=10, backend=backend, seed=1)
    return {
        "values": values.value.tolist(),
        "counts": samples.counts["meas"],
        "job_ids": [*values.job_ids, *samples.job_ids],
        "backend": backend.name,
    }


def watch(stop_at, seen):
    """Count how often each line is come to; at the chosen one, be killed as by `kill -9`."""
    counted = Counter()

    def on_line(frame, event, _):
        if event == "line":
            place = f"{frame.f_code.co_filename.rpartition('/backends/')[2]}:{frame.f_lineno}"
            counted[place] += 1
            seen.append(place)
            if [place, counted[place]] == stop_at:
                os.kill(os.getpid(), signal.SIGKILL)
        return on_line

    def on_call(frame, event, _):
        return on_line if any(part in frame.f_code.co_filename for part in WATCHED) else None

    threading.settrace(on_call)
    sys.settrace(on_call)


def say(**content):
    print(json.dumps(content), flush=True)


for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if not child:
        code = 1
        try:
            say(process=os.getpid())
            seen = []
            if "stop_at" in order:
                watch(order["stop_at"], seen)
            found = study(order["journal"], order["run"])
            sys.settrace(None)
            say(found=found, seen=seen if order.get("list") else [])
            code = 0
        finally:
            os._exit(code)
    say(status=os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
