"""What one organization does at its worst keeps no other waiting: each test has the first at it while it looks at the second."""

import json
import secrets
import struct
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.bridge.support import Peer, publish, receipts, status
from tests.bridge.test_inbound import history, hosted, subscribed
from tests.bridge.test_outbound import foreign, prefix
from tests.support.broker import Broker
from tests.support.stack import Stack
from tests.support.tarpit import Tarpit
from tests.support.tenant import Tenant
from tests.support.waiting import wait_until

Connection = psycopg.Connection[tuple[Any, ...]]
Tenants = Callable[..., Tenant]


@pytest.fixture
def tarpit() -> Iterator[Tarpit]:
    with Tarpit() as running:
        yield running


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


def test_a_rate_of_bytes(stack: Stack, db: Connection, tenant: Tenants, witness: Broker) -> None:
    """An organization's brokers are left unread when they have delivered more bytes than they may; another's are not."""
    owner, other = tenant(), hosted(db, tenant)
    limits = {"organization_id": owner.organization_id, "max_bytes_per_second": 100}
    owner.api.ok("set_organization_limits", limits, token=stack.token("service_role"))
    subscribed(db, owner, foreign(owner, witness.port), "in/#")
    witness.offer("in/x", json.dumps("x" * 50_000).encode())
    history(stack, owner, 1)
    late = witness.offer("in/x", b"2")
    other.device().send(1)
    history(stack, other, 1)
    assert not late.is_acknowledged, "more than eight minutes' worth has come"
    owner.api.ok("set_organization_limits", {"organization_id": owner.organization_id}, token=stack.token("service_role"))
    wait_until(lambda: late.is_acknowledged, what="the limit is gone, and the message was kept")


def test_integrations_beyond_the_limit_are_disconnected(stack: Stack, db: Connection, tenant: Tenants, witness: Broker) -> None:
    """An operator lowers the limit: the newest ends, and comes back with the limit."""
    owner = tenant()
    first, second = foreign(owner, witness.port), foreign(owner, witness.port, client_id="second")
    leases = "SELECT count(*) FROM mqtt.bridge_leases WHERE integration_id = %s"
    for integration_id in (first, second):
        wait_until(lambda one=integration_id: db.execute(leases, (one,)).fetchone() == (1,), what="two connections")  # type: ignore[misc]
    limits = {"organization_id": owner.organization_id, "max_integrations": 2}  # one is the organization's hosted one
    service = stack.token("service_role")
    owner.api.ok("set_organization_limits", limits, token=service)
    has_error(stack, second, "max_integrations")
    assert status(stack, first)[0] == "active"
    wait_until(lambda: db.execute(leases, (second,)).fetchone() == (0,), what="its connection being closed")
    owner.api.ok("set_organization_limits", {"organization_id": owner.organization_id}, token=service)
    wait_until(lambda: status(stack, second)[0] == "active", what="its connection")


def has_error(stack: Stack, integration_id: str, reason: str) -> None:
    wait_until(lambda: status(stack, integration_id)[0] == "error", what="an error")
    assert reason in (status(stack, integration_id)[1] or "")


def test_two_organizations_with_one_client_id(stack: Stack, db: Connection, tenant: Tenants) -> None:
    """They throw each other out, which neither can see beforehand: both are told. Mosquitto 2.0.11 gives no reason for it, 2.0.21 does."""
    owners = tenant(), tenant()
    options = {"username": "topicbase_bridge", "password": stack.broker_password, "client_id": "same"}
    ids = [foreign(owner, stack.mqtt_port, **options) for owner in owners]
    try:
        for integration_id in ids:
            has_error(stack, integration_id, "the client id same")
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


def test_messages_that_are_much_work_keep_nobody_else_waiting(stack: Stack, db: Connection, tenant: Tenants) -> None:
    """The first one's message is being stored for as long as the test holds it up: the second one's goes past."""
    busy, quiet = tenant(), tenant()
    # Not to be compressed: what is large is taken for much work before anybody has measured it.
    payload = {secrets.token_hex(16): secrets.token_hex(16) for _ in range(2000)}
    db.execute(f"""
        CREATE FUNCTION public.hold_up() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_advisory_xact_lock(815, 0) FROM mqtt.organizations AS o WHERE o.number = NEW.organization AND o.slug = '{busy.slug}';
            RETURN NEW;
        END $$;
        ALTER FUNCTION public.hold_up() SECURITY DEFINER SET search_path = pg_catalog;
        CREATE TRIGGER hold_up BEFORE INSERT ON mqtt.history FOR EACH ROW EXECUTE FUNCTION public.hold_up()
    """)
    try:
        with stack.connect() as holder:
            holder.execute("SELECT pg_advisory_lock(815, 0)")
            assert busy.device().send(payload).status_code == 202
            held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 815 AND NOT granted"
            wait_until(lambda: db.execute(held).fetchone() == (1,), what="the message that is held up")
            assert quiet.device().send("past").status_code == 202
            assert [row["payload"] for row in history(stack, quiet, 1)] == ["past"]
            assert db.execute(held).fetchone() == (1,)
            holder.execute("SELECT pg_advisory_unlock(815, 0)")
        assert [row["payload"] for row in history(stack, busy, 1)] == [payload]
    finally:
        db.execute("DROP TRIGGER hold_up ON mqtt.history; DROP FUNCTION public.hold_up()")
