"""What a computation returns: a value with its standard error, shots, seed and the jobs that ran."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import numpy as np

from bondwise.runs.errors import UsageError
from bondwise.runs.files import write_atomically


@dataclass(frozen=True, kw_only=True)
class Result:
    """Base of all results; subclasses add fields and, where people would rather look, a `plot(ax=None)`.

    Attributes:
        value: The quantity asked for, float or array.
        std: Its standard error, of the same shape; 0.0 where the value is exact.
        shots: Circuit executions spent in all; 0 where no sampling took place.
        seed: The seed given, or None.
        job_ids: Identifiers of the jobs that were submitted.
    """

    value: Any
    std: Any = 0.0
    shots: int = 0
    seed: int | None = None
    job_ids: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"{type(self).__name__}: {_with_error(self.value, self.std)}"]
        parts.append(f"{self.shots} shots" if self.shots else "exact")
        if self.seed is not None:
            parts.append(f"seed {self.seed}")
        if self.job_ids:
            parts.append(f"{len(self.job_ids)} job{'s' if len(self.job_ids) > 1 else ''}")
        return ", ".join(parts)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `PATH.json`, `PATH.safetensors` when there are arrays, and `PATH.NAME.qpy` for each circuit.

        Args:
            path: Where, without suffix; the folder must exist.

        Raises:
            UsageError: A field is of a kind that cannot be stored.
            RunError: The disk is full or read-only.
        """
        from qiskit import QuantumCircuit, qpy
        from safetensors.numpy import save

        arrays: dict[str, np.ndarray] = {}
        files: dict[str, bytes] = {}

        def strip(node: Any, name: str) -> Any:
            if node is None or isinstance(node, bool | int | float | str):
                return node
            if isinstance(node, np.generic):
                return node.item()
            if isinstance(node, QuantumCircuit):
                buffer = BytesIO()
                qpy.dump(node, buffer)
                files[name] = buffer.getvalue()
                return {"circuit": name}
            if isinstance(node, list | tuple):
                return [strip(item, f"{name}.{index}") for index, item in enumerate(node)]
            if isinstance(node, dict):
                return {"dict": [[key, strip(item, f"{name}.{key}")] for key, item in node.items()]}
            if hasattr(node, "detach"):
                node = node.detach().cpu().numpy()
            if isinstance(node, np.ndarray) and node.dtype.kind in "biufc":
                arrays[name] = np.ascontiguousarray(node)
                return {"array": name}
            raise UsageError(f"{type(self).__name__}.{name} is {type(node).__name__}, which cannot be saved.")

        content = {field.name: strip(getattr(self, field.name), field.name) for field in fields(self)}
        path = Path(path)
        for name, data in files.items():
            write_atomically(path.with_name(f"{path.name}.{name}.qpy"), data)
        if arrays:
            write_atomically(path.with_name(path.name + ".safetensors"), save(arrays))
        document = {"schema": 1, "result": type(self).__name__, "fields": content}
        write_atomically(path.with_name(path.name + ".json"), json.dumps(document, indent=1))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read back what `save` wrote; call it on the class that was saved.

        Raises:
            UsageError: There is nothing there, it is damaged, or it is the result of another class.
        """
        from qiskit import qpy
        from safetensors.numpy import load_file

        path = Path(path)
        try:
            document = json.loads(path.with_name(path.name + ".json").read_text())
            found, content = document["result"], document["fields"]
        except (OSError, ValueError, KeyError) as error:
            raise UsageError(f"{path}.json is not a saved result ({error}).") from error
        if found != cls.__name__:
            raise UsageError(
                f"{path}.json holds a {found}; write {found}.load instead of {cls.__name__}.load."
            )
        stored = path.with_name(path.name + ".safetensors")
        arrays = load_file(stored) if stored.exists() else {}

        def fill(node: Any) -> Any:
            if isinstance(node, list):
                return tuple(fill(item) for item in node)
            if not isinstance(node, dict):
                return node
            kind, inner = next(iter(node.items()))
            if kind == "array":
                return arrays[inner]
            if kind == "circuit":
                with path.with_name(f"{path.name}.{inner}.qpy").open("rb") as file:
                    return qpy.load(file)[0]
            return {key: fill(value) for key, value in inner}

        return cls(**{name: fill(node) for name, node in content.items()})


def _with_error(value: Any, std: Any) -> str:
    value, std = np.asarray(value), np.asarray(std)
    if value.ndim:
        return f"{value.size} values of shape {value.shape}, mean standard error {float(std.mean()):.2g}"
    return f"{float(value):.8g}" if not std.any() else f"{float(value):.6g} ± {float(std):.2g}"
