"""The result of a computation: a value with its standard error, shots, seed and job identifiers."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import numpy as np

from bondwise.runs.errors import UsageError
from bondwise.runs.files import write_atomically
from bondwise.runs.reading import one_line, read_bytes, read_json
from bondwise.runs.text import counted, printable

_LONGEST, _MOST = 60, 4  # letters of a text and items of a collection in a `repr`
_WHOLE, _EDGE = 12, 3  # numbers of an array that a notebook shows; of more, those at each end of an axis


@dataclass(frozen=True, kw_only=True)
class Result:
    """Base class of all results; subclasses add fields and often a method `plot(ax=None)`.

    Attributes:
        value: The computed quantity, a float or an array.
        std: Standard error of `value`, of the same shape; 0.0 if the value is exact.
        shots: Total number of circuit executions; 0 if nothing was sampled.
        seed: Random seed, or None.
        job_ids: Identifiers of the submitted jobs.

    Example:
        >>> from bondwise.runs import Result
        >>> result = Result(value=-1.48, std=0.02, shots=4096, seed=7)
        >>> print(result)
        Result: -1.48 ± 0.02, 4,096 shots, seed 7
        >>> result
        Result(value=-1.48, std=0.02, shots=4096, seed=7, job_ids=())
        >>> result.save("energy")
        >>> Result.load("energy") == result
        True
    """

    value: Any
    std: Any = 0.0
    shots: int = 0
    seed: int | None = None
    job_ids: tuple[str, ...] = ()

    def __init_subclass__(cls) -> None:
        if "__repr__" not in vars(cls):  # @dataclass would make one that prints every array
            cls.__repr__ = brief_repr  # type: ignore[method-assign]

    def __repr__(self) -> str:
        return brief_repr(self)

    def _repr_html_(self) -> str:
        return brief_html(self)

    def __str__(self) -> str:
        parts = [f"{type(self).__name__}: {_with_error(self.value, self.std, self.shots)}"]
        parts.append(counted(self.shots, "shot") if self.shots else "no shots")
        if self.seed is not None:
            parts.append(f"seed {self.seed}")
        if self.job_ids:
            parts.append(counted(len(self.job_ids), "job"))
        return ", ".join(parts)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `PATH.json`, and `PATH.safetensors` with the arrays and circuits if there are any.

        Args:
            path: Path of the files, with or without one of these suffixes; the folder must exist.

        Raises:
            UsageError: If a field is of a type that cannot be stored, or the folder does not exist.
            RunError: If the disk is full or read-only.
        """
        from safetensors.torch import save

        from bondwise.runs.nesting import pack

        tensors: dict[str, Any] = {}
        content = {field.name: pack(getattr(self, field.name), tensors, field.name) for field in fields(self)}
        text, arrays = _files(path)
        document = {"schema": 1, "result": type(self).__name__, "fields": content}
        if tensors:
            stored = save(tensors)
            document["tensors"] = sha256(stored).hexdigest()
            write_atomically(arrays, stored)
        write_atomically(text, json.dumps(document, indent=1))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote; call it on the class that was saved.

        Args:
            path: Path of the files, with or without suffix, as for `save`.

        Raises:
            UsageError: If the files do not exist, are damaged, or hold a result of another class.
        """
        from safetensors.torch import load

        from bondwise.runs.nesting import unpack

        text, arrays = _files(path)
        try:
            document = read_json(text)
            found = document["result"]
            if found == cls.__name__:
                data = read_bytes(arrays, "array_bytes") if arrays.exists() else b""
                if "tensors" in document and sha256(data).hexdigest() != document["tensors"]:
                    raise UsageError(f"{arrays} is missing or belongs to another result")
                tensors = load(data) if data else {}
                return cls(**{name: unpack(node, tensors) for name, node in document["fields"].items()})
        except Exception as error:  # JSON, safetensors, QPY and missing keys raise their own errors
            raise UsageError(
                f"{text} is not a saved result, or it is damaged ({one_line(error)})."
            ) from error
        found = one_line(str(found), 40)
        raise UsageError(f"{text} contains a {found}; write {found}.load instead of {cls.__name__}.load.")


def _files(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """The file of the text and that of the arrays, from the name of either or from what they share."""
    path = Path(path)
    stem = path.stem if path.suffix in (".json", ".safetensors") else path.name
    return path.with_name(stem + ".json"), path.with_name(stem + ".safetensors")


def _with_error(value: Any, std: Any, shots: int) -> str:
    value, std = np.asarray(value), np.asarray(std)
    unknown = bool(np.isnan(std).any())
    if value.ndim:
        error = "standard errors unknown" if unknown else f"mean standard error {float(std.mean()):.2g}"
        return f"{value.size} values of shape {value.shape}, {error}"
    if unknown:
        return f"{float(value):.6g}, standard error unknown"
    return f"{float(value):.8g}" if not (shots or std.any()) else f"{float(value):.6g} ± {float(std):.2g}"


def brief_repr(dataclass: Any) -> str:
    """The `repr` of a dataclass or named tuple in one line; arrays, circuits and long collections by size."""
    shown = ", ".join(f"{name}={value}" for name, value in _brief_fields(dataclass).items())
    return f"{type(dataclass).__name__}({shown})"


def brief_html(dataclass: Any) -> str:
    """The table that a notebook shows for a dataclass: below its text, its fields with the numbers in arrays.

    The several values of a `Result` are shown with their standard errors.
    """
    kind, rows = type(dataclass), _brief_fields(dataclass)
    title = kind.__name__ if kind.__str__ is object.__str__ else str(dataclass)
    for name in rows:
        rows[name] = _numbers(getattr(dataclass, name)) or rows[name]
    if (
        isinstance(dataclass, Result)
        and np.shape(dataclass.std)
        and (dataclass.shots or np.any(dataclass.std))
    ):
        rows["value"] = _numbers(np.asarray(dataclass.value), np.asarray(dataclass.std))
        del rows["std"]
    return html_table(title, rows.items())


def _numbers(array: Any, std: Any = None) -> str:
    """The numbers in an array, with errors of the same shape; of many, the ends. "" if it is no array."""
    if not (hasattr(array, "dtype") and np.shape(array) and np.size(array)):
        return ""
    array = np.asarray(array.detach() if hasattr(array, "detach") else array)
    if std is not None:  # as complex numbers, of which only those that are shown are written
        pairs = np.empty(array.shape, complex)
        pairs.real, pairs.imag = array, std
        array = pairs

    def shown(number: Any) -> str:
        if std is not None:
            error = "unknown" if np.isnan(number.imag) else f"{number.imag:.2g}"
            return f"{number.real:.6g} ± {error}"
        return f"{number:.6g}" if isinstance(number, np.inexact) else str(number)

    text = np.array2string(
        array,
        separator=", ",
        threshold=_WHOLE,
        edgeitems=_EDGE,
        max_line_width=10**6,
        formatter={"all": shown},
    )
    text = " ".join(text.replace("...", "…").split())
    return text if array.size <= _WHOLE else f"{text} of shape {array.shape}"


def _brief_fields(dataclass: Any) -> dict[str, str]:
    names = getattr(dataclass, "_fields", None)  # of a named tuple
    names = names or [field.name for field in fields(dataclass) if field.repr]
    return {name: _brief(getattr(dataclass, name)) for name in names}


def _brief(value: Any, nested: bool = False) -> str:
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        if value.shape:
            return f"<{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}>"
        value = value.item()
    kind = type(value).__name__
    if isinstance(value, str):
        return repr(value if len(value) <= _LONGEST else value[: _LONGEST - 1] + "…")
    if value is None or isinstance(value, bool | int | float | complex):
        return repr(value)
    if hasattr(value, "num_qubits") and hasattr(value, "num_parameters"):
        return f"<{kind}: {counted(value.num_qubits, 'qubit')}, {counted(value.num_parameters, 'parameter')}>"
    if not isinstance(value, Mapping | Sequence):
        return f"<{kind}>"
    if nested or len(value) > _MOST:
        return f"<{kind} of {len(value)}>" if value else repr(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_brief(item, True)}" for key, item in value.items()) + "}"
    shown = ", ".join(_brief(item, True) for item in value)
    if isinstance(value, tuple):
        return f"({shown},)" if len(value) == 1 else f"({shown})"
    return f"[{shown}]"


def html_table(title: str, rows: Iterable[Sequence[object]]) -> str:
    """A table for notebooks, readable on light and dark pages.

    Args:
        title: Text above the table.
        rows: Cells; the first of each row is its heading. Markup in them is shown and not obeyed.
    """
    lines = []
    for heading, *cells in rows:
        line = f"<th style='text-align:left'>{html.escape(printable(heading))}</th>"
        line += "".join(f"<td style='text-align:left'>{html.escape(printable(cell))}</td>" for cell in cells)
        lines.append(f"<tr>{line}</tr>")
    return f"<div><p>{html.escape(printable(title))}</p><table>{''.join(lines)}</table></div>"


def html_curve(title: str, values: Any) -> str:
    """A line through the finite ones of some values as SVG in the color of the text, without axes.

    Args:
        title: Text for screen readers and for the pointer.
        values: Heights, an array of shape (N,); of more than 400, evenly spaced ones are drawn.
    """
    heights = np.asarray(values, dtype=float)
    places = np.flatnonzero(np.isfinite(heights))
    if places.size < 2:
        return ""
    places = places[np.unique(np.linspace(0, places.size - 1, 400).round().astype(int))]
    low, high = heights[places].min(), heights[places].max()
    across = 300 * (places - places[0]) / (places[-1] - places[0])
    down = 60 * (high - heights[places]) / ((high - low) or 1.0)
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True))
    return (
        f"<svg viewBox='-2 -2 304 64' width='304' height='64' role='img'><title>{html.escape(title)}</title>"
        f"<polyline points='{points}' fill='none' stroke='currentColor' stroke-width='1.5'/></svg>"
    )
