"""Old public names, which keep working for one release after a renaming."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


def with_old_names(
    room: str, lookup: Callable[[str], Any], renamed: Mapping[str, str]
) -> Callable[[str], Any]:
    """Extend a package's `__getattr__` to know the old names as well.

    Args:
        room: Name of the package, for the warning.
        lookup: The package's `__getattr__`, as `lazy_loader.attach_stub` returns it.
        renamed: New name for each old name.
    """

    def getattr_(name: str) -> Any:
        # `from room import name` asks twice, first from within the import system
        if name in renamed and not sys._getframe(1).f_code.co_filename.startswith("<frozen importlib"):
            message = f"{room}.{name} is now {room}.{renamed[name]}; the old name goes in the next release."
            warnings.warn(message, DeprecationWarning, stacklevel=2)
        return lookup(renamed.get(name, name))

    return getattr_


def renamed_keyword(old: str, new: str) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """Decorate a function whose keyword argument `new` used to be called `old`."""

    def decorate(function: Callable[_P, _T]) -> Callable[_P, _T]:
        @functools.wraps(function)
        def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            if old in kwargs:
                message = f"{old}= is now {new}=; the old name goes in the next release."
                warnings.warn(message, DeprecationWarning, stacklevel=2)
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return wrapper

    return decorate
