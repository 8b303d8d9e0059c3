"""Whether what leaves tells how much others do: a counter that organizations share, in whatever form it is written."""

import base64
import binascii
import itertools
import re
from collections.abc import Iterator
from typing import Any

FACTORS, OFFSETS = (1, 2, 3, 4, 8, 16), range(12)
CONSTANTS = {factor: {unit * offset for unit in (1, factor) for offset in OFFSETS} for factor in FACTORS}
WINDOWS = range(3, 9)  # bytes of a counter


def tells(samples: list[Any], steps: list[int]) -> list[str]:
    """Where the samples, which were taken in this order, have a number that grows by what others did between them.

    steps: how many times they did it between each sample and the next. A number counts it if it grows, or shrinks, by a multiple of that
    and a constant, which may be what the caller's own actions add.
    """
    found = [dict(_numbers(sample)) for sample in samples]
    common = set(found[0]).intersection(*found[1:])
    return sorted(place for place in common if _counts([each[place] for each in found], steps))


def _counts(numbers: list[int], steps: list[int]) -> bool:
    grown = [after - before for before, after in itertools.pairwise(numbers)]
    for sign, factor in itertools.product((1, -1), FACTORS):
        rest, *others = {sign * by - factor * step for by, step in zip(grown, steps, strict=True)}
        if not others and rest in CONSTANTS[factor]:
            return True
    return False


def _numbers(value: Any, path: str = "") -> Iterator[tuple[str, int]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _numbers(inner, f"{path}[{place}]")
    elif isinstance(value, int) and not isinstance(value, bool):
        yield path, value
    elif isinstance(value, str):
        for place, digits in enumerate(re.findall(r"[0-9]+", value)):
            yield f"{path} digits {place}", int(digits)
        for form, data in _bytes(value):
            for size in WINDOWS:
                for at in range(len(data) - size + 1):
                    yield f"{path} {form}[{at}:{at + size}]", int.from_bytes(data[at : at + size], "big")
                    yield f"{path} {form}[{at}:{at + size}] reversed", int.from_bytes(data[at : at + size], "little")


def _bytes(text: str) -> Iterator[tuple[str, bytes]]:
    yield "text", text.encode()
    plain = re.sub(r"[^0-9a-fA-F]", "", text)
    if len(plain) >= 6 and len(plain) % 2 == 0:
        yield "hex", bytes.fromhex(plain)
    if re.fullmatch(r"[A-Za-z0-9+/_-]+=*", text):
        try:
            yield "base64", base64.b64decode(text.translate(str.maketrans("-_", "+/")) + "=" * (-len(text) % 4))
        except binascii.Error:
            return
