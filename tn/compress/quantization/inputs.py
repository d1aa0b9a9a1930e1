"""What layers are given while those before them are quantized one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from bondwise.tn.compress.calibration.batches import Batch
from bondwise.tn.compress.calibration.blocks import Blocks
from bondwise.tn.compress.calibration.calls import leaders_of
from bondwise.tn.compress.calibration.fitting import shift
from bondwise.tn.compress.formats.lowrank import LowRank
from bondwise.tn.compress.layers import Layer, is_linear, owners_in, weight_parameter


class InputsInOrder:
    """Covariances of the inputs of layers while these are quantized one after another.

    Args:
        dense: The model before.
        model: Its copy, whose layers are changed in the order of their names.
        names: Of these layers.
        batches: What both are run on.
    """

    def __init__(
        self, dense: nn.Module, model: nn.Module, names: Sequence[str], batches: Sequence[Batch]
    ) -> None:
        self._dense, self._model = dense, model
        self._before, self._now = (
            Blocks.found_in(one, dict.fromkeys(names), batches) for one in (dense, model)
        )
        uses = owners_in(model)
        self._names = [name for name in names if self._is_linear(model.get_submodule(name), uses)]
        layers = {name: Layer(name, dense.get_submodule(name)) for name in self._names}
        self._leaders: dict[str, str] = {}
        for batch in batches:  # experts may be called in few of them
            self._leaders = leaders_of(dense, layers, batch) | self._leaders
            if len(self._leaders) == len(layers):
                break
        self._leader, self._moments = "", (torch.empty(0), torch.empty(0))

    @staticmethod
    def _is_linear(module: nn.Module, uses: Mapping[int, int]) -> bool:
        linear = is_linear(module) or type(module) is LowRank
        return linear and all(uses[id(parameter)] == 1 for parameter in module.parameters())

    def corrected(self, name: str) -> Tensor | None:
        """Let a layer make up for earlier ones, and return E[x xᵀ] of its inputs, if it is linear."""
        if name not in self._names or self._leaders.get(name) is None:
            return None
        module = self._model.get_submodule(name)
        if self._leader != self._leaders[name]:
            self._leader = self._leaders[name]
            block = self._before.of(name)
            self._before.advance(block)
            self._now.advance(block)
            original = self._dense.get_submodule(name)
            self._moments = shift(self._before, original, self._now, Layer(name, module))
        covariance, correction = self._moments
        parameter, axis = ("right", 1) if type(module) is LowRank else weight_parameter(module)
        weight = module.get_parameter(parameter)
        with torch.no_grad():
            moved = weight.movedim(axis, -1).double() @ correction
            weight.copy_(moved.movedim(-1, axis))
        return covariance
