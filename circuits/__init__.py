"""Reading, checking and analyzing Qiskit circuits and Pauli sums, without running them.

`as_circuit` and `as_operator` turn what users pass into a `QuantumCircuit` or a `SparsePauliOp`, with one
rule for what counts as Hermitian. Circuits are read safely from files, their operations get names that match
what they do, and composite operations are written out as gates. CX gates and two-qubit depth are counted, and
gate angles become functions of the circuit's parameters, on which gradients are built. All other packages of
bondwise except `runs` build on this one.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
