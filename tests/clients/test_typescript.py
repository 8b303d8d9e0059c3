"""clients/typescript, packed and installed as an app would."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.clients.conftest import NodeApp
from tests.support.portal import portal
from tests.support.quickstart import quickstart, run, running
from tests.support.stack import ROOT, Stack
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE, PROGRAM_PATIENCE, wait_until

SECRET = "whsec_c2VjcmV0IG9mIGEgc3Vic2NyaXB0aW9uLCAzMiBi"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which the package is installed: what `npm pack` packed is unpacked, as `npm install` does it."""
    base = tmp_path_factory.mktemp("typescript")
    environment = {**os.environ, "npm_config_cache": str(base / "cache"), "npm_config_update_notifier": "false"}
    package = base / "package"
    shutil.copytree(ROOT / "clients" / "typescript", package, ignore=shutil.ignore_patterns("dist"))
    (base / "node_modules").symlink_to(ROOT / "node_modules")  # where npm finds tsc
    subprocess.run(
        ["npm", "pack", "--silent", "--pack-destination", str(base)], cwd=package, env=environment, check=True, timeout=PROGRAM_PATIENCE
    )
    (archive,) = base.glob("*.tgz")
    (base / "unpacked").mkdir()
    subprocess.run(["tar", "-xzf", archive, "-C", base / "unpacked"], check=True)
    project = base / "app"
    shutil.copytree(base / "unpacked" / "package", project / "node_modules" / "topicbase-client")
    return project


class App(NodeApp):
    def ok(self, **command: Any) -> Any:
        answer = self.ask(**command)
        assert "error" not in answer, answer
        return answer["data"]

    def provide(self, method: str, *arguments: Any) -> Any:
        return self.ok(provide=method, args=arguments)


@pytest.fixture(scope="module")
def app(stack: Stack, home: Tenant, project: Path) -> Iterator[App]:
    shutil.copy(Path(__file__).with_name("client.mjs"), project)
    environment = {
        "API_URL": f"{stack.gateway_url}/rest/v1/",
        "TOKEN": home.admin,
        "ORGANIZATION_ID": home.organization_id,
        "INTEGRATION_ID": home.integration_id,
    }
    process = subprocess.Popen(
        ["node", "client.mjs"], cwd=project, env={**os.environ, **environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield App(process)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0


def test_the_quickstart(stack: Stack, project: Path) -> None:
    (project / "quickstart.mjs").write_text(quickstart("typescript", "js"))
    *_, last = run(stack, ["node", "quickstart.mjs"], project).splitlines()
    assert last == "org_demo/devices/sensor01/commands acknowledged"


def test_following_as_the_readme_shows(stack: Stack, project: Path) -> None:
    (project / "follow.mjs").write_text(quickstart("typescript", "js", "Follow what comes"))
    with (
        stack.connect() as connection,
        running(stack, ["node", "--experimental-websocket", "--no-warnings", "follow.mjs"], project) as said,
    ):
        while next(said) != "That is how it stands; changes follow.\n":
            pass
        connection.execute(
            "INSERT INTO mqtt.devices (organization_id, integration_id, external_id) VALUES (%s, %s, 'ts-follow')",
            (stack.env["DEMO_ORGANIZATION_ID"], stack.env["DEMO_INTEGRATION_ID"]),
        )
        while next(said) != "ts-follow unknown\n":
            pass


def test_the_package_has_types_and_needs_nothing(project: Path) -> None:
    package = project / "node_modules" / "topicbase-client"
    described = json.loads((package / "package.json").read_text())
    assert not {"dependencies", "peerDependencies", "bundleDependencies"} & described.keys()
    exported = described["exports"]["."]
    assert all((package / path).is_file() for path in exported.values())
    assert (package / "README.md").is_file()


def test_calls_send_the_organization_and_errors_are_the_apis(home: Tenant, app: App) -> None:
    body = {"name": "from the client", "integration_type": "mqtt_external", "settings": {"broker_url": "broker.example.com"}}
    assert app.ok(call="upsert_integration", args=body)["organization_id"] == home.organization_id
    assert app.ok(call="get_caller")["user_id"] == home.admin_id
    error = app.ask(call="mqtt_publish", args={"integration_id": home.integration_id, "messages": []})["error"]
    assert (error["name"], error["status"], error["slug"]) == ("TopicbaseError", 400, "messages_empty")
    assert error["detail"] in error["message"]
    assert error["hint"] in error["message"]
    with portal((200, "<html>")) as (url, _):
        error = app.ask(call="get_caller", url=url)["error"]
    assert (error["name"], error["status"], error["slug"]) == ("TopicbaseError", 200, "answer_invalid")


def test_pages(home: Tenant, app: App) -> None:
    device = home.device()
    topic = device.topic("ts1")
    device.send_batch([{"topic": topic, "payload": {"n": n}} for n in range(7)])
    wait_until(lambda: len(app.ok(list="messages", args={"topic": topic, "limit": 3})) == 7, what="seven messages")
    found = app.ok(list="messages", args={"topic": topic, "limit": 3, "oldest_first": True})
    assert [row["payload"]["n"] for row in found] == list(range(7))
    assert [row["metrics"]["n"] for row in app.ok(list="telemetry", args={"device_id": "ts1", "limit": 3})] == [6, 5, 4, 3, 2, 1, 0]
    for n in range(4):
        app.provide("syncDevice", {"externalId": f"ts-page{n}"})
    names = [row["external_id"] for row in app.ok(list="devices", args={"limit": 2})]
    assert [name for name in names if name.startswith("ts-page")] == [f"ts-page{n}" for n in range(4)]
    assert len(set(names)) == len(names)


def test_the_providers_eight_operations(home: Tenant, app: App) -> None:
    device = home.device()
    assert app.provide("getDevice", "ts2") is None
    app.provide("syncDevice", {"externalId": "ts2", "name": "Boiler", "metadata": {"floor": 1}})
    found = app.provide("getDevice", "ts2")
    assert (found["name"], found["metadata"]) == ("Boiler", {"floor": 1})
    page = app.provide("listDevices", {"limit": 1})
    assert len(page["devices"]) == 1
    device.send({"temperature": 21.5}, device.topic("ts2"))
    (reading,) = wait_until(lambda: [row for row in app.provide("queryTelemetry") if row["deviceId"] == "ts2"], what="the reading")
    assert reading["metrics"] == {"temperature": 21.5}
    app.provide("subscribeToTopic", f"{device.topic_prefix}/ts/#", 1)
    assert home.api.rows("mqtt_subscriptions", token=home.member, topic=f"eq.{device.topic_prefix}/ts/#", qos="eq.1")
    topic = f"{device.topic_prefix}/devices/ts2/commands"
    app.provide("publishMessage", topic, {"led": "on"}, {"qos": 1})
    wait_until(lambda: home.api.rows("mqtt_publish_receipts", token=home.member, topic=f"eq.{topic}", state="eq.acknowledged"))
    verdict = app.provide("testConnection")
    assert (verdict["success"], verdict["result"]["ok"]) == (True, True)
    assert app.provide("getCapabilities") == home.api.ok("get_capabilities", token=home.member)


def test_live_messages_across_a_new_connection(stack: Stack, home: Tenant, project: Path) -> None:
    device = home.device()
    topic = device.topic("ts3")
    shutil.copy(Path(__file__).with_name("live.mjs"), project)
    environment = {**os.environ, "STREAM_URL": stack.env["STREAM_URL"], "TOKEN": home.member, "TOPIC": topic}
    # Before Node.js 22, WebSocket is there only when asked for.
    command = ["node", "--experimental-websocket", "--no-warnings", "live.mjs"]
    with subprocess.Popen(command, cwd=project, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        events = map(json.loads, process.stdout)
        assert next(events)["type"] == "subscribed"
        device.send(1, topic)
        device.send(2, topic)
        seen = [next(events), next(events)]
        stack.stop("stream")
        try:
            device.send(3, topic)
        finally:
            stack.start("stream")
        device.send("end", topic)
        seen += events
    assert [event["message"]["payload"] for event in seen if event["type"] == "message"] == [1, 2, 3, "end"]
    assert [event["type"] for event in seen].count("subscribed") == 1
    assert process.returncode == 0
    refused = subprocess.run(
        command, cwd=project, env={**environment, "TOKEN": "nonsense"}, capture_output=True, text=True, check=True, timeout=PROGRAM_PATIENCE
    )
    assert json.loads(refused.stdout) == {"name": "TopicbaseError", "slug": "token_invalid"}


def test_webhooks(app: App) -> None:
    now, body = datetime.now(UTC), json.dumps({"type": "mqtt.message", "payload": {"name": "Köln"}}, ensure_ascii=False)
    headers = {
        "Webhook-Id": "m1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("m1", now, body),
    }
    other = Webhook("whsec_" + "A" * 32).sign("m1", now, body)
    assert app.ok(verify=[SECRET, headers, body])["payload"] == {"name": "Köln"}
    assert app.ok(verify=[SECRET, {**headers, "webhook-signature": f"{other} {headers['webhook-signature']}"}, body])
    late = str(int(time.time()) - 400)
    signed_late = Webhook(SECRET).sign("m1", datetime.fromtimestamp(int(late), UTC), body)
    assert app.ok(verify=[SECRET, {**headers, "webhook-timestamp": late, "webhook-signature": signed_late}, body, {"tolerance": 500}])
    for wrong, changed in [
        ({**headers, "webhook-signature": other}, body),
        ({**headers, "webhook-signature": "v1,not base64 ä"}, body),
        ({**headers, "webhook-timestamp": late, "webhook-signature": signed_late}, body),
        ({**headers, "webhook-timestamp": "now"}, body),
        ({"webhook-id": "m1"}, body),
        ({**headers, "Webhook-Id": "m2"}, body),
        (headers, body.replace("Köln", "Bonn")),
    ]:
        assert app.ask(verify=[SECRET, wrong, changed])["error"]["name"] == "WebhookError", wrong
