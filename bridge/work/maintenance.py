"""Periodic work: expired messages, room for more, partitions, retention, rollups, packing, deletions."""

import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg

from bridge import log, metrics
from bridge.database.connection import Database
from bridge.database.thread import DatabaseThread, first_line
from bridge.settings import Settings

LOOK_SECONDS = 1.0
MAINTENANCE_SECONDS = 60.0
REST_SECONDS, LONGEST_REST_SECONDS = 10.0, 600.0
# What is done for one organization after the other is less the next time where this is not enough; the rest may need a while.
STATEMENT_TIMEOUT, LONG_TIMEOUT, LOCK_TIMEOUT = 15.0, 60.0, 10.0
LONG_STEPS = ("maintenance", "retention", "packing")


class Maintenance(DatabaseThread):
    def __init__(self, bridge_id: UUID, stop: threading.Event, settings: Settings, pause: Callable[[dict[UUID, str]], None]) -> None:
        super().__init__("maintenance", bridge_id, stop)
        self.settings = settings
        self._pause = pause
        self._next = time.monotonic() + 5
        self._has_more = False
        self._is_rolling_up = False
        self._is_packing = False
        self._failures: dict[str, tuple[int, float]] = {}  # of steps as a whole: how many in a row, and until when they rest
        self._timeout = 0.0

    def serve(self, database: Database) -> None:
        pause = LOOK_SECONDS
        self._timeout = 0.0
        self._limit(database, STATEMENT_TIMEOUT)
        while not self.stop_event.wait(pause):
            while (expired := database.expire_outbound()) and not self.stop_event.is_set():
                metrics.PUBLISHED.labels("expired").inc(expired)
            free, paused = database.check_capacity()
            if free is not None:
                metrics.FREE_DISK.set(free)
            self._pause(paused)
            if time.monotonic() >= self._next:
                self._next = time.monotonic() + MAINTENANCE_SECONDS
                self._has_more = self._is_rolling_up = self._is_packing = True
                self._try(database, "maintenance", lambda: self._tell(database.run_periodic_tasks()))
            if self._has_more:
                self._has_more = self._try(database, "retention", database.apply_retention)
            if self._is_rolling_up:
                self._is_rolling_up = self._try(database, "rollups", database.roll_up_readings)
            self._try(database, "deletions", database.work_deletions)
            began = time.monotonic()
            if self._is_packing:
                self._is_packing = self._try(database, "packing", database.pack_days)
            # A day of ten million is 500 steps of half a second: no more than half of the time, but not a second for each.
            pause = min(LOOK_SECONDS, time.monotonic() - began) if self._is_packing else LOOK_SECONDS
            metrics.DATABASE.refresh(database.gauges)
            metrics.ORGANIZATIONS.refresh(lambda: database.organization_use(self.settings.metrics_organizations))

    def _try(self, database: Database, step: str, call: Callable[[], dict[str, Any]]) -> bool:
        """Whether there is more to do; after a failure, such as an archive that is down, not for a while, which is longer each time."""
        failures, until = self._failures.get(step, (0, 0.0))
        if time.monotonic() < until:
            return False
        if step in LONG_STEPS:
            self._limit(database, LONG_TIMEOUT)
        try:
            done = call()
        except psycopg.Error as error:
            if database.connection.closed:
                raise
            rest = min(LONGEST_REST_SECONDS, REST_SECONDS * 2.0 ** min(failures, 10))
            self._failures[step] = (failures + 1, time.monotonic() + rest)
            log.error(f"{step}_failed", sqlstate=error.sqlstate, reason=first_line(error))
            return False
        finally:
            if not database.connection.closed:
                self._limit(database, STATEMENT_TIMEOUT)
        self._failures.pop(step, None)
        has_more = bool(done.pop("more", False))
        _log(step, done)
        return has_more

    def _limit(self, database: Database, seconds: float) -> None:
        if seconds != self._timeout:
            database.limit(seconds, LOCK_TIMEOUT)
            self._timeout = seconds

    def _tell(self, done: dict[str, Any]) -> dict[str, Any]:
        """What is left to log."""
        if "ledger" not in done:
            return done
        for state, count in done.pop("ledger").items():
            metrics.LEDGER.labels(state).set(count)
        metrics.LEDGER_DIFFERENCES.set(done["ledger_differences"])
        if done["ledger_differences"]:
            log.error("ledger_differs", hours=done["ledger_differences"])
        holder = done.pop("vacuum_held_by", None)
        # A replication slot has no start time; that it is there is what counts.
        metrics.VACUUM_HELD.set(0 if holder is None else holder["held_seconds"] or 1)
        if holder is not None:
            log.warning("vacuum_held_back", **{key: value for key, value in holder.items() if value is not None})
        return done


def _log(event: str, done: dict[str, Any]) -> None:
    for step in [key for key in done if key.endswith("_failed")]:
        # Of organizations, partitions or days by themselves: a list of them.
        failures = done.pop(step)
        for failure in [{"reason": failures}] if isinstance(failures, str) else failures:
            log.error(step, **failure)
    if facts := {key: value for key, value in done.items() if value and key != "skipped"}:
        log.info(event, **facts)
