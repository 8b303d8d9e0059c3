"""The snippets of a new login, as they stand: each sends a reading, which the live stream and the device's page show."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from playwright.sync_api import Route, expect

from tests.console.conftest import Visit
from tests.stream.support import Viewers
from tests.support.stack import ROOT, Stack
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE, wait_until

PUBSUBCLIENT_BYTES = 256  # of a packet, by default (MQTT_MAX_PACKET_SIZE)


@dataclass(frozen=True)
class Login:
    visitor: Visit
    topic: str

    def snippet(self, language: str) -> str:
        page = self.visitor.page
        page.get_by_role("dialog").get_by_role("button", name=language, exact=True).click()
        return page.get_by_role("dialog").get_by_test_id("snippet").inner_text()


@pytest.fixture
def broker_url() -> str:
    """Where the answer says that the broker is, if elsewhere than it does: a URL, or the variable that has it."""
    return ""


@pytest.fixture
def login(visit: Callable[..., Visit], home: Tenant, stack: Stack, broker_url: str) -> Login:
    """One that an admin has just made on the page."""

    def answer(route: Route) -> None:
        response = route.fetch()
        route.fulfill(response=response, json={**response.json(), "broker_url": stack.env.get(broker_url, broker_url)})

    visitor = visit(home.admin, home.slug, "access")
    if broker_url:
        visitor.page.route("**/rpc/generate_mqtt_credentials", answer)
    visitor.page.get_by_role("button", name="New login").click()
    dialog = visitor.page.get_by_role("dialog")
    dialog.get_by_label("Topic prefix").fill(f"org_{home.slug}/devices/snippet")
    dialog.get_by_role("button", name="Generate", exact=True).click()
    expect(dialog.get_by_test_id("snippet")).to_be_visible()
    return Login(visitor, f"org_{home.slug}/devices/snippet/telemetry")


@pytest.fixture
def temperatures(stack: Stack, home: Tenant, login: Login) -> Iterator[Iterator[float]]:
    """What the live stream has of the login's topic, from now on."""
    viewers = Viewers(stack)
    events = viewers.events(home.member, topic=login.topic)

    def payloads() -> Iterator[float]:
        while True:
            yield events.payloads(1)[0]["temperature"]

    yield payloads()
    viewers.close()


def test_shell_commands(stack: Stack, login: Login, temperatures: Iterator[float]) -> None:
    for language in ("mosquitto_pub", "curl"):
        command = login.snippet(language)
        # The broker knows a new login a moment later.
        wait_until(lambda command=command: stack.run("exec", "bash", "-c", command, check=False).returncode == 0, what=command)  # type: ignore[misc]
        assert next(temperatures) == 21.5, language


def test_paho(login: Login, temperatures: Iterator[float]) -> None:
    program = login.snippet("Python (paho)")
    with subprocess.Popen([sys.executable, "-W", "error", "-c", program], stderr=subprocess.PIPE, text=True) as process:
        try:
            # It goes on sending.
            assert all(20 <= next(temperatures) <= 25 for _ in range(2))
            assert process.poll() is None
        finally:
            process.terminate()
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.parametrize("broker_url", ["MQTT_WS_URL"])
def test_a_broker_of_websockets(stack: Stack, login: Login, temperatures: Iterator[float], tmp_path: Path) -> None:
    dialog = login.visitor.page.get_by_role("dialog")
    expect(dialog.get_by_text("mosquitto_pub and mosquitto_sub 2.0 and PubSubClient do not")).to_be_visible()
    names = dialog.get_by_role("group", name="Language").get_by_role("button").all_inner_texts()
    assert names == ["JavaScript (MQTT.js)", "Python (paho)", "curl"]
    (tmp_path / "send.mjs").write_text(login.snippet(names[0]))
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    for command in (["node", str(tmp_path / "send.mjs")], [sys.executable, "-W", "error", "-c", login.snippet(names[1])]):
        with subprocess.Popen(command) as process:
            try:
                assert 20 <= next(temperatures) <= 25, command[0]
            finally:
                process.terminate()
    assert stack.run("exec", "bash", "-c", login.snippet(names[2])).returncode == 0
    assert next(temperatures) == 21.5


@pytest.mark.parametrize(
    ("broker_url", "language", "parts"),
    [
        ("wss://broker.example.com:8084/in", "JavaScript (MQTT.js)", ['connect("wss://broker.example.com:8084/in", {']),
        ("wss://[2001:db8::1]:443/mqtt", "JavaScript (MQTT.js)", ['connect("wss://[2001:db8::1]:443/mqtt", {']),
        ("wss://broker.example.com", "Python (paho)", ["tls_set()", 'path="/mqtt"', 'connect("broker.example.com", 443)']),
        ("mqtts://broker.example.com:443", "mosquitto_pub", ["-h broker.example.com -p 443 --capath"]),
        ("mqtt://[2001:db8::1]:80", "Python (paho)", ['connect("2001:db8::1", 80)']),
        ("mqtt://broker.example.com", "mosquitto_pub", ["-h broker.example.com -p 1883 -i"]),
    ],
)
def test_brokers_at_any_url(login: Login, language: str, parts: list[str]) -> None:
    snippet = login.snippet(language)
    assert [part for part in parts if part not in snippet] == []


def test_what_the_arduino_sketch_sends(login: Login, temperatures: Iterator[float]) -> None:
    """Its parameters, read from its text, over MQTT 3.1.1 with QoS 0 as PubSubClient speaks it; it is not compiled here."""
    sketch = login.snippet("Arduino")

    def arguments(call: str) -> list[str | int]:
        found = re.search(rf"mqtt\.{call}\((.*)\);$", sketch, re.MULTILINE)
        assert found is not None, sketch
        return json.loads(f"[{found[1].replace(', payload.c_str()', '')}]")  # type: ignore[no-any-return]  # C's strings are JSON's here

    host, port = arguments("setServer")
    client_id, username, password = map(str, arguments("connect"))
    (topic,) = map(str, arguments("publish"))
    pieces = re.search(r'String payload = String\((".*")\) \+ .* \+ (".*");', sketch)
    assert pieces is not None, sketch
    payload = f"{json.loads(pieces[1])}22.5{json.loads(pieces[2])}"
    for sent in ((client_id, username, password), (topic, payload)):
        assert 20 + sum(2 + len(part.encode()) for part in sent) <= PUBSUBCLIENT_BYTES
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv311)
    client.username_pw_set(username, password)

    def is_connected() -> bool:  # the broker knows a new login a moment later
        if client.connect(str(host), int(port)) is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            return False
        while client.loop(PATIENCE) is MQTTErrorCode.MQTT_ERR_SUCCESS:
            if client.is_connected():
                return True
        return False

    wait_until(is_connected, what="the connection")
    client.publish(topic, payload)
    assert next(temperatures) == 22.5
    client.disconnect()
