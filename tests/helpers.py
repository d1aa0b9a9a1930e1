"""Circuits, states, Hamiltonians and data that several tests build."""

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import GlobalPhaseGate, UnitaryGate
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp, Statevector, random_unitary

from bondwise.backends import Backend, expectation, get_backend
from bondwise.mitigation import NoiseScan
from bondwise.qml.protein import RESIDUES
from bondwise.tn import Decomposition

Pairs = list[tuple[int, int]]


@pytest.fixture(scope="module", autouse=True)
def quick_starts() -> Iterator[None]:
    """Circuits are fitted to their tensor networks in fewer steps where how well is not the question."""
    from bondwise.qml.protein.classifiers import tensor_start

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensor_start, "_STEPS", 30)
        yield


def staircase(sites: int, layers: int = 1) -> Pairs:
    """Neighboring qubits from the first to the last, once per layer."""
    return [(i, i + 1) for _ in range(layers) for i in range(sites - 1)]


def heisenberg(edges: Pairs, sites: int) -> SparsePauliOp:
    """Sum of S·S over edges, written out rather than taken from `bondwise.qml`."""
    terms = [(letter * 2, list(edge), 0.25) for edge in edges for letter in "XYZ"]
    return SparsePauliOp.from_sparse_list(terms, sites)


def real_circuit(qubits: int, layers: int) -> QuantumCircuit:
    """Layers of ry and cx, with new parameters at each call."""
    angles = iter(ParameterVector("a", qubits * (layers + 1)))
    circuit = QuantumCircuit(qubits)
    for layer in range(layers + 1):
        for qubit in range(qubits):
            circuit.ry(next(angles), qubit)
        for qubit in range(layer % 2, qubits - 1, 2):
            if layer < layers:
                circuit.cx(qubit, qubit + 1)
    return circuit


def two_qubits() -> QuantumCircuit:
    """Three layers of ry, rx and cx with 6 parameters."""
    angles = ParameterVector("a", 6)
    circuit = QuantumCircuit(2)
    for layer in range(3):
        circuit.ry(angles[2 * layer], 0)
        circuit.rx(angles[2 * layer + 1], 1)
        circuit.cx(0, 1)
    return circuit


def random_tensors(sites: int, bond: int, rng: np.random.Generator, *, real: bool = True) -> list[np.ndarray]:
    """A normalized matrix product state with random tensors."""
    bonds = [min(bond, 2**i, 2 ** (sites - i)) for i in range(sites + 1)]
    tensors = []
    for left, right in zip(bonds, bonds[1:], strict=False):
        tensor = rng.normal(size=(left, 2, right))
        if not real:
            tensor = tensor + 1j * rng.normal(size=tensor.shape)
        tensors.append(tensor)
    environment = np.ones((1, 1))
    for tensor in tensors:
        environment = np.einsum("ab,asc,bsd->cd", environment, tensor.conj(), tensor)
    tensors[0] = tensors[0] / np.sqrt(environment.item().real)
    return tensors


def random_gates(count: int, rng: np.random.Generator, *, real: bool = True) -> np.ndarray:
    """Random orthogonal matrices of determinant +1, or random unitary ones."""
    matrices = rng.normal(size=(count, 4, 4))
    if not real:
        return np.linalg.qr(matrices + 1j * rng.normal(size=matrices.shape))[0]
    gates = np.linalg.qr(matrices)[0]
    gates[:, :, 0] *= np.linalg.det(gates)[:, None]
    return gates


def applied(gates: Iterable[np.ndarray], pairs: Pairs, sites: int) -> np.ndarray:
    """Two-qubit gates on |0…0⟩, little-endian, by reshapes."""
    state = np.zeros((2,) * sites, complex)
    state[(0,) * sites] = 1
    for gate, (a, b) in zip(gates, pairs, strict=True):
        axes = (sites - 1 - a, sites - 1 - b)  # axis of qubit q is sites - 1 - q
        moved = np.moveaxis(state, axes, (0, 1))
        state = np.moveaxis((gate @ moved.reshape(4, -1)).reshape(moved.shape), (0, 1), axes)
    return state.ravel()


def dense_state(circuit: QuantumCircuit, parameters: Sequence[float] | np.ndarray) -> np.ndarray:
    """The state of a circuit before its measurements, by Qiskit, little-endian."""
    bound = circuit.remove_final_measurements(inplace=False).assign_parameters(parameters)
    return Statevector(bound).data


def prepared(found: Decomposition) -> np.ndarray:
    """The state of a decomposition's circuit, by Qiskit, little-endian."""
    return dense_state(found.circuit, found.parameters)


def up_to_phase(found: np.ndarray, wanted: np.ndarray) -> float:
    """How far two normalized states are from being the same up to a phase."""
    return abs(abs(np.vdot(found, wanted)) - 1)


def bars_and_stripes(side: int) -> np.ndarray:
    """All images of full rows or of full columns, one per row."""
    lines = (np.arange(2**side)[:, None] >> np.arange(side)) & 1
    return np.unique(np.concatenate([np.repeat(lines, side, axis=1), np.tile(lines, side)]), axis=0)


def planted(
    size: int, seed: int, classes: Sequence[str] = ("soluble", "membrane")
) -> tuple[list[str], list[str]]:
    """Random proteins of 40 to 80 residues; all but the first class have a segment of their own."""
    rng = np.random.default_rng(seed)
    segments = {"soluble": "", "membrane": "ILVFILVAILVFLIVALIVF", "charged": "KRKRDEKRKEDRKRKKRDEK"}
    labels = [classes[i % len(classes)] for i in range(size)]
    found = []
    for label in labels:
        letters = "".join(rng.choice(list(RESIDUES), rng.integers(20, 60)))
        at = rng.integers(len(letters))
        filler = "".join(rng.choice(list(RESIDUES), 20))
        found.append(letters[:at] + (segments[label] or filler) + letters[at:])
    return found, labels


def membrane_or_cytoplasm() -> dict[str, tuple[list[str], list[int]]]:
    """The proteins with one location and 80 to 500 residues, by split."""
    if "BONDWISE_DATA" not in os.environ:
        pytest.skip("BONDWISE_DATA, the folder of data sets, is not set")
    path = Path(os.environ["BONDWISE_DATA"]) / "proteins" / "cytoplasm_vs_cell_membrane.csv"
    if not path.exists():
        pytest.skip(f"{path} does not exist")
    splits: dict[str, tuple[list[str], list[int]]] = {"train": ([], []), "valid": ([], []), "test": ([], [])}
    with path.open() as file:
        for row in csv.DictReader(file):
            if row["primary"] == "1" and 80 <= int(row["length"]) <= 500 and row["split"] in splits:
                splits[row["split"]][0].append(row["sequence"])
                splits[row["split"]][1].append(int(row["label"]))
    return splits


def tensor(values, **keywords) -> torch.Tensor:
    """A float64 tensor."""
    return torch.tensor(values, dtype=torch.float64, **keywords)


def jacobian(circuit, observables, parameters, method, backend) -> np.ndarray:
    """Slopes of expectation values, by a method on a backend."""

    def values(theta: torch.Tensor) -> torch.Tensor:
        return expectation(circuit, observables, theta, backend, gradient=method)

    return torch.autograd.functional.jacobian(values, tensor(parameters)).numpy()


def mixture() -> tuple[QuantumCircuit, list[SparsePauliOp]]:
    """Plain, scaled, summed, multiplied and curved angles of three parameters on two qubits."""
    a, b, c = ParameterVector("t", 3)
    circuit = QuantumCircuit(2)
    circuit.u(a, b, 2 * c - a, 0)
    circuit.crx(a * b, 0, 1)
    circuit.rzz(c.sin(), 1, 0)
    circuit.ry(0.3, 0)
    circuit.cp(-b / 2, 0, 1)
    circuit.ry(a, 1)
    return circuit, [SparsePauliOp(["XZ", "YI"], [0.5, 1.5]), SparsePauliOp("ZX"), SparsePauliOp("IZ")]


def phased() -> QuantumCircuit:
    """Two weights, two inputs, and global phases of every origin; weights and inputs alternate in order."""
    a, b, x, y = Parameter("w1"), Parameter("z"), Parameter("u0"), Parameter("x1")
    inner = QuantumCircuit(2, name="inner", global_phase=a / 3 + 0.7)
    inner.u(a, x, b, 1)
    inner.append(GlobalPhaseGate(0.4), [])
    inner.append(GlobalPhaseGate(2 * y), [])
    fixed = QuantumCircuit(3, name="fixed", global_phase=1.1)
    fixed.iswap(2, 0)
    circuit = QuantumCircuit(3, global_phase=x * b + 0.2)
    circuit.ry(x, 0)
    circuit.h([1, 2])
    circuit.append(inner.to_gate(), [2, 0])
    circuit.append(fixed.to_gate(), [2, 0, 1])
    circuit.append(UnitaryGate(random_unitary(4, seed=3)), [1, 2])
    circuit.crx(y.sin() * a, 1, 0)
    circuit.append(GlobalPhaseGate(-0.9), [])
    circuit.sx(1)
    return circuit


PHASED_WEIGHTS, PHASED_INPUTS = ["w1", "z"], ["x1", "u0"]  # the circuit's order is u0, w1, x1, z
PHASED_OBSERVABLES = [SparsePauliOp(["XZI", "YIY"], [0.5, 1.5]), SparsePauliOp("ZXZ"), SparsePauliOp("IIZ")]


def rows(*shape: int, seed: int = 0) -> torch.Tensor:
    """Random numbers from -2 to 2."""
    generator = torch.Generator().manual_seed(seed)
    return 4 * torch.rand(*shape, generator=generator, dtype=torch.float64) - 2


class Counting(StatevectorEstimator):
    """Qiskit's estimator, remembering how many circuits each job held."""

    def run(self, pubs, *, precision=None):
        pubs = list(pubs)
        self.jobs = [*getattr(self, "jobs", []), [pub.parameter_values.size for pub in pubs]]
        return super().run(pubs, precision=precision)


def short_proteins(count: int, seed: int, classes: Sequence[str]) -> Iterable[tuple[str, str, str]]:
    """Name, class and sequence; proteins of the second class have a hydrophobic segment, of the third two."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        kind = number % len(classes)
        residues = rng.choice(list("DEKRNQSTGPAH"), 70)
        for segment in range(kind):
            residues[5 + 30 * segment : 25 + 30 * segment] = rng.choice(list("LIVFAMLIV"), 20)
        yield f"P{seed}{number:03d}", classes[kind], "".join(residues)


def write_proteins(
    path: Path, sizes: dict[str, int], classes: Sequence[str] = ("cytosol", "membrane")
) -> Path:
    """A CSV with as many short proteins in each split as `sizes` says."""
    lines = ["accession,label,split,kind,sequence"]
    for seed, (split, count) in enumerate(sizes.items()):
        lines += [f"{name},{label},{split},1,{s}" for name, label, s in short_proteins(count, seed, classes)]
    path.write_text("\n".join(lines) + "\n")
    return path


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV by column."""
    with path.open() as file:
        return list(csv.DictReader(file))


def called_noisy(name: str = "statevector") -> Backend:
    """A simulator without noise that claims to have some, so that mitigation folds circuits."""
    place = get_backend(name)
    return Backend(name, estimator=place.estimator, sampler=place.sampler, exact=True, noisy=True)


FACTORS = np.array([1.0, 3.0, 5.0])  # noise scale factors


def sampled_scan(exact: np.ndarray, shots: int, rng: np.random.Generator, **more) -> NoiseScan:
    """A scan of Pauli observables measured with a number of shots at each of the `FACTORS`."""
    values = 2 * rng.binomial(shots, (1 + exact) / 2) / shots - 1
    stds = np.sqrt(np.maximum(1 - values**2, 2 / shots) / shots)
    return NoiseScan(value=values, std=stds, scale_factors=FACTORS, spectrum=(-1, 1), **more)


def strange_values(kind: str, shape: tuple[int, ...], count: int, rng: np.random.Generator) -> np.ndarray:
    """Values at a number of scale factors that no decay explains, by kind."""
    if kind == "equal":
        return np.broadcast_to(rng.normal(size=shape)[..., None], (*shape, count))
    if kind == "one outlier":
        return np.where(np.arange(count) == 0, 1e6, rng.normal(size=(*shape, count)))
    if kind == "noise":
        return rng.normal(size=(*shape, count))
    constant = {"zero": np.zeros(count), "ones": np.ones(count), "growing": np.exp(np.arange(count))}[kind]
    return np.broadcast_to(constant, (*shape, count))


def chain_of_rotations(qubits: int, layers: int) -> QuantumCircuit:
    """RY and RZ on each qubit between chains of CX, the ansatz of arXiv:2403.07025."""
    angles = iter(ParameterVector("a", 2 * qubits * (layers + 1)))
    circuit = QuantumCircuit(qubits)
    for layer in range(layers + 1):
        for qubit in range(qubits):
            circuit.ry(next(angles), qubit)
            circuit.rz(next(angles), qubit)
        if layer < layers:
            circuit.cx(range(qubits - 1), range(1, qubits))
    return circuit


def metric_by_differences(circuit: QuantumCircuit, point: np.ndarray) -> np.ndarray:
    """The Fubini–Study metric from central differences of fourth order of a dense state."""
    step, slopes = 1e-3, []
    for move in step * np.eye(point.size):
        near = dense_state(circuit, point + move) - dense_state(circuit, point - move)
        far = dense_state(circuit, point + 2 * move) - dense_state(circuit, point - 2 * move)
        slopes.append((8 * near - far) / (12 * step))
    slopes, state = np.array(slopes), dense_state(circuit, point)
    along = slopes.conj() @ state
    return (slopes.conj() @ slopes.T - np.outer(along, along.conj())).real
