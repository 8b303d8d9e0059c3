"""Who is there: JWTs as PostgREST takes them, with the same secret or keys and the same audience."""

import json
import re
import time
from dataclasses import dataclass
from typing import Any

import jwt

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
    """What a token says: the claims that the database judges, and until when it holds."""

    role: str
    user: str | None
    expires: float

    @property
    def claims(self) -> dict[str, Any]:
        return {"role": self.role} if self.user is None else {"role": self.role, "sub": self.user}


def login_of(claims: dict[str, Any]) -> Login:
    subject = claims.get("sub")
    role = claims.get("role")
    user = subject.lower() if isinstance(subject, str) and _UUID.fullmatch(subject) else None
    return Login(role if isinstance(role, str) else "anon", user, float(claims["exp"]))


class Verifier:
    """PostgREST's `jwt-secret` (a secret, or a JWK or JWKS as JSON) and `jwt-aud`."""

    def __init__(self, secret: str, audience: str) -> None:
        self._audience = audience
        self._keys: list[tuple[str | None, Any, list[str]]] = []
        if secret.lstrip().startswith("{"):
            document = json.loads(secret)
            for key in document.get("keys", [document]):
                algorithms = _SYMMETRIC if key.get("kty") == "oct" else _ASYMMETRIC.get(key.get("kty"), [])
                if algorithms:
                    self._keys.append((key.get("kid"), jwt.PyJWK(key, algorithm=key.get("alg") or algorithms[0]).key, algorithms))
        else:
            self._keys.append((None, secret, _SYMMETRIC))
        if not self._keys:
            raise ValueError("no key that a JWT can be checked with")

    def login(self, token: str) -> Login:
        """The login of a token. Raises RefusedError (401)."""
        hint = "Get a new token from your login service."
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            chosen = [key for key in self._keys if kid is None or key[0] in (None, kid)] or self._keys
            claims = self._decoded(token, chosen)
        except jwt.MissingRequiredClaimError as error:
            raise RefusedError(401, "token_incomplete", "The token has no exp or no aud.", hint) from error
        except jwt.PyJWTError as error:
            raise RefusedError(401, "token_invalid", f"The token is not valid: {error}.", hint) from error
        login = login_of(claims)
        if login.expires <= time.time():
            raise RefusedError(401, "token_expired", "The token has expired.", hint)
        return login

    def _decoded(self, token: str, keys: list[tuple[str | None, Any, list[str]]]) -> dict[str, Any]:
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
