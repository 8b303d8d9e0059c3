"""plpython/decode_influx.py: line protocol read as an independent parser reads it, the reference's examples, arbitrary bytes."""

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from influxdb_client.client.write.point import Point
from line_protocol_parser import parse_line

from plpython import decode_influx
from plpython.json_text import MAX_BYTES
from plpython.samples_text import MAX_SAMPLES
from tests.support.storable import is_clean, is_storable

NAME = st.text(st.characters(codec="utf-8", exclude_characters="\\", exclude_categories=["Cc", "Cs", "Z"]), min_size=1, max_size=8).filter(
    lambda text: text[0] not in "#_"
)
SPACED = st.lists(NAME | st.sampled_from([" ", ",", "="]), min_size=1, max_size=4).map("".join).filter(lambda text: text[0] not in "#_ ,=")
STRINGS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)
VALUES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False),  # which the other parser refuses
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    STRINGS.filter(lambda s: "\\" not in s),
)
POINTS = st.tuples(
    SPACED, st.dictionaries(SPACED, SPACED, max_size=3), st.dictionaries(SPACED, VALUES, min_size=1, max_size=3), st.integers(0, 2**62)
)


def escaped(text: str, characters: str = ",= ") -> str:
    return re.sub(f"([{characters}])", r"\\\1", text)


def line(measurement: str, tags: dict[str, str], fields: dict[str, Any], timestamp: int) -> str:
    def field(value: Any) -> str:
        if isinstance(value, bool):
            return "true" if value else "f"
        if isinstance(value, str):
            return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'
        return f"{value}i" if isinstance(value, int) else repr(value)

    head = "".join([escaped(measurement, ", "), *(f",{escaped(k)}={escaped(v)}" for k, v in tags.items())])
    return f"{head} {','.join(f'{escaped(k)}={field(v)}' for k, v in fields.items())} {timestamp}"


@given(POINTS)
def test_a_point_is_what_an_independent_parser_says(point: Any) -> None:
    text = line(*point)
    other = parse_line(text)
    (found,) = json.loads(decode_influx.run(text.encode()))
    assert found == {"timestamp": other.pop("time"), **other}


@given(POINTS)
def test_a_point_of_the_vendors_client_is_read(point: Any) -> None:
    """What it leaves out is not there: fields without a value, and tags that are empty."""
    measurement, tags, fields, timestamp = point
    written: Any = Point(measurement).time(timestamp)  # type: ignore[no-untyped-call]
    for name, value in tags.items():
        written.tag(name, value)
    for name, value in fields.items():
        written.field(name, value)
    (found,) = json.loads(decode_influx.run(written.to_line_protocol().encode()))
    assert found == {"measurement": measurement, "tags": tags, "fields": fields, "timestamp": timestamp}


@given(st.lists(POINTS, max_size=4), st.sampled_from(["\n", "\r\n", "\n\n# a comment\n"]))
def test_points_come_back(points: list[Any], separator: str) -> None:
    expected = [dict(zip(("measurement", "tags", "fields", "timestamp"), point, strict=True)) for point in points]
    assert json.loads(decode_influx.run(separator.join(line(*point) for point in points).encode())) == expected


def test_the_forms_of_the_reference() -> None:
    text = r"""# comment
myMeasurement,tag1=value1,tag2=value2 fieldKey="fieldValue" 1556813561098000000
m f=1.0,g=1.,h=-1.234456e+78,i=1u,j=-12485903i,k=T,l=FALSE
my\ Meas\,urement,a\=b=c\ d s="say \"hi\", \\ and \n",e=""
  m  f=1  5  """
    assert json.loads(decode_influx.run(text.encode())) == [
        {"measurement": "myMeasurement", "tags": {"tag1": "value1", "tag2": "value2"}, "fields": {"fieldKey": "fieldValue"},
         "timestamp": 1556813561098000000},
        {"measurement": "m", "tags": {}, "fields": {"f": 1, "g": 1, "h": -1.234456e78, "i": 1, "j": -12485903, "k": True, "l": False}},
        {"measurement": "my Meas,urement", "tags": {"a=b": "c d"}, "fields": {"s": 'say "hi", \\ and \\n', "e": ""}},
        {"measurement": "m", "tags": {}, "fields": {"f": 1}, "timestamp": 5},
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "m",
        "m ",
        "m f",
        "m f=",
        "m f=x",
        'm f="x',
        "m f=nan",
        "m f=1e999",
        "m,t= f=1",
        "m, f=1",
        "m f=1 x",
        "m f=1 5 6",
        ",t=1 f=1",
        'm f="a"b',
    ],
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^a ") as refusal:
        decode_influx.run(text.encode())
    is_clean(refusal.value)


@given(st.binary(max_size=100) | st.text('mtf=1i, "\\\n#T.-e', max_size=60).map(str.encode))
@example(b'm f="' + b"\\" * 5000)
def test_arbitrary_bytes_are_read_or_refused_with_a_reason(data: bytes) -> None:
    try:
        text = decode_influx.run(data)
    except ValueError as error:
        is_clean(error)
    else:
        is_storable(text, data or b" ")  # [] is longer than nothing


def test_what_is_bounded() -> None:
    for data, reason in (
        (bytes(MAX_BYTES + 1), "bytes"),
        (b"m f=1\n" * (MAX_SAMPLES + 1), "samples"),
        (b'm f="' + b"\\" * 2**19, "closed"),
    ):
        with pytest.raises(ValueError, match=reason):
            decode_influx.run(data)
