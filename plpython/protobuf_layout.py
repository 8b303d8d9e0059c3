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

from plpython.json_text import MAX_BYTES
from plpython.protobuf_wire import fields

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
