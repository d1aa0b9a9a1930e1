"""The variational quantum eigensolver: minimize ⟨0|U(θ)† H U(θ)|0⟩ over the angles θ of a circuit."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from qiskit import QuantumCircuit

from bondwise.backends import BackendLike, Simulability, estimate, get_backend, simulability
from bondwise.backends.gradients.differentiation import Gradient, expectation_with_errors
from bondwise.backends.measurement import ShotAllocation
from bondwise.circuits import Observable, as_operator, fingerprint, hermitian
from bondwise.circuits.files.orders import with_order
from bondwise.qml.training.beginnings import drawn_from, given_angles
from bondwise.qml.training.driver import Step, Training, minimize
from bondwise.qml.training.natural_gradient import metric_of
from bondwise.qml.training.optimizers import check_optimizer
from bondwise.runs import UsageError


@dataclass(frozen=True, kw_only=True)
class VQEResult(Training):
    """Result of a VQE; `value` is the energy at `parameters` and `std` its standard error.

    If energies are exact, `parameters` are those with the lowest energy. If they are sampled, the lowest one
    is a lucky draw, so `parameters` are the last ones and their energy is measured again; `shots` and
    `job_ids` belong to this measurement.

    Example:
        >>> from bondwise import qml
        >>> circuit = qml.brickwall(2, 1)
        >>> vqe = qml.VQE(qml.heisenberg(2), circuit, optimizer="lbfgs")
        >>> result = vqe.run(qml.random_start(circuit, seed=1), steps=20)
        >>> print(f"{result.losses[0]:.4f} {result.value:.4f}")
        0.0581 -0.7500
    """

    def __str__(self) -> str:
        return super().__str__() + (" (the last measurement)" if self.shots else "")

    def plot(self, ax: Any = None) -> Any:
        """Plot the energy against the step.

        Args:
            ax: Matplotlib axes to plot on; a new figure by default.

        Returns:
            The Axes.
        """
        ax = super().plot(ax)
        ax.set_ylabel("energy")
        return ax


class VQE:
    """The variational quantum eigensolver for a Hamiltonian and a circuit.

    Args:
        hamiltonian: Hermitian operator on the qubits of the circuit, of any kind that `estimate` takes;
            qubit 0 is the rightmost letter, and PennyLane's wire i is qubit i.
        circuit: Circuit with parameters and without measurements.
        backend: Backend that evaluates the energies, a name or any object that `get_backend` takes.
        optimizer: Name of the optimizer, see `minimize`.
        learning_rate: Learning rate, see `minimize`.
        gradient: Gradient method, see `expectation`.
        shots: Number of shots per measured basis; None for exact energies if the backend has them.
        shot_allocation: How they are shared out over the bases, "uniform" or "weighted", see `estimate`.

    Raises:
        UsageError: If the Hamiltonian is not a Hermitian operator on the qubits of the circuit, the circuit
            has no parameters, the optimizer is unknown, the learning rate is not a positive number, or there
            are no shots to allocate.

    Example:
        >>> import numpy as np
        >>> from bondwise import qml
        >>> circuit = qml.brickwall(3, 3)
        >>> vqe = qml.VQE(qml.ising(3), circuit, optimizer="lbfgs")
        >>> result = vqe.run(qml.near_identity_start(circuit, seed=0), steps=40)
        >>> energy, _ = qml.exact_ground_state(qml.ising(3))
        >>> bool(np.isclose(result.value, energy))
        True
    """

    def __init__(
        self,
        hamiltonian: Observable,
        circuit: QuantumCircuit,
        *,
        backend: BackendLike = "statevector",
        optimizer: str = "adam",
        learning_rate: float | None = None,
        gradient: Gradient = "auto",
        shots: int | None = None,
        shot_allocation: ShotAllocation = "uniform",
    ) -> None:
        circuit, self._order = with_order(circuit)
        hamiltonian = as_operator(hamiltonian, circuit.num_qubits, what="Hamiltonian")
        hermitian(hamiltonian, what="Hamiltonian")
        if not circuit.num_parameters:
            raise UsageError("the circuit has no parameters to train; use bondwise.backends.estimate.")
        check_optimizer(optimizer, learning_rate)
        self.backend = get_backend(backend)
        self.backend.check_allocation(shot_allocation, shots)
        self.hamiltonian = hamiltonian
        self.circuit = circuit
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.gradient = gradient
        self.shots = shots
        self.shot_allocation = shot_allocation

    def run(
        self,
        parameters: Any,
        *,
        steps: int = 200,
        seed: int | None = None,
        callbacks: Iterable[Callable[[Step], object]] = (),
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int = 10,
        resume: bool = False,
        patience: int | None = None,
        tolerance: float = 0.0,
        progress: bool | str = False,
        run: str = "",
    ) -> VQEResult:
        """Train from a starting point.

        Args:
            parameters: Angles in radians, shape (P,), in the order of `circuit.parameters` or, for the path
                of an OpenQASM 3 file, in that of its declarations; or by name.
            steps: Maximum number of updates.
            seed: Random seed for shots and stochastic gradients; each evaluation draws new ones.
            callbacks: Functions that are called with a `Step` after each evaluation, see `minimize`.
            checkpoint: File that the run can be continued from. It is bound to the circuit, the Hamiltonian,
                the backend and the settings, but not to `parameters`. On a device, a file beside it
                (`….run-id`) names the run under which jobs are recorded: resumed, it takes no job twice.
            checkpoint_every: Number of steps between checkpoints.
            resume: Whether to continue from `checkpoint` if it exists.
            patience: Number of steps without improvement after which the run counts as converged.
            tolerance: Smallest improvement that counts, in units of the energy.
            progress: Whether to show a progress bar; a string is its title.
            run: Additional text that the checkpoint is bound to.

        Returns:
            Result with the energy, the angles in the same order, and the histories.

        Raises:
            UsageError: If the number of angles is wrong, or as for `minimize`.
            RunError: If the checkpoint cannot be written.
        """
        parameters = given_angles(parameters, self._order)
        backend, generator = drawn_from(self.backend, seed, checkpoint, resume)
        sampled = self.shots is not None or not self.backend.exact

        def energy(angles: torch.Tensor) -> tuple[torch.Tensor, np.ndarray]:
            draw = int(torch.randint(2**31, (), generator=generator))
            return expectation_with_errors(
                self.circuit,
                self.hamiltonian,
                self._order.to_circuit(angles),
                backend,
                gradient=self.gradient,
                shots=self.shots,
                seed=draw,
                shot_allocation=self.shot_allocation,
            )

        training = minimize(
            energy,
            parameters,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            steps=steps,
            callbacks=callbacks,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            resume=resume,
            patience=patience,
            tolerance=tolerance,
            batched=True,
            metric=metric_of(self.circuit, self._order, backend, shots=self.shots, generator=generator),
            generator=generator,
            progress="VQE" if progress is True else progress,
            run="" if checkpoint is None else f"{self._fingerprint(seed)} {run}".rstrip(),
        )
        content = {field.name: getattr(training, field.name) for field in fields(training)}
        content["seed"] = seed
        if sampled:
            last = training.last
            measured = estimate(
                self.circuit,
                self.hamiltonian,
                self._order.to_circuit(last),
                shots=self.shots,
                backend=backend,
                seed=seed,
                shot_allocation=self.shot_allocation,
            )
            content |= {"parameters": last, "value": float(measured.value), "std": float(measured.std)}
            content |= {"shots": measured.shots, "job_ids": measured.job_ids}
        return VQEResult(**content)

    def simulability(self) -> Simulability:
        """Predict the cost of an exact energy on each simulator; see `bondwise.backends.simulability`."""
        return simulability(self.circuit, self.hamiltonian)

    def _fingerprint(self, seed: int | None) -> str:
        """Fingerprint of the problem."""
        lines = [f"{self.backend.name} {self.gradient} {self.shots} {seed}"]
        lines += [f"{term} {coefficient!r}" for term, coefficient in self.hamiltonian.to_list()]
        lines += [] if self.shot_allocation == "uniform" else [self.shot_allocation]  # as in 0.1.1
        lines += [f"angles {name}" for name in self._order.names if self._order.differs]
        return hashlib.sha256("\n".join([*lines, fingerprint(self.circuit)]).encode()).hexdigest()
