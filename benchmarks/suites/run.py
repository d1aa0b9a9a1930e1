"""Tests of other packages, run on our objects instead of theirs: passed, failed, different by design.

The tests stay in checkouts of their repositories; `plugin.py` swaps in our estimators, samplers, model
and extrapolations, and `gradients.py` tests qiskit-algorithms, whose own tests pip does not install.
"untouched" tests never use one of our objects. Suites that sample run with three seeds, and a test must pass
with all of them.

    pip install ddt fixtures tensorboard cirq-core tabulate qiskit-algorithms
    python benchmarks/suites/run.py --qiskit DIR --aer DIR --lambeq DIR --mitiq DIR [--quick] [--out FILE]
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))
from record import add_out, save  # noqa: E402

VERDICTS = ("passed", "failed", "different", "untouched", "skipped")


@dataclass(frozen=True)
class Suite:
    """Test files of a peer, and the tests in which ours differs by design, each with the reason."""

    name: str
    peer: str
    folder: str
    tests: tuple[str, ...]
    needs: tuple[str, ...] = ()
    by_design: Mapping[str, str] = field(default_factory=dict)
    seeds: int = 3


QISKIT, AER = "test/python/primitives", "test/terra/primitives"
JOB = "the job's metadata also holds the shots spent and the job identifiers"
SIMULATOR = "the metadata says what was measured, not how Aer ran"
DRAWS = "other draws: counts below a hundred or so need not agree within 10 %, which is all the test allows"
ASYMPTOTE = "the asymptote is known (Tr O / 2^n) or given, never fitted"
FACTORS = "scale factors have to be positive and distinct"
ERROR = "the standard error comes from the shots; mitiq's, from the residuals, needs a scan of its own"
SUITES = (
    Suite(
        "statevector-estimator",
        "qiskit",
        "test",
        (f"{QISKIT}/test_statevector_estimator.py",),
        ("ddt",),
        {
            "test_metadata": JOB,
            "test_precision_seed": "a precision is met by shots, not by adding a normal error of that size",
            "test_reset": "a circuit with a reset in its middle has no exact value; Qiskit's is "
            "that of one random outcome",
        },
    ),
    Suite(
        "statevector-sampler",
        "qiskit",
        "test",
        (f"{QISKIT}/test_statevector_sampler.py",),
        ("ddt",),
        {
            "test_metadata": JOB,
            "test_run_errors": "control flow is sampled, not refused",
            "test_run_numpy_params": DRAWS,
            "test_run_single_circuit": DRAWS,
            "test_circuit_with_aliased_cregs": DRAWS,
            "test_sampler_run_with_parameterized_circuits": DRAWS,
        },
    ),
    Suite(
        "backend-estimator",
        "qiskit",
        "test",
        (f"{QISKIT}/test_backend_estimator_v2.py",),
        ("ddt",),
        {"test_metadata": JOB},
    ),
    Suite(
        "backend-sampler",
        "qiskit",
        "test",
        (f"{QISKIT}/test_backend_sampler_v2.py",),
        ("ddt",),
        {
            "test_metadata": JOB,
            "test_run_level1": "samples are bits; levels below (`meas_level`) are not read",
        },
    ),
    Suite(
        "aer-estimator",
        "aer",
        "test",
        (f"{AER}/test_estimator_v2.py",),
        ("fixtures",),
        {"test_metadata": JOB, "test_estimator_run": SIMULATOR},
    ),
    Suite(
        "aer-sampler",
        "aer",
        "test",
        (f"{AER}/test_sampler_v2.py",),
        ("fixtures",),
        {"test_metadata": JOB, "test_sampler_run": SIMULATOR},
    ),
    Suite(
        "lambeq",
        "lambeq",
        "tests",
        tuple(f"tests/training/test_pytorch_{name}.py" for name in ("quantum_model", "trainer")),
        ("tensorboard",),
        {
            "test_forward_mixed": "circuits with discards give diag ρ / tr ρ, not |ρ| / Σ |ρ_ij|",
            "test_contraction_path_is_cached": "the model plans the contraction; the optimizer stays unused",
            "test_get_diagram_output_error": "a model without weights raises UsageError (a ValueError) that "
            "says what to call, not KeyError",
            "test_checkpoint_loading_errors": "a file without a model raises UsageError, not KeyError",
            "test_checkpoint_loading_file_not_found_errors": "a missing file raises UsageError too",
        },
        seeds=1,
    ),
    Suite(
        "mitiq",
        "mitiq",
        "mitiq",
        ("mitiq/zne/tests/test_inference.py",),
        ("cirq", "tabulate"),
        {
            "test_get_scale_factors_adaptive_factories": ASYMPTOTE,
            "test_get_expectation_values_adaptive_factories": ASYMPTOTE,
            "test_exp_factory_no_asympt": ASYMPTOTE,
            "test_ada_exp_factory_no_asympt": ASYMPTOTE,
            "test_avoid_log_keyword": "there is one fit, of the values themselves; none of logarithms",
            "test_too_few_points_for_polyfit_warning": "a degree that the points do not fix is refused",
            "test_failing_fit_error": "where the fit fails, the straight line, with converged False",
            "test_failing_fit_warnings": FACTORS,
            "test_params_cov_and_zne_std": f"{FACTORS}; {ERROR}",
            "test_get_methods_of_factories": f"{FACTORS}; {ERROR}",
        },
        seeds=1,
    ),
    Suite(
        "gradients",
        "qiskit-algorithms",
        "",
        (str(HERE / "gradients.py"),),
        ("qiskit_algorithms",),
        seeds=1,
    ),
)


def outcomes(suite: Suite, checkout: Path | None, shift: int) -> dict[str, dict]:
    """Outcome and error of each test, and whether it used one of our objects; `shift` is added to seeds."""
    with tempfile.TemporaryDirectory() as folder:
        # a folder of its own: the checkout's sources must not shadow the installed package
        if checkout is not None:
            os.symlink((checkout / suite.folder).resolve(), Path(folder, suite.folder))
        record = Path(folder, "record.json")
        paths = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [sys.executable, "-m", "pytest", "-p", "plugin", "-p", "no:cacheprovider", "-q"]
        command += ["--swap", suite.name, "--shift", str(shift), "--record", str(record), *suite.tests]
        run = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", "MPLBACKEND": "agg"},
            capture_output=True,
            text=True,
        )
        if run.returncode not in (0, 1) or not record.exists():
            sys.exit(f"{suite.name}: pytest could not run the tests\n{(run.stdout + run.stderr)[-2000:]}")
        return json.loads(record.read_text())


def judged(suite: Suite, rounds: list[dict[str, dict]]) -> dict[str, dict]:
    """The verdict on each test from its outcomes with several seeds, and why it did not pass."""
    verdicts = {}
    for test, first in rounds[0].items():
        name = re.sub(r"^[^\[]*::", "", test)
        failed = [one[test] for one in rounds if one[test]["outcome"] == "failed"]
        reason = next((why for start, why in suite.by_design.items() if name.startswith(start)), None)
        if failed and reason is not None:
            verdict, why = "different", reason
        elif failed:
            verdict, why = "failed", f"with {len(failed)} of {len(rounds)} seeds: {failed[0]['error']}"
        elif not first["used"]:
            verdict, why = "untouched", ""
        else:
            verdict, why = first["outcome"], ""
        verdicts[name] = {"verdict": verdict, "why": why}
    return verdicts


def run_suite(suite: Suite, checkout: Path | None, seeds: int) -> dict[str, dict]:
    """The verdicts on a suite's tests; exits with one line if a package or the checkout is missing."""
    missing = [name for name in suite.needs if find_spec(name) is None]
    if missing:
        sys.exit(f"{suite.name}: {', '.join(missing)} not installed; see the top of {Path(__file__).name}")
    for test in suite.tests if checkout is not None else ():
        if not (checkout / test).is_file():
            sys.exit(f"{suite.name}: {checkout} has no {test}; give a checkout of {suite.peer}'s repository")
    return judged(suite, [outcomes(suite, checkout, shift) for shift in range(seeds)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for peer in ("qiskit", "aer", "lambeq", "mitiq"):
        parser.add_argument(f"--{peer}", type=Path, metavar="DIR", help=f"checkout of {peer}'s repository")
    parser.add_argument("--quick", action="store_true", help="one seed")
    add_out(parser)
    options = parser.parse_args()
    rows = []
    print(f"{'suite':24}", *(f"{verdict:>10}" for verdict in VERDICTS))
    for suite in SUITES:
        checkout = getattr(options, suite.peer, None)
        if checkout is None and suite.folder:
            continue
        tests = run_suite(suite, checkout, 1 if options.quick else suite.seeds)
        count = Counter(test["verdict"] for test in tests.values())
        print(f"{suite.name:24}", *(f"{count[verdict]:10d}" for verdict in VERDICTS), flush=True)
        rows.append({"suite": suite.name} | {verdict: count[verdict] for verdict in VERDICTS})
        rows[-1]["why"] = {name: test["why"] for name, test in tests.items() if test["why"]}
    for row in rows:
        for name, why in row["why"].items():
            print(f"{row['suite']}: {name}: {why}")
    save(options.out, rows)
    sys.exit(any(row["failed"] for row in rows))


if __name__ == "__main__":
    main()
