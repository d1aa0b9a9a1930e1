"""Train circuits: Hamiltonians, starting points, optimization, and lambeq models.

Hamiltonians are those of spin lattices (`heisenberg`, `ising`, `xxz`) and molecules (`molecule`), or come
from files (`read_hamiltonian`). A circuit starts from a tensor network (`mps_start`), from the best product
state (`product_start`), or from angles near the identity or at random (`near_identity_start`,
`random_start`). `prepare` makes the circuit and its start, `uccsd` and `givens` are circuits for molecules.
`VQE` minimizes the energy on any backend. `minimize`, underneath, takes any differentiable function and
resumes bit for bit after an interruption. `from_lambeq` and `BatchedModel` run lambeq's sentence circuits;
`bondwise.qml.protein` classifies proteins.
"""

import lazy_loader

from bondwise.runs.renames import with_old_names

_getattr, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = with_old_names(__name__, _getattr, {"minimise": "minimize"})
