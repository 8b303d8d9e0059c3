"""What a message costs on disk and in the write-ahead log."""

from __future__ import annotations

import json
from collections.abc import Callable

from bench.harness import Bench, Connection
from bench.load.worker import FLOOR, drain, floor_values, run_worker
from bench.samples import Sample
from bench.setup.messages import clear, empty_history, empty_queue
from bench.setup.tenants import make_tenants
from bench.waiting import scalar

ORGANIZATIONS = 10  # one alone would share its pages with nobody
SIZES = """
SELECT sum(pg_total_relation_size(i.inhrelid))::bigint, sum(pg_relation_size(i.inhrelid))::bigint
FROM pg_inherits AS i WHERE i.inhparent = 'mqtt.history'::regclass
"""


def storage(bench: Bench) -> None:
    """Bytes on disk of a stored message, indexes included."""
    count = 20_000 if bench.options.quick else 100_000
    with bench.connect() as db:
        tenants = make_tenants(db, ORGANIZATIONS)
    run_worker(bench, tenants, count, 1000)
    with bench.connect() as db:
        row = db.execute(SIZES).fetchone()
        indexes = db.execute(
            "SELECT regexp_replace(c.relname, '_[0-9]{8}|_default', ''), sum(pg_relation_size(c.oid))::float / %s FROM pg_inherits AS i"
            " JOIN pg_index AS x ON x.indrelid = i.inhrelid JOIN pg_class AS c ON c.oid = x.indexrelid"
            " WHERE i.inhparent = 'mqtt.history'::regclass GROUP BY 1 ORDER BY 2 DESC",
            (count,),
        ).fetchall()
    assert row is not None  # noqa: S101
    parts = ", ".join(f"{name} {size:.0f} B" for name, size in indexes)
    bench.absolute(
        "storage", "storage per stored message, as a multiple of its 100 B payload", [row[0] / count / 100], target=3,
        unit="of the payload", setting=f"100 B JSON, {count:,} messages of {ORGANIZATIONS} organizations with 100 devices each",
        note=f"{row[0] / count:.0f} B: table {row[1] / count:.0f} B, {parts}",
    )  # fmt: skip


def wal_of(db: Connection, work: Callable[[], object]) -> int:
    """Bytes of WAL that the whole cluster writes during work."""
    before = scalar(db, "SELECT pg_current_wal_insert_lsn() - '0/0'")
    work()
    return scalar(db, "SELECT pg_current_wal_insert_lsn() - '0/0'") - before


def wal(bench: Bench) -> None:
    """Bytes of WAL of a message from ingest to history, beside an insert, a delete and an insert."""
    clear(bench)
    count = 1000 if bench.options.quick else 3000
    with bench.connect() as db:
        tenant = make_tenants(db, 1)[0]
        run_worker(bench, [tenant], 1000, 1000)
        known = floor_values(db, tenant, 1000)
        messages = [json.loads(tenant.message(n)) for n in range(100)]
        for message in messages:
            message["payload"] = json.dumps(message["payload"], separators=(",", ":"))
        documents = [tenant.message(n) for n in range(100)]
        headers = json.dumps({k.lower(): v for k, v in tenant.headers.items()})
        db.execute("SELECT set_config('request.headers', %s, false)", (headers,))
        db.execute("SET synchronous_commit = off")  # writes the same bytes, without waiting for the disk

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
