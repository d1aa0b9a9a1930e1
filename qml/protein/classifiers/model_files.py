"""Reading and checking of the `model.json` and `weights.safetensors` of a saved classifier."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load

from bondwise.qml.protein.data.labels import training_labels
from bondwise.qml.training.epochs import History
from bondwise.runs import UsageError, kind_of, one_line, read_bytes, read_json

MODEL, WEIGHTS = "model.json", "weights.safetensors"
_FORMAT = "bondwise protein classifier 1"


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """Content of `model.json`.

    Attributes:
        kind: Name of the class.
        settings: Arguments of its constructor.
        classes: Labels in sorted order.
        num_parameters: Number of trained parameters.
        history: History of the training.
        checksum: SHA-256 of the weights file, as hexadecimal digits.
    """

    kind: str
    settings: dict[str, Any]
    classes: list[Any]
    num_parameters: int
    history: History
    checksum: str

    def to_json(self) -> str:
        """The text of the file."""
        document = {
            "format": _FORMAT,
            "class": self.kind,
            "settings": self.settings,
            "classes": self.classes,
            "num_parameters": self.num_parameters,
            "history": asdict(self.history),
            "weights": self.checksum,
        }
        return json.dumps(document, indent=1) + "\n"


def read_model(folder: Path) -> ModelFile:
    """Read `model.json`.

    Raises:
        UsageError: If the file does not exist, is damaged, or is longer than `BONDWISE_MAX_TEXT_BYTES`.
    """
    path = folder / MODEL
    if not path.is_file():
        raise UsageError(f"there is no {MODEL} in {folder}; give a folder that holds a model.")
    document = read_json(path)
    try:
        if document["format"] != _FORMAT:
            raise ValueError(f"format {str(document['format'])[:40]!r}")
        found = ModelFile(
            kind=_of(str, document, "class"),
            settings=_of(dict, document, "settings"),
            classes=_of(list, document, "classes"),
            num_parameters=_of(int, document, "num_parameters"),
            history=History.from_file(_of(dict, document, "history")),
            checksum=_of(str, document, "weights"),
        )
        _check(found)
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is damaged ({one_line(repr(error), 200)}); train the model again."
        ) from None
    return found


def _of(kind: type, document: dict[str, Any], key: str) -> Any:
    value = document[key]
    if not isinstance(value, kind):
        raise TypeError(f"{key} is {kind_of(value)}")
    return value


def _check(found: ModelFile) -> None:
    """Raise a ValueError or a TypeError unless classes and history could result from a training."""
    classes, _ = training_labels(found.classes, found.classes)  # a UsageError is a ValueError
    if classes.tolist() != found.classes:
        raise ValueError("classes are not sorted, or one is repeated")
    for field in fields(History):
        values = getattr(found.history, field.name)
        numbers = [values] if field.name == "best" else values
        if not isinstance(numbers, list) or not all(type(number) in (int, float) for number in numbers):
            raise TypeError(f"{field.name} of the history must be numbers")
    if type(found.history.best) is not int:
        raise TypeError("best of the history must be a whole number")


def read_weights(folder: Path, network: torch.nn.Module, checksum: str) -> dict[str, torch.Tensor]:
    """Read `weights.safetensors`.

    Args:
        folder: Folder of the model.
        network: Network with the expected names, shapes and dtypes; it may be on torch's meta device.
        checksum: Expected checksum.

    Raises:
        UsageError: If the file does not exist, is damaged or larger than `BONDWISE_MAX_ARRAY_BYTES`, is for
            another network, has another checksum, or holds a weight that is not finite.
    """
    path = folder / WEIGHTS
    content = read_bytes(path, "array_bytes")
    try:
        weights = load(content)
    except (SafetensorError, RuntimeError, ValueError, KeyError) as error:
        raise UsageError(f"{path} is damaged ({one_line(error, 200)}); train the model again.") from None
    expected = network.state_dict()
    wrong = [
        f"{key} is {tuple(weights[key].shape) if key in weights else 'missing'}, not {tuple(own.shape)}"
        for key, own in expected.items()
        if key not in weights or weights[key].shape != own.shape
    ]
    wrong += [f"{key[:40]!r} is not one of its weights" for key in weights if key not in expected]
    wrong += [
        f"{key} is {weights[key].dtype}, not {own.dtype}"
        for key, own in expected.items()
        if key in weights and weights[key].dtype != own.dtype
    ]
    if wrong:
        raise UsageError(f"the weights in {folder} are for another alphabet or other settings: {wrong[0]}.")
    if hashlib.sha256(content).hexdigest() != checksum:
        raise UsageError(f"{path} is not the file that {MODEL} describes; train the model again.")
    for key, value in weights.items():
        if not np.isfinite(value.numpy()).all():
            raise UsageError(f"{path}: {key} is not finite; train the model again.")
    return weights
