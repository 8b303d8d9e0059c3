"""Who is there: JWTs as PostgREST takes them, with the same secret or keys and the same audience."""

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt

from bridge import log

LEEWAY_SECONDS = 30  # PostgREST's, for what is not yet valid
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SYMMETRIC = ["HS256", "HS384", "HS512"]
_ASYMMETRIC = {"RSA": ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"], "EC": ["ES256", "ES384", "ES512"], "OKP": ["EdDSA"]}


class RefusedError(Exception):
    """What a caller is told: an HTTP status, a stable slug, this case, and the next step."""

    def __init__(self, status: int, slug: str, detail: str, hint: str) -> None:
        super().__init__(slug)
        self.status, self.slug, self.detail, self.hint = status, slug, detail, hint


@dataclass(frozen=True, slots=True)
class Login:
    """What a token or an API key says: the claims that the database judges, and until when it holds."""

    role: str
    user: str | None  # of an API key, its id
    expires: float | None  # null: the database says when
    key: dict[str, Any] | None = None  # what an API key may do

    @property
    def claims(self) -> dict[str, Any]:
        claims = {"role": self.role, "sub": self.user, "api_key": self.key}
        return {name: value for name, value in claims.items() if value is not None}


def login_of(claims: dict[str, Any]) -> Login:
    subject = claims.get("sub")
    role = claims.get("role")
    user = subject.lower() if isinstance(subject, str) and _UUID.fullmatch(subject) else None
    return Login(role if isinstance(role, str) else "anon", user, float(claims["exp"]))


def login_of_key(claims: dict[str, Any]) -> Login:
    return Login(claims["role"], claims["sub"], None, claims["api_key"])


_Key = tuple[str | None, Any, list[str]]  # kid, key, algorithms


def keys_of(secret: str) -> list[_Key]:
    """What PostgREST's `jwt-secret` names: a secret, or a JWK or JWKS as JSON. Raises ValueError."""
    if not secret.lstrip().startswith("{"):
        return [(None, secret, _SYMMETRIC)]
    document = json.loads(secret)
    keys: list[_Key] = []
    try:
        for key in document.get("keys", [document]):
            algorithms = _SYMMETRIC if key.get("kty") == "oct" else _ASYMMETRIC.get(key.get("kty"), [])
            if algorithms:
                keys.append((key.get("kid"), jwt.PyJWK(key, algorithm=key.get("alg") or algorithms[0]).key, algorithms))
    except (jwt.PyJWTError, AttributeError) as error:
        raise ValueError(f"the keys cannot be read: {error}") from error
    if not keys:
        raise ValueError("no key that a JWT can be checked with")
    return keys


class Verifier:
    """PostgREST's `jwt-secret`, in a file that is read again when it has changed, and `jwt-aud`. Raises ValueError or OSError."""

    def __init__(self, path: Path, audience: str) -> None:
        self._path, self._audience = path, audience
        self._stamp = self._stamp_now()
        self._keys = self._read()

    def _read(self) -> list[_Key]:
        return keys_of(self._path.read_text(encoding="utf-8").rstrip("\r\n"))

    def _stamp_now(self) -> tuple[int, int, int]:
        status = self._path.stat()
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _reload(self) -> None:
        try:
            stamp = self._stamp_now()
            if stamp != self._stamp:
                self._stamp = stamp
                self._keys = self._read()
                log.info("stream_keys_read", keys=len(self._keys))
        except (OSError, ValueError):
            # The old ones go on: half a file, or none, is what a rotation may leave for a moment.
            log.error("stream_keys_unreadable", path=str(self._path))

    def login(self, token: str) -> Login:
        """The login of a token. Raises RefusedError (401)."""
        self._reload()
        hint = "Get a new token from your login service."
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            chosen = [key for key in self._keys if kid is None or key[0] in (None, kid)] or self._keys
            claims = self._decoded(token, chosen)
        except jwt.MissingRequiredClaimError as error:
            raise RefusedError(401, "token_incomplete", "The token has no exp or no aud.", hint) from error
        except jwt.PyJWTError as error:
            raise RefusedError(401, "token_invalid", f"The token is not valid: {error}.", hint) from error
        if "api_key" in claims:
            raise RefusedError(401, "claim_reserved", "The token has a claim api_key.", "Only the database gives that claim.")
        login = login_of(claims)
        if login.expires is not None and login.expires <= time.time():
            raise RefusedError(401, "token_expired", "The token has expired.", hint)
        return login

    def _decoded(self, token: str, keys: list[_Key]) -> dict[str, Any]:
        fault: jwt.PyJWTError = jwt.InvalidTokenError("no key fits")
        for _, key, algorithms in keys:
            try:
                claims: dict[str, Any] = jwt.decode(
                    token,
                    key,
                    algorithms=algorithms,
                    audience=self._audience,
                    leeway=LEEWAY_SECONDS,
                    options={"require": ["exp", "aud"], "verify_exp": False, "verify_sub": False},
                )
                if not isinstance(claims["exp"], int | float):
                    raise jwt.DecodeError("exp is no number")
            except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError, jwt.InvalidKeyError) as error:
                fault = error
            else:
                return claims
        raise fault
