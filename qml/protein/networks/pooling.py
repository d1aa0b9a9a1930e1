"""Pooling of the values of all windows of a protein: mean, extremes, means near both ends, and a count.

The extremes are log-sum-exps, with a trained sharpness k, of the values and of their negatives. With only one
of the two, most starts end in a bad minimum, because the sign that the windows happen to learn first decides.

Sampling makes extremes look larger than they are: with noise of variance v, E[exp(k z)] is
exp(k z + k² v / 2) to leading order. `variance` corrects for this.
"""

from __future__ import annotations

import torch
from torch import nn

END = 20.0  # words from an end of the protein over which the weight of a window falls by a factor e
STEEPNESS = 12.0  # of the soft step that counts windows, and of the extremes before the training


class TwoSidedPooling(nn.Module):
    """Pooled values (B, 6, O): mean, soft maximum, soft minimum, mean near the start, near the end, count.

    The count is log(1 + n stride / window) for n windows whose value is above a trained threshold: a protein
    can cross the membrane once or twelve times.

    Args:
        values: Number O of values of a window.
        window: Number of words in a window.
        stride: Number of words from the start of one window to the next.
    """

    kinds = 6

    def __init__(self, values: int, window: int, stride: int) -> None:
        super().__init__()
        self.window, self.stride = window, stride
        self.log_sharpness = nn.Parameter(torch.tensor(STEEPNESS).log())
        self.threshold = nn.Parameter(torch.zeros(values))

    def forward(
        self, values: torch.Tensor, present: torch.Tensor, variance: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Pool the windows.

        Args:
            values: Expectation values (B, W, O).
            present: Which windows exist, bool (B, W).
            variance: Squared standard errors (B, W, O) of sampled values.
        """
        mask = present[..., None]
        sharpness = self.log_sharpness.exp()
        excess = 0.0 if variance is None else sharpness**2 / 2 * variance

        def extreme(signed: torch.Tensor) -> torch.Tensor:
            exponent = (sharpness * signed - excess).masked_fill(~mask, -torch.inf)
            return torch.logsumexp(exponent, dim=1) / sharpness

        distance = self.stride * torch.arange(values.shape[1], device=values.device).to(values)
        first = torch.exp(-distance / END) * present
        last = present.sum(1, keepdim=True) * self.stride - self.stride
        second = torch.exp(-(last - distance).clamp(min=0) / END) * present
        means = [_mean(values, weight) for weight in (present.to(values), first, second)]
        above = torch.sigmoid(STEEPNESS * (values - self.threshold)).masked_fill(~mask, 0.0).sum(1)
        count = torch.log1p(above * self.stride / self.window)
        return torch.stack([means[0], extreme(values), -extreme(-values), *means[1:], count], dim=1)


def _mean(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return torch.einsum("bwo,bw->bo", values, weight) / weight.sum(1, keepdim=True)
