"""VQE of the 3×4 Heisenberg grid: one circuit, four starting points.

The circuit is a few staircase layers and one block on each edge of the grid, all of real two-qubit blocks (2
CX, 6 angles). It starts as the DMRG state of bond dimension 8 with near-identity blocks after it (mps), as
the best product state with the same blocks (product), near the identity, or at random. Adam's learning rate
is chosen for each start separately: the one with the lowest mean error after the last step, on seeds that are
not reported. A seed determines everything random about a start, including its tensor network. Errors are 100
(E − E0) / |E0|, mean ± standard error over the seeds.

    python benchmarks/vqe.py [--quick] [--layers 2 3] [--seeds 5] [--out FILE.json]
"""

from __future__ import annotations

import argparse
from functools import cache
from time import perf_counter

import numpy as np
from record import add_out, save

from bondwise.qml import (
    VQE,
    exact_ground_state,
    heisenberg,
    lattice_edges,
    near_identity_start,
    product_start,
    random_start,
)
from bondwise.tn import decompose, extend, ground_state

SIZE, MAX_BOND = (3, 4), 8
HAMILTONIAN, EDGES = heisenberg(SIZE), lattice_edges(SIZE)
EXACT = exact_ground_state(HAMILTONIAN)[0]
STARTS = ("mps", "product", "near-identity", "random")


def relative(energies):
    return (np.asarray(energies) - EXACT) / abs(EXACT)


@cache
def prepare(layers, seed):
    """The circuit, the angles of each start, and the accuracy and time of the tensor network."""
    began = perf_counter()
    dmrg = ground_state(HAMILTONIAN, max_bond=MAX_BOND, seed=seed)
    dmrg_seconds = perf_counter() - began
    mps = decompose(dmrg.state, layers=layers, seed=seed)
    circuit, angles = extend(mps.circuit, mps.parameters, EDGES, strength=0.01, seed=seed)
    seconds = perf_counter() - began
    starts = {
        "mps": angles,
        "product": product_start(HAMILTONIAN, layers=layers, pairs=EDGES, strength=0.01, seed=seed)[1],
        "near-identity": near_identity_start(circuit, strength=0.1, seed=seed),
        "random": random_start(circuit, seed=seed),
    }
    facts = {
        "dmrg_error": float(relative(dmrg.value)),
        "dmrg_seconds": dmrg_seconds,
        "infidelity": mps.infidelity,
        "start_seconds": seconds,
    }
    return circuit, starts, facts


def train(name, layers, seed, rate, steps):
    """Relative error after 0, 1, … updates, and the seconds they took."""
    circuit, starts, _ = prepare(layers, seed)
    result = VQE(HAMILTONIAN, circuit, learning_rate=rate).run(starts[name], steps=steps)
    return relative(result.losses), result.seconds[-1]


def compare(layers, seeds, steps, rates, scan_seeds):
    """All starts of the circuit with this many layers."""
    starts = {}
    for name in STARTS:
        scan = {
            rate: np.mean([train(name, layers, seed, rate, steps)[0][-1] for seed in scan_seeds])
            for rate in rates
        }
        rate = min(scan, key=scan.get)
        runs = [train(name, layers, seed, rate, steps) for seed in seeds]
        starts[name] = {
            "learning_rate": rate,
            "scan": {str(rate): float(error) for rate, error in scan.items()},
            "errors": [errors.tolist() for errors, _ in runs],
            "seconds": float(np.mean([seconds for _, seconds in runs])),
        }
    goal = float(np.mean([errors[-1] for errors in starts["random"]["errors"]]))
    for start in starts.values():
        start["steps_to_goal"] = [
            next((step for step, error in enumerate(errors) if error <= goal), None)
            for errors in start["errors"]
        ]
    circuit, _, _ = prepare(layers, seeds[0])
    facts = [prepare(layers, seed)[2] for seed in seeds]
    return {
        "layers": layers,
        "angles": circuit.num_parameters,
        "cx": circuit.count_ops()["cx"],
        "steps": steps,
        "goal": goal,
        "tensor_network": {key: float(np.mean([fact[key] for fact in facts])) for key in facts[0]},
        "starts": starts,
    }


def show(result):
    """Print one comparison."""
    steps, network = result["steps"], result["tensor_network"]
    columns = [step for step in (0, 25, 50, 100, 200) if step < steps] + [steps]
    print(f"\n{result['layers']} staircase layers: {result['angles']} angles, {result['cx']} CX")
    heads = "".join(f"{step:>15}" for step in columns)
    print(f"{'% error after steps':<20}{'rate':>5}{heads}   steps to goal")
    for name, start in result["starts"].items():
        errors = 100 * np.array(start["errors"])[:, columns]
        spread = errors.std(axis=0, ddof=1) / np.sqrt(len(errors))
        cells = [f"{m:.2f} ± {s:.2f}" for m, s in zip(errors.mean(axis=0), spread, strict=True)]
        reached = " ".join("-" if step is None else str(step) for step in start["steps_to_goal"])
        print(f"{name:<20}{start['learning_rate']:>5}{''.join(f'{c:>15}' for c in cells)}   {reached}")
    print(f"goal: {100 * result['goal']:.2f} %, what the random start reaches on average in {steps} steps")
    print(
        f"mps start: DMRG {network['dmrg_seconds']:.1f} s, with its circuit {network['start_seconds']:.1f} s "
        f"(infidelity {network['infidelity']:.3f}); {steps} steps {result['starts']['mps']['seconds']:.1f} s"
    )
    dmrg = 100 * network["dmrg_error"]
    vqe = 100 * np.mean([errors[-1] for errors in result["starts"]["mps"]["errors"]])
    verdict = "better than" if dmrg < vqe else "worse than"
    print(
        f"plain DMRG, bond {MAX_BOND}: {dmrg:.2f} %, {verdict} VQE from it after {steps} steps ({vqe:.2f} %)"
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="two layers, two seeds, 60 steps")
    parser.add_argument(
        "--layers", type=int, nargs="+", default=[2, 3], help="numbers of staircase layers, one table each"
    )
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds reported, 2 to 100")
    add_out(parser)
    options = parser.parse_args()
    layers, seeds, steps = options.layers, options.seeds, 200
    rates, scan_seeds = (0.02, 0.05, 0.1, 0.2, 0.4), (100, 101, 102)
    if options.quick:
        layers, seeds, steps, rates, scan_seeds = [2], 2, 60, (0.05, 0.1), (100,)
    lattice = f"Heisenberg {SIZE[0]}×{SIZE[1]}, E0 = {EXACT:.6f}"
    print(f"{lattice}; seeds 0 to {seeds - 1}, learning rates chosen on seeds {scan_seeds}")
    results = []
    for count in layers:
        results.append(compare(count, range(seeds), steps, rates, scan_seeds))
        show(results[-1])
    save(options.out, {"size": SIZE, "max_bond": MAX_BOND, "exact_energy": EXACT, "circuits": results})


if __name__ == "__main__":
    main()
