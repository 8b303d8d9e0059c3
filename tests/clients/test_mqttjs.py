"""MQTT.js at the local broker's WebSocket listener: the plugin's rules hold there as at the other one."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.clients.conftest import MosquittoClient, NodeApp
from tests.support.api import Device
from tests.support.quickstart import running
from tests.support.stack import ROOT, Stack
from tests.support.tenant import Tenant
from tests.support.waiting import wait_until

REFUSED = 135  # not authorized, MQTT 5 section 2.4


class Client(NodeApp):
    def next(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the client ended"
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def connected(device: Device, **changed: str) -> Iterator[Client]:
    environment = {
        "MQTT_WS_URL": device.api.url,
        "USERNAME": device.username,
        "PASSWORD": device.password,
        "CLIENT_ID": device.client_id,
        **changed,
    }
    command = ["node", str(Path(__file__).with_name("mqttjs.mjs"))]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Client(process)
        finally:
            process.terminate()


def test_a_login_may_do_there_what_it_may_do_elsewhere(home: Tenant, stack: Stack, mosquitto: Callable[..., MosquittoClient]) -> None:
    device = mosquitto().device
    url = stack.env["MQTT_WS_URL"]
    with connected(device, MQTT_WS_URL=url) as client:
        assert client.next() == {"connected": True}
        assert client.ask(subscribe=f"{device.topic_prefix}/#") == {"granted": [1]}
        for foreign in ("#", "org_demo/#", "$share/all/#"):
            assert client.ask(subscribe=foreign)["granted"][0] >= 128, foreign
        topic = device.topic("js1")
        told = [client.ask(publish=topic, payload="21.5"), client.next()]
        assert {"topic": topic, "payload": "21.5"} in told
        assert {"acknowledged": 0} in told
        wait_until(lambda: home.api.rows("mqtt_messages", token=home.member, topic=f"eq.{topic}"), what="the message")
        assert client.ask(publish="org_demo/devices/js1/telemetry", payload="1") == {"acknowledged": REFUSED}
        (credential,) = home.api.rows("mqtt_credentials", token=home.admin, username=f"eq.{device.username}")
        home.api.ok("revoke_mqtt_credentials", {"credential_id": credential["id"]}, token=home.admin)
        while client.next() != {"closed": True}:
            pass


def test_who_may_not_log_in_elsewhere_may_not_there(stack: Stack, mosquitto: Callable[..., MosquittoClient]) -> None:
    device = mosquitto().device
    for wrong in ({"PASSWORD": "wrong"}, {"CLIENT_ID": "another"}, {"USERNAME": "nobody"}):
        with connected(device, MQTT_WS_URL=stack.env["MQTT_WS_URL"], **wrong) as client:
            assert client.next()["refused"] == REFUSED, wrong


def test_the_how_to(stack: Stack, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "how-to" / "follow-messages-live.md").read_text().partition("with MQTT.js at the broker\n")[2]
    match = re.search(r"^```js\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert match is not None
    (tmp_path / "follow.mjs").write_text(match[1])
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    with running(stack, ["node", "follow.mjs"], tmp_path) as said:
        assert next(said) == "subscribed\n"
        stack.run("topicbase", "publish", stack.env["DEMO_INTEGRATION_ID"], "org_demo/devices/js2/commands", '{"led": "on"}')
        assert next(said) == 'org_demo/devices/js2/commands {"led": "on"}\n'
