"""Sending over MQTT 5."""

import base64
import contextlib
import json
import queue
import threading
from typing import Any
from urllib.parse import urlsplit

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from topicbase_client.buffer import Message
from topicbase_client.outbox import Outbox

PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
# What brokers take unless configured otherwise; paho repeats all of them, in order, after a new connection.
MOST_IN_FLIGHT = 20


class MqttSender:
    """Publishes at QoS 1 or 2 and keeps a message until the broker has acknowledged it; paho connects and repeats, in order."""

    def __init__(self, url: str, login: tuple[str, str, str], outbox: Outbox) -> None:
        username, password, client_id = login
        parts = urlsplit(url)
        self._outbox = outbox
        self._in_flight: dict[int, tuple[int, Message]] = {}
        self._last = 0
        self._is_refused = False
        # paho calls back while it holds its locks, so its thread only passes on what happened. None: look for new messages.
        self._acknowledged: queue.SimpleQueue[tuple[int, ReasonCode] | None] = queue.SimpleQueue()
        is_websocket = parts.scheme in {"ws", "wss"}
        self._client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTv5, transport="websockets" if is_websocket else "tcp")
        if is_websocket:
            self._client.ws_set_options(path=parts.path or "/mqtt")
        if parts.scheme in {"mqtts", "wss"}:
            self._client.tls_set()
        self._client.username_pw_set(username, password)
        self._client.reconnect_delay_set(1, 60)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = lambda *_: self._outbox.failed(ConnectionError("The broker cannot be reached."))
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = lambda _client, _data, mid, reason, _properties: self._acknowledged.put((mid, reason))
        self._client.connect_async(parts.hostname or "", parts.port or PORTS[parts.scheme], keepalive=30)
        self._client.loop_start()

    def _on_connect(self, _client: Client, _data: Any, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None) -> None:
        self._is_refused = reason.is_failure
        if self._is_refused:
            self._outbox.failed(ConnectionError(f"The broker refused the login: {reason}."))
        else:
            self.wake()

    def _on_disconnect(
        self, _client: Client, _data: Any, _flags: DisconnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        # A refused connection ends as well, for a reason that says less.
        if reason.is_failure and not self._is_refused:
            self._outbox.failed(ConnectionError(f"The connection to the broker ended: {reason}."))

    def wake(self) -> None:
        self._acknowledged.put(None)

    def step(self, stop: threading.Event) -> None:
        if self._client.is_connected():
            for number, message in self._outbox.buffer.first(MOST_IN_FLIGHT - len(self._in_flight), after=self._last):
                self._last = number
                self._publish(number, message)
        acknowledgement = self._acknowledged.get()
        if acknowledgement is None or stop.is_set():
            return
        mid, reason = acknowledgement
        number, message = self._in_flight.pop(mid)
        if reason.is_failure:
            self._outbox.rejected(number, message, str(reason))
        else:
            self._outbox.done([number])

    def _publish(self, number: int, message: Message) -> None:
        is_binary = message.get("payload_encoding") == "base64"
        payload = base64.b64decode(message["payload"]) if is_binary else json.dumps(message["payload"]).encode()
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.UserProperty = [("message_id", message["message_id"]), ("timestamp", message["timestamp"])]
        if is_binary and "content_type" in message:
            properties.ContentType = message["content_type"]
        elif not is_binary:
            properties.ContentType = "application/json"
        try:
            info = self._client.publish(message["topic"], payload, max(1, message["qos"]), properties=properties)
        except ValueError as error:
            self._outbox.rejected(number, message, str(error))
        else:
            self._in_flight[info.mid] = (number, message)

    def close(self) -> None:
        self._client.disconnect()
        with contextlib.suppress(AttributeError):  # its thread ended just now (paho.mqtt.python#872)
            self._client.loop_stop()
