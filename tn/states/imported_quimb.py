"""quimb, imported without the product that it gives scipy's sparse matrices.

That product, of a `csr_matrix` and a vector, is right for square matrices only (above 50,000 non-zeros, with
more than one thread). scipy's own comes back, wrapped as quimb wraps that of other formats: quimb's arrays
come out as quimb's, all others as ever. What quimb adds under names that scipy does not have (`.H`, `.tr`,
`&`) stays, since quimb's own functions need it. Whoever imported quimb before keeps all of it.
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
