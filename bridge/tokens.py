"""JSON web tokens as PostgREST takes them: HS256, made and read with the standard library."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any


class TokenError(ValueError):
    """Not a token; the message says why."""


def make(secret: str, claims: dict[str, Any]) -> str:
    head = _encoded(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    body = _encoded(json.dumps({"iat": int(time.time()), **claims}).encode())
    signature = hmac.digest(secret.encode(), f"{head}.{body}".encode(), hashlib.sha256)
    return f"{head}.{body}.{_encoded(signature)}"


def lifetime(days: float, claims: dict[str, Any]) -> dict[str, Any]:
    return {**claims, "exp": int(time.time() + days * 86400)}


def claims_of(token: str) -> dict[str, Any]:
    """What a token says. Its signature is not checked. Raises TokenError."""
    parts = token.split(".")
    if len(parts) != 3:
        raise TokenError("it must have three parts with dots between them")
    try:
        head, claims = (json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in parts[:2])
    except ValueError:
        raise TokenError("its parts are not JSON in base64url") from None
    if not isinstance(head, dict) or not isinstance(claims, dict) or not token.isascii() or not token.isprintable():
        raise TokenError("its parts are not JSON objects in base64url")
    return claims


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
