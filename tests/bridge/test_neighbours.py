"""What one organization does at its worst keeps no other waiting: each test has the first at it while it looks at the second."""

import asyncio
import json
import struct
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.bridge.support import Peer, publish, receipts, status
from tests.bridge.test_inbound import history, hosted, subscribed
from tests.bridge.test_outbound import foreign, prefix
from tests.support.broker import Broker
from tests.support.loop import Loop, close_server
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import wait_until

Connection = psycopg.Connection[tuple[Any, ...]]
Tenants = Callable[..., Tenant]


class Tarpit:
    """Accepts connections and never says anything."""

    def __init__(self) -> None:
        self.open = self.most = 0
        self._loop = Loop()
        self._server = self._loop.run(asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512))
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            while await reader.read(4096):
                pass
        finally:
            self.open -= 1
            writer.close()

    def close(self) -> None:
        self._loop.run(close_server(self._server))
        self._loop.close()


@pytest.fixture
def tarpit() -> Iterator[Tarpit]:
    running = Tarpit()
    yield running
    running.close()


def test_tls_tarpits(db: Connection, tenant: Tenants, tarpit: Tarpit, witness: Broker) -> None:
    """150 brokers that accept a connection and say nothing: half of the threads that connect, at most, wait for them."""
    slow, other = tenant(), tenant()
    settings = json.dumps({"broker_url": "127.0.0.1", "port": tarpit.port, "protocol": "mqtts"})
    db.execute(
        "SELECT api.upsert_integration(organization_id => %s, name => n::text, integration_type => 'mqtt_external', settings => %s) "
        "FROM generate_series(1, 150) AS n",
        (slow.organization_id, settings),
    )
    try:
        wait_until(lambda: tarpit.open >= 64, what="half of the threads wait")
        integration_id = foreign(other, witness.port)
        (sent,) = receipts(other, publish(other, [{"topic": "x", "payload": 1, "qos": 1}], integration_id))
        assert sent["state"] == "acknowledged"
        assert tarpit.most == 64
    finally:
        db.execute("DELETE FROM mqtt.device_integrations WHERE organization_id = %s", (slow.organization_id,))


def publish_packet(topic: bytes, payload: bytes) -> bytes:
    """A PUBLISH of QoS 0, MQTT 5."""
    body = struct.pack(f"!H{len(topic)}sB", len(topic), topic, 0) + payload
    return b"\x30" + bytes([len(body) & 127 | 128, len(body) >> 7]) + body


def stored_before(db: Connection, organization_id: str, received_at: Any) -> int:
    row = db.execute(
        "SELECT count(*) FROM mqtt.mqtt_messages WHERE organization_id = %s AND received_at <= %s", (organization_id, received_at)
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_flood_from_a_broker(stack: Stack, db: Connection, tenant: Tenants, witness: Broker, peer: Callable[..., Peer]) -> None:
    """Storing has stopped, and a broker floods: it alone is left unread. What others deliver is in the next batch, and nothing is lost."""
    count, loud, quiet = 12000, tenant(), hosted(db, tenant)
    subscribed(db, loud, foreign(loud, witness.port), "flood/#", 0)
    packet = publish_packet(b"flood/x", json.dumps("x" * 3000).encode())
    device, listener = peer(), peer()
    listener.subscribe(f"{prefix(quiet)}/down")
    with stack.connect() as other, other.transaction():
        other.execute("LOCK TABLE pgmq.q_mqtt_messages IN SHARE ROW EXCLUSIVE MODE")
        witness.send(packet * count)
        wait_until(lambda: witness.unsent() < (count - 3000) * len(packet), what="the bridge has read more than two batches")
        for number in range(5):
            device.publish(f"{prefix(quiet)}/devices/d/telemetry", str(number), 1)
        # Its acknowledgements are read, too.
        (sent,) = receipts(quiet, publish(quiet, [{"topic": f"{prefix(quiet)}/down", "payload": 1, "qos": 1}]))
        assert sent["state"] == "acknowledged"
        assert listener.next().payload == b"1"
        unread = witness.unsent()
        assert unread > 0, "the rest is left with its broker"
    history(stack, quiet, 5)
    row = db.execute("SELECT max(received_at) FROM mqtt.mqtt_messages WHERE organization_id = %s", (quiet.organization_id,)).fetchone()
    assert row is not None
    assert stored_before(db, loud.organization_id, row[0]) <= 1250, "the batch that had begun, and a part of the next"
    wait_until(lambda: stored_before(db, loud.organization_id, "infinity") == count, what="all of the flood")


def test_a_rate(stack: Stack, db: Connection, tenant: Tenants, witness: Broker) -> None:
    """A broker that delivers more than its integration may is left unread; another of the organization is not."""
    owner = tenant()
    slow = foreign(owner, witness.port, inbound_max_per_second=1)
    subscribed(db, owner, slow, "in/#")
    with Broker() as unlimited:
        subscribed(db, owner, foreign(owner, unlimited.port), "in/#")
        witness.send(publish_packet(b"in/x", b"1") * 60)
        history(stack, owner, 60)
        late = witness.offer("in/x", b"2")
        other = unlimited.offer("in/x", b"3")
        wait_until(lambda: other.is_acknowledged)
        assert not late.is_acknowledged, "a minute's worth has come"
        body = {"organization_id": owner.organization_id, "name": "x", "integration_type": "mqtt_external", "integration_id": slow}
        settings = {"broker_url": "127.0.0.1", "port": witness.port, "protocol": "mqtt"}
        witness.session_present = None
        owner.api.ok("upsert_integration", {**body, "settings": settings}, token=owner.admin)
        wait_until(lambda: late.is_acknowledged, what="the limit is gone, and the message was kept")


def has_error(stack: Stack, integration_id: str, reason: str) -> None:
    wait_until(lambda: status(stack, integration_id)[0] == "error", what="an error")
    assert reason in (status(stack, integration_id)[1] or "")


def test_two_organizations_with_one_client_id(stack: Stack, db: Connection, tenant: Tenants) -> None:
    """They throw each other out, which neither can see beforehand: both are told. Mosquitto 2.0.11 gives no reason for it."""
    owners = tenant(), tenant()
    options = {"username": "topicbase_bridge", "password": stack.broker_password, "client_id": "same"}
    ids = [foreign(owner, stack.mqtt_port, **options) for owner in owners]
    try:
        for integration_id in ids:
            has_error(stack, integration_id, "the connection was lost; another client may have the client id same")
    finally:
        db.execute("DELETE FROM mqtt.device_integrations WHERE id = ANY (%s)", (ids,))


def test_a_session_that_is_taken_over(stack: Stack, tenant: Tenants, witness: Broker) -> None:
    owner = tenant()
    integration_id = foreign(owner, witness.port, client_id="same")
    for number in range(3):
        wait_until(lambda n=number: witness.greeted > n, what="the next connection")  # type: ignore[misc]
        witness.send(b"\xe0\x01\x8e")  # DISCONNECT: Session taken over
    has_error(stack, integration_id, "another client with the client id same takes the session over again and again")
    wait_until(lambda: witness.greeted > 3, what="another connection")
    # The connection works, and the integration is not called well before it has lasted.
    (sent,) = receipts(owner, publish(owner, [{"topic": "x", "payload": 1, "qos": 1}], integration_id))
    assert (sent["state"], status(stack, integration_id)[0]) == ("acknowledged", "error")


def test_a_broker_that_acknowledges_nothing(db: Connection, tenant: Tenants, witness: Broker) -> None:
    """Thousands of messages wait for it; another organization's go out meanwhile."""
    slow, other = tenant(), tenant()
    row = db.execute("SELECT count(DISTINCT organization_id) FROM mqtt.device_integrations").fetchone()
    assert row is not None
    # Whoever else this bridge serves; `slow` has a hosted integration beside the one that is made here.
    share = min(500, max(50, 20000 // row[0] // 2))
    witness.swallow = 1 << 30
    waiting = publish(slow, [{"topic": "x", "payload": n, "qos": 1} for n in range(3000)], foreign(slow, witness.port))
    wait_until(lambda: len(witness.seen) >= share, what="its share being under way")
    (sent,) = receipts(other, publish(other, [{"topic": f"{prefix(other)}/x", "payload": 1, "qos": 1}]))
    assert sent["state"] == "acknowledged"
    assert {row["state"] for row in receipts(slow, waiting[:100], 0)} == {"queued"}
    assert len(witness.seen) <= 500, "no more than may be unacknowledged"
