"""All broker connections, on one thread: a selector over their sockets, and for each integration a Link that keeps it connected."""

import contextlib
import math
import random
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from paho.mqtt.properties import Properties

from bridge import log, metrics
from bridge.client import ONLINE, Client, Limits, Packed, properties_of_publish
from bridge.sockets import Connection, DialError, dial
from bridge.target import Target

DIAL_SECONDS = 10.0
DIALERS = 128  # threads, made as they are needed: brokers that keep silent must not keep the others waiting
CONNACK_SECONDS = 10.0
ACK_SECONDS = 20.0
BACKOFF_BASE = 0.25
BACKOFF_CAP = 30.0
STABLE_SECONDS = 10.0
STRIKES = 2  # a connection lost so often with the same single message under way
WRITE_AHEAD = 1 << 18
ID_NOT_FOUND = 0x92
MAX_FILTERS = 8  # a SUBSCRIBE packet, which is what AWS IoT Core takes


class Outgoing(NamedTuple):
    """A message to publish."""

    msg_id: int
    qos: int
    retain: bool
    topic: str
    payload: bytes
    properties: dict[str, Any] | None
    expires_in: int | None


class Incoming(NamedTuple):
    """A message that a broker delivered."""

    link: "Link"
    generation: int
    packet_id: int
    qos: int
    retain: bool
    topic: bytes
    payload: bytes
    properties: Properties | None
    subscription: int | None  # number of the filter that it came for; 0 unknown, None the only one


@dataclass(frozen=True, slots=True)
class Filter:
    """A subscription to hold."""

    id: UUID
    topic: str
    qos: int
    no_local: bool
    retain_handling: int
    number: int

    def terms(self) -> tuple[str, int, bool, int]:
        return self.topic, self.qos, self.no_local, self.retain_handling


class Sink(Protocol):
    """Who is told what happens on the network; called on its thread, and must only take note."""

    def settled(self, link: "Link", msg_id: int, state: str, code: int | None, reason: str | None) -> None:
        """state: sent, acknowledged, failed, or released (not sent after all)."""

    def arrived(self, message: Incoming) -> None: ...
    def may_read(self) -> bool: ...
    def is_storing_from(self, links: "list[Link]") -> bool: ...
    def state_changed(self, link: "Link", state: str, detail: str | None) -> None: ...
    def subscribed(self, results: list[tuple[UUID, int, str]]) -> None: ...
    def ready(self, link: "Link") -> None: ...
    def given_up(self, link: "Link") -> None: ...


class Link:
    """The connection of one integration. Used on the network thread, but for `takes_more` and `integration_id`."""

    def __init__(self, network: "Network", integration_id: UUID, target: Target) -> None:
        self.network = network
        self.integration_id = integration_id
        self.target = target
        self.generation = 0
        self.is_up = False
        self.client: Client | None = None
        self.limits = Limits()
        self.pending: deque[Outgoing] = deque()
        self.unacked: dict[int, _Unacked] = {}
        self.written: list[int] = []
        self.filters: dict[str, Filter] = {}
        self._held: dict[str, Filter] = {}
        self._subscribing: dict[int, list[Filter]] = {}
        self._unsubscribing: dict[int, list[str]] = {}
        self._doubtful: set[str] = set()  # which the broker may hold, since UNSUBSCRIBE or its answer was lost
        self._received: set[int] = set()
        # QoS 2 messages handed on and not stored yet, by packet id: the connections on which they came first and last.
        self._storing: dict[int, tuple[int, int]] = {}
        self._session_began = 0
        self._session_present = False
        self._was_refused = False
        self._dialing = False
        self._closed = False
        self._registered = 0
        self._failures = 0
        self._retry_at = 0.0
        self._connack_by: float | None = None
        self._up_since = 0.0
        self._acked_since_up = False
        self._lost_without_ack = 0
        self._strikes: dict[int, int] = {}
        self._packet_id = random.randrange(1, 65536)  # noqa: S311  # not where the last process left off
        # QoS 2: packet ids that are known to be free in a session that this process did not begin; None in one that it did.
        self._cleared: set[int] | None = None
        self._has_qos_2 = target.mqtt_version == 5  # there, a broker without it says so
        self._careful = False
        self._draining = False
        self.is_moved = False  # the integration goes on at another broker, or under another client id
        self._status_id = 0  # of the status message under way

    @property
    def takes_more(self) -> bool:
        return self.is_up and not self._careful and not self._draining

    @property
    def will_be_redelivered(self) -> bool:
        """Whether the broker keeps what is not acknowledged, for the next link: this one is at its end, its session is not."""
        is_at_its_end = self._draining or self._closed
        return is_at_its_end and not self.is_moved and not self.target.clean_start and self.target.session_expiry > 0

    # ------------------------------------------------------------------------------------------------------------- connecting

    def tick(self, now: float) -> None:
        """Whatever is due: a connection attempt, a keep-alive, a deadline."""
        if self._closed or self._dialing:
            return
        if self.client is None or self.client.connection is None:
            if now >= self._retry_at and self.network.may_connect and self.network.is_reading:
                self._dialing = True
                self.network.dial(self)
            return
        if not self.network.is_reading:
            # What the broker has answered lies unread: neither its silence nor a missing acknowledgement means anything.
            self.client.stay_alive()
            self.flush()
        elif self._connack_by is not None and now > self._connack_by:
            self.drop("the broker does not answer CONNECT")
        elif self.unacked and now - next(iter(self.unacked.values())).sent_at > self.patience():
            self.drop(f"the broker has not acknowledged a message for {self.patience():.0f} s")
        elif self.is_up:
            self.client.tick()
            self.flush()

    def patience(self) -> float:
        """Seconds to wait for an acknowledgement; longer after each connection without any, for the broker may be no more than slow."""
        return ACK_SECONDS * float(1 << min(self._lost_without_ack, 4))

    def dialed(self, connection: Connection | None, error: DialError | None) -> None:
        self._dialing = False
        if self._closed or not self.network.may_connect:
            # Connecting would end the connection of whoever has the integration now.
            if connection is not None:
                connection.buffer.close()
            return
        if connection is None:
            self._failed(str(error))
            return
        self.generation += 1
        client = Client(self.target, self, self._received)
        self.client = client
        self._connack_by = time.monotonic() + CONNACK_SECONDS
        clean_start = self.target.clean_start or not self.network.keeps_sessions
        try:
            client.begin(connection, clean_start=clean_start)
        except OSError as fault:
            self.drop(f"the connection failed: {fault}")
            return
        self.network.register(self, connection)
        self.flush()

    def _failed(self, reason: str) -> None:
        self._failures += 1
        delay = min(BACKOFF_CAP, BACKOFF_BASE * 2 ** min(self._failures - 1, 10)) * random.uniform(0.5, 1.5)  # noqa: S311
        self._retry_at = time.monotonic() + delay
        log.warning("broker_unreachable", integration=self.integration_id, reason=reason, attempt=self._failures, retry_in=f"{delay:.1f}")
        metrics.CONNECT_FAILURES.inc()
        self.network.sink.state_changed(self, "error", reason)

    def drop(self, reason: str) -> None:
        """Close the connection as lost."""
        client = self.client
        if client is None or client.connection is None:
            return
        self.network.unregister(self)
        client.end(politely=False)
        self.disconnected(reason)

    def connected(self, code: int, reason: str, session_present: bool, limits: Limits) -> None:
        if self._connack_by is None:
            raise ConnectionError("a second CONNACK")
        self._connack_by = None
        if code >= 0x80 or (code and self.target.mqtt_version == 4):
            self.network.unregister(self)
            if self.client is not None:
                self.client.end(politely=False)
            self._failed(f"the broker refused the connection: {reason}")
            return
        self.limits = limits
        self.is_up = True
        self._failures = 0
        self._up_since = time.monotonic()
        self._acked_since_up = False
        self._cleared = set() if session_present else None
        if not session_present:
            self._session_began = self.generation
            self._storing.clear()
            self._held.clear()
            self._doubtful.clear()
        self._session_present = session_present
        self._was_refused = False
        log.info("broker_connected", integration=self.integration_id, session_present=session_present)
        self.network.sink.state_changed(self, "active", None)
        self._subscribe()
        self._say_online()
        self._resend(session_present=session_present)
        self.network.sink.ready(self)

    def _say_online(self) -> None:
        self._status_id = 0
        if self.client is not None and self.target.status_topic is not None:
            self._status_id = self._next_packet_id() if self.limits.maximum_qos else 0
            self.client.send_status(ONLINE, self._status_id)

    def disconnected(self, reason: str) -> None:
        was_up, self.is_up = self.is_up, False
        self._connack_by = None
        # A SUBSCRIBE or UNSUBSCRIBE without an answer may have been lost, and the broker may keep the session all the same.
        for part in self._subscribing.values():
            self._doubtful.update(found.topic for found in part)
            for found in part:
                self._held.pop(found.topic, None)
        for topics in self._unsubscribing.values():
            self._doubtful.update(topics)
        self._subscribing.clear()
        self._unsubscribing.clear()
        self.network.unregister(self)
        if self.client is not None and self.client.connection is not None:
            self.client.end(politely=False)
        # QoS 0 is at most once: what was under way counts as sent, what was not waits in the queue.
        self._settle_written()
        if not self._careful:
            self._release_pending()
        if not was_up:
            self._failed(reason)
            return
        log.warning("broker_lost", integration=self.integration_id, reason=reason)
        if self.unacked and not self._acked_since_up:
            self._suspect(reason)
        else:
            self._lost_without_ack = 0
        self._failures = 0 if time.monotonic() - self._up_since > STABLE_SECONDS else self._failures + 1
        delay = min(BACKOFF_CAP, 0.05 * 2 ** min(self._failures, 12)) * random.uniform(0.5, 1.5)  # noqa: S311
        self._retry_at = time.monotonic() + delay
        self.network.sink.state_changed(self, "lost", reason)

    def drain(self) -> None:
        """Send no more and store no more that comes again; what is under way may still be acknowledged."""
        self._draining = True
        self._release_pending()

    def close(self) -> None:
        """For good: what is not acknowledged goes back to the queue."""
        if self._closed:
            return
        self._closed = True
        self.is_up = False
        if self.client is not None and self.client.connection is not None:
            self.network.unregister(self)
            self.flush()
            self.client.end(politely=True)
        self._settle_written()
        self._release_pending()
        for message in self.unacked.values():
            self._settle(message.message.msg_id, "released", None, None)
        self.unacked.clear()

    def give_up(self) -> None:
        """The database says that this bridge does not hold the integration: what is not acknowledged is for the one that does."""
        if not self._closed:
            log.warning("integration_not_held", integration=self.integration_id)
            self.close()
            self.network.sink.given_up(self)

    # --------------------------------------------------------------------------------------------------------------- outgoing

    def publish(self, messages: Iterable[Outgoing]) -> None:
        if not self.is_up or self._draining:
            for message in messages:
                self._settle(message.msg_id, "released", None, None)
            return
        self.pending.extend(messages)
        self.pump()
        self.flush()

    def window(self) -> int:
        # What says that the bridge is online counts like any other (MQTT 5 section 3.3.4).
        return 1 if self._careful else min(self.limits.receive_maximum - (self._status_id > 0), self.target.max_in_flight)

    def pump(self) -> None:
        """Hand messages to the socket as far as the windows allow."""
        client = self.client
        if client is None or client.connection is None or not self.is_up:
            return
        buffer = client.connection.buffer
        window = self.window()
        pending, unacked, limits = self.pending, self.unacked, self.limits
        version = self.target.mqtt_version
        while pending and len(unacked) < window and buffer.pending_bytes() < WRITE_AHEAD:
            message = pending.popleft()
            topic = message.topic.encode()
            fault = self._unfit(message, topic, limits)
            properties = None
            if fault is None and version == 5 and (message.properties or message.expires_in is not None):
                try:
                    properties = properties_of_publish(message.properties, message.expires_in)
                except ValueError as error:
                    fault = str(error)
            if fault is not None:
                self._settle(message.msg_id, "failed", None, fault)
                continue
            packet_id = self._next_packet_id() if message.qos else 0
            if message.qos == 2 and self._cleared is not None and self._has_qos_2 and packet_id not in self._cleared:
                # Whoever had the session before may have left this id unreleased: the broker would take the message for that one
                # sent again, acknowledge it and drop it.
                self._cleared.add(packet_id)
                client.send_pubrel(packet_id)
            client.send_publish(packet_id, topic, message.payload, message.qos, retain=message.retain, dup=False, properties=properties)
            if message.qos:
                unacked[packet_id] = _Unacked(message, properties, time.monotonic())
            else:
                self.written.append(message.msg_id)

    def _unfit(self, message: Outgoing, topic: bytes, limits: Limits) -> str | None:
        if len(topic) + len(message.payload) + 16 > limits.maximum_packet_size:
            return f"the broker takes packets of at most {limits.maximum_packet_size} bytes"
        if message.qos > limits.maximum_qos:
            return f"the broker takes QoS {limits.maximum_qos} at most"
        if message.retain and not limits.retain_available:
            return "the broker keeps no retained messages"
        return None

    def _next_packet_id(self) -> int:
        packet_id = self._packet_id
        while True:
            packet_id = packet_id % 65535 + 1
            if packet_id not in self.unacked and packet_id != self._status_id:
                self._packet_id = packet_id
                return packet_id

    def answered(self, packet_id: int, code: int, reason: str | None, *, received: bool) -> None:
        if packet_id == self._status_id:
            self._status_id = 0
            if code >= 0x80:
                log.warning("status_refused", integration=self.integration_id, topic=self.target.status_topic, reason=reason)
            return
        found = self.unacked.get(packet_id)
        if found is None:
            return
        if code >= 0x80:
            del self.unacked[packet_id]
            self._settle(found.message.msg_id, "failed", code, reason)
        elif received:
            found.is_received = self._has_qos_2 = True
            found.sent_at = time.monotonic()
        else:
            del self.unacked[packet_id]
            metrics.ANSWER.observe(time.monotonic() - found.sent_at)
            self._settle(found.message.msg_id, "acknowledged", code, reason if code else None)
        self._acked_since_up = True
        self._lost_without_ack = 0
        if self._careful and not self.unacked and not self.pending:
            self._careful = False
            self._strikes.clear()
            self.network.sink.ready(self)

    def completed(self, packet_id: int, code: int, reason: str | None) -> None:
        """PUBCOMP: the end of a message whose PUBREC has come. Else it answers the PUBREL that only cleared the packet id."""
        found = self.unacked.get(packet_id)
        if found is not None and found.is_received:
            # That the broker does not know it any more means that it had completed it before (MQTT 5 section 3.7.2.1).
            self.answered(packet_id, 0 if code == ID_NOT_FOUND else code, reason, received=False)

    def _resend(self, *, session_present: bool) -> None:
        """What was under way when the connection was lost, in its order (MQTT 5 section 4.4)."""
        client = self.client
        if client is None or not self.unacked:
            self.pump()
            return
        if self._careful:
            # Each alone now: whichever ends the connection is found.
            messages = [found.message for found in self.unacked.values() if not found.is_received]
            received = {packet_id: found for packet_id, found in self.unacked.items() if found.is_received and session_present}
            messages += [found.message for found in self.unacked.values() if found.is_received and not session_present]
            self.unacked = received
            self.pending.extendleft(reversed(messages))
        now = time.monotonic()
        for packet_id, found in self.unacked.items():
            found.sent_at = now
            if found.is_received and session_present:
                client.send_pubrel(packet_id)
                continue
            found.is_received = False
            message = found.message
            client.send_publish(
                packet_id,
                message.topic.encode(),
                message.payload,
                message.qos,
                retain=message.retain,
                dup=session_present,
                properties=found.properties,
            )
        self.pump()

    def _suspect(self, reason: str) -> None:
        """The connection was lost with messages under way and none acknowledged: is one of them the reason?"""
        self._lost_without_ack += 1
        if self._careful and len(self.unacked) == 1:
            packet_id, found = next(iter(self.unacked.items()))
            msg_id = found.message.msg_id
            self._strikes[msg_id] = self._strikes.get(msg_id, 0) + 1
            if self._strikes[msg_id] >= STRIKES:
                del self.unacked[packet_id]
                self._settle(msg_id, "failed", None, f"the broker closes the connection on this message ({reason})")
                self._careful = bool(self.pending)
        elif self._lost_without_ack >= STRIKES:
            log.warning("broker_lost_repeatedly", integration=self.integration_id, under_way=len(self.unacked))
            self._careful = True

    def _settle(self, msg_id: int, state: str, code: int | None, reason: str | None) -> None:
        self.network.sink.settled(self, msg_id, state, code, reason)

    def _settle_written(self) -> None:
        for msg_id in self.written:
            self._settle(msg_id, "sent", None, None)
        self.written.clear()

    def _release_pending(self) -> None:
        for message in self.pending:
            self._settle(message.msg_id, "released", None, None)
        self.pending.clear()

    # --------------------------------------------------------------------------------------------------------------- incoming

    def arrived(
        self, packet_id: int, qos: int, retain: bool, topic: bytes, payload: bytes, properties: Properties | None, subscription: int
    ) -> None:
        which: int | None = None
        if len(self.filters) != 1:  # none: they are not known yet, but what the broker has kept is there already
            # Which filters the broker holds is what the database thinks, but while it is being told.
            which = 0 if self._was_refused or (self._subscribing and not self._session_present) else subscription
        if qos == 2:
            self._storing[packet_id] = (self.generation, self.generation)
        self.network.sink.arrived(Incoming(self, self.generation, packet_id, qos, retain, topic, payload, properties, which))

    def is_storing(self, packet_id: int) -> bool:
        """Whether a QoS 2 message that comes again is on its way to the database; it is then acknowledged on this connection."""
        first, _ = self._storing.get(packet_id, (0, 0))
        if first:
            self._storing[packet_id] = (first, self.generation)
        return bool(first)

    def acknowledge(self, generation: int, packets: list[tuple[int, int]]) -> None:
        """The messages (packet id, qos) are stored. Those of an earlier connection the broker delivers again."""
        client = self.client
        for packet_id, qos in packets:
            came = generation
            if qos == 2 and self._storing.get(packet_id, (0, 0))[0] == generation:
                _, came = self._storing.pop(packet_id)
            if came == self.generation and client is not None and client.connection is not None:
                client.acknowledge(packet_id, qos)
            elif qos == 2 and came >= self._session_began:
                self._received.add(packet_id)
        self.flush()

    def set_filters(self, filters: dict[str, Filter]) -> None:
        self.filters = filters
        if self.is_up:
            self._subscribe()
            self.flush()

    def _subscribe(self) -> None:
        client = self.client
        if client is None:
            return
        gone = [topic for topic in self._held.keys() | self._doubtful if topic not in self.filters]
        if gone:
            self._unsubscribing[client.send_unsubscribe(gone)] = gone
            for topic in gone:
                self._held.pop(topic, None)
        self._doubtful.clear()
        known = {topic: (found.terms(), found.number) for topic, found in self._held.items()}
        wanted = iter([found for found in self.filters.values() if known.get(found.topic) != (found.terms(), found.number)])
        # A packet has one identifier, for all its filters. The first filter has one too: others may come.
        is_named = self.target.mqtt_version == 5 and self.limits.subscription_identifiers
        while part := list(islice(wanted, 1 if is_named else MAX_FILTERS)):
            packet_id = client.send_subscribe([found.terms() for found in part], part[0].number if is_named else None)
            self._subscribing[packet_id] = part
            self._held.update({found.topic: found for found in part})
        same = [found for found in self.filters.values() if found.topic in known and self._held[found.topic].id != found.id]
        self._held.update({found.topic: found for found in same})

    def subscribed(self, packet_id: int, codes: list[tuple[int, str]]) -> None:
        part = self._subscribing.pop(packet_id, [])
        results = []
        for found, (code, reason) in zip(part, codes, strict=False):
            results.append((found.id, code, reason))
            if code >= 0x80:
                self._held.pop(found.topic, None)
                self._was_refused = True
        if results:
            self.network.sink.subscribed(results)

    def unsubscribed(self, packet_id: int) -> None:
        self._unsubscribing.pop(packet_id, None)

    # ---------------------------------------------------------------------------------------------------------------- network

    def flush(self) -> None:
        """Write what waits; wait for the socket where it takes no more."""
        client = self.client
        if client is None or client.connection is None:
            return
        while True:
            try:
                done = client.flush()
            except OSError as error:
                self.drop(f"the connection failed: {error.strerror or error}")
                return
            if self.client is not client or client.connection is None:
                return
            if done and self.written:
                self._settle_written()
            waiting = len(self.pending)
            if done:
                self.pump()
            if len(self.pending) == waiting:
                break
        self.network.want(self, write=not done)

    def on_ready(self, events: int) -> None:
        client = self.client
        if client is None or client.connection is None:
            return
        try:
            if events & selectors.EVENT_READ:
                client.read()
        except Exception as error:  # noqa: BLE001  # whatever a broker sends must cost its own connection at most
            log.error("packet_refused", exc_info=True, integration=self.integration_id)
            what = str(error) if isinstance(error, ConnectionError) else type(error).__name__
            self.drop(f"the broker sent something unreadable: {what}")
            return
        if self.is_up and self.pending:
            self.pump()
        self.flush()


class _Unacked:
    """A QoS 1 or 2 message under way."""

    __slots__ = ("is_received", "message", "properties", "sent_at")

    def __init__(self, message: Outgoing, properties: Packed | None, sent_at: float) -> None:
        self.message = message
        self.properties = properties
        self.sent_at = sent_at
        self.is_received = False


class Network(threading.Thread):
    """Runs the links. Other threads give it work by call(); it tells its sink."""

    def __init__(self, sink: Sink, *, keeps_sessions: bool = True) -> None:
        super().__init__(name="network", daemon=True)
        self.sink = sink
        self.keeps_sessions = keeps_sessions
        self.connect_until = math.inf  # time.monotonic()
        self._selector = selectors.DefaultSelector()
        self._calls: deque[Callable[[], None]] = deque()
        self._awake, self._wake = socket.socketpair()
        self._awake.setblocking(False)
        self._wake.setblocking(False)
        self._is_woken = False
        self._selector.register(self._awake, selectors.EVENT_READ, None)
        self._links: dict[UUID, Link] = {}
        self._wanted: dict[Link, int] = {}
        self._dialers = ThreadPoolExecutor(DIALERS, thread_name_prefix="dial")
        self._ending = threading.Event()
        self.is_reading = True
        self.turned_at = time.monotonic()

    @property
    def may_connect(self) -> bool:
        return time.monotonic() < self.connect_until

    # ----------------------------------------------------------------------------------------------------- from other threads

    def call(self, function: Callable[[], None]) -> None:
        """Have function called on the network thread, soon and in order."""
        self._calls.append(function)
        if not self._is_woken:
            self._is_woken = True
            try:
                self._wake.send(b"\0")
            except BlockingIOError:
                pass
            except OSError:
                return

    def add(self, integration_id: UUID, target: Target) -> Link:
        link = Link(self, integration_id, target)

        def start() -> None:
            self._links[integration_id] = link
            link.tick(time.monotonic())

        self.call(start)
        return link

    def remove(self, links: list[Link], patience: float = 2.0, timeout: float = 5.0) -> None:
        """Close links, once what they have under way is acknowledged or patience is over, and wait until they are.

        That goes for both directions: what was stored and not acknowledged would come again, and be stored again.
        """
        for link in links:
            self.call(link.drain)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and (any(link.is_up and link.unacked for link in links) or self.sink.is_storing_from(links)):
            time.sleep(0.005)
        done = threading.Event()

        def end() -> None:
            for link in links:
                link.close()
                if self._links.get(link.integration_id) is link:
                    del self._links[link.integration_id]
            done.set()

        self.call(end)
        done.wait(timeout)

    def stop(self, timeout: float = 5.0) -> None:
        self._ending.set()
        self.call(lambda: None)
        self.join(timeout)
        self._dialers.shutdown(wait=False, cancel_futures=True)

    # ------------------------------------------------------------------------------------------------------------ from links

    def dial(self, link: Link) -> None:
        def work() -> None:
            connection, error = None, None
            try:
                connection = dial(link.target, DIAL_SECONDS)
            except DialError as fault:
                error = fault
            except Exception as fault:  # noqa: BLE001  # reported as the reason; a dialer must not die silently
                error = DialError("tcp", f"the connection failed: {fault}")
            self.call(lambda: link.dialed(connection, error))

        with contextlib.suppress(RuntimeError):  # ending
            self._dialers.submit(work)

    def register(self, link: Link, connection: Connection) -> None:
        events = selectors.EVENT_READ if self.is_reading else 0
        self._wanted[link] = selectors.EVENT_READ
        if events:
            self._selector.register(connection.buffer.fileno(), events, link)
            link._registered = events

    def unregister(self, link: Link) -> None:
        self._wanted.pop(link, None)
        if link._registered and link.client is not None and link.client.connection is not None:
            try:
                self._selector.unregister(link.client.connection.buffer.fileno())
            except (KeyError, ValueError):
                self._forget(link)
        elif link._registered:
            self._forget(link)
        link._registered = 0

    def _forget(self, link: Link) -> None:
        for key in list(self._selector.get_map().values()):
            if key.data is link:
                self._selector.unregister(key.fd)

    def want(self, link: Link, *, write: bool) -> None:
        if link in self._wanted:
            self._wanted[link] = selectors.EVENT_READ | (selectors.EVENT_WRITE if write else 0)
            self._apply(link)

    def _apply(self, link: Link) -> None:
        client = link.client
        if client is None or client.connection is None:
            return
        events = self._wanted.get(link, 0) & ~(0 if self.is_reading else selectors.EVENT_READ)
        if events == link._registered:
            return
        descriptor = client.connection.buffer.fileno()
        if not events:
            self._selector.unregister(descriptor)
        elif link._registered:
            self._selector.modify(descriptor, events, link)
        else:
            self._selector.register(descriptor, events, link)
        link._registered = events

    # ---------------------------------------------------------------------------------------------------------------- running

    def run(self) -> None:
        next_tick = 0.0
        while not self._ending.is_set():
            try:
                next_tick = self._turn(next_tick)
            except Exception:  # noqa: BLE001  # one link's fault must not end all others
                log.error("network_fault", exc_info=True)
                time.sleep(0.1)
        for link in list(self._links.values()):
            link.close()

    def _turn(self, next_tick: float) -> float:
        self.turned_at = now = time.monotonic()
        for key, events in self._selector.select(max(0.0, min(next_tick - now, 1.0))):
            if key.data is None:
                self._is_woken = False
                with contextlib.suppress(BlockingIOError):
                    self._awake.recv(4096)
            else:
                key.data.on_ready(events)
        self._is_woken = False
        for _ in range(len(self._calls)):
            self._calls.popleft()()
        may_read = self.sink.may_read()
        if may_read != self.is_reading:
            self.is_reading = may_read
            log.info("reading_resumed" if may_read else "reading_paused")
            for link in list(self._wanted):
                self._apply(link)
        now = time.monotonic()
        if now >= next_tick:
            for link in list(self._links.values()):
                link.tick(now)
            soonest = min((link._retry_at for link in self._links.values() if not link.is_up and not link._dialing), default=now + 0.5)
            return max(now + 0.02, min(now + 0.5, soonest))
        return next_tick
