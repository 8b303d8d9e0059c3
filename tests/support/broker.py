"""A broker that bears witness, and does as it is told: acknowledges, refuses, keeps silent, cuts, sends junk.

It notes each message before it acknowledges it, on disk where it has a journal, so that what it has can be compared with what was said to
be delivered. MQTT 3.1.1 and 5, QoS 0 to 2 both ways, persistent sessions, filters with wildcards. No retained messages, wills or shared
subscriptions.
"""

import asyncio
import contextlib
import os
import ssl
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

from tests.support.loop import Loop, close_server
from tests.support.ports import Port

WINDOW = 200  # offers under way to a subscriber
CONNECT, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, UNSUBSCRIBE, PINGREQ = (kind << 4 for kind in (1, 3, 4, 5, 6, 7, 8, 10, 12))
SUBSCRIPTION_IDENTIFIER = 0x0B  # a property
NAMES = {PUBACK: "PUBACK", PUBREC: "PUBREC", PUBCOMP: "PUBCOMP"}

Answer = int | str | None  # a reason code; "ignore", "close"; None is success


@dataclass(frozen=True, slots=True)
class Publish:
    """A message published to the broker."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    packet_id: int
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

    def forgotten(self) -> "_Session":
        """What a broker has that lost the session, though not what it had acknowledged."""
        fresh = _Session(wanted=self.wanted)
        fresh.waiting.extend([offer for offer, _ in self.under_way.values()] + list(self.waiting))
        return fresh


@dataclass(eq=False)
class Broker:
    """Set the attributes to choose its behaviour; they are looked at for each packet. `on_publish` is called on the broker's own thread."""

    loop: Loop | None = None
    journal: Path | None = None
    session_present: bool | None = False  # what CONNACK says of the session, and False forgets it; None: what is true
    connack: int = 0
    connack_properties: bytes = b""
    greeting: bytes | None = None  # sent instead of CONNACK
    answer_connect: bool = True
    answer_subscribe: bool = True
    answer_pubrec: bool = True
    suback: int | None = None
    on_publish: Callable[[Publish], Answer] = lambda _message: None
    ack_properties: bytes = b""  # of PUBACK and PUBREC, MQTT 5
    ack_delay: float = 0.0
    swallow: int = 0  # so many acknowledgements are not sent
    tls: ssl.SSLContext | None = None
    connects: list[dict[str, Any]] = field(default_factory=list)
    greeted: int = 0  # CONNACKs sent
    seen: list[Publish] = field(default_factory=list)  # all that came
    arrivals: list[Publish] = field(default_factory=list)  # what the broker has taken
    released: list[int] = field(default_factory=list)
    acknowledged: list[tuple[str, int]] = field(default_factory=list)  # by the client, of what deliver() sent: PUBACK, PUBREC, PUBCOMP
    subscribed: list[tuple[str, int]] = field(default_factory=list)
    identifiers: list[int] = field(default_factory=list)  # of subscriptions
    unsubscribed: list[str] = field(default_factory=list)
    most_filters: int = 0  # in a SUBSCRIBE or UNSUBSCRIBE packet
    peak_in_flight: int = 0  # on one connection
    offers: list[Offer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._loop = self.loop or Loop()
        self._file: BinaryIO | None = self.journal.open("ab", buffering=0) if self.journal else None
        self._sessions: dict[str, _Session] = {}
        self._connections: list[_Connection] = []
        self._refuses = False
        self._number = 0
        self.port: int = Port().number
        self._server = self._loop.run(asyncio.start_server(self._accept, "127.0.0.1", self.port))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
                    session.connection.pump()

        self._loop.call(work)
        return offer

    def backlog(self) -> int:
        """How many offers wait for a subscriber's window, or for its return."""
        return max((len(session.waiting) for session in list(self._sessions.values())), default=0)

    def has_subscriber(self, topic: str) -> bool:
        return self._loop.call(
            lambda: any(s.connection is not None and any(_matches(f, topic) for f in s.filters) for s in self._sessions.values())
        )

    def send(self, data: bytes) -> None:
        """Bytes as they are, on the latest connection."""
        self._loop.call(lambda: self._connections[-1].write(data) if self._connections else None)

    def unsent(self) -> int:
        """Bytes that wait because the peers do not read."""
        return self._loop.call(lambda: sum(c.writer.transport.get_write_buffer_size() for c in self._connections))

    def deliver(
        self, topic: bytes, payload: bytes, qos: int = 1, packet_id: int = 1, properties: bytes = b"", *, dup: bool = False
    ) -> None:
        """A PUBLISH on the latest connection, whether anybody subscribes to it or not."""
        self.send(_publish(self.connects[-1]["version"], topic, payload, qos, packet_id, properties, dup=dup))

    def cut(self) -> None:
        """End all connections without a word."""
        self._loop.call(self._abort_all)

    def kill(self, *, forget: bool = False) -> None:
        """Be gone until start(); with `forget`, the sessions go too, though not what was acknowledged."""

        def work() -> None:
            self._refuses = True
            self._abort_all()
            if forget:
                self._sessions = {name: session.forgotten() for name, session in self._sessions.items()}

        self._loop.call(work)

    def start(self) -> None:
        self._refuses = False

    def hold_ids(self, packet_ids: set[int]) -> None:
        """As if messages of QoS 2 had come under these ids, in every session, and were not released."""

        def work() -> None:
            for session in self._sessions.values():
                session.received |= packet_ids

        self._loop.call(work)

    def close(self) -> None:
        async def work() -> None:
            self._refuses = True
            await close_server(self._server)
            self._abort_all()

        self._loop.run(work())
        if self._file is not None:
            self._file.close()
        if self.loop is None:
            self._loop.close()

    # ------------------------------------------------------------------------------------------------------------ on the loop

    def _abort_all(self) -> None:
        for connection in list(self._connections):
            connection.writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        self._number += 1
        connection = _Connection(self, writer, self._number)
        self._connections.append(connection)
        buffer = bytearray()
        try:
            if self.tls is not None:
                await writer.start_tls(self.tls)
            while not writer.is_closing() and (data := await reader.read(65536)):
                buffer += data
                connection.receive(buffer)
        except (OSError, ValueError, IndexError):
            pass
        finally:
            self._connections.remove(connection)
            session = connection.session
            if session is not None and session.connection is connection:
                session.connection = None
            if not writer.is_closing():
                writer.transport.abort()

    def _record(self, arrivals: list[Publish]) -> None:
        """To disk first: what this broker acknowledges, it has."""
        if self._file is not None:
            self._file.write(b"".join(b"%d %s %s\n" % (a.qos, a.topic.encode(), a.payload) for a in arrivals))
            os.fsync(self._file.fileno())
        self.arrivals += arrivals


class _Connection:
    """Its packets; the answers to those that came at once go out after the messages among them are recorded."""

    def __init__(self, broker: Broker, writer: asyncio.StreamWriter, number: int) -> None:
        self.broker = broker
        self.writer = writer
        self.number = number
        self.version = 5
        self.session: _Session | None = None
        self._in_flight = 0
        self._arrivals: list[Publish] = []
        self._answers: list[Callable[[], None]] = []

    def write(self, data: bytes) -> None:
        if not self.writer.is_closing():
            self.writer.write(data)

    def receive(self, buffer: bytearray) -> None:
        """Take all whole packets from the buffer."""
        try:
            while (packet := _take_packet(buffer)) is not None:
                self._take(*packet)
        finally:
            if self._arrivals:
                self.broker._record(self._arrivals)
            answers, self._arrivals, self._answers = self._answers, [], []
            for answer in answers:
                answer()

    def _answer(self, data: bytes) -> None:
        self._answers.append(lambda: self.write(data))

    def _take(self, head: int, body: bytes) -> None:
        kind = head & 0xF0
        if kind == CONNECT:
            self._connect(body)
            return
        session = self.session
        if session is None:
            raise ValueError("no CONNECT")
        packet_id = int.from_bytes(body[:2], "big")
        if kind == PUBLISH:
            self._publish(session, head, body)
        elif kind == PUBREL:
            self.broker.released.append(packet_id)
            session.received.discard(packet_id)
            self._in_flight -= 1
            self._answer(b"\x70\x02" + body[:2])
        elif kind in NAMES:
            self._acknowledged(session, kind, packet_id)
        elif kind == SUBSCRIBE:
            self._subscribe(session, body)
        elif kind == UNSUBSCRIBE:
            topics = [topic for topic, _ in self._filters(body, has_options=False)]
            self.broker.unsubscribed += topics
            for topic in topics:
                session.filters.pop(topic, None)
            answer = body[:2] + (b"\x00" * (1 + len(topics)) if self.version == 5 else b"")
            self._answer(b"\xb0" + encode_length(len(answer)) + answer)
        elif kind == PINGREQ:
            self._answer(b"\xd0\x00")

    def _connect(self, body: bytes) -> None:
        broker = self.broker
        self.version, flags, position = body[6], body[7], 10
        properties = b""
        if self.version == 5:
            size, used = decode_length(body, position)
            properties = body[position + used : position + used + size]
            position += used + size
        fields: list[bytes] = []
        for _ in range(1 + (2 if flags & 4 else 0) + bool(flags & 0x80) + bool(flags & 0x40)):
            size = int.from_bytes(body[position : position + 2], "big")
            fields.append(body[position + 2 : position + 2 + size])
            position += 2 + size
        name, is_clean = fields[0].decode(), bool(flags & 2)
        old = broker._sessions.get(name)
        if old is not None and old.connection is not None:
            old.connection.writer.transport.abort()
        is_present = broker.session_present
        if is_present is None:
            is_present = old is not None and not is_clean and bool(old.filters or old.under_way or old.received)
        if old is None or is_clean or broker.session_present is False:
            broker._sessions[name] = _Session() if old is None else old.forgotten()
        self.session = session = broker._sessions[name]
        session.connection = self
        broker.connects.append(
            {
                "version": self.version,
                "client_id": name,
                "clean": is_clean,
                "keepalive": int.from_bytes(body[8:10], "big"),
                "properties": properties,
                "username": fields[1].decode() if flags & 0x80 else None,
            }
        )
        if broker.greeting is not None:
            self._answer(broker.greeting)
        elif broker.answer_connect:
            self._welcome(session, is_present=is_present)

    def _welcome(self, session: _Session, *, is_present: bool) -> None:
        broker = self.broker
        answer = bytes([is_present and not broker.connack, broker.connack])
        if self.version == 5:
            answer += encode_length(len(broker.connack_properties)) + broker.connack_properties
        self._answer(b"\x20" + encode_length(len(answer)) + answer)
        broker.greeted += 1
        if broker.connack:
            self._answers.append(self.writer.close)
            return
        for packet_id, (offer, is_received) in session.under_way.items():
            identifier = packet_id.to_bytes(2, "big")
            self._answer(b"\x62\x02" + identifier if is_received else self._delivery(offer, packet_id, dup=True))
        self._answers.append(self.pump)

    def _publish(self, session: _Session, head: int, body: bytes) -> None:
        qos = head >> 1 & 3
        size = int.from_bytes(body[:2], "big")
        topic, position, packet_id = body[2 : 2 + size].decode(), 2 + size, 0
        if qos:
            packet_id = int.from_bytes(body[position : position + 2], "big")
            position += 2
        if self.version == 5:
            length, used = decode_length(body, position)
            position += used + length
        message = Publish(topic, bytes(body[position:]), qos, bool(head & 1), bool(head & 8), packet_id, self.number)
        self.broker.seen.append(message)
        if qos:
            self._in_flight += 1
            self.broker.peak_in_flight = max(self.broker.peak_in_flight, self._in_flight)
        answer = self.broker.on_publish(message)
        if answer == "close":
            self._answers.append(self.writer.close)
            raise ValueError(answer)
        is_taken = answer is None or (isinstance(answer, int) and answer < 0x80)
        if is_taken and not (qos == 2 and packet_id in session.received):
            self._arrivals.append(message)
        if not qos or answer == "ignore":
            return
        if qos == 2 and is_taken:
            session.received.add(packet_id)
        code = bytes([answer]) if isinstance(answer, int) and self.version == 5 else b""
        if self.broker.ack_properties and self.version == 5:
            code = (code or b"\0") + encode_length(len(self.broker.ack_properties)) + self.broker.ack_properties
        data = bytes([PUBACK if qos == 1 else PUBREC, 2 + len(code)]) + packet_id.to_bytes(2, "big") + code
        self._answers.append(lambda: self._acknowledge(data, is_last=qos == 1 or not is_taken))

    def _acknowledge(self, data: bytes, *, is_last: bool) -> None:
        def acknowledge() -> None:
            self._in_flight -= is_last
            self.write(data)

        if self.broker.swallow > 0:
            self.broker.swallow -= 1
        elif self.broker.ack_delay:
            self.broker._loop.loop.call_later(self.broker.ack_delay, acknowledge)
        else:
            acknowledge()

    def _acknowledged(self, session: _Session, kind: int, packet_id: int) -> None:
        """By the client: an offer, or what deliver() sent."""
        offer, _ = session.under_way.get(packet_id, (None, False))
        if offer is None:
            self.broker.acknowledged.append((NAMES[kind], packet_id))
        if kind == PUBREC:
            if offer is not None:
                session.under_way[packet_id] = (offer, True)
            if offer is not None or self.broker.answer_pubrec:
                self._answer(b"\x62\x02" + packet_id.to_bytes(2, "big"))
        elif offer is not None:
            del session.under_way[packet_id]
            offer.is_acknowledged = True
            self.pump()

    def _filters(self, body: bytes, *, has_options: bool) -> Iterator[tuple[str, int]]:
        """The topics, and options, of a SUBSCRIBE or UNSUBSCRIBE packet."""
        position, count = 2, 0
        if self.version == 5:
            length, used = decode_length(body, position)
            position += used
            if length and body[position] == SUBSCRIPTION_IDENTIFIER:
                self.broker.identifiers.append(decode_length(body, position + 1)[0])
            position += length
        while position < len(body):
            size = int.from_bytes(body[position : position + 2], "big")
            end = position + 2 + size
            yield body[position + 2 : end].decode(), body[end] if has_options else 0
            position = end + has_options
            count += 1
        self.broker.most_filters = max(self.broker.most_filters, count)

    def _subscribe(self, session: _Session, body: bytes) -> None:
        codes = b""
        for topic, options in self._filters(body, has_options=True):
            self.broker.subscribed.append((topic, options))
            code = options & 3 if self.broker.suback is None else self.broker.suback
            codes += bytes([code])
            if code < 0x80:
                session.filters[topic] = code
                session.wanted.add(topic)
        if self.broker.answer_subscribe:
            answer = body[:2] + (b"\x00" if self.version == 5 else b"") + codes
            self._answer(b"\x90" + encode_length(len(answer)) + answer)
            self._answers.append(self.pump)

    def pump(self) -> None:
        """Send the offers that wait, as far as the window goes."""
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
            self.write(self._delivery(offer, packet_id, dup=False))

    def _delivery(self, offer: Offer, packet_id: int, *, dup: bool) -> bytes:
        offer.deliveries += 1
        return _publish(self.version, offer.topic.encode(), offer.payload, offer.qos, packet_id, offer.properties, dup=dup)


def user_property(name: str, value: str) -> bytes:
    """A user property, as it stands in a PUBLISH packet."""
    return b"\x26" + b"".join(len(text.encode()).to_bytes(2, "big") + text.encode() for text in (name, value))


def encode_length(value: int) -> bytes:
    """As MQTT's variable byte integer."""
    encoded = b""
    while True:
        value, digit = divmod(value, 128)
        encoded += bytes([digit | (128 if value else 0)])
        if not value:
            return encoded


def decode_length(data: bytes | bytearray, position: int) -> tuple[int, int]:
    """A variable byte integer, and how many bytes it takes."""
    value = 0
    for place in range(4):
        byte = data[position + place]
        value |= (byte & 127) << 7 * place
        if not byte & 128:
            return value, place + 1
    raise ValueError("no length")


def _publish(version: int, topic: bytes, payload: bytes, qos: int, packet_id: int, properties: bytes, *, dup: bool) -> bytes:
    body = len(topic).to_bytes(2, "big") + topic + (packet_id.to_bytes(2, "big") if qos else b"")
    if version == 5:
        body += encode_length(len(properties)) + properties
    return bytes([PUBLISH | (8 if dup else 0) | qos << 1]) + encode_length(len(body) + len(payload)) + body + payload


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
        length, used = decode_length(buffer, 1)
        if len(buffer) >= 1 + used + length:
            head, body = buffer[0], bytes(buffer[1 + used : 1 + used + length])
            del buffer[: 1 + used + length]
            return head, body
    return None
