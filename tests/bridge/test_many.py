"""Two hundred integrations with two thousand subscriptions in one bridge, on one real Mosquitto."""

import json
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.bridge.support import Peer, publish, receipts
from tests.bridge.test_hostile import resident
from tests.support.api import Api
from tests.support.stack import Stack, start_stack
from tests.support.tenant import Tenant, make_tenant
from tests.support.waiting import PROGRAM_PATIENCE, wait_until

INTEGRATIONS, FILTERS = 200, 10
MEGABYTES = 150


@pytest.fixture(scope="module")
def own() -> Iterator[Stack]:
    running = start_stack(without=("gateway",))
    yield running
    running.down()


def add(own: Stack, owner: Tenant, first: int, count: int) -> None:
    """Integrations by number, each with its subscriptions, as an app would make them."""
    settings = {"broker_url": own.mqtt_host, "port": own.mqtt_port, "username": "topicbase_bridge", "password": own.broker_password}
    with own.connect() as db:
        db.execute(
            "SELECT api.upsert_integration(organization_id => %s, name => n::text, integration_type => 'mqtt_external', settings => %s) "
            "FROM generate_series(%s::integer, %s) AS n",
            (owner.organization_id, json.dumps(settings), first, first + count - 1),
        )
        db.execute(
            "SELECT api.mqtt_subscribe(integration_id => i.id, topic => format('many/%%s/%%s/#', i.name, f), qos => 1) "
            "FROM mqtt.device_integrations AS i CROSS JOIN generate_series(1, %s) AS f "
            "WHERE i.organization_id = %s AND i.name ~ '^\\d+$' AND i.name::integer >= %s",
            (FILTERS, owner.organization_id, first),
        )


def active(own: Stack, owner: Tenant) -> int:
    with own.connect() as db:
        row = db.execute(
            "SELECT count(*) FROM mqtt.mqtt_subscriptions WHERE organization_id = %s AND status = 'active' AND topic LIKE 'many/%%'",
            (owner.organization_id,),
        ).fetchone()
    assert row is not None
    return int(row[0])


def events(own: Stack) -> Counter[str]:
    """How often the bridge has said what about its brokers."""
    words = (word for line in own.log("bridge").splitlines() for word in line.split()[2:3])
    return Counter(word for word in words if word.startswith(("broker_", "integrations_")))


def test_two_hundred_integrations(own: Stack) -> None:
    owner = make_tenant(own, Api(own.api_url))
    before = resident(own)
    began = time.monotonic()
    add(own, owner, 0, INTEGRATIONS)
    wait_until(lambda: active(own, owner) == INTEGRATIONS * FILTERS, PROGRAM_PATIENCE, "all subscriptions are active")
    took, grown = time.monotonic() - began, resident(own)
    print(f"{INTEGRATIONS} integrations, {INTEGRATIONS * FILTERS} subscriptions: active after {took:.1f} s; {before} to {grown} MiB")
    assert grown < MEGABYTES

    peer = Peer(own.mqtt_host, own.mqtt_port, "topicbase_bridge", own.broker_password)
    try:
        # Each gets its own, and nobody else's.
        for number in range(INTEGRATIONS):
            assert peer.publish(f"many/{number}/{number % FILTERS + 1}/x", str(number)) == 0
        with own.connect() as db:
            query = (
                "SELECT i.name FROM mqtt.mqtt_messages AS m JOIN mqtt.device_integrations AS i ON i.id = m.integration_id "
                "WHERE m.organization_id = %s AND m.topic LIKE 'many/%%' AND m.payload #>> '{}' = i.name"
            )
            wait_until(lambda: len(db.execute(query, (owner.organization_id,)).fetchall()) == INTEGRATIONS, what="one message each")

        # One more, one changed and one less: the others' connections stay.
        seen = events(own)
        add(own, owner, INTEGRATIONS, 1)
        wait_until(lambda: active(own, owner) == (INTEGRATIONS + 1) * FILTERS, what="the new one is active")
        assert events(own) - seen == Counter(broker_connected=1)
        integrations = {row["name"]: row["id"] for row in owner.api.rows("device_integrations", token=owner.admin)}
        owner.api.ok("delete_integration", {"integration_id": integrations["7"]}, token=owner.admin)
        wait_until(lambda: events(own)["integrations_released"] == seen["integrations_released"] + 1, what="one is gone")
        peer.subscribe("many/out/#")
        sent = [publish(owner, [{"topic": f"many/out/{name}", "payload": name, "qos": 1}], integrations[name])[0] for name in ("0", "199")]
        assert [row["state"] for row in receipts(owner, sent)] == ["acknowledged", "acknowledged"]
        assert {peer.next().payload for _ in sent} == {b"0", b"199"}
        assert (events(own) - seen)["broker_lost"] == 0
        assert (events(own) - seen)["broker_connected"] == 1
    finally:
        peer.close()
    assert resident(own) < MEGABYTES
