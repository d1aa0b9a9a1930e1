"""`bondwise warmup`: compile everything that would otherwise be compiled when it is first used."""

from __future__ import annotations

import time
from collections.abc import Callable

from bondwise.cli.terminal import show, show_table
from bondwise.runs import progress_bar


def command() -> None:
    """Compile everything beforehand; otherwise, the first run of a command takes seconds longer.

    The compiled code is kept beside the installed package, or in NUMBA_CACHE_DIR, until the package changes.
    """
    from numba.core import event

    rows, compiled = [], 0
    with progress_bar(len(_PARTS), "warmup") as bar:
        for name, use in _PARTS.items():
            bar.set_description(f"warmup: {name}")
            start = time.perf_counter()
            with event.install_recorder("numba:compile") as recorder:
                use()
            count = sum(1 for _, what in recorder.buffer if what.is_start)
            rows.append([name, count or "–", f"{time.perf_counter() - start:.1f}"])
            compiled += count
            bar.update()
    show_table("warmup", ("part", "functions compiled", "s"), rows)
    show("Compiled; the next runs start at once." if compiled else "Everything was compiled already.")


def _overlap(complex_gates: bool) -> None:
    import numpy as np

    from bondwise.tn import ExactOverlap, site_tensors

    gates = np.eye(4, dtype=complex if complex_gates else float)[None]
    ExactOverlap(site_tensors([0.6, 0, 0, 0.8]), [(0, 1)]).sweep(gates)


def _gradients() -> None:
    import torch
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter

    from bondwise.backends import expectation

    circuit = QuantumCircuit(3)
    circuit.ry(Parameter("a"), 0)
    circuit.ccx(0, 1, 2)
    expectation(circuit, "ZZZ", torch.zeros(1, dtype=torch.float64, requires_grad=True)).sum().backward()


def _proteins() -> None:
    from bondwise.qml.protein import PathQTN, synthetic_proteins

    proteins = synthetic_proteins(10)
    PathQTN(epochs=1).fit(proteins.sequences, proteins.labels or ())


def _homology() -> None:
    from bondwise.qml.protein import homology_split, synthetic_proteins

    homology_split(synthetic_proteins(10).sequences, progress=False)


def _quimb() -> None:
    import numpy as np

    from bondwise.tn import to_quimb

    to_quimb([np.ones((1, 2, 1))])


_PARTS: dict[str, Callable[[], None]] = {
    "real circuits from tensor networks": lambda: _overlap(False),
    "complex circuits from tensor networks": lambda: _overlap(True),
    "gradients on the exact simulator": _gradients,
    "protein classifiers": _proteins,
    "families of proteins": _homology,
    "quimb, for states as its objects": _quimb,
}
