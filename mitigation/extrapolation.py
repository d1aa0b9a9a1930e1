"""What an extrapolation to zero noise returns: value, standard error, and the curve behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from bondwise.mitigation.scan import NoiseScan
from bondwise.runs import Result, UsageError, axes_or_new, real_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class Extrapolation(Result):
    """Values at noise scale 0, one for each leading index of the scan.

    `value` and `std` are floats for a scan of shape `(S,)` and float64 arrays of shape `(...)` otherwise.
    `std` is propagated from the scan's standard errors alone: that the true decay is not of the fitted form
    is not in it.

    Attributes:
        method: The model that was fitted, and for how many elements another was.
        converged: Whether that model describes the element; False where another had to be used. Like `value`.
        message: What was used instead, and for how many elements; empty when all went well.
        scale_factors: Abscissae of the fit, shape `(S,)`.
        measured: The scan's values, shape `(..., S)`.
        measured_std: Their standard errors, shape `(..., S)`.
        curve_at: Scale factors from 0 to the largest one, shape `(K,)`.
        curve: The fitted curve there, shape `(..., K)`; `curve[..., 0]` is `value`.
    """

    method: str
    converged: Any
    message: str
    scale_factors: np.ndarray
    measured: np.ndarray
    measured_std: np.ndarray
    curve_at: np.ndarray
    curve: np.ndarray

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
        """Put a result together from a curve on `scan.grid()` and the variance of its first point."""
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
            measured=scan.values,
            measured_std=scan.stds,
            curve_at=scan.grid(),
            curve=curve,
        )

    @classmethod
    def from_value(cls, scan: NoiseScan, method: str, fit: Any) -> Self:
        """Put a result together from what a user's function returns: the value, or value and standard error.

        Raises:
            UsageError: It is neither, not of the scan's leading shape, or not finite.
        """
        shape = scan.values.shape[:-1]
        given = isinstance(fit, tuple) and len(fit) == 2
        value, std = fit if given else (fit, np.full(shape, np.nan))
        wanted = f"return a value, or (value, standard error), of the scan's leading shape {shape}."
        try:
            value, std = real_array("the value", value), real_array("the standard error", std)
        except UsageError:
            kind = "None" if fit is None else f"{type(fit).__name__} {str(fit)[:40]}"
            raise UsageError(f"{method} returned {kind}, which is no real number; {wanted}") from None
        if value.shape != shape or std.shape != shape:
            raise UsageError(f"{method} returned the shapes {value.shape} and {std.shape}; {wanted}")
        if not np.isfinite(value).all():
            raise UsageError(f"{method} returned {value.ravel()[~np.isfinite(value.ravel())][0]}; {wanted}")
        if given and not (np.isfinite(std) & (std >= 0)).all():
            raise UsageError(
                f"{method} returned a standard error that is no finite number from 0 on; {wanted}"
            )
        curve = np.full((*shape, scan.grid().size), np.nan)  # not known between the points
        curve[..., 0] = value
        return cls.from_curve(scan, method, curve, std**2)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the measured points with error bars and the curve down to scale 0.

        Args:
            ax: Where to draw; by default on a new figure.

        Returns:
            The Axes.
        """
        axes = axes_or_new(ax)
        curves = self.curve.reshape(-1, self.curve_at.size)
        points = self.measured.reshape(-1, self.scale_factors.size)
        bars = self.measured_std.reshape(points.shape)
        zeros = np.column_stack([np.ravel(self.value), np.ravel(self.std)])
        for index, (value, std) in enumerate(zeros):
            (line,) = axes.plot(self.curve_at, curves[index], label=self.method if index == 0 else None)
            colour = line.get_color()
            axes.errorbar(self.scale_factors, points[index], bars[index], fmt="o", color=colour, capsize=3)
            axes.errorbar([0.0], [value], [std], fmt="s", color=colour, capsize=3)
        axes.set_xlabel("noise scale factor")
        axes.set_ylabel("expectation value")
        return axes
