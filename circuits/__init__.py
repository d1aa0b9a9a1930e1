"""What can be said about Qiskit circuits and Pauli sums without running them.

Front doors turn whatever users pass into a `QuantumCircuit` or a `SparsePauliOp`, with one rule for what is
Hermitian. Circuits are read from files safely, given true gate names, freed of final measurements, written
out in gates, counted (CX gates, two-qubit depth) and fingerprinted; and their gate angles become functions of
their parameters, which is what gradients are built on. The other rooms use these functions, and so can you.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
