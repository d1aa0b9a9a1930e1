"""PUBs as callers write them: checked, and their observables and circuits read as the verbs read them."""

from __future__ import annotations

from typing import Any

from qiskit import QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import Pauli, SparseObservable, SparsePauliOp

from bondwise.backends.primitives import estimator_pub
from bondwise.circuits import as_circuit, as_operator, is_observable
from bondwise.runs import UsageError, kind_of

# letters of projectors among them, which are measured as they are
_AS_QISKIT_READS = (str, dict, Pauli, SparseObservable, SparsePauliOp)


def estimator_pubs(pubs: Any, precision: float | None = None) -> list[EstimatorPub]:
    """What an estimator runs.

    Args:
        pubs: `(circuit, observables, parameter_values, precision)`, the last two where needed; an observable
            is anything that `as_operator` takes, observables are arrays or lists as Qiskit takes them.
        precision: Of those without their own.

    Raises:
        UsageError: One cannot be read.
    """
    return [_read(EstimatorPub, _with_operator(pub), precision) for pub in _several(pubs)]


def sampler_pubs(pubs: Any, shots: int | None = None) -> list[SamplerPub]:
    """What a sampler runs.

    Args:
        pubs: Circuits, or `(circuit, parameter_values, shots)`, the last two where needed.
        shots: Of those without their own.

    Raises:
        UsageError: One cannot be read.
    """
    return [_read(SamplerPub, pub, shots) for pub in _several(pubs)]


def _several(pubs: Any) -> list[Any]:
    if isinstance(pubs, str | QuantumCircuit) or not hasattr(pubs, "__iter__"):  # a circuit is iterable
        raise UsageError(f"the PUBs are {kind_of(pubs)}; pass a list of them, run([pub]).")
    return list(pubs)


def _with_operator(pub: Any) -> Any:
    if not isinstance(pub, tuple | list) or len(pub) < 2:
        return pub
    circuit, observable, *rest = pub
    circuit = as_circuit(circuit)
    if is_observable(observable) and not isinstance(observable, _AS_QISKIT_READS):
        observable = as_operator(observable, circuit.num_qubits)
    return circuit, observable, *rest


def _read(kind: Any, pub: Any, default: Any) -> Any:
    try:
        return estimator_pub(pub, default) if kind is EstimatorPub else kind.coerce(pub, default)
    except UsageError:
        raise
    except (TypeError, ValueError, AttributeError, QiskitError) as error:
        form = "(circuit, observables, parameter_values)"
        form = form if kind is EstimatorPub else "(circuit, parameter_values)"
        reason = " ".join(str(error).strip("'\"").split())[:200]
        raise UsageError(f"a PUB cannot be read ({reason}); pass {form}.") from error
