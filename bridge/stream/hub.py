"""What all connections of a process share: one reader of what is settled, and who gets it.

Each organization with viewers has a feed, the position up to which it has been read for all of them. A subscription begins, or goes on
after its reader was too slow, by reading from its own position until that has reached the feed's; then it follows the feed.
"""

import asyncio
import contextlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any, Protocol
from uuid import UUID, uuid4

import psycopg

from bridge import log
from bridge.shares import fair_share
from bridge.stream.database import Connection, Database, Position, Row, Start, connect
from bridge.stream.login import Login, RefusedError

MOST_CONNECTIONS = 10_000
MOST_CONNECTIONS_OF_A_USER = 200
MOST_SUBSCRIPTIONS_OF_A_CONNECTION = 100
MOST_MESSAGES = 1000  # of an organization and direction in one reading for all
PAGE = 200  # for one subscription
MOST_IGNORED = 10_000
POLL_SECONDS = 1.0
MEMBERS_SECONDS = 0.4
PAUSE_SECONDS = 0.002
RETRY_SECONDS = 0.5

STREAMS = ("messages", "readings")
_TYPES = {"messages": "message", "readings": "readings"}


class Sink(Protocol):
    """A connection, as its subscriptions see it."""

    def send(self, subscription: "Subscription", event: str, cursor: str | None, body: str, row: Row | None = None) -> bool:
        """Takes an event to be sent; false where a message finds the buffer full."""

    async def has_room(self) -> None:
        """Waits until half of the buffer is free."""


class Subscription:
    def __init__(self, sink: Sink, name: str, stream: str, login: Login, metrics: list[str] | None) -> None:
        self.sink, self.name, self.stream, self.login, self.metrics = sink, name, stream, login, metrics
        self.cursors: dict[int, str] = {}
        self.positions: dict[int, Position] = {}  # where the feed's is not its own
        self.pattern: str | None = None
        self.device: UUID | None = None
        self.reader: asyncio.Task[None] | None = None
        self.is_ended = False

    @property
    def cursor(self) -> str:
        return ".".join(self.cursors.values())

    def begin(self, starts: list[Start]) -> None:
        for start in starts:
            self.cursors[start.organization] = start.cursor
            self.positions[start.organization] = start.position
            self.pattern, self.device = start.topic_pattern, start.device

    def offer(self, row: Row) -> bool:
        """Send what a row has for this subscription; false if there is no room."""
        if row.cursor is None or (self.stream == "readings" and row.readings is None):
            return True
        if len(self.cursors) > 1:
            before = self.cursors[row.organization]
            self.cursors[row.organization] = row.cursor
            if self._send(row, self.cursor):
                return True
            self.cursors[row.organization] = before
            return False
        if self._send(row, row.cursor):
            self.cursors[row.organization] = row.cursor
            return True
        return False

    def _send(self, row: Row, cursor: str) -> bool:
        if self.stream == "messages":
            return self.sink.send(self, "message", cursor, row.message or "", row)
        bodies = [body for reading in json.loads(row.readings or "[]") if (body := self._named(reading)) is not None]
        # All or none: they have one cursor.
        return not bodies or self.sink.send(self, _TYPES[self.stream], cursor, "\n".join(bodies))

    def _named(self, reading: dict[str, Any]) -> str | None:
        if self.metrics is not None:
            metrics = {
                name: value
                for name, value in reading["metrics"].items()
                if any(name == metric or name.startswith(f"{metric}.") for metric in self.metrics)
            }
            if not metrics:
                return None
            reading = {**reading, "metrics": metrics}
        return json.dumps(reading, ensure_ascii=False, separators=(",", ":"))

    def gap(self, reason: str, *, is_lost: bool) -> None:
        self.sink.send(self, "gap", self.cursor, json.dumps({"reason": reason, "lost": is_lost}))

    def fail(self, error: RefusedError) -> None:
        self.sink.send(
            self, "error", None, json.dumps({"code": error.slug, "detail": error.detail, "hint": error.hint}, ensure_ascii=False)
        )


class Channel:
    """An organization, a topic filter and a device: its subscriptions are matched as one."""

    def __init__(self, number: int, key: tuple[int, str | None, UUID | None]) -> None:
        self.number, self.key = number, key
        self.members: set[Subscription] = set()  # all of them
        self.live: set[Subscription] = set()  # those that follow the feed


class Hub:
    def __init__(self, database: Database, name: str) -> None:
        self._database, self._name = database, name
        self._process_id = uuid4()
        self._feeds: dict[int, Position] = {}
        self._channels: dict[tuple[int, str | None, UUID | None], Channel] = {}
        self._by_number: dict[int, Channel] = {}
        self._next_channel = 0
        self._routes: dict[int, dict[int, list[int]]] = defaultdict(dict)
        self._subscriptions: set[Subscription] = set()
        self._by_sink: dict[Sink, set[Subscription]] = defaultdict(set)
        self._connections: dict[Sink, tuple[str, frozenset[int]]] = {}  # user and organizations
        self._users: Counter[str] = Counter()
        self._of: Counter[int] = Counter()
        self._woken = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._watching = asyncio.Lock()
        self.is_ready = False
        self.delivered = 0

    # -------------------------------------------------------------------------------------------------- connections

    def admit(self, sink: Sink, login: Login, organizations: Iterable[int]) -> None:
        """Count a connection, once its organizations are known. Raises RefusedError (429)."""
        user, mine = login.user or login.role, frozenset(organizations)
        before = self._connections.pop(sink, None)
        self._count(before, -1)
        free = MOST_CONNECTIONS - len(self._connections) - 1
        is_admitted = (login.user is None or self._users[user] < MOST_CONNECTIONS_OF_A_USER) and all(
            fair_share(self._of[number] + 1, free) for number in mine
        )
        kept = (user, mine) if is_admitted else before
        if kept is not None:
            self._connections[sink] = kept
            self._count(kept, 1)
        if not is_admitted:
            raise RefusedError(
                429, "stream_limit_reached", "You, or your organization, have as many connections as they may.", "Close some, or share one."
            )

    def _count(self, connection: tuple[str, frozenset[int]] | None, step: int) -> None:
        if connection is not None:
            self._users[connection[0]] += step
            for number in connection[1]:
                self._of[number] += step

    def leave(self, sink: Sink) -> None:
        self._count(self._connections.pop(sink, None), -1)
        for subscription in self._by_sink.pop(sink, []):
            self.end(subscription)

    # ------------------------------------------------------------------------------------------------ subscriptions

    async def subscribe(self, subscription: Subscription, starts: list[Start]) -> None:
        """Begin to send, after what `starts` says; the caller has said that it does."""
        subscription.begin(starts)
        self._subscriptions.add(subscription)
        self._by_sink[subscription.sink].add(subscription)
        missing = False
        for start in starts:
            channel = self._channel((start.organization, start.topic_pattern, start.device))
            channel.members.add(subscription)
            missing = missing or start.organization not in self._feeds
        if any(start.is_gap for start in starts):
            subscription.gap("history_removed", is_lost=True)
        if missing:
            await self._watch()
        self._read(subscription)

    def end(self, subscription: Subscription) -> None:
        subscription.is_ended = True
        self._subscriptions.discard(subscription)
        if subscription.sink in self._by_sink:
            self._by_sink[subscription.sink].discard(subscription)
        if subscription.reader is not None:
            subscription.reader.cancel()
        for organization in subscription.cursors:
            key = (organization, subscription.pattern, subscription.device)
            channel = self._channels.get(key)
            if channel is not None:
                channel.members.discard(subscription)
                channel.live.discard(subscription)
                if not channel.members:
                    del self._channels[key], self._by_number[channel.number]
                    self._routes.pop(organization, None)

    def _channel(self, key: tuple[int, str | None, UUID | None]) -> Channel:
        if key not in self._channels:
            self._next_channel += 1
            self._channels[key] = self._by_number[self._next_channel] = Channel(self._next_channel, key)
            # Topics that went nowhere may go here.
            self._routes.pop(key[0], None)
        return self._channels[key]

    def _read(self, subscription: Subscription) -> None:
        if subscription.reader is None or subscription.reader.done():
            subscription.reader = asyncio.create_task(self._catch_up(subscription))

    async def _catch_up(self, subscription: Subscription) -> None:
        while not subscription.is_ended:
            waiting = [
                organization
                for organization in subscription.cursors
                if subscription not in self._channel((organization, subscription.pattern, subscription.device)).live
            ]
            if not waiting:
                return
            for organization in waiting:
                try:
                    await self._catch_up_with(subscription, organization)
                except (psycopg.Error, OSError) as error:
                    log.warning("stream_not_resumed", error=str(error).split("\n", maxsplit=1)[0])
                    await asyncio.sleep(RETRY_SECONDS)
                except RefusedError as error:
                    self._subscriptions.discard(subscription)
                    subscription.fail(error)
                    return

    async def _catch_up_with(self, subscription: Subscription, organization: int) -> None:
        channel = self._channel((organization, subscription.pattern, subscription.device))
        is_told = False
        while not subscription.is_ended:
            await self._idle.wait()
            feed = self._feeds.get(organization)
            if feed is not None and subscription.positions[organization].covers(feed):
                channel.live.add(subscription)
                return
            await subscription.sink.has_room()
            rows = await self._database.messages(
                {organization: subscription.positions[organization]},
                PAGE,
                pattern=subscription.pattern,
                device=subscription.device,
                has_readings=subscription.stream == "readings",
            )
            for row in rows:
                if row.is_missing and not is_told:
                    is_told = True
                    subscription.gap("history_removed", is_lost=True)
                while not subscription.offer(row):
                    await subscription.sink.has_room()
                subscription.positions[organization] = row.position
            if not rows and feed is None:
                await self._watch()

    # ----------------------------------------------------------------------------------------------------- the feed

    async def _watch(self) -> None:
        """Say which organizations have viewers, and begin the feeds that are missing."""
        async with self._watching:
            wanted = {key[0] for key in self._channels}
            for organization in set(self._feeds) - wanted:
                del self._feeds[organization]
                self._routes.pop(organization, None)
            heads = await self._database.watch(self._process_id, wanted)
            for organization, head in heads.items():
                self._feeds.setdefault(organization, head)

    async def follow(self) -> None:
        """Read what is settled for all subscriptions, for ever."""
        while True:
            try:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), POLL_SECONDS)
                self._woken.clear()
                if self._feeds:
                    self._idle.clear()
                    await self._tick()
            except (psycopg.Error, OSError, RefusedError) as error:
                log.warning("stream_not_read", error=str(error).split("\n", maxsplit=1)[0])
                await asyncio.sleep(RETRY_SECONDS)
            finally:
                self._idle.set()
            await asyncio.sleep(PAUSE_SECONDS)

    async def _tick(self) -> None:
        ignored = [topic for routes in self._routes.values() for topic, numbers in routes.items() if not numbers]
        rows = await self._database.messages(
            self._feeds,
            MOST_MESSAGES,
            ignored=ignored if len(ignored) <= MOST_IGNORED else (),
            has_readings=any(subscription.stream == "readings" for subscription in self._subscriptions),
        )
        await self._route(rows)
        told: set[tuple[int, int]] = set()
        for row in rows:
            if row.organization in self._feeds:
                self._deliver(row, told)
                self._feeds[row.organization] = row.position
        if len(rows) >= MOST_MESSAGES:
            self._woken.set()

    async def _route(self, rows: list[Row]) -> None:
        while missing := {
            (row.organization, row.topic) for row in rows if row.topic is not None and row.topic not in self._routes[row.organization]
        }:
            organizations = {organization for organization, _ in missing}
            channels = [(channel.number, *channel.key) for channel in self._channels.values() if channel.key[0] in organizations]
            tables = {organization: self._routes[organization] for organization in organizations}
            found = await self._database.routes({topic for _, topic in missing}, channels) if channels else {}
            for organization, topic in missing:
                # Into the table as it was before the wait: a channel that came meanwhile has begun another.
                tables[organization][topic] = found.get(topic, [])

    def _deliver(self, row: Row, told: set[tuple[int, int]]) -> None:
        if row.is_missing:
            for channel in self._channels.values():
                for subscription in channel.live if channel.key[0] == row.organization else ():
                    if (row.organization, id(subscription)) not in told:
                        told.add((row.organization, id(subscription)))
                        subscription.gap("history_removed", is_lost=True)
        if row.topic is None:
            return
        for number in self._routes[row.organization].get(row.topic, ()):
            channel_of = self._by_number.get(number)
            for subscription in list(channel_of.live) if channel_of is not None else ():
                position = subscription.positions.get(row.organization)
                if position is not None and not position.is_before(row.is_outgoing, row.position):
                    continue
                if subscription.offer(row):
                    self.delivered += 1
                else:
                    self._fall_behind(subscription, row.organization)

    def _fall_behind(self, subscription: Subscription, organization: int) -> None:
        """Its reader is too slow for the feed: what follows is read from the history, as fast as it takes it."""
        self._channel((organization, subscription.pattern, subscription.device)).live.discard(subscription)
        subscription.positions[organization] = self._feeds[organization].later(subscription.positions[organization])
        subscription.gap("slow_reader", is_lost=False)
        self._read(subscription)

    # --------------------------------------------------------------------------------------------------- membership

    async def check_members(self) -> None:
        """End the subscriptions of users who no longer belong to their organizations, for ever."""
        while True:
            await asyncio.sleep(MEMBERS_SECONDS)
            try:
                await self._check_members()
                if set(self._feeds) - {key[0] for key in self._channels}:
                    await self._watch()
            except (psycopg.Error, OSError, RefusedError) as error:
                log.warning("stream_members_unknown", error=str(error).split("\n", maxsplit=1)[0])

    async def _check_members(self) -> None:
        checked = [subscription for subscription in self._subscriptions if subscription.login.role != "service_role"]
        if not checked:
            return
        members = await self._database.members({subscription.login.user for subscription in checked if subscription.login.user is not None})
        for subscription in checked:
            if not all((subscription.login.user, organization) in members for organization in subscription.cursors):
                self.end(subscription)
                subscription.fail(
                    RefusedError(
                        403, "membership_ended", "You no longer belong to an organization of this subscription.", "Subscribe again."
                    )
                )

    # ----------------------------------------------------------------------------------------------------- wake-up

    async def listen(self) -> None:
        """Be woken by batches, on a connection that also shows others that this process lives, for ever."""
        while True:
            try:
                connection = await connect(self._name)
                async with connection:
                    await self._listen(connection)
            except (psycopg.Error, OSError) as error:
                self.is_ready = False
                log.warning("stream_not_woken", error=str(error).split("\n", maxsplit=1)[0])
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self, connection: Connection) -> None:
        await connection.execute("SELECT mqtt.begin_stream(%s)", (self._process_id,))
        await connection.execute("LISTEN topicbase_stream")
        # The database may have started anew, and forgotten who watches.
        await self._watch()
        self.is_ready = True
        self._woken.set()
        async for _ in connection.notifies():
            self._woken.set()
