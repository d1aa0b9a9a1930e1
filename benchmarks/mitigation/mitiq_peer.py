"""Whether `mitiq_fits.py` gives the values of mitiq itself, on random scans.

mitiq needs older packages than we do, so it has an environment of its own:

    python -m venv DIR && DIR/bin/pip install mitiq==1.1.0
    python benchmarks/mitigation/mitiq_peer.py --python DIR/bin/python [--scans N] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import subprocess
from typing import Any

import mitiq_fits
import numpy as np
from record import add_out, save

GOAL, ITERATED = 1e-9, 1e-6  # largest difference from mitiq; its regressions are iterated, ours are solved
FACTORS = ((1.0, 3.0, 5.0), (1.0, 2.0, 3.0), (1.0, 1.5, 2.0, 2.5))
TWINS = 12
# runs where mitiq is: values of its factories, and of its Clifford data regression on given measurements
PEER = """
import json, sys, warnings
import cirq, mitiq
from mitiq.cdr import execute_with_cdr
from mitiq.zne import inference as z

warnings.simplefilter("ignore")
task = json.load(sys.stdin)
fits = {
    "linear": lambda s, y: z.LinearFactory.extrapolate(s, y),
    "Richardson": lambda s, y: z.RichardsonFactory.extrapolate(s, y),
    "fake nodes": lambda s, y: z.FakeNodesFactory.extrapolate(s, y),
    "exponential": lambda s, y: z.ExpFactory.extrapolate(s, y, asymptote=0.0),
    "poly-exponential": lambda s, y: z.PolyExpFactory.extrapolate(s, y, order=2, asymptote=0.0),
}
found = {name: [float(fit(s, y)) for s, y in task["scans"]] for name, fit in fits.items()}
qubit = cirq.LineQubit(0)
circuit = cirq.Circuit([cirq.rz(0.1 * k + 0.3)(qubit) for k in range(1, 20)])
for name, columns in (("cdr", 1), ("vncdr", 3)):
    found[name] = []
    for own, twins, ideal in task["regressions"]:
        measured = iter([value for row in [own, *twins] for value in row[:columns]])
        exact = iter(ideal)
        found[name].append(float(execute_with_cdr(
            circuit, lambda _: next(measured), simulator=lambda _: next(exact), scale_noise=lambda c, s: c,
            num_training_circuits=len(ideal), scale_factors=(1, 3, 5)[:columns])))
json.dump({"version": mitiq.__version__, "values": found}, sys.stdout)
"""


def random_task(count: int, rng: np.random.Generator) -> dict[str, Any]:
    """Decays of all sizes with noise of all sizes, and twins that a decay shrinks."""
    scans, regressions = [], []
    for index in range(count):
        at = np.array(FACTORS[index % len(FACTORS)])
        decay = rng.uniform(-1, 1) * np.exp(-rng.uniform(0, 0.6) * at)
        scans.append((at.tolist(), (decay + rng.choice([0.003, 0.03]) * rng.normal(size=at.size)).tolist()))
        ideal = rng.uniform(-1, 1, TWINS + 1)
        shrunk = ideal[:, None] * np.exp(-rng.uniform(0, 0.3) * np.array(FACTORS[0]))
        shrunk += 0.02 * rng.normal(size=shrunk.shape)
        regressions.append((shrunk[0].tolist(), shrunk[1:].tolist(), ideal[1:].tolist()))
    return {"scans": scans, "regressions": regressions}


def ours(task: dict[str, Any]) -> dict[str, list[float]]:
    scans = [(np.array(at), np.array([values])) for at, values in task["scans"]]
    found = {name: [float(fit(*scan)[0]) for scan in scans] for name, fit in mitiq_fits.ZNE.items()}
    for name, columns in (("cdr", 1), ("vncdr", 3)):
        found[name] = [
            float(
                mitiq_fits.regression(
                    np.array(twins)[:, :columns], np.array(ideal), np.array([own[:columns]])
                )[0]
            )
            for own, twins, ideal in task["regressions"]
        ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", required=True, help="a Python that can import mitiq")
    parser.add_argument("--scans", type=int, default=300)
    add_out(parser)
    options = parser.parse_args()
    task = random_task(options.scans, np.random.default_rng(0))
    output = subprocess.run(
        [options.python, "-c", PEER], input=json.dumps(task), capture_output=True, text=True, check=True
    ).stdout
    peer, own, differences = json.loads(output), ours(task), {}
    print(f"mitiq {peer['version']}, {options.scans} scans: largest difference in units of 1 + |value|")
    for name, values in peer["values"].items():
        theirs = np.array(values)
        differences[name] = float((np.abs(own[name] - theirs) / (1 + np.abs(theirs))).max())
        goal = ITERATED if name in ("cdr", "vncdr") else GOAL
        print(f"{name:18}{differences[name]:9.1e}  {'met' if differences[name] <= goal else 'MISSED'}")
    save(options.out, {"mitiq": peer["version"], "scans": options.scans, "differences": differences})


if __name__ == "__main__":
    main()
