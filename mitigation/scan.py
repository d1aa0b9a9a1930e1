"""Noise scans: the same expectation values at several strengths of the same noise.

They are the input of every extrapolation, however the noise was amplified. The last axis is the scale factor.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from bondwise.runs import Result, UsageError, axes_or_new, kind_of, one_line, real_array, whole_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from qiskit.primitives import PubResult

_NUMBERS = {2: "two", 3: "three"}


class Twins(NamedTuple):
    """Circuits of the same shape whose noise-free values are known, measured under the same noise.

    `near_clifford_twins` makes them; `extrapolate_cdr` and `extrapolate_vncdr` learn from them.

    Attributes:
        value: Measured values of T twins, float64, shape `(T, S)`, or `(..., T, S)` if each element of the
            scan has its own.
        std: Their standard errors, same shape.
        ideal: Their values without noise, shape `(T,)` or `(..., T)`.

    Example:
        >>> from bondwise.mitigation import NoiseScan, Twins
        >>> twins = Twins(value=[[0.5, 0.3], [-0.2, -0.1]], std=[[0.01, 0.01]] * 2, ideal=[1.0, -0.4])
        >>> scan = NoiseScan(value=[0.4, 0.2], std=[0.01, 0.01], scale_factors=[1, 3], twins=twins)
        >>> scan.twins.ideal
        array([ 1. , -0.4])
    """

    value: Any
    std: Any
    ideal: Any


@dataclass(frozen=True, kw_only=True)
class NoiseScan(Result):
    """Expectation values as a function of the noise strength.

    Attributes:
        value: Measured values, float64, shape `(..., S)`.
        std: Their standard errors, same shape, or one number for all; 0 for exact values.
        scale_factors: Noise strengths that were actually reached, shape `(S,)`, positive and distinct; 1 is
            the original circuit.
        shots: Number of shots spent on the whole scan; 0 for exact values.
        covariance: Covariance of the values of each element, shape `(..., S, S)`, if a calibration that they
            share correlates them; by default, they are independent.
        asymptote: Value in the maximally mixed state, `Tr(O) / 2^n`, shape `(...)` or a number; the limit of
            the exponential decay. Zero for observables without an identity term.
        spectrum: Smallest and largest value that the observable can have, shape `(2,)` or `(..., 2)`;
            unlimited by default.
        twins: Calibration for extrapolations that learn from circuits with known values; None without.
        meta: What else is known, such as the folding and the device: a dictionary of strings, numbers,
            arrays, and lists and dictionaries of those.

    Raises:
        UsageError: If something is not real, shapes do not match, values are not finite, a standard error is
            negative, a covariance does not match them, scale factors are not positive and distinct, values
            are far outside the spectrum, or `shots` is not a whole number of at least 0.

    Example:
        >>> from bondwise.mitigation import NoiseScan, extrapolate_exponential
        >>> scan = NoiseScan(value=[0.9, 0.729], scale_factors=[1, 3])
        >>> print(extrapolate_exponential(scan))
        Extrapolation: 1, no shots
    """

    scale_factors: Any
    covariance: Any = None
    asymptote: Any = 0.0
    spectrum: Any = (-np.inf, np.inf)
    twins: Twins | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = ("value", "std", "scale_factors", "asymptote", "spectrum")
        value, std, factors, asymptote, spectrum = (real_array(name, getattr(self, name)) for name in names)
        if factors.ndim != 1 or factors.size == 0:
            raise UsageError(
                f"scale_factors has shape {factors.shape}; pass one axis, such as (1.0, 3.0, 5.0)."
            )
        if not (np.all(np.isfinite(factors)) and np.all(factors > 0)):
            raise UsageError(f"scale_factors {factors.tolist()} must be finite and positive.")
        if len(np.unique(factors)) < factors.size:
            raise UsageError(f"scale_factors {factors.tolist()} must be distinct.")
        if value.shape[-1:] != factors.shape:
            raise UsageError(
                f"value has shape {value.shape}; its last axis must be the {factors.size} scale factors."
            )
        if std.ndim == 0:  # the same for all
            std = np.full(value.shape, std)
        _check_measured("", value, std)
        leading = value.shape[:-1]
        if asymptote.shape not in ((), leading) or not np.all(np.isfinite(asymptote)):
            raise UsageError(
                f"asymptote must be a finite number or have shape {leading}, not {asymptote.shape}."
            )
        if spectrum.shape not in ((2,), (*leading, 2)):
            raise UsageError(
                f"spectrum must hold a smallest and a largest value, such as (-1, 1), for all or for each of "
                f"{leading}; its shape is {spectrum.shape}."
            )
        if not np.all(spectrum[..., 0] <= spectrum[..., 1]):
            wrong = spectrum[~(spectrum[..., 0] <= spectrum[..., 1])][0].tolist()
            raise UsageError(f"spectrum has the limits {wrong}; the smaller one comes first, as in (-1, 1).")
        _check_spectrum(value, std, np.broadcast_to(spectrum, (*leading, 2)))
        object.__setattr__(self, "shots", whole_number("shots", self.shots, least=0))
        for name, array in zip(names, (value, std, factors, asymptote, spectrum), strict=True):
            object.__setattr__(self, name, array)
        covariance = None if self.covariance is None else _covariance(self.covariance, std)
        object.__setattr__(self, "covariance", covariance)
        object.__setattr__(self, "twins", None if self.twins is None else _twins(self.twins, value.shape))

    @classmethod
    def from_pub_result(cls, pub_result: PubResult) -> Self:
        """The scan behind a PUB result of a `MitigatedEstimator`, or of IBM's estimator.

        IBM's estimator returns values at its noise factors if it extrapolates, as with
        `ibm:NAME,resilience=2` or `fake:NAME,resilience=2`, by whatever amplifier. It does not say where they
        tend to.

        Args:
            pub_result: One element of `estimator.run(...).result()`.

        Returns:
            The scan, whose leading axes are those of the PUB.

        Raises:
            UsageError: If the result comes from another estimator and has no noise factors.
        """
        data, metadata = pub_result.data, pub_result.metadata
        factors = metadata.get("scale_factors", metadata.get("noise_factors"))
        if "evs_noise_factors" not in data or factors is None:
            raise UsageError(
                "this PUB result has no noise factors; run the PUB with a MitigatedEstimator, or at IBM's "
                "resilience level 2."
            )
        known = {"asymptote": "asymptotes", "spectrum": "spectra", "covariance": "covariances"}
        return cls(
            value=data["evs_noise_factors"],
            std=data["stds_noise_factors"],
            scale_factors=factors,
            shots=metadata.get("shots", 0),
            **{name: data[key] for name, key in known.items() if key in data},
            twins=metadata.get("twins"),
            meta={name: metadata[name] for name in ("folding", "amplifier", "device") if name in metadata},
        )

    @classmethod
    def joined(cls, scans: Sequence[NoiseScan]) -> Self:
        """All elements of several scans at the same scale factors as one scan with one leading axis.

        Extrapolations that learn from all elements see the scans of a whole job in this way.

        Args:
            scans: One or more scans. If some have twins, all must have as many.

        Warns:
            UserWarning: If they are of different devices, whose noise need not be the same.

        Raises:
            UsageError: If there are no scans, scale factors differ, or only some scans have twins.
        """
        if not scans:
            raise UsageError("there are no scans to join; pass a list of one or more.")
        for scan in scans:
            require_scan(scan)
        factors = scans[0].scale_factors
        if any(not np.array_equal(scan.scale_factors, factors) for scan in scans):
            raise UsageError("the scans have different scale factors; join those with equal ones.")
        for scan in scans[1:]:
            warn_of_devices(
                "a scan", scan.meta.get("device"), "is joined to one", scans[0].meta.get("device")
            )
        size = factors.size
        leading = [scan.value.shape[:-1] for scan in scans]

        def flat(name: str, *rest: int) -> np.ndarray:
            parts = [
                np.broadcast_to(getattr(scan, name), (*shape, *rest)).reshape(-1, *rest)
                for scan, shape in zip(scans, leading, strict=True)
            ]
            return np.concatenate(parts)

        covariance = None
        if any(scan.covariance is not None for scan in scans):
            covariance = np.concatenate([scan.covariances().reshape(-1, size, size) for scan in scans])
        return cls(
            value=flat("value", size),
            std=flat("std", size),
            scale_factors=factors,
            shots=sum(scan.shots for scan in scans),
            covariance=covariance,
            asymptote=flat("asymptote"),
            spectrum=flat("spectrum", 2),
            twins=_joined_twins([scan.twins for scan in scans], leading),
            meta=scans[0].meta,
        )

    def without_twins(self) -> Self:
        """The scan without its twins."""
        return replace(self, twins=None)

    def covariances(self) -> np.ndarray:
        """Covariance of the values of each element, shape `(..., S, S)`, diagonal if they are independent."""
        if self.covariance is not None:
            return self.covariance
        return self.std[..., None] ** 2 * np.eye(self.scale_factors.size)

    def variance(self, response: np.ndarray) -> np.ndarray:
        """Variance, shape `(...)`, of a sum of the values with the weights `response`, `(..., S)`."""
        if self.covariance is None:
            return np.sum((response * self.std) ** 2, axis=-1)
        spread = np.einsum("...s,...st,...t->...", response, self.covariance, response)
        return np.maximum(spread, 0.0)

    def weights(self) -> np.ndarray:
        """Weights for a least-squares fit: inverse variances up to a common factor, shape `(..., S)`.

        A sampled value of ±1 has a standard error of 0 and would determine the fit alone, so each error
        counts as at least a third of the largest one of its element. If all errors are 0, weights are equal.
        """
        largest = np.broadcast_to(self.std.max(axis=-1, keepdims=True), self.std.shape)
        share = np.divide(self.std, largest, out=np.ones_like(self.std), where=largest > 0)
        return np.maximum(share, 1 / 3) ** -2

    def grid(self) -> np.ndarray:
        """Scale factors from 0 to the largest one, at which fitted curves are stored, shape `(51,)`."""
        return np.linspace(0.0, float(self.scale_factors.max()), 51)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot each value against the scale factor, with error bars of one standard error.

        Args:
            ax: Matplotlib Axes; a new figure by default.

        Returns:
            The Axes.
        """
        axes = axes_or_new(ax)
        flat_values = self.value.reshape(-1, self.scale_factors.size)
        for values, stds in zip(flat_values, self.std.reshape(flat_values.shape), strict=True):
            axes.errorbar(self.scale_factors, values, stds, fmt="o", capsize=3)
        axes.set_xlabel("noise scale factor")
        axes.set_ylabel("expectation value")
        axes.set_xlim(left=0)
        return axes


def require_scan(scan: object, who: str = "", least: int = 1, such_as: tuple[int, ...] = (1, 3)) -> None:
    """Check what an extrapolation is given.

    Args:
        scan: What should be a scan.
        who: What needs so many scale factors, for the message.
        least: Smallest number of scale factors.
        such_as: Scale factors to suggest.

    Raises:
        UsageError: If it is no scan, or one with too few scale factors.
    """
    if not isinstance(scan, NoiseScan):
        raise UsageError(
            f"a noise scan is expected, not {kind_of(scan)} {one_line(str(scan), 40)}; pass "
            "NoiseScan(value=[0.9, 0.7, 0.6], std=[0.01, 0.01, 0.01], scale_factors=[1, 3, 5])."
        )
    if (found := scan.scale_factors.size) < least:
        raise UsageError(
            f"{who} needs {_NUMBERS[least]} scale factors and the scan has {found}; measure at {such_as}, "
            "for instance."
        )


def warn_of_devices(what: str, device: str | None, how: str, other: str | None) -> None:
    """Warn if something of one device is combined with something of another one; None if it is not known."""
    if device and other and _bare(device) != _bare(other):
        warnings.warn(f"{what} of {device} {how} of {other}, whose noise may differ.", stacklevel=3)


def _bare(device: str) -> str:
    """The name without options that do not change the noise."""
    return device.partition(",")[0] if device.startswith(("fake:", "ibm:")) else device


def _check_measured(whose: str, value: np.ndarray, std: np.ndarray) -> None:
    if std.shape != value.shape:
        raise UsageError(f"{whose}std has shape {std.shape} and value has {value.shape}; they must be equal.")
    if not np.all(np.isfinite(value)):
        raise UsageError(f"{whose}value contains NaN or infinity; every measured value must be finite.")
    if not (np.all(np.isfinite(std)) and np.all(std >= 0)):
        wrong = std[~(np.isfinite(std) & (std >= 0))][0]
        raise UsageError(
            f"{whose}std contains {wrong:g}; it must be finite and not negative, and 0 for exact values."
        )


def _check_spectrum(value: np.ndarray, std: np.ndarray, limits: np.ndarray) -> None:
    low, high = limits[..., :1], limits[..., 1:]
    # readout that is undone leaves the spectrum by a little
    far = np.maximum(5 * std, (high - low) / 2) + 1e-6 * (1 + np.abs(value))
    outside = (value < low - far) | (value > high + far)
    if outside.any():
        raise UsageError(
            f"value contains {value[outside][0]:g}, far outside the spectrum "
            f"{tuple(limits[outside.any(axis=-1)][0].tolist())} of its observable; pass the spectrum of "
            "what was measured."
        )


def _covariance(given: Any, std: np.ndarray) -> np.ndarray:
    """The covariances, checked against the standard errors."""
    covariance = real_array("covariance", given)
    if covariance.shape != (*std.shape, std.shape[-1]):
        raise UsageError(
            f"covariance has shape {covariance.shape}; for values of shape {std.shape} it must be "
            f"{(*std.shape, std.shape[-1])}."
        )
    swapped = np.swapaxes(covariance, -1, -2)
    slack = 1e-9 * (1e-300 + np.abs(covariance).max(initial=0.0))
    diagonal = np.diagonal(covariance, axis1=-2, axis2=-1)
    if not (np.isfinite(covariance).all() and np.abs(covariance - swapped).max(initial=0.0) <= slack):
        raise UsageError("covariance must be finite and symmetric in its last two axes.")
    if np.linalg.eigvalsh(covariance).min(initial=0.0) < -1e3 * slack:
        raise UsageError("covariance has a negative eigenvalue, so it belongs to no measurement.")
    if np.abs(diagonal - std**2).max(initial=0.0) > 1e3 * slack:
        raise UsageError("covariance does not have std² on its diagonal.")
    return covariance


def _twins(given: Any, shape: tuple[int, ...]) -> Twins:
    """The twins, checked against the shape of the values."""
    if not (isinstance(given, tuple) and len(given) == 3):
        raise UsageError("twins must be Twins(value=, std=, ideal=), or None.")
    value, std, ideal = (
        real_array(f"twins.{name}", part) for name, part in zip(Twins._fields, given, strict=True)
    )
    _check_measured("twins.", value, std)
    leading = shape[:-1]
    if value.ndim < 2 or value.shape[-1] != shape[-1] or value.shape[:-2] not in ((), leading):
        raise UsageError(
            f"twins.value has shape {value.shape}; pass (T, {shape[-1]}) for T twins at the scale factors of "
            f"the scan, or one set of them for each of {leading}."
        )
    if ideal.shape != value.shape[:-1] or not np.isfinite(ideal).all():
        raise UsageError(
            f"twins.ideal must be finite, one value for each twin, of shape {value.shape[:-1]}, not "
            f"{ideal.shape}."
        )
    return Twins(value, std, ideal)


def _joined_twins(all_twins: Sequence[Twins | None], leading: Sequence[tuple[int, ...]]) -> Twins | None:
    """One set of twins for each element of the joined scan."""
    given = [twins for twins in all_twins if twins is not None]
    if not given:
        return None
    if len(given) < len(all_twins) or len({twins.ideal.shape[-1] for twins in given}) > 1:
        raise UsageError("the scans have different numbers of twins; join those with equally many.")
    parts: list[list[np.ndarray]] = [[], [], []]
    for twins, shape in zip(given, leading, strict=True):
        for kept, part, rest in zip(parts, twins, (2, 2, 1), strict=True):
            tail = part.shape[-rest:]
            kept.append(np.broadcast_to(part, (*shape, *tail)).reshape(-1, *tail))
    return Twins(*map(np.concatenate, parts))
