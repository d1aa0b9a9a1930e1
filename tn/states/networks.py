"""quimb's networks as arrays, by the names of their indices.

quimb keeps tensors in any order with axes in any order: after `flip`, or when a tensor was taken out and put
back, `.arrays` is not in the order of the sites. What a site is is said by the name of its index alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bondwise.runs import UsageError
from bondwise.tn.states.imported_quimb import qtn


def numpy_array(given: Any) -> NDArray[Any]:
    """Another library's array as numpy's; of torch also from another device, or while it keeps gradients."""
    if hasattr(given, "detach") and hasattr(given, "resolve_conj"):
        given = given.detach().cpu().resolve_conj().resolve_neg()
    return np.asarray(given)


def site_names(network: qtn.TensorNetwork) -> list[str]:
    """The outer indices of a state in the order of its sites.

    Raises:
        UsageError: The network has others, so that it is no state of sites 0 to n - 1.
    """
    outer = set(network.outer_inds())
    names = [f"k{i}" for i in range(len(outer))]
    if hasattr(network, "site_ind_id") and hasattr(network, "site_ind"):
        try:
            names = [network.site_ind(i) for i in range(len(outer))]
        except (TypeError, IndexError):  # sites of a lattice are pairs
            names = []
    if not outer or outer != set(names):
        shown = ", ".join(sorted(map(str, outer))[:4]) or "none"
        raise UsageError(
            f"the network has outer indices {shown}; give a state of at least two qubits with indices named "
            "k0, k1, ... as quimb does, or as its site_ind_id says."
        )
    return names


def is_chain(network: qtn.TensorNetwork) -> bool:
    """Whether this is quimb's matrix product state with one tensor a site, joined to the next one."""
    if not isinstance(network, qtn.MatrixProductState):
        return False
    names = site_names(network)
    tensors = [network.tensor_map[next(iter(network.ind_map[name]))] for name in names]
    if len({id(tensor) for tensor in tensors}) != len(names) or len(names) != network.num_tensors:
        return False
    owner = {id(tensor): i for i, tensor in enumerate(tensors)}
    for name, tids in network.ind_map.items():
        at = sorted(owner[id(network.tensor_map[tid])] for tid in tids)
        if name not in names and (len(at) != 2 or at[1] != at[0] + 1):
            return False
    return all(len(set(tensor.inds)) == len(tensor.inds) for tensor in tensors)


def chain_arrays(state: qtn.MatrixProductState) -> list[NDArray[Any]]:
    """The site tensors of a state for which `is_chain` holds, of shape (left, d, right)."""
    arrays: list[NDArray[Any]] = []
    left: list[str] = []
    names = site_names(state)
    for i, name in enumerate(names):
        (tid,) = state.ind_map[name]
        tensor = state.tensor_map[tid]
        right = [index for index in tensor.inds if index != name and index not in left]
        axes = [tensor.inds.index(index) for index in (*left, name, *right)]
        bond = arrays[-1].shape[2] if i else 1
        array = numpy_array(tensor.data).transpose(axes)
        arrays.append(array.reshape(bond, tensor.ind_size(name), -1))
        left = right
    arrays[0] = arrays[0] * 10.0 ** float(state.exponent)  # quimb keeps a part of the norm apart
    return arrays
