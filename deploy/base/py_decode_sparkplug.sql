-- Deploy topicbase:base/py_decode_sparkplug to pg
-- requires: base/plpython
-- Rendered by bin/embed-plpython from plpython/decode_sparkplug.py: change it there.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT mqtt.plpython_obstacle() IS NULL AS possible \gset
\if :possible
CREATE OR REPLACE FUNCTION mqtt.py_decode_sparkplug(data bytea) RETURNS jsonb
LANGUAGE plpython3u IMMUTABLE STRICT SECURITY INVOKER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $python$
if "run" in SD:
    return SD["run"](data)

"""Sparkplug B payloads (Eclipse Sparkplug 3.0.0, section 6.4: Protocol Buffers) to JSON text.

{"timestamp": ms, "seq": n, "metrics": [{"name", "alias", "timestamp", "datatype", "value"}, …]}: what is absent is left out, and so is the
value of a metric that is null. Integers come as the unsigned numbers that they are on the wire where the datatype is absent (data by
alias): whoever knows it from the birth takes 2^32 or 2^64 away. Data sets, templates and property sets are left out; bytes become
base64url text.
"""

# /// plpython
# returns = "jsonb"
# volatility = "immutable"
# ///

import math
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
# plpython/decode_sparkplug.py
# plpython/protobuf_wire.py
"""The Protocol Buffers wire format (protobuf.dev/programming-guides/encoding), for the codecs: shared lines, embedded into each of them.

Written out here, as the readers of CBOR and MessagePack are: Google's library is not part of the server's Python, and what it allocates
for a hostile message could not be bounded from outside.
"""

from collections.abc import Iterator

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Read the number at that place; returns it and the place after it."""
    value = shift = 0
    while True:
        if at >= len(data):
            raise ValueError("the bytes end early")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
        if shift > 63:
            raise ValueError("a number has more than ten bytes")


def fields(data: bytes) -> "Iterator[tuple[int, int, int | bytes]]":
    """Yield number, wire type and value of each field."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        wire = tag & 7
        if tag < 8:
            raise ValueError("a field has the number 0")
        value: int | bytes
        if wire == VARINT:
            value, at = varint(data, at)
        else:
            if wire == LENGTH:
                size, at = varint(data, at)
            elif wire in (FIXED64, FIXED32):
                size = 8 if wire == FIXED64 else 4
            else:
                raise ValueError(f"wire type {wire} is none")
            if at + size > len(data):
                raise ValueError("the bytes end early")
            value, at = data[at : at + size], at + size
        yield tag >> 3, wire, value
# plpython/decode_sparkplug.py

MAX_METRICS = 5000
# Datatypes 1 to 4 are Int8 to Int64: two's complement in an unsigned field (sections 6.4.16 and 6.4.17).
SIGNED = {1: 32, 2: 32, 3: 32, 4: 64}
INT_VALUE, LONG_VALUE, FLOAT_VALUE, DOUBLE_VALUE, BOOLEAN_VALUE, STRING_VALUE, BYTES_VALUE = range(10, 17)


def _value(number: int, value: "int | bytes", datatype: int) -> str:
    if isinstance(value, int):
        if number == BOOLEAN_VALUE:
            return "true" if value else "false"
        if number == INT_VALUE:
            value &= 0xFFFFFFFF
        bits = SIGNED.get(datatype, 0)
        return integer(value - (1 << bits) if bits and value >> (bits - 1) else value)
    if number == STRING_VALUE:
        return utf8(value)
    if number == BYTES_VALUE:
        return base64url(value)
    (read,) = struct.unpack("<f" if number == FLOAT_VALUE else "<d", value)
    return real(read) if math.isfinite(read) else ""


def _metric(data: bytes) -> str:
    members: dict[str, str] = {}
    datatype = 0
    found: tuple[int, int | bytes] | None = None
    wires = {
        1: LENGTH, 2: VARINT, 3: VARINT, 4: VARINT, 7: VARINT, INT_VALUE: VARINT, LONG_VALUE: VARINT, FLOAT_VALUE: FIXED32,
        DOUBLE_VALUE: FIXED64, BOOLEAN_VALUE: VARINT, STRING_VALUE: LENGTH, BYTES_VALUE: LENGTH,
    }  # fmt: skip
    for number, wire, value in fields(data):
        if wires.get(number, wire) != wire:
            raise ValueError(f"field {number} of a metric has wire type {wire}")
        if number == 1 and isinstance(value, bytes):
            members["name"] = utf8(value)
        elif number in (2, 3, 4) and isinstance(value, int):
            members[("alias", "timestamp", "datatype")[number - 2]] = str(value)
            datatype = value if number == 4 else datatype
        elif number in range(INT_VALUE, BYTES_VALUE + 1):
            found = number, value
    if found is not None:
        text = _value(*found, datatype)
        if text:
            members["value"] = text
    return "{" + ",".join([f'"{name}":{text}' for name, text in members.items()]) + "}"


def run(data: bytes) -> str:
    """Decode a Sparkplug B payload into JSON

    The head of the body states the mapping. Raises 38000 (external_routine_exception) with a short reason when the bytes are no such
    payload.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    members: dict[str, str] = {}
    metrics: list[str] = []
    for number, wire, value in fields(data):
        if number in (1, 3) and wire == VARINT:
            members["timestamp" if number == 1 else "seq"] = str(value)
        elif number == 2 and isinstance(value, bytes):
            metrics.append(_metric(value))
            if len(metrics) > MAX_METRICS:
                raise ValueError(f"more than {MAX_METRICS} metrics")
    members["metrics"] = f"[{','.join(metrics)}]"
    return "{" + ",".join([f'"{name}":{text}' for name, text in members.items()]) + "}"

SD["run"] = run
return run(data)
$python$;
COMMENT ON FUNCTION mqtt.py_decode_sparkplug(bytea) IS
$md$Decode a Sparkplug B payload into JSON

The head of the body states the mapping. Raises 38000 (external_routine_exception) with a short reason when the bytes are no such
payload.$md$;
ALTER FUNCTION mqtt.py_decode_sparkplug(bytea) OWNER TO mqtt_owner;
REVOKE ALL ON FUNCTION mqtt.py_decode_sparkplug(bytea) FROM public;
\else
DO $$
BEGIN
    RAISE NOTICE 'mqtt.py_decode_sparkplug(bytea) is not created, since %', mqtt.plpython_obstacle() USING
        HINT = 'Once it can be, run as superuser: psql -f deploy/base/py_decode_sparkplug.sql';
END;
$$;
\endif
COMMIT;
