"""The curl commands and the Python snippet that users of the replaced system have, with only host, keys and ids replaced."""

import json
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.bridge.support import receipts
from tests.support.api import Api, Device, one
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import PROGRAM_PATIENCE, wait_until

HOST = "https://your-project.supabase.co"

TEST = """
curl -X POST https://your-project.supabase.co/functions/v1/mqtt-hybrid/test \\
  -H "Authorization: Bearer $SERVICE_ROLE_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "integration_id": "xxx-xxx-xxx",
    "organization_id": "yyy-yyy-yyy"
  }'
"""
PUBLISH = """
curl -X POST https://your-project.supabase.co/functions/v1/mqtt-hybrid/publish \\
  -H "Authorization: Bearer $SERVICE_ROLE_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "integration_id": "xxx-xxx-xxx",
    "organization_id": "yyy-yyy-yyy",
    "messages": [
      {
        "topic": "test/topic",
        "payload": {"test": true},
        "qos": 0
      }
    ]
  }'
"""
INGEST = """
curl -X POST https://your-project.supabase.co/functions/v1/mqtt-ingest \\
  -H "Authorization: Bearer $PASSWORD" \\
  -H "X-Client-ID: $CLIENT_ID" \\
  -H "X-Username: $USERNAME" \\
  -H "Content-Type: application/json" \\
  -d '{
    "topic": "org_netneural/devices/sensor01/telemetry",
    "payload": {"temperature": 23.5}
  }'
"""


@pytest.fixture(scope="module")
def house(stack: Stack, api: Api) -> Iterator[Tenant]:
    """An organization whose topics start as those of the commands do."""
    service = stack.token("service_role")
    admin = "00000000-0000-4000-8000-00000000c0de"
    organization = one(api.ok("create_organization", {"name": "n", "slug": "netneural", "admin_user_id": admin}, token=service))
    body = {"organization_id": organization["id"], "name": "main", "integration_type": "mqtt_hosted", "settings": {}}
    integration = one(api.ok("upsert_integration", body, token=service))
    yield Tenant(stack, api, organization["id"], "netneural", admin, admin, integration["id"])
    with stack.connect() as db:
        db.execute("DELETE FROM mqtt.organizations WHERE id = %s", (organization["id"],))


@pytest.fixture(scope="module")
def device(house: Tenant) -> Device:
    return house.device()


@pytest.fixture
def run(stack: Stack, house: Tenant, device: Device) -> Callable[[str], tuple[int, Any, dict[str, str]]]:
    """Runs a command in a shell; returns status, JSON body and headers."""

    def run(command: str) -> tuple[int, Any, dict[str, str]]:
        command = (
            command.replace(HOST, stack.gateway_url)
            .replace("xxx-xxx-xxx", house.integration_id)
            .replace("yyy-yyy-yyy", house.organization_id)
        )
        keys = {
            "SERVICE_ROLE_KEY": stack.token("service_role"),
            "PASSWORD": device.password,
            "CLIENT_ID": device.client_id,
            "USERNAME": device.username,
        }
        script = f"{command.strip()} --silent --show-error --include --max-time 30"
        done = subprocess.run(
            ["bash", "-c", script],
            env={"PATH": "/usr/bin:/bin", **keys},
            capture_output=True,
            text=True,
            check=False,
            timeout=PROGRAM_PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
        status, *lines = head.splitlines()
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines if ": " in line)}
        return int(status.split()[1]), json.loads(body) if body else None, headers

    return run


def test_the_commands_name_nothing_of_this_machine() -> None:
    for command in (TEST, PUBLISH, INGEST):
        assert re.findall(r"https?://[^/]+", command) == [HOST]
        assert shlex.split(command)[0] == "curl"


def test_http_ingestion(run: Callable[[str], Any], house: Tenant) -> None:
    status, body, _ = run(INGEST)
    assert (status, body["status"]) == (202, "queued")
    rows = wait_until(lambda: house.api.rows("mqtt_messages", token=house.admin, id=f"eq.{body['message_id']}"), what="the message stored")
    assert (rows[0]["topic"], rows[0]["payload"]) == ("org_netneural/devices/sensor01/telemetry", {"temperature": 23.5})


def test_the_request_as_its_format_is_written_down(run: Callable[[str], Any]) -> None:
    """With QoS and retain, as a request of the documented form has."""
    command = INGEST.replace(
        '"payload": {"temperature": 23.5}', '"payload": {"temperature": 23.5, "humidity": 65.2}, "qos": 0, "retain": false'
    )
    assert run(command)[0] == 202


def test_connection(run: Callable[[str], Any]) -> None:
    """Answered with the verdict, as by the replaced system, and not with the number of a request."""
    status, body, headers = run(TEST)
    assert (status, body["status"], body["result"]["ok"]) == (200, "done", True), body
    assert "x-accel-redirect" not in headers
    status, body, _ = run(TEST.replace("xxx-xxx-xxx", "00000000-0000-4000-8000-000000000000"))
    assert (status, body["message"]) == (404, "integration_not_found")
    assert run(TEST.replace("functions/v1/mqtt-hybrid/test", "verdict"))[0] == 404


def test_publish(run: Callable[[str], Any], house: Tenant) -> None:
    status, body, _ = run(PUBLISH)
    assert status == 202
    (receipt,) = body["receipts"]
    (settled,) = receipts(house, [receipt["receipt_id"]])
    assert (settled["state"], settled["topic"], settled["qos"]) == ("sent", "test/topic", 0)


def hybrid(path: str, body: dict[str, Any]) -> str:
    fields = {"integration_id": "xxx-xxx-xxx", "organization_id": "yyy-yyy-yyy", **body}
    return TEST.replace("mqtt-hybrid/test", f"mqtt-hybrid/{path}").split("-d '")[0] + f"-d {shlex.quote(json.dumps(fields))}"


def test_subscribe(run: Callable[[str], Any], house: Tenant) -> None:
    status, body, _ = run(hybrid("subscribe", {"topic": "test/#", "qos": 1}))
    assert 200 <= status < 300, body
    (row,) = house.api.rows("mqtt_subscriptions", token=house.admin, topic="eq.test/#")
    assert row["qos"] == 1


def test_credentials(run: Callable[[str], Any], stack: Stack) -> None:
    status, made, headers = run(hybrid("credentials", {"action": "generate"}))
    assert 200 <= status < 300, made
    assert len(made["password"]) == 32
    assert headers["cache-control"] == "no-store"
    status, listed, _ = run(hybrid("credentials", {"action": "get"}))
    assert status == 200
    assert made["username"] in {row["username"] for row in listed["credentials"]}
    assert not any("password" in row for row in listed["credentials"])
    login = {"Authorization": f"Bearer {made['password']}", "X-Client-ID": made["client_id"], "X-Username": made["username"]}
    message = {"topic": "org_netneural/devices/d/telemetry", "payload": 1}
    url = f"{stack.gateway_url}/functions/v1/mqtt-ingest"
    assert requests.post(url, json=message, headers=login).status_code == 202
    credential_id = next(row["id"] for row in listed["credentials"] if row["username"] == made["username"])
    assert run(hybrid("credentials", {"action": "revoke", "credential_id": credential_id}))[0] == 200
    assert requests.post(url, json=message, headers=login).status_code == 401


def test_the_python_snippet(stack: Stack, device: Device) -> None:
    password, client_id, username = device.password, device.client_id, device.username

    def send_telemetry(topic: str, payload: Any) -> bool:
        response = requests.post(
            f"{stack.gateway_url}/functions/v1/mqtt-ingest",
            headers={
                "Authorization": f"Bearer {password}",
                "X-Client-ID": client_id,
                "X-Username": username,
            },
            json={"topic": topic, "payload": payload, "qos": 0},
        )
        return response.status_code == 202

    assert send_telemetry("org_netneural/devices/sensor01/telemetry", {"temperature": 23.5, "humidity": 65.2})
