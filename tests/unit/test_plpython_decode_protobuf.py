"""plpython/decode_protobuf.py and protobuf_layout.py: what Google's library encodes, by the descriptor set that it gives; attacks."""

import base64
import json
import math
import time
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import example, given
from hypothesis import strategies as st

from plpython import decode_protobuf, protobuf_layout
from plpython.json_text import MAX_BYTES, MAX_DEPTH
from tests.support.storable import is_clean, is_storable

FIELD = descriptor_pb2.FieldDescriptorProto
INTEGERS = {
    "int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1), "uint32": (0, 2**32 - 1), "uint64": (0, 2**64 - 1),
    "sint32": (-(2**31), 2**31 - 1), "sint64": (-(2**63), 2**63 - 1), "fixed32": (0, 2**32 - 1), "fixed64": (0, 2**64 - 1),
    "sfixed32": (-(2**31), 2**31 - 1), "sfixed64": (-(2**63), 2**63 - 1),
}  # fmt: skip
KINDS = [*INTEGERS, "float", "double", "bool", "string", "bytes"]


def _file(syntax: str) -> descriptor_pb2.FileDescriptorProto:
    """acme.Reading with a field of each kind, repeated ones, a nested type that nests itself, an enumeration, a map and a oneof."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{syntax}.proto", package=f"acme.{syntax}", syntax=syntax)
    kind = file.enum_type.add(name="Kind")
    for number, label in enumerate(("UNKNOWN", "INDOOR", "OUTDOOR")):
        kind.value.add(name=label, number=number)
    reading = file.message_type.add(name="Reading")
    for number, name in enumerate(KINDS, 1):
        reading.field.add(name=name, number=number, type=getattr(FIELD, f"TYPE_{name.upper()}"), label=FIELD.LABEL_OPTIONAL)
        reading.field.add(name=f"{name}s", number=100 + number, type=getattr(FIELD, f"TYPE_{name.upper()}"), label=FIELD.LABEL_REPEATED)
    part = reading.nested_type.add(name="Part")
    part.field.add(name="v", number=1, type=FIELD.TYPE_DOUBLE, label=FIELD.LABEL_OPTIONAL)
    parts = f".acme.{syntax}.Reading.Part"
    part.field.add(name="part", number=2, type=FIELD.TYPE_MESSAGE, type_name=parts, label=FIELD.LABEL_OPTIONAL)
    entry = reading.nested_type.add(name="TagsEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=FIELD.TYPE_STRING, label=FIELD.LABEL_OPTIONAL)
    entry.field.add(name="value", number=2, type=FIELD.TYPE_INT32, label=FIELD.LABEL_OPTIONAL)
    reading.field.add(name="part", number=50, type=FIELD.TYPE_MESSAGE, type_name=parts, label=FIELD.LABEL_OPTIONAL)
    reading.field.add(name="parts", number=51, type=FIELD.TYPE_MESSAGE, type_name=parts, label=FIELD.LABEL_REPEATED)
    reading.field.add(name="kind", number=52, type=FIELD.TYPE_ENUM, type_name=f".acme.{syntax}.Kind", label=FIELD.LABEL_OPTIONAL)
    reading.field.add(name="tags", number=53, type=FIELD.TYPE_MESSAGE, type_name=f"{parts[:-4]}TagsEntry", label=FIELD.LABEL_REPEATED)
    reading.oneof_decl.add(name="choice")
    reading.field.add(name="one", number=54, type=FIELD.TYPE_INT32, label=FIELD.LABEL_OPTIONAL, oneof_index=0)
    reading.field.add(name="other", number=55, type=FIELD.TYPE_STRING, label=FIELD.LABEL_OPTIONAL, oneof_index=0)
    return file


SETS = {syntax: descriptor_pb2.FileDescriptorSet(file=[_file(syntax)]).SerializeToString() for syntax in ("proto2", "proto3")}
LAYOUTS = {syntax: protobuf_layout.run(data, f"acme.{syntax}.Reading") for syntax, data in SETS.items()}


def _class(syntax: str) -> Any:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_file(syntax))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"acme.{syntax}.Reading"))


CLASSES = {syntax: _class(syntax) for syntax in SETS}
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


def _value(kind: str) -> Any:
    match kind:
        case "float":
            return st.floats(width=32, allow_nan=False, allow_infinity=False)
        case "double":
            return st.floats(allow_nan=False, allow_infinity=False)
        case "bool":
            return st.booleans()
        case "string":
            return TEXT
        case "bytes":
            return st.binary(max_size=8)
    return st.integers(*INTEGERS[kind])


SCALARS = st.fixed_dictionaries({}, optional={kind: _value(kind) for kind in KINDS})
LISTS = st.fixed_dictionaries({}, optional={f"{kind}s": st.lists(_value(kind), min_size=1, max_size=3) for kind in KINDS})
PART: Any = st.deferred(lambda: st.fixed_dictionaries({}, optional={"v": _value("double"), "part": PART}))
REST = st.fixed_dictionaries(
    {},
    optional={
        "part": PART,
        "parts": st.lists(PART, min_size=1, max_size=3),
        "kind": st.integers(0, 2),
        "tags": st.dictionaries(TEXT, _value("int32"), min_size=1, max_size=3),
    },
)


def _expected(value: Any, syntax: str) -> Any:
    if isinstance(value, bytes):
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
    if isinstance(value, list):
        return [_expected(item, syntax) for item in value]
    return value


def _part(part: dict[str, Any], syntax: str) -> dict[str, Any]:
    nested = {"part": _part(part["part"], syntax)} if "part" in part else {}
    return {**({"v": 0.0} if syntax == "proto3" else {}), **{name: value for name, value in part.items() if name == "v"}, **nested}


@given(st.sampled_from(["proto2", "proto3"]), SCALARS, LISTS, REST, st.sampled_from([{}, {"one": 0}, {"other": "x"}]))
def test_what_protobuf_encodes_is_read(syntax: str, scalars: Any, lists: Any, rest: Any, choice: Any) -> None:
    data = CLASSES[syntax](**scalars, **lists, **rest, **choice).SerializeToString()
    text = decode_protobuf.run(data, LAYOUTS[syntax])
    is_storable(text, data + b"0" * 1000)
    absent: dict[str, Any] = dict.fromkeys(INTEGERS, 0) | {
        "float": 0.0,
        "double": 0.0,
        "bool": False,
        "string": "",
        "bytes": b"",
        "kind": 0,
    }
    expected = {**(absent if syntax == "proto3" else {}), **scalars, **lists, **rest, **choice}
    expected = {name: _expected(value, syntax) for name, value in expected.items()}
    for name in expected.keys() & {"part"}:
        expected[name] = _part(expected[name], syntax)
    for name in expected.keys() & {"parts"}:
        expected[name] = [_part(part, syntax) for part in expected[name]]
    for name in expected.keys() & {"kind"}:
        expected[name] = ("UNKNOWN", "INDOOR", "OUTDOOR")[expected[name]]
    assert json.loads(text) == expected


def test_forms_that_the_encoding_allows() -> None:

    def read(data: bytes) -> Any:
        return json.loads(decode_protobuf.run(data, LAYOUTS["proto2"]))

    assert read(b"\x08\x01\x08\x02") == {"int32": 2}, "of a field that comes twice the last"
    assert read(bytes.fromhex("9203 09 09 000000000000f03f 9203 00".replace(" ", ""))) == {"part": {"v": 1.0}}, "parts of a message"
    assert read(b"\xa8\x06\x01\xaa\x06\x02\x02\x03") == {"int32s": [1, 2, 3]}, "packed, and not"
    assert read(b"\xa0\x03\x07") == {"kind": 7}, "a number that has no label"
    assert read(b"\xf8\x7f\x01") == {}, "a field that is not known"
    nan = CLASSES["proto2"](double=math.nan, doubles=[1, math.inf]).SerializeToString()
    assert read(nan) == {"doubles": [1, None]}


@given(st.sampled_from(["proto2", "proto3"]), st.binary(max_size=200))
@example("proto3", b"\x09")
def test_arbitrary_bytes_are_read_or_refused_with_a_reason(syntax: str, data: bytes) -> None:
    try:
        text = decode_protobuf.run(data, LAYOUTS[syntax])
    except ValueError as error:
        is_clean(error)
    else:
        is_storable(text, data + b"0" * 1000)


@given(
    st.binary(max_size=300)
    | st.builds(
        lambda data, at, byte: data[:at] + bytes([byte]) + data[at + 1 :],
        st.sampled_from(list(SETS.values())),
        st.integers(0, 900),
        st.integers(0, 255),
    )
)
def test_arbitrary_descriptor_sets_are_read_or_refused_with_a_reason(data: bytes) -> None:
    try:
        json.loads(protobuf_layout.run(data, "acme.proto3.Reading"))
    except ValueError as error:
        is_clean(error)


def _nested(depth: int) -> bytes:
    data = b""
    for _ in range(depth):
        size = bytes([len(data) & 0x7F | 0x80, len(data) >> 7 & 0x7F | 0x80, len(data) >> 14])
        data = b"\x12" + size + data
    return data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (bytes(8), "a field has the number 0"),
        (b"\x9a\x03\x00" * 300_000, "more than 200000 values"),
        (b"\xaa\x06" + b"\x80\x89\x7a" + b"\0" * 2_000_000, "more than 1048576 bytes"),
        (b"\x09" + b"\0" * 8, "wire type"),
        (b"\x0b", "wire type 3 is none"),
        (b"\x4a\x7f", "the bytes end early"),
    ],
)
def test_what_is_bounded(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as raised:
        decode_protobuf.run(data, LAYOUTS["proto3"])
    is_clean(raised.value)


def test_empty_messages_of_a_type_with_many_fields() -> None:
    """They ask for no look at fields that they do not have."""
    fields = [{"number": number, "name": f"f{number}", "type": "int32"} for number in range(2, 5000)]
    types = {"M": [{"number": 1, "name": "m", "type": "M", "repeated": True}, *fields]}
    began = time.process_time()
    text = decode_protobuf.run(b"\x0a\x00" * 90_000, json.dumps({"message": "M", "types": types, "enums": {}}))
    assert time.process_time() - began < 5.0
    assert json.loads(text) == {"m": [{}] * 90_000}


def test_depth_is_bounded() -> None:
    def message(depth: int) -> bytes:
        inner = _nested(depth)
        return b"\x92\x03" + bytes([len(inner) & 0x7F | 0x80, len(inner) >> 7 & 0x7F | 0x80, len(inner) >> 14]) + inner

    decode_protobuf.run(message(MAX_DEPTH - 3), LAYOUTS["proto2"])
    with pytest.raises(ValueError, match=f"more than {MAX_DEPTH} deep"):
        decode_protobuf.run(message(MAX_DEPTH + 1), LAYOUTS["proto2"])


def test_layouts() -> None:
    layout = json.loads(LAYOUTS["proto3"])
    assert layout["enums"] == {"acme.proto3.Kind": {"0": "UNKNOWN", "1": "INDOOR", "2": "OUTDOOR"}}
    fields = {field["name"]: field for field in layout["types"]["acme.proto3.Reading"]}
    assert fields["int32"] == {"number": 1, "name": "int32", "type": "int32", "default": True}
    assert fields["one"] == {"number": 54, "name": "one", "type": "int32"}
    assert fields["tags"] == {"number": 53, "name": "tags", "type": "acme.proto3.Reading.TagsEntry", "repeated": True, "map": True}
    for data, name, reason in (
        (SETS["proto3"], "acme.proto3.None", "no such message"),
        (SETS["proto3"], "acme.proto3.Kind", "no such message"),
        (b"\xff", "x", "the bytes end early"),
        (bytes(MAX_BYTES + 1), "x", "more than"),
    ):
        with pytest.raises(ValueError, match=reason) as raised:
            protobuf_layout.run(data, name)
        is_clean(raised.value)
