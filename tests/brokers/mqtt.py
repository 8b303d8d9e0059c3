"""A device that speaks MQTT 3.1.1, and notes what becomes of what it does."""

import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.api import Device
from tests.support.mqtt import disconnect
from tests.support.waiting import PATIENCE, wait_until


@dataclass
class MqttDevice:
    """Context manager: connects, and `is_in` says whether it was let in."""

    port: int
    username: str | None
    password: str | None
    client_id: str
    clean: bool = True
    received: list[tuple[str, bytes]] = field(default_factory=list)
    is_in: bool = False
    is_cut: bool = False

    def __post_init__(self) -> None:
        self._answered = threading.Event()
        self._published: set[int] = set()
        self._subscribed: dict[int, bool] = {}
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, self.client_id, self.clean, protocol=mqtt.MQTTv311, reconnect_on_failure=False
        )
        self._client.username_pw_set(self.username, self.password)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = lambda _c, _u, mid, _r, _p: self._published.add(mid)
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = lambda _c, _u, message: self.received.append((message.topic, bytes(message.payload)))

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self.is_in = not reason.is_failure
        self._answered.set()

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, _reason: Any, _properties: Any) -> None:
        self.is_cut = True
        self._answered.set()

    def _on_subscribe(self, _client: Any, _data: Any, mid: int, reasons: list[Any], _properties: Any) -> None:
        self._subscribed[mid] = not any(reason.is_failure for reason in reasons)

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self.port, keepalive=30)
        self._client.loop_start()
        assert self._answered.wait(PATIENCE), "the broker did not answer CONNECT"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        disconnect(self._client)

    def publish(self, topic: str, payload: bytes = b"x", retain: bool = False) -> bool:
        """Whether the broker acknowledged it at QoS 1; one that refuses cuts the connection."""
        mid = self._client.publish(topic, payload, 1, retain).mid
        return self._outcome(lambda: mid in self._published)

    def subscribe(self, text: str) -> bool:
        """Whether the broker granted the subscription."""
        _, mid = self._client.subscribe(text, 1)
        assert mid is not None
        return self._outcome(lambda: mid in self._subscribed) and self._subscribed[mid]

    def _outcome(self, is_done: Any) -> bool:
        wait_until(lambda: is_done() or self.is_cut, what="an answer of the broker")
        return bool(is_done())


def connected(port: int, device: Device, **changes: Any) -> MqttDevice:
    return MqttDevice(**{"port": port, "username": device.username, "password": device.password, "client_id": device.client_id, **changes})
