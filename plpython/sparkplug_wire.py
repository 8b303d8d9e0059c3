"""Sparkplug B payloads (Eclipse Sparkplug 3.0.0, section 6.4: Protocol Buffers): shared lines, embedded into the codec.

Data sets and templates are left out, and of property sets what is no text.
"""

import math
import struct
from typing import NamedTuple

from plpython.json_text import MAX_BYTES, base64url, real, utf8
from plpython.protobuf_wire import FIXED32, FIXED64, LENGTH, VARINT, fields

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
