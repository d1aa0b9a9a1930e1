"""A convolution along one axis after another (one-way filters, as in arXiv:2304.04964).

For two axes, W[o, i, x, y] = Σ_r second[o, r, y] first[r, i, x]: a tensor train of the kernel, whose cores
hold one axis each, the first also the input channels and the last the output channels. A kernel that is
longer than 1 along one axis only is followed by one of size 1, and one of size 1 is split as a matrix is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.formats.convolutions import FactoredConvolution, Stage, mode_roots


class Separable(FactoredConvolution):
    """A convolution that moves along one axis after another, with `rank` channels per group between.

    Example:
        >>> import torch
        >>> from bondwise.tn.compress import compress
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(8, 16, 3, padding=1), torch.nn.Flatten())
        >>> small = compress(model, 0.5, data=torch.randn(16, 8, 5, 5), formats="separable", seed=0)
        >>> [tuple(factor.shape[2:]) for factor in small[0].factors]
        [(3, 1), (1, 3)]
    """

    @staticmethod
    def stages(kernel: Sequence[int]) -> list[Stage]:
        """One for each axis that the kernel is longer than 1 along, and at least two."""
        busy = [axis for axis, size in enumerate(kernel) if size > 1]
        idle = [axis for axis, size in enumerate(kernel) if size == 1]
        others = [Stage((axis,)) for axis in busy[1:]] or [Stage(())]
        return [Stage(tuple(sorted([*idle, *busy[:1]]))), *others]

    @staticmethod
    def channels(shape: Sequence[int], rank: int) -> list[int]:
        """The rank, or fewer where the kernel has no more."""
        sizes = _modes(shape)
        cuts = range(1, len(sizes))
        return [min(rank, math.prod(sizes[:cut]), math.prod(sizes[cut:])) for cut in cuts]

    @staticmethod
    def start(weight: Tensor, metric: Metric) -> Callable[[int], list[Tensor]]:
        """Truncated singular value decompositions from the input to the output."""
        groups, rows, columns, *kernel = weight.shape
        sizes, busy = _modes(weight.shape), [size for size in kernel if size > 1]
        modes = weight.reshape(groups, rows, columns, *busy)
        (root, back), (inputs, inputs_back) = mode_roots(modes, metric, 1)
        whitened = torch.einsum("gpo,go...->g...p", root, modes).reshape(groups, sizes[0], -1)
        whitened = inputs @ whitened

        def factors(rank: int) -> list[Tensor]:
            rest, before, cores = whitened, 1, []
            for size, bond in zip(sizes, Separable.channels(weight.shape, rank), strict=False):
                unfolded = rest.reshape(groups, before * size, -1)
                left, values, right = torch.linalg.svd(unfolded, full_matrices=False)
                cores.append(left[..., :bond].reshape(groups, before, size, bond))
                rest, before = values[:, :bond, None] * right[:, :bond], bond
            cores.append(rest.reshape(groups, before, -1, rows) @ back[:, None])
            cores[0] = inputs_back[:, None] @ cores[0]
            shapes = Separable.shapes(weight.shape, rank)
            return [core.movedim(-1, 1).reshape(shape) for core, shape in zip(cores, shapes, strict=True)]

        return factors


def _modes(shape: Sequence[int]) -> list[int]:
    """Sizes of the cores of a group; the first holds the input channels too, the last the output channels."""
    _, rows, columns, *kernel = shape
    busy = [size for size in kernel if size > 1]
    sizes = busy if len(busy) > 1 else [*busy, *[1] * (2 - len(busy))]
    return [columns * sizes[0], *sizes[1:-1], sizes[-1] * rows]
