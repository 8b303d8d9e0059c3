"""The connection of one integration: made, kept alive, lost and made again. What it carries is in outgoing.py and incoming.py."""

import random
import selectors
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Protocol
from uuid import UUID

from bridge import log, metrics
from bridge.mqtt.client import Client, Limits
from bridge.mqtt.flapping import BACKOFF_CAP, Flapping
from bridge.mqtt.incoming import IncomingHalf
from bridge.mqtt.outgoing import OutgoingHalf
from bridge.mqtt.rate import Rate
from bridge.mqtt.sink import Sink
from bridge.mqtt.sockets import Connection, DialError
from bridge.mqtt.target import Target
from bridge.mqtt.websockets import FrameError
from bridge.values import Filter, Outgoing

CONNACK_SECONDS = 10.0
BACKOFF_BASE = 0.25
FULL_SECONDS = 1.0  # an unread socket is logged after this


class Loop(Protocol):
    """The thread that runs links, as they see it."""

    @property
    def is_reading(self) -> bool: ...
    @property
    def may_connect(self) -> bool: ...
    def call(self, function: Callable[[], None]) -> None: ...
    def dial(self, link: "Link") -> None: ...
    def register(self, link: "Link") -> None: ...
    def unregister(self, link: "Link") -> None: ...
    def apply(self, link: "Link") -> None: ...
    def want(self, link: "Link", *, write: bool) -> None: ...


class Link:
    """Its first section is for other threads, all else for the network thread."""

    def __init__(
        self, loop: Loop, sink: Sink, integration_id: UUID, organization_id: UUID, target: Target, shared_rates: tuple[Rate, Rate]
    ) -> None:
        self._loop = loop
        self._reporter = sink.reporter
        self._takes_more = sink.takes_more
        self.integration_id = integration_id
        self.organization_id = organization_id
        self.target = target
        self.outgoing = OutgoingHalf(self, integration_id, target, sink)
        self.incoming = IncomingHalf(self, self, target, sink, shared_rates)
        self.backlog = sink.store.backlog(organization_id)
        self._has_room = sink.store.has_room
        self._turn_bytes = sink.store.turn_bytes
        self.is_full = False
        self._full_at: float | None = None  # since when it is full without this being logged
        self._slow_until = 0.0  # until then nothing is read, because the broker delivers too fast
        self.generation = 0
        self.is_up = False
        self.limits = Limits()
        self.is_paused = False
        self.is_moved = False  # the integration goes on at another broker, or under another client id
        self._client: Client | None = None
        self._dialing = False
        self._is_ending = False
        self.is_closed = False
        self._failures = 0
        self._retry_at = 0.0
        self._connack_by: float | None = None
        self._up_since = 0.0
        self._flapping = Flapping(target.client_id)
        self._unread_at = 0.0
        self._is_kept = False  # whether the broker was to keep the session of the last connection, with messages for it

    # ----------------------------------------------------------------------------------------------------- from other threads

    @property
    def takes_more(self) -> bool:
        return self.outgoing.takes_more

    @property
    def will_be_redelivered(self) -> bool:
        """Whether the broker keeps what is not acknowledged, for the next link: this one is at its end, its session is not."""
        return self._is_ending and not self.is_moved and self.target.keeps_session

    def publish(self, messages: Iterable[Outgoing]) -> None:
        self._loop.call(partial(self.outgoing.publish, messages))

    def acknowledge(self, generation: int, packets: Sequence[tuple[int, int]]) -> None:
        """The messages (packet id, qos) that came on that connection are stored."""
        self._loop.call(partial(self.incoming.acknowledge, generation, packets))

    def set_filters(self, filters: dict[str, Filter], ended: Collection[str] = ()) -> None:
        """Hold these; `ended` are others that the broker may have for the session."""
        self._loop.call(partial(self.incoming.set_filters, filters, ended))

    def pause(self, reason: str | None) -> None:
        """Leave the broker unread, so that it keeps its messages; read on when there is no reason."""
        if self.is_paused != (reason is not None):
            self._loop.call(partial(self._pause, reason))

    def read_on(self) -> None:
        """There is room again for what its broker delivers."""
        self._loop.call(self._read_on)

    def give_up(self) -> None:
        """The database says that this bridge does not hold the integration: what is not acknowledged is for the one that does."""
        self._loop.call(self._give_up)

    # ------------------------------------------------------------------------------------------------------------- connecting

    @property
    def client(self) -> Client | None:
        client = self._client
        return client if client is not None and client.connection is not None else None

    @property
    def may_read(self) -> bool:
        return self._loop.is_reading and not self.is_paused and not self.is_full and not self._slow_until

    def due_at(self) -> float | None:
        """When to connect or to read on, by time.monotonic(); None if neither is to be done at a certain time."""
        if self._slow_until:
            return self._slow_until
        return None if self.is_up or self._dialing else self._retry_at

    def tick(self, now: float) -> None:
        """Whatever is due: a connection attempt, a keep-alive, a deadline."""
        if self.is_closed:
            return
        self.outgoing.expire(now)
        if self._dialing:
            return
        if (self._slow_until and now >= self._slow_until) or (self.is_full and self._has_room(self.backlog)):
            self._read_on()
        if self._full_at is not None and now > self._full_at + FULL_SECONDS:
            self._full_at = None
            log.info("reading_paused", integration=self.integration_id, reason="more has arrived than is stored")
        client = self.client
        if client is None:
            if now >= self._retry_at and self._loop.may_connect and self.may_read:
                self._dialing = True
                self._loop.dial(self)
            return
        if not self.may_read:
            # What the broker has answered lies unread: neither its silence nor a missing acknowledgement means anything.
            self._unread_at = now
            if self._connack_by is not None:
                self._connack_by = now + CONNACK_SECONDS
            client.stay_alive()
            self.flush()
        elif self._connack_by is not None and now > self._connack_by:
            self._drop("the broker does not answer CONNECT")
        elif (seconds := self.outgoing.overdue(now, self._unread_at)) is not None:
            self._drop(f"the broker has not acknowledged a message for {seconds:.0f} s")
        elif self.is_up:
            if self._flapping.reason is not None and self._flapping.is_stable(now - self._up_since):
                self._flapping.settled()
                self._reporter.state_changed(self.integration_id, "active", None)
            client.tick()
            self.flush()

    def dialed(self, connection: Connection | None, error: DialError | None) -> None:
        self._dialing = False
        if self.is_closed or not self._loop.may_connect:
            # Connecting would end the connection of the bridge that has the integration now.
            if connection is not None:
                connection.buffer.close()
            return
        if connection is None:
            self._failed(str(error))
            return
        self.generation += 1
        client = Client(self.target, self, self.outgoing, self.incoming, self.incoming.received)
        self._client = client
        self._connack_by = time.monotonic() + CONNACK_SECONDS
        try:
            client.begin(connection, clean_start=self.target.clean_start)
        except OSError as fault:
            self._drop(f"the connection failed: {fault}")
            return
        self._loop.register(self)
        self.flush()

    def connected(self, code: int, reason: str, session_present: bool, limits: Limits) -> None:
        if self._connack_by is None:
            raise ConnectionError("a second CONNACK")
        self._connack_by = None
        if code >= 0x80 or (code and self.target.mqtt_version == 4):
            self._hang_up()
            self._failed(f"the broker refused the connection: {reason}")
            return
        self.limits = limits
        self.is_up = True
        self._failures = 0
        self._up_since = time.monotonic()
        if self._is_kept and not session_present:
            # What it held for the bridge is gone, and nothing else tells.
            log.warning("session_lost", integration=self.integration_id)
            metrics.SESSIONS_LOST.inc()
        log.info("broker_connected", integration=self.integration_id, session_present=session_present)
        if self._flapping.reason is None:
            self._reporter.state_changed(self.integration_id, "active", None)
        self.incoming.connected(session_present=session_present)
        self.outgoing.connected(session_present=session_present)
        self._takes_more()

    # ----------------------------------------------------------------------------------------------------------------- ending

    def disconnected(self, reason: str, code: int = 0) -> None:
        was_up, self.is_up = self.is_up, False
        self._connack_by = None
        self._hang_up()
        if not was_up:
            self._failed(reason)
            return
        self._is_kept = self.target.keeps_session and bool(self.incoming.filters)
        log.warning("broker_lost", integration=self.integration_id, reason=reason)
        self.incoming.lost()
        self.outgoing.lost(reason, code)
        now = time.monotonic()
        self._retry_at = now + self._flapping.lost(now - self._up_since, reason, code)
        if self._flapping.reason is not None:
            self._reporter.state_changed(self.integration_id, "error", self._flapping.reason)

    def _drop(self, reason: str) -> None:
        """Close the connection as lost."""
        if self.client is not None:
            self._hang_up()
            self.disconnected(reason)

    def _hang_up(self, *, politely: bool = False) -> None:
        self._loop.unregister(self)
        if (client := self.client) is not None:
            client.end(politely=politely)

    def _failed(self, reason: str) -> None:
        self._failures += 1
        delay = min(BACKOFF_CAP, BACKOFF_BASE * 2 ** min(self._failures - 1, 10)) * random.uniform(0.5, 1.5)  # noqa: S311
        self._retry_at = time.monotonic() + delay
        log.warning("broker_unreachable", integration=self.integration_id, reason=reason, attempt=self._failures, retry_in=f"{delay:.1f}")
        metrics.CONNECT_FAILURES.inc()
        self._reporter.state_changed(self.integration_id, "error", reason)

    def drain(self) -> None:
        """Send no more and store no more that comes again; what is under way may still be acknowledged."""
        self._is_ending = True
        self.outgoing.drain()

    def close(self) -> None:
        """For good."""
        if self.is_closed:
            return
        self.is_closed = self._is_ending = True
        self.is_up = False
        if self.client is not None:
            self._loop.unregister(self)
            self.flush()
            self._hang_up(politely=True)
        self.outgoing.closed()

    def _give_up(self) -> None:
        if not self.is_closed:
            log.warning("integration_not_held", integration=self.integration_id)
            self.close()
            self._reporter.given_up(self)

    def _pause(self, reason: str | None) -> None:
        self.is_paused = reason is not None
        log.info("reading_paused" if reason else "reading_resumed", integration=self.integration_id, reason=reason)
        self._loop.apply(self)

    def _read_on(self) -> None:
        was_full, told = self.is_full, self._full_at is None
        self._limit()
        if was_full and told and not self.is_full:
            log.info("reading_resumed", integration=self.integration_id)
        self._loop.apply(self)

    def _limit(self) -> None:
        """Leave the broker unread, for a while, if it delivers more than is stored, or faster than it may."""
        now = time.monotonic()
        wait = self.incoming.too_fast_for(now)
        self._slow_until = now + wait if wait else 0.0
        was_full, self.is_full = self.is_full, True  # before it looks: who makes room looks at this afterwards
        self.is_full = not self._has_room(self.backlog)
        if not self.is_full:
            self._full_at = None
        elif not was_full:
            self._full_at = now

    # ------------------------------------------------------------------------------------------------------- reading, writing

    def flush(self) -> None:
        """Write what waits; wait for the socket where it takes no more."""
        client = self.client
        if client is None:
            return
        while True:
            try:
                done = client.flush()
            except OSError as error:
                self._drop(f"the connection failed: {error.strerror or error}")
                return
            if self._client is not client or client.connection is None:
                return
            if not done or not self.outgoing.flushed():
                break
        self._loop.want(self, write=not done)

    def on_ready(self, events: int) -> None:
        client = self.client
        if client is None:
            return
        try:
            if events & selectors.EVENT_READ:
                client.read(turn=self._turn_bytes())
        except Exception as error:  # noqa: BLE001  # whatever a broker sends must cost its own connection at most
            log.error("packet_refused", exc_info=True, integration=self.integration_id)
            what = str(error) if isinstance(error, ConnectionError | FrameError) else type(error).__name__
            self._drop(f"the broker sent something unreadable: {what}")
            return
        self._limit()
        if self.is_full or self._slow_until:
            self._loop.apply(self)
        if self.is_up and self.outgoing.pending:
            self.outgoing.pump()
        self.flush()
