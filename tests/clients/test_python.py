"""clients/python as an app: calls, pages, errors, webhooks."""

import asyncio
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path

import pytest
from standardwebhooks import Webhook
from topicbase_client import AsyncLive, AsyncTopicbase, Device, Live, Topicbase, TopicbaseError, WebhookError, verify_webhook

from tests.support.ports import held_port
from tests.support.quickstart import quickstart, run, running
from tests.support.stack import ROOT, Stack
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE, PROGRAM_PATIENCE, wait_until

SECRET = "whsec_c2VjcmV0IG9mIGEgc3Vic2NyaXB0aW9uLCAzMiBi"


@pytest.fixture
def client(stack: Stack, home: Tenant) -> Iterator[Topicbase]:
    with Topicbase(f"{stack.gateway_url}/rest/v1/", token=lambda: home.admin, organization_id=home.organization_id) as client:
        yield client


def test_the_quickstart_with_the_installed_package(stack: Stack, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "clients" / "python", tmp_path / "source")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", "installed", "./source"]
    subprocess.run(pip, cwd=tmp_path, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}, check=True, timeout=PROGRAM_PATIENCE)
    assert (tmp_path / "installed" / "topicbase_client" / "py.typed").is_file()
    (tmp_path / "quickstart.py").write_text(quickstart("python", "python"))
    before = datetime.now(UTC)
    run(stack, [sys.executable, "quickstart.py"], tmp_path, PYTHONPATH=str(tmp_path / "installed"))
    with Topicbase(stack.api_url, token=stack.token("authenticated", stack.env["DEMO_USER_ID"])) as client:
        (reading,) = wait_until(lambda: list(client.telemetry(device_id="sensor01", since=before.isoformat())), what="the reading")
    assert reading["metrics"] == {"temperature": 23.5}


def test_following_as_the_readme_shows(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "follow.py").write_text(quickstart("python", "python", "Follow what comes"))
    with Topicbase(stack.api_url, token=stack.token("authenticated", stack.env["DEMO_USER_ID"])) as client:
        integration_id = stack.env["DEMO_INTEGRATION_ID"]
        device = client.call("sync_device", integration_id=integration_id, external_id="sensor01")
        login = client.call("generate_mqtt_credentials", integration_id=integration_id, device_id=str(device["id"]))
    with (
        running(stack, [sys.executable, "follow.py"], tmp_path, PYTHONPATH=str(ROOT / "clients" / "python")) as said,
        Device(stack.api_url, str(login["username"]), str(login["password"]), str(login["client_id"])) as sender,
    ):
        # It begins with what comes next, whenever that is.
        while not select.select([said], [], [], 0.2)[0]:
            sender.send(f"{login['topic_prefix']}/telemetry", {"temperature": 23.5})
        assert next(said).endswith(" {'temperature': 23.5}\n")


def test_live_sync_and_async_across_a_new_connection(stack: Stack, home: Tenant) -> None:
    device, seen = home.device(), []
    topic, url = device.topic("pc2"), stack.env["STREAM_URL"]
    events = Live(url, token=lambda: home.member).subscribe(topic=topic)
    assert next(events).type == "subscribed"

    async def until_the_end() -> None:
        async for event in AsyncLive(url, token=home.member).subscribe(topic=topic):
            seen.append(event)
            if event.data.get("payload") == "end":
                return

    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(lambda: asyncio.run(until_the_end()))
        wait_until(lambda: seen, what="the other subscription")
        device.send(1, topic)
        first = next(events)
        assert first.data["payload"] == 1
        stack.stop("stream")
        try:
            device.send(2, topic)
        finally:
            stack.start("stream")
        device.send("end", topic)
        payloads: list[object] = []
        while payloads[-1:] != ["end"]:
            event = next(events)
            payloads += [event.data["payload"]] if event.type == "message" else []
        ended.result(timeout=PATIENCE)
    assert payloads == [2, "end"]
    assert [event.data["payload"] for event in seen if event.type == "message"] == [1, 2, "end"]
    with stack.connect() as connection:
        connection.execute("DELETE FROM mqtt.history WHERE id = %s", (event.data["id"],))
    resumed = Live(url, token=home.member).subscribe(topic=topic, since=first.cursor or "")
    told = [next(resumed) for _ in range(3)]
    assert {event.type for event in told} == {"subscribed", "gap", "message"}
    assert [event.data for event in told if event.type == "gap"] == [{"reason": "history_removed", "lost": True}]


def test_live_with_a_key_and_what_is_refused(stack: Stack, home: Tenant) -> None:
    made = home.api.ok("create_api_key", {"organization_id": home.organization_id, "name": "live"}, token=home.admin)
    live = Live(stack.env["STREAM_URL"], api_key=made["key"])
    events = live.subscribe(stream="integrations")
    rows = [event.data["id"] for event in takewhile(lambda event: event.type != "current", events) if event.type == "integrations"]
    assert home.integration_id in rows
    home.api.ok("revoke_api_key", {"key_id": made["id"]}, token=home.admin)
    with pytest.raises(TopicbaseError, match="api_key_invalid"):
        list(events)
    with pytest.raises(TopicbaseError, match="topic_invalid"):
        next(Live(stack.env["STREAM_URL"], token=home.member).subscribe(topic="a/#/b"))


def test_calls_send_the_organization_and_errors_are_the_apis(home: Tenant, client: Topicbase) -> None:
    settings = {"broker_url": "broker.example.com"}
    row = client.call("upsert_integration", name="from Python", integration_type="mqtt_external", settings=settings)
    assert row["organization_id"] == home.organization_id
    with pytest.raises(TopicbaseError, match="messages_empty") as caught:
        client.call("mqtt_publish", integration_id=home.integration_id, messages=[])
    assert (caught.value.status, caught.value.slug) == (400, "messages_empty")
    assert caught.value.detail
    assert caught.value.hint
    with (
        held_port() as port,
        Topicbase(f"http://127.0.0.1:{port.number}") as nobody,
        pytest.raises(TopicbaseError, match="unreachable") as caught,
    ):
        nobody.call("get_caller")
    assert caught.value.status == 0


def test_pages_sync_and_async(stack: Stack, home: Tenant, client: Topicbase) -> None:
    device = home.device()
    topic = device.topic("pc1")
    device.send_batch([{"topic": topic, "payload": {"n": n}} for n in range(7)])
    wait_until(lambda: len(list(client.messages(topic=topic, limit=3))) == 7, what="seven messages")
    messages = [row["payload"]["n"] for row in client.messages(topic=topic, limit=3, oldest_first=True)]
    readings = [row["metrics"]["n"] for row in client.telemetry(device_id="pc1", limit=3)]
    for n in range(4):
        client.call("sync_device", integration_id=home.integration_id, external_id=f"pc-page{n}")
    devices = [str(row["external_id"]) for row in client.devices(limit=2)]
    assert (messages, readings) == (list(range(7)), list(range(6, -1, -1)))
    assert [name for name in devices if name.startswith("pc-page")] == [f"pc-page{n}" for n in range(4)]

    async def same() -> None:
        async with AsyncTopicbase(stack.api_url, token=home.admin, organization_id=home.organization_id) as other:
            assert [row["payload"]["n"] async for row in other.messages(topic=topic, limit=3, oldest_first=True)] == messages
            assert [row["metrics"]["n"] async for row in other.telemetry(device_id="pc1", limit=3)] == readings
            assert [row["external_id"] async for row in other.devices(limit=2)] == devices
            with pytest.raises(TopicbaseError, match="device_not_found"):
                await other.call("get_device", device_id="nobody")

    asyncio.run(same())


def test_webhooks() -> None:
    now, body = datetime.now(UTC), json.dumps({"type": "mqtt.message", "payload": {"name": "Köln"}}, ensure_ascii=False)
    headers = {
        "Webhook-Id": "m1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("m1", now, body),
    }
    other = Webhook("whsec_" + "A" * 32).sign("m1", now, body)
    assert verify_webhook(SECRET, headers, body.encode())["payload"] == {"name": "Köln"}
    assert verify_webhook(SECRET, {**headers, "webhook-signature": f"{other} {headers['webhook-signature']}"}, body)
    late = str(int(time.time()) - 400)
    signed_late = Webhook(SECRET).sign("m1", datetime.fromtimestamp(int(late), UTC), body)
    assert verify_webhook(SECRET, {**headers, "webhook-timestamp": late, "webhook-signature": signed_late}, body, tolerance=500)
    for wrong, changed in [
        ({**headers, "webhook-signature": other}, body),
        ({**headers, "webhook-signature": "v1,ä"}, body),
        ({**headers, "webhook-timestamp": late, "webhook-signature": signed_late}, body),
        ({**headers, "webhook-timestamp": "now"}, body),
        ({"webhook-id": "m1"}, body),
        ({**headers, "Webhook-Id": "m2"}, body),
        (headers, body.replace("Köln", "Bonn")),
    ]:
        with pytest.raises(WebhookError):
            verify_webhook(SECRET, wrong, changed)
