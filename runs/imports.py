"""Imports of packages that change more of the process than they should."""

from __future__ import annotations

import logging
import os
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unchanged_process() -> Iterator[None]:
    """Import inside this block what sets process-wide things at import, and they are put back after it.

    Put back are the filters of `warnings`, the root logger's handlers and level, `os.environ`, and the state
    of `random`. A package that was imported before leaves all as its importer had it.
    """
    handlers, level = list(logging.root.handlers), logging.root.level
    environment, generator = dict(os.environ), random.getstate()
    try:
        with warnings.catch_warnings():
            yield
    finally:
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
        for name in os.environ.keys() - environment:
            del os.environ[name]
        os.environ.update(environment)
        random.setstate(generator)
