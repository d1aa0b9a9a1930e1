"""Angles of circuits from text: names with numbers or multiples of π, `theta=pi/4,x[0]=1.2`, or JSON."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from bondwise.circuits.files.angle_files import angles_from
from bondwise.runs import UsageError
from bondwise.runs.reading import json_in

_FORM = "write theta=0.3,x[0]=pi/4"
_OPERATIONS: dict[type, Callable[..., float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


def angles_in(text: str, circuit: QuantumCircuit, name: str) -> NDArray[np.float64]:
    """The angles of a circuit in a text.

    Args:
        text: Names with angles, `theta=pi/4,x[0]=1.2`, or JSON as in the files of `read_parameters`.
        circuit: Circuit with P parameters.
        name: Start of messages, usually the flag.

    Returns:
        float64 of shape (P,), or (batch, P), as `read_parameters` returns them.

    Raises:
        UsageError: If the text is neither, or its names or numbers do not fit the circuit.
    """
    if text.lstrip().startswith(("{", "[")):
        return angles_from(json_in(text, name), circuit, name)
    if "=" not in text:
        raise UsageError(
            f"{name}: there is no file {text[:60]}; give one, JSON or .npy, or {_FORM} or [0.3, 1.2]."
        )
    angles: dict[str, float] = {}
    for part in re.split(r",(?=[^,=]*=)", text):
        key, _, number = (piece.strip() for piece in part.partition("="))
        value = _number(number)
        if not key or not math.isfinite(value):
            raise UsageError(f"{name}: {part[:60]!r} is not an angle by name; {_FORM}.")
        if key in angles:
            raise UsageError(f"{name} gives {key!r} twice; leave one out.")
        angles[key] = value
    return angles_from(angles, circuit, name)


def _number(text: str) -> float:
    """A number, or sums, products and quotients of numbers and π; NaN for anything else."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return _value(ast.parse(text[:200].strip(), mode="eval").body)
    except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError):
        return math.nan


def _value(node: Any) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.Name) and node.id in ("pi", "π"):
        return math.pi
    if isinstance(node, ast.UnaryOp | ast.BinOp) and type(node.op) in _OPERATIONS:
        parts = [node.operand] if isinstance(node, ast.UnaryOp) else [node.left, node.right]
        return _OPERATIONS[type(node.op)](*map(_value, parts))
    return math.nan
