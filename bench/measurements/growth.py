"""Plots: each cost against the size of what it may depend on."""

from __future__ import annotations

import time

from bench.harness import Bench
from bench.load.inbound import inbound_ours
from bench.load.mqtt import Broker
from bench.load.queries import LAST_100_DEVICE, query
from bench.load.worker import drain, work_off
from bench.load.wrk import post
from bench.samples import Sample, sample_of
from bench.setup.bridge import bridge
from bench.setup.history import Shelf, devices_of
from bench.setup.messages import clear, empty_history, empty_queue, fill_queue, settle
from bench.setup.tenants import Demo, Tenant, make_tenants
from bench.waiting import scalar, until


def ingest(bench: Bench, tenant: Tenant) -> Sample:
    post(bench, "mqtt_ingest", tenant.message(), tenant.headers)  # warm-up
    return post(bench, "mqtt_ingest", tenant.message(), tenant.headers)


def queue_depth(bench: Bench) -> None:
    """Plot: ingest, worker and statistics against the depth of the queue."""
    with bench.connect() as db:
        tenant = make_tenants(db, 1)[0]

        def measure(size: int) -> dict[str, Sample]:
            empty_history(db)
            empty_queue(db)
            fill_queue(db, tenant, size)
            settle(bench)
            found = query(bench, "service_role", tenant, "SELECT api.get_mqtt_queue_stats(%s)", [(tenant.organization_id,)], 50)
            sent = ingest(bench, tenant)
            if size < 100_000:  # ingest has queued more than that
                empty_queue(db)
                fill_queue(db, tenant, size)
                settle(bench)
            return {"stats": found, "ingest": sent, "worker": work_off(db, min(size, 10_000))}

        lines = bench.growth("queue depth", (100, 1000, 10_000, 100_000, 1_000_000), measure)
    bench.plot("queue-ingest", "Single ingest against queue depth", ("messages queued", "msg/s"), {"16 connections": lines["ingest"]})
    bench.plot("queue-worker", "Queue worker against queue depth", ("messages queued", "msg/s"), {"batch 1,000": lines["worker"]})
    bench.plot("queue-stats", "get_mqtt_queue_stats against queue depth", ("messages queued", "ms"), {"median": lines["stats"]})
    clear(bench)


def organizations(bench: Bench) -> None:
    """Plot: ingest and worker against the number of organizations that have messages waiting."""
    count = 20_000
    with bench.connect() as db:

        def measure(size: int) -> dict[str, Sample]:
            # The organizations of larger sizes are deleted: what is measured depends on how many there are.
            db.execute("DELETE FROM mqtt.organizations AS o WHERE o.slug LIKE 'bench-%' AND substr(o.slug, 7)::integer >= " + str(size))
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
            return {"worker": work_off(db, count), "ingest": ingest(bench, tenants[-1])}

        lines = bench.growth("organizations", (1, 10, 100, 1000, 10_000), measure)
        db.execute("DELETE FROM mqtt.organizations AS o WHERE o.slug LIKE 'bench-%'")
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
    sizes = (100, 1000, 10_000, 100_000)
    with bench.connect() as db:
        tenants = dict(zip(sizes, make_tenants(db, len(sizes)), strict=True))  # each with its own devices
        seen: set[int] = set()

        def measure(size: int) -> dict[str, Sample]:
            lines = {}
            for name in ("first messages", "later messages") if size not in seen else ("later messages",):
                count = size if name == "first messages" else max(20_000, size)
                empty_history(db)
                empty_queue(db)
                fill_queue(db, tenants[size], count, devices=size)
                settle(bench)
                start = time.perf_counter()
                stored, latencies = drain(db, 1000)
                lines[name] = sample_of(stored, time.perf_counter() - start, latencies)
            seen.add(size)
            return lines

        lines = bench.growth("devices", sizes, measure)
    bench.plot(
        "devices-worker", "Queue worker against devices", ("devices", "msg/s"),
        {"known devices, batch 1,000": lines["later messages"], "each registered by its first message": lines["first messages"]},
    )  # fmt: skip
    with bench.connect() as db:
        db.execute(
            "DELETE FROM mqtt.devices AS d WHERE d.integration_id = ANY (%s::uuid[])", ([t.integration_id for t in tenants.values()],)
        )
    clear(bench)


def batch_sizes(bench: Bench) -> None:
    """Plot: batch ingest, and the worker, against the size of the batch."""
    with bench.connect() as db:
        tenant = make_tenants(db, 1)[0]

        def measure(size: int) -> dict[str, Sample]:
            clear(bench)
            body = f'{{"messages":{tenant.batch(size)}}}'
            sent = post(bench, "mqtt_ingest_batch", body, tenant.headers, clients=4, messages=size)
            empty_history(db)
            empty_queue(db)
            count = max(min(20_000, size * 500), size)
            fill_queue(db, tenant, count)
            settle(bench)
            return {"http": sent, "worker": work_off(db, count, size)}

        lines = bench.growth("batch", (1, 10, 100, 1000, 10_000), measure)
    bench.plot(
        "batch-ingest", "Batch ingest against the size of the batch", ("messages in a call", "msg/s"), {"4 connections": lines["http"]}
    )
    bench.plot(
        "batch-worker", "Queue worker against the size of its batch", ("messages in a batch", "msg/s"), {"one worker": lines["worker"]}
    )
    clear(bench)


def payload_sizes(bench: Bench) -> None:
    """Plot: single ingest and worker against the size of the payload."""
    sizes = (100, 1000, 10_000, 100_000, 262_000)  # the limit is 262,144 bytes as jsonb prints it, with more spaces
    with bench.connect() as db:
        tenant = make_tenants(db, 1)[0]

        def measure(size: int) -> dict[str, Sample]:
            clear(bench)
            sent = post(bench, "mqtt_ingest", tenant.message(size=size), tenant.headers)
            empty_history(db)
            empty_queue(db)
            count = max(200, min(10_000, 50_000_000 // size))
            fill_queue(db, tenant, count, size=size)
            settle(bench)
            worked = work_off(db, count, max(1, min(1000, count // 2)))
            empty_history(db)
            volume = Sample(sent.rate * size / 1e6)
            return {"http": sent, "volume": volume, "worker": worked}

        lines = bench.growth("payload", sizes, measure)
    label = {"16 connections": lines["http"]}
    bench.plot("payload-ingest", "Single ingest against payload size", ("payload bytes", "msg/s"), label)
    bench.plot(
        "payload-volume", "Single ingest in bytes against payload size", ("payload bytes", "MB/s"), {"16 connections": lines["volume"]}
    )
    bench.plot("payload-worker", "Queue worker against payload size", ("payload bytes", "msg/s"), {"batch 1,000": lines["worker"]})
    clear(bench)


def subscriptions(bench: Bench) -> None:
    """Plot: the start of the bridge until all is subscribed, and receiving, against the number of subscriptions."""
    clear(bench)
    broker, demo = Broker(bench), Demo(bench)
    count = 4000
    folder = bench.run_dir.parent / "inbound"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{count}.txt"
    file.write_text('{"temperature": 21.5}\n' * (count // 2))
    granted = "SELECT count(*) FROM mqtt.mqtt_subscriptions AS s WHERE s.topic LIKE 'org_demo/growth/%' AND s.granted_qos IS NOT NULL"
    with bench.connect() as db:

        def measure(size: int) -> dict[str, Sample]:
            db.execute("DELETE FROM mqtt.mqtt_subscriptions AS s WHERE s.topic LIKE 'org_demo/growth/%'")
            db.execute(
                "INSERT INTO mqtt.mqtt_subscriptions (organization_id, integration_id, topic, qos)"
                " SELECT %s, %s, 'org_demo/growth/' || n || '/+', 1 FROM generate_series(1, %s) AS n",
                (demo.organization_id, demo.integration_id, size),
            )
            start = time.perf_counter()
            with bridge(bench):
                until(lambda: scalar(db, granted) >= size, "subscribed", 0.02)
                started = Sample(time.perf_counter() - start)
                return {"start": started, "inbound": inbound_ours(bench, broker, demo, file, count)}

        lines = bench.growth("subscriptions", (1, 10, 100, 1000, 2000), measure)
        db.execute("DELETE FROM mqtt.mqtt_subscriptions AS s WHERE s.topic LIKE 'org_demo/growth/%'")
    bench.plot("subscriptions", "Start of the bridge until all is subscribed", ("subscriptions", "s"), {"one integration": lines["start"]})
    bench.plot(
        "subscriptions-inbound", "Receiving at QoS 1 against subscriptions", ("subscriptions beside the one that matches", "msg/s"),
        {"one integration": lines["inbound"]},
    )  # fmt: skip
    clear(bench)


def growth_history(bench: Bench) -> None:
    """Plot: ingest, the worker, and reading back, against the rows stored."""
    clear(bench)
    sizes = [n for n in (10_000, 100_000, 1_000_000, 10_000_000) if n <= bench.options.scale]
    with bench.connect() as db:
        tenants = make_tenants(db, 10)
        shelf = Shelf(db, tenants)
        for size in sizes:
            shelf.fill(size)

        def measure(size: int) -> dict[str, Sample]:
            shelf.take(size)
            clear(bench)
            ingest = post(bench, "mqtt_ingest", tenants[0].message(), tenants[0].headers)
            read = query(bench, "authenticated", tenants[0], LAST_100_DEVICE, devices_of(db, tenants, size), 300)
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
