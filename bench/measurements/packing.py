"""What a packed message costs on disk, how fast a day is packed, and what reading it takes."""

from __future__ import annotations

import time

from bench.harness import Bench, Connection
from bench.load.queries import query
from bench.measurements.series import TOPICS
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
        found = query(bench, "authenticated", tenant, "SELECT count(*) FROM api.list_messages(device_id => %s)", [("device-1",)], 50)
        bench.absolute(
            "packed-read", "last 100 messages of a device, packed", [found.rate], target=10, unit="ms", setting=f"{setting}, in SQL"
        )
        db.execute("UPDATE mqtt.configuration SET pack_after = NULL, completed_days = DEFAULT, settled_days = DEFAULT")
        db.execute("TRUNCATE mqtt.packs, mqtt.packed_days")
