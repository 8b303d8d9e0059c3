"""Between two bridges: what the one may no longer hand in, the broker keeps for the other."""

import json
import re
import uuid
from collections.abc import Callable

import pytest

from tests.chaos.world import World
from tests.support.waiting import wait_until


@pytest.mark.parametrize("has_id", [False, True], ids=["without an id", "with message_id"])
def test_fault_22_what_another_bridge_is_to_have_stays_at_the_broker(world: Callable[..., World], *, has_id: bool) -> None:
    """A bridge that lost an integration without knowing it yet must acknowledge nothing of what it still receives."""
    playground = world()
    other = str(uuid.uuid4())
    playground.query("INSERT INTO mqtt.bridges (id, name, version, main_pid) VALUES (%s, 'test', '1', 1)", other)
    with playground.stack.connect() as connection:
        # As if it had taken over: it lives, and the lease is its.
        connection.execute("SELECT pg_advisory_lock(mqtt.bridge_lock(%s))", (other,))
        connection.execute("UPDATE mqtt.bridge_leases SET bridge_id = %s WHERE integration_id = %s", (other, playground.external))
        offers = [playground.load.offer(number, has_id=has_id) for number in range(1, 6)]
        # By what it receives, or when it looks at its integrations anyway.
        wait_until(lambda: re.search("integration_not_held|integrations_released", playground.bridge.log), what="the bridge finding out")
    # The other is gone again, and the messages with it would be, had they been acknowledged.
    wait_until(lambda: all(offer.is_acknowledged for offer in offers), what="the acknowledgements")
    wait_until(lambda: playground.waiting() == (0, 0), what="an empty queue")
    rows = playground.query(
        "SELECT payload ->> 'n', count(*) FROM mqtt.mqtt_messages WHERE organization_id = %s GROUP BY 1 ORDER BY 1",
        playground.tenant.organization_id,
    )
    assert rows == [(str(number), 1) for number in range(1, 6)]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_fault_22_a_packet_id_that_a_dead_bridge_left_unreleased(world: Callable[..., World], version: str) -> None:
    """QoS 2: a broker that still holds the id of an earlier message would take the next one under that id for a duplicate."""
    playground = world(mqtt_version=version)
    bodies = [{"topic": "out/a", "payload": {"n": number}, "qos": 2} for number in range(1, 21)]
    body = {"integration_id": playground.external, "messages": bodies}
    playground.api.ok("mqtt_publish", {**body, "messages": bodies[:1]}, token=playground.tenant.member)
    wait_until(lambda: len(playground.witness.arrivals) == 1, what="the first message")
    playground.bridge.kill()
    # As if it had left every id but a few so.
    playground.witness.hold_ids(set(range(1, 65536)))
    playground.bridge.start()
    playground.wait_subscribed()
    numbers = set(range(1, 21)) if version == "5" else set(range(2, 21))
    if version != "5":
        # That a 3.1.1 broker has QoS 2 at all is known only when it has answered one.
        playground.api.ok("mqtt_publish", {**body, "messages": bodies[:1]}, token=playground.tenant.member)
        wait_until(lambda: playground.waiting() == (0, 0), what="the receipt of the message that shows it")
    looked = len(playground.witness.arrivals)
    answer = playground.api.ok("mqtt_publish", body, token=playground.tenant.member)
    wait_until(lambda: playground.waiting() == (0, 0), what="all receipts")
    assert len(answer["receipts"]) == 20
    assert numbers <= {json.loads(arrival.payload)["n"] for arrival in playground.witness.arrivals[looked:]}
