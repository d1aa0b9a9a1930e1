"""The layers of a model that can be compressed, and putting others in their place."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from bondwise.runs import UsageError, kind_of
from bondwise.tn.compress.quantization.packed import packed_parameters, plain_type

_NAMED = 4  # layers in a message, at most
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class _Linear(NamedTuple):
    """How the numbers of a linear layer are read, whatever its class calls them."""

    weight: Callable[[Any], Tensor]  # shape (out_features, in_features)
    bias: Callable[[Any], Tensor | None]


_LINEAR: dict[type[nn.Module], _Linear] = {
    nn.Linear: _Linear(lambda module: module.weight, lambda module: module.bias),
    Conv1D: _Linear(lambda module: module.weight.T, lambda module: module.bias),
}
_REGISTERED: set[type[nn.Module]] = set()  # of these nobody knows whether they do what they are said to do


def register(
    kind: type[nn.Module],
    *,
    weight: Callable[[Any], Tensor],
    bias: Callable[[Any], Tensor | None] = lambda module: None,
) -> None:
    """Have linear layers of a class of one's own compressed too.

    Args:
        kind: The class, for example a subclass of `torch.nn.Linear`; its own subclasses aren't included.
        weight: Gives the weight of such a module, shape (out_features, in_features), so that the module
            returns weight · x + bias for inputs of shape (..., in_features). Whether it does is checked on
            calibration data.
        bias: Gives its bias, shape (out_features,), or None.

    Raises:
        UsageError: If `kind` is not a class of modules.

    Example:
        >>> import torch
        >>> from bondwise.tn.compress import register
        >>> class Scaled(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.matrix = torch.nn.Parameter(torch.randn(8, 8))
        ...
        ...     def forward(self, x):
        ...         return x @ self.matrix
        >>> register(Scaled, weight=lambda module: module.matrix.T)
    """
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise UsageError(f"kind is {kind!r}; give a class of torch modules")
    _LINEAR[kind] = _Linear(weight, bias)
    _REGISTERED.add(kind)


def require_linear(layer: Layer, x: Tensor, output: Any) -> None:
    """Refuse a layer of a registered class that does not return weight · x + bias.

    Raises:
        UsageError: If it does not.
    """
    if type(layer.module) not in _REGISTERED:
        return
    weight, bias = layer.weight, layer.bias
    found = ""
    if not isinstance(output, Tensor):
        found = f"a {type(output).__name__}"
    elif weight.ndim != 2 or (x.shape[-1], output.shape[-1]) != (weight.shape[1], weight.shape[0]):
        found = f"{output.shape[-1]} numbers for {x.shape[-1]}, while its weight has the shape {layer.shape}"
    else:
        expected = nn.functional.linear(x.double(), weight.double(), None if bias is None else bias.double())
        error = float((output - expected).norm() / expected.norm().clamp_min(torch.finfo(x.dtype).tiny))
        if not error <= max(1e-3, 16 * torch.finfo(output.dtype).eps):
            found = f"something else (relative difference {error:.3g})"
    if found:
        raise UsageError(
            f"{layer.name} ({type(layer.module).__name__}) returns {found}; register is for layers that "
            f"return weight · x + bias: give it their weight and bias, or add {layer.name} to skip"
        )


def is_dense(module: nn.Module) -> bool:
    """Whether a module is a layer of a kind that can be compressed, of exactly that class."""
    # exact classes: the forward pass of a subclass may do anything, and `register` takes those that don't
    return type(module) in (*_LINEAR, *_CONVOLUTIONS, nn.Embedding)


def is_linear(module: nn.Module) -> bool:
    """Whether a module is a dense linear layer, of a known or a registered class."""
    return type(module) in _LINEAR


def weight_parameter(module: nn.Module) -> tuple[str, int]:
    """Name of the parameter that is the weight of a linear layer, and its axis of the inputs.

    Raises:
        UsageError: If the weight is computed from parameters.
    """
    weight = _LINEAR[type(module)].weight(module)
    for name, parameter in module.named_parameters():
        if parameter.data_ptr() == weight.data_ptr() and parameter.numel() == weight.numel():
            same = parameter.shape == weight.shape and parameter.stride() == weight.stride()
            return name, int(same)
    raise UsageError(
        f"the weight of {type(module).__name__} is none of its parameters; add its layers to skip"
    )


@dataclass(frozen=True)
class Layer:
    """One layer of a model.

    Attributes:
        name: Path of the module, such as `model.layers.0.mlp.up_proj`.
        module: The dense layer.
    """

    name: str
    module: nn.Module = field(repr=False)

    @property
    def kind(self) -> str:
        """`linear`, `convolution` or `embedding`."""
        if isinstance(self.module, _CONVOLUTIONS):
            return "convolution"
        return "embedding" if isinstance(self.module, nn.Embedding) else "linear"

    @property
    def weight(self) -> Tensor:
        """The weight, detached.

        The shape is (out_features, in_features) for linear layers, (num_embeddings, embedding_dim) for
        embeddings, and (groups, out_channels / groups, in_channels / groups, *kernel_size) for convolutions.
        """
        if self.kind == "linear":
            return _LINEAR[plain_type(self.module)].weight(self.module).detach()
        weight: Tensor = self.module.weight.detach()  # type: ignore[operator,assignment,union-attr]
        if self.kind == "convolution":
            groups: int = self.module.groups  # type: ignore[assignment]
            weight = weight.reshape(groups, len(weight) // groups, *weight.shape[1:])
        return weight

    @property
    def bias(self) -> Tensor | None:
        """Shape (out_features,) or (out_channels,); embeddings have none."""
        if self.kind == "linear":
            return _LINEAR[plain_type(self.module)].bias(self.module)
        return getattr(self.module, "bias", None)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weight."""
        return tuple(self.weight.shape)

    @property
    def num_params(self) -> int:
        """Numbers in the weight."""
        return self.weight.numel()


def find_layers(
    model: nn.Module, skip: Iterable[str] = (), kinds: Collection[str] = ("linear",)
) -> dict[str, Layer]:
    """The layers of a model that can be compressed, by name and in the order of its modules.

    Layers whose weight is used elsewhere too, such as an output head tied to the embedding, and the head of a
    model of transformers stay as they are.

    Args:
        model: Any module.
        skip: Names of layers to leave, also with wildcards (`*.q_proj`).
        kinds: The kinds of layers that there are formats for.

    Raises:
        UsageError: If no layer is left, or if a name in `skip` fits none.
    """
    skip = [skip] if isinstance(skip, str) else list(skip)
    owners, head = owners_in(model), head_of(model)
    present = {name: module for name, module in model.named_modules() if name and is_dense(module)}
    for pattern in skip:
        if not any(fnmatchcase(name, pattern) for name in present):
            first = next((name for name, one in present.items() if Layer(name, one).kind in kinds), None)
            raise UsageError(f"skip={pattern!r} fits no layer of the model; one is called {first!r}")
    found, left = {}, {}
    for name, module in present.items():
        layer = Layer(name, module)
        shared = any(owners[id(parameter)] > 1 for parameter in module.parameters(recurse=False))
        if layer.kind not in kinds:
            if layer.kind == "embedding":
                left[name] = "is an embedding, which only formats='tt_embedding' is for"
        elif module is head:
            left[name] = "is the output head of a language model"
        elif shared:
            left[name] = "shares its weight with another layer"
        elif getattr(module, "max_norm", None) is not None:
            left[name] = "has a max_norm, with which looking rows up changes them"
        elif any(fnmatchcase(name, pattern) for pattern in skip):
            left[name] = "is skipped"
        elif layer.kind == "convolution" or min(layer.shape) > 1:
            found[name] = layer
        else:
            left[name] = f"is a single row or column of shape {layer.shape}"
    packed = next(packed_parameters(model), None)
    if packed is not None and not found:
        raise UsageError(f"{packed[0]} is quantized already; give the model before, or dequantize(model)")
    if not found:
        raise UsageError(f"the model has no layer to compress: {_why_none(model, left, kinds)}")
    return found


def _why_none(model: nn.Module, left: Mapping[str, str], kinds: Collection[str]) -> str:
    """Why a model has no layer to compress, given what is wrong with each one that it has."""
    if is_dense(model):
        embeds = type(model) is nn.Embedding and "embedding" not in kinds
        ask = ", formats='tt_embedding'" if embeds else ""
        return f"it is itself {kind_of(model)}; give torch.nn.Sequential(model){ask}"
    others = {Layer(name, one).kind for name, one in model.named_modules() if is_dense(one)} - set(kinds)
    if not left and others:
        wanted, there = (" and ".join(sorted(some)) for some in (kinds, others))
        return f"the formats that were given are for {wanted} layers, and it has only {there} ones"
    if not left:
        return f"none of its modules is one of the kinds {' or '.join(sorted(kinds))}; see register"
    first = [f"{name} {reason}" for name, reason in list(left.items())[:_NAMED]]
    more = [f"and {len(left) - _NAMED} more"] if len(left) > _NAMED else []
    return ", ".join([*first, *more])


def require_numbers(model: nn.Module) -> None:
    """Refuse a model whose parameters are yet to be loaded, or hold NaN or infinite numbers.

    Raises:
        UsageError: If one is on the meta device or not finite.
    """
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_meta:
            raise UsageError(f"{name} is on the meta device and holds no numbers; load the model first")
    for name, parameter in model.named_parameters():  # buffers may hold -inf, as masks do
        if not torch.isfinite(parameter).all():
            raise UsageError(f"{name} holds NaN or infinite numbers; load the model again")


def others_of(model: nn.Module, skip: Iterable[str], layers: Collection[str]) -> dict[str, Layer]:
    """The dense layers of a model beside some, in the order of its modules; of tied ones the first.

    Those that are skipped, or tied to one that is, are left out.
    """
    present = {name: module for name, module in model.named_modules() if name and is_dense(module)}
    found: dict[str, Layer] = {}
    seen = weights_of(matching(present, skip))
    for name, module in present.items():
        if name not in layers and not weights_of([module]) & seen:
            found[name] = Layer(name, module)
        seen |= weights_of([module])
    return found


def is_table(model: nn.Module, module: nn.Module) -> bool:
    """Whether a layer is an embedding, or the output head that a model of transformers names."""
    return isinstance(module, nn.Embedding) or module is head_of(model)


def head_of(model: nn.Module) -> Any:
    """The output head that a model of transformers names, or None."""
    return model.get_output_embeddings() if isinstance(model, PreTrainedModel) else None


def owners_in(model: nn.Module) -> dict[int, int]:
    """How many modules of a model each parameter is in, by the identities of parameters."""
    owners: dict[int, int] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    return owners


def matching(modules: Mapping[str, nn.Module], patterns: Iterable[str]) -> list[nn.Module]:
    """Modules whose name fits one of some patterns."""
    patterns = list(patterns)
    return [one for name, one in modules.items() if any(fnmatchcase(name, pattern) for pattern in patterns)]


def weights_of(modules: Iterable[nn.Module]) -> set[int]:
    """Identities of the parameters of modules that have at least two axes."""
    return {id(parameter) for module in modules for parameter in module.parameters() if parameter.ndim > 1}


def replace(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module wherever the one with this name is; factors remember what they are in the place of."""
    before = model.get_submodule(name)
    if plain_type(module) not in (*_LINEAR, *_CONVOLUTIONS, nn.Embedding):
        original = _without_numbers(before) if is_dense(before) else before.__dict__.get("original")
        if original is not None:
            module.__dict__["original"] = original  # beside what `nn.Module` takes for parts of the layer
    for parent in list(model.modules()):
        for last, child in parent._modules.items():
            if child is before:
                parent._modules[last] = module


def original_of(factors: nn.Module, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """A layer as the one that factors are in the place of, with parameters that are yet to be set."""
    original: nn.Module = factors.__dict__["original"]
    empty = {
        id(parameter): nn.Parameter(torch.empty(parameter.shape, dtype=dtype, device=device))
        for parameter in original.parameters()
    }
    return copy.deepcopy(original, empty).to(device)


def _without_numbers(module: nn.Module) -> nn.Module:
    """A copy of a layer that takes no memory for parameters."""
    numberless = {
        id(parameter): nn.Parameter(torch.empty_like(parameter, device="meta"))
        for parameter in module.parameters()
    }
    made = copy.deepcopy(module, numberless)
    made._forward_hooks.clear()
    made._forward_pre_hooks.clear()
    return made
