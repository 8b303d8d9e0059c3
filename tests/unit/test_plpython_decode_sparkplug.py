"""plpython/decode_sparkplug.py: against Google's protobuf library, with what is kept of nodes; arbitrary bytes."""

import json
import math
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import example, given
from hypothesis import strategies as st

from plpython import decode_sparkplug, sparkplug_wire
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
PROPERTY = {
    "type": (1, FIELD.TYPE_UINT32),
    "is_null": (2, FIELD.TYPE_BOOL),
    "int_value": (3, FIELD.TYPE_UINT32),
    "long_value": (4, FIELD.TYPE_UINT64),
    "float_value": (5, FIELD.TYPE_FLOAT),
    "double_value": (6, FIELD.TYPE_DOUBLE),
    "boolean_value": (7, FIELD.TYPE_BOOL),
    "string_value": (8, FIELD.TYPE_STRING),
}
PAYLOAD = {
    "timestamp": (1, FIELD.TYPE_UINT64),
    "seq": (3, FIELD.TYPE_UINT64),
    "uuid": (4, FIELD.TYPE_STRING),
    "body": (5, FIELD.TYPE_BYTES),
}


def _payload_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="sparkplug_b.proto", package="sparkplug")
    for name, fields in (("Metric", METRIC), ("Payload", PAYLOAD), ("PropertySet", {}), ("PropertyValue", PROPERTY)):
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            message.field.add(name=field, number=number, type=kind, label=FIELD.LABEL_OPTIONAL)
    file.message_type[1].field.add(
        name="metrics", number=2, type=FIELD.TYPE_MESSAGE, type_name=".sparkplug.Metric", label=FIELD.LABEL_REPEATED
    )
    file.message_type[0].field.add(
        name="properties", number=9, type=FIELD.TYPE_MESSAGE, type_name=".sparkplug.PropertySet", label=FIELD.LABEL_OPTIONAL
    )
    file.message_type[2].field.add(name="keys", number=1, type=FIELD.TYPE_STRING, label=FIELD.LABEL_REPEATED)
    file.message_type[2].field.add(
        name="values", number=2, type=FIELD.TYPE_MESSAGE, type_name=".sparkplug.PropertyValue", label=FIELD.LABEL_REPEATED
    )
    file.message_type[3].field.add(
        name="propertyset_value", number=9, type=FIELD.TYPE_MESSAGE, type_name=".sparkplug.PropertySet", label=FIELD.LABEL_OPTIONAL
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


def decode(*messages: tuple[str, Any], states: dict[str, Any] | None = None) -> dict[str, Any]:
    """Messages of the edge node n and its device n/d, in their order."""
    text = decode_sparkplug.run(
        [kind for kind, _ in messages],
        ["n"] * len(messages),
        ["n/d" if kind[0] == "D" else "n" for kind, _ in messages],
        [body if isinstance(body, bytes) else body.SerializeToString() for _, body in messages],
        json.dumps(states or {}),
    )
    answer: dict[str, Any] = json.loads(text)
    return answer


def samples(metrics: list[tuple[str, int, Any]]) -> list[dict[str, Any]]:
    """What a payload of these names, times and values says: a sample for each time, of equal names the last."""
    times = sorted({at for _, at, _ in metrics})
    return [{"ts": ts, "values": {name: value for name, at, value in metrics if at == ts}} for ts in times]


def birth(seq: int, **names: int) -> Any:
    payload = Payload(timestamp=5, seq=seq)
    for name, alias in names.items():
        payload.metrics.add(name=name, alias=alias, datatype=3, int_value=0)
    return payload


def data(seq: int, alias: int, value: int) -> Any:
    payload = Payload(timestamp=7, seq=seq)
    payload.metrics.add(alias=alias, int_value=value)
    return payload


@given(st.integers(0, 2**63), st.integers(0, 255), METRICS)
def test_what_protobuf_encodes_is_read(timestamp: int, seq: int, metrics: list[Any]) -> None:
    payload = Payload(timestamp=timestamp, seq=seq, uuid="x", body=b"\xff")
    for name, alias, at, (field, datatype, value) in metrics:
        wire = value % (2**32 if field == "int_value" else 2**64) if field in ("int_value", "long_value") else value
        payload.metrics.add(name=name, alias=alias, timestamp=at, datatype=datatype, is_historical=True, **{field: wire})
    answer = decode(("NBIRTH", payload))
    assert answer == {
        "documents": [
            {"sparkplug": "NBIRTH", "device": "n", "devices": ["n"], "samples": samples([(n, at, v[2]) for n, _, at, v in metrics])}
        ],
        "states": {
            "n": {
                "is_born": True, "seq": seq, "devices": [],
                "aliases": {str(alias): [name, datatype] for name, alias, _, (_, datatype, _) in metrics},
            }
        },
    }  # fmt: skip


@given(METRICS)
def test_data_by_alias_are_what_the_birth_named(metrics: list[Any]) -> None:
    named = {alias: metric for metric in metrics for alias in [metric[1]]}
    born, sent = Payload(seq=0), Payload(seq=1, timestamp=9)
    for name, alias, _, (field, datatype, value) in metrics:
        wire = value % (2**32 if field == "int_value" else 2**64) if field in ("int_value", "long_value") else value
        born.metrics.add(name=name, alias=alias, datatype=datatype, is_null=True)
        if named[alias][0] == name:
            sent.metrics.add(alias=alias, **{field: wire})
    expected = [(named[alias][0], 9, value) for name, alias, _, (_, datatype, value) in metrics if named[alias][0] == name]
    for alias, metric in named.items():
        # An alias that was given twice has the datatype of the last.
        if any(m[1] == alias and m[3][1] != metric[3][1] for m in metrics):
            return
    assert decode(("NBIRTH", born), ("NDATA", sent))["documents"][1]["samples"] == samples(expected)


def test_what_has_no_value() -> None:
    payload = Payload(timestamp=1)
    payload.metrics.add(name="gone", is_null=True)
    payload.metrics.add(name="nan", double_value=math.nan)
    payload.metrics.add(name="Node Control/Rebirth", boolean_value=False)
    payload.metrics.add(name="bdSeq", long_value=1)
    payload.metrics.add(name="b", bytes_value=b"\xff\xfe")
    assert decode(("NBIRTH", payload))["documents"][0]["samples"] == [{"ts": 1, "values": {"b": "__4"}}]


@pytest.mark.parametrize(
    ("messages", "is_lost"),
    [
        ([("NBIRTH", birth(3, a=1)), ("NDATA", data(4, 1, 5)), ("NDATA", data(5, 1, 6))], False),
        ([("NBIRTH", birth(255, a=1)), ("NDATA", data(0, 1, 5))], False),
        ([("NBIRTH", birth(0, a=1)), ("NDATA", data(2, 1, 5))], True),
        ([("NBIRTH", birth(0, a=1)), ("NDATA", data(1, 2, 5))], True),
        ([("NDATA", data(0, 1, 5))], True),
        ([("NBIRTH", birth(0, a=1)), ("NDEATH", Payload()), ("NDATA", data(1, 1, 5))], True),
        ([("NBIRTH", birth(0)), ("DBIRTH", birth(1, a=1)), ("DDATA", data(2, 1, 5))], False),
        ([("NBIRTH", birth(0)), ("DBIRTH", birth(1, a=1)), ("NBIRTH", birth(0)), ("DDATA", data(1, 1, 5))], True),
    ],
)
def test_whether_a_birth_or_a_message_is_missing(messages: list[tuple[str, Any]], is_lost: bool) -> None:
    whole = decode(*messages)
    assert ("is_lost" in whole["states"]["n"]) is is_lost
    # In one batch or in many, what is known is the same.
    states: dict[str, Any] = {}
    documents = []
    for message in messages:
        answer = decode(message, states=states)
        states = answer["states"]
        documents += answer["documents"]
    assert (documents, states) == (whole["documents"], whole["states"])


def test_with_a_node_its_devices_die() -> None:
    answer = decode(("NBIRTH", birth(0)), ("DBIRTH", birth(1)), ("NDEATH", Payload()))
    assert answer["documents"][2]["devices"] == ["n", "n/d"]


def named(kind: str, seq: int, *names: str, alias: int = 0) -> tuple[str, Any]:
    payload = Payload(seq=seq)
    for number, name in enumerate(names, alias):
        payload.metrics.add(name=name, alias=number, datatype=3, int_value=0)
    return kind, payload


def test_a_name_that_data_repeat_takes_no_more_than_a_payload_may() -> None:
    """An alias takes two bytes, and what it stands for may take as many as a message."""
    sent = Payload(seq=1)
    for number in range(1500):
        sent.metrics.add(alias=0, timestamp=number, int_value=1)
    answer = decode(named("NBIRTH", 0, "n" * 100_000), ("NDATA", sent), ("NDATA", data(2, 0, 5)))
    assert answer["documents"][1] is None
    assert answer["documents"][2] is None, "100 KB of a name from ten bytes"
    assert answer["states"]["n"]["seq"] == 2, "they are in sequence all the same"
    assert "is_lost" not in answer["states"]["n"]
    usual = decode(named("NBIRTH", 0, "n" * 1000), ("NDATA", data(1, 0, 5)))
    assert usual["documents"][1]["samples"] == [{"ts": 7, "values": {"n" * 1000: 5}}]


def test_births_without_end_fill_no_memory() -> None:
    """A birth of a device adds to what is known of its node."""
    births = [named("DBIRTH", n + 1, *(f"{number:07}" + "n" * 43 for number in range(4000)), alias=4000 * n) for n in range(5)]
    states = decode(named("NBIRTH", 0), *births)["states"]
    assert 5000 < len(states["n"]["aliases"]) < 12_000
    unknown = decode(("DDATA", data(6, 19_999, 5)), states=states)
    assert unknown["documents"][0]["samples"] == []
    assert "is_lost" not in unknown["states"]["n"], "another birth would tell no more"
    other = decode(named("DBIRTH", 6, "n" * 10_000, alias=1), ("DDATA", data(7, 1, 5)), states=states)
    assert "1" not in other["states"]["n"]["aliases"], "what has got another name does not keep the old one"
    assert decode(named("NBIRTH", 0, "a"), states=states)["states"]["n"]["aliases"] == {"0": ["a", 3]}


def test_no_more_devices_die_than_a_rule_takes() -> None:
    for length, most in ((10, 999), (1000, 65)):
        devices = [f"{number:0{length}}" for number in range(1100)]
        births = ["NBIRTH", *["DBIRTH"] * len(devices), "NDEATH"]
        text = decode_sparkplug.run(births, ["n"] * len(births), ["n", *devices, "n"], [b""] * len(births), "{}")
        assert json.loads(text)["documents"][-1]["devices"] == ["n", *devices[:most]]


def described(payload: Any, name: str, alias: int | None = None, /, **properties: Any) -> Any:
    """Adds a metric with these properties: texts, or values of other fields as (field, value)."""
    metric = payload.metrics.add(name=name, alias=alias, datatype=3, int_value=1)
    for key, value in properties.items():
        metric.properties.keys.append(key)
        field, content = value if isinstance(value, tuple) else ("string_value", value)
        if field == "propertyset_value":
            metric.properties.values.add().propertyset_value.SetInParent()
        else:
            metric.properties.values.add(type=12, **{field: content})
    return payload


def test_births_tell_units_and_labels() -> None:
    birth_of = described(
        Payload(seq=0), "temp", 1, engUnit="°C", displayName="Outside", documentation="In the \"yard\"", engLow=("double_value", -40.0),
        Quality=("int_value", 192),
    )  # fmt: skip
    others: dict[str, dict[str, Any]] = {
        "rpm": {"engUnits": "1/min", "label": "Speed"},
        "first wins": {"engUnit": "bar", "unit": "Pa"},
        "a number is none": {"engUnit": ("int_value", 5), "units": "K"},
        "null": {"engUnit": ("is_null", True)},
        "nested": {"engUnit": ("propertyset_value", None)},
        "empty": {"engUnit": ""},
        "long": {"engUnit": "x" * 301},
        "Node Control/Rebirth": {"engUnit": "x"},
        "plain": {},
    }
    for name, more in others.items():
        described(birth_of, name, **more)
    metrics = {
        "temp": {"unit": "°C", "name": "Outside", "description": 'In the "yard"'}, "rpm": {"unit": "1/min", "name": "Speed"},
        "first wins": {"unit": "bar"}, "a number is none": {"unit": "K"},
    }  # fmt: skip
    answer = decode(("NBIRTH", birth_of), ("DBIRTH", birth_of), ("NDATA", birth_of))
    assert [document.get("metadata") for document in answer["documents"]] == [{"metrics": metrics}, {"metrics": metrics}, None]
    assert [len(document["samples"][0]["values"]) for document in answer["documents"]] == [10 - 1] * 3


@given(st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=5))
def test_units_that_protobuf_encodes(metrics: list[tuple[str, str, str]]) -> None:
    birth_of = Payload(seq=0)
    for name, unit, label in metrics:
        described(birth_of, name, engUnit=unit, label=label)
    expected: dict[str, dict[str, str]] = {}
    for name, unit, label in metrics:
        said = ({"unit": unit} if unit else {}) | ({"name": label} if label else {})
        if said:
            expected[name] = said
    assert decode(("DBIRTH", birth_of))["documents"][0].get("metadata", {"metrics": {}}) == {"metrics": expected}


@pytest.mark.parametrize(
    "properties", [b"\xff", b"\x0a\x02\xff\xff", b"\x0a\x07engUnit\x12\x03\x42\x01\x00", b"\x0a\x07engUnit", b"\x12\x03\x42\x01C"]
)
def test_a_damaged_property_set_costs_no_reading(properties: bytes) -> None:
    metric = b"\x0a\x01t\x20\x03\x50\x05\x4a" + bytes([len(properties)]) + properties
    (document,) = decode(("NBIRTH", b"\x12" + bytes([len(metric)]) + metric))["documents"]
    assert (document["samples"], "metadata" in document) == ([{"ts": None, "values": {"t": 5}}], False)


def test_metadata_are_bounded() -> None:
    """An attack: properties that make far more text than a device may have, and many of one metric; the readings stay."""
    large = Payload(seq=0)
    for n in range(1000):
        described(large, f"m{n}", engUnit="°" * 150)
    answer = decode(("DBIRTH", large))["documents"][0]
    assert len(answer["samples"][0]["values"]) == 1000
    assert 40_000 < len(json.dumps(answer["metadata"], ensure_ascii=False).encode()) < 65_536
    many = Payload(seq=0)
    described(many, "m", engUnit="C")
    many.metrics[0].properties.keys.extend(["unit"] * 50_000)
    for _ in range(50_000):
        many.metrics[0].properties.values.add(string_value="K")
    assert decode(("DBIRTH", many))["documents"][0]["metadata"] == {"metrics": {"m": {"unit": "C"}}}


@given(st.binary(max_size=200))
@example(b"")
@example(b"\x12\x04\x0a\x02\xff\xff")  # a name that is not UTF-8
@example(b"\x12\x03\x7a\x01\x00")  # a text with U+0000
@example(b"\x12\x03\x62\x01\x00")  # a float with the wire type of bytes
@example(b"\x0b")  # a group
@example(b"\x08" + b"\xff" * 11)
def test_arbitrary_bytes_are_read_or_are_none_of_ours(data: bytes) -> None:
    text = decode_sparkplug.run(["NBIRTH"], ["n"], ["n"], [data], "{}")
    is_storable(text, data * 3 + bytes(200))
    try:
        sparkplug_wire.payload(data)
    except ValueError as error:
        is_clean(error)
        assert json.loads(text) == {"documents": [None], "states": {}}


def test_what_is_bounded() -> None:
    with pytest.raises(ValueError, match="bytes"):
        sparkplug_wire.payload(bytes(MAX_BYTES + 1))
    with pytest.raises(ValueError, match="metrics"):
        sparkplug_wire.payload(b"\x12\x00" * (sparkplug_wire.MAX_METRICS + 1))
