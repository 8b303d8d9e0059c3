-- Deploy topicbase:base/py_decode_influx to pg
-- requires: base/plpython
-- Rendered by bin/embed-plpython from plpython/decode_influx.py: change it there.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT mqtt.plpython_obstacle() IS NULL AS possible \gset
\if :possible
CREATE OR REPLACE FUNCTION mqtt.py_decode_influx(data bytea) RETURNS jsonb
LANGUAGE plpython3u IMMUTABLE STRICT SECURITY INVOKER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $python$
if "run" in SD:
    return SD["run"](data)

"""InfluxDB line protocol to JSON text: [{"measurement", "tags": {…}, "fields": {…}, "timestamp"}, …], a point each.

Source: the reference of line protocol (docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol).

- Fields: floats and integers (1i, 1u) become numbers, t, T, true, True, TRUE and their opposites booleans, quoted ones strings.
- The timestamp is the integer as it stands, in the unit that its sender uses; it is left out where the line has none.
- Lines are separated by line feeds (a carriage return before one is left out), those that start with # are comments.
- Of equal tags or fields the last wins, as in jsonb.
"""

# /// plpython
# returns = "jsonb"
# volatility = "immutable"
# ///

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
# plpython/decode_influx.py
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
# plpython/decode_influx.py

# Each a run up to its first character that is neither escaped nor allowed; a backslash before any other character stands for itself.
MEASUREMENT = re.compile(r"(?:[^\\, \n]|\\[, ]|\\)+")
KEY = re.compile(r"(?:[^\\,= \n]|\\[,= ]|\\)+")
STRING = re.compile(r'"((?:[^"\\]|\\["\\]|\\(?!["\\]))*)"')
BARE = re.compile(r"[^, \n]+")
TIMESTAMP = re.compile(r"-?[0-9]{1,19}")
INTEGER = re.compile(r"(-?[0-9]{1,20})[iu]")
BOOLEANS = {**dict.fromkeys(("t", "T", "true", "True", "TRUE"), "true"), **dict.fromkeys(("f", "F", "false", "False", "FALSE"), "false")}
ESCAPED = re.compile(r"\\([,= ])")
ESCAPED_IN_MEASUREMENT = re.compile(r"\\([, ])")
ESCAPED_IN_STRING = re.compile(r'\\(["\\])')


def _value(text: str, at: int) -> tuple[str, int]:
    """Read a field's value at an offset: its JSON text and the offset behind it."""
    if text[at : at + 1] == '"':
        quoted = STRING.match(text, at)
        if quoted is None:
            raise ValueError("a string is not closed")
        return string(ESCAPED_IN_STRING.sub(r"\1", quoted[1])), quoted.end()
    bare = BARE.match(text, at)
    word = bare[0] if bare else ""
    whole = INTEGER.fullmatch(word)
    written = BOOLEANS.get(word) or (str(int(whole[1])) if whole else number(word))
    if bare is None or not written:
        raise ValueError("a field is neither a number, nor a boolean, nor a string in quotes")
    return written, bare.end()


def _pairs(text: str, at: int, fields: bool) -> tuple[dict[str, str], int]:
    """Read key=value pairs, separated by commas, from an offset on."""
    pairs: dict[str, str] = {}
    while True:
        name = KEY.match(text, at)
        if name is None or text[name.end() : name.end() + 1] != "=":
            raise ValueError("a tag or field has no name or no value")
        at = name.end() + 1
        if fields:
            value, at = _value(text, at)
        else:
            tag = KEY.match(text, at)
            if tag is None:
                raise ValueError("a tag has no value")
            value, at = string(ESCAPED.sub(r"\1", tag[0])), tag.end()
        pairs[string(ESCAPED.sub(r"\1", name[0]))] = value
        if text[at : at + 1] != ",":
            return pairs, at
        at += 1


def _spaces(text: str, at: int) -> int:
    while text[at : at + 1] == " ":
        at += 1
    return at


def _object(pairs: dict[str, str]) -> str:
    return "{" + ",".join([f"{name}:{value}" for name, value in pairs.items()]) + "}"


def _point(text: str, at: int) -> tuple[str, int]:
    """Read the point at an offset: its JSON text and the offset of what ends its line."""
    measurement = MEASUREMENT.match(text, at)
    if measurement is None:
        raise ValueError("a line has no measurement")
    at = measurement.end()
    tags: dict[str, str] = {}
    if text[at : at + 1] == ",":
        tags, at = _pairs(text, at + 1, fields=False)
    if text[at : at + 1] != " ":
        raise ValueError("a line has no fields")
    fields, at = _pairs(text, _spaces(text, at), fields=True)
    name = string(ESCAPED_IN_MEASUREMENT.sub(r"\1", measurement[0]))
    item = f'{{"measurement":{name},"tags":{_object(tags)},"fields":{_object(fields)}'
    at = _spaces(text, at)
    timestamp = TIMESTAMP.match(text, at)
    if timestamp is not None:
        item += f',"timestamp":{int(timestamp[0])}'
        at = _spaces(text, timestamp.end())
    if text[at : at + 1] not in ("", "\n"):
        raise ValueError("a line goes on after its fields and timestamp")
    return item + "}", at


def run(data: bytes) -> str:
    """Decode InfluxDB line protocol into a JSON array of its points

    Raises 38000 (external_routine_exception) with a short reason when a line is none.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ValueError("the text is not valid UTF-8") from None
    text = text.replace("\r\n", "\n")
    samples = Samples()
    at = 0
    while at < len(text):
        if text[at] in " \n":
            at += 1
        elif text[at] == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        else:
            item, at = _point(text, at)
            samples.add(item)
    return samples.text()

SD["run"] = run
return run(data)
$python$;
COMMENT ON FUNCTION mqtt.py_decode_influx(bytea) IS
$md$Decode InfluxDB line protocol into a JSON array of its points

Raises 38000 (external_routine_exception) with a short reason when a line is none.$md$;
ALTER FUNCTION mqtt.py_decode_influx(bytea) OWNER TO mqtt_owner;
REVOKE ALL ON FUNCTION mqtt.py_decode_influx(bytea) FROM public;
\else
DO $$
BEGIN
    RAISE NOTICE 'mqtt.py_decode_influx(bytea) is not created, since %', mqtt.plpython_obstacle() USING
        HINT = 'Once it can be, run as superuser: psql -f deploy/base/py_decode_influx.sql';
END;
$$;
\endif
COMMIT;
