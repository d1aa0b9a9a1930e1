"""Every method of the comparison: what it measures, and how it turns a scan into values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import mitiq_fits
import numpy as np

from bondwise import mitigation
from bondwise.mitigation import NoiseScan

Fit = Callable[[NoiseScan], tuple[np.ndarray, np.ndarray]]  # values and standard errors


@dataclass(frozen=True)
class Method:
    """A method.

    Attributes:
        plan: Name of its measurement in `sampling.PLANS`.
        fit: Values and standard errors of a scan; NaN for errors that it does not give.
    """

    plan: str
    fit: Fit


def first(scan: NoiseScan) -> tuple[np.ndarray, np.ndarray]:
    """The values at scale factor 1."""
    return scan.value[:, 0], scan.std[:, 0]


def without_errors(fit: Callable[[NoiseScan], np.ndarray]) -> Fit:
    """A fit that gives values only."""

    def both(scan: NoiseScan) -> tuple[np.ndarray, np.ndarray]:
        value = fit(scan)
        return value, np.full_like(value, np.nan)

    return both


def ours(name: str) -> Fit:
    """One of the package's extrapolations."""

    def both(scan: NoiseScan) -> tuple[np.ndarray, np.ndarray]:
        found = getattr(mitigation, f"extrapolate_{name}")(scan)
        return found.value, found.std

    return both


MITIQ = {
    f"mitiq {name}": Method("scan", without_errors(partial(mitiq_fits.zne, name))) for name in mitiq_fits.ZNE
}
MITIQ |= {f"mitiq {plan}": Method(plan, without_errors(mitiq_fits.cdr)) for plan in ("cdr", "vncdr")}
# what mitiq would reach if twins cost nothing: shown, but not among those that are judged
FREE = {
    f"mitiq {plan}": Method(plan, without_errors(mitiq_fits.cdr)) for plan in ("cdr, free", "vncdr, free")
}
# only plans with twins tell a method of them
PLAN_OF = dict.fromkeys(("linear", "exponential", "bayes", "neural"), "scan") | {
    "cdr": "cdr",
    "vncdr": "vncdr",
}
OURS = {
    name: Method(plan, ours(name))
    for name, plan in PLAN_OF.items()
    if hasattr(mitigation, f"extrapolate_{name}")
}
PLAIN = {"raw": Method("raw", first), "readout": Method("readout", first)}
METHODS = PLAIN | MITIQ | FREE | OURS
