"""The app on `postgrest` for Python, through the gateway."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from postgrest import APIError, CountMethod, SyncPostgrestClient

from tests.bridge.support import receipts
from tests.clients.conftest import MosquittoClient
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import wait_until


@pytest.fixture
def app(stack: Stack, home: Tenant) -> Iterator[SyncPostgrestClient]:
    with SyncPostgrestClient(f"{stack.gateway_url}/rest/v1", schema="api", headers={"Authorization": f"Bearer {home.member}"}) as client:
        yield client


def rpc(app: SyncPostgrestClient, name: str, **arguments: Any) -> Any:
    return app.rpc(name, arguments).execute().data


def test_the_main_job(home: Tenant, app: SyncPostgrestClient, mosquitto: Callable[..., MosquittoClient]) -> None:
    client = mosquitto()
    device = client.device
    assert device.send({"temperature": 21.5}, device.topic("py1")).status_code == 202
    query = app.from_("mqtt_messages").select("topic, payload, qos").eq("topic", device.topic("py1"))
    rows = wait_until(lambda: query.execute().data, what="the message stored")
    assert rows == [{"topic": device.topic("py1"), "payload": {"temperature": 21.5}, "qos": 0}]
    (reading,) = rpc(app, "query_telemetry", device_id="py1", integration_id=home.integration_id)
    assert (reading["deviceId"], reading["metrics"]) == ("py1", {"temperature": 21.5})
    topic = f"{device.topic_prefix}/devices/py1/commands"
    listening = client.subscribe(topic, 3, "-q", "2")
    messages = [{"topic": topic, "payload": n, "qos": n} for n in range(3)]
    answer = rpc(app, "mqtt_publish", integration_id=home.integration_id, messages=messages)
    assert [(message["payload"], message["qos"]) for message in listening.messages()] == [("0", 0), ("1", 1), ("2", 2)]
    ids = [receipt["receipt_id"] for receipt in answer["receipts"]]
    receipts(home, ids)
    found = rpc(app, "get_mqtt_publish_receipts", receipt_ids=ids, wait=10)
    assert [(r["receipt_id"], r["state"]) for r in found] == list(zip(ids, ["sent", "acknowledged", "acknowledged"], strict=True))


def test_counts_and_pages(home: Tenant, app: SyncPostgrestClient) -> None:
    device = home.device()
    topic = device.topic("py2")
    device.send_batch([{"topic": topic, "payload": n} for n in range(10)])

    def count() -> int | None:
        return app.from_("mqtt_messages").select("*", count=CountMethod.exact, head=True).eq("topic", topic).execute().count

    wait_until(lambda: count() == 10, what="ten messages")
    page = app.from_("mqtt_messages").select("payload").eq("topic", topic).order("received_at").order("id").range(4, 6).execute()
    assert page.data == [{"payload": 4}, {"payload": 5}, {"payload": 6}]


def test_queue_statistics(home: Tenant, app: SyncPostgrestClient) -> None:
    numbers = rpc(app, "get_mqtt_queue_stats", org_id=home.organization_id)
    assert numbers.keys() >= {"pending", "processing", "completed", "failed", "rates"}


def test_errors(home: Tenant, app: SyncPostgrestClient) -> None:
    with pytest.raises(APIError) as caught:
        rpc(app, "mqtt_publish", integration_id="00000000-0000-4000-8000-000000000000", messages=[])
    assert (caught.value.code, caught.value.message) == ("PT404", "integration_not_found")
    assert caught.value.hint
    with pytest.raises(APIError) as caught:
        rpc(app, "generate_mqtt_credentials", integration_id=home.integration_id)
    assert (caught.value.code, caught.value.message) == ("PT403", "admin_required")
