"""The function that `bondwise sweep` calls."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bondwise.cli.sweeps.training import vqe
from bondwise.runs import UsageError, is_file, one_line, unknown_name


def function_of(target: str) -> Callable[..., Any]:
    """The function that a target names, which worker processes import by the same names.

    Args:
        target: `FILE.py:FUNCTION`, `MODULE:FUNCTION` (modules in this folder, too), or `vqe`.

    Raises:
        UsageError: If there is no such function, or its file cannot be run.
    """
    if target == "vqe":
        return vqe
    place, colon, name = target.rpartition(":")
    if not colon or not place or not name:
        raise UsageError(f"{target!r} names no function; write FILE.py:FUNCTION, MODULE:FUNCTION, or vqe.")
    path = Path(place)
    in_file = path.suffix == ".py" or os.sep in place
    if in_file and not is_file(path):
        raise UsageError(f"{path} cannot be read: there is no such file.")
    folder, module_name = (path.resolve().parent, path.stem) if in_file else (Path.cwd(), place)
    sys.path.insert(0, str(folder))  # workers get the path, too
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise UsageError(f"{place} cannot be loaded: {type(error).__name__}: {one_line(error)}.") from error
    found_at = getattr(module, "__file__", None)
    if in_file and (found_at is None or not path.samefile(found_at)):
        raise UsageError(f"{path} has the name of the module {module_name!r}; rename the file.")
    found = getattr(module, name, None)
    if not callable(found):
        functions = [key for key, value in vars(module).items() if inspect.isfunction(value)]
        raise unknown_name(f"function of {place}", name, functions)
    return found
