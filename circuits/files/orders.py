"""The order of a plain array of angles: `circuit.parameters`, or for a path the declarations in the file."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from bondwise.circuits.files.formats import ORDER
from bondwise.circuits.sources import as_circuit


def declared_parameters(circuit: QuantumCircuit | str | os.PathLike[str]) -> list[Parameter]:
    """Return the parameters of a circuit in the order in which its file declares them.

    For circuits that `read_circuit` read from OpenQASM 3, this is the order of the input declarations; for
    others it is the order of `circuit.parameters`. A plain list of angles that is passed along with the path
    of the file follows it.

    Args:
        circuit: The circuit, or the path of its file.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qiskit.circuit import Parameter
        >>> from bondwise.circuits import declared_parameters
        >>> circuit = QuantumCircuit(1)
        >>> _ = circuit.u(Parameter("b"), Parameter("a"), 0.1, 0)
        >>> [parameter.name for parameter in declared_parameters(circuit)]
        ['a', 'b']
    """
    circuit = as_circuit(circuit)
    names = (circuit.metadata or {}).get(ORDER, [])
    place = {name: index for index, name in enumerate(names)}
    return sorted(circuit.parameters, key=lambda parameter: place.get(parameter.name, len(place)))


class AngleOrder:
    """The columns of a plain array of angles, and the way to the order of `circuit.parameters` and back.

    Args:
        given: What the caller passed as a circuit: a circuit or a gate, or the path of a file, whose
            declarations the columns follow.
        circuit: The circuit from `as_circuit(given)`.
    """

    def __init__(self, given: Any, circuit: QuantumCircuit) -> None:
        self._circuit = circuit
        self._columns: np.ndarray | None = None  # of each of circuit.parameters
        if isinstance(given, str | os.PathLike):
            place = {parameter: index for index, parameter in enumerate(declared_parameters(circuit))}
            columns = np.array([place[parameter] for parameter in circuit.parameters], dtype=np.int64)
            if (columns != np.arange(len(columns))).any():
                self._columns = columns

    @property
    def differs(self) -> bool:
        """Whether the order is not that of `circuit.parameters`."""
        return self._columns is not None

    @property
    def count(self) -> int:
        """Number of parameters."""
        return self._circuit.num_parameters

    @cached_property
    def parameters(self) -> list[Parameter]:
        """The parameters in the order of the columns."""
        own = list(self._circuit.parameters)
        return own if self._columns is None else [own[index] for index in np.argsort(self._columns)]

    @property
    def names(self) -> list[str]:
        """Their names."""
        return [parameter.name for parameter in self.parameters]

    def to_circuit(self, angles: Any) -> Any:
        """Array or tensor (..., P) in the order of `circuit.parameters`; gradients flow through."""
        return angles if self._columns is None else angles[..., self._columns]


def with_order(given: Any) -> tuple[QuantumCircuit, AngleOrder]:
    """What `as_circuit` makes of a circuit, a gate or a path, and the order of a plain array for it."""
    circuit = as_circuit(given)
    return circuit, AngleOrder(given, circuit)
