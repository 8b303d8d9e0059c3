"""Paho's MQTT client, driven by our own loop: on a connection made beforehand, with acknowledgements that wait for the database.

Paho's automatic behaviour is disabled: it makes no connection, starts no thread, keeps no messages and resends none. Used are its parsing
and packing of packets, its keep-alive and its connection states. Overridden, because version 2.2 does otherwise:

- PUBREC with a failure code ends the exchange (MQTT 5 section 4.3.3); paho answers it with PUBREL.
- An incoming QoS 2 message is handed on at PUBLISH and answered with PUBREC only when it is stored; paho answers at once, and a process
  that dies before storing it has lost the message.
- A packet with reserved bits set, anything before CONNACK, a nonsensical CONNACK and a packet above our limit end the
  connection (sections 2.1.3, 3.1.2.11, 3.2, 4.13); paho accepts all of these, up to 256 MB. A message above the limit that would come again
  on the next connection (MQTT 3.1.1 cannot tell the broker of the limit) is told of and passed over.
- PUBREL for an unknown packet id is answered with PUBCOMP; paho, with manual acknowledgement, never answers it.
- The properties of a PUBLISH are read by bridge.mqtt.properties, which says why; other packets that are large end the connection. An
  acknowledgement counts also where paho cannot read its properties, which are words: the message would be sent once more each time.
"""

import contextlib
import struct
import time
from collections.abc import Callable
from typing import Any, Protocol

from paho.mqtt import client as mqtt
from paho.mqtt._packet import decode_puback, decode_pubcomp, decode_publish, decode_pubrec
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion, _ConnectionState
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from bridge.mqtt.flapping import LOST
from bridge.mqtt.properties import SUBSCRIPTION_IDENTIFIER, Packed, Received, read_properties
from bridge.mqtt.sockets import READ_BYTES, BufferedSocket, Connection
from bridge.mqtt.target import Target

RECEIVE_MAXIMUM = 1000
ONLINE, OFFLINE = b"online", b"offline"  # what status_topic says about the bridge, retained
MAX_PACKET = 16 << 20  # bytes; far above any payload that is stored whole, and far below what many hostile brokers could fill memory with
CUT_PACKET = 1 << 18  # bytes that are kept of a larger one: more than a topic and the properties that are read
CUT_PAYLOAD = 4096  # as much as bridge.ingest keeps of one that is too large
MAX_OTHER = 1 << 14  # bytes of what is no message; of properties, paho takes seconds where they are many
CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, PINGREQ = 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xC0
UNACCEPTABLE_VERSION = 1  # of MQTT 3.1.1's return codes
_PUBACK = struct.Struct("!BBH").pack
_SUCCESSES = {0x10: "No matching subscribers"}
_DIRECT = frozenset((PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP))


class LinkListener(Protocol):
    """Is told of the connection; this and the other listeners are called on the network thread."""

    def connected(self, code: int, reason: str, session_present: bool, limits: "Limits") -> None: ...
    def disconnected(self, reason: str, code: int = 0) -> None: ...


class OutgoingListener(Protocol):
    """Is told what the broker says of messages sent to it."""

    def answered(self, packet_id: int, code: int, reason: str | None, *, received: bool) -> None: ...
    def completed(self, packet_id: int, code: int, reason: str | None) -> None: ...


class IncomingListener(Protocol):
    """Is told of messages from the broker, and of subscriptions to them."""

    def subscribed(self, packet_id: int, codes: list[tuple[int, str]]) -> None: ...
    def unsubscribed(self, packet_id: int) -> None: ...
    def arrived(
        self, packet_id: int, qos: int, retain: bool, topic: bytes, payload: bytes, properties: Received | None, subscription: int
    ) -> None: ...
    def is_storing(self, packet_id: int) -> bool: ...


class Limits:
    """What the broker said about itself in its CONNACK (MQTT 5 section 3.2.2.3)."""

    def __init__(self, properties: Properties | None = None) -> None:
        def value(name: str, default: int) -> int:
            found = getattr(properties, name, None)
            return default if found is None else int(found)

        self.receive_maximum = value("ReceiveMaximum", 65535)
        self.maximum_packet_size = value("MaximumPacketSize", 268435460)
        self.maximum_qos = value("MaximumQoS", 2)
        self.retain_available = bool(value("RetainAvailable", 1))
        self.subscription_identifiers = bool(value("SubscriptionIdentifierAvailable", 1))
        self.wildcards = bool(value("WildcardSubscriptionAvailable", 1))
        self.shared_subscriptions = bool(value("SharedSubscriptionAvailable", 1))
        self.reason: str | None = getattr(properties, "ReasonString", None)


class Client(mqtt.Client):
    def __init__(
        self, target: Target, link: LinkListener, outgoing: OutgoingListener, incoming: IncomingListener, received: set[int]
    ) -> None:
        version = MQTTProtocolVersion.MQTTv5 if target.mqtt_version == 5 else MQTTProtocolVersion.MQTTv311
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=target.client_id,
            clean_session=None if target.mqtt_version == 5 else target.clean_start,
            protocol=version,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        self.target = target
        self._link = link
        self._outgoing = outgoing
        self._incoming = incoming
        self.connection: Connection | None = None
        self._received = received  # QoS 2 packet ids that are stored and not released; outlives the connection
        self.on_socket_register_write = _nothing
        self.on_socket_unregister_write = _nothing
        self.on_connect = self._on_connected
        self.on_disconnect = self._on_disconnected
        self.on_subscribe = self._on_subscribed
        self.on_unsubscribe = self._on_unsubscribed
        if target.username is not None:
            self.username_pw_set(target.username, target.password)
        if target.status_topic is not None:
            self.will_set(target.status_topic, OFFLINE, 1, retain=True)

    # ------------------------------------------------------------------------------------------------------------- connecting

    def begin(self, connection: Connection, *, clean_start: bool) -> None:
        """Send CONNECT on an open connection."""
        self.connection = connection
        properties = None
        if self._protocol == MQTTProtocolVersion.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.ReceiveMaximum = RECEIVE_MAXIMUM
            properties.MaximumPacketSize = MAX_PACKET
            properties.SessionExpiryInterval = self.target.session_expiry
            self.connect_async(self.target.host, self.target.port, self.target.keepalive, clean_start=clean_start, properties=properties)
        else:
            self.connect_async(self.target.host, self.target.port, self.target.keepalive)
        connection.buffer.setblocking(False)
        self.reconnect()
        self.flush()

    def _create_socket(self) -> Any:
        if self.connection is None:
            raise ConnectionError("not connected")
        return self.connection.outer

    def end(self, *, politely: bool) -> None:
        """Close the connection, after DISCONNECT if politely; the listeners are not told."""
        connection = self.connection
        self.on_disconnect = None
        if connection is None:
            return
        try:
            if politely and self._state == _ConnectionState.MQTT_CS_CONNECTED and self.flush():
                if self.target.status_topic is not None:
                    # A polite end discards the will. Brokers handle packets in order, so this one needs no answer.
                    self.send_status(OFFLINE, 0)
                    self.flush()
                connection.buffer.buffered = False
                self.disconnect()
                self.loop_write()
        except OSError:
            pass
        finally:
            self.connection = None
            connection.buffer.close()

    def _on_connected(self, _client: Any, _data: Any, flags: Any, reason: ReasonCode, properties: Properties | None) -> None:
        if not flags.session_present:
            self._received.clear()
        limits = Limits(properties)
        if not limits.receive_maximum or not limits.maximum_packet_size:
            raise ConnectionError("a CONNACK by which nothing may be sent")
        self._link.connected(reason.value, limits.reason or str(reason), bool(flags.session_present), limits)

    def _on_disconnected(self, _client: Any, _data: Any, flags: Any, reason: ReasonCode, properties: Properties | None) -> None:
        text = getattr(properties, "ReasonString", None) or str(reason)
        if flags.is_disconnect_packet_from_server:
            text = f"the broker ended the connection: {text}"
        elif text == "Unspecified error":
            text = LOST
        self._link.disconnected(text, reason.value if flags.is_disconnect_packet_from_server else 0)

    def _on_subscribed(self, _client: Any, _data: Any, packet_id: int, codes: list[ReasonCode], properties: Properties | None) -> None:
        text = getattr(properties, "ReasonString", None)
        self._incoming.subscribed(packet_id, [(code.value, text or str(code)) for code in codes])

    def _on_unsubscribed(self, _client: Any, _data: Any, packet_id: int, _codes: Any, _properties: Any) -> None:
        self._incoming.unsubscribed(packet_id)

    # ---------------------------------------------------------------------------------------------------------------- network

    def flush(self) -> bool:
        """Write what waits; false when the socket does not take all of it now. Raises OSError when it is broken."""
        connection = self.connection
        if connection is None:
            return True
        if self._out_packet:
            self.loop_write()
        if self.connection is None or connection.buffer.fileno() < 0:
            return True
        if connection.buffer.pending_bytes():
            done = connection.buffer.flush()
            self._last_msg_out = time.monotonic()
            return done and not self._out_packet
        return not self._out_packet

    def read(self, at_most: int = 2000, turn: int = READ_BYTES) -> None:
        """Read what has arrived, at most so many packets, and bytes."""
        connection = self.connection
        if connection is None:
            return
        buffer = connection.buffer
        buffer.turn = turn  # a flood comes faster than it is read: the other connections have their turns, too
        ahead = buffer.has_read_ahead
        is_plain = connection.outer is buffer
        if is_plain and not ahead():
            with contextlib.suppress(OSError):  # a fault shows again below
                buffer.fill()
        for _ in range(at_most):
            if is_plain and self._in_packet["command"] == 0 and self._read_usual(buffer) and not ahead():
                return
            code = self._packet_read()
            if code == MQTTErrorCode.MQTT_ERR_AGAIN:
                self._cut_packet()
                return
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._loop_rc_handle(code)
                return
            if self._sock is None or not ahead():
                return

    def _cut_packet(self) -> None:
        """Of a packet that is too large, keep no more than tells what it is: called before more than a turn's bytes have been added."""
        size = self._in_packet["remaining_length"]
        if size <= MAX_PACKET:
            return
        command = self._in_packet["command"]
        if command & 0xF0 != PUBLISH or not command & 7:  # neither QoS 1 or 2 nor retained: it does not come again
            raise ConnectionError(f"a packet of {size} bytes, where at most {MAX_PACKET} are accepted")
        del self._in_packet["packet"][CUT_PACKET:]

    def _read_usual(self, buffer: BufferedSocket) -> bool:
        """Read the usual packets straight from the buffer, up to the first unusual one: under load there is hardly anything else.

        These are successful PUBACKs and whole PUBLISH packets that need no more than their lengths looked at.

        Returns whether there were any.
        """
        if self._state != _ConnectionState.MQTT_CS_CONNECTED:
            return False
        data, position = buffer.peek()
        began, end = position, len(data)
        answered, arrived = self._outgoing.answered, self._incoming.arrived
        is_v5 = self._protocol == MQTTProtocolVersion.MQTTv5
        while position + 4 <= end:
            command = data[position]
            at = position + 2
            size = data[position + 1]
            if size > 127:
                size += (data[at] - 1) << 7
                if data[at] > 127:
                    break
                at += 1
            if at + size > end:
                break
            if command & 0xF0 == PUBLISH:
                message = _usual_message(command, data, at, at + size, is_v5=is_v5)
                if message is None or command & 0x0E == 0x0C:
                    break
                packet_id, topic, payload, subscription = message
                arrived(packet_id, command >> 1 & 3, bool(command & 1), topic, payload, None, subscription)
            elif command == PUBACK and 2 <= size <= 3:
                code = data[at + 2] if size > 2 else 0
                if code and code not in _SUCCESSES:
                    break
                answered(data[at] << 8 | data[at + 1], code, _SUCCESSES.get(code), received=False)
            else:
                break
            position = at + size
        if position == began:
            return False
        buffer.skip_to(position)
        self._last_bytes_received = time.monotonic()
        return True

    def _packet_handle(self) -> MQTTErrorCode:
        command = self._in_packet["command"]
        kind = command & 0xF0
        if kind != PUBLISH and command & 0x0F != (2 if kind == PUBREL else 0):
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        if kind != CONNACK and self._state != _ConnectionState.MQTT_CS_CONNECTED:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        packet = self._in_packet["packet"]
        if kind != PUBLISH and len(packet) > MAX_OTHER:
            raise ConnectionError(f"a packet of {len(packet)} bytes that is no message, where at most {MAX_OTHER} are accepted")
        if kind == CONNACK and len(packet) == 2 and packet[1] == UNACCEPTABLE_VERSION:
            # Paho would go on with MQTT 3.1; a broker without MQTT 5 answers a CONNECT of version 5 like this as well.
            self._link.connected(0x84, "Unsupported protocol version", False, Limits())
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        return super()._packet_handle()

    def _packet_queue(self, command: int, packet: bytes | bytearray, mid: int, qos: int, info: Any = None) -> MQTTErrorCode:
        if command & 0xF0 in _DIRECT and not self._out_packet and self._sock is not None:
            try:
                if self._sock.send(packet) == len(packet):
                    return MQTTErrorCode.MQTT_ERR_SUCCESS
            except BlockingIOError:
                pass
        if command & 0xF0 == PUBLISH and info is None:
            info = mqtt.MQTTMessageInfo(mid)  # which paho marks as published
        return super()._packet_queue(command, packet, mid, qos, info)

    def written_once(self) -> int:
        """Up to where the socket must have taken bytes (`BufferedSocket.written`) for all that was handed over so far to be written."""
        if self.connection is None or self._out_packet:  # which nobody counts
            return 0
        return self.connection.buffer.written + self.connection.buffer.pending_bytes()

    # --------------------------------------------------------------------------------------------------------------- outgoing

    def next_packet_id(self) -> int:
        return self._mid_generate()

    def send_publish(
        self, packet_id: int, topic: bytes, payload: bytes, qos: int, *, retain: bool, dup: bool, properties: Packed | None
    ) -> None:
        packed = b"" if self._protocol != MQTTProtocolVersion.MQTTv5 else b"\0" if properties is None else properties.pack()
        identifier = packet_id.to_bytes(2, "big") if qos else b""
        head = bytearray([PUBLISH | dup << 3 | qos << 1 | retain])
        self._pack_remaining_length(head, 2 + len(topic) + len(identifier) + len(packed) + len(payload))
        packet = b"".join((head, len(topic).to_bytes(2, "big"), topic, identifier, packed, payload))
        self._packet_queue(head[0], packet, packet_id, qos)

    def send_status(self, state: bytes, packet_id: int) -> None:
        """Publish the bridge's state to status_topic; QoS 1 with a packet id, 0 without."""
        topic = (self.target.status_topic or "").encode()
        self.send_publish(packet_id, topic, state, 1 if packet_id else 0, retain=True, dup=False, properties=None)

    def send_pubrel(self, packet_id: int) -> None:
        self._send_pubrel(packet_id)

    def _handle_pubackcomp(self, cmd: Any) -> MQTTErrorCode:
        packet = self._in_packet["packet"]
        packet_id, code, reason = packet[0] << 8 | packet[1], 0, None
        if len(packet) > 2:
            found = self._decoded(decode_puback, PUBACK) if cmd == "PUBACK" else self._decoded(decode_pubcomp, PUBCOMP)
            code, reason = found.reason.value, getattr(found.properties, "ReasonString", None) or str(found.reason)
        if cmd == "PUBACK":
            self._outgoing.answered(packet_id, code, reason, received=False)
        else:
            self._outgoing.completed(packet_id, code, reason)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_pubrec(self) -> MQTTErrorCode:
        found = self._decoded(decode_pubrec, PUBREC)
        reason = getattr(found.properties, "ReasonString", None) or str(found.reason)
        self._outgoing.answered(found.mid, found.reason.value, reason, received=True)
        if found.reason.value < 0x80:
            return self._send_pubrel(found.mid)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _decoded(self, decode: Callable[[int, bytes, MQTTProtocolVersion], Any], kind: int) -> Any:
        """The acknowledgement, without its properties where paho cannot read them. Raises MalformedPacket."""
        packet = bytes(self._in_packet["packet"])
        try:
            return decode(kind, packet, self._protocol)
        except MalformedPacket:
            if len(packet) <= 3 or self._protocol != MQTTProtocolVersion.MQTTv5:
                raise
            return decode(kind, packet[:3], self._protocol)

    # --------------------------------------------------------------------------------------------------------------- incoming

    def _handle_publish(self) -> MQTTErrorCode:
        command = self._in_packet["command"]
        packet = self._in_packet["packet"]
        qos = command >> 1 & 3
        properties: Received | None = None
        size = self._in_packet["remaining_length"]
        missing = size - len(packet)
        message = _usual_message(command, bytes(packet), 0, len(packet), is_v5=self._protocol == MQTTProtocolVersion.MQTTv5)
        if message is not None and not missing:
            packet_id, topic, payload, subscription = message
        else:
            # All but the properties, which stand before the payload.
            found = decode_publish(command, packet, MQTTProtocolVersion.MQTTv311)
            if qos == 3:
                return MQTTErrorCode.MQTT_ERR_PROTOCOL
            packet_id, topic, payload, subscription = found.mid, found.topic, bytes(found.payload), 0
            if self._protocol == MQTTProtocolVersion.MQTTv5:
                properties, end = read_properties(payload, missing)
                payload = payload[end:]
                subscription = properties.subscriptions[0] if len(properties.subscriptions) == 1 else 0
            if missing:
                payload = payload[:CUT_PAYLOAD]
                properties = Received(fault=f"The message has {size} bytes; the bridge takes at most {MAX_PACKET}.", cut_bytes=missing)
        if qos and not packet_id:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        # Only a message marked as a duplicate is one (MQTT 5 section 3.3.1.1): another bridge may have used the session meanwhile,
        # and the broker may have used the packet id for another message.
        if qos == 2 and command & 8:
            if packet_id in self._received:
                return self._send_pubrec(packet_id)
            if self._incoming.is_storing(packet_id):
                return MQTTErrorCode.MQTT_ERR_SUCCESS
        self._incoming.arrived(packet_id, qos, bool(command & 1), topic, payload, properties, subscription)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def acknowledge(self, packet_ids: list[int]) -> None:
        """The messages of QoS 1 are stored: a PUBACK for each."""
        packets = b"".join([_PUBACK(PUBACK, 2, packet_id) for packet_id in packet_ids])
        self._packet_queue(PUBACK, packets, 0, 1)

    def acknowledge_receipt(self, packet_id: int) -> None:
        """The message of QoS 2 is stored: PUBREC."""
        self._received.add(packet_id)
        self._send_pubrec(packet_id)

    def _handle_pubrel(self) -> MQTTErrorCode:
        packet_id: int = struct.unpack("!H", self._in_packet["packet"][:2])[0]
        self._received.discard(packet_id)
        return self._send_pubcomp(packet_id)

    # ------------------------------------------------------------------------------------------------------------ subscribing

    def send_subscribe(self, filters: list[tuple[str, int, bool, int]], identifier: int | None = None) -> int:
        """Subscribe to (topic filter, qos, no_local, retain_handling) each; returns the packet id. The identifier is for all."""
        if self._protocol == MQTTProtocolVersion.MQTTv5:
            options = [
                # A shared subscription must not ask for no_local (MQTT 5 section 3.8.3.1).
                (topic, SubscribeOptions(qos=qos, noLocal=no_local and not topic.startswith("$share/"), retainHandling=retain_handling))
                for topic, qos, no_local, retain_handling in filters
            ]
            properties = None
            if identifier is not None:
                properties = Properties(PacketTypes.SUBSCRIBE)  # type: ignore[no-untyped-call]
                properties.SubscriptionIdentifier = identifier
            code, packet_id = self.subscribe(options, properties=properties)
        else:
            code, packet_id = self.subscribe([(topic, qos) for topic, qos, _, _ in filters])
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or packet_id is None:
            raise ConnectionError(mqtt.error_string(code))
        return packet_id

    def send_unsubscribe(self, topics: list[str]) -> int:
        """Returns the packet id."""
        code, packet_id = self.unsubscribe(topics)
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or packet_id is None:
            raise ConnectionError(mqtt.error_string(code))
        return packet_id

    def stay_alive(self) -> None:
        """Show the broker that we are alive, while its answers are not read."""
        now = time.monotonic()
        if self._state == _ConnectionState.MQTT_CS_CONNECTED and now - self._last_msg_out >= self._keepalive / 2:
            self._send_simple_command(PINGREQ)
        self._last_bytes_received = now
        self._ping_t = 0.0

    def tick(self) -> None:
        """Keep-alive; to be called about once a second."""
        self.loop_misc()


def _usual_message(command: int, data: bytes, at: int, end: int, *, is_v5: bool) -> tuple[int, bytes, bytes, int] | None:
    """Packet id, topic, payload and Subscription Identifier of the PUBLISH whose body is data[at:end]; None if it is unusual.

    The usual kind has a topic, and no property except one Subscription Identifier.
    """
    if end - at < 3 or command & 6 == 6:
        return None
    topic_end = at + 2 + (data[at] << 8 | data[at + 1])
    head = topic_end + 2 if command & 6 else topic_end
    packet_id = subscription = 0
    if head + is_v5 > end or topic_end == at + 2:
        return None
    if command & 6:
        packet_id = data[topic_end] << 8 | data[topic_end + 1]
        if not packet_id:
            return None
    if is_v5:
        size = data[head]
        if size:
            if not 2 <= size <= 5 or head + 1 + size > end or data[head + 1] != SUBSCRIPTION_IDENTIFIER:
                return None
            for place in range(size - 1):
                byte = data[head + 2 + place]
                subscription |= (byte & 0x7F) << 7 * place
                if (byte < 0x80) != (place == size - 2):
                    return None
        head += 1 + size
    return packet_id, data[at + 2 : topic_end], data[head:end], subscription


def _nothing(*_: Any) -> None:
    """Without this, paho calls loop_write by itself."""
