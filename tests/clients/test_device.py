"""The Device of clients/python: nothing is lost, nothing comes twice, and all of it in order."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from topicbase_client import BufferFullError, Device, Live, Topicbase, TopicbaseError

from tests.clients.conftest import MosquittoClient
from tests.support import api
from tests.support.loop import Loop
from tests.support.portal import portal
from tests.support.ports import held_port
from tests.support.proxy import Proxy, Trap
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import wait_until

# An answer of HTTP begins with H, which Proxy takes for PUBACK. Either way the server has the message, and the device is not told.
ACKNOWLEDGEMENT_LOST = Trap(4, from_broker=True, harm="reset")


@pytest.fixture
def loop() -> Iterator[Loop]:
    running = Loop()
    yield running
    running.close()


@pytest.fixture
def between(loop: Loop) -> Iterator[Callable[[str, int], Proxy]]:
    """`between(host, port)`: what stands between the device and the server."""
    made: list[Proxy] = []

    def make(host: str, port: int) -> Proxy:
        made.append(Proxy(loop, host, port))
        return made[-1]

    yield make
    for proxy in made:
        proxy.close()


def stored(home: Tenant, topic: str, count: int) -> list[Any]:
    """The payloads of a topic in the order of acceptance, once there are so many, or more."""

    def payloads() -> list[Any]:
        rows = home.api.ok("list_messages", {"topic": topic, "oldest_first": True, "limit": 1000}, token=home.member)
        found = [row["payload"] for row in rows]
        return found if len(found) >= count else []

    return wait_until(payloads, what=f"{count} messages of {topic}")


def is_sprung(proxy: Proxy) -> bool:
    return proxy.trap is None


def test_answers_of_others_lose_nothing() -> None:
    rejected: list[Any] = []
    answers = [(200, "<html>"), (200, "[]"), (400, "<html>"), (202, '{"accepted": 2, "rejected": []}')]
    with portal(*answers) as (url, asked):
        with Device(url, "u", "p", "c", on_rejected=lambda *refused: rejected.append(refused)) as device:
            device.send("a/b", 1)
            assert device.flush(60)
        assert (len(asked), rejected) == (len(answers), [])
    with portal((200, "<html>")) as (url, _), Topicbase(url) as client, pytest.raises(TopicbaseError, match="answer_invalid: Status 200"):
        client.call("get_caller")


def device_of(login: api.Device, url: str, **options: Any) -> Device:
    return Device(url, login.username, login.password, login.client_id, **options)


def test_http_with_answers_lost_a_server_that_is_away_and_a_restart(
    stack: Stack, home: Tenant, between: Callable[[str, int], Proxy], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    login = home.device()
    topic = login.topic("pd1")
    host, port = stack.api_url.removeprefix("http://").split(":")
    proxy = between(host, int(port))
    url, file = f"http://127.0.0.1:{proxy.port}", tmp_path / "device.db"
    device = device_of(login, url, buffer=file)
    proxy.trap = ACKNOWLEDGEMENT_LOST
    for n in range(5):
        device.send(topic, n)
    assert device.flush(60)
    assert is_sprung(proxy)
    stack.stop("postgrest")
    try:
        for n in range(5, 40):
            device.send(topic, n)
        wait_until(lambda: device.error is not None, what="the device noticing")
        assert device.close(timeout=0) == 35
    finally:
        stack.start("postgrest")
    with device_of(login, url, buffer=file) as again:
        assert again.pending > 0
        for n in range(40, 50):
            again.send(topic, n)
        assert again.flush(60)
        assert again.error is None
    assert stored(home, topic, 50) == list(range(50))


def test_mqtt_with_acknowledgements_lost_and_a_broker_that_is_away(
    stack: Stack, home: Tenant, mosquitto: Callable[..., MosquittoClient], between: Callable[[str, int], Proxy]
) -> None:
    login = mosquitto().device
    topic = login.topic("pd2")
    proxy = between(stack.mqtt_host, stack.mqtt_port)
    proxy.trap = ACKNOWLEDGEMENT_LOST
    device = device_of(login, f"mqtt://127.0.0.1:{proxy.port}")
    for n in range(30):
        device.send(topic, n)
    assert device.flush(60)
    assert is_sprung(proxy)
    proxy.refuse()
    proxy.cut()
    for n in range(30, 60):
        device.send(topic, n)
    wait_until(lambda: device.error is not None, what="the device noticing")
    proxy.heal()
    assert device.close(60) == 0
    assert stored(home, topic, 60) == list(range(60))


def test_what_is_refused_for_good_is_told_and_holds_up_nothing(
    stack: Stack, home: Tenant, mosquitto: Callable[..., MosquittoClient]
) -> None:
    login = mosquitto().device
    for url, slug in [(stack.api_url, "topic_not_allowed"), (stack.env["MQTT_URL"], "Not authorized")]:
        topic, refused = login.topic(f"pd3-{slug[:5]}"), list[tuple[Any, str]]()
        with device_of(
            login, url, on_rejected=lambda message, reason, refused=refused: refused.append((message["payload"], reason))
        ) as device:
            device.send(topic, {"n": 1})
            device.send("elsewhere/x", 2)
            device.send(topic, "on", timestamp=None)
            device.send(topic, b"\x00\xff", content_type="application/octet-stream")
        assert refused == [(2, slug)]
        assert stored(home, topic, 3) == [{"n": 1}, "on", None]


def test_a_batch_that_is_refused_as_a_whole_is_divided(stack: Stack, db: psycopg.Connection[Any], home: Tenant, tmp_path: Path) -> None:
    login = home.device()
    topic, refused = login.topic("pd4"), list[tuple[int, str]]()
    with held_port() as port:
        away = device_of(login, f"http://127.0.0.1:{port.number}", buffer=tmp_path / "device.db")
        for payload in (1, "nul: \0", 2, "x" * 3_000_000, 3):
            away.send(topic, payload)
        assert away.close(timeout=0) == 5
    db.execute("UPDATE mqtt.configuration SET max_batch_messages = 2")
    try:
        device = device_of(
            login,
            f"{stack.gateway_url}/rest/v1",
            buffer=tmp_path / "device.db",
            on_rejected=lambda message, reason: refused.append((len(message["payload"]), reason)),
        )
        assert device.close() == 0
    finally:
        db.execute("UPDATE mqtt.configuration SET max_batch_messages = DEFAULT")
    assert refused == [(6, "payload_invalid"), (3_000_000, "body_too_large")]
    assert stored(home, topic, 3) == [1, 2, 3]


def test_a_full_buffer_takes_no_more() -> None:
    with held_port() as port:
        device = Device(f"http://127.0.0.1:{port.number}", "u", "p", max_messages=2)
        device.send("a", 1)
        device.send("a", 2)
        with pytest.raises(BufferFullError):
            device.send("a", 3)
        assert (device.pending, device.flush(0)) == (2, False)
        assert device.close(timeout=0) == 2
    with pytest.raises(RuntimeError):
        device.send("a", 4)


def test_a_refused_login_stays_the_reason(
    stack: Stack,
    mosquitto: Callable[..., MosquittoClient],
    between: Callable[[str, int], Proxy],
    caplog: pytest.LogCaptureFixture,
) -> None:
    login = mosquitto().device
    proxy = between(stack.mqtt_host, stack.mqtt_port)
    device = Device(f"mqtt://127.0.0.1:{proxy.port}", login.username, "wrong", login.client_id)
    wait_until(lambda: proxy.connections > 1, what="a second attempt")
    device.close(timeout=0)
    assert "Not authorized" in str(device.error)
    assert [record.getMessage() for record in caplog.records if "ended" in record.getMessage()] == []


@pytest.mark.parametrize("url", ["foo", "localhost:1883", "ftp://host", "mqtt://", "https:host", "mqtt://host:99999"])
def test_a_url_that_cannot_be_reached_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)url|port"):
        Device(url, "u", "p")
    for client in (Topicbase, Live):
        with pytest.raises(ValueError, match=r"(?i)url|port"):
            client(url, token="t")
