"""From PennyLane to Qiskit: QNodes, quantum functions and tapes as circuits with free parameters.

The quantum function is called with arrays of Qiskit's parameters in place of its arguments. NumPy applies
their arithmetic element by element, so that angles arrive at the gates as expressions.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pennylane as qml
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterExpression, ParameterVector
from qiskit.circuit.library import GlobalPhaseGate
from qiskit.quantum_info import SparsePauliOp

from bondwise.backends.pennylane.operators import steps
from bondwise.backends.pennylane.rehearsal import require_same
from bondwise.circuits import as_operator
from bondwise.runs import UsageError, kind_of, one_line, real_array
from bondwise.runs.result import brief_repr


@dataclass(frozen=True)
class PennyLaneCircuit:
    """A circuit from PennyLane.

    Attributes:
        circuit: The circuit. Its parameters are named after the arguments of the quantum function: `x` for a
            number, and `weights[0]`, `weights[1]`, … for an array, in the order of `weights.ravel()`.
        parameters: The values that were passed, float64 of shape (P,), in the order of `circuit.parameters`.
        wires: PennyLane's labels: qubit i is wire `wires[i]`.
        observables: The observables of `expval` measurements, in order, with wire `wires[i]` as qubit i.

    Example:
        >>> import pennylane as qml
        >>> from bondwise.backends import estimate, from_pennylane
        >>> def rotated(angles):
        ...     qml.RX(angles[0], 0)
        ...     qml.CRY(2 * angles[1], [0, 1])
        ...     return qml.expval(qml.Z(0))
        >>> converted = from_pennylane(rotated, [0.5, 0.25])
        >>> value = estimate(converted.circuit, converted.observables, converted.parameters).value
        >>> value.round(4), converted.arguments([0.1, 0.2])
        (array([0.8776]), (array([0.1, 0.2]),))
    """

    circuit: QuantumCircuit
    parameters: NDArray[np.float64]
    wires: tuple[Any, ...]
    observables: tuple[SparsePauliOp, ...]
    _arguments: tuple[_Argument, ...] = field(repr=False)

    __repr__ = brief_repr

    def arguments(self, parameters: Any) -> tuple[Any, ...]:
        """Arguments of the quantum function, from parameters of the circuit.

        Args:
            parameters: Angles in radians, shape (P,), in the order of `circuit.parameters`, such as those
                that `fit` or a training found.

        Returns:
            The positional arguments as they were passed, with float64 arrays (or floats) that hold the new
            values; elements that no gate uses keep theirs.

        Raises:
            UsageError: If the number of parameters is wrong.
        """
        given = real_array("the parameters", parameters)
        if given.shape != self.parameters.shape:
            raise UsageError(
                f"the circuit has {len(self.parameters)} parameters and an array of shape {given.shape} was "
                "given; pass one angle for each of circuit.parameters."
            )
        values = dict(zip(self.circuit.parameters, given.tolist(), strict=True))
        return tuple(argument.filled(values) for argument in self._arguments)


def from_pennylane(source: Any, *arguments: Any, **keywords: Any) -> PennyLaneCircuit:
    """Translate a QNode, a quantum function or a tape to a Qiskit circuit with free parameters.

    Templates and composite operators are decomposed. Wire i is qubit i if the wires are numbered; otherwise
    qubits follow the order of the device's wires or, without a device, the order in which they are used.

    Args:
        source: A `QNode` (its transforms are applied), a quantum function, or a `QuantumScript`.
        *arguments: Positional arguments of the QNode or function. Floats, arrays of floats and lists of them
            become free parameters, unless they have `requires_grad=False`, as torch's tensors have by
            default. Anything else stays as it is.
        **keywords: Keyword arguments, which stay as they are.

    Returns:
        The circuit, the values of its parameters, and the way back from parameters to arguments. A tape gets
        one parameter for each number of its differentiable gates, `angles[0]`, `angles[1]`, … in order.
        Of the measurements, those of `expval` are kept; a warning names the others.

    Raises:
        UsageError: If the circuit contains something other than unitary operators on qubits (channels,
            mid-circuit measurements, for which the message names the transform), or if an argument that is
            free is used as anything other than an angle (as data to embed as amplitudes, in a condition, or
            to choose gates).

    Example:
        >>> import numpy as np
        >>> import pennylane as qml
        >>> from bondwise import tn
        >>> from bondwise.backends import from_pennylane
        >>> hamiltonian = -(qml.Z(0) @ qml.Z(1)) - qml.X(0) - 0.5 * qml.Z(1)
        >>> @qml.qnode(qml.device("default.qubit"))
        ... def energy(weights):
        ...     qml.StronglyEntanglingLayers(weights, wires=range(2))
        ...     return qml.expval(hamiltonian)
        >>> converted = from_pennylane(energy, np.zeros((2, 2, 3)))
        >>> ground = tn.ground_state(hamiltonian, seed=0)
        >>> found = tn.fit(converted.circuit, ground, seed=0)
        >>> (weights,) = converted.arguments(found.parameters)
        >>> weights.shape, bool(abs(energy(weights) - ground.energy) < 1e-6)
        ((2, 2, 3), True)
    """
    traced: tuple[_Argument, ...] = ()
    device: Sequence[Any] = ()
    if isinstance(source, qml.tape.QuantumScript):
        if arguments or keywords:
            raise UsageError("a tape has no arguments; pass it alone, or the QNode with its arguments.")
        tape, values = _with_parameters(source)
    elif callable(source):
        qnode = isinstance(source, qml.QNode)
        device = source.device.wires or () if qnode else ()
        function = source.func if qnode else source
        traced = _traced(function, arguments)
        symbols = [argument.symbols for argument in traced]
        build = qml.tape.make_qscript(function)
        tape = plain = _built(build, symbols, keywords)
        if qnode:  # with its transforms, which may treat numbers differently
            tape = _built(qml.workflow.construct_tape(source), symbols, keywords)
        values = {key: value for argument in traced for key, value in argument.values()}
        require_same(
            plain,
            lambda numbers: build(*(argument.filled(numbers) for argument in traced), **keywords),
            values,
        )
    else:
        raise UsageError(
            f"a QNode, a quantum function or a tape of PennyLane is expected, not {kind_of(source)}; "
            "pass from_pennylane(qnode, *arguments)."
        )
    wires = _wires(tape, device)
    circuit = _circuit(tape, wires)
    place = {wire: qubit for qubit, wire in enumerate(wires)}
    observables = [
        as_operator(measured.obs.map_wires(place), len(wires))
        for measured in tape.measurements
        if isinstance(measured, qml.measurements.ExpectationMP) and measured.obs is not None
    ]
    _say_what_is_lost(tape, circuit, arguments)
    parameters = np.array([values[parameter] for parameter in circuit.parameters], dtype=np.float64)
    return PennyLaneCircuit(circuit, parameters, wires, tuple(observables), traced)


def _say_what_is_lost(tape: Any, circuit: QuantumCircuit, arguments: tuple[Any, ...]) -> None:
    """Warn of measurements that are left out, and of tensors that torch's default makes numbers."""
    lost = [
        one_line(str(measured), 60)
        for measured in tape.measurements
        if not isinstance(measured, qml.measurements.ExpectationMP) or measured.obs is None
    ]
    if lost:
        warnings.warn(
            "from_pennylane keeps the circuit and the observables of expval, and leaves out "
            f"{', '.join(lost)}.",
            stacklevel=3,
        )
    fixed = [
        index
        for index, given in enumerate(arguments)
        if hasattr(given, "detach") and not given.requires_grad and given.is_floating_point()
    ]
    if fixed and not circuit.parameters:
        warnings.warn(
            f"the circuit has no free parameters: argument {fixed[0]} has requires_grad=False, torch's "
            "default, and stays a number; pass argument.requires_grad_() to train it.",
            stacklevel=3,
        )


_LOOKING = (
    np.array_equal,
    np.array_equiv,
    np.argwhere,
    np.count_nonzero,
    np.flatnonzero,
    np.nonzero,
    np.unique,
)


class _Symbols(np.ndarray):
    """An array of parameters or expressions whose elements are arrays of shape (), as PennyLane expects."""

    def __getitem__(self, key: Any) -> Any:
        return _symbols(super().__getitem__(key))

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))

    def __array_function__(self, function: Any, *given: Any) -> Any:
        if function in _LOOKING:  # to Python, every parameter is true, and equal to itself alone
            raise TypeError(f"{function.__name__} looks at the numbers in a free argument")
        found = super().__array_function__(function, *given)
        return _symbols(found) if isinstance(found, ParameterExpression) else found

    def __bool__(self) -> bool:
        raise TypeError("a free parameter in a condition is neither true nor false")

    def __eq__(self, other: object) -> Any:
        raise TypeError("a free parameter is compared with a number")

    __ne__ = __eq__
    __hash__ = None  # type: ignore[assignment]


def _symbols(value: Any) -> _Symbols:
    return np.asarray(value, dtype=object).view(_Symbols)


@dataclass(frozen=True)
class _Argument:
    """One positional argument: nested lists, tuples and dictionaries of leaves.

    Attributes:
        given: The argument as passed.
        symbols: The same with arrays of parameters, where it is free.
    """

    given: Any
    symbols: Any

    def values(self) -> Iterator[tuple[Parameter, float]]:
        """The parameters with the values that were passed."""
        for symbols, numbers in _leaves(self.symbols, self.given):
            yield from zip(symbols.ravel().tolist(), np.ravel(numbers).tolist(), strict=True)

    def filled(self, values: Mapping[Parameter, float]) -> Any:
        """The argument with new values."""
        return _filled(self.symbols, self.given, values)


def _leaves(symbols: Any, given: Any) -> Iterator[tuple[_Symbols, Any]]:
    if isinstance(symbols, _Symbols):
        yield symbols, _plain(given)
    elif isinstance(symbols, list | tuple):
        for part, numbers in zip(symbols, given, strict=True):
            yield from _leaves(part, numbers)
    elif isinstance(symbols, dict):
        for key, part in symbols.items():
            yield from _leaves(part, given[key])


def _filled(symbols: Any, given: Any, values: Mapping[Parameter, float]) -> Any:
    if isinstance(symbols, _Symbols):
        old = np.ravel(_plain(given)).tolist()
        new = [values.get(key, number) for key, number in zip(symbols.ravel().tolist(), old, strict=True)]
        return np.reshape(new, symbols.shape) if symbols.shape else new[0]
    if isinstance(symbols, list | tuple):
        return type(symbols)(_filled(part, old, values) for part, old in zip(symbols, given, strict=True))
    if isinstance(symbols, dict):
        return {key: _filled(part, given[key], values) for key, part in symbols.items()}
    return given


def _plain(numbers: Any) -> NDArray[Any]:
    return np.asarray(numbers.detach().cpu() if hasattr(numbers, "detach") else numbers)


def _traced(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[_Argument, ...]:
    """The arguments, with parameters that are named after those of the function."""
    names: list[str] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"{parameter.name}_{index}" for index in range(len(arguments) - len(names))]
        names.append(parameter.name)
    if len(arguments) > len(names):
        raise UsageError(f"{len(arguments)} arguments were given, and the function takes {len(names)}.")
    traced = tuple(
        _Argument(given, _free(given, name)) for given, name in zip(arguments, names, strict=False)
    )
    keys = [key.name for argument in traced for key, _ in argument.values()]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise UsageError(f"two parameters would be called {twice!r}; rename an argument of the function.")
    return traced


def _free(given: Any, name: str) -> Any:
    """An argument with parameters in place of its floats."""
    if isinstance(given, dict):
        return {key: _free(part, f"{name}_{key}") for key, part in given.items()}
    if isinstance(given, list | tuple):
        numbers = _numbers(given)
        if numbers is None:
            return type(given)(_free(part, f"{name}_{index}") for index, part in enumerate(given))
    else:
        numbers = _numbers(given) if getattr(given, "requires_grad", True) else None
    if numbers is None or numbers.dtype.kind != "f":
        return given
    if not numbers.shape:
        return _symbols(Parameter(name))
    vector = np.empty(numbers.size, dtype=object)
    vector[:] = list(ParameterVector(name, numbers.size))
    return _symbols(vector.reshape(numbers.shape))


def _numbers(given: Any) -> NDArray[Any] | None:
    """An array of what can be one: a number, an array or tensor, nested lists of plain numbers."""
    if isinstance(given, list | tuple) and any(
        hasattr(part, "shape") or isinstance(part, dict) for part in given
    ):
        return None  # of arrays: each has its own name
    try:
        array = _plain(given)
    except (TypeError, ValueError):  # of unequal length
        return None
    return array if array.dtype.kind in "fiu" else None


def _built(build: Callable[..., Any], symbols: list[Any], keywords: dict[str, Any]) -> Any:
    try:
        return build(*symbols, **keywords)
    except UsageError:
        raise
    except Exception as error:  # whatever the function does with what it is given
        raise UsageError(
            f"the quantum function cannot be called with free parameters ({type(error).__name__}: "
            f"{one_line(error, 120).rstrip('.')}); pass arguments that are not angles by keyword or with "
            "requires_grad=False, or pass its tape, from qml.workflow.construct_tape(qnode)(*arguments)."
        ) from error


def _with_parameters(tape: Any) -> tuple[Any, dict[Parameter, float]]:
    """A tape with a parameter for each number of its differentiable gates."""
    vector = ParameterVector("angles", sum(np.size(_plain(data)) for op in tape for data in _data(op)))
    values: dict[Parameter, float] = {}
    operations = []
    for operator in tape.operations:
        data = [_plain(number) for number in _data(operator)]
        if not data or any(array.dtype.kind != "f" for array in data):
            operations.append(operator)
            continue
        fresh = [_symbols(np.empty(array.shape, dtype=object)) for array in data]
        place = len(values)
        for symbols in fresh:
            symbols[...] = np.array(vector[place : place + symbols.size], dtype=object).reshape(symbols.shape)
            place += symbols.size
        try:
            free = qml.ops.functions.bind_new_parameters(operator, fresh)
            steps(free)
        except Exception:  # its numbers are not angles
            operations.append(operator)
            continue
        operations.append(free)
        keys = vector[len(values) : place]
        values |= dict(zip(keys, np.concatenate([array.ravel() for array in data]).tolist(), strict=True))
    return tape.copy(operations=operations), values


def _data(operator: Any) -> Sequence[Any]:
    return getattr(operator, "data", ())


def _wires(tape: Any, device: Sequence[Any]) -> tuple[Any, ...]:
    """The wire of each qubit."""
    used = tuple(device) or tuple(tape.wires)
    numbered = all(isinstance(wire, int | np.integer) and wire >= 0 for wire in used)
    return tuple(range(max(map(int, used), default=-1) + 1)) if numbered else used


def _circuit(tape: Any, wires: tuple[Any, ...]) -> QuantumCircuit:
    place = {wire: qubit for qubit, wire in enumerate(wires)}
    circuit = QuantumCircuit(len(wires))
    for operator in tape.operations:
        for gate, labels in steps(operator):
            if isinstance(gate, GlobalPhaseGate):
                circuit.global_phase += gate.params[0]
            else:
                circuit.append(gate, [place[label] for label in labels], copy=False)
    return circuit
