"""A broker whose organization's queue is full, or for whose messages the disk has no room, is left unread: it keeps them."""

from collections.abc import Callable
from typing import Any

import psycopg

from tests.api.support import refused
from tests.bridge.support import Peer, publish, receipts, stored
from tests.bridge.test_inbound import history, hosted
from tests.bridge.test_outbound import prefix
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import wait_until

Connection = psycopg.Connection[tuple[Any, ...]]


def test_an_organization_whose_queue_is_full(
    stack: Stack, db: Connection, tenant: Callable[..., Tenant], peer: Callable[..., Peer]
) -> None:
    full, other, device = hosted(db, tenant), hosted(db, tenant), peer()

    def told(event: str) -> int:
        return sum(event in line and full.integration_id in line for line in stack.log("bridge").splitlines())

    service = stack.token("service_role")
    full.api.ok("set_organization_limits", {"organization_id": full.organization_id, "max_queued": 10}, token=service)
    db.execute(
        "WITH queued AS (INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id)"
        " SELECT now() + interval '1 day', jsonb_build_object('topic', 'waits'), %s, %s FROM generate_series(1, 20) RETURNING 1)"
        " SELECT mqtt.count_accepted(%s, count(*)::integer) FROM queued",
        (full.organization_id, full.integration_id, full.organization_id),
    )
    wait_until(lambda: told("reading_paused") == 1, what="its broker being left unread")
    refused(full.device().send(1), 429, "queue_paused")
    for number in range(5):
        device.publish(f"{prefix(full)}/x", str(number))
        device.publish(f"{prefix(other)}/x", str(number))
        # Whatever the bridge had read before is stored now.
        history(stack, other, number + 1)
    assert stored(stack, full.organization_id) == []

    db.execute("UPDATE pgmq.q_mqtt_messages SET vt = now() WHERE organization_id = %s", (full.organization_id,))
    db.execute("SELECT mqtt.wake_bridge('ingest')")
    assert [row["payload"] for row in history(stack, full, 25) if row["topic"] != "waits"] == list(range(5))
    wait_until(lambda: told("reading_resumed") == 1, what="its broker being read again")
    assert told("broker_lost") == 0


def test_no_room_on_the_disk(own: Stack, owner: Tenant) -> None:
    device = Peer(own.mqtt_host, own.mqtt_port, "topicbase_bridge", own.broker_password)
    messages = [{"topic": f"{prefix(owner)}/devices/d/command", "payload": 1, "qos": 1}]
    try:
        with own.connect() as db:
            hosted_is_read = "SELECT status FROM mqtt.mqtt_subscriptions WHERE integration_id = %s"
            wait_until(lambda: db.execute(hosted_is_read, (owner.integration_id,)).fetchall() == [("active",)], what="a subscription")
            db.execute("UPDATE mqtt.configuration SET min_free_bytes = 1::bigint << 60")
            try:
                paused = f"reading_paused integration={owner.integration_id}"
                wait_until(lambda: paused in own.log("bridge"), what="the broker being left unread")
                device.publish(f"{prefix(owner)}/x", b"1")
                body = {"integration_id": owner.integration_id, "messages": messages}
                answer = owner.api.call("mqtt_publish", body, token=owner.admin)
                refused(answer, 429, "queue_paused")
                assert int(answer.headers["Retry-After"]) > 0
                assert stored(own, owner.organization_id) == []
            finally:
                db.execute("UPDATE mqtt.configuration SET min_free_bytes = 0")
        wait_until(lambda: paused.replace("paused", "resumed") in own.log("bridge"), what="the broker being read again")
        assert [row["payload"] for row in history(own, owner, 1)] == [1]
        assert [row["state"] for row in receipts(owner, publish(owner, messages))] == ["acknowledged"]
    finally:
        device.close()
