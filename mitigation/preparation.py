"""From a PUB to what runs: transpiled once, folded to each scale factor, observables moved to the device."""

from __future__ import annotations

from math import ceil

from qiskit import QuantumCircuit
from qiskit.circuit import Barrier, Delay, Measure
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.transpiler import Target, generate_preset_pass_manager

from bondwise.backends import Backend
from bondwise.circuits import in_gates, true_names, with_constants
from bondwise.circuits.cache import CircuitCache
from bondwise.mitigation.prepared import PreparedPub, pauli_sums
from bondwise.mitigation.rewriting.decoupling import SEQUENCES, decouple
from bondwise.mitigation.rewriting.folding import (
    check_foldable,
    check_target,
    fold_gates,
    fold_global,
    fold_local,
    free_of_noise,
)
from bondwise.mitigation.rewriting.gate_twirling import twirl_gates
from bondwise.runs import UsageError, unknown_name

_FOLDINGS = ("global", "local", "gates")


def unmitigated(backend: Backend) -> Backend:
    """A backend whose values are as measured.

    Raises:
        UsageError: If IBM's client mitigates them already: the folded circuits would be mitigated, too.
    """
    option = next((part for part in backend.name.split(",") if part.startswith("resilience=")), None)
    if option is not None:
        raise UsageError(
            f"{backend.name} mitigates by itself, and its values would be mitigated twice; leave out "
            f"{option}, or pass the backend without MitigatedEstimator."
        )
    return backend


class Preparation:
    """How PUBs are prepared for a backend.

    Args:
        backend: Where they run.
        target: Target to transpile for; None for the backend's.
        folding: `"global"`, `"local"` or `"gates"`.
        scale_factors: The scale factors to fold to.
        twirls: Number of gate twirls of each folded circuit; 0 for none.
        decoupling: Sequence of pulses for idle qubits; None for none.

    Raises:
        UsageError: If the folding or the decoupling is unknown, or the target is none.
    """

    def __init__(
        self,
        backend: Backend,
        target: Target | None,
        folding: str,
        scale_factors: tuple[float, ...],
        twirls: int,
        decoupling: str | None,
    ) -> None:
        if folding not in _FOLDINGS:
            raise unknown_name("folding", str(folding), _FOLDINGS)
        if decoupling is not None and decoupling not in SEQUENCES:
            raise unknown_name("decoupling", str(decoupling), SEQUENCES)
        check_target(target)
        self.target = backend.target if target is None else target
        self.folding = folding
        self.scale_factors = scale_factors
        self._twirls, self._decoupling, self._backend = twirls, decoupling, backend
        self._made_for_target: CircuitCache[QuantumCircuit] = CircuitCache()
        if decoupling is not None and self.target is None:
            raise UsageError(
                f"{backend.name} reports no durations, so nobody knows when qubits are idle; leave out "
                "decoupling, or pass target=."
            )
        if target is not None:
            self.transpiled = "for the given target"
        elif self.target is not None:
            self.transpiled = f"by {backend.name}"
        else:
            self.transpiled = "not at all, folded as passed"

    def __call__(
        self, pub: EstimatorPub, *, fold: bool, shares: tuple[int, ...], seed: int | None
    ) -> PreparedPub:
        """Prepare a PUB.

        Args:
            pub: The PUB.
            fold: Whether to fold its circuit; one without gates that make noise is never folded.
            shares: How many PUBs are to measure each scale factor.
            seed: Random seed of the folding.

        Raises:
            UsageError: If the circuit cannot be folded, or not to distinct scale factors.
        """
        (circuit, transpiled), observables = self._transpile(pub.circuit), pub.observables
        if circuit.layout is not None and pub.circuit.layout is None:
            observables = observables.apply_layout(circuit.layout)
        folds = [(circuit, 1.0)]
        if fold and _has_noise(circuit, self.target):
            try:
                folds = [self._fold(circuit, factor, seed) for factor in self.scale_factors]
            except UsageError:
                check_foldable(pub.circuit)  # names what the caller wrote
                raise
        achieved = tuple(factor for _, factor in folds)
        if len(set(achieved)) < len(achieved):
            raise UsageError(
                f"scale factors {self.scale_factors} fold this circuit to {achieved}, not distinct; "
                "take them further apart, such as (1, 3, 5)."
            )
        circuits = [self._rewritten(one, seed) for one, _ in folds]
        if len(folds) == 1:
            shares = (ceil(sum(shares) / len(shares)),)
        repeats = tuple(share * max(1, self._twirls) for share in shares)
        return PreparedPub(pub, transpiled, circuit, circuits, achieved, repeats, pauli_sums(observables))

    def _rewritten(self, circuit: QuantumCircuit, seed: int | None) -> list[QuantumCircuit]:
        """The circuits that are run instead of a folded one."""
        made = [circuit]
        if self._twirls:
            made = twirl_gates(circuit, self._twirls, target=self.target, seed=seed)
        if self._decoupling and self.target is not None:
            made = [decouple(one, self.target, self._decoupling) for one in made]
        return made

    def _fold(self, circuit: QuantumCircuit, factor: float, seed: int | None) -> tuple[QuantumCircuit, float]:
        if self.folding == "global":
            return fold_global(circuit, factor, target=self.target)
        fold = fold_local if self.folding == "local" else fold_gates
        return fold(circuit, factor, target=self.target, seed=seed)

    def _transpile(self, circuit: QuantumCircuit) -> tuple[QuantumCircuit, str]:
        """The circuit to fold, and who transpiled it."""
        if circuit.layout is not None:
            return circuit, "before: it carries a layout"
        if self.target is self._backend.target:
            return self._backend.transpile(circuit), self.transpiled
        manager = generate_preset_pass_manager(3, target=self.target, seed_transpiler=0)
        return self._made_for_target.get(
            circuit, lambda: manager.run(with_constants(true_names(circuit)))
        ), self.transpiled


def _has_noise(circuit: QuantumCircuit, target: Target | None) -> bool:
    plain = in_gates(true_names(circuit))
    is_free = free_of_noise(plain, target)
    return any(
        step.qubits and not isinstance(step.operation, Barrier | Delay | Measure) and not is_free(step)
        for step in plain.data
    )
