"""Threads that work on the database: the loop that reconnects, and the one that waits for work."""

import random
import threading
import time
from collections.abc import Callable
from uuid import UUID

import psycopg

from bridge import log, metrics
from bridge.database.connection import Database

TELL_SECONDS = 30.0  # between two log lines about the same trouble
STABLE_SECONDS = 10.0
POLL_SECONDS = 1.0
LINGER_SECONDS = 0.01
NAP_SECONDS = 0.002


def keep_connected(
    name: str,
    stop: threading.Event,
    connect: Callable[[], Database],
    serve: Callable[[Database], None],
    failed: Callable[[Exception], bool] = lambda _: False,
    ended: Callable[[Database | None], None] = lambda _: None,
) -> None:
    """Call `serve` with a connection, made again whenever it is lost or serve fails, until the stop event.

    `failed` hears of each failure first, returns whether nothing is left to log, and may raise it again; `ended` is called at the
    end, before the last connection is closed.
    """
    failures = 0
    told_at = -TELL_SECONDS
    while not stop.is_set():
        began = time.monotonic()
        database = None
        try:
            database = connect()
            serve(database)
        except Exception as error:  # noqa: BLE001  # a thread that dies silently would leave the bridge looking alive
            if failed(error):
                continue
            failures += 1
            if not isinstance(error, psycopg.Error):
                log.error("thread_failed", exc_info=True, thread=name)
            else:
                metrics.DATABASE_FAILURES.labels(name).inc()
                if time.monotonic() - began > STABLE_SECONDS:
                    failures = 0
                if time.monotonic() - told_at >= TELL_SECONDS:
                    told_at = time.monotonic()
                    log.warning("database_lost", thread=name, sqlstate=error.sqlstate, reason=first_line(error))
            stop.wait(backoff(failures))
        finally:
            if stop.is_set():
                ended(database)
            if database is not None:
                database.close()


class DatabaseThread(threading.Thread):
    """A thread with a database connection of its own."""

    def __init__(self, name: str, bridge_id: UUID, stop: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self.bridge_id = bridge_id
        self.stop_event = stop
        self.is_connected = False

    def serve(self, database: Database) -> None:
        """Work until the stop event; raises psycopg.OperationalError when the connection is lost."""
        raise NotImplementedError

    def run(self) -> None:
        keep_connected(self.name, self.stop_event, lambda: Database(self.bridge_id), self._serve_connected)

    def _serve_connected(self, database: Database) -> None:
        self.is_connected = True
        try:
            self.serve(database)
        finally:
            self.is_connected = False


class Idler:
    """Waits for work: briefly at first, then asleep, which the database knows, so that new work comes with a notification.

    While somebody is awake, senders are spared the notification.
    """

    def __init__(self, database: Database, subject: str, event: threading.Event) -> None:
        self._database = database
        self._subject = subject
        self._event = event  # set on a notification
        self._is_asleep = False
        self._worked_at = 0.0

    def worked(self) -> None:
        """There is work under way: stay awake for a while."""
        self._worked_at = time.monotonic()

    def found_work(self) -> None:
        """There was work in the queue, and may be more: wake up."""
        self._worked_at = time.monotonic()
        if self._is_asleep:
            self._database.wake(self._subject)
            self._is_asleep = False

    def wait(self) -> None:
        """Until there may be work."""
        if self._is_asleep:
            self._event.wait(POLL_SECONDS)
        elif time.monotonic() - self._worked_at < LINGER_SECONDS:
            self._event.wait(NAP_SECONDS)
        else:
            # No notification tells of what was committed before this: once asleep, the caller looks once more.
            self._is_asleep = self._database.sleep(self._subject) != "busy"
            if not self._is_asleep:
                self._event.wait(NAP_SECONDS)


def backoff(failures: int) -> float:
    return min(2.0, 0.1 * 2.0 ** min(failures, 10)) * random.uniform(0.5, 1.5)  # noqa: S311


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
