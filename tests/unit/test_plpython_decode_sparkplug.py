"""plpython/decode_sparkplug.py: round trips against Google's protobuf library with the schema of Sparkplug 3.0.0, arbitrary bytes."""

import json
import math
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import example, given
from hypothesis import strategies as st

from plpython import decode_sparkplug
from plpython.json_text import MAX_BYTES
from tests.support.storable import is_clean, is_storable

FIELD = descriptor_pb2.FieldDescriptorProto
METRIC = {
    "name": (1, FIELD.TYPE_STRING),
    "alias": (2, FIELD.TYPE_UINT64),
    "timestamp": (3, FIELD.TYPE_UINT64),
    "datatype": (4, FIELD.TYPE_UINT32),
    "is_historical": (5, FIELD.TYPE_BOOL),
    "is_null": (7, FIELD.TYPE_BOOL),
    "int_value": (10, FIELD.TYPE_UINT32),
    "long_value": (11, FIELD.TYPE_UINT64),
    "float_value": (12, FIELD.TYPE_FLOAT),
    "double_value": (13, FIELD.TYPE_DOUBLE),
    "boolean_value": (14, FIELD.TYPE_BOOL),
    "string_value": (15, FIELD.TYPE_STRING),
    "bytes_value": (16, FIELD.TYPE_BYTES),
}
PAYLOAD = {
    "timestamp": (1, FIELD.TYPE_UINT64),
    "seq": (3, FIELD.TYPE_UINT64),
    "uuid": (4, FIELD.TYPE_STRING),
    "body": (5, FIELD.TYPE_BYTES),
}


def _payload_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="sparkplug_b.proto", package="sparkplug")
    for name, fields in (("Metric", METRIC), ("Payload", PAYLOAD)):
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            message.field.add(name=field, number=number, type=kind, label=FIELD.LABEL_OPTIONAL)
    file.message_type[1].field.add(
        name="metrics", number=2, type=FIELD.TYPE_MESSAGE, type_name=".sparkplug.Metric", label=FIELD.LABEL_REPEATED
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("sparkplug.Payload"))


Payload = _payload_class()
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
VALUES = st.one_of(
    st.tuples(st.just("int_value"), st.just(3), st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.just("int_value"), st.just(7), st.integers(0, 2**32 - 1)),
    st.tuples(st.just("long_value"), st.just(4), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just("long_value"), st.just(8), st.integers(0, 2**64 - 1)),
    st.tuples(st.just("double_value"), st.just(10), st.floats(allow_nan=False, allow_infinity=False)),
    st.tuples(st.just("float_value"), st.just(9), st.floats(width=32, allow_nan=False, allow_infinity=False)),
    st.tuples(st.just("boolean_value"), st.just(11), st.booleans()),
    st.tuples(st.just("string_value"), st.just(12), TEXT),
)
METRICS = st.lists(st.tuples(TEXT, st.integers(0, 2**64 - 1), st.integers(0, 2**63), VALUES), max_size=5)


@given(st.integers(0, 2**63), st.integers(0, 255), METRICS)
def test_what_protobuf_encodes_is_read(timestamp: int, seq: int, metrics: list[Any]) -> None:
    payload = Payload(timestamp=timestamp, seq=seq, uuid="x", body=b"\xff")
    expected = []
    for name, alias, at, (field, datatype, value) in metrics:
        wire = value % (2**32 if field == "int_value" else 2**64) if field in ("int_value", "long_value") else value
        payload.metrics.add(name=name, alias=alias, timestamp=at, datatype=datatype, is_historical=True, **{field: wire})
        expected.append({"name": name, "alias": alias, "timestamp": at, "datatype": datatype, "value": value})
    assert json.loads(decode_sparkplug.run(payload.SerializeToString())) == {"timestamp": timestamp, "seq": seq, "metrics": expected}


def test_what_has_no_value() -> None:
    payload = Payload()
    payload.metrics.add(name="gone", is_null=True)
    payload.metrics.add(name="nan", double_value=math.nan)
    payload.metrics.add(alias=1, bytes_value=b"\xff\xfe")
    assert json.loads(decode_sparkplug.run(payload.SerializeToString())) == {
        "metrics": [{"name": "gone"}, {"name": "nan"}, {"alias": 1, "value": "__4"}]
    }


@given(st.binary(max_size=200))
@example(b"")
@example(b"\x12\x04\x0a\x02\xff\xff")  # a name that is not UTF-8
@example(b"\x12\x03\x62\x01\x00")  # a float with the wire type of bytes
@example(b"\x0b")  # a group
@example(b"\x08" + b"\xff" * 11)
def test_arbitrary_bytes_are_read_or_refused_with_a_reason(data: bytes) -> None:
    try:
        text = decode_sparkplug.run(data)
    except ValueError as error:
        is_clean(error)
    else:
        is_storable(text, data + bytes(len('{"metrics":[]}')))


def test_what_is_bounded() -> None:
    with pytest.raises(ValueError, match="bytes"):
        decode_sparkplug.run(bytes(MAX_BYTES + 1))
    with pytest.raises(ValueError, match="metrics"):
        decode_sparkplug.run(b"\x12\x00" * (decode_sparkplug.MAX_METRICS + 1))
