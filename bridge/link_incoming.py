"""The incoming direction of a link: the filters that it holds at the broker, and messages on their way to the database."""

from itertools import islice
from typing import TYPE_CHECKING, cast
from uuid import UUID

from paho.mqtt.properties import Properties

from bridge.link_base import Filter, Incoming, LinkBase
from bridge.target import Target

if TYPE_CHECKING:
    from bridge.link import Link
    from bridge.network import Network

MAX_FILTERS = 8  # a SUBSCRIBE or UNSUBSCRIBE packet, which is what AWS IoT Core takes


class IncomingHalf(LinkBase):
    def __init__(self, network: "Network", integration_id: UUID, target: Target) -> None:
        super().__init__(network, integration_id, target)
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

    def arrived(
        self, packet_id: int, qos: int, retain: bool, topic: bytes, payload: bytes, properties: Properties | None, subscription: int
    ) -> None:
        which: int | None = None
        if len(self.filters) != 1:  # none: they are not known yet, but what the broker has kept is there already
            # Which filters the broker holds is what the database thinks, but while it is being told.
            which = 0 if self._was_refused or (self._subscribing and not self._session_present) else subscription
        if qos == 2:
            self._storing[packet_id] = (self.generation, self.generation)
        self.network.sink.arrived(Incoming(cast("Link", self), self.generation, packet_id, qos, retain, topic, payload, properties, which))

    def is_storing(self, packet_id: int) -> bool:
        """Whether a QoS 2 message that comes again is on its way to the database; it is then acknowledged on this connection."""
        first, _ = self._storing.get(packet_id, (0, 0))
        if first:
            self._storing[packet_id] = (first, self.generation)
        return bool(first)

    def acknowledge(self, generation: int, packets: list[tuple[int, int]]) -> None:
        """The messages (packet id, qos) are stored. Those of an earlier connection the broker delivers again."""
        client = self.client if self.client is not None and self.client.connection is not None else None
        stored = [packet_id for packet_id, qos in packets if qos == 1]
        if stored and client is not None and generation == self.generation:
            client.acknowledge(stored)
        for packet_id, qos in packets:
            if qos != 2:
                continue
            came = generation
            if self._storing.get(packet_id, (0, 0))[0] == generation:
                _, came = self._storing.pop(packet_id)
            if came == self.generation and client is not None:
                client.acknowledge_receipt(packet_id)
            elif came >= self._session_began:
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
        for begin in range(0, len(gone), MAX_FILTERS):
            topics = gone[begin : begin + MAX_FILTERS]
            self._unsubscribing[client.send_unsubscribe(topics)] = topics
            for topic in topics:
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
