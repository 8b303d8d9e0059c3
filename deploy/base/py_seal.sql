-- Deploy topicbase:base/py_seal to pg
-- requires: base/plpython
-- Rendered by bin/embed-plpython from plpython/seal.py: change it there.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT mqtt.plpython_obstacle('nacl') IS NULL AS possible \gset
\if :possible
CREATE OR REPLACE FUNCTION mqtt.py_seal(public_key bytea, secret text) RETURNS bytea
LANGUAGE plpython3u VOLATILE CALLED ON NULL INPUT SECURITY INVOKER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $python$
if public_key is None or secret is None:
    raise ValueError("an argument is null")
if "run" in SD:
    return SD["run"](public_key, secret)

"""Sealing of broker secrets: libsodium's sealed box (crypto_box_seal: X25519, XSalsa20-Poly1305, a fresh sender key each time).

Whoever holds the public key can seal; only the private key, which the database never has, opens. An application seals the same way,
in any language that has libsodium.
"""

# /// plpython
# returns = "bytea"
# volatility = "volatile"
# on_null = "error"
# module = "nacl"
# ///

import nacl.exceptions
import nacl.public

MAX_SECRET_BYTES = 1 << 16


def run(public_key: bytes, secret: str) -> bytes:
    """Seal a secret to a Curve25519 public key (32 bytes)

    Returns the sealed box of the secret's UTF-8 bytes, 48 bytes longer than they are; no two calls return the same.
    Raises 38000 (external_routine_exception) for null, a key that is none, and secrets of more than 64 KiB; never with the secret in it.
    """
    if len(public_key) != nacl.public.PublicKey.SIZE:
        raise ValueError(f"a public key has {nacl.public.PublicKey.SIZE} bytes")
    try:
        message = secret.encode()
    except UnicodeEncodeError:
        raise ValueError("the secret is not valid Unicode") from None
    if len(message) > MAX_SECRET_BYTES:
        raise ValueError(f"a secret has at most {MAX_SECRET_BYTES} bytes")
    try:
        return nacl.public.SealedBox(nacl.public.PublicKey(public_key)).encrypt(message)
    except nacl.exceptions.CryptoError:
        raise ValueError("no Curve25519 public key") from None

SD["run"] = run
return run(public_key, secret)
$python$;
COMMENT ON FUNCTION mqtt.py_seal(bytea, text) IS
$md$Seal a secret to a Curve25519 public key (32 bytes)

Returns the sealed box of the secret's UTF-8 bytes, 48 bytes longer than they are; no two calls return the same.
Raises 38000 (external_routine_exception) for null, a key that is none, and secrets of more than 64 KiB; never with the secret in it.$md$;
ALTER FUNCTION mqtt.py_seal(bytea, text) OWNER TO mqtt_owner;
REVOKE ALL ON FUNCTION mqtt.py_seal(bytea, text) FROM public;
\else
DO $$
BEGIN
    RAISE NOTICE 'mqtt.py_seal(bytea, text) is not created, since %', mqtt.plpython_obstacle('nacl') USING
        HINT = 'Once it can be, run as superuser: psql -f deploy/base/py_seal.sql';
END;
$$;
\endif
COMMIT;
