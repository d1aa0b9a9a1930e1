"""Imports of packages that change more of the process than they should."""

from __future__ import annotations

import logging
import os
import random
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def unchanged_process(classes: Iterable[type] = ()) -> Iterator[None]:
    """Import inside this block what sets process-wide things at import, and they are put back after it.

    Put back are the filters of `warnings`, the root logger's handlers and level, `os.environ`, the state of
    `random`, and what `classes` hold. A package that was imported before leaves all as its importer had it.

    Args:
        classes: Those whose attributes the import adds or replaces.
    """
    attributes = {kind: dict(vars(kind)) for kind in classes}
    handlers, level = list(logging.root.handlers), logging.root.level
    environment, generator = dict(os.environ), random.getstate()
    try:
        with warnings.catch_warnings():
            yield
    finally:
        for kind, before in attributes.items():
            _put_back(kind, before)
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
        for name in os.environ.keys() - environment:
            del os.environ[name]
        os.environ.update(environment)
        random.setstate(generator)


def _put_back(kind: type, before: dict[str, Any]) -> None:
    for name, value in list(vars(kind).items()):
        if name not in before:
            delattr(kind, name)
        elif value is not before[name]:
            setattr(kind, name, before[name])
