"""Shared parts of the state readers: other libraries' arrays, and quimb networks by index name.

quimb stores tensors, and the axes of a tensor, in any order: after `flip`, or after a tensor was taken out
and put back, `.arrays` is not in the order of the sites. Only the name of its index identifies a site.
"""

from __future__ import annotations

import itertools
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bondwise.runs import UsageError
from bondwise.tn.states.imported_quimb import is_quimb

if TYPE_CHECKING:
    from bondwise.tn.states.imported_quimb import qtn

_ROUNDED, _TRUNCATED = 1e-6, 1e-4  # deviations of a norm from 1: accepted silently, and with a warning


def numpy_array(given: Any) -> NDArray[Any]:
    """Another library's array as a NumPy array, including torch tensors on a device or with gradients."""
    if hasattr(given, "detach") and hasattr(given, "resolve_conj"):
        given = given.detach().cpu().resolve_conj().resolve_neg()
    return np.asarray(given)


def site_names(network: qtn.TensorNetwork) -> list[str]:
    """The outer indices of a state in the order of its sites.

    Raises:
        UsageError: If there are other outer indices, so that this is not a state of sites 0 to n - 1.
    """
    outer = set(network.outer_inds())
    names = [f"k{i}" for i in range(len(outer))]
    if hasattr(network, "site_ind_id") and hasattr(network, "site_ind"):
        try:
            names = [network.site_ind(i) for i in range(len(outer))]
        except (TypeError, IndexError):  # a lattice numbers its sites by pairs
            names = []
    if not outer or outer != set(names):
        shown = ", ".join(sorted(map(str, outer))[:4]) or "none"
        raise UsageError(
            f"the network has outer indices {shown}; give a state of at least two qubits with indices named "
            "k0, k1, ... as quimb does, or as its site_ind_id says."
        )
    return names


def chain_arrays(network: qtn.TensorNetwork) -> list[NDArray[Any]]:
    """The site tensors (left, d, right) of a quimb matrix product state.

    Returns:
        One array per site, or an empty list if the network is not a matrix product state with one tensor per
        site, each joined to the next one only.

    Raises:
        UsageError: If the state is periodic.
    """
    if not is_quimb(network, "MatrixProductState"):
        return []
    if network.cyclic:
        raise UsageError(
            "the matrix product state is periodic: a bond joins its last site to its first, which a chain of "
            "gates with open ends cannot make; give a state with open boundaries."
        )
    names = site_names(network)
    tids = [next(iter(network.ind_map[name])) for name in names]
    if len(set(tids)) < len(names) or len(names) != network.num_tensors:
        return []
    arrays: list[NDArray[Any]] = []
    left: list[str] = []
    for i, (name, tid) in enumerate(zip(names, tids, strict=True)):
        tensor = network.tensor_map[tid]
        right = [index for index in tensor.inds if index != name and index not in left]
        if len(set(tensor.inds)) < len(tensor.inds) or any(
            set(network.ind_map[index]) != {tid, *tids[i + 1 : i + 2]} for index in right
        ):
            return []
        axes = [tensor.inds.index(index) for index in (*left, name, *right)]
        bond = arrays[-1].shape[2] if i else 1
        array = numpy_array(tensor.data).transpose(axes)
        arrays.append(array.reshape(bond, tensor.ind_size(name), -1))
        left = right
    arrays[0] = arrays[0] * 10.0 ** float(network.exponent)  # quimb keeps part of the norm there
    return arrays


def with_open_ends(arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """Site tensors as (left, 2, right) if the first and the last one lack their outer bonds.

    Args:
        arrays: As quimb's `.arrays`, (right, 2), (left, right, 2), …, (left, 2); or (2, right), (left, 2,
            right), …, (left, 2); or anything else, which is returned as it is.

    Raises:
        UsageError: If the arrays do not fit together in either order of their axes, or in both as different
            states of norm 1, as after `right_canonize` if all bonds are 2; or if they are not in the order of
            the sites.
    """
    instead = (
        'pass the quimb state itself, or save numpy.savez("state.npz", *bondwise.tn.site_tensors(state))'
    )
    inner = arrays[1:-1]
    ends = [index for index, array in enumerate(arrays) if array.ndim == 2]
    if len(ends) == 2 < len(arrays) and ends != [0, len(arrays) - 1] and {a.ndim for a in arrays} == {2, 3}:
        raise UsageError(
            f"arrays {ends[0]} and {ends[1]} have two axes, as the ends of a quimb state whose tensors are "
            f"not stored in the order of its sites; {instead}."
        )
    if len(arrays) < 2 or arrays[0].ndim != 2 or arrays[-1].ndim != 2 or any(a.ndim != 3 for a in inner):
        return arrays
    site_last = [array.transpose(0, 2, 1) for array in (arrays[0][None], *inner, arrays[-1][:, None])]
    site_second = [arrays[0][None], *inner, arrays[-1][..., None]]
    fitting = [tensors for tensors in (site_last, site_second) if _fit_together(tensors)]
    normalized = [tensors for tensors in fitting if abs(_inner(tensors, tensors) - 1) < 2 * _TRUNCATED]
    if not fitting:
        shown = ", ".join(str(array.shape) for array in arrays[:4])
        raise UsageError(
            f"the shapes {shown} are not those of a matrix product state, (right, 2), (left, right, 2), …, "
            f"(left, 2) as in quimb; {instead}."
        )
    if len(normalized) == 2 and abs(abs(_inner(*normalized)) - 1) > _ROUNDED:
        raise UsageError(
            f"the arrays are one state as (left, right, 2) and another as (left, 2, right); {instead}."
        )
    return (normalized or fitting)[0]


def _fit_together(tensors: list[NDArray[Any]]) -> bool:
    bonds = all(a.shape[2] == b.shape[0] for a, b in itertools.pairwise(tensors))
    return bonds and all(tensor.shape[1] == 2 for tensor in tensors)


def _inner(left: list[NDArray[Any]], right: list[NDArray[Any]]) -> Any:
    """⟨left|right⟩."""
    block = np.ones((1, 1))
    for bra, ket in zip(left, right, strict=True):
        block = np.einsum("ab,asc,bsd->cd", block, bra.conj(), ket, optimize=True)
    return block[0, 0]


def check_norm(norm: Any) -> None:
    """Warn if truncation may have left this norm, raise UsageError if it is further from 1."""
    if not abs(norm - 1) <= _TRUNCATED:
        raise UsageError(
            f"the state has norm {norm:.6g}, not 1; divide it by its norm: "
            f"vector / numpy.linalg.norm(vector), one tensor / {norm:.6g}, or state.normalize() in quimb."
        )
    if abs(norm - 1) > _ROUNDED:
        warnings.warn(f"the state has norm {norm:.8g}, not 1; it is divided by it.", stacklevel=3)
