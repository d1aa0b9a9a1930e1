"""quimb, imported without its replacement for the product of scipy's sparse matrices.

quimb replaces the product of a `csr_matrix` and a vector by one that is correct only for square matrices
(above 50,000 nonzeros, with more than one thread). Here scipy's own product is put back, wrapped as quimb
wraps the products of other formats, so that quimb's arrays stay quimb's. What quimb adds under names that
scipy does not have (`.H`, `.tr`, `&`) stays, because quimb's own functions need it. If quimb was imported
earlier, nothing is changed.
"""

from scipy.sparse import csr_matrix

from bondwise.runs import unchanged_process

_product = csr_matrix._matmul_vector

with unchanged_process():
    import quimb.tensor as qtn
    from quimb.core import sp_mulvec_wrap

if csr_matrix._matmul_vector is not _product:
    csr_matrix._matmul_vector = sp_mulvec_wrap(_product)

__all__ = ["qtn"]
