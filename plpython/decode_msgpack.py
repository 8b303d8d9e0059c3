"""MessagePack to JSON text, by the rules that decode_cbor follows (those of RFC 8949 section 6.1 as far as jsonb allows).

Source: the MessagePack specification (github.com/msgpack/msgpack, spec.md).

- nil, bool, int, str, array and map become what JSON has for them.
- bin becomes base64url text without padding.
- Floats become the shortest number that reads back equal. NaN and the infinities are an error.
- The timestamp extension (type -1) becomes RFC 3339 text in UTC, years 1 to 9999, with up to nine digits of a second.
- Any other extension becomes {"ext": its type, "data": its bytes as base64url text}.
- A map key that is no str becomes the text of its JSON; of equal keys the last wins, as in jsonb.

An error besides: bytes that end early or go on after the object, the unused byte 0xc1, str with U+0000 or that is not UTF-8,
more than 64 levels, more than 1 MiB.

The reader is written out here, not taken from a library: the bytes are a stranger's and this runs inside a database backend. msgpack
1.0.3, as Debian 12 ships it, reserves for every array what its head claims: under 1 MiB of nested heads cost gigabytes, never returned.
"""

# /// plpython
# returns = "jsonb"
# volatility = "immutable"
# ///

import datetime
import struct

from plpython.json_text import MAX_BYTES, MAX_DEPTH, base64url, key, members, real, utf8

EPOCH = datetime.datetime(1970, 1, 1)  # naive on purpose: all is UTC, written as Z
CONSTANTS = {0xC0: "null", 0xC2: "false", 0xC3: "true"}
FLOATS = {0xCA: struct.Struct(">f"), 0xCB: struct.Struct(">d")}
# First byte: type, and how many bytes of length, count or value follow.
SIZED = {
    **{0xC4 + i: ("bin", 1 << i) for i in range(3)},
    **{0xC7 + i: ("ext", 1 << i) for i in range(3)},
    **{0xCC + i: ("uint", 1 << i) for i in range(4)},
    **{0xD0 + i: ("int", 1 << i) for i in range(4)},
    **{0xD9 + i: ("str", 1 << i) for i in range(3)},
    **{0xDC + i: ("array", 2 << i) for i in range(2)},
    **{0xDE + i: ("map", 2 << i) for i in range(2)},
}


def _take(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    end = at + size
    if end > len(data):
        raise ValueError("the bytes end early")
    return data[at:end], end


def _extension(data: bytes, at: int, size: int) -> tuple[str, int]:
    """Read an extension's type and data, whose size was read."""
    content, at = _take(data, at, 1 + size)
    kind, content = int.from_bytes(content[:1], "big", signed=True), content[1:]
    if kind == -1:
        return _timestamp(content), at
    return f'{{"ext":{kind},"data":{base64url(content)}}}', at


def _timestamp(content: bytes) -> str:
    """Write a timestamp's 32, 64 or 96 bits as RFC 3339 text."""
    if len(content) == 4:
        nanoseconds, seconds = 0, int.from_bytes(content, "big")
    elif len(content) == 8:
        nanoseconds, seconds = divmod(int.from_bytes(content, "big"), 1 << 34)
    elif len(content) == 12:
        nanoseconds, seconds = int.from_bytes(content[:4], "big"), int.from_bytes(content[4:], "big", signed=True)
    else:
        raise ValueError("a timestamp has 4, 8 or 12 bytes")
    if nanoseconds > 999_999_999:
        raise ValueError("a timestamp has more than 999999999 nanoseconds")
    try:
        moment = EPOCH + datetime.timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError("a timestamp is outside the years 1 to 9999") from None
    fraction = f".{nanoseconds:09}".rstrip("0") if nanoseconds else ""
    return f'"{moment.isoformat()}{fraction}Z"'


def _item(data: bytes, at: int, depth: int) -> tuple[str, int]:
    """Read the object at an offset: its JSON text and the offset behind it."""
    start = at
    if at >= len(data):
        raise ValueError("the bytes end early")
    first = data[at]
    at += 1
    if first < 0x80:
        return str(first), at
    if first >= 0xE0:
        return str(first - 256), at
    if first in CONSTANTS:
        return CONSTANTS[first], at
    if first in FLOATS:
        content, at = _take(data, at, FLOATS[first].size)
        return real(FLOATS[first].unpack(content)[0]), at
    if first in SIZED:
        kind, width = SIZED[first]
        content, at = _take(data, at, width)
        size = int.from_bytes(content, "big", signed=kind == "int")
    elif first < 0x90:
        kind, size = "map", first & 15
    elif first < 0xA0:
        kind, size = "array", first & 15
    elif first < 0xC0:
        kind, size = "str", first & 31
    elif 0xD4 <= first <= 0xD8:
        kind, size = "ext", 1 << (first - 0xD4)
    else:
        raise ValueError(f"byte {start} starts no object")
    if kind in ("uint", "int"):
        return str(size), at
    if kind == "str":
        content, at = _take(data, at, size)
        return utf8(content), at
    if kind == "bin":
        content, at = _take(data, at, size)
        return base64url(content), at
    if kind == "ext":
        return _extension(data, at, size)
    if depth == 0:
        raise ValueError(f"more than {MAX_DEPTH} levels")
    depth -= 1
    if kind == "array":
        items = []
        for _ in range(size):
            text, at = _item(data, at, depth)
            items.append(text)
        return f"[{','.join(items)}]", at
    pairs: dict[str, str] = {}
    for _ in range(size):
        name, at = _item(data, at, depth)
        pairs[key(name)], at = _item(data, at, depth)
    return members(pairs, at - start), at


def run(data: bytes) -> str:
    """Decode one MessagePack object into JSON

    By the rules of mqtt.py_decode_cbor; the head of the body states the mapping. Raises 38000 (external_routine_exception) with a
    short reason when the bytes are not exactly one object or have no form in jsonb.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    text, at = _item(data, 0, MAX_DEPTH)
    if at != len(data):
        raise ValueError("bytes follow the object")
    return text
