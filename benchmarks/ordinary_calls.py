"""CPU seconds of ordinary calls of `sample` and `estimate`, compared with Qiskit's in the same run.

Both sides get the same circuits, shots and observables, and a first call that is not counted; figures are
medians. One thread.

    python benchmarks/ordinary_calls.py [--quick] [--out FILE]
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit.library import efficient_su2
from qiskit.primitives import BackendEstimatorV2, BitArray, StatevectorEstimator
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import PauliList, SparsePauliOp
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime.fake_provider import FakeManilaV2
from record import add_out, save

from bondwise.backends import Samples, estimate, get_backend, sample


@dataclass(frozen=True)
class Call:
    """A call of ours and the peer's; `prepare` makes what each of ours is called with."""

    name: str
    ours: Callable[[Any], object]
    peer_name: str
    peer: Callable[[], object] | None
    prepare: Callable[[], Any] = lambda: None


@dataclass(frozen=True)
class Row:
    call: str
    ours: float
    peer_name: str
    peer: float | None


def random_sum(qubits: int, terms: int, seed: int = 0) -> SparsePauliOp:
    rng = np.random.default_rng(seed)
    x, z = rng.random((2, terms, qubits)) < 0.4
    return SparsePauliOp(PauliList.from_symplectic(z, x), rng.normal(size=terms)).simplify()


def bound(qubits: int) -> QuantumCircuit:
    circuit = efficient_su2(qubits, reps=3)
    angles = np.random.default_rng(1).uniform(-2, 2, circuit.num_parameters)
    return circuit.assign_parameters(angles).decompose()


def measured(qubits: int, *sizes: int) -> QuantumCircuit:
    registers = [ClassicalRegister(size, f"c{index}") for index, size in enumerate(sizes)]
    circuit = QuantumCircuit(QuantumRegister(qubits), *registers)
    for qubit in range(qubits):
        circuit.ry(0.3 + 0.2 * qubit, qubit)
    circuit.measure(range(qubits), range(qubits))
    return circuit


def counting(shots: int) -> Iterator[Call]:
    for name, sizes, attribute in (
        (f"`Samples.counts`, {shots:,} shots × 8 bits", (8,), "counts"),
        (f"`Samples.joint_counts`, {shots:,} shots, 4 + 6 bits", (4, 6), "joint_counts"),
    ):
        samples = sample(measured(sum(sizes), *sizes), shots=shots, seed=1, backend="aer")
        arrays = [BitArray.from_bool_array(bits[:, ::-1] > 0) for bits in samples.bits.values()]
        yield Call(
            name,
            lambda fresh, attribute=attribute: getattr(fresh, attribute),
            "`BitArray.get_counts`",
            lambda arrays=arrays: BitArray.concatenate_bits(arrays).get_counts(),
            lambda samples=samples: Samples(value=samples.value),  # counts are kept: count again
        )


def values(quick: bool) -> Iterator[Call]:
    circuit, many = bound(12), random_sum(12, 300 if quick else 3000)
    yield Call(
        f"`estimate`, exact, {len(many):,} terms on 12 qubits",
        lambda _: estimate(circuit, many),
        "`StatevectorEstimator`",
        lambda: StatevectorEstimator().run([(circuit, many)]).result(),
    )
    few = random_sum(12, 30 if quick else 300, 1)
    aer = AerSimulator(method="statevector", max_parallel_threads=1)
    peer = BackendEstimatorV2(backend=aer)
    bases = len(few.paulis.group_commuting(qubit_wise=True))
    yield Call(
        f"`estimate`, 1,000 shots in each of {bases} bases on 12 qubits",
        lambda _: estimate(circuit, few, shots=1000, seed=1),
        "`BackendEstimatorV2`",
        lambda: peer.run([(circuit, few)], precision=1000**-0.5).result(),
    )
    yield Call(
        f"`estimate`, {len(many):,} terms on 12 qubits, 100 shots in each basis",
        lambda _: estimate(circuit, many, shots=100, seed=1),
        "`PauliList.group_commuting` alone",
        lambda: many.paulis.group_commuting(qubit_wise=True),
    )
    if not quick:
        most = random_sum(12, 10_000, 2)
        yield Call(
            f"`estimate`, {len(most):,} terms on 12 qubits, 100 shots in each basis",
            lambda _: estimate(circuit, most, shots=100, seed=1),
            "–",  # Qiskit's grouping takes close to a minute
            None,
        )


def devices(shots: int) -> Iterator[Call]:
    circuit, observable = efficient_su2(4, reps=1), SparsePauliOp(["XXXX", "ZZZZ", "YYYY"])
    angles = np.random.default_rng(0).uniform(-2, 2, (5, circuit.num_parameters))
    manila = FakeManilaV2()
    for device, name in (
        (GenericBackendV2(5, seed=1), "GenericBackendV2(5)"),
        (
            AerSimulator.from_backend(manila, max_parallel_threads=1),
            "AerSimulator.from_backend(FakeManilaV2())",
        ),
        (manila, "FakeManilaV2()"),
    ):
        isa = get_backend(device).transpile(circuit)
        pub = (isa, observable.apply_layout(isa.layout), angles)
        peer = BackendEstimatorV2(backend=device, options={"seed_simulator": 1})
        yield Call(
            f"`estimate` on `{name}`, 5 sets × 3 bases × {shots:,} shots",
            lambda _, device=device: estimate(
                circuit, observable, angles, shots=shots, backend=device, seed=1
            ),
            "`BackendEstimatorV2`, compiled before",
            lambda peer=peer, pub=pub: peer.run([pub], precision=shots**-0.5).result(),
        )


def seconds(call: Callable[..., object], arguments: Callable[[], tuple], repeats: int) -> float:
    times = []
    for _ in range(repeats + 1):
        given = arguments()
        start = time.process_time()
        call(*given)
        times.append(time.process_time() - start)
    return median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer shots and terms, one repetition")
    add_out(parser)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", "Qiskit backend .* has no QubitProperties")
    repeats, share = (1, 100) if options.quick else (5, 1)
    rows = []
    print(f"{'ours, s':>9} {'peer, s':>9}  call; peer")
    calls = (*counting(10**6 // share), *values(options.quick), *devices(40_000 // share))
    for call in calls:
        ours = seconds(call.ours, lambda call=call: (call.prepare(),), repeats)
        peer = None if call.peer is None else seconds(call.peer, lambda: (), repeats)
        rows.append(Row(call.name, ours, call.peer_name, peer))
        print(
            f"{ours:9.3g} {'–' if peer is None else f'{peer:.3g}':>9}  {call.name}; {call.peer_name}",
            flush=True,
        )
    save(options.out, [asdict(row) for row in rows])


if __name__ == "__main__":
    main()
