"""An organization on its way from one installation to another: its rows, copied table by table over two connections."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

Connection = psycopg.Connection[tuple[Any, ...]]
Report = Callable[[str], None]

# What stays behind: what the bridges and the stream of one installation hold, and roles of its server.
LEFT = frozenset(
    {"mqtt.bridge_leases", "mqtt.outbound_batches", "mqtt.stream_connections", "mqtt.stream_viewers", "mqtt.publishers", "mqtt.readers"}
)
BY_DAY = ("mqtt.history", "mqtt.reading_rows")
QUEUES = ("pgmq.q_mqtt_messages", "pgmq.q_mqtt_outbound")
# The other installation gives these, in the order of the ones here.
GIVEN_ANEW = {
    **dict.fromkeys(QUEUES, "msg_id"),
    **dict.fromkeys(("mqtt.deferred_device_updates", "mqtt.deferred_credential_updates", "mqtt.packs"), "number"),
}
# Numbers that are translated, and so may be anything.
TRANSLATED = ("mqtt.organizations_number_seq", "mqtt.topic_numbers")
AHEAD = 1000
TRIES = 5
DRAIN_SECONDS = 5.0

_TABLES = """
SELECT format('%I.%I', n.nspname, c.relname), jsonb_object_agg(a.attname, format_type(a.atttypid, NULL))
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
WHERE n.nspname IN ('mqtt', 'pgmq') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
GROUP BY n.nspname, c.relname
HAVING bool_or(a.attname = 'organization_id' OR (a.attname = 'organization' AND a.atttypid = 'integer'::regtype))
    OR (n.nspname, c.relname) = ('mqtt', 'organizations')
"""
# A day whose messages are there in both forms would be copied in both, or into rows that are about to be dropped.
_PACKING = """
SELECT EXISTS (SELECT FROM mqtt.configuration AS c WHERE c.pack_after IS NOT NULL)
    OR EXISTS (SELECT FROM mqtt.packed_days AS d WHERE d.state <> 'dropped')
"""
# Rows of a day, and whether one was written by a transaction that may not have been over when the day was copied, which a count does not
# show. It may be a subtransaction, which no snapshot lists; but that is never older than the one that it belongs to.
_DAY = """
SELECT count(*), coalesce(bool_or(age(t.xmin) <= age({}::text::xid8::xid)), false) FROM {} AS t WHERE t.organization = {} AND {}
"""
# A transaction that began before the organization was closed may have read that it is open.
_UNREST = """
SELECT
    (
        SELECT string_agg(format('%%s (pid %%s)', coalesce(nullif(a.application_name, ''), a.usename, '?'), a.pid), ', ')
        FROM pg_catalog.pg_stat_activity AS a
        WHERE a.datname = current_database() AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
            AND a.xact_start < %(since)s
    ),
    (
        SELECT count(*)
        FROM mqtt.bridge_leases AS l
        JOIN mqtt.bridges AS b ON b.id = l.bridge_id AND b.seen_at > clock_timestamp() - interval '30 s'
        WHERE l.organization_id = %(id)s
    ),
    (SELECT count(*) FROM pgmq.q_mqtt_messages AS q WHERE q.organization_id = %(id)s AND q.organization IS NOT NULL),
    (SELECT count(*) FROM pgmq.q_mqtt_messages AS q WHERE q.organization_id = %(id)s AND q.vt <= clock_timestamp()),
    (SELECT count(*) FROM mqtt.deletions AS d WHERE d.organization_id = %(id)s AND d.state <> 'done')
"""


class MoveError(Exception):
    """The organization cannot be moved, for a reason that its operator can do something about."""


@dataclass(frozen=True)
class CopiedDay:
    """What was copied of a day: how many rows, and the oldest transaction whose rows may not be among them."""

    count: int
    before: str


@dataclass
class Move:
    """One organization, and how far it is."""

    source: Connection
    target: Connection
    organization_id: UUID
    number: int
    new_number: int
    tables: dict[str, dict[str, str]]
    days: dict[tuple[str, date], CopiedDay] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)

    def copy_closed_days(self, report: Report) -> None:
        """What the history has of days that are over, while the organization goes on working."""
        self._refuse_packing()
        self.source.execute("CREATE TEMPORARY TABLE moved_topics (old integer PRIMARY KEY, new integer NOT NULL)")
        row = self.source.execute("SELECT min(h.received_at) FROM mqtt.history AS h WHERE h.organization = %s", (self.number,)).fetchone()
        today = datetime.now(UTC).date()
        day = today if row is None or row[0] is None else row[0].astimezone(UTC).date()
        while day < today:
            self._translate_topics()
            for table in BY_DAY:
                _make_partition(self.target, table, day)
                before = self.source.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text").fetchone()
                with self._as_replica():
                    self.days[table, day] = CopiedDay(self._copy(table, _within(day)), "0" if before is None else before[0])
            if count := self.days[BY_DAY[0], day].count:
                report(f"{day}: {count} messages")
            day += timedelta(days=1)

    def close(self, name: str) -> None:
        """From here on nobody sees or changes the organization here, its devices are refused, and its brokers are left."""
        why = f"The organization moves to another installation ({name})."
        with self.source.transaction():
            self.source.execute(
                "UPDATE mqtt.organizations SET moving_to = %s, ingest_pause = %s WHERE id = %s", (name, why, self.organization_id)
            )
            self.source.execute("SELECT pg_notify('topicbase', 'config')")

    def open_again(self) -> None:
        """Undo close()."""
        with self.source.transaction():
            self.source.execute(
                "UPDATE mqtt.organizations SET moving_to = NULL, ingest_pause = NULL WHERE id = %s", (self.organization_id,)
            )
            self.source.execute("SELECT pg_notify('topicbase', 'config')")

    def wait_until_still(self, seconds: float) -> None:
        """Until all that began before close() has ended. Raises MoveError when something has not after so long."""
        row = self.source.execute("SELECT clock_timestamp()").fetchone()
        values = {"since": None if row is None else row[0], "id": self.organization_id}
        began = time.monotonic()
        while True:
            found = self.source.execute(_UNREST, values).fetchone()
            transactions, leases, items, due, deletions = (None, 0, 0, 0, 0) if found is None else found
            waited = time.monotonic() - began
            if not (transactions or leases or items or deletions) and (not due or waited > DRAIN_SECONDS):
                return
            if waited > seconds:
                what = [f"a transaction of {transactions}"] if transactions else []
                what += ["a bridge that has not left its brokers"] if leases else []
                what += ["messages that a worker must store first: start a bridge, or CALL mqtt.work_queue()"] if items else []
                what += ["a deletion of its messages that maintenance has not finished"] if deletions else []
                raise MoveError(f"after {seconds:.0f} s there is still {' and '.join(what)}")
            time.sleep(0.05)

    def hand_over(self) -> None:
        """Copy the rest in one snapshot, and make it live there; what waits to be done is then no longer here."""
        lock = "SELECT {}(mqtt.processing_lock(), hashtext(%s))"
        key = (str(self.organization_id),)
        self.source.execute(sql.SQL(lock).format(sql.SQL("pg_advisory_lock")), key)
        try:
            for number in range(1, TRIES + 1):
                try:
                    self._hand_over()
                except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected):
                    if number == TRIES:
                        raise
                else:
                    return
        finally:
            if not self.source.broken:
                self.source.execute(sql.SQL(lock).format(sql.SQL("pg_advisory_unlock")), key)

    def _hand_over(self) -> None:
        self.source.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        try:
            with self.source.transaction(), self._as_replica():
                # Neither side packs or trims meanwhile; and who waits for it there finds the organization, whose term may be the longest.
                self.target.execute("SELECT pg_advisory_xact_lock(mqtt.maintenance_lock(), 0)")
                here = self.source.execute("SELECT FROM mqtt.organizations WHERE id = %s FOR UPDATE", (self.organization_id,))
                if here.rowcount == 0:
                    raise MoveError("it has been deleted meanwhile")
                self.source.execute("SELECT FROM mqtt.device_integrations WHERE organization_id = %s FOR UPDATE", (self.organization_id,))
                self._refuse_packing()
                self._count_abandoned_attempts()
                self._translate_topics()
                for table in sorted(self.tables):
                    self.rows[table] = self._copy_open_days(table) if table in BY_DAY else self._copy(table)
                self._go_on_after_all_numbers()
                self.target.execute("SELECT pg_notify('topicbase', 'config')")
                self._take_out()
        finally:
            self.source.isolation_level = None

    def _refuse_packing(self) -> None:
        for connection, where in ((self.source, "this"), (self.target, "the other")):
            row = connection.execute(_PACKING).fetchone()
            if row is not None and row[0]:
                raise MoveError(
                    f"{where} installation packs its history: set pack_after to NULL there until the organization has moved, and wait"
                    " until mqtt.packed_days has no day that is not dropped"
                )

    def _take_out(self) -> None:
        """What would be done here as well: the queues, and requests to webhooks."""
        # Counted as expired, as mqtt.delete_queued does: the ledger here is to add up without them.
        self.source.execute(
            "WITH gone AS ("
            " DELETE FROM pgmq.q_mqtt_messages WHERE organization_id = %s RETURNING organization_id, enqueued_at, message_count)"
            " INSERT INTO mqtt.ledger AS l (organization_id, bucket, shard, expired)"
            " SELECT g.organization_id, date_trunc('minute', g.enqueued_at), mqtt.ledger_level_outcomes(), sum(g.message_count)"
            " FROM gone AS g GROUP BY 1, 2 ON CONFLICT ON CONSTRAINT ledger_pkey DO UPDATE SET expired = l.expired + excluded.expired",
            (self.organization_id,),
        )
        self.source.execute("DELETE FROM pgmq.q_mqtt_outbound WHERE organization_id = %s", (self.organization_id,))
        self.source.execute(
            "DELETE FROM mqtt.mqtt_callback_deliveries WHERE organization_id = %s AND status = 'waiting'", (self.organization_id,)
        )

    def clean_up(self) -> None:
        """Take back what copy_closed_days() copied."""
        for table in BY_DAY:
            self.target.execute(sql.SQL("DELETE FROM {} AS t WHERE t.organization = %s").format(_name(table)), (self.new_number,))

    def finish(self) -> None:
        """After a handover whose end nobody saw."""
        with self.source.transaction():
            self._take_out()

    def _count_abandoned_attempts(self) -> None:
        """What a bridge that died had claimed may have been published, as mqtt.take_lease has it."""
        self.source.execute(
            "UPDATE pgmq.q_mqtt_outbound AS q SET attempts = q.attempts + 1 FROM mqtt.outbound_batches AS b"
            " WHERE b.organization_id = %s AND q.organization_id = b.organization_id AND q.msg_id = ANY (b.msg_ids)",
            (self.organization_id,),
        )

    def _translate_topics(self) -> None:
        """A number of the target for each topic that has none yet."""
        new = self.source.execute(
            "SELECT t.number FROM mqtt.topics AS t LEFT JOIN moved_topics AS m ON m.old = t.number"
            " WHERE t.organization_id = %s AND m.old IS NULL ORDER BY t.number",
            (self.organization_id,),
        ).fetchall()
        given = self.target.execute("SELECT nextval('mqtt.topic_numbers') FROM generate_series(1, %s)", (len(new),)).fetchall()
        with self.source.cursor() as cursor, cursor.copy("COPY moved_topics FROM STDIN") as copy:
            for (old,), (number,) in zip(new, given, strict=True):
                copy.write_row((old, number))

    def _copy_open_days(self, table: str) -> int:
        """What is left of the history; and of closed days that have changed, here or there, all."""
        total = 0
        for (copied, day), known in self.days.items():
            if copied != table:
                continue
            if self._has_changed(table, day, known):
                query = sql.SQL("DELETE FROM {} AS t WHERE t.organization = %s AND {}").format(_name(table), _within(day))
                self.target.execute(query, (self.new_number,))
                total += self._copy(table, _within(day))
            else:
                total += known.count
        first = min((day for copied, day in self.days if copied == table), default=None)
        if first is None:
            return self._copy(table)
        last = max(day for copied, day in self.days if copied == table)
        between = sql.SQL("NOT (t.received_at >= {} AND t.received_at < {})").format(_start(first), _start(last + timedelta(days=1)))
        return total + self._copy(table, between)

    def _has_changed(self, table: str, day: date, known: CopiedDay) -> bool:
        """Since it was copied. There, too: retention drops a day that is past the terms of all who are there already."""
        found = []
        for connection, number in ((self.source, self.number), (self.target, self.new_number)):
            query = sql.SQL(_DAY).format(sql.Literal(known.before), _name(table), sql.Literal(number), _within(day))
            found.append(connection.execute(query).fetchone())
        here, there = found
        return here != (known.count, False) or there is None or there[0] != known.count

    def _copy(self, table: str, condition: sql.Composable | None = None) -> int:
        columns = [name for name in sorted(self.tables[table]) if name != GIVEN_ANEW.get(table)]
        key = next(name for name in ("organization_id", "organization", "id") if name in self.tables[table])
        value = sql.Literal(self.number) if key == "organization" else sql.Literal(self.organization_id)
        topic = self._topic_column(table)
        if table == "mqtt.packs":
            condition = sql.SQL("t.run <> ALL (ARRAY(SELECT u.run FROM mqtt.unread_runs AS u))")
        query = sql.SQL("COPY (SELECT {} FROM {} AS t{} WHERE t.{} = {} AND {}{}) TO STDOUT").format(
            sql.SQL(", ").join(self._expression(table, name) for name in columns),
            _name(table),
            sql.SQL(" JOIN moved_topics AS m ON m.old = t.{}").format(sql.Identifier(topic)) if topic else sql.SQL(""),
            sql.Identifier(key),
            value,
            condition or sql.SQL("true"),
            sql.SQL(" ORDER BY t.{}").format(sql.Identifier(GIVEN_ANEW[table])) if table in GIVEN_ANEW else sql.SQL(""),
        )
        into = sql.SQL("COPY {} ({}) FROM STDIN").format(_name(table), sql.SQL(", ").join(map(sql.Identifier, columns)))
        with self.source.cursor() as out, self.target.cursor() as back:
            with out.copy(query) as reader, back.copy(into) as writer:
                for block in reader:
                    writer.write(block)
            return back.rowcount

    def _topic_column(self, table: str) -> str | None:
        if table == "mqtt.topics":
            return "number"
        return "topic" if self.tables[table].get("topic") == "integer" else None

    def _expression(self, table: str, column: str) -> sql.Composable:
        plain = sql.SQL("t.{}").format(sql.Identifier(column))
        if column == self._topic_column(table):
            return sql.SQL("m.new")
        if (table, column) == ("mqtt.packs", "run"):
            return sql.Literal(0)
        if (table, column) == ("mqtt.organizations", "number"):
            return sql.Literal(self.new_number)
        if column == "organization" and self.tables[table][column] == "integer":
            return sql.SQL("CASE WHEN {} IS NOT NULL THEN {} END").format(plain, sql.Literal(self.new_number))
        if column == "bridge_id" or (table == "mqtt.organizations" and column in ("moving_to", "ingest_pause")):
            return sql.SQL("NULL")
        # Ids that were answered, which this installation's key has made of numbers that change.
        if (table, column) == (QUEUES[0], "message_id"):
            return sql.SQL("coalesce(t.message_id, mqtt.message_id(t.enqueued_at, t.msg_id, false, t.place))")
        if (table, column) == (QUEUES[1], "receipt_id"):
            return sql.SQL("coalesce(t.receipt_id, mqtt.message_id(t.enqueued_at, t.msg_id, true))")
        return plain

    def _go_on_after_all_numbers(self) -> None:
        """Numbers that the target gives from now on follow those that came, so that newer stays newer."""
        query = (
            "SELECT schemaname || '.' || sequencename, coalesce(last_value, 0), increment_by"
            " FROM pg_catalog.pg_sequences WHERE schemaname IN ('mqtt', 'pgmq')"
        )
        here, there = ({name: (last, step) for name, last, step in one.execute(query)} for one in (self.source, self.target))
        for name, (last, step) in here.items():
            # With room for what the target has given meanwhile: a sequence must not go back.
            if name not in TRANSLATED and name in there and last >= there[name][0]:
                self.target.execute("SELECT setval(%s, %s)", (name, last + AHEAD * step))

    @contextmanager
    def _as_replica(self) -> Iterator[None]:
        """Triggers have done at the source what they do."""
        with self.target.transaction():
            self.target.execute("SET LOCAL session_replication_role = replica")
            yield


def prepare(source: Connection, target: Connection, wanted: str) -> Move | None:
    """The organization with that slug or id, and a number for it there. None if it is there already, and here no longer.

    Raises MoveError.
    """
    for connection in (source, target):
        connection.execute("SET timezone = 'UTC'")
        connection.execute("SET statement_timeout = 0")
        connection.execute("SET search_path = pg_catalog, pg_temp")
    row = source.execute(
        "SELECT id, number, slug, moving_to FROM mqtt.organizations WHERE slug = %s OR id::text = %s", (wanted, wanted)
    ).fetchone()
    if row is None:
        raise MoveError(f"there is no organization {wanted}")
    organization_id, number, slug, moving_to = row
    there = target.execute("SELECT id FROM mqtt.organizations WHERE id = %s OR slug = %s", (organization_id, slug)).fetchone()
    has_arrived = there is not None and there[0] == organization_id and moving_to is not None
    if there is not None and not has_arrived:
        raise MoveError(f"the other installation has an organization {slug} already")
    deletion = source.execute("SELECT FROM mqtt.deletions WHERE organization_id = %s AND state <> 'done'", (organization_id,)).fetchone()
    if deletion is not None and not has_arrived:
        raise MoveError("a deletion of its messages is not finished")
    here: dict[str, dict[str, str]] = dict(source.execute(_TABLES).fetchall())
    other: dict[str, dict[str, str]] = dict(target.execute(_TABLES).fetchall())
    if here != other:
        names = sorted(name for name in {*here, *other} if here.get(name) != other.get(name))
        raise MoveError(f"the installations are not of the same release: {', '.join(names[:3])} differ")
    tables = {name: columns for name, columns in here.items() if name not in LEFT}
    if has_arrived:
        Move(source, target, organization_id, number, 0, tables).finish()
        return None
    given = target.execute("SELECT nextval('mqtt.organizations_number_seq')").fetchone()
    return Move(source, target, organization_id, number, 0 if given is None else given[0], tables)


def has_foreign_secrets(move: Move) -> bool:
    """Whether it has secrets that are sealed to a key other than the target's."""
    query = (
        "SELECT EXISTS (SELECT FROM mqtt.device_integrations WHERE organization_id = %(id)s AND settings::text LIKE '%%\"sealed\"%%')"
        " OR EXISTS (SELECT FROM mqtt.callback_secrets WHERE organization_id = %(id)s)"
    )
    has = move.source.execute(query, {"id": move.organization_id}).fetchone()
    keys = [one.execute("SELECT sealing_public_key FROM mqtt.configuration").fetchone() for one in (move.source, move.target)]
    return has is not None and bool(has[0]) and keys[0] != keys[1]


def _make_partition(connection: Connection, table: str, day: date) -> None:
    for _ in range(TRIES):
        try:
            connection.execute("SELECT mqtt.create_partition(%s::regclass, %s)", (table, day))
        except psycopg.errors.LockNotAvailable:
            time.sleep(0.2)
        else:
            return
    # The default partition takes what has none.


def _name(table: str) -> sql.Identifier:
    return sql.Identifier(*table.split("."))


def _start(day: date) -> sql.Composable:
    return sql.SQL("{}::timestamptz").format(sql.Literal(f"{day}T00:00:00Z"))


def _within(day: date) -> sql.Composable:
    return sql.SQL("t.received_at >= {} AND t.received_at < {}").format(_start(day), _start(day + timedelta(days=1)))
