"""The diagonal blocks of the Fubini–Study metric, measured (Stokes et al., arXiv:1909.02108, section 3).

A layer holds gates none of which lies in the past of another. They commute, and all turn the state ψ that
their common past prepares: with generators Kᵢ, their block is ⟨KᵢKⱼ⟩ − ⟨Kᵢ⟩⟨Kⱼ⟩ in ψ. They act on different
qubits, so that one basis measures a layer. Between layers, the metric is taken to be zero. The chain rule
leads from the angles of the gates to the parameters of the circuit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Barrier, ParameterVectorElement
from qiskit.quantum_info import SparsePauliOp

from bondwise.backends.backend import Backend, placed
from bondwise.backends.gradients.gathering import generator_of
from bondwise.backends.primitives import observables_array
from bondwise.circuits.splitting import SplitCircuit, split
from bondwise.runs import UsageError


def measured_metric(
    circuit: QuantumCircuit,
    parameters: torch.Tensor,
    backend: Backend,
    *,
    shots: int | None = None,
    seed: int | None = None,
) -> torch.Tensor:
    """The blocks at one set of parameters, in one job with a PUB per layer.

    It is what PennyLane's `metric_tensor(approx="block-diag")` returns where both find the same layers.

    Args:
        circuit: Circuit without measurements and resets.
        parameters: float64 (P,), radians, in the order of `circuit.parameters`.
        backend: Backend that measures.
        shots: Number of shots per layer, see `estimate`.
        seed: Random seed for shots.

    Returns:
        float64 (P, P), symmetric and positive semidefinite. It is not block-diagonal if layers share
        parameters.

    Raises:
        UsageError: If the circuit contains something that is not a gate, or as for `estimate`.
    """
    parts = split(circuit)
    layers = _layers(parts)
    point = parameters.detach()
    chain = torch.autograd.functional.jacobian(parts.angles, point).numpy()  # (G, P)
    angles = parts.angles(point).numpy()
    pubs = []
    for layer in layers:
        compiled = backend.transpile(layer.past)
        columns = [parameter.index for parameter in compiled.parameters]
        observables = observables_array(placed(layer.observables, layer.past, compiled))
        pubs.append((compiled, observables, angles[columns]))
    metric = np.zeros((len(point), len(point)))
    for layer, part in zip(layers, backend.run(pubs, shots=shots, seed=seed), strict=True):
        found = layer.block(np.asarray(part.data.evs, dtype=float))
        slopes = chain[layer.angles]
        metric += slopes.T @ found @ slopes
    return torch.from_numpy(metric)


@dataclass(frozen=True)
class _Layer:
    """Gates that turn one state.

    Attributes:
        angles: Indices of their n angles.
        past: The circuit that prepares the state.
        observables: Their generators, and the products of any two in the order of `np.triu_indices`.
    """

    angles: list[int]
    past: QuantumCircuit
    observables: list[SparsePauliOp]

    def block(self, values: np.ndarray) -> np.ndarray:
        """The covariances (n, n) of the generators from the values of all observables."""
        means, products = np.split(values, [len(self.angles)])
        block = np.zeros((len(means), len(means)))
        block[np.triu_indices(len(means))] = products
        block = np.triu(block) + np.triu(block, 1).T - np.outer(means, means)
        # noise of some estimators differs between observables, and steps must go downhill
        sizes, directions = np.linalg.eigh(block)
        return (directions * np.maximum(sizes, 0.0)) @ directions.T


@lru_cache(maxsize=64)
def _layers(parts: SplitCircuit) -> list[_Layer]:
    circuit = parts.circuit
    depths = dict.fromkeys(circuit.qubits, 0)  # layers in the past of what comes next on a qubit
    steps = []
    for step in circuit.data:
        if step.clbits or step.operation.name == "reset":
            raise UsageError(
                f"'{step.operation.name}' is not a gate, and the metric is that of a circuit of gates; "
                "write optimizer='adam'."
            )
        if isinstance(step.operation, Barrier):
            continue
        params = step.operation.params
        turns = bool(params) and isinstance(params[0], ParameterVectorElement)
        depth = max((depths[qubit] for qubit in step.qubits), default=0) + turns
        depths.update(dict.fromkeys(step.qubits, depth))
        steps.append((depth, turns, step))
    found = []
    for number in range(1, max(depths.values(), default=0) + 1):
        past = circuit.copy_empty_like()
        for _, _, step in (one for one in steps if one[0] < number):
            past.append(step)
        gates = [step for depth, turns, step in steps if turns and depth == number]
        generators = []
        for step in gates:
            local = SparsePauliOp.from_operator(generator_of(step.operation))
            where = [circuit.find_bit(qubit).index for qubit in step.qubits]
            generators.append(local.apply_layout(where, circuit.num_qubits))
        pairs = zip(*np.triu_indices(len(gates)), strict=True)
        products = [(generators[one] @ generators[other]).simplify() for one, other in pairs]
        angles = [step.operation.params[0].index for step in gates]
        found.append(_Layer(angles, past, generators + products))
    return found
