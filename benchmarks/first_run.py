"""CPU seconds of a first use, with nothing compiled yet, and of a second one.

Every command is a process of its own, on one thread: the first has an empty folder for compiled kernels, the
second finds there what the first left. The states of 12 sites are read from files.

    python benchmarks/first_run.py [--quick] [--out FILE]
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from record import add_out, save

from bondwise import qml, tn

DECOMPOSE = """
import sys
import numpy as np
from bondwise import tn
with np.load(sys.argv[1]) as file:
    print(tn.decompose([file[name] for name in file.files], seed=0))
"""
GROUND_STATE = """
from bondwise import qml, tn
print(tn.ground_state(qml.heisenberg(20), max_bond=32, seed=0))
"""
DEMO = "vqe --model heisenberg --size 8 --max-bond 8 --layers 2 --backend fake:torino --mitigate neural"


def write_states(folder: Path) -> tuple[Path, Path]:
    """The ground state of a Heisenberg chain, and the same with a random change of basis at each site."""
    tensors = tn.ground_state(qml.heisenberg(12), max_bond=32, seed=0).tensors
    rng = np.random.default_rng(0)
    bases = np.linalg.qr(rng.normal(size=(12, 2, 2)) + 1j * rng.normal(size=(12, 2, 2)))[0]
    turned = [np.einsum("ab,lbr->lar", basis, tensor) for basis, tensor in zip(bases, tensors, strict=True)]
    for name, arrays in (("real", tensors), ("complex", turned)):
        np.savez(folder / f"{name}.npz", *arrays)
    return folder / "real.npz", folder / "complex.npz"


def cpu_seconds(command: list[str], cache: Path) -> float:
    """User and system time of a command and its children."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache), "OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="without the demo")
    add_out(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        real, rotated = write_states(folder)
        python = [sys.executable, "-c"]
        commands = {
            "import and `decompose`, 12 sites, real": [*python, DECOMPOSE, str(real)],
            "import and `decompose`, 12 sites, complex": [*python, DECOMPOSE, str(rotated)],
            "import and `ground_state`, 20 sites": [*python, GROUND_STATE],
        }
        if not options.quick:
            demo = [*DEMO.split(), "--out", str(folder / "demo"), "--overwrite"]
            commands["`make demo`"] = [sys.executable, "-m", "bondwise.cli.main", *demo]
        rows = []
        print(f"{'':45} {'first, CPU s':>12} {'second':>8}")
        for number, (what, command) in enumerate(commands.items()):
            first, second = (cpu_seconds(command, folder / f"cache{number}") for _ in range(2))
            rows.append({"what": what, "first": first, "second": second})
            print(f"{what:45} {first:12.1f} {second:8.1f}")
    save(options.out, rows)


if __name__ == "__main__":
    main()
