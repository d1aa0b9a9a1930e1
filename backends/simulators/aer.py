"""The names `"statevector"` and `"aer…"`, and Aer's noise models.

Noisy values are exact, from the density matrix, up to 12 qubits; larger circuits, and methods without a
density matrix, are sampled by trajectories. The basis change before a measurement has no error; the model's
readout errors apply.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ControlFlowOp, ForLoopOp, Gate, IfElseOp, Instruction, SwitchCaseOp, WhileLoopOp
from qiskit.circuit.library import UnitaryGate, get_standard_gate_name_mapping
from qiskit.primitives import BaseEstimatorV2, BaseSamplerV2
from qiskit.quantum_info import Operator, SuperOp
from qiskit.transpiler import Target
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, depolarizing_error

from bondwise.backends.backend import Backend
from bondwise.backends.primitives import Sampler
from bondwise.backends.sampled import BASIS_CHANGES, SampledEstimator, ideal_rotations
from bondwise.backends.simulators.aer_primitives import (
    SimulatorEstimator,
    SimulatorSampler,
    TrajectorySampler,
    Translator,
)
from bondwise.backends.simulators.aer_runs import MAX_QUBITS, replaced, simulator
from bondwise.backends.simulators.density import DensityEstimator, Prepared
from bondwise.circuits.splitting import is_free
from bondwise.runs import UsageError, kind_of, unknown_name

ONE_QUBIT_GATES = tuple("id x y z h s sdg t tdg sx sxdg rx ry rz r p u".split())
TWO_QUBIT_GATES = tuple("cx cy cz cp csx swap ecr rxx ryy rzz rzx".split())
CONTROL_FLOW = {
    "if_else": IfElseOp,
    "for_loop": ForLoopOp,
    "while_loop": WhileLoopOp,
    "switch_case": SwitchCaseOp,
}
# Aer's methods that choose another one, do not evolve states, or do not return expectation values
NOT_OFFERED = {"automatic", "unitary", "superop", "extended_stabilizer"}


@cache
def methods() -> tuple[str, ...]:
    """Aer's methods that evolve states, such as `"matrix_product_state"`."""
    return tuple(sorted(set(AerSimulator().available_methods()) - NOT_OFFERED))


def aer_backend(name: str, noise: NoiseModel | None = None) -> Backend:
    """The backend of `"statevector"`, or of `"aer"` with options, `"aer:OPTION,OPTION"`.

    Args:
        name: Name of the backend. The options are one of Aer's methods, and `depolarizing=P`: every two-qubit
            gate is followed by the two-qubit channel (1-P) ρ + P I/4; one-qubit gates and readout are ideal.
        noise: A noise model instead of `depolarizing=`.

    Raises:
        UsageError: If a method or option is unknown, P is outside [0, 1], or there are two noise models.
    """
    if noise is not None and not isinstance(noise, NoiseModel):
        raise UsageError(f"noise is {kind_of(noise)}; pass a qiskit_aer.noise.NoiseModel.")
    method = None
    for option in name.partition(":")[2].split(",") if ":" in name else ():
        key, equals, text = option.partition("=")
        if equals and key == "depolarizing":
            if noise is not None:
                raise UsageError(f"{name!r} and noise= both set the noise; leave one of them out.")
            noise = _depolarizing(text)
        elif option in methods() and method is None:
            method = option
        else:
            raise unknown_name("option of aer", option, [*methods(), "depolarizing=0.01"])
    if noise is None or noise.is_ideal():
        aer = simulator(method or "statevector")
        return Backend(
            name,
            estimator=SimulatorEstimator(aer),
            sampler=SimulatorSampler(aer),
            exact=True,
            values=_state_values if name == "statevector" else None,
            amplitudes=_state_amplitudes if name == "statevector" else None,
            dense=name == "statevector",
        )
    suited = method is None or method == "density_matrix"  # above 12 qubits, trajectories
    sampler: Sampler = TrajectorySampler(noise) if suited else SimulatorSampler(simulator(str(method), noise))
    sampled = SampledEstimator(sampler, ideal_rotations)
    readout = confusion_matrices(noise)
    if not suited or readout is None:
        only_sampled = DensityEstimator(_never, sampled)  # for its estimate of how long shots take
        written_for = method or "density_matrix"
        return _AsWritten(name, noise, estimator=only_sampled, sampler=sampler, method=written_for)
    estimator = DensityEstimator(_Preparation(noise, readout), sampled)
    return _AsWritten(name, noise, estimator=estimator, sampler=sampler, exact=True)


def _state_values(*args: Any) -> Any:
    from bondwise.backends.gradients.statevector import state_values  # loads torch

    return state_values(*args)


def _state_amplitudes(*args: Any) -> Any:
    from bondwise.backends.gradients.statevector import state_amplitudes  # loads torch

    return state_amplitudes(*args)


def on_simulator(aer: AerSimulator) -> Backend:
    """The backend of a given simulator, with its options and its noise model if it has one."""
    name = f"aer:{aer.options.method}"
    sampler = SimulatorSampler(aer)
    noise = aer.options.noise_model
    noisy = noise is not None and not noise.is_ideal()
    target = aer.target if aer.coupling_map is not None else None
    if not noisy:
        estimator = SimulatorEstimator(aer)
        return Backend(name, estimator=estimator, sampler=sampler, target=target, exact=True)
    if target is not None:  # the simulator of a device
        symmetric = _symmetric(noise)
        return Backend(aer.name, sampler=sampler, target=target, noisy=True, symmetric_readout=symmetric)
    sampled = SampledEstimator(sampler, ideal_rotations)
    method = "density_matrix" if aer.options.method == "automatic" else aer.options.method
    return _AsWritten(name, noise, estimator=sampled, sampler=sampler, method=method)


def _never(circuit: QuantumCircuit, observed: tuple[int, ...]) -> None:
    return None


class _AsWritten(Backend):
    """Runs circuits as written: level 0 only decomposes gates that the noise model does not name.

    A model names gates, or labels of gates; those keep their label and are never decomposed.
    """

    def __init__(
        self,
        name: str,
        noise: NoiseModel,
        *,
        estimator: BaseEstimatorV2,
        sampler: BaseSamplerV2,
        method: str = "density_matrix",
        exact: bool = False,
    ) -> None:
        super().__init__(
            name,
            estimator=estimator,
            sampler=sampler,
            target=_target(noise),
            exact=exact,
            noisy=True,
            symmetric_readout=_symmetric(noise),
            optimization_level=0,
        )
        self._noise = noise
        self._simulated = _simulated(method)

    def _compiled(
        self, circuit: QuantumCircuit, layout: list[int] | None, target: Target | None = None
    ) -> QuantumCircuit:
        target = _target(self._noise)
        native, named = set(target.operation_names), set(self._noise.noise_instructions)
        kept: dict[str, Instruction] = {}

        def hidden(operation: Instruction) -> Instruction:
            label, name = getattr(operation, "label", None), operation.name
            plain = label is None and name in native
            if plain or (label or name) not in named:
                return operation
            if name not in self._simulated:
                # Aer finds errors by the label, on any gate
                if not isinstance(operation, Gate) or any(map(is_free, operation.params)):
                    return operation
                operation = UnitaryGate(Operator(operation), label=label or name)
            stand_in = Instruction(f"kept-{len(kept)}", operation.num_qubits, operation.num_clbits, [])
            target.add_instruction(stand_in)
            kept[stand_in.name] = operation
            return stand_in

        compiled = super()._compiled(replaced(circuit, hidden), layout, target)
        return replaced(compiled, lambda operation: kept.get(operation.name, operation))


def _depolarizing(text: str) -> NoiseModel:
    try:
        strength = float(text)
    except ValueError:
        strength = -1.0
    if not 0 <= strength <= 1:
        raise UsageError(f"depolarizing={text} is not a strength; write a number from 0 to 1, such as 0.01.")
    noise = NoiseModel(basis_gates=[*ONE_QUBIT_GATES, *TWO_QUBIT_GATES])
    if strength:
        noise.add_all_qubit_quantum_error(depolarizing_error(strength, 2), list(TWO_QUBIT_GATES))
    return noise


@cache
def _simulated(method: str) -> frozenset[str]:
    return frozenset(AerSimulator(method=method).operation_names)


def _target(noise: NoiseModel) -> Target:
    # gates that the density matrix lacks are decomposed for all methods, so that errors are the same
    gates = set(noise.basis_gates) & set(get_standard_gate_name_mapping()) & _simulated("density_matrix")
    target = Target.from_configuration(sorted(gates | {"measure", "reset", "delay"}))
    for name, branch in CONTROL_FLOW.items():
        target.add_instruction(branch, name=name)
    return target


def confusion_matrices(noise: NoiseModel) -> dict[int | None, np.ndarray] | None:
    """Confusion matrices [bit read, true bit] by qubit, None for all others; None if readout is not local."""
    found: dict[int | None, np.ndarray] = {None: np.eye(2)}
    for error in noise.to_dict()["errors"]:
        if error["type"] != "roerror" and "measure" in error["operations"]:
            return None
        if error["type"] == "roerror":
            for qubits in error.get("gate_qubits", [(None,)]):
                if len(qubits) > 1 or len(error["probabilities"]) > 2:
                    return None
                found[qubits[0]] = np.asarray(error["probabilities"], dtype=float).T
    return found


def _symmetric(noise: NoiseModel) -> bool:
    confusion = confusion_matrices(noise)
    return confusion is not None and all(np.allclose(one, one.T, rtol=0) for one in confusion.values())


class _Preparation:
    """Prepares circuits for a noise model: all qubits are kept, Aer applies the errors."""

    def __init__(self, noise: NoiseModel, readout: dict[int | None, np.ndarray]) -> None:
        self._simulator = simulator("density_matrix", noise)
        self._translate = Translator(self._simulator)
        self._readout = readout
        self._changes = {letter: SuperOp(Operator(matrix)).data for letter, matrix in BASIS_CHANGES.items()}

    def __call__(self, circuit: QuantumCircuit, observed: tuple[int, ...]) -> Prepared | None:
        branches = any(i.clbits or isinstance(i.operation, ControlFlowOp) for i in circuit.data)
        if branches or circuit.num_qubits > MAX_QUBITS:
            return None
        qubits = range(circuit.num_qubits)
        return Prepared(
            circuit=self._translate(circuit),
            positions={qubit: qubit for qubit in qubits},
            simulator=self._simulator,
            channel=lambda place, letter: self._changes[letter],
            readout=np.array([self._readout.get(qubit, self._readout[None]) for qubit in qubits]),
        )
