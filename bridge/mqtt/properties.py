"""PUBLISH properties: from a queued message's keys to their wire form, and from what was received to JSON."""

import base64
import json
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from paho.mqtt.exception import MalformedPacket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

UTF_8 = "utf-8"  # the payload format indicator 1
MOST_BYTES = 1 << 17  # of a received message: reading them takes long where they are many, and they do not count as payload
SUBSCRIPTION_IDENTIFIER, USER_PROPERTY = 0x0B, 0x26


class Packed:
    """Properties in their wire form."""

    __slots__ = ("data",)

    def __init__(self, properties: Properties) -> None:
        self.data = bytes(properties.pack())  # type: ignore[no-untyped-call]

    def pack(self) -> bytes:
        return self.data


def publish_properties(values: dict[str, Any] | None, expires_in: int | None) -> Packed | None:
    """PUBLISH properties (MQTT 5 section 3.3.2.3) from a queued message's keys; None when there are none.

    Raises ValueError for one that cannot be sent.
    """
    if not values and expires_in is None:
        return None
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if expires_in is not None:
        properties.MessageExpiryInterval = max(0, min(expires_in, 0xFFFFFFFF))
    if values:
        for key, set_property in _PROPERTIES.items():
            if values.get(key) is not None:
                try:
                    set_property(properties, values[key])
                except Exception as error:  # noqa: BLE001  # paho raises several kinds
                    raise ValueError(f"{key} cannot be sent: {error}") from None
    try:
        return Packed(properties)
    except Exception as error:  # noqa: BLE001  # struct.error, UnicodeEncodeError, …
        raise ValueError(f"its properties cannot be sent: {error}") from None


def _set_content_type(properties: Properties, value: Any) -> None:
    properties.ContentType = str(value)


def _set_payload_format(properties: Properties, value: Any) -> None:
    properties.PayloadFormatIndicator = int(value == UTF_8)


def _set_response_topic(properties: Properties, value: Any) -> None:
    properties.ResponseTopic = str(value)


def _set_correlation_data(properties: Properties, value: Any) -> None:
    properties.CorrelationData = base64.b64decode(value, validate=True)


def _set_user_properties(properties: Properties, value: Any) -> None:
    pairs = value.items() if isinstance(value, dict) else value
    properties.UserProperty = [(str(name), text if isinstance(text, str) else _json(text)) for name, text in pairs]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


_PROPERTIES: dict[str, Callable[[Properties, Any], None]] = {
    "content_type": _set_content_type,
    "payload_format": _set_payload_format,
    "response_topic": _set_response_topic,
    "correlation_data": _set_correlation_data,
    "user_properties": _set_user_properties,
}


class Received(NamedTuple):
    """What a received PUBLISH has besides its topic and payload."""

    content_type: str | None = None
    rest: str | None = None  # the other properties, as JSON
    subscriptions: tuple[int, ...] = ()  # Subscription Identifiers
    fault: str | None = None  # why it cannot be queued
    cut_bytes: int = 0  # of its payload, that were read and not kept


def read_properties(data: bytes, missing: int = 0) -> tuple[Received, int]:
    """The properties that `data` begins with, and how many bytes they have; `missing` bytes of their packet do not stand in data.

    Raises MalformedPacket where it is not clear where they end. Whatever else is wrong with them is a fault of the message, although MQTT
    demands that the connection ends (5.0 section 4.13): the broker would send the message again on the next connection, and those behind it
    would never come. Paho does end it, for U+FEFF as well, which MQTT allows (section 1.5.4), and for U+0000 and bytes that are not UTF-8,
    which some brokers pass on. And it copies all that follows for each property, which takes seconds where there are many.
    """
    try:
        size, at = _number(data, 0)
    except IndexError as error:
        raise MalformedPacket("properties without their length") from error
    end = at + size
    if end > len(data) + missing:
        raise MalformedPacket("properties that are longer than their packet")
    if size > MOST_BYTES:
        return Received(fault=f"The properties have {size} bytes; the bridge takes at most {MOST_BYTES}."), end
    try:
        return _read_each(data[:end], at), end
    except (IndexError, struct.error):
        return Received(fault="The properties cannot be read: the last one is cut short."), end
    except MalformedPacket as error:
        return Received(fault=f"The properties cannot be read: {error}."), end


def _read_each(data: bytes, at: int) -> Received:
    """The properties from there to the end of data. Raises MalformedPacket, IndexError, struct.error."""
    found: dict[str, Any] = {}
    pairs: list[list[str]] = []
    subscriptions: list[int] = []
    while at < len(data):
        kind, at = data[at], at + 1
        if kind == USER_PROPERTY:
            name, at = _text(data, at)
            value, at = _text(data, at)
            pairs.append([name, value])
        elif kind == SUBSCRIPTION_IDENTIFIER:
            number, at = _number(data, at)
            subscriptions.append(number)
        elif kind in _READ:
            key, read = _READ[kind]
            if key in found:
                raise MalformedPacket(f"{key} twice")
            found[key], at = read(data, at)
        else:
            raise MalformedPacket(f"0x{kind:02x} is not a property of a message")
    content_type = found.pop("content_type", None) or None
    # Another number than 1 says no more than none does, and a broker has to pass it on as it is (section 3.3.2.3.2).
    if found.pop("payload_format", 0) == 1:
        found["payload_format"] = UTF_8
    if pairs:
        found["user_properties"] = pairs
    found.pop("topic_alias", None)
    return Received(content_type, json.dumps(found, ensure_ascii=False) if found else None, tuple(subscriptions))


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer, and where it ends."""
    value = 0
    for place in range(4):
        byte = data[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise MalformedPacket("a number of more than four bytes")


def _binary(data: bytes, at: int) -> tuple[bytes, int]:
    end = at + 2 + (data[at] << 8 | data[at + 1])
    if end > len(data):
        raise MalformedPacket("a string that is longer than all of them")
    return data[at + 2 : end], end


def _text(data: bytes, at: int) -> tuple[str, int]:
    value, end = _binary(data, at)
    # U+0000 is a character in MQTT, but not in PostgreSQL.
    return value.decode(errors="replace").replace("\0", "\ufffd"), end


def _base64(data: bytes, at: int) -> tuple[str, int]:
    value, end = _binary(data, at)
    return base64.b64encode(value).decode(), end


_READ: dict[int, tuple[str, Callable[[bytes, int], tuple[Any, int]]]] = {
    0x01: ("payload_format", lambda data, at: (data[at], at + 1)),
    0x02: ("message_expiry", lambda data, at: (struct.unpack_from("!L", data, at)[0], at + 4)),
    0x03: ("content_type", _text),
    0x08: ("response_topic", _text),
    0x09: ("correlation_data", _base64),
    0x23: ("topic_alias", lambda data, at: (struct.unpack_from("!H", data, at)[0], at + 2)),
}
