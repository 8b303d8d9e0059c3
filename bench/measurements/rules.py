"""Payload rules in the queue worker: where there are none, one that flattens or transforms, 200, Sparkplug B; and ingest beside them."""

from __future__ import annotations

import struct
import time

from bench.harness import Bench, Connection
from bench.load.worker import run_worker, work_off
from bench.load.wrk import post
from bench.samples import Sample
from bench.setup.messages import clear, empty_history, empty_queue, settle
from bench.setup.tenants import Tenant, make_tenants

NODES = 20
TRANSFORM = "merge(@, {sum: sum(values(@)[?type(@) == 'number']), count: length(@)})"


def set_rules(db: Connection, tenant: Tenant | None, count: int, *, are_apart: bool = True, transform: str | None = None) -> None:
    """Leaves the tenant that many rules, each below a name of its own or all below one; the last one matches; all transform, or none."""
    db.execute("DELETE FROM mqtt.payload_rules")
    db.execute("TRUNCATE mqtt.reading_rows, mqtt.sparkplug_nodes")
    if tenant is not None:
        db.execute(
            """
            INSERT INTO mqtt.payload_rules (organization_id, integration_id, position, topic, device, metrics, transform)
            SELECT %(organization)s, %(integration)s, n * 10,
                %(prefix)s || CASE
                    WHEN n = %(count)s THEN '/devices/+/telemetry'
                    WHEN %(apart)s THEN '/kind-' || n || '/+/telemetry'
                    ELSE '/devices/+/kind-' || n
                END, '{topic[3]}', '{"*": "$"}', %(transform)s
            FROM generate_series(1, %(count)s) AS n
            """,
            {
                "organization": tenant.organization_id,
                "integration": tenant.integration_id,
                "prefix": tenant.prefix,
                "count": count,
                "apart": are_apart,
                "transform": transform,
            },
        )
    db.execute("VACUUM (ANALYZE) mqtt.payload_rules")


def varint(number: int) -> bytes:
    text = b""
    while number > 0x7F:
        text += bytes([number & 0x7F | 0x80])
        number >>= 7
    return text + bytes([number])


def sparkplug(name: bytes, value: float, seq: int) -> bytes:
    """A payload with one metric, an alias or a name and an alias, of datatype double."""
    metric = name + b"\x10\x01\x20\x0a\x69" + struct.pack("<d", value)
    return b"\x08" + varint(time.time_ns() // 1_000_000) + b"\x12" + varint(len(metric)) + metric + b"\x18" + varint(seq)


def run_sparkplug(bench: Bench, tenant: Tenant, count: int, batch: int) -> Sample:
    """Births of nodes and devices first, uncounted; then data by alias, each node's in sequence."""
    births = [(f"NBIRTH/e{node}", sparkplug(b"\x0a\x05bdSeq", 0, 0)) for node in range(NODES)]
    births += [(f"DBIRTH/e{node}/d", sparkplug(b"\x0a\x0btemperature", 21.5, 1)) for node in range(NODES)]
    data = [(f"DDATA/e{n % NODES}/d", sparkplug(b"", n / 100, (n // NODES + 2) % 256)) for n in range(count)]
    with bench.connect() as db:
        empty_history(db)
        set_rules(db, None, 0)
        db.execute("SELECT api.apply_device_preset(%s, 'sparkplug-b')", (tenant.integration_id,))
        for messages in (births, data):
            empty_queue(db)
            db.execute(
                """
                WITH queued AS (
                    INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id, credential_id, body)
                    SELECT now(), jsonb_build_object('topic', %(prefix)s || '/spBv1.0/P/' || m.topic), %(organization)s, %(integration)s,
                        %(credential)s, m.body
                    FROM unnest(%(topics)s::text [], %(bodies)s::bytea []) WITH ORDINALITY AS m (topic, body, place)
                    ORDER BY m.place
                    RETURNING 1
                )
                SELECT mqtt.count_accepted(%(organization)s, count(*)::integer) FROM queued
                """,
                {
                    "prefix": tenant.prefix, "organization": tenant.organization_id, "integration": tenant.integration_id,
                    "credential": tenant.credential_id, "topics": [m[0] for m in messages], "bodies": [m[1] for m in messages],
                },
            )  # fmt: skip
            db.execute("VACUUM (ANALYZE) pgmq.q_mqtt_messages, mqtt.devices, mqtt.sparkplug_nodes")
            sample = work_off(db, len(messages), batch)
        readings = db.execute("SELECT count(*) FROM mqtt.reading_rows WHERE payload ? 'temperature'").fetchone()
    if readings != (count + NODES,):
        raise RuntimeError(f"rules: {readings} readings of Sparkplug B instead of {count + NODES}")
    return sample


def ingest_beside_rules(bench: Bench, tenant: Tenant, other: Tenant) -> None:
    """Ingest of an integration without rules, where another one has 200 against where none has any."""
    batch, clients = 100, 4
    body = f'{{"messages":{tenant.batch(batch)}}}'

    def choose(owner: Tenant | None) -> None:
        with bench.connect() as db:
            set_rules(db, owner, 0 if owner is None else 200)
        settle(bench)

    def single(owner: Tenant | None) -> Sample:
        choose(owner)
        return post(bench, "mqtt_ingest", tenant.message(), tenant.headers)

    def batches(owner: Tenant | None) -> Sample:
        choose(owner)
        return post(bench, "mqtt_ingest_batch?columns=messages", body, tenant.headers, clients=clients, messages=batch)

    sides = bench.alternate(
        "ingest beside payload rules",
        {
            "none": lambda: single(None),
            "elsewhere": lambda: single(other),
            "batches": lambda: batches(None),
            "batches elsewhere": lambda: batches(other),
        },
        before=lambda: clear(bench),
        cpu=True,
    )
    bench.compare(
        "rules-ingest", "single ingest, an integration without payload rules", "the same where no integration has any", sides["elsewhere"],
        sides["none"], target=0.98, setting="100 B JSON, 16 connections; another integration has 200",
    )  # fmt: skip
    bench.compare(
        "rules-batch", f"batch ingest of {batch}, an integration without payload rules", "the same where no integration has any",
        sides["batches elsewhere"], sides["batches"], target=0.98,
        setting=f"100 B JSON, batch {batch}, {clients} connections; another integration has 200",
    )  # fmt: skip


def rules(bench: Bench) -> None:
    """The worker with payload rules against none; ingest beside them."""
    clear(bench)
    settle(bench)
    count, batch = (5_000 if bench.options.quick else 6_000), 1000
    with bench.connect() as db:
        tenant, other = make_tenants(db, 2)

    def with_rules(owner: Tenant | None, rows: int, *, are_apart: bool = True, transform: str | None = None) -> Sample:
        with bench.connect() as db:
            set_rules(db, owner, rows, are_apart=are_apart, transform=transform)
        return run_worker(bench, [tenant], count, batch)

    with_rules(None, 0)  # registers the devices
    sides = bench.alternate(
        "payload rules",
        {
            "none": lambda: with_rules(None, 0),
            "elsewhere": lambda: with_rules(other, 200),
            "one": lambda: with_rules(tenant, 1),
            "transform": lambda: with_rules(tenant, 1, transform=TRANSFORM),
            "many": lambda: with_rules(tenant, 200),
            "together": lambda: with_rules(tenant, 200, are_apart=False),
            "sparkplug": lambda: run_sparkplug(bench, tenant, count, batch),
        },
        cpu=True,
    )
    ingest_beside_rules(bench, tenant, other)
    with bench.connect() as db:
        set_rules(db, None, 0)
    setting = f"100 B JSON, batch {batch:,}, one connection, {count:,} queued, 100 devices"
    bench.compare(
        "rules-none", "queue worker, an integration without payload rules", "the same where no integration has any", sides["elsewhere"],
        sides["none"], target=0.98, setting=f"{setting}; another integration has 200",
    )  # fmt: skip
    bench.compare(
        "rules-one", "queue worker, one payload rule that flattens", "none", sides["one"], sides["none"], target=0.4,
        setting=f"{setting}; readings are rows besides",
    )  # fmt: skip
    bench.compare(
        "rules-transform", "queue worker, one payload rule that transforms", "one that flattens", sides["transform"], sides["one"],
        target=0.5, setting=f"{setting}; {TRANSFORM}",
    )  # fmt: skip
    bench.compare(
        "rules-many", "queue worker, 200 payload rules", "one", sides["many"], sides["one"], target=0.83,
        setting=f"{setting}; each below a name of its own, the last one matches",
    )  # fmt: skip
    bench.compare(
        "rules-together", "queue worker, 200 payload rules below one prefix", "one", sides["together"], sides["one"], target=0.5,
        setting=f"{setting}; of the same number of levels, the last one matches",
    )  # fmt: skip
    bench.compare(
        "rules-sparkplug", "queue worker, Sparkplug B", "JSON without payload rules", sides["sparkplug"], sides["none"], target=0.105,
        setting=f"data by alias, one metric each, batch {batch:,}, {count:,} queued, {NODES} nodes; 10,000 msg/s where JSON makes 95,000",
    )  # fmt: skip
