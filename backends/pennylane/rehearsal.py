"""A traced quantum function, called with numbers: it must make the gates that the trace has.

A function may look at its arguments in ways that no parameter can refuse, such as `numpy.count_nonzero(x)`
or `x.tolist()`. Then it makes other gates for other numbers.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pennylane as qml
from qiskit.circuit import Parameter, ParameterExpression

from bondwise.runs import UsageError, one_line

_CLOSE = 1e-8


def require_same(
    traced: Any, call: Callable[[Mapping[Parameter, float]], Any], values: Mapping[Parameter, float]
) -> None:
    """Compare a traced tape with those of the same function at the given numbers and at others.

    Args:
        traced: The tape, whose angles hold parameters.
        call: Makes the tape for numbers.
        values: The numbers that were given.

    Raises:
        UsageError: If they differ in a gate, an angle or a measurement.
    """
    if not values:
        return
    others = np.random.default_rng(0).normal(size=len(values)).tolist()
    for numbers in (values, dict(zip(values, others, strict=True))):
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                tape = call(numbers)
        except Exception:  # not a point where the function is defined
            continue
        if (place := _difference(traced, tape, numbers)) is not None:
            if _difference(tape, call(numbers), numbers) is not None:
                raise UsageError(
                    f"the quantum function makes other gates at each call (at {one_line(place, 80)}); draw "
                    "random numbers once, before, and pass them by keyword."
                )
            raise UsageError(
                f"the quantum function looks at the numbers in its free arguments (at {one_line(place, 80)})"
                ", so that one circuit does not stand for all of them; pass the argument by keyword or with "
                "requires_grad=False."
            )


def _difference(traced: Any, tape: Any, numbers: Mapping[Parameter, float]) -> str | None:
    """The first operation or measurement in which two tapes differ."""
    for ours, theirs in zip(traced.operations, tape.operations, strict=False):
        same = (
            type(ours) is type(theirs) and ours.wires == theirs.wires and len(ours.data) == len(theirs.data)
        )
        if not same or not all(_close(*pair, numbers) for pair in zip(ours.data, theirs.data, strict=True)):
            return f"{ours.name} on wires {ours.wires.tolist()}"
    count = min(len(traced.operations), len(tape.operations))
    for longer in (traced, tape):
        if len(longer.operations) > count:
            return f"{longer.operations[count].name} on wires {longer.operations[count].wires.tolist()}"
    if list(map(str, traced.measurements)) != list(map(str, tape.measurements)):
        return "its measurements"
    return None


def _close(traced: Any, number: Any, numbers: Mapping[Parameter, float]) -> bool:
    found = _numbers(traced, numbers)
    wanted = np.asarray(qml.math.toarray(number)) if qml.math.get_interface(number) != "numpy" else number
    if found is None or np.shape(found) != np.shape(wanted):
        return found is None
    return bool(np.allclose(found, wanted, rtol=_CLOSE, atol=_CLOSE, equal_nan=True))


def _numbers(data: Any, numbers: Mapping[Parameter, float]) -> Any:
    """Data with numbers in place of its parameters; None where an expression has no value."""
    if isinstance(data, ParameterExpression):
        data = np.array(data, dtype=object)
    if getattr(getattr(data, "dtype", None), "kind", "") != "O":
        return np.asarray(qml.math.toarray(data)) if hasattr(data, "detach") else data
    try:
        values = [_bound(one, numbers) for one in _flat(data)]
    except (TypeError, ValueError, ArithmeticError):
        return None
    return np.reshape(values, np.shape(data))


def _flat(data: Any) -> Iterable[Any]:
    return np.ravel(np.asarray(data)).tolist()


def _bound(one: Any, numbers: Mapping[Parameter, float]) -> complex:
    if not isinstance(one, ParameterExpression):
        return complex(one)
    return complex(one.bind({parameter: numbers[parameter] for parameter in one.parameters}))
