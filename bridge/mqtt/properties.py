"""PUBLISH properties: from a queued message's keys to their wire form, and from what was received to JSON."""

import base64
import json
from collections.abc import Callable
from typing import Any

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

UTF_8 = "utf-8"  # the payload format indicator 1


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


def received_properties(properties: Properties) -> tuple[str | None, str | None]:
    """Content type, and the other properties of a received PUBLISH as JSON."""
    content_type = getattr(properties, "ContentType", None)
    found: dict[str, Any] = {}
    if (value := getattr(properties, "ResponseTopic", None)) is not None:
        found["response_topic"] = value
    if (value := getattr(properties, "CorrelationData", None)) is not None:
        found["correlation_data"] = base64.b64encode(value).decode()
    if (value := getattr(properties, "UserProperty", None)) is not None:
        found["user_properties"] = [list(pair) for pair in value]
    if (value := getattr(properties, "MessageExpiryInterval", None)) is not None:
        found["message_expiry"] = value
    if getattr(properties, "PayloadFormatIndicator", 0) == 1:
        found["payload_format"] = UTF_8
    # U+0000 is a character in MQTT, but not in PostgreSQL.
    rest = json.dumps(found, ensure_ascii=False).replace("\\u0000", "\\ufffd") if found else None
    return content_type.replace("\0", "\ufffd") if content_type else None, rest
