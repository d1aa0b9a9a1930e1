"""A convolution as a sum of rank-one kernels (canonical polyadic decomposition).

W[o, i, x, y] = Σ_r out[o, r] across[r, y] along[r, x] in[r, i]: a kernel of size 1, one filter per channel
along each axis, and a kernel of size 1 (Lebedev et al., arXiv:1412.6553). The alternation starts from the
largest of the orthogonal terms that the singular vectors along each axis, and those between the channels for
each combination of them, give.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.formats.convolutions import FactoredConvolution, Stage, mode_roots


class CP(FactoredConvolution):
    """A convolution of `rank` rank-one kernels per group.

    Example:
        >>> import torch
        >>> from bondwise.tn.compress import compress
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(8, 16, 3, padding=1), torch.nn.Flatten())
        >>> small = compress(model, 0.5, data=torch.randn(16, 8, 5, 5), formats="cp", seed=0)
        >>> [tuple(factor.shape[2:]) for factor in small[0].factors]
        [(1, 1), (3, 1), (1, 3), (1, 1)]
    """

    @staticmethod
    def stages(kernel: Sequence[int]) -> list[Stage]:
        """Two between channels, and between them one for each axis that the kernel is longer than 1 along."""
        idle = tuple(axis for axis, size in enumerate(kernel) if size == 1)
        along = [Stage((axis,), depthwise=True) for axis, size in enumerate(kernel) if size > 1]
        return [Stage(idle), *along, Stage(())]

    @staticmethod
    def channels(shape: Sequence[int], rank: int) -> list[int]:
        """The rank everywhere."""
        return [rank] * (len(CP.stages(shape[3:])) - 1)

    @staticmethod
    def start(weight: Tensor, metric: Metric) -> Callable[[int], list[Tensor]]:
        """The largest orthogonal terms; terms beyond the last are zero."""
        groups, rows, columns, *kernel = weight.shape
        (root, back), (inputs, inputs_back) = mode_roots(weight, metric, 0)
        core = torch.einsum("gpo,goi...,giq->gpq...", root, weight, inputs)
        busy = [axis for axis, size in enumerate(kernel) if size > 1]
        vectors = []
        for axis in busy:
            unfolded = core.movedim(axis + 3, 1).flatten(2)
            vectors.append(torch.linalg.svd(unfolded, full_matrices=False)[0])
            core = torch.einsum("gka,gk...->ga...", vectors[-1], core.movedim(axis + 3, 1))
            core = core.movedim(1, axis + 3)
        combinations = core.shape[3:]
        left, values, right = torch.linalg.svd(
            core.flatten(3).movedim(-1, 1), full_matrices=False
        )  # (groups, combinations, …)
        order = values.flatten(1).argsort(descending=True, stable=True)
        shapes = CP.shapes

        def factors(rank: int) -> list[Tensor]:
            taken = order[:, :rank]
            group = torch.arange(groups)[:, None]
            which, term = taken // values.shape[-1], taken % values.shape[-1]
            size = values[group, which, term][..., None]
            into = torch.einsum("gqi,grq->gri", inputs_back, right[group, which, term])
            out = torch.einsum("gpo,gro->gpr", back, left[group, which, :, term] * size)
            along = [
                vector.mT[group, index]
                for vector, index in zip(vectors, _split(which, [combinations[a] for a in busy]), strict=True)
            ]
            missing = rank - taken.shape[1]
            rows_of = [into, *along]
            rows_of = [torch.cat([one, one[:, :1].expand(-1, missing, -1)], dim=1) for one in rows_of]
            out = torch.cat([out, out.new_zeros(groups, rows, missing)], dim=2)
            return [
                one.flatten(0, 1).reshape(shape)
                for one, shape in zip([*rows_of, out], shapes(weight.shape, rank), strict=True)
            ]

        return factors


def _split(index: Tensor, sizes: Sequence[int]) -> tuple[Tensor, ...]:
    return torch.unravel_index(index, tuple(sizes)) if sizes else ()
