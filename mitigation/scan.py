"""Noise scans: the same expectation values at several strengths of the same noise.

They are the input of every extrapolation, however the noise was amplified. The last axis is the scale factor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from bondwise.runs import UsageError, axes_or_new, real_array
from bondwise.runs.result import brief_html, brief_repr

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from qiskit.primitives import PubResult


@dataclass(frozen=True)
class NoiseScan:
    """Expectation values as a function of the noise strength.

    Attributes:
        values: Measured values, float64, shape `(..., S)`.
        stds: Their standard errors, same shape; 0 for exact values.
        scale_factors: Noise strengths that were actually reached, shape `(S,)`, positive and distinct; 1 is
            the original circuit.
        shots: Number of shots spent on the whole scan; 0 for exact values.
        asymptote: Value in the maximally mixed state, `Tr(O) / 2^n`, shape `(...)` or a number; the limit of
            the exponential decay. Zero for observables without an identity term.
        spectrum: Smallest and largest value that the observable can have, shape `(2,)` or `(..., 2)`;
            unlimited by default.

    Raises:
        UsageError: If something is not real, shapes do not match, values are not finite, a standard error is
            negative, scale factors are not positive and distinct, or values are far outside the spectrum.

    Example:
        >>> from bondwise.mitigation import NoiseScan, extrapolate_exponential
        >>> scan = NoiseScan(values=[0.9, 0.729], stds=[0, 0], scale_factors=[1, 3])
        >>> print(extrapolate_exponential(scan))
        Extrapolation: 1, no shots
    """

    values: np.ndarray
    stds: np.ndarray
    scale_factors: np.ndarray
    shots: int = 0
    asymptote: Any = 0.0
    spectrum: Any = (-np.inf, np.inf)

    __repr__ = brief_repr
    _repr_html_ = brief_html

    def __post_init__(self) -> None:
        names = ("values", "stds", "scale_factors", "asymptote", "spectrum")
        values, stds, factors, asymptote, spectrum = (real_array(name, getattr(self, name)) for name in names)
        if factors.ndim != 1 or factors.size == 0:
            raise UsageError(
                f"scale_factors has shape {factors.shape}; pass one axis, such as (1.0, 3.0, 5.0)."
            )
        if not (np.all(np.isfinite(factors)) and np.all(factors > 0)):
            raise UsageError(f"scale_factors {factors.tolist()} must be finite and positive.")
        if len(np.unique(factors)) < factors.size:
            raise UsageError(f"scale_factors {factors.tolist()} must be distinct.")
        if values.shape[-1:] != factors.shape:
            raise UsageError(
                f"values has shape {values.shape}; its last axis must be the {factors.size} scale factors."
            )
        if stds.shape != values.shape:
            raise UsageError(
                f"stds has shape {stds.shape} and values has {values.shape}; they must be equal."
            )
        if not np.all(np.isfinite(values)):
            raise UsageError("values contains NaN or infinity; every measured value must be finite.")
        if not (np.all(np.isfinite(stds)) and np.all(stds >= 0)):
            raise UsageError("stds must be finite and not negative; pass zeros for exact values.")
        if asymptote.shape not in ((), values.shape[:-1]) or not np.all(np.isfinite(asymptote)):
            raise UsageError(
                f"asymptote must be a finite number or have shape {values.shape[:-1]}, not {asymptote.shape}."
            )
        if spectrum.shape not in ((2,), (*values.shape[:-1], 2)) or not np.all(
            spectrum[..., 0] <= spectrum[..., 1]
        ):
            raise UsageError(
                f"spectrum must hold a smallest and a largest value, such as (-1, 1), for all or for each of "
                f"{values.shape[:-1]}; its shape is {spectrum.shape}."
            )
        limits = np.broadcast_to(spectrum, (*values.shape[:-1], 2))
        low, high = limits[..., :1], limits[..., 1:]
        # readout that is undone leaves the spectrum by a little
        far = np.maximum(5 * stds, (high - low) / 2) + 1e-6 * (1 + np.abs(values))
        outside = (values < low - far) | (values > high + far)
        if outside.any():
            raise UsageError(
                f"values contains {values[outside][0]:g}, far outside the spectrum "
                f"{tuple(limits[outside.any(axis=-1)][0].tolist())} of its observable; pass the spectrum of "
                "what was measured."
            )
        for name, array in zip(names, (values, stds, factors, asymptote, spectrum), strict=True):
            object.__setattr__(self, name, array)

    @classmethod
    def from_pub_result(cls, pub_result: PubResult) -> Self:
        """The scan behind a PUB result of a `MitigatedEstimator`.

        Args:
            pub_result: One element of `MitigatedEstimator.run(...).result()`.

        Returns:
            The scan, whose leading axes are those of the PUB.

        Raises:
            UsageError: If the result comes from another estimator and has no noise factors.
        """
        data, metadata = pub_result.data, pub_result.metadata
        if "evs_noise_factors" not in data or "scale_factors" not in metadata:
            raise UsageError("this PUB result has no noise factors; run the PUB with a MitigatedEstimator.")
        return cls(
            values=data["evs_noise_factors"],
            stds=data["stds_noise_factors"],
            scale_factors=metadata["scale_factors"],
            shots=metadata.get("shots", 0),
            asymptote=data["asymptotes"] if "asymptotes" in data else 0.0,
            spectrum=data["spectra"] if "spectra" in data else (-np.inf, np.inf),
        )

    def weights(self) -> np.ndarray:
        """Weights for a least-squares fit: inverse variances up to a common factor, shape `(..., S)`.

        A sampled value of ±1 has a standard error of 0 and would determine the fit alone, so each error
        counts as at least a third of the largest one of its element. If all errors are 0, weights are equal.
        """
        largest = np.broadcast_to(self.stds.max(axis=-1, keepdims=True), self.stds.shape)
        share = np.divide(self.stds, largest, out=np.ones_like(self.stds), where=largest > 0)
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
        flat_values = self.values.reshape(-1, self.scale_factors.size)
        for values, stds in zip(flat_values, self.stds.reshape(flat_values.shape), strict=True):
            axes.errorbar(self.scale_factors, values, stds, fmt="o", capsize=3)
        axes.set_xlabel("noise scale factor")
        axes.set_ylabel("expectation value")
        axes.set_xlim(left=0)
        return axes
