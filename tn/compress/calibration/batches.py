"""What calibration data may be, what a model answers to it, and how far two answers are apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from bondwise.runs import RunError, UsageError, one_line, unknown_name

Batch: TypeAlias = Any  # a tensor, a tuple (inputs, labels), or a mapping of a model's arguments
OUTPUTS = {"logits": "probabilities (KL)", "values": "values (squared distance)"}
_VALUED = ("regression", "multi_label_classification")  # no distribution over the last axis
_HELD_OUT = 16  # every 16th batch is not fitted to
_MASKS = ("attention_mask", "decoder_attention_mask")
REMEDY = "load the model in float32 or bfloat16, and check the data"
_ACCEPTED = (
    "give a tensor of token ids (sequences, length) or of samples (samples, …), a dict of the model's "
    "arguments as tensors (return_tensors='pt' of a tokenizer), or an iterable of batches, each such a "
    "tensor or dict, or a tuple (inputs, labels)"
)


class Answer(NamedTuple):
    """What a model returns for a batch.

    Logits stand for a distribution over K classes or tokens, values for normal ones of variance 1: the
    difference of two answers is the divergence of these.

    Attributes:
        rows: Shape (N, K).
        logits: Whether they are logits.
        unit: What a row is of, and a mean over the rows therefore per: `token`, `point` or `sample`.
    """

    rows: Tensor
    logits: bool
    unit: str = "sample"

    @property
    def outputs(self) -> str:
        """`logits` or `values`."""
        return "logits" if self.logits else "values"


class _Told(NamedTuple):
    """A batch with how the answers to it are compared, whatever they look like."""

    batch: Batch
    outputs: str


def read_outputs(outputs: Any, model: Any = None) -> str | None:
    """How answers are to be compared; None leaves it to what they look like.

    Args:
        outputs: What the caller said.
        model: The model, whose report says how they were compared before, if the caller says nothing.

    Raises:
        UsageError: If it is no known way.
    """
    if outputs is None:
        before = getattr(getattr(model, "report", None), "outputs", None)
        return before if isinstance(before, str) and before in OUTPUTS else None
    if str(outputs) not in OUTPUTS:
        raise unknown_name("outputs", str(outputs), OUTPUTS)
    return str(outputs)


def compared(outputs: str | None, unit: str | None) -> str:
    """The end of a sentence that says how outputs were compared, if that is known."""
    return "" if outputs is None else f", outputs compared as {described(outputs, unit)}"


def described(outputs: str, unit: str | None) -> str:
    """What a divergence is in words, and what it is per, if that is known."""
    return OUTPUTS[outputs] + ("" if unit is None else f", mean per {unit}")


def compared_as(model: nn.Module, batch: Batch) -> tuple[str, str]:
    """How the answers of a model are compared, `logits` or `values`, and what their divergence is per."""
    with torch.no_grad():
        found = answer(model, batch)
    return found.outputs, found.unit


def batches_of(data: Any, size: int, outputs: str | None = None) -> list[Batch]:
    """Data as batches in order; a tensor, or those in a dict, are cut into batches of at most `size` samples.

    Samples that are nothing but padding are left out.

    Args:
        data: The data.
        size: Samples in a batch.
        outputs: As `read_outputs` gives it.

    Raises:
        UsageError: If the data is empty, nothing but padding, or of another kind.
    """
    if isinstance(data, np.ndarray):
        data = torch.from_numpy(data)
    given: list[Batch] = [data]
    if isinstance(data, Tensor):
        if data.ndim < 2:
            raise UsageError(f"data is a tensor of shape {tuple(data.shape)}; {_ACCEPTED}")
        found: list[Batch] = list(data.split(size))
    elif isinstance(data, Mapping):
        found = [selected(data, part) for part in counting(data).split(size)]
    elif isinstance(data, tuple) and len(data) == 2 and all(isinstance(part, Tensor) for part in data):
        raise UsageError(
            "data is a tuple of two tensors, which could be inputs and labels or two batches; give "
            "[(inputs, labels)] or [first, second]"
        )
    elif isinstance(data, str | bytes) or not hasattr(data, "__iter__"):
        raise UsageError(f"data is a {type(data).__name__}; {_ACCEPTED}")
    else:
        given = list(data)
        kept = map(counting, given)
        found = [
            one if len(index) == len(inputs_of(one)) else selected(one, index)
            for one, index in zip(given, kept, strict=True)
        ]
    found = [batch for batch in found if len(inputs_of(batch))]
    if not found:
        masks = [name for name in _MASKS if any(name in one for one in given if isinstance(one, Mapping))]
        if masks and any(len(inputs_of(one)) for one in given):
            raise UsageError(
                f"all of the data are padding: {' or '.join(masks)} is zero for every token; give 1 for "
                "tokens that count"
            )
        raise UsageError(f"data is empty; {_ACCEPTED}")
    return found if outputs is None else [_Told(batch, outputs) for batch in found]


def given_in(batch: Batch) -> Batch:
    """A batch as the caller gave it."""
    return batch.batch if isinstance(batch, _Told) else batch


def selected(batch: Batch, index: Tensor) -> Batch:
    """Some samples of a batch; what does not have one row per sample stays as it is."""
    if isinstance(batch, _Told):
        return batch._replace(batch=selected(batch.batch, index))
    samples = len(inputs_of(batch))

    def chosen(value: Any) -> Any:
        whole = not isinstance(value, Tensor) or not value.ndim or len(value) != samples
        return value if whole else value[index.to(value.device)]

    if isinstance(batch, Mapping):
        return {name: chosen(value) for name, value in batch.items()}
    return tuple(map(chosen, batch)) if isinstance(batch, tuple | list) else chosen(batch)


def counting(batch: Batch) -> Tensor:
    """Indices of the samples of a batch that are not all padding."""
    counts = torch.ones(len(inputs_of(batch)), dtype=torch.bool)
    batch = given_in(batch)
    for name in _MASKS if isinstance(batch, Mapping) else ():
        mask = batch.get(name)
        if isinstance(mask, Tensor) and mask.ndim == 2 and len(mask) == len(counts):
            counts &= mask.bool().any(1).cpu()
    return counts.nonzero()[:, 0]


def shapes_of(batch: Batch) -> tuple[tuple[int, ...], ...]:
    """The shapes of all tensors in a batch."""
    batch = given_in(batch)
    parts = [*batch.values()] if isinstance(batch, Mapping) else batch
    parts = [parts] if isinstance(parts, Tensor) else parts
    return tuple(tuple(part.shape) for part in parts if isinstance(part, Tensor))


def parts_of(batches: list[Batch]) -> tuple[list[Batch], list[Batch]]:
    """Batches to fit to, and others to measure the divergence on; the same if there is only one."""
    fitted_to = [batch for index, batch in enumerate(batches) if index % _HELD_OUT]
    return fitted_to or batches, batches[::_HELD_OUT]


def inputs_of(batch: Batch) -> Tensor:
    """The tensor of a batch that has one row per sample."""
    batch = given_in(batch)
    if isinstance(batch, Mapping):
        batch = batch.get("input_ids", next(iter(batch.values()), None))
    elif isinstance(batch, tuple | list) and batch:
        batch = batch[0]
    if not isinstance(batch, Tensor):
        raise UsageError(f"data holds a {type(batch).__name__}; {_ACCEPTED}")
    if batch.is_meta:
        raise UsageError("data is on the meta device and holds no numbers; give real samples")
    return batch


def answer(model: nn.Module, batch: Batch) -> Answer:
    """Run a model on a batch, on the device of its parameters.

    This is the one place where it is decided whether an answer is logits or values. If the caller said it,
    it is so. An output of transformers with `logits` is, unless its config has a `problem_type` of regression
    or of several labels, and one with `last_hidden_state` is not. A plain tensor is what its labels are
    for: logits for integers, values for floating-point numbers. Without labels it is logits if it has two
    axes, or if the inputs are token ids. A single class is a value.

    Each token that is not padding has a row of its own, whether its answer is logits or values, and so has
    each point of logits. Other values have one row for each sample.

    Raises:
        UsageError: If the model cannot be run on the batch, or returns neither a tensor nor an output of
            transformers.
    """
    told = batch.outputs if isinstance(batch, _Told) else None
    batch = given_in(batch)
    device = next(chain(model.parameters(), model.buffers())).device
    inputs = inputs_of(batch).to(device)
    if inputs.dtype in (torch.uint8, torch.int8, torch.int16, torch.int32):
        inputs = inputs.long()  # token ids, as embeddings take them
    if not inputs.is_floating_point():
        _require_known(inputs, model)
    mask: Any = None
    labels: Any = None
    if isinstance(batch, Mapping):
        given = {
            name: value.to(device) if isinstance(value, Tensor) else value
            for name, value in batch.items()
            if name != "labels"
        }
        with _explained(model, given):
            output = model(**given)
        decodes = getattr(output, "encoder_last_hidden_state", None) is not None
        mask = given.get("decoder_attention_mask" if decodes else "attention_mask")
    else:
        with _explained(model, {"": inputs_of(batch)}):
            output = model(inputs)
        labels = batch[1] if isinstance(batch, tuple | list) and len(batch) > 1 else None
    found = getattr(output, "logits", getattr(output, "last_hidden_state", output))
    if not isinstance(found, Tensor):
        raise UsageError(
            f"the model returns a {type(found).__name__}; a tensor, or an output of transformers with logits "
            "or last_hidden_state, is needed"
        )
    if told is not None:
        logits = told == "logits"
    elif hasattr(output, "logits"):
        logits = getattr(getattr(model, "config", None), "problem_type", None) not in _VALUED
    elif isinstance(labels, Tensor):
        logits = not labels.is_floating_point()
    else:
        logits = output is found and (found.ndim == 2 or not inputs.is_floating_point())
    if logits and _classes_second(found, labels, inputs):
        found = found.movedim(1, -1)
    by_token = _by_token(found, output, inputs, mask)
    if by_token:
        known = mask is not None and mask.shape == found.shape[:2]
        found = found[mask.bool()] if known else found.flatten(0, 1)  # padding says nothing
    several = found.ndim > 1 and found.shape[-1] > 1  # one class has nothing to be distributed over
    if told == "logits" and not several:
        raise UsageError(
            f"outputs='logits', but the model returns a tensor of shape {tuple(found.shape)}, which has no "
            "axis of two classes or more; write outputs='values'"
        )
    logits = logits and several
    unit = "token" if by_token else "point" if logits and found.ndim > 2 else "sample"
    found = found.reshape(-1, found.shape[-1]) if logits else found.reshape(len(found), -1)
    return Answer(found.float(), logits, unit)


def _by_token(found: Tensor, output: Any, inputs: Tensor, mask: Any) -> bool:
    """Whether the first two axes of an answer are those of sequences of tokens."""
    if mask is not None and mask.shape == found.shape[:2]:
        return found is output or found.ndim > 2  # transformers' logits of two axes are of whole sequences
    if found is not output:
        return found.ndim == 3  # of four axes they are images, as ResNet's
    return found.ndim > 2 and not inputs.is_floating_point() and inputs.shape == found.shape[:2]


@contextmanager
def _explained(model: nn.Module, given: Mapping[str, Any]) -> Iterator[None]:
    """Turn what a model says about data that it cannot take into one line that names their shape and type."""
    try:
        yield
    except (UsageError, RunError, torch.OutOfMemoryError):
        raise
    except (
        RuntimeError,
        TypeError,
        ValueError,
        IndexError,
        AttributeError,
        KeyError,
        AssertionError,
    ) as error:
        described = ", ".join(
            f"{name} of shape {tuple(value.shape)} and type {value.dtype}".replace("torch.", "").strip()
            for name, value in given.items()
            if isinstance(value, Tensor)
        )
        said = one_line(error)
        if isinstance(error, KeyError | IndexError | AttributeError | AssertionError):
            said = f"{type(error).__name__}: {said}" if str(error) else type(error).__name__
        types = {one.dtype for one in given.values() if isinstance(one, Tensor)}
        known = next((one.dtype for one in model.parameters() if one.is_floating_point()), None)
        remedy = "check the shape and the type of the data"
        if torch.uint8 in types:
            remedy = (
                "integers are token ids; give images as floating-point numbers, such as data.float() / 255"
            )
        elif known is not None and torch.float64 in types - {known}:
            to = "float()" if known is torch.float32 else f"to({known})"
            remedy = f"the model is of type {str(known).removeprefix('torch.')}: give data.{to}"
        raise UsageError(
            f"the model cannot be run on data {described}: {_complaining(model, error)}{said}; {remedy}"
        ) from error


def _complaining(model: nn.Module, error: BaseException) -> str:
    """The innermost module of a model that an error comes from, to be put before its message."""
    names = {id(module): name for name, module in model.named_modules() if name}
    found, trace = "", error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_locals.get("self")
        if id(module) in names:
            found = f"{names[id(module)]} ({type(module).__name__}) says "
        trace = trace.tb_next
    return found


def _classes_second(found: Tensor, labels: Any, inputs: Tensor) -> bool:
    """Whether the second axis of logits is that of the classes, as for every point of an image."""
    if isinstance(labels, Tensor):
        return labels.shape != found.shape[:-1] and labels.shape[1:] == found.shape[2:]
    return found.ndim > 3 and inputs.is_floating_point()


def require_finite(wanted: Answer) -> None:
    """Refuse answers of the dense model that are not finite.

    Raises:
        UsageError: If they are not.
    """
    if not torch.isfinite(wanted.rows).all():
        raise UsageError(f"the dense model's answers to the data are not finite; {REMEDY}")


def divergence(found: Answer, wanted: Answer) -> Tensor:
    """Mean over the rows of the Kullback-Leibler divergence from what is wanted, in nats.

    Half the squared distance of values.

    Raises:
        UsageError: If the answers are of different shapes, or what is wanted is not finite.
    """
    require_finite(wanted)
    if found.rows.shape != wanted.rows.shape:
        raise UsageError(
            f"the compressed model answers {tuple(found.rows.shape)} numbers and the dense one "
            f"{tuple(wanted.rows.shape)}; give the model that was compressed as the dense one"
        )
    if not found.logits:
        return 0.5 * (found.rows - wanted.rows).square().sum(-1).mean()
    target = wanted.rows.log_softmax(-1)
    mean = nn.functional.kl_div(found.rows.log_softmax(-1), target, log_target=True, reduction="batchmean")
    return mean.clamp_min(0)  # rounding may take it below


def _require_known(tokens: Tensor, model: nn.Module) -> None:
    embedding = model.get_input_embeddings() if isinstance(model, PreTrainedModel) else None
    size = getattr(embedding, "num_embeddings", None)
    if size is not None and tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < size:
        wrong = int(tokens.max()) if int(tokens.max()) >= size else int(tokens.min())
        raise UsageError(
            f"data holds the token {wrong}, but the model knows 0 to {size - 1}; use the model's tokenizer"
        )


@torch.no_grad()
def mean_divergence(run: Callable[[int], Answer], wanted: Sequence[Answer]) -> float:
    """Mean over the rows of all batches; `run` gives the answer to the batch with an index."""
    losses = [float(divergence(run(index), one)) * len(one.rows) for index, one in enumerate(wanted)]
    return sum(losses) / sum(len(one.rows) for one in wanted)


@torch.no_grad()
def sample_losses(found: Answer, wanted: Answer, batch: Batch) -> Tensor:
    """The divergence of each sample of a batch, the mean over its rows, such as the tokens of a sequence.

    Where padding hides which rows are of one sample, it is that of the batch.
    """
    if wanted.logits:
        target = wanted.rows.log_softmax(-1)
        lost = (target.exp() * (target - found.rows.log_softmax(-1))).sum(-1)
    else:
        lost = 0.5 * (found.rows - wanted.rows).square().sum(-1)
    samples = len(inputs_of(batch))
    return (lost.view(samples, -1).mean(1) if len(lost) % samples == 0 else lost.mean()[None]).cpu()


def score(given: Answer, generator: torch.Generator) -> Tensor:
    """A sum whose gradient has, over random draws, the curvature of the divergence as its covariance.

    The labels are drawn from the model itself, so that none are needed (Fisher information, not the
    empirical one: Kunstner, Balles, Hennig, arXiv:1905.12558).
    """
    rows = given.rows
    if not given.logits:
        return (rows * torch.randn(rows.shape, generator=generator).to(rows.device)).sum()
    with torch.no_grad():
        drawn = torch.multinomial(rows.softmax(-1).cpu(), 1, generator=generator).squeeze(-1)
    return nn.functional.cross_entropy(rows, drawn.to(rows.device), reduction="sum")
