"""What has to be done now and then: expired messages, partitions, retention."""

import threading
import time
from typing import Any
from uuid import UUID

from bridge import log, metrics
from bridge.database import Database, Part

EXPIRE_SECONDS = 1.0
UPKEEP_SECONDS = 60.0


class Upkeep(Part):
    def __init__(self, bridge_id: UUID, stop: threading.Event) -> None:
        super().__init__("upkeep", bridge_id, stop)
        self._next = time.monotonic() + 5

    def serve(self, database: Database) -> None:
        while not self.stop_event.wait(EXPIRE_SECONDS):
            while (expired := database.expire_outbound()) and not self.stop_event.is_set():
                metrics.PUBLISHED.labels("expired").inc(expired)
            if time.monotonic() >= self._next:
                self._next = time.monotonic() + UPKEEP_SECONDS
                done = database.run_upkeep()
                if done is not None and "skipped" not in done:
                    self._tell(done)
            metrics.DATABASE.refresh(database.gauges)

    def _tell(self, done: dict[str, Any]) -> None:
        if done["free_disk_bytes"] is not None:
            metrics.FREE_DISK.set(done["free_disk_bytes"])
        for state, count in done.pop("ledger").items():
            metrics.LEDGER.labels(state).set(count)
        metrics.LEDGER_DIFFERENCES.set(done["ledger_differences"])
        if done["ledger_differences"]:
            log.error("ledger_differs", hours=done["ledger_differences"])
        holder = done.pop("vacuum_held_by", None)
        # A slot tells no time; that it is there is what counts.
        metrics.VACUUM_HELD.set(0 if holder is None else holder["held_seconds"] or 1)
        if holder is not None:
            log.warning("vacuum_held_back", **{key: value for key, value in holder.items() if value is not None})
        log.info("upkeep", **{key: value for key, value in done.items() if value})
