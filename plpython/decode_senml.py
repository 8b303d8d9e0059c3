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

from plpython.json_text import BEYOND_RANGE, MAX_BYTES, string
from plpython.samples_text import MAX_SAMPLES

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
