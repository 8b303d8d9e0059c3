-- Deploy topicbase:base/py_decode_cbor to pg
-- requires: base/plpython
-- Rendered by bin/embed-plpython from plpython/decode_cbor.py: change it there.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT mqtt.plpython_obstacle() IS NULL AS possible \gset
\if :possible
CREATE OR REPLACE FUNCTION mqtt.py_decode_cbor(data bytea) RETURNS jsonb
LANGUAGE plpython3u IMMUTABLE STRICT SECURITY INVOKER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $python$
if "run" in SD:
    return SD["run"](data)

"""CBOR (RFC 8949) to JSON text, following the advice of RFC 8949 section 6.1 as far as jsonb allows.

- Integers, text strings, arrays, maps, true, false and null become what JSON has for them; indefinite lengths become definite.
- Byte strings become base64url text without padding; inside tag 22 base64, inside tag 23 base16, inside tag 21 base64url again.
- Floats become the shortest number that reads back equal. NaN and the infinities are an error (section 6.1 suggests null:
  a reading that failed would then look like one that was never taken).
- undefined and all unassigned simple values become null.
- Bignums (tags 2, 3) become integers and decimal fractions (tag 4) exact numbers, since jsonb has both; bigfloats (tag 5) become
  the nearest double.
- All other tags are left out and their content stands: tag 0 is RFC 3339 text, tag 1 a number of seconds since 1970.
  References (tags 25, 29) are an error, since their content means nothing by itself.
- A map key that is no text string becomes the text of its JSON; of equal keys the last wins, as in jsonb.

An error besides: bytes that end early or go on after the item, text with U+0000 or that is not UTF-8, numbers beyond the
range of a double, more than 64 levels, more than 1 MiB.

The reader is written out here, not taken from a library: the bytes are a stranger's and this runs inside a database backend, where a
crash in C ends every session of the server (cbor2 5.4.6, as Debian 12 ships it, crashes on 19 bytes: agronholm/cbor2#198).
"""

# /// plpython
# returns = "jsonb"
# volatility = "immutable"
# ///

import base64
import math
import re
import struct
from collections.abc import Callable

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
# plpython/decode_cbor.py

INDEFINITE = -1
BREAK = 0xFF
SIMPLE = {20: "false", 21: "true", 22: "null", 23: "null"}
FLOATS = {25: struct.Struct(">e"), 26: struct.Struct(">f"), 27: struct.Struct(">d")}
INTEGER_PAIR = re.compile(r"\[(-?[0-9]+),(-?[0-9]+)\]")


def _head(data: bytes, at: int) -> tuple[int, int, int, int]:
    """Read the head of a data item at an offset: major type, additional information, argument, offset behind it (section 3)."""
    if at >= len(data):
        raise ValueError("the bytes end early")
    major, info = data[at] >> 5, data[at] & 31
    if info < 24:
        return major, info, info, at + 1
    if info < 28:
        end = at + 1 + (1 << (info - 24))
        if end > len(data):
            raise ValueError("the bytes end early")
        return major, info, int.from_bytes(data[at + 1 : end], "big"), end
    if info == 31 and major in (2, 3, 4, 5):
        return major, info, INDEFINITE, at + 1
    raise ValueError(f"byte {at} starts no data item")


def _bytes(data: bytes, at: int, length: int, major: int) -> tuple[bytes, int]:
    """Read the content of a byte or text string whose head was read; each chunk of a text string is UTF-8 by itself (section 3.2.3)."""
    if length != INDEFINITE:
        end = at + length
        if end > len(data):
            raise ValueError("the bytes end early")
        return data[at:end], end
    chunks = []
    while data[at : at + 1] != b"\xff":
        chunk_major, _, chunk_length, at = _head(data, at)
        if chunk_major != major or chunk_length == INDEFINITE:
            raise ValueError("a chunk of a string is no string of the same type")
        chunk, at = _bytes(data, at, chunk_length, major)
        if major == 3:
            utf8(chunk)
        chunks.append(chunk)
    return b"".join(chunks), at + 1


def _tagged(data: bytes, tag: int, at: int, depth: int, blob: Callable[[bytes], str]) -> tuple[str, int]:
    """Read the content of a tag and write it as the tag asks (section 3.4)."""
    if tag in (2, 3):
        major, _, length, at = _head(data, at)
        if major != 2:
            raise ValueError("a bignum is no byte string")
        content, at = _bytes(data, at, length, 2)
        number = int.from_bytes(content, "big")
        return integer(number if tag == 2 else -1 - number), at
    if tag in (25, 29):
        raise ValueError("references (tags 25 and 29) have no JSON form")
    if tag in (21, 22, 23):
        blob = {21: base64url, 22: _base64, 23: _base16}[tag]
    text, at = _item(data, at, depth, blob)
    if tag in (4, 5):
        pair = INTEGER_PAIR.fullmatch(text)
        if pair is None:
            raise ValueError("a decimal fraction or bigfloat is no pair of integers")
        text = _scaled(int(pair[2]), int(pair[1]), tag)
    return text, at


def _scaled(mantissa: int, exponent: int, tag: int) -> str:
    """Write mantissa times ten (tag 4) or two (tag 5) to the exponent as a JSON number (section 3.4.4)."""
    if mantissa == 0:
        return "0"
    text = f"{mantissa}e{exponent}"
    try:
        number = float(text) if tag == 4 else math.ldexp(mantissa, exponent)
    except OverflowError:
        raise ValueError(BEYOND_RANGE) from None
    if number == 0 or math.isinf(number):
        raise ValueError(BEYOND_RANGE)
    return text if tag == 4 else real(number)


def _base64(data: bytes) -> str:
    return f'"{base64.b64encode(data).decode()}"'


def _base16(data: bytes) -> str:
    return f'"{data.hex().upper()}"'


def _item(data: bytes, at: int, depth: int, blob: Callable[[bytes], str]) -> tuple[str, int]:
    """Read the data item at an offset: its JSON text and the offset behind it. Byte strings are written by blob."""
    start = at
    major, info, argument, at = _head(data, at)
    if major == 0:
        return str(argument), at
    if major == 1:
        return str(-1 - argument), at
    if major == 2:
        content, at = _bytes(data, at, argument, 2)
        return blob(content), at
    if major == 3:
        content, at = _bytes(data, at, argument, 3)
        return utf8(content), at
    if major == 7:
        if info in FLOATS:
            return real(FLOATS[info].unpack_from(data, at - FLOATS[info].size)[0]), at
        if info == 24 and argument < 32:
            raise ValueError(f"byte {start} starts no data item")
        return SIMPLE.get(argument, "null"), at
    if depth == 0:
        raise ValueError(f"more than {MAX_DEPTH} levels")
    depth -= 1
    if major == 6:
        return _tagged(data, argument, at, depth, blob)
    if major == 4:
        items = []
        while argument:
            if argument == INDEFINITE:
                if data[at : at + 1] == b"\xff":
                    at += 1
                    break
            else:
                argument -= 1
            text, at = _item(data, at, depth, blob)
            items.append(text)
        return f"[{','.join(items)}]", at
    pairs: dict[str, str] = {}
    while argument:
        if argument == INDEFINITE:
            if data[at : at + 1] == b"\xff":
                at += 1
                break
        else:
            argument -= 1
        name, at = _item(data, at, depth, blob)
        pairs[key(name)], at = _item(data, at, depth, blob)
    return members(pairs, at - start), at


def run(data: bytes) -> str:
    """Decode one CBOR data item into JSON

    Follows RFC 8949 section 6.1; the head of the body states the mapping. Raises 38000 (external_routine_exception) with a short
    reason when the bytes are not exactly one well-formed item or have no form in jsonb.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    text, at = _item(data, 0, MAX_DEPTH, base64url)
    if at != len(data):
        raise ValueError("bytes follow the data item")
    return text

SD["run"] = run
return run(data)
$python$;
COMMENT ON FUNCTION mqtt.py_decode_cbor(bytea) IS
$md$Decode one CBOR data item into JSON

Follows RFC 8949 section 6.1; the head of the body states the mapping. Raises 38000 (external_routine_exception) with a short
reason when the bytes are not exactly one well-formed item or have no form in jsonb.$md$;
ALTER FUNCTION mqtt.py_decode_cbor(bytea) OWNER TO mqtt_owner;
REVOKE ALL ON FUNCTION mqtt.py_decode_cbor(bytea) FROM public;
\else
DO $$
BEGIN
    RAISE NOTICE 'mqtt.py_decode_cbor(bytea) is not created, since %', mqtt.plpython_obstacle() USING
        HINT = 'Once it can be, run as superuser: psql -f deploy/base/py_decode_cbor.sql';
END;
$$;
\endif
COMMIT;
