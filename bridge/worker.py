"""Works the queue off: from ingested messages to the history, by the database's own function.

A message may end the session that processes it (a crash of the server process) or hang it until its time limit. Then nothing of the
batch is stored, and nothing tells which message it was. So those of the batch, which the database names before it begins, are tried one
by one, each attempt counted in a transaction of its own before it is made, until they are through; where the batch is not known, since the
process died with it, the oldest are.
"""

import threading
import time
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

import psycopg

from bridge import log, metrics
from bridge.database import Database, Part

BATCH = 1000
TRIAL = 30  # full batches after which a new worker has shown that the queue does not kill it
POLL_SECONDS = 1.0
LINGER_SECONDS = 0.01
PAUSE_SECONDS = 0.01
MANY = 20  # messages in a batch
PAUSE_AFTER_MANY_SECONDS = 0.025
RETRY_SECONDS = 0.1
BATCH_TIMEOUT = 60.0
BATCH_LOCK_TIMEOUT = 10.0
CAREFUL_TIMEOUT = 10.0
CAREFUL_LOCK_TIMEOUT = 3.0
# An attempt that was interrupted may be followed by the next after 30 s, and a batch takes the message after 60 s.
AGAIN_SECONDS = 35.0
MEMORY_SECONDS = 600.0
_HUNG = ("57014", "53200")  # query_canceled, out_of_memory


class Worker(Part):
    def __init__(self, bridge_id: UUID, stop: threading.Event) -> None:
        super().__init__("worker", bridge_id, stop)
        self.event = threading.Event()
        self._careful_at: float | None = None
        self._suspected_from = 0.0
        self._accepted_before: datetime | None = None
        self._suspicions: list[float] = []
        self._batch: str | None = None  # row addresses of the batch under way
        self._suspects: list[int] | None = None  # messages
        self._interrupted: dict[int, float] = {}  # message: when its attempt began

    def serve(self, database: Database) -> None:
        database.connection.add_notice_handler(self._told)
        if _value(database, "SELECT bridge.begin_work(%s)", self.bridge_id):
            self._batch = None
            self._suspect("a bridge ended before it had worked the queue off once", time.monotonic())
        _limit(database, BATCH_TIMEOUT, BATCH_LOCK_TIMEOUT)
        try:
            self._serve(database)
        finally:
            if self.stop_event.is_set() and not database.connection.closed:
                _value(database, "SELECT bridge.end_work(%s)", self.bridge_id)

    def _serve(self, database: Database) -> None:
        is_asleep = False
        worked_at = 0.0
        trial = TRIAL
        while not self.stop_event.is_set():
            self.event.clear()
            if self._careful_at is not None and time.monotonic() >= self._careful_at:
                self._try_each(database)
            began = time.monotonic()
            counts = self._process(database)
            if counts is None:
                continue
            now = time.monotonic()
            has_worked = bool(counts["processed"] or counts["failed"] or counts["dead"])
            if has_worked:
                worked_at = now
                if is_asleep:
                    database.wake("ingest")
                    is_asleep = False
            if trial:
                trial = trial - 1 if counts["more"] else 0
                if not trial:
                    _value(database, "SELECT bridge.end_work(%s)", self.bridge_id)
            if counts["more"]:
                continue
            if is_asleep:
                self.event.wait(POLL_SECONDS)
            elif has_worked:
                self.event.wait(pause_after(counts["processed"], now - began))
            elif now - worked_at < LINGER_SECONDS:
                self.event.wait(0.002)
            else:
                answer = database.sleep("ingest")
                is_asleep = answer != "busy"
                if not is_asleep:
                    self.event.wait(0.002)

    def _process(self, database: Database) -> dict[str, int] | None:
        """A batch; None when it could not be done and is to be tried again."""
        began = time.monotonic()
        self._batch = None
        try:
            counts = database.process_queue(BATCH)
        except psycopg.Error as error:
            if database.connection.closed:
                self._suspect("the session ended in a batch", began)
                raise
            if error.sqlstate in _HUNG:
                self._suspect("a batch ran into its limits", began)
            elif error.sqlstate is None or not error.sqlstate.startswith(("40", "55")):
                raise
            log.warning("batch_failed", sqlstate=error.sqlstate, reason=str(error).strip().split("\n")[0])
            self.stop_event.wait(RETRY_SECONDS)
            return None
        if counts["processed"]:
            metrics.BATCH_SECONDS.labels("process").observe(time.monotonic() - began)
            metrics.BATCH.labels("process").observe(counts["processed"])
        for result in ("processed", "failed", "dead"):
            if counts[result]:
                metrics.PROCESSED.labels(result).inc(counts[result])
        return counts

    def _told(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        if diagnostic.message_primary == "batch":
            self._batch = diagnostic.message_detail

    # --------------------------------------------------------------------------------------------------------------- one by one

    def _suspect(self, reason: str, began: float) -> None:
        now = time.monotonic()
        if self._batch is None:
            self._suspicions = [when for when in self._suspicions if when > now - MEMORY_SECONDS] + [now]
        self._careful_at = now
        self._suspected_from = began
        self._accepted_before = None
        self._suspects = None
        log.warning("worker_careful", reason=reason, messages="those of the batch" if self._batch else self._most())

    def _most(self) -> int:
        """A batch; where that did not find it, for batches are fair and attempts go by age, four times as many with each crash more."""
        return int(BATCH * 4 ** min(len(self._suspicions) - 1, 10))

    def _try_each(self, database: Database) -> None:
        if self._accepted_before is None:
            past = time.monotonic() - self._suspected_from
            self._accepted_before = _value(database, "SELECT clock_timestamp() - make_interval(secs => %s)", past)
            if self._batch is not None:
                # With those of earlier batches whose next attempt is due.
                self._suspects = [*_value(database, "SELECT bridge.suspects(%s)", self._batch), *self._interrupted]
        outcomes: dict[str, int] = {}
        started = time.monotonic()
        is_through = False
        _limit(database, CAREFUL_TIMEOUT, CAREFUL_LOCK_TIMEOUT)
        left = self._most() if self._suspects is None else len(self._suspects) + 1
        while left and not self.stop_event.is_set():
            began = time.monotonic()
            try:
                attempted = _value(database, "SELECT bridge.begin_attempt(%s, %s)", self._accepted_before, self._suspects)
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                attempted = 0
            if attempted is None:
                is_through = True
                break
            if not attempted:
                # Another worker is at the rest; if it hangs as this one did, batches would only take turns in that.
                if began - started > BATCH_TIMEOUT + CAREFUL_TIMEOUT:
                    break
                self.stop_event.wait(RETRY_SECONDS)
                continue
            left -= 1
            self._interrupted[attempted] = began
            try:
                outcome = _value(database, "SELECT bridge.finish_attempt(%s)", attempted)
            except psycopg.Error as error:
                if database.connection.closed or error.sqlstate not in _HUNG:
                    log.warning("attempt_interrupted", msg_id=attempted, sqlstate=error.sqlstate)
                    raise
                outcome = "interrupted"
            else:
                del self._interrupted[attempted]
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
            if outcome in ("processed", "failed", "dead"):
                metrics.PROCESSED.labels(outcome).inc()
        _limit(database, BATCH_TIMEOUT, BATCH_LOCK_TIMEOUT)
        if is_through:
            # What could be begun again and was not there has become a dead letter, or was taken by another worker.
            self._interrupted = {msg_id: when for msg_id, when in self._interrupted.items() if when + AGAIN_SECONDS > started}
        self._careful_at = max(self._interrupted.values()) + AGAIN_SECONDS if self._interrupted else None
        log.info("attempts_made", **outcomes, waiting=len(self._interrupted))


def pause_after(messages: int, seconds: float) -> float:
    """Seconds to wait after a batch that was not full and took so long: many small ones would take the machine from those who send.

    Only at a high rate so long that one would notice. None after half a batch: what many organizations have a little of may not fill one.
    """
    if messages * 2 >= BATCH:
        return 0.0
    return min(PAUSE_AFTER_MANY_SECONDS if messages >= MANY else PAUSE_SECONDS, 4 * seconds)


def _value(database: Database, query: LiteralString, *parameters: Any) -> Any:
    row = database.connection.execute(query, parameters).fetchone()
    return None if row is None else row[0]


def _limit(database: Database, statement: float, lock: float) -> None:
    """Time limits in seconds for what follows on this session."""
    for name, seconds in (("statement_timeout", statement), ("lock_timeout", lock)):
        _value(database, "SELECT set_config(%s, %s, false)", name, f"{round(seconds * 1000)}ms")
