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

from plpython.json_text import MAX_BYTES, real, string, utf8

PRECISE = decimal.Context(prec=34)
# What is read, so that a few bytes cannot ask for much: each may be a record of its own, with a hundred fields of 64 parts.
MAX_STEPS = 200_000
Field = dict[str, Any]


class Values:
    """Values by their names as JSON, and how many were read."""

    def __init__(self) -> None:
        self.items: dict[str, str] = {}
        self.steps = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise ValueError(f"more than {MAX_STEPS} values")


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


def _put(values: Values, field: Field, value: Any) -> None:
    """Take down the value of a field, or of a part of one."""
    values.step()
    name = string(field["name"])
    if isinstance(value, bytes):
        values.items[name] = utf8(value.rstrip(b"\0"))
    elif isinstance(value, bool):
        values.items[name] = "true" if value else "false"
    elif isinstance(value, int) and str(value) in field.get("labels", ()):
        label = field["labels"][str(value)]
        if label is not None:
            values.items[name] = json.dumps(label)
    elif not math.isnan(value):
        values.items[name] = _number(value, field.get("scale"))


def _read(data: bytes, at: int, field: Field, values: Values) -> int:
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


def _read_all(data: bytes, layout: "list[Field]", values: Values) -> int:
    """Read fields from the beginning; returns the place after them."""
    at = 0
    for field in layout:
        if "tag" in field:
            return _read_records(data, at, field, values)
        if at == len(data) and field.get("optional"):
            break
        at = _read(data, at, field, values)
    return at


def _read_records(data: bytes, at: int, record: Field, values: Values) -> int:
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
    values = Values()
    if _read_all(data, json.loads(layout, parse_float=Decimal), values) != len(data):
        raise ValueError("there are more bytes than in the layout")
    return "{" + ",".join([f"{name}:{value}" for name, value in values.items.items()]) + "}"
