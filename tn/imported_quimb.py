"""quimb, imported without what it does to scipy.

At import quimb gives scipy's sparse matrices new methods and another product, which above 50,000 non-zeros
and with more than one thread is right for square matrices only. Nothing here needs any of it, and quimb falls
back on its own functions. Whoever wants them imports quimb before bondwise, and keeps them.
"""

from scipy.sparse import bsr_matrix, coo_matrix, csc_matrix, csr_matrix

from bondwise.runs import unchanged_process

with unchanged_process((bsr_matrix, coo_matrix, csc_matrix, csr_matrix)):
    import quimb.tensor as qtn

__all__ = ["qtn"]
