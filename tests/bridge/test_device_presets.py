"""Each preset against a real broker: what devices of its ecosystem send, what their vendors document, and what our page of it says."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.bridge.support import Peer
from tests.support.stack import ROOT, Stack
from tests.support.tenant import Tenant
from tests.support.waiting import PROGRAM_PATIENCE, wait_until

Connection = psycopg.Connection[tuple[Any, ...]]
Case = dict[str, Any]
Message = dict[str, Any]
CASES: list[Case] = json.loads(Path(__file__).with_name("devices.json").read_text(encoding="utf-8"))
# Payloads of the form that the vendors document (source says where), and what they should give: written before the presets.
DOCUMENTED: dict[str, Case] = {
    case["ecosystem"]: case for case in json.loads(Path(__file__).with_name("documented.json").read_text(encoding="utf-8"))
}


@pytest.fixture
def any_time(db: Connection) -> Iterator[None]:
    """The cases' times are plausible whatever the calendar says."""
    before = db.execute("SELECT max_time_behind, max_time_ahead FROM mqtt.configuration").fetchone()
    db.execute("UPDATE mqtt.configuration SET max_time_behind = '100 years', max_time_ahead = '100 years'")
    yield
    db.execute("UPDATE mqtt.configuration SET max_time_behind = %s, max_time_ahead = %s", before)


class Page:
    """The ecosystem's page: its statements, run as a reader would, the messages in it, and what it says that one sees."""

    def __init__(self, owner: Tenant, preset: str) -> None:
        text = (ROOT / f"docs/devices/{preset}.md").read_text(encoding="utf-8")
        blocks = re.findall(r"^```(\w+)\n(.*?)^```", text.replace("\n## Over HTTP\n", "\n```\n"), re.MULTILINE | re.DOTALL)
        self.owner = owner
        self.apply, self.show = (block for language, block in blocks if language == "sh")
        self.messages = [self._message(line) for language, block in blocks if language == "text" for line in block.splitlines()]
        (self.shown,) = (json.loads(block) for language, block in blocks[1:] if language == "json")

    @staticmethod
    def _message(line: str) -> Message:
        topic, payload = re.split(r" (?=[{\[])", line, maxsplit=1) if re.search(r" [{\[]", line) else line.rsplit(" ", 1)
        return {"topic": topic, "payload": payload}

    def run(self, statement: str, integration_id: str = "") -> Any:
        environment = {**os.environ, "API_URL": self.owner.api.url, "TOKEN": self.owner.admin}
        done = subprocess.run(
            ["bash", "-ec", statement.replace("…", integration_id)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=PROGRAM_PATIENCE,
        )
        return json.loads(done.stdout)


def listening(stack: Stack, db: Connection, page: Page) -> str:
    """The id of an integration with the preset, subscribed to its topics at the stack's broker."""
    owner = page.owner
    integration_id = owner.integration(
        broker_url=stack.mqtt_host, port=stack.mqtt_port, protocol="mqtt", username="topicbase_bridge", password=stack.broker_password
    )
    for topic in page.run(page.apply, integration_id)["topics"]:
        owner.api.ok("mqtt_subscribe", {"integration_id": integration_id, "topic": topic, "qos": 1}, token=owner.admin)

    def active() -> bool:
        rows = db.execute("SELECT status FROM mqtt.mqtt_subscriptions WHERE integration_id = %s", (integration_id,)).fetchall()
        return all(row[0] == "active" for row in rows)

    wait_until(active, what="all subscriptions active")
    return integration_id


def send(db: Connection, integration_id: str, device: Peer, messages: list[Message]) -> list[tuple[Any, ...]]:
    """Publish messages; what was stored of them, in their order: message id and decode error."""
    begin = one_count(db, integration_id)
    for message in messages:
        payload = bytes.fromhex(message["payload_hex"]) if "payload_hex" in message else str(message["payload"])
        device.publish(message["topic"], payload, retain=message.get("retain", False))
    wait_until(lambda: one_count(db, integration_id) >= begin + len(messages), what="all messages stored")
    for topic in {message["topic"] for message in messages if message.get("retain")}:
        device.publish(topic, b"", retain=True)
    return db.execute(
        "SELECT m.id, m.decode_error FROM mqtt.mqtt_messages AS m WHERE m.integration_id = %s AND m.direction = 'incoming'"
        " AND (m.payload <> '\"\"' OR m.body IS NOT NULL) ORDER BY m.position OFFSET %s",
        (integration_id, begin),
    ).fetchall()  # fmt: skip


def one_count(db: Connection, integration_id: str) -> int:
    row = db.execute(
        "SELECT count(*) FROM mqtt.mqtt_messages AS m WHERE m.integration_id = %s AND m.direction = 'incoming'"
        " AND (m.payload <> '\"\"' OR m.body IS NOT NULL)", (integration_id,),
    ).fetchone()  # fmt: skip
    assert row is not None
    return int(row[0])


def listed(owner: Tenant, integration_id: str) -> dict[str, Any]:
    devices = owner.api.ok("list_devices", {"integration_id": integration_id}, token=owner.member)["devices"]
    return {each["external_id"]: each for each in devices}


@pytest.mark.usefixtures("any_time")
@pytest.mark.parametrize("case", CASES, ids=[case["ecosystem"] for case in CASES])
def test_a_preset(stack: Stack, db: Connection, tenant: Callable[..., Tenant], peer: Callable[..., Peer], case: Case) -> None:
    owner, device = tenant(), peer()
    page = Page(owner, case["ecosystem"])
    integration_id = listening(stack, db, page)
    for topic in case["expect"].get("published", []):
        device.subscribe(topic)
    send(db, integration_id, device, case["messages"])
    for topic in case["expect"].get("published", []):
        assert device.next().topic == topic
    of_devices(listed(owner, integration_id), case["expect"])

    documented = DOCUMENTED[case["ecosystem"]]
    stored = send(db, integration_id, device, documented["messages"])
    for message, (message_id, decode_error) in zip(documented["messages"], stored, strict=True):
        assert decode_error is None, message
        of_readings(db, message_id, message)
    names = set(case["expect"]["devices"]) | set(documented["devices"])
    found = listed(owner, integration_id)
    assert set(found) == names
    for name, expect in documented["devices"].items():
        assert found[name]["presence"]["state"] == expect.get("presence", "unknown"), name
        assert contains(found[name]["metadata"], expect.get("metadata", {})), (name, found[name]["metadata"])
        assert not set(expect.get("without", [])) & set(found[name]["metadata"].get("metrics", {}))

    send(db, integration_id, device, page.messages)
    assert same(page.run(page.show), page.shown), page.run(page.show)


@pytest.mark.usefixtures("any_time")
def test_aliases_outlive_a_restart(stack: Stack, db: Connection, tenant: Callable[..., Tenant], peer: Callable[..., Peer]) -> None:
    """Sparkplug's births came to a bridge and to sessions of the database that are gone when data by alias come."""
    owner, device = tenant(), peer()
    case = next(case for case in CASES if case["ecosystem"] == "sparkplug-b")
    integration_id = listening(stack, db, Page(owner, "sparkplug-b"))
    births, data = case["messages"][:2], case["messages"][2]
    send(db, integration_id, device, births)
    before = db.execute("SELECT array_agg(a.pid) FROM pg_stat_activity AS a WHERE a.usename = 'mqtt_bridge'").fetchone()
    stack.restart("bridge")
    old_sessions = "SELECT count(*) FROM pg_stat_activity AS a WHERE a.pid = ANY (%s)"
    wait_until(lambda: db.execute(old_sessions, before).fetchone() == (0,), what="the end of the old bridge's sessions")
    ((_, decode_error),) = send(db, integration_id, device, [data])
    assert decode_error is None
    assert listed(owner, integration_id)["Plant/edge1/pump"]["latest"]["temperature"]["value"] == 22.5


def of_devices(found: dict[str, Any], expect: dict[str, Any]) -> None:
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


def of_readings(db: Connection, message_id: str, message: Message) -> None:
    """What became of a message: these readings and no other; of the metrics at least these, or with only just these."""
    rows = db.execute(
        "SELECT d.external_id, r.role, r.payload, r.measured_at, r.received_at FROM mqtt.mqtt_messages AS m"
        # Of several samples only the first has the id of the message.
        " JOIN mqtt.topics AS t ON t.topic = m.topic AND t.integration_id = m.integration_id"
        " JOIN mqtt.readings AS r ON r.topic_number = t.number AND r.received_at = m.received_at"
        " JOIN mqtt.devices AS d ON d.id = r.device_id WHERE m.id = %s ORDER BY r.position",
        (message_id,),
    ).fetchall()
    assert [(row[0], row[1]) for row in rows] == [(each["device"], each["role"]) for each in message["readings"]], message
    for (_, _, values, measured_at, received_at), each in zip(rows, message["readings"], strict=True):
        assert contains(values, each["values"]), (message["topic"], values)
        assert set(values) == set(each["values"]) or not message.get("only"), (message["topic"], values)
        assert measured_at == (datetime.fromisoformat(each["at"]) if "at" in each else received_at), message["topic"]


def contains(whole: Any, part: Any) -> bool:
    """Whether an object has these members, and so at every depth."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(name in whole and contains(whole[name], value) for name, value in part.items())
    return bool(whole == part)


def same(whole: Any, shown: Any) -> bool:
    """Whether an answer is what a page shows, where … stands for anything."""
    if isinstance(shown, dict):
        return isinstance(whole, dict) and whole.keys() == shown.keys() and all(same(whole[name], value) for name, value in shown.items())
    if isinstance(shown, list):
        return isinstance(whole, list) and len(whole) == len(shown) and all(map(same, whole, shown))
    return shown == "…" or bool(whole == shown)
