"""Questions to a service that may be asked again: after a lost answer, and with a new access token."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TypeVar

from qiskit.providers.exceptions import QiskitBackendNotFoundError
from qiskit_ibm_runtime import QiskitRuntimeService
from qiskit_ibm_runtime.exceptions import (
    IBMError,
    IBMInputValueError,
    IBMNotAuthorizedError,
    RuntimeInvalidStateError,
    RuntimeJobNotFound,
)
from requests.exceptions import RequestException

from bondwise.backends.ibm.accounts import without_secrets
from bondwise.backends.ibm.deadlines import within
from bondwise.runs import RunError

T = TypeVar("T")

_AGAIN = (1.0, 4.0, 16.0)  # seconds before asking again; the client asks several times by itself
_REFUSED = re.compile(r"\b4\d\d Client Error")
_BUSY = re.compile(r"\b429\b")
# answers, not the lack of one
_ANSWERS = (RunError, QiskitBackendNotFoundError, RuntimeInvalidStateError, RuntimeJobNotFound)


def authorized(
    call: Callable[[], T], service: QiskitRuntimeService, what: str, seconds: float | None = None
) -> T:
    """Call something of a service; if the access token is refused, once more with a new one.

    Args:
        call: The function; see `within`.
        service: The service.
        what: What is called, for the message.
        seconds: How long to wait.

    Raises:
        RunError: If there is no answer in time.
    """
    tokens = [
        client._session.auth.tm
        for client in (service._active_api_client, *service._get_api_clients().values())
    ]
    for manager in tokens:
        manager.request_time = 0  # after an exchange that failed, it waits for a minute
    try:
        return within(call, what, seconds)
    except IBMNotAuthorizedError:
        # the client takes a token for valid until it expires, and never asks for another one before
        for manager in tokens:
            manager.expire_time = manager.refresh_time = manager.request_time = 0
        return within(call, what, seconds)


def asked(call: Callable[[], T], service: QiskitRuntimeService, what: str) -> T:
    """The answer to a question that may be repeated, as it changes nothing the second time.

    Args:
        call: Asks it.
        service: The service.
        what: What is asked, for the message.

    Raises:
        RunError: If there is no answer, after several times, or the service refuses.
        Exception: What the client says of a job or device that does not exist, or a job that has ended.
    """
    pauses = iter(_AGAIN)
    while True:
        try:
            return authorized(call, service, what)
        except _ANSWERS:
            raise
        except Exception as error:  # errors of the service, of requests and of urllib
            pause = None if refused(error) else next(pauses, None)
            if pause is None:
                raise RunError(f"{what} cannot be asked: {without_secrets(error)}") from None
        time.sleep(pause)


def busy(error: Exception) -> bool:
    """Whether the service wants fewer requests."""
    return bool(_BUSY.search(str(error)))


def refused(error: Exception) -> bool:
    """Whether the service, or the client, has said no."""
    if isinstance(error, IBMInputValueError | IBMNotAuthorizedError):
        return True
    return bool(_REFUSED.search(str(error))) and not busy(error)


def unanswered(error: Exception) -> bool:
    """Whether nothing is known of what was asked for: it may have been done, or be done later."""
    return not refused(error) and isinstance(error, IBMError | RequestException | KeyError)
