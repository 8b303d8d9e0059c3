"""The connection of one integration: made, kept alive, lost and made again; link_outgoing.py and link_incoming.py are what it carries."""

import random
import selectors
import time
from typing import TYPE_CHECKING
from uuid import UUID

from bridge import log, metrics
from bridge.client import ONLINE, Client, Limits
from bridge.link_incoming import IncomingHalf
from bridge.link_outgoing import OutgoingHalf
from bridge.sockets import Connection, DialError
from bridge.target import Target
from bridge.websockets import FrameError

if TYPE_CHECKING:
    from bridge.network import Network

CONNACK_SECONDS = 10.0
ACK_SECONDS = 20.0
BACKOFF_BASE = 0.25
BACKOFF_CAP = 30.0
STABLE_SECONDS = 10.0


class Link(OutgoingHalf, IncomingHalf):
    """Used on the network thread, but for `takes_more` and `integration_id`."""

    def __init__(self, network: "Network", integration_id: UUID, target: Target) -> None:
        super().__init__(network, integration_id, target)
        self._dialing = False
        self._closed = False
        self._registered = 0
        self._failures = 0
        self._retry_at = 0.0
        self._connack_by: float | None = None
        self._up_since = 0.0
        self._unread_at = 0.0
        self._is_kept = False  # whether the broker was to keep the session of the last connection, with messages for it
        self.is_paused = False
        self.is_moved = False  # the integration goes on at another broker, or under another client id

    @property
    def may_read(self) -> bool:
        return self.network.is_reading and not self.is_paused

    def pause(self, reason: str | None) -> None:
        """Leave the broker unread, so that it keeps its messages; read on when there is no reason."""
        self.is_paused = reason is not None
        log.info("reading_paused" if reason else "reading_resumed", integration=self.integration_id, reason=reason)
        self.network.apply(self)

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
            if now >= self._retry_at and self.network.may_connect and self.may_read:
                self._dialing = True
                self.network.dial(self)
            return
        if not self.may_read:
            # What the broker has answered lies unread: neither its silence nor a missing acknowledgement means anything.
            self._unread_at = now
            if self._connack_by is not None:
                self._connack_by = now + CONNACK_SECONDS
            self.client.stay_alive()
            self.flush()
        elif self._connack_by is not None and now > self._connack_by:
            self.drop("the broker does not answer CONNECT")
        elif self.unacked and now - max(self._unread_at, next(iter(self.unacked.values())).sent_at) > self.patience():
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
        if self._is_kept and not session_present:
            # What it held for the bridge is gone, and nothing else tells.
            log.warning("session_lost", integration=self.integration_id)
            metrics.SESSIONS_LOST.inc()
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
        if was_up:
            keeps = self.network.keeps_sessions and not self.target.clean_start and self.target.session_expiry > 0
            self._is_kept = keeps and bool(self.filters)
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
            what = str(error) if isinstance(error, ConnectionError | FrameError) else type(error).__name__
            self.drop(f"the broker sent something unreadable: {what}")
            return
        if self.is_up and self.pending:
            self.pump()
        self.flush()
