"""A linear layer as a block tensor train (Qiu et al., arXiv:2406.06248).

The weight is cut into p × q blocks, each of which is a product of two matrices,

    W[a, :, c, :] = left_acᵀ right_ca,    a = 1 … p,  c = 1 … q,

so that two batched products multiply by it: as many multiplications for a row as numbers in the factors. One
block is a low-rank matrix, rank one with blocks of the square root of the size a Monarch matrix
(arXiv:2204.00595). The paper, which trains such layers from the start, takes as many blocks; few of them fit
trained weights better, and their ranks come in finer steps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.formats.arrangements import Blocks
from bondwise.tn.compress.formats.factored import Cost, Factored
from bondwise.tn.compress.formats.trains import Cores, TrainFits, Trains
from bondwise.tn.compress.layers import Layer

# As measured: two batched products, slower than large ones by a factor, and a number that is moved between
# them or behind them costs as much as some multiplications.
_CALLS, _SLOWER, _MOVE = 10.0, 1.3, 24.0
_BLOCKS = 4  # at most, in each direction; fewer if that does not divide the size


class BlockTensorTrain(Factored):
    """y_a = Σ_c left_acᵀ right_ca x_c + bias, for parts y_a and x_c of the output and the input.

    Args:
        left: Factors of shape (p, q · rank, out_features / p): the matrices left_ac, for all c of one a.
        right: Factors of shape (q, p · rank, in_features / q): the matrices right_ca, for all a of one c.
        bias: Shape (out_features,), or None.

    Example:
        >>> import torch
        >>> from bondwise.tn.compress import BlockTensorTrain
        >>> layer = BlockTensorTrain(torch.ones(2, 4 * 1, 3), torch.ones(4, 2 * 1, 5))
        >>> layer(torch.ones(7, 20)).shape, layer.dense().shape
        (torch.Size([7, 6]), torch.Size([6, 20]))
    """

    kind = "linear"
    left: nn.Parameter
    right: nn.Parameter

    def __init__(self, left: Tensor, right: Tensor, bias: Tensor | None = None) -> None:
        (p, inner, height), (q, _, width) = left.shape, right.shape
        numbers = left.numel() + right.numel()
        work = _SLOWER * numbers + _MOVE * (p * inner + p * height)
        rebuild = inner // q * p * height * q * width
        cost = Cost(_CALLS, _SLOWER * numbers, numbers, work, rebuild)
        super().__init__(bias, (p * height, q * width), cost, left=left, right=right)

    @classmethod
    def empty(cls, layer: Layer, rank: int) -> BlockTensorTrain:
        """The layer with factors that are yet to be loaded."""
        (p, q), (rows, columns) = _blocks(layer), layer.shape
        left, right = torch.empty(p, q * rank, rows // p), torch.empty(q, p * rank, columns // q)
        return cls(left, right, None if layer.bias is None else torch.empty(rows))

    @property
    def rank(self) -> int:
        """Of each block."""
        return self.left.shape[1] // len(self.right)

    def multiply(self, x: Tensor) -> Tensor:
        """Apply the layer to inputs of shape (..., in_features) by its factors."""
        left, right, bias = self.left, self.right, self.bias
        (p, inner, height), (q, _, width) = left.shape, right.shape
        rows = x.numel() // (q * width)
        # what is between the factors has its rows last, so that whole stretches of memory are moved
        middle = torch.bmm(right, x.reshape(rows, q, width).permute(1, 2, 0))
        middle = middle.view(q, p, inner // q * rows).transpose(0, 1)
        if rows == 1:
            middle = middle.reshape(p, 1, inner)
        else:
            middle = middle.reshape(p, inner, rows).transpose(1, 2)
        if bias is None:
            parts = torch.bmm(middle, left)
        else:
            parts = torch.baddbmm(bias.view(p, 1, height), middle, left)
        return parts.transpose(0, 1).reshape(*x.shape[:-1], p * height)

    def dense(self) -> Tensor:
        """The weight, shape (out_features, in_features)."""
        left, right = self.left, self.right
        (p, inner, height), (q, _, width) = left.shape, right.shape
        blocks = torch.matmul(
            left.view(p, q, inner // q, height).transpose(2, 3),
            right.view(q, p, inner // q, width).transpose(0, 1),
        )
        return blocks.transpose(1, 2).reshape(p * height, q * width)

    @staticmethod
    def num_params(layer: Layer, rank: int) -> int:
        """Numbers in the factors, without the bias."""
        (p, q), (rows, columns) = _blocks(layer), layer.shape
        return rank * (q * rows + p * columns)

    flops = num_params  # multiplications for one row of the input

    @staticmethod
    def fits(layer: Layer, weight: Tensor, metric: Metric) -> TrainFits:
        """Factors from alternating least squares."""
        p, q = _blocks(layer)
        rows, columns = weight.shape

        def make(cores: Cores, bias: Tensor | None) -> BlockTensorTrain:
            left, right = cores[0].reshape(p, q, rows // p, -1), cores[1].reshape(p, q, -1, columns // q)
            return BlockTensorTrain(
                left.transpose(2, 3).reshape(p, -1, rows // p),
                right.transpose(0, 1).reshape(q, -1, columns // q),
                bias,
            )

        trains = Trains(weight, metric, Blocks(p, q, (rows, columns)))
        return TrainFits(layer, trains, lambda rank: BlockTensorTrain.num_params(layer, rank), make)


def _blocks(layer: Layer) -> tuple[int, int]:
    """How many blocks there are in each direction."""
    p, q = (max(n for n in range(1, _BLOCKS + 1) if size % n == 0) for size in layer.shape)
    return p, q
