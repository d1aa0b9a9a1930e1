"""Matrix product states to circuits with other packages, for `decompose.py`.

Three peers, each on one thread and on its own terms: quimb's `TNOptimizer`, Qiskit's AQC-Tensor addon, and
PennyLane's `MPSPrep`. Two of them need nothing but bondwise; for AQC-Tensor, and for `TNOptimizer` with jax,

    pip install -c constraints.txt -e . 'qiskit-addon-aqc-tensor[quimb-jax]>=0.3.1'

If a peer is not installed, its note says what to install. CX are counted after `transpile` at level 3. The
infidelity is that of the transpiled circuit, from a statevector or an untruncated contraction and not from
the optimizer. Seconds are CPU seconds, without counting and checking.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import autoray
import numpy as np
import pennylane as qml
import quimb.tensor as qtn
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile
from qiskit.quantum_info import Operator, Statevector
from scipy.linalg import expm, null_space
from scipy.optimize import minimize

from bondwise.tn import decompose

# cotengra then searches paths at random, which is enough here
warnings.filterwarnings("ignore", message="Couldn't find `optuna`")

_AQC = "pip install 'qiskit-addon-aqc-tensor[quimb-jax]>=0.3.1'"
_LARGEST_VECTOR = 14  # qubits up to which a transpiled circuit is checked by its statevector
_LBFGS = {"maxcor": 20, "maxiter": 100_000, "maxfun": 100_000, "ftol": 1e-12, "gtol": 1e-8}
_TURN = 0.1  # radians, for the random blocks that AQC-Tensor starts from


@dataclass(frozen=True)
class PeerRun:
    """Result of a peer; None if it was not run or not checked.

    Attributes:
        name: The peer and its start.
        infidelity: 1 − |⟨state|circuit⟩|² of the transpiled circuit.
        cx: CX gates of the transpiled circuit.
        two_qubit_gates: Two-qubit blocks in the peer's circuit.
        cpu_seconds: CPU seconds in total, including compilation.
        compile_seconds: CPU seconds up to the first evaluation.
        evaluations: Number of evaluations of the infidelity and its gradient.
        trace: (cpu_seconds, infidelity) of every evaluation that improved on all earlier ones.
        note: Why it stopped, or what to install.
    """

    name: str
    infidelity: float | None = None
    cx: int | None = None
    two_qubit_gates: int | None = None
    cpu_seconds: float | None = None
    compile_seconds: float | None = None
    evaluations: int = 0
    trace: tuple[tuple[float, float], ...] = ()
    note: str = ""

    def seconds_to(self, infidelity: float) -> float | None:
        """CPU seconds until an infidelity was reached, compilation included; None if it never was."""
        return next((seconds for seconds, reached in self.trace if reached <= infidelity), None)


def run_tn_optimizer(
    state: qtn.MatrixProductState, layers: int, seed: int, *, seconds: float = 120.0, autodiff: str = "torch"
) -> PeerRun:
    """`TNOptimizer` on the gates of a staircase, kept unitary by QR, from analytic layers.

    The overlap is contracted along a path of cotengra's "auto-hq" and traced once (`jit_fn`). Real states get
    real gates of determinant 1, which need 2 CX like ours. Seed 0 starts from the analytic layers themselves,
    other seeds from gates that are perturbed a little.
    """
    name = f"TNOptimizer, {autodiff}"
    if autodiff == "jax" and find_spec("jax") is None:
        return PeerRun(name, note="not installed: pip install jax")
    if autodiff == "jax":
        _use_double_precision()
    began = time.process_time()
    sites = state.L
    gates = _analytic_gates(state, layers)
    if seed:
        gates = gates + np.random.default_rng(seed).normal(scale=0.03, size=gates.shape)
    network = qtn.TN_from_sites_product_state({i: np.array([1, 0], gates.dtype) for i in range(sites)})
    for k, gate in enumerate(gates):
        i = k % (sites - 1)
        network.gate_(gate, (i, i + 1), contract=False, tags=["GATE", f"GATE{k}"])
    bra = state.H
    path = (network | bra).contraction_path("auto-hq")
    with _one_library():
        optimizer = qtn.TNOptimizer(
            network,
            loss_fn=lambda ket, bra: 1 - abs((ket | bra).contract(all, optimize=path)) ** 2,
            norm_fn=lambda ket: ket.isometrize(method="qr", allow_no_left_inds=True),
            loss_constants={"bra": bra},
            tags=["GATE"],
            autodiff_backend=autodiff,
            jit_fn=True,
            progbar=False,
        )
        start = optimizer.vectorizer.vector.copy()
        found = _minimize(optimizer.vectorized_value_and_grad, start, began, seconds)
        optimizer.vectorizer.vector[:] = found.x
        unitary = optimizer.get_tn_opt()
    indices = [network[f"GATE{k}"].inds for k in range(len(gates))]
    matrices = [unitary[f"GATE{k}"].to_dense(inds[:2], inds[2:]) for k, inds in enumerate(indices)]
    circuit = QuantumCircuit(sites)
    for k, matrix in enumerate(matrices):
        i = k % (sites - 1)
        circuit.unitary(matrix, [i + 1, i])  # Qiskit's first qubit is the less significant bit
    return _judge(name, circuit, state, found)


def run_aqc(
    state: qtn.MatrixProductState,
    layers: int,
    seed: int,
    start: QuantumCircuit | None = None,
    *,
    seconds: float = 120.0,
) -> PeerRun:
    """AQC-Tensor with jax: `MaximizeStateFidelity` over a staircase of KAK blocks, 3 CX each.

    Without `start` it starts as users without a circuit would: from the nearest product state, followed by
    blocks near the identity. With `start`, a circuit without free parameters, it takes blocks and angles from
    this circuit and ignores `layers`; the angles are perturbed by 1e-3, since derivatives that would make a
    real circuit complex vanish.
    """
    name = "AQC-Tensor, " + ("product start" if start is None else "given start")
    if any(find_spec(module) is None for module in ("qiskit_addon_aqc_tensor", "qiskit_quimb", "jax")):
        return PeerRun(name, note=f"not installed: {_AQC}")
    from qiskit_addon_aqc_tensor.ansatz_generation import generate_ansatz_from_circuit
    from qiskit_addon_aqc_tensor.objective import MaximizeStateFidelity
    from qiskit_addon_aqc_tensor.simulation.quimb import QuimbSimulator

    with _one_library():
        _use_double_precision()
        began = time.process_time()
        rng = np.random.default_rng(seed)
        circuit = _near_product(state, layers, rng) if start is None else start
        ansatz, angles = generate_ansatz_from_circuit(circuit, qubits_initially_zero=True)
        angles = np.array(angles)
        if start is not None:
            angles += rng.normal(scale=1e-3, size=angles.shape)
        simulator = QuimbSimulator(partial(qtn.CircuitMPS, cutoff=1e-8), autodiff_backend="jax")
        objective = MaximizeStateFidelity(state, ansatz, simulator)
        found = _minimize(objective.loss_function, angles, began, seconds)
    return _judge(name, ansatz.assign_parameters(found.x).decompose(), state, found)


def run_mps_prep(state: qtn.MatrixProductState) -> PeerRun:
    """PennyLane's `MPSPrep`: exact, with work wires; what its unitaries cost in CX.

    Qiskit synthesizes them. The infidelity is that of the transpiled circuit up to 14 qubits, that of the
    unitaries up to 20, and None above.
    """
    began = time.process_time()
    arrays = _padded(state)
    sites = len(arrays)
    work = int(np.log2(max(array.shape[-1] for array in arrays[:-1])))
    wires = range(sites + work)
    operators = qml.MPSPrep.compute_decomposition(
        arrays, wires=list(wires[:sites]), work_wires=list(wires[sites:]), right_canonicalize=True
    )
    circuit = QuantumCircuit(len(wires))
    for operator in operators:
        circuit.unitary(operator.matrix(), list(operator.wires)[::-1])
    native = transpile(circuit, basis_gates=["cx", "u"], optimization_level=1)
    took = time.process_time() - began
    infidelity = None
    if len(wires) <= 20:
        vector = Statevector(native if len(wires) <= _LARGEST_VECTOR else circuit).data
        amplitudes = vector.reshape(1 << work, -1)[0]  # the work wires end in |0⟩
        infidelity = max(0.0, 1 - abs(np.vdot(_vector(state), amplitudes)) ** 2)
    return PeerRun(
        "MPSPrep",
        infidelity=infidelity,
        cx=native.count_ops().get("cx", 0),
        two_qubit_gates=native.num_nonlocal_gates(),
        cpu_seconds=took,
        compile_seconds=0.0,
        note=f"exact; {len(operators)} unitaries on {work + 1} wires, {work} work wires",
    )


@dataclass(frozen=True)
class _Minimum:
    x: NDArray[np.float64]
    trace: tuple[tuple[float, float], ...]
    cpu_seconds: float
    evaluations: int
    note: str


class _TimeUp(Exception):
    pass


def _minimize(
    value_and_gradient: Callable[[NDArray[np.float64]], tuple[Any, Any]],
    x: NDArray[np.float64],
    began: float,
    seconds: float,
) -> _Minimum:
    """Run L-BFGS until it converges or the time is up; return the best point, not the last."""
    best, evaluations = x, 0
    trace: list[tuple[float, float]] = []

    def measured(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        nonlocal best, evaluations
        value, gradient = value_and_gradient(x)
        evaluations += 1
        now = time.process_time() - began
        if not trace or value < trace[-1][1]:
            trace.append((now, float(value)))
            best = x.copy()
        if now > seconds:
            raise _TimeUp
        return float(value), np.asarray(gradient, np.float64)

    try:
        note = minimize(measured, x, jac=True, method="L-BFGS-B", options=_LBFGS).message
    except _TimeUp:
        note = f"stopped after {seconds:g} CPU s"
    return _Minimum(best, tuple(trace), time.process_time() - began, evaluations, note)


def _judge(name: str, circuit: QuantumCircuit, state: qtn.MatrixProductState, found: _Minimum) -> PeerRun:
    """Count CX and compute the infidelity of the circuit that has them."""
    native = transpile(circuit, basis_gates=["cx", "u"], optimization_level=3)
    pairs = [frozenset(gate.qubits) for gate in circuit if len(gate.qubits) == 2]
    return PeerRun(
        name,
        infidelity=_infidelity(native, state),
        cx=native.count_ops().get("cx", 0),
        two_qubit_gates=sum(pair != before for pair, before in zip(pairs, [None, *pairs], strict=False)),
        cpu_seconds=found.cpu_seconds,
        compile_seconds=found.trace[0][0],
        evaluations=found.evaluations,
        trace=found.trace,
        note=found.note,
    )


def _infidelity(circuit: QuantumCircuit, state: qtn.MatrixProductState) -> float:
    if circuit.num_qubits <= _LARGEST_VECTOR:
        overlap = np.vdot(_vector(state), Statevector(circuit).data)
    else:
        ket = qtn.CircuitMPS(circuit.num_qubits, cutoff=1e-15)
        for gate in circuit:
            qubits = [circuit.find_bit(qubit).index for qubit in gate.qubits]
            ket.apply_gate_raw(Operator(gate.operation).data, qubits[::-1])
        overlap = state.H @ ket.psi
    return max(0.0, 1 - abs(overlap) ** 2)


def _vector(state: qtn.MatrixProductState) -> NDArray[Any]:
    """The state as a little-endian vector."""
    return state.to_dense().reshape((2,) * state.L).transpose().ravel()


def _analytic_gates(state: qtn.MatrixProductState, layers: int) -> NDArray[Any]:
    """Gates (M, 4, 4) of staircase layers after Ran (arXiv:1908.07958), in time order; det +1 if real."""
    rest = state
    gates: list[NDArray[Any]] = []
    for _ in range(layers):
        small = rest.copy()
        small.compress(form="right", max_bond=2)
        small.normalize(insert=0)
        small.permute_arrays("lpr")
        first, *middle, last = [np.asarray(array) for array in small.arrays]
        sites = [first[None], *middle]
        sites[-1] = np.tensordot(sites[-1], last, 1)
        layer = [_completed(site) for site in sites]
        gates = layer + gates
        inverse = qtn.CircuitMPS(psi0=rest, max_bond=64)
        for i in reversed(range(len(layer))):
            inverse.apply_gate_raw(layer[i].conj().T, (i, i + 1))
        rest = inverse.psi
    return np.array(gates)


def _completed(site: NDArray[Any]) -> NDArray[Any]:
    """The gate that takes |left, 0⟩ to the right-canonical site (left, 2, right); near 1 on the rest."""
    left = site.shape[0]
    taken = [0, 2][:left]
    free = [column for column in range(4) if column not in taken]
    gate = np.zeros((4, 4), site.dtype)
    gate.reshape(2, 2, 4)[:, : site.shape[2], taken] = site.transpose(1, 2, 0)
    complement = null_space(gate[:, taken].conj().T)
    u, _, v = np.linalg.svd(complement[free].conj().T)
    gate[:, free] = complement @ u @ v
    if np.isrealobj(gate) and np.linalg.det(gate) < 0:
        gate[:, free[-1]] *= -1
    return gate


def _near_product(state: qtn.MatrixProductState, layers: int, rng: np.random.Generator) -> QuantumCircuit:
    product = decompose(state, layers=0)
    circuit = product.circuit.assign_parameters(product.parameters)
    for i in [*range(state.L - 1)] * layers:
        generator = rng.normal(size=(2, 4, 4))
        hermitian = generator[0] + generator[0].T + 1j * (generator[1] - generator[1].T)
        circuit.unitary(expm(0.5j * _TURN * hermitian), [i + 1, i])
    return circuit


def _padded(state: qtn.MatrixProductState) -> list[NDArray[Any]]:
    """Right-canonical arrays (left, 2, right) as `MPSPrep` takes them: every bond a power of 2."""
    ordered = state.copy()
    ordered.right_canonize()
    ordered.permute_arrays("lpr")
    arrays = [np.asarray(array) for array in ordered.arrays]
    bonds = [1 << (array.shape[-1] - 1).bit_length() for array in arrays[:-1]]
    padded = []
    for array, left, right in zip(arrays, [None, *bonds], [*bonds, None], strict=True):
        shape = tuple(size for size in (left, 2, right) if size is not None)
        larger = np.zeros(shape, array.dtype)
        larger[tuple(slice(size) for size in array.shape)] = array
        padded.append(larger)
    return padded


def _use_double_precision() -> None:
    import jax

    jax.config.update("jax_enable_x64", True)


@contextmanager
def _one_library() -> Iterator[None]:
    """Let quimb switch from numpy to another library and back.

    autoray 0.8.4, which PennyLane 0.45 requires, caches one namespace for all libraries that are given by
    name, so that after any quimb computation with numpy, torch tensors would be passed to numpy.
    """
    autoray.autoray._NAMESPACE_CACHE.clear()
    try:
        yield
    finally:
        autoray.autoray._NAMESPACE_CACHE.clear()
