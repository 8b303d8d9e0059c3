"""What a message costs on disk and in the log, and what reading costs."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence

from bench.harness import Bench, Connection, Sample, Side, sample_of
from bench.http_rows import clear, post
from bench.tenants import Tenant, claims, empty_history, empty_queue, fill_queue, make_tenants
from bench.worker_rows import FLOOR, drain, run_worker

SIZES = """
SELECT sum(pg_total_relation_size(i.inhrelid))::bigint, sum(pg_relation_size(i.inhrelid))::bigint
FROM pg_inherits AS i WHERE i.inhparent = 'mqtt.mqtt_messages'::regclass
"""


def one(db: Connection, statement: str) -> int:
    row = db.execute(statement).fetchone()
    assert row is not None  # noqa: S101  # an aggregate has one row
    return int(row[0])


def storage(bench: Bench) -> None:
    """Bytes on disk of a stored message, indexes included."""
    count = 20_000 if bench.options.quick else 100_000
    with bench.connect() as db:
        tenants = make_tenants(db, 1)
    run_worker(bench, tenants, count, 1000)
    with bench.connect() as db:
        row = db.execute(SIZES).fetchone()
        indexes = db.execute(
            "SELECT regexp_replace(c.relname, '_[0-9]{8}|_default', ''), sum(pg_relation_size(c.oid))::float / %s FROM pg_inherits AS i"
            " JOIN pg_index AS x ON x.indrelid = i.inhrelid JOIN pg_class AS c ON c.oid = x.indexrelid"
            " WHERE i.inhparent = 'mqtt.mqtt_messages'::regclass GROUP BY 1 ORDER BY 2 DESC",
            (count,),
        ).fetchall()
    assert row is not None  # noqa: S101
    parts = ", ".join(f"{name} {size:.0f} B" for name, size in indexes)
    bench.absolute(
        "storage", "storage per stored message, as a multiple of its 100 B payload", [row[0] / count / 100], target=3.5,
        unit="of the payload", setting=f"100 B JSON, {count:,} messages, 100 devices",
        note=f"{row[0] / count:.0f} B: table {row[1] / count:.0f} B, {parts}",
    )  # fmt: skip


def wal_of(db: Connection, work: Callable[[], object]) -> int:
    """WAL bytes written meanwhile by the whole cluster."""
    before = one(db, "SELECT pg_current_wal_insert_lsn() - '0/0'")
    work()
    return one(db, "SELECT pg_current_wal_insert_lsn() - '0/0'") - before


def wal(bench: Bench) -> None:
    """WAL bytes of a message from its ingest to its place in the history, beside one insert, one delete, one insert."""
    clear(bench)
    count = 1000 if bench.options.quick else 3000
    with bench.connect() as db:
        tenant = make_tenants(db, 1)[0]
        run_worker(bench, [tenant], 1000, 1000)
        devices = [str(row[0]) for row in db.execute("SELECT id FROM mqtt.devices ORDER BY id LIMIT 100").fetchall()]
        known = {"batch": 1000, "organization": tenant.organization_id, "integration": tenant.integration_id, "devices": devices}
        messages = [json.loads(tenant.message(n)) for n in range(100)]
        for message in messages:
            message["payload"] = json.dumps(message["payload"], separators=(",", ":"))
        documents = [tenant.message(n) for n in range(100)]
        headers = json.dumps({k.lower(): v for k, v in tenant.headers.items()})
        db.execute("SELECT set_config('request.headers', %s, false)", (headers,))
        db.execute("SET synchronous_commit = off")  # the same bytes, without waiting for each to be on disk

        def ingest(total: int) -> None:
            for n in range(total):
                db.execute("SELECT api.mqtt_ingest(topic => %(topic)s, payload => %(payload)s::json)", messages[n % 100])

        def insert(total: int) -> None:
            for n in range(total):
                db.execute("INSERT INTO pgmq.q_bench_floor (vt, message) VALUES (clock_timestamp(), %s::jsonb)", (documents[n % 100],))

        def move() -> None:
            while db.execute(FLOOR, known, prepare=True).rowcount == 1000:
                pass

        def ours() -> Sample:
            empty_queue(db)
            empty_history(db)
            ingest(100)
            drain(db, 1000)
            db.execute("VACUUM mqtt.devices, mqtt.ledger, mqtt.mqtt_credentials")
            first = wal_of(db, lambda: ingest(count))
            second = wal_of(db, lambda: drain(db, 1000))
            return Sample((first + second) / count, count=count)

        def floor() -> Sample:
            db.execute("TRUNCATE pgmq.q_bench_floor")
            empty_history(db)
            insert(100)
            move()
            first = wal_of(db, lambda: insert(count))
            second = wal_of(db, move)
            return Sample((first + second) / count, count=count)

        sides = bench.alternate("WAL", {"ingest + worker": ours, "floor": floor}, warm=False)
    bench.compare(
        "wal", "WAL per ingested and processed message", "one INSERT, then DELETE … RETURNING feeding an INSERT", sides["ingest + worker"],
        sides["floor"], target=1.3, at_least=False, unit="B/msg",
        setting=f"100 B JSON, {count:,} single ingests, worker batch 1,000, no checkpoint in between",
        note="synchronous_commit off here, which writes the same bytes",
    )  # fmt: skip


def fill_history(db: Connection, tenants: list[Tenant], count: int, *, days: int = 7, devices: int = 100) -> None:
    """History rows spread over the last days (1: over today, UTC), without going through the queue; sorted by time, as they come."""
    db.execute(
        """
        INSERT INTO mqtt.devices (organization_id, integration_id, external_id)
        SELECT o, i, 'device-' || lpad(d::text, 4, '0') FROM unnest(%s::uuid[], %s::uuid[]) AS t (o, i), generate_series(0, %s - 1) AS d
        ON CONFLICT DO NOTHING
        """,
        ([t.organization_id for t in tenants], [t.integration_id for t in tenants], devices),
    )
    for day in range(days):
        db.execute("SELECT mqtt.create_partition('mqtt.mqtt_messages', (now() AT TIME ZONE 'UTC')::date - %s::integer)", (day,))
    step = 1_000_000
    for start in range(0, count, step):
        db.execute(
            """
            WITH d AS MATERIALIZED (
                SELECT array_agg(v.id ORDER BY v.organization_id, v.external_id) AS ids, array_agg(v.organization_id
                    ORDER BY v.organization_id, v.external_id) AS organizations,
                    array_agg(v.integration_id ORDER BY v.organization_id, v.external_id) AS integrations, count(*) AS n
                FROM mqtt.devices AS v
                WHERE v.organization_id = ANY (%(organizations)s::uuid[]) AND v.external_id < 'device-' || lpad(%(devices)s::text, 4, '0')
            )
            INSERT INTO mqtt.mqtt_messages
                (received_at, created_at, organization_id, id, integration_id, device_id, direction, topic, payload)
            SELECT s.at, s.at + interval '5 ms', d.organizations[s.n %% d.n + 1], mqtt.message_id(s.at, s.n),
                d.integrations[s.n %% d.n + 1], d.ids[s.n %% d.n + 1], 'incoming', 'org_bench/devices/device/telemetry',
                jsonb_build_object('temperature', 21.5, 'humidity', 48.2, 'n', s.n, 'status', 'ok', 'pad', '0123456789abcdef0123456789ab')
            FROM d, (
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
    db.execute("VACUUM (ANALYZE) mqtt.mqtt_messages, mqtt.devices")


class Shelf:
    """Histories of different lengths side by side: one is the partitions up to today, the others are detached from the table."""

    PARTITIONS = """
    SELECT c.relname, pg_get_expr(c.relpartbound, c.oid), substring(pg_get_expr(c.relpartbound, c.oid), $$FROM \\('(.*?)'\\)$$),
        substring(pg_get_expr(c.relpartbound, c.oid), $$TO \\('(.*?)'\\)$$)
    FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'mqtt.mqtt_messages'::regclass AND c.relname ~ '_[0-9]{8}$'
        AND right(c.relname, 8) <= to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')
    """

    def __init__(self, db: Connection, tenants: list[Tenant]) -> None:
        self.db, self.tenants = db, tenants
        self.bounds: dict[int, dict[str, str]] = {}
        self.current: int | None = None

    def fill(self, count: int, days: int = 7) -> None:
        """A new history of so many rows of so many days, which is then the current one."""
        self._put_away()
        self.db.execute(f"CREATE SCHEMA bench_history_{count}")
        empty_history(self.db)
        fill_history(self.db, self.tenants, 0, days=days)
        for name, _, start, end in self.db.execute(self.PARTITIONS).fetchall():
            # With this, attaching it again does not read it all.
            check = f"received_at IS NOT NULL AND received_at >= '{start}' AND received_at < '{end}'"
            self.db.execute(f"ALTER TABLE mqtt.{name} ADD CHECK ({check})")
        # At least 100 messages of each device, so that there are as many to be read.
        fill_history(self.db, self.tenants, count, days=days, devices=devices_in(count, self.tenants))
        self.bounds[count], self.current = {}, count

    def take(self, count: int) -> None:
        """Make that one the current one."""
        if count != self.current:
            self._put_away()
            for name, bound in self.bounds[count].items():
                self.db.execute(f"ALTER TABLE bench_history_{count}.{name} SET SCHEMA mqtt")
                self.db.execute(f"ALTER TABLE mqtt.mqtt_messages ATTACH PARTITION mqtt.{name} {bound}")
            self.current = count
        self.db.execute("TRUNCATE mqtt.mqtt_messages_default, mqtt.integration_activity_log")
        self.db.execute("ANALYZE mqtt.mqtt_messages")
        self.db.execute("CHECKPOINT")

    def _put_away(self) -> None:
        if self.current is None:
            for name, *_ in self.db.execute(self.PARTITIONS).fetchall():
                self.db.execute(f"DROP TABLE mqtt.{name}")
            return
        for name, bound, *_ in self.db.execute(self.PARTITIONS).fetchall():
            self.db.execute(f"ALTER TABLE mqtt.mqtt_messages DETACH PARTITION mqtt.{name}")
            self.db.execute(f"ALTER TABLE mqtt.{name} SET SCHEMA bench_history_{self.current}")
            self.bounds[self.current][name] = bound
        self.current = None

    def clear(self) -> None:
        for count in self.bounds:
            self.db.execute(f"DROP SCHEMA bench_history_{count} CASCADE")
        empty_history(self.db)


LAST_100 = "SELECT * FROM {} AS m WHERE m.organization_id = %s ORDER BY m.received_at DESC LIMIT 100"
LAST_100_DEVICE = "SELECT * FROM {} AS m WHERE m.device_id = %s ORDER BY m.received_at DESC LIMIT 100"


def history_view(db: Connection) -> str:
    """The API's view where there is one, else the table that it shows."""
    row = db.execute("SELECT to_regclass('api.mqtt_messages') IS NOT NULL").fetchone()
    return "api.mqtt_messages" if row and row[0] else "mqtt.mqtt_messages"


def query(bench: Bench, role: str, tenant: Tenant, statement: str, parameters: Sequence[tuple[str]], runs: int) -> Sample:
    """The statement again and again as that role, prepared, each parameter in turn. rate: milliseconds a query, the median."""
    latencies = []
    with bench.connect(prepare_threshold=1) as db:
        db.execute("SELECT set_config('request.jwt.claims', %s, false)", (claims(tenant),))
        db.execute(f"SET ROLE {role}")
        for n in range(runs + 20):
            start = time.perf_counter()
            db.execute(statement, parameters[n % len(parameters)]).fetchall()
            if n >= 20:
                latencies.append(time.perf_counter() - start)
    sample = sample_of(runs, sum(latencies), latencies)
    return Sample(statistics.median(latencies) * 1000, sample.p50, sample.p99, runs)


def server_time(bench: Bench, role: str, tenant: Tenant, statement: str, parameter: str, runs: int) -> Sample:
    """The statement as that role, prepared, by the server's own clock: planning and execution, without what the client takes."""
    latencies = []
    with bench.connect() as db:
        db.execute("SELECT set_config('request.jwt.claims', %s, false)", (claims(tenant),))
        db.execute(f"SET ROLE {role}")
        db.execute(f"PREPARE bench AS {statement.replace('%s', '$1')}")
        for n in range(runs + 20):
            found = db.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE bench ('{parameter}')").fetchone()
            assert found is not None  # noqa: S101  # EXPLAIN has one row
            if n >= 20:
                latencies.append((found[0][0]["Planning Time"] + found[0][0]["Execution Time"]) / 1000)
    sample = sample_of(runs, sum(latencies), latencies)
    return Sample(statistics.median(latencies) * 1000, sample.p50, sample.p99, runs)


def row_security(bench: Bench) -> None:
    """A member's last 100 messages beside the same query without RLS."""
    count = 100_000 if bench.options.quick else 1_000_000
    clear(bench)
    with bench.connect() as db:
        tenants = make_tenants(db, 10)
        empty_history(db)
        fill_history(db, tenants, count)
        view = history_view(db)
    statement = LAST_100.format(view)
    tenant, runs = tenants[3], 500
    parameters = [(tenant.organization_id,)]
    sides = bench.alternate(
        "row security",
        {
            "member": lambda: server_time(bench, "authenticated", tenant, statement, tenant.organization_id, runs),
            "no RLS": lambda: server_time(bench, "service_role", tenant, statement, tenant.organization_id, runs),
            "member, client": lambda: query(bench, "authenticated", tenant, statement, parameters, runs),
            "no RLS, client": lambda: query(bench, "service_role", tenant, statement, parameters, runs),
        },
    )
    setting = f"{count:,} stored rows of 10 organizations, 7 days; SQL, prepared"
    for key, what, suffix, how in (
        ("rls", "a member's last 100 messages, in the server", "", "planning and execution by EXPLAIN ANALYZE without timing of nodes"),
        ("rls-client", "a member's last 100 messages, to the client", ", client", "with the way to psycopg and its making of rows"),
    ):
        bench.compare(
            key, what, "the same query without RLS (service_role, BYPASSRLS)", sides[f"member{suffix}"], sides[f"no RLS{suffix}"],
            target=1.2, at_least=False, unit="ms", setting=f"{setting}; {how}",
        )  # fmt: skip
    clear(bench)
    with bench.connect() as db:
        empty_history(db)


def stats(bench: Bench) -> None:
    """get_mqtt_queue_stats with a million messages queued."""
    count = 100_000 if bench.options.quick else 1_000_000
    clear(bench)
    with bench.connect() as db:
        tenants = make_tenants(db, 10)
        for tenant in tenants:
            fill_queue(db, tenant, count // 10)
        db.execute("VACUUM (ANALYZE) pgmq.q_mqtt_messages")
    statement = "SELECT api.get_mqtt_queue_stats(%s)"
    parameters = [(t.organization_id,) for t in tenants]
    side = Side("get_mqtt_queue_stats")
    for _ in range(bench.options.rounds):
        side.samples.append(query(bench, "service_role", tenants[0], statement, parameters, 100))
    bench.absolute(
        "stats", "get_mqtt_queue_stats", [s.rate for s in side.samples], target=10, unit="ms", side=side,
        setting=f"{count:,} queued by 10 organizations; SQL, prepared",
    )  # fmt: skip
    clear(bench)


def history(bench: Bench) -> None:
    """Ingest and "last 100 of a device" with millions of stored rows, and on a history of nothing or of one day, in turns."""
    clear(bench)
    total, few = bench.options.scale, 10_000
    sides = {name: Side(name) for name in ("ingest", "read", "ingest without history", "read of few")}
    with bench.connect() as db:
        tenants = make_tenants(db, 10)
        view = history_view(db)
        shelf = Shelf(db, tenants)
        shelf.fill(0, days=1)
        shelf.fill(few, days=1)
        shelf.fill(total)

        def ingest(size: int) -> Sample:
            shelf.take(size)
            clear(bench)
            return post(bench, "mqtt_ingest", tenants[0].message(), tenants[0].headers)

        def read(size: int) -> Sample:
            shelf.take(size)
            return query(bench, "authenticated", tenants[0], LAST_100_DEVICE.format(view), devices_of(db, tenants, size), 300)

        for number in range(-1, bench.options.rounds):
            found: dict[str, Sample] = {}
            for is_long in (False, True) if number % 2 else (True, False):
                if is_long:
                    found |= {"ingest": ingest(total), "read": read(total)}
                else:
                    found |= {"ingest without history": ingest(0), "read of few": read(few)}
            if number >= 0:
                for name, sample in found.items():
                    sides[name].samples.append(sample)
        shelf.clear()
    setting = f"{total:,} stored rows of 10 organizations and 1,000 devices, 7 days; in turns with"
    bench.compare(
        "history-ingest", "single ingest, long history", "the same, empty history", sides["ingest"], sides["ingest without history"],
        target=0.9, setting=f"{setting} none stored",
    )  # fmt: skip
    bench.compare(
        "history-read", "last 100 of a device, long history (speed)", "the same, short history", sides["read of few"], sides["read"],
        target=0.9, unit="ms", note="ratio of times turned round; first figure short, second long",
        setting=f"{setting} {few:,} of 100 devices, all of today, in one partition (a device of an empty history has no 100 to read)",
    )  # fmt: skip


def devices_in(count: int, tenants: list[Tenant]) -> int:
    """How many devices of each organization a history of so many messages is of."""
    return max(1, min(100, count // 100 // len(tenants)))


def devices_of(db: Connection, tenants: list[Tenant], count: int) -> list[tuple[str]]:
    """Up to 50 devices of the first organization that have messages in a history of so many."""
    found = db.execute(
        "SELECT id FROM mqtt.devices WHERE organization_id = %s ORDER BY external_id LIMIT %s",
        (tenants[0].organization_id, min(50, devices_in(count, tenants))),
    ).fetchall()
    return [(str(row[0]),) for row in found]


def growth_history(bench: Bench) -> None:
    """Plot: ingest, the worker, and reading back, against the rows stored."""
    clear(bench)
    sizes = [n for n in (10_000, 100_000, 1_000_000, 10_000_000) if n <= bench.options.scale]
    with bench.connect() as db:
        tenants = make_tenants(db, 10)
        view = history_view(db)
        shelf = Shelf(db, tenants)
        for size in sizes:
            shelf.fill(size)

        def measure(size: int) -> dict[str, Sample]:
            shelf.take(size)
            clear(bench)
            ingest = post(bench, "mqtt_ingest", tenants[0].message(), tenants[0].headers)
            read = query(bench, "authenticated", tenants[0], LAST_100_DEVICE.format(view), devices_of(db, tenants, size), 300)
            empty_queue(db)
            fill_queue(db, tenants[0], 20_000)
            start = time.perf_counter()
            _, latencies = drain(db, 1000)
            worker = sample_of(20_000, time.perf_counter() - start, latencies)
            return {"ingest": ingest, "read": read, "worker": worker}

        lines = bench.growth("stored rows", sizes, measure)
        shelf.clear()
    bench.plot(
        "history-ingest", "Single ingest against stored rows", ("stored rows", "msg/s"), {"single ingest, 16 connections": lines["ingest"]}
    )
    bench.plot("history-worker", "Queue worker against stored rows", ("stored rows", "msg/s"), {"worker, batch 1,000": lines["worker"]})
    bench.plot("history-read", "Last 100 of a device against stored rows", ("stored rows", "ms"), {"member, with RLS": lines["read"]})
