"""From the brokers to the queue: stores what arrived in batches, and acknowledges each batch after its commit."""

import threading
import time
from collections import deque
from collections.abc import Collection
from uuid import UUID

import psycopg

from bridge import log, metrics
from bridge.database.connection import Database
from bridge.database.thread import DatabaseThread
from bridge.mqtt.sockets import READ_BYTES
from bridge.values import Backlog, Incoming, Origin

BATCH = 1000
BATCH_BYTES = 8 << 20
# Of one organization, and of all, while several deliver: a message waits for the batch before its own, whose payloads are parsed.
PART, SHARED_BATCH_BYTES = 100, 2 << 20
SHARED_SECONDS = 1.0
SHARED_TURN_BYTES = 1 << 13
LINGER_SECONDS = 0.003
UNREAD_SECONDS = 0.001
LAST_LOOK_SECONDS = 0.0005
PAUSE_AT = 20000
PAUSE_AT_BYTES = 64 << 20
OVERHEAD = 500  # bytes that a waiting message costs beside its payload and properties
BATCH_TIMEOUT, LOCK_TIMEOUT = 15.0, 10.0
SLOW_TIMEOUT = 3.0  # of a batch of an organization that may be why one reached its limit: others wait meanwhile
SLOW_REST_SECONDS = 6.0
SLOW_LOOK_SECONDS = 0.1
_TIMED_OUT = "57014"


class Inbound(DatabaseThread):
    def __init__(self, bridge_id: UUID, stop: threading.Event) -> None:
        super().__init__("inbound", bridge_id, stop)
        self._event = threading.Event()
        self._arrived: deque[Incoming] = deque()
        self._waiting: dict[UUID, dict[Origin, deque[Incoming]]] = {}  # by organization and link
        self._total = Backlog()
        self._backlogs: dict[UUID, Backlog] = {}
        self._batch: list[Incoming] = []
        self._takes_at = 0.0  # time.monotonic()
        self._shared_until = 0.0  # since several organizations delivered; time.monotonic()
        self._slow: dict[UUID, tuple[int, float]] = {}  # organizations with batches of their own: how many messages, and from when on
        self._is_slow = False  # whether the batch is one of these

    # ------------------------------------------------------------------------------------------------------ from other threads

    def backlog(self, organization_id: UUID) -> Backlog:
        return Backlog(self._backlogs.setdefault(organization_id, Backlog(self._total)))

    # ------------------------------------------------------------------------------------------------ from the network thread

    def arrived(self, message: Incoming) -> None:
        message.link.backlog.add(message.size + OVERHEAD)
        self._arrived.append(message)
        if not self._event.is_set():
            self._event.set()

    def has_room(self, backlog: Backlog) -> bool:
        """An organization may have as much waiting as there is room for besides, and one link half of that; see bridge.shares."""
        if not backlog.count or backlog.parent is None:
            return True
        free, free_bytes = PAUSE_AT - self._total.count, PAUSE_AT_BYTES - self._total.bytes
        return max(2 * backlog.count, backlog.parent.count) <= free and max(2 * backlog.bytes, backlog.parent.bytes) <= free_bytes

    def may_read(self) -> bool:
        """Whether there is room for anything; otherwise the sockets are left unread, and the brokers wait."""
        return self._total.count < PAUSE_AT and self._total.bytes < PAUSE_AT_BYTES

    def turn_bytes(self) -> int:
        """Less while several organizations deliver: parsing a flood's packets keeps the others' waiting."""
        return SHARED_TURN_BYTES if time.monotonic() < self._shared_until else READ_BYTES

    def is_idle(self) -> bool:
        return not self._total.count

    def may_wait(self) -> float:
        """Seconds the sockets can stay unread without delaying storage: while a batch is stored, or waits to grow."""
        if self._batch:
            return UNREAD_SECONDS
        return min(UNREAD_SECONDS, self._takes_at - LAST_LOOK_SECONDS - time.monotonic())

    def is_storing_from(self, links: Collection[Origin]) -> bool:
        """Whether a message of one of these links waits, or is stored without its acknowledgement being on its way."""
        return any(link.backlog.count for link in links)

    # --------------------------------------------------------------------------------------------------------------- this thread

    def serve(self, database: Database) -> None:
        database.limit(SLOW_TIMEOUT if self._is_slow else BATCH_TIMEOUT, LOCK_TIMEOUT)
        while not self.stop_event.is_set():
            if not self._batch:
                if not self._total.count:
                    self._event.wait(0.5)
                    self._event.clear()
                    if not self._total.count:
                        continue
                if self._total.count < BATCH:
                    self._takes_at = time.monotonic() + LINGER_SECONDS
                    time.sleep(LINGER_SECONDS)
                had_slow, self._is_slow = self._is_slow, self._take()
                if self._is_slow != had_slow:
                    database.limit(SLOW_TIMEOUT if self._is_slow else BATCH_TIMEOUT, LOCK_TIMEOUT)
            if self._batch:
                self._store(database)
            else:
                self._event.wait(SLOW_LOOK_SECONDS)
                self._event.clear()

    def _take(self) -> bool:
        """Make a batch in which each organization has its part, and each of its links a part of that; the rest is for who has more.

        While several organizations deliver, none has more than PART, and all have no more than SHARED_BATCH_BYTES, so that the others' next
        batch comes soon. One whose messages may have been why a batch reached its time limit has a batch of its own: returns whether this
        is one.
        """
        for _ in range(len(self._arrived)):
            message = self._arrived.popleft()
            links = self._waiting.setdefault(message.link.organization_id, {})
            if message.link not in links:
                links[message.link] = deque()
            links[message.link].append(message)
        now = time.monotonic()
        if len(self._waiting) > 1:
            self._shared_until = now + SHARED_SECONDS
        is_shared, is_slow = now < self._shared_until, False
        left = {organization_id: PART if is_shared else BATCH for organization_id in self._waiting if organization_id not in self._slow}
        slow = next((key for key, (_, from_when) in self._slow.items() if key in self._waiting and from_when <= now), None)
        if slow is not None and not (left and self._is_slow):  # in turns with the others
            left, is_slow = {slow: self._slow[slow][0]}, True
        size, room = 0, SHARED_BATCH_BYTES if is_shared else BATCH_BYTES
        while left and len(self._batch) < BATCH and size < room:
            count, most = (BATCH - len(self._batch)) // len(left), (room - size) // len(left)
            for organization_id in list(left):
                links, before = self._waiting.pop(organization_id), len(self._batch)
                each = min(count, left[organization_id]) // len(links)
                for link in list(links):
                    size += self._take_from(links, link, each, most // len(links))
                if links:
                    self._waiting[organization_id] = links  # as the last
                left[organization_id] -= len(self._batch) - before
                if not links or left[organization_id] <= 0:
                    del left[organization_id]
                if len(self._batch) >= BATCH:
                    break
        return is_slow

    def _take_from(self, links: dict[Origin, deque[Incoming]], link: Origin, count: int, most: int) -> int:
        """One message at least, of a link that gets behind the others of its organization; returns the bytes."""
        queue, size, taken = links.pop(link), 0, 0
        while queue and (not taken or (taken < count and size < most)):
            message = queue.popleft()
            taken += 1
            if message.qos and link.will_be_redelivered:
                link.backlog.remove(1, message.size + OVERHEAD)
            else:
                size += message.size
                self._batch.append(message)
        if queue:
            links[link] = queue
        return size

    def _store(self, database: Database) -> None:
        """Store the batch; it is kept when that fails, and stored by the next connection."""
        batch = self._batch
        refused: list[Incoming] = []
        began = time.monotonic()
        try:
            counts, not_held = database.ingest(batch)
        except psycopg.Error as error:
            if error.sqlstate == _TIMED_OUT and not database.connection.closed:
                self._put_back()
                return
            if not _is_fault_of_message(error):
                raise
            counts, not_held, refused = self._store_each(database, batch)
        if self._is_slow:
            self._stored_slow(batch[0].link.organization_id)
        metrics.BATCH_SECONDS.labels("ingest").observe(time.monotonic() - began)
        metrics.BATCH.labels("ingest").observe(len(batch))
        for result, count in counts.items():
            metrics.RECEIVED.labels(result).inc(count)
        if not_held or refused:
            batch = [message for message in batch if message.link.integration_id not in not_held and message not in refused]
        self._acknowledge(batch)
        if not_held:
            for link in {message.link for message in self._batch if message.link.integration_id in not_held}:
                link.give_up()
        done, self._batch = self._batch, []
        sizes: dict[Origin, list[int]] = {}
        for message in done:
            sizes.setdefault(message.link, []).append(message.size + OVERHEAD)
        for link, each in sizes.items():
            link.backlog.remove(len(each), sum(each))
        metrics.INBOUND_WAITING.set(self._total.count)
        for link in sizes:
            if link.is_full and self.has_room(link.backlog):
                link.read_on()

    def _put_back(self) -> None:
        """After the time limit: nothing is stored. Each organization's messages wait for a batch of their own, in their order."""
        counts: dict[UUID, int] = {}
        for message in reversed(self._batch):
            organization_id = message.link.organization_id
            counts[organization_id] = counts.get(organization_id, 0) + 1
            self._waiting.setdefault(organization_id, {}).setdefault(message.link, deque()).appendleft(message)
        now = time.monotonic()
        for organization_id, count in counts.items():
            if self._is_slow:
                # The more there are, the less often each has its turn, so that all others have most of the time.
                rest = SLOW_REST_SECONDS * max(1, len(self._slow)) * (1 if count > 1 else 4)
                self._slow[organization_id] = (max(1, count // 2), now + rest)
                log.warning("ingest_slow", organization=organization_id, messages=count)
            else:
                self._slow[organization_id] = (BATCH, now)
        self._batch = []

    def _stored_slow(self, organization_id: UUID) -> None:
        most, from_when = self._slow.pop(organization_id)
        if most < BATCH:
            self._slow[organization_id] = (2 * most, from_when)

    def _store_each(self, database: Database, batch: list[Incoming]) -> tuple[dict[str, int], set[UUID], list[Incoming]]:
        """A batch that the database refuses: each message alone, and those at fault as dead letters. Last, those refused in any form."""
        total = {"queued": 0, "dead": 0, "passed_over": 0}
        not_held: set[UUID] = set()
        refused: list[Incoming] = []
        for message in batch:
            fault: str | None = None
            for _ in range(2):
                try:
                    counts, passed_over = database.ingest([message], fault)
                except psycopg.Error as error:
                    if not _is_fault_of_message(error):
                        raise
                    fault = f"The database does not accept it: {error.diag.message_primary}"
                    log.error(
                        "message_refused", integration=message.link.integration_id, bytes=len(message.payload), sqlstate=error.sqlstate
                    )
                else:
                    not_held |= passed_over
                    for result, count in counts.items():
                        total[result] = total.get(result, 0) + count
                    break
            else:
                # Not acknowledged: the broker keeps it.
                refused.append(message)
        return total, not_held, refused

    def _acknowledge(self, batch: list[Incoming]) -> None:
        packets: dict[tuple[Origin, int], list[tuple[int, int]]] = {}
        for message in batch:
            if message.qos:
                packets.setdefault((message.link, message.generation), []).append((message.packet_id, message.qos))
        for (link, generation), acks in packets.items():
            link.acknowledge(generation, acks)


def _is_fault_of_message(error: psycopg.Error) -> bool:
    """Whether it says that a message cannot be stored. No message is the cause of anything else (read-only, no right, no function)."""
    return error.sqlstate is not None and error.sqlstate[:2] in ("22", "23", "54")
