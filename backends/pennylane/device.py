"""A PennyLane device whose circuits run on any backend, each batch of circuits in one job.

The circuits of a parameter-shift gradient differ in their angles alone. They are parameter sets of one
circuit, which is compiled once, whatever the number of parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.devices import Device, ExecutionConfig, MCMConfig
from pennylane.devices.modifiers import simulator_tracking, single_tape_support
from pennylane.exceptions import DeviceError
from pennylane.transforms.core import CompilePipeline

from bondwise.backends.names import BackendLike, get_backend
from bondwise.backends.pennylane import shots as sampling
from bondwise.backends.pennylane.adjoint import adjoint_jacobian, has_adjoint
from bondwise.backends.pennylane.preprocessing import DYNAMIC, has_trained_branch, pipeline
from bondwise.backends.pennylane.structures import Compiler, Lifter, qubits_of
from bondwise.backends.pennylane.values import are_pauli_values, ask, evaluate, from_states
from bondwise.backends.primitives import Sampler
from bondwise.runs import UsageError, whole_number
from bondwise.runs.text import counted


@simulator_tracking
@single_tape_support
class BondwiseDevice(Device):
    """The PennyLane device `"bondwise"`: QNodes run on anything that `get_backend` takes.

    Every call of a QNode is one job, and so is every parameter-shift gradient, which is what "best"
    means here; `diff_method="device"` computes a value and its gradient in the same job. All angles are free
    parameters of one circuit, which is compiled once, and a batch of them is a number of parameter sets.
    On "statevector", gradients of exact `expval` come from the adjoint method.

    Without shots, values are exact, which needs a backend that computes them: `expval`, `var` and `probs`
    everywhere, and whatever follows from the state on "statevector". Backends that only sample refuse. With
    shots, they are spent on each measured basis, and mid-circuit measurements, branches and post-selection
    run on the backend if it has them; otherwise measurements are deferred.

    Args:
        wires: Number of wires, or their labels; None for whatever a circuit uses.
        backend: A name such as "statevector", "aer", "fake:torino" or "ibm:ibm_torino", a Qiskit `BackendV2`,
            or a V2 primitive, such as a `MitigatedEstimator`.
        shots: Number of shots of QNodes that do not set their own; PennyLane prefers
            `qml.set_shots(qnode, shots)`.
        seed: Random seed for shots; a foreign primitive keeps its own.

    Attributes:
        backend: The backend.
        job_ids: Identifiers of the jobs of the last execution; empty for simulations in this process.

    Raises:
        UsageError: If the backend does not exist or has fewer qubits than there are wires, or an option is
            not known.

    Example:
        >>> import pennylane as qml
        >>> from bondwise.backends import BondwiseDevice
        >>> device = BondwiseDevice(wires=2, backend="fake:manila")  # qml.device("bondwise", …)
        >>> @qml.qnode(device)
        ... def energy(angle):
        ...     qml.RY(angle, 0)
        ...     qml.CNOT([0, 1])
        ...     return qml.expval(qml.Z(0) @ qml.Z(1))
        >>> bool(0.8 < energy(0.5) < 1)
        True
    """

    def __init__(
        self,
        wires: int | Iterable[Any] | None = None,
        *,
        backend: BackendLike = "statevector",
        shots: int | Sequence[int] | None = None,
        seed: int | None = None,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise UsageError(
                f"the device 'bondwise' has no option {next(iter(unknown))!r}; its options are wires, "
                "backend, shots and seed."
            )
        super().__init__(wires=wires, shots=shots)
        self.backend = get_backend(backend)
        room = self.backend.num_qubits
        if self.wires is not None and room is not None and len(self.wires) > room:
            raise UsageError(
                f"{self.backend.name} has {counted(room, 'qubit')} and {len(self.wires)} wires were given; "
                "choose a larger backend or fewer wires."
            )
        if seed is not None:
            whole_number("seed", seed, least=0)
        self._random = None if seed is None else np.random.default_rng(seed)
        self._compiler = Compiler(self.backend)
        self.job_ids: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name for `qml.device`."""
        return "bondwise"

    def setup_execution_config(
        self, config: ExecutionConfig | None = None, circuit: Any = None
    ) -> ExecutionConfig:
        """Fill in what the QNode left open: how to differentiate, and how to measure inside of circuits.

        Raises:
            DeviceError: If an option is unknown, or a way of measuring is not available.
        """
        config = config or ExecutionConfig()
        for option in config.device_options:
            raise DeviceError(f"the device 'bondwise' has no device option {option!r}.")
        method, together = config.gradient_method, config.grad_on_execution
        shifts = method == "device" or (method == "best" and config.derivative_order == 1)
        if together is None:
            together = method == "device"
        return replace(
            config,
            gradient_method="device" if shifts else method,
            use_device_gradient=shifts,
            use_device_jacobian_product=False,
            grad_on_execution=together,
            mcm_config=self._measuring_inside(config, circuit),
        )

    def _measuring_inside(self, config: ExecutionConfig, circuit: Any) -> MCMConfig:
        method = config.mcm_config.mcm_method
        has_shots = circuit is not None and bool(circuit.shots)
        trained = circuit is not None and config.gradient_method is not None and has_trained_branch(circuit)
        if trained and has_shots and isinstance(config.gradient_method, qml.transforms.core.Transform):
            raise DeviceError(
                "PennyLane differentiates a branch by finite differences, which shots drown; write "
                "diff_method='best'."
            )
        if method is None:
            method = "device" if has_shots and not trained and self._is_dynamic() else "deferred"
        if method not in ("deferred", *DYNAMIC):
            raise DeviceError(f"mcm_method {str(method)!r} is not available; write 'device' or 'deferred'.")
        if method in DYNAMIC and trained:
            raise DeviceError("a branch with free angles has no gradient; write mcm_method='deferred'.")
        if method in DYNAMIC and not self._is_dynamic():
            raise DeviceError(
                f"{self.backend.name} does not measure inside of circuits; write mcm_method='deferred'."
            )
        if config.mcm_config.postselect_mode == "fill-shots":
            raise DeviceError("postselect_mode 'fill-shots' is not available; write 'hw-like'.")
        return replace(config.mcm_config, mcm_method=method)

    def _is_dynamic(self) -> bool:
        """Whether the backend runs mid-circuit measurements and branches."""
        target = self.backend.target
        if target is None:
            return isinstance(self.backend.sampler, Sampler)  # of others nothing is known
        return self.backend.sampler is not None and {"if_else", "reset"} <= set(target.operation_names)

    def preprocess_transforms(self, execution_config: ExecutionConfig | None = None) -> CompilePipeline:
        """What PennyLane does to a circuit before `execute`: decompose, and refuse what cannot run."""
        config = execution_config or ExecutionConfig()
        dynamic = config.mcm_config.mcm_method in DYNAMIC
        shifts = config.gradient_method == "device"
        return pipeline(self.name, self.wires, self.backend, dynamic=dynamic, shifts=shifts)

    def supports_derivatives(
        self, execution_config: ExecutionConfig | None = None, circuit: Any = None
    ) -> bool:
        """Whether the device differentiates itself: for "best" and "device"."""
        if execution_config is None or execution_config.gradient_method == "device":
            return True
        return execution_config.gradient_method == "best" and execution_config.derivative_order == 1

    def execute(
        self, circuits: Sequence[Any], execution_config: ExecutionConfig | None = None
    ) -> tuple[Any, ...]:
        """Run circuits in one job.

        Args:
            circuits: Tapes that `preprocess_transforms` has treated.
            execution_config: Not used.

        Returns:
            One result for each tape.

        Raises:
            DeviceError: If a tape cannot run on the backend.
        """
        return self._run(circuits)

    def compute_derivatives(
        self, circuits: Sequence[Any], execution_config: ExecutionConfig | None = None
    ) -> tuple[Any, ...]:
        """Compute Jacobians by parameter shifts in one job, or from the state where there is one."""
        return self._with_shifts(circuits, values=False)[1]

    def execute_and_compute_derivatives(
        self, circuits: Sequence[Any], execution_config: ExecutionConfig | None = None
    ) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Run circuits and compute their Jacobians, in one job."""
        return self._with_shifts(circuits, values=True)

    def _with_shifts(self, circuits: Sequence[Any], values: bool) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        batch, own = list(circuits) if values else [], len(circuits) if values else 0
        jacobians: list[Any] = [None] * len(circuits)
        shifted = []
        for index, circuit in enumerate(circuits):
            if has_adjoint(circuit, self.backend):
                jacobians[index] = adjoint_jacobian(circuit, self.wires, self.backend, self._compiler)
                continue
            # finite differences, the fallback for an operator without a rule, drown in shots
            rest = {"fallback_fn": None} if circuit.shots else {}
            tapes, read = qml.gradients.param_shift(circuit, **rest)
            shifted.append((index, len(batch), len(batch) + len(tapes), read))
            batch += tapes
        results = self._run(batch)
        for index, start, stop, read in shifted:
            jacobians[index] = read(results[start:stop])
        return results[:own], tuple(jacobians)

    def _run(self, circuits: Sequence[Any]) -> tuple[Any, ...]:
        tapes = list(circuits)
        results: list[Any] = [None] * len(tapes)
        exact = [at for at, tape in enumerate(tapes) if not tape.shots]
        sampled = [at for at, tape in enumerate(tapes) if tape.shots]
        self.job_ids, jobs = (), 0
        for which, run in ((exact, self._exact), (sampled, self._sampled)):
            if not which:
                continue
            found = run([tapes[at] for at in which])
            for at, result in zip(which, found[0], strict=True):
                results[at] = result
            jobs += found[1]
        if self.tracker.active:
            self.tracker.update(jobs=jobs, job_ids=self.job_ids)
        return tuple(results)

    def _exact(self, tapes: list[Any]) -> tuple[list[Any], int]:
        if self.backend.dense and not all(are_pauli_values(tape) for tape in tapes):
            return [from_states(tape, self._compiler) for tape in tapes], 1
        return self._from_values(tapes, None)

    def _sampled(self, tapes: list[Any]) -> tuple[list[Any], int]:
        shots = {tape.shots for tape in tapes}
        plain = (
            len(shots) == 1 and not tapes[0].shots.has_partitioned_shots and all(map(are_pauli_values, tapes))
        )
        if plain or self.backend.sampler is None:
            return self._from_values(tapes, tapes[0].shots.total_shots)
        lifter = Lifter()
        plans = [sampling.plan(tape, qubits_of(tape, self.wires, self.backend), lifter) for tape in tapes]
        circuits = [circuit for part, _ in plans for circuit in part]
        sampled = sampling.run(circuits, self._compiler, self.backend, self._seed())
        self.job_ids += sampled.job_ids
        bits = iter(sampled.bits)
        return [read([next(bits) for _ in part]) for part, read in plans], sampled.jobs

    def _from_values(self, tapes: list[Any], shots: int | None) -> tuple[list[Any], int]:
        lifter = Lifter()
        asked = [ask(tape, qubits_of(tape, self.wires, self.backend), lifter) for tape in tapes]
        questions = [question for part, _ in asked for question in part]
        found = evaluate(questions, self._compiler, self.backend, shots, self._seed())
        self.job_ids += found.job_ids
        values = iter(found.values)
        return [answer([next(values) for _ in part]) for part, answer in asked], found.jobs

    def _seed(self) -> int | None:
        return None if self._random is None else int(self._random.integers(2**31))
