"""Histories of a given length, made without going through the queue."""

from __future__ import annotations

from bench.harness import Connection
from bench.setup.messages import empty_history
from bench.setup.tenants import Tenant


def fill_history(db: Connection, tenants: list[Tenant], count: int, *, days: int = 7, devices: int = 100) -> None:
    """History rows spread over the last days (1: over today, UTC), without going through the queue; in order of time, as in production."""
    db.execute(
        """
        INSERT INTO mqtt.devices (organization_id, integration_id, external_id)
        SELECT o, i, 'device-' || lpad(d::text, 4, '0') FROM unnest(%s::uuid[], %s::uuid[]) AS t (o, i), generate_series(0, %s - 1) AS d
        ON CONFLICT DO NOTHING
        """,
        ([t.organization_id for t in tenants], [t.integration_id for t in tenants], devices),
    )
    db.execute(
        """
        INSERT INTO mqtt.topics (organization_id, number, integration_id, device_id, role, topic, message_type)
        SELECT d.organization_id, nextval('mqtt.topic_numbers'), d.integration_id, d.id, 'telemetry',
            o.topic_prefix || '/devices/' || d.external_id || '/telemetry', 'telemetry'
        FROM mqtt.devices AS d
        JOIN mqtt.organizations AS o ON o.id = d.organization_id
        WHERE d.organization_id = ANY (%s::uuid[]) AND NOT EXISTS (SELECT FROM mqtt.topics AS t WHERE t.device_id = d.id)
        """,
        ([t.organization_id for t in tenants],),
    )
    for day in range(days):
        db.execute("SELECT mqtt.create_partition('mqtt.history', (now() AT TIME ZONE 'UTC')::date - %s::integer)", (day,))
    step = 1_000_000
    for start in range(0, count, step):
        db.execute(
            """
            WITH d AS MATERIALIZED (
                SELECT array_agg(t.number ORDER BY t.organization_id, t.device_id) AS topics,
                    array_agg(o.number ORDER BY t.organization_id, t.device_id) AS organizations, count(*) AS n
                FROM mqtt.topics AS t
                JOIN mqtt.organizations AS o ON o.id = t.organization_id
                JOIN mqtt.devices AS v ON v.id = t.device_id
                WHERE t.organization_id = ANY (%(organizations)s::uuid[]) AND v.external_id < 'device-' || lpad(%(devices)s::text, 4, '0')
            )
            INSERT INTO mqtt.history (received_at, measured_at, position, id, organization, topic, stored_after, flags, payload)
            SELECT s.at, s.at, s.n, mqtt.keyed_message_id(s.at, s.n, k.key), d.organizations[s.n %% d.n + 1],
                d.topics[s.n %% d.n + 1], 5, 0,
                jsonb_build_object('temperature', 21.5, 'humidity', 48.2, 'n', s.n, 'status', 'ok', 'pad', '0123456789abcdef0123456789ab')
            FROM d, mqtt.message_id_key AS k, (
                SELECT n, a.start + (n::float / %(count)s) * (now() - a.start) AS at
                FROM (
                    SELECT CASE %(days)s WHEN 1 THEN date_trunc('day', now(), 'UTC') ELSE now() - (%(days)s - 1) * interval '1 day' END
                ) AS a (start), generate_series(%(from)s::bigint, %(to)s::bigint) AS n
            ) AS s
            """,
            {
                "organizations": [t.organization_id for t in tenants], "count": count, "days": days, "devices": devices,
                "from": start, "to": min(start + step, count) - 1,
            },
        )  # fmt: skip
        db.execute("CHECKPOINT")
    db.execute("VACUUM (ANALYZE) mqtt.history, mqtt.topics, mqtt.devices")


class Shelf:
    """Histories of different lengths side by side: the current one is attached to the table, the others are detached."""

    PARTITIONS = """
    SELECT c.relname, pg_get_expr(c.relpartbound, c.oid), substring(pg_get_expr(c.relpartbound, c.oid), $$FROM \\('(.*?)'\\)$$),
        substring(pg_get_expr(c.relpartbound, c.oid), $$TO \\('(.*?)'\\)$$)
    FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'mqtt.history'::regclass AND c.relname ~ '_[0-9]{8}$'
        AND right(c.relname, 8) <= to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')
    """

    def __init__(self, db: Connection, tenants: list[Tenant]) -> None:
        self.db, self.tenants = db, tenants
        self.bounds: dict[int, dict[str, str]] = {}
        self.current: int | None = None

    def fill(self, count: int, days: int = 7) -> None:
        """Makes a new history of this many rows and days, and makes it the current one."""
        self._put_away()
        self.db.execute(f"CREATE SCHEMA bench_history_{count}")
        empty_history(self.db)
        fill_history(self.db, self.tenants, 0, days=days)
        for name, _, start, end in self.db.execute(self.PARTITIONS).fetchall():
            # With this constraint, attaching the partition again need not read it.
            check = f"received_at IS NOT NULL AND received_at >= '{start}' AND received_at < '{end}'"
            self.db.execute(f"ALTER TABLE mqtt.{name} ADD CHECK ({check})")
        # At least 100 messages of each device, so that reading 100 finds them.
        fill_history(self.db, self.tenants, count, days=days, devices=devices_in(count, self.tenants))
        self.bounds[count], self.current = {}, count

    def take(self, count: int) -> None:
        """Makes that history the current one."""
        if count != self.current:
            self._put_away()
            for name, bound in self.bounds[count].items():
                self.db.execute(f"ALTER TABLE bench_history_{count}.{name} SET SCHEMA mqtt")
                self.db.execute(f"ALTER TABLE mqtt.history ATTACH PARTITION mqtt.{name} {bound}")
            self.current = count
        self.db.execute("TRUNCATE mqtt.history_default, mqtt.integration_activity_log")
        self.db.execute("ANALYZE mqtt.history")
        self.db.execute("CHECKPOINT")

    def _put_away(self) -> None:
        if self.current is None:
            for name, *_ in self.db.execute(self.PARTITIONS).fetchall():
                self.db.execute(f"DROP TABLE mqtt.{name}")
            return
        for name, bound, *_ in self.db.execute(self.PARTITIONS).fetchall():
            self.db.execute(f"ALTER TABLE mqtt.history DETACH PARTITION mqtt.{name}")
            self.db.execute(f"ALTER TABLE mqtt.{name} SET SCHEMA bench_history_{self.current}")
            self.bounds[self.current][name] = bound
        self.current = None

    def clear(self) -> None:
        for count in self.bounds:
            self.db.execute(f"DROP SCHEMA bench_history_{count} CASCADE")
        empty_history(self.db)


def devices_in(count: int, tenants: list[Tenant]) -> int:
    """How many devices of each organization a history of this size has."""
    return max(1, min(100, count // 100 // len(tenants)))


def devices_of(db: Connection, tenants: list[Tenant], count: int) -> list[tuple[str]]:
    """Up to 50 devices of the first organization that have messages in a history of this size."""
    found = db.execute(
        "SELECT id FROM mqtt.devices WHERE organization_id = %s ORDER BY external_id LIMIT %s",
        (tenants[0].organization_id, min(50, devices_in(count, tenants))),
    ).fetchall()
    return [(str(row[0]),) for row in found]
