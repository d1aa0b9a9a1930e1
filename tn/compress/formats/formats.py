"""What a format of factors offers, and all formats by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn

from bondwise.runs import UsageError
from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.formats.btt import BlockTensorTrain
from bondwise.tn.compress.formats.cp import CP
from bondwise.tn.compress.formats.lowrank import LowRank
from bondwise.tn.compress.formats.lowrank_sparse import LowRankSparse
from bondwise.tn.compress.formats.mpo import (
    MatrixProductOperator,
    MatrixProductOperator3,
    MatrixProductOperator4,
)
from bondwise.tn.compress.formats.separable import Separable
from bondwise.tn.compress.formats.shared import SharedLowRank
from bondwise.tn.compress.formats.tt_embedding import TTEmbedding
from bondwise.tn.compress.formats.tucker2 import Tucker2
from bondwise.tn.compress.layers import Layer
from bondwise.tn.compress.quantization.packed import Packed, packed_parameters, plain_type


class Fits(Protocol):
    """Factors of one weight, of several ranks."""

    @property
    def ranks(self) -> Sequence[int]:
        """Ranks, ascending; one number says the shape of all factors."""

    @property
    def losses(self) -> Sequence[float]:
        """What the metric predicts for each rank, never rising."""

    def build(self, rank: int) -> nn.Module:
        """The layer with factors of one of the ranks, with the bias and the dtype of the dense one."""


class Format(Protocol):
    """A way to write the weight of a layer as a product of factors.

    It is a class of modules, each with an attribute `rank` and a method `dense()` that gives the weight in
    the shape of `Layer.weight`.
    """

    kind: str  # of the layers that it is for

    def fits(self, layer: Layer, weight: Tensor, metric: Metric) -> Fits:
        """Factors that are close to a weight, which may differ from that of the layer, in a metric."""

    def empty(self, layer: Layer, rank: int) -> nn.Module:
        """The layer with factors that are yet to be loaded."""

    def num_params(self, layer: Layer, rank: int) -> int:
        """Numbers in the factors, without the bias."""

    def flops(self, layer: Layer, rank: int) -> int:
        """Multiplications for one row of the input, or for one position of a convolution's output."""


FORMATS: dict[str, Format] = {
    "lowrank": LowRank,
    "shared": SharedLowRank,
    "lowrank_sparse": LowRankSparse,
    "tucker2": Tucker2,
    "separable": Separable,
    "cp": CP,
    "btt": BlockTensorTrain,
    "mpo": MatrixProductOperator,
    "kron": MatrixProductOperator,  # as two cores are a sum of Kronecker products
    "mpo3": MatrixProductOperator3,
    "mpo4": MatrixProductOperator4,
    "tt_embedding": TTEmbedding,
}


def require_order(model: nn.Module, dense: nn.Module) -> None:
    """Refuse a compressed model and a dense one in the wrong order.

    Raises:
        UsageError: If both are the same, or only the dense one has factors or packed numbers.
    """
    if model is dense:
        raise UsageError("both models are the same one; give what compress returned, then the dense model")
    if _is_compressed(dense) and not _is_compressed(model):
        raise UsageError(
            "what was given as the dense model is compressed, and the other one is not; give what compress "
            "returned first"
        )


def require_dense(model: nn.Module) -> None:
    """Refuse a model that is compressed or quantized already, of which only what is left would be compressed.

    Raises:
        UsageError: If it is.
    """
    factored = next((name for name, module in model.named_modules() if is_factored(module)), None)
    if factored is not None:
        where = factored or "it"
        raise UsageError(
            f"the model is compressed already ({where} is in factors); give the dense model, or "
            "to_dense(model)"
        )
    packed = next(packed_parameters(model), None)
    if packed is not None:
        raise UsageError(f"{packed[0]} is quantized already; give the model before, or dequantize(model)")


def _is_compressed(model: nn.Module) -> bool:
    return any(isinstance(module, Packed) or is_factored(module) for module in model.modules())


def is_factored(module: nn.Module) -> bool:
    """Whether a module is a layer in factors."""
    return plain_type(module) in FORMATS.values()
