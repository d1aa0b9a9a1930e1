"""Angles by name: dictionaries, as callers write them or as a JSON file holds them.

A key is a parameter, its name, a vector of parameters or its name, or a tuple of parameters or names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit, qasm3
from qiskit.circuit import Parameter, ParameterVector

from bondwise.runs import UsageError, kind_of, one_line, unknown_name

if TYPE_CHECKING:
    import torch


def named_angles(
    given: Mapping[Any, Any], parameters: Iterable[Parameter | str], what: str = "parameters"
) -> NDArray[Any] | torch.Tensor:
    """Angles in the order of some parameters.

    Args:
        given: Angles by parameter, (*batch,); by vector or tuple of parameters, (*batch, length). The batches
            are broadcast. A name that an exporter had to rewrite may be in its original form, such as `x[0]`
            for `_x_0_`.
        parameters: The parameters or their names, P in all.
        what: Name of the angles in messages.

    Returns:
        (*batch, P): a tensor that keeps the gradients if some of the angles are tensors, otherwise an array.

    Raises:
        UsageError: If a name is missing, unknown or given twice, or the shapes do not fit together.
    """
    columns: dict[str, Any] = {}
    parameters = list(parameters)
    names = [parameter if isinstance(parameter, str) else parameter.name for parameter in parameters]
    lengths = {one.vector.name: len(one.vector) for one in parameters if hasattr(one, "vector")}
    if given and not names:
        raise UsageError(f"there are no {what} to give by name; leave them out.")
    known = dict.fromkeys(names)
    for key, angles in given.items():
        for name, column in _columns(key, angles, known, lengths, what):
            if name in columns:
                raise UsageError(f"the {what} give {name!r} twice; leave one out.")
            columns[name] = column
    missing = [name for name in names if name not in columns]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        shown = ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
        raise UsageError(
            f"the {what} lack {missing[0]!r}{more}; give all {len(names)} by name, {shown}, or their vectors."
        )
    return _stacked([columns[name] for name in names], names, what)


def _columns(
    key: Any, angles: Any, names: Mapping[str, None], lengths: Mapping[str, int], what: str
) -> Iterator[tuple[str, Any]]:
    """The names that a key stands for, each with its angles; `lengths` are those of vectors."""
    if isinstance(key, Parameter):
        key = key.name
    if isinstance(key, str):
        name = _known(key, names)
        if name is not None:
            yield name, angles
            return
        members = _members(key, names)
        if not members:
            raise unknown_name("parameter", one_line(key, 60), names)
        places, length = members, max(members) + 1
        whole = max(lengths.get(key, length), length)  # of which the circuit may use a part
    elif isinstance(key, ParameterVector | tuple | list):
        wanted = [str(getattr(one, "name", one)) for one in key]
        places = {place: name for place, one in enumerate(wanted) if (name := _known(one, names)) is not None}
        length = whole = len(wanted)
        strange = [one for place, one in enumerate(wanted) if place not in places]
        if strange and (not isinstance(key, ParameterVector) or not places):
            raise unknown_name("parameter", one_line(strange[0], 60), names)
        key = getattr(key, "name", key)
    else:
        raise UsageError(f"a key of the {what} is {kind_of(key)}; give a name or a parameter of Qiskit.")
    tensors = isinstance(angles, list | tuple) and any(hasattr(one, "detach") for one in angles)
    if not tensors and not hasattr(angles, "detach"):
        angles = _array(angles, key, what)
    found = len(angles) if tensors else angles.shape[-1] if angles.ndim else 0
    if found not in (length, whole):
        raise UsageError(
            f"the {what} give {found or 'one number'} for {key!r}, which has {whole} elements; give "
            f"{whole} numbers, or a batch of shape (N, {whole})."
        )
    for place, name in places.items():
        yield name, angles[place] if tensors else angles[..., place]


def _known(key: str, names: Mapping[str, None]) -> str | None:
    """The name that a key stands for: itself, or what an exporter made of it."""
    rewritten = "_" + re.sub(r"\W", "_", key)
    if known := next((name for name in (key, rewritten) if name in names), None):
        return known
    exported = _exported(key)
    if exported in names:
        return exported
    if not exported.endswith("_0"):
        return None
    # a name that is taken gets a number, which depends on the others
    numbered = re.compile(re.escape(exported.removesuffix("_0")) + r"_\d+")
    found = [name for name in names if numbered.fullmatch(name)]
    return found[0] if len(found) == 1 else None


@lru_cache(maxsize=256)
def _exported(name: str) -> str:
    """The name that Qiskit gives to a parameter in OpenQASM 3: `x_0` for `x`, which is a gate there."""
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter(name), 0)
    declared = re.search(r"^input float\[64\] (.+);$", qasm3.dumps(circuit), re.MULTILINE)
    return declared[1] if declared else name


def _members(key: str, names: Mapping[str, None]) -> dict[int, str]:
    """The elements of the vector of that name, by index."""
    rewritten = re.sub(r"\W", "_", key)
    pattern = re.compile(rf"{re.escape(key)}\[(\d+)\]|_{re.escape(rewritten)}_(\d+)_")
    found = ((pattern.fullmatch(name), name) for name in names)
    return {int(match[1] or match[2]): name for match, name in found if match}


def _array(angles: Any, key: Any, what: str) -> NDArray[Any]:
    try:
        return np.asarray(angles)
    except (TypeError, ValueError):
        raise UsageError(f"the {what} for {key!r} are not numbers; give one, or an array of them.") from None


def _stacked(columns: list[Any], names: Sequence[str], what: str) -> NDArray[Any] | torch.Tensor:
    """The columns, of shapes that are broadcast, side by side."""
    tensors = [column for column in columns if hasattr(column, "detach")]
    arrays = [
        column if hasattr(column, "detach") else _array(column, name, what)
        for column, name in zip(columns, names, strict=True)
    ]
    try:
        batch = np.broadcast_shapes(*(tuple(array.shape) for array in arrays))
    except ValueError:
        shown = ", ".join(
            f"{name}: {tuple(array.shape)}" for name, array in list(zip(names, arrays, strict=True))[:4]
        )
        raise UsageError(
            f"the {what} have shapes that do not fit together ({shown}); give one number, or as many as for "
            "the others."
        ) from None
    if not tensors:
        return np.stack([np.broadcast_to(array, batch) for array in arrays], -1) if arrays else np.zeros(0)
    import torch

    dtype = tensors[0].dtype
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    if not dtype.is_floating_point and not dtype.is_complex:
        dtype = torch.float64
    try:
        even = [torch.as_tensor(array, dtype=dtype, device=tensors[0].device) for array in arrays]
    except (TypeError, RuntimeError) as error:
        raise UsageError(f"the {what} are not numbers ({one_line(error, 80)}); give real numbers.") from None
    return torch.stack([column.expand(batch) for column in even], -1)
