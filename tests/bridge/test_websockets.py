"""WebSocket frames as a broker may cut them, and as it must not: over a real socket, by a server that writes them byte for byte."""

import base64
import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from bridge.mqtt.sockets import Connection, dial
from bridge.mqtt.target import Target
from bridge.mqtt.websockets import FrameError
from tests.bridge.test_hostile import resident
from tests.support.broker import encode_length
from tests.support.ports import Port
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE, wait_until

TIMEOUT = PATIENCE


def frame(payload: bytes, opcode: int = 2, *, first: int = 0x80) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes([first | opcode, size]) + payload
    if size < 1 << 16:
        return bytes([first | opcode, 126]) + size.to_bytes(2, "big") + payload
    return bytes([first | opcode, 127]) + size.to_bytes(8, "big") + payload


def shake_hands(peer: socket.socket) -> None:
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        request += peer.recv(1)
    key = next(line.split(b": ")[1] for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())  # noqa: S324  # RFC 6455
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: mqtt\r\n"
    peer.sendall(head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")


class Pair:
    """Both ends of a connection, the client's as the bridge dials it."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            accepted: list[socket.socket] = []

            def accept() -> None:
                accepted.append(server.accept()[0])
                shake_hands(accepted[0])

            thread = threading.Thread(target=accept, daemon=True)
            thread.start()
            self.near: Connection = dial(Target(host="127.0.0.1", port=port, client_id="c", websockets=True, trusted=True), TIMEOUT)
            thread.join(TIMEOUT)
        self.peer = accepted[0]
        self.peer.settimeout(TIMEOUT)
        self.near.buffer.settimeout(0.05)

    def read(self, count: int) -> bytes:
        """So many bytes, asked for as paho does: one at first, then the rest."""
        data = b""
        deadline = time.monotonic() + TIMEOUT
        while len(data) < count:
            assert time.monotonic() < deadline
            try:
                piece = self.near.outer.recv(1 if not data else count - len(data))
            except (BlockingIOError, TimeoutError):
                continue
            assert piece
            data += piece
        return data

    def answer(self) -> bytes:
        """A frame of the client, without its mask."""
        self.near.buffer.flush()
        head = self.peer.recv(2, socket.MSG_WAITALL)
        assert head[1] & 0x80, "a client masks"
        mask = self.peer.recv(4, socket.MSG_WAITALL)
        payload = self.peer.recv(head[1] & 0x7F, socket.MSG_WAITALL)
        return head[:1] + bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.near.buffer.close()
    made.peer.close()


@pytest.mark.parametrize("size", [1, 125, 126, 65535, 65536, 300_000])
def test_frames_of_everyencode_length(pair: Pair, size: int) -> None:
    payload = bytes(number % 251 for number in range(size))
    threading.Thread(target=pair.peer.sendall, args=(frame(payload) + frame(b"end"),), daemon=True).start()
    assert pair.read(size + 3) == payload + b"end"


def test_what_comes_byte_by_byte(pair: Pair) -> None:
    whole = frame(b"x" * 130) + frame(b"ping", 9) + frame(b"") + frame(b"fragment ", first=0) + frame(b"pong", 10) + frame(b"end", 0)
    for byte in whole[:-1]:
        pair.peer.sendall(bytes([byte]))
    assert pair.read(130 + 9) == b"x" * 130 + b"fragment "
    pair.peer.sendall(whole[-1:])
    assert pair.read(3) == b"end"
    assert pair.answer() == b"\x8aping"


def test_what_follows_a_ping_in_the_same_segment_is_read_at_once(pair: Pair) -> None:
    pair.peer.sendall(frame(b"", 9) + frame(b"message"))
    pair.near.buffer.settimeout(TIMEOUT)
    assert pair.near.outer.recv(7) == b"message"


def test_a_close_is_answered_and_ends_it(pair: Pair) -> None:
    pair.peer.sendall(frame(b"\x03\xe8", 8))
    pair.near.buffer.settimeout(TIMEOUT)
    assert pair.near.outer.recv(1) == b""
    assert pair.answer() == b"\x88\x03\xe8"


def test_a_large_frame_of_small_packets_costs_no_more_than_its_bytes(pair: Pair) -> None:
    count = 200_000
    threading.Thread(target=pair.peer.sendall, args=(frame(b"\xd0\x00" * count),), daemon=True).start()
    pair.near.buffer.settimeout(TIMEOUT)
    began = time.thread_time()
    for _ in range(count):
        assert pair.near.outer.recv(1) == b"\xd0"
        assert pair.near.outer.recv(1) == b"\x00"
    # Paho's own reader copies the frame from its beginning for each of them, which takes minutes, and all of them on the processor.
    assert time.thread_time() - began < 20


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        (frame(b"text", 1), "begins with 81"),
        (frame(b"x", 3), "begins with 83"),
        (b"\xc2\x01x", "begins with c2"),
        (b"\x82\x81mask!", "begins with 82 81"),
        (frame(b"x" * 126, 9), "control frame of more than 125"),
        (frame(b"") * 1001, "frames without payload"),
        (frame(b"", 10) * 1001, "frames without payload"),
    ],
)
def test_what_a_server_must_not_send(pair: Pair, sent: bytes, fault: str) -> None:
    pair.peer.sendall(sent)
    pair.near.buffer.settimeout(TIMEOUT)
    with pytest.raises(FrameError, match=fault):
        pair.near.outer.recv(1)


def test_a_frame_without_end_costs_its_own_connection(stack: Stack, tenant: Callable[..., Tenant]) -> None:
    """A frame that claims 2^62 bytes, full of packets that are none of ours to keep: memory stays, and the reason is logged."""
    owner = tenant()
    with socket.create_server(("127.0.0.1", Port().number)) as server:
        sent = [0]

        def serve() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                with peer:
                    try:
                        shake_hands(peer)
                        peer.recv(65536)
                        connack = b"\x20\x03\x00\x00\x00"
                        peer.sendall(bytes([0x82, 127]) + (1 << 62).to_bytes(8, "big") + connack)
                        # PUBACKs of nothing that was sent, each with a long reason.
                        reason = b"x" * 16000
                        body = b"\0\1\0" + encode_length(3 + len(reason)) + b"\x1f" + len(reason).to_bytes(2, "big") + reason
                        unknown = b"\x40" + encode_length(len(body)) + body
                        while sent[0] < 64 << 20:
                            peer.sendall(unknown)
                            sent[0] += len(unknown)
                        peer.sendall(b"\x30\xff\xff\xff\x7f" + b"x" * 65536)
                        while peer.recv(65536):
                            pass
                    except OSError:
                        pass

        threading.Thread(target=serve, daemon=True).start()
        before = resident(stack)
        integration_id = owner.integration(broker_url="127.0.0.1", port=server.getsockname()[1], protocol="ws")
        lost = f"broker_lost integration={integration_id} "
        wait_until(lambda: lost in stack.log("bridge"), what="an end of that connection")
        assert "a packet of 268435455 bytes" in next(line for line in stack.log("bridge").splitlines() if lost in line)
        assert sent[0] >= 64 << 20
        assert resident(stack) - before < 40
        owner.api.ok("delete_integration", {"integration_id": integration_id}, token=owner.admin)
