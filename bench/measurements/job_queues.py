"""The queue worker beside job queues that people run on PostgreSQL."""

from __future__ import annotations

from typing import Any

from bench.harness import Bench
from bench.load.worker import run_worker
from bench.samples import Sample, sample_of
from bench.setup import peers
from bench.setup.messages import clear, settle
from bench.setup.payload import payload
from bench.setup.tenants import make_tenants


def job_queues(bench: Bench) -> None:
    """Messages stored per second beside jobs per second of procrastinate and graphile-worker, whose jobs do nothing."""
    python, node = peers.python_peers(), peers.node_peers()
    clear(bench)
    settle(bench)
    with bench.connect() as db:
        tenant = make_tenants(db, 1)[0]
    count = 20_000 if bench.options.quick else 40_000
    few, many = (500, 20_000) if bench.options.quick else (3000, 100_000)
    concurrency = 10
    slow_url, fast_url = peers.database(bench, "bench_procrastinate"), peers.database(bench, "bench_graphile")

    def procrastinate() -> Sample:
        answer = peers.last_json(
            peers.run([python, peers.SCRIPTS / "procrastinate_worker.py", slow_url, str(few), str(concurrency), payload()])
        )
        return check(answer, few)

    def graphile() -> Sample:
        script = peers.SCRIPTS / "graphile_worker.mjs"
        answer = peers.last_json(peers.run(["node", script, fast_url, str(many), payload()], env=peers.node_environment(node), timeout=300))
        return check(answer, many)

    run_worker(bench, [tenant], 1000, 1000)
    sides = bench.alternate(
        "job queues",
        {"worker": lambda: run_worker(bench, [tenant], count, 1000), "procrastinate": procrastinate, "graphile-worker": graphile},
    )
    setting = (
        f"100 B JSON; ours {count:,} messages, batch 1,000, one connection, p50 and p99 of a batch; theirs from the first job's start to"
        " the last one's end"
    )
    bench.compare(
        "worker-procrastinate", "queue worker", "procrastinate 3.10.0, no-op jobs", sides["worker"], sides["procrastinate"], target=50,
        setting=f"{setting}, {few:,} jobs, one worker, concurrency {concurrency}; p50 and p99 of a job, from fetched to noted as done",
    )  # fmt: skip
    bench.compare(
        "worker-graphile", "queue worker", "graphile-worker 0.18.0, no-op jobs", sides["worker"], sides["graphile-worker"], target=5,
        setting=f"{setting}, {many:,} jobs, concurrency 24, local queue of 500, batched completion (its page on performance); p50 and"
        " p99 of a job, from fetched to run",
    )  # fmt: skip


def check(answer: dict[str, Any], expected: int) -> Sample:
    if answer["count"] != expected:
        raise RuntimeError(f"{answer['count']} of {expected} jobs ran")
    return sample_of(expected, answer["seconds"], answer["latencies"])
