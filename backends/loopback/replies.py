"""Answers of the loopback service: their form, its errors, and the tokens without which it answers nothing.

Errors are `{"errors": [{"code", "message", "solution", "more_info"}], "trace"}`, as in IBM Quantum's API.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs


@dataclass(frozen=True)
class Reply:
    """An answer: status, JSON or text, headers."""

    status: int
    content: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        """What is sent; nothing for None."""
        if self.content is None:
            return b""
        text = self.content if isinstance(self.content, str) else json.dumps(self.content)
        return text.encode()


class Refused(Exception):  # noqa: N818 (it is an answer)
    """A request that is answered with an error."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.reply = error_reply(status, code, message)


def error_reply(status: int, code: int, message: str, **headers: str) -> Reply:
    """An error as the service sends it."""
    error = {"code": code, "message": message, "solution": "", "more_info": ""}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, {"errors": [error], "trace": secrets.token_hex(8)}, named)


class Tokens:
    """API key and access tokens, which are JWTs signed with the key: they outlive the server.

    Args:
        key: The API key.
        life: Seconds until an access token expires.
    """

    def __init__(self, key: str, life: float) -> None:
        self.key, self.life = key, life

    def exchange(self, body: bytes) -> Reply:
        """An access token for an API key, as IBM's IAM answers."""
        form = parse_qs(body.decode())
        if form.get("apikey") != [self.key]:
            return Reply(
                400,
                {
                    "errorCode": "BXNIM0415E",
                    "errorMessage": "Provided API key could not be found.",
                    "context": {"requestId": secrets.token_hex(8), "requestType": "incoming.Identity_Token"},
                },
            )
        made = int(time.time())
        expires = made + int(self.life)
        access = self._signed({"iat": made, "exp": expires, "jti": secrets.token_hex(8)})
        return Reply(
            200,
            {
                "access_token": access,
                "refresh_token": "not_supported",
                "token_type": "Bearer",
                "expires_in": int(self.life),
                "expiration": expires,
                "scope": "ibm openid",
            },
        )

    def check(self, header: str) -> None:
        """Refuse a request without a valid access token."""
        kind, _, token = header.partition(" ")
        content, _, signature = token.rpartition(".")
        if kind != "Bearer" or not hmac.compare_digest(signature, self._signature(content)):
            raise Refused(401, 1212, "Authentication failed: the access token is not valid.")
        if _decoded(content.rpartition(".")[2])["exp"] <= time.time():
            raise Refused(401, 1212, "Authentication failed: the access token has expired.")

    def _signed(self, claims: dict[str, Any]) -> str:
        content = ".".join(_encoded(part) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        return f"{content}.{self._signature(content)}"

    def _signature(self, content: str) -> str:
        digest = hmac.new(self.key.encode(), content.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def _decoded(text: str) -> dict[str, Any]:
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
