-- Deploy topicbase:base/py_decode_csv to pg
-- requires: base/plpython
-- Rendered by bin/embed-plpython from plpython/decode_csv.py: change it there.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT mqtt.plpython_obstacle() IS NULL AS possible \gset
\if :possible
CREATE OR REPLACE FUNCTION mqtt.py_decode_csv(data bytea, names text) RETURNS jsonb
LANGUAGE plpython3u IMMUTABLE STRICT SECURITY INVOKER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $python$
if "run" in SD:
    return SD["run"](data, names)

"""CSV (RFC 4180) to JSON text: [{name: value, …}, …], a row each.

The names are those given, a JSON array, else those in the first row. A field that is a decimal number becomes a number, an empty one is
left out, any other is a string; a name of null or "" leaves its column out. Columns are separated by the first tab, semicolon or comma
outside quotes in the first row; lines end with CR LF, LF or CR. Empty rows are skipped; a row with more or fewer fields than there are
names is an error.
"""

# /// plpython
# returns = "jsonb"
# volatility = "immutable"
# ///

import csv
import io
import json
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
# plpython/decode_csv.py
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
# plpython/decode_csv.py

MAX_COLUMNS = 1000
SEPARATOR = re.compile(r'(?:"[^"]*"|[^",;\t\r\n])*([,;\t])')


def run(data: bytes, names: str) -> str:
    """Decode CSV into a JSON array of its rows

    names: a JSON array of the columns' names; null: the first row has them. Raises 38000 (external_routine_exception) with a short reason
    when the bytes are no CSV.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig").lstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("the text is not valid UTF-8") from None
    found = SEPARATOR.match(text)
    columns = json.loads(names)
    samples = Samples()
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=found[1] if found else ",", strict=True):
            if not row:
                continue
            if columns is None:
                columns = [name.strip() for name in row]
                continue
            if len(columns) > MAX_COLUMNS:
                raise ValueError(f"more than {MAX_COLUMNS} columns")
            if len(row) != len(columns):
                raise ValueError("a row has more or fewer fields than there are names")
            pairs = {}
            for column, field in enumerate(row):
                if columns[column] and field.strip():
                    pairs[string(columns[column])] = number(field.strip()) or string(field)
            samples.add("{" + ",".join([f"{name}:{value}" for name, value in pairs.items()]) + "}")
    except csv.Error:
        raise ValueError("a field in quotes is not closed or goes on after them, or is longer than 128 KiB") from None
    return samples.text()

SD["run"] = run
return run(data, names)
$python$;
COMMENT ON FUNCTION mqtt.py_decode_csv(bytea, text) IS
$md$Decode CSV into a JSON array of its rows

names: a JSON array of the columns' names; null: the first row has them. Raises 38000 (external_routine_exception) with a short reason
when the bytes are no CSV.$md$;
ALTER FUNCTION mqtt.py_decode_csv(bytea, text) OWNER TO mqtt_owner;
REVOKE ALL ON FUNCTION mqtt.py_decode_csv(bytea, text) FROM public;
\else
DO $$
BEGIN
    RAISE NOTICE 'mqtt.py_decode_csv(bytea, text) is not created, since %', mqtt.plpython_obstacle() USING
        HINT = 'Once it can be, run as superuser: psql -f deploy/base/py_decode_csv.sql';
END;
$$;
\endif
COMMIT;
