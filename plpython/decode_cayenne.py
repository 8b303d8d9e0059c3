"""Cayenne Low Power Payload to JSON text: {"temperature_1": 21.5, …}, each value by its type and channel.

Source: the types of the Cayenne documentation (IPSO object ids less 3200), and those that the library of Electronic Cats added. Names are
those that The Things Network gives them. Of values of equal type and channel the last wins.
"""

# /// plpython
# returns = "jsonb"
# volatility = "immutable"
# ///

from decimal import Decimal

from plpython.json_text import MAX_BYTES, members

# Type: name, then for each of its numbers a name, bytes (negative: two's complement) and the digits behind the point.
TYPES: dict[int, tuple[str, tuple[tuple[str, int, int], ...]]] = {
    0: ("digital_in", (("", 1, 0),)),
    1: ("digital_out", (("", 1, 0),)),
    2: ("analog_in", (("", -2, 2),)),
    3: ("analog_out", (("", -2, 2),)),
    100: ("generic", (("", 4, 0),)),
    101: ("luminosity", (("", 2, 0),)),
    102: ("presence", (("", 1, 0),)),
    103: ("temperature", (("", -2, 1),)),
    104: ("relative_humidity", (("", 1, 0),)),
    113: ("accelerometer", (("x", -2, 3), ("y", -2, 3), ("z", -2, 3))),
    115: ("barometric_pressure", (("", 2, 1),)),
    116: ("voltage", (("", 2, 2),)),
    117: ("current", (("", 2, 3),)),
    118: ("frequency", (("", 4, 0),)),
    120: ("percentage", (("", 1, 0),)),
    121: ("altitude", (("", -2, 0),)),
    122: ("load", (("", -3, 3),)),
    125: ("concentration", (("", 2, 0),)),
    128: ("power", (("", 2, 0),)),
    130: ("distance", (("", 4, 3),)),
    131: ("energy", (("", 4, 3),)),
    132: ("direction", (("", 2, 0),)),
    133: ("unixtime", (("", 4, 0),)),
    134: ("gyrometer", (("x", -2, 2), ("y", -2, 2), ("z", -2, 2))),
    135: ("colour", (("r", 1, 0), ("g", 1, 0), ("b", 1, 0))),
    136: ("gps", (("latitude", -3, 4), ("longitude", -3, 4), ("altitude", -3, 2))),
    142: ("switch", (("", 1, 0),)),
}
HUMIDITY = 104  # in halves of a percent


def run(data: bytes) -> str:
    """Decode Cayenne Low Power Payload into JSON

    Raises 38000 (external_routine_exception) with a short reason when the bytes end early or have an unknown type.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    values: dict[str, str] = {}
    at = 0
    while at < len(data):
        if at + 2 > len(data):
            raise ValueError("the bytes end early")
        channel, kind = data[at], data[at + 1]
        at += 2
        if kind not in TYPES:
            raise ValueError(f"byte {at - 1} is no type of value: {kind}")
        name, parts = TYPES[kind]
        numbers: dict[str, str] = {}
        for part, size, digits in parts:
            end = at + abs(size)
            if end > len(data):
                raise ValueError("the bytes end early")
            number = Decimal(int.from_bytes(data[at:end], "big", signed=size < 0)).scaleb(-digits)
            numbers[f'"{part}"'] = f"{number / 2 if kind == HUMIDITY else number:f}"
            at = end
        values[f'"{name}_{channel}"'] = numbers.get('""') or members(numbers, len(data))
    return members(values, len(data) + 1)
