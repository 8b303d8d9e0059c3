"""Devices with mosquitto_pub and mosquitto_sub: what works with a credential over HTTP works with it at the broker."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.bridge.support import publish, receipts
from tests.clients.conftest import MosquittoClient
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE, wait_until

Make = Callable[..., MosquittoClient]


def stored(home: Tenant, topic: str, count: int = 1) -> list[dict[str, Any]]:
    def rows() -> list[dict[str, Any]] | None:
        found = home.api.rows("mqtt_messages", token=home.member, topic=f"eq.{topic}", order="received_at,id", direction="eq.incoming")
        return found if len(found) >= count else None

    answer = wait_until(rows, what=f"{count} messages of {topic}")
    assert answer is not None
    return answer


@pytest.mark.parametrize("protocol", ["mqttv311", "mqttv5"])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_what_a_device_publishes_is_stored(home: Tenant, mosquitto: Make, protocol: str, qos: int) -> None:
    """QoS 2 comes as 1, which is what the hosted broker's subscription asks for."""
    client = mosquitto()
    topic = client.device.topic(f"mq-{protocol}-{qos}")
    client.publish(topic, '{"temperature": 21.5}', "-q", str(qos), protocol=protocol)
    (row,) = stored(home, topic)
    assert (row["payload"], row["qos"], row["retain"], row["body"]) == ({"temperature": 21.5}, min(qos, 1), False, None)
    (device,) = home.api.rows("devices", token=home.member, external_id=f"eq.mq-{protocol}-{qos}")
    assert device["last_data"] == {"temperature": 21.5}
    assert row["device_id"] == device["id"]


PAYLOADS: list[tuple[bytes, Any, str | None]] = [
    (b'{"a": [1, null, "\xc2\xb0"]}', {"a": [1, None, "°"]}, None),
    (b"21.5", 21.5, None),
    (b"on", "on", None),
    (b"\x00\xff\x01", None, "AP8B"),
    (b'{"a": "\\u0000"}', '{"a": "\\u0000"}', None),
    (b"1e100000", "1e100000", None),
]


def test_payloads_of_all_kinds(home: Tenant, mosquitto: Make) -> None:
    client = mosquitto()
    topic = client.device.topic("mq-payloads")
    for body, _, _ in PAYLOADS:
        client.publish(topic, body, "-q", "1")
    rows = stored(home, topic, len(PAYLOADS))
    assert [(row["payload"], row["body"]) for row in rows] == [(payload, body) for _, payload, body in PAYLOADS]


def test_properties_of_mqtt_5(home: Tenant, mosquitto: Make) -> None:
    client = mosquitto()
    topic = client.device.topic("mq-properties")
    more = ["-q", "1", "-D", "publish", "content-type", "application/cbor", "-D", "publish", "user-property", "line", "7"]
    client.publish(topic, bytes.fromhex("a1617418c8"), *more, protocol="mqttv5")
    (row,) = stored(home, topic)
    assert (row["payload"], row["content_type"]) == ({"t": 200}, "application/cbor")
    assert "line" in json.dumps(row["properties"])


def test_no_message_of_a_burst_is_lost_and_none_comes_twice(home: Tenant, mosquitto: Make) -> None:
    client = mosquitto()
    topic = client.device.topic("mq-burst")
    lines = "\n".join(str(n) for n in range(500)).encode()
    subprocess.run(["mosquitto_pub", *client.arguments("5"), "-t", topic, "-q", "1", "-l"], input=lines, check=True, timeout=PATIENCE)
    assert [row["payload"] for row in stored(home, topic, 500)] == list(range(500))


def test_a_command_of_the_app_comes_with_all_it_was_given(home: Tenant, mosquitto: Make) -> None:
    client = mosquitto()
    topic = f"{client.device.topic_prefix}/devices/mq/commands"
    listening = client.subscribe(topic, 2, "-q", "2", protocol="mqttv5")
    assert listening.granted == "2"
    message = {
        "topic": topic,
        "payload": {"valve": "open"},
        "qos": 2,
        "content_type": "application/json",
        "response_topic": f"{topic}/answer",
        "correlation_data": "YWJj",
        "message_expiry": 60,
        "user_properties": {"by": "operator"},
    }
    home.api.ok("mqtt_publish", {"integration_id": home.integration_id, "messages": [message]}, token=home.member)
    binary = {"topic": topic, "payload": "AP8B", "payload_encoding": "base64", "qos": 1}
    home.api.ok("mqtt_publish", {"integration_id": home.integration_id, "messages": [binary]}, token=home.member)
    # Which comes first is open: QoS 2 takes one exchange more.
    second, first = sorted(listening.messages(), key=lambda message: int(message["qos"]))
    assert (first["payload"], first["qos"]) == ('{"valve": "open"}', 2)
    properties = first["properties"]
    assert properties["content-type"] == "application/json"
    assert properties["response-topic"] == f"{topic}/answer"
    assert 0 < properties["message-expiry-interval"] <= 60
    assert "operator" in json.dumps(properties["user-properties"])
    assert second["payloadlen"] == 3
    assert second["qos"] == 1


def test_a_retained_command_waits_for_the_device(home: Tenant, mosquitto: Make) -> None:
    client = mosquitto()
    topic = f"{client.device.topic_prefix}/devices/mq/settings"
    message = {"topic": topic, "payload": "v2", "qos": 1, "retain": True}
    (state,) = receipts(home, publish(home, [message]))
    assert state["state"] == "acknowledged"
    (got,) = client.subscribe(topic, 1, "-q", "1").messages()
    assert (got["payload"], got["retain"]) == ("v2", 1)


def test_a_device_keeps_to_its_own_topics(home: Tenant, mosquitto: Make, tenant: Callable[..., Tenant]) -> None:
    """A prefix is whole levels at the broker too; other organizations' topics, $SYS and wildcards above the prefix are closed."""
    other = tenant()
    client = mosquitto()
    prefix = client.device.topic_prefix
    listening = client.subscribe(f"{prefix}/#", 1, "-q", "1", "-R")
    assert listening.granted == "1"
    for topic in (f"org_{other.slug}/devices/d/telemetry", f"{prefix}b/devices/d/telemetry", "elsewhere", "$SYS/broker/uptime"):
        device = home.device()
        intruder = MosquittoClient(client.stack, device)
        wait_until(intruder.may_log_in, what="the broker knowing the intruder")
        intruder.publish(topic, '"smuggled"', "-q", "1", check=False)
    (hello,) = listening.messages()
    assert hello["topic"] == f"{prefix}/hello"
    accepted = f"{prefix}/devices/d/telemetry"
    client.publish(accepted, '"allowed"', "-q", "1")
    stored(home, accepted)
    assert home.api.rows("mqtt_messages", token=home.member, payload='eq."smuggled"') == []
    assert other.api.rows("mqtt_messages", token=other.member) == []
    assert other.api.rows("mqtt_message_queue", token=other.member) == []


def test_a_revoked_device_is_shut_out_and_its_session_cut(home: Tenant, mosquitto: Make) -> None:
    client, witness = mosquitto(), mosquitto()
    topic = f"{client.device.topic_prefix}/devices/mq/secrets"
    (row,) = home.api.rows("mqtt_credentials", token=home.admin, username=f"eq.{client.device.username}")
    listening = client.subscribe(topic, 9, "-q", "1")
    watching = witness.subscribe(topic, 1, "-q", "1")
    home.api.ok("revoke_mqtt_credentials", {"credential_id": row["id"]}, token=home.admin)
    wait_until(lambda: not client.may_log_in(), what="the broker refusing the revoked device")
    message = {"topic": topic, "payload": "for others", "qos": 1}
    home.api.ok("mqtt_publish", {"integration_id": home.integration_id, "messages": [message]}, token=home.member)
    assert [message["payload"] for message in watching.messages()] == ["for others"]
    listening.process.terminate()
    assert listening.messages() == []


def test_a_wrong_password_and_a_stranger_are_refused(mosquitto: Make) -> None:
    client = mosquitto()
    wrong = MosquittoClient(client.stack, replace(client.device, password="x" * 32))
    assert wrong.publish(client.device.topic(), "1", "-q", "1", check=False).returncode != 0
    where = ["-h", client.stack.mqtt_host, "-p", str(client.stack.mqtt_port), "-t", client.device.topic()]
    anonymous = ["mosquitto_pub", *where, "-m", "1", "-q", "1"]
    assert subprocess.run(anonymous, capture_output=True, timeout=PATIENCE, check=False).returncode != 0
