"""What is imported through bondwise leaves scipy, numpy, torch and the process's settings as they were."""

import os
import subprocess
import sys

import pytest

PRODUCTS = """
import sys, warnings
import numpy as np, scipy.sparse

def multiply():
    for shape in ((4000, 900), (300, 9000), (700, 700)):
        whole = scipy.sparse.random(*shape, density=60_000 / (shape[0] * shape[1]), format="csr", rng=0)
        dense = whole.toarray()
        for kind in ("csr", "csc", "coo", "bsr"):
            matrix = getattr(scipy.sparse, kind + "_matrix")(whole)
            assert matrix.nnz > 50_000
            for other in (np.arange(shape[1]) + 1.0, np.ones((shape[1], 3)), np.ones((shape[1], 1)) * 1j):
                product = matrix @ other
                assert type(product) is np.ndarray
                np.testing.assert_allclose(product, dense @ other, rtol=1e-10)
"""
SNAPSHOT = """
import importlib, locale, logging, os, pkgutil, signal
import scipy.sparse.linalg, torch, matplotlib

def settings():
    yield "numpy", (np.geterr(), np.geterrcall(), str(np.get_printoptions()))
    yield "torch", (
        torch.get_default_dtype(), torch.get_num_threads(), torch.get_num_interop_threads(),
        str(torch.get_default_device()), torch.is_grad_enabled(), torch.get_float32_matmul_precision(),
        torch.are_deterministic_algorithms_enabled(),
    )
    yield "logging", (logging.root.level, list(logging.root.handlers), logging.root.manager.disable)
    yield "signals", {n: signal.getsignal(n) for n in signal.valid_signals()}
    yield "python", (sys.getrecursionlimit(), list(sys.path), os.getcwd(), locale.setlocale(locale.LC_ALL))
    yield "hooks", (sys.excepthook, sys.displayhook, sys.stdout, sys.stderr, warnings.showwarning)
    # scikit-learn sets two variables of OpenMP, which its worker processes read
    yield "environment", {k: hash(v) for k, v in os.environ.items() if not k.startswith("KMP_")}
    # a package may say how its own warnings are shown, not those of others
    yield "warnings", [f for f in warnings.filters if f[1] or f[2].__module__ == "builtins"]
    yield "matplotlib", dict(dict.items(matplotlib.rcParams))
    own = {"__doc__", "_abc_impl", "__annotations__"}  # Python sets these, the last when it is read
    for module in (np, scipy.sparse, scipy.sparse.linalg, torch):
        for name, kind in vars(module).items():
            for base in kind.__mro__ if isinstance(kind, type) else ():
                attributes = {k: id(v) for k, v in vars(base).items() if k not in own}
                yield f"{base.__module__}.{base.__qualname__}", attributes
"""
TOUCH = """
import bondwise
for name in ("qml.protein", *(package.name for package in pkgutil.iter_modules(bondwise.__path__))):
    if name != "cli":  # sets its own threads
        package = importlib.import_module(f"bondwise.{name}")
        for name in package.__all__:
            getattr(package, name)
"""
USE = """
from lambeq.backend.quantum import Bra, H, Ket
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from bondwise import backends, qml, tn

tn.ground_state(SparsePauliOp(["ZZI", "IZZ", "IIX"]), 4, seed=0, progress=False).state
circuit = QuantumCircuit(1)
circuit.ry(Parameter("a"), 0)
backends.to_torch(circuit, ["Z"])
backends.estimate(circuit.assign_parameters([0.3]), ["Z"], backend="aer")
qml.BatchedModel.from_diagrams([Ket(0) >> H >> Bra(0)])
"""


def run(code, threads):
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS" and "QUIMB" not in k}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment | threads, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


# quimb's product is wrong with two threads, even on a single core
@pytest.mark.parametrize(
    "threads",
    [
        pytest.param({"QUIMB_NUM_THREAD_WORKERS": "2"}, id="two"),
        pytest.param({}, id="default", marks=pytest.mark.slow),
    ],
)
def test_nothing_is_left_changed(threads):
    compare = """
# what quimb's own functions need; scipy has these names for none of its classes, or means the same by them
added = {"H", "tr", "ptr", "nmlz", "__and__", "_matmul_vector", "_matmul_multivector"}
after = dict(settings())
changed = []
for name, value in before.items():
    now = after[name]
    if name.startswith("scipy.sparse."):
        now = {key: now[key] for key in now if key in value or key not in added}
    if now != value:
        changed.append(name)
        print(name, value, now, sep="\\n  ", file=sys.stderr)
assert not changed, changed
multiply()
"""
    run(PRODUCTS + SNAPSHOT + "before = dict(settings())\n" + TOUCH + USE + compare, threads)


def test_whoever_imported_quimb_before_keeps_what_it_gave():
    code = """
import quimb
product, extras = scipy.sparse.csr_matrix._matmul_vector, set(dir(scipy.sparse.csr_matrix))
filters = list(warnings.filters)
from bondwise import tn
tn.to_quimb([np.ones((1, 2, 1))])
assert scipy.sparse.csr_matrix._matmul_vector is product
assert set(dir(scipy.sparse.csr_matrix)) == extras
assert all(given in warnings.filters for given in filters)
"""
    run(PRODUCTS + code, {})


def test_quimb_is_imported_only_for_its_own_objects():
    code = """
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from bondwise import tn

ising = SparsePauliOp.from_sparse_list([("ZZ", [i, i + 1], 1) for i in range(9)] + [("X", [4], 1)], 10)
found = tn.ground_state(ising, 4, seed=0)
for state in (found, found.tensors, [0.6, 0, 0, 0.8], ["00", "11"], ising, QuantumCircuit(2)):
    tn.decompose(state, layers=1, restarts=0)
for wrong in (3, {"0": 1}):
    try:
        tn.decompose(wrong)
    except ValueError:
        pass
assert "quimb" not in sys.modules
assert type(found.state).__module__.startswith("quimb")
"""
    run(PRODUCTS + code, {})


def test_quimb_imported_afterwards_works():
    """Its functions on sparse matrices need `&`, `.H` and products that give quimb's arrays."""
    code = """
from bondwise import tn
tn.to_quimb([np.ones((1, 2, 1))])
import quimb
heisenberg = quimb.ham_heis(8, sparse=True)
energy, state = quimb.eigh(heisenberg, k=1)
np.testing.assert_allclose(energy[0], quimb.groundenergy(quimb.ham_heis(8)), atol=1e-9)
np.testing.assert_allclose((state.H @ (heisenberg @ state)).item(), energy[0], atol=1e-9)
np.testing.assert_allclose((heisenberg @ state).H @ state, energy[0], atol=1e-9)
assert abs(heisenberg.H - heisenberg).max() == 0
eye = quimb.eye(2, sparse=True)
np.testing.assert_allclose((heisenberg & eye).toarray(), np.kron(heisenberg.toarray(), np.eye(2)))
quimb.zspin_projector(4)
quimb.graph_state_1d(4, sparse=True)
quimb.Evolution(quimb.rand_ket(256), heisenberg).update_to(0.1)
multiply()
"""
    run(PRODUCTS + code, {"QUIMB_NUM_THREAD_WORKERS": "2"})
