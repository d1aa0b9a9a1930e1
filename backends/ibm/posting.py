"""Submissions that IBM's client does not repeat by itself.

After some errors of the service the client posts a job again, although the first one may have been accepted:
a process that is killed at that moment leaves two. Here its tag is looked up before it is posted again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from qiskit_ibm_runtime import QiskitRuntimeService
from qiskit_ibm_runtime.api.session import PostForcelistRetry

_MINE = threading.local()


class _PostsOnce(PostForcelistRetry):
    """The client's own way to ask again, except for what this thread posts within `posted_once`."""

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
        """Whether to ask again after an answer."""
        if method.upper() == "POST" and getattr(_MINE, "once", False):
            return False
        return bool(super().is_retry(method, status_code, has_retry_after))


@contextmanager
def posted_once(service: QiskitRuntimeService) -> Iterator[None]:
    """A context in which this thread posts everything once; elsewhere the service is as it was."""
    for client in (service._active_api_client, *service._get_api_clients().values()):
        for adapter in client._session.adapters.values():
            old = adapter.max_retries
            if not isinstance(old, _PostsOnce):
                adapter.max_retries = _PostsOnce(
                    total=old.total,
                    connect=old.connect,
                    backoff_factor=old.backoff_factor,
                    status_forcelist=old.status_forcelist,
                )
    _MINE.once = True
    try:
        yield
    finally:
        _MINE.once = False
