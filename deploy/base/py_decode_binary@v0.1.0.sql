-- Deploy topicbase:base/py_decode_binary to pg
-- requires: base/plpython
-- Rendered by bin/embed-plpython from plpython/decode_binary.py: change it there.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT mqtt.plpython_obstacle() IS NULL AS possible \gset
\if :possible
CREATE OR REPLACE FUNCTION mqtt.py_decode_binary(data bytea, layout text) RETURNS jsonb
LANGUAGE plpython3u IMMUTABLE STRICT SECURITY INVOKER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $python$
if "run" in SD:
    return SD["run"](data, layout)

"""Bytes of a fixed layout to JSON text: {name: number, …}.

The layout is a JSON array of {"format", "name", "scale"}, one for each field, in order and without gaps. Formats are those of Python's
struct: one of b B h H i I q Q (integers of 1, 2, 4 and 8 bytes, upper case: unsigned), e f d (floats of 2, 4 and 8 bytes) and ? (a
boolean), after > (big-endian, the default) or <; 3x skips three bytes, and 12s is a text of twelve, without the NULs at its end; besides,
i24 and u24 are integers of so many bits, signed and unsigned. A number is multiplied by its scale, if any, or divided: "/100". Labels
({"0": "closed", "255": null}) take the place of whole numbers, null leaves the field out. Parts ([{"name", "bits": [from, count],
"signed", "scale", "labels"}], counted from the lowest bit) take the place of an integer's name. A field that is optional may be absent
at the end, with all after it. A float that is NaN is left out.

The last member may be {"tag": bytes, "length": bytes, "fields": {hex: [field, …]}}: records until the end, each of which begins with its
tag, which says what its fields are, and its length, if that has bytes; with a length, what is unknown is skipped.
"""

# /// plpython
# returns = "jsonb"
# volatility = "immutable"
# ///

import decimal
import json
import math
import struct
from decimal import Decimal
from typing import Any

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
# plpython/decode_binary.py

PRECISE = decimal.Context(prec=34)
Field = dict[str, Any]


def _number(value: float, scale: Any) -> str:
    """Write a number times its scale; whole numbers are scaled exactly."""
    if scale is None:
        return str(value) if isinstance(value, int) else real(value)
    factor = Decimal(scale[1:] if isinstance(scale, str) else scale)
    exact = Decimal(value) if isinstance(value, int) else Decimal(repr(value))
    result = PRECISE.divide(exact, factor) if isinstance(scale, str) else PRECISE.multiply(exact, factor)
    if math.isinf(float(result)):
        raise ValueError("a scaled number is beyond the range of a double")
    return str(result)


def _put(values: dict[str, str], field: Field, value: Any) -> None:
    """Take down the value of a field, or of a part of one."""
    name = string(field["name"])
    if isinstance(value, bytes):
        values[name] = utf8(value.rstrip(b"\0"))
    elif isinstance(value, bool):
        values[name] = "true" if value else "false"
    elif isinstance(value, int) and str(value) in field.get("labels", ()):
        label = field["labels"][str(value)]
        if label is not None:
            values[name] = json.dumps(label)
    elif not math.isnan(value):
        values[name] = _number(value, field.get("scale"))


def _read(data: bytes, at: int, field: Field, values: dict[str, str]) -> int:
    """Read a field; returns the place after it."""
    code = field["format"]
    order, code = (code[0], code[1:]) if code[0] in "<>" else (">", code)
    is_sized = code[0] in "iu" and len(code) > 1
    size = int(code[1:]) // 8 if is_sized else struct.calcsize(order + code)
    if at + size > len(data):
        raise ValueError("there are fewer bytes than in the layout")
    taken = data[at : at + size]
    if "parts" in field:
        whole = int.from_bytes(taken, "big" if order == ">" else "little")
        for part in field["parts"]:
            first, count = part["bits"]
            value = whole >> first & (1 << count) - 1
            _put(values, part, value - (1 << count) if part.get("signed") and value >> (count - 1) else value)
    elif is_sized:
        _put(values, field, int.from_bytes(taken, "big" if order == ">" else "little", signed=code[0] == "i"))
    else:
        for value in struct.unpack(order + code, taken):
            _put(values, field, value)
    return at + size


def _read_all(data: bytes, layout: "list[Field]", values: dict[str, str]) -> int:
    """Read fields from the beginning; returns the place after them."""
    at = 0
    for field in layout:
        if "tag" in field:
            return _read_records(data, at, field, values)
        if at == len(data) and field.get("optional"):
            break
        at = _read(data, at, field, values)
    return at


def _read_records(data: bytes, at: int, record: Field, values: dict[str, str]) -> int:
    """Read records until the end, which it returns."""
    tag, counted = record["tag"], record.get("length", 0)
    while at < len(data):
        fields = record["fields"].get(data[at : at + tag].hex())
        start = at + tag + counted
        if start > len(data) or (fields is None and not counted):
            raise ValueError(f"the layout has no tag {data[at : at + tag].hex()}, which is at byte {at}")
        if counted:
            at = start + int.from_bytes(data[at + tag : start], "big")
            if at > len(data):
                raise ValueError("there are fewer bytes than in the layout")
            _read_all(data[start:at], fields or [], values)
        else:
            at = start
            for field in fields:
                at = _read(data, at, field, values)
    return at


def run(data: bytes, layout: str) -> str:
    """Decode bytes of a fixed layout into JSON

    layout: a JSON array of fields, as mqtt.layout_reason accepts them. Raises 38000 (external_routine_exception) with a short reason when
    the bytes are fewer or more, or a record has a tag that is in no layout.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    values: dict[str, str] = {}
    if _read_all(data, json.loads(layout, parse_float=Decimal), values) != len(data):
        raise ValueError("there are more bytes than in the layout")
    return "{" + ",".join([f"{name}:{value}" for name, value in values.items()]) + "}"

SD["run"] = run
return run(data, layout)
$python$;
COMMENT ON FUNCTION mqtt.py_decode_binary(bytea, text) IS
$md$Decode bytes of a fixed layout into JSON

layout: a JSON array of fields, as mqtt.layout_reason accepts them. Raises 38000 (external_routine_exception) with a short reason when
the bytes are fewer or more, or a record has a tag that is in no layout.$md$;
ALTER FUNCTION mqtt.py_decode_binary(bytea, text) OWNER TO mqtt_owner;
REVOKE ALL ON FUNCTION mqtt.py_decode_binary(bytea, text) FROM public;
\else
DO $$
BEGIN
    RAISE NOTICE 'mqtt.py_decode_binary(bytea, text) is not created, since %', mqtt.plpython_obstacle() USING
        HINT = 'Once it can be, run as superuser: psql -f deploy/base/py_decode_binary.sql';
END;
$$;
\endif
COMMIT;
