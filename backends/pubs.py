"""PUBs as callers write them, with circuits and observables of every kind that the verbs accept."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Instruction
from qiskit.exceptions import QiskitError
from qiskit.primitives.containers.bindings_array import BindingsArray
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import Pauli, SparseObservable, SparsePauliOp

from bondwise.backends.primitives import estimator_pub
from bondwise.circuits import as_circuit, as_operator, is_observable
from bondwise.circuits.files.orders import with_order
from bondwise.runs import UsageError, kind_of

# Qiskit reads these itself, including the letters of projectors
_AS_QISKIT_READS = (str, dict, Pauli, SparseObservable, SparsePauliOp)


def estimator_pubs(pubs: Any, precision: float | None = None) -> list[EstimatorPub]:
    """PUBs for an estimator.

    Args:
        pubs: `(circuit, observables, parameter_values, precision)`, where the last two may be omitted. An
            observable is anything that `as_operator` takes; several are arrays or lists as in Qiskit.
        precision: Precision of PUBs that do not set one.

    Raises:
        UsageError: If a PUB cannot be read.
    """
    form = "(circuit, observables, parameter_values)"
    return [
        _read(lambda pub: estimator_pub(_with_operator(pub), precision), pub, form) for pub in _several(pubs)
    ]


def sampler_pubs(pubs: Any) -> list[SamplerPub]:
    """PUBs for a sampler.

    Args:
        pubs: Circuits, or `(circuit, parameter_values, shots)`, where the last two may be omitted.

    Raises:
        UsageError: If a PUB cannot be read.
    """
    form = "(circuit, parameter_values)"
    return [_read(lambda pub: SamplerPub.coerce(_with_circuit(pub)), pub, form) for pub in _several(pubs)]


def _several(pubs: Any) -> list[Any]:
    if isinstance(pubs, str | QuantumCircuit) or not hasattr(pubs, "__iter__"):  # a circuit is iterable
        raise UsageError(f"the PUBs are {kind_of(pubs)}; pass a list of them, run([pub]).")
    return list(pubs)


def _with_operator(pub: Any) -> Any:
    if not isinstance(pub, tuple | list) or len(pub) < 2:
        return pub
    circuit, observable, *rest = pub
    circuit, *rest = _with_circuit((circuit, *rest))
    if is_observable(observable) and not isinstance(observable, _AS_QISKIT_READS):
        observable = as_operator(observable, circuit.num_qubits)
    return circuit, observable, *rest


def _with_circuit(pub: Any) -> Any:
    """`(circuit, parameter_values, …)` with a circuit, and with values in the order of its parameters."""
    if isinstance(pub, str | os.PathLike | Instruction):
        return as_circuit(pub)
    if not isinstance(pub, tuple | list) or not pub:
        return pub
    circuit, order = with_order(pub[0])
    values = pub[1] if len(pub) > 1 else None
    if values is None or not order.differs or isinstance(values, Mapping | BindingsArray):
        return circuit, *pub[1:]
    array = np.asarray(values)
    fits = array.ndim and array.shape[-1] == order.count
    return circuit, order.to_circuit(array) if fits else values, *pub[2:]


def _read(read: Callable[[Any], Any], pub: Any, form: str) -> Any:
    try:
        return read(pub)
    except UsageError:
        raise
    except (TypeError, ValueError, AttributeError, QiskitError) as error:
        reason = " ".join(str(error).strip("'\"").split())[:200]
        raise UsageError(f"a PUB cannot be read ({reason}); pass {form}.") from error
