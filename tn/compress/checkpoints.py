"""Models of transformers in folders, as `save_pretrained` writes them; no code of a folder is run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import transformers
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from bondwise.runs import UsageError, one_line, read_json

CONFIG, TENSORS, ENTRY = "config.json", "model.safetensors", "bondwise"
INSTEAD = "load the model yourself and give it in place of the folder"
_TOKENIZER = (  # and what says how to generate text
    *("*token*.json", "vocab.*", "merges.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model"),
    *("chat_template.*", "generation_config.json"),
)
_INDEX = "model.safetensors.index.json"


def load_checkpoint(folder: str | os.PathLike[str]) -> PreTrainedModel:
    """The model in a folder, in evaluation mode and in the dtype that it was saved in.

    Raises:
        UsageError: If there is none, if a shard is missing or damaged, or if the model needs code of its own.
    """
    folder = Path(folder)
    config = read_config(folder)
    kind = model_class(config, folder, INSTEAD)
    shards_of(folder)
    verbosity, bars = transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        loaded: Any = kind.from_pretrained(
            folder, dtype="auto", use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except Exception as error:  # transformers raises all kinds
        raise UsageError(f"{folder} cannot be loaded ({one_line(error)})") from error
    finally:
        transformers.logging.set_verbosity(verbosity)
        if bars:
            transformers.logging.enable_progress_bar()
    model, info = loaded
    wrong = sorted(info["missing_keys"]) or sorted(map(str, info["mismatched_keys"]))
    if wrong:
        raise UsageError(f"{folder} does not fit its {CONFIG}: {wrong[0]} is missing or of another shape")
    return cast(PreTrainedModel, model.eval())


def tokenizer_files(folder: Path) -> dict[str, bytes]:
    """The files that make text of a model's tokens, for another folder."""
    paths = {path for pattern in _TOKENIZER for path in folder.glob(pattern) if path.is_file()}
    return {path.name: path.read_bytes() for path in sorted(paths)}


def config_in(folder: Path, writer: str) -> dict[str, Any]:
    """The content of `config.json` in a folder that some function wrote.

    Raises:
        UsageError: If there is none.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; give one that {writer} wrote")
    if not (folder / CONFIG).is_file():
        raise UsageError(f"{folder} has no {CONFIG}; give a folder that {writer} wrote")
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict):
        raise UsageError(f"{folder / CONFIG} holds no configuration; give a folder that {writer} wrote")
    return config


def read_config(folder: Path) -> dict[str, Any]:
    """What `config.json` says.

    Raises:
        UsageError: If there is none, or it is of a model that cannot be compressed.
    """
    config = config_in(folder, "save_pretrained")
    if ENTRY in config:
        raise UsageError(f"{folder} is compressed already; read it with bondwise.tn.compress.load")
    if config.get("quantization_config"):
        raise UsageError(f"{folder} is quantized; give the model from before, in float32 or bfloat16")
    return config


def model_class(config: dict[str, Any], folder: Path, instead: str) -> type[PreTrainedModel]:
    """The class of transformers that a configuration names.

    Args:
        config: The configuration.
        folder: The folder that it is from.
        instead: What the caller may do if the class is not known.

    Raises:
        UsageError: If there is none, or the folder has code of its own.
    """
    if "auto_map" in config:
        raise UsageError(f"{folder} needs code of its own (auto_map), which is not run; {instead}")
    names = config.get("architectures") or [None]
    kind = getattr(transformers, str(names[0]), None)
    if not (isinstance(kind, type) and issubclass(kind, PreTrainedModel)):
        if names[0] is None and "model_type" in config:
            usual = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(str(config["model_type"]), "LlamaForCausalLM")
            raise UsageError(
                f"{folder / CONFIG} does not say of which class the model is; add it, such as "
                f'"architectures": ["{usual}"], or {instead}'
            )
        named = "" if names[0] is None else f" ({names[0]!r})"
        raise UsageError(f"{folder / CONFIG} names no model of transformers{named}; {instead}")
    return kind


def shards_of(folder: Path) -> dict[str, list[str]]:
    """The safetensors files of a model, each with the names of its tensors.

    Raises:
        UsageError: If one is missing or damaged.
    """
    if (folder / TENSORS).is_file() or not (folder / _INDEX).is_file():
        if not (folder / TENSORS).is_file():
            raise UsageError(f"{folder} has neither {TENSORS} nor {_INDEX}; write the model again")
        return {TENSORS: _names(folder / TENSORS)}
    index = read_json(folder / _INDEX)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not all(isinstance(place, str) for place in places.values()):
        raise UsageError(f"{folder / _INDEX} does not say where tensors are; download it again")
    shards = {place: _names(folder / place) for place in sorted(set(places.values()))}
    for name, place in places.items():
        if name not in shards[place]:
            raise UsageError(
                f"{folder / place} lacks {name}, which {_INDEX} says is in it; download it again"
            )
    return shards


def _names(path: Path) -> list[str]:
    if not path.is_file():
        raise UsageError(f"{path.parent} lacks the shard {path.name}; download it again")
    try:
        with safe_open(path, framework="pt") as file:
            return list(file.keys())
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{path} is damaged ({one_line(error)}); download it again") from error
