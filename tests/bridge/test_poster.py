"""Where a callback may lead, and what a receiver can do to whoever calls it."""

import contextlib
import os
import resource
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bridge.work import poster as module
from bridge.work.poster import Poster, PostError
from tests.bridge.receiver import Hit, Receiver, Reply
from tests.bridge.test_transports import Authority
from tests.support.ports import Port
from tests.support.waiting import PATIENCE, wait_until


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def trusting() -> Iterator[Poster]:
    poster = Poster(private_allowed=True)
    yield poster
    poster.close()


def tls(authority: Authority, alternative: str) -> ssl.SSLContext:
    certificate, key = authority.issue("receiver", alternative)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def test_a_request_and_its_answer(receiver: Receiver, trusting: Poster) -> None:
    receiver.behave = lambda _: Reply(503, {"Retry-After": "7"}, b"not \x00 now" + b"." * 300)
    answer = trusting.post(receiver.url, {"webhook-id": "1"}, b"{}")
    assert (answer.code, answer.retry_after) == (503, 7)
    assert answer.excerpt == "not   now" + "." * 191
    (hit,) = receiver.hits
    assert (hit.path, hit.body, hit.headers["host"]) == ("/in?from=topicbase", b"{}", f"127.0.0.1:{receiver.port}")


def test_connections_are_used_again_and_replaced_when_closed(receiver: Receiver, trusting: Poster) -> None:
    poster = trusting
    for _ in range(3):
        poster.post(receiver.url, {}, b"{}")
    assert len({hit.client for hit in receiver.hits}) == 1
    receiver.behave = lambda _: Reply(200, {"Connection": "close"})
    for _ in range(3):
        assert poster.post(receiver.url, {}, b"{}").code == 200
    assert len({hit.client for hit in receiver.hits}) == 3


def test_as_many_connections_are_kept_as_one_organization_uses_and_no_more_in_all(
    receiver: Receiver, trusting: Poster, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(module.MAX_IDLE)

    def behave(_: Hit) -> Reply:
        together.wait(PATIENCE)
        return Reply()

    receiver.behave = behave
    with ThreadPoolExecutor(module.MAX_IDLE) as pool:
        for _ in range(3):
            assert {answer.code for answer in pool.map(lambda _: trusting.post(receiver.url, {}, b"{}"), range(module.MAX_IDLE))} == {200}
    assert len({hit.client for hit in receiver.hits}) == module.MAX_IDLE
    with Receiver() as other:
        monkeypatch.setattr(module, "MAX_IDLE_IN_ALL", module.MAX_IDLE)
        for _ in range(2):
            trusting.post(other.url, {}, b"{}")
        assert len({hit.client for hit in other.hits}) == 2, "there was no room to keep it"
        receiver.behave = lambda _: Reply(200, {"Connection": "close"})
        trusting.post(receiver.url, {}, b"{}")
        for _ in range(2):
            trusting.post(other.url, {}, b"{}")
        assert len({hit.client for hit in other.hits}) == 3, "now there is"


def test_a_connection_is_kept_beside_more_than_a_thousand_open_files(receiver: Receiver, trusting: Poster) -> None:
    with contextlib.ExitStack() as opened:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, limits[1]) if limits[1] > 0 else 4096, limits[1]))
        opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        for _ in range(1024):
            opened.enter_context(Path(os.devnull).open())
        for _ in range(3):
            assert trusting.post(receiver.url, {}, b"{}").code == 200
    assert len({hit.client for hit in receiver.hits}) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1"])
def test_private_addresses_are_refused_before_a_connection(receiver: Receiver, host: str) -> None:
    with pytest.raises(PostError, match="does not lead to a public address") as open_port:
        Poster(private_allowed=False).post(f"https://{host}:{receiver.port}/", {}, b"{}")
    with pytest.raises(PostError) as closed_port:
        Poster(private_allowed=False).post(f"https://{host}:1/", {}, b"{}")
    assert str(open_port.value) == str(closed_port.value), "it does not tell which ports are open"
    assert receiver.hits == []


def test_a_name_whose_answer_changes(receiver: Receiver, trusting: Poster, monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: a name is looked up once, all of its addresses are checked, and the connection goes to what was checked."""
    asked: list[str] = []

    def answer(*addresses: str) -> None:
        def look_up(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
            asked.append(host)
            found = addresses if len(asked) == 1 else ("127.0.0.1",)
            return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)) for address in found]

        asked.clear()
        monkeypatch.setattr(socket, "getaddrinfo", look_up)

    answer("127.0.0.1")
    assert trusting.post(receiver.url.replace("127.0.0.1", "rebind.example"), {}, b"{}").code == 200
    assert asked == ["rebind.example"]
    answer("93.184.216.34", "127.0.0.1")
    with pytest.raises(PostError, match="does not lead to a public address"):
        Poster(private_allowed=False).post(f"https://rebind.example:{receiver.port}/", {}, b"{}")
    assert asked == ["rebind.example"]
    assert len(receiver.hits) == 1


@pytest.mark.parametrize("url", ["http://example.com/", "ftp://example.com/", "file:///etc/passwd", "https://example.com:99999/"])
def test_other_schemes_are_refused(url: str) -> None:
    with pytest.raises(PostError, match="callback_url"):
        Poster(private_allowed=False).post(url, {}, b"{}")


def test_redirects_are_not_followed(receiver: Receiver, trusting: Poster) -> None:
    with Receiver() as inner:
        receiver.behave = lambda _: Reply(307, {"Location": inner.url})
        assert trusting.post(receiver.url, {}, b"{}").code == 307
        assert inner.hits == []


def test_https_is_verified(trusting: Poster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path, "ours")
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "other")
    ca = tmp_path / "bundle.pem"
    ca.write_text(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(ca))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    with Receiver(context=tls(authority, "IP:127.0.0.1")) as good:
        assert trusting.post(good.url, {}, b"{}").code == 200
    for context, fault in (
        (tls(authority, "DNS:elsewhere.example"), "certificate was not accepted: IP address mismatch"),
        (tls(other, "IP:127.0.0.1"), "certificate was not accepted: unable to get local issuer"),
    ):
        with Receiver(context=context) as bad:
            with pytest.raises(PostError, match=fault):
                trusting.post(bad.url, {}, b"{}")
            assert bad.hits == []


def listen(answer: bytes) -> int:
    """A server that answers whatever comes with these bytes, one every 20 ms, over and over; its port."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with server:
            peer, _ = server.accept()
            with peer:
                peer.recv(65536)
                try:
                    while answer:
                        for byte in answer:
                            peer.sendall(bytes([byte]))
                            time.sleep(0.02)
                        if not answer.startswith(b"HTTP"):
                            return
                        answer_rest = b"x"
                        while True:
                            peer.sendall(answer_rest)
                            time.sleep(0.02)
                    while peer.recv(1):
                        pass
                except OSError:
                    pass

    threading.Thread(target=serve, daemon=True).start()
    return int(server.getsockname()[1])


@pytest.mark.parametrize(
    ("answer", "fault", "seconds"),
    [
        (b"", "no answer within", 1.0),
        (b"HTTP/1.1 200 OK\r\nX-Drip: ", "no answer within", 1.0),
        (b"HTTP/1.0 200 OK\r\n\r\n", "no answer within", 1.0),
        (b"SMTP ready\r\n", "the answer is not HTTP", PATIENCE),
    ],
)
def test_a_receiver_that_wastes_time_is_left(
    trusting: Poster, monkeypatch: pytest.MonkeyPatch, answer: bytes, fault: str, seconds: float
) -> None:
    monkeypatch.setattr(module, "SECONDS", seconds)
    poster = trusting
    faults: list[str] = []

    def post() -> None:
        try:
            poster.post(f"http://127.0.0.1:{listen(answer)}/", {}, b"{}")
        except PostError as error:
            faults.append(str(error))

    caller = threading.Thread(target=post, daemon=True)
    caller.start()

    def is_over() -> bool:
        poster.enforce()  # as the bridge does each second
        return not caller.is_alive()

    wait_until(is_over, what="an end")
    assert len(faults) == 1
    assert fault in faults[0]


def test_nobody_there(trusting: Poster, port: Port) -> None:
    with pytest.raises(PostError, match="connection refused"):
        trusting.post(f"http://127.0.0.1:{port.number}/", {}, b"{}")
