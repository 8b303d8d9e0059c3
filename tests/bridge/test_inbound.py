"""From a broker into the history: what arrives, when it is acknowledged, and what becomes of the odd."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.bridge.support import Peer, publish, receipts, stored
from tests.bridge.test_outbound import foreign, prefix
from tests.support.broker import Broker
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import wait_until

Connection = psycopg.Connection[tuple[Any, ...]]
Tenants = Callable[..., Tenant]
Peers = Callable[..., Peer]
NO_MATCHING_SUBSCRIBERS = 0x10


def subscription(db: Connection, integration_id: str, topic: str) -> tuple[Any, ...] | None:
    return db.execute(
        "SELECT status, granted_qos, status_detail FROM mqtt.mqtt_subscriptions WHERE integration_id = %s AND topic = %s",
        (integration_id, topic),
    ).fetchone()


def subscribed(db: Connection, owner: Tenant, integration_id: str, topic: str, qos: int = 1) -> str:
    """The id of a subscription that the broker has answered."""
    row = owner.api.ok("mqtt_subscribe", {"integration_id": integration_id, "topic": topic, "qos": qos}, token=owner.admin)
    wait_until(lambda: (subscription(db, integration_id, topic) or ("pending",))[0] != "pending", what="an answer to SUBSCRIBE")
    return str((row[0] if isinstance(row, list) else row)["id"])


def history(stack: Stack, owner: Tenant, count: int) -> list[dict[str, Any]]:
    def enough() -> list[dict[str, Any]]:
        rows = stored(stack, owner.organization_id)
        return rows if len(rows) >= count else []

    return wait_until(enough, what=f"{count} stored messages")


def hosted(db: Connection, tenant: Tenants) -> Tenant:
    """A tenant whose hosted integration listens."""
    owner = tenant()
    wait_until(lambda: (subscription(db, owner.integration_id, f"{prefix(owner)}/#") or ("pending",))[0] == "active")
    return owner


def test_what_devices_publish_is_stored(stack: Stack, db: Connection, tenant: Tenants, peer: Peers) -> None:
    owner, device = hosted(db, tenant), peer()
    for qos in (0, 1, 2):
        assert device.publish(f"{prefix(owner)}/devices/d{qos}/telemetry", json.dumps({"qos": qos}), qos) in (0, 16)
    found = {row["topic"]: (row["payload"], row["qos"], row["retain"]) for row in history(stack, owner, 3)}
    assert found == {f"{prefix(owner)}/devices/d{qos}/telemetry": ({"qos": qos}, qos and 1, False) for qos in (0, 1, 2)}
    devices = db.execute(
        "SELECT external_id, last_data FROM mqtt.devices WHERE organization_id = %s ORDER BY 1", (owner.organization_id,)
    ).fetchall()
    assert devices == [(f"d{qos}", {"qos": qos}) for qos in (0, 1, 2)]


def test_a_string_is_replayed_with_the_quotes_that_it_had(stack: Stack, db: Connection, tenant: Tenants, peer: Peers) -> None:
    owner, device = hosted(db, tenant), peer()
    for payload in ('"abc"', "abc", '"a', "{}"):
        device.publish(f"{prefix(owner)}/devices/d/event", payload)
    history(stack, owner, 4)
    device.subscribe(f"{prefix(owner)}/again")
    call = {"integration_id": owner.integration_id, "topic": f"{prefix(owner)}/#", "since": "-infinity", "max_per_second": 10000}
    assert owner.api.ok("replay_mqtt_messages", {**call, "to_topic": f"{prefix(owner)}/again"}, token=owner.admin)["replayed"] == 4
    assert [message.payload for message in device.take(4)] == [b'"abc"', b"abc", b'"a', b"{}"]


def test_names_of_devices_are_bytes(stack: Stack, db: Connection, tenant: Tenants, peer: Peers) -> None:
    """Two forms of one letter are two devices, as they are two topics; a name that is too long for one is told of."""
    owner, device = hosted(db, tenant), peer()
    names = ("caf\u00e9", "cafe\u0301", "x" * 256)
    for name in names:
        device.publish(f"{prefix(owner)}/devices/{name}/telemetry", "1")
    rows = history(stack, owner, 3)
    assert [row["topic"].split("/")[2] for row in rows] == list(names)
    found = owner.api.rows("mqtt_messages", token=owner.member, select="decode_error,topic")
    assert [(row["decode_error"] or "")[:13] for row in sorted(found, key=lambda row: len(row["topic"]))] == ["", "", "the device id"]
    assert {row["external_id"] for row in owner.api.ok("list_devices", {}, token=owner.member)["devices"]} == set(names[:2])


def test_a_burst_is_read_in_its_order(stack: Stack, db: Connection, tenant: Tenants, peer: Peers) -> None:
    owner, device, count = hosted(db, tenant), peer(), 3000
    for number in range(count):
        device.client.publish(f"{prefix(owner)}/devices/d/telemetry", json.dumps({"n": number}), 1)
    history(stack, owner, count)
    newest = owner.api.ok("query_telemetry", token=owner.member)
    assert [row["metrics"]["n"] for row in newest] == list(range(count - 1, count - 101, -1))
    for rpc, member in (("query_telemetry", "metrics"), ("list_messages", "payload")):
        seen: list[int] = []
        cursor = None
        while rows := owner.api.ok(rpc, {"limit": 100, "cursor": cursor}, token=owner.member):
            seen += [row[member]["n"] for row in rows]
            cursor = rows[-1]["cursor"]
        assert seen == list(range(count - 1, -1, -1)), rpc


@pytest.mark.parametrize(
    ("sent", "content_type", "payload", "body"),
    [
        (b"21.5", None, 21.5, None),
        (b"just text", None, "just text", None),
        (b"\xff\xfe\x00", None, None, b"\xff\xfe\x00"),
        (b"", None, "", None),
        (b'{"a": ', "application/json", None, b'{"a": '),
        (b"\x00\x01", "application/octet-stream", None, b"\x00\x01"),
        (b'"nul: \\u0000"', None, None, None),
    ],
)
def test_payloads_that_are_not_json(
    stack: Stack, db: Connection, tenant: Tenants, peer: Peers, sent: bytes, content_type: str | None, payload: Any, body: bytes | None
) -> None:
    owner, device = hosted(db, tenant), peer()
    properties: dict[str, Any] = {"ContentType": content_type} if content_type else {}
    device.publish(f"{prefix(owner)}/raw", sent, **properties)
    (row,) = history(stack, owner, 1)
    if body is not None or payload is not None:
        assert (row["payload"], row["body"]) == (payload, body)
    else:
        assert row["body"] == sent or row["payload"] is not None
    assert row["content_type"] == content_type


def test_numbers_that_jsonb_returns_as_megabytes(stack: Stack, db: Connection, tenant: Tenants, peer: Peers) -> None:
    owner, other, device = hosted(db, tenant), hosted(db, tenant), peer()
    sent = b"[" + b"5e-324," * 37_000 + b"1]"
    for _ in range(25):  # so many are stored at once
        device.publish(f"{prefix(owner)}/devices/d1/telemetry", sent)
    device.publish(f"{prefix(other)}/devices/d1/telemetry", b"[5e-324, 1.7976931348623157e308, -0, 1e-99]")
    (row,) = history(stack, other, 1)
    assert [float(number) for number in row["payload"]] == [5e-324, 1.7976931348623157e308, 0, 1e-99]
    for row in history(stack, owner, 25):
        assert (row["payload"], row["body"]) == (None, sent)
        assert row["decode_error"].startswith("The JSON has more than 200 numbers")


def test_payloads_of_any_length_come_through(stack: Stack, db: Connection, tenant: Tenants, peer: Peers) -> None:
    owner, device = hosted(db, tenant), peer()
    # Packets around the lengths at which their header grows, and larger ones than are read at once.
    sizes = [*range(80, 132), *range(16_330, 16_390), 250_000, 1]
    for size in sizes:
        device.client.publish(f"{prefix(owner)}/x", b"x" * size, 1)
    assert [len(row["payload"]) for row in history(stack, owner, len(sizes))] == sizes


def test_properties_are_kept(stack: Stack, db: Connection, tenant: Tenants, peer: Peers) -> None:
    owner, device = hosted(db, tenant), peer()
    device.publish(f"{prefix(owner)}/x", b"1", ResponseTopic="answers", CorrelationData=b"\x00\xff", UserProperty=[("a", "1"), ("a", "2")])
    (row,) = history(stack, owner, 1)
    assert row["properties"] == {"response_topic": "answers", "correlation_data": "AP8=", "user_properties": [["a", "1"], ["a", "2"]]}


def test_the_time_that_a_device_tells(stack: Stack, db: Connection, tenant: Tenants, peer: Peers) -> None:
    owner, device = hosted(db, tenant), peer()
    topic = f"{prefix(owner)}/devices/d/telemetry"
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    device.publish(topic, json.dumps({"t": 1, "ts": round(at.timestamp() * 1000)}))
    device.publish(topic, json.dumps({"t": 2, "timestamp": (at + timedelta(minutes=1)).isoformat(), "ts": 0}))
    device.publish(topic, json.dumps({"t": 3, "ts": 0}), UserProperty=[("timestamp", str(round(at.timestamp()) + 120))])
    device.publish(topic, json.dumps({"t": 4, "ts": "not yet set"}))
    history(stack, owner, 4)
    rows = db.execute(
        "SELECT payload ->> 't', nullif(measured_at, received_at) FROM mqtt.mqtt_messages WHERE organization_id = %s",
        (owner.organization_id,),
    ).fetchall()
    assert dict(rows) == {"1": at, "2": at + timedelta(minutes=1), "3": at + timedelta(minutes=2), "4": None}


def test_what_the_bridge_itself_publishes_does_not_come_back(stack: Stack, db: Connection, tenant: Tenants, peer: Peers) -> None:
    owner, device = hosted(db, tenant), peer()
    receipts(owner, publish(owner, [{"topic": f"{prefix(owner)}/devices/d/command", "payload": 1, "qos": 1}]))
    device.publish(f"{prefix(owner)}/devices/d/telemetry", b"2")
    assert [row["topic"] for row in history(stack, owner, 1)] == [f"{prefix(owner)}/devices/d/telemetry"]


def test_other_tenants_messages_are_theirs(stack: Stack, db: Connection, tenant: Tenants, peer: Peers) -> None:
    first, second, device = hosted(db, tenant), hosted(db, tenant), peer()
    device.publish(f"{prefix(first)}/x", b"1")
    device.publish(f"{prefix(second)}/x", b"2")
    assert [row["payload"] for row in history(stack, first, 1)] == [1]
    assert [row["payload"] for row in history(stack, second, 1)] == [2]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_acknowledged_only_after_commit(stack: Stack, db: Connection, tenant: Tenants, witness: Broker, version: str) -> None:
    owner = tenant()
    integration_id = foreign(owner, witness.port, mqtt_version=version)
    subscribed(db, owner, integration_id, "plant/#", 2)
    with stack.connect(autocommit=False) as blocker:
        blocker.execute("LOCK TABLE pgmq.q_mqtt_messages IN ACCESS EXCLUSIVE MODE")
        witness.deliver(b"plant/a", b"1", 1, 11)
        witness.deliver(b"plant/b", b"2", 2, 12)
        wait_until(lambda: waits_for_lock(db), what="the messages on their way into the queue")
        assert witness.acknowledged == []
    wait_until(lambda: len(witness.acknowledged) == 3)
    assert sorted(witness.acknowledged) == [("PUBACK", 11), ("PUBCOMP", 12), ("PUBREC", 12)]
    assert {row["topic"]: row["payload"] for row in history(stack, owner, 2)} == {"plant/a": 1, "plant/b": 2}


def test_nothing_is_acknowledged_while_the_database_refuses_everything(
    stack: Stack, db: Connection, tenant: Tenants, witness: Broker
) -> None:
    """A right that is missing, as during a failed deployment: no message is at fault, so all of them wait."""
    owner = tenant()
    integration_id = foreign(owner, witness.port)
    subscribed(db, owner, integration_id, "plant/#")
    row = db.execute("SELECT 'bridge.ingest'::regproc::oid::regprocedure::text").fetchone()
    assert row is not None
    refusals = stack.log("bridge").count("42501")
    db.execute(f"REVOKE EXECUTE ON FUNCTION {row[0]} FROM mqtt_bridge".encode())
    try:
        witness.deliver(b"plant/a", b"1", 1, 11)
        witness.deliver(b"plant/b", b"2", 1, 12)
        wait_until(lambda: stack.log("bridge").count("42501") > refusals, what="an attempt to store them")
        assert witness.acknowledged == []
    finally:
        db.execute(f"GRANT EXECUTE ON FUNCTION {row[0]} TO mqtt_bridge".encode())
    wait_until(lambda: len(witness.acknowledged) == 2, what="the acknowledgements")
    assert {row["topic"]: row["payload"] for row in history(stack, owner, 2)} == {"plant/a": 1, "plant/b": 2}


def test_a_message_that_the_database_refuses_becomes_a_dead_letter(stack: Stack, db: Connection, tenant: Tenants, witness: Broker) -> None:
    owner = tenant()
    integration_id = foreign(owner, witness.port)
    subscribed(db, owner, integration_id, "plant/#")
    db.execute("ALTER TABLE pgmq.q_mqtt_messages ADD CONSTRAINT no_odd CHECK (message ->> 'topic' <> 'plant/odd') NOT VALID")
    try:
        for number, topic in enumerate((b"plant/a", b"plant/odd", b"plant/b"), 1):
            witness.deliver(topic, str(number).encode(), 1, number)
        wait_until(lambda: len(witness.acknowledged) == 3, what="the acknowledgements")
    finally:
        db.execute("ALTER TABLE pgmq.q_mqtt_messages DROP CONSTRAINT no_odd")
    assert {row["topic"]: row["payload"] for row in history(stack, owner, 2)} == {"plant/a": 1, "plant/b": 3}
    query = "SELECT topic, body, error_message FROM mqtt.mqtt_dead_letters WHERE integration_id = %s"
    dead = db.execute(query, (integration_id,)).fetchall()
    assert [(topic, body) for topic, body, _ in dead] == [("plant/odd", b"2")]
    assert "no_odd" in dead[0][2]


def test_a_qos_2_message_sent_twice_is_stored_once(stack: Stack, db: Connection, tenant: Tenants, witness: Broker) -> None:
    owner = tenant()
    integration_id = foreign(owner, witness.port)
    subscribed(db, owner, integration_id, "#", 2)
    witness.answer_pubrec = False
    witness.deliver(b"a", b"12", 2, 7)
    wait_until(lambda: witness.acknowledged == [("PUBREC", 7)])
    # The broker has not had the PUBREC, it thinks, and sends again, as a duplicate.
    witness.deliver(b"a", b"12", 2, 7, dup=True)
    wait_until(lambda: witness.acknowledged == [("PUBREC", 7)] * 2)
    witness.deliver(b"b", b"3", 1, 8)
    assert sorted(row["topic"] for row in history(stack, owner, 2)) == ["a", "b"]
    # Another client had the session meanwhile and released the packet id: what comes under it now is another message.
    witness.deliver(b"a", b"12", 2, 7)
    assert sorted(row["topic"] for row in history(stack, owner, 3)) == ["a", "a", "b"]


@pytest.mark.parametrize("order", ["again before it is stored", "again after it is stored"])
def test_a_qos_2_message_whose_connection_ends_before_it_is_stored(
    stack: Stack, db: Connection, tenant: Tenants, witness: Broker, order: str
) -> None:
    owner = tenant()
    integration_id = foreign(owner, witness.port)
    subscribed(db, owner, integration_id, "#", 2)
    witness.session_present = True

    def come_again() -> None:
        wait_until(lambda: witness.greeted == 2, what="the next connection")
        witness.deliver(b"a", b"12", 2, 7, dup=True)

    with stack.connect(autocommit=False) as blocker:
        blocker.execute("LOCK TABLE pgmq.q_mqtt_messages IN EXCLUSIVE MODE")
        witness.deliver(b"a", b"12", 2, 7)
        wait_until(lambda: waits_for_lock(db), what="the message on its way into the queue")
        witness.cut()
        if order == "again before it is stored":
            come_again()
        blocker.rollback()
    if order == "again after it is stored":
        history(stack, owner, 1)
        come_again()
    wait_until(lambda: ("PUBREC", 7) in witness.acknowledged, what="the acknowledgement on the new connection")
    witness.deliver(b"b", b"3", 1, 8)
    assert sorted(row["topic"] for row in history(stack, owner, 2)) == ["a", "b"]


@pytest.mark.parametrize("qos", [1, 2])
def test_a_connection_is_left_when_what_it_brought_is_acknowledged(stack: Stack, db: Connection, tenant: Tenants, qos: int) -> None:
    """Else the broker would deliver again what is stored; what came too late to be stored, it does."""
    for _ in range(5):
        with Broker(session_present=True) as witness:
            if leaves(stack, db, tenant(), witness, qos):
                return
    pytest.fail("it never waited for what is being stored")


def leaves(stack: Stack, db: Connection, owner: Tenant, witness: Broker, qos: int) -> bool:
    """Whether the bridge waited; it does so for two seconds, in which a busy machine may not have come to what this has to do."""
    integration_id = foreign(owner, witness.port)
    subscribed(db, owner, integration_id, "#", 2)
    with stack.connect(autocommit=False) as blocker:
        blocker.execute("LOCK TABLE pgmq.q_mqtt_messages IN EXCLUSIVE MODE")
        witness.deliver(b"a", b"1", qos, 7)
        wait_until(lambda: waits_for_lock(db), what="the message on its way into the queue")
        reads = has_read(db)
        db.execute("UPDATE mqtt.device_integrations SET settings = settings || '{\"keepalive\": 77}' WHERE id = %s", (integration_id,))
        wait_until(lambda: has_read(db) > reads, what="the bridge reading the change")
        time.sleep(0.1)  # nothing shows that the link takes no more from now on
        witness.deliver(b"b", b"2", qos, 8)
        if witness.greeted > 1:
            return False
        blocker.rollback()
    wait_until(lambda: witness.greeted == 2, what="the next connection")
    name = "PUBACK" if qos == 1 else "PUBREC"
    if (name, 7) not in witness.acknowledged:
        return False
    assert (name, 8) not in witness.acknowledged
    witness.deliver(b"b", b"2", qos, 8, dup=True)
    wait_until(lambda: (name, 8) in witness.acknowledged, what="the acknowledgement on the new connection")
    assert [row["topic"] for row in history(stack, owner, 2)] == ["a", "b"]
    return True


def has_read(db: Connection) -> int:
    """How often bridges have looked at their integrations."""
    db.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    row = db.execute("SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE query LIKE '%FROM bridge.integrations(%'").fetchone()
    assert row is not None
    return int(row[0])


def waits_for_lock(db: Connection) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%bridge.ingest%'"
    row = db.execute(query).fetchone()
    return row is not None and row[0] > 0


def test_odd_topics_become_dead_letters_and_are_acknowledged(stack: Stack, db: Connection, tenant: Tenants, witness: Broker) -> None:
    owner = tenant()
    integration_id = foreign(owner, witness.port)
    subscribed(db, owner, integration_id, "#")
    witness.deliver(b"bad \xff utf-8", b"1", 1, 1)
    witness.deliver(b"nul \x00", b"2", 1, 2)
    witness.deliver(b"bell \x07", b"3", 1, 3)
    witness.deliver(b"large", b"x" * 300000, 1, 4)
    witness.deliver(b"$SYS/uptime", b"5", 1, 5)
    witness.deliver(b"good", b"6", 1, 6)
    wait_until(lambda: len(witness.acknowledged) == 6)
    assert {row["topic"] for row in history(stack, owner, 2)} == {"$SYS/uptime", "good"}
    dead = db.execute(
        "SELECT body, error_message FROM mqtt.mqtt_dead_letters WHERE integration_id = %s AND direction = 'incoming' "
        "ORDER BY octet_length(body), body",
        (integration_id,),
    ).fetchall()
    assert [row[0] for row in dead] == [b"1", b"2", b"3", b"x" * 4096], "of what is too large, the first part"
    assert "UTF-8" in dead[0][1]
    assert "NUL" in dead[1][1]
    assert "300000 bytes" in dead[3][1]
    assert len(witness.connects) == 1


def test_subscriptions_change_while_running(stack: Stack, db: Connection, tenant: Tenants, peer: Peers) -> None:
    owner, device = tenant(), peer()
    integration_id = owner.integration_id
    wait_until(lambda: (subscription(db, integration_id, f"{prefix(owner)}/#") or ("",))[0] == "active")
    db.execute("UPDATE mqtt.mqtt_subscriptions SET is_paused = true WHERE integration_id = %s", (integration_id,))
    heard = published_until(device, f"{prefix(owner)}/until/", is_heard=False)
    device.publish(f"{prefix(owner)}/unheard", b"1")
    db.execute("UPDATE mqtt.mqtt_subscriptions SET is_paused = false WHERE integration_id = %s", (integration_id,))
    heard += published_until(device, f"{prefix(owner)}/from/", is_heard=True)
    device.publish(f"{prefix(owner)}/heard", b"2")
    assert [row["topic"] for row in history(stack, owner, len(heard) + 1)] == [*heard, f"{prefix(owner)}/heard"]


def published_until(device: Peer, topic: str, *, is_heard: bool) -> list[str]:
    """Publish until the broker says that somebody subscribes to it, or that nobody does; the topics that somebody subscribed to."""
    codes: dict[str, int] = {}

    def publish_one() -> bool:
        code = codes[f"{topic}{len(codes)}"] = device.publish(f"{topic}{len(codes)}", b"0")
        assert code in (0, NO_MATCHING_SUBSCRIBERS)
        return (code == 0) == is_heard

    wait_until(publish_one, what="a subscription that comes or goes")
    return [name for name, code in codes.items() if code == 0]


def test_a_refused_subscription_says_so(db: Connection, tenant: Tenants, witness: Broker) -> None:
    owner = tenant()
    integration_id = foreign(owner, witness.port)
    witness.suback = 0x87
    subscribed(db, owner, integration_id, "secret/#")
    assert subscription(db, integration_id, "secret/#") == ("error", None, "Not authorized")
    witness.suback = 0
    subscribed(db, owner, integration_id, "plain/#", 1)
    assert subscription(db, integration_id, "plain/#") == (
        "active", 0, "The broker grants QoS 0 where QoS 1 was asked for.",
    )  # fmt: skip


def test_a_lost_session_is_subscribed_again(stack: Stack, db: Connection, tenant: Tenants, witness: Broker) -> None:
    owner = tenant()
    integration_id = foreign(owner, witness.port)
    subscribed(db, owner, integration_id, "plant/#")
    assert len(witness.subscribed) == 1
    witness.cut()
    wait_until(lambda: len(witness.subscribed) == 2)
    witness.session_present = True
    witness.cut()
    wait_until(lambda: len(witness.connects) == 3)
    witness.deliver(b"plant/a", b"1")
    history(stack, owner, 1)
    assert len(witness.subscribed) == 2


@pytest.mark.parametrize(
    "junk",
    [
        b"\xff\xff\xff\xff\xff\xff",
        b"\x30\x02\xff\xff",
        b"\x36\x05\x00\x01aXX",
        b"\x40\x01\x00",
        b"\x20\x02\x00\x00",
        b"\x90\x00",
        b"\xf0\x00",
        b"\x30\x00",
    ],
)
def test_malformed_packets_cost_the_connection_only(stack: Stack, db: Connection, tenant: Tenants, witness: Broker, junk: bytes) -> None:
    owner = tenant()
    integration_id = foreign(owner, witness.port)
    subscribed(db, owner, integration_id, "plant/#")
    witness.send(junk)
    wait_until(lambda: len(witness.connects) >= 2, what="a new connection")
    wait_until(lambda: len(witness.subscribed) >= len(witness.connects))
    witness.deliver(b"plant/a", b"1")
    assert history(stack, owner, 1)[0]["topic"] == "plant/a"
