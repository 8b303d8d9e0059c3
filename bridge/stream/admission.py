"""Whom a process admits, how many connections each has, and until when what they may see is theirs."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from uuid import UUID

import psycopg

from bridge import log
from bridge.shares import fair_share
from bridge.stream.database import Database
from bridge.stream.login import Login, RefusedError
from bridge.stream.subscriptions import Sink, Subscription

MOST_CONNECTIONS = 10_000
MOST_CONNECTIONS_OF_A_USER = 200
MEMBERS_SECONDS = 0.4


class Admission:
    def __init__(self, database: Database, process_id: UUID) -> None:
        self._database, self._process_id = database, process_id
        self._connections: dict[Sink, tuple[str, frozenset[int]]] = {}  # user and organizations
        self._users: Counter[str] = Counter()
        self._of: Counter[int] = Counter()
        self._counted: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._connections)

    def admit(self, sink: Sink, login: Login, organizations: dict[int, int]) -> None:
        """Count a connection, once its organizations are known, and how many connections each may have here. Raises RefusedError (429)."""
        user = login.user or login.role
        before = self._connections.pop(sink, None)
        # 0, the installation, is nobody's.
        mine = frozenset(organizations) - {0}
        self._count(before, -1)
        free = MOST_CONNECTIONS - len(self._connections) - 1
        is_admitted = (login.user is None or self._users[user] < MOST_CONNECTIONS_OF_A_USER) and all(
            fair_share(self._of[number] + 1, free) and self._of[number] < organizations[number] for number in mine
        )
        kept = (user, mine | (before[1] if before else frozenset())) if is_admitted else before
        if kept is not None:
            self._connections[sink] = kept
            self._count(kept, 1)
        if not is_admitted:
            raise RefusedError(
                429, "stream_limit_reached", "You, or your organization, have as many connections as they may.", "Close some, or share one."
            )

    def leave(self, sink: Sink) -> None:
        self._count(self._connections.pop(sink, None), -1)

    def _count(self, connection: tuple[str, frozenset[int]] | None, step: int) -> None:
        if connection is None:
            return
        user, organizations = connection
        self._users[user] += step
        if not self._users[user]:
            del self._users[user]
        for number in organizations:
            self._of[number] += step
            if not self._of[number]:
                del self._of[number]

    async def check(self, subscriptions: Callable[[], Iterable[Subscription]], end: Callable[[Subscription], None]) -> None:
        """End the subscriptions of those who may no longer have them, and tell other processes of the connections here, for ever."""
        while True:
            await asyncio.sleep(MEMBERS_SECONDS)
            try:
                await self._check(subscriptions, end)
                if self._counted != self._of:
                    counted = dict(self._of)
                    await self._database.count(self._process_id, counted)
                    self._counted = counted
            except (psycopg.Error, OSError, RefusedError) as error:
                self._counted = {-1: 0}  # the database may have begun again, and forgotten
                log.warning("stream_members_unknown", error=str(error).split("\n", maxsplit=1)[0])

    async def _check(self, subscriptions: Callable[[], Iterable[Subscription]], end: Callable[[Subscription], None]) -> None:
        checked = [subscription for subscription in subscriptions() if subscription.login.role != "service_role"]
        if not checked:
            return
        members = await self._database.members(
            {item.login.user for item in checked if item.login.user is not None and item.login.key is None},
            {item.login.user for item in checked if item.login.user is not None and item.login.key is not None},
        )
        for subscription in checked:
            if all((subscription.login.user, organization) in members for organization in subscription.cursors):
                continue
            end(subscription)
            if subscription.login.key is not None:
                subscription.sink.refuse(
                    RefusedError(401, "api_key_invalid", "The API key was revoked, or has expired.", "An admin makes a new one.")
                )
            else:
                subscription.fail(
                    RefusedError(
                        403, "membership_ended", "You no longer belong to an organization of this subscription.", "Subscribe again."
                    )
                )
