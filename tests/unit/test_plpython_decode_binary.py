"""plpython/decode_binary.py: what Python's struct packs comes back, scaled exactly; fewer and more bytes are refused."""

import json
import math
import struct
import time
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plpython import decode_binary
from plpython.json_text import MAX_BYTES
from tests.support.storable import is_clean

SIZES = {"b": 8, "h": 16, "i": 32, "q": 64}
INTEGERS = [st.tuples(st.just(code), st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)) for code, bits in SIZES.items()]
NATURALS = [st.tuples(st.just(code.upper()), st.integers(0, 2**bits - 1)) for code, bits in SIZES.items()]
FLOATS = [
    st.tuples(st.just("e"), st.floats(width=16, allow_nan=False, allow_infinity=False)),
    st.tuples(st.just("f"), st.floats(width=32, allow_nan=False, allow_infinity=False)),
    st.tuples(st.just("d"), st.floats(width=64, allow_nan=False, allow_infinity=False)),
]
FIELDS = st.lists(
    st.tuples(st.sampled_from(["<", ">", ""]), st.one_of(*INTEGERS, *NATURALS, *FLOATS, st.tuples(st.just("?"), st.booleans()))), max_size=6
)


@given(FIELDS)
def test_what_was_packed_comes_back(fields: Any) -> None:
    layout = [{"format": order + code, "name": f"n{i}"} for i, (order, (code, _)) in enumerate(fields)]
    data = b"".join(struct.pack((order or ">") + code, value) for order, (code, value) in fields)
    assert json.loads(decode_binary.run(data, json.dumps(layout))) == {f"n{i}": value for i, (_, (_, value)) in enumerate(fields)}


@given(st.integers(-(2**31), 2**31 - 1), st.sampled_from(["/100", "/8", 0.01, 10, "/0.5"]))
def test_numbers_are_scaled_exactly(value: int, scale: Any) -> None:
    text = decode_binary.run(struct.pack(">i", value), json.dumps([{"format": ">i", "name": "t", "scale": scale}]))
    exact = Fraction(value) / Fraction(scale[1:]) if isinstance(scale, str) else Fraction(value) * Fraction(str(scale))
    assert Fraction(json.loads(text, parse_float=str, parse_int=str)["t"]) == exact


@given(st.sampled_from([8, 16, 24, 32, 40, 48, 56, 64]), st.sampled_from("<>"), st.booleans(), st.data())
def test_integers_of_any_size(bits: int, order: str, is_signed: bool, data: st.DataObject) -> None:
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if is_signed else (0, (1 << bits) - 1)
    value = data.draw(st.integers(low, high))
    packed = value.to_bytes(bits // 8, "big" if order == ">" else "little", signed=is_signed)
    layout = [{"format": f"{order}{'i' if is_signed else 'u'}{bits}", "name": "n"}]
    assert json.loads(decode_binary.run(packed, json.dumps(layout))) == {"n": value}


@given(
    st.lists(st.tuples(st.integers(1, 20), st.booleans(), st.integers()), min_size=1, max_size=8).filter(
        lambda x: sum(p[0] for p in x) <= 64
    )
)
def test_parts_of_an_integer(pieces: list[tuple[int, bool, int]]) -> None:
    whole, at, parts, expected = 0, 0, [], {}
    for i, (count, is_signed, seed) in enumerate(pieces):
        raw = seed % (1 << count)
        whole |= raw << at
        parts.append({"name": f"p{i}", "bits": [at, count], "signed": is_signed})
        expected[f"p{i}"] = raw - (1 << count) if is_signed and raw >> (count - 1) else raw
        at += count
    layout = [{"format": "<Q", "parts": parts}]
    assert json.loads(decode_binary.run(whole.to_bytes(8, "little"), json.dumps(layout))) == expected


@given(st.lists(st.tuples(st.sampled_from(["01", "02", "03"]), st.integers(-(2**15), 2**15 - 1)), max_size=20), st.booleans())
def test_records_are_told_apart_by_their_tags(records: list[tuple[str, int]], is_counted: bool) -> None:
    fields = {tag: [{"format": "h", "name": tag}] for tag in (["01", "02"] if is_counted else ["01", "02", "03"])}
    layout = [{"tag": 1, "length": 1 if is_counted else 0, "fields": fields}]
    data = b"".join(bytes.fromhex(tag) + (b"\x02" if is_counted else b"") + struct.pack(">h", value) for tag, value in records)
    expected = {tag: value for tag, value in records if tag in fields}
    assert json.loads(decode_binary.run(data, json.dumps(layout))) == expected


def test_labels_and_what_may_be_absent() -> None:
    layout = [
        {"format": "B", "name": "door", "labels": {"0": "closed", "1": "open", "255": None}},
        {"format": "B", "name": "battery", "optional": True},
        {"format": "B", "name": "more", "optional": True},
    ]
    assert [json.loads(decode_binary.run(data, json.dumps(layout))) for data in (b"\1", b"\2\x64", b"\xff\x64\x01")] == [
        {"door": "open"}, {"door": 2, "battery": 100}, {"battery": 100, "more": 1},
    ]  # fmt: skip


@given(st.binary(max_size=24), st.sampled_from([0, 1, 2]))
def test_arbitrary_records_are_read_or_refused_with_a_reason(data: bytes, length: int) -> None:
    fields = {"00": [{"format": "u24", "name": "a"}], "01": [{"format": "2s", "name": "b"}], "02": []}
    try:
        text = decode_binary.run(data, json.dumps([{"tag": 1, "length": length, "fields": fields}]))
    except ValueError as error:
        is_clean(error)
    else:
        json.loads(text, parse_constant=pytest.fail)


def test_texts_gaps_and_nan() -> None:
    layout = [
        {"format": "4s", "name": "id"},
        {"format": "2x"},
        {"format": "<f", "name": "gone"},
        {"format": "<H", "name": "v", "scale": "/1000"},
    ]
    data = b"ab\0\0" + b"\xff\xff" + struct.pack("<fH", math.nan, 3301)
    assert json.loads(decode_binary.run(data, json.dumps(layout))) == {"id": "ab", "v": 3.301}


@given(st.binary(max_size=24))
def test_arbitrary_bytes_are_read_or_refused_with_a_reason(data: bytes) -> None:
    layout = [{"format": "<d", "name": "a", "scale": 1e300}, {"format": "2s", "name": "b"}, {"format": "e", "name": "c", "scale": "/3"}]
    try:
        text = decode_binary.run(data, json.dumps(layout))
    except ValueError as error:
        is_clean(error)
    else:
        assert len(data) == 12
        json.loads(text, parse_constant=pytest.fail)


@pytest.mark.parametrize(("data", "reason"), [(b"\0", "fewer"), (b"\0\0\0", "more"), (bytes(MAX_BYTES + 1), "bytes")])
def test_what_does_not_fit(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_binary.run(data, '[{"format": "H", "name": "a"}]')


def test_values_are_bounded() -> None:
    parts = [{"name": f"p{bit}", "bits": [0, 1], "scale": 0.1} for bit in range(64)]
    layout = json.dumps([{"tag": 1, "fields": {"00": [{"format": "B", "parts": parts}]}}])
    assert len(json.loads(decode_binary.run(bytes(6000), layout))) == 64
    began = time.process_time()
    with pytest.raises(ValueError, match="more than 200000 values"):
        decode_binary.run(bytes(262_144), layout)
    assert time.process_time() - began < 5.0
