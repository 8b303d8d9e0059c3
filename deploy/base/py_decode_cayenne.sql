-- Deploy topicbase:base/py_decode_cayenne to pg
-- requires: base/plpython
-- Rendered by bin/embed-plpython from plpython/decode_cayenne.py: change it there.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT mqtt.plpython_obstacle() IS NULL AS possible \gset
\if :possible
CREATE OR REPLACE FUNCTION mqtt.py_decode_cayenne(data bytea) RETURNS jsonb
LANGUAGE plpython3u IMMUTABLE STRICT SECURITY INVOKER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $python$
if "run" in SD:
    return SD["run"](data)

"""Cayenne Low Power Payload to JSON text: {"temperature_1": 21.5, …}, each value by its type and channel.

Source: the types of the Cayenne documentation (IPSO object ids less 3200), and those that the library of Electronic Cats added. Names are
those that The Things Network gives them. Of values of equal type and channel the last wins.
"""

# /// plpython
# returns = "jsonb"
# volatility = "immutable"
# ///

from decimal import Decimal

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
# plpython/decode_cayenne.py

# Type: name, then for each of its numbers a name, bytes (negative: two's complement) and the digits behind the point.
TYPES: dict[int, tuple[str, tuple[tuple[str, int, int], ...]]] = {
    0: ("digital_in", (("", 1, 0),)),
    1: ("digital_out", (("", 1, 0),)),
    2: ("analog_in", (("", -2, 2),)),
    3: ("analog_out", (("", -2, 2),)),
    100: ("generic", (("", 4, 0),)),
    101: ("luminosity", (("", 2, 0),)),
    102: ("presence", (("", 1, 0),)),
    103: ("temperature", (("", -2, 1),)),
    104: ("relative_humidity", (("", 1, 0),)),
    113: ("accelerometer", (("x", -2, 3), ("y", -2, 3), ("z", -2, 3))),
    115: ("barometric_pressure", (("", 2, 1),)),
    116: ("voltage", (("", 2, 2),)),
    117: ("current", (("", 2, 3),)),
    118: ("frequency", (("", 4, 0),)),
    120: ("percentage", (("", 1, 0),)),
    121: ("altitude", (("", -2, 0),)),
    122: ("load", (("", -3, 3),)),
    125: ("concentration", (("", 2, 0),)),
    128: ("power", (("", 2, 0),)),
    130: ("distance", (("", 4, 3),)),
    131: ("energy", (("", 4, 3),)),
    132: ("direction", (("", 2, 0),)),
    133: ("unixtime", (("", 4, 0),)),
    134: ("gyrometer", (("x", -2, 2), ("y", -2, 2), ("z", -2, 2))),
    135: ("colour", (("r", 1, 0), ("g", 1, 0), ("b", 1, 0))),
    136: ("gps", (("latitude", -3, 4), ("longitude", -3, 4), ("altitude", -3, 2))),
    142: ("switch", (("", 1, 0),)),
}
HUMIDITY = 104  # in halves of a percent


def run(data: bytes) -> str:
    """Decode Cayenne Low Power Payload into JSON

    Raises 38000 (external_routine_exception) with a short reason when the bytes end early or have an unknown type.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    values: dict[str, str] = {}
    at = 0
    while at < len(data):
        if at + 2 > len(data):
            raise ValueError("the bytes end early")
        channel, kind = data[at], data[at + 1]
        at += 2
        if kind not in TYPES:
            raise ValueError(f"byte {at - 1} is no type of value: {kind}")
        name, parts = TYPES[kind]
        numbers: dict[str, str] = {}
        for part, size, digits in parts:
            end = at + abs(size)
            if end > len(data):
                raise ValueError("the bytes end early")
            number = Decimal(int.from_bytes(data[at:end], "big", signed=size < 0)).scaleb(-digits)
            numbers[f'"{part}"'] = f"{number / 2 if kind == HUMIDITY else number:f}"
            at = end
        values[f'"{name}_{channel}"'] = numbers.get('""') or members(numbers, len(data))
    return members(values, len(data) + 1)

SD["run"] = run
return run(data)
$python$;
COMMENT ON FUNCTION mqtt.py_decode_cayenne(bytea) IS
$md$Decode Cayenne Low Power Payload into JSON

Raises 38000 (external_routine_exception) with a short reason when the bytes end early or have an unknown type.$md$;
ALTER FUNCTION mqtt.py_decode_cayenne(bytea) OWNER TO mqtt_owner;
REVOKE ALL ON FUNCTION mqtt.py_decode_cayenne(bytea) FROM public;
\else
DO $$
BEGIN
    RAISE NOTICE 'mqtt.py_decode_cayenne(bytea) is not created, since %', mqtt.plpython_obstacle() USING
        HINT = 'Once it can be, run as superuser: psql -f deploy/base/py_decode_cayenne.sql';
END;
$$;
\endif
COMMIT;
