"""Where nothing is sent, the stream shows that it lives, and finds out who does not."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.sync.client import ClientConnection, connect

from tests.stream.support import second_process, settle
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE, wait_until

PING, CLOSE = 0x89, 0x88
UPGRADE = (
    "GET /stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Listener(ClientConnection):
    """A client that counts the pings that it answers."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.pings = 0
        super().__init__(*arguments, **options)

    def process_event(self, event: Frame | Response) -> None:  # type: ignore[override]
        self.pings += isinstance(event, Frame) and event.opcode is Opcode.PING
        super().process_event(event)


@pytest.fixture(scope="module")
def url(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A process of the stream whose heart beats each second."""
    secret: Path = tmp_path_factory.mktemp("heartbeat") / "secret"
    secret.write_text(stack.env["JWT_SECRET"])
    with second_process(stack, secret, TOPICBASE_STREAM_HEARTBEAT="1") as url:
        yield f"{url}/stream"


def test_comments_between_events(home: Tenant, url: str) -> None:
    headers = {"Authorization": f"Bearer {home.member}"}
    with requests.get(url, headers=headers, stream=True, timeout=PATIENCE) as answer:
        lines = (line for line in answer.iter_lines(chunk_size=1) if line)
        assert [next(lines).partition(b":")[0] for _ in range(3)] == [b"id", b"event", b"data"]
        assert [next(lines), next(lines)] == [b":", b":"]
        settle(home, [1])
        data = next(line for line in lines if line.startswith(b"data: "))
        assert json.loads(data.removeprefix(b"data: "))["payload"] == 1


def test_who_answers_pings_stays(home: Tenant, url: str) -> None:
    with connect(url.replace("http", "ws", 1), create_connection=Listener) as connection:
        connection.send(json.dumps({"type": "hello", "token": home.member}))
        assert json.loads(connection.recv(timeout=PATIENCE)) == {"type": "ready"}
        assert isinstance(connection, Listener)
        wait_until(lambda: connection.pings >= 4, what="more pings than one may leave unanswered")
        connection.send(json.dumps({"type": "subscribe", "id": "a"}))
        assert json.loads(connection.recv(timeout=PATIENCE))["type"] == "subscribed"


def test_who_does_not_is_disconnected(url: str) -> None:
    place = urlsplit(url)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=PATIENCE) as dead:
        dead.sendall(UPGRADE.encode())
        heard = b""
        while part := dead.recv(4096):
            heard += part
    head, _, frames = heard.partition(b"\r\n\r\n")
    assert b" 101 " in head.splitlines()[0]
    assert frames[0] == PING
    close = frames[2 + frames[1] :]
    assert (close[0], int.from_bytes(close[2:4])) == (CLOSE, 1011)
