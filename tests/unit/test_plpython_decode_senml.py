"""plpython/decode_senml.py: the examples of RFC 8428, in JSON and CBOR, and what an independent library writes; arbitrary documents."""

import base64
import json
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from senml.senml_pack import SenmlPack
from senml.senml_record import SenmlRecord

from plpython import decode_cbor, decode_senml
from plpython.json_text import MAX_BYTES
from tests.support.storable import is_clean

NOW = 1800000000.25
LABELS = {label: int(number) for number, label in decode_senml.LABELS.items()}
# RFC 8428 section 5.1.1 to 5.1.4, and what sections 4.6 and 5.1.4 say of them.
ONE = ([{"n": "urn:dev:ow:10e2073a01080063", "u": "Cel", "v": 23.1}],
       [{"time": NOW, "values": {"urn:dev:ow:10e2073a01080063": 23.1}, "units": {"urn:dev:ow:10e2073a01080063": "Cel"}}])  # fmt: skip
TWO = ([{"bn": "urn:dev:ow:10e2073a01080063:", "n": "voltage", "u": "V", "v": 120.1}, {"n": "current", "u": "A", "v": 1.2}],
       [{"device": "urn:dev:ow:10e2073a01080063", "time": NOW, "values": {"voltage": 120.1, "current": 1.2},
         "units": {"voltage": "V", "current": "A"}}])  # fmt: skip
TIMES = (
    [
        {"bn": "urn:dev:ow:10e2073a0108006:", "bt": 1.276020076001e09, "bu": "A", "bver": 5, "n": "voltage", "u": "V", "v": 120.1},
        {"n": "current", "t": -5, "v": 1.2},
        {"n": "current", "v": 1.7},
    ],
    [
        {"device": "urn:dev:ow:10e2073a0108006", "time": 1276020076.001, "values": {"voltage": 120.1, "current": 1.7},
         "units": {"voltage": "V", "current": "A"}},
        {"device": "urn:dev:ow:10e2073a0108006", "time": 1276020071.001, "values": {"current": 1.2}, "units": {"current": "A"}},
    ],
)  # fmt: skip
KINDS = (
    [
        {"bn": "urn:dev:ow:10e2073a01080063:", "n": "temp", "u": "Cel", "v": 23.1},
        {"n": "label", "vs": "Machine Room"},
        {"n": "open", "vb": False},
        {"n": "nfc-reader", "vd": "aGkgCg"},
    ],
    [{"device": "urn:dev:ow:10e2073a01080063", "time": NOW, "units": {"temp": "Cel"},
      "values": {"temp": 23.1, "label": "Machine Room", "open": False, "nfc-reader": "aGkgCg"}}],
)  # fmt: skip
BASES = (
    [{"bn": "a/", "bv": 20, "bs": 100, "bt": -10, "v": 0.1, "s": 1}, {"n": "b", "t": 10, "v": 0.2},
     {"bn": "c", "bt": 0, "vs": "x"}, {"n": "d"}],
    [{"device": "a", "time": NOW - 10, "values": {"value": 20.1}, "sums": {"value": 101}},
     {"device": "a", "time": NOW, "values": {"b": 20.2}}, {"device": "c", "time": NOW, "values": {"value": "x"}}],
)  # fmt: skip


@pytest.mark.parametrize(("records", "samples"), [ONE, TWO, TIMES, KINDS, BASES])
def test_the_examples_of_the_rfc(records: Any, samples: Any) -> None:
    assert json.loads(decode_senml.run(json.dumps(records), NOW)) == samples
    packed = cbor2.dumps([{LABELS[label]: value for label, value in record.items()} for record in records])
    assert json.loads(decode_senml.run(decode_cbor.run(packed), NOW)) == samples


NAMES = st.text("abz019", min_size=1, max_size=4)
# In sixty-fourths, so that a base and what is added to it give the value to the last digit.
NUMBERS = st.integers(-(2**30), 2**30).map(lambda number: number / 64)
RECORDS = st.dictionaries(
    NAMES,
    st.tuples(
        NUMBERS | st.booleans() | st.text(max_size=5).map(lambda text: text.replace("\0", "")) | st.binary(max_size=5),
        st.sampled_from([None, "Cel", "V"]),
        st.integers(1, 10**6),
    ),
    min_size=1,
    max_size=5,
)


@given(NAMES, st.none() | NUMBERS.filter(bool), st.integers(2**28, 2**32), st.sampled_from([None, "%RH"]), RECORDS)
def test_what_an_independent_library_writes(
    name: str, base_value: float | None, base_time: int, base_unit: str | None, records: dict[str, Any]
) -> None:
    pack = SenmlPack(f"urn:dev:{name}:")
    pack.base_value, pack.base_time, pack.base_unit = base_value, base_time, base_unit
    samples: dict[int, dict[str, Any]] = {}
    for own, (value, unit, later) in records.items():
        given_value = bytearray(value) if isinstance(value, bytes) else value
        pack.add(SenmlRecord(own, value=given_value, unit=unit, time=base_time + later))
        sample = samples.setdefault(base_time + later, {"device": f"urn:dev:{name}", "time": base_time + later, "values": {}, "units": {}})
        sample["values"][own] = base64.urlsafe_b64encode(value).decode().rstrip("=") if isinstance(value, bytes) else value
        if unit or base_unit:
            sample["units"][own] = unit or base_unit
    expected = [{part: held for part, held in sample.items() if held != {}} for sample in samples.values()]
    assert json.loads(decode_senml.run(decode_cbor.run(pack.to_cbor()), NOW)) == expected
    if not any(isinstance(value, bytes) for value, _, _ in records.values()):  # which it does not write as section 4.2 says
        assert json.loads(decode_senml.run(pack.to_json(), NOW)) == expected


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("{}", "array"), ("[1]", "object"), ("[", "JSON"), ("[" * 100000, "JSON"), ("[" + "{}," * 5001 + "{}]", "records"),
        ('[{"n": "a", "v": "1"}]', "field v"), ('[{"n": "a", "v": true}]', "field v"), ('[{"n": "a", "v": 1, "vb": true}]', "several"),
        ('[{"v": 1}]', "no name"), ('[{"n": ":a", "v": 1}]', "characters"), ('[{"n": "a", "v": 1, "x_": 1}]', "understood"),
        ('[{"n": "a", "bver": 11, "v": 1}]', "version"), ('[{"n": "a", "v": 1e999}]', "range"), ('[{"n": "a", "v": NaN}]', "NaN"),
        (" " * (MAX_BYTES + 1), "characters"),
        (json.dumps([{"bn": "a" * 300, "v": 1}] + [{"t": n, "v": n} for n in range(4000)]), "as JSON"),
    ],
)  # fmt: skip
def test_what_is_none_is_refused(document: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as refusal:
        decode_senml.run(document, NOW)
    assert refusal.value.__cause__ is None


FIELDS = st.fixed_dictionaries(
    {},
    optional={
        **{label: st.text("ab:/é\0", max_size=4) for label in ("bn", "n", "u", "bu", "vs")},
        **{label: st.integers() | st.floats() for label in ("bt", "bv", "bs", "v", "s", "t", "bver")},
        "vb": st.booleans(), "x": st.none(), "x_": st.none(),
    },
)  # fmt: skip


@given(st.lists(FIELDS | st.integers(), max_size=4))
def test_arbitrary_documents_are_read_or_refused_with_a_reason(document: Any) -> None:
    try:
        text = decode_senml.run(json.dumps(document), NOW)
    except ValueError as error:
        is_clean(error)
    else:
        json.loads(text, parse_constant=pytest.fail)
