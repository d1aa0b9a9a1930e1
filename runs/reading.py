"""Text, JSON and NumPy arrays from untrusted files: with limits, one-line errors, and no pickles."""

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
from safetensors import safe_open

from bondwise.runs.errors import UsageError
from bondwise.runs.limits import limit, require_within

_DTYPES = "booleans, whole numbers, float16 to float64, complex64, complex128 or strings"
_DECORATION = re.compile("\x1b\\[[0-9;]*m|[\u2500-\u257f]+")  # colors and lines


def one_line(error: BaseException | str, most: int = 300) -> str:
    r"""Return the message of an error as one short, printable line.

    Args:
        error: An error or text; an error without a message is shown as its type.
        most: Maximum number of characters.

    Example:
        >>> from bondwise.runs import one_line
        >>> one_line(ValueError("first\nsecond"))
        'first second'
    """
    message = getattr(error, "message", None)  # str() of Qiskit's errors is quoted and escaped
    text = message if isinstance(message, str) and message else str(error) or type(error).__name__
    text = _DECORATION.sub("", text)
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def is_file(path: str | os.PathLike[str]) -> bool:
    """Check whether a path is an existing file; False for anything that cannot be a path.

    Args:
        path: Path to check.

    Example:
        >>> from bondwise.runs import is_file
        >>> is_file("missing.qasm")
        False
    """
    try:
        return Path(path).is_file()
    except OSError:
        return False


def read_bytes(path: str | os.PathLike[str], what: str = "text_bytes") -> bytes:
    """Read a regular file.

    Args:
        path: Path of the file.
        what: Name of the limit on its size; see `limit`.

    Raises:
        UsageError: If the file does not exist, cannot be read, or is too large.

    Example:
        >>> from pathlib import Path
        >>> from bondwise.runs import read_bytes
        >>> _ = Path("data.bin").write_bytes(b"ab")
        >>> read_bytes("data.bin")
        b'ab'
    """
    path = Path(path)
    try:
        with open(path, "rb", opener=_opener) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UsageError(f"{path} cannot be read: it is not a regular file.")
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
    return os.open(path, flags | os.O_NONBLOCK)  # reading a pipe without a writer must not hang


def read_text(path: str | os.PathLike[str]) -> str:
    """Read a text file in UTF-8, with or without a byte order mark.

    Args:
        path: Path of the file.

    Raises:
        UsageError: If the file cannot be read, is too large, or is not text.

    Example:
        >>> from pathlib import Path
        >>> from bondwise.runs import read_text
        >>> _ = Path("model.txt").write_text("-1.0 ZZ", encoding="utf-8")
        >>> read_text("model.txt")
        '-1.0 ZZ'
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} cannot be read: it is not text in UTF-8 ({one_line(error)}).") from error


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file.

    Args:
        path: Path of the file.

    Raises:
        UsageError: If the file cannot be read, is too large, is not JSON, is nested too deeply, or contains a
            number with too many digits.

    Example:
        >>> from pathlib import Path
        >>> from bondwise.runs import read_json
        >>> _ = Path("angles.json").write_text('{"theta": 0.5}')
        >>> read_json("angles.json")
        {'theta': 0.5}
    """
    return json_in(read_text(path), str(path))


def json_in(text: str, name: str) -> Any:
    """What a JSON text holds; the errors are those of `read_json`.

    Args:
        text: The text.
        name: Name of the text in messages.
    """
    require_within(
        "json_values", sum(map(text.count, ",[{")), name
    )  # a value takes more memory than its text
    try:
        return json.loads(text, object_pairs_hook=_object)
    except RecursionError as error:
        raise UsageError(f"{name} cannot be read: it is not valid JSON: it is nested too deeply.") from error
    except ValueError as error:  # also raised for integers of thousands of digits
        raise UsageError(
            f"{name} cannot be read: it is not valid JSON: {one_line(error).rstrip('.')}."
        ) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, without a name that is given twice: Python would keep the last value only."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in made if names.count(name) > 1)
        raise ValueError(f"{twice[:60]!r} is given twice in one object")
    return made


def read_arrays(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Read the arrays of an `.npz`, `.npy` or `.safetensors` file.

    The headers are checked before anything is allocated or unpacked.

    Args:
        path: Path of the file.

    Returns:
        The arrays by name; the array of an `.npy` file is called "vector".

    Raises:
        UsageError: If the file cannot be read, is too large, is truncated or damaged, or contains anything
            other than numbers and strings (objects are pickles, which are never read).

    Example:
        >>> import numpy as np
        >>> from bondwise.runs import read_arrays
        >>> np.savez("arrays.npz", angles=np.zeros(2))
        >>> read_arrays("arrays.npz")
        {'angles': array([0., 0.])}
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ValueError("it is not a regular file")
        require_within("array_bytes", size, path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about headers written by Python 2
            if path.suffix.lower() == ".npz":
                return _members(path)
            if path.suffix.lower() == ".safetensors":
                with safe_open(path, framework="numpy") as tensors:
                    return {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118 (no dict)
            with path.open("rb") as file:
                return {"vector": _array(file, path, 0)[0]}
    except UsageError:
        raise
    except Exception as error:  # zip archives, compression and headers raise many kinds of errors
        reason = getattr(error, "strerror", None) or one_line(error).rstrip(".")
        raise UsageError(f"{path} cannot be read as numpy arrays: {reason}.") from error


def _members(path: Path) -> dict[str, NDArray[Any]]:
    if not zipfile.is_zipfile(path):
        raise ValueError("it is not an .npz file, or only the beginning of one")
    arrays: dict[str, NDArray[Any]] = {}
    total = 0
    with zipfile.ZipFile(path) as archive:
        require_within("qubits", len(archive.infolist()), f"{path} contains too many arrays: it")
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if name in arrays:
                raise ValueError(f"it contains two arrays called {name!r}")
            with archive.open(member) as file:
                arrays[name], total = _array(file, path, total)
    return arrays


def _array(file: IO[bytes], path: Path, before: int) -> tuple[NDArray[Any], int]:
    """The array in a stream, and the total size in bytes of it and the arrays before it."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"its format {version} is unknown")
    # version 2 only differs in the width of a length; NumPy has no public reader for version 3
    read_header = (
        np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError(
            "Object arrays cannot be loaded: they are pickles, and reading one may run arbitrary code"
        )
    known = dtype.kind in "biuU" or (dtype.kind in "fc" and dtype.itemsize <= 8 * (1 + (dtype.kind == "c")))
    if not known or dtype.subdtype is not None:
        raise ValueError(f"it contains an array of {one_line(str(dtype), 40)}; give {_DTYPES}")
    if len(shape) > 32 or any(length < 0 for length in shape):
        raise ValueError(f"an array in it has the shape {one_line(str(shape), 60)}")
    count = math.prod(shape)
    total = before + count * dtype.itemsize
    require_within("array_bytes", total, path)
    content = file.read(count * dtype.itemsize)
    if len(content) < count * dtype.itemsize:
        raise ValueError("it is truncated")
    if file.read(1):
        raise ValueError("it contains more than the array that it declares")
    if not dtype.itemsize:
        raise ValueError("it contains empty strings")
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
    array = array.astype(dtype.newbyteorder("="))
    if dtype.kind == "U" and count and np.ascontiguousarray(array).view(np.uint32).max() > sys.maxunicode:
        raise ValueError("a string in it has invalid characters")
    return array, total
