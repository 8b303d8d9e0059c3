-- Deploy topicbase:base/py_decode_msgpack to pg
-- requires: base/plpython
-- Rendered by bin/embed-plpython from plpython/decode_msgpack.py: change it there.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT mqtt.plpython_obstacle() IS NULL AS possible \gset
\if :possible
CREATE OR REPLACE FUNCTION mqtt.py_decode_msgpack(data bytea) RETURNS jsonb
LANGUAGE plpython3u IMMUTABLE STRICT SECURITY INVOKER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $python$
if "run" in SD:
    return SD["run"](data)

"""MessagePack to JSON text, by the rules that decode_cbor follows (those of RFC 8949 section 6.1 as far as jsonb allows).

Source: the MessagePack specification (github.com/msgpack/msgpack, spec.md).

- nil, bool, int, str, array and map become what JSON has for them.
- bin becomes base64url text without padding.
- Floats become the shortest number that reads back equal. NaN and the infinities are an error.
- The timestamp extension (type -1) becomes RFC 3339 text in UTC, years 1 to 9999, with up to nine digits of a second.
- Any other extension becomes {"ext": its type, "data": its bytes as base64url text}.
- A map key that is no str becomes the text of its JSON; of equal keys the last wins, as in jsonb.

An error besides: bytes that end early or go on after the object, the unused byte 0xc1, str with U+0000 or that is not UTF-8,
more than 64 levels, more than 1 MiB.

The reader is written out here, not taken from a library: the bytes are a stranger's and this runs inside a database backend. msgpack
1.0.3, as Debian 12 ships it, reserves for every array what its head claims: under 1 MiB of nested heads cost gigabytes, never returned.
"""

# /// plpython
# returns = "jsonb"
# volatility = "immutable"
# ///

import datetime
import struct

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
# plpython/decode_msgpack.py

EPOCH = datetime.datetime(1970, 1, 1)  # naive on purpose: all is UTC, written as Z
CONSTANTS = {0xC0: "null", 0xC2: "false", 0xC3: "true"}
FLOATS = {0xCA: struct.Struct(">f"), 0xCB: struct.Struct(">d")}
# First byte: type, and how many bytes of length, count or value follow.
SIZED = {
    **{0xC4 + i: ("bin", 1 << i) for i in range(3)},
    **{0xC7 + i: ("ext", 1 << i) for i in range(3)},
    **{0xCC + i: ("uint", 1 << i) for i in range(4)},
    **{0xD0 + i: ("int", 1 << i) for i in range(4)},
    **{0xD9 + i: ("str", 1 << i) for i in range(3)},
    **{0xDC + i: ("array", 2 << i) for i in range(2)},
    **{0xDE + i: ("map", 2 << i) for i in range(2)},
}


def _take(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    end = at + size
    if end > len(data):
        raise ValueError("the bytes end early")
    return data[at:end], end


def _extension(data: bytes, at: int, size: int) -> tuple[str, int]:
    """Read an extension's type and data, whose size was read."""
    content, at = _take(data, at, 1 + size)
    kind, content = int.from_bytes(content[:1], "big", signed=True), content[1:]
    if kind == -1:
        return _timestamp(content), at
    return f'{{"ext":{kind},"data":{base64url(content)}}}', at


def _timestamp(content: bytes) -> str:
    """Write a timestamp's 32, 64 or 96 bits as RFC 3339 text."""
    if len(content) == 4:
        nanoseconds, seconds = 0, int.from_bytes(content, "big")
    elif len(content) == 8:
        nanoseconds, seconds = divmod(int.from_bytes(content, "big"), 1 << 34)
    elif len(content) == 12:
        nanoseconds, seconds = int.from_bytes(content[:4], "big"), int.from_bytes(content[4:], "big", signed=True)
    else:
        raise ValueError("a timestamp has 4, 8 or 12 bytes")
    if nanoseconds > 999_999_999:
        raise ValueError("a timestamp has more than 999999999 nanoseconds")
    try:
        moment = EPOCH + datetime.timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError("a timestamp is outside the years 1 to 9999") from None
    fraction = f".{nanoseconds:09}".rstrip("0") if nanoseconds else ""
    return f'"{moment.isoformat()}{fraction}Z"'


def _item(data: bytes, at: int, depth: int) -> tuple[str, int]:
    """Read the object at an offset: its JSON text and the offset behind it."""
    start = at
    if at >= len(data):
        raise ValueError("the bytes end early")
    first = data[at]
    at += 1
    if first < 0x80:
        return str(first), at
    if first >= 0xE0:
        return str(first - 256), at
    if first in CONSTANTS:
        return CONSTANTS[first], at
    if first in FLOATS:
        content, at = _take(data, at, FLOATS[first].size)
        return real(FLOATS[first].unpack(content)[0]), at
    if first in SIZED:
        kind, width = SIZED[first]
        content, at = _take(data, at, width)
        size = int.from_bytes(content, "big", signed=kind == "int")
    elif first < 0x90:
        kind, size = "map", first & 15
    elif first < 0xA0:
        kind, size = "array", first & 15
    elif first < 0xC0:
        kind, size = "str", first & 31
    elif 0xD4 <= first <= 0xD8:
        kind, size = "ext", 1 << (first - 0xD4)
    else:
        raise ValueError(f"byte {start} starts no object")
    if kind in ("uint", "int"):
        return str(size), at
    if kind == "str":
        content, at = _take(data, at, size)
        return utf8(content), at
    if kind == "bin":
        content, at = _take(data, at, size)
        return base64url(content), at
    if kind == "ext":
        return _extension(data, at, size)
    if depth == 0:
        raise ValueError(f"more than {MAX_DEPTH} levels")
    depth -= 1
    if kind == "array":
        items = []
        for _ in range(size):
            text, at = _item(data, at, depth)
            items.append(text)
        return f"[{','.join(items)}]", at
    pairs: dict[str, str] = {}
    for _ in range(size):
        name, at = _item(data, at, depth)
        pairs[key(name)], at = _item(data, at, depth)
    return members(pairs, at - start), at


def run(data: bytes) -> str:
    """Decode one MessagePack object into JSON

    By the rules of mqtt.py_decode_cbor; the head of the body states the mapping. Raises 38000 (external_routine_exception) with a
    short reason when the bytes are not exactly one object or have no form in jsonb.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    text, at = _item(data, 0, MAX_DEPTH)
    if at != len(data):
        raise ValueError("bytes follow the object")
    return text

SD["run"] = run
return run(data)
$python$;
COMMENT ON FUNCTION mqtt.py_decode_msgpack(bytea) IS
$md$Decode one MessagePack object into JSON

By the rules of mqtt.py_decode_cbor; the head of the body states the mapping. Raises 38000 (external_routine_exception) with a
short reason when the bytes are not exactly one object or have no form in jsonb.$md$;
ALTER FUNCTION mqtt.py_decode_msgpack(bytea) OWNER TO mqtt_owner;
REVOKE ALL ON FUNCTION mqtt.py_decode_msgpack(bytea) FROM public;
\else
DO $$
BEGIN
    RAISE NOTICE 'mqtt.py_decode_msgpack(bytea) is not created, since %', mqtt.plpython_obstacle() USING
        HINT = 'Once it can be, run as superuser: psql -f deploy/base/py_decode_msgpack.sql';
END;
$$;
\endif
COMMIT;
