-- Deploy topicbase:base/py_decode_senml to pg
-- requires: base/plpython
-- Rendered by bin/embed-plpython from plpython/decode_senml.py: change it there.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT mqtt.plpython_obstacle() IS NULL AS possible \gset
\if :possible
CREATE OR REPLACE FUNCTION mqtt.py_decode_senml(document text, received double precision) RETURNS jsonb
LANGUAGE plpython3u IMMUTABLE STRICT SECURITY INVOKER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $python$
if "run" in SD:
    return SD["run"](document, received)

"""SenML (RFC 8428) to JSON text: [{"device", "time", "values": {name: value}, "units": {name: unit}, "sums": {name: sum}}, …].

Records of the same base name and time are one sample. Its device is the base name without what separates it from names (: / . - _), left
out where there is none; a record without a name of its own is named value. Base times, values, sums and units are resolved exactly
(section 4.6); times are seconds since 1970, those below 2^28 being relative to when the message came (section 4.5.3), which has to be
given. The labels of the CBOR representation (section 6) are understood, too: they come as text, as mqtt.py_decode_cbor writes them.
Unknown fields are ignored, except those that end with _, and a version above 10 is an error (sections 4.4 and 4.1).
"""

# /// plpython
# returns = "jsonb"
# volatility = "immutable"
# ///

import decimal
import json
import math
import re
from decimal import Decimal
from typing import Any

# plpython/json_text.py
"""JSON text that jsonb accepts, for the codecs: shared lines, embedded into each of them."""

import base64
import json
import math
import sys

# PL/Python cannot be cancelled while it computes, so its work has to be bounded: 1 MiB takes about a second at worst.
MAX_BYTES = 1 << 20
# Telemetry nests less than ten levels; the bound keeps every recursion, here and in jsonb, far from its stack's end.
MAX_DEPTH = 64
# No scalar grows more than ninefold as text. Only keys that are themselves maps could (their quotes double at each level).
MAX_GROWTH = 16
# Larger numbers would be valid jsonb, but few readers take them (RFC 8259 section 6) and they print very long.
MAX_NUMBER = int(sys.float_info.max)
BEYOND_RANGE = "a number is beyond the range of a double"

_encode = json.JSONEncoder(ensure_ascii=False).encode


def string(text: str) -> str:
    """Quote text as a JSON string; ValueError for U+0000, which jsonb refuses (RFC 8259 section 7)."""
    if "\0" in text:
        raise ValueError("a text holds U+0000, which jsonb cannot store")
    return _encode(text)


def utf8(data: bytes) -> str:
    """Quote UTF-8 bytes as a JSON string; ValueError when they are not UTF-8 (which has no lone surrogates: RFC 3629 section 3)."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ValueError("a text is not valid UTF-8") from None
    return string(text)


def base64url(data: bytes) -> str:
    """Write bytes as a JSON string of base64url without padding (RFC 4648 section 5)."""
    return f'"{base64.urlsafe_b64encode(data).rstrip(b"=").decode()}"'


def integer(number: int) -> str:
    """Write an integer as a JSON number; ValueError beyond the range of a double."""
    if not -MAX_NUMBER <= number <= MAX_NUMBER:
        raise ValueError(BEYOND_RANGE)
    return str(number)


def real(number: float) -> str:
    """Write a float as the shortest JSON number that reads back equal; ValueError for NaN and the infinities."""
    if not math.isfinite(number):
        raise ValueError("NaN and infinity are no JSON numbers")
    return repr(number)


def key(item: str) -> str:
    """Turn the JSON text of any item into an object's key: a string as it is, all else as a string that holds that text."""
    return item if item[0] == '"' else _encode(item)


def members(pairs: dict[str, str], encoded_size: int) -> str:
    """Join the members of an object; ValueError when its text is out of proportion to the bytes it was encoded in."""
    text = "{" + ",".join([f"{name}:{value}" for name, value in pairs.items()]) + "}"
    if len(text) > MAX_GROWTH * encoded_size + 1:
        raise ValueError("nested map keys grow too long as text")
    return text
# plpython/decode_senml.py
# plpython/samples_text.py
"""Samples as JSON text, bounded, for the codecs of several samples: shared lines, embedded into each of them."""

import math
import re

# plpython/json_text.py
"""JSON text that jsonb accepts, for the codecs: shared lines, embedded into each of them."""

import base64
import json
import math
import sys

# PL/Python cannot be cancelled while it computes, so its work has to be bounded: 1 MiB takes about a second at worst.
MAX_BYTES = 1 << 20
# Telemetry nests less than ten levels; the bound keeps every recursion, here and in jsonb, far from its stack's end.
MAX_DEPTH = 64
# No scalar grows more than ninefold as text. Only keys that are themselves maps could (their quotes double at each level).
MAX_GROWTH = 16
# Larger numbers would be valid jsonb, but few readers take them (RFC 8259 section 6) and they print very long.
MAX_NUMBER = int(sys.float_info.max)
BEYOND_RANGE = "a number is beyond the range of a double"

_encode = json.JSONEncoder(ensure_ascii=False).encode


def string(text: str) -> str:
    """Quote text as a JSON string; ValueError for U+0000, which jsonb refuses (RFC 8259 section 7)."""
    if "\0" in text:
        raise ValueError("a text holds U+0000, which jsonb cannot store")
    return _encode(text)


def utf8(data: bytes) -> str:
    """Quote UTF-8 bytes as a JSON string; ValueError when they are not UTF-8 (which has no lone surrogates: RFC 3629 section 3)."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ValueError("a text is not valid UTF-8") from None
    return string(text)


def base64url(data: bytes) -> str:
    """Write bytes as a JSON string of base64url without padding (RFC 4648 section 5)."""
    return f'"{base64.urlsafe_b64encode(data).rstrip(b"=").decode()}"'


def integer(number: int) -> str:
    """Write an integer as a JSON number; ValueError beyond the range of a double."""
    if not -MAX_NUMBER <= number <= MAX_NUMBER:
        raise ValueError(BEYOND_RANGE)
    return str(number)


def real(number: float) -> str:
    """Write a float as the shortest JSON number that reads back equal; ValueError for NaN and the infinities."""
    if not math.isfinite(number):
        raise ValueError("NaN and infinity are no JSON numbers")
    return repr(number)


def key(item: str) -> str:
    """Turn the JSON text of any item into an object's key: a string as it is, all else as a string that holds that text."""
    return item if item[0] == '"' else _encode(item)


def members(pairs: dict[str, str], encoded_size: int) -> str:
    """Join the members of an object; ValueError when its text is out of proportion to the bytes it was encoded in."""
    text = "{" + ",".join([f"{name}:{value}" for name, value in pairs.items()]) + "}"
    if len(text) > MAX_GROWTH * encoded_size + 1:
        raise ValueError("nested map keys grow too long as text")
    return text
# plpython/samples_text.py

MAX_SAMPLES = 5000
NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?")
LONGEST_NUMBER = 64


def number(text: str) -> str:
    """Write a decimal number as a JSON number, digit for digit where JSON has that form; "" for what is none or is beyond a double."""
    if len(text) > LONGEST_NUMBER or not NUMBER.fullmatch(text) or math.isinf(float(text)):
        return ""
    return text if JSON_NUMBER.fullmatch(text) else repr(float(text))


class Samples:
    """An array of samples that grows no further than 5,000 samples and 1 MiB, since a header's names are repeated in each of them."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self.size = 0

    def add(self, item: str) -> None:
        self.size += len(item)
        if len(self.items) == MAX_SAMPLES:
            raise ValueError(f"more than {MAX_SAMPLES} samples")
        if self.size > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes as JSON")
        self.items.append(item)

    def text(self) -> str:
        return "[" + ",".join(self.items) + "]"
# plpython/decode_senml.py

LABELS = {
    "-1": "bver", "-2": "bn", "-3": "bt", "-4": "bu", "-5": "bv", "-6": "bs",
    "0": "n", "1": "u", "2": "v", "3": "vs", "4": "vb", "5": "s", "6": "t", "7": "ut", "8": "vd",
}  # fmt: skip
KINDS: dict[str, Any] = {
    **dict.fromkeys(("bn", "bu", "n", "u", "vs", "vd"), str),
    **dict.fromkeys(("bver", "bt", "bv", "bs", "v", "s", "t"), Decimal),
    "vb": bool,
}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9:./_-]*")
VERSION = 10
ABSOLUTE = 1 << 28
PRECISE = decimal.Context(prec=34)


def _number(value: Decimal) -> str:
    if math.isinf(float(value)):
        raise ValueError(BEYOND_RANGE)
    return str(value)


def _constant(_: str) -> Any:
    raise ValueError("NaN and infinity are no JSON numbers")


def _record(item: object) -> dict[str, Any]:
    """Check one record's fields; the result has the labels of JSON."""
    if not isinstance(item, dict):
        raise ValueError("a record is no object")  # noqa: TRY004
    record: dict[str, Any] = {str(LABELS.get(label, label)): value for label, value in item.items()}
    for label, value in record.items():
        if label.endswith("_"):
            raise ValueError("a field has to be understood and is unknown")
        if label in KINDS and not isinstance(value, KINDS[label]):
            raise ValueError(f"the field {label} is of another type")
    if sum(label in record for label in ("v", "vs", "vb", "vd")) > 1:
        raise ValueError("a record has several values")
    return record


def _value(record: dict[str, Any], base: dict[str, Any]) -> str:
    """Write the value of a record, if any."""
    if "v" in record:
        return _number(PRECISE.add(base.get("bv", Decimal(0)), record["v"]))
    if "vb" in record:
        return "true" if record["vb"] else "false"
    text = record.get("vs", record.get("vd"))
    return "" if text is None else string(text)


def _object(pairs: dict[str, str]) -> str:
    return "{" + ",".join([f"{name}:{value}" for name, value in pairs.items()]) + "}"


def _add(samples: dict[tuple[str, str], list[dict[str, str]]], record: dict[str, Any], base: dict[str, Any], now: Decimal) -> int:
    """Put one record into the sample that it belongs to; return about how long it is as text."""
    value = _value(record, base)
    if not value and "s" not in record:
        return 0
    own, first = record.get("n", ""), base.get("bn", "")
    if not NAME.fullmatch(first + own):
        raise ValueError("a record has no name, or one with other characters than section 4.5.1 allows")
    time = PRECISE.add(base.get("bt", Decimal(0)), record.get("t", Decimal(0)))
    text = _number(time if time >= ABSOLUTE else PRECISE.add(now, time))
    values, units, sums = samples.setdefault((first, text), [{}, {}, {}])
    name = string(own or "value")
    unit = record.get("u", base.get("bu"))
    if value:
        values[name] = value
    if unit is not None:
        units[name] = string(unit)
    if "s" in record:
        sums[name] = _number(PRECISE.add(base.get("bs", Decimal(0)), record["s"]))
    return len(first) + len(text) + 3 * len(name) + len(value) + len(unit or "")


def run(document: str, received: float) -> str:
    """Resolve SenML into a JSON array of samples

    document: the records as JSON; received: seconds since 1970, to which relative times refer. Raises 38000 (external_routine_exception)
    with a short reason when they are none.
    """
    if len(document) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} characters")
    try:
        records = json.loads(document, parse_float=Decimal, parse_int=Decimal, parse_constant=_constant)
    except (json.JSONDecodeError, RecursionError):
        raise ValueError("the text is no JSON") from None
    if not isinstance(records, list) or len(records) > MAX_SAMPLES:
        raise ValueError(f"it is no array of at most {MAX_SAMPLES} records")
    now = Decimal(f"{received:.6f}")
    base: dict[str, Any] = {}
    samples: dict[tuple[str, str], list[dict[str, str]]] = {}
    size = 0
    for item in records:
        record = _record(item)
        base.update({label: record[label] for label in ("bver", "bn", "bt", "bu", "bv", "bs") if label in record})
        if base.get("bver", 0) > VERSION:
            raise ValueError(f"its version is above {VERSION}")
        size += _add(samples, record, base, now)
        if size > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes as JSON")
    return "[" + ",".join([_sample(*key, *parts) for key, parts in samples.items()]) + "]"


def _sample(first: str, time: str, values: dict[str, str], units: dict[str, str], sums: dict[str, str]) -> str:
    pairs = {'"device"': string(first.rstrip(":/.-_"))} if first else {}
    pairs.update({'"time"': time, '"values"': _object(values)})
    pairs.update({name: _object(part) for name, part in (('"units"', units), ('"sums"', sums)) if part})
    return _object(pairs)

SD["run"] = run
return run(document, received)
$python$;
COMMENT ON FUNCTION mqtt.py_decode_senml(text, double precision) IS
$md$Resolve SenML into a JSON array of samples

document: the records as JSON; received: seconds since 1970, to which relative times refer. Raises 38000 (external_routine_exception)
with a short reason when they are none.$md$;
ALTER FUNCTION mqtt.py_decode_senml(text, double precision) OWNER TO mqtt_owner;
REVOKE ALL ON FUNCTION mqtt.py_decode_senml(text, double precision) FROM public;
\else
DO $$
BEGIN
    RAISE NOTICE 'mqtt.py_decode_senml(text, double precision) is not created, since %', mqtt.plpython_obstacle() USING
        HINT = 'Once it can be, run as superuser: psql -f deploy/base/py_decode_senml.sql';
END;
$$;
\endif
COMMIT;
