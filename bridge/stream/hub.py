"""What all connections of a process share: one reader of what is settled, and who gets it.

Each organization with viewers has a feed, the position up to which it has been read for all of them. A subscription begins, or goes on
after its reader was too slow, by reading from its own position until that has reached the feed's; then it follows the feed. Where all
are too slow, there is no feed until one of them has read the history to its end.
"""

import asyncio
import contextlib
import time
from collections import defaultdict, deque
from collections.abc import Iterable
from uuid import uuid4

import psycopg

from bridge import log
from bridge.stream.admission import Admission
from bridge.stream.database import Connection, Database, Position, Row, Start, connect
from bridge.stream.login import RefusedError
from bridge.stream.metrics import Counts
from bridge.stream.states import States, Watch
from bridge.stream.subscriptions import Channel, ChannelKey, Follower, Sink, Subscription

MOST_SUBSCRIPTIONS_OF_A_CONNECTION = 100
# Of an organization and direction in one reading for all; fewer while others have any, who wait for it.
MOST_MESSAGES, MOST_SHARED_MESSAGES = 1000, 100
PAGE = 200  # for one subscription; the database reads fewer that are large
# Rows times viewers of one organization, before the others have their turns; fewer while others have any.
MOST_DELIVERIES, MOST_SHARED_DELIVERIES = 20_000, 500
SHARED_SECONDS = 5.0
MOST_IGNORED = 10_000
# Topics times channels that are matched at once; of an organization one topic at least.
MOST_MATCHES = 5000
MOST_CHANNELS = 10_000  # of an organization: one topic is matched with all of them at once
MOST_CATCHING_UP = 2  # readings of an organization's history at once
POLL_SECONDS = 1.0
UNWATCH_SECONDS = 0.4
PAUSE_SECONDS = 0.002
RETRY_SECONDS = 0.5


class Hub:
    def __init__(self, database: Database, name: str) -> None:
        self._database, self._name = database, name
        self._feed_database = Database(name, 1)  # so that the feed never waits for those who catch up
        self._history_database = Database(name)  # nor who comes, or is to be told that a membership has ended
        self._catching_up: dict[int, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(MOST_CATCHING_UP))
        self.process_id = uuid4()
        self.admission = Admission(database, self.process_id)
        self.counts = Counts()
        self.states = States(Database(name), self.counts)
        self._watched: set[int] = set()  # organizations, as the database knows them
        self._feeds: dict[int, Position] = {}
        self._waiting: dict[int, deque[Row]] = {}  # of organizations, read and not sent yet
        self._fewer: dict[int, int] = {}  # of organizations, as many as the database read of their large messages
        self._told: dict[int, set[int]] = {}  # which subscriptions of an organization know of what is missing in these
        self._slow: set[int] = set()  # organizations of which a reader may be too slow
        self._shared_until = 0.0  # since several organizations had messages; time.monotonic()
        self._channels: dict[ChannelKey, Channel] = {}
        self._by_number: dict[int, Channel] = {}
        self._channels_of: dict[int, dict[int, Channel]] = defaultdict(dict)  # of an organization, by their numbers
        self._next_channel = 0
        self._routes: dict[int, dict[int, list[int]]] = defaultdict(dict)
        self._subscriptions: set[Subscription] = set()
        self._by_sink: dict[Sink, set[Subscription]] = defaultdict(set)
        self._woken = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._watching = asyncio.Lock()
        self.is_ready = False

    def leave(self, sink: Sink) -> None:
        self.admission.leave(sink)
        for subscription in self._by_sink.pop(sink, []):
            self.end(subscription)

    def subscriptions(self) -> list[Subscription]:
        return list(self._subscriptions)

    # ------------------------------------------------------------------------------------------------ subscriptions

    def watch(self, watch: Watch) -> None:
        """Begin to send states."""
        self._add(watch)
        self.states.begin(watch)

    def check(self, subscription: Follower) -> None:
        """Raises RefusedError (429) where an organization would have too many filters."""
        for organization in subscription.cursors:
            if (
                len(self._channels_of.get(organization, ())) >= MOST_CHANNELS
                and subscription.channel_of(organization) not in self._channels
            ):
                raise RefusedError(
                    429,
                    "stream_limit_reached",
                    f"Your organization has {MOST_CHANNELS:,} different filters here.",
                    "Use wildcards, or end some.",
                )

    def _add(self, subscription: Subscription) -> None:
        self._subscriptions.add(subscription)
        self._by_sink[subscription.sink].add(subscription)

    async def subscribe(self, subscription: Follower, starts: list[Start]) -> None:
        """Begin to send, after what `starts` says; the caller has said that it does."""
        self._add(subscription)
        missing = False
        for start in starts:
            channel = self._channel(subscription.channel_of(start.organization))
            channel.members.add(subscription)
            missing = missing or start.organization not in self._feeds
        if any(start.is_gap for start in starts):
            self._gap(subscription, "history_removed", is_lost=True)
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
        if isinstance(subscription, Watch):
            self.states.end(subscription)
        if not isinstance(subscription, Follower):
            return
        for organization in subscription.cursors:
            key = subscription.channel_of(organization)
            channel = self._channels.get(key)
            if channel is not None:
                channel.members.discard(subscription)
                channel.live.discard(subscription)
                if not channel.members:
                    del self._channels[key], self._by_number[channel.number], self._channels_of[organization][channel.number]
                    self._routes.pop(organization, None)
                    if not self._channels_of[organization]:
                        del self._channels_of[organization]

    def _gap(self, subscription: Subscription, reason: str, *, is_lost: bool) -> None:
        self.counts.gaps[reason] += 1
        subscription.gap(reason, is_lost=is_lost)

    def _channel(self, key: ChannelKey) -> Channel:
        if key not in self._channels:
            self._next_channel += 1
            channel = Channel(self._next_channel, key)
            self._channels[key] = self._by_number[channel.number] = self._channels_of[key[0]][channel.number] = channel
            # Topics that went nowhere may go here.
            self._routes.pop(key[0], None)
        return self._channels[key]

    def _read(self, subscription: Follower) -> None:
        if subscription.reader is None or subscription.reader.done():
            subscription.reader = asyncio.create_task(self._catch_up(subscription))

    async def _catch_up(self, subscription: Follower) -> None:
        while not subscription.is_ended:
            waiting = [
                organization
                for organization in subscription.cursors
                if subscription not in self._channel(subscription.channel_of(organization)).live
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

    async def _catch_up_with(self, subscription: Follower, organization: int) -> None:
        channel = self._channel(subscription.channel_of(organization))
        is_told, page = False, PAGE
        while not subscription.is_ended:
            await self._idle.wait()
            feed = self._feeds.get(organization)
            if feed is not None and subscription.positions[organization].covers(feed):
                channel.live.add(subscription)
                return
            self._slow.add(organization)
            await subscription.has_room()
            async with self._catching_up[organization]:
                rows = await self._history_database.messages(
                    {organization: subscription.positions[organization]},
                    page,
                    topic_filter=subscription.topic_filter,
                    device=subscription.device,
                    integrations=subscription.integrations,
                    has_readings=subscription.stream == "readings",
                )
            page = min((row.read_count for row in rows if row.read_count is not None), default=min(2 * page, PAGE))
            for row in rows:
                if row.is_missing and not is_told:
                    is_told = True
                    self._gap(subscription, "history_removed", is_lost=True)
                while not subscription.offer(row):
                    await subscription.has_room()
                self.counts.deliveries[subscription.stream] += 1
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
                self._waiting.pop(organization, None)
                self._told.pop(organization, None)
                self._fewer.pop(organization, None)
                self._routes.pop(organization, None)
            heads = await self._database.watch(self.process_id, wanted)
            self._watched = wanted
            for organization, head in heads.items():
                self._feeds.setdefault(organization, head)

    def _rest(self) -> None:
        """End the feeds that nobody follows, because all readers are too slow: they read from the history, and begin it again."""
        channels: dict[int, list[Channel]] = {organization: [] for organization in self._slow}
        for key, channel in self._channels.items() if self._slow else ():
            if key[0] in channels:
                channels[key[0]].append(channel)
        for organization, its in channels.items():
            if any(channel.live for channel in its):
                self._slow.discard(organization)
            elif all(subscription.is_blocked for channel in its for subscription in channel.members):
                self._slow.discard(organization)
                for table in (self._feeds, self._waiting, self._told, self._fewer):
                    table.pop(organization, None)

    async def follow(self) -> None:
        """Read what is settled for all subscriptions, for ever."""
        while True:
            try:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), POLL_SECONDS)
                self._woken.clear()
                self._rest()
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
        rows: list[Row] = []
        has_more = False
        for most, feeds in self._readings().items():
            found = await self._feed_database.messages(
                feeds,
                most,
                ignored=ignored if len(ignored) <= MOST_IGNORED else (),
                has_readings=any(subscription.stream == "readings" for subscription in self._subscriptions),
            )
            has_more = self._reckon(feeds, most, found) or has_more
            rows += found
        for row in rows:
            if row.organization in self._feeds:
                self._waiting.setdefault(row.organization, deque()).append(row)
            if row.lag is not None:
                self.counts.lag.observe(row.lag)
        # What was read before may go elsewhere now.
        await self._route(self._waiting)
        now = time.monotonic()
        if len(self._waiting) > 1:
            self._shared_until = now + SHARED_SECONDS
        deliveries = MOST_SHARED_DELIVERIES if now < self._shared_until else MOST_DELIVERIES
        # Who has few first, on their way before the next one's turn.
        for organization in sorted(self._waiting, key=lambda each: len(self._waiting[each])):
            # What waits may go elsewhere since a channel came.
            await self._route([organization])
            if organization in self._waiting:
                self._deliver_turn(organization, deliveries)
            await asyncio.sleep(0)
        if self._waiting or has_more:
            self._woken.set()

    def _readings(self) -> dict[int, dict[int, Position]]:
        """The feeds to read, by how many messages of each."""
        most = MOST_SHARED_MESSAGES if time.monotonic() < self._shared_until else MOST_MESSAGES
        readings: dict[int, dict[int, Position]] = defaultdict(dict)
        for organization, feed in self._feeds.items():
            if organization not in self._waiting:
                readings[min(most, self._fewer.get(organization, most))][organization] = feed
        return readings

    def _reckon(self, feeds: Iterable[int], most: int, rows: list[Row]) -> bool:
        """Whether there may be more to read. Next time no more is asked for than was read, as the database looks at all of that."""
        for organization in feeds:
            if (fewer := self._fewer.pop(organization, MOST_MESSAGES)) < MOST_MESSAGES:
                self._fewer[organization] = 2 * fewer
        counts = {row.organization: row.read_count for row in rows if row.read_count is not None}
        self._fewer.update(counts)
        return bool(counts) or len(rows) >= most

    def _deliver_turn(self, organization: int, most: int) -> None:
        """Send what waits of an organization, a row at least; the rest when the others have had their turns."""
        waiting, told = self._waiting[organization], self._told.setdefault(organization, set())
        routes = self._routes[organization]
        while waiting and most > 0 and (waiting[0].topic is None or waiting[0].topic in routes):
            row = waiting.popleft()
            most -= 1 + self._deliver(row, told)
            self._feeds[organization] = row.position
        if not waiting:
            del self._waiting[organization], self._told[organization]

    async def _route(self, organizations: Iterable[int]) -> None:
        """Look up where what waits of organizations goes: as much as is soon matched, those with few channels first. The rest waits on."""
        chosen: dict[int, list[int]] = {}
        left = MOST_MATCHES
        for organization in sorted(organizations, key=lambda each: len(self._channels_of.get(each, ()))):
            width = max(1, len(self._channels_of.get(organization, ())))
            if chosen and width > left:
                break
            if topics := self._unrouted(organization)[: max(1, left // width)]:
                chosen[organization] = topics
                left -= width * len(topics)
        if not chosen:
            return
        tables = {organization: self._routes[organization] for organization in chosen}
        channels = [
            (number, *channel.key) for organization in chosen for number, channel in self._channels_of.get(organization, {}).items()
        ]
        found = await self._feed_database.routes({topic for its in chosen.values() for topic in its}, channels) if channels else {}
        for organization, its in chosen.items():
            # Into the table as it was before the wait: a channel that came meanwhile has begun another.
            tables[organization].update((topic, found.get(topic, [])) for topic in its)

    def _unrouted(self, organization: int) -> list[int]:
        """Topics of what waits of which it is not known where they go, in their order."""
        routes = self._routes[organization]
        waiting = self._waiting.get(organization, ())
        return list(dict.fromkeys(row.topic for row in waiting if row.topic is not None and row.topic not in routes))

    def _deliver(self, row: Row, told: set[int]) -> int:
        """How many were offered it."""
        count = 0
        if row.is_missing:
            for channel in self._channels.values():
                for subscription in channel.live if channel.key[0] == row.organization else ():
                    if id(subscription) not in told:
                        told.add(id(subscription))
                        self._gap(subscription, "history_removed", is_lost=True)
        if row.topic is None:
            return count
        for number in self._routes[row.organization].get(row.topic, ()):
            channel_of = self._by_number.get(number)
            for subscription in list(channel_of.live) if channel_of is not None else ():
                position = subscription.positions.get(row.organization)
                if position is not None and not position.is_before(row.is_outgoing, row.position):
                    continue
                count += 1
                if subscription.offer(row):
                    self.counts.deliveries[subscription.stream] += 1
                else:
                    self._fall_behind(subscription, row.organization)
        return count

    def _fall_behind(self, subscription: Follower, organization: int) -> None:
        """Its reader is too slow for the feed: what follows is read from the history, as fast as it takes it."""
        self._channel(subscription.channel_of(organization)).live.discard(subscription)
        self._slow.add(organization)
        subscription.positions[organization] = self._feeds[organization].later(subscription.positions[organization])
        self._gap(subscription, "slow_reader", is_lost=False)
        self._read(subscription)

    async def unwatch(self) -> None:
        """Say so where the last viewer of an organization has gone, for ever."""
        while True:
            await asyncio.sleep(UNWATCH_SECONDS)
            if self._watched - {key[0] for key in self._channels}:
                try:
                    await self._watch()
                except (psycopg.Error, OSError, RefusedError) as error:
                    log.warning("stream_viewers_unknown", error=str(error).split("\n", maxsplit=1)[0])

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
        await connection.execute("SELECT mqtt.begin_stream(%s)", (self.process_id,))
        await connection.execute("LISTEN topicbase_stream")
        # The database may have started again, and forgotten who watches.
        await self._watch()
        self.states.forget()
        self.is_ready = True
        self._woken.set()
        async for _ in connection.notifies():
            self._woken.set()
