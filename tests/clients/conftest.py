"""The app in JavaScript, and devices that speak MQTT with Mosquitto's programs."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api, Device
from tests.support.stack import ROOT, Stack
from tests.support.tenant import Tenant, make_tenant
from tests.support.waiting import PATIENCE, wait_until


@dataclass
class NodeApp:
    """A program in Node that answers each line of JSON with one."""

    process: subprocess.Popen[str]

    def ask(self, **command: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the app ended"
        answer: dict[str, Any] = json.loads(line)
        return answer


class JavaScriptApp(NodeApp):
    """`@supabase/postgrest-js`."""

    def rpc(self, rpc: str, /, **arguments: Any) -> Any:
        """What must succeed: its data."""
        answer = self.ask(rpc=rpc, args=arguments)
        assert answer["error"] is None, answer
        return answer["data"]

    def get(self, rpc: str, /, **arguments: Any) -> Any:
        """The same by HTTP GET, for what only reads."""
        answer = self.ask(rpc=rpc, args=arguments, get=True)
        assert answer["error"] is None, answer
        return answer["data"]

    def read(self, view: str, *steps: list[Any]) -> Any:
        answer = self.ask(**{"from": view, "steps": list(steps)})
        assert answer["error"] is None, answer
        return answer["data"]


@pytest.fixture
def javascript(stack: Stack) -> Iterator[Callable[[str], JavaScriptApp]]:
    """`javascript(token)`: an app that is signed in with that token, behind the gateway."""
    started: list[subprocess.Popen[str]] = []

    def start(token: str) -> JavaScriptApp:
        process = subprocess.Popen(
            ["node", str(Path(__file__).with_name("app.mjs"))],
            cwd=ROOT,
            env={**os.environ, "REST_URL": f"{stack.gateway_url}/rest/v1", "TOKEN": token},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return JavaScriptApp(process)

    yield start
    for process in started:
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 0


@dataclass
class Subscriber:
    """A running mosquitto_sub; `granted` is the broker's answer to its subscription."""

    process: subprocess.Popen[str]
    granted: str

    def messages(self) -> list[dict[str, Any]]:
        """What it received by its end: topic, payload (text), qos, retain and MQTT 5 properties of each."""
        assert self.process.stdout is not None
        with self.process:
            return [json.loads(line) for line in self.process.stdout if line.startswith("{")]


@dataclass
class MosquittoClient:
    """A device that uses mosquitto_pub and mosquitto_sub with its credentials."""

    stack: Stack
    device: Device

    def arguments(self, protocol: str) -> list[str]:
        device = self.device
        broker = ["-h", self.stack.mqtt_host, "-p", str(self.stack.mqtt_port), "-V", protocol]
        return [*broker, "-u", device.username, "-P", device.password, "-i", device.client_id]

    def publish(
        self, topic: str, payload: str | bytes, *more: str, protocol: str = "5", check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        command = ["mosquitto_pub", *self.arguments(protocol), "-t", topic, "-s", *more]
        data = payload if isinstance(payload, bytes) else payload.encode()
        return subprocess.run(command, input=data, capture_output=True, check=check, timeout=PATIENCE)

    def subscribe(self, topic: str, count: int, *more: str, protocol: str = "5") -> "Subscriber":
        """Starts mosquitto_sub and returns once the broker granted its subscription; it ends after so many messages."""
        command = [
            "stdbuf",
            "-oL",
            "mosquitto_sub",
            *self.arguments(protocol),
            "-t",
            topic,
            "-C",
            str(count),
            "-W",
            f"{PATIENCE:.0f}",
            "-d",
            "-F",
            "%j",
            *more,
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert process.stdout is not None
        seen = ""
        while not (line := process.stdout.readline()).startswith("Subscribed "):
            seen += line
            assert line, f"mosquitto_sub ended: {seen}"
        return Subscriber(process, granted=line.rsplit(": ")[-1].strip())

    def may_log_in(self) -> bool:
        return self.publish(f"{self.device.topic_prefix}/hello", "1", "-q", "1", check=False).returncode == 0


@pytest.fixture(scope="module")
def home(stack: Stack, api: Api) -> Tenant:
    return make_tenant(stack, api)


@pytest.fixture
def mosquitto(stack: Stack, home: Tenant) -> Callable[..., MosquittoClient]:
    """`mosquitto(**arguments)`: a device with new credentials, which the broker knows."""

    def make(**arguments: Any) -> MosquittoClient:
        client = MosquittoClient(stack, home.device(**arguments))
        wait_until(client.may_log_in, what="the broker knowing the device")
        return client

    return make
