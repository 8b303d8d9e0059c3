"""The incoming direction of a link: the filters that it holds at the broker, and messages on their way to the database."""

from collections.abc import Collection, Sequence
from itertools import islice

from bridge.mqtt.client import Limits
from bridge.mqtt.properties import Received
from bridge.mqtt.rate import Rate
from bridge.mqtt.sink import Sink
from bridge.mqtt.target import TEST_TOPIC, TOKEN_BYTES, Target
from bridge.mqtt.wire import Wire
from bridge.values import Filter, Incoming, Origin

_TEST_TOPIC = TEST_TOPIC.encode()
MAX_FILTERS = 8  # a SUBSCRIBE or UNSUBSCRIBE packet, which is what AWS IoT Core takes


class IncomingHalf:
    """Used on the network thread."""

    def __init__(self, wire: Wire, origin: Origin, target: Target, sink: Sink, shared_rates: tuple[Rate, Rate]) -> None:
        self._wire = wire
        self._origin = origin
        self._target = target
        self._store = sink.store
        self._reporter = sink.reporter
        self._rate = Rate(target.inbound_per_second)
        self._shared_rate, self._shared_bytes = shared_rates  # of the organization
        self.filters: dict[str, Filter] = {}
        self._held: dict[str, Filter] = {}
        self._subscribing: dict[int, list[Filter]] = {}
        self._unsubscribing: dict[int, list[str]] = {}
        # Which the broker may hold, since UNSUBSCRIBE or its answer was lost, or nobody held the integration when they ended.
        self._doubtful: set[str] = set()
        self.received: set[int] = set()  # packet ids of QoS 2 that are stored and not released
        # QoS 2 messages handed on and not stored yet, by packet id: the connections on which they came first and last.
        self._storing: dict[int, tuple[int, int]] = {}
        self._session_began = 0
        self._session_present = False
        self._was_refused = False

    # ------------------------------------------------------------------------------------------------------------- connection

    def connected(self, *, session_present: bool) -> None:
        if not session_present:
            self._session_began = self._wire.generation
            self._storing.clear()
            self._held.clear()
            if self._doubtful:
                self._reporter.unsubscribed(self._origin.integration_id, list(self._doubtful))
                self._doubtful.clear()
        self._session_present = session_present
        self._was_refused = False
        self._subscribe()

    def lost(self) -> None:
        # A SUBSCRIBE or UNSUBSCRIBE without an answer may have been lost, and the broker may keep the session all the same.
        for filters in self._subscribing.values():
            self._doubtful.update(found.topic for found in filters)
            for found in filters:
                self._held.pop(found.topic, None)
        for topics in self._unsubscribing.values():
            self._doubtful.update(topics)
        self._subscribing.clear()
        self._unsubscribing.clear()

    # --------------------------------------------------------------------------------------------------------------- messages

    def arrived(
        self, packet_id: int, qos: int, retain: bool, topic: bytes, payload: bytes, properties: Received | None, subscription: int
    ) -> None:
        filter_number: int | None = None
        if len(self.filters) != 1:  # none: they are not known yet, but what the broker has kept is there already
            # The database's view of which filters the broker holds is right, except while the broker is being told.
            filter_number = 0 if self._was_refused or (self._subscribing and not self._session_present) else subscription
        self._rate.tokens -= 1
        self._shared_rate.tokens -= 1
        self._shared_bytes.tokens -= len(payload) + (properties.cut_bytes if properties is not None else 0)
        generation = self._wire.generation
        if len(payload) == TOKEN_BYTES and qos < 2 and topic.endswith(_TEST_TOPIC + payload):
            # A connection test, which is no device's message.
            if qos and self._wire.client is not None:
                self._wire.client.acknowledge([packet_id])
            return
        if qos == 2:
            self._storing[packet_id] = (generation, generation)
        found, fault = (None, None) if properties is None else ((properties.content_type, properties.rest), properties.fault)
        self._store.arrived(Incoming(self._origin, generation, packet_id, qos, retain, topic, payload, found, filter_number, fault))

    def too_fast_for(self, now: float) -> float:
        """Seconds for which nothing more should be read, because the rates are exceeded."""
        return max(self._rate.wait(now), self._shared_rate.wait(now), self._shared_bytes.wait(now))

    def is_storing(self, packet_id: int) -> bool:
        """Whether a QoS 2 message that comes again is on its way to the database; it is then acknowledged on this connection."""
        first, _ = self._storing.get(packet_id, (0, 0))
        if first:
            self._storing[packet_id] = (first, self._wire.generation)
        return bool(first)

    def acknowledge(self, generation: int, packets: Sequence[tuple[int, int]]) -> None:
        """The messages (packet id, qos) are stored. The broker redelivers those of an earlier connection."""
        client = self._wire.client
        stored = [packet_id for packet_id, qos in packets if qos == 1]
        if stored and client is not None and generation == self._wire.generation:
            client.acknowledge(stored)
        for packet_id, qos in packets:
            if qos != 2:
                continue
            came = generation
            if self._storing.get(packet_id, (0, 0))[0] == generation:
                _, came = self._storing.pop(packet_id)
            if came == self._wire.generation and client is not None:
                client.acknowledge_receipt(packet_id)
            elif came >= self._session_began:
                self.received.add(packet_id)
        self._wire.flush()

    # ---------------------------------------------------------------------------------------------------------------- filters

    def set_filters(self, filters: dict[str, Filter], ended: Collection[str]) -> None:
        self.filters = filters
        under_way = {topic for topics in self._unsubscribing.values() for topic in topics}
        self._doubtful.update(topic for topic in ended if topic not in under_way)
        if self._wire.is_up:
            self._subscribe()
            self._wire.flush()

    def _subscribe(self) -> None:
        client = self._wire.client
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
        wanted = iter(self._without_refused([f for f in self.filters.values() if known.get(f.topic) != (f.terms(), f.number)]))
        # A packet has one identifier, for all its filters. The first filter has one too: others may come.
        is_named = self._target.mqtt_version == 5 and self._wire.limits.subscription_identifiers
        while filters := list(islice(wanted, 1 if is_named else MAX_FILTERS)):
            packet_id = client.send_subscribe([self._terms(found) for found in filters], filters[0].number if is_named else None)
            self._subscribing[packet_id] = filters
            self._held.update({found.topic: found for found in filters})
        same = [found for found in self.filters.values() if found.topic in known and self._held[found.topic].id != found.id]
        self._held.update({found.topic: found for found in same})

    def _without_refused(self, filters: list[Filter]) -> list[Filter]:
        """Those that the broker may grant. For others it would end the connection, and each one after it (MQTT 5 section 3.2.2.3)."""
        limits = self._wire.limits
        refusals = {found.id: refusal for found in filters if (refusal := _refusal(found.topic, limits)) is not None}
        if refusals:
            self._was_refused = True
            self._reporter.subscribed([(key, *refusal) for key, refusal in refusals.items()])
        return [found for found in filters if found.id not in refusals]

    def _terms(self, found: Filter) -> tuple[str, int, bool, int]:
        topic, qos, no_local, retain_handling = found.terms()
        # In a session that the broker has kept, it has sent what it retains: again only to new filters (MQTT 5 section 3.8.3.1).
        return topic, qos, no_local, max(retain_handling, 1) if self._session_present else retain_handling

    def subscribed(self, packet_id: int, codes: list[tuple[int, str]]) -> None:
        results = []
        for found, (code, reason) in zip(self._subscribing.pop(packet_id, []), codes, strict=False):
            results.append((found.id, code, reason))
            if code >= 0x80:
                self._held.pop(found.topic, None)
                self._was_refused = True
        if results:
            self._reporter.subscribed(results)

    def unsubscribed(self, packet_id: int) -> None:
        if topics := self._unsubscribing.pop(packet_id, []):
            self._reporter.unsubscribed(self._origin.integration_id, topics)


def _refusal(topic: str, limits: Limits) -> tuple[int, str] | None:
    """Reason code and words with which a broker with these limits refuses the filter."""
    if topic.startswith("$share/") and not limits.shared_subscriptions:
        return 0x9E, "Shared subscription not supported"
    if ("+" in topic or "#" in topic) and not limits.wildcards:
        return 0xA2, "Wildcard subscription not supported"
    return None
