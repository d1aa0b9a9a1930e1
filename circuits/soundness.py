"""Circuits that can be run: finite numbers, unitary matrices, and a moderate size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from qiskit import QuantumCircuit

from bondwise.circuits.files.checks import check_circuit
from bondwise.circuits.files.orders import with_order
from bondwise.circuits.sources import as_circuit
from bondwise.runs import UsageError, one_line


def require_sound(circuit: QuantumCircuit, name: object) -> None:
    """Refuse a circuit that contains invalid numbers or is too large to handle.

    Args:
        circuit: The circuit. Definitions of gates and blocks of control flow are checked too.
        name: Start of the message, usually the path of the file.

    Raises:
        UsageError: If an angle, matrix, duration or phase is NaN or infinite; if a matrix is not unitary; if
            there are more qubits, classical bits or operations (with definitions and loops written out) than
            the limits allow, see `bondwise.runs.limit`; or if definitions are nested too deeply.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.circuits import require_sound
        >>> circuit = QuantumCircuit(1)
        >>> _ = circuit.rx(float("nan"), 0)
        >>> require_sound(circuit, "ansatz.qasm")
        Traceback (most recent call last):
        bondwise.runs.errors.UsageError: ansatz.qasm: an angle of 'rx' is NaN or infinite; ...
    """
    check_circuit(as_circuit(circuit), name)


def bind_soundly(circuit: QuantumCircuit, angles: Sequence[float], name: object) -> QuantumCircuit:
    """Bind the angles of a circuit, and refuse angles that make a number in it infinite.

    Args:
        circuit: A circuit that `require_sound` accepts.
        angles: One angle for each of `circuit.parameters`, in radians; for the path of an OpenQASM 3 file, in
            the order of its declarations.
        name: Start of the message.

    Returns:
        The bound circuit.

    Raises:
        UsageError: If a number becomes NaN or infinite.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qiskit.circuit import Parameter
        >>> from bondwise.circuits import bind_soundly
        >>> circuit = QuantumCircuit(1)
        >>> _ = circuit.rx(1 / Parameter("x"), 0)
        >>> bind_soundly(circuit, [4.0], "ansatz.qasm").data[0].operation.params
        [0.25]
    """
    circuit, order = with_order(circuit)
    try:
        bound = circuit.assign_parameters(order.to_circuit(np.asarray(angles)))
    except (ArithmeticError, ValueError) as error:
        raise UsageError(
            f"{name}: with these angles a number becomes infinite ({one_line(error)})."
        ) from error
    require_sound(bound, name)
    return bound
