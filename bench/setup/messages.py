"""What lies in the queue and in the history; emptied, filled and settled between runs."""

from __future__ import annotations

import contextlib

from psycopg import errors

from bench.harness import Bench, Connection
from bench.setup.payload import payload
from bench.setup.tenants import Tenant

QUEUES = ("bench_send", "bench_floor")


def empty_queue(db: Connection) -> None:
    """Empties the queue, and the ledger with it, so that they agree."""
    db.execute("TRUNCATE pgmq.q_mqtt_messages, mqtt.ledger")


def fill_queue(db: Connection, tenant: Tenant, count: int, *, devices: int = 100, size: int = 100) -> None:
    """Queues messages as ingest would leave them, 50 microseconds apart, without going through it."""
    db.execute(
        """
        WITH queued AS (
            INSERT INTO pgmq.q_mqtt_messages (enqueued_at, vt, message, organization_id, integration_id, credential_id)
            SELECT now() + (n - %(count)s) * interval '50 us', now() + (n - %(count)s) * interval '1 us',
                jsonb_build_object('topic', %(prefix)s || '/devices/device-' || lpad((n %% %(devices)s)::text, 4, '0')
                || '/telemetry', 'payload', %(payload)s::jsonb), %(organization)s, %(integration)s, %(credential)s
            FROM generate_series(0, %(count)s - 1) AS n
            RETURNING 1
        )
        SELECT mqtt.count_accepted(%(organization)s, count(*)::integer) FROM queued
        """,
        {
            "prefix": tenant.prefix, "devices": devices, "payload": payload(size), "organization": tenant.organization_id,
            "integration": tenant.integration_id, "credential": tenant.credential_id, "count": count,
        },
    )  # fmt: skip


def empty_history(db: Connection) -> None:
    for _ in range(5):
        with contextlib.suppress(errors.DeadlockDetected):  # with a bridge's maintenance
            db.execute("TRUNCATE mqtt.history, mqtt.integration_activity_log")
            return
    raise RuntimeError("the history cannot be emptied: deadlocks")


def clear(bench: Bench) -> None:
    with bench.connect() as db:
        empty_queue(db)
        for queue in QUEUES:
            db.execute(f"TRUNCATE pgmq.q_{queue}, pgmq.a_{queue}")
        db.execute("TRUNCATE pgmq.bench_plain")


def settle(bench: Bench) -> None:
    """Between parts: vacuum and checkpoint, so that no leftover work is measured."""
    with bench.connect() as db:
        db.execute("VACUUM (ANALYZE) pgmq.q_mqtt_messages, mqtt.history, mqtt.topics, mqtt.devices, mqtt.ledger, mqtt.mqtt_credentials")
        db.execute("CHECKPOINT")
