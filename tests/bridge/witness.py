"""A broker that does as it is told: acknowledges, refuses, keeps silent, cuts, sends junk.

It notes each message before it acknowledges it, so that what it has seen can be compared with what was said to be delivered.
"""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Publish:
    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    packet_id: int
    connection: int


@dataclass
class Session:
    """One connection."""

    client: socket.socket
    number: int
    version: int = 5

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def send(self, data: bytes) -> None:
        with self._lock:
            self.client.sendall(data)


Answer = int | str | None  # a reason code; "ignore", "close"; None is success


@dataclass
class Witness:
    """Set the attributes to choose its behaviour; they are looked at for each packet."""

    connack: int = 0
    connack_properties: bytes = b""
    session_present: bool = False
    on_publish: Callable[[Publish], Answer] = lambda _message: None
    answer_connect: bool = True
    greeting: bytes | None = None  # sent instead of CONNACK
    tls: ssl.SSLContext | None = None
    answer_subscribe: bool = True
    answer_pings: bool = True
    answer_pubrec: bool = True
    suback: int | None = None
    max_ack_delay: float = 0.0
    seen: list[Publish] = field(default_factory=list)
    released: list[int] = field(default_factory=list)
    acknowledged: list[tuple[str, int]] = field(default_factory=list)  # by the client: PUBACK, PUBREC, PUBCOMP
    subscribed: list[tuple[str, int]] = field(default_factory=list)
    unsubscribed: list[str] = field(default_factory=list)
    most_filters: int = 0  # in a SUBSCRIBE or UNSUBSCRIBE packet
    connects: list[dict[str, Any]] = field(default_factory=list)
    greeted: int = 0  # CONNACKs sent
    peak_in_flight: int = 0

    def __post_init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._stop = threading.Event()
        self._latest: Session | None = None
        self._in_flight = 0
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> "Witness":
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()
        self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # ends the accept that waits
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """End the connection, without a word."""
        if self._latest is not None:
            with contextlib.suppress(OSError):
                self._latest.client.shutdown(socket.SHUT_RDWR)

    def send(self, data: bytes) -> None:
        """On the latest connection."""
        if self._latest is not None:
            self._latest.send(data)

    def deliver(
        self, topic: bytes, payload: bytes, qos: int = 1, packet_id: int = 1, properties: bytes = b"", *, dup: bool = False
    ) -> None:
        head = len(topic).to_bytes(2, "big") + topic + (packet_id.to_bytes(2, "big") if qos else b"")
        if self.connects[-1]["version"] == 5:
            head += _length(len(properties)) + properties
        self.send(bytes([0x30 | qos << 1 | (8 if dup else 0)]) + _length(len(head) + len(payload)) + head + payload)

    def _accept(self) -> None:
        number = 0
        while not self._stop.is_set():
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            number += 1
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = Session(client, number)
            self._latest = session
            self._in_flight = 0
            thread = threading.Thread(target=self._serve, args=(session,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _serve(self, session: Session) -> None:
        try:
            if self.tls is not None:
                session.client = self.tls.wrap_socket(session.client, server_side=True)
            with session.client, session.client.makefile("rb") as stream:
                while (head := stream.read(1)) and not self._stop.is_set():
                    self._packet(session, head[0], stream.read(_read_length(stream)))
        except (OSError, ValueError, IndexError):
            pass

    def _packet(self, session: Session, head: int, body: bytes) -> None:
        kind = head & 0xF0
        if kind == 0x10:
            self._connect(session, body)
        elif kind == 0x30:
            self._publish(session, head, body)
        elif kind == 0x60:
            packet_id = int.from_bytes(body[:2], "big")
            self.released.append(packet_id)
            self._in_flight -= 1
            session.send(b"\x70\x02" + body[:2])
        elif kind in (0x40, 0x50, 0x70):
            name = {0x40: "PUBACK", 0x50: "PUBREC", 0x70: "PUBCOMP"}[kind]
            self.acknowledged.append((name, int.from_bytes(body[:2], "big")))
            if kind == 0x50 and self.answer_pubrec:
                session.send(b"\x62\x02" + body[:2])
        elif kind == 0x80:
            self._subscribe(session, body)
        elif kind == 0xA0:
            self._unsubscribe(session, body)
            session.send(b"\xb0\x04" + body[:2] + b"\x00\x00" if session.version == 5 else b"\xb0\x02" + body[:2])
        elif kind == 0xC0 and self.answer_pings:
            session.send(b"\xd0\x00")

    def _connect(self, session: Session, body: bytes) -> None:
        version, flags, keepalive = body[6], body[7], int.from_bytes(body[8:10], "big")
        session.version = version
        position = 10
        properties = b""
        if version == 5:
            size = body[10]
            properties = body[11 : 11 + size]
            position = 11 + size
        fields = []
        wanted = 1 + (2 if flags & 4 else 0) + bool(flags & 0x80) + bool(flags & 0x40)
        for _ in range(wanted):
            size = int.from_bytes(body[position : position + 2], "big")
            fields.append(body[position + 2 : position + 2 + size])
            position += 2 + size
        self.connects.append(
            {
                "version": version,
                "client_id": fields[0].decode(),
                "clean": bool(flags & 2),
                "keepalive": keepalive,
                "properties": properties,
                "username": fields[1].decode() if flags & 0x80 else None,
                "at": time.monotonic(),
            }
        )
        if self.greeting is not None:
            session.send(self.greeting)
            return
        if not self.answer_connect:
            return
        answer = bytes([1 if self.session_present and not self.connack else 0, self.connack])
        if version == 5:
            answer += _length(len(self.connack_properties)) + self.connack_properties
        session.send(b"\x20" + _length(len(answer)) + answer)
        self.greeted += 1
        if self.connack:
            session.client.shutdown(socket.SHUT_RDWR)

    def _publish(self, session: Session, head: int, body: bytes) -> None:
        qos = head >> 1 & 3
        size = int.from_bytes(body[:2], "big")
        topic = body[2 : 2 + size].decode()
        position = 2 + size
        packet_id = 0
        if qos:
            packet_id = int.from_bytes(body[position : position + 2], "big")
            position += 2
        if session.version == 5:
            size, used = _decode_length(body[position:])
            position += used + size
        message = Publish(topic, body[position:], qos, bool(head & 1), bool(head & 8), packet_id, session.number)
        self.seen.append(message)
        if qos:
            self._in_flight += 1
            self.peak_in_flight = max(self.peak_in_flight, self._in_flight)
        answer = self.on_publish(message)
        if answer == "close":
            session.client.shutdown(socket.SHUT_RDWR)
            return
        if answer == "ignore" or not qos:
            return
        if self.max_ack_delay:
            threading.Timer(self.max_ack_delay, self._acknowledge, (session, qos, packet_id, answer)).start()
        else:
            self._acknowledge(session, qos, packet_id, answer)

    def _acknowledge(self, session: Session, qos: int, packet_id: int, answer: Answer) -> None:
        identifier = packet_id.to_bytes(2, "big")
        if qos == 1 or isinstance(answer, int):
            self._in_flight -= 1
        kind = 0x40 if qos == 1 else 0x50
        body = identifier + (bytes([answer]) if isinstance(answer, int) and session.version == 5 else b"")
        with contextlib.suppress(OSError):
            session.send(bytes([kind, len(body)]) + body)

    def _subscribe(self, session: Session, body: bytes) -> None:
        identifier, position = body[:2], 2
        if session.version == 5:
            size, used = _decode_length(body[2:])
            position += used + size
        codes = b""
        while position < len(body):
            size = int.from_bytes(body[position : position + 2], "big")
            topic = body[position + 2 : position + 2 + size].decode()
            options = body[position + 2 + size]
            position += 3 + size
            self.subscribed.append((topic, options))
            codes += bytes([options & 3 if self.suback is None else self.suback])
        self.most_filters = max(self.most_filters, len(codes))
        if not self.answer_subscribe:
            return
        answer = identifier + (b"\x00" if session.version == 5 else b"") + codes
        session.send(b"\x90" + _length(len(answer)) + answer)

    def _unsubscribe(self, session: Session, body: bytes) -> None:
        position, count = 2, 0
        if session.version == 5:
            size, used = _decode_length(body[2:])
            position += used + size
        while position < len(body):
            size = int.from_bytes(body[position : position + 2], "big")
            self.unsubscribed.append(body[position + 2 : position + 2 + size].decode())
            position += 2 + size
            count += 1
        self.most_filters = max(self.most_filters, count)


def _length(value: int) -> bytes:
    encoded = b""
    while True:
        value, digit = divmod(value, 128)
        encoded += bytes([digit | (128 if value else 0)])
        if not value:
            return encoded


def _decode_length(data: bytes) -> tuple[int, int]:
    value = 0
    for place, byte in enumerate(data[:4]):
        value |= (byte & 127) << 7 * place
        if not byte & 128:
            return value, place + 1
    raise ValueError("no length")


def _read_length(stream: Any) -> int:
    data = b""
    while True:
        byte = stream.read(1)
        if not byte:
            raise ValueError("cut")
        data += byte
        if not byte[0] & 128:
            return _decode_length(data)[0]
