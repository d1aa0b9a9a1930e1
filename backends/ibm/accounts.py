"""IBM accounts: by name, or from the environment; tokens are never taken as arguments and never shown."""

from __future__ import annotations

import json
import logging
import os
import re
import stat
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from qiskit_ibm_runtime import QiskitRuntimeService
from qiskit_ibm_runtime.accounts import management
from qiskit_ibm_runtime.api.auth import CloudAuth

from bondwise.backends.ibm.deadlines import within
from bondwise.runs import RunError, UsageError, unknown_name

# what the operating system says, and what is meant
_WHY = {
    "Connection refused": "connection refused",
    "timed out": "it does not answer",
    "getaddrinfo": "unknown host",
    "Name or service": "unknown host",
    "name resolution": "unknown host",
    "unreachable": "network unreachable",
}
_KNOWN: set[str] = set()  # tokens that are neither in the environment nor in the file of accounts
_LONGEST = 300  # characters of a message; answers may be pages of HTML
_AGAIN = (1.0, 4.0)  # seconds before a key is tried again after a lost answer
CHANNELS = ("ibm_quantum_platform", "ibm_cloud")
_CRN_PARTS = 10
_NO_CONNECTION = re.compile(
    r"host='([^']+)', port=(\d+).*(?:NewConnectionError|ConnectTimeoutError)", re.DOTALL
)
_LONG = re.compile(r"[A-Za-z0-9_\-]{40,}(\.[A-Za-z0-9_\-]+)*")  # keys and bearer tokens in an answer


def open_service(asked: str, account: str | None = None) -> QiskitRuntimeService:
    """Connect to IBM's service.

    Args:
        asked: What the connection is for, such as `ibm:ibm_torino`, for messages.
        account: Name of a saved account. None: QISKIT_IBM_TOKEN (with QISKIT_IBM_INSTANCE,
            QISKIT_IBM_CHANNEL and QISKIT_IBM_URL) if it is set, otherwise the default account.

    Raises:
        UsageError: If there is no such account, nothing being sent over the network, a variable has a value
            that cannot be used, or the file of accounts is damaged or others can read it.
        RunError: If the service refuses the account or cannot be reached.
    """
    token = os.environ.get("QISKIT_IBM_TOKEN")
    saved: dict[str, Any] = {}
    if account is not None or not token:
        saved = _saved(asked)
        if account is not None and not saved:
            raise UsageError(
                f"there is no saved account {account!r}, nor any other; save it with "
                f"QiskitRuntimeService.save_account(name={account!r}, …)."
            )
        if not saved:
            raise UsageError(
                f"{asked} needs an IBM Quantum account: set QISKIT_IBM_TOKEN, or save one with "
                "QiskitRuntimeService.save_account; 'fake:torino' needs no account."
            )
        if account is not None and account not in saved:
            raise unknown_name("account", account, saved)
        given: dict[str, str | None] = {} if account is None else {"name": account}
    else:
        _check_variables()
        given = {
            "channel": os.environ.get("QISKIT_IBM_CHANNEL") or CHANNELS[0],
            "token": token,
            "instance": os.environ.get("QISKIT_IBM_INSTANCE"),
            "url": os.environ.get("QISKIT_IBM_URL"),
        }

    _check_key(asked, account, given, saved)

    def connect() -> QiskitRuntimeService:
        with quiet():
            return QiskitRuntimeService(**given)

    try:
        service: QiskitRuntimeService = within(connect, f"the service of {asked}")
    except RunError:
        raise
    except Exception as error:  # errors of the service, of requests and of urllib
        raise RunError(f"{asked} cannot be reached: {without_secrets(error)}") from None
    return service


@contextmanager
def quiet() -> Iterator[None]:
    """A context in which the client warns of nothing: of each account that is given, and each default."""
    log = logging.getLogger("qiskit_ibm_runtime")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def keep_secret(service: QiskitRuntimeService) -> None:
    """Have the token of a service left out of all messages."""
    token = (service.active_account() or {}).get("token")
    if token:
        _KNOWN.add(str(token))


def without_secrets(error: object) -> str:
    """The text of an error in one line of at most 300 characters, without tokens."""
    text = " ".join(str(getattr(error, "message", error)).split()) or type(error).__name__
    if lost := _NO_CONNECTION.search(text):  # how urllib3 says it
        why = next((why for sign, why in _WHY.items() if sign in text), "no answer")
        text = f"no connection to {lost[1]}:{lost[2]} ({why})"
    for known in (os.environ.get("QISKIT_IBM_TOKEN"), *_KNOWN, *_tokens()):
        if known:
            text = text.replace(known, "***")
    text = _LONG.sub("***", text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def said_variables() -> str:
    """The variables besides the token that choose where devices are looked for, with their values."""
    if not os.environ.get("QISKIT_IBM_TOKEN"):
        return ""
    names = ("QISKIT_IBM_INSTANCE", "QISKIT_IBM_URL")
    found = [f"{name} is {_shown(value)}" for name in names if (value := os.environ.get(name))]
    return f"; {' and '.join(found)}" if found else ""


def _shown(value: str) -> str:
    return without_secrets(repr(value))  # a token may have been pasted there


def _check_variables() -> None:
    """Refuse values that the client takes, and then finds no device with."""
    channel, instance, url = (
        os.environ.get(f"QISKIT_IBM_{name}") or "" for name in ("CHANNEL", "INSTANCE", "URL")
    )
    if channel and channel not in CHANNELS:
        raise unknown_name("QISKIT_IBM_CHANNEL", channel, CHANNELS)
    if instance.startswith("crn:") and len(instance.split(":")) < _CRN_PARTS:
        raise UsageError(
            f"QISKIT_IBM_INSTANCE is {_shown(instance)}, which is no complete CRN; copy it from the page of "
            "the instance, or give the name of the instance."
        )
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise UsageError(
            f"QISKIT_IBM_URL is {_shown(url)}, which is no URL; write https://… or leave it out."
        )


def _check_key(
    asked: str, account: str | None, given: Mapping[str, str | None], saved: Mapping[str, Any]
) -> None:
    """Refuse a key that IBM does not accept; the client waits a minute before it says so."""
    default = [one for one in saved.values() if one.get("is_default_account")] or list(saved.values())
    used = given if "token" in given else saved[account] if account else default[0]
    if used.get("channel") not in (None, "ibm_cloud", "ibm_quantum_platform"):
        return  # which the client refuses by itself
    if used.get("proxies") or used.get("private_endpoint") or used.get("verify") is False:
        return
    tokens = CloudAuth(str(used["token"]), used.get("instance") or "").tm
    for pause in (*_AGAIN, None):
        try:
            if "access_token" in within(tokens.request_token, f"the service of {asked}"):
                return
            reason = "it has not been given an access token."
        except RunError:
            raise
        except Exception as error:
            reason = without_secrets(error)
            if getattr(error, "status_code", None) == 400:
                where = f"of the account {account!r}" if account else "in QISKIT_IBM_TOKEN"
                where = where if account or "token" in given else "of the saved account"
                raise RunError(f"{asked}: IBM does not accept the API key {where}: {reason}") from None
        if pause is not None:
            time.sleep(pause)
    raise RunError(f"{asked} cannot be reached: {reason}")


def _saved(asked: str) -> dict[str, Any]:
    """The saved accounts by name, if only their owner can read them."""
    path = _file()
    try:
        content = json.loads(path.read_text() or "{}") if path.exists() else {}
        if not isinstance(content, dict):
            raise ValueError
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise UsageError(
            f"{asked}: the file of accounts {path} cannot be read ({why}); repair it, or move it away and "
            "save the account again with QiskitRuntimeService.save_account."
        ) from None
    if not content or not _tokens():  # the client makes an empty file, which anybody may read
        return {}
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsageError(
            f"{asked}: others can read the tokens in {path}; run `chmod 600 {path}` first, and replace the "
            "tokens if others use this machine."
        )
    found: dict[str, Any] = QiskitRuntimeService.saved_accounts()
    return found


def _tokens() -> list[str]:
    try:
        accounts = json.loads(_file().read_text())
        return [found for one in accounts.values() if (found := str(one.get("token") or ""))]
    except (OSError, ValueError, AttributeError, RuntimeError):
        return []


def _file() -> Path:
    """The file in which the client saves accounts."""
    return Path(management._DEFAULT_ACCOUNT_CONFIG_JSON_FILE)
