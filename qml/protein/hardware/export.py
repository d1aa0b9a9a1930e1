"""Trained classifiers as Qiskit circuits: a dynamic one for a whole protein, a short one for a window.

A dynamic circuit resets a qubit as soon as its state is no longer needed and uses it again, as in
arXiv:2210.08039, so that its width does not grow with the protein: a traced-out wire is a reset. Wire i of a
box is the i-th qubit that it acts on. Angles are in radians, and rotations are exp(−iθP/2) as in Qiskit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit import ParameterVector

from bondwise.qml.protein.boxes.ansatz import Gate
from bondwise.qml.protein.classifiers.qtn import QTNClassifier
from bondwise.qml.protein.classifiers.window_qtn import PooledWindows, WindowQTN
from bondwise.qml.protein.data.labels import check_fitted
from bondwise.qml.protein.networks.latch import Latch
from bondwise.qml.protein.networks.merging import Merging
from bondwise.qml.protein.networks.path import PathNetwork
from bondwise.qml.protein.networks.windows import WindowNetwork
from bondwise.runs import UsageError, kind_of, whole_number


def append_gates(
    circuit: QuantumCircuit, gates: Sequence[Gate], qubits: Sequence[int], angles: Sequence[Any]
) -> None:
    """Append the gates of a box to a circuit.

    Args:
        circuit: Circuit to extend.
        gates: Gates of the box, from `Ansatz.gates`.
        qubits: Qubit of each wire.
        angles: Numbers or Qiskit parameters in radians, one per angle of the box.
    """
    for gate in gates:
        angle = () if gate.parameter is None else (angles[gate.parameter],)
        getattr(circuit, gate.name.lower())(*angle, *(qubits[wire] for wire in gate.wires))


def dynamic_circuit(model: QTNClassifier, sequence: str) -> QuantumCircuit:
    """The circuit of a whole protein; its qubits are reset and used again.

    Args:
        model: Fitted PathQTN, TreeQTN, RecurrentQTN, LatchQTN or WindowQTN.
        sequence: A protein of any length.

    Returns:
        A circuit with numbers for angles, resets in the middle, and no branches. The memory is measured into
        a register `memory`, wire i into bit i. A WindowQTN has no memory; the n qubits of its W windows are
        measured into a register `windows`, wire i of window w by filter f into bit (f W + w) n + i.

    Raises:
        UsageError: If the model post-selects, which no shot of a long protein survives; it is not a quantum
            tensor network; or a letter is outside the alphabet.

    Example:
        >>> from bondwise.qml.protein import RecurrentQTN, dynamic_circuit, synthetic_proteins
        >>> train = synthetic_proteins(20).select("train")
        >>> model = RecurrentQTN(qubits=1, epochs=1).fit(train.sequences, train.labels)
        >>> circuit = dynamic_circuit(model, "MKTAYIAK")
        >>> circuit.num_qubits, circuit.count_ops()["reset"]
        (2, 7)
    """
    network = network_of(model)
    if isinstance(network, PooledWindows):
        return _windows_circuit(network, model.vocabulary.tokenize(sequence))
    circuit = memory_circuit(model, sequence)
    bits = ClassicalRegister(network.core.qubits, "memory")
    circuit.add_register(bits)
    circuit.measure(range(len(bits)), bits)
    return circuit


def memory_circuit(model: QTNClassifier, sequence: str) -> QuantumCircuit:
    """The circuit of `dynamic_circuit` without measurements; the first qubits are the memory."""
    core = network_of(model).core
    if not model.legal_on_hardware:
        log10 = float(model.log10_postselection([sequence])[0])
        raise UsageError(
            f"this {type(model).__name__} post-selects: log10 of the probability that a shot of this protein "
            f"counts is {log10:.1f}; train it with discard=True."
        )
    tokens = model.vocabulary.tokenize(sequence)
    if isinstance(core, Latch):
        return _latch_circuit(core, tokens)
    return _tree_circuit(core, tokens) if isinstance(core, Merging) else _path_circuit(core, tokens)


def network_of(model: Any) -> Any:
    """The trained network of a quantum tensor network classifier.

    Raises:
        UsageError: If the model is not a quantum tensor network classifier.
    """
    if not isinstance(model, QTNClassifier):
        raise UsageError(f"{kind_of(model)} has no circuit; give a quantum tensor network such as WindowQTN.")
    check_fitted(model)
    return model.network_


@dataclass(frozen=True)
class WindowCircuit:
    """The circuit of a window, parameterized by the angles of its words; all other angles are bound.

    Attributes:
        circuit: Circuit without measurements; wire i is qubit i.
        length: Number of words in the window.
        words: Angles in radians of every word of the alphabet, float64 (words, P).

    Example:
        >>> from bondwise.qml.protein import WindowQTN, synthetic_proteins, window_circuit
        >>> train = synthetic_proteins(20).select("train")
        >>> model = WindowQTN(epochs=1, start="angles").fit(train.sequences, train.labels)
        >>> template = window_circuit(model, length=3)
        >>> template.angles(model.vocabulary.tokenize("MKT")[None]).shape
        (1, 12)
    """

    circuit: QuantumCircuit
    length: int
    words: np.ndarray

    def angles(self, tokens: np.ndarray) -> np.ndarray:
        """Values of the circuit's parameters, float64 (windows, length · P), for tokens (windows, length)."""
        return self.words[tokens].reshape(len(tokens), -1)


def window_circuit(model: WindowQTN, *, filter: int = 0, length: int | None = None) -> WindowCircuit:
    """The short circuit that a WindowQTN runs on every window, to be broadcast over the windows' angles.

    Args:
        model: Fitted WindowQTN.
        filter: Index of the filter.
        length: Number of words in the window; None for `model.window`. The circuit of a shorter protein ends
            early, because the boxes between the words are not the identity.

    Raises:
        UsageError: If the model has no windows, or `filter` or `length` is out of range.

    Example:
        >>> from bondwise.qml.protein import WindowQTN, synthetic_proteins, window_circuit
        >>> train = synthetic_proteins(20).select("train")
        >>> model = WindowQTN(window=5, epochs=1, start="angles").fit(train.sequences, train.labels)
        >>> template = window_circuit(model)
        >>> template.circuit.num_qubits, template.circuit.num_parameters
        (2, 20)
    """
    network = network_of(model)
    if not isinstance(network, PooledWindows):
        raise UsageError(f"{kind_of(model)} has no circuits of windows; use dynamic_circuit.")
    filter = whole_number("filter", filter, least=0, most=len(network.filters) - 1)
    length = whole_number("length", model.window if length is None else length, most=model.window)
    windows = cast(WindowNetwork, network.filters[filter])
    path, words = windows.path, _numbers(windows.path.word)
    count = words.shape[1]
    free = ParameterVector("a", length * count)
    circuit = QuantumCircuit(windows.qubits, name=f"window {filter}")
    _read(circuit, path, [free[i * count : (i + 1) * count] for i in range(length)], range(windows.qubits))
    return WindowCircuit(circuit, length, words)


def _numbers(angles: torch.Tensor) -> np.ndarray:
    return angles.detach().double().cpu().numpy()


def _read(circuit: QuantumCircuit, path: PathNetwork, words: Sequence[Any], qubits: Sequence[int]) -> None:
    """Append residues as gates: START, then a word and MIX alternately, then END; ancillas are reset."""
    boxes, ancillas = _numbers(path.box), qubits[path.qubits :]
    append_gates(circuit, path.start_gates, qubits, _numbers(path.start)[0])
    for position, angles in enumerate(words):
        if position:
            for ancilla in ancillas:
                circuit.reset(ancilla)
        append_gates(circuit, path.word_gates, qubits, angles)
        append_gates(circuit, path.box_gates, qubits, boxes[min(position, path.boxes - 1)])
    if path.end_gates:
        append_gates(circuit, path.end_gates, qubits, _numbers(path.end)[0])


def _path_circuit(path: PathNetwork, tokens: np.ndarray) -> QuantumCircuit:
    memory, words = range(path.qubits), _numbers(path.word)[tokens]
    if not path.states:
        circuit = QuantumCircuit(path.qubits + path.ancillas, name="path")
        _read(circuit, path, words, range(circuit.num_qubits))
        return circuit
    circuit = QuantumCircuit(2 * path.qubits, name="path")
    both, residue, boxes = range(2 * path.qubits), range(path.qubits, 2 * path.qubits), _numbers(path.box)
    append_gates(circuit, path.word_gates, memory, words[0])
    for position, angles in enumerate(words[1:]):
        if position:
            circuit.reset(residue)
        append_gates(circuit, path.word_gates, residue, angles)
        append_gates(circuit, path.box_gates, both, boxes[min(position, path.boxes - 1)])
    return circuit


def _tree_circuit(tree: Merging, tokens: np.ndarray) -> QuantumCircuit:
    """The circuit of a tree, depth first, so that at most one node per level waits for its partner."""
    words, boxes = _numbers(tree.word)[tokens], _numbers(tree.box)
    levels = max(len(tokens) - 1, 0).bit_length()
    circuit = QuantumCircuit((levels + 1) * tree.qubits, name="tree")
    free, used = [*reversed(range(levels + 1))], set()

    def node(level: int, number: int) -> int:
        """Prepare a node and return its wire."""
        if level and (2 * number + 1) << (level - 1) >= len(tokens):  # no partner: it moves up
            return node(level - 1, 2 * number)
        if level:
            left, right = node(level - 1, 2 * number), node(level - 1, 2 * number + 1)
            pair = [*_wire(left), *_wire(right)]
            append_gates(circuit, tree.box_gates, pair, boxes[min(level, tree.boxes) - 1])
            free.append(right)
            return left
        wire = free.pop()
        if wire in used:
            circuit.reset(_wire(wire))
        used.add(wire)
        append_gates(circuit, tree.word_gates, _wire(wire), words[number])
        return wire

    def _wire(wire: int) -> range:
        return range(wire * tree.qubits, (wire + 1) * tree.qubits)

    node(levels, 0)  # ends on the first wire, that of the leftmost leaf
    return circuit


def _latch_circuit(latch: Latch, tokens: np.ndarray) -> QuantumCircuit:
    windows = latch.windows
    memory = range(latch.qubits)
    qubits = range(latch.qubits, latch.qubits + windows.qubits)
    circuit = QuantumCircuit(latch.qubits + windows.qubits, name="latch")
    words, box = _numbers(windows.path.word), _numbers(latch.box)[0]
    for number, window in enumerate(_cut(windows, tokens)):
        if number:
            circuit.reset(qubits)
        _read(circuit, windows.path, words[window], qubits)
        append_gates(circuit, latch.box_gates, [*memory, *qubits], box)
    return circuit


def _windows_circuit(network: PooledWindows, tokens: np.ndarray) -> QuantumCircuit:
    filters = cast(list[WindowNetwork], list(network.filters))
    qubits, cut = range(filters[0].qubits), _cut(filters[0], tokens)
    circuit = QuantumCircuit(len(qubits), name="windows")
    bits = ClassicalRegister(len(filters) * len(cut) * len(qubits), "windows")
    circuit.add_register(bits)
    first = 0
    for windows in filters:
        words = _numbers(windows.path.word)
        for window in cut:
            if first:
                circuit.reset(qubits)
            _read(circuit, windows.path, words[window], qubits)
            circuit.measure(qubits, bits[first : first + len(qubits)])
            first += len(qubits)
    return circuit


def _cut(windows: WindowNetwork, tokens: np.ndarray) -> list[np.ndarray]:
    """Tokens of every window of a protein, without padding."""
    cut, _ = windows.cut(torch.from_numpy(tokens)[None])
    return [window[window >= 0] for window in cut.numpy()]
