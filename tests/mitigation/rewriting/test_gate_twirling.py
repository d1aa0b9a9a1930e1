"""Twirled copies do the same; on average, coherent errors of their gates become random ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit.library import RXXGate, efficient_su2
from qiskit.quantum_info import Operator, Statevector
from qiskit_aer.noise import NoiseModel, coherent_unitary_error

from bondwise.backends import get_backend
from bondwise.mitigation import MitigatedEstimator, twirl_gates
from bondwise.runs import UsageError


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from(["cx", "cz", "ecr", "iswap"]))
def test_copies_do_the_same(seed, gate):
    rng = np.random.default_rng(seed)
    circuit = QuantumCircuit(3)
    for _ in range(4):
        circuit.ry(rng.uniform(-3, 3), int(rng.integers(3)))
        getattr(circuit, gate)(*rng.permutation(3)[:2].tolist())
    copies = twirl_gates(circuit, 3, seed=seed)
    assert len({tuple(sorted(copy.count_ops().items())) for copy in [circuit, *copies]}) > 1
    for copy in copies:
        assert Operator(copy).equiv(Operator(circuit))


def test_coherent_errors_average_out():
    """A phase after each cz turns X into Y to first order; over twirls, only the second order is left."""

    def with_error(circuit, angle=0.2):
        wrong = circuit.copy_empty_like()
        for step in circuit.data:
            wrong.append(step)
            if step.operation.name == "cz":
                wrong.rz(angle, step.qubits[0])
        return wrong

    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cz(0, 1)
    y = [Statevector(with_error(one)).expectation_value(Operator.from_label("IY")).real for one in (circuit,)]
    twirled = [
        Statevector(with_error(copy)).expectation_value(Operator.from_label("IY")).real
        for copy in twirl_gates(circuit, 400, seed=0)
    ]
    assert y[0] == pytest.approx(np.sin(0.2))
    assert abs(np.mean(twirled)) < 0.03
    assert np.std(twirled) == pytest.approx(np.sin(0.2), rel=0.05)


def test_an_estimator_spreads_its_shots_over_the_copies():
    circuit = efficient_su2(3, reps=1)
    angles = np.linspace(-1, 1, circuit.num_parameters)
    backend = get_backend("fake:manila")
    options = {"extrapolation": "linear", "gate_twirls": 4, "shares": (1, 1, 1), "seed": 1}
    estimator = MitigatedEstimator(backend, shots=400, **options)
    job = estimator.prepare([(circuit, "ZZZ", angles)])
    assert job.shots == 100
    assert len(job.pubs) == 3 * 4 + 3 * 4
    assert len({str(pub.circuit.count_ops()) for pub in job.pubs[12:16]}) > 1
    result = estimator.combine(job, backend.run(job.pubs, shots=job.shots, seed=2))
    assert result.metadata["shots"] == 2 * 3 * 400
    exact = MitigatedEstimator(backend, **options)
    [part] = exact.run([(circuit, "ZZZ", angles)]).result()
    assert float(result[0].data.evs) == pytest.approx(
        float(part.data.evs), abs=5 * float(result[0].data.stds)
    )


def test_the_scatter_of_the_copies_is_in_the_error():
    """Coherent errors differ from copy to copy, by more than shot noise."""
    model = NoiseModel()
    model.add_all_qubit_quantum_error(coherent_unitary_error(RXXGate(0.25)), ["cx"])
    backend = get_backend("aer", noise=model)
    circuit = QuantumCircuit(2)
    circuit.ry(0.7, [0, 1])
    for _ in range(4):
        circuit.cx(0, 1)
        circuit.barrier()
        circuit.ry(0.3, 0)
    values, stds = [], []
    for seed in range(24):
        estimator = MitigatedEstimator(
            backend, extrapolation=None, gate_twirls=8, shots=8000, readout=True, seed=seed
        )
        [part] = estimator.run([(circuit, "ZI")]).result()
        values.append(float(part.data.evs))
        stds.append(float(part.data.stds))
    assert 0.6 < np.std(values) / np.sqrt(np.mean(np.square(stds))) < 1.5
    assert np.mean(stds) > 1.2 * 8000**-0.5  # more than shot noise


def test_wrong_use():
    with pytest.raises(UsageError, match="shots is 10, too few for 224 circuits"):
        MitigatedEstimator("fake:manila", shots=10, gate_twirls=32).prepare([(QuantumCircuit(1), "Z")])
    with pytest.raises(UsageError, match="count is 0"):
        twirl_gates(QuantumCircuit(1), 0)
    with pytest.raises(UsageError, match="gate_twirls is -1"):
        MitigatedEstimator("fake:manila", gate_twirls=-1)
