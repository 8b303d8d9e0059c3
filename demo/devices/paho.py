"""A device on one MQTT connection, by paho."""

import contextlib
import json
import threading
import time
from collections.abc import Mapping
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from demo.devices.base import READY_SECONDS, Device, Setup
from demo.stack import DemoError


class PahoDevice(Device):
    """A paho client on one connection: publishes readings, hears commands, answers them."""

    takes_commands = True

    def __init__(self, setup: Setup, *, address: tuple[str, int], qos: int, version: MQTTProtocolVersion) -> None:
        super().__init__(setup)
        self._address = address
        self._qos = qos
        self._is_5 = version == MQTTProtocolVersion.MQTTv5
        self.way = f"MQTT {'5' if self._is_5 else '3.1.1'} QoS {qos}"
        self._published: dict[int, tuple[int, str | None]] = {}  # packet id -> number and the refusal that is expected
        self._early: dict[int, ReasonCode] = {}
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._reason = "no answer"
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=self.login.client_id, protocol=version)
        self._client.username_pw_set(self.login.username, self.login.password)
        self._client.reconnect_delay_set(1, 2)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Properties | None) -> None:
        self._reason = str(reason)
        if not reason.is_failure:
            client.subscribe(self.topic("commands"), qos=self._qos)

    def _on_subscribe(self, _client: mqtt.Client, _data: Any, _mid: int, reasons: list[ReasonCode], _properties: Properties | None) -> None:
        if reasons[0].is_failure:
            self._reason = f"subscribing: {reasons[0]}"
        else:
            self._ready.set()

    def _on_publish(self, _client: mqtt.Client, _data: Any, mid: int, reason: ReasonCode, _properties: Properties | None) -> None:
        with self._lock:
            if mid not in self._published:
                self._early[mid] = reason  # the answer arrived before publish() had returned the packet id
                return
            number, expected = self._published.pop(mid)
        self._settle(number, expected, reason)

    def _settle(self, number: int, expected: str | None, reason: ReasonCode) -> None:
        if expected is not None:
            self.refused(number, "a topic outside the prefix", expected, str(reason))
        elif reason.is_failure:
            self.counts.reject(number, str(reason))
        else:
            self.counts.accept([number])

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        command = json.loads(message.payload)
        if command.get("run") == self._run:
            self.commands.append(command["id"])
            self.publish(self.topic("acks"), {"command": command["id"]})

    def prepare(self) -> None:
        self._client.connect_async(*self._address, keepalive=30)
        self._client.loop_start()
        if not self._ready.wait(READY_SECONDS):
            raise DemoError(f"{self.device_id} could not log in to the broker at {self._address[0]}:{self._address[1]}: {self._reason}")

    def publish(self, topic: str, content: Mapping[str, Any], expected: str | None = None) -> None:
        """Publish; `expected` is the reason with which the broker should refuse it."""
        number = self.counts.next()
        info = self._client.publish(topic, json.dumps(self.payload(number, **content)), qos=self._qos)
        with self._lock:
            reason = self._early.pop(info.mid, None)
            if reason is None:
                self._published[info.mid] = (number, expected)
        if reason is not None:
            self._settle(number, expected, reason)

    def tick(self) -> None:
        self.publish(self.topic("telemetry"), self._read())

    def misbehave(self) -> None:
        if self._is_5:  # only MQTT 5 can refuse; 3.1.1 drops such a message silently
            self.publish(f"org_other/devices/{self.device_id}/telemetry", {}, expected="Not authorized")

    def finish(self) -> None:
        deadline = time.monotonic() + 10
        while self.counts.unanswered and time.monotonic() < deadline:
            time.sleep(0.02)

    def leave(self) -> None:
        self._client.disconnect()
        with contextlib.suppress(AttributeError):  # its thread ended just now (paho.mqtt.python#872)
            self._client.loop_stop()
