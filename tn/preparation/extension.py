"""Blocks near the identity appended to a trained circuit, which they hardly change.

This is the step from a circuit made by `bondwise.tn.decompose` to one that can learn more than the tensor
network (Rudolph et al., arXiv:2208.13673).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector

from bondwise.circuits.files.named_angles import named_angles
from bondwise.circuits.files.orders import with_order
from bondwise.runs import UsageError, random_generator, real_array, real_number
from bondwise.runs.result import brief_repr
from bondwise.tn.overlap.contraction_order import checked_pairs
from bondwise.tn.preparation.blocks import get_block


class Extension(NamedTuple):
    """A longer circuit and its parameters, as `extend` returns them.

    Attributes:
        circuit: The given circuit followed by the new blocks.
        parameters: Values in the order of `circuit.parameters`, first the given ones, then the new ones;
            radians, float64.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.tn import extend
        >>> circuit, parameters = extend(QuantumCircuit(3), [], [(0, 1), (1, 2)], strength=0.0)
        >>> circuit.num_parameters, bool(parameters.any())
        (12, False)
    """

    circuit: QuantumCircuit
    parameters: NDArray[np.float64]

    def __repr__(self) -> str:
        return brief_repr(self)


def extend(
    circuit: QuantumCircuit,
    parameters: Any,
    pairs: Iterable[tuple[int, int]],
    *,
    strength: float = 0.01,
    gate: str = "so4",
    seed: int | None = None,
) -> Extension:
    """Append two-qubit blocks near the identity to a circuit.

    Args:
        circuit: A circuit without measurements; it is not changed.
        parameters: Values of its parameters in radians, shape (*batch, P), in the order of
            `circuit.parameters` or, for the path of an OpenQASM 3 file, in that of its declarations; or by
            name.
        pairs: Pairs of different qubits, one per block in time order, neighbors or not.
        strength: Standard deviation of the new angles in radians; at 0 the new blocks are the identity.
        gate: "so4" (2 CX and 6 angles, keeps real states real) or "su4" (3 CX and 15 angles).
        seed: Random seed for the new angles.

    Returns:
        The longer circuit and all values, shape (*batch, P + new). The new parameters come after the given
        ones.

    Raises:
        UsageError: If the gate is unknown, a pair is not two different qubits of the circuit, the number of
            parameters is wrong, the strength is negative, or the circuit has measurements.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.tn import extend
        >>> longer = extend(QuantumCircuit(2), [], [(0, 1)], gate="su4", strength=0.1, seed=0)
        >>> longer.parameters.shape, longer.circuit.count_ops()["cx"]
        ((15,), 3)
    """
    block = get_block(gate)
    circuit, order = with_order(circuit)
    pairs = checked_pairs(pairs, circuit.num_qubits)
    if isinstance(parameters, Mapping):
        parameters = named_angles(parameters, order.parameters)
    values = real_array("parameters", parameters)
    count = circuit.num_parameters
    if values.shape[-1:] != (count,):
        raise UsageError(f"parameters have shape {values.shape}; the circuit takes {count} in the last axis.")
    values = order.to_circuit(values)
    real_number("strength", strength, zero=True)
    if circuit.num_clbits:
        raise UsageError("the circuit has classical bits; extend it before adding measurements.")
    longer = circuit.copy()
    fresh = ParameterVector(_next_name(circuit.parameters), len(pairs) * block.size)
    for k, (a, b) in enumerate(pairs):
        block.append(longer, a, b, fresh[k * block.size : (k + 1) * block.size])
    noise = random_generator(seed).normal(size=(*values.shape[:-1], len(fresh)))
    return Extension(longer, np.concatenate([values, strength * noise], axis=-1))


def _next_name(parameters: Iterable[Parameter]) -> str:
    """A name that Qiskit sorts after all present ones: theta, theta_x001, theta_x002, ..."""
    names = [getattr(parameter, "vector", parameter).name for parameter in parameters]
    if not names:
        return "theta"
    last = max(names)
    numbered = re.fullmatch(r"(.*_x)(\d{3})", last)
    if numbered and numbered[2] != "999":
        return f"{numbered[1]}{int(numbered[2]) + 1:03}"
    return last + "_x001"
