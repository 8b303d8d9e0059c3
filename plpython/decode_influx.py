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

from plpython.json_text import MAX_BYTES, string
from plpython.samples_text import Samples, number

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
