"""Processes the queue: from ingested messages to the history, by the database's own function.

A message may end the session that processes it (a crash of the server process) or hang it until its time limit. Then nothing of the
batch is stored, and nothing tells which message it was. So the messages of the batch, which the database names before it begins, are
attempted one by one, each attempt counted in a transaction of its own before it is made, until all are through; where the batch is not
known, since the process died with it, the oldest messages are. Where the session survives, bridge.work.heavy does so, so that only the
organizations of that batch wait.
"""

import threading
import time
from datetime import datetime
from uuid import UUID

import psycopg

from bridge import log, metrics
from bridge.database.connection import Database
from bridge.database.thread import DatabaseThread, Idler, first_line
from bridge.work.heavy import HUNG, HeavyWorker

BATCH = 1000
# What comes next may be a thousand times as much work a message, and whoever is quiet waits for the batch before theirs.
FIRST_BATCH = 250
FEW = 1  # messages of a batch that has its whole time limit, and may then be suspected
TARGET_SECONDS = 1.0
TRIAL = 30  # full batches after which a new worker has shown that the queue does not kill it
PAUSE_SECONDS = 0.0025
BUSY = 5  # messages that arrive while a batch is processed
PAUSE_WHEN_BUSY_SECONDS = 0.025
RETRY_SECONDS = 0.1
BATCH_TIMEOUT = 60.0
BATCH_LOCK_TIMEOUT = 10.0
ATTEMPT_TIMEOUT = 10.0
ATTEMPT_LOCK_TIMEOUT = 3.0
# An attempt that was interrupted may be followed by the next after 30 s, and a batch takes the message after 60 s.
AGAIN_SECONDS = 35.0
MEMORY_SECONDS = 600.0


class QueueWorker(DatabaseThread):
    def __init__(self, bridge_id: UUID, stop: threading.Event, heavy: HeavyWorker) -> None:
        super().__init__("worker", bridge_id, stop)
        self._heavy = heavy
        self.event = threading.Event()
        self._attempts_at: float | None = None  # when to attempt messages one by one
        self._suspected_from = 0.0
        self._accepted_before: datetime | None = None
        self._suspicions: list[float] = []
        self._batch: str | None = None  # row addresses of the batch under way
        self._suspects: list[int] | None = None  # messages
        self._size = FIRST_BATCH
        self._interrupted: dict[int, float] = {}  # message: when its attempt began

    def serve(self, database: Database) -> None:
        database.connection.add_notice_handler(self._noticed)
        if database.begin_work():
            self._batch = None
            self._suspect("a bridge ended before it had processed the whole queue once", time.monotonic())
        self._limit(database)
        try:
            self._process_all(database)
        finally:
            if self.stop_event.is_set() and not database.connection.closed:
                database.end_work()

    def _process_all(self, database: Database) -> None:
        idler = Idler(database, "ingest", self.event)
        trial = TRIAL
        began_before = time.monotonic()
        while not self.stop_event.is_set():
            self.event.clear()
            if self._attempts_at is not None and time.monotonic() >= self._attempts_at:
                self._attempt_each(database)
            began = time.monotonic()
            counts = self._process(database)
            if counts is None:
                continue
            seconds = time.monotonic() - began
            has_worked = bool(counts["processed"] or counts["failed"] or counts["dead"])
            if has_worked:
                idler.found_work()
            if trial:
                trial = trial - 1 if counts["more"] else 0
                if not trial:
                    database.end_work()
            if counts["more"]:
                continue
            if has_worked:
                self.event.wait(pause_after(counts["processed"], seconds, began - began_before))
            else:
                idler.wait()
            began_before = began

    def _process(self, database: Database) -> dict[str, int] | None:
        """A batch; None when it could not be processed and is to be tried again."""
        began = time.monotonic()
        self._batch = None
        try:
            counts = database.process_queue(self._size, *self._heavy.elsewhere())
        except psycopg.Error as error:
            if database.connection.closed:
                self._suspect("the session ended in a batch", began)
                raise
            if error.sqlstate in HUNG and self._hand_over(database):
                pass
            elif error.sqlstate in HUNG and self._size > FEW:
                # Perhaps so many were too much work: fewer, before one of them is said to hang.
                self._resize(database, max(FEW, self._size // 16))
            elif error.sqlstate in HUNG:
                self._suspect("a batch reached its limits", began)
            elif error.sqlstate is None or not error.sqlstate.startswith(("40", "55")):
                raise
            log.warning("batch_failed", sqlstate=error.sqlstate, reason=first_line(error))
            self.stop_event.wait(RETRY_SECONDS)
            return None
        if "heavy" in counts:
            self._heavy.take([UUID(key) for key in counts["heavy"]])
        if counts["processed"]:
            metrics.BATCH_SECONDS.labels("process").observe(time.monotonic() - began)
            metrics.BATCH.labels("process").observe(counts["processed"])
        for result in ("processed", "failed", "dead"):
            if counts[result]:
                metrics.PROCESSED.labels(result).inc(counts[result])
        # Not deferred updates; and a batch that was cut short says nothing of how many messages would have been right.
        if counts["processed"] and not counts.get("is_cut"):
            self._resize(database, next_size(self._size, time.monotonic() - began, is_full=bool(counts["more"])))
        return counts

    def _hand_over(self, database: Database) -> bool:
        """The organizations of the batch have batches of their own elsewhere, while all others go on here; False where that cannot be."""
        return self._batch is not None and self._heavy.suspect(database.organizations_of(self._batch))

    def _resize(self, database: Database, size: int) -> None:
        had_few, self._size = self._size <= FEW, size
        if had_few != (size <= FEW):
            self._limit(database)

    def _limit(self, database: Database) -> None:
        database.limit(BATCH_TIMEOUT if self._size <= FEW else BATCH_TIMEOUT / 4, BATCH_LOCK_TIMEOUT)

    def _noticed(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        if diagnostic.message_primary == "batch":
            self._batch = diagnostic.message_detail

    # --------------------------------------------------------------------------------------------------------------- one by one

    def _suspect(self, reason: str, began: float) -> None:
        now = time.monotonic()
        if self._batch is None:
            self._suspicions = [when for when in self._suspicions if when > now - MEMORY_SECONDS] + [now]
        self._attempts_at = now
        self._suspected_from = began
        self._accepted_before = None
        self._suspects = None
        log.warning("attempts_started", reason=reason, messages="those of the batch" if self._batch else self._most())

    def _most(self) -> int:
        """As many as a batch has, and four times as many with each further crash: batches are fair, but attempts go by age."""
        return int(BATCH * 4 ** min(len(self._suspicions) - 1, 10))

    def _attempt_each(self, database: Database) -> None:
        if self._accepted_before is None:
            self._accepted_before = database.time_before(time.monotonic() - self._suspected_from)
            if self._batch is not None:
                # With those of earlier batches whose next attempt is due.
                self._suspects = [*database.suspects(self._batch), *self._interrupted]
        outcomes: dict[str, int] = {}
        started = time.monotonic()
        database.limit(ATTEMPT_TIMEOUT, ATTEMPT_LOCK_TIMEOUT)
        is_through = self._attempt_until_through(database, self._accepted_before, outcomes)
        self._limit(database)
        if is_through:
            # A message that could be attempted again and was not there has become a dead letter, or was taken by another worker.
            self._interrupted = {msg_id: when for msg_id, when in self._interrupted.items() if when + AGAIN_SECONDS > started}
        self._attempts_at = max(self._interrupted.values()) + AGAIN_SECONDS if self._interrupted else None
        log.info("attempts_made", **outcomes, waiting=len(self._interrupted))

    def _attempt_until_through(self, database: Database, accepted_before: datetime, outcomes: dict[str, int]) -> bool:
        """Counts the outcomes; whether no message is left to attempt."""
        started = time.monotonic()
        left = self._most() if self._suspects is None else len(self._suspects) + 1
        while left and not self.stop_event.is_set():
            began = time.monotonic()
            try:
                attempted = database.begin_attempt(accepted_before, self._suspects)
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                attempted = 0
            if attempted is None:
                return True
            if not attempted:
                # Another worker has the rest; if it hangs as this one did, the two would only take turns hanging in batches.
                if began - started > BATCH_TIMEOUT + ATTEMPT_TIMEOUT:
                    break
                self.stop_event.wait(RETRY_SECONDS)
                continue
            left -= 1
            outcome = self._attempt(database, attempted, began)
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
        return False

    def _attempt(self, database: Database, msg_id: int, began: float) -> str:
        self._interrupted[msg_id] = began
        try:
            outcome = database.finish_attempt(msg_id)
        except psycopg.Error as error:
            if database.connection.closed or error.sqlstate not in HUNG:
                log.warning("attempt_interrupted", msg_id=msg_id, sqlstate=error.sqlstate)
                raise
            return "interrupted"
        del self._interrupted[msg_id]
        if outcome in ("processed", "failed", "dead"):
            metrics.PROCESSED.labels(outcome).inc()
        return outcome


def next_size(size: int, seconds: float, *, is_full: bool) -> int:
    """How many messages to ask for after a batch of at most so many took so long: a batch takes a second, whatever is in it."""
    if seconds > TARGET_SECONDS:
        return max(1, int(size * TARGET_SECONDS / seconds))
    if not is_full:
        return min(max(size, FEW + 1), FIRST_BATCH)
    return min(BATCH, 2 * size) if seconds < TARGET_SECONDS / 2 else size


def pause_after(messages: int, seconds: float, since_last: float) -> float:
    """Seconds to wait after a batch that was not full and took so long, and began so long after the one before.

    Many small batches would take the machine from the senders, which matters when it is busy: then many messages arrive while one is
    processed, however fast it is. No pause after a half-full batch: with many small organizations a batch may never fill.
    """
    if messages * 2 >= BATCH:
        return 0.0
    arriving = messages * seconds / max(since_last, seconds)
    return min(PAUSE_WHEN_BUSY_SECONDS if arriving >= BUSY else PAUSE_SECONDS, 4 * seconds)
