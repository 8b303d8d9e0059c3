"""The outgoing direction of a link: messages to publish, what is under way, and what the broker answered."""

import math
import random
import time
from collections import deque
from collections.abc import Iterable
from uuid import UUID

from bridge import log, metrics
from bridge.mqtt.client import ONLINE, Limits
from bridge.mqtt.properties import Packed, publish_properties
from bridge.mqtt.sink import Sink
from bridge.mqtt.sockets import BufferedSocket
from bridge.mqtt.target import Target
from bridge.mqtt.wire import Wire
from bridge.values import Outcome, Outgoing, PublishState

ACK_SECONDS = 20.0
STRIKES = 2  # a connection lost so often with the same single message under way
WRITE_AHEAD = 1 << 18
EXPIRY_SECONDS = 0.5  # between two looks for messages that have expired
ID_NOT_FOUND = 0x92
EXPIRED = "Its message_expiry passed before it could be sent to the broker."
EXPIRED_UNDER_WAY = "Its message_expiry passed after the connection was lost; the broker may have it."
# Reason codes of a DISCONNECT that says why, and that it was not a message: busy, shutting down, keep alive timeout, session taken over,
# administrative action, use another server, server moved, connection rate exceeded, maximum connect time.
NO_MESSAGE_S_FAULT = frozenset((0x89, 0x8B, 0x8D, 0x8E, 0x98, 0x9C, 0x9D, 0x9F, 0xA0))


class _Unacked:
    """A QoS 1 or 2 message under way."""

    __slots__ = ("is_received", "message", "sent_at")

    def __init__(self, message: Outgoing, sent_at: float) -> None:
        self.message = message
        self.sent_at = sent_at
        self.is_received = False


class OutgoingHalf:
    """Used on the network thread, but for `takes_more`."""

    def __init__(self, wire: Wire, integration_id: UUID, target: Target, sink: Sink) -> None:
        self._wire = wire
        self._integration_id = integration_id
        self._target = target
        self._settled = sink.settled
        self._sink = sink
        self.pending: deque[Outgoing] = deque()
        self.unacked: dict[int, _Unacked] = {}
        self._handed_over: list[tuple[int, int]] = []  # of QoS 0: message, and when it is written (`Client.written_once`)
        self._buffer: BufferedSocket | None = None  # of the connection that these went to
        self._is_draining = False
        self._acked_since_up = False
        self._lost_without_ack = 0
        self._strikes: dict[int, int] = {}
        self._packet_id = random.randrange(1, 65536)  # noqa: S311  # not where the last process left off
        # QoS 2: packet ids that are known to be free in a session that this process did not begin; None in one that it did.
        self._cleared: set[int] | None = None
        self._has_qos_2 = target.mqtt_version == 5  # there, a broker without it says so
        self._is_one_by_one = False  # a single message is under way at a time, to find the one that ends the connection
        self._status_id = 0  # of the status message under way
        self._expires_at = math.inf  # no message expires before; time.monotonic()

    @property
    def takes_more(self) -> bool:
        return self._wire.is_up and not self._is_one_by_one and not self._is_draining

    # ------------------------------------------------------------------------------------------------------------- connection

    def connected(self, *, session_present: bool) -> None:
        self._cleared = set() if session_present else None
        self._say_online()
        self._expire_unacked(time.monotonic())
        self._resend(session_present=session_present)

    def lost(self, reason: str, code: int = 0) -> None:
        # QoS 0 is at most once: what was written counts as sent, what was not, or in part, waits in the queue.
        self._settle_written()
        if not self._is_one_by_one:
            self._release_pending()
        if not self.unacked or self._acked_since_up:
            self._lost_without_ack = 0
        elif code not in NO_MESSAGE_S_FAULT:
            self._suspect(reason)
        self._acked_since_up = False

    def drain(self) -> None:
        """Send no more; what is under way may still be acknowledged."""
        self._is_draining = True
        self._release_pending()

    def closed(self) -> None:
        """For good: what is not acknowledged goes back to the queue."""
        self._settle_written()
        self._release_pending()
        for message in self.unacked.values():
            self._settle(message.message.msg_id, "released")
        self.unacked.clear()

    def flushed(self) -> bool:
        """All that was handed over is written. Hands more over; whether there was more."""
        if self._handed_over:
            self._settle_written()
        waiting = len(self.pending)
        self.pump()
        return len(self.pending) != waiting

    def overdue(self, now: float, unread_at: float) -> float | None:
        """The seconds allowed for an acknowledgement, once the oldest message has waited longer on a connection that was read."""
        if not self.unacked:
            return None
        # Longer after each connection without any acknowledgement, since the broker may just be slow.
        patience = ACK_SECONDS * float(1 << min(self._lost_without_ack, 4))
        return patience if now - max(unread_at, next(iter(self.unacked.values())).sent_at) > patience else None

    def expire(self, now: float) -> None:
        """Settle what is worthless by now: what waits to be sent, and without a connection what waits for its acknowledgement, too."""
        if now < self._expires_at:
            return
        waiting = list(self.pending)
        self.pending.clear()
        for message in waiting:
            if _is_over(message, now):
                self._settle(message.msg_id, "expired", reason=EXPIRED)
            else:
                self.pending.append(message)
        if not self._wire.is_up:
            self._expire_unacked(now)
        left = [*self.pending, *(found.message for found in self.unacked.values())]
        self._expires_at = max(now + EXPIRY_SECONDS, min((m.expires_at for m in left if m.expires_at is not None), default=math.inf))
        self._end_one_by_one()

    def _expire_unacked(self, now: float) -> None:
        # What the broker has said it received is only to be released, whenever that is.
        for packet_id in [key for key, found in self.unacked.items() if not found.is_received and _is_over(found.message, now)]:
            self._settle(self.unacked.pop(packet_id).message.msg_id, "expired", reason=EXPIRED_UNDER_WAY)

    def _say_online(self) -> None:
        self._status_id = 0
        client = self._wire.client
        if client is not None and self._target.status_topic is not None:
            self._status_id = self._next_packet_id() if self._wire.limits.maximum_qos else 0
            client.send_status(ONLINE, self._status_id)

    # ---------------------------------------------------------------------------------------------------------------- sending

    def publish(self, messages: Iterable[Outgoing]) -> None:
        if not self._wire.is_up or self._is_draining:
            for message in messages:
                self._settle(message.msg_id, "released")
            return
        for message in messages:
            self.pending.append(message)
            if message.expires_at is not None:
                self._expires_at = min(self._expires_at, message.expires_at)
        self.pump()
        self._wire.flush()

    def _window(self) -> int:
        # The message that says that the bridge is online counts like any other (MQTT 5 section 3.3.4).
        receive_maximum = self._wire.limits.receive_maximum - (self._status_id > 0)
        return 1 if self._is_one_by_one else min(receive_maximum, self._target.max_in_flight)

    def pump(self) -> None:
        """Hand messages to the socket as far as the windows allow."""
        client = self._wire.client
        if client is None or client.connection is None or not self._wire.is_up:
            return
        buffer = client.connection.buffer
        window = self._window()
        pending, unacked, limits = self.pending, self.unacked, self._wire.limits
        now = time.monotonic()
        while pending and len(unacked) < window and buffer.pending_bytes() < WRITE_AHEAD:
            message = pending.popleft()
            if _is_over(message, now):
                self._settle(message.msg_id, "expired", reason=EXPIRED)
                continue
            topic = message.topic.encode()
            properties, fault = None, None
            try:
                properties = self._properties(message, now)
            except ValueError as error:
                fault = str(error)
            fault = fault or self._fault(message, topic, properties, limits)
            if fault is not None:
                self._settle(message.msg_id, "failed", reason=fault)
                continue
            packet_id = self._next_packet_id() if message.qos else 0
            if message.qos == 2 and self._cleared is not None and self._has_qos_2 and packet_id not in self._cleared:
                # A bridge that had the session before may have left this id unreleased: the broker would then take the message for
                # that one sent again, acknowledge it and drop it.
                self._cleared.add(packet_id)
                client.send_pubrel(packet_id)
            client.send_publish(packet_id, topic, message.payload, message.qos, retain=message.retain, dup=False, properties=properties)
            if message.qos:
                unacked[packet_id] = _Unacked(message, now)
            else:
                self._buffer = buffer
                self._handed_over.append((message.msg_id, client.written_once()))
        self._end_one_by_one()

    def _properties(self, message: Outgoing, now: float) -> Packed | None:
        """Those to send it with now. Raises ValueError."""
        if self._target.mqtt_version != 5 or not (message.properties or message.expires_at is not None):
            return None
        return publish_properties(message.properties, None if message.expires_at is None else max(1, math.ceil(message.expires_at - now)))

    def _fault(self, message: Outgoing, topic: bytes, properties: Packed | None, limits: Limits) -> str | None:
        size = len(topic) + len(message.payload) + (len(properties.data) if properties is not None else 0)
        if size + 16 > limits.maximum_packet_size:
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

    def _resend(self, *, session_present: bool) -> None:
        """What was under way when the connection was lost, in its order (MQTT 5 section 4.4)."""
        client = self._wire.client
        if client is None or not self.unacked:
            self.pump()
            return
        if self._is_one_by_one:
            # One at a time now, which shows the one that ends the connection.
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
                properties=self._properties(message, now),
            )
        self.pump()

    # ---------------------------------------------------------------------------------------------------------------- answers

    def answered(self, packet_id: int, code: int, reason: str | None, *, received: bool) -> None:
        if packet_id == self._status_id:
            self._status_id = 0
            if code >= 0x80:
                log.warning("status_refused", integration=self._integration_id, topic=self._target.status_topic, reason=reason)
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
            now = time.monotonic()
            metrics.ANSWER.observe(now - found.sent_at)
            self._settled(Outcome(found.message.msg_id, "acknowledged", code, reason if code else None, now))
        self._acked_since_up = True
        self._lost_without_ack = 0
        self._end_one_by_one()

    def completed(self, packet_id: int, code: int, reason: str | None) -> None:
        """PUBCOMP: the end of a message whose PUBREC has come. Otherwise it answers the PUBREL that only cleared the packet id."""
        found = self.unacked.get(packet_id)
        if found is not None and found.is_received:
            # A broker that no longer knows it had completed it before (MQTT 5 section 3.7.2.1).
            self.answered(packet_id, 0 if code == ID_NOT_FOUND else code, reason, received=False)

    def _suspect(self, reason: str) -> None:
        """The connection was lost with messages under way and none acknowledged: is one of them the reason?"""
        self._lost_without_ack += 1
        if self._is_one_by_one and len(self.unacked) == 1:
            packet_id, found = next(iter(self.unacked.items()))
            msg_id = found.message.msg_id
            self._strikes[msg_id] = self._strikes.get(msg_id, 0) + 1
            if self._strikes[msg_id] >= STRIKES:
                del self.unacked[packet_id]
                self._settle(msg_id, "failed", reason=f"the broker closes the connection on this message ({reason})")
                self._is_one_by_one = bool(self.pending)
        elif self._lost_without_ack >= STRIKES:
            log.warning("broker_lost_repeatedly", integration=self._integration_id, under_way=len(self.unacked))
            self._is_one_by_one = True

    def _end_one_by_one(self) -> None:
        if self._is_one_by_one and not self.unacked and not self.pending:
            self._is_one_by_one = False
            self._strikes.clear()
            self._sink.takes_more()

    # --------------------------------------------------------------------------------------------------------------- settling

    def _settle(self, msg_id: int, state: PublishState, code: int | None = None, reason: str | None = None) -> None:
        self._settled(Outcome(msg_id, state, code, reason, time.monotonic()))

    def _settle_written(self) -> None:
        written = self._buffer.written if self._buffer is not None else 0
        for msg_id, end in self._handed_over:
            self._settle(msg_id, "sent" if end <= written else "released")
        self._handed_over.clear()

    def _release_pending(self) -> None:
        for message in self.pending:
            self._settle(message.msg_id, "released")
        self.pending.clear()


def _is_over(message: Outgoing, now: float) -> bool:
    return message.expires_at is not None and message.expires_at <= now
