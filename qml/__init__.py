"""Train circuits: Hamiltonians, starting points, optimization, and lambeq models.

Contains Hamiltonians of spin lattices and from files, starting points for variational circuits (a tensor
network, the best product state, near-identity or random angles), VQE on any backend, and the optimization
driver underneath, which minimizes any differentiable function and resumes bit for bit after an interruption.
`from_lambeq` and `BatchedModel` run lambeq's sentence circuits; `bondwise.qml.protein` classifies proteins.
"""

import lazy_loader

from bondwise.runs.renames import with_old_names

_getattr, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = with_old_names(__name__, _getattr, {"minimise": "minimize"})
