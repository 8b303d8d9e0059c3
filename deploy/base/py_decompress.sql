-- Deploy topicbase:base/py_decompress to pg
-- requires: base/plpython
-- Rendered by bin/embed-plpython from plpython/decompress.py: change it there.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT mqtt.plpython_obstacle() IS NULL AS possible \gset
\if :possible
CREATE OR REPLACE FUNCTION mqtt.py_decompress(data bytea, format text) RETURNS bytea
LANGUAGE plpython3u IMMUTABLE STRICT SECURITY INVOKER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $python$
if "run" in SD:
    return SD["run"](data, format)

"""gzip (RFC 1952) and zlib (RFC 1950) data to the bytes within, at most 1 MiB of them: it stops there, whatever the data would grow to."""

# /// plpython
# returns = "bytea"
# volatility = "immutable"
# ///

import zlib

# plpython/json_text.py
"""JSON text that jsonb accepts, for the codecs: shared lines, embedded into each of them."""

import base64
import json
import math
import sys

# PL/Python cannot be cancelled while it computes, so its work has to be bounded: 1 MiB takes about a second at worst.
MAX_BYTES = 1 << 20
# Telemetry nests less than ten levels; the bound keeps every recursion, here and in jsonb, far from its stack's end.
MAX_DEPTH = 64
# No scalar grows more than ninefold as text. Only keys that are themselves maps could (their quotes double at each level).
MAX_GROWTH = 16
# Larger numbers would be valid jsonb, but few readers take them (RFC 8259 section 6) and they print very long.
MAX_NUMBER = int(sys.float_info.max)
BEYOND_RANGE = "a number is beyond the range of a double"

_encode = json.JSONEncoder(ensure_ascii=False).encode


def string(text: str) -> str:
    """Quote text as a JSON string; ValueError for U+0000, which jsonb refuses (RFC 8259 section 7)."""
    if "\0" in text:
        raise ValueError("a text holds U+0000, which jsonb cannot store")
    return _encode(text)


def utf8(data: bytes) -> str:
    """Quote UTF-8 bytes as a JSON string; ValueError when they are not UTF-8 (which has no lone surrogates: RFC 3629 section 3)."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ValueError("a text is not valid UTF-8") from None
    return string(text)


def base64url(data: bytes) -> str:
    """Write bytes as a JSON string of base64url without padding (RFC 4648 section 5)."""
    return f'"{base64.urlsafe_b64encode(data).rstrip(b"=").decode()}"'


def integer(number: int) -> str:
    """Write an integer as a JSON number; ValueError beyond the range of a double."""
    if not -MAX_NUMBER <= number <= MAX_NUMBER:
        raise ValueError(BEYOND_RANGE)
    return str(number)


def real(number: float) -> str:
    """Write a float as the shortest JSON number that reads back equal; ValueError for NaN and the infinities."""
    if not math.isfinite(number):
        raise ValueError("NaN and infinity are no JSON numbers")
    return repr(number)


def key(item: str) -> str:
    """Turn the JSON text of any item into an object's key: a string as it is, all else as a string that holds that text."""
    return item if item[0] == '"' else _encode(item)


def members(pairs: dict[str, str], encoded_size: int) -> str:
    """Join the members of an object; ValueError when its text is out of proportion to the bytes it was encoded in."""
    text = "{" + ",".join([f"{name}:{value}" for name, value in pairs.items()]) + "}"
    if len(text) > MAX_GROWTH * encoded_size + 1:
        raise ValueError("nested map keys grow too long as text")
    return text
# plpython/decompress.py

WINDOW_BITS = {"gzip": 31, "zlib": 15}


def run(data: bytes, format: str) -> bytes:  # noqa: A002
    """Decompress gzip or zlib

    At most 1 MiB comes out. Raises 38000 (external_routine_exception) with a short reason when the bytes are not exactly one stream.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    stream = zlib.decompressobj(WINDOW_BITS[format])
    try:
        content = stream.decompress(data, MAX_BYTES + 1)
    except zlib.error:
        raise ValueError("the bytes are damaged, or in another format") from None
    if len(content) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes come out")
    if not stream.eof:
        raise ValueError("the bytes end early")
    if stream.unused_data:
        raise ValueError("bytes follow the stream")
    return content

SD["run"] = run
return run(data, format)
$python$;
COMMENT ON FUNCTION mqtt.py_decompress(bytea, text) IS
$md$Decompress gzip or zlib

At most 1 MiB comes out. Raises 38000 (external_routine_exception) with a short reason when the bytes are not exactly one stream.$md$;
ALTER FUNCTION mqtt.py_decompress(bytea, text) OWNER TO mqtt_owner;
REVOKE ALL ON FUNCTION mqtt.py_decompress(bytea, text) FROM public;
\else
DO $$
BEGIN
    RAISE NOTICE 'mqtt.py_decompress(bytea, text) is not created, since %', mqtt.plpython_obstacle() USING
        HINT = 'Once it can be, run as superuser: psql -f deploy/base/py_decompress.sql';
END;
$$;
\endif
COMMIT;
