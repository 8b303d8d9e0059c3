"""Messages that are much work each, apart from the others: nobody waits for them but their own organization."""

import threading
import time
from collections.abc import Callable
from uuid import UUID

import psycopg

from bridge import log, metrics
from bridge.database.connection import Database
from bridge.database.thread import DatabaseThread, first_line

STATEMENT_TIMEOUT, LOCK_TIMEOUT = 30.0, 10.0
# A message that ends the session, or its time limit, is for the queue worker, which knows how to find it.
SPOILED_SECONDS = 600.0
# One that was taken for heavy while the machine was busy is measured again, among the others.
LIGHT_SECONDS = 10.0


class HeavyWorker(DatabaseThread):
    """Works off the organizations that the queue worker leaves to it, in turns, until nothing of theirs is due."""

    def __init__(self, bridge_id: UUID, stop: threading.Event) -> None:
        super().__init__("heavy", bridge_id, stop)
        self.released: Callable[[], None] = lambda: None  # called when the queue worker may take an organization again
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._taken: dict[UUID, None] = {}  # in the order of their turns
        self._kept_out: dict[UUID, float] = {}  # until when

    # ---------------------------------------------------------------------------------------------------- from the queue worker

    def take(self, organizations: list[UUID]) -> None:
        with self._lock:
            self._taken.update(dict.fromkeys(organizations))
        self._event.set()

    def elsewhere(self) -> tuple[list[UUID] | None, list[UUID]]:
        """The organizations that are worked off here, None while none can be; and those that should not be."""
        now = time.monotonic()
        with self._lock:
            self._kept_out = {key: until for key, until in self._kept_out.items() if until > now}
            return (list(self._taken) if self.is_connected else None), list(self._kept_out)

    # --------------------------------------------------------------------------------------------------------------- this thread

    def serve(self, database: Database) -> None:
        database.limit(STATEMENT_TIMEOUT, LOCK_TIMEOUT)
        try:
            while not self.stop_event.is_set():
                self._event.wait(0.5)
                self._event.clear()
                while self._taken and not self.stop_event.is_set():
                    self._turn(database, next(iter(self._taken)))
        finally:
            with self._lock:
                self._taken.clear()

    def _turn(self, database: Database, organization_id: UUID) -> None:
        began = time.monotonic()
        try:
            counts = database.process_heavy(organization_id)
        except psycopg.Error as error:
            log.warning("heavy_failed", organization=organization_id, sqlstate=error.sqlstate, reason=first_line(error))
            with self._lock:
                self._taken.pop(organization_id, None)
                self._kept_out[organization_id] = time.monotonic() + SPOILED_SECONDS
            if database.connection.closed:
                raise
            return
        with self._lock:
            self._taken.pop(organization_id, None)
            if is_light := bool(counts.get("is_light")):
                self._kept_out[organization_id] = time.monotonic() + LIGHT_SECONDS
            elif counts["more"]:
                self._taken[organization_id] = None  # as the last
        if is_light or not counts["more"]:
            self.released()
        if counts["processed"]:
            metrics.BATCH_SECONDS.labels("heavy").observe(time.monotonic() - began)
            metrics.BATCH.labels("heavy").observe(counts["processed"])
        for result in ("processed", "failed", "dead"):
            if counts[result]:
                metrics.PROCESSED.labels(result).inc(counts[result])
