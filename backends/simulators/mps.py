"""The name `"mps"`: exact values, gradients and samples of shallow circuits on many qubits.

The state is a matrix product state whose bonds follow from the circuit alone, see
`bondwise.backends.mps.cuts`. The cost is linear in the number of qubits and grows with the cube of the bond
dimension. Derivatives are those of the contraction; those of truncated states are first derivatives, off by
about the root of what is lost.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Barrier, ControlFlowOp, Delay, Measure
from qiskit.primitives import BitArray, DataBin, PrimitiveResult, PubResult, SamplerPubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import SparsePauliOp

from bondwise.backends.backend import Backend
from bondwise.backends.inputs import NOT_FINITE
from bondwise.backends.measurement import Tally
from bondwise.backends.mps.exact import exact_chain
from bondwise.backends.mps.states import ProductStates, contraction_cost
from bondwise.backends.primitives import Estimator, Sampler, sampler_result
from bondwise.backends.sampled import SampledEstimator, estimator_result, ideal_rotations
from bondwise.circuits import refuse_variables
from bondwise.circuits.registers import in_registers
from bondwise.circuits.splitting import SplitCircuit, split
from bondwise.runs import UsageError, random_generator, unknown_name, whole_number

MAX_BOND = 128


def mps_backend(name: str) -> Backend:
    """The backend of `"mps"` with options, `"mps:OPTION,OPTION"`.

    Args:
        name: Name of the backend. The options are `max_bond=N`, the largest bond dimension (128 by default),
            and `truncate`: circuits that need a larger one are truncated to it instead of being refused.

    Raises:
        UsageError: If an option is unknown, or N is not a positive whole number.
    """
    max_bond, truncate = MAX_BOND, False
    for option in name.partition(":")[2].split(",") if ":" in name else ():
        key, equals, text = option.partition("=")
        if equals and key == "max_bond":
            max_bond = whole_number("max_bond", int(text) if text.isdecimal() else text)
        elif option == "truncate":
            truncate = True
        else:
            raise unknown_name("option of mps", option, [f"max_bond={MAX_BOND}", "truncate"])
    states = ProductStates(name, max_bond, truncate)
    return Backend(
        name,
        estimator=ProductEstimator(states),
        sampler=ProductSampler(states),
        exact=True,
        values=states.values,
        amplitudes=states.amplitudes,
    )


class ProductEstimator(Estimator):
    """Expectation values in matrix product states: exact without a precision, otherwise measured.

    The metadata of a result tell under `lost` what truncation left out: 1 - the least fidelity of its states.
    """

    def __init__(self, states: ProductStates) -> None:
        self._states = states
        self._sampled = SampledEstimator(ProductSampler(states), ideal_rotations)

    def estimate_seconds(self, pub: EstimatorPub) -> float:
        """Predict how many seconds a PUB takes on one core; truncated states are not predicted."""
        tally = Tally(pub)
        chain = exact_chain(split(pub.circuit))
        if chain.bond > self._states.max_bond:
            return 0.0
        operators = [] if pub.precision else [_operator(tally, row) for row in tally.weights]
        return len(tally.sets) * contraction_cost(chain, operators)[0]

    def _run(self, pubs: list[EstimatorPub], seed: int | None) -> PrimitiveResult[PubResult]:
        tallies, lost = [Tally(pub) for pub in pubs], []
        for tally in tallies:
            lost.append(0.0 if tally.pub.precision else self._evaluate(tally))
        measured = [tally for tally in tallies if tally.pub.precision]
        if measured:
            self._sampled.fill(measured, seed)
        result = estimator_result(tallies)
        for part, one in zip(result, lost, strict=True):
            part.metadata["lost"] = one
        return result

    def _evaluate(self, tally: Tally) -> float:
        """Fill a tally with exact values; what truncation left out."""
        if not len(tally.sets):
            return 0.0
        parts, angles = _prepared(tally.pub.circuit, tally.sets)
        operators = [_operator(tally, row) for row in tally.weights]
        with torch.no_grad():
            values, lost = self._states.values_and_lost(parts, torch.from_numpy(angles), operators)
        tally.set_means(values.numpy())
        return lost


class ProductSampler(Sampler):
    """Samples circuits whose measurements come last."""

    def __init__(self, states: ProductStates) -> None:
        self._states = states

    def _run(self, pubs: list[SamplerPub], seed: int | None) -> PrimitiveResult[SamplerPubResult]:
        rng = random_generator(seed)
        found = [self._take(pub, rng) for pub in pubs]
        result = sampler_result(pubs, [bits for bits, _ in found])
        for part, (_, lost) in zip(result, found, strict=True):
            part.metadata["lost"] = lost
        return result

    def _take(self, pub: SamplerPub, rng: np.random.Generator) -> tuple[DataBin, float]:
        bare, measured = self._unmeasured(in_registers(pub.circuit))
        sets = np.asarray(pub.parameter_values.as_array(bare.parameters), dtype=float)
        sets = sets.reshape(pub.size, bare.num_parameters)
        bits = np.zeros((pub.size, pub.shots, bare.num_clbits), dtype=bool)
        lost = 0.0
        if pub.size and measured:
            parts, angles = _prepared(bare, sets)
            drawn, lost = self._states.draws(parts, angles, pub.shots, rng)
            for clbit, qubit in measured.items():
                bits[..., clbit] = drawn[..., qubit]
        data = {}
        for register in bare.cregs:
            own = bits[..., [bare.find_bit(bit).index for bit in register]]
            shaped = own.reshape(*pub.shape, pub.shots, register.size)
            data[register.name] = BitArray.from_bool_array(shaped, order="little")
        return DataBin(**data, shape=pub.shape), lost

    def _unmeasured(self, circuit: QuantumCircuit) -> tuple[QuantumCircuit, dict[int, int]]:
        """The circuit without its measurements, and the qubit that each classical bit reads in the end."""
        refuse_variables(circuit)
        bare, found = circuit.copy_empty_like(), {}
        done: set[int] = set()
        for step in circuit.data:
            qubits = [circuit.find_bit(qubit).index for qubit in step.qubits]
            if isinstance(step.operation, Measure):
                found[circuit.find_bit(step.clbits[0]).index] = qubits[0]
                done.update(qubits)
                continue
            if isinstance(step.operation, Barrier | Delay):
                continue
            if isinstance(step.operation, ControlFlowOp) or step.clbits or not done.isdisjoint(qubits):
                what = f"'{step.operation.name}' on qubits {qubits} comes after a measurement"
                if isinstance(step.operation, ControlFlowOp) or step.clbits:
                    what = f"'{step.operation.name}' depends on one"
                raise UsageError(
                    f"{self._states.name} has measurements at the end only, and {what}; write "
                    "backend='aer:matrix_product_state'."
                )
            bare.append(step)
        return bare, found


def _prepared(circuit: QuantumCircuit, sets: np.ndarray) -> tuple[SplitCircuit, np.ndarray]:
    """A circuit in single-angle gates, and its angles for parameter sets (N, P)."""
    parts = split(circuit)
    angles = np.asarray(parts.angles(torch.from_numpy(np.ascontiguousarray(sets))))
    if not np.isfinite(angles).all():
        raise UsageError(NOT_FINITE)
    return parts, angles


def _operator(tally: Tally, weights: Sequence[float] | np.ndarray) -> SparsePauliOp:
    used = np.flatnonzero(weights)
    return SparsePauliOp(tally.terms[used], np.asarray(weights)[used])
