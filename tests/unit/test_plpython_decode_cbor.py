"""plpython/decode_cbor.py: the vectors of RFC 8949, its ill-formed examples, round trips against cbor2, arbitrary bytes."""

import base64
import json
import struct
import sys
import time
from typing import Any

import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from plpython import decode_cbor
from plpython.json_text import MAX_BYTES, MAX_DEPTH
from tests.support.storable import as_json, is_clean, is_storable

# RFC 8949 appendix A, in its order; the JSON is section 6.1's, save for bignums.
VECTORS = [
    ("00", "0"),
    ("01", "1"),
    ("0a", "10"),
    ("17", "23"),
    ("1818", "24"),
    ("1819", "25"),
    ("1864", "100"),
    ("1903e8", "1000"),
    ("1a000f4240", "1000000"),
    ("1b000000e8d4a51000", "1000000000000"),
    ("1bffffffffffffffff", "18446744073709551615"),
    ("c249010000000000000000", "18446744073709551616"),
    ("3bffffffffffffffff", "-18446744073709551616"),
    ("c349010000000000000000", "-18446744073709551617"),
    ("20", "-1"),
    ("29", "-10"),
    ("3863", "-100"),
    ("3903e7", "-1000"),
    ("f90000", "0.0"),
    ("f98000", "-0.0"),
    ("f93c00", "1.0"),
    ("fb3ff199999999999a", "1.1"),
    ("f93e00", "1.5"),
    ("f97bff", "65504.0"),
    ("fa47c35000", "100000.0"),
    ("fa7f7fffff", "3.4028234663852886e+38"),
    ("fb7e37e43c8800759c", "1e+300"),
    ("f90001", "5.960464477539063e-08"),
    ("f90400", "6.103515625e-05"),
    ("f9c400", "-4.0"),
    ("fbc010666666666666", "-4.1"),
    ("f4", "false"),
    ("f5", "true"),
    ("f6", "null"),
    ("f7", "null"),
    ("f0", "null"),
    ("f8ff", "null"),
    ("c074323031332d30332d32315432303a30343a30305a", '"2013-03-21T20:04:00Z"'),
    ("c11a514b67b0", "1363896240"),
    ("c1fb41d452d9ec200000", "1363896240.5"),
    ("d74401020304", '"01020304"'),
    ("d818456449455446", '"ZElFVEY"'),
    ("d82076687474703a2f2f7777772e6578616d706c652e636f6d", '"http://www.example.com"'),
    ("40", '""'),
    ("4401020304", '"AQIDBA"'),
    ("60", '""'),
    ("6161", '"a"'),
    ("6449455446", '"IETF"'),
    ("62225c", '"\\"\\\\"'),
    ("62c3bc", '"ü"'),
    ("63e6b0b4", '"水"'),
    ("64f0908591", '"\U00010151"'),
    ("80", "[]"),
    ("83010203", "[1,2,3]"),
    ("8301820203820405", "[1,[2,3],[4,5]]"),
    (
        "98190102030405060708090a0b0c0d0e0f101112131415161718181819",
        "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25]",
    ),
    ("a0", "{}"),
    ("a201020304", '{"1":2,"3":4}'),
    ("a26161016162820203", '{"a":1,"b":[2,3]}'),
    ("826161a161626163", '["a",{"b":"c"}]'),
    ("a56161614161626142616361436164614461656145", '{"a":"A","b":"B","c":"C","d":"D","e":"E"}'),
    ("5f42010243030405ff", '"AQIDBAU"'),
    ("7f657374726561646d696e67ff", '"streaming"'),
    ("9fff", "[]"),
    ("9f018202039f0405ffff", "[1,[2,3],[4,5]]"),
    ("9f01820203820405ff", "[1,[2,3],[4,5]]"),
    ("83018202039f0405ff", "[1,[2,3],[4,5]]"),
    ("83019f0203ff820405", "[1,[2,3],[4,5]]"),
    (
        "9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff",
        "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25]",
    ),
    ("bf61610161629f0203ffff", '{"a":1,"b":[2,3]}'),
    ("826161bf61626163ff", '["a",{"b":"c"}]'),
    ("bf6346756ef563416d7421ff", '{"Fun":true,"Amt":-2}'),
]

BEYOND_THE_VECTORS = {
    "decimal fraction 273.15": ("c48221196ab3", "27315e-2"),
    "decimal fraction of a bignum": ("c48221c249010000000000000000", "18446744073709551616e-2"),
    "decimal fraction zero of a huge exponent": ("c4821b7fffffffffffffff00", "0"),
    "bigfloat 1.5": ("c5822003", "1.5"),
    "bignum with leading zeros": ("c258200000000000000000000000000000000000000000000000000000000000000001", "1"),
    "bignum in chunks": ("c25f41014100ff", "256"),
    "base64 for a whole array": ("d682 4101 43010203", '["AQ==","AQID"]'),
    "an inner hint wins": ("d682 41ff d741ff", '["/w==","FF"]'),
    "base64url again inside base16": ("d782 41ff d541ff", '["FF","_w"]'),
    "self-described CBOR": ("d9d9f7 01", "1"),
    "equal keys: the last wins": ("a2 6161 01 6161 02", '{"a":2}'),
    "keys equal only as text: the last wins": ("a2 01 01 6131 02", '{"1":2}'),
    "keys of every kind": (
        "a8 20 00 f5 01 f6 02 f93e00 03 41ff 04 820102 05 a10102 06 c249010000000000000000 07",
        '{"-1":0,"true":1,"null":2,"1.5":3,"_w":4,"[1,2]":5,"{\\"1\\":2}":6,"18446744073709551616":7}',
    ),
    "longer head than needed": ("1b0000000000000001", "1"),
    "control characters": ("63 0a1f7f", '"\\n\\u001f\x7f"'),
    "the deepest": ("81" * MAX_DEPTH + "01", "[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH),
}

FAULTS = {
    # RFC 8949 appendix F: examples of what is not well-formed
    **{f"ends early {h}": (h, "end early") for h in ("", "18", "19", "1a", "1b", "1901", "1a0102", "1b01020304050607", "38", "58", "78")},
    **{f"ends early {h}": (h, "end early") for h in ("98", "9a01ff00", "b8", "d8", "f8", "f900", "fa0000", "fb000000", "41", "61")},
    **{
        f"ends early {h}": (h, "end early")
        for h in ("5affffffff00", "5bffffffffffffffff010203", "7affffffff00", "7b7fffffffffffffff010203")
    },
    **{f"ends early {h}": (h, "end early") for h in ("81", "818181818181818181", "8200", "a1", "a20102", "a100", "a2000000", "c0")},
    **{
        f"ends early {h}": (h, "end early")
        for h in ("5f4100", "7f6161", "9f", "9f0102", "bf", "bf01020102", "819f", "9f8000", "9f9f9f9f9fffffffff")
    },
    **{f"reserved {h}": (h, "starts no data item") for h in ("1c", "1d", "1e", "3c", "5d", "7e", "9c", "bd", "dc", "fc", "fd", "fe")},
    **{f"reserved {h}": (h, "starts no data item") for h in ("f800", "f801", "f818", "f81f")},
    **{f"chunk {h}": (h, "no string of the same type") for h in ("5f00ff", "5f21ff", "5f6100ff", "5f80ff", "5fa0ff", "5fc000ff", "5fe0ff")},
    **{f"chunk {h}": (h, "no string of the same type") for h in ("7f4100ff", "5f5f4100ffff", "7f7f6100ffff")},
    **{
        f"break {h}": (h, "starts no data item")
        for h in ("ff", "81ff", "8200ff", "a1ff", "a1ff00", "a100ff", "a20000ff", "9f81ff", "9f829f819f9fffffffff")
    },
    **{f"break {h}": (h, "starts no data item") for h in ("bf00ff", "bf000000ff", "1f", "3f", "df")},
    # what has no form in jsonb
    **{
        f"not finite {h}": (h, "NaN and infinity") for h in ("f97c00", "f97e00", "f9fc00", "fa7f800000", "faff800000", "fb7ff8000000000000")
    },
    "trailing byte": ("0000", "bytes follow"),
    "NUL": ("6100", r"U\+0000"),
    "NUL in a key": ("a1610001", r"U\+0000"),
    "no UTF-8": ("61ff", "not valid UTF-8"),
    "an encoded surrogate": ("63eda080", "not valid UTF-8"),
    "a character across chunks": ("7f61c361bcff", "not valid UTF-8"),
    "a bignum beyond doubles": ("c25881" + "ff" * 129, "beyond the range"),
    "a negative bignum beyond doubles": ("c35881" + "ff" * 129, "beyond the range"),
    "a bignum of a text": ("c26161", "no byte string"),
    "a decimal fraction beyond doubles": ("c48219013501", "beyond the range"),
    "a decimal fraction below doubles": ("c4823901ff01", "beyond the range"),
    "a decimal fraction of a billion digits": ("c4821a3b9aca0001", "beyond the range"),
    "a bigfloat of a billion bits": ("c5821a3b9aca0001", "beyond the range"),
    "a bigfloat below doubles": ("c5823a3b9aca0001", "beyond the range"),
    "a decimal fraction of one": ("c48101", "no pair of integers"),
    "a decimal fraction of a float": ("c48201f93c00", "no pair of integers"),
    "a shared reference": ("d81d00", "references"),
    "a string reference": ("d81900", "references"),
    "too deep in arrays": ("81" * (MAX_DEPTH + 1) + "01", "levels"),
    "too deep in maps": ("a101" * (MAX_DEPTH + 1) + "01", "levels"),
    "too deep in tags": ("c6" * (MAX_DEPTH + 1) + "01", "levels"),
    "too deep in keys": ("a1" * (MAX_DEPTH + 1) + "01" * (MAX_DEPTH + 2), "levels"),
    "keys that double": ("a1" * 20 + "6161" + "01" * 20, "grow too long"),
    "19 bytes that crash cbor2 5.4.6": (
        base64.b64decode("wcq/v9gcytgdABYAZR0AFgBlJQ==").hex(),
        "NaN|end early|data item|references|U\\+0000|follow",
    ),
}


def decode(text: str) -> str:
    return decode_cbor.run(bytes.fromhex(text))


@pytest.mark.parametrize(("encoded", "expected"), VECTORS, ids=[v[0][:40] for v in VECTORS])
def test_vectors_of_rfc_8949(encoded: str, expected: str) -> None:
    assert decode(encoded) == expected


@pytest.mark.parametrize(("encoded", "expected"), BEYOND_THE_VECTORS.values(), ids=BEYOND_THE_VECTORS)
def test_mapping(encoded: str, expected: str) -> None:
    assert decode(encoded) == expected


@pytest.mark.parametrize(("encoded", "reason"), FAULTS.values(), ids=FAULTS)
def test_faults(encoded: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        decode(encoded)
    is_clean(caught.value)


def test_size() -> None:
    assert decode_cbor.run(b"\x5a" + (MAX_BYTES - 5).to_bytes(4) + bytes(MAX_BYTES - 5))
    with pytest.raises(ValueError, match="bytes"):
        decode_cbor.run(bytes(MAX_BYTES + 1))


@pytest.mark.parametrize("filler", [b"\x80", b"\xf6", b"\x60", b"\xf9\x00\x01", b"\xc6\x00", b"\xa0", b"\x9f\xff", b"\xd6\x40"])
def test_the_worst_mebibyte_takes_bounded_time(filler: bytes) -> None:
    count = (MAX_BYTES - 5) // len(filler)
    started = time.process_time()
    decode_cbor.run(b"\x9a" + count.to_bytes(4) + filler * count)
    assert time.process_time() - started < 10


LARGEST = int(sys.float_info.max)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-LARGEST, LARGEST), st.floats(allow_nan=False, allow_infinity=False), TEXTS, st.binary()
)
KEYS = st.one_of(SCALARS, st.tuples(st.integers(), TEXTS))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=40)


@given(VALUES)
def test_round_trip_from_cbor2(value: Any) -> None:
    encoded = cbor2.dumps(value)
    text = decode_cbor.run(encoded)
    is_storable(text, encoded)
    assert json.loads(text) == as_json(value)


@st.composite
def items(draw: st.DrawFn, depth: int = 3) -> tuple[bytes, Any]:
    """Draw an encoding with its JSON value: heads of any width, indefinite lengths and tags included, which cbor2 would not write."""

    def head(major: int, argument: int) -> bytes:
        widths = [w for w in (0, 1, 2, 4, 8) if argument < (24 if w == 0 else 256**w)]
        width = draw(st.sampled_from(widths))
        return bytes([major << 5 | argument]) if width == 0 else bytes([major << 5 | 23 + width.bit_length()]) + argument.to_bytes(width)

    value: Any
    kind = draw(st.sampled_from(["unsigned", "negative", "bytes", "text", "float", *(["array", "map", "tag"] if depth else [])]))
    if kind == "unsigned":
        number = draw(st.integers(0, 2**64 - 1))
        return head(0, number), number
    if kind == "negative":
        number = draw(st.integers(0, 2**64 - 1))
        return head(1, number), -1 - number
    if kind == "float":
        real = draw(st.floats(width=32, allow_nan=False, allow_infinity=False))
        return b"\xfa" + struct.pack(">f", real), real
    if kind in ("bytes", "text"):
        major, chunks = (2, draw(st.lists(st.binary()))) if kind == "bytes" else (3, [t.encode() for t in draw(st.lists(TEXTS))])
        content = b"".join(chunks)
        value = as_json(content) if kind == "bytes" else content.decode()
        if draw(st.booleans()):
            return head(major, len(content)) + content, value
        return bytes([major << 5 | 31]) + b"".join(head(major, len(c)) + c for c in chunks) + b"\xff", value
    if kind == "tag":
        encoded, value = draw(items(depth=depth - 1))
        return head(6, draw(st.sampled_from([0, 1, 24, 32, 55799, 2**64 - 1]))) + encoded, value
    members = draw(st.lists(items(depth=depth - 1), max_size=4))
    if kind == "array":
        body, value = b"".join(e for e, _ in members), [v for _, v in members]
    else:
        keys = draw(st.lists(TEXTS, min_size=len(members), max_size=len(members)))
        body = b"".join(head(3, len(k.encode())) + k.encode() + e for k, (e, _) in zip(keys, members, strict=True))
        value = dict(zip(keys, (v for _, v in members), strict=True))
    major = 4 if kind == "array" else 5
    if draw(st.booleans()):
        return head(major, len(members)) + body, value
    return bytes([major << 5 | 31]) + body + b"\xff", value


@given(items())
def test_any_well_formed_encoding(item: tuple[bytes, Any]) -> None:
    encoded, value = item
    text = decode_cbor.run(encoded)
    is_storable(text, encoded)
    assert json.loads(text) == value


@given(items(), st.data())
def test_a_part_is_never_taken_for_the_whole(item: tuple[bytes, Any], data: st.DataObject) -> None:
    encoded, _ = item
    with pytest.raises(ValueError, match=r"."):
        decode_cbor.run(encoded[: data.draw(st.integers(0, len(encoded) - 1))])
    with pytest.raises(ValueError, match="follow"):
        decode_cbor.run(encoded + data.draw(st.binary(min_size=1)))


@given(
    st.one_of(
        st.binary(max_size=200), st.lists(st.sampled_from(list(b"\x00\x1b\x41\x5f\x61\x7f\x81\x9f\xa1\xbf\xc2\xc4\xd8\xf9\xff"))).map(bytes)
    )
)
@example(b"")
def test_arbitrary_bytes_decode_or_say_why(data: bytes) -> None:
    try:
        text = decode_cbor.run(data)
    except ValueError as error:
        is_clean(error)
    else:
        is_storable(text, data)
