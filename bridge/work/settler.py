"""Passes the outcomes of published messages from the links to the database."""

import threading
import time
from collections import deque
from uuid import UUID

from bridge import metrics
from bridge.database.connection import Database
from bridge.database.thread import DatabaseThread
from bridge.values import Outcome
from bridge.work.claims import Claims

AT_MOST = 5000
ENOUGH = 500
GATHER_SECONDS = 0.005
POLL_SECONDS = 1.0


class Settler(DatabaseThread):
    """A connection of its own, so that claiming goes on while outcomes are written."""

    def __init__(self, bridge_id: UUID, stop: threading.Event, claims: Claims, has_room: threading.Event) -> None:
        super().__init__("settler", bridge_id, stop)
        self.event = threading.Event()
        self._claims = claims
        self._has_room = has_room
        self._pending: deque[Outcome] = deque()
        self._settled_at = 0.0
        self._outcomes: list[Outcome] = []
        self._settling: list[tuple[UUID, int]] = []
        self._finished: dict[int, UUID] = {}  # batch: integration

    def settled(self, outcome: Outcome) -> None:
        """From any thread."""
        self._pending.append(outcome)
        self.event.set()

    def is_idle(self) -> bool:
        return not self._pending and not self._outcomes and not self._finished

    def is_settling(self, integration_ids: list[UUID]) -> bool:
        """Whether messages or batches of these integrations are not settled."""
        return self._claims.has(integration_ids) or any(key in self._finished.copy().values() for key in integration_ids)

    # --------------------------------------------------------------------------------------------------------------- this thread

    def serve(self, database: Database) -> None:
        while not self.stop_event.is_set():
            self.event.clear()
            self._gather()
            self._take_pending()
            if self._outcomes or self._finished:
                self._settle(database)
            elif not self._pending:
                self.event.wait(POLL_SECONDS)

    def _gather(self) -> None:
        """While more is under way, wait a little for it: a statement per handful of outcomes costs more than it saves."""
        if 0 < len(self._pending) < min(ENOUGH, len(self._claims)):
            self.stop_event.wait(max(0.0, self._settled_at + GATHER_SECONDS - time.monotonic()))

    def _take_pending(self) -> None:
        released: list[tuple[UUID, int]] = []
        for _ in range(min(len(self._pending), AT_MOST)):
            outcome = self._pending[0]
            ended = self._claims.end(outcome.msg_id)
            if ended is not None:
                integration_id, due_at, batch = ended
                if outcome.state == "acknowledged":
                    metrics.PUBLISH.observe(max(outcome.at - due_at, 0.0))
                if outcome.state == "released":
                    released.append((integration_id, outcome.msg_id))
                else:
                    self._outcomes.append(outcome)
                    self._settling.append((integration_id, outcome.msg_id))
                if batch is not None:
                    self._finished[batch] = integration_id
            self._pending.popleft()  # last, so that it is always in one of the two
        self._claims.forget(released)

    def _settle(self, database: Database) -> None:
        began = time.monotonic()
        # Kept until it is done: what a broker has acknowledged must not be forgotten with a database connection.
        counts = database.settle_outbound(self._outcomes, list(self._finished))
        self._claims.finished(self._finished)
        settling, outcomes = self._settling, self._outcomes
        self._outcomes, self._settling, self._finished = [], [], {}
        self._claims.forget(settling)
        self._has_room.set()
        self._settled_at = time.monotonic()
        metrics.BATCH_SECONDS.labels("settle").observe(time.monotonic() - began)
        metrics.BATCH.labels("settle").observe(len(outcomes))
        for state, count in counts.items():
            metrics.PUBLISHED.labels(state).inc(count)
        metrics.IN_FLIGHT.set(len(self._claims))
