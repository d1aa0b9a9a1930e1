"""Old public names, which stay for one release after they were renamed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any


def with_old_names(
    room: str, lookup: Callable[[str], Any], renamed: Mapping[str, str]
) -> Callable[[str], Any]:
    """A package's `__getattr__` that also knows the old names.

    Args:
        room: Name of the package, for the warning.
        lookup: The package's `__getattr__`, as `lazy_loader.attach_stub` returns it.
        renamed: New names by old ones.
    """

    def getattr_(name: str) -> Any:
        if name in renamed:
            message = f"{room}.{name} is now {room}.{renamed[name]}; the old name goes in the next release."
            warnings.warn(message, DeprecationWarning, stacklevel=2)
        return lookup(renamed.get(name, name))

    return getattr_
