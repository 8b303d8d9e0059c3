"""What the bridge's tests share: an MQTT client that notes what it sees, and questions about receipts."""

import queue
import threading
import time
from collections.abc import Iterable
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.support.mqtt import disconnect
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE


class Peer:
    """An MQTT client beside the bridge: paho as it comes, with what arrived in a queue."""

    def __init__(
        self,
        host: str,
        port: int,
        username: str | None = None,
        password: str | None = None,
        *,
        version: int = 5,
        client_id: str = "",
        session_expiry: int = 0,
    ) -> None:
        protocol = MQTTProtocolVersion.MQTTv5 if version == 5 else MQTTProtocolVersion.MQTTv311
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=protocol, clean_session=None if version == 5 else session_expiry == 0
        )
        if username is not None:
            self.client.username_pw_set(username, password)
        self.messages: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
        self.connected: queue.Queue[int] = queue.Queue()
        self.disconnected = threading.Event()
        self.published: dict[int, int] = {}
        self._news = threading.Condition()
        self._granted: dict[int, list[int]] = {}
        self.client.on_message = lambda _c, _u, message: self.messages.put(message)
        self.client.on_connect = lambda _c, _u, _f, reason, _p: self.connected.put(reason.value)
        self.client.on_disconnect = lambda *_: self.disconnected.set()
        self.client.on_publish = self._on_publish
        self.client.on_subscribe = self._on_subscribe
        options: dict[str, Any] = {}
        if version == 5 and session_expiry:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = session_expiry
            options = {"clean_start": False, "properties": properties}
        self.client.connect(host, port, keepalive=30, **options)
        self.client.loop_start()
        self.code = self.connected.get(timeout=PATIENCE)
        if self.code:
            self.close()  # paho would try again for ever

    def _on_publish(self, _client: Any, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
        with self._news:
            self.published[mid] = reason.value
            self._news.notify_all()

    def _on_subscribe(self, _client: Any, _data: Any, mid: int, reasons: list[Any], _properties: Any) -> None:
        with self._news:
            self._granted[mid] = [reason.value for reason in reasons]
            self._news.notify_all()

    def subscribe(self, topic: str, qos: int = 2, **options: Any) -> int:
        """The broker's code: the granted QoS, or 128 and more."""
        if options:
            _, mid = self.client.subscribe(topic, options=SubscribeOptions(qos=qos, **options))
        else:
            _, mid = self.client.subscribe(topic, qos)
        with self._news:
            assert self._news.wait_for(lambda: mid in self._granted, PATIENCE)
            return self._granted[mid or 0][0]

    def publish(self, topic: str, payload: str | bytes, qos: int = 1, *, retain: bool = False, **properties: Any) -> int:
        """The broker's reason code, or -1 when it does not answer."""
        sent: Properties | None = None
        if properties:
            sent = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            for name, value in properties.items():
                setattr(sent, name, value)
        info = self.client.publish(topic, payload, qos, retain, sent)
        with self._news:
            if not self._news.wait_for(lambda: info.mid in self.published, PATIENCE):
                return -1
            return self.published[info.mid]

    def next(self, timeout: float = PATIENCE) -> mqtt.MQTTMessage:
        return self.messages.get(timeout=timeout)

    def take(self, count: int, timeout: float = PATIENCE) -> list[mqtt.MQTTMessage]:
        deadline = time.monotonic() + timeout
        return [self.messages.get(timeout=max(0.0, deadline - time.monotonic())) for _ in range(count)]

    def close(self) -> None:
        disconnect(self.client)


def publish(tenant: Tenant, messages: list[dict[str, Any]], integration_id: str | None = None) -> list[str]:
    """Queue messages as the tenant's member; the receipt ids."""
    answer = tenant.api.ok(
        "mqtt_publish", {"integration_id": integration_id or tenant.integration_id, "messages": messages}, token=tenant.member
    )
    return [receipt["receipt_id"] for receipt in answer["receipts"]]


def receipts(tenant: Tenant, ids: Iterable[str], wait: float = PATIENCE) -> list[dict[str, Any]]:
    """The receipts, once none is queued any more, in the order of ids."""
    ids = list(ids)
    deadline = time.monotonic() + wait
    while True:
        left = max(0.0, deadline - time.monotonic())
        rows = tenant.api.ok("get_mqtt_publish_receipts", {"receipt_ids": ids, "wait": min(5, int(left))}, token=tenant.member)
        if all(row["state"] != "queued" for row in rows) or left == 0:
            by_id = {row["receipt_id"]: row for row in rows}
            return [by_id[receipt_id] for receipt_id in ids]


def status(stack: Stack, integration_id: str) -> tuple[str, str | None]:
    with stack.connect() as connection:
        row = connection.execute("SELECT status, status_detail FROM mqtt.device_integrations WHERE id = %s", (integration_id,)).fetchone()
    assert row is not None
    return row[0], row[1]


def stored(stack: Stack, organization_id: str, direction: str = "incoming") -> list[dict[str, Any]]:
    """The organization's history, oldest first."""
    with stack.connect() as connection:
        rows = connection.execute(
            "SELECT topic, payload, body, qos, retain, content_type, properties, decode_error FROM mqtt.mqtt_messages "
            "WHERE organization_id = %s AND direction = %s ORDER BY received_at, id",
            (organization_id, direction),
        ).fetchall()
    names = ("topic", "payload", "body", "qos", "retain", "content_type", "properties", "decode_error")
    return [dict(zip(names, row, strict=True)) for row in rows]
