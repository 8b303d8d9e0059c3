"""The queue worker."""

from __future__ import annotations

import time

from bench.harness import Bench, Connection, Sample, Side, sample_of, threads
from bench.http_rows import clear
from bench.tenants import Tenant, empty_history, empty_queue, fill_queue, make_tenants, settle

CALL = "SELECT (r ->> 'processed')::integer, (r ->> 'more')::boolean FROM bridge.process_queue(%s) AS r"
# The least that moves a batch: rows by address, as the worker's, in the order they have in the table, which is that of the history's
# indexes; no locks for other workers; an id that is unique and ascending for the price of a cast.
FLOOR = """
WITH gone AS (
    DELETE FROM pgmq.q_bench_floor
    WHERE ctid = ANY (ARRAY(SELECT q.ctid FROM pgmq.q_bench_floor AS q ORDER BY q.msg_id LIMIT %(batch)s))
    RETURNING msg_id, enqueued_at, message
)
INSERT INTO mqtt.mqtt_messages (received_at, organization_id, id, integration_id, device_id, direction, topic, payload)
SELECT enqueued_at, %(organization)s, lpad(to_hex(msg_id), 32, '0')::uuid, %(integration)s, (%(devices)s::uuid[])[msg_id %% 100 + 1],
    'incoming', message ->> 'topic', message -> 'payload'
FROM gone
"""
FLOOR_PLAN = "SET plan_cache_mode = force_generic_plan"  # planned once, as the worker's statement is


def drain(db: Connection, batch: int) -> tuple[int, list[float]]:
    """Calls the worker until nothing is due; returns how many were stored and the seconds of each call."""
    stored, latencies = 0, []
    while True:
        start = time.perf_counter()
        row = db.execute(
            "SELECT (r ->> 'processed')::integer, (r ->> 'more')::boolean FROM bridge.process_queue(%s) AS r", (batch,)
        ).fetchone()
        latencies.append(time.perf_counter() - start)
        assert row is not None  # noqa: S101  # one row always
        stored += row[0]
        if not row[1]:
            return stored, latencies


def run_worker(bench: Bench, tenants: list[Tenant], count: int, batch: int, workers: int = 1) -> Sample:
    with bench.connect() as db:
        empty_history(db)
        empty_queue(db)
        for tenant in tenants:
            fill_queue(db, tenant, count // len(tenants))
        db.execute("VACUUM (ANALYZE) pgmq.q_mqtt_messages, mqtt.devices, mqtt.mqtt_credentials, mqtt.ledger")
    stored = [0] * workers

    def work(number: int) -> list[float]:
        latencies: list[float] = []
        with bench.connect() as db:
            # Nothing to be had is not nothing there: another worker may be at it. The bridge's worker looks again as soon.
            while not latencies or db.execute("SELECT EXISTS (SELECT FROM pgmq.q_mqtt_messages)").fetchone() == (True,):
                count, times = drain(db, batch)
                stored[number] += count
                latencies += times
        return latencies

    latencies, seconds = threads(workers, work)
    with bench.connect() as db:
        left = db.execute("SELECT count(*) FROM pgmq.q_mqtt_messages").fetchone()
        rows = db.execute("SELECT count(*) FROM mqtt.mqtt_messages").fetchone()
        # order: of one device's messages none was stored before an earlier one
        swapped = db.execute(
            "SELECT count(*) FROM (SELECT created_at < lag(created_at) OVER (PARTITION BY device_id ORDER BY received_at, id) AS is_swapped"
            " FROM mqtt.mqtt_messages) AS x WHERE is_swapped"
        ).fetchone()
    expected = count // len(tenants) * len(tenants)
    if sum(stored) != expected or left != (0,) or rows != (expected,) or swapped != (0,):
        raise RuntimeError(f"worker: stored {stored} of {expected}, left {left}, in the history {rows}, out of order {swapped}")
    return sample_of(expected, seconds, latencies)


def fill_floor(db: Connection, tenant: Tenant, count: int) -> None:
    db.execute("TRUNCATE pgmq.q_bench_floor, pgmq.a_bench_floor")
    empty_history(db)
    empty_queue(db)
    fill_queue(db, tenant, count)
    db.execute(
        "INSERT INTO pgmq.q_bench_floor (enqueued_at, vt, message)"
        " SELECT enqueued_at, vt, message FROM pgmq.q_mqtt_messages ORDER BY msg_id"
    )
    empty_queue(db)
    db.execute("VACUUM (ANALYZE) pgmq.q_bench_floor")


def run_floor(bench: Bench, tenant: Tenant, count: int, batch: int) -> Sample:
    latencies = []
    with bench.connect() as db:
        fill_floor(db, tenant, count)
        devices = [str(row[0]) for row in db.execute("SELECT id FROM mqtt.devices ORDER BY id LIMIT 100").fetchall()]
        known = {"batch": batch, "organization": tenant.organization_id, "integration": tenant.integration_id, "devices": devices}
        db.execute(FLOOR_PLAN)
        begin = start = time.perf_counter()
        while db.execute(FLOOR, known, prepare=True).rowcount == batch:
            now = time.perf_counter()
            latencies.append(now - start)
            start = now
        seconds = time.perf_counter() - begin
    return sample_of(count, seconds, latencies)


def run_pgmq(bench: Bench, tenant: Tenant, count: int, batch: int) -> Sample:
    latencies = []
    with bench.connect() as db:
        fill_floor(db, tenant, count)
        begin = start = time.perf_counter()
        while rows := db.execute("SELECT msg_id, message FROM pgmq.read('bench_floor', 30, %s)", (batch,)).fetchall():
            db.execute("SELECT pgmq.archive('bench_floor', %s::bigint[])", ([row[0] for row in rows],))
            now = time.perf_counter()
            latencies.append(now - start)
            start = now
        seconds = time.perf_counter() - begin
    return sample_of(count, seconds, latencies)


def queue_worker(bench: Bench) -> None:
    """One worker at batch 1,000 beside the floor and beside pgmq.read + pgmq.archive."""
    clear(bench)
    settle(bench)
    count, batch = (20_000 if bench.options.quick else 40_000), 1000
    with bench.connect() as db:
        tenant = make_tenants(db, 1)[0]
    run_worker(bench, [tenant], 1000, batch)  # registers the devices
    sides = bench.alternate(
        "queue worker",
        {
            "worker": lambda: run_worker(bench, [tenant], count, batch),
            "floor": lambda: run_floor(bench, tenant, count, batch),
            "pgmq": lambda: run_pgmq(bench, tenant, count, batch),
        },
    )
    setting = f"100 B JSON, batch {batch:,}, one connection, {count:,} queued, 100 devices"
    ours = sides["worker"]
    bench.compare(
        "worker-floor", "queue worker", "DELETE … RETURNING feeding a bare INSERT into the same table", ours, sides["floor"],
        target=0.7, setting=setting,
    )  # fmt: skip
    bench.compare("worker-pgmq", "queue worker", "pgmq.read + pgmq.archive, no history", ours, sides["pgmq"], target=0.8, setting=setting)
    bench.absolute(
        "worker-rate", "queue worker, rate", [s.rate for s in ours.samples], target=30_000, at_least=True, setting=setting,
        unit="msg/s", side=ours,
    )  # fmt: skip


def four_workers(bench: Bench) -> None:
    """Four workers on four organizations against one."""
    clear(bench)
    settle(bench)
    count, batch = (20_000 if bench.options.quick else 60_000), 1000
    with bench.connect() as db:
        tenants = make_tenants(db, 4)
    sides: dict[str, Side] = bench.alternate(
        "four workers",
        {
            "four": lambda: run_worker(bench, tenants, count, batch, 4),
            "one": lambda: run_worker(bench, tenants, count, batch, 1),
        },
    )
    bench.compare(
        "workers-4", "four workers, four organizations", "one worker", sides["four"], sides["one"], target=1.3,
        setting=f"100 B JSON, batch {batch:,}, {count:,} queued; order per device checked in every run",
    )  # fmt: skip
