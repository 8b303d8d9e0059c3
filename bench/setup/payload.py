"""What a sensor sends."""

from __future__ import annotations

import re


def payload(size: int = 100) -> str:
    """A JSON object of exactly this many bytes, like a sensor's."""
    text = '{"temperature":21.53,"humidity":48.2,"battery":3.71,"rssi":-67,"status":"ok","pad":""}'
    if size < len(text):
        raise ValueError(size)
    filler = re.sub(r"\s", "", "0123456789abcdef" * (size // 16 + 1))
    return text[:-2] + filler[: size - len(text)] + text[-2:]
