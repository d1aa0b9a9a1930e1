"""Imports of packages that change the state of the process."""

from __future__ import annotations

import logging
import os
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unchanged_process() -> Iterator[None]:
    """Undo the process-wide changes made by the imports in a `with` block.

    It restores the filters of `warnings`, the handlers and the level of the root logger, `os.environ`, and
    the state of `random`. Packages that are already imported make no changes.

    Example:
        >>> import os
        >>> from bondwise.runs import unchanged_process
        >>> with unchanged_process():
        ...     os.environ["SET_AT_IMPORT"] = "1"
        >>> "SET_AT_IMPORT" in os.environ
        False
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
