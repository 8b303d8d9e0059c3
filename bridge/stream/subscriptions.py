"""What a connection has subscribed to, of whatever stream."""

import asyncio
import json
from functools import lru_cache
from typing import Any, Protocol
from uuid import UUID

from bridge import exact
from bridge.stream.database import Position, Row, Start
from bridge.stream.login import Login, RefusedError


class Sink(Protocol):
    """A connection, as its subscriptions see it."""

    def send(self, subscription: "Subscription", event: str, cursor: str | None, body: str) -> bool:
        """Takes an event to be sent; false where a message finds the buffer full."""

    async def has_room(self) -> None:
        """Waits until half of the buffer is free."""

    def refuse(self, error: RefusedError) -> None:
        """Says why, and ends the connection."""


class Subscription:
    def __init__(self, sink: Sink, name: str, stream: str, login: Login) -> None:
        self.sink, self.name, self.stream, self.login = sink, name, stream, login
        self.cursors: dict[int, str] = {}  # of each organization; 0 is the installation
        self.reader: asyncio.Task[None] | None = None
        self.is_ended = False

    @property
    def cursor(self) -> str | None:
        return ".".join(self.cursors.values())

    @property
    def stands_at_once(self) -> bool:
        """Whether nothing is missed from the moment on that it was opened."""
        return True

    def stand(self) -> None:
        """Say that from here on nothing is missed."""
        self.sink.send(self, "subscribed", self.cursor, "{}")

    def gap(self, reason: str, *, is_lost: bool) -> None:
        self.sink.send(self, "gap", self.cursor, json.dumps({"reason": reason, "lost": is_lost}))

    def fail(self, error: RefusedError) -> None:
        self.sink.send(
            self, "error", None, json.dumps({"code": error.slug, "detail": error.detail, "hint": error.hint}, ensure_ascii=False)
        )


class Follower(Subscription):
    """A subscription to messages or readings."""

    def __init__(self, sink: Sink, name: str, stream: str, login: Login, metrics: list[str] | None) -> None:
        super().__init__(sink, name, stream, login)
        self.metrics = None if metrics is None else frozenset(metrics)
        self.positions: dict[int, Position] = {}  # where the feed's is not its own
        self.topic_filter: str | None = None
        self.device: UUID | None = None
        self.integrations: tuple[UUID, ...] | None = None
        self.is_blocked = False  # waits for its reader to take what it has

    async def has_room(self) -> None:
        self.is_blocked = True
        try:
            await self.sink.has_room()
        finally:
            self.is_blocked = False

    def begin(self, starts: list[Start]) -> None:
        for start in starts:
            self.cursors[start.organization] = start.cursor
            self.positions[start.organization] = start.position
            self.topic_filter, self.device, self.integrations = start.topic_filter, start.device, start.integrations

    def channel_of(self, organization: int) -> "ChannelKey":
        return (organization, self.topic_filter, self.device, self.integrations)

    def offer(self, row: Row) -> bool:
        """Send what a row has for this subscription; false if there is no room."""
        if row.cursor is None or (self.stream == "readings" and row.readings is None):
            return True
        if len(self.cursors) > 1:
            before = self.cursors[row.organization]
            self.cursors[row.organization] = row.cursor
            if self._send(row, ".".join(self.cursors.values())):
                return True
            self.cursors[row.organization] = before
            return False
        if self._send(row, row.cursor):
            self.cursors[row.organization] = row.cursor
            return True
        return False

    def _send(self, row: Row, cursor: str) -> bool:
        if self.stream == "messages":
            return self.sink.send(self, "message", cursor, row.message or "")
        body = _body(row.readings or "[]", self.metrics)
        # All or none: they have one cursor.
        return not body or self.sink.send(self, "readings", cursor, body)


@lru_cache(maxsize=4)
def _readings(text: str) -> list[dict[str, Any]]:
    """Most viewers of a message get it one after the other."""
    readings: list[dict[str, Any]] = exact.loads(text)
    return readings


@lru_cache(maxsize=32)
def _body(text: str, metrics: frozenset[str] | None) -> str:
    """What a row's readings have of metrics, a line for each."""
    bodies = [_named(reading, metrics) for reading in _readings(text)]
    return "\n".join(exact.dumps(body, ensure_ascii=False, is_compact=True) for body in bodies if body is not None)


def _named(reading: dict[str, Any], metrics: frozenset[str] | None) -> dict[str, Any] | None:
    if metrics is None:
        return reading
    named = {name: value for name, value in reading["metrics"].items() if _is_named(name, metrics)}
    return {**reading, "metrics": named} if named else None


def _is_named(name: str, metrics: frozenset[str]) -> bool:
    """Whether a metric is one of these or below one, as a.b is below a; by its own levels, since the others may be many."""
    end = -1
    while (end := name.find(".", end + 1)) >= 0:
        if name[:end] in metrics:
            return True
    return name in metrics


ChannelKey = tuple[int, str | None, UUID | None, tuple[UUID, ...] | None]


class Channel:
    """An organization, a topic filter, a device and the integrations of a key: its subscriptions are matched as one."""

    def __init__(self, number: int, key: ChannelKey) -> None:
        self.number, self.key = number, key
        self.members: set[Follower] = set()  # all of them
        self.live: set[Follower] = set()  # those that follow the feed
