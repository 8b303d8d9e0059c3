"""The database's side of the stream: every statement that it sends."""

import asyncio
import contextlib
import select
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from bridge import keepalives
from bridge.stream.login import RefusedError

CONNECTIONS = 4
_OPTIONS: dict[str, Any] = {**keepalives.CLIENT, "options": keepalives.SERVER}
Connection = psycopg.AsyncConnection[Any]


class Position(NamedTuple):
    """How far an organization has been read: numbers of settlements, and how many messages of each, 0 for all."""

    incoming: int
    outgoing: int
    incoming_place: int
    outgoing_place: int

    def is_before(self, is_outgoing: bool, row: "Position") -> bool:
        """Whether the row that one came to at that position is yet to be read."""
        if is_outgoing:
            return _reached(self.outgoing, self.outgoing_place) < _reached(row.outgoing, row.outgoing_place)
        return _reached(self.incoming, self.incoming_place) < _reached(row.incoming, row.incoming_place)

    def covers(self, other: "Position") -> bool:
        return _reached(self.incoming, self.incoming_place) >= _reached(other.incoming, other.incoming_place) and _reached(
            self.outgoing, self.outgoing_place
        ) >= _reached(other.outgoing, other.outgoing_place)

    def later(self, other: "Position") -> "Position":
        """Of each direction, the one that is further."""
        mine = _reached(self.incoming, self.incoming_place) >= _reached(other.incoming, other.incoming_place)
        out = _reached(self.outgoing, self.outgoing_place) >= _reached(other.outgoing, other.outgoing_place)
        received, published = (self if mine else other), (self if out else other)
        return Position(received.incoming, published.outgoing, received.incoming_place, published.outgoing_place)


def _reached(number: int, place: int) -> tuple[int, int]:
    return (number, place or 1 << 31)


class Row(NamedTuple):
    """What mqtt.stream_messages returns."""

    organization: int
    topic: int | None
    is_outgoing: bool
    incoming: int
    outgoing: int
    incoming_place: int
    outgoing_place: int
    is_missing: bool
    cursor: str | None
    message: str | None
    readings: str | None
    lag: float | None
    read_count: int | None

    @property
    def position(self) -> Position:
        return Position(self.incoming, self.outgoing, self.incoming_place, self.outgoing_place)


class Start(NamedTuple):
    """Where a subscription begins in an organization."""

    organization: int
    position: Position
    cursor: str
    is_gap: bool
    topic_filter: str | None
    device: UUID | None
    integrations: tuple[UUID, ...] | None
    free: int


class StateStart(NamedTuple):
    """What a subscription to states or receipts may see."""

    organization: int
    since: datetime | None
    is_gap: bool
    topic_filter: str | None
    device: UUID | None
    integrations: tuple[UUID, ...] | None
    free: int


class State(NamedTuple):
    """A row of mqtt.stream_presence or mqtt.stream_integrations; without id, how many there are, and what to ask with next."""

    organization: int
    id: UUID | None
    integration: UUID | None
    body: str
    row_count: int
    snapshot: str


class Receipt(NamedTuple):
    """A row of mqtt.stream_receipts; without id, the cursor, the time, the snapshot, and the first transaction that had not begun."""

    organization: int
    id: UUID | None
    integration: UUID | None
    body: str
    settled_at: datetime | None
    matched: list[int] | None
    cursor: str
    at: datetime
    snapshot_xmin: str
    next_xid: str


class Question(Protocol):
    """What a subscription asks for."""

    organization_id: str | None
    topic: str | None
    device_id: str | None
    cursors: list[str]


def _tuple(ids: list[UUID] | None) -> tuple[UUID, ...] | None:
    return None if ids is None else tuple(ids)


async def connect(name: str) -> Connection:
    return await psycopg.AsyncConnection.connect(autocommit=True, application_name=name, prepare_threshold=1, **_OPTIONS)


def _has_ended(connection: Connection) -> bool:
    """Whether the server has ended an idle connection, which psycopg finds out when it is next used: nobody sends anything else there."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


class Database:
    """A few connections, each lent to one call at a time."""

    def __init__(self, name: str, connections: int = CONNECTIONS) -> None:
        self._name = name
        self._free: asyncio.Queue[Connection | None] = asyncio.Queue()
        for _ in range(connections):
            self._free.put_nowait(None)

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        connection = await self._free.get()
        try:
            if connection is not None and _has_ended(connection):
                await connection.close()
                connection = None
            if connection is None:
                connection = await connect(self._name)
            yield connection
        except psycopg.Error as error:
            if error.sqlstate is not None and error.sqlstate.startswith("PT"):
                diag = error.diag
                raise RefusedError(
                    int(error.sqlstate[2:]), diag.message_primary or "refused", diag.message_detail or "", diag.message_hint or ""
                ) from None
            raise
        finally:
            if connection is not None and connection.info.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
                await connection.close()
            self._free.put_nowait(connection)

    async def _rows(self, statement: str, arguments: Sequence[Any]) -> list[Any]:
        async with self._connection() as connection:
            return await (await connection.execute(statement, arguments)).fetchall()

    async def open(self, process_id: UUID, claims: dict[str, Any], wanted: "Question") -> list[Start]:
        rows = await self._rows(
            "SELECT organization, incoming, outgoing, incoming_place, outgoing_place, cursor, coalesce(is_gap, false), topic_filter,"
            " device, integrations, free_connections FROM mqtt.open_stream(%s, %s::uuid, %s::text, %s::text, %s::text[], %s)",
            (Jsonb(claims), wanted.organization_id, wanted.topic, wanted.device_id, wanted.cursors, process_id),
        )
        return [Start(row[0], Position(*row[1:5]), row[5], row[6], row[7], row[8], _tuple(row[9]), row[10]) for row in rows]

    async def open_states(self, process_id: UUID, claims: dict[str, Any], stream: str, wanted: "Question") -> list[StateStart]:
        rows = await self._rows(
            "SELECT organization, since, is_gap, topic_filter, device, integrations, free_connections"
            " FROM mqtt.open_states(%s, %s, %s::uuid, %s::text, %s::text, %s::text[], %s)",
            (Jsonb(claims), stream, wanted.organization_id, wanted.topic, wanted.device_id, wanted.cursors, process_id),
        )
        return [StateStart(row[0], row[1], row[2], row[3], row[4], _tuple(row[5]), row[6]) for row in rows]

    async def redeem(self, ticket: str) -> dict[str, Any]:
        claims: dict[str, Any] = (await self._rows("SELECT mqtt.redeem_stream_ticket(%s)", (ticket,)))[0][0]
        return claims

    async def key(self, key: str) -> dict[str, Any]:
        claims: dict[str, Any] = (await self._rows("SELECT mqtt.stream_key(%s)", (key,)))[0][0]
        return claims

    async def members(self, users: Iterable[str], keys: Iterable[str]) -> set[tuple[str, int]]:
        rows = await self._rows(
            "SELECT user_id::text, organization FROM mqtt.stream_members(%s::uuid[], %s::uuid[])", (list(users), list(keys))
        )
        return {(row[0], row[1]) for row in rows}

    async def count(self, process_id: UUID, connections: Mapping[int, int]) -> None:
        await self._rows(
            "SELECT mqtt.count_stream(%s, %s::integer[], %s::integer[])", (process_id, list(connections), list(connections.values()))
        )

    async def presence(self, seen: Mapping[int, str | None]) -> list[State]:
        rows = await self._rows("SELECT * FROM mqtt.stream_presence(%s::integer[], %s::text[])", (list(seen), list(seen.values())))
        return [State(*row) for row in rows]

    async def integrations(self, seen: Mapping[int, str | None]) -> list[State]:
        rows = await self._rows("SELECT * FROM mqtt.stream_integrations(%s::integer[], %s::text[])", (list(seen), list(seen.values())))
        return [State(*row) for row in rows]

    async def statistics(self, organizations: Iterable[int]) -> dict[int, str]:
        return dict(await self._rows("SELECT organization, body FROM mqtt.stream_statistics(%s::integer[])", (list(organizations),)))

    async def receipts(self, since: Mapping[int, datetime | None], seen: str | None, filters: Sequence[str], most: int) -> list[Receipt]:
        rows = await self._rows(
            "SELECT * FROM mqtt.stream_receipts(%s::integer[], %s::timestamptz[], %s::text, %s::text[], %s)",
            (list(since), list(since.values()), seen, list(filters), most),
        )
        return [Receipt(*row) for row in rows]

    async def watch(self, process_id: UUID, organizations: Iterable[int]) -> dict[int, Position]:
        rows = await self._rows("SELECT * FROM mqtt.watch_stream(%s, %s::integer[])", (process_id, list(organizations)))
        return {row[0]: Position(*row[1:]) for row in rows}

    async def messages(
        self,
        positions: dict[int, Position],
        most: int,
        *,
        ignored: Iterable[int] = (),
        topic_filter: str | None = None,
        device: UUID | None = None,
        integrations: Sequence[UUID] | None = None,
        has_readings: bool = False,
    ) -> list[Row]:
        columns = list(zip(*positions.values(), strict=True))
        rows = await self._rows(
            "SELECT * FROM mqtt.stream_messages(%s::integer[], %s::bigint[], %s::bigint[], %s::integer[], %s::integer[], %s::integer[],"
            " %s::text, %s::uuid, %s::uuid[], %s, %s)",
            (
                list(positions),
                *(list(column) for column in columns),
                list(ignored),
                topic_filter,
                device,
                None if integrations is None else list(integrations),
                has_readings,
                most,
            ),
        )
        return [Row(*row) for row in rows]

    async def routes(
        self, topics: Iterable[int], channels: list[tuple[int, int, str | None, UUID | None, tuple[UUID, ...] | None]]
    ) -> dict[int, list[int]]:
        numbers, organizations, filters, devices, integrations = (list(column) for column in zip(*channels, strict=True))
        sets = [None if chosen is None else f"{{{','.join(map(str, chosen))}}}" for chosen in integrations]
        rows = await self._rows(
            "SELECT topic, channels FROM mqtt.stream_routes(%s::integer[], %s::integer[], %s::integer[], %s::text[], %s::uuid[],"
            " %s::text[])",
            (list(topics), numbers, organizations, filters, devices, sets),
        )
        return dict(rows)
