"""Presence, integrations, statistics and receipts: one look for all viewers of a process, and what each of them has not been sent yet.

Nothing is written for them, and nobody is told: the database is asked while somebody watches, less often where that takes long.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import psycopg

from bridge import log
from bridge.stream.database import Database, Receipt, State, StateStart
from bridge.stream.login import Login, RefusedError
from bridge.stream.metrics import Counts
from bridge.stream.subscriptions import Sink, Subscription

PERIODS = {"presence": 0.5, "integrations": 0.5, "statistics": 2.0, "receipts": 0.2}
SHARE = 20  # of the time that a look took, before the next
MOST_PAUSE = 10.0
RETRY_SECONDS = 0.5
MOST_OWED = 10_000  # receipts
MOST_RECEIPTS = 1000  # in a reading
MOST_RECENT = 20_000
LONGEST_SETTLING = timedelta(minutes=1)

Key = tuple[int, UUID | None]


class Item(NamedTuple):
    id: UUID | None
    integration: UUID | None
    body: str


class Watch(Subscription):
    """A subscription to states. Of what its reader is too slow for, only the newest is sent."""

    def __init__(self, sink: Sink, name: str, stream: str, login: Login, starts: list[StateStart], counts: Counts) -> None:
        super().__init__(sink, name, stream, login)
        self.starts = {start.organization: start for start in starts}
        self.cursors = dict.fromkeys(self.starts, "")
        self.device = starts[0].device
        self.topic_filter = starts[0].topic_filter
        self._integrations = None if starts[0].integrations is None else frozenset(starts[0].integrations)
        self._counts = counts
        self._owed: dict[Key | None, str] = {}  # null: that all that there was has been sent
        self._filled = asyncio.Event()
        self.is_current = False

    @property
    def cursor(self) -> str | None:
        return (super().cursor or None) if self.stream == "receipts" and all(self.cursors.values()) else None

    @property
    def stands_at_once(self) -> bool:
        """The others begin with all that there is; of receipts, what is settled before the first reading has gone by."""
        return self.stream != "receipts"

    def owe(self, organization: int, items: Iterable[Item]) -> None:
        if organization not in self.cursors:
            return
        for item in items:
            if self._integrations is not None and item.integration not in self._integrations:
                continue
            if self.device is None or item.id == self.device:
                self._owed[organization, item.id] = item.body
        if self.stream == "receipts" and len(self._owed) > MOST_OWED:
            self._owed.clear()
            self._counts.gaps["slow_reader"] += 1
            self.gap("slow_reader", is_lost=True)
        self._filled.set()

    def advance(self, cursors: Mapping[int, str]) -> None:
        """What comes now can be resumed from there, unless something from before is waiting."""
        if not self._owed:
            self.cursors.update({number: cursors[number] for number in self.cursors if number in cursors})

    def become_current(self) -> None:
        self.is_current = True
        self._owed[None] = "{}"
        self._filled.set()

    async def work(self) -> None:
        """Send what is owed, for ever."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._owed:
                key = next(iter(self._owed))
                if self.sink.send(self, "current" if key is None else self.stream, self.cursor, self._owed[key]):
                    del self._owed[key]
                    self._counts.deliveries[self.stream] += key is not None
                else:
                    await self.sink.has_room()


def _differences(before: Mapping[UUID, Item], now: Mapping[UUID, Item]) -> list[Item]:
    gone = [Item(id_, item.integration, json.dumps({"id": str(id_), "deleted": True})) for id_, item in before.items() if id_ not in now]
    return gone + [item for id_, item in now.items() if id_ not in before or before[id_].body != item.body]


class Table:
    """The rows of a table: what is known of each organization that is watched, and what of it has changed."""

    def __init__(self, read: Callable[[Mapping[int, str | None]], Awaitable[list[State]]]) -> None:
        self._read = read
        self._known: dict[int, dict[UUID, Item]] = {}
        self._seen: dict[int, str] = {}

    def forget(self) -> None:
        self._seen.clear()

    def show(self, watch: Watch) -> bool:
        """What is known, at once, if all that it watches is."""
        if not all(number in self._known for number in watch.cursors):
            return False
        for number in watch.cursors:
            watch.owe(number, self._known[number].values())
        watch.become_current()
        return True

    async def look(self, watches: Collection[Watch]) -> None:
        watched = {number for watch in watches for number in watch.cursors}
        for number in set(self._known) - watched:
            self._known.pop(number)
            self._seen.pop(number, None)
        changes, counts = await self._changes({number: self._seen.get(number) for number in watched})
        # Some were deleted, and perhaps others inserted.
        uneven = [number for number, count in counts.items() if len(self._known[number]) != count]
        if uneven:
            before = {number: self._known.pop(number) for number in uneven}
            await self._changes(dict.fromkeys(uneven))
            for number in uneven:
                changes[number] += _differences(before[number], self._known[number])
        # Those, too, that came meanwhile, and were shown what was known before.
        for watch in list(watches):
            if watch.is_current:
                for number, items in changes.items():
                    watch.owe(number, items)
            else:
                self.show(watch)

    async def _changes(self, seen: Mapping[int, str | None]) -> tuple[dict[int, list[Item]], dict[int, int]]:
        changes: dict[int, list[Item]] = {number: [] for number in seen}
        counts: dict[int, int] = {}
        for row in await self._read(seen):
            known = self._known.setdefault(row.organization, {})
            if row.id is None:
                counts[row.organization] = row.row_count
                self._seen[row.organization] = row.snapshot
            elif row.id not in known or known[row.id].body != row.body:
                known[row.id] = Item(row.id, row.integration, row.body)
                changes[row.organization].append(known[row.id])
        return changes, counts


class Statistics:
    """What is counted, again and again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def forget(self) -> None:
        pass

    def show(self, _: Watch) -> bool:
        return False

    async def look(self, watches: Collection[Watch]) -> None:
        asked = list(watches)
        found = await self._database.statistics({number for watch in asked for number in watch.cursors})
        for watch in [watch for watch in asked if not watch.is_ended]:
            for number in watch.cursors:
                if number in found:
                    watch.owe(number, [Item(None, None, found[number])])
            if not watch.is_current:
                watch.become_current()


class Receipts:
    """Receipts as they are settled.

    What one look did not see yet was written by transactions that began after the newest look before which all had ended that this one
    still saw running: so far back, and no further, the next one reads.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looks: deque[tuple[datetime, int]] = deque(maxlen=1000)  # when, and the first transaction that had not begun
        self._since: datetime | None = None
        self._seen: str | None = None
        self._recent: dict[Key, str] = {}

    def forget(self) -> None:
        """Transactions count from elsewhere, perhaps; what was settled since the last look is told all the same."""
        self._looks.clear()
        self._seen = None

    def show(self, _: Watch) -> bool:
        return False

    async def look(self, watches: Collection[Watch]) -> None:
        asked = list(watches)
        numbers = {number for watch in asked for number in watch.cursors}
        filters = sorted({watch.topic_filter for watch in asked if watch.topic_filter is not None})
        rows = await self._read_all(dict.fromkeys(numbers, self._since), self._seen, filters)
        cursors = {row.organization: row.cursor for row in rows if row.id is None}
        changed = [row for row in rows if row.id is not None and self._recent.get((row.organization, row.id)) != row.body]
        for row in changed:
            self._recent[row.organization, row.id] = row.body
        while len(self._recent) > MOST_RECENT:
            del self._recent[next(iter(self._recent))]
        for watch in asked:
            if watch.is_current and not watch.is_ended:
                watch.advance(cursors)
                self._owe(watch, changed, filters)
        self._advance(rows)
        for watch in asked:
            if not watch.is_current and not watch.is_ended:
                await self._begin(watch)

    def _owe(self, watch: Watch, rows: list[Receipt], filters: list[str]) -> None:
        place = None if watch.topic_filter is None else filters.index(watch.topic_filter) + 1
        for row in rows:
            if place is None or place in (row.matched or ()):
                watch.owe(row.organization, [Item(row.id, row.integration, row.body)])

    async def _begin(self, watch: Watch) -> None:
        filters = [] if watch.topic_filter is None else [watch.topic_filter]
        rows = await self._read_all({number: start.since for number, start in watch.starts.items()}, None, filters)
        watch.stand()
        if any(start.is_gap for start in watch.starts.values()):
            watch.gap("history_removed", is_lost=True)
        watch.advance({row.organization: row.cursor for row in rows if row.id is None})
        self._owe(watch, [row for row in rows if row.id is not None], filters)
        watch.become_current()

    async def _read_all(self, since: Mapping[int, datetime | None], seen: str | None, filters: list[str]) -> list[Receipt]:
        """All of it, page by page; of the rows without id those of the first page, before which nothing is missing."""
        found: list[Receipt] = []
        while True:
            page = await self._database.receipts(since, seen, filters, MOST_RECEIPTS)
            found += page if not found else [row for row in page if row.id is not None]
            settled = [row.settled_at for row in page if row.settled_at is not None]
            if len(settled) < MOST_RECEIPTS:
                return found
            since = {number: None if at is None else max(at, settled[-1]) for number, at in since.items()}

    def _advance(self, rows: list[Receipt]) -> None:
        last = next((row for row in rows if row.id is None), None)
        if last is None:
            return
        self._looks.append((last.at, int(last.next_xid)))
        oldest = int(last.snapshot_xmin)
        ended = [at for at, first in self._looks if first <= oldest]
        self._since = max(ended[-1] if ended else last.at - LONGEST_SETTLING, last.at - LONGEST_SETTLING)
        self._seen = last.snapshot_xmin


class States:
    def __init__(self, database: Database, counts: Counts) -> None:
        self.counts = counts
        self._sources: dict[str, Table | Statistics | Receipts] = {
            "presence": Table(database.presence),
            "integrations": Table(database.integrations),
            "statistics": Statistics(database),
            "receipts": Receipts(database),
        }
        self._watches: dict[str, dict[Watch, None]] = {stream: {} for stream in self._sources}
        self._woken = {stream: asyncio.Event() for stream in self._sources}

    def begin(self, watch: Watch) -> None:
        watches = self._watches[watch.stream]
        watches[watch] = None
        watch.reader = asyncio.create_task(watch.work())
        # What the first one is shown may be of long ago, and nobody looks any more.
        if not self._sources[watch.stream].show(watch) or len(watches) == 1:
            self._woken[watch.stream].set()

    def end(self, watch: Watch) -> None:
        self._watches[watch.stream].pop(watch, None)

    def forget(self) -> None:
        """The database may be another, whose transactions count from elsewhere."""
        for source in self._sources.values():
            source.forget()

    async def follow(self) -> None:
        async with asyncio.TaskGroup() as group:
            for stream in self._sources:
                group.create_task(self._follow(stream))

    async def _follow(self, stream: str) -> None:
        source, watches, woken = self._sources[stream], self._watches[stream], self._woken[stream]
        while True:
            if not watches:
                await woken.wait()
            else:
                try:
                    async with asyncio.timeout(PERIODS[stream]):
                        await woken.wait()
                except TimeoutError:
                    pass
            woken.clear()
            began = time.monotonic()
            try:
                await source.look(watches.keys())
            except (psycopg.Error, OSError, RefusedError) as error:
                source.forget()
                log.warning("stream_states_unknown", stream=stream, error=str(error).split("\n", maxsplit=1)[0])
                await asyncio.sleep(RETRY_SECONDS)
            else:
                await asyncio.sleep(min(MOST_PAUSE, SHARE * (time.monotonic() - began)))
