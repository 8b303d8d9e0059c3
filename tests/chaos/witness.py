"""A broker that bears witness: it writes each message to disk before it acknowledges it, and misbehaves on command.

MQTT 3.1.1 and 5, QoS 0 to 2 both ways, persistent sessions, filters with wildcards. No retained messages, wills or shared subscriptions.
"""

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.loop import Loop

WINDOW = 200  # messages under way to a subscriber


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message published to the broker."""

    topic: str
    payload: bytes
    qos: int
    is_duplicate: bool
    connection: int


@dataclass(slots=True)
class Offer:
    """A message for subscribers."""

    topic: str
    payload: bytes
    qos: int
    properties: bytes = b""
    is_acknowledged: bool = False
    deliveries: int = 0


@dataclass(slots=True)
class _Session:
    filters: dict[str, int] = field(default_factory=dict)
    wanted: set[str] = field(default_factory=set)  # filters that it ever had: what is acknowledged for these, it will be given
    waiting: deque[Offer] = field(default_factory=deque)
    under_way: dict[int, tuple[Offer, bool]] = field(default_factory=dict)  # packet id: message, whether PUBREC has come
    received: set[int] = field(default_factory=set)  # packet ids of QoS 2 messages that are not released
    next_id: int = 1
    connection: "_Connection | None" = None


class Broker:
    """Set its attributes to choose its behaviour; they are looked at for each packet."""

    def __init__(self, loop: Loop, journal: Path) -> None:
        self._loop = loop
        self._journal = journal.open("ab", buffering=0)
        self._sessions: dict[str, _Session] = {}
        self._connections: set[_Connection] = set()
        self._refuses = False
        self._number = 0
        self.arrivals: list[Arrival] = []
        self.offers: list[Offer] = []
        self.deny: Callable[[Arrival], int | None] = lambda _arrival: None
        self.ack_delay = 0.0
        self.swallow = 0  # so many acknowledgements are not sent
        self.is_mute = False
        self.connects = 0
        self.subscribes = 0
        self.peak_under_way = 0
        self._server = loop.run(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    # ------------------------------------------------------------------------------------------------------ from other threads

    def offer(self, topic: str, payload: bytes, qos: int = 1, properties: bytes = b"") -> Offer:
        """Deliver a message to whoever subscribes to its topic, now or after the reconnect; at least one session must."""
        offer = Offer(topic, payload, qos, properties)

        def work() -> None:
            sessions = [s for s in self._sessions.values() if any(_matches(f, topic) for f in s.wanted)]
            assert sessions, f"nobody subscribes to {topic}"
            self.offers.append(offer)
            for session in sessions:
                session.waiting.append(offer)
                if session.connection is not None:
                    session.connection.deliver()

        self._loop.call(work)
        return offer

    def backlog(self) -> int:
        """How many messages wait for a subscriber's window, or for its return."""
        return max((len(session.waiting) for session in list(self._sessions.values())), default=0)

    def has_subscriber(self, topic: str) -> bool:
        return self._loop.call(
            lambda: any(s.connection is not None and any(_matches(f, topic) for f in s.filters) for s in self._sessions.values())
        )

    def cut(self) -> None:
        """End all connections without a word."""
        self._loop.call(self._abort_all)

    def kill(self, *, forget: bool = False) -> None:
        """Be gone until start(); with `forget`, the sessions go too, though not what was acknowledged."""

        def work() -> None:
            self._refuses = True
            self._abort_all()
            if forget:
                self._sessions = {name: _forgotten(session) for name, session in self._sessions.items()}

        self._loop.call(work)

    def start(self) -> None:
        self._refuses = False

    def hold_ids(self, packet_ids: set[int]) -> None:
        """As if messages of QoS 2 had come under these ids, in every session, and were not released."""

        def work() -> None:
            for session in self._sessions.values():
                session.received |= packet_ids

        self._loop.call(work)

    def junk(self, data: bytes) -> None:
        """Send bytes as they are on all connections."""

        def work() -> None:
            for connection in list(self._connections):
                connection.write(data)

        self._loop.call(work)

    def close(self) -> None:
        def work() -> None:
            self._server.close()
            self._abort_all()

        self._loop.call(work)
        self._journal.close()

    # ------------------------------------------------------------------------------------------------------------ on the loop

    def _abort_all(self) -> None:
        for connection in list(self._connections):
            connection.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        self._number += 1
        connection = _Connection(self, writer, self._number)
        self._connections.add(connection)
        buffer = bytearray()
        try:
            while data := await reader.read(65536):
                buffer += data
                connection.receive(buffer)
        except (OSError, ValueError, IndexError):
            pass
        finally:
            self._connections.discard(connection)
            session = connection.session
            if session is not None and session.connection is connection:
                session.connection = None
            writer.transport.abort()

    def record(self, arrivals: list[Arrival]) -> None:
        """To disk first: what this broker acknowledges, it has."""
        self._journal.write(b"".join(b"%d %s %s\n" % (a.qos, a.topic.encode(), a.payload) for a in arrivals))
        os.fsync(self._journal.fileno())
        self.arrivals += arrivals


class _Connection:
    def __init__(self, broker: Broker, writer: asyncio.StreamWriter, number: int) -> None:
        self.broker = broker
        self.writer = writer
        self.number = number
        self.version = 5
        self.session: _Session | None = None
        self.unanswered = 0

    def abort(self) -> None:
        self.writer.transport.abort()

    def write(self, data: bytes) -> None:
        if not self.writer.is_closing() and not self.broker.is_mute:
            self.writer.write(data)

    def receive(self, buffer: bytearray) -> None:
        """Take all whole packets from the buffer; answer after they are recorded."""
        arrivals: list[Arrival] = []
        answers: list[tuple[bytes, bool]] = []
        while (packet := _take_packet(buffer)) is not None:
            head, body = packet
            if head & 0xF0 == 0x30:
                self._publish(head, body, arrivals, answers)
            else:
                self._other(head & 0xF0, body, answers)
        if arrivals:
            self.broker.record(arrivals)
        for answer, is_acknowledgement in answers:
            if is_acknowledgement and self.broker.swallow > 0:
                self.broker.swallow -= 1
            elif is_acknowledgement and self.broker.ack_delay:
                self.broker._loop.loop.call_later(self.broker.ack_delay, self._acknowledge, answer)
            elif is_acknowledgement:
                self._acknowledge(answer)
            else:
                self.write(answer)

    def _acknowledge(self, answer: bytes) -> None:
        self.unanswered -= 1
        self.write(answer)

    def _publish(self, head: int, body: bytes, arrivals: list[Arrival], answers: list[tuple[bytes, bool]]) -> None:
        session = self.session
        assert session is not None
        qos = head >> 1 & 3
        size = int.from_bytes(body[:2], "big")
        topic, position, packet_id = body[2 : 2 + size].decode(), 2 + size, 0
        if qos:
            packet_id = int.from_bytes(body[position : position + 2], "big")
            position += 2
        if self.version == 5:
            length, used = _decode_length(body, position)
            position += used + length
        arrival = Arrival(topic, bytes(body[position:]), qos, bool(head & 8), self.number)
        code = self.broker.deny(arrival)
        if code is None and not (qos == 2 and packet_id in session.received):
            arrivals.append(arrival)
        if not qos:
            return
        self.unanswered += 1
        self.broker.peak_under_way = max(self.broker.peak_under_way, self.unanswered)
        if qos == 2 and code is None:
            session.received.add(packet_id)
        answer = packet_id.to_bytes(2, "big") + (bytes([code]) if code is not None and self.version == 5 else b"")
        answers.append((bytes([0x40 if qos == 1 else 0x50, len(answer)]) + answer, True))

    def _other(self, kind: int, body: bytes, answers: list[tuple[bytes, bool]]) -> None:
        if kind == 0x10:
            answers.append((self._connect(body), False))
            if self.session is not None:
                self._resume(answers)
            return
        session = self.session
        assert session is not None
        packet_id = int.from_bytes(body[:2], "big")
        if kind == 0x60:
            session.received.discard(packet_id)
            answers.append((b"\x70\x02" + body[:2], False))
        elif kind in (0x40, 0x70):
            offer, _ = session.under_way.pop(packet_id, (None, False))
            if offer is not None:
                offer.is_acknowledged = True
            self.deliver()
        elif kind == 0x50:
            if packet_id in session.under_way:
                session.under_way[packet_id] = (session.under_way[packet_id][0], True)
            answers.append((b"\x62\x02" + body[:2], False))
        elif kind == 0x80:
            answers.append((self._subscribe(session, body), False))
        elif kind == 0xA0:
            answers.append((b"\xb0\x04" + body[:2] + b"\x00\x00" if self.version == 5 else b"\xb0\x02" + body[:2], False))
        elif kind == 0xC0:
            answers.append((b"\xd0\x00", False))

    def _connect(self, body: bytes) -> bytes:
        self.version = body[6]
        is_clean, position = bool(body[7] & 2), 10
        if self.version == 5:
            length, used = _decode_length(body, position)
            position += used + length
        size = int.from_bytes(body[position : position + 2], "big")
        name = body[position + 2 : position + 2 + size].decode()
        sessions = self.broker._sessions
        old = sessions.get(name)
        if old is not None and old.connection is not None:
            old.connection.abort()
        is_present = old is not None and not is_clean and bool(old.filters or old.under_way or old.received)
        if old is None or is_clean:
            sessions[name] = _Session() if old is None else _forgotten(old)
        self.session = sessions[name]
        self.session.connection = self
        self.broker.connects += 1
        answer = bytes([is_present, 0]) + (b"\x00" if self.version == 5 else b"")
        return bytes([0x20, len(answer)]) + answer

    def _resume(self, answers: list[tuple[bytes, bool]]) -> None:
        session = self.session
        assert session is not None
        for packet_id, (offer, is_received) in session.under_way.items():
            identifier = packet_id.to_bytes(2, "big")
            answers.append((b"\x62\x02" + identifier if is_received else self._delivery(offer, packet_id, is_duplicate=True), False))
        if session.filters:
            self.broker._loop.loop.call_soon(self.deliver)

    def _subscribe(self, session: _Session, body: bytes) -> bytes:
        position, codes = 2, b""
        if self.version == 5:
            length, used = _decode_length(body, position)
            position += used + length
        while position < len(body):
            size = int.from_bytes(body[position : position + 2], "big")
            qos = body[position + 2 + size] & 3
            topic = body[position + 2 : position + 2 + size].decode()
            session.filters[topic] = qos
            session.wanted.add(topic)
            codes += bytes([qos])
            position += 3 + size
        self.broker.subscribes += 1
        self.broker._loop.loop.call_soon(self.deliver)
        answer = body[:2] + (b"\x00" if self.version == 5 else b"") + codes
        return b"\x90" + _length(len(answer)) + answer

    def deliver(self) -> None:
        session = self.session
        if session is None or not session.filters or session.connection is not self:
            return
        while session.waiting and len(session.under_way) < WINDOW:
            offer = session.waiting.popleft()
            packet_id = 0
            if offer.qos:
                while session.next_id in session.under_way:
                    session.next_id = session.next_id % 65535 + 1
                packet_id = session.next_id
                session.next_id = session.next_id % 65535 + 1
                session.under_way[packet_id] = (offer, False)
            self.write(self._delivery(offer, packet_id, is_duplicate=False))

    def _delivery(self, offer: Offer, packet_id: int, *, is_duplicate: bool) -> bytes:
        offer.deliveries += 1
        topic = offer.topic.encode()
        body = len(topic).to_bytes(2, "big") + topic + (packet_id.to_bytes(2, "big") if offer.qos else b"")
        if self.version == 5:
            body += _length(len(offer.properties)) + offer.properties
        body += offer.payload
        return bytes([0x30 | (8 if is_duplicate else 0) | offer.qos << 1]) + _length(len(body)) + body


def user_property(name: str, value: str) -> bytes:
    """A user property, as it stands in a PUBLISH packet."""
    return b"\x26" + b"".join(len(text.encode()).to_bytes(2, "big") + text.encode() for text in (name, value))


def _forgotten(session: _Session) -> _Session:
    fresh = _Session(wanted=session.wanted)
    fresh.waiting.extend([offer for offer, _ in session.under_way.values()] + list(session.waiting))
    return fresh


def _matches(pattern: str, topic: str) -> bool:
    levels, names = pattern.split("/"), topic.split("/")
    for place, level in enumerate(levels):
        if level == "#":
            return True
        if place >= len(names) or level not in ("+", names[place]):
            return False
    return len(levels) == len(names)


def _take_packet(buffer: bytearray) -> tuple[int, bytes] | None:
    with contextlib.suppress(IndexError):
        length, used = _decode_length(buffer, 1)
        if len(buffer) >= 1 + used + length:
            head, body = buffer[0], bytes(buffer[1 + used : 1 + used + length])
            del buffer[: 1 + used + length]
            return head, body
    return None


def _length(value: int) -> bytes:
    encoded = b""
    while True:
        value, digit = divmod(value, 128)
        encoded += bytes([digit | (128 if value else 0)])
        if not value:
            return encoded


def _decode_length(data: bytes | bytearray, position: int) -> tuple[int, int]:
    value = 0
    for place in range(4):
        byte = data[position + place]
        value |= (byte & 127) << 7 * place
        if not byte & 128:
            return value, place + 1
    raise ValueError("no length")
