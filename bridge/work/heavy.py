"""Messages that are much work each, or too much, apart from the others: nobody waits for them but their own organization.

A batch that reaches its time limit tells not which of its messages was why. So each of its organizations has a batch of its own here,
while the queue worker goes on with all others. Where that batch reaches a limit again, its messages are attempted one by one, each attempt
counted in a transaction of its own before it is made, until one is interrupted. That one is attempted alone from then on, and the others go
on in batches, until nothing has reached a limit for a while.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg

from bridge import log, metrics
from bridge.database.connection import Database
from bridge.database.thread import DatabaseThread, first_line

STATEMENT_TIMEOUT, LOCK_TIMEOUT = 30.0, 10.0
SUSPECT_TIMEOUT = 2.0  # of a batch of a quarter of a second; the other organizations of the one that reached its limit wait meanwhile
ATTEMPT_TIMEOUT, ATTEMPT_LOCK_TIMEOUT = 10.0, 3.0
TURN_SECONDS = 1.0  # of attempts, one of which may take longer
LOOK_SECONDS = 1.0
MOST_OF_BATCH = 1500  # messages: mqtt.process_heavy takes 250, and more where the last of them is an item of many
# An attempt that was interrupted may be followed by the next after 30 s, and a batch takes the message after 60 s.
CALM_SECONDS = 65.0
HUNG = ("57014", "53200")  # query_canceled, out_of_memory
# A message that ends the session is for the queue worker, which knows how to find it.
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
        self._suspects: set[UUID] = set()  # those of a batch that reached its limit
        self._hung: dict[UUID, _Hung] = {}

    # ---------------------------------------------------------------------------------------------------- from the queue worker

    def take(self, organizations: list[UUID]) -> None:
        with self._lock:
            self._taken.update(dict.fromkeys(organizations))
        self._event.set()

    def suspect(self, organizations: list[UUID]) -> bool:
        """Take the organizations of a batch that reached its limit; False where that cannot be done here."""
        with self._lock:
            if not self.is_connected or not organizations:
                return False
            self._suspects.update(organizations)
            self._taken = {**dict.fromkeys(organizations), **self._taken}
        self._event.set()
        return True

    def elsewhere(self) -> tuple[list[UUID] | None, list[UUID]]:
        """The organizations that are worked off here, None while none can be; and those that should not be."""
        now = time.monotonic()
        with self._lock:
            self._kept_out = {key: until for key, until in self._kept_out.items() if until > now}
            return (list(self._taken) if self.is_connected else None), list(self._kept_out)

    # --------------------------------------------------------------------------------------------------------------- this thread

    def serve(self, database: Database) -> None:
        with self._lock:
            self._taken.update(dict.fromkeys(self._hung))
        try:
            while not self.stop_event.is_set():
                self._event.wait(0.5)
                self._event.clear()
                while (organization_id := self._next()) is not None and not self.stop_event.is_set():
                    if organization_id in self._hung:
                        self._hung_turn(database, organization_id)
                    else:
                        self._turn(database, organization_id)
        finally:
            with self._lock:
                self._taken.clear()
                self._suspects.clear()

    def _next(self) -> UUID | None:
        """Those that are not known to hang come first: their turns are short."""
        now = time.monotonic()
        with self._lock:
            calm = next((key for key in self._taken if key not in self._hung), None)
            return calm or next((key for key in self._taken if key in self._hung and self._hung[key].next_at <= now), None)

    def _turn(self, database: Database, organization_id: UUID) -> None:
        counts = self._batch(database, organization_id)
        if counts is None:
            return
        with self._lock:
            self._taken.pop(organization_id, None)
            if is_light := bool(counts.get("is_light")):
                self._kept_out[organization_id] = time.monotonic() + LIGHT_SECONDS
            elif counts["more"]:
                self._taken[organization_id] = None  # as the last
        if is_light or not counts["more"]:
            self.released()

    def _batch(self, database: Database, organization_id: UUID) -> dict[str, Any] | None:
        """What became of a batch; None where it failed, and with it is settled how the organization goes on."""
        began = time.monotonic()
        hung = self._hung.get(organization_id)
        is_suspect = hung is not None or organization_id in self._suspects
        database.limit(SUSPECT_TIMEOUT if is_suspect else STATEMENT_TIMEOUT, LOCK_TIMEOUT)
        try:
            counts = database.process_heavy(organization_id)
        except psycopg.Error as error:
            log.warning("heavy_failed", organization=organization_id, sqlstate=error.sqlstate, reason=first_line(error))
            if error.sqlstate in HUNG and not database.connection.closed:
                log.warning("attempts_started", organization=organization_id, reason="a batch of its own reached its limits")
                self._hung[organization_id] = _Hung(began, began + CALM_SECONDS, set() if hung is None else hung.culprits)
                return None
            with self._lock:
                self._hung.pop(organization_id, None)
                self._taken.pop(organization_id, None)
                self._kept_out[organization_id] = time.monotonic() + SPOILED_SECONDS
            if database.connection.closed:
                raise
            return None
        finally:
            self._suspects.discard(organization_id)
        if counts["processed"]:
            metrics.BATCH_SECONDS.labels("heavy").observe(time.monotonic() - began)
            metrics.BATCH.labels("heavy").observe(counts["processed"])
        for result in ("processed", "failed", "dead"):
            if counts[result]:
                metrics.PROCESSED.labels(result).inc(counts[result])
        return counts

    # --------------------------------------------------------------------------------------------------------------- one by one

    def _hung_turn(self, database: Database, organization_id: UUID) -> None:
        """Look for what hangs. Then attempt that alone whenever it is due, and take the others in batches, which leave it out."""
        began = time.monotonic()
        hung = self._hung[organization_id]
        hung.next_at = began + LOOK_SECONDS
        if not self._attempt_some(database, organization_id, hung) and not hung.is_searching:
            counts = self._batch(database, organization_id)
            if counts is not None and counts["processed"]:
                hung.next_at = began
        with self._lock:
            self._taken.pop(organization_id, None)
            hung_still = self._hung.get(organization_id)
            if hung_still is not None and time.monotonic() < hung_still.until:
                self._taken[organization_id] = None  # as the last
                return
            if self._hung.pop(organization_id, None) is None:
                return
        log.info("attempts_ended", organization=organization_id)
        self.released()

    def _attempt_some(self, database: Database, organization_id: UUID, hung: "_Hung") -> bool:
        """Attempts for a second, or until one is interrupted, or none is left; then it is the others' turn. Whether one was interrupted."""
        database.limit(ATTEMPT_TIMEOUT, ATTEMPT_LOCK_TIMEOUT)
        began = time.monotonic()
        accepted_before = database.time_before(0.0)
        suspects = database.oldest_queued(organization_id) if hung.is_searching else sorted(hung.culprits)
        while suspects and not self.stop_event.is_set():
            try:
                attempted = database.begin_attempt(accepted_before, suspects)
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                break
            if not attempted:
                hung.is_searching &= attempted == 0  # somebody else is at them
                break
            try:
                outcome = database.finish_attempt(attempted)
            except psycopg.Error as error:
                log.warning("attempt_interrupted", organization=organization_id, msg_id=attempted, sqlstate=error.sqlstate)
                hung.culprits.add(attempted)
                hung.is_searching, hung.next_at, hung.until = False, began, time.monotonic() + CALM_SECONDS
                if database.connection.closed or error.sqlstate not in HUNG:
                    raise
                return True
            if outcome in ("processed", "failed", "dead"):
                metrics.PROCESSED.labels(outcome).inc()
            hung.attempts += 1
            if hung.attempts >= MOST_OF_BATCH:
                hung.is_searching = False
            if time.monotonic() > began + TURN_SECONDS or not hung.is_searching:
                hung.next_at = began
                break
        return False


@dataclass
class _Hung:
    """An organization one of whose messages reaches the time limit of an attempt."""

    next_at: float  # its next turn
    until: float  # if nothing reaches a limit before
    culprits: set[int] = field(default_factory=set)  # the messages whose attempt did
    is_searching: bool = True  # for what made the last batch hang
    attempts: int = 0
