"""A convolution between fewer channels: into them and out of them by kernels of size 1 (Tucker-2).

W[o, i, k] = Σ_ab left[o, a] core[a, b, k] right[b, i] (Kim et al., arXiv:1511.06530), fitted to the layer's
metric from the leading singular vectors of both channel modes (higher-order singular value decomposition).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.formats.convolutions import FactoredConvolution, Stage, mode_roots


class Tucker2(FactoredConvolution):
    """A convolution whose kernel acts between `rank` channels per group.

    The rank is that of the side with more channels; the other gets its share of them.

    Example:
        >>> import torch
        >>> from bondwise.tn.compress import compress
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(8, 16, 3, padding=1), torch.nn.Flatten())
        >>> small = compress(model, 0.5, data=torch.randn(16, 8, 5, 5), formats="tucker2", seed=0)
        >>> small[0].dense().shape  # groups, output and input channels of each, kernel
        torch.Size([1, 16, 8, 3, 3])
    """

    @staticmethod
    def stages(kernel: Sequence[int]) -> list[Stage]:
        """A kernel of size 1, the core, and a kernel of size 1."""
        return [Stage(()), Stage(tuple(range(len(kernel)))), Stage(())]

    @staticmethod
    def channels(shape: Sequence[int], rank: int) -> list[int]:
        """Input and output channels of the core."""
        _, rows, columns, *_ = shape
        most = max(rows, columns)
        return [max(1, round(min(rank, most) * size / most)) for size in (columns, rows)]

    @staticmethod
    def start(weight: Tensor, metric: Metric) -> Callable[[int], list[Tensor]]:
        """The leading singular vectors of both modes, and the core between them."""
        (rows, rows_back), (columns, columns_back) = mode_roots(weight, metric, 0)
        whitened = torch.einsum("gpo,goi...,giq->gpq...", rows, weight, columns)
        left = torch.linalg.svd(whitened.flatten(2), full_matrices=False)[0]
        right = torch.linalg.svd(whitened.transpose(1, 2).flatten(2), full_matrices=False)[0]
        left_back, right_back = rows_back @ left, columns_back @ right
        core = torch.einsum("gpa,gpq...,gqb->gab...", left, whitened, right)
        ones = [1] * (weight.ndim - 3)

        def factors(rank: int) -> list[Tensor]:
            inner, outer = Tucker2.channels(weight.shape, rank)
            return [
                right_back[..., :inner].mT.flatten(0, 1).unflatten(-1, (-1, *ones)),
                core[:, :outer, :inner].flatten(0, 1),
                left_back[..., :outer].flatten(0, 1).unflatten(-1, (-1, *ones)),
            ]

        return factors
