"""Ingest over HTTP: single and batch."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from functools import partial

from bench.harness import Bench
from bench.load.threads import threads
from bench.load.wrk import post
from bench.samples import Sample, sample_of
from bench.setup.messages import clear, settle
from bench.setup.tenants import Tenant, make_tenants

# What mqtt_ingest does for login and topic on its short path, and what replaces it: the tenant's ids.
LOGIN_PARTS = (
    (r"AND octet_length\(topic\)[^\n]*\n", "\n"),
    (r"v_headers := [^;]*;\s*v_login := [^;]*;", ""),
    (
        r"FROM mqtt\.mqtt_credentials AS c\s.*?(?=RETURNING)",
        """FROM (VALUES ('{0.organization_id}'::uuid, '{0.integration_id}'::uuid, '{0.credential_id}'::uuid))
            AS c (organization_id, integration_id, id) """,
    ),
)


def single_ingest(bench: Bench) -> None:
    """Single ingest beside pgmq.send, a plain INSERT and a no-op, all through one PostgREST."""
    settle(bench)
    with bench.connect() as db:
        tenant = make_tenants(db, 1)[0]
    clients = 16
    message = tenant.message()
    sides = bench.alternate(
        "single ingest",
        {
            "mqtt_ingest": lambda: post(bench, "mqtt_ingest", message, tenant.headers, clients=clients),
            "pgmq.send": lambda: post(bench, "bench_pgmq_send", f'{{"queue_name":"bench_send","message":{message}}}', {}, clients=clients),
            "INSERT": lambda: post(bench, "bench_insert", message, {}, clients=clients),
            "no-op": lambda: post(bench, "bench_noop", message, {}, clients=clients),
        },
        before=lambda: clear(bench),
        cpu=True,
    )
    setting = f"100 B JSON, {clients} connections, one message a request"
    ours = sides["mqtt_ingest"]
    bench.compare(
        "single-pgmq", "single ingest", "pgmq.send, same PostgREST, no checks", ours, sides["pgmq.send"], target=1.1, setting=setting
    )
    bench.compare(
        "single-insert", "single ingest", "a function with one plain INSERT, same PostgREST", ours, sides["INSERT"], target=0.9,
        setting=f"{setting}; theirs into a table with a bigint key, as jsonb",
    )  # fmt: skip
    bench.compare("single-noop", "single ingest", "no-op RPC, same PostgREST", ours, sides["no-op"], target=0.5, setting=setting)


def floor_batch(bench: Bench, tenant: Tenant, count: int, clients: int) -> Sample:
    """One INSERT … SELECT jsonb_array_elements of the same rows into a plain pgmq table, over psycopg."""
    body = tenant.batch(count)
    end = time.perf_counter() + bench.options.seconds

    def work(_: int) -> list[float]:
        latencies = []
        with bench.connect() as db:
            while (start := time.perf_counter()) < end:
                db.execute(
                    "INSERT INTO pgmq.q_bench_floor (vt, message) SELECT clock_timestamp(), value FROM jsonb_array_elements(%s::jsonb)",
                    (body,),
                )
                latencies.append(time.perf_counter() - start)
        return latencies

    latencies, seconds = threads(clients, work)
    return sample_of(len(latencies) * count, seconds, latencies)


def batch_ingest(bench: Bench) -> None:
    """Batches of 100 and 1,000 beside the bare INSERT, and against single ingest."""
    settle(bench)
    with bench.connect() as db:
        tenant = make_tenants(db, 1)[0]
    clients = 4
    for count, target, with_columns in ((100, 0.4, 0.5), (1000, 0.4, 0.75)):
        body = f'{{"messages":{tenant.batch(count)}}}'
        contenders: dict[str, Callable[[], Sample]] = {
            "mqtt_ingest_batch": partial(post, bench, "mqtt_ingest_batch", body, tenant.headers, clients=clients, messages=count),
            "columns": partial(post, bench, "mqtt_ingest_batch?columns=messages", body, tenant.headers, clients=clients, messages=count),
            "INSERT … SELECT": partial(floor_batch, bench, tenant, count, clients),
        }
        if count == 100:
            contenders["mqtt_ingest"] = lambda: post(bench, "mqtt_ingest", tenant.message(), tenant.headers)
        sides = bench.alternate(f"batch of {count}", contenders, before=lambda: clear(bench), cpu=True)
        setting = f"100 B JSON, batch {count}, {clients} connections"
        ours = sides["mqtt_ingest_batch"]
        bench.compare(
            f"batch-{count}-floor", f"batch ingest of {count:,}", "INSERT … SELECT jsonb_array_elements over psycopg", ours,
            sides["INSERT … SELECT"], target=target, setting=setting,
        )  # fmt: skip
        bench.compare(
            f"batch-{count}-columns", f"batch ingest of {count:,} with ?columns=messages",
            "INSERT … SELECT jsonb_array_elements over psycopg", sides["columns"], sides["INSERT … SELECT"],
            target=with_columns, setting=setting,
        )  # fmt: skip
        if count == 100:
            bench.compare(
                "batch-single", "batch ingest of 100, in messages", "single ingest, 16 connections", ours, sides["mqtt_ingest"],
                target=25, setting=setting,
            )  # fmt: skip


def idempotency_cost(bench: Bench) -> None:
    """What a client's message_id adds to a single ingest: it is looked up, and kept for a day."""
    settle(bench)
    with bench.connect() as db:
        tenant = make_tenants(db, 1)[0]
    message = json.loads(tenant.message())
    with_id = json.dumps({**message, "message_id": "$UUID"})
    # Both sides make and parse a UUID.
    without = json.dumps({**message, "payload": {**message["payload"], "id": "$UUID"}})
    sides = bench.alternate(
        "idempotency cost",
        {
            "with": lambda: post(bench, "mqtt_ingest", with_id, tenant.headers),
            "without": lambda: post(bench, "mqtt_ingest", without, tenant.headers),
        },
        before=lambda: clear(bench),
        cpu=True,
    )
    bench.compare(
        "idempotency",
        "single ingest with a message_id, each a new one",
        "the same UUID in the payload, no message_id",
        sides["with"],
        sides["without"],
        target=0.8,
        setting="100 B JSON and a UUID, 16 connections",
    )
    with bench.connect() as db:
        db.execute("TRUNCATE mqtt.ingest_keys")


def login_cost(bench: Bench) -> None:
    """What the login and the topic's authorization add to a single ingest: with both, and with both left out."""
    settle(bench)
    with bench.connect() as db:
        tenant = make_tenants(db, 1)[0]
        row = db.execute(
            "SELECT pg_get_functiondef(oid) FROM pg_proc"
            " WHERE pronamespace = 'api'::regnamespace AND proname = 'mqtt_ingest' AND pronargs > 1"
        ).fetchone()
    whole = row[0] if row else ""
    bare = whole
    for part, instead in LOGIN_PARTS:
        bare, count = re.subn(part, instead.format(tenant), bare, flags=re.DOTALL)
        if count != 1:
            bench.skip("login-cost", f"api.mqtt_ingest has changed: {part} is in it {count} times")
            return

    def run(definition: str) -> Sample:
        with bench.connect() as db:
            db.execute(definition)
        return post(bench, "mqtt_ingest", tenant.message(), tenant.headers)

    try:
        sides = bench.alternate(
            "login cost", {"with checks": lambda: run(whole), "without": lambda: run(bare)}, before=lambda: clear(bench), cpu=True
        )
    finally:
        with bench.connect() as db:
            db.execute(whole)
    bench.compare(
        "login-cost", "time of a single ingest with login and topic authorization", "without them (stubs)", sides["without"],
        sides["with checks"], target=1.10, at_least=False, setting="100 B JSON, 16 connections",
        note="time ratio = rate without / rate with",
    )  # fmt: skip
