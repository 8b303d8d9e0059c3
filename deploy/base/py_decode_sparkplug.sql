-- Deploy topicbase:base/py_decode_sparkplug to pg
-- requires: base/plpython
-- Rendered by bin/embed-plpython from plpython/decode_sparkplug.py: change it there.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT mqtt.plpython_obstacle() IS NULL AS possible \gset
\if :possible
CREATE OR REPLACE FUNCTION mqtt.py_decode_sparkplug(kinds text [], nodes text [], devices text [], bodies bytea [], states text) RETURNS jsonb
LANGUAGE plpython3u IMMUTABLE STRICT SECURITY INVOKER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $python$
if "run" in SD:
    return SD["run"](kinds, nodes, devices, bodies, states)

"""Sparkplug B messages in the order of their acceptance to JSON text, with the names that the births of their edge nodes gave.

A node is {"is_born", "seq", "aliases": {alias: [name, datatype]}, "devices": [device]}; is_lost is true where a birth or a message of it is
missing (section 5.4 of Eclipse Sparkplug 3.0.0). A document is {"sparkplug": type, "device", "devices": who is born or dies, "samples":
[{"ts": ms, "values": {name: value}}]}, null for what is no Sparkplug B payload; that of a birth has {"metadata": {"metrics": {name:
{"unit", "name", "description"}}}} too, where properties of metrics say so.
"""

# /// plpython
# returns = "jsonb"
# volatility = "immutable"
# ///

import json
import re
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
# plpython/decode_sparkplug.py
# plpython/sparkplug_wire.py
"""Sparkplug B payloads (Eclipse Sparkplug 3.0.0, section 6.4: Protocol Buffers): shared lines, embedded into the codec.

Data sets and templates are left out, and of property sets what is no text.
"""

import math
import struct
from typing import NamedTuple

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
# plpython/sparkplug_wire.py
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
# plpython/sparkplug_wire.py

MAX_METRICS = 5000
# Datatypes 1 to 4 are Int8 to Int64: two's complement in an unsigned field (sections 6.4.16 and 6.4.17).
SIGNED = {1: 32, 2: 32, 3: 32, 4: 64}
# Field numbers: of a metric's property set, and of the text in a property's value.
PROPERTIES, PROPERTY_TEXT = 9, 8
INT_VALUE, LONG_VALUE, FLOAT_VALUE, DOUBLE_VALUE, BOOLEAN_VALUE, STRING_VALUE, BYTES_VALUE = range(10, 17)
WIRES = {
    1: LENGTH, 2: VARINT, 3: VARINT, 4: VARINT, 7: VARINT, INT_VALUE: VARINT, LONG_VALUE: VARINT, FLOAT_VALUE: FIXED32,
    DOUBLE_VALUE: FIXED64, BOOLEAN_VALUE: VARINT, STRING_VALUE: LENGTH, BYTES_VALUE: LENGTH,
    PROPERTIES: LENGTH,
}  # fmt: skip


class Metric(NamedTuple):
    """A metric: its name as a JSON string; the field number of its value (0: none), that as a number or as JSON text; its property set."""

    name: "str | None"
    alias: "int | None"
    timestamp: "int | None"
    datatype: int
    number: int
    value: "int | str"
    properties: bytes


class Payload(NamedTuple):
    """A payload: milliseconds since 1970, the number in the sequence, the metrics."""

    timestamp: "int | None"
    seq: "int | None"
    metrics: "list[Metric]"


def _content(number: int, value: bytes) -> str:
    """Write the bytes of a value as JSON text, empty where there is none; bytes become base64url text."""
    if number == STRING_VALUE:
        return utf8(value)
    if number == BYTES_VALUE:
        return base64url(value)
    (read,) = struct.unpack("<f" if number == FLOAT_VALUE else "<d", value)
    return real(read) if math.isfinite(read) else ""


def value_text(number: int, value: "int | str", datatype: int) -> str:
    """Write a value as JSON text, empty where there is none."""
    if isinstance(value, str):
        return value
    if number == BOOLEAN_VALUE:
        return "true" if value else "false"
    if number == INT_VALUE:
        value &= 0xFFFFFFFF
    bits = SIGNED.get(datatype, 0)
    return str(value - (1 << bits) if bits and value >> (bits - 1) else value)


def _metric(data: bytes) -> Metric:
    name = None
    properties = b""
    found: dict[int, int] = {}
    last: tuple[int, int | str] = (0, 0)
    for number, wire, value in fields(data):
        if WIRES.get(number, wire) != wire:
            raise ValueError(f"field {number} of a metric has wire type {wire}")
        if number == 1 and isinstance(value, bytes):
            name = utf8(value)
        elif INT_VALUE <= number <= BYTES_VALUE:
            last = number, value if isinstance(value, int) else _content(number, value)
        elif number == PROPERTIES and isinstance(value, bytes):
            properties = value
        elif number < INT_VALUE and isinstance(value, int):
            found[number] = value
    return Metric(name, found.get(2), found.get(3), found.get(4, 0), *last, properties)


def _text(data: bytes) -> str:
    """Read a property value that is a string as JSON text; empty where it is another or none."""
    text = ""
    for number, _, value in fields(data):
        if number == PROPERTY_TEXT and isinstance(value, bytes):
            text = utf8(value)
    return text


def texts(data: bytes) -> "dict[str, str]":
    """Read the strings in a property set: names and values as JSON text; none where it is damaged, as its metric is read nevertheless."""
    names: list[str] = []
    values: list[str] = []
    try:
        for number, _, value in fields(data):
            if number == 1 and isinstance(value, bytes):
                names.append(utf8(value))
            elif number == 2 and isinstance(value, bytes):
                values.append(_text(value))
    except ValueError:
        return {}
    return {name: value for name, value in zip(names, values) if value}  # noqa: B905  # strict is newer than the oldest Python


def payload(data: bytes) -> Payload:
    """Read a payload; ValueError where it is none."""
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    found: dict[int, int] = {}
    metrics: list[Metric] = []
    for number, wire, value in fields(data):
        if number in (1, 3) and wire == VARINT and isinstance(value, int):
            found[number] = value
        elif number == 2 and isinstance(value, bytes):
            metrics.append(_metric(value))
            if len(metrics) > MAX_METRICS:
                raise ValueError(f"more than {MAX_METRICS} metrics")
    return Payload(found.get(1), found.get(3), metrics)
# plpython/decode_sparkplug.py

# What the specification keeps for itself among a node's metrics.
OURS = re.compile(r'"(Node Control/|Device Control/|bdSeq"$)').match
# Names of properties are anyone's own: these are those of Ignition, which the specification takes over, and the usual ones of others.
SAID = {
    '"engUnit"': "unit", '"engUnits"': "unit", '"unit"': "unit", '"units"': "unit",
    '"displayName"': "name", '"label"': "name", '"documentation"': "description", '"description"': "description",
}  # fmt: skip
# Of the 64 KiB of metadata that a device may have.
MAX_METADATA = 49152
MAX_TEXT = 302
# A node's aliases are read with each of its messages, and each of them may stand for a name as long as a payload: both are bounded. A rule
# takes 1,000 samples of a death, that of the node itself included.
MAX_NAMES = 1 << 19
PER_ALIAS = 32
MAX_DEVICES = 999
MAX_DEVICES_TEXT = 1 << 16
LEAST_GROWTH = 1 << 15
MAX_GROWTH = 32
Node = dict[str, Any]


def _room(aliases: dict[str, list[Any]]) -> int:
    """How many characters of names a node may still have."""
    return MAX_NAMES - sum([len(name) + PER_ALIAS for name, _ in aliases.values()])


def _name(node: Node, read: Payload) -> None:
    """Take down what the aliases of a birth stand for; what there is no room for stands for nothing."""
    aliases = node["aliases"]
    room = _room(aliases)
    for m in read.metrics:
        if m.alias is None or m.name is None:
            continue
        alias, name = str(m.alias), json.loads(m.name)
        before = aliases.pop(alias, None)
        room += (len(before[0]) + PER_ALIAS if before else 0) - len(name) - PER_ALIAS
        if room < 0:
            room += len(name) + PER_ALIAS
        else:
            aliases[alias] = [name, m.datatype]


def _bear(node: Node, device: str) -> None:
    """Take down a device of a node, unless there are too many."""
    devices = [d for d in node["devices"] if d != device]
    if len(devices) < MAX_DEVICES and sum(map(len, devices)) + len(device) <= MAX_DEVICES_TEXT:
        devices.append(device)
    node["devices"] = devices


def _is_unknown(node: Node, read: Payload) -> bool:
    """Whether a birth would tell what an alias stands for, which it would not where the node has no room left."""
    aliases = node["aliases"]
    return any(m.name is None and m.alias is not None and str(m.alias) not in aliases for m in read.metrics) and _room(aliases) > MAX_TEXT


def step(node: Node, kind: str, device: str, read: Payload) -> None:
    """Take down what a message says of its node: births, deaths, and whether one is missing."""
    if kind == "NDEATH":
        node["is_born"] = False
        return
    if kind in ("NBIRTH", "DBIRTH"):
        if kind == "NBIRTH":
            node.update({"aliases": {}, "devices": []})
        else:
            _bear(node, device)
        _name(node, read)
    seq = read.seq if read.seq is not None and read.seq < 256 else None
    if kind == "NBIRTH":
        node["is_born"] = True
    elif not node["is_born"] or node["seq"] is None or (node["seq"] + 1) % 256 != seq or _is_unknown(node, read):
        node["is_lost"] = True
    if seq is not None:
        node["seq"] = seq


def metadata(read: Payload) -> str:
    """Write what a birth says of its metrics, as a member of the document; empty where that is nothing. What does not fit is left out."""
    parts: dict[str, str] = {}
    size = 0
    for m in read.metrics:
        if m.name is None or not m.properties or OURS(m.name):
            continue
        said: dict[str, str] = {}
        for name, text in texts(m.properties).items():
            if name in SAID and 2 < len(text) <= MAX_TEXT:
                said.setdefault(SAID[name], text)
        if said:
            part = ",".join([f'"{name}":{text}' for name, text in said.items()])
            size += len(f"{m.name}{part}".encode())
            if size <= MAX_METADATA:
                parts[m.name] = f"{{{part}}}"
    return f',"metadata":{{"metrics":{{{",".join([f"{name}:{part}" for name, part in parts.items()])}}}}}' if parts else ""


def document(node: Node, kind: str, device: str, read: Payload, most: int) -> str:
    """Write a message as payload rules read it; ValueError where its samples become longer than most."""
    size = 0
    samples: dict[int | None, dict[str, str]] = {}
    for m in read.metrics:
        name, datatype = m.name, m.datatype
        known = node["aliases"].get(str(m.alias)) if name is None or not datatype else None
        if known is not None:
            name, datatype = name or string(known[0]), datatype or known[1]
        if name is not None and m.number and not OURS(name):
            text = value_text(m.number, m.value, datatype)
            if text:
                size += len(name) + len(text)
                if size > most:
                    raise ValueError(f"more than {most} bytes as JSON")
                samples.setdefault(read.timestamp if m.timestamp is None else m.timestamp, {})[name] = text
    # With an edge node its devices die.
    devices = [device, *node["devices"]] if kind == "NDEATH" else [device]
    parts = []
    for ts in sorted(samples, key=lambda x: (x is None, x or 0)):
        values = ",".join([f"{name}:{text}" for name, text in samples[ts].items()])
        parts.append(f'{{"ts":{"null" if ts is None else ts},"values":{{{values}}}}}')
    more = metadata(read) if kind in ("NBIRTH", "DBIRTH") else ""
    return f'{{"sparkplug":"{kind}","device":{string(device)},"devices":{json.dumps(devices)},"samples":[{",".join(parts)}]{more}}}'


def run(kinds: list[str], nodes: list[str], devices: list[str], bodies: list[bytes], states: str) -> str:
    """Decode Sparkplug B messages into JSON

    kinds: NBIRTH, DDATA, …; nodes: any names of the edge nodes, devices: the external ids; states: nodes by name. Returns
    {"documents": […], "states": {name: node}}. The head of the body states the mapping.
    """
    known: dict[str, Node] = json.loads(states)
    documents = []
    for kind, name, device, body in zip(kinds, nodes, devices, bodies):  # noqa: B905  # strict is newer than the oldest Python
        most = min(MAX_BYTES, LEAST_GROWTH + MAX_GROWTH * len(body))
        try:
            read = payload(body)
            node = known.setdefault(name, {"is_born": False, "seq": None, "aliases": {}, "devices": []})
            step(node, kind, device, read)
            documents.append(document(node, kind, device, read, most))
        except ValueError:
            documents.append("null")
    return f'{{"documents":[{",".join(documents)}],"states":{json.dumps(known)}}}'

SD["run"] = run
return run(kinds, nodes, devices, bodies, states)
$python$;
COMMENT ON FUNCTION mqtt.py_decode_sparkplug(text [], text [], text [], bytea [], text) IS
$md$Decode Sparkplug B messages into JSON

kinds: NBIRTH, DDATA, …; nodes: any names of the edge nodes, devices: the external ids; states: nodes by name. Returns
{"documents": […], "states": {name: node}}. The head of the body states the mapping.$md$;
ALTER FUNCTION mqtt.py_decode_sparkplug(text [], text [], text [], bytea [], text) OWNER TO mqtt_owner;
REVOKE ALL ON FUNCTION mqtt.py_decode_sparkplug(text [], text [], text [], bytea [], text) FROM public;
\else
DO $$
BEGIN
    RAISE NOTICE 'mqtt.py_decode_sparkplug(text [], text [], text [], bytea [], text) is not created, since %', mqtt.plpython_obstacle() USING
        HINT = 'Once it can be, run as superuser: psql -f deploy/base/py_decode_sparkplug.sql';
END;
$$;
\endif
COMMIT;
