"""From the values of all windows to one number per protein and kind: mean, extremes, both ends, a count.

The extremes are log-sum-exps with a learnt sharpness k, of the values and of their negatives: with one of the
two alone, training ends in a bad place for most starts, as the sign that the windows learn first decides.

Sampled values make extremes look larger than they are: for noise of variance v, E[exp(k z)] is
exp(k z + k² v / 2) to leading order, which `variance` takes off again.
"""

from __future__ import annotations

import torch
from torch import nn

END = 20.0  # words over which the weight of a window falls by e with its distance from an end of the protein


STEEPNESS = 12.0  # of the soft step by which windows are counted, and of the extremes at first


class TwoSidedPooling(nn.Module):
    """Pooled values (B, 6, O): mean, soft maximum, soft minimum, mean near the start, near the end, count.

    The count is log(1 + n stride / window), with n the windows whose value is above a learnt threshold: of
    stretches that span the membrane there can be one or twelve.

    Args:
        values: Number O of values of a window.
        window: Words in a window.
        stride: Words from one window to the next.
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
        """Pool.

        Args:
            values: Expectation values (B, W, O).
            present: Which windows there are (B, W).
            variance: Squared standard errors of the values (B, W, O) if they were sampled.
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
