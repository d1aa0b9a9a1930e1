"""The result of a computation: a value with its standard error, shots, seed and job identifiers."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import numpy as np

from bondwise.runs.errors import UsageError
from bondwise.runs.files import write_atomically
from bondwise.runs.reading import one_line, read_bytes, read_json


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
        Result: -1.48 ± 0.02, 4096 shots, seed 7
        >>> result.save("energy")
        >>> Result.load("energy") == result
        True
    """

    value: Any
    std: Any = 0.0
    shots: int = 0
    seed: int | None = None
    job_ids: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"{type(self).__name__}: {_with_error(self.value, self.std, self.shots)}"]
        parts.append(f"{self.shots} shots" if self.shots else "no shots")
        if self.seed is not None:
            parts.append(f"seed {self.seed}")
        if self.job_ids:
            parts.append(f"{len(self.job_ids)} job{'s' if len(self.job_ids) > 1 else ''}")
        return ", ".join(parts)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `PATH.json`, and `PATH.safetensors` with the arrays and circuits if there are any.

        Args:
            path: Path of the files without suffix; the folder must exist.

        Raises:
            UsageError: If a field is of a type that cannot be stored.
            RunError: If the disk is full or read-only.
        """
        from safetensors.torch import save

        from bondwise.runs.nesting import pack

        tensors: dict[str, Any] = {}
        content = {field.name: pack(getattr(self, field.name), tensors, field.name) for field in fields(self)}
        path = Path(path)
        document = {"schema": 1, "result": type(self).__name__, "fields": content}
        if tensors:
            stored = save(tensors)
            document["tensors"] = sha256(stored).hexdigest()
            write_atomically(path.with_name(path.name + ".safetensors"), stored)
        write_atomically(path.with_name(path.name + ".json"), json.dumps(document, indent=1))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote; call it on the class that was saved.

        Args:
            path: Path of the files without suffix.

        Raises:
            UsageError: If the files do not exist, are damaged, or hold a result of another class.
        """
        from safetensors.torch import load

        from bondwise.runs.nesting import unpack

        path = Path(path)
        try:
            document = read_json(path.with_name(path.name + ".json"))
            found = document["result"]
            if found == cls.__name__:
                stored = path.with_name(path.name + ".safetensors")
                data = read_bytes(stored, "array_bytes") if stored.exists() else b""
                if "tensors" in document and sha256(data).hexdigest() != document["tensors"]:
                    raise UsageError(f"{stored} is missing or belongs to another result")
                tensors = load(data) if data else {}
                return cls(**{name: unpack(node, tensors) for name, node in document["fields"].items()})
        except Exception as error:  # JSON, safetensors, QPY and missing keys raise their own errors
            raise UsageError(
                f"{path}.json is not a saved result, or it is damaged ({one_line(error)})."
            ) from error
        found = one_line(str(found), 40)
        raise UsageError(
            f"{path}.json contains a {found}; write {found}.load instead of {cls.__name__}.load."
        )


def _with_error(value: Any, std: Any, shots: int) -> str:
    value, std = np.asarray(value), np.asarray(std)
    if value.ndim:
        return f"{value.size} values of shape {value.shape}, mean standard error {float(std.mean()):.2g}"
    return f"{float(value):.8g}" if not (shots or std.any()) else f"{float(value):.6g} ± {float(std):.2g}"
