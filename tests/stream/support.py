"""Viewers of the live stream, over both protocols, through the gateway; and messages for them to see."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from websockets.sync.client import ClientConnection, connect

from tests.support.ports import held_port
from tests.support.stack import ROOT, Stack
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE, wait_until


@dataclass(frozen=True)
class Event:
    name: str
    id: str | None
    data: dict[str, Any]


class Events:
    """An EventSource."""

    def __init__(self, response: requests.Response) -> None:
        self.response = response
        self._lines = self._split(response)
        self.cursor: str | None = None

    @staticmethod
    def _split(response: requests.Response) -> Iterator[str]:
        rest = b""
        for part in response.iter_content(chunk_size=None):
            *lines, rest = (rest + part).split(b"\n")
            yield from (line.decode() for line in lines)

    def next(self) -> Event:
        """The next event but comments; at the end of the stream, EOFError."""
        fields: dict[str, str] = {}
        for line in self._lines:
            if not line and fields:
                break
            name, _, value = line.partition(": ")
            if name and line[0] != ":":
                fields[name] = value
        if not fields:
            raise EOFError
        self.cursor = fields.get("id", self.cursor)
        return Event(fields["event"], fields.get("id"), json.loads(fields["data"]))

    def payloads(self, count: int) -> list[Any]:
        """The payloads of the next messages."""
        found = []
        for _ in range(count):
            event = self.next()
            assert event.name == "message", event
            found.append(event.data["payload"])
        return found


class Frames:
    """A WebSocket that has said hello."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def send(self, **frame: Any) -> None:
        self.connection.send(json.dumps(frame))

    def next(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(self.connection.recv(timeout=PATIENCE))
        return frame

    def ask(self, **frame: Any) -> dict[str, Any]:
        self.send(**frame)
        return self.next()


class Viewers:
    def __init__(self, stack: Stack, url: str | None = None) -> None:
        self.url = url or stack.env["STREAM_URL"]
        self._opened = ExitStack()

    def get(self, token: str | None, headers: dict[str, str] | None = None, **query: str) -> requests.Response:
        authorization = {} if token is None else {"Authorization": f"Bearer {token}"}
        response = requests.get(self.url, params=query, headers={**authorization, **(headers or {})}, stream=True, timeout=PATIENCE)
        self._opened.callback(response.close)
        return response

    def events(self, token: str | None, headers: dict[str, str] | None = None, **query: str) -> Events:
        response = self.get(token, headers, **query)
        assert response.status_code == 200, response.text
        events = Events(response)
        assert events.next().name == "subscribed"
        return events

    def refused(self, status: int, slug: str, token: str | None, headers: dict[str, str] | None = None, **query: str) -> None:
        response = self.get(token, headers, **query)
        # A stream that begins has no end to read to.
        assert response.status_code == status, response.headers
        assert response.json()["message"] == slug

    def frames(self, token: str | None, api_key: str | None = None, headers: dict[str, str] | None = None) -> Frames:
        frames = Frames(self._opened.enter_context(connect(self.url.replace("http", "ws", 1), max_size=None, additional_headers=headers)))
        login = {"token": token, "api_key": api_key}
        assert frames.ask(type="hello", **{name: value for name, value in login.items() if value is not None}) == {"type": "ready"}
        return frames

    def close(self) -> None:
        self._opened.close()


def settle(
    home: Tenant, payloads: list[Any], topic: str = "devices/d1/telemetry", batch: int = 1000, integration_id: str | None = None
) -> None:
    """Messages of a device, through the queue into the history."""
    with home.stack.connect() as connection:
        connection.execute(
            "INSERT INTO pgmq.q_mqtt_messages (vt, organization_id, integration_id, message)"
            " SELECT now(), %s, %s, jsonb_build_object('topic', %s::text, 'payload', p.value)"
            " FROM jsonb_array_elements(%s) WITH ORDINALITY AS p (value, n) ORDER BY p.n",
            (home.organization_id, integration_id or home.integration_id, f"org_{home.slug}/{topic}", json.dumps(payloads)),
        )
        while connection.execute("SELECT mqtt.process_batch(%s) ->> 'processed'", (batch,)).fetchone() != ("0",):
            pass


def until_closed(events: Events) -> Iterator[Event]:
    while True:
        try:
            yield events.next()
        except EOFError:
            return


@contextmanager
def second_process(stack: Stack, secret: Path, **settings: str) -> Iterator[str]:
    """The URL of another process of the stream."""
    with held_port() as port:
        place = Path(f"/proc/{stack.pid('stream')}/environ").read_bytes().split(b"\0")
        environment = dict(entry.decode().split("=", 1) for entry in place if entry)
        environment |= {"TOPICBASE_STREAM_ADDRESS": f"127.0.0.1:{port.number}", "TOPICBASE_JWT_SECRET_FILE": str(secret), **settings}
        command = [str(ROOT / ".venv/bin/python"), "-m", "bridge", "stream"]
        with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as process:
            url = f"http://127.0.0.1:{port.number}"
            try:
                wait_until(lambda: port.is_served() and requests.get(f"{url}/healthz", timeout=PATIENCE).ok, what="the second process")
                yield url
            finally:
                process.terminate()
