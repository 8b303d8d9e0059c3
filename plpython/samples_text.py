"""Samples as JSON text, bounded, for the codecs of several samples: shared lines, embedded into each of them."""

import math
import re

from plpython.json_text import MAX_BYTES

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
