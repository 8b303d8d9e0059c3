"""Subscriptions as a broker sees them, refusals in words, and brokers that forget: against a real Mosquitto where one can show it."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.bridge.mosquitto import Mosquitto
from tests.bridge.support import Peer, publish, receipts, status, stored
from tests.bridge.test_connection_test import verdict
from tests.bridge.test_inbound import history, hosted, subscribed, subscription
from tests.bridge.test_outbound import foreign, prefix
from tests.support.broker import Broker
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import wait_until

Connection = psycopg.Connection[tuple[Any, ...]]
Tenants = Callable[..., Tenant]
Peers = Callable[..., Peer]


# ---------------------------------------------------------------------------------------------------------------- subscriptions


def test_two_integrations_share_a_filter(stack: Stack, db: Connection, tenant: Tenants, peer: Peers) -> None:
    """`$share`: each message goes to one of them."""
    owner, device = tenant(), peer()
    options = {"username": "topicbase_bridge", "password": stack.broker_password}
    for _ in range(2):
        integration_id = foreign(owner, stack.mqtt_port, **options)
        subscribed(db, owner, integration_id, f"$share/workers/{prefix(owner)}x/#")
    for number in range(40):
        assert device.publish(f"{prefix(owner)}x/{number}", str(number)) == 0
    rows = history(stack, owner, 40)
    assert sorted(row["payload"] for row in rows) == list(range(40))
    count = db.execute(
        "SELECT count(*) FROM mqtt.mqtt_messages WHERE organization_id = %s GROUP BY integration_id", (owner.organization_id,)
    ).fetchall()
    assert len(count) == 2, "both take part"


@pytest.mark.parametrize(("handling", "expected"), [(0, ["kept"]), (1, ["kept"]), (2, [])])
def test_retained_messages(
    stack: Stack, db: Connection, tenant: Tenants, peer: Peers, handling: int, expected: list[str]
) -> None:  # 0: at each SUBSCRIBE, which is stored once, 1: at the first, 2: never
    owner, device = tenant(), peer()
    topic = f"{prefix(owner)}r"
    device.publish(f"{topic}/a", "kept", retain=True)
    integration_id = foreign(owner, stack.mqtt_port, username="topicbase_bridge", password=stack.broker_password)
    arguments = {"integration_id": integration_id, "topic": f"{topic}/#", "qos": 1, "retain_handling": handling}
    try:
        owner.api.ok("mqtt_subscribe", arguments, token=owner.admin)
        wait_until(lambda: (subscription(db, integration_id, f"{topic}/#") or ("",))[0] == "active")
        # The same filter with another QoS: a second SUBSCRIBE for a subscription that the broker has.
        owner.api.ok("mqtt_subscribe", arguments | {"qos": 0}, token=owner.admin)
        wait_until(lambda: (subscription(db, integration_id, f"{topic}/#") or ("", 1))[1] == 0)
        device.publish(f"{topic}/a", "live", retain=False)
        rows = history(stack, owner, len(expected) + 1)
        assert [row["payload"] for row in rows] == [*expected, "live"]
        assert [row["retain"] for row in rows] == [True] * len(expected) + [False]
    finally:
        device.publish(f"{topic}/a", "", retain=True)


def test_pausing_a_subscription(stack: Stack, db: Connection, tenant: Tenants, witness: Broker) -> None:
    """By an app, with its own rights; the others of the connection do not notice."""
    owner = tenant()
    integration_id = foreign(owner, witness.port)
    paused = subscribed(db, owner, integration_id, "plant/#")
    subscribed(db, owner, integration_id, "field/#")

    def pause(*, is_paused: bool) -> None:
        arguments = {"integration_id": integration_id, "topic": "plant/#", "qos": 1, "is_paused": is_paused}
        assert owner.api.ok("mqtt_subscribe", arguments, token=owner.admin)["id"] == paused

    pause(is_paused=True)
    wait_until(lambda: witness.unsubscribed == ["plant/#"], what="UNSUBSCRIBE")
    pause(is_paused=False)
    wait_until(lambda: [topic for topic, _ in witness.subscribed] == ["plant/#", "field/#", "plant/#"], what="SUBSCRIBE again")
    assert len(witness.connects) == 1


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_filters_that_end_while_nobody_holds_the_integration(
    stack: Stack, db: Connection, tenant: Tenants, witness: Broker, version: str
) -> None:
    """The session at the broker has them still: whoever takes it up again unsubscribes."""
    witness.session_present = None
    owner = tenant()
    integration_id = foreign(owner, witness.port, mqtt_version=version)
    keys = {topic: subscribed(db, owner, integration_id, topic) for topic in ("plant/#", "field/#", "yard/#")}

    def switch(state: str) -> None:
        changed = body(owner, integration_id, witness.port) | {"status": state}
        changed["settings"] |= {"mqtt_version": version}
        owner.api.ok("upsert_integration", changed, token=owner.admin)

    switch("inactive")
    wait_until(lambda: not witness.has_subscriber("yard/a"), what="the bridge has left")
    owner.api.ok("mqtt_unsubscribe", {"subscription_id": keys["plant/#"]}, token=owner.admin)
    arguments = {"integration_id": integration_id, "topic": "field/#", "qos": 1, "is_paused": True}
    owner.api.ok("mqtt_subscribe", arguments, token=owner.admin)
    switch("active")
    wait_until(lambda: sorted(witness.unsubscribed) == ["field/#", "plant/#"], what="UNSUBSCRIBE")
    witness.offer("yard/a", b"1")
    assert [row["topic"] for row in history(stack, owner, 1)] == ["yard/a"]
    assert not witness.has_subscriber("plant/a")
    # Once: what the broker has confirmed is forgotten.
    noted = "SELECT topic FROM mqtt.ended_filters WHERE integration_id = %s"
    wait_until(lambda: not db.execute(noted, (integration_id,)).fetchall(), what="nothing is noted any longer")
    for state in ("inactive", "active"):
        switch(state)
        wait_until(lambda state=state: witness.has_subscriber("yard/a") == (state == "active"), what=state)  # type: ignore[misc]
    witness.offer("yard/a", b"2")
    history(stack, owner, 2)
    assert sorted(witness.unsubscribed) == ["field/#", "plant/#"]


def test_filters_that_end_with_their_session(db: Connection, tenant: Tenants, witness: Broker) -> None:
    """A broker that has lost the session has none of its filters: there is nothing to unsubscribe from, and nothing stays noted."""
    owner = tenant()
    integration_id = foreign(owner, witness.port)
    key = subscribed(db, owner, integration_id, "plant/#")
    witness.kill(forget=True)
    owner.api.ok("mqtt_unsubscribe", {"subscription_id": key}, token=owner.admin)
    witness.start()
    noted = "SELECT topic FROM mqtt.ended_filters WHERE integration_id = %s"
    wait_until(lambda: len(witness.connects) > 1, what="another connection")
    wait_until(lambda: not db.execute(noted, (integration_id,)).fetchall(), what="nothing is noted any longer")


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_no_packet_names_more_filters_than_aws_iot_takes(db: Connection, tenant: Tenants, witness: Broker, version: str) -> None:
    owner = tenant()
    integration_id = foreign(owner, witness.port, mqtt_version=version)
    topics = [f"plant/{number}/#" for number in range(20)]
    keys = [subscribed(db, owner, integration_id, topic) for topic in topics]
    db.execute("DELETE FROM mqtt.mqtt_subscriptions WHERE id = ANY (%s::uuid[])", (keys,))
    wait_until(lambda: sorted(witness.unsubscribed) == sorted(topics), what="UNSUBSCRIBE")
    assert witness.most_filters <= 8
    assert len(witness.connects) == 1


# --------------------------------------------------------------------------------------------------------------------- refusals

REFUSALS_5 = {
    0x80: "Unspecified error",
    0x81: "Malformed packet",
    0x82: "Protocol error",
    0x83: "Implementation specific error",
    0x84: "Unsupported protocol version",
    0x85: "Client identifier not valid",
    0x86: "Bad user name or password",
    0x87: "Not authorized",
    0x88: "Server unavailable",
    0x89: "Server busy",
    0x8A: "Banned",
    0x8C: "Bad authentication method",
    0x90: "Topic name invalid",
    0x95: "Packet too large",
    0x97: "Quota exceeded",
    0x9A: "Retain not supported",
    0x9B: "QoS not supported",
    0x9C: "Use another server",
    0x9D: "Server moved",
    0x9F: "Connection rate exceeded",
}
REFUSALS_4 = {
    1: "Unsupported protocol version",
    2: "Client identifier not valid",
    3: "Server unavailable",
    4: "Bad user name or password",
    5: "Not authorized",
}


@pytest.mark.parametrize(("version", "refusals"), [("5", REFUSALS_5), ("3.1.1", REFUSALS_4)])
def test_each_refusal_is_told_in_words(stack: Stack, tenant: Tenants, version: str, refusals: dict[int, str]) -> None:
    owner = tenant()
    brokers = {code: Broker(connack=code) for code in refusals}
    try:
        ids = {code: foreign(owner, broker.__enter__().port, mqtt_version=version) for code, broker in brokers.items()}
        for integration_id in ids.values():
            wait_until(lambda key=integration_id: status(stack, key)[0] == "error")  # type: ignore[misc]
        told = {code: status(stack, integration_id)[1] for code, integration_id in ids.items()}
    finally:
        for broker in brokers.values():
            broker.__exit__()
    assert told == {code: f"the broker refused the connection: {words}" for code, words in refusals.items()}


def test_a_broker_that_knows_no_mqtt_5(stack: Stack, tenant: Tenants, witness: Broker) -> None:
    witness.greeting = b"\x20\x02\x00\x01"
    owner = tenant()
    integration_id = foreign(owner, witness.port)
    words = "the broker refused the connection: Unsupported protocol version"
    wait_until(lambda: status(stack, integration_id) == ("error", words))
    assert verdict(owner, integration_id)["reason"] == words[:1].upper() + words[1:]


def test_the_brokers_own_words(stack: Stack, tenant: Tenants, witness: Broker) -> None:
    reason = b"come back on Monday"
    witness.connack, witness.connack_properties = 0x88, b"\x1f" + len(reason).to_bytes(2, "big") + reason
    integration_id = foreign(tenant(), witness.port)
    wait_until(lambda: status(stack, integration_id) == ("error", "the broker refused the connection: come back on Monday"))


# -------------------------------------------------------------------------------------------------------------- for later, or never


def test_what_is_cancelled_never_goes_out(db: Connection, tenant: Tenants, peer: Peers) -> None:
    owner, device = hosted(db, tenant), peer()
    device.subscribe(f"{prefix(owner)}/out/#")
    for delay in (1.5, 8, 30):
        due = datetime.now(UTC) + timedelta(seconds=delay)
        ids = publish(
            owner,
            [
                {"topic": f"{prefix(owner)}/out/{name}", "payload": name, "qos": 1, "deliver_at": due.isoformat()}
                for name in ("kept", "cancelled")
            ],
        )
        owner.api.ok("cancel_mqtt_publish", {"receipt_ids": ids[1:]}, token=owner.member)
        is_early = datetime.now(UTC) < due
        states = [row["state"] for row in receipts(owner, ids)]
        assert datetime.now(UTC) >= due
        publish(owner, [{"topic": f"{prefix(owner)}/out/last", "payload": "last", "qos": 1}])
        payloads = [device.next().payload]
        while payloads[-1] != b"last":
            payloads.append(device.next().payload)
        if is_early:
            break  # or this machine was so slow that it was due before it was cancelled
    assert is_early
    assert states == ["acknowledged", "cancelled"]
    assert payloads == [b"kept", b"last"]


# ------------------------------------------------------------------------------------------------------------ brokers that restart


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    started: list[Mosquitto] = []

    def start(**options: Any) -> Mosquitto:
        started.append(Mosquitto(tmp_path, **options))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.mark.parametrize(("persistence", "kill"), [(True, False), (False, False), (False, True)])
def test_a_broker_that_restarts(
    stack: Stack, db: Connection, tenant: Tenants, mosquitto: Callable[..., Mosquitto], *, persistence: bool, kill: bool
) -> None:
    """What was queued here goes out after it; subscriptions are there again, also where the broker has forgotten them."""
    broker = mosquitto(persistence=persistence)
    owner = tenant()
    integration_id = foreign(owner, broker.port)
    subscribed(db, owner, integration_id, "plant/#", 2)
    before = publish(owner, [{"topic": "out/a", "payload": number, "qos": 1 + number % 2} for number in range(100)], integration_id)
    receipts(owner, before)
    broker.stop(kill=kill)
    during = publish(owner, [{"topic": "out/a", "payload": number, "qos": 1 + number % 2} for number in range(100, 200)], integration_id)
    wait_until(lambda: status(stack, integration_id)[0] == "error", what="the broker is missed")
    broker.start()
    device = Peer("127.0.0.1", broker.port)
    try:
        found = receipts(owner, before + during)
        assert Counter((row["state"], row["attempts"]) for row in found) == {("acknowledged", 1): 200}

        def is_heard() -> bool:
            assert device.publish("plant/a", "1") in (0, 16)
            return bool(stored(stack, owner.organization_id))

        wait_until(is_heard, what="the subscription is there again")
    finally:
        device.close()


def test_a_broker_that_restarts_keeps_what_it_had(
    stack: Stack, db: Connection, tenant: Tenants, mosquitto: Callable[..., Mosquitto]
) -> None:
    """With persistence, what devices gave to it before is delivered after it, each once at QoS 2."""
    broker = mosquitto(persistence=True)
    owner = tenant()
    integration_id = foreign(owner, broker.port)
    subscribed(db, owner, integration_id, "plant/#", 2)
    # Off, so that the broker queues; its session stays.
    owner.api.ok("upsert_integration", body(owner, integration_id, broker.port) | {"status": "inactive"}, token=owner.admin)
    wait_until(lambda: not connections(broker.port), what="the bridge has left")
    device = Peer("127.0.0.1", broker.port)
    for number in range(50):
        assert device.publish(f"plant/{number % 5}", str(number), qos=1 + number % 2) == 0
    device.close()
    broker.stop()
    broker.start()
    owner.api.ok("upsert_integration", body(owner, integration_id, broker.port) | {"status": "active"}, token=owner.admin)
    rows = history(stack, owner, 50)
    assert sorted(row["payload"] for row in rows) == list(range(50))
    for topic in range(5):
        numbers = [row["payload"] for row in rows if row["topic"] == f"plant/{topic}"]
        assert numbers == sorted(numbers)


def body(owner: Tenant, integration_id: str, port: int) -> dict[str, Any]:
    settings = {"broker_url": "127.0.0.1", "port": port, "protocol": "mqtt"}
    names = {"organization_id": owner.organization_id, "integration_id": integration_id, "name": "restarted"}
    return names | {"integration_type": "mqtt_external", "settings": settings}


def connections(port: int) -> list[str]:
    """Established TCP connections to a local port."""
    wanted = f":{port:04X}"
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    return [line for line in lines if line.split()[2].endswith(wanted) and line.split()[3] == "01"]
