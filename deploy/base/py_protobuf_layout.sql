-- Deploy topicbase:base/py_protobuf_layout to pg
-- requires: base/plpython
-- Rendered by bin/embed-plpython from plpython/protobuf_layout.py: change it there.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT mqtt.plpython_obstacle() IS NULL AS possible \gset
\if :possible
CREATE OR REPLACE FUNCTION mqtt.py_protobuf_layout(data bytea, message text) RETURNS jsonb
LANGUAGE plpython3u IMMUTABLE STRICT SECURITY INVOKER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $python$
if "run" in SD:
    return SD["run"](data, message)

"""A descriptor set of Protocol Buffers (protoc --descriptor_set_out --include_imports) to the layout that py_decode_protobuf reads.

Only what the message needs: {"message", "types": {name: [{"number", "name", "type", "repeated", "map", "default"}]}, "enums": {name:
{number: label}}}. default: the field has no presence, so that its absence means 0, "" or false (proto3, neither optional nor of a
oneof). Groups and extensions are left out. Source: google/protobuf/descriptor.proto.
"""

# /// plpython
# returns = "jsonb"
# volatility = "immutable"
# ///

import json
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
# plpython/protobuf_layout.py
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
# plpython/protobuf_layout.py

SCALARS = {
    1: "double", 2: "float", 3: "int64", 4: "uint64", 5: "int32", 6: "fixed64", 7: "fixed32", 8: "bool", 9: "string", 12: "bytes",
    13: "uint32", 15: "sfixed32", 16: "sfixed64", 17: "sint32", 18: "sint64",
}  # fmt: skip
NO_SET = "the bytes are no descriptor set"
MESSAGE, ENUM, REPEATED = 11, 14, 3
MAX_TYPES, MAX_FIELDS = 500, 5000


def _members(data: "int | bytes") -> "dict[int, list[Any]]":
    if type(data) is int:
        raise ValueError(NO_SET)
    members: dict[int, list[Any]] = {}
    for number, _, value in fields(data):  # type: ignore[arg-type]
        members.setdefault(number, []).append(value)
    return members


def _text(members: "dict[int, list[Any]]", number: int) -> str:
    value = members.get(number, [b""])[-1]
    if type(value) is int:
        raise ValueError(NO_SET)
    return str(value.decode("utf-8", "replace").replace("\0", ""))


def _number(members: "dict[int, list[Any]]", number: int, default: int = 0) -> int:
    value = members.get(number, [default])[-1]
    if type(value) is bytes:
        raise ValueError(NO_SET)
    return int(value)


class _Set:
    def __init__(self) -> None:
        self.types: dict[str, tuple[dict[int, list[Any]], bool]] = {}
        self.maps: set[str] = set()
        self.enums: dict[str, bytes] = {}

    def add(self, prefix: str, messages: "list[bytes]", enums: "list[bytes]", is_implicit: bool, depth: int) -> None:
        if depth > 32:
            raise ValueError("types are nested more than 32 deep")
        for enum in enums:
            self.enums[f"{prefix}{_text(_members(enum), 1)}"] = enum
        for message in messages:
            members = _members(message)
            name = f"{prefix}{_text(members, 1)}"
            self.types[name] = members, is_implicit
            if _number(_members(members.get(7, [b""])[-1]), 7):
                self.maps.add(name)
            if len(self.types) > 10 * MAX_TYPES:
                raise ValueError("there are too many types")
            self.add(f"{name}.", members.get(3, []), members.get(4, []), is_implicit, depth + 1)


def _field(known: _Set, data: bytes, is_implicit: bool) -> "dict[str, Any] | None":
    members = _members(data)
    kind = _number(members, 5)
    reference = _text(members, 6).lstrip(".")
    field: dict[str, Any] = {"number": _number(members, 3), "name": _text(members, 1)}
    if kind in SCALARS:
        field["type"] = SCALARS[kind]
    elif (kind == MESSAGE and reference in known.types) or (kind == ENUM and reference in known.enums):
        field["type"] = reference
    elif kind in (MESSAGE, ENUM):
        raise ValueError("a type is missing: the set needs protoc --include_imports")
    else:
        return None
    if _number(members, 4) == REPEATED:
        field["repeated"] = True
        if reference in known.maps:
            field["map"] = True
    elif is_implicit and kind != MESSAGE and 9 not in members:
        field["default"] = True
    return field


def run(data: bytes, message: str) -> str:
    """Read the layout of a message from a descriptor set

    message: its full name, such as acme.v1.Reading. Raises 38000 (external_routine_exception) with a short reason when the set does not
    have it.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    known = _Set()
    for file in _members(data).get(1, []):
        members = _members(file)
        package = _text(members, 2)
        known.add(f"{package}." if package else "", members.get(4, []), members.get(5, []), _text(members, 12) == "proto3", 0)
    types: dict[str, list[dict[str, Any]]] = {}
    enums: dict[str, dict[str, str]] = {}
    wanted = [message]
    while wanted:
        name = wanted.pop()
        if name in types or name in enums:
            continue
        if name in known.enums:
            values = [_members(value) for value in _members(known.enums[name]).get(2, [])]
            numbers = [(_number(value, 2), _text(value, 1)) for value in values]
            enums[name] = {str(number - (1 << 64) if number >> 63 else number): label for number, label in reversed(numbers)}
        elif name in known.types:
            members, is_implicit = known.types[name]
            found = [_field(known, field, is_implicit) for field in members.get(2, [])[: MAX_FIELDS + 1]]
            types[name] = [field for field in found if field is not None]
            wanted += [field["type"] for field in types[name] if field["type"] not in SCALARS.values()]
        else:
            raise ValueError("the descriptor set has no such message")
        if len(types) + len(enums) > MAX_TYPES or sum(map(len, types.values())) > MAX_FIELDS:
            raise ValueError(f"the message needs more than {MAX_TYPES} types or {MAX_FIELDS} fields")
    if message not in types:
        raise ValueError("the descriptor set has no such message")
    return json.dumps({"message": message, "types": types, "enums": enums})

SD["run"] = run
return run(data, message)
$python$;
COMMENT ON FUNCTION mqtt.py_protobuf_layout(bytea, text) IS
$md$Read the layout of a message from a descriptor set

message: its full name, such as acme.v1.Reading. Raises 38000 (external_routine_exception) with a short reason when the set does not
have it.$md$;
ALTER FUNCTION mqtt.py_protobuf_layout(bytea, text) OWNER TO mqtt_owner;
REVOKE ALL ON FUNCTION mqtt.py_protobuf_layout(bytea, text) FROM public;
\else
DO $$
BEGIN
    RAISE NOTICE 'mqtt.py_protobuf_layout(bytea, text) is not created, since %', mqtt.plpython_obstacle() USING
        HINT = 'Once it can be, run as superuser: psql -f deploy/base/py_protobuf_layout.sql';
END;
$$;
\endif
COMMIT;
