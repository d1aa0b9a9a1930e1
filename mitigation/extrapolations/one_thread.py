"""One thread for computations on matrices as small as a scan.

They are too small to be shared out: on a busy machine, threads that wait for each other take ten times as
long as one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits


@contextmanager
def one_thread() -> Iterator[None]:
    """Run a block, or a decorated function, on one thread of torch, BLAS and OpenMP."""
    before = torch.get_num_threads()
    with threadpool_limits(1):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
