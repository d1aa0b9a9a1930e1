"""Text, JSON and numpy arrays from any file: bounded, nothing unpickled, failures in one line."""

from __future__ import annotations

import json
import math
import os
import re
import stat
import sys
import warnings
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bondwise.runs.errors import UsageError
from bondwise.runs.limits import limit, require_within

_DTYPES = "booleans, whole numbers, float16 to float64, complex64, complex128 or strings"
_DECORATION = re.compile("\x1b\\[[0-9;]*m|[\u2500-\u257f]+")  # colors and lines


def one_line(error: BaseException | str, most: int = 300) -> str:
    """The message of an error on one line, printable and short; its type where it has no message."""
    message = getattr(error, "message", None)  # which Qiskit's errors show in quotes and escaped
    text = message if isinstance(message, str) and message else str(error) or type(error).__name__
    text = _DECORATION.sub("", text)
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether there is such a file; what cannot be a path is none."""
    try:
        return Path(path).is_file()
    except OSError:
        return False


def read_bytes(path: str | os.PathLike[str], what: str = "text_bytes") -> bytes:
    """The content of a regular file.

    Args:
        path: The file.
        what: The limit on its size, as for `require_within`.

    Raises:
        UsageError: There is no such file, it cannot be read or is too large.
    """
    path = Path(path)
    try:
        with open(path, "rb", opener=_opener) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UsageError(f"{path} cannot be read: it is no regular file.")
            require_within(what, status.st_size, path)
            content = file.read(limit(what) + 1)  # a file may grow
    except UsageError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{one_line(str(path))} cannot be read: {reason}.") from error
    require_within(what, len(content), path)
    return content


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe that nobody writes to must not hang


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a file, UTF-8 with or without a byte order mark.

    Raises:
        UsageError: It cannot be read, is too large or no text.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} cannot be read: it is not text in UTF-8 ({one_line(error)}).") from error


def read_json(path: str | os.PathLike[str]) -> Any:
    """The content of a JSON file.

    Raises:
        UsageError: It cannot be read, is too large, no JSON, too deeply nested, or a number has too many
            digits.
    """
    text = read_text(path)
    require_within("json_values", sum(map(text.count, ",[{")), path)  # a value is larger than its text
    try:
        return json.loads(text)
    except RecursionError as error:
        raise UsageError(f"{path} cannot be read: it is not valid JSON: it is nested too deeply.") from error
    except ValueError as error:  # also whole numbers of thousands of digits
        raise UsageError(
            f"{path} cannot be read: it is not valid JSON: {one_line(error).rstrip('.')}."
        ) from error


def read_arrays(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """The arrays of an `.npz` file by their names; the one of an `.npy` file is called `vector`.

    What the headers declare is checked before anything is allocated or unpacked.

    Raises:
        UsageError: It cannot be read, is too large, cut or damaged, or holds something else than numbers and
            strings (objects are pickles, which are never read).
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ValueError("it is no regular file")
        require_within("array_bytes", size, path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # headers written by Python 2, and what they evaluate to
            if path.suffix.lower() == ".npz":
                return _members(path)
            with path.open("rb") as file:
                return {"vector": _array(file, path, 0)[0]}
    except UsageError:
        raise
    except (
        Exception
    ) as error:  # zip archives, their compressions and numpy's headers raise kinds of their own
        reason = getattr(error, "strerror", None) or one_line(error).rstrip(".")
        raise UsageError(f"{path} cannot be read as numpy arrays: {reason}.") from error


def _members(path: Path) -> dict[str, NDArray[Any]]:
    if not zipfile.is_zipfile(path):
        raise ValueError("it is no .npz file, or only the beginning of one")
    arrays: dict[str, NDArray[Any]] = {}
    total = 0
    with zipfile.ZipFile(path) as archive:
        require_within("qubits", len(archive.infolist()), f"{path} holds too many arrays: it")
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if name in arrays:
                raise ValueError(f"it holds two arrays called {name!r}")
            with archive.open(member) as file:
                arrays[name], total = _array(file, path, total)
    return arrays


def _array(file: IO[bytes], path: Path, before: int) -> tuple[NDArray[Any], int]:
    """The array that a stream holds, and the bytes of it and of those before it."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"its format {version} is unknown")
    # the reader of version 2 only differs in the width of a length; numpy has none in public for version 3
    read_header = (
        np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded: they are pickles, and reading one may run any code")
    known = dtype.kind in "biuU" or (dtype.kind in "fc" and dtype.itemsize <= 8 * (1 + (dtype.kind == "c")))
    if not known or dtype.subdtype is not None:
        raise ValueError(f"it holds an array of {one_line(str(dtype), 40)}; give {_DTYPES}")
    if len(shape) > 32 or any(length < 0 for length in shape):
        raise ValueError(f"an array in it has the shape {one_line(str(shape), 60)}")
    count = math.prod(shape)
    total = before + count * dtype.itemsize
    require_within("array_bytes", total, path)
    content = file.read(count * dtype.itemsize)
    if len(content) < count * dtype.itemsize:
        raise ValueError("it is cut")
    if file.read(1):
        raise ValueError("there is more in it than the array that it declares")
    if not dtype.itemsize:
        raise ValueError("it holds empty strings")
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
    array = array.astype(dtype.newbyteorder("="))
    if dtype.kind == "U" and count and np.ascontiguousarray(array).view(np.uint32).max() > sys.maxunicode:
        raise ValueError("a string in it has letters that are none")
    return array, total
