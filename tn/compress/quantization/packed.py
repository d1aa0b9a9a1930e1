"""Parameters of modules that stay packed, in memory and on disk, and are unpacked whenever they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from bondwise.runs import UsageError, kind_of
from bondwise.tn.compress.quantization.packing import pack, packed_size, unpack
from bondwise.tn.compress.quantization.rounding import Grid, group_size
from bondwise.tn.compress.quantization.scales import decode, encode


class Layout(NamedTuple):
    """How the numbers of a parameter are laid out.

    Attributes:
        bits: Of a number.
        shape: Of the parameter.
        axis: The axis along which groups of numbers share a scale; None for groups of the flattened numbers.
        group: Numbers in a group.
    """

    bits: int
    shape: tuple[int, ...]
    axis: int | None
    group: int

    @classmethod
    def of(cls, bits: int, shape: tuple[int, ...], most: int, axis: int | None = None) -> Layout:
        """Groups of at most so many numbers, along an axis or else the longest one.

        Where that is shorter than a group, the numbers are flattened.
        """
        if axis is None:
            longest = max(range(len(shape)), key=lambda one: shape[one])
            axis = longest if shape[longest] >= most else None
        columns = torch.Size(shape).numel() if axis is None else shape[axis]
        return cls(bits, tuple(shape), axis, group_size(columns, most))

    @property
    def matrix(self) -> tuple[int, int]:
        """Rows, and columns along which the groups lie."""
        size = torch.Size(self.shape).numel()
        columns = size if self.axis is None else self.shape[self.axis]
        return size // columns, columns

    @property
    def groups(self) -> int:
        """Groups in a row."""
        return -(-self.matrix[1] // self.group)

    @property
    def num_bytes(self) -> int:
        """Bytes of all scales, zeros and codes."""
        rows, columns = self.matrix
        number = rows * self.groups
        return 2 * number + packed_size(number, self.bits) + packed_size(rows * columns, self.bits)

    def to_matrix(self, tensor: Tensor) -> Tensor:
        """The numbers as a matrix of shape (rows, columns)."""
        if self.axis is not None:
            tensor = tensor.movedim(self.axis, -1)
        return tensor.reshape(self.matrix)

    def from_matrix(self, matrix: Tensor) -> Tensor:
        """The reverse of `to_matrix`."""
        if self.axis is None:
            return matrix.view(self.shape)
        rest = [size for axis, size in enumerate(self.shape) if axis != self.axis]
        return matrix.view(*rest, self.shape[self.axis]).movedim(-1, self.axis).contiguous()


class Packed(nn.Module):
    """A parameter in few bits: scales (16 bits), zeros and codes, one after another in one tensor of bytes.

    Args:
        layout: Of the numbers.
        packed: Bytes, uint8 (layout.num_bytes,).
        dtype: Floating type that the numbers are unpacked to; `to` changes it.
    """

    packed: Tensor
    like: Tensor

    def __init__(self, layout: Layout, packed: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.layout = layout
        self.register_buffer("packed", packed)
        self.register_buffer("like", torch.empty(0, dtype=dtype, device=packed.device), persistent=False)

    @classmethod
    def empty(cls, layout: Layout, dtype: torch.dtype) -> Packed:
        """Bytes that are yet to be loaded."""
        return cls(layout, torch.empty(layout.num_bytes, dtype=torch.uint8), dtype)

    @classmethod
    def of(cls, layout: Layout, codes: Tensor, grid: Grid, dtype: torch.dtype) -> Packed:
        """Pack codes of shape (rows, columns)."""
        scales = encode(grid.scales).contiguous().view(-1).view(torch.uint8)
        numbers = [pack(part.reshape(-1), layout.bits) for part in (grid.zeros, codes)]
        return cls(layout, torch.cat([scales, *numbers]), dtype)

    def forward(self) -> Tensor:
        """The parameter."""
        layout = self.layout
        rows, columns = layout.matrix
        number = rows * layout.groups
        end = 2 * number + packed_size(number, layout.bits)
        scales = decode(self.packed[: 2 * number].view(torch.int16)).view(rows, layout.groups)
        zeros = unpack(self.packed[2 * number : end], number, layout.bits).view(rows, layout.groups)
        codes = unpack(self.packed[end:], rows * columns, layout.bits).view(rows, columns)
        values = Grid(layout.bits, layout.group, scales, zeros).values(codes)
        return layout.from_matrix(values).to(self.like.dtype)

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"int{self.layout.bits}, shape={self.layout.shape}, group={self.layout.group}"


_CLASSES: dict[tuple[type[nn.Module], frozenset[str]], type[nn.Module]] = {}


def plain_type(module: nn.Module) -> type[nn.Module]:
    """The class of a module before parameters of it were packed."""
    return getattr(type(module), "_plain", type(module))


def packed_parameters(module: nn.Module) -> Iterator[tuple[str, Packed]]:
    """The packed parameters of a module and of those in it, by their names."""
    for name, child in module.named_modules(remove_duplicate=False):
        if isinstance(child, Packed):
            yield name, child


def count_numbers(module: nn.Module) -> int:
    """Numbers in all parameters, packed or not, tied ones once."""
    packed = {one for _, one in packed_parameters(module)}
    plain = sum(parameter.numel() for parameter in module.parameters())
    return plain + sum(torch.Size(one.layout.shape).numel() for one in packed)


def put(module: nn.Module, name: str, packed: Packed) -> None:
    """Have a module read a parameter from where it is packed.

    The class of the module is replaced by a subclass that unpacks it, so that its other attributes and
    methods work as before, and so do `deepcopy`, `state_dict`, `to` and `torch.compile`.

    Args:
        module: The module, changed.
        name: Of a parameter in it or in a module below, such as `cores.0`.
        packed: The parameter; several modules may share one.

    Raises:
        UsageError: If there is no such parameter.
    """
    path, _, last = name.rpartition(".")
    owner = module.get_submodule(path)
    if not isinstance(owner._modules.get(last), Packed):  # as in a module with two names
        if owner._parameters.get(last) is None:
            raise UsageError(f"{path or 'the model'}, {kind_of(owner)}, has no parameter {last!r}")
        del owner._parameters[last]
    owner._modules[last] = packed
    _read_packed(owner)


def unpack_parameters(module: nn.Module) -> None:
    """Have a module and those in it hold all parameters as numbers again; shared ones stay shared."""
    numbers: dict[Packed, nn.Parameter] = {}
    for owner in list(module.modules()):  # each once, however many names it has
        found = {name: child for name, child in owner._modules.items() if isinstance(child, Packed)}
        for name, packed in found.items():
            del owner._modules[name]
            if packed not in numbers:
                numbers[packed] = nn.Parameter(packed().contiguous())
        if found:
            _read_packed(owner)
        for name, packed in found.items():
            owner._parameters[name] = numbers[packed]


def _read_packed(owner: nn.Module) -> None:
    """Give a module the class that reads what is packed in it."""
    plain = plain_type(owner)
    names = frozenset(name for name, child in owner._modules.items() if isinstance(child, Packed))
    if (plain, names) not in _CLASSES:
        readers = {name: property(_reader(name)) for name in names}
        kind = type(f"Quantized{plain.__name__}", (plain,), {**readers, "_plain": plain})
        _CLASSES[plain, names] = cast(type[nn.Module], kind)
    owner.__class__ = _CLASSES[plain, names] if names else plain


def _reader(name: str) -> Callable[[nn.Module], Tensor]:
    return lambda module: cast(Packed, module._modules[name])()
