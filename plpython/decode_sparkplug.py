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

from plpython.json_text import MAX_BYTES, base64url, integer, real, utf8
from plpython.protobuf_wire import FIXED32, FIXED64, LENGTH, VARINT, fields

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
