"""The app on @supabase/postgrest-js, through the gateway: reads, publishes, follows, asks, and is told what it did wrong."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.bridge.support import receipts
from tests.clients.conftest import JavaScriptApp, MosquittoClient
from tests.support.stack import Stack
from tests.support.tenant import Tenant, make_tenant
from tests.support.waiting import wait_until

Start = Callable[[str], JavaScriptApp]


def test_telemetry_is_read_and_a_command_reaches_the_device(
    home: Tenant, javascript: Start, mosquitto: Callable[..., MosquittoClient]
) -> None:
    """The whole main job: HTTP in, the app reads, the app publishes, the device has it, the receipt says so."""
    client = mosquitto()
    device, app = client.device, javascript(home.member)
    for n in range(5):
        assert device.send({"temperature": 20 + n, "humidity": 50}, device.topic("js1")).status_code == 202

    def telemetry() -> Any:
        rows = app.rpc("query_telemetry", device_id="js1", metrics=["temperature"], integration_id=home.integration_id)
        return rows if len(rows) == 5 else None

    rows = wait_until(telemetry, what="five readings")
    assert [(row["deviceId"], row["metrics"]) for row in rows] == [("js1", {"temperature": 20 + n}) for n in (4, 3, 2, 1, 0)]
    topic = f"{device.topic_prefix}/devices/js1/commands"
    listening = client.subscribe(topic, 1, "-q", "1")
    answer = app.rpc(
        "mqtt_publish",
        integration_id=home.integration_id,
        messages=[
            {"topic": topic, "payload": {"valve": "open"}, "qos": 1, "content_type": "application/json", "user_properties": {"by": "app"}}
        ],
    )
    (message,) = listening.messages()
    assert (message["topic"], message["payload"], message["qos"]) == (topic, '{"valve": "open"}', 1)
    receipt_ids = [receipt["receipt_id"] for receipt in answer["receipts"]]
    receipts(home, receipt_ids)
    (receipt,) = app.rpc("get_mqtt_publish_receipts", receipt_ids=receipt_ids, wait=10)
    assert (receipt["receipt_id"], receipt["state"], receipt["topic"]) == (receipt_ids[0], "acknowledged", topic)


def test_reading_with_filters_pages_and_counts(home: Tenant, javascript: Start) -> None:
    device, app = home.device(), javascript(home.member)
    topic = device.topic("js2")
    device.send_batch([{"topic": topic, "payload": {"n": n, "even": n % 2 == 0}} for n in range(20)])
    mine: list[Any] = ["eq", "topic", topic]
    wait_until(lambda: len(app.read("mqtt_messages", ["select", "id"], mine)) == 20, what="twenty messages")
    rows = app.read(
        "mqtt_messages",
        ["select", "payload->n,topic,device_id"],
        mine,
        ["eq", "payload->>even", "true"],
        ["order", "payload->n", {"ascending": False}],
        ["limit", 3],
    )
    assert [row["n"] for row in rows] == [18, 16, 14]
    counted = app.ask(**{"from": "mqtt_messages", "steps": [["select", "*", {"count": "exact", "head": True}], mine]})
    assert (counted["status"], counted["count"], counted["error"]) == (200, 20, None)
    page = app.read("mqtt_messages", ["select", "payload->n"], mine, ["order", "received_at"], ["order", "id"], ["range", 5, 7])
    assert [row["n"] for row in page] == [5, 6, 7]
    one = app.read("devices", ["select", "external_id,last_data"], ["eq", "external_id", "js2"], ["single"])
    assert one == {"external_id": "js2", "last_data": {"n": 19, "even": False}}
    assert app.read("devices", ["select", "*"], ["eq", "external_id", "none"], ["maybeSingle"]) is None


def test_readers_by_get(home: Tenant, javascript: Start) -> None:
    app = javascript(home.member)
    assert app.get("get_capabilities")["supportsTelemetry"] is True
    assert "devices" in app.get("list_devices", limit=1)
    assert isinstance(app.get("query_telemetry", limit=5), list)


def test_devices_page_by_page(home: Tenant, javascript: Start) -> None:
    app = javascript(home.member)
    names = [f"page{n:02}" for n in range(7)]
    for name in names:
        assert app.rpc("sync_device", integration_id=home.integration_id, external_id=name, metadata={"n": name})["external_id"] == name
    seen, cursor = [], None
    while True:
        page = app.rpc("list_devices", limit=3, cursor=cursor)
        seen += [device["external_id"] for device in page["devices"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [name for name in seen if name.startswith("page")] == names
    assert len(seen) == len(set(seen))


def test_an_admin_provisions_and_a_member_may_not(stack: Stack, home: Tenant, javascript: Start) -> None:
    admin, member = javascript(home.admin), javascript(home.member)
    settings = {"broker_url": "broker.example.com", "username": "u", "password": "secret-of-the-broker"}
    body = {"organization_id": home.organization_id, "name": "js", "integration_type": "mqtt_external", "settings": settings}
    denied = member.ask(rpc="upsert_integration", args=body)
    assert (denied["status"], denied["error"]["message"], denied["error"]["code"]) == (403, "admin_required", "PT403")
    integration = admin.rpc("upsert_integration", **body)
    assert "secret-of-the-broker" not in str(integration)
    assert integration["has_password"] is True
    credential = admin.rpc("generate_mqtt_credentials", integration_id=home.integration_id, device_id=None)
    assert len(credential["password"]) == 32
    subscription = admin.rpc("mqtt_subscribe", integration_id=integration["id"], topic="plant/+/state", qos=1)
    assert subscription["topic"] == "plant/+/state"
    assert admin.rpc("mqtt_unsubscribe", subscription_id=subscription["id"])["id"] == subscription["id"]
    assert admin.rpc("delete_integration", integration_id=integration["id"])["id"] == integration["id"]


def test_errors_carry_slug_details_and_hint(home: Tenant, javascript: Start) -> None:
    app = javascript(home.member)
    messages = [{"topic": f"org_{home.slug}/ok", "payload": 1}, {"topic": "a/+/b", "payload": 1}]
    answer = app.ask(rpc="mqtt_publish", args={"integration_id": home.integration_id, "messages": messages})
    assert answer["status"] == 400
    assert answer["error"]["message"] == "message_invalid"
    assert "messages[1]" in answer["error"]["details"]
    assert answer["error"]["hint"] == "None of the messages was queued."


@pytest.mark.parametrize("view", ["mqtt_messages", "devices", "mqtt_credentials", "device_integrations"])
def test_another_organization_sees_nothing(stack: Stack, home: Tenant, javascript: Start, view: str) -> None:
    stranger = make_tenant(stack, home.api)
    app = javascript(stranger.admin)
    assert app.read(view, ["select", "*"], ["eq", "organization_id", home.organization_id]) == []
    writes: list[list[Any]] = [
        ["insert", {"organization_id": home.organization_id}],
        ["upsert", {"organization_id": home.organization_id}],
        ["delete"],
    ]
    for write in writes:
        steps = [write] if write[0] != "delete" else [write, ["eq", "organization_id", home.organization_id]]
        assert app.ask(**{"from": view, "steps": steps})["status"] in {400, 401, 403, 405}


def test_connection_test(home: Tenant, javascript: Start) -> None:
    app = javascript(home.admin)
    request = app.rpc("mqtt_test_connection", integration_id=home.integration_id)
    verdict = app.rpc("get_mqtt_request", request_id=request["request_id"], wait=15)
    assert (verdict["status"], verdict["result"]["ok"]) == ("done", True)
