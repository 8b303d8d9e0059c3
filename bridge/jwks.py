"""The public keys of an OpenID Connect provider, as PostgREST takes them: fetched, judged, and written to a file."""

import base64
import http.client
import json
import os
import re
import secrets
import tempfile
import urllib.parse
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 20.0
MOST_BYTES = 1 << 20
LOOPBACK = ("127.0.0.1", "::1", "localhost")
_PARTS = {"RSA": ("n", "e"), "EC": ("x", "y"), "OKP": ("x",)}
_CURVES = {"P-256": ("EC", 32), "P-384": ("EC", 48), "P-521": ("EC", 66), "Ed25519": ("OKP", 32)}  # with the bytes of a coordinate
_RSA_BYTES = 256
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
_ALGORITHMS = {"RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "EC": ("ES256", "ES384", "ES512"), "OKP": ("EdDSA",)}


class KeysError(Exception):
    """The provider's keys cannot be had, or cannot be used; the message says why."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Do not follow: whoever answers there decides who may log in."""


def fetch(issuer: str) -> list[dict[str, str]]:
    """The signing keys that `issuer` publishes (OpenID Connect Discovery). Raises KeysError."""
    document = _get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    if document.get("issuer") != issuer:
        raise KeysError(f"the document of {issuer} is that of {document.get('issuer')!r}: the two must be equal, character by character")
    if not isinstance(document.get("jwks_uri"), str):
        raise KeysError(f"the document of {issuer} has no jwks_uri")
    keys = signing_keys(_get(document["jwks_uri"]))
    if not keys:
        raise KeysError(f"{document['jwks_uri']} has no key that PostgREST can check a token with")
    return keys


def _get(url: str) -> dict[str, Any]:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise KeysError(f"{url} is not an https URL")
    try:
        with urllib.request.build_opener(_NoRedirect).open(url, timeout=TIMEOUT_SECONDS) as answer:
            body = answer.read(MOST_BYTES + 1)
        document = json.loads(body) if len(body) <= MOST_BYTES else None
    except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
        raise KeysError(f"{url}: {getattr(error, 'reason', error)}") from None
    if not isinstance(document, dict):
        raise KeysError(f"{url} is not a JSON object of at most {MOST_BYTES} bytes")
    return document


def signing_keys(document: dict[str, Any]) -> list[dict[str, str]]:
    """The signing keys of a JWKS that PostgREST knows, with the members that it needs. Raises KeysError if one is secret."""
    found = []
    keys = document.get("keys")
    for key in keys if isinstance(keys, list) else []:
        if not isinstance(key, dict):
            continue
        if key.get("kty") == "oct" or "d" in key:
            raise KeysError("the provider publishes a secret key: a token that is signed with it proves nothing")
        if _is_usable(key):
            kept = ("kty", "kid", "use", "alg", "crv", *_PARTS[key["kty"]])
            found.append({name: key[name] for name in kept if isinstance(key.get(name), str)})
    return found


def _is_usable(key: dict[str, Any]) -> bool:
    kind = key.get("kty")
    if kind not in _PARTS or key.get("use", "sig") != "sig" or key.get("alg", _ALGORITHMS[kind][0]) not in _ALGORITHMS[kind]:
        return False
    numbers = [key.get(part) for part in _PARTS[kind]]
    sizes = [len(number) * 3 // 4 for number in numbers if isinstance(number, str) and _BASE64URL.fullmatch(number)]
    if len(sizes) < len(numbers):
        return False
    return sizes[0] >= _RSA_BYTES if kind == "RSA" else {(kind, size) for size in sizes} == {_CURVES.get(str(key.get("crv")))}


def symmetric(secret: str) -> dict[str, str]:
    """The JWK of PostgREST's `jwt-secret`, so that what is signed with it stays valid."""
    return {"kty": "oct", "k": base64.urlsafe_b64encode(secret.encode()).rstrip(b"=").decode()}


def write(path: Path, keys: list[dict[str, str]]) -> bool:
    """Replace the file, in one step, if its keys differ; whether they did. Only its owner can read it. Raises OSError.

    PostgREST takes a file that it cannot read as a JWKS for a secret, which must not be what anyone can fetch: hence `unguessable`.
    """
    with suppress(FileNotFoundError, ValueError, AttributeError):
        if json.loads(path.read_text(encoding="utf-8")).get("keys") == keys:
            return False
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(json.dumps({"unguessable": secrets.token_urlsafe(32), "keys": keys}, indent=1) + "\n")
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise
    return True
