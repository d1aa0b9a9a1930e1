"""quimb, imported when it is first needed, without its replacement for scipy's sparse products.

Importing quimb compiles functions for many seconds when its cache is empty, so nothing here imports it until
a quimb object is asked for. One that is brought is recognized without an import, since its owner has
imported quimb.

quimb replaces the product of a `csr_matrix` and a vector by one that is correct only for square matrices
(above 50,000 nonzeros, with more than one thread). Here scipy's own product is put back, wrapped as quimb
wraps the products of other formats, so that quimb's arrays stay quimb's. What quimb adds under names that
scipy does not have (`.H`, `.tr`, `&`) stays, because quimb's own functions need it. If quimb was imported
earlier, nothing is changed.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from bondwise.runs import unchanged_process
from bondwise.runs.progress import announce_compilation

if TYPE_CHECKING:
    import quimb.tensor as qtn

_NAME = "quimb.tensor"


def import_quimb() -> Any:
    """The module `quimb.tensor`."""
    if _NAME in sys.modules:
        return sys.modules[_NAME]
    from scipy.sparse import csr_matrix

    product = csr_matrix._matmul_vector
    with unchanged_process():
        announce_compilation()
        import quimb.tensor as module
        from quimb.core import sp_mulvec_wrap
    if csr_matrix._matmul_vector is not product:
        csr_matrix._matmul_vector = sp_mulvec_wrap(product)
    return module


def is_quimb(thing: Any, kind: str = "TensorNetwork") -> bool:
    """Whether this is an instance of a class of `quimb.tensor`, which need not be imported for the answer."""
    return isinstance(thing, getattr(sys.modules.get(_NAME), kind, ()))


__all__ = ["import_quimb", "is_quimb", "qtn"]
