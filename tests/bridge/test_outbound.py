"""From `mqtt_publish` to a subscriber at a real broker, and back as a receipt."""

import base64
import json
import re
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.bridge.support import Peer, publish, receipts, status, stored
from tests.support.broker import Broker, Publish
from tests.support.ports import Port
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE, wait_until

Connection = psycopg.Connection[tuple[Any, ...]]
Tenants = Callable[..., Tenant]
Peers = Callable[..., Peer]


def prefix(tenant: Tenant) -> str:
    return f"org_{tenant.slug}"


def foreign(tenant: Tenant, port: int, **settings: Any) -> str:
    """An integration with a broker of the test's own, connected."""
    return tenant.integration(broker_url="127.0.0.1", port=port, protocol="mqtt", **settings)


def queue(db: Connection, tenant: Tenant, integration_id: str, *messages: dict[str, Any]) -> list[str]:
    """Queue messages past the API's checks; the receipt ids."""
    ids = [
        db.execute(
            "INSERT INTO pgmq.q_mqtt_outbound (vt, message, organization_id, integration_id) VALUES (clock_timestamp(), %s::jsonb, %s, %s) "
            "RETURNING mqtt.message_id(enqueued_at, msg_id, true)::text",
            (json.dumps(message), tenant.organization_id, integration_id),
        ).fetchone()
        for message in messages
    ]
    db.execute("SELECT mqtt.wake_bridge('outbound')")
    return [row[0] for row in ids if row is not None]


def outcomes(db: Connection, ids: list[str]) -> list[tuple[str, int | None, str | None]]:
    """State, reason code and reason of queued messages, in their order, once all are settled."""

    def settled() -> list[Any] | None:
        rows = db.execute(
            "SELECT r.id::text, r.state, r.reason_code, r.reason FROM mqtt.mqtt_publish_receipts AS r WHERE r.id = ANY (%s::uuid[])",
            (ids,),
        ).fetchall()
        return rows if len(rows) == len(ids) else None

    found = {row[0]: row[1:] for row in wait_until(settled, what="all settled") or []}
    return [found[receipt] for receipt in ids]


def test_each_qos_reaches_the_subscriber_and_is_receipted(tenant: Tenants, peer: Peers) -> None:
    owner, device = tenant(), peer()
    device.subscribe(f"{prefix(owner)}/#")
    ids = publish(owner, [{"topic": f"{prefix(owner)}/devices/d/command", "payload": {"qos": qos}, "qos": qos} for qos in (0, 1, 2)])
    found = {message.qos: json.loads(message.payload) for message in device.take(3)}
    assert found == {0: {"qos": 0}, 1: {"qos": 1}, 2: {"qos": 2}}
    assert [(row["state"], row["qos"], row["attempts"]) for row in receipts(owner, ids)] == [
        ("sent", 0, 1), ("acknowledged", 1, 1), ("acknowledged", 2, 1),
    ]  # fmt: skip


def test_what_went_out_is_in_the_history(stack: Stack, tenant: Tenants) -> None:
    owner = tenant()
    ids = publish(owner, [{"topic": f"{prefix(owner)}/a", "payload": {"on": True}, "qos": 1, "content_type": "application/json"}])
    receipts(owner, ids)
    (message,) = stored(stack, owner.organization_id, "outgoing")
    assert (message["topic"], message["payload"], message["qos"]) == (f"{prefix(owner)}/a", {"on": True}, 1)
    assert message["content_type"] == "application/json"


def test_properties_of_mqtt_5(tenant: Tenants, peer: Peers) -> None:
    owner, device = tenant(), peer()
    device.subscribe(f"{prefix(owner)}/#")
    publish(
        owner,
        [
            {
                "topic": f"{prefix(owner)}/command",
                "payload": "réponds",
                "content_type": "text/plain",
                "payload_format": "utf-8",
                "response_topic": f"{prefix(owner)}/answer",
                "correlation_data": base64.b64encode(b"\x00\xff").decode(),
                "message_expiry": 120,
                "user_properties": [["unit", "°C"], ["unit", "K"]],
            }
        ],
    )
    message = device.next()
    properties: Any = message.properties
    assert message.payload == "réponds".encode()
    assert properties.ContentType == "text/plain"
    assert properties.PayloadFormatIndicator == 1
    assert properties.ResponseTopic == f"{prefix(owner)}/answer"
    assert properties.CorrelationData == b"\x00\xff"
    assert 0 < properties.MessageExpiryInterval <= 120, "less what it has waited"
    assert properties.UserProperty == [("unit", "°C"), ("unit", "K")]


def test_payloads_go_out_as_they_are_meant(tenant: Tenants, peer: Peers) -> None:
    owner, device = tenant(), peer()
    device.subscribe(f"{prefix(owner)}/#")
    messages: list[dict[str, Any]] = [
        {"payload": {"a": [1, None]}},
        {"payload": "on"},
        {"payload": "on", "payload_encoding": "json"},
        {"payload": base64.b64encode(b"\x00\x01\xfe").decode(), "payload_encoding": "base64"},
        {"payload": ""},
        {"payload": 21.5},
    ]
    publish(owner, [{"topic": f"{prefix(owner)}/x", "qos": 1, **message} for message in messages])
    sent = [message.payload for message in device.take(6)]
    assert json.loads(sent[0]) == {"a": [1, None]}
    assert sent[1:] == [b"on", b'"on"', b"\x00\x01\xfe", b"", b"21.5"]


def test_retained(tenant: Tenants, peer: Peers) -> None:
    owner = tenant()
    receipts(owner, publish(owner, [{"topic": f"{prefix(owner)}/config", "payload": {"v": 1}, "qos": 1, "retain": True}]))
    late = peer()
    late.subscribe(f"{prefix(owner)}/config")
    message = late.next()
    assert message.retain
    assert json.loads(message.payload) == {"v": 1}
    # null is an empty payload, which ends it.
    receipts(owner, publish(owner, [{"topic": f"{prefix(owner)}/config", "payload": None, "qos": 1, "retain": True}]))
    assert late.next().payload == b""
    later = peer()
    later.subscribe(f"{prefix(owner)}/config")
    receipts(owner, publish(owner, [{"topic": f"{prefix(owner)}/config", "payload": 2, "qos": 1}]))
    assert (later.next().payload, later.messages.empty()) == (b"2", True)


def test_mqtt_3_1_1(stack: Stack, tenant: Tenants, witness: Broker) -> None:
    owner = tenant()
    integration_id = foreign(owner, witness.port, mqtt_version="3.1.1", username="plant")
    ids = publish(owner, [{"topic": "t", "payload": 1, "qos": qos, "content_type": "text/plain"} for qos in (0, 1, 2)], integration_id)
    assert [row["state"] for row in receipts(owner, ids)] == ["sent", "acknowledged", "acknowledged"]
    assert (witness.connects[0]["version"], witness.connects[0]["username"], witness.connects[0]["clean"]) == (4, "plant", False)
    assert [message.qos for message in witness.seen] == [0, 1, 2]
    assert status(stack, integration_id) == ("active", None)


def test_order_is_kept(tenant: Tenants, peer: Peers) -> None:
    owner, device = tenant(), peer()
    device.subscribe(f"{prefix(owner)}/#", 1)
    for start in range(0, 600, 200):
        publish(owner, [{"topic": f"{prefix(owner)}/{number % 3}", "payload": number, "qos": 1} for number in range(start, start + 200)])
    numbers = [int(message.payload) for message in device.take(600)]
    for remainder in range(3):
        own = [number for number in numbers if number % 3 == remainder]
        assert own == sorted(own)
    assert sorted(numbers) == list(range(600))


def test_a_refused_message_fails_alone_and_says_why(db: Connection, tenant: Tenants, witness: Broker) -> None:
    owner = tenant()
    integration_id = foreign(owner, witness.port)
    witness.on_publish = lambda message: 0x87 if message.topic == "forbidden" else None
    messages = [{"topic": topic, "payload": 1, "qos": qos} for topic in ("a", "forbidden", "b") for qos in (1, 2)]
    found = receipts(owner, publish(owner, messages, integration_id))
    assert [row["state"] for row in found] == ["acknowledged", "acknowledged", "failed", "failed", "acknowledged", "acknowledged"]
    assert {(row["reason_code"], row["reason"]) for row in found if row["state"] == "failed"} == {(0x87, "Not authorized")}
    dead = db.execute(
        "SELECT topic, direction, attempts, error_message FROM mqtt.mqtt_dead_letters WHERE integration_id = %s", (integration_id,)
    ).fetchall()
    assert dead == [("forbidden", "outgoing", 1, "Not authorized")] * 2


def test_no_matching_subscribers_is_success(tenant: Tenants, witness: Broker) -> None:
    owner = tenant()
    integration_id = foreign(owner, witness.port)
    witness.on_publish = lambda _message: 0x10
    (row,) = receipts(owner, publish(owner, [{"topic": "a", "payload": 1, "qos": 1}], integration_id))
    assert (row["state"], row["reason_code"]) == ("acknowledged", 0x10)


def test_illegal_topics_in_the_queue_never_reach_the_broker(db: Connection, tenant: Tenants, witness: Broker) -> None:
    owner = tenant()
    integration_id = foreign(owner, witness.port)
    bad = ["a/+/b", "#", "", "bell\u0007", "\uffff", "x" * 65536, "$SYS/broker"]
    topics = ["good/1", *bad, "good/2"]
    found = outcomes(db, queue(db, owner, integration_id, *({"topic": topic, "payload": 1, "qos": 1} for topic in topics)))
    assert [state for state, _, _ in found] == ["acknowledged", *["failed"] * len(bad), "acknowledged"]
    assert all(reason for state, _, reason in found if state == "failed")
    assert {message.topic for message in witness.seen} == {"good/1", "good/2"}
    assert len(witness.connects) == 1


def test_more_than_the_broker_takes_fails_alone(tenant: Tenants, witness: Broker) -> None:
    owner = tenant()
    # Maximum Packet Size 2000, Maximum QoS 1, no retained messages
    witness.connack_properties = b"\x27\x00\x00\x07\xd0\x24\x01\x25\x00"
    integration_id = foreign(owner, witness.port)
    messages: list[dict[str, Any]] = [
        {"topic": "a", "payload": "x" * 5000, "qos": 1},
        {"topic": "b", "payload": 1, "qos": 2},
        {"topic": "c", "payload": 1, "qos": 1, "retain": True},
        {"topic": "d", "payload": 1, "qos": 1, "user_properties": {"a": "x" * 2000}},
        {"topic": "e", "payload": 1, "qos": 1},
    ]
    found = receipts(owner, publish(owner, messages, integration_id))
    assert [row["state"] for row in found] == ["failed"] * 4 + ["acknowledged"]
    assert [row["reason"] for row in found[:4]] == [
        "the broker takes packets of at most 2000 bytes",
        "the broker takes QoS 1 at most",
        "the broker keeps no retained messages",
        "the broker takes packets of at most 2000 bytes",
    ]


def test_receive_maximum_is_honoured(tenant: Tenants, witness: Broker) -> None:
    owner = tenant()
    witness.connack_properties = b"\x21\x00\x05"
    witness.ack_delay = 0.01
    integration_id = foreign(owner, witness.port)
    ids = publish(owner, [{"topic": "a", "payload": number, "qos": 1 + number % 2} for number in range(60)], integration_id)
    assert {row["state"] for row in receipts(owner, ids)} == {"acknowledged"}
    assert 2 <= witness.peak_in_flight <= 5


def test_a_message_that_makes_the_broker_hang_up_is_found(tenant: Tenants, witness: Broker) -> None:
    owner = tenant()
    integration_id = foreign(owner, witness.port)
    witness.on_publish = lambda message: "close" if message.payload == b"poison" else None
    payloads = [f"good {number}" for number in range(20)]
    payloads.insert(7, "poison")
    ids = publish(owner, [{"topic": "a", "payload": payload, "qos": 1} for payload in payloads], integration_id)
    found = receipts(owner, ids)
    assert [row["state"] for row in found] == ["acknowledged"] * 7 + ["failed"] + ["acknowledged"] * 13
    assert "closes the connection on this message" in found[7]["reason"]
    arrived = [message.payload.decode() for message in witness.seen if message.payload != b"poison"]
    assert [payload for number, payload in enumerate(arrived) if payload not in arrived[:number]] == [
        payload for payload in payloads if payload != "poison"
    ]


def test_a_message_is_not_blamed_for_another_client(tenant: Tenants, witness: Broker) -> None:
    """DISCONNECT with a reason code that says why, and that it was not the message."""
    owner = tenant()
    integration_id = foreign(owner, witness.port)

    def taken_over(_message: Publish) -> str | None:
        if len(witness.connects) > 6:
            return None
        witness.send(b"\xe0\x02\x8e\x00")
        return "close"

    witness.on_publish = taken_over
    (row,) = receipts(owner, publish(owner, [{"topic": "a", "payload": 1, "qos": 1}], integration_id))
    assert (row["state"], row["reason"]) == ("acknowledged", None)


def test_a_claim_whose_answer_was_lost_ends(db: Connection, tenant: Tenants, witness: Broker) -> None:
    """With its connection, after the commit: what it names could not be cancelled and did not expire for as long as the bridge ran."""
    owner = tenant()
    integration_id = foreign(owner, witness.port)
    wait_until(lambda: witness.connects, what="a connection")
    witness.kill()
    messages = [{"topic": "a", "payload": 1, "qos": 1}, {"topic": "b", "payload": 1, "qos": 1, "message_expiry": 2}]
    ids = publish(owner, messages, integration_id)
    db.execute(
        "INSERT INTO mqtt.outbound_batches (organization_id, integration_id, bridge_id, msg_ids)"
        " SELECT q.organization_id, q.integration_id, l.bridge_id, array_agg(q.msg_id) FROM pgmq.q_mqtt_outbound AS q"
        " JOIN mqtt.bridge_leases AS l ON l.integration_id = q.integration_id WHERE q.integration_id = %s GROUP BY 1, 2, 3",
        (integration_id,),
    )

    def is_cancelled() -> bool:
        (row,) = owner.api.ok("cancel_mqtt_publish", {"receipt_ids": ids[:1]}, token=owner.member)
        return bool(row["state"] == "cancelled")

    wait_until(is_cancelled, what="its end")
    assert [row["state"] for row in receipts(owner, ids)] == ["cancelled", "expired"]


def test_what_expires_while_it_waits_for_its_turn_is_not_sent(tenant: Tenants, witness: Broker) -> None:
    owner = tenant()
    witness.connack_properties = b"\x21\x00\x01"  # one at a time
    witness.ack_delay = 3.0
    integration_id = foreign(owner, witness.port)
    messages = [{"topic": "a", "payload": 1, "qos": 1}, {"topic": "b", "payload": 1, "qos": 1, "message_expiry": 1}]
    found = receipts(owner, publish(owner, messages, integration_id))
    assert [row["state"] for row in found] == ["acknowledged", "expired"]
    assert {message.topic for message in witness.seen} == {"a"}


def test_what_expires_while_the_broker_is_away_is_not_sent_again(tenant: Tenants, witness: Broker) -> None:
    owner = tenant()
    witness.on_publish = lambda _message: "ignore"
    integration_id = foreign(owner, witness.port)
    messages = [{"topic": "a", "payload": 1, "qos": 1, "message_expiry": 3}, {"topic": "b", "payload": 1, "qos": 1}]
    ids = publish(owner, messages, integration_id)
    wait_until(lambda: len(witness.seen) == 2, what="both under way")
    witness.kill()
    (expired,) = receipts(owner, ids[:1], wait=15)
    assert (expired["state"], "may have it" in (expired["reason"] or "")) == ("expired", True)
    witness.on_publish = lambda _message: None
    witness.start()
    (row,) = receipts(owner, ids[1:])
    assert row["state"] == "acknowledged"
    assert [message.topic for message in witness.seen[2:]] == ["b"]


def test_what_no_socket_took_is_not_sent(tenant: Tenants) -> None:
    """QoS 0, at a broker that reads nothing, and then is gone."""
    owner = tenant()
    with socket.socket() as server, ExitStack() as ends:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        server.bind(("127.0.0.1", 0))
        server.listen()
        integration_id = foreign(owner, server.getsockname()[1])
        first = ends.enter_context(server.accept()[0])
        assert first.recv(1000)[:1] == b"\x10"
        first.sendall(b"\x20\x03\x00\x00\x00")
        payload = "x" * 200000
        ids = [
            receipt
            for begin in range(0, 60, 10)
            for receipt in publish(owner, [{"topic": f"t/{n}", "payload": payload} for n in range(begin, begin + 10)], integration_id)
        ]
        before: list[str] = []

        def is_stuck() -> bool:
            nonlocal before
            earlier, before = before, [row["state"] for row in receipts(owner, ids, wait=0)]
            time.sleep(1.5)
            return before == earlier

        wait_until(is_stuck, what="a full socket")
        assert {"sent", "queued"} == set(before), "the socket took some"
        first.shutdown(socket.SHUT_WR)
        second = ends.enter_context(server.accept()[0])
        second.settimeout(PATIENCE)
        second.recv(1000)
        second.sendall(b"\x20\x03\x00\x00\x00")
        taken = bytearray()
        first.settimeout(PATIENCE)
        while more := first.recv(1 << 20):
            taken += more
        whole = [b"t/%d\x00%s" % (n, payload.encode()) for n in range(60)]
        wanted = [packet for packet in whole if packet not in taken]
        assert 0 < len(wanted) < 60
        came = bytearray()
        while not all(packet in came for packet in wanted):
            came += second.recv(1 << 20) or pytest.fail("the connection ended")
        assert not any(packet in came for packet in whole if packet not in wanted)
        assert {row["state"] for row in receipts(owner, ids)} == {"sent"}


def test_qos_2_resumes_at_pubrel(tenant: Tenants, witness: Broker) -> None:
    owner = tenant()
    witness.session_present = True
    integration_id = foreign(owner, witness.port)
    released = witness.released

    class Cutting(list[int]):
        def append(self, packet_id: int) -> None:
            super().append(packet_id)
            if len(self) == 1:
                witness.cut()
                raise OSError

    witness.released = Cutting(released)
    ids = publish(owner, [{"topic": "a", "payload": 1, "qos": 2}], integration_id)
    assert [row["state"] for row in receipts(owner, ids)] == ["acknowledged"]
    assert len(witness.seen) == 1
    assert len(witness.connects) == 2
    assert witness.released == [witness.seen[0].packet_id] * 2


def test_a_broker_that_is_down_costs_no_attempt(stack: Stack, tenant: Tenants, port: Port) -> None:
    owner = tenant()
    integration_id = foreign(owner, port.number)
    ids = publish(
        owner,
        [{"topic": "a", "payload": 1, "qos": 1}, {"topic": "b", "payload": 1, "qos": 1, "message_expiry": 2}],
        integration_id,
    )
    wait_until(lambda: status(stack, integration_id)[0] == "error")
    assert "refused" in (status(stack, integration_id)[1] or "")
    (expired,) = receipts(owner, ids[1:])
    assert (expired["state"], expired["attempts"]) == ("expired", 0)
    (waiting,) = owner.api.ok("get_mqtt_publish_receipts", {"receipt_ids": ids[:1]}, token=owner.member)
    assert (waiting["state"], waiting["attempts"]) == ("queued", 0)
    with stack.connect() as connection:
        rows = connection.execute(
            "SELECT count(*) FROM mqtt.integration_activity_log WHERE integration_id = %s AND activity_type = 'broker_unreachable'",
            (integration_id,),
        ).fetchone()
    assert rows == (1,)


def test_scheduled_for_later(tenant: Tenants, peer: Peers) -> None:
    owner, device = tenant(), peer()
    device.subscribe(f"{prefix(owner)}/#")
    for delay in (1.5, 8, 30):
        due = datetime.now(UTC) + timedelta(seconds=delay)
        publish(
            owner,
            [
                {"topic": f"{prefix(owner)}/later", "payload": 2, "qos": 1, "deliver_at": due.isoformat()},
                {"topic": f"{prefix(owner)}/now", "payload": 1, "qos": 1},
            ],
        )
        first = device.next()
        is_early = datetime.now(UTC) < due
        second = device.next()
        assert datetime.now(UTC) >= due
        if is_early:
            break  # or this machine was so slow that both were due
    assert is_early
    assert [first.payload, second.payload] == [b"1", b"2"]


def test_a_changed_integration_is_connected_anew(stack: Stack, tenant: Tenants, witness: Broker, port: Port) -> None:
    owner = tenant()
    integration_id = foreign(owner, port.number)
    ids = publish(owner, [{"topic": "a", "payload": 1, "qos": 1}], integration_id)
    wait_until(lambda: status(stack, integration_id)[0] == "error")
    body = {
        "organization_id": owner.organization_id,
        "integration_id": integration_id,
        "name": "moved",
        "integration_type": "mqtt_external",
        "settings": {"broker_url": "127.0.0.1", "port": witness.port},
    }
    owner.api.ok("upsert_integration", body, token=owner.admin)
    assert [row["state"] for row in receipts(owner, ids)] == ["acknowledged"]
    wait_until(lambda: status(stack, integration_id) == ("active", None))


def retries(stack: Stack, integration_id: str) -> list[str]:
    """The seconds until the next attempt, as the bridge told them after each that failed."""
    return re.findall(rf"broker_unreachable integration={integration_id} .*retry_in=(\S+)", stack.log("bridge"))


@pytest.mark.parametrize("code", [0x86, 0x87])
def test_a_refused_login_is_told_and_retried_slowly(stack: Stack, tenant: Tenants, witness: Broker, code: int) -> None:
    owner = tenant()
    witness.connack = code
    integration_id = foreign(owner, witness.port)
    wait_until(lambda: status(stack, integration_id)[0] == "error")
    assert "refused the connection" in (status(stack, integration_id)[1] or "")
    waits: list[str] = wait_until(lambda: found if len(found := retries(stack, integration_id)) >= 4 else [], what="further attempts")
    for number, wait in enumerate(waits):
        # 0.25 s, doubled each time, by chance up to half of it more or less; shown with one digit.
        assert abs(float(wait) - 0.25 * 2**number) <= 0.125 * 2**number + 0.05
    assert len(witness.connects) <= len(retries(stack, integration_id)) + 1
    witness.connack = 0
    wait_until(lambda: status(stack, integration_id)[0] == "active")
