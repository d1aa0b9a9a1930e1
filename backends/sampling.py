"""The verb `sample`: counts and per-shot bits of every classical register."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from qiskit import QuantumCircuit

from bondwise.backends.backend import Backend, check_shots
from bondwise.backends.estimation import for_transpiled
from bondwise.backends.inputs import as_parameters, finite_angles
from bondwise.backends.names import get_backend
from bondwise.backends.sampled import DEFAULT_SHOTS
from bondwise.runs import Result


@dataclass(frozen=True, kw_only=True)
class Samples(Result):
    """Measured bits.

    Attributes:
        value: By classical register, uint8 (*batch, shots, bits); bit 0 of the register comes first.
    """

    value: dict[str, np.ndarray]

    @property
    def bits(self) -> dict[str, np.ndarray]:
        """Another name of `value`."""
        return self.value

    @property
    def counts(self) -> dict[str, Any]:
        """By register, how often each outcome came: `{"01": 12}`, bit 0 on the right as Qiskit writes it.

        With a batch, nested lists of such dictionaries in the batch's shape.
        """
        return {register: _count(bits) for register, bits in self.value.items()}

    def __str__(self) -> str:
        parts = []
        for register, bits in self.value.items():
            flat = bits.reshape(-1, bits.shape[-1])
            outcome, often = max(_count(flat).items(), key=lambda item: item[1], default=("", 0))
            parts.append(f"{register}: {outcome} in {often / max(len(flat), 1):.1%}")
        most = "; ".join(parts) or "no classical registers"
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"Samples: {self.shots} shots{seed}, most frequent {most}"


def sample(
    circuit: QuantumCircuit,
    parameters: ArrayLike | None = None,
    *,
    shots: int = DEFAULT_SHOTS,
    backend: str | Backend | Any = "statevector",
    seed: int | None = None,
) -> Samples:
    """Run a circuit and read its classical registers, measurements and branches in the middle included.

    Args:
        circuit: Without any measurement, all its qubits are measured at the end into a register `meas`.
        parameters: Angles in radians in the order of `circuit.parameters`, shape (*batch, P).
        shots: Per parameter set.
        backend: Anything that `get_backend` takes.
        seed: Of the sampling.

    Returns:
        The bits of every shot and their counts; `shots` is the total spent.

    Raises:
        UsageError: A wrong number of parameters, angles that are not finite, or anything that the backend
            cannot run.
    """
    place = get_backend(backend)
    angles = as_parameters(circuit, parameters)
    if not any(instruction.clbits for instruction in circuit.data):
        circuit = circuit.copy()
        circuit.measure_all()
    if 0 in angles.shape[:-1]:  # nothing to run
        each = check_shots(shots) or DEFAULT_SHOTS
        empty = {r.name: np.zeros((*angles.shape[:-1], each, r.size), dtype=np.uint8) for r in circuit.cregs}
        return Samples(value=empty, shots=0, seed=seed, job_ids=())
    isa = place.transpile(circuit)
    with finite_angles():
        result = place.sample([(isa, for_transpiled(circuit, isa, angles))], shots=shots, seed=seed)
    return Samples(
        value={
            name: bits.to_bool_array(order="little").astype(np.uint8) for name, bits in result[0].data.items()
        },
        shots=result.metadata["shots"],
        seed=seed,
        job_ids=result.metadata["job_ids"],
    )


def _count(bits: np.ndarray) -> Any:
    if bits.ndim > 2:
        return [_count(part) for part in bits]
    return dict(Counter("".join(map(str, row[::-1])) for row in bits.tolist()))
