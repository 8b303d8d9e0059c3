"""From the queue to the brokers: claims messages for links that take them."""

import threading
import time
from collections.abc import Callable
from uuid import UUID

from bridge import metrics
from bridge.database import Database, Part
from bridge.in_hand import InHand
from bridge.link import Link
from bridge.link_base import Outgoing
from bridge.network import Network

TARGET = 2000  # messages in hand for one integration
TOTAL = 20000  # and for all
POLL_SECONDS = 1.0
LINGER_SECONDS = 0.01

Settled = Callable[[Link, int, str, int | None, str | None], None]


class Outbound(Part):
    def __init__(self, bridge_id: UUID, stop: threading.Event, in_hand: InHand, event: threading.Event, settled: Settled) -> None:
        super().__init__("outbound", bridge_id, stop)
        self.network: Network | None = None
        self.event = event
        self.links: dict[UUID, Link] = {}
        self.is_draining = False
        self._in_hand = in_hand
        self._settled = settled

    def serve(self, database: Database) -> None:
        is_asleep = False
        worked_at = 0.0
        while not self.stop_event.is_set():
            self.event.clear()
            claimed = 0 if self.is_draining else self._claim(database)
            now = time.monotonic()
            if claimed or len(self._in_hand):
                worked_at = now
            if claimed:
                if is_asleep:
                    database.wake("outbound")
                    is_asleep = False
                continue
            if is_asleep or self.is_draining:
                self.event.wait(POLL_SECONDS)
            elif now - worked_at < LINGER_SECONDS:
                self.event.wait(0.002)
            else:
                answer = database.sleep("outbound")
                is_asleep = answer != "busy"
                if not is_asleep:
                    self.event.wait(0.002)

    def _claim(self, database: Database) -> int:
        links = {key: link for key, link in list(self.links.items()) if link.takes_more}
        target = max(50, min(TARGET, TOTAL // max(len(links), 1)))
        asked = [(key, target - self._in_hand.count(key)) for key in links if self._in_hand.count(key) <= target // 2]
        if not asked:
            return 0
        ids = [key for key, _ in asked]
        began = time.monotonic()
        claims = database.claim_outbound(ids, [limit for _, limit in asked], self._in_hand.queued(ids))
        if not claims:
            return 0
        now = time.monotonic()
        metrics.BATCH_SECONDS.labels("claim").observe(now - began)
        metrics.BATCH.labels("claim").observe(len(claims))
        parts: dict[UUID, list[Outgoing]] = {}
        unfit: list[tuple[Link, int, str]] = []
        for claim in claims:
            key = ids[claim.integration_number - 1]
            self._in_hand.take(key, claim.batch_id, claim.message.msg_id, now - claim.waited)
            if claim.fault is None:
                parts.setdefault(key, []).append(claim.message)
            else:
                unfit.append((links[key], claim.message.msg_id, claim.fault))
        metrics.IN_FLIGHT.set(len(self._in_hand))
        # Not before all are taken: a batch of which none is under way is done with.
        for link, msg_id, fault in unfit:
            self._settled(link, msg_id, "failed", None, fault)
        for key, messages in parts.items():
            self._hand_over(links[key], messages)
        return len(claims)

    def _hand_over(self, link: Link, messages: list[Outgoing]) -> None:
        if self.network is not None:
            self.network.call(lambda: link.publish(messages))
