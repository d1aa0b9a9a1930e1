"""A noise scan: the same expectation values measured at several strengths of the same noise.

It is what every extrapolation reads, whoever amplified the noise. The last axis is the scale factor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from bondwise.runs import UsageError, axes_or_new, real_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from qiskit.primitives import PubResult


@dataclass(frozen=True)
class NoiseScan:
    """Expectation values against the strength of the noise.

    Attributes:
        values: Measured values, float64, shape `(..., S)`.
        stds: Their standard errors, same shape; 0 where a value is exact.
        scale_factors: Noise strengths that were really reached, shape `(S,)`, positive and distinct; 1 is the
            circuit as it is.
        shots: Circuit executions spent on the whole scan; 0 for exact values.
        asymptote: What a fully mixed state would give, `Tr(O) / 2^n`, shape `(...)` or a number; the
            exponential decay goes there. Zero for observables without identity term.

    Raises:
        UsageError: What is not real, shapes that do not fit, values that are not finite, a negative standard
            error, or scale factors that are not positive and distinct.
    """

    values: np.ndarray
    stds: np.ndarray
    scale_factors: np.ndarray
    shots: int = 0
    asymptote: Any = 0.0

    def __post_init__(self) -> None:
        values, stds, factors, asymptote = (
            real_array(name, getattr(self, name)) for name in ("values", "stds", "scale_factors", "asymptote")
        )
        if factors.ndim != 1 or factors.size == 0:
            raise UsageError(
                f"scale_factors has shape {factors.shape}; pass one axis, such as (1.0, 3.0, 5.0)."
            )
        if not (np.all(np.isfinite(factors)) and np.all(factors > 0)):
            raise UsageError(f"scale_factors {factors.tolist()} must be finite and positive.")
        if len(np.unique(factors)) < factors.size:
            raise UsageError(f"scale_factors {factors.tolist()} must differ from one another.")
        if values.shape[-1:] != factors.shape:
            raise UsageError(
                f"values has shape {values.shape}; its last axis must be the {factors.size} scale factors."
            )
        if stds.shape != values.shape:
            raise UsageError(
                f"stds has shape {stds.shape} but values has {values.shape}; they must be equal."
            )
        if not np.all(np.isfinite(values)):
            raise UsageError("values holds NaN or infinity; every measured value must be finite.")
        if not (np.all(np.isfinite(stds)) and np.all(stds >= 0)):
            raise UsageError("stds must be finite and not negative; pass zeros for exact values.")
        if asymptote.shape not in ((), values.shape[:-1]) or not np.all(np.isfinite(asymptote)):
            raise UsageError(
                f"asymptote must be a finite number or have shape {values.shape[:-1]}, not {asymptote.shape}."
            )
        for name, array in zip(
            ("values", "stds", "scale_factors", "asymptote"), (values, stds, factors, asymptote), strict=True
        ):
            object.__setattr__(self, name, array)

    @classmethod
    def from_pub_result(cls, pub_result: PubResult) -> Self:
        """The scan behind one entry of what `MitigatedEstimator.run(...).result()` returns.

        Args:
            pub_result: Such an entry.

        Returns:
            The scan, with leading axes as the PUB has them.

        Raises:
            UsageError: The entry comes from another estimator and has no noise factors.
        """
        data, metadata = pub_result.data, pub_result.metadata
        if "evs_noise_factors" not in data or "scale_factors" not in metadata:
            raise UsageError("this PUB result holds no noise factors; run the PUB with a MitigatedEstimator.")
        return cls(
            values=data["evs_noise_factors"],
            stds=data["stds_noise_factors"],
            scale_factors=metadata["scale_factors"],
            shots=metadata.get("shots", 0),
            asymptote=data["asymptotes"] if "asymptotes" in data else 0.0,
        )

    def weights(self) -> np.ndarray:
        """Weights for a least-squares fit: inverse variances up to a common factor, shape `(..., S)`.

        A sampled value of ±1 reports a standard error of 0 and would fix the fit alone, so each error counts
        as at least a third of the largest of its element. Elements without any error are weighted equally.
        """
        largest = np.broadcast_to(self.stds.max(axis=-1, keepdims=True), self.stds.shape)
        share = np.divide(self.stds, largest, out=np.ones_like(self.stds), where=largest > 0)
        return np.maximum(share, 1 / 3) ** -2

    def grid(self) -> np.ndarray:
        """Scale factors from 0 to the largest one at which fitted curves are kept, shape `(51,)`."""
        return np.linspace(0.0, float(self.scale_factors.max()), 51)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw each value against the scale factor, with error bars of one standard error.

        Args:
            ax: Where to draw; by default on a new figure.

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
