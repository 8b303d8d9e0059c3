"""Bytes of a fixed layout to JSON text: {name: number, …}.

The layout is a JSON array of {"format", "name", "scale"}, one for each field, in order and without gaps. Formats are those of Python's
struct: one of b B h H i I q Q (integers of 1, 2, 4 and 8 bytes, upper case: unsigned), e f d (floats of 2, 4 and 8 bytes) and ? (a
boolean), after > (big-endian, the default) or <; 3x skips three bytes, and 12s is a text of twelve, without the NULs at its end. A number
is multiplied by its scale, if any, or divided: "/100". A float that is NaN is left out.
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


def run(data: bytes, layout: str) -> str:
    """Decode bytes of a fixed layout into JSON

    layout: a JSON array of {"format", "name", "scale"}, as mqtt.layout_reason accepts them. Raises 38000 (external_routine_exception) with
    a short reason when the bytes are fewer or more.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    values: dict[str, str] = {}
    at = 0
    for field in json.loads(layout, parse_float=Decimal):
        code = field["format"]
        reader = struct.Struct(code if code[0] in "<>" else ">" + code)
        if at + reader.size > len(data):
            raise ValueError("there are fewer bytes than in the layout")
        for value in reader.unpack_from(data, at):
            if isinstance(value, bytes):
                values[string(field["name"])] = utf8(value.rstrip(b"\0"))
            elif isinstance(value, bool):
                values[string(field["name"])] = "true" if value else "false"
            elif not math.isnan(value):
                values[string(field["name"])] = _number(value, field.get("scale"))
        at += reader.size
    if at != len(data):
        raise ValueError("there are more bytes than in the layout")
    return "{" + ",".join([f"{name}:{value}" for name, value in values.items()]) + "}"
