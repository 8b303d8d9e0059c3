"""What the codecs in plpython/ promise of every answer and every refusal, and what JSON a Python value should become."""

import base64
import json
import math
from typing import Any

from plpython.json_text import MAX_GROWTH


def is_storable(text: str, encoded: bytes) -> None:
    """Assert what jsonb asks of a text: RFC 8259 without NaN, U+0000 and surrogates, numbers in the range of doubles."""

    def number(digits: str) -> float:
        value = float(digits)
        assert math.isfinite(value)
        return value

    def constant(name: str) -> None:
        raise AssertionError(name)

    json.loads(text, parse_float=number, parse_int=number, parse_constant=constant)
    assert "\\u0000" not in text.replace("\\\\", "")
    text.encode()
    assert len(text) <= MAX_GROWTH * len(encoded) + 1


def is_clean(error: ValueError) -> None:
    """Assert that a reason is a short line of ours, without a word of the payload's."""
    assert type(error) is ValueError
    assert error.__cause__ is None
    assert str(error).isascii()
    assert str(error).isprintable()
    assert 0 < len(str(error)) < 100


def as_json(value: Any) -> Any:
    """Say what JSON value a Python value should become; written apart from the codecs."""
    if isinstance(value, bytes):
        return base64.urlsafe_b64encode(value).decode().rstrip("=")
    if isinstance(value, list | tuple):
        return [as_json(v) for v in value]
    if isinstance(value, dict):
        return {_key(k): as_json(v) for k, v in value.items()}
    return value


def _key(key: Any) -> str:
    value = as_json(key)
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
