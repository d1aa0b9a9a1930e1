"""The last stages of a run: the trained circuit on a backend, raw and mitigated."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bondwise import backends, mitigation
from bondwise.cli.documents.stages import Stage, timed
from bondwise.cli.options import MITIGATIONS
from bondwise.runs import unknown_name

if TYPE_CHECKING:
    import numpy as np
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import SparsePauliOp

    from bondwise.backends import Backend
    from bondwise.mitigation import Extrapolation, MitigatedEstimator

WARN_SECONDS = 60


def mitigator_of(name: str, machine: Backend, *, shots: int | None, seed: int) -> MitigatedEstimator | None:
    """What `--mitigate NAME` stands for on a backend; None for `none`, and where there is no noise.

    Raises:
        UsageError: There is no such mitigation.
    """
    if name not in MITIGATIONS:
        raise unknown_name("mitigation", name, MITIGATIONS)
    if name == "none" or not machine.noisy:
        return None
    extrapolation = None if name == "readout" else name
    return mitigation.MitigatedEstimator(machine, extrapolation=extrapolation, shots=shots, seed=seed)


def idle_mitigation(name: str, machine: Backend) -> list[str]:
    """The sentence to say where `--mitigate NAME` has nothing to do."""
    if name == "none" or machine.noisy:
        return []
    return [f"{machine.name} has no noise: --mitigate {name} has nothing to do there."]


def announce(
    machine: Backend,
    mitigator: MitigatedEstimator | None,
    hamiltonian: SparsePauliOp,
    circuit: QuantumCircuit,
    shots: int,
) -> None:
    """Say on standard error how long `measure_on_device` will take if that is more than a minute."""
    seconds = machine.estimate_seconds(circuit, hamiltonian, shots=shots or None)
    if mitigator is not None:
        seconds += mitigator.estimate_seconds(circuit, hamiltonian)
    if seconds > WARN_SECONDS:
        minutes = f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"
        print(
            f"simulating the noise of {machine.name} takes about {minutes} after the training; "
            "--backend statevector leaves it out.",
            file=sys.stderr,
        )


def measure_on_device(
    stages: list[Stage],
    machine: Backend,
    mitigator: MitigatedEstimator | None,
    hamiltonian: SparsePauliOp,
    circuit: QuantumCircuit,
    angles: np.ndarray,
    *,
    shots: int,
    seed: int,
) -> Extrapolation | None:
    """Measure the energy of a circuit on a backend as it is and, if asked, mitigated; add both stages.

    Args:
        stages: Where to append.
        machine: The backend.
        mitigator: Wraps the same backend; None measures raw only.
        hamiltonian: What the energy is of.
        circuit: The logical circuit; it is transpiled once.
        angles: In the order of `circuit.parameters`.
        shots: Per basis and noise scale; 0 is exact where the backend can be.
        seed: Of the sampling.

    Returns:
        The extrapolation, of one noise scale where only readout errors are undone; None without a mitigator.
    """
    with timed(f"{machine.name}, raw", stages) as stage:
        isa = machine.transpile(circuit)
        stage.count(isa)
        raw = backends.estimate(circuit, hamiltonian, angles, shots=shots or None, backend=machine, seed=seed)
        stage.energy, stage.std = float(raw.value), float(raw.std)
        stage.shots, stage.job_ids = raw.shots, list(raw.job_ids)
    if mitigator is None:
        return None
    with timed(f"{machine.name}, mitigated", stages) as stage:
        stage.count(isa)
        result = mitigator.run([(circuit, hamiltonian, angles)]).result()
        scan = mitigation.NoiseScan.from_pub_result(result[0])
        extrapolation = mitigator.extrapolate(scan)
        stage.energy, stage.std = float(result[0].data.evs), float(result[0].data.stds)
        stage.shots, stage.job_ids = int(result.metadata["shots"]), list(result.metadata["job_ids"])
    return extrapolation
