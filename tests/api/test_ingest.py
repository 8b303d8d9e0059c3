"""What devices may do: each form of login, each argument, and what the history, the device and the credential show afterwards."""

import base64
import gzip
import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bridge.mqtt.properties import read_properties
from tests.api.support import Queue, Witness, accepted, stored
from tests.support.api import Device
from tests.support.tenant import Tenant

PROPERTIES = ("payload_format", "response_topic", "correlation_data", "message_expiry", "user_properties")


def basic(username: str, password: str, scheme: str = "Basic") -> str:
    return f"{scheme} {base64.b64encode(f'{username}:{password}'.encode()).decode()}"


LOGINS: dict[str, Callable[[Device], dict[str, str]]] = {
    "X headers": lambda d: d.headers,
    "Basic": lambda d: {"Authorization": basic(d.username, d.password), "X-Client-ID": d.client_id},
    "basic in lower case": lambda d: {"Authorization": basic(d.username, d.password, "basic"), "X-Client-ID": d.client_id},
    "Basic wins over X headers": lambda d: {
        "Authorization": basic(d.username, d.password), "X-Client-ID": d.client_id, "X-Username": "someone", "X-Password": "else",
    },
}  # fmt: skip


@pytest.mark.parametrize("login", LOGINS)
@pytest.mark.parametrize("rpc", ["mqtt_ingest", "mqtt_ingest_batch", "mqtt_ingest_binary"])
def test_every_login_opens_every_door(home: Tenant, queue: Queue, rpc: str, login: str) -> None:
    device = home.device()
    headers = LOGINS[login](device)
    message = {"topic": device.topic(), "payload": {"t": 1}}
    match rpc:
        case "mqtt_ingest":
            response = device.api.call(rpc, message, headers=headers)
        case "mqtt_ingest_batch":
            response = device.api.call(rpc, {"messages": [message]}, headers=headers)
        case _:
            response = device.api.call(
                rpc,
                data=b'{"t": 1}',
                headers={
                    **headers, "X-Topic": device.topic(), "X-Content-Type": "application/json", "Content-Type": "application/octet-stream",
                },
            )  # fmt: skip
    assert response.status_code == 202, response.text
    assert queue.work()["processed"] == 1
    rows = device.api.rows("mqtt_messages", token=home.member)
    assert [(row["topic"], row["payload"]) for row in rows] == [(device.topic(), {"t": 1})]


def test_a_message_is_stored_with_all_that_was_said(home: Tenant, queue: Queue) -> None:
    device = home.device()
    sent_at = datetime.now(UTC).replace(microsecond=250_000) - timedelta(minutes=5)
    before = datetime.now(UTC)
    message_id = accepted(
        device.send({"temperature": 23.5, "unit": "°C"}, qos=2, retain=True, content_type="application/json", timestamp=sent_at.isoformat())
    )
    waiting = device.api.rows("mqtt_message_queue", token=home.member)
    assert [(row["id"], row["status"], row["attempts"], row["max_attempts"]) for row in waiting] == [(message_id, "pending", 0, 3)]
    assert queue.work() == {"processed": 1, "failed": 0, "dead": 0}
    row = stored(device, home, message_id)
    assert row["topic"] == device.topic()
    assert row["payload"] == {"temperature": 23.5, "unit": "°C"}
    assert row["qos"] == 2
    assert row["retain"] is True
    assert row["content_type"] == "application/json"
    assert row["direction"] == "incoming"
    assert row["organization_id"] == home.organization_id
    assert row["integration_id"] == home.integration_id
    assert datetime.fromisoformat(row["sent_at"]) == sent_at
    assert before - timedelta(seconds=1) <= datetime.fromisoformat(row["received_at"]) <= datetime.now(UTC) + timedelta(seconds=1)
    assert datetime.fromisoformat(row["created_at"]) >= datetime.fromisoformat(row["received_at"])
    assert row["body"] is None
    assert row["decode_error"] is None
    done = device.api.rows("mqtt_message_queue", token=home.member)
    assert [(row["id"], row["status"]) for row in done] == [(message_id, "completed")]
    assert done[0]["processed_at"] is not None


def test_defaults(home: Tenant, queue: Queue) -> None:
    device = home.device()
    message_id = accepted(device.send(None))
    queue.work()
    row = stored(device, home, message_id)
    assert (row["payload"], row["qos"], row["retain"], row["content_type"], row["sent_at"]) == (None, 0, False, None, None)


@pytest.mark.parametrize("argument", ["qos", "retain", "content_type", "payload_encoding", "message_id", "timestamp", *PROPERTIES])
def test_null_means_the_default(home: Tenant, queue: Queue, argument: str) -> None:
    device = home.device()
    accepted(device.send(1, **{argument: None}))
    answer = device.send_batch([{"topic": device.topic(), "payload": 1, argument: None}])
    assert answer.json() == {"accepted": 1, "rejected": []}
    assert queue.work()["processed"] == 2


def test_the_first_message_registers_its_device_and_the_newest_data_win(home: Tenant, queue: Queue) -> None:
    device = home.device()
    now = datetime.now(UTC)
    for value, age in ((1, 30), (2, 10), (3, 20)):
        accepted(device.send({"value": value}, device.topic("pump"), timestamp=(now - timedelta(minutes=age)).isoformat()))
        queue.work()
    accepted(device.send({"value": 9}, device.topic("fan")))
    accepted(device.send({"value": 8}, f"{device.topic_prefix}/no-device-in-here"))
    assert queue.work()["processed"] == 2
    rows = {row["external_id"]: row for row in device.api.rows("devices", token=home.member)}
    assert rows.keys() == {"pump", "fan"}
    assert rows["pump"]["last_data"] == {"value": 2}
    assert datetime.fromisoformat(rows["pump"]["last_data_at"]) == now - timedelta(minutes=10)
    assert abs(datetime.fromisoformat(rows["pump"]["last_seen_at"]) - now) < timedelta(minutes=1)
    assert rows["fan"]["last_data"] == {"value": 9}
    messages = device.api.rows("mqtt_messages", token=home.member, device_id=f"eq.{rows['pump']['id']}", order="sent_at")
    assert [row["payload"]["value"] for row in messages] == [1, 3, 2]
    assert device.api.rows("mqtt_messages", token=home.member, device_id="is.null")[0]["payload"] == {"value": 8}


def test_a_clock_far_ahead_does_not_freeze_a_device(home: Tenant, queue: Queue) -> None:
    device = home.device()
    accepted(device.send({"value": 1}, timestamp="2199-01-01T00:00:00Z"))
    queue.work()
    accepted(device.send({"value": 2}))
    queue.work()
    (row,) = device.api.rows("devices", token=home.member)
    assert row["last_data"] == {"value": 2}


def test_the_credential_and_the_activity_log_count_each_batch(home: Tenant, queue: Queue) -> None:
    device = home.device()
    assert device.send_batch([{"topic": device.topic(f"d{n}"), "payload": n} for n in range(25)]).json()["accepted"] == 25
    assert queue.work() == {"processed": 25, "failed": 0, "dead": 0}
    (credential,) = device.api.rows("mqtt_credentials", token=home.admin, username=f"eq.{device.username}")
    assert credential["connection_count"] == 25
    assert datetime.now(UTC) - datetime.fromisoformat(credential["last_connected_at"]) < timedelta(minutes=1)
    (activity,) = device.api.rows("integration_activity_log", token=home.member, activity_type="eq.messages_processed")
    assert (activity["message_count"], activity["direction"], activity["status"]) == (25, "incoming", "success")


def test_a_batch_keeps_its_order_per_topic(home: Tenant, queue: Queue) -> None:
    device = home.device()
    for start in range(0, 60, 20):
        device.send_batch([{"topic": device.topic(), "payload": start + n} for n in range(20)])
    queue.work(7)
    rows = device.api.rows("mqtt_messages", token=home.member, order="received_at,id")
    assert [row["payload"] for row in rows] == list(range(60))
    (row,) = device.api.rows("devices", token=home.member)
    assert row["last_data"] == 59


def test_a_batch_of_the_largest_size(home: Tenant, queue: Queue, witness: Callable[[Tenant], Witness]) -> None:
    device = home.device()
    seen = witness(home)
    answer = device.send_batch([{"topic": device.topic(f"d{n % 50}"), "payload": n} for n in range(10_000)])
    assert (answer.status_code, answer.json()) == (202, {"accepted": 10_000, "rejected": []})
    assert seen.changed() == {"in the queue": 10_000, "accepted": 10_000}
    assert queue.work()["processed"] == 10_000


def test_binary_headers_say_what_the_arguments_say(home: Tenant, queue: Queue) -> None:
    device = home.device()
    message_id = str(uuid.uuid4())
    response = device.api.call(
        "mqtt_ingest_binary",
        data=b"\x00\xff raw",
        headers={
            **device.headers, "Content-Type": "application/octet-stream", "X-Topic": device.topic(), "X-QoS": "1", "X-Retain": "true",
            "X-Message-ID": message_id, "X-Timestamp": "2025-02-03T04:05:06.5+01:00",
        },
    )  # fmt: skip
    assert accepted(response) == message_id
    queue.work()
    row = stored(device, home, message_id)
    assert (row["qos"], row["retain"], row["content_type"]) == (1, True, "application/octet-stream")
    assert datetime.fromisoformat(row["sent_at"]) == datetime(2025, 2, 3, 3, 5, 6, 500_000, tzinfo=UTC)
    assert (row["payload"], row["body"], row["decode_error"]) == (None, "AP8gcmF3", None)


# Content-Type, body, headers, and what the history shows: payload, body, content_type.
PAYLOADS: dict[str, tuple[bytes, dict[str, str], tuple[Any, Any, Any]]] = {
    "text": ("21,5 °C".encode(), {"Content-Type": "text/plain"}, ("21,5 °C", None, "text/plain")),
    "text with a charset": (b"on", {"Content-Type": "text/plain; charset=utf-8"}, ("on", None, "text/plain")),
    "no text": (b"", {"Content-Type": "text/plain"}, ("", None, "text/plain")),
    "text that is JSON": (
        b'{"t": 1}', {"Content-Type": "text/plain", "X-Content-Type": "application/json"}, ({"t": 1}, None, "application/json"),
    ),
    "XML": (b"<t>21.5</t>", {"Content-Type": "text/xml"}, ("<t>21.5</t>", None, "text/xml")),
    "bytes": (b"\x00\xff", {"Content-Type": "application/octet-stream"}, (None, "AP8=", "application/octet-stream")),
    "gzip": (
        gzip.compress(b'{"t": 2}'),
        {"Content-Type": "application/octet-stream", "X-Content-Type": "application/json", "Content-Encoding": "gzip"},
        ({"t": 2}, None, "application/json"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", PAYLOADS)
def test_a_body_that_is_the_payload(home: Tenant, queue: Queue, kind: str) -> None:
    """As for mqtt_ingest_binary, headers say the rest."""
    device = home.device()
    data, headers, expected = PAYLOADS[kind]
    sent = {**device.headers, "X-Topic": device.topic(), "X-QoS": "1", **headers}
    message_id = accepted(device.api.call("mqtt_ingest", data=data, headers=sent))
    queue.work()
    row = stored(device, home, message_id)
    assert (row["payload"], row["body"], row["content_type"]) == expected
    assert (row["topic"], row["qos"], row["decode_error"]) == (device.topic(), 1, None)


def test_a_form_has_the_arguments_as_fields(home: Tenant, queue: Queue) -> None:
    device = home.device()
    form = f"topic={quote(device.topic())}&payload=21.5&qos=1&message_expiry=60"
    headers = {**device.headers, "Content-Type": "application/x-www-form-urlencoded"}
    message_id = accepted(device.api.call("mqtt_ingest", data=form, headers=headers))
    queue.work()
    row = stored(device, home, message_id)
    # PostgREST 12 makes JSON strings of the fields, later ones read them as JSON.
    assert (row["topic"], str(row["payload"]), row["qos"], row["properties"]) == (device.topic(), "21.5", 1, {"message_expiry": 60})


def test_mqtt_5_properties_are_stored_as_over_mqtt(home: Tenant, queue: Queue) -> None:
    device = home.device()
    wire = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    wire.ResponseTopic, wire.CorrelationData, wire.MessageExpiryInterval, wire.PayloadFormatIndicator = "answers/1", b"\x00\xff", 60, 1
    pairs = [["unit", "°C"], ["unit", "K"], ["timestamp", "2025-02-03T04:05:06Z"]]
    wire.UserProperty = [tuple(pair) for pair in pairs]
    over_mqtt, _ = read_properties(wire.pack())  # type: ignore[no-untyped-call]
    options = {
        "response_topic": "answers/1", "correlation_data": "AP8=", "message_expiry": 60, "payload_format": "utf-8",
        "user_properties": pairs,
    }  # fmt: skip
    message = {"topic": device.topic(), "payload": 1, **options}
    ids = [accepted(device.api.call("mqtt_ingest", message, headers=device.headers))]
    ids.append(accepted(device.api.call("mqtt_ingest?columns=message", message, headers=device.headers)))
    ids.append(str(uuid.uuid4()))
    assert device.send_batch([{**message, "message_id": ids[-1], "message_expiry": "60"}]).json() == {"accepted": 1, "rejected": []}
    headers = {
        **device.headers, "Content-Type": "application/octet-stream", "X-Content-Type": "application/json", "X-Topic": device.topic(),
        "X-Response-Topic": "answers/1", "X-Correlation-Data": "AP8=", "X-Message-Expiry": "60", "X-Payload-Format": "utf-8",
        "X-User-Properties": json.dumps(pairs),
    }  # fmt: skip
    ids.append(accepted(device.api.call("mqtt_ingest_binary", data=b"1", headers=headers)))
    assert queue.work()["processed"] == 4
    for message_id in ids:
        row = stored(device, home, message_id)
        assert (row["properties"], row["payload"]) == (json.loads(str(over_mqtt.rest)), 1)
        assert datetime.fromisoformat(row["sent_at"]) == datetime(2025, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert over_mqtt.content_type is None
    by_name = accepted(device.send(1, user_properties={"b": "1", "a": "2"}))
    none = accepted(device.send(1, user_properties={}, response_topic=None))
    assert queue.work()["processed"] == 2
    assert stored(device, home, by_name)["properties"] == {"user_properties": [["a", "2"], ["b", "1"]]}
    assert stored(device, home, none)["properties"] is None


def test_topics_of_every_script_pass(home: Tenant, queue: Queue) -> None:
    device = home.device()
    topics = [
        f"{device.topic_prefix}/{tail}" for tail in ("", "/", "a//b", " ", "Ångström/µ", "温度", "🌡️", "a%b_c", "e\u0301", "é", "x" * 60_000)
    ]
    assert device.send_batch([{"topic": topic, "payload": 1} for topic in topics]).json() == {"accepted": len(topics), "rejected": []}
    response = device.api.call(
        "mqtt_ingest_binary",
        data=b"1",
        headers={
            **device.headers,
            "Content-Type": "application/octet-stream",
            "X-Topic": f"{device.topic_prefix}/温度".encode().decode("latin-1"),
        },
    )
    accepted(response)
    queue.work()
    rows = device.api.rows("mqtt_messages", token=home.member, order="received_at,id")
    assert [row["topic"] for row in rows] == [*topics, f"{device.topic_prefix}/温度"]


def test_a_narrower_prefix_is_whole_levels_too(home: Tenant, queue: Queue) -> None:
    prefix = home.device().topic_prefix
    device = home.device(topic_prefix=f"{prefix}/devices/one")
    accepted(device.send(1, f"{prefix}/devices/one/telemetry"))
    assert device.send(1, f"{prefix}/devices/oneself/telemetry").json()["message"] == "topic_not_allowed"
    assert queue.work()["processed"] == 1


def test_the_answer_says_nothing_more_to_a_signed_in_app(home: Tenant, queue: Queue, stack: Any) -> None:
    """A device behind an app's token still logs in as a device: the token alone opens nothing."""
    device = home.device()
    message = {"topic": device.topic(), "payload": 1}
    assert device.api.call("mqtt_ingest", message, token=home.admin).json()["message"] == "invalid_credentials"
    assert device.api.call("mqtt_ingest", message, token=queue.service).json()["message"] == "invalid_credentials"
    accepted(device.api.call("mqtt_ingest", message, token=home.admin, headers=device.headers))
    assert queue.work()["processed"] == 1
