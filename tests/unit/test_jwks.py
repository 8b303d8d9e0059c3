"""Which of a provider's keys PostgREST gets, and how the file is written."""

import base64
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from bridge import jwks


def public(key: Any, algorithm: str, **members: str) -> dict[str, Any]:
    made: dict[str, Any] = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    made.pop("key_ops", None)
    return {**made, **members}


RSA = public(rsa.generate_private_key(65537, 2048), "RS256", kid="r", alg="RS256", use="sig", x5t="ignored")
EC = public(ec.generate_private_key(ec.SECP256R1()), "ES256", kid="e")
ED = public(ed25519.Ed25519PrivateKey.generate(), "EdDSA", kid="d", alg="EdDSA")


def test_signing_keys_come_with_their_necessary_members() -> None:
    found = jwks.signing_keys({"keys": [RSA, EC, ED]})
    assert [key["kid"] for key in found] == ["r", "e", "d"]
    assert set(found[0]) == {"kty", "kid", "use", "alg", "n", "e"}
    assert set(found[1]) == {"kty", "kid", "crv", "x", "y"}


@pytest.mark.parametrize(
    "key",
    [
        {**RSA, "use": "enc"},
        {**RSA, "alg": "RSA-OAEP"},
        {**RSA, "n": base64.urlsafe_b64encode(b"x" * 128).decode()},
        {**EC, "crv": "secp256k1"},
        {**EC, "x": EC["x"][:8]},
        {**EC, "y": None},
        {"kty": "AKP", "alg": "ML-DSA-44"},
        "no key",
    ],
    ids=["encryption", "algorithm", "short", "curve", "coordinate", "member", "kind", "text"],
)
def test_what_postgrest_does_not_know_is_left_out(key: Any) -> None:
    assert [found["kid"] for found in jwks.signing_keys({"keys": [key, ED]})] == ["d"]


@pytest.mark.parametrize("key", [{"kty": "oct", "k": "c2VjcmV0"}, {**RSA, "d": "AQAB"}], ids=["symmetric", "private"])
def test_a_published_secret_is_refused(key: dict[str, str]) -> None:
    with pytest.raises(jwks.KeysError, match="secret"):
        jwks.signing_keys({"keys": [RSA, key]})


@pytest.mark.parametrize("url", ["http://id.example.com", "file:///etc/passwd", "ftp://127.0.0.1"])
def test_keys_come_over_tls(url: str) -> None:
    with pytest.raises(jwks.KeysError, match="https"):
        jwks.fetch(url)


def test_the_file_is_private_and_replaced_only_for_other_keys(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    keys = [*jwks.signing_keys({"keys": [RSA]}), jwks.symmetric("a secret of 32 bytes or of more…")]
    assert jwks.write(path, keys)
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_text()
    assert not jwks.write(path, keys)
    assert path.read_text() == before
    assert jwks.write(path, keys[:1])
    # If PostgREST took the text for a secret, nobody could know it.
    assert len(json.loads(path.read_text())["unguessable"]) >= 43
    assert [other.name for other in tmp_path.iterdir()] == ["jwks.json"]
