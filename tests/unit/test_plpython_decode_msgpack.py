"""plpython/decode_msgpack.py: every format of the MessagePack specification, round trips against msgpack, arbitrary bytes."""

import datetime
import json
import time
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from plpython import decode_msgpack
from plpython.json_text import MAX_BYTES, MAX_DEPTH
from tests.support.storable import as_json, is_clean, is_storable

VECTORS = {
    "positive fixint": ("7f", "127"),
    "negative fixint": ("e0", "-32"),
    "nil": ("c0", "null"),
    "false": ("c2", "false"),
    "true": ("c3", "true"),
    "uint 8": ("ccff", "255"),
    "uint 16": ("cdffff", "65535"),
    "uint 32": ("ceffffffff", "4294967295"),
    "uint 64": ("cfffffffffffffffff", "18446744073709551615"),
    "int 8": ("d080", "-128"),
    "int 16": ("d18000", "-32768"),
    "int 32": ("d280000000", "-2147483648"),
    "int 64": ("d38000000000000000", "-9223372036854775808"),
    "float 32": ("ca3fc00000", "1.5"),
    "float 64": ("cb3ff199999999999a", "1.1"),
    "fixstr": ("a3e6b0b4", '"水"'),
    "str 8": ("d90161", '"a"'),
    "str 16": ("da000161", '"a"'),
    "str 32": ("db0000000161", '"a"'),
    "bin 8": ("c402ffff", '"__8"'),
    "bin 16": ("c50001ff", '"_w"'),
    "bin 32": ("c600000001ff", '"_w"'),
    "fixarray": ("9201c0", "[1,null]"),
    "array 16": ("dc000101", "[1]"),
    "array 32": ("dd0000000101", "[1]"),
    "fixmap": ("81a16101", '{"a":1}'),
    "map 16": ("de0001a16101", '{"a":1}'),
    "map 32": ("df00000001a16101", '{"a":1}'),
    "fixext 1": ("d405ff", '{"ext":5,"data":"_w"}'),
    "fixext 2": ("d580ffff", '{"ext":-128,"data":"__8"}'),
    "fixext 4": ("d605 00000000", '{"ext":5,"data":"AAAAAA"}'),
    "fixext 8": ("d705 0000000000000000", '{"ext":5,"data":"AAAAAAAAAAA"}'),
    "fixext 16": ("d805 00000000000000000000000000000000", '{"ext":5,"data":"AAAAAAAAAAAAAAAAAAAAAA"}'),
    "ext 8": ("c70005", '{"ext":5,"data":""}'),
    "ext 16": ("c8000105ff", '{"ext":5,"data":"_w"}'),
    "ext 32": ("c90000000105ff", '{"ext":5,"data":"_w"}'),
    "timestamp 32": ("d6ff 514b67b0", '"2013-03-21T20:04:00Z"'),
    "timestamp 64": ("d7ff 77359400 514b67b0", '"2013-03-21T20:04:00.5Z"'),
    "timestamp 96": ("c70cff 00000001 ffffffffffffffff", '"1969-12-31T23:59:59.000000001Z"'),
    "the first moment": ("c70cff 00000000 fffffff1886e0900", '"0001-01-01T00:00:00Z"'),
    "the last moment": ("c70cff 3b9ac9ff 0000003afff4417f", '"9999-12-31T23:59:59.999999999Z"'),
    "equal keys: the last wins": ("82a16101a16102", '{"a":2}'),
    "keys of every kind": (
        "86 ff00 c301 c002 cb3ff800000000000003 c401ff04 920102 05",
        '{"-1":0,"true":1,"null":2,"1.5":3,"_w":4,"[1,2]":5}',
    ),
    "a timestamp as key": ("81 d6ff514b67b0 01", '{"2013-03-21T20:04:00Z":1}'),
    "control characters": ("a30a1f7f", '"\\n\\u001f\x7f"'),
    "the deepest": ("91" * MAX_DEPTH + "01", "[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH),
}

FAULTS = {
    **{
        f"ends early {h}": (h, "end early")
        for h in ("", "cc", "cd00", "ce000000", "cf", "d0", "d3", "ca000000", "cb", "a1", "d9", "d902ff", "db")
    },
    **{
        f"ends early {h}": (h, "end early")
        for h in ("c4", "c401", "c6ffffffff00", "91", "dc", "ddffffffff00", "81", "8101", "dfffffffff00")
    },
    **{f"ends early {h}": (h, "end early") for h in ("d4", "d405", "c7", "c70105", "c9ffffffff05", "d6ff000000")},
    "never used": ("c1", "starts no object"),
    "trailing byte": ("0000", "bytes follow"),
    "NaN": ("cb7ff8000000000000", "NaN and infinity"),
    "infinity": ("caff800000", "NaN and infinity"),
    "NUL": ("a100", r"U\+0000"),
    "NUL in a key": ("81a10001", r"U\+0000"),
    "no UTF-8": ("a1ff", "not valid UTF-8"),
    "an encoded surrogate": ("a3eda080", "not valid UTF-8"),
    "a timestamp of 5 bytes": ("c705ff0000000000", "4, 8 or 12"),
    "a timestamp of a billion nanoseconds": ("d7ff ee6b2800 00000000", "999999999"),
    "a timestamp before the year 1": ("c70cff 00000000 fffffff1886e08ff", "years"),
    "a timestamp after the year 9999": ("c70cff 00000000 0000003afff44180", "years"),
    "a timestamp beyond all years": ("c70cff 00000000 7fffffffffffffff", "years"),
    "too deep in arrays": ("91" * (MAX_DEPTH + 1) + "01", "levels"),
    "too deep in maps": ("8101" * (MAX_DEPTH + 1) + "01", "levels"),
    "too deep in keys": ("81" * (MAX_DEPTH + 1) + "01" * (MAX_DEPTH + 2), "levels"),
    "keys that double": ("81" * 20 + "a161" + "01" * 20, "grow too long"),
}


def decode(text: str) -> str:
    return decode_msgpack.run(bytes.fromhex(text))


@pytest.mark.parametrize(("encoded", "expected"), VECTORS.values(), ids=VECTORS)
def test_every_format(encoded: str, expected: str) -> None:
    assert decode(encoded) == expected


@pytest.mark.parametrize(("encoded", "reason"), FAULTS.values(), ids=FAULTS)
def test_faults(encoded: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        decode(encoded)
    is_clean(caught.value)


def test_size() -> None:
    assert decode_msgpack.run(b"\xc6" + (MAX_BYTES - 5).to_bytes(4) + bytes(MAX_BYTES - 5))
    with pytest.raises(ValueError, match="bytes"):
        decode_msgpack.run(bytes(MAX_BYTES + 1))


@pytest.mark.parametrize("filler", [b"\x90", b"\xc0", b"\xa0", b"\xd6\xff\x00\x00\x00\x00", b"\x80", b"\xd4\x05\xff"])
def test_the_worst_mebibyte_takes_bounded_time(filler: bytes) -> None:
    count = (MAX_BYTES - 5) // len(filler)
    started = time.process_time()
    decode_msgpack.run(b"\xdd" + count.to_bytes(4) + filler * count)
    assert time.process_time() - started < 10


def test_heads_that_claim_much_cost_nothing() -> None:
    started = time.process_time()
    with pytest.raises(ValueError, match="levels"):
        decode_msgpack.run(b"\xdd\x00\x0f\x00\x00" * 1000 + bytes(MAX_BYTES - 5000))
    assert time.process_time() - started < 1


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False), TEXTS, st.binary()
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(SCALARS, inner), max_leaves=40)


@given(VALUES)
def test_round_trip_from_msgpack(value: Any) -> None:
    encoded = msgpack.packb(value)
    text = decode_msgpack.run(encoded)
    is_storable(text, encoded)
    assert json.loads(text) == as_json(value)


@given(st.datetimes(timezones=st.just(datetime.UTC)))
def test_timestamps_from_msgpack(moment: datetime.datetime) -> None:
    text = decode_msgpack.run(msgpack.packb(moment, datetime=True))
    assert datetime.datetime.fromisoformat(json.loads(text)) == moment


@given(VALUES, st.data())
def test_a_part_is_never_taken_for_the_whole(value: Any, data: st.DataObject) -> None:
    encoded = msgpack.packb(value)
    with pytest.raises(ValueError, match="end early"):
        decode_msgpack.run(encoded[: data.draw(st.integers(0, len(encoded) - 1))])
    with pytest.raises(ValueError, match="follow"):
        decode_msgpack.run(encoded + data.draw(st.binary(min_size=1)))


@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(st.sampled_from(list(b"\x00\x81\x91\xa1\xc0\xc4\xc7\xca\xcf\xd3\xd4\xd6\xd9\xdc\xdd\xdf\xff"))).map(bytes),
    )
)
@example(b"")
def test_arbitrary_bytes_decode_or_say_why(data: bytes) -> None:
    try:
        text = decode_msgpack.run(data)
    except ValueError as error:
        is_clean(error)
    else:
        is_storable(text, data)
