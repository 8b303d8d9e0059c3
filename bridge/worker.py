"""Works the queue off: from ingested messages to the history, by the database's own function."""

import threading
import time
from uuid import UUID

from bridge import metrics
from bridge.database import Database, Part

BATCH = 1000
POLL_SECONDS = 1.0
LINGER_SECONDS = 0.01


class Worker(Part):
    def __init__(self, bridge_id: UUID, stop: threading.Event) -> None:
        super().__init__("worker", bridge_id, stop)
        self.event = threading.Event()

    def serve(self, database: Database) -> None:
        is_asleep = False
        worked_at = 0.0
        while not self.stop_event.is_set():
            self.event.clear()
            counts = self._process(database)
            now = time.monotonic()
            if counts["processed"] or counts["failed"] or counts["dead"]:
                worked_at = now
                if is_asleep:
                    database.wake("ingest")
                    is_asleep = False
            if counts["more"]:
                continue
            if is_asleep:
                self.event.wait(POLL_SECONDS)
            elif now - worked_at < LINGER_SECONDS:
                self.event.wait(0.002)
            else:
                answer = database.sleep("ingest")
                is_asleep = answer != "busy"
                if not is_asleep:
                    self.event.wait(0.002)

    def _process(self, database: Database) -> dict[str, int]:
        began = time.monotonic()
        counts = database.process_queue(BATCH)
        if counts["processed"]:
            metrics.BATCH_SECONDS.labels("process").observe(time.monotonic() - began)
            metrics.BATCH.labels("process").observe(counts["processed"])
        for result in ("processed", "failed", "dead"):
            if counts[result]:
                metrics.PROCESSED.labels(result).inc(counts[result])
        return counts
