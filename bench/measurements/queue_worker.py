"""The queue worker."""

from __future__ import annotations

import time

from bench.harness import Bench, Connection
from bench.load.worker import FLOOR, FLOOR_PLAN, floor_values, run_worker
from bench.samples import Sample, Side, sample_of
from bench.setup.messages import clear, empty_history, empty_queue, fill_queue, settle
from bench.setup.tenants import Tenant, make_tenants


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
        known = floor_values(db, tenant, batch)
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
