"""The outgoing direction of a link: messages to publish, what is under way, and what the broker answered."""

import random
import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast
from uuid import UUID

from bridge import log, metrics
from bridge.client import Limits
from bridge.link_base import LinkBase, Outgoing
from bridge.properties import Packed, properties_of_publish
from bridge.target import Target

if TYPE_CHECKING:
    from bridge.link import Link
    from bridge.network import Network

STRIKES = 2  # a connection lost so often with the same single message under way
WRITE_AHEAD = 1 << 18
ID_NOT_FOUND = 0x92


class _Unacked:
    """A QoS 1 or 2 message under way."""

    __slots__ = ("is_received", "message", "properties", "sent_at")

    def __init__(self, message: Outgoing, properties: Packed | None, sent_at: float) -> None:
        self.message = message
        self.properties = properties
        self.sent_at = sent_at
        self.is_received = False


class OutgoingHalf(LinkBase):
    def __init__(self, network: "Network", integration_id: UUID, target: Target) -> None:
        super().__init__(network, integration_id, target)
        self.pending: deque[Outgoing] = deque()
        self.unacked: dict[int, _Unacked] = {}
        self.written: list[int] = []
        self._acked_since_up = False
        self._lost_without_ack = 0
        self._strikes: dict[int, int] = {}
        self._packet_id = random.randrange(1, 65536)  # noqa: S311  # not where the last process left off
        # QoS 2: packet ids that are known to be free in a session that this process did not begin; None in one that it did.
        self._cleared: set[int] | None = None
        self._has_qos_2 = target.mqtt_version == 5  # there, a broker without it says so
        self._careful = False
        self._status_id = 0  # of the status message under way

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
            self.network.sink.ready(cast("Link", self))

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
        self.network.sink.settled(cast("Link", self), msg_id, state, code, reason)

    def _settle_written(self) -> None:
        for msg_id in self.written:
            self._settle(msg_id, "sent", None, None)
        self.written.clear()

    def _release_pending(self) -> None:
        for message in self.pending:
            self._settle(message.msg_id, "released", None, None)
        self.pending.clear()
