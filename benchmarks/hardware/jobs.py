"""What the journal costs: jobs recorded and listed, and a recorded job beside the bare primitive.

"record" is the whole life of a job in the journal, three commits on the disk: intent, identifier, result of
1,000 shots. "list" reads all jobs. The overhead is CPU time of values through `record`, over that of IBM's
client-side estimator (level 1) on the same simulator with the same circuits, compiled and scheduled, in
turns; medians.

    python benchmarks/hardware/jobs.py [--quick] [--out FILE]
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import gc
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from qiskit.circuit.library import efficient_su2
from qiskit.transpiler import PassManager
from qiskit.transpiler.passes import ALAPScheduleAnalysis, PadDelay
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.fake_provider import FakeManilaV2
from record import add_out, save

from bondwise.backends import Journal, estimate, get_backend, record

MOST_SECONDS = 1.0  # for 1,000 jobs
MOST_OVERHEAD = 0.05
OBSERVABLES = ["ZZIII", "IXXII", "IIYYI", "ZIIIZ"]
SHOTS = 4096


def journal_seconds(folder: Path, jobs: int) -> tuple[float, float]:
    """Wall seconds to record the jobs, and to list them."""
    journal, result = Journal(folder / "load.sqlite"), bytes(1000)
    start = time.perf_counter()
    for number in range(jobs):
        tag = f"bondwise-run-0-{number:08d}"
        journal.intend(tag, run="load", backend="ibm:ibm_torino", about={"circuits": 3, "shots": 1000})
        journal.submitted(tag, [f"d{number:019d}"])
        journal.done(tag, result, 1.5)
    recorded = time.perf_counter()
    assert len(journal.records()) == jobs
    return recorded - start, time.perf_counter() - recorded


def overhead(folder: Path, repetitions: int) -> tuple[float, float, float]:
    """Median CPU seconds of the bare estimator and of a recorded value, and the median of their ratios."""
    circuit = efficient_su2(5, reps=2)
    recorded = record("fake:manila,resilience=1", "overhead", journal=folder / "overhead.sqlite")
    rng = np.random.default_rng(0)
    place = get_backend("fake:manila,resilience=1")
    isa = place.transpile(circuit)
    target = FakeManilaV2().target  # idle qubits relax, as they do in ours
    delays = PassManager([ALAPScheduleAnalysis(target=target), PadDelay(target=target)])
    scheduled = delays.run(isa)
    simulator = AerSimulator.from_backend(FakeManilaV2(), method="density_matrix", max_parallel_threads=1)
    bare, ours = [], []
    gc.disable()  # it strikes anywhere, and takes as long as a job
    for number in range(repetitions + 1):
        gc.collect()
        angles = rng.uniform(-3, 3, circuit.num_parameters)
        start = time.process_time()
        estimator = Estimator(mode=simulator)
        estimator.options.simulator.seed_simulator = number
        operators = [_placed(text, isa) for text in OBSERVABLES]
        values = angles[[list(circuit.parameters).index(one) for one in isa.parameters]]
        estimator.run([(scheduled, operators, values)], precision=SHOTS**-0.5).result()
        middle = time.process_time()
        estimate(circuit, OBSERVABLES, angles, shots=SHOTS, backend=recorded, seed=number)
        if number:  # the first one loads and compiles
            bare.append(middle - start)
            ours.append(time.process_time() - middle)
    return median(bare), median(ours), median(two / one for one, two in zip(bare, ours, strict=True)) - 1


def _placed(text: str, isa: object) -> object:
    from qiskit.quantum_info import SparsePauliOp

    return SparsePauliOp(text).apply_layout(isa.layout)  # type: ignore[attr-defined]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="1,000 jobs and 3 repetitions")
    add_out(parser)
    options = parser.parse_args()
    jobs, repetitions = (1000, 3) if options.quick else (10_000, 15)
    with tempfile.TemporaryDirectory() as name:
        recording, listing = journal_seconds(Path(name), jobs)
        bare, ours, more = overhead(Path(name), repetitions)
    each = 1000 * (recording + listing) / jobs
    print(f"{jobs:,} jobs: recorded in {recording:.2f} s, listed in {listing:.2f} s")
    verdict = "met" if each < MOST_SECONDS else "MISSED"
    print(f"  {each:.2f} s for 1,000, goal {MOST_SECONDS:g} s: {verdict}")
    print(f"a job of {len(OBSERVABLES)} observables: bare {bare:.3f} s, recorded {ours:.3f} s of CPU")
    verdict = "met" if more <= MOST_OVERHEAD else "MISSED"
    print(f"  overhead {more:+.1%}, goal {MOST_OVERHEAD:.0%}: {verdict}")
    save(
        options.out,
        {
            "jobs": jobs,
            "recorded_s": recording,
            "listed_s": listing,
            "bare_cpu_s": bare,
            "ours_cpu_s": ours,
            "overhead": more,
        },
    )


if __name__ == "__main__":
    main()
