"""Plots: each cost against the size of what it may depend on."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable

from bench.harness import Bench, Connection, Point, Sample
from bench.http_rows import clear, post
from bench.mqtt_rows import row
from bench.storage_rows import query
from bench.tenants import Tenant, empty_history, empty_queue, fill_queue, make_tenants, settle
from bench.worker_rows import CALL, drain


def sizes(bench: Bench, values: Iterable[int]) -> list[int]:
    chosen = list(values)
    return chosen[:3] if bench.options.quick else chosen


def measured(rounds: int, work: Callable[[], Sample]) -> Sample:
    """The run with the median rate, after one that does not count."""
    work()
    return sorted((work() for _ in range(rounds)), key=lambda s: s.rate)[rounds // 2]


def ingest(bench: Bench, tenant: Tenant) -> Sample:
    return measured(3, lambda: post(bench, "mqtt_ingest", tenant.message(), tenant.headers))


def work_off(db: Connection, count: int, batch: int = 1000) -> float:
    """Messages per second of one worker over so many of what is queued."""
    done, start = 0, time.perf_counter()
    while done < count:
        answer = db.execute(CALL, (batch,)).fetchone()
        if not answer or not answer[0]:
            break
        done += answer[0]
    return done / (time.perf_counter() - start)


def queue_depth(bench: Bench) -> None:
    """Plot: ingest, worker and statistics against the depth of the queue."""
    with bench.connect() as db:
        tenant = make_tenants(db, 1)[0]
        lines: dict[str, list[Point]] = {"ingest": [], "worker": [], "stats": []}
        for size in sizes(bench, (100, 1000, 10_000, 100_000, 1_000_000)):
            empty_history(db)
            empty_queue(db)
            fill_queue(db, tenant, size)
            settle(bench)
            found = query(bench, "service_role", tenant, "SELECT api.get_mqtt_queue_stats(%s)", [(tenant.organization_id,)], 50)
            lines["stats"].append(Point(size, found.rate, found.p50, found.p99))
            sample = ingest(bench, tenant)
            lines["ingest"].append(Point(size, sample.rate, sample.p50, sample.p99))
            empty_history(db)
            lines["worker"].append(Point(size, statistics.median(work_off(db, 5000) for _ in range(3))))
    bench.plot("queue-ingest", "Single ingest against queue depth", ("messages queued", "msg/s"), {"16 connections": lines["ingest"]})
    bench.plot("queue-worker", "Queue worker against queue depth", ("messages queued", "msg/s"), {"batch 1,000": lines["worker"]})
    bench.plot("queue-stats", "get_mqtt_queue_stats against queue depth", ("messages queued", "ms"), {"median": lines["stats"]})
    clear(bench)


def organizations(bench: Bench) -> None:
    """Plot: ingest and worker against the number of organizations that have messages waiting."""
    lines: dict[str, list[Point]] = {"ingest": [], "worker": []}
    count = 20_000
    for size in sizes(bench, (1, 10, 100, 1000, 10_000)):
        with bench.connect() as db:
            tenants = make_tenants(db, size)
            empty_history(db)
            empty_queue(db)
            db.execute(
                """
                INSERT INTO pgmq.q_mqtt_messages (enqueued_at, vt, message, organization_id, integration_id, credential_id)
                SELECT now() + (n - %(count)s) * interval '50 us', now(),
                    jsonb_build_object('topic', 'org_' || (%(names)s::text[])[n %% %(size)s + 1] || '/devices/device-0001/telemetry',
                        'payload', '{"temperature": 21.5}'::jsonb),
                    (%(organizations)s::uuid[])[n %% %(size)s + 1], (%(integrations)s::uuid[])[n %% %(size)s + 1],
                    (%(credentials)s::uuid[])[n %% %(size)s + 1]
                FROM generate_series(0, %(count)s - 1) AS n
                """,
                {
                    "count": count, "size": size, "names": [t.username for t in tenants],
                    "organizations": [t.organization_id for t in tenants], "integrations": [t.integration_id for t in tenants],
                    "credentials": [t.credential_id for t in tenants],
                },
            )  # fmt: skip
            settle(bench)
            lines["worker"].append(Point(size, work_off(db, count)))
            sample = ingest(bench, tenants[-1])
            lines["ingest"].append(Point(size, sample.rate, sample.p50, sample.p99))
    bench.plot(
        "organizations-worker", "Queue worker against organizations with messages waiting", ("organizations", "msg/s"),
        {"20,000 messages, batch 1,000": lines["worker"]},
    )  # fmt: skip
    bench.plot(
        "organizations-ingest", "Single ingest against organizations", ("organizations", "msg/s"), {"16 connections": lines["ingest"]}
    )
    clear(bench)


def devices(bench: Bench) -> None:
    """Plot: the worker against the number of devices that the messages come from."""
    points = []
    with bench.connect() as db:
        tenant = make_tenants(db, 1)[0]
        for size in sizes(bench, (100, 1000, 10_000, 100_000)):
            rates = []
            for turn in range(3):
                empty_history(db)
                empty_queue(db)
                fill_queue(db, tenant, max(20_000, size) if turn == 0 else 20_000, devices=size)
                settle(bench)
                start = time.perf_counter()
                stored, _ = drain(db, 1000)
                if turn:  # the first turn registers the devices
                    rates.append(stored / (time.perf_counter() - start))
            points.append(Point(size, statistics.median(rates)))
    bench.plot("devices-worker", "Queue worker against devices", ("devices", "msg/s"), {"batch 1,000": points})
    with bench.connect() as db:
        db.execute("DELETE FROM mqtt.devices AS d WHERE d.integration_id = %s", (tenant.integration_id,))
    clear(bench)


def batch_sizes(bench: Bench) -> None:
    """Plot: batch ingest, and the worker, against the size of the batch."""
    http, worker = [], []
    with bench.connect() as db:
        tenant = make_tenants(db, 1)[0]
        for size in sizes(bench, (1, 10, 100, 1000, 10_000)):
            clear(bench)
            body = f'{{"messages":{tenant.batch(size)}}}'
            sample = measured(
                3, lambda body=body, size=size: post(bench, "mqtt_ingest_batch", body, tenant.headers, clients=4, messages=size)  # type: ignore[misc]
            )  # fmt: skip
            http.append(Point(size, sample.rate, sample.p50, sample.p99))
            empty_history(db)
            empty_queue(db)
            count = min(20_000, size * 500)
            fill_queue(db, tenant, count)
            settle(bench)
            worker.append(Point(size, work_off(db, count, size)))
    bench.plot("batch-ingest", "Batch ingest against the size of the batch", ("messages in a call", "msg/s"), {"4 connections": http})
    bench.plot("batch-worker", "Queue worker against the size of its batch", ("messages in a batch", "msg/s"), {"one worker": worker})
    clear(bench)


def payload_sizes(bench: Bench) -> None:
    """Plot: single ingest and worker against the size of the payload."""
    http, worker, volume = [], [], []
    with bench.connect() as db:
        tenant = make_tenants(db, 1)[0]
        for size in sizes(bench, (100, 1000, 10_000, 100_000, 250_000)):
            clear(bench)
            message = tenant.message(size=size)
            sample = measured(3, lambda message=message: post(bench, "mqtt_ingest", message, tenant.headers))  # type: ignore[misc]
            http.append(Point(size, sample.rate, sample.p50, sample.p99))
            volume.append(Point(size, sample.rate * size / 1e6))
            empty_history(db)
            empty_queue(db)
            count = max(200, min(10_000, 50_000_000 // size))
            fill_queue(db, tenant, count, size=size)
            settle(bench)
            worker.append(Point(size, work_off(db, count)))
            empty_history(db)
    bench.plot("payload-ingest", "Single ingest against payload size", ("payload bytes", "msg/s"), {"16 connections": http})
    bench.plot("payload-volume", "Single ingest in bytes against payload size", ("payload bytes", "MB/s"), {"16 connections": volume})
    bench.plot("payload-worker", "Queue worker against payload size", ("payload bytes", "msg/s"), {"batch 1,000": worker})
    clear(bench)


def subscriptions(bench: Bench) -> None:
    """Plot: the bridge's call for its subscriptions, and inbound storing, against the number of subscriptions."""
    points = []
    granted = "SELECT count(*) FROM mqtt.mqtt_subscriptions AS s WHERE s.topic LIKE 'org_demo/growth/%' AND s.granted_qos IS NOT NULL"
    with bench.connect() as db:
        for size in sizes(bench, (1, 10, 100, 1000, 2000)):
            db.execute("DELETE FROM mqtt.mqtt_subscriptions AS s WHERE s.topic LIKE 'org_demo/growth/%'")
            db.execute(
                "INSERT INTO mqtt.mqtt_subscriptions (organization_id, integration_id, topic, qos)"
                " SELECT %s, %s, 'org_demo/growth/' || n || '/+', 1 FROM generate_series(1, %s) AS n",
                (bench.env["DEMO_ORGANIZATION_ID"], bench.env["DEMO_INTEGRATION_ID"], size),
            )
            bench.stack("start", "bridge")
            try:
                start, found = time.perf_counter(), 0
                while found < size and time.perf_counter() - start < 60:
                    time.sleep(0.02)
                    found = row(db, granted)
                points.append(Point(size, time.perf_counter() - start))
            finally:
                bench.stack("stop", "bridge")
    bench.plot("subscriptions", "Start of the bridge until all is subscribed", ("subscriptions", "s"), {"one integration": points})
