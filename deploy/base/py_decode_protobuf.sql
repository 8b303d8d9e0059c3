-- Deploy topicbase:base/py_decode_protobuf to pg
-- requires: base/plpython
-- Rendered by bin/embed-plpython from plpython/decode_protobuf.py: change it there.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT mqtt.plpython_obstacle() IS NULL AS possible \gset
\if :possible
CREATE OR REPLACE FUNCTION mqtt.py_decode_protobuf(data bytea, layout text) RETURNS jsonb
LANGUAGE plpython3u IMMUTABLE STRICT SECURITY INVOKER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $python$
if "run" in SD:
    return SD["run"](data, layout)

"""Protocol Buffers of a known type to JSON text: {field: value, …}, by the names in the schema.

The layout is that of py_protobuf_layout: {"message", "types": {name: [{"number", "name", "type", "repeated", "map", "default"}]},
"enums": {name: {number: label}}}. Integers of every size are JSON numbers, enumerations their labels, bytes base64url text, maps
objects. A field that is absent is left out; but one without presence (proto3), which is not sent where it is 0, "" or false, is that.
NaN and infinities are left out, and null within arrays. Unknown fields are skipped.
"""

# /// plpython
# returns = "jsonb"
# volatility = "immutable"
# ///

import functools
import json
import math
import struct
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
# plpython/decode_protobuf.py
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
# plpython/decode_protobuf.py

# What is read and written, so that a few bytes cannot ask for much: each empty message may have defaults for all of its fields.
MAX_STEPS = 200_000
WIRES = {
    "double": FIXED64, "fixed64": FIXED64, "sfixed64": FIXED64, "float": FIXED32, "fixed32": FIXED32, "sfixed32": FIXED32,
    "int32": VARINT, "int64": VARINT, "uint32": VARINT, "uint64": VARINT, "sint32": VARINT, "sint64": VARINT, "bool": VARINT,
    "string": LENGTH, "bytes": LENGTH,
}  # fmt: skip
SIZES = {FIXED64: 8, FIXED32: 4, LENGTH: 0}
FORMATS = {"double": "<d", "float": "<f", "fixed64": "<Q", "sfixed64": "<q", "fixed32": "<I", "sfixed32": "<i"}


@functools.lru_cache(maxsize=16)
def _schema(layout: str) -> Any:
    """Read a layout, each type's fields by their numbers, and which of them have a value where they are absent."""
    schema = json.loads(layout)
    schema["types"] = {name: {field["number"]: field for field in members} for name, members in schema["types"].items()}
    schema["defaults"] = {name: [f for f in members.values() if f.get("default")] for name, members in schema["types"].items()}
    return schema


class _Reader:
    def __init__(self, schema: Any) -> None:
        self.types = schema["types"]
        self.defaults = schema["defaults"]
        self.enums = schema.get("enums", {})
        self.steps = 0
        self.size = 0

    def step(self, text: str = "") -> str:
        self.steps += 1
        self.size += len(text)
        if self.steps > MAX_STEPS:
            raise ValueError(f"more than {MAX_STEPS} values")
        if self.size > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes as JSON")
        return text

    def scalar(self, kind: str, value: "int | bytes") -> str:
        """Write a value as JSON; "" for NaN and the infinities."""
        if isinstance(value, int):
            if kind in self.enums:
                number = value - (1 << 64) if value >> 63 else value
                label = self.enums[kind].get(str(number))
                return str(number) if label is None else string(label)
            if kind == "bool":
                return "true" if value else "false"
            if kind in ("sint32", "sint64"):
                return str((value >> 1) ^ -(value & 1))
            bits = 32 if kind in ("int32", "uint32") else 64
            value &= (1 << bits) - 1
            return integer(value - (1 << bits) if kind in ("int32", "int64") and value >> (bits - 1) else value)
        if kind == "string":
            return utf8(value)
        if kind == "bytes":
            return base64url(value)
        (number,) = struct.unpack(FORMATS[kind], value)
        if isinstance(number, int):
            return str(number)
        return real(number) if math.isfinite(number) else ""

    def packed(self, wire: int, data: bytes) -> "list[int | bytes]":
        values: list[int | bytes] = []
        at = 0
        while at < len(data):
            self.step()
            if wire == VARINT:
                value, at = varint(data, at)
                values.append(value)
                continue
            size = SIZES[wire]
            if at + size > len(data):
                raise ValueError("the bytes end early")
            values.append(data[at : at + size])
            at += size
        return values

    def raw(self, known: Any, data: bytes) -> "dict[int, list[int | bytes]]":
        """Collect the values of each field that the layout has."""
        found: dict[int, list[int | bytes]] = {}
        for number, wire, value in fields(data):
            self.step()
            field = known.get(number)
            if field is None:
                continue
            expected = LENGTH if field["type"] in self.types else WIRES.get(field["type"], VARINT)
            values = found.setdefault(number, [])
            if wire == LENGTH and expected != LENGTH and field.get("repeated") and isinstance(value, bytes):
                values.extend(self.packed(expected, value))
            elif wire != expected:
                raise ValueError("a field has another wire type than the layout says")
            else:
                values.append(value)
        return found

    def value(self, kind: str, value: "int | bytes", depth: int) -> str:
        if kind in self.types and isinstance(value, bytes):
            return self.message(kind, value, depth)
        return self.scalar(kind, value)

    def default(self, kind: str) -> str:
        if kind in self.types:
            return "{}"
        wire = WIRES.get(kind, VARINT)
        return self.scalar(kind, 0 if wire == VARINT else bytes(SIZES[wire]))

    def map(self, entry: str, values: "list[int | bytes]", depth: int) -> str:
        """Write a map: messages of a key (1) and a value (2) as an object."""
        known = self.types[entry]
        members: dict[str, str] = {}
        for value in values:
            found = self.raw(known, value if isinstance(value, bytes) else b"")
            name = key(self.value(known[1]["type"], found[1][-1], depth) if 1 in found else self.default(known[1]["type"]))
            text = self.value(known[2]["type"], found[2][-1], depth) if 2 in found else self.default(known[2]["type"])
            members[name] = self.step(text or "null")
            self.step(name)
        return "{" + ",".join([f"{name}:{text}" for name, text in members.items()]) + "}"

    def message(self, kind: str, data: bytes, depth: int) -> str:
        if depth > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")
        known = self.types[kind]
        found = self.raw(known, data)
        members: list[str] = []
        # A type may have thousands of fields, and a message many that are empty: what is absent must cost nothing.
        for number, values in found.items():
            field = known[number]
            if field.get("map"):
                text = self.map(field["type"], values, depth + 1)
            elif field.get("repeated"):
                text = "[" + ",".join([self.value(field["type"], value, depth + 1) or "null" for value in values]) + "]"
            elif field["type"] in self.types:
                # Parts of one message, which the last ones complete.
                text = self.message(field["type"], b"".join([value for value in values if isinstance(value, bytes)]), depth + 1)
            else:
                text = self.scalar(field["type"], values[-1])
            if text:
                members.append(self.step(f"{string(field['name'])}:{text}"))
        absent = [field for field in self.defaults[kind] if field["number"] not in found]
        members += [self.step(f"{string(field['name'])}:{self.default(field['type'])}") for field in absent]
        return "{" + ",".join(members) + "}"


def run(data: bytes, layout: str) -> str:
    """Decode a Protocol Buffers message into JSON

    layout: what py_protobuf_layout makes of a descriptor set. Raises 38000 (external_routine_exception) with a short reason when the bytes
    are no such message.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    schema = _schema(layout)
    return _Reader(schema).message(schema["message"], data, 1)

SD["run"] = run
return run(data, layout)
$python$;
COMMENT ON FUNCTION mqtt.py_decode_protobuf(bytea, text) IS
$md$Decode a Protocol Buffers message into JSON

layout: what py_protobuf_layout makes of a descriptor set. Raises 38000 (external_routine_exception) with a short reason when the bytes
are no such message.$md$;
ALTER FUNCTION mqtt.py_decode_protobuf(bytea, text) OWNER TO mqtt_owner;
REVOKE ALL ON FUNCTION mqtt.py_decode_protobuf(bytea, text) FROM public;
\else
DO $$
BEGIN
    RAISE NOTICE 'mqtt.py_decode_protobuf(bytea, text) is not created, since %', mqtt.plpython_obstacle() USING
        HINT = 'Once it can be, run as superuser: psql -f deploy/base/py_decode_protobuf.sql';
END;
$$;
\endif
COMMIT;
