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


def gated(scan: NoiseScan) -> tuple[np.ndarray, np.ndarray]:
    """What `MitigatedEstimator` does by default: the network, unless no decay can be seen."""
    found = mitigation.mean_without_decay(scan) or mitigation.extrapolate_neural(scan)
    return found.value, found.std


def on_both(name: str, plan: str, fit: Fit) -> dict[str, Method]:
    """A method that measures at three scale factors, with a third of the shots at each, or most at 1."""
    return {name: Method(plan, fit), f"{name}, uneven": Method(f"{plan}, uneven", fit)}


MITIQ = {"mitiq cdr": Method("cdr", without_errors(mitiq_fits.cdr))}
MITIQ |= on_both("mitiq vncdr", "vncdr", without_errors(mitiq_fits.cdr))
for name in mitiq_fits.ZNE:
    MITIQ |= on_both(f"mitiq {name}", "scan", without_errors(partial(mitiq_fits.zne, name)))
# shown, but not judged: what mitiq would reach if twins cost nothing, and how it runs, each circuit by itself
FREE, OWN = (
    {f"mitiq {plan}": Method(plan, without_errors(mitiq_fits.cdr)) for plan in plans}
    for plans in (("cdr, free", "vncdr, free"), ("cdr, own", "vncdr, own"))
)
OURS: dict[str, Method] = {}
for name in ("linear", "exponential", "bayes", "neural", "cdr", "vncdr"):
    if hasattr(mitigation, f"extrapolate_{name}"):
        if name == "cdr":
            OURS[name] = Method("cdr", ours(name))
        else:  # only plans with twins tell a method of them
            OURS |= on_both(name, "vncdr" if name == "vncdr" else "scan", ours(name))
OURS |= on_both("neural with twins", "vncdr", ours("neural"))
OURS["default"] = Method("scan, uneven", gated)
PLAIN = {"raw": Method("raw", first), "readout": Method("readout", first)}
METHODS = PLAIN | MITIQ | FREE | OWN | OURS
