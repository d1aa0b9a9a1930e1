"""Tensor networks, and the step from a trained network to a circuit.

States come from DMRG (`ground_state`), from data (`train_born`), or from vectors, circuits and quimb, as
matrix product states (`site_tensors`) or trees (`tree_state`). `decompose` finds a shallow circuit that
prepares a state, `fit` the parameters of a circuit that you already have; both report the exact infidelity.
`extend` appends gates near the identity, so that training starts from the state and can go beyond it, and
`gradient_profile` measures the energy gradients at that start, for any number of qubits. Site i is qubit i
throughout. `bondwise.tn.compress` puts factors in the place of a torch model's layers.
"""

import lazy_loader

from bondwise.runs.renames import with_old_names

_lookup, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = with_old_names(__name__, _lookup, {"Window": "ExactOverlap"})
