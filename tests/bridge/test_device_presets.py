"""Each preset against a real broker: what devices of its ecosystem send, and what becomes of it."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.bridge.support import Peer, stored
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import wait_until

Connection = psycopg.Connection[tuple[Any, ...]]
Case = dict[str, Any]
CASES: list[Case] = json.loads(Path(__file__).with_name("devices.json").read_text(encoding="utf-8"))


@pytest.fixture
def any_time(db: Connection) -> Iterator[None]:
    """The cases' times are plausible whatever the calendar says."""
    before = db.execute("SELECT max_time_behind, max_time_ahead FROM mqtt.configuration").fetchone()
    db.execute("UPDATE mqtt.configuration SET max_time_behind = '100 years', max_time_ahead = '100 years'")
    yield
    db.execute("UPDATE mqtt.configuration SET max_time_behind = %s, max_time_ahead = %s", before)


def listening(stack: Stack, db: Connection, owner: Tenant, preset: str) -> str:
    """The id of an integration with the preset, subscribed to its topics at the stack's broker."""
    integration_id = owner.integration(
        broker_url=stack.mqtt_host, port=stack.mqtt_port, protocol="mqtt", username="topicbase_bridge", password=stack.broker_password
    )
    applied = owner.api.ok("apply_device_preset", {"integration_id": integration_id, "preset": preset}, token=owner.admin)
    for topic in applied["topics"]:
        owner.api.ok("mqtt_subscribe", {"integration_id": integration_id, "topic": topic, "qos": 1}, token=owner.admin)

    def active() -> bool:
        rows = db.execute("SELECT status FROM mqtt.mqtt_subscriptions WHERE integration_id = %s", (integration_id,)).fetchall()
        return all(row[0] == "active" for row in rows)

    wait_until(active, what="all subscriptions active")
    return integration_id


def sent(message: dict[str, Any]) -> str | bytes:
    return bytes.fromhex(message["payload_hex"]) if "payload_hex" in message else str(message["payload"])


@pytest.mark.usefixtures("any_time")
@pytest.mark.parametrize("case", CASES, ids=[case["ecosystem"] for case in CASES])
def test_a_preset(stack: Stack, db: Connection, tenant: Callable[..., Tenant], peer: Callable[..., Peer], case: Case) -> None:
    owner, device = tenant(), peer()
    integration_id = listening(stack, db, owner, case["ecosystem"])
    for topic in case["expect"].get("published", []):
        device.subscribe(topic)
    for message in case["messages"]:
        device.publish(message["topic"], sent(message), retain=message.get("retain", False))
    for topic in {message["topic"] for message in case["messages"] if message.get("retain")}:
        device.publish(topic, b"", retain=True)
    topics = {message["topic"] for message in case["messages"]}

    def arrived() -> bool:
        return sum(row["topic"] in topics for row in stored(stack, owner.organization_id)) >= len(case["messages"])

    wait_until(arrived, what="all messages stored")
    for topic in case["expect"].get("published", []):
        assert device.next().topic == topic

    listed = owner.api.ok("list_devices", {"integration_id": integration_id}, token=owner.member)["devices"]
    found = {each["external_id"]: each for each in listed}
    expect = case["expect"]
    assert sorted(found) == sorted(expect["devices"])
    for name, latest in expect.get("latest", {}).items():
        assert {metric: found[name]["latest"][metric]["value"] for metric in latest} == latest
    for name, times in expect.get("times", {}).items():
        for metric, at in times.items():
            assert datetime.fromisoformat(found[name]["latest"][metric]["at"]) == datetime.fromisoformat(at), metric
    for name, state in expect.get("presence", {}).items():
        assert found[name]["presence"]["state"] == state
    for name, metadata in expect.get("metadata", {}).items():
        assert contains(found[name]["metadata"], metadata)


def contains(whole: Any, part: Any) -> bool:
    """Whether an object has these members, and so at every depth."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(name in whole and contains(whole[name], value) for name, value in part.items())
    return bool(whole == part)
