"""The result of an extrapolation to zero noise: value, standard error, and the fitted curve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from bondwise.mitigation.scan import NoiseScan, require_scan
from bondwise.runs import Result, UsageError, axes_or_new, real_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class Extrapolation(Result):
    """Values at noise scale 0, one for each leading index of the scan.

    `value` and `std` are floats for a scan of shape `(S,)` and float64 arrays of shape `(...)` otherwise.
    `std` is propagated from the standard errors of the scan; it does not account for a decay that differs
    from the fitted form.

    Attributes:
        method: Name of the fitted model, and for how many elements another one was used.
        converged: Whether the model describes each element; False if another had to be used. Same shape as
            `value`.
        message: Which model was used instead, and for how many elements; empty if there were none.
        scale_factors: Scale factors of the fit, shape `(S,)`.
        measured: The scan's values, shape `(..., S)`.
        measured_std: Their standard errors, shape `(..., S)`.
        curve_at: Scale factors from 0 to the largest one, shape `(K,)`.
        curve: The fitted curve at these scale factors, shape `(..., K)`; `curve[..., 0]` is `value`.
        curve_std: The errors of the curve, shape `(..., K)`, if `with_band` has been asked for them.

    Example:
        >>> from bondwise.mitigation import NoiseScan, extrapolate_linear
        >>> fit = extrapolate_linear(NoiseScan(value=[0.8, 0.4], std=[0.1, 0.1], scale_factors=[1, 3]))
        >>> print(fit)
        Extrapolation: 1 ± 0.16, no shots
    """

    method: str
    converged: Any
    message: str
    scale_factors: np.ndarray
    measured: np.ndarray
    measured_std: np.ndarray
    curve_at: np.ndarray
    curve: np.ndarray
    curve_std: np.ndarray | None = None

    @classmethod
    def from_curve(
        cls,
        scan: NoiseScan,
        method: str,
        curve: np.ndarray,
        variance: np.ndarray,
        converged: np.ndarray | bool = True,
        message: str = "",
    ) -> Self:
        """The result from a curve on `scan.grid()` and the variance of its first point."""
        value, std = curve[..., 0], np.sqrt(variance)
        flags = np.broadcast_to(converged, value.shape)
        return cls(
            value=value.copy() if value.ndim else float(value),
            std=std if value.ndim else float(std),
            shots=scan.shots,
            method=method,
            converged=flags.copy() if value.ndim else bool(flags),
            message=message,
            scale_factors=scan.scale_factors,
            measured=scan.value,
            measured_std=scan.std,
            curve_at=scan.grid(),
            curve=curve,
        )

    @classmethod
    def from_value(cls, scan: NoiseScan, method: str, fit: Any) -> Self:
        """The result from what a function returns: one of these, the value, or value and standard error.

        Without a standard error, or with None, `std` is NaN and the message says so.

        Raises:
            UsageError: If it is neither, not of the scan's leading shape, or not finite.
        """
        shape = scan.value.shape[:-1]
        if isinstance(fit, cls):
            values, errors = (np.asarray(given, dtype=np.float64) for given in (fit.value, fit.std))
            if values.shape != shape or not np.isfinite(values).all():
                raise UsageError(
                    f"{method} returned an Extrapolation of {fit.value}; its value must be finite, of the "
                    f"scan's leading shape {shape}."
                )
            if errors.shape != shape or not (np.isnan(errors) | (errors >= 0)).all():
                raise UsageError(
                    f"{method} returned an Extrapolation ± {fit.std}; its std must not be negative, of the "
                    f"scan's leading shape {shape}."
                )
            return fit
        value, std = fit if isinstance(fit, tuple) and len(fit) == 2 else (fit, None)
        given = std is not None
        message = "" if given else f"{method} returned no standard error, so that of the value is unknown"
        std = std if given else np.full(shape, np.nan)
        wanted = f"return a value, or (value, standard error), of the scan's leading shape {shape}."
        try:
            value, std = real_array("the value", value), real_array("the standard error", std)
        except UsageError:
            kind = "None" if fit is None else f"{type(fit).__name__} {str(fit)[:40]}"
            raise UsageError(f"{method} returned {kind}, which is not a real number; {wanted}") from None
        if value.shape != shape or std.shape != shape:
            raise UsageError(f"{method} returned the shapes {value.shape} and {std.shape}; {wanted}")
        if not np.isfinite(value).all():
            raise UsageError(f"{method} returned {value.ravel()[~np.isfinite(value.ravel())][0]}; {wanted}")
        if given and not (np.isfinite(std) & (std >= 0)).all():
            raise UsageError(f"{method} returned a standard error that is negative or not finite; {wanted}")
        curve = np.full((*shape, scan.grid().size), np.nan)  # unknown between the points
        curve[..., 0] = value
        return cls.from_curve(scan, method, curve, std**2, message=message)

    def part(self, which: slice, shape: tuple[int, ...], shots: int) -> Self:
        """Some elements of the result of a scan with one leading axis.

        Args:
            which: Which elements.
            shape: Their new leading shape.
            shots: Number of shots spent on them.
        """

        def taken(array: Any) -> Any:
            array = np.asarray(array)[which]
            made = array.reshape((*shape, *array.shape[1:]))
            return made if made.ndim else made.item()

        names = ["value", "std", "converged", "measured", "measured_std", "curve"]
        names += [] if self.curve_std is None else ["curve_std"]
        return replace(self, shots=shots, **{name: taken(getattr(self, name)) for name in names})

    def with_band(self, scan: NoiseScan, extrapolate: Callable[[NoiseScan], Extrapolation]) -> Self:
        """The same with errors of the curve, which are those of the scan, propagated.

        The scan is extrapolated once more for each scale factor, with its values moved by a standard error.
        Close to 0, the band can be narrower than `std`, which may also cover what is not known of the decay.

        Args:
            scan: The scan.
            extrapolate: What it was extrapolated by.

        Example:
            >>> from bondwise.mitigation import NoiseScan, extrapolate_linear
            >>> scan = NoiseScan(value=[0.8, 0.4], std=[0.1, 0.1], scale_factors=[1, 3])
            >>> fit = extrapolate_linear(scan).with_band(scan, extrapolate_linear)
            >>> bool(abs(fit.curve_std[0] - fit.std) < 1e-9)
            True
        """
        require_scan(scan)
        slopes = np.zeros((scan.scale_factors.size, *self.curve.shape))
        for index in range(len(slopes)):
            step = np.where(scan.std[..., index] > 0, scan.std[..., index], 1e-6)
            value = scan.value.copy()
            value[..., index] += step
            slopes[index] = (extrapolate(replace(scan, value=value)).curve - self.curve) / step[..., None]
        variance = np.einsum("s...k,...st,t...k->...k", slopes, scan.covariances(), slopes)
        return replace(self, curve_std=np.sqrt(np.clip(variance, 0, None)))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the measured points, the curve down to scale 0 if there is one, and the value there.

        Points have error bars of one standard error, and curves a band of one if `with_band` has made it.

        Args:
            ax: Matplotlib Axes; a new figure by default.

        Returns:
            The Axes.
        """
        axes = axes_or_new(ax)
        curves = self.curve.reshape(-1, self.curve_at.size)
        points = self.measured.reshape(-1, self.scale_factors.size)
        bars = self.measured_std.reshape(points.shape)
        zeros = np.column_stack([np.ravel(self.value), np.ravel(self.std)])
        for index, (value, std) in enumerate(zeros):
            (line,) = axes.plot(self.curve_at, curves[index])
            color, label = line.get_color(), self.method if index == 0 else None
            if self.curve_std is not None:
                band = self.curve_std.reshape(curves.shape)[index]
                low, high = curves[index] - band, curves[index] + band
                axes.fill_between(self.curve_at, low, high, color=color, alpha=0.2, linewidth=0)
            axes.errorbar(self.scale_factors, points[index], bars[index], fmt="o", color=color, capsize=3)
            axes.errorbar([0.0], [value], [std], fmt="s", color=color, capsize=3, label=label)
        axes.set_xlabel("noise scale factor")
        axes.set_ylabel("expectation value")
        return axes


def extrapolated_together(
    extrapolate: Callable[[NoiseScan], Extrapolation], scans: Sequence[NoiseScan]
) -> list[Extrapolation]:
    """The fits of all scans of a job; those at the same scale factors are fitted as one scan.

    Args:
        extrapolate: Fits a scan.
        scans: The scans.
    """
    together: dict[tuple[float, ...], list[int]] = {}
    for index, scan in enumerate(scans):
        together.setdefault(tuple(scan.scale_factors), []).append(index)
    fits: dict[int, Extrapolation] = {}
    for indices in together.values():
        if len(indices) == 1:
            fits[indices[0]] = extrapolate(scans[indices[0]])
            continue
        fit, start = extrapolate(NoiseScan.joined([scans[index] for index in indices])), 0
        for index in indices:
            shape = scans[index].value.shape[:-1]
            part = slice(start, start + int(np.prod(shape)))
            fits[index], start = fit.part(part, shape, scans[index].shots), part.stop
    return [fits[index] for index in range(len(scans))]
