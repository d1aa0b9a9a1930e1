"""Circuits as Born machines, p(x) = |⟨x|U(θ)|0⟩|²: the bits of a circuit trained to be like data."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from bondwise.backends import Backend, BackendLike, Samples, get_backend, sample
from bondwise.backends.gradients.probabilities import Frequencies, probabilities
from bondwise.backends.primitives import check_shots, sampler_shots
from bondwise.circuits import fingerprint, without_measurements
from bondwise.circuits.files.orders import with_order
from bondwise.qml.discrepancies import Discrepancy, all_strings, as_target, cross_entropy, require_support
from bondwise.qml.training.beginnings import drawn_from, given_angles
from bondwise.qml.training.driver import Step, Training, minimize
from bondwise.qml.training.natural_gradient import metric_of
from bondwise.qml.training.optimizers import check_optimizer
from bondwise.runs import UsageError, real_array, unknown_name
from bondwise.tn.states.bitstrings import as_bits

Loss = Literal["kl", "nll", "mmd"]


@dataclass(frozen=True, kw_only=True)
class BornMachineResult(Training):
    """Result of training a Born machine; `value` is the loss at `parameters` and `std` its standard error.

    If losses are exact, `parameters` are those with the lowest one. If they are sampled, `parameters` are the
    last ones and their loss is measured again; `shots` and `job_ids` belong to this measurement.

    Attributes:
        loss: Name of the loss.
        entropy: Entropy of the data in nats, the lowest NLL that any model can have.
        circuit: The circuit without measurements; `parameters` are in the order of its parameters.

    Example:
        >>> from bondwise import qml
        >>> circuit = qml.brickwall(2, 1)
        >>> machine = qml.BornMachine(circuit, ["00", "11"], loss="nll", optimizer="lbfgs")
        >>> result = machine.run(qml.random_start(circuit, seed=0), steps=30)
        >>> print(f"{result.value:.4f} {result.entropy:.4f}")
        0.6931 0.6931
        >>> sorted(result.sample(100, seed=0).counts["meas"])
        ['00', '11']
    """

    loss: str
    entropy: float
    circuit: QuantumCircuit = field(compare=False)

    def sample(self, shots: int, *, backend: BackendLike = "statevector", seed: int | None = None) -> Samples:
        """Draw strings from the trained circuit.

        Args:
            shots: Number of strings.
            backend: Anything that `get_backend` takes.
            seed: Random seed for sampling.

        Returns:
            What `bondwise.backends.sample` returns: `.bits["meas"]`, uint8 (shots, n), has qubit i in column
            i like training strings; `.counts["meas"]` has qubit 0 on the right.

        Raises:
            UsageError: As for `bondwise.backends.sample`.
        """
        return sample(self.circuit, self.parameters, shots=shots, backend=backend, seed=seed)

    def log_probability(
        self, bitstrings: Any, *, backend: BackendLike = "statevector"
    ) -> NDArray[np.float64]:
        """Logarithm of the exact probability of each string, for instance of strings kept for validation.

        Args:
            bitstrings: Strings as for `train_born`, with n columns.
            backend: `"statevector"` or, for many qubits, `"mps"`.

        Returns:
            Nats, shape (samples,); -inf for a string that the circuit cannot produce.

        Raises:
            UsageError: If the input is not bit strings with n columns, or the backend has no exact
                probabilities.
        """
        bits = as_bits(bitstrings, "bitstrings", self.circuit.num_qubits)
        parameters = torch.tensor(self.parameters)
        with np.errstate(divide="ignore"):
            return np.log(probabilities(self.circuit, bits, parameters, get_backend(backend)).numpy())

    def plot(self, ax: Any = None) -> Any:
        """Plot the loss against the step.

        Args:
            ax: Matplotlib axes to plot on; a new figure by default.

        Returns:
            The Axes.
        """
        ax = super().plot(ax)
        ax.set_ylabel(f"{self.loss.upper()} (nats)" if self.loss != "mmd" else "squared MMD")
        return ax


class BornMachine:
    """A circuit whose measured bits are trained to be distributed like data.

    A matrix product state trained on the data (`bondwise.tn.train_born`) is a good start: `mps_start` turns
    it into a circuit, with near-identity gates on further pairs of qubits as room to learn
    (arXiv:2208.13673).

    Args:
        circuit: Circuit on n qubits with parameters; final measurements are left out, all qubits are
            measured.
        data: Bit strings or counts as for `train_born`, column i being qubit i. Or a distribution:
            probabilities by string, `{"01": 0.25, …}`, with qubit 0 on the right as in counts, or an array of
            2^n probabilities, in which bit i of the index is qubit i.
        loss: `"nll"`, the negative log likelihood of the data in nats per string; `"kl"`, the
            Kullback-Leibler divergence of the circuit from the data, which is that less the entropy of the
            data; or `"mmd"`, the squared maximum mean discrepancy with Gaussian kernels in the Hamming
            distance (arXiv:1804.04168), which can also be estimated from shots.
        backend: `"statevector"` or `"mps"` for exact losses; for `"mmd"` any backend with a sampler, on which
            the gradient comes from shifted circuits, all of a step in one job.
        optimizer: Name of the optimizer, see `minimize`.
        learning_rate: Learning rate, see `minimize`.
        shots: Number of shots per circuit; None for exact losses if the backend has them, and 4096 otherwise.
        bandwidths: Bandwidths σ of the kernels exp(-d / 2σ) of `"mmd"`, in bits. The default is that of the
            method's authors for bars and stripes; with large ones, d is compared over many bits at once.

    Raises:
        UsageError: If the data are not bit strings or probabilities of the circuit's qubits, the circuit has
            no parameters, the loss or optimizer is unknown, a number is out of range, or the loss needs exact
            probabilities and the backend has none.

    Example:
        >>> from bondwise import qml, tn
        >>> images = qml.bars_and_stripes(2, 2)
        >>> trained = tn.train_born(images, max_bond=2, seed=0)
        >>> circuit, angles = qml.mps_start(1, trained, pairs=[(0, 2), (1, 3)], seed=0)
        >>> result = qml.BornMachine(circuit, images, optimizer="lbfgs").run(angles, steps=40)
        >>> print(f"KL {result.losses[0]:.2f}, trained {abs(result.value):.2f} nats")
        KL 0.23, trained 0.00 nats
    """

    def __init__(
        self,
        circuit: QuantumCircuit,
        data: Any,
        *,
        loss: Loss = "kl",
        backend: BackendLike = "statevector",
        optimizer: str = "adam",
        learning_rate: float | None = None,
        shots: int | None = None,
        bandwidths: Sequence[float] = (0.5,),
    ) -> None:
        circuit, self._order = with_order(circuit)
        if not circuit.num_parameters:
            raise UsageError("the circuit has no parameters to train; use bondwise.backends.sample.")
        if loss not in get_args(Loss):
            raise unknown_name("loss", str(loss), get_args(Loss))
        check_optimizer(optimizer, learning_rate)
        self.backend = get_backend(backend)
        sampled = check_shots(shots) is not None or self.backend.amplitudes is None
        if sampled and loss != "mmd":
            what = self.backend.name if shots is None else f"shots={shots}"
            raise UsageError(
                f"loss={loss!r} needs exact probabilities, and {what} has none: a string that no shot shows "
                "would make it infinite; write loss='mmd', or backend='statevector' or 'mps' without shots."
            )
        self.bandwidths = tuple(real_array("bandwidths", bandwidths).ravel().tolist())
        if not self.bandwidths or not all(0 < one < np.inf for one in self.bandwidths):
            raise UsageError(f"bandwidths is {bandwidths!r}; give one or more finite numbers above 0.")
        self.circuit = without_measurements(circuit)
        self.data = as_target(data, circuit.num_qubits)
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.shots = sampler_shots(shots) if sampled else None

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
    ) -> BornMachineResult:
        """Train from a starting point.

        Args:
            parameters: Angles in radians, shape (P,), in the order of `circuit.parameters` or, for the path
                of an OpenQASM 3 file, in that of its declarations; or by name.
            steps: Maximum number of updates.
            seed: Random seed for shots; each evaluation draws new ones.
            callbacks: Functions that are called with a `Step` after each evaluation, see `minimize`.
            checkpoint: File that the run can be continued from, bit for bit. It is bound to the circuit, the
                data, the backend and the settings, but not to `parameters`; see `VQE.run` for devices.
            checkpoint_every: Number of steps between checkpoints.
            resume: Whether to continue from `checkpoint` if it exists.
            patience: Number of steps without improvement after which the run counts as converged.
            tolerance: Smallest improvement that counts, in units of the loss.
            progress: Whether to show a progress bar; a string is its title.
            run: Additional text that the checkpoint is bound to.

        Returns:
            Result with the loss, the angles in the order of its circuit, and the histories. If the loss
            becomes infinite or NaN, the training ends there, with a message.

        Raises:
            UsageError: If the number of angles is wrong, the circuit cannot produce some string of the data
                at the start, so that NLL and KL are infinite, or as for `minimize`.
            RunError: If the checkpoint cannot be written.
        """
        parameters = given_angles(parameters, self._order)
        backend, generator = drawn_from(self.backend, seed, checkpoint, resume)
        measure = self._measure(backend)
        if self.loss != "mmd":
            start = torch.from_numpy(real_array("the starting parameters", parameters))
            found = probabilities(self.circuit, self.data.bits, self._order.to_circuit(start), backend)
            require_support(self.data, found)

        def loss(angles: torch.Tensor) -> Any:
            draw = int(torch.randint(2**31, (), generator=generator))
            return measure(self._order.to_circuit(angles), draw)

        training = minimize(
            loss,
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
            metric=metric_of(self.circuit, self._order, backend, shots=self.shots, generator=generator),
            generator=generator,
            progress="Born machine" if progress is True else progress,
            run="" if checkpoint is None else f"{self._fingerprint(seed)} {run}".rstrip(),
        )
        content = {entry.name: getattr(training, entry.name) for entry in fields(training)}
        content |= {name: self._order.to_circuit(content[name]) for name in ("parameters", "last")}
        content |= {"seed": seed, "loss": self.loss, "entropy": self.data.entropy, "circuit": self.circuit}
        if self.shots is not None:
            content |= self._measured(content["last"], backend, seed)
        return BornMachineResult(**content)

    def _measure(self, backend: Backend) -> Callable[[torch.Tensor, int], Any]:
        """The loss, or a pair of it and its standard error, by angles of the circuit and a seed for shots."""
        if self.loss != "mmd":
            least = self.data.entropy if self.loss == "kl" else 0.0

            def likelihood(angles: torch.Tensor, draw: int) -> torch.Tensor:
                return (
                    cross_entropy(self.data, probabilities(self.circuit, self.data.bits, angles, backend))
                    - least
                )

            return likelihood
        discrepancy = Discrepancy(self.data, self.bandwidths)
        if self.shots is not None:
            shots, frequencies = self.shots, Frequencies(self.circuit, backend, self.shots)

            def sampled(angles: torch.Tensor, draw: int) -> tuple[torch.Tensor, float]:
                found = frequencies(angles, draw)
                return discrepancy.sampled(found, shots), discrepancy.standard_error(found.detach(), shots)

            return sampled
        strings = all_strings(self.circuit.num_qubits)
        return lambda angles, draw: discrepancy.exact(probabilities(self.circuit, strings, angles, backend))

    def _measured(self, parameters: np.ndarray, backend: Backend, seed: int | None) -> dict[str, Any]:
        """The loss at the last parameters, measured again."""
        drawn = sample(self.circuit, parameters, shots=self.shots or 0, backend=backend, seed=seed)
        bits = drawn.bits["meas"]
        outcomes = bits.astype(np.int64) @ (1 << np.arange(bits.shape[1]))
        counts = np.bincount(outcomes, minlength=1 << bits.shape[1])
        frequencies, discrepancy = (
            torch.from_numpy(counts / len(bits)),
            Discrepancy(self.data, self.bandwidths),
        )
        return {
            "parameters": parameters,
            "value": float(discrepancy.sampled(frequencies, len(bits))),
            "std": discrepancy.standard_error(frequencies, len(bits)),
            "shots": drawn.shots,
            "job_ids": drawn.job_ids,
        }

    def _fingerprint(self, seed: int | None) -> str:
        """Fingerprint of the problem."""
        lines = [f"{self.backend.name} {self.loss} {self.bandwidths} {self.shots} {seed}"]
        lines += [f"angles {name}" for name in self._order.names if self._order.differs]
        content = "\n".join([*lines, fingerprint(self.circuit)]).encode()
        return hashlib.sha256(content + self.data.bits.tobytes() + self.data.weights.tobytes()).hexdigest()
