"""What has to be done now and then: expired messages, partitions, retention."""

import threading
import time
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
                if done is not None:
                    log.info("upkeep", **{key: value for key, value in done.items() if value})
