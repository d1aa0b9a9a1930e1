"""The names of the extrapolations, in Python and on the command line."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from bondwise.runs import unknown_name

if TYPE_CHECKING:  # the command line lists the names in its help, before anything is loaded
    from collections.abc import Callable

    from bondwise.mitigation.extrapolation import Extrapolation
    from bondwise.mitigation.scan import NoiseScan

EXTRAPOLATIONS = (
    "bayes",
    "cdr",
    "exponential",
    "free_exponential",
    "guess",
    "linear",
    "neural",
    "paper_network",
    "poly_exponential",
    "polynomial",
    "richardson",
    "vncdr",
)
DEFAULT = "neural"  # the best in the comparison of `benchmarks/mitigation`
NEED_TWINS = ("cdr", "vncdr")
NEED_SYMMETRY = ("guess",)
USE_TWINS = (*NEED_TWINS, "neural")


def extrapolation_named(name: str) -> Callable[[NoiseScan], Extrapolation]:
    """The function `extrapolate_NAME`, from the file of that name; some of these load much.

    Raises:
        UsageError: If there is no such extrapolation.
    """
    if name not in EXTRAPOLATIONS:
        raise unknown_name("extrapolation", name, EXTRAPOLATIONS)
    function: Callable[[NoiseScan], Extrapolation] = getattr(
        import_module(f"bondwise.mitigation.extrapolations.{name}"), f"extrapolate_{name}"
    )
    return function
