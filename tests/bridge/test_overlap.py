"""Filters of one integration that overlap: Mosquitto sends a message once for each of them, the history has it once and names all."""

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bridge.mqtt.client import _usual_message
from tests.bridge.support import Peer, stored
from tests.bridge.test_inbound import history, hosted, subscribed, subscription
from tests.bridge.test_outbound import foreign, prefix
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import wait_until

Connection = psycopg.Connection[tuple[Any, ...]]
Tenants = Callable[..., Tenant]
Peers = Callable[..., Peer]


def ids(db: Connection, owner: Tenant) -> dict[str, str]:
    """Subscriptions by their topic, without the organization's prefix."""
    rows = db.execute("SELECT topic, id::text FROM mqtt.mqtt_subscriptions WHERE organization_id = %s", (owner.organization_id,)).fetchall()
    return {topic.removeprefix(f"{prefix(owner)}/"): key for topic, key in rows}


def end_mark(stack: Stack, owner: Tenant, device: Peer, topic: str) -> list[dict[str, Any]]:
    """What is stored, once a last message is: nothing comes after it."""
    device.publish(topic, b'"end"', 1)
    wait_until(lambda: any(row["payload"] == "end" for row in stored(stack, owner.organization_id)), what="the last message")
    return [row for row in stored(stack, owner.organization_id) if row["payload"] != "end"]


def test_a_message_is_stored_once_and_names_all_that_matched(stack: Stack, db: Connection, tenant: Tenants, peer: Peers) -> None:
    owner, device = hosted(db, tenant), peer()
    for filter_, qos in (("+/b", 1), ("a/b", 2), ("a/+", 0), ("other/#", 1)):
        subscribed(db, owner, owner.integration_id, f"{prefix(owner)}/{filter_}", qos)
    for number in range(60):
        device.publish(f"{prefix(owner)}/a/b", json.dumps(number), number % 3)
    device.publish(f"{prefix(owner)}/a/c", b'"c"')
    device.publish(f"{prefix(owner)}/x", b'"x"')
    rows = end_mark(stack, owner, device, f"{prefix(owner)}/last")
    assert sorted(row["payload"] for row in rows if row["topic"].endswith("/a/b")) == list(range(60))
    known = ids(db, owner)
    named = {row["topic"].removeprefix(f"{prefix(owner)}/"): set(row["properties"]["subscription_ids"]) for row in rows}
    assert named == {
        "a/b": {known[filter_] for filter_ in ("#", "+/b", "a/b", "a/+")},
        "a/c": {known["#"], known["a/+"]},
        "x": {known["#"]},
    }


def test_once_too_after_a_change_and_when_one_ends(stack: Stack, db: Connection, tenant: Tenants, peer: Peers) -> None:
    owner, device = hosted(db, tenant), peer()
    topic = f"{prefix(owner)}/a"
    key = subscribed(db, owner, owner.integration_id, topic, 0)
    device.publish(topic, b"1")
    history(stack, owner, 1)
    assert subscribed(db, owner, owner.integration_id, topic, 1) == key
    device.publish(topic, b"2")
    history(stack, owner, 2)
    owner.api.ok("mqtt_unsubscribe", {"subscription_id": ids(db, owner)["#"]}, token=owner.admin)
    device.publish(topic, b"3")
    # Until the bridge has unsubscribed there are copies for a filter that the database knows no more, which is no reason to lose one.
    rows = end_mark(stack, owner, device, topic)
    assert sorted(row["payload"] for row in rows) in ([1, 2, 3], [1, 2, 3, 3])


def test_what_the_broker_queued_meanwhile_is_stored_once(stack: Stack, db: Connection, tenant: Tenants, peer: Peers) -> None:
    owner, device = hosted(db, tenant), peer()
    for filter_ in ("a/#", "a/+"):
        subscribed(db, owner, owner.integration_id, f"{prefix(owner)}/{filter_}", 1)
    stack.stop("bridge")
    try:
        for number in range(200):
            device.publish(f"{prefix(owner)}/a/b", json.dumps(number), 1)
    finally:
        stack.start("bridge")
    rows = end_mark(stack, owner, device, f"{prefix(owner)}/last")
    assert sorted(row["payload"] for row in rows) == list(range(200))


def test_mqtt_3_1_1_names_all_too(stack: Stack, db: Connection, tenant: Tenants, peer: Peers) -> None:
    owner, device = tenant(), peer()
    integration_id = foreign(
        owner,
        stack.mqtt_port,
        mqtt_version="3.1.1",
        username="topicbase_bridge",
        password=stack.broker_password,
        client_id=f"c{owner.slug}",
    )
    keys = {subscribed(db, owner, integration_id, filter_) for filter_ in (f"plant_{owner.slug}/+", f"plant_{owner.slug}/#")}
    device.publish(f"plant_{owner.slug}/a", b"1")
    rows = end_mark(stack, owner, device, f"plant_{owner.slug}/a")
    # Mosquitto sends one copy to a client of 3.1.1; another broker may send two, which cannot be told from two messages.
    assert [(row["payload"], set(row["properties"]["subscription_ids"])) for row in rows] == [(1, keys)]


def test_a_lone_filter_costs_nothing(stack: Stack, db: Connection, tenant: Tenants, peer: Peers) -> None:
    owner, device = hosted(db, tenant), peer()
    device.publish(f"{prefix(owner)}/a", b"1")
    assert history(stack, owner, 1)[0]["properties"] is None
    assert subscription(db, owner.integration_id, f"{prefix(owner)}/#") == ("active", 1, None)


@pytest.mark.parametrize("number", [1, 127, 128, 16383, 16384, 2097151, 2097152, 268435455])
def test_the_identifier_is_read_as_paho_writes_it(number: int) -> None:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.SubscriptionIdentifier = number
    packed = bytes(properties.pack())  # type: ignore[no-untyped-call]
    head = b"\x00\x01t\x00\x07"
    data = b"?" + head + packed + b"payload" + b"?"
    assert _usual_message(0x32, data, 1, len(data) - 1, is_v5=True) == (7, b"t", b"payload", number)
    for cut in range(len(head + packed)):
        assert _usual_message(0x32, data, 1, 1 + cut, is_v5=True) is None
    properties.ContentType = "x"
    data = head + bytes(properties.pack()) + b"payload"  # type: ignore[no-untyped-call]
    assert _usual_message(0x32, data, 0, len(data), is_v5=True) is None
