"""The whole way of a message: accepted over HTTP, stored, and all its effects made, counted together."""

from __future__ import annotations

import threading
import time

from bench.harness import Bench, Connection
from bench.load.requests import send
from bench.load.worker import drain
from bench.measurements.storage import wal_of
from bench.samples import Sample, Side, sample_of
from bench.setup import peers
from bench.setup.bridge import bridge
from bench.setup.earlier import COMMIT, earlier
from bench.setup.messages import clear, settle
from bench.setup.payload import payload
from bench.setup.tenants import Tenant, make_tenants
from bench.waiting import scalar, until

ORGANIZATIONS = 10  # of 100 devices each
# One subscription with a callback, which the messages of one device match.
CALLBACK = """
INSERT INTO mqtt.mqtt_subscriptions (organization_id, id, integration_id, topic, callback_url)
SELECT %s, '00000000-0000-4000-8000-00000000ca11', %s, %s, 'https://bench.invalid/hook' ON CONFLICT DO NOTHING
"""
SETTING = "100 B JSON, ten organizations, 1,000 devices; latest values, ledger, activity, one callback that a message in a thousand matches"


def tenants_with_a_callback(bench: Bench) -> list[Tenant]:
    with bench.connect() as db:
        tenants = make_tenants(db, ORGANIZATIONS)
        db.execute(CALLBACK, (tenants[0].organization_id, tenants[0].integration_id, tenants[0].topic(0)))
    return tenants


def without_callback(bench: Bench) -> None:
    with bench.connect() as db:
        db.execute("DELETE FROM mqtt.mqtt_subscriptions WHERE callback_url = 'https://bench.invalid/hook'")
        db.execute("TRUNCATE mqtt.mqtt_callback_deliveries")


def empty(bench: Bench) -> None:
    history = "mqtt.history" if scalar_of(bench, "SELECT (to_regclass('mqtt.history') IS NOT NULL)::integer") else "mqtt.mqtt_messages"
    with bench.connect() as db:
        db.execute(f"TRUNCATE {history}, pgmq.q_mqtt_messages, mqtt.ledger, mqtt.integration_activity_log, mqtt.mqtt_callback_deliveries")


def scalar_of(bench: Bench, statement: str) -> int:
    with bench.connect() as db:
        return scalar(db, statement)


def settle_all(db: Connection) -> None:
    """Until the queue is empty: a worker that finds nothing more looks again, as the bridge does."""

    def is_empty() -> bool:
        drain(db, 1000)
        return scalar(db, "SELECT count(*) FROM (SELECT FROM pgmq.q_mqtt_messages LIMIT 1) AS q") == 0

    until(is_empty, "messages are left", 0.001)


def in_turn(bench: Bench, tenants: list[Tenant], count: int, requests: int) -> Sample:
    """Sends, then processes: CPU of PostgreSQL per message, as the cost."""
    empty(bench)
    before = bench.server_cpu(("postgres",))
    sent, _ = send(bench, tenants, count, lambda number: number < requests, 16 if count == 1 else 4)
    with bench.connect() as db:
        settle_all(db)
    return Sample((bench.server_cpu(("postgres",)) - before) / sent * 1e6, count=sent)


def wal_in_turn(bench: Bench, tenants: list[Tenant], requests: int) -> Sample:
    empty(bench)
    sent = [0]

    def work() -> None:
        sent[0], _ = send(bench, tenants, 1000, lambda number: number < requests)
        with bench.connect() as db:
            settle_all(db)

    with bench.connect() as db:
        db.execute("CHECKPOINT")
        return Sample(wal_of(db, work) / sent[0], count=sent[0])


def against_earlier(bench: Bench) -> None:
    """CPU and WAL of a message, ingest and processing together, beside the same of an earlier commit."""
    clear(bench)
    settle(bench)
    batches, singles = (40, 1_000) if bench.options.quick else (200, 8_000)
    with earlier(bench) as other:
        if other is None:
            bench.skip("whole-cpu", f"this clone does not have commit {COMMIT}; the rows keep their last figures")
            return
        both = {"now": bench, "earlier": other}
        tenants = {name: tenants_with_a_callback(one) for name, one in both.items()}
        for key, what, count, requests, target in (
            ("whole-cpu", "PostgreSQL's CPU for ingest and processing, batches of 1,000", 1000, batches, 0.5),
            ("whole-cpu-single", "PostgreSQL's CPU for ingest and processing, single messages", 1, singles, 1 / 1.4),
        ):
            sides = bench.alternate(what, {
                name: lambda one=one, name=name, count=count, requests=requests: in_turn(one, tenants[name], count, requests)  # type: ignore[misc]
                for name, one in both.items()
            })  # fmt: skip
            bench.compare(
                key, what, f"commit {COMMIT}", sides["now"], sides["earlier"], target=target, at_least=False, unit="µs/msg",
                setting=f"{SETTING}; {requests:,} requests, then the worker",
            )  # fmt: skip
        sides = bench.alternate(
            "WAL of the whole way",
            {name: lambda one=one, name=name: wal_in_turn(one, tenants[name], batches // 4) for name, one in both.items()},  # type: ignore[misc]
        )
        bench.compare(
            "whole-wal", "WAL of ingest and processing, batches of 1,000", f"commit {COMMIT}", sides["now"], sides["earlier"], target=0.4,
            at_least=False, unit="B/msg", setting=f"{SETTING}; after a checkpoint, with full-page writes",
        )  # fmt: skip
    without_callback(bench)
    empty(bench)


def at_once(bench: Bench, tenants: list[Tenant], requests: int) -> Sample:
    """A worker processes while messages arrive: seconds from the first request until all are settled."""
    empty(bench)
    all_sent = threading.Event()

    def work() -> None:
        with bench.connect() as db:
            while not all_sent.is_set():
                if not drain(db, 1000)[0]:
                    time.sleep(0.005)
            settle_all(db)

    worker = threading.Thread(target=work)
    start = time.perf_counter()
    worker.start()
    try:
        sent, latencies = send(bench, tenants, 1000, lambda number: number < requests)
    finally:
        all_sent.set()
        worker.join()
    seconds = time.perf_counter() - start
    return sample_of(sent, seconds, latencies)


def end_to_end(bench: Bench) -> None:
    """Ingest and processing, messages per second, beside graphile-worker's adding and running of no-op jobs."""
    node = peers.node_peers()
    clear(bench)
    settle(bench)
    tenants = tenants_with_a_callback(bench)
    requests, jobs = (40, 20_000) if bench.options.quick else (200, 100_000)
    url = peers.database(bench, "bench_graphile")

    def graphile() -> Sample:
        script = peers.SCRIPTS / "graphile_worker.mjs"
        answer = peers.last_json(peers.run(["node", script, url, str(jobs), payload()], env=peers.node_environment(node), timeout=300))
        return sample_of(jobs, answer["adding"] + answer["seconds"], answer["latencies"])

    sides = bench.alternate("end to end", {"ours": lambda: at_once(bench, tenants, requests), "graphile-worker": graphile})
    bench.compare(
        "whole-graphile", "ingest and processing, end to end", "graphile-worker 0.18.0, add_jobs and no-op jobs", sides["ours"],
        sides["graphile-worker"], target=3, setting=f"{SETTING}; {requests:,} batches of 1,000 with ?columns=messages over 4 connections,"
        f" one worker meanwhile, until all is settled; theirs {jobs:,} jobs, added in one call, then run",
    )  # fmt: skip
    without_callback(bench)
    empty(bench)


def processed_rate(bench: Bench, tenants: list[Tenant], seconds: float, last: float) -> float:
    """Sends as fast as the bridge processes, for so long; returns what was settled a second during the last part."""
    end = time.monotonic() + seconds
    is_full = threading.Event()
    marks: list[tuple[float, int]] = []

    def watch() -> None:
        with bench.connect() as db:
            while (now := time.monotonic()) < end:
                queued = scalar(db, "SELECT sum(q.message_count) FROM pgmq.q_mqtt_messages AS q")
                (is_full.set if queued > 20_000 else is_full.clear)()
                if now >= end - last:
                    marks.append((now, scalar(db, "SELECT sum(l.completed) FROM mqtt.ledger AS l")))
                time.sleep(0.1)

    def go_on(_: int) -> bool:
        while is_full.is_set() and time.monotonic() < end:
            time.sleep(0.01)
        return time.monotonic() < end

    watcher = threading.Thread(target=watch)
    watcher.start()
    send(bench, tenants, 100, go_on)
    watcher.join()
    return (marks[-1][1] - marks[0][1]) / (marks[-1][0] - marks[0][0])


def held_snapshot(bench: Bench) -> None:
    """Ingest and processing at full rate while a transaction holds an old snapshot, beside the same without."""
    clear(bench)
    settle(bench)
    tenants = tenants_with_a_callback(bench)
    held, last = (15.0, 5.0) if bench.options.quick else (600.0, 60.0)
    sides = {name: Side(name) for name in ("held", "free")}
    with bridge(bench):
        empty(bench)
        processed_rate(bench, tenants, 3, 2)
        sides["free"].samples.append(Sample(processed_rate(bench, tenants, 2 * last, last)))
        with bench.connect() as session:
            session.autocommit = False
            session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            session.execute("SELECT count(*) FROM mqtt.devices")
            sides["held"].samples.append(Sample(processed_rate(bench, tenants, held, last)))
    bench.compare(
        "snapshot", f"ingest and processing while a snapshot is held for {held:.0f} s", "the same without, before", sides["held"],
        sides["free"], target=0.9,
        setting=f"{SETTING}; batches of 100 over 4 connections, as many as are processed; rate of the last {last:.0f} s",
    )  # fmt: skip
    without_callback(bench)
    empty(bench)
