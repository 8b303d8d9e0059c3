"""A connection that is harmed at each packet of the protocol, between the bridge and a real Mosquitto, with all of them at once."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.bridge.support import Peer, publish, receipts, stored
from tests.bridge.test_inbound import subscription
from tests.bridge.test_outbound import foreign, prefix
from tests.support.loop import Loop
from tests.support.proxy import Proxy, Trap
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE, wait_until

Connection = psycopg.Connection[tuple[Any, ...]]
PHASES = {  # the kind of packet, and whether the broker sends it
    "connect": (1, False),
    "connack": (2, True),
    "subscribe": (8, False),
    "suback": (9, True),
    "unsubscribe": (10, False),
    "unsuback": (11, True),
    "publish": (3, False),
    "puback": (4, True),
    "pubrec": (5, True),
    "pubrel": (6, False),
    "pubcomp": (7, True),
    "delivery": (3, True),
    "puback of a delivery": (4, False),
    "pubrec of a delivery": (5, False),
    "pubrel of a delivery": (6, True),
    "pubcomp of a delivery": (7, False),
}
# The bridge notices a half-open connection by its own deadlines (10 s for CONNACK, 20 s for an acknowledgement, keep alive): the long form.
HARMS = ["reset", "close", "half", "late", "slow", *(["half-open"] if os.environ.get("TOPICBASE_SOAK") else [])]


@pytest.fixture
def loop() -> Iterator[Loop]:
    running = Loop()
    yield running
    running.close()


@pytest.mark.parametrize("harm", HARMS)
def test_harm_at_each_packet(
    stack: Stack, db: Connection, tenant: Callable[..., Tenant], peer: Callable[..., Peer], loop: Loop, harm: str
) -> None:
    """Nothing is lost; QoS 2 goes out once, and is stored once, since broker and bridge keep their sessions."""
    owner, device = tenant(), peer()
    device.subscribe(f"{prefix(owner)}p/+/out/#", 2)
    patience = 90 if harm == "half-open" else PATIENCE
    proxies = {phase: Proxy(loop, stack.mqtt_host, stack.mqtt_port) for phase in PHASES}
    try:
        ids = {}
        for phase, (kind, from_broker) in PHASES.items():
            proxies[phase].trap = Trap(kind, from_broker, harm)
            ids[phase] = foreign(owner, proxies[phase].port, username="topicbase_bridge", password=stack.broker_password, keepalive=10)
            for name in ("in", "gone"):
                arguments = {"integration_id": ids[phase], "topic": f"{prefix(owner)}p/{phase}/{name}/#", "qos": 2}
                made = owner.api.ok("mqtt_subscribe", arguments, token=owner.admin)
        for phase, key in ids.items():
            for name in ("in", "gone"):
                topic = f"{prefix(owner)}p/{phase}/{name}/#"
                wait_until(lambda key=key, t=topic: (subscription(db, key, t) or ("",))[0] == "active", patience, f"{phase}: {name}")  # type: ignore[misc]
        for row in owner.api.rows("mqtt_subscriptions", token=owner.admin, topic="like.*/gone/*"):
            made = owner.api.ok("mqtt_unsubscribe", {"subscription_id": row["id"]}, token=owner.admin)
            assert made["id"] == row["id"]
        sent = {
            phase: publish(
                owner, [{"topic": f"{prefix(owner)}p/{phase}/out/{qos}", "payload": qos, "qos": qos} for qos in (1, 2)], ids[phase]
            )
            for phase in PHASES
        }
        for phase in PHASES:
            for qos in (1, 2):
                assert device.publish(f"{prefix(owner)}p/{phase}/in/{qos}", str(qos), qos) == 0
        for phase in PHASES:
            found = receipts(owner, sent[phase], patience)
            assert [row["state"] for row in found] == ["acknowledged", "acknowledged"], phase
        wanted = {f"{prefix(owner)}p/{phase}/in/{qos}" for phase in PHASES for qos in (1, 2)}

        def arrived() -> Counter[str]:
            return Counter(row["topic"] for row in stored(stack, owner.organization_id))

        wait_until(lambda: arrived().keys() >= wanted, patience, "all that devices sent")
        wait_until(lambda: not [phase for phase in PHASES if proxies[phase].trap is not None], patience, "all traps have sprung")

        # Once more on the connections that are there now: nothing that was left over gets in the way, and what is gone stays gone.
        again = [publish(owner, [{"topic": f"{prefix(owner)}p/{phase}/out/3", "payload": 3, "qos": 2}], ids[phase])[0] for phase in PHASES]
        assert {row["state"] for row in receipts(owner, again, patience)} == {"acknowledged"}

        def is_deaf() -> bool:
            before = arrived()
            for phase in PHASES:
                device.publish(f"{prefix(owner)}p/{phase}/gone/1", "1")
                device.publish(f"{prefix(owner)}p/{phase}/in/3", "3")
            wait_until(
                lambda: all(arrived()[f"{prefix(owner)}p/{p}/in/3"] > before[f"{prefix(owner)}p/{p}/in/3"] for p in PHASES), patience
            )
            after = arrived()
            return not [p for p in PHASES if after[f"{prefix(owner)}p/{p}/gone/1"] > before[f"{prefix(owner)}p/{p}/gone/1"]]

        wait_until(is_deaf, patience, "no one hears what was unsubscribed")
        seen = Counter(message.topic for message in device.take(3 * len(PHASES), patience))
        while not device.messages.empty():
            seen[device.next().topic] += 1
        doubled = {topic for topic, count in (seen + arrived()).items() if count > 1 and topic.endswith("/2")}
        assert not doubled
    finally:
        for proxy in proxies.values():
            proxy.close()
