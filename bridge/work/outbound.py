"""From the queue to the brokers: claims messages for links that take them."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from uuid import UUID

from bridge import log, metrics
from bridge.database.connection import Database
from bridge.database.thread import POLL_SECONDS, DatabaseThread, Idler
from bridge.mqtt.link import Link
from bridge.values import Outcome, Outgoing
from bridge.work.claims import Claims

TARGET = 2000  # messages claimed and under way for one integration
TOTAL = 20000  # and for all: an equal part for each organization
FORGET_SECONDS = 10.0


class Outbound(DatabaseThread):
    def __init__(
        self,
        bridge_id: UUID,
        stop: threading.Event,
        claims: Claims,
        links: dict[UUID, Link],
        event: threading.Event,
        settled: Callable[[Outcome], None],
    ) -> None:
        super().__init__("outbound", bridge_id, stop)
        self.event = event
        self.is_draining = False
        self._claims = claims
        self._links = links
        self._settled = settled

    def serve(self, database: Database) -> None:
        idler = Idler(database, "outbound", self.event)
        forget_at = 0.0
        while not self.stop_event.is_set():
            self.event.clear()
            if time.monotonic() >= forget_at:
                # Not only at the beginning: the claim whose answer was lost with the last connection may wait for a lock and be made later.
                forget_at = time.monotonic() + FORGET_SECONDS
                if forgotten := database.forget_batches(self._claims.batches()):
                    log.warning("claims_lost", batches=forgotten)
            if self.is_draining:
                self.event.wait(POLL_SECONDS)
            elif self._claim(database):
                idler.found_work()
            else:
                if len(self._claims):
                    idler.worked()
                idler.wait()

    def _claim(self, database: Database) -> int:
        links = {key: link for key, link in list(self._links.items()) if link.takes_more}
        sizes = Counter(link.organization_id for link in links.values())
        asked = []
        for key, link in links.items():
            target = max(50, min(TARGET, TOTAL // len(sizes) // sizes[link.organization_id]))
            if self._claims.count(key) <= target // 2:
                asked.append((key, target - self._claims.count(key)))
        if not asked:
            return 0
        ids = [key for key, _ in asked]
        began = time.monotonic()
        claims = database.claim_outbound(ids, [limit for _, limit in asked], self._claims.queued(ids))
        if not claims:
            return 0
        now = time.monotonic()
        metrics.BATCH_SECONDS.labels("claim").observe(now - began)
        metrics.BATCH.labels("claim").observe(len(claims))
        fit: dict[UUID, list[Outgoing]] = {}
        unfit: list[Outcome] = []
        for claim in claims:
            key = ids[claim.integration_number - 1]
            self._claims.take(key, claim.batch_id, claim.message.msg_id, now - claim.waited)
            if claim.fault is None:
                fit.setdefault(key, []).append(claim.message)
            else:
                unfit.append(Outcome(claim.message.msg_id, "failed", None, claim.fault, now))
        metrics.IN_FLIGHT.set(len(self._claims))
        # Not before all are taken: a batch of which none is under way is finished.
        for outcome in unfit:
            self._settled(outcome)
        for key, messages in fit.items():
            links[key].publish(messages)
        return len(claims)
