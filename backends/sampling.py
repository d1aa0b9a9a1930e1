"""The verb `sample`: counts and per-shot bits of every classical register."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from qiskit import QuantumCircuit
from qiskit.primitives import BitArray

from bondwise.backends.estimation import truncated
from bondwise.backends.inputs import as_parameters, finite_angles, kept_columns
from bondwise.backends.names import BackendLike, get_backend
from bondwise.backends.outcomes import count_words
from bondwise.backends.primitives import DEFAULT_SHOTS, sampler_shots
from bondwise.circuits import readable
from bondwise.circuits.files.orders import with_order
from bondwise.runs import Result, RunError, UsageError, unknown_name
from bondwise.runs.result import html_table
from bondwise.runs.text import counted

_SHOWN = 8  # outcomes in a notebook


@dataclass(frozen=True, kw_only=True)
class Samples(Result):
    """Measured bits.

    Attributes:
        value: Bits by classical register, uint8 (*batch, shots, bits); bit 0 of the register comes first.
            Includes the shots that post-selection rejects.
        kept: Which shots post-selection keeps, bool (*batch, shots): `bits["output"][kept]` are their bits,
            `kept.sum(-1)` is their number. None without post-selection.
        lost: 1 - the least fidelity of the states if "mps" truncated them, and 0 otherwise.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.backends import sample
        >>> circuit = QuantumCircuit(2)
        >>> _ = circuit.x(0)
        >>> samples = sample(circuit, shots=3)
        >>> samples.bits["meas"].tolist(), samples.counts["meas"]  # bit 0 first; on the right in counts
        ([[1, 0], [1, 0], [1, 0]], {'01': 3})
    """

    value: dict[str, np.ndarray]
    kept: np.ndarray | None = None
    lost: float = field(default=0.0, repr=False)

    @property
    def bits(self) -> dict[str, np.ndarray]:
        """Alias of `value`."""
        return self.value

    @cached_property
    def counts(self) -> dict[str, Any]:
        """How often each outcome occurred, by register: `{"01": 12}`, bit 0 on the right as in Qiskit.

        Counts only shots that post-selection keeps. For a batch, nested lists of such dictionaries in the
        batch's shape. Counted at the first access.
        """
        return {register: count_words([bits], self.kept) for register, bits in self.value.items()}

    @cached_property
    def joint_counts(self) -> Any:
        """How often each outcome of all registers together occurred: `{"1 01": 12}`, as Qiskit prints them.

        The last register of the circuit comes first, registers are separated by a space, and bit 0 of each
        is on the right. Shots and batches as in `counts`; `{}` without registers.
        """
        return count_words(list(self.value.values()), self.kept)

    def _repr_html_(self) -> str:
        if self.value and next(iter(self.value.values())).ndim > 2:  # a batch
            return super()._repr_html_()
        ranked = Counter(self.joint_counts).most_common()
        rows: list[tuple[object, ...]] = [(" ".join(reversed(self.value)), "count"), *ranked[:_SHOWN]]
        if len(ranked) > _SHOWN:
            rows.append((f"… {len(ranked) - _SHOWN} more", ""))
        return html_table(str(self), rows)

    def __str__(self) -> str:
        parts = []
        for register, counts in self.counts.items():
            total: Counter[str] = Counter()
            for leaf in _leaves(counts):
                total.update(leaf)
            outcome, often = max(total.items(), key=lambda item: item[1], default=("", 0))
            parts.append(f"{register}: {outcome} in {often / max(total.total(), 1):.1%}")
        most = "; ".join(parts) or "no classical registers"
        seed = "" if self.seed is None else f", seed {self.seed}"
        kept = "" if self.kept is None else f", {self.kept.sum()} kept"
        return (
            f"Samples: {counted(self.shots, 'shot')}{kept}{seed}, most frequent {most}{truncated(self.lost)}"
        )


def sample(
    circuit: QuantumCircuit,
    parameters: ArrayLike | Mapping[Any, Any] | None = None,
    *,
    shots: int = DEFAULT_SHOTS,
    backend: BackendLike = "statevector",
    seed: int | None = None,
    post_select: Mapping[str, str | Sequence[int]] | None = None,
) -> Samples:
    """Run a circuit and return the bits of its classical registers.

    Args:
        circuit: Any circuit; mid-circuit measurements and branches are allowed. Without any measurement,
            all qubits are measured at the end into a register `meas` (the circuit's own if it has one of that
            size; `meas_` if the name is taken by another size). Classical bits outside of registers are
            returned as a register `c`.
        parameters: Angles in radians in the order of `circuit.parameters` (for a path, of its declarations),
            shape (*batch, P), or by name, as for `estimate`.
        shots: Number of shots per parameter set.
        backend: Anything that `get_backend` takes.
        seed: Random seed for sampling.
        post_select: Outcomes that registers must have for a shot to be kept: a word as in `counts`, bit 0 on
            the right (`{"ancillas": "01"}`), or a sequence of bits, bit 0 first.

    Returns:
        The bits of every shot and their counts; `shots` is the total spent. If post-selection leaves no shots
        of a parameter set of a batch, its counts are empty.

    Raises:
        UsageError: If the number of parameters is wrong, angles are not finite, registers share bits, a
            register to post-select does not exist or has another number of bits, or the backend cannot run
            the circuit.
        RunError: If post-selection leaves no shots at all.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.backends import sample
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1)
        >>> sorted(sample(bell, shots=100).counts["meas"])
        ['00', '11']
    """
    place = get_backend(backend)
    circuit, order = with_order(circuit)
    angles = as_parameters(order, parameters)
    own = {register.name: register.size for register in circuit.cregs}
    if sum(own.values()) > len({bit for register in circuit.cregs for bit in register}):
        raise UsageError(
            f"the classical registers {', '.join(own)} share bits, which simulators misread; give each "
            "register bits of its own."
        )
    circuit, names = readable(circuit)
    sizes = own | {names[register.name]: register.size for register in circuit.cregs}
    asked = {} if post_select is None else _asked(sizes, post_select)
    if 0 in angles.shape[:-1]:  # nothing to run
        each = sampler_shots(shots)
        shape = (*angles.shape[:-1], each)
        empty = {name: np.zeros((*shape, size), dtype=np.uint8) for name, size in sizes.items()}
        return Samples(value=empty, kept=_kept(empty, asked), shots=0, seed=seed, job_ids=())
    isa = place.transpile(circuit)
    with finite_angles():
        result = place.sample([(isa, kept_columns(circuit, isa, angles))], shots=shots, seed=seed)
    empty = BitArray(np.zeros((*angles.shape[:-1], sampler_shots(shots), 0), dtype=np.uint8), 0)
    read = {names[name]: bits for name, bits in result[0].data.items()}
    value = {name: read.get(name, empty).to_bool_array(order="little").astype(np.uint8) for name in sizes}
    kept = _kept(value, asked)
    if kept is not None and not kept.any():
        raise RunError(
            f"none of {result.metadata['shots']} shots reads {_words(asked)}; take more shots, or angles "
            "that make this more likely."
        )
    return Samples(
        value=value,
        kept=kept,
        shots=result.metadata["shots"],
        seed=seed,
        job_ids=result.metadata["job_ids"],
        lost=float(result[0].metadata.get("lost", 0.0)),
    )


def _asked(sizes: Mapping[str, int], post_select: Mapping[str, str | Sequence[int]]) -> dict[str, np.ndarray]:
    """The bits that registers must have, uint8 (bits,), bit 0 first."""
    asked = {}
    for name, word in post_select.items():
        if name not in sizes:
            raise unknown_name("register", str(name), sizes)
        bits = list(word[::-1]) if isinstance(word, str) else list(np.ravel(word))
        if len(bits) != sizes[name] or any(str(bit) not in ("0", "1") for bit in bits):
            raise UsageError(
                f"post_select[{name!r}] is {word!r}; pass a 0 or 1 for each bit of the register, such as "
                f"{'0' * sizes[name]!r}."
            )
        asked[name] = np.array(bits, dtype=np.uint8)
    return asked


def _kept(value: Mapping[str, np.ndarray], asked: Mapping[str, np.ndarray]) -> np.ndarray | None:
    matches = [(value[name] == bits).all(axis=-1) for name, bits in asked.items()]
    return np.logical_and.reduce(matches) if matches else None


def _words(asked: Mapping[str, np.ndarray]) -> str:
    return " and ".join(f"{name} = {''.join(map(str, bits[::-1]))}" for name, bits in asked.items())


def _leaves(counts: Any) -> Iterator[dict[str, int]]:
    if isinstance(counts, dict):
        yield counts
    else:
        for part in counts:
            yield from _leaves(part)
