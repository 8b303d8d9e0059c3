"""plpython/decode_cayenne.py: each type against an independent library, arbitrary bytes."""

import json

import pytest
from cayennelpp import LppFrame
from cayennelpp.lpp_type import LppType
from hypothesis import given
from hypothesis import strategies as st

from plpython import decode_cayenne
from plpython.json_text import MAX_BYTES
from tests.support.storable import is_clean, is_storable


@given(st.sampled_from(sorted(decode_cayenne.TYPES)), st.integers(0, 255), st.binary(min_size=9, max_size=9))
def test_a_value_is_what_an_independent_library_says(kind: int, channel: int, content: bytes) -> None:
    other = LppType.get_lpp_type(kind)
    content = content[: other.size]
    ((name, value),) = json.loads(decode_cayenne.run(bytes([channel, kind]) + content)).items()
    assert name == f"{decode_cayenne.TYPES[kind][0]}_{channel}"
    numbers = list(value.values()) if isinstance(value, dict) else [value]
    assert numbers == pytest.approx(list(other.decode(content)), rel=1e-12)


@given(
    st.dictionaries(
        st.sampled_from(sorted(decode_cayenne.TYPES)), st.tuples(st.integers(0, 255), st.binary(min_size=9, max_size=9)), min_size=1
    )
)
def test_what_an_independent_library_encodes(values: dict[int, tuple[int, bytes]]) -> None:
    """A frame of several values is what the library reads of it: it cuts off the last digit of some, as it writes."""
    frame = LppFrame()
    for kind, (channel, content) in values.items():
        other = LppType.get_lpp_type(kind)
        frame.add_by_type(kind, channel, tuple(other.decode(content[: other.size])))
    written = LppFrame.from_bytes(bytes(frame))
    found = json.loads(decode_cayenne.run(bytes(frame)))
    assert {name: list(value.values()) if isinstance(value, dict) else [value] for name, value in found.items()} == {
        f"{decode_cayenne.TYPES[int(data.type)][0]}_{data.channel}": pytest.approx(list(data.value), rel=1e-12) for data in written
    }


def test_the_examples_of_the_documentation() -> None:
    assert decode_cayenne.run(b"") == "{}"
    assert json.loads(decode_cayenne.run(bytes.fromhex("03670110056700FF"))) == {"temperature_3": 27.2, "temperature_5": 25.5}
    assert json.loads(decode_cayenne.run(bytes.fromhex("067104D2FB2E0000"))) == {"accelerometer_6": {"x": 1.234, "y": -1.234, "z": 0}}
    assert json.loads(decode_cayenne.run(bytes.fromhex("018806765ff2960a0003e8"))) == {
        "gps_1": {"latitude": 42.3519, "longitude": -87.9094, "altitude": 10}
    }


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_read_or_refused_with_a_reason(data: bytes) -> None:
    try:
        text = decode_cayenne.run(data)
    except ValueError as error:
        is_clean(error)
    else:
        is_storable(text, data + b"x")


def test_what_is_bounded() -> None:
    for data, reason in ((bytes(MAX_BYTES + 1), "bytes"), (b"\x01\x67\x01", "early"), (b"\x01\xc8\x01", "no type of value: 200")):
        with pytest.raises(ValueError, match=reason):
            decode_cayenne.run(data)
