"""Requests to UniProt's REST service: repeated while it is busy, limited in size, and never trusted.

Nothing is fetched from any host other than the given one, text from the server reaches the terminal only as
plain letters, and an answer that unpacks to more than a limit is dropped.
"""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Mapping
from typing import IO, Any

from bondwise.runs import RunError, UsageError, printable, require_within

_ATTEMPTS = 5
_FIRST_WAIT = 1.0  # seconds; doubles with every attempt unless the server says how long to wait
_LONGEST_WAIT = 120.0
_TIMEOUT = 60.0
_BUSY = (429, 500, 502, 503, 504)
_PIECE = 1 << 16  # bytes


class _SameHost(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urllib.parse.urlsplit(newurl)[:2] != urllib.parse.urlsplit(req.full_url)[:2]:
            raise RunError(
                f"{req.host} redirects to another address, {in_letters(newurl)}, which is not followed."
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def check_address(url: str) -> None:
    """Raise a UsageError unless the address is https or on this machine."""
    try:
        parts = urllib.parse.urlsplit(url)
        local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
        good = bool(parts.hostname) and "@" not in parts.netloc and (parts.scheme == "https" or local)
    except ValueError:
        good = False
    if not good or not url.isprintable():
        raise UsageError(f"url={url!r} is not an https address; write https://rest.uniprot.org.")


def in_letters(text: str) -> str:
    """Text from a server as one line of about 200 letters, none of which moves a terminal's cursor."""
    return printable(" ".join(text.split())[:200])


def get(url: str, parameters: Mapping[str, Any]) -> tuple[Mapping[str, str], str]:
    """Fetch the headers and the text of an answer.

    Args:
        url: Address of the service, accepted by `check_address`.
        parameters: Parameters of the query.

    Raises:
        UsageError: If the answer unpacks to more than `BONDWISE_MAX_TEXT_BYTES`.
        RunError: If the service refuses, redirects to another host, fails five times, or does not answer in
            UTF-8.
    """
    address = f"{url.rstrip('/')}/uniprotkb/search?{urllib.parse.urlencode(parameters)}"
    request = urllib.request.Request(address, headers={"Accept-Encoding": "gzip", "User-Agent": "bondwise"})
    opener = urllib.request.build_opener(_SameHost)
    wait = _FIRST_WAIT
    for attempt in range(1, _ATTEMPTS + 1):
        asked = ""
        try:
            with opener.open(request, timeout=_TIMEOUT) as answer:
                return answer.headers, _content(answer, url).decode()
        except urllib.error.HTTPError as error:
            reason, asked = f"{error.code} {error.reason}", error.headers.get("Retry-After") or ""
            if error.code not in _BUSY:
                said = in_letters(_said(error)) or "no reason given"
                raise RunError(f"{url} refused the request ({in_letters(reason)}): {said}.") from None
        except (OSError, http.client.HTTPException, EOFError, zlib.error) as error:
            reason = str(getattr(error, "reason", "") or error or type(error).__name__)
        except UnicodeDecodeError:
            raise RunError(f"{url} did not answer in UTF-8; is this a server of UniProt?") from None
        pause = float(asked) if re.fullmatch(r"[0-9]{1,9}", asked) else wait
        if attempt == _ATTEMPTS or pause > _LONGEST_WAIT:
            break
        time.sleep(pause)
        wait *= 2
    raise RunError(
        f"{url} failed {attempt} times, last: {in_letters(reason)}; repeat the call later to continue where "
        "it stopped."
    )


def _content(answer: Any, url: str) -> bytes:
    """The body of an answer, unpacked piece by piece so that its size is checked before it is large."""
    packed = answer.headers.get("Content-Encoding") == "gzip"
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    pieces: list[bytes] = []
    size = 0
    while piece := answer.read(_PIECE):
        while piece:
            part = unpacker.decompress(piece, _PIECE) if packed else piece
            piece = unpacker.unconsumed_tail if packed else b""
            pieces.append(part)
            size += len(part)
            require_within("text_bytes", size, f"the answer of {url}")
    if getattr(answer, "length", None):  # a truncated body that is read in pieces raises nothing
        raise http.client.IncompleteRead(b"", answer.length)
    if packed and not unpacker.eof:
        raise EOFError("the answer is truncated")
    return b"".join(pieces)


def _said(error: urllib.error.HTTPError) -> str:
    start = error.read(2000)
    if error.headers.get("Content-Encoding") == "gzip":
        try:
            start = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(start, 2000)
        except zlib.error:
            return ""
    return start.decode(errors="replace")
