"""Compressed models as folders: the tensors as safetensors, and a `config.json` that says what they are.

The configuration is that of the dense model, with an entry `bondwise` that lists the layers in factors, so
that other programs can see what the folder holds. Only `load` reads it: `from_pretrained` of transformers
does not know factors. No code named in a folder is run.
"""

from __future__ import annotations

import copy
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as stored
from torch import Tensor, nn

from bondwise.runs import FileSet, Result, UsageError, kind_of, one_line, read_json, unknown_name
from bondwise.tn.compress.checkpoints import CONFIG as _CONFIG
from bondwise.tn.compress.checkpoints import ENTRY as _ENTRY
from bondwise.tn.compress.checkpoints import TENSORS as _TENSORS
from bondwise.tn.compress.checkpoints import config_in, model_class, shards_of
from bondwise.tn.compress.compression import Compression
from bondwise.tn.compress.files import METADATA, stored_tensors
from bondwise.tn.compress.formats.formats import FORMATS, is_factored
from bondwise.tn.compress.layers import Layer, is_dense, replace
from bondwise.tn.compress.quantization.packed import Layout, Packed, packed_parameters, plain_type, put
from bondwise.tn.compress.quantization.quantization import Quantization
from bondwise.tn.compress.streaming.skeleton import skeleton

_INSTEAD = "give one of the dense shape as model="
_REPORTS: dict[str, type[Result]] = {one.__name__: one for one in (Compression, Quantization)}


def save(model: nn.Module, folder: str | os.PathLike[str]) -> Path:
    """Write a compressed model to a folder, completely or not at all.

    Args:
        model: What `compress` or `quantize` returned, on any device.
        folder: Folder, made if needed; other files in it stay.

    Returns:
        The folder.

    Raises:
        UsageError: If there is a file, or a folder with a model that is none of these.
        RunError: If the folder cannot be written; an earlier model in it is untouched.

    Example:
        >>> import torch
        >>> from bondwise.tn.compress import compress, load, save
        >>> model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
        >>> data = torch.randn(64, 32)
        >>> small = compress(model, 0.5, data=data, seed=0)
        >>> again = load(save(small, "small"), model=model)
        >>> torch.equal(again(data), small(data))
        True
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; give a folder")
    config: dict[str, Any] = {}
    if isinstance(model, transformers.PreTrainedModel):
        config = {**model.config.to_dict(), "architectures": [type(model).__name__]}
        config.pop("_name_or_path", None)  # perhaps a folder of this machine
    layers = {
        name: {"format": _name(module), "rank": module.rank}
        for name, module in model.named_modules()
        if is_factored(module)
    }
    tensors, ties = stored_tensors(model)
    config[_ENTRY] = {"version": 1, "layers": layers, "packed": _packed(model), "tied": ties}
    config[_ENTRY]["buffers"] = _unsaved(model)
    config[_ENTRY] |= report_entry(getattr(model, "report", None))
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    contents: dict[Path, bytes | str] = {
        folder / _TENSORS: stored(tensors, metadata=METADATA),
        folder / _CONFIG: json.dumps(config, indent=2, default=str),
    }
    files = FileSet(*contents)
    _require_own(folder)
    files.write(contents)
    return folder


def _require_own(folder: Path) -> None:
    """Refuse a folder with a model that `save` did not write, such as the dense one."""
    path = folder / _CONFIG
    try:
        config = read_json(path) if path.exists() else {}
    except UsageError:
        config = None
    if path.exists() or (folder / _TENSORS).exists():
        if not (isinstance(config, dict) and _ENTRY in config):
            raise UsageError(f"{folder} holds a model that is not a compressed one; give another folder")


def report_entry(report: Any) -> dict[str, Any]:
    """A model's `report` as `load` reads it; nothing if it is none of ours."""
    name = type(report).__name__
    known = _REPORTS.get(name) is type(report)
    return {"report": {"result": name, "fields": asdict(report)}} if known else {}


def load(folder: str | os.PathLike[str], *, model: nn.Module | None = None) -> nn.Module:
    """Read a compressed model that `save` wrote.

    Args:
        folder: The folder.
        model: For modules of your own, one with dense layers or the same factors, of which a copy is filled;
            models of transformers are built from the folder.

    Returns:
        The model in evaluation mode, with the same numbers as the saved one, and its `report`, if it had one.

    Raises:
        UsageError: If the folder holds no compressed model, a damaged one, or one with code of its own.

    Example:
        >>> import torch
        >>> from bondwise.tn.compress import compress, load, save
        >>> model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
        >>> data = torch.randn(64, 32)
        >>> folder = save(compress(model, 0.5, data=data, seed=0), "small")
        >>> load(folder, model=model)(data).shape
        torch.Size([64, 10])
    """
    folder = Path(folder)
    config = config_in(folder, "bondwise.tn.compress.save")
    entry = config.get(_ENTRY)
    if not isinstance(entry, dict) or not isinstance(entry.get("layers"), dict):
        raise UsageError(
            f"{folder / _CONFIG} has no entry {_ENTRY!r}; give a folder that bondwise.tn.compress.save wrote"
        )
    if model is None:
        model = skeleton(model_class(config, folder, _INSTEAD), config, folder)
    else:
        model = copy.deepcopy(model)  # the caller's one may be the dense one, to compare with
    tensors = _read(folder)
    try:
        for name, layer in entry["layers"].items():
            if layer["format"] not in FORMATS:
                raise unknown_name(f"format of {name} in {folder}", str(layer["format"]), FORMATS)
            module = model.get_submodule(name)  # dense, or in factors from the start
            dense = Layer(name, module.__dict__.get("original", module))
            _require_kind(folder, dense, FORMATS[layer["format"]].kind)
            replace(model, name, FORMATS[layer["format"]].empty(dense, layer["rank"]))
        for one in entry.get("packed", ()):
            _put_empty(model, **one)
        missing, unexpected = model.load_state_dict(tensors, strict=False, assign=True)
        packed = {f"{name}.packed" for name, _ in packed_parameters(model)}  # shared as a whole
        for name, kept in entry.get("tied", {}).items():
            if name not in packed:
                _tie(model, name, kept)
        for name, dtype in entry.get("buffers", {}).items():
            _cast(model, name, dtype)
        report = _report(entry.get("report"))
    except (AttributeError, KeyError, TypeError, RuntimeError, ValueError) as error:
        said = f"its entry {_ENTRY!r} lacks {error}" if isinstance(error, KeyError) else one_line(error)
        raise UsageError(f"{folder} does not fit the model ({said})") from error
    wrong = [*unexpected, *sorted(set(missing) - set(entry.get("tied", {})))]
    if wrong:
        raise UsageError(f"{folder} does not fit the model: {wrong[0]!r} is missing or unexpected")
    if report is not None:
        model.report = report  # type: ignore[assignment]
    return model.eval()


def _require_kind(folder: Path, layer: Layer, kind: str) -> None:
    """Refuse factors for a layer of another kind."""
    if not is_dense(layer.module) or layer.kind != kind:
        raise UsageError(
            f"{folder} does not fit the model: it holds factors of a layer of the kind {kind} for "
            f"{layer.name}, which is {kind_of(layer.module)} in the model"
        )


def _unsaved(model: nn.Module) -> dict[str, str]:
    """The types of buffers that a model makes itself, as rotary frequencies, and that nothing is kept of."""
    return {
        f"{path}.{last}" if path else last: str(buffer.dtype).removeprefix("torch.")
        for path, module in model.named_modules()
        for last, buffer in module._buffers.items()
        if last in module._non_persistent_buffers_set and not isinstance(module, Packed)
        if buffer is not None and buffer.is_floating_point()
    }


def _cast(model: nn.Module, name: str, dtype: str) -> None:
    """Give a buffer the type that it had."""
    path, _, last = name.rpartition(".")
    module = model.get_submodule(path)
    module._buffers[last] = module.get_buffer(last).to(getattr(torch, dtype))


def _report(kept: Any) -> Result | None:
    """What a model's `report` was."""
    if kept is None:
        return None
    fields: dict[str, Any] = {
        name: tuple(one) if isinstance(one, list) else one for name, one in kept["fields"].items()
    }
    return _REPORTS[kept["result"]](**fields)


def _name(module: nn.Module) -> str:
    return next(name for name, kind in FORMATS.items() if plain_type(module) is kind)


def _packed(model: nn.Module) -> list[dict[str, Any]]:
    """The layout of each packed parameter, with all names that it goes by."""
    names: dict[Packed, list[str]] = {}
    for name, packed in packed_parameters(model):
        names.setdefault(packed, []).append(name)
    return [
        {"names": found, "dtype": str(packed.like.dtype).removeprefix("torch."), **packed.layout._asdict()}
        for packed, found in names.items()
    ]


def _put_empty(model: nn.Module, *, names: list[str], dtype: str, shape: list[int], **others: Any) -> None:
    """Have modules read a parameter from bytes that are yet to be loaded."""
    layout = Layout(shape=tuple(shape), **others)
    packed = Packed.empty(layout, getattr(torch, dtype))
    for name in names:
        put(model, name, packed)


def _tie(model: nn.Module, name: str, kept: str) -> None:
    """Have a module use the parameter that goes by another name."""
    (path, _, last), (source, _, origin) = name.rpartition("."), kept.rpartition(".")
    setattr(model.get_submodule(path), last, getattr(model.get_submodule(source), origin))


def _read(folder: Path) -> dict[str, Tensor]:
    """The tensors in a folder, from one file or from several."""
    tensors: dict[str, Tensor] = {}
    for shard in shards_of(folder):
        try:
            tensors |= load_file(folder / shard)
        except (SafetensorError, OSError) as error:
            raise UsageError(f"{folder / shard} is damaged ({one_line(error)})") from error
    return tensors
