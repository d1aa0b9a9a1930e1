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

from bondwise.backends import estimate, expectation, get_backend
from bondwise.backends.gradients.differentiation import Gradient
from bondwise.circuits import Observable, as_circuit, as_operator, fingerprint, hermitian
from bondwise.qml.training.driver import Step, Training, minimize
from bondwise.runs import UsageError


@dataclass(frozen=True, kw_only=True)
class VQEResult(Training):
    """A trained circuit; `value` is the energy at `parameters` and `std` its standard error.

    On exact backends `parameters` are those of the lowest energy met. Where energies are sampled the lowest
    one is a lucky draw, so they are the last ones, and their energy is measured afresh; `shots` and `job_ids`
    are those of this measurement.
    """

    def plot(self, ax: Any = None) -> Any:
        """Draw the energy against the steps.

        Args:
            ax: Matplotlib Axes; None makes a figure.

        Returns:
            The Axes.
        """
        ax = super().plot(ax)
        ax.set_ylabel("energy")
        return ax


class VQE:
    """A Hamiltonian, a circuit, and how to train it.

    Args:
        hamiltonian: A Hermitian operator on as many qubits as the circuit, of any kind that `estimate` takes;
            qubit 0 is the rightmost letter, PennyLane's wire i is qubit i.
        circuit: With parameters and without measurements.
        backend: Where energies are evaluated: a name or any object that `get_backend` takes.
        optimizer: As for `minimize`.
        learning_rate: As for `minimize`.
        gradient: As for `expectation`.
        shots: Per measured basis; None is exact where the backend can be.

    Raises:
        UsageError: The Hamiltonian is no operator, not Hermitian or of another size, or there is nothing to
            train.
    """

    def __init__(
        self,
        hamiltonian: Observable,
        circuit: QuantumCircuit,
        *,
        backend: Any = "statevector",
        optimizer: str = "adam",
        learning_rate: float | None = None,
        gradient: Gradient = "auto",
        shots: int | None = None,
    ) -> None:
        circuit = as_circuit(circuit)
        hamiltonian = as_operator(hamiltonian, circuit.num_qubits, what="Hamiltonian")
        hermitian(hamiltonian, what="Hamiltonian")
        if not circuit.num_parameters:
            raise UsageError("the circuit has no parameters to train; use bondwise.backends.estimate.")
        self.hamiltonian = hamiltonian
        self.circuit = circuit
        self.backend = get_backend(backend)
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.gradient = gradient
        self.shots = shots

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
            parameters: Angles in radians, shape (P,), in the order of `circuit.parameters`.
            steps: Updates at most.
            seed: Of shots and of stochastic gradients; each evaluation draws anew.
            callbacks: As for `minimize`, and so are all the following.
            checkpoint: File that the run can be continued from. It is bound to the circuit, the Hamiltonian,
                the backend and the settings, not to `parameters`.
            checkpoint_every: Steps from one checkpoint to the next.
            resume: Continue from `checkpoint` if it is there.
            patience: Steps without gain before the run counts as converged.
            tolerance: Gain that counts, in units of the energy.
            progress: Show a bar, with this title if it is text.
            run: Whatever else the checkpoint is to be bound to.

        Returns:
            Energy, angles and trace.

        Raises:
            UsageError: The number of angles is wrong, or as `minimize` says.
            RunError: The checkpoint cannot be written.
        """
        if np.shape(parameters) != (self.circuit.num_parameters,):
            raise UsageError(
                f"the circuit has {self.circuit.num_parameters} parameters; the angles given are of shape "
                f"{np.shape(parameters)}, so give an array of shape ({self.circuit.num_parameters},)."
            )
        sampled = self.shots is not None or not self.backend.exact
        generator = torch.Generator()
        generator.manual_seed(seed) if seed is not None else generator.seed()

        def energy(angles: torch.Tensor) -> torch.Tensor:
            draw = int(torch.randint(2**31, (), generator=generator))
            return expectation(
                self.circuit,
                self.hamiltonian,
                angles,
                self.backend,
                gradient=self.gradient,
                shots=self.shots,
                seed=draw,
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
            generator=generator,
            progress="VQE" if progress is True else progress,
            run="" if checkpoint is None else f"{self._fingerprint(seed)} {run}".rstrip(),
        )
        content = {field.name: getattr(training, field.name) for field in fields(training)}
        content["seed"] = seed
        if sampled:
            last = training.last
            measured = estimate(
                self.circuit, self.hamiltonian, last, shots=self.shots, backend=self.backend, seed=seed
            )
            content |= {"parameters": last, "value": float(measured.value), "std": float(measured.std)}
            content |= {"shots": measured.shots, "job_ids": measured.job_ids}
        return VQEResult(**content)

    def _fingerprint(self, seed: int | None) -> str:
        """A hash of what is minimized."""
        lines = [f"{self.backend.name} {self.gradient} {self.shots} {seed}"]
        lines += [f"{term} {coefficient!r}" for term, coefficient in self.hamiltonian.to_list()]
        return hashlib.sha256("\n".join([*lines, fingerprint(self.circuit)]).encode()).hexdigest()
