"""JSON whose numbers stay as they are written: PostgreSQL's jsonb keeps every digit, a float 17."""

import json
import math
import re
import secrets
from typing import Any, NoReturn

_MARK = secrets.token_hex(16)
_MARKED = re.compile(rf'"{_MARK}([^"]*)"')


class Number:
    """A number that a float would round, or write in another way: 1.50 is not 1.5 in jsonb."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


class NotFiniteError(ValueError):
    """NaN, an infinity, or a number beyond what a double holds."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{text if len(text) <= 40 else text[:40] + '…'} is not a number that JSON or a double can hold")


def loads(text: str | bytes) -> Any:
    """Parse JSON. Raises ValueError, for NaN and infinities too, and RecursionError."""
    return json.loads(text, parse_float=_float, parse_int=_int, parse_constant=_refuse)


def loads_finite(text: str | bytes) -> Any:
    """Parse JSON whose numbers a double holds, if not every digit, as those of a message. Raises NotFiniteError for others."""
    return json.loads(text, parse_float=_finite_float, parse_int=_finite_int, parse_constant=_refuse)


def dumps(value: Any, *, ensure_ascii: bool = True, is_compact: bool = False) -> str:
    """JSON of what `loads` returns. Raises ValueError for NaN and infinities."""
    separators = (",", ":") if is_compact else None
    text = json.dumps(value, ensure_ascii=ensure_ascii, allow_nan=False, default=_marked, separators=separators)
    return _MARKED.sub(r"\1", text) if _MARK in text else text


def _marked(value: Any) -> str:
    if isinstance(value, Number):
        return _MARK + value.text
    raise TypeError(f"{type(value).__name__} is not JSON")


def _refuse(text: str) -> NoReturn:
    raise NotFiniteError(text)


def _float(text: str) -> float | Number:
    value = float(text)
    return value if repr(value) == text else Number(text)


def _finite_float(text: str) -> float | Number:
    value = float(text)
    if math.isinf(value) or (value == 0 and re.split("[eE]", text)[0].strip("-0.")):
        raise NotFiniteError(text)
    return _float(text)


def _int(text: str) -> int | Number:
    # Python refuses to read longer ones.
    return int(text) if len(text) <= 4000 else Number(text)


def _finite_int(text: str) -> int:
    if len(text) > 308 and math.isinf(float(text)):
        raise NotFiniteError(text)
    return int(text)
