"""Predictions of trained classifiers from their circuits, on simulators and devices.

A WindowQTN runs one short circuit per distinct window, as parameter sets of one template, and pools the
measured values. The other models run one dynamic circuit per protein; their affine readout is part of the
observable, so that the logit itself is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import cast

import numpy as np
import torch
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp

from bondwise.backends import Backend, BackendLike, Estimate, estimate, get_backend
from bondwise.qml.protein.classifiers.classifier import probabilities_of
from bondwise.qml.protein.classifiers.qtn import QTNClassifier, Readout
from bondwise.qml.protein.classifiers.training import batches
from bondwise.qml.protein.classifiers.window_qtn import PooledWindows, WindowQTN
from bondwise.qml.protein.hardware.export import memory_circuit, network_of, window_circuit
from bondwise.qml.protein.networks.windows import WindowNetwork
from bondwise.runs import Result, UsageError, progress_bar

_CHUNK = 5000  # parameter sets in a job
_BATCH = 64  # proteins that are pooled together


@dataclass(frozen=True, kw_only=True)
class HardwarePrediction(Result):
    """Predictions from circuits on a backend; `value` holds the logits.

    Attributes:
        value: Logits, float64: (N,) of the second class if there are two, else (N, C).
        std: Standard errors of the logits, to first order for a WindowQTN.
        probabilities: Class probabilities, float64 (N, C), ordered as by `predict_proba`.
        uncorrected: Logits of a WindowQTN without correction for the bias of sampled extremes; otherwise the
            logits.
        circuits: Number of circuits: distinct windows times filters for a WindowQTN, otherwise proteins.
        backend: Name of the backend.

    Example:
        >>> from bondwise.qml.protein import WindowQTN, predict_on_backend, synthetic_proteins
        >>> train = synthetic_proteins(20).select("train")
        >>> model = WindowQTN(epochs=1, start="angles").fit(train.sequences, train.labels)
        >>> found = predict_on_backend(model, ["MKTAYIAKQR"], shots=None)
        >>> found.logits.round(4).tolist() == model.decision_function(["MKTAYIAKQR"]).round(4).tolist()
        True
    """

    probabilities: np.ndarray
    uncorrected: np.ndarray
    circuits: int
    backend: str

    @property
    def logits(self) -> np.ndarray:
        """The same as `value`."""
        return self.value


def predict_on_backend(
    model: QTNClassifier,
    sequences: Sequence[str],
    *,
    backend: BackendLike = "statevector",
    shots: int | None = 1024,
    seed: int | None = None,
    progress: bool = False,
) -> HardwarePrediction:
    """Classify proteins by running circuits.

    Args:
        model: Fitted WindowQTN, LatchQTN, RecurrentQTN, PathQTN or TreeQTN without post-selection.
        sequences: Proteins in one-letter code.
        backend: Anything that `get_backend` accepts: a name, a `Backend`, or an estimator, such as one that
            mitigates errors. An estimator that folds circuits cannot run dynamic ones.
        shots: Number of shots per circuit; None for exact values if the backend has them. Exact values of
            dynamic circuits need a density matrix, which `"aer:density_matrix"` and noisy backends provide;
            `"aer:density_matrix"` is also the fastest way to sample dynamic circuits.
        seed: Random seed for sampling.
        progress: Whether to show a progress bar.

    Returns:
        Logits with their standard errors, and class probabilities.

    Raises:
        UsageError: If the model post-selects or has no circuit, a letter is outside the alphabet, a WindowQTN
            gets a single shot (pooling needs the spread of the shots), or the backend cannot run the
            circuits.

    Example:
        >>> from bondwise.qml.protein import RecurrentQTN, predict_on_backend, synthetic_proteins
        >>> train = synthetic_proteins(20).select("train")
        >>> model = RecurrentQTN(qubits=1, epochs=1).fit(train.sequences, train.labels)
        >>> found = predict_on_backend(model, ["MKTAYIAK"], backend="aer:density_matrix", shots=100, seed=0)
        >>> found.probabilities.shape, found.shots, found.circuits
        ((1, 2), 100, 1)
    """
    network = network_of(model)
    place = get_backend(backend)
    sentences = model.vocabulary.sentences(sequences)
    if not isinstance(network, PooledWindows):
        return _by_proteins(model, sequences, place, shots, seed, progress)
    if shots == 1:
        raise UsageError(
            "shots is 1, which does not show how shots scatter; give at least 2, preferably 256."
        )
    return _by_windows(cast(WindowQTN, model), network, sentences, place, shots, seed, progress)


def _by_proteins(
    model: QTNClassifier,
    sequences: Sequence[str],
    place: Backend,
    shots: int | None,
    seed: int | None,
    progress: bool,
) -> HardwarePrediction:
    if isinstance(place.estimator, StatevectorEstimator):
        raise UsageError("StatevectorEstimator follows one random outcome of each reset; use 'aer' instead.")
    results = []
    with progress_bar(len(sequences), "proteins", progress) as bar:
        for sequence, part_seed in zip(sequences, _seeds(seed, len(sequences)), strict=True):
            circuit = memory_circuit(model, sequence)
            observables = _observables(model.network_.readout, circuit.num_qubits)
            results.append(estimate(circuit, observables, shots=shots, backend=place, seed=part_seed))
            bar.update()
    outputs = len(model.network_.readout.bias)
    logits, std = (
        np.array([getattr(result, name) for result in results]).reshape(-1, outputs)
        for name in ("value", "std")
    )
    return _prediction(logits, logits, std, results, len(sequences), place, seed)


def _observables(readout: Readout, num_qubits: int) -> list[SparsePauliOp]:
    """Every logit as an observable; the first qubits are the memory."""
    weights, biases = (part.detach().double().tolist() for part in readout.affine())
    return [
        SparsePauliOp.from_sparse_list(
            [("", [], bias), *(("Z", [qubit], weight) for qubit, weight in enumerate(row))], num_qubits
        )
        for row, bias in zip(weights, biases, strict=True)
    ]


def _by_windows(
    model: WindowQTN,
    network: PooledWindows,
    sentences: list[np.ndarray],
    place: Backend,
    shots: int | None,
    seed: int | None,
    progress: bool,
) -> HardwarePrediction:
    first = cast(WindowNetwork, network.filters[0])
    cut = [first.cut(torch.from_numpy(sentence)[None])[0].numpy() for sentence in sentences]
    empty = np.empty((0, model.window), dtype=np.int64)
    windows, numbers = np.unique(np.concatenate([empty, *cut]), axis=0, return_inverse=True)
    values, covariances, results = _measured(model, windows, place, shots, seed, progress)
    ends = np.cumsum([0, *map(len, cut)])
    own = [numbers[begin:end] for begin, end in zip(ends, ends[1:], strict=False)]
    outputs = len(network.bias)
    logits, uncorrected, errors = (np.empty((len(own), outputs)) for _ in range(3))
    for which in batches([len(n) for n in own], _BATCH, shuffle=False) if own else ():
        pooled = _pooled(network, [own[i] for i in which], values, covariances)
        logits[which], uncorrected[which], errors[which] = pooled
    return _prediction(logits, uncorrected, errors, results, len(windows) * len(network.filters), place, seed)


def _measured(
    model: WindowQTN, windows: np.ndarray, place: Backend, shots: int | None, seed: int | None, progress: bool
) -> tuple[np.ndarray, np.ndarray, list[Estimate]]:
    """⟨Z⟩ and ⟨ZZ⟩ of distinct windows by filter, float64 (K, F, O), and their covariances (K, F, O, O)."""
    supports = [s for size in range(1, model.qubits + 1) for s in combinations(range(model.qubits), size)]
    observables = [
        SparsePauliOp.from_sparse_list([("Z" * len(support), support, 1.0)], model.qubits)
        for support in supports
    ]
    values, std = (np.empty((len(windows), model.filters, len(supports))) for _ in range(2))
    lengths = (windows >= 0).sum(1)
    jobs = []
    for filter in range(model.filters):
        for length in np.unique(lengths).tolist():  # a protein shorter than a window has a circuit of its own
            template = window_circuit(model, filter=filter, length=length)
            which = np.flatnonzero(lengths == length)
            jobs += [(filter, template, which[i : i + _CHUNK]) for i in range(0, len(which), _CHUNK)]
    results = []
    with progress_bar(len(windows) * model.filters, "windows", progress) as bar:
        for (filter, template, which), part_seed in zip(jobs, _seeds(seed, len(jobs)), strict=True):
            angles = template.angles(windows[which, : template.length])
            result = estimate(
                template.circuit, observables, angles, shots=shots, backend=place, seed=part_seed
            )
            values[which, filter], std[which, filter] = result.value, result.std
            results.append(result)
            bar.update(len(which))
    covariances = _covariances(values, std, supports, model.network_.filters[0].num_values)
    return values[..., : covariances.shape[-1]], covariances, results


def _covariances(
    values: np.ndarray, std: np.ndarray, supports: list[tuple[int, ...]], count: int
) -> np.ndarray:
    """Covariances of the means of the first `count` products of Z, float64 (..., count, count).

    The means come from the same shots. The product of two products of Z is again a product of Z, whose mean
    gives the correlation; products longer than ZZ are measured for this purpose only.
    """
    number = {frozenset(support): index for index, support in enumerate(supports)}
    means, std = values[..., :count], std[..., :count]
    joint = np.ones((*means.shape, count))
    for a, b in combinations(range(count), 2):
        together = number[frozenset(supports[a]) ^ frozenset(supports[b])]
        joint[..., a, b] = joint[..., b, a] = values[..., together]
    joint -= means[..., :, None] * means[..., None, :]
    spread = np.sqrt(np.clip(np.diagonal(joint, axis1=-2, axis2=-1), 1e-12, None))
    correlation = np.clip(joint / (spread[..., :, None] * spread[..., None, :]), -1, 1)
    correlation[..., np.arange(count), np.arange(count)] = 1
    return correlation * std[..., :, None] * std[..., None, :]


def _pooled(
    network: PooledWindows, own: list[np.ndarray], values: np.ndarray, covariances: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, uncorrected logits and standard errors (B, C) of proteins with these windows."""
    table, distinct, place = torch.zeros(3, len(own), max(map(len, own)), dtype=torch.int64)
    present = torch.zeros_like(table, dtype=torch.bool)
    for row, numbers in enumerate(own):
        once, back = np.unique(numbers, return_inverse=True)
        table[row, : len(numbers)] = torch.from_numpy(numbers)
        distinct[row, : len(once)], place[row, : len(numbers)] = (
            torch.from_numpy(once),
            torch.from_numpy(back),
        )
        present[row, : len(numbers)] = True
    filters, count = values.shape[1:]
    measured = torch.from_numpy(values).to(network.bias).flatten(1)[table].requires_grad_()
    covariance = torch.from_numpy(covariances).to(network.bias)
    variance = covariance[table].diagonal(dim1=-2, dim2=-1).flatten(2)
    logits = network.logits(measured, present, variance).reshape(len(own), -1)
    errors = []
    for column in logits.T:
        (slopes,) = torch.autograd.grad(column.sum(), measured, retain_graph=True)
        # a repeated window was measured once, so its slopes add before they are squared
        index = place[..., None].expand_as(slopes)
        slopes = torch.zeros_like(slopes).scatter_add(1, index, slopes).unflatten(2, (filters, count))
        squares = torch.einsum("bwfo,bwfop,bwfp->b", slopes, covariance[distinct], slopes)
        errors.append(squares.clamp(min=0).sqrt())
    uncorrected = network.logits(measured, present).reshape(len(own), -1)
    parts = (logits, uncorrected, torch.stack(errors, dim=1))
    found, plain, std = (part.detach().double().numpy() for part in parts)
    return found, plain, std


def _prediction(
    logits: np.ndarray,
    uncorrected: np.ndarray,
    std: np.ndarray,
    results: list[Estimate],
    circuits: int,
    place: Backend,
    seed: int | None,
) -> HardwarePrediction:
    """The result from arrays (N, outputs), with one column for two classes."""
    if logits.shape[1] == 1:
        logits, uncorrected, std = logits[:, 0], uncorrected[:, 0], std[:, 0]
    return HardwarePrediction(
        value=logits,
        std=std,
        shots=sum(result.shots for result in results),
        seed=seed,
        job_ids=tuple(job for result in results for job in result.job_ids),
        probabilities=probabilities_of(logits),
        uncorrected=uncorrected,
        circuits=circuits,
        backend=place.name,
    )


def _seeds(seed: int | None, count: int) -> list[int | None]:
    """One seed per job."""
    return [None] * count if seed is None else np.random.SeedSequence(seed).generate_state(count).tolist()
