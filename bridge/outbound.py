"""From the queue to the brokers: claims messages for links that take them, and settles what became of them."""

import threading
import time
from collections import deque
from uuid import UUID

from bridge import metrics
from bridge.database import Database, Part
from bridge.link import Link
from bridge.link_base import Outgoing
from bridge.network import Network

TARGET = 2000  # messages in hand for one integration
TOTAL = 20000  # and for all
SETTLE_AT_MOST = 5000
POLL_SECONDS = 1.0
LINGER_SECONDS = 0.01

_Outcome = tuple[int, str, int | None, str | None]


class Outbound(Part):
    def __init__(self, bridge_id: UUID, stop: threading.Event) -> None:
        super().__init__("outbound", bridge_id, stop)
        self.network: Network | None = None
        self.event = threading.Event()
        self.links: dict[UUID, Link] = {}
        self.is_draining = False
        self._news: deque[tuple[Link, int, str, int | None, str | None, float]] = deque()
        self._outcomes: list[_Outcome] = []
        self._finished: list[int] = []
        self._in_flight: dict[int, tuple[int, float]] = {}  # message: batch, and when it was due by time.monotonic()
        self._batches: dict[int, int] = {}  # batch: messages that are not settled
        self._in_hand: dict[UUID, int] = {}  # integration: messages
        self._owner: dict[int, UUID] = {}  # batch: integration

    # ---------------------------------------------------------------------------------------------------- from other threads

    def settled(self, link: Link, msg_id: int, state: str, code: int | None, reason: str | None) -> None:
        self._news.append((link, msg_id, state, code, reason, time.monotonic()))
        self.event.set()

    def is_idle(self) -> bool:
        """Whether nothing is under way or unsettled."""
        return not self._in_flight and not self._news and not self._outcomes

    def has_in_hand(self, ids: list[UUID]) -> bool:
        """Whether messages of these integrations are claimed or unsettled."""
        return bool(self._outcomes or self._finished or any(key in self._in_hand for key in ids))

    # --------------------------------------------------------------------------------------------------------------- this thread

    def serve(self, database: Database) -> None:
        is_asleep = False
        worked_at = 0.0
        while not self.stop_event.is_set():
            self.event.clear()
            did = self._settle(database)
            claimed = 0 if self.is_draining else self._claim(database)
            now = time.monotonic()
            if claimed or did:
                worked_at = now
            if claimed:
                if is_asleep:
                    database.wake("outbound")
                    is_asleep = False
                continue
            if self._news:
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
        asked = [(key, target - self._in_hand.get(key, 0)) for key in links if self._in_hand.get(key, 0) <= target // 2]
        if not asked:
            return 0
        ids = [key for key, _ in asked]
        wanted = set(ids)
        began = time.monotonic()
        in_flight = [msg_id for msg_id, (batch, _) in self._in_flight.items() if self._owner.get(batch) in wanted]
        claims = database.claim_outbound(ids, [limit for _, limit in asked], in_flight)
        if not claims:
            return 0
        now = time.monotonic()
        metrics.BATCH_SECONDS.labels("claim").observe(now - began)
        metrics.BATCH.labels("claim").observe(len(claims))
        parts: dict[UUID, list[Outgoing]] = {}
        for claim in claims:
            key = ids[claim.integration_number - 1]
            msg_id = claim.message.msg_id
            self._in_flight[msg_id] = claim.batch_id, now - claim.waited
            self._batches[claim.batch_id] = self._batches.get(claim.batch_id, 0) + 1
            self._owner[claim.batch_id] = key
            self._in_hand[key] = self._in_hand.get(key, 0) + 1
            if claim.fault is None:
                parts.setdefault(key, []).append(claim.message)
            else:
                self._news.append((links[key], msg_id, "failed", None, claim.fault, now))
        metrics.IN_FLIGHT.set(len(self._in_flight))
        for key, messages in parts.items():
            self._hand_over(links[key], messages)
        return len(claims)

    def _hand_over(self, link: Link, messages: list[Outgoing]) -> None:
        if self.network is not None:
            self.network.call(lambda: link.publish(messages))

    def _settle(self, database: Database) -> int:
        news = self._news
        for _ in range(min(len(news), SETTLE_AT_MOST)):
            link, msg_id, state, code, reason, at = news.popleft()
            found = self._in_flight.pop(msg_id, None)
            if found is None:
                continue
            batch, due_at = found
            if state == "acknowledged":
                metrics.PUBLISH.observe(max(at - due_at, 0.0))
            key = link.integration_id
            left = self._in_hand.get(key, 1) - 1
            if left > 0:
                self._in_hand[key] = left
            else:
                self._in_hand.pop(key, None)
            if state != "released":
                self._outcomes.append((msg_id, state, code, reason))
            self._batches[batch] -= 1
            if not self._batches[batch]:
                del self._batches[batch]
                self._owner.pop(batch, None)
                self._finished.append(batch)
        outcomes, finished = self._outcomes, self._finished
        if not outcomes and not finished:
            return 0
        began = time.monotonic()
        # Kept until it is done: what a broker has acknowledged must not be forgotten with a database connection.
        counts = database.settle_outbound(outcomes, finished)
        self._outcomes, self._finished = [], []
        metrics.BATCH_SECONDS.labels("settle").observe(time.monotonic() - began)
        metrics.BATCH.labels("settle").observe(len(outcomes))
        for state, count in counts.items():
            metrics.PUBLISHED.labels(state).inc(count)
        metrics.IN_FLIGHT.set(len(self._in_flight))
        return len(outcomes) + len(finished)
