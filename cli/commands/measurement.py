"""The stages of a run: energies of a circuit, exact or on a backend, raw and mitigated."""

from __future__ import annotations

import sys
from time import perf_counter
from typing import TYPE_CHECKING, Any

from bondwise import backends, circuits, mitigation
from bondwise.cli.documents.stages import Stage
from bondwise.cli.options import MITIGATIONS
from bondwise.runs import UsageError, unknown_name

if TYPE_CHECKING:
    import numpy as np
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import SparsePauliOp

    from bondwise.backends import Backend
    from bondwise.mitigation import Extrapolation, MitigatedEstimator


_LOOKED_AT = 5_000  # operations, which take a second


def mitigator_of(name: str, machine: Backend, *, shots: int | None, seed: int) -> MitigatedEstimator | None:
    """The mitigated estimator that `--mitigate NAME` asks for; None for `none` or without noise.

    Raises:
        UsageError: If the mitigation is unknown.
    """
    if name not in MITIGATIONS:
        raise unknown_name("mitigation", name, MITIGATIONS)
    if name == "none" or not machine.noisy:
        return None
    extrapolation = None if name == "readout" else name
    return mitigation.MitigatedEstimator(machine, extrapolation=extrapolation, shots=shots, seed=seed)


def idle_mitigation(name: str, machine: Backend) -> list[str]:
    """A sentence for `--mitigate NAME` on a backend without noise."""
    if name == "none" or machine.noisy:
        return []
    return [f"{machine.name} has no noise, so --mitigate {name} has nothing to do."]


def verdict(circuit: QuantumCircuit, observables: Any) -> backends.Simulability | None:
    """What an exact simulation would cost; None if it has no single final state, or is long to look at."""
    if len(circuit.data) > _LOOKED_AT:
        return None
    try:
        return backends.simulability(circuit, observables)
    except UsageError:
        return None


def announce(
    machine: Backend,
    mitigator: MitigatedEstimator | None,
    hamiltonian: SparsePauliOp,
    circuit: QuantumCircuit,
    shots: int,
    *,
    longest: float = 60,
) -> None:
    """Print to standard error how long `measure_on_device` will take, if more than `longest` seconds."""
    seconds = machine.estimate_seconds(circuit, hamiltonian, shots=shots or None)
    if mitigator is not None:
        seconds += mitigator.estimate_seconds(circuit, hamiltonian)
    if seconds > longest:
        minutes = f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"
        print(
            f"simulating the noise of {machine.name} will take about {minutes} after the training; "
            "--backend statevector skips it.",
            file=sys.stderr,
        )


def exact_stage(
    name: str,
    hamiltonian: SparsePauliOp,
    circuit: QuantumCircuit,
    angles: np.ndarray,
    ground_states: np.ndarray | None,
    *,
    began: float,
    backend: Backend,
) -> Stage:
    """The exact energy of a circuit, its counts and its infidelity to the ground level.

    Args:
        name: Name of the stage.
        hamiltonian: Hamiltonian of the energy.
        circuit: The circuit.
        angles: Its angles, in the order of `circuit.parameters`.
        ground_states: Orthonormal basis of the ground level, or None.
        began: When the stage began, by `perf_counter`.
        backend: Simulator of the energy.
    """
    energy = float(backends.estimate(circuit, hamiltonian, angles, backend=backend).value)
    infidelity = None
    if ground_states is not None:
        from qiskit.quantum_info import Statevector

        state = Statevector(circuit.assign_parameters(angles)).data
        infidelity = max(0.0, 1.0 - float((abs(ground_states.conj().T @ state) ** 2).sum()))
    return Stage(name=name, energy=energy, infidelity=infidelity, **_counts(circuit), seconds=_since(began))


def measure_on_device(
    machine: Backend,
    mitigator: MitigatedEstimator | None,
    hamiltonian: SparsePauliOp,
    circuit: QuantumCircuit,
    angles: np.ndarray,
    *,
    shots: int,
    seed: int,
) -> tuple[list[Stage], Extrapolation | None]:
    """Measure the energy of a circuit on a backend, raw and, with a mitigator, mitigated.

    Args:
        machine: The backend.
        mitigator: Mitigated estimator of the same backend; None measures raw only.
        hamiltonian: Hamiltonian of the energy.
        circuit: The logical circuit; it is transpiled once.
        angles: Its angles, in the order of `circuit.parameters`.
        shots: Number of shots per basis and, on average, noise scale; 0 for exact values if the backend has
            them.
        seed: Random seed for sampling.

    Returns:
        The stages, and the extrapolation, which has a single noise scale if only readout errors are
        mitigated; None without a mitigator.
    """
    began = perf_counter()
    counts = _counts(machine.transpile(circuit))
    raw = backends.estimate(circuit, hamiltonian, angles, shots=shots or None, backend=machine, seed=seed)
    stage = Stage(
        name=f"{machine.name}, raw",
        energy=float(raw.value),
        std=float(raw.std),
        **counts,
        shots=raw.shots,
        seconds=_since(began),
        job_ids=tuple(raw.job_ids),
    )
    if mitigator is None:
        return [stage], None
    began = perf_counter()
    result = mitigator.run([(circuit, hamiltonian, angles)]).result()
    extrapolation = mitigator.extrapolate(mitigation.NoiseScan.from_pub_result(result[0]))
    mitigated = Stage(
        name=f"{machine.name}, mitigated",
        energy=float(result[0].data.evs),
        std=float(result[0].data.stds),
        **counts,
        shots=int(result.metadata["shots"]),
        seconds=_since(began),
        job_ids=tuple(result.metadata["job_ids"]),
    )
    return [stage, mitigated], extrapolation


def _counts(circuit: QuantumCircuit) -> dict[str, Any]:
    return {"cx": circuits.cx_count(circuit), "depth2q": circuits.two_qubit_depth(circuit)}


def _since(began: float) -> float:
    return round(perf_counter() - began, 3)
