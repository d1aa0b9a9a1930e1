"""VQE of molecules to 1.6 mHa, chemical accuracy: UCCSD, Givens rotations, and a staircase from DMRG.

All bases are STO-3G. UCCSD and Givens rotations start at Hartree-Fock. The staircase of real two-qubit
blocks starts as the DMRG state (mps), at random, or 0.01 radians from Hartree-Fock (hf), where its gradient
vanishes; so does a hardware-efficient circuit with about as many CX gates. The numbers of layers were chosen
after single trial runs and two more are always measured as well (mps +2), because for N2 the trial did not
repeat: its 8 layers miss the goal from every seed. Training is L-BFGS on exact energies with exact
gradients, at most 300 steps.

Each method runs in a process of its own, which first does the same for H2 at 1 Å: this pays for imports
and compilation (6 to 8 CPU seconds, reported). The CPU seconds after that are those of the process for
Hartree-Fock, the integrals, the exact reference, the mapping, the circuit, DMRG and its decomposition if
there is one, and the training up to 1.6 mHa. Errors are energies minus that of CASCI, in mHa. Starts that
depend on a seed are repeated with more of them.

    python benchmarks/chemistry/molecules.py [--quick] [--seeds 3] [--out FILE.json]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from time import process_time

import numpy as np
from record import add_out, save

from bondwise.circuits import cx_count, two_qubit_depth
from bondwise.qml import (
    VQE,
    givens,
    molecule,
    mps_start,
    prepare,
    uccsd,
)
from bondwise.tn import ground_state

ACCURACY, STEPS = 1.6e-3, 300
H4 = "H 0 0 0; H 0 0 2; H 0 0 4; H 0 0 6"
# geometry and options of the molecule, bond dimension of DMRG, layers of the staircase, goal in CPU seconds
CASES = {
    "H2": ({"geometry": "h2"}, 2, 1, 1.0),
    "LiH CAS(2,5)": ({"geometry": "lih", "active": (2, 5)}, 8, 2, 2.0),
    "H2O CAS(4,4)": ({"geometry": "h2o", "active": (4, 4)}, 8, 2, 2.0),
    "LiH": ({"geometry": "lih", "active": (4, 6)}, 8, 2, 10.0),
    "H4 at 2 Å": ({"geometry": H4}, 8, 4, None),
    "N2 CAS(6,6) at 1.8 Å": ({"geometry": "n2", "bond": 1.8, "active": (6, 6)}, 32, 8, None),
}
METHODS = (
    "uccsd",
    "givens",
    "staircase mps",
    "staircase mps +2",
    "staircase hf",
    "staircase random",
    "hardware-efficient hf",
)


def start(method, found, max_bond, layers, seed):
    """The circuit and the angles of a method."""
    if method in ("uccsd", "givens"):
        circuit = uccsd(found) if method == "uccsd" else givens(found)
        return circuit, np.zeros(circuit.num_parameters)
    if method.startswith("staircase mps"):
        layers += 2 * method.endswith("+2")
        return mps_start(layers, ground_state(found.hamiltonian, max_bond=max_bond, seed=seed), seed=seed)
    ansatz, name = method.split()
    how = {"layers": layers, "extend": 0} if ansatz == "staircase" else {"layers": 2 * layers}
    prepared = prepare(found, ansatz=ansatz, start=name, seed=seed, **how)
    angles = prepared.starts[name]
    if name == "hf":  # where the gradient vanishes
        angles = angles + 0.01 * np.random.default_rng(seed).normal(size=angles.size)
    return prepared.circuit, angles


def measure(options, max_bond, layers, method, seed):
    """One method on one molecule."""
    began = process_time()
    found = molecule(**options)
    built = process_time()
    circuit, angles = start(method, found, max_bond, layers, seed)
    started = process_time()
    reached = []

    def watch(step):
        if not reached and step.loss - found.casci_energy <= ACCURACY:
            reached.append((step.step, process_time() - began))

    vqe = VQE(found.hamiltonian, circuit, optimizer="lbfgs")
    result = vqe.run(angles, steps=STEPS, callbacks=[watch])
    step, seconds = reached[0] if reached else (None, None)
    return {
        "method": method,
        "seed": seed,
        "qubits": found.num_qubits,
        "terms": len(found.hamiltonian),
        "hf_error": 1e3 * (found.hf_energy - found.casci_energy),
        "cx": cx_count(circuit),
        "depth": two_qubit_depth(circuit),
        "angles": circuit.num_parameters,
        "start_error": 1e3 * (float(result.losses[0]) - found.casci_energy),
        "error": 1e3 * (result.value - found.casci_energy),
        "steps": len(result.losses) - 1,
        "steps_to_accuracy": step,
        "seconds_to_accuracy": seconds,
        "molecule_seconds": built - began,
        "start_seconds": started - built,
        "seconds": process_time() - began,
    }


def apart(case, method, seed):
    """The same in a process of its own, on one thread."""
    words = [sys.executable, __file__, "--case", case, "--method", method, "--seed", str(seed)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def show(row):
    """Print one row."""
    seconds = row["seconds_to_accuracy"]
    to = "not reached" if seconds is None else f"{row['steps_to_accuracy']:>3} steps, {seconds:.2f} s"
    print(
        f"{row['case']:<21} {row['method']:<22} {row['seed']:>2} {row['cx']:>5} CX {row['angles']:>4} angles "
        f"{row['start_error']:>9.2f} -> {row['error']:>8.3f} mHa   {to}",
        flush=True,
    )


def verdicts(rows):
    """Print the goals, and whether the start from DMRG needs fewer CX gates than UCCSD."""
    for case in dict.fromkeys(row["case"] for row in rows):
        goal = CASES[case][-1]
        mine = [row for row in rows if row["case"] == case]
        reached = [row for row in mine if row["seconds_to_accuracy"] is not None]
        if not reached:
            print(f"{case}: nothing reaches 1.6 mHa")
            continue
        fastest = min(reached, key=lambda row: row["seconds_to_accuracy"])
        fewest = min(reached, key=lambda row: row["cx"])
        limit = "" if goal is None else f" (goal {goal:g} s)"
        print(
            f"{case}: fastest {fastest['method']}, {fastest['seconds_to_accuracy']:.2f} s{limit}; fewest CX "
            f"{fewest['method']}, {fewest['cx']}; UCCSD {mine[0]['cx']} CX, {mine[0]['error']:.3f} mHa"
        )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="the two smallest molecules, one seed")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds of the start from DMRG")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--method", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    add_out(parser)
    options = parser.parse_args()
    if options.case is not None:
        measure({"geometry": "h2", "bond": 1.0}, 2, 1, options.method, options.seed)
        warm_up = process_time()
        row = measure(*CASES[options.case][:3], options.method, options.seed)
        print(json.dumps({"case": options.case} | row | {"warm_up_seconds": warm_up}))
        return
    cases, seeds = (list(CASES)[:2], 1) if options.quick else (list(CASES), options.seeds)
    rows = []
    for case in cases:
        for method in METHODS:
            for seed in range(seeds if "mps" in method or "random" in method else 1):
                rows.append(apart(case, method, seed))
                show(rows[-1])
    verdicts([row for row in rows if row["seed"] == 0])
    save(options.out, rows)


if __name__ == "__main__":
    main()
