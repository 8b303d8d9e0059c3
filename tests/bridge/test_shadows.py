"""Topics that start with $ at a broker of one's own: the statements of docs/how-to/brokers/aws-iot.md about shadows, and a replay."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.bridge.mosquitto import Mosquitto
from tests.bridge.support import Peer, publish, receipts, stored
from tests.support.stack import ROOT, Stack
from tests.support.tenant import Tenant
from tests.support.waiting import PROGRAM_PATIENCE, wait_until

SHADOWS = (ROOT / "docs/how-to/brokers/aws-iot.md").read_text(encoding="utf-8").split("\n## Device shadows\n")[1].split("\n## ")[0]
ACCEPTED = "$aws/things/pump/shadow/update/accepted"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """One whose clients may do everything; the stack's own keeps such topics from them."""
    mosquitto = Mosquitto(tmp_path)
    yield mosquitto
    mosquitto.stop()


def test_the_statements_about_shadows(stack: Stack, db: psycopg.Connection[Any], tenant: Callable[..., Tenant], broker: Mosquitto) -> None:
    owner, thing = tenant(), Peer("127.0.0.1", broker.port)
    thing.subscribe("$aws/things/pump/#")
    thing.subscribe("$iothub/#")
    integration_id = owner.integration(broker_url="127.0.0.1", port=broker.port, protocol="mqtt")
    environment = {**os.environ, "API_URL": owner.api.url, "TOKEN": owner.admin}
    for statement in re.findall(r"^```sh\n(.*?)^```", SHADOWS, re.MULTILINE | re.DOTALL):
        done = subprocess.run(
            ["bash", "-ec", statement.replace("…", integration_id)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=PROGRAM_PATIENCE,
        )
        assert '"code"' not in done.stdout, done.stdout
    told = thing.next()
    assert (told.topic, json.loads(told.payload)) == ("$aws/things/pump/shadow/update", {"state": {"desired": {"led": "on"}}})

    def is_subscribed() -> bool:
        rows = db.execute("SELECT status FROM mqtt.mqtt_subscriptions WHERE integration_id = %s", (integration_id,)).fetchall()
        return [row[0] for row in rows] == ["active"]

    wait_until(is_subscribed, what="the subscription to be active")
    now = int(datetime.now(UTC).timestamp()) - 60
    reported = {
        "state": {"reported": {"led": "on", "rpm": 1450}},
        "metadata": {"reported": {"rpm": {"timestamp": now}}},
        "version": 3,
        "timestamp": now,
    }
    desired = {"state": {"desired": {"led": "off"}}, "metadata": {"desired": {"led": {"timestamp": now}}}, "version": 4, "timestamp": now}
    for document in (reported, desired):
        thing.publish(ACCEPTED, json.dumps(document))
        assert thing.next().topic == ACCEPTED
    wait_until(lambda: len(stored(stack, owner.organization_id)) == 2, what="both answers stored")
    (device,) = owner.api.rows("devices", token=owner.member)
    assert (device["external_id"], {name: entry["value"] for name, entry in device["latest"].items()}) == (
        "pump",
        {"led": "on", "rpm": 1450},
    )
    assert datetime.fromisoformat(device["latest"]["rpm"]["at"]) == datetime.fromtimestamp(now, UTC)

    # What came there is replayed there, and leaves no dead letter; so are the topics of other services.
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    replay = {"integration_id": integration_id, "topic": "$aws/#", "since": since, "to_topic": "$aws/things/pump/shadow/update/again"}
    assert owner.api.ok("replay_mqtt_messages", replay, token=owner.admin)["replayed"] == 2
    assert {thing.next().topic for _ in range(2)} == {"$aws/things/pump/shadow/update/again"}
    azure = "$iothub/twin/PATCH/properties/reported/?$rid=1"
    ids = publish(owner, [{"topic": azure, "payload": {"rpm": 1}, "qos": 1}], integration_id)
    assert [row["state"] for row in receipts(owner, ids)] == ["acknowledged"]
    assert thing.next().topic == azure
    assert owner.api.rows("mqtt_dead_letters", token=owner.admin) == []
    for topic in ("$SYS/broker/version", "$share/group/a"):
        answer = owner.api.call(
            "mqtt_publish", {"integration_id": integration_id, "messages": [{"topic": topic, "payload": 1}]}, token=owner.admin
        )
        assert answer.status_code == 400, topic
    hosted = owner.api.call(
        "mqtt_publish", {"integration_id": owner.integration_id, "messages": [{"topic": azure, "payload": 1}]}, token=owner.admin
    )
    assert hosted.status_code == 403
    thing.close()
