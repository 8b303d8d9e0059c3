"""Periodic work: expired messages, room for more, partitions, retention, rollups, deletions."""

import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from bridge import log, metrics
from bridge.database.connection import Database
from bridge.database.thread import DatabaseThread

LOOK_SECONDS = 1.0
MAINTENANCE_SECONDS = 60.0


class Maintenance(DatabaseThread):
    def __init__(self, bridge_id: UUID, stop: threading.Event, pause: Callable[[dict[UUID, str]], None]) -> None:
        super().__init__("maintenance", bridge_id, stop)
        self._pause = pause
        self._next = time.monotonic() + 5
        self._has_more = False
        self._is_rolling_up = False

    def serve(self, database: Database) -> None:
        while not self.stop_event.wait(LOOK_SECONDS):
            while (expired := database.expire_outbound()) and not self.stop_event.is_set():
                metrics.PUBLISHED.labels("expired").inc(expired)
            free, paused = database.check_capacity()
            if free is not None:
                metrics.FREE_DISK.set(free)
            self._pause(paused)
            if time.monotonic() >= self._next:
                self._next = time.monotonic() + MAINTENANCE_SECONDS
                self._has_more = self._is_rolling_up = True
                self._tell(database.run_periodic_tasks())
            if self._has_more:
                gone = database.apply_retention()
                self._has_more = gone.pop("more", False)
                _log("retention", gone)
            if self._is_rolling_up:
                rolled = database.roll_up_readings()
                self._is_rolling_up = rolled.pop("more", False)
                _log("rollups", rolled)
            deleted = database.work_deletions()
            deleted.pop("more", None)
            _log("deletions", deleted)
            metrics.DATABASE.refresh(database.gauges)

    def _tell(self, done: dict[str, Any]) -> None:
        if "skipped" in done:
            return
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
        _log("maintenance", done)


def _log(event: str, done: dict[str, Any]) -> None:
    if facts := {key: value for key, value in done.items() if value and key != "skipped"}:
        log.info(event, **facts)
