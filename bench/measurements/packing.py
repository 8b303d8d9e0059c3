"""What a packed message costs on disk, how fast a day is packed, what reading it takes, and what ingest notices of it."""

from __future__ import annotations

import time

from bench.harness import Bench, Connection
from bench.load.inbound import until_stored
from bench.load.queries import query
from bench.measurements.latency import maximum, paced
from bench.measurements.series import TOPICS
from bench.samples import Sample, Side, sample_of
from bench.setup.bridge import bridge
from bench.setup.messages import clear, empty_history
from bench.setup.tenants import Tenant, make_tenants
from bench.waiting import scalar

# Devices in three equal groups, which send every 10 s, 60 s and 1 h with jitter; random walks; each message alone, with its device's time.
MESSAGES = """
INSERT INTO mqtt.history (received_at, measured_at, position, id, organization, topic, stored_after, flags, payload)
SELECT w.at, date_trunc('milliseconds', w.at - random() * interval '2 seconds'), w.position, mqtt.keyed_message_id(w.at, w.position, k.key),
    w.organization, w.number, 0, 33, jsonb_build_object(
        'temperature', round((20 + w.a)::numeric, 2), 'humidity', round((50 + w.b)::numeric, 1),
        'pressure', round((1013 + w.c)::numeric, 1), 'battery', round((3.6 - w.n / 100000.0)::numeric, 3),
        'rssi', -60 + (random() * 5)::integer, 'sequence', w.n
    )
FROM (
    SELECT s.*, row_number() OVER (ORDER BY s.at) AS position, sum(random() - 0.5) OVER o AS a, sum(random() - 0.5) OVER o AS b,
        sum(random() - 0.5) OVER o AS c
    FROM (
        SELECT d.*, n, (%(day)s::date::timestamp AT TIME ZONE 'UTC') + (n + random() / 10) * d.step * interval '1 second' AS at
        FROM (
            SELECT t.number, o.number AS organization, (ARRAY[10, 60, 3600])[row_number() OVER (ORDER BY t.number) %% 3 + 1] AS step
            FROM mqtt.topics AS t
            JOIN mqtt.organizations AS o ON o.id = t.organization_id
            WHERE t.organization_id = %(organization)s
        ) AS d
        CROSS JOIN LATERAL generate_series(0, 86400 / d.step - 2) AS n
    ) AS s
    WINDOW o AS (PARTITION BY s.number ORDER BY s.n)
) AS w
CROSS JOIN mqtt.message_id_key AS k
ORDER BY w.at
"""
# Of what was sent since then: from when it was due to the commit of its row.
STORED = """
SELECT extract(EPOCH FROM pg_xact_commit_timestamp(h.xmin)) - (h.payload ->> 'sent')::numeric
FROM mqtt.history AS h WHERE h.received_at >= %s AND h.payload ? 'sent'
"""
DAY = "SELECT ((now() AT TIME ZONE 'UTC')::date - 9)::text"


def fill(db: Connection, tenant: Tenant, devices: int) -> tuple[str, int]:
    """A day of messages nine days ago, and how many they are."""
    empty_history(db)
    db.execute("TRUNCATE mqtt.packs, mqtt.packed_days, mqtt.topics, mqtt.rollup_progress, mqtt.rollup_series, mqtt.late_readings CASCADE")
    db.execute("DELETE FROM mqtt.devices")
    row = db.execute(DAY).fetchone()
    assert row is not None  # noqa: S101
    db.execute("SELECT mqtt.create_partition('mqtt.history', %s::date)", (row[0],))
    db.execute(
        "INSERT INTO mqtt.devices (organization_id, integration_id, external_id)"
        " SELECT %s, %s, 'device-' || n FROM generate_series(1, %s) AS n",
        (tenant.organization_id, tenant.integration_id, devices),
    )
    db.execute(TOPICS, {"organization": tenant.organization_id})
    stored = db.execute(MESSAGES, {"day": row[0], "organization": tenant.organization_id}).rowcount
    db.execute("VACUUM (ANALYZE) mqtt.history, mqtt.topics, mqtt.devices")
    return row[0], stored


def pack(db: Connection, stored: int) -> tuple[float, float]:
    """Messages a second, and bytes kept of each."""
    started = time.monotonic()
    while scalar(db, "SELECT (mqtt.pack_days() ->> 'more')::boolean"):
        pass
    seconds = time.monotonic() - started
    assert scalar(db, "SELECT sum(message_count) FROM mqtt.packs") == stored  # noqa: S101
    db.execute("VACUUM (ANALYZE) mqtt.packs")
    return stored / seconds, scalar(db, "SELECT pg_total_relation_size('mqtt.packs')::float8") / stored


def packing(bench: Bench) -> None:
    """Bytes kept of a message fresh and packed; messages packed a second; reads of a packed day."""
    clear(bench)
    with bench.connect() as db:
        tenant = make_tenants(db, 1)[0]
        db.execute("UPDATE mqtt.configuration SET pack_after = 8, completed_days = 90, settled_days = 7")
        day, stored = fill(db, tenant, 12 if bench.options.quick else 60)
        payload = scalar(db, "SELECT avg(octet_length(payload::text))::float8 FROM mqtt.history")
        fresh = scalar(db, f"SELECT pg_total_relation_size('mqtt.history_{day.replace('-', '')}')::float8") / stored
        speed, packed = pack(db, stored)
        setting = f"{payload:.0f} B JSON of six members, {stored:,} messages, devices at 10 s, 60 s and 1 h, random walks, jittered times"
        bench.absolute(
            "packed", "storage per packed message, as a multiple of its payload", [packed / payload], target=0.5, unit="of the payload",
            setting=setting, note=f"{packed:.0f} B, of {fresh:.0f} B before",
        )  # fmt: skip
        bench.absolute("packing", "packing a closed day", [speed], target=6000, unit="msg/s", at_least=True, setting=setting)
        devices = [(f"device-{n}",) for n in range(1, 13)]  # of each of the three groups some
        found = query(bench, "authenticated", tenant, "SELECT count(*) FROM api.list_messages(device_id => %s)", devices, 60)
        bench.absolute(
            "packed-read", "last 100 messages of a device, packed", [found.rate], target=10, unit="ms", setting=f"{setting}, in SQL"
        )
        db.execute("UPDATE mqtt.configuration SET pack_after = NULL, completed_days = DEFAULT, settled_days = DEFAULT")
        db.execute("TRUNCATE mqtt.packs, mqtt.packed_days")


def packing_beside(bench: Bench) -> None:
    """A day of ten million is packed by the bridge while single messages come at half the maximum rate, beside the same without."""
    clear(bench)
    beside, alone = Side("packing"), Side("alone")
    with bench.connect() as db:
        tenant = make_tenants(db, 1)[0]
        with bridge(bench):
            rate = maximum(bench, tenant) / 2
        db.execute("UPDATE mqtt.configuration SET pack_after = NULL, completed_days = 90, settled_days = 7")
        devices, part = (60, 2) if bench.options.quick else (2970, 20)
        _, stored = fill(db, tenant, devices)
        # A day that is packed was rolled up a week before.
        db.execute(
            "INSERT INTO mqtt.rollup_progress (organization_id, closed_until, rolled_until, rolling_until)"
            " SELECT %s, t.at, t.at, t.at FROM date_trunc('hour', now()) AS t (at)", (tenant.organization_id,),
        )  # fmt: skip

        def send() -> Sample:
            since = db.execute("SELECT now()").fetchone()
            reached = paced(bench, tenant, rate, 16, part)
            until_stored(db)
            latencies = [float(row[0]) for row in db.execute(STORED, since).fetchall()]
            return sample_of(round(reached * part), part, latencies)

        with bridge(bench):
            alone.samples += [send() for _ in range(3)]
            db.execute("UPDATE mqtt.configuration SET pack_after = 8")
            started = time.monotonic()
            while not scalar(db, "SELECT count(*) FROM mqtt.packed_days WHERE state IN ('packed', 'dropped')"):
                beside.samples.append(send())
            minutes = (time.monotonic() - started) / 60
            db.execute("UPDATE mqtt.configuration SET pack_after = NULL")
            alone.samples += [send() for _ in range(3)]
        setting = f"{stored:,} messages of {devices:,} devices; {rate:.0f} POST/s due, 100 B JSON, 16 connections"
        setting += "; the bridge stores and packs"
        bench.absolute(
            "packing-minutes", "packing a day of ten million, beside single ingest at half its maximum rate", [minutes],
            target=30, unit="min", setting=setting,
        )  # fmt: skip
        # As many as alone, from the beginning to the end of the packing.
        pairs = min(len(beside.samples), len(alone.samples))
        beside.samples = beside.samples[:: len(beside.samples) // pairs][:pairs]
        del alone.samples[pairs:]
        bench.compare(
            "packing-ingest", "single ingest at half its maximum rate, while a day of ten million is packed", "the same without",
            beside, alone, target=0.9, setting=setting,
        )  # fmt: skip
        db.execute("UPDATE mqtt.configuration SET completed_days = DEFAULT, settled_days = DEFAULT")
        db.execute("TRUNCATE mqtt.packs, mqtt.packed_days")
    clear(bench)
