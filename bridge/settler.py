"""What became of published messages, from the links to the database."""

import threading
import time
from collections import deque
from uuid import UUID

from bridge import metrics
from bridge.database import Database, Part
from bridge.in_hand import InHand
from bridge.link import Link

AT_MOST = 5000
ENOUGH = 500
GATHER_SECONDS = 0.005
POLL_SECONDS = 1.0


class Settler(Part):
    """A connection of its own, so that claiming goes on while outcomes are written."""

    def __init__(self, bridge_id: UUID, stop: threading.Event, in_hand: InHand, has_room: threading.Event) -> None:
        super().__init__("settler", bridge_id, stop)
        self.event = threading.Event()
        self._in_hand = in_hand
        self._has_room = has_room
        self._news: deque[tuple[Link, int, str, int | None, str | None, float]] = deque()
        self._settled_at = 0.0
        self._outcomes: list[tuple[int, str, int | None, str | None]] = []
        self._settling: list[tuple[UUID, int]] = []
        self._finished: dict[int, UUID] = {}  # batch: integration

    def settled(self, link: Link, msg_id: int, state: str, code: int | None, reason: str | None) -> None:
        """From any thread."""
        self._news.append((link, msg_id, state, code, reason, time.monotonic()))
        self.event.set()

    def is_idle(self) -> bool:
        return not self._news and not self._outcomes and not self._finished

    def is_settling(self, integration_ids: list[UUID]) -> bool:
        """Whether messages or batches of these integrations are not settled."""
        return self._in_hand.has(integration_ids) or any(key in self._finished.copy().values() for key in integration_ids)

    # --------------------------------------------------------------------------------------------------------------- this thread

    def serve(self, database: Database) -> None:
        while not self.stop_event.is_set():
            self.event.clear()
            self._gather()
            self._take_news()
            if self._outcomes or self._finished:
                self._settle(database)
            elif not self._news:
                self.event.wait(POLL_SECONDS)

    def _gather(self) -> None:
        """While more is under way, wait a little for it: a statement for each few takes more than it gives."""
        if 0 < len(self._news) < min(ENOUGH, len(self._in_hand)):
            self.stop_event.wait(max(0.0, self._settled_at + GATHER_SECONDS - time.monotonic()))

    def _take_news(self) -> None:
        released: list[tuple[UUID, int]] = []
        for _ in range(min(len(self._news), AT_MOST)):
            link, msg_id, state, code, reason, at = self._news[0]
            ended = self._in_hand.end(msg_id)
            if ended is not None:
                due_at, batch = ended
                if state == "acknowledged":
                    metrics.PUBLISH.observe(max(at - due_at, 0.0))
                if state == "released":
                    released.append((link.integration_id, msg_id))
                else:
                    self._outcomes.append((msg_id, state, code, reason))
                    self._settling.append((link.integration_id, msg_id))
                if batch is not None:
                    self._finished[batch] = link.integration_id
            self._news.popleft()  # last, so that it is always in one of the two
        self._in_hand.forget(released)

    def _settle(self, database: Database) -> None:
        began = time.monotonic()
        # Kept until it is done: what a broker has acknowledged must not be forgotten with a database connection.
        counts = database.settle_outbound(self._outcomes, list(self._finished))
        settling, outcomes = self._settling, self._outcomes
        self._outcomes, self._settling, self._finished = [], [], {}
        self._in_hand.forget(settling)
        self._has_room.set()
        self._settled_at = time.monotonic()
        metrics.BATCH_SECONDS.labels("settle").observe(time.monotonic() - began)
        metrics.BATCH.labels("settle").observe(len(outcomes))
        for state, count in counts.items():
            metrics.PUBLISHED.labels(state).inc(count)
        metrics.IN_FLIGHT.set(len(self._in_hand))
