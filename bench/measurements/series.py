"""What a chart costs: query_series over HTTP, from rollups and the messages of the open time."""

from __future__ import annotations

import json
from datetime import datetime

from bench.harness import Bench, Connection
from bench.load.wrk import post
from bench.samples import Side
from bench.setup.messages import clear, empty_history
from bench.setup.tenants import Tenant, bearer, make_tenants

TOPICS = """
INSERT INTO mqtt.topics (organization_id, number, integration_id, device_id, role, topic, message_type)
SELECT d.organization_id, nextval('mqtt.topic_numbers'), d.integration_id, d.id, 'telemetry',
    'org_bench/devices/' || d.external_id || '/telemetry', 'telemetry'
FROM mqtt.devices AS d
WHERE d.organization_id = %(organization)s
"""
MESSAGES = """
INSERT INTO mqtt.history (received_at, measured_at, position, id, organization, topic, stored_after, flags, payload)
SELECT s.at, s.at, s.n * 1000 + d.place, mqtt.message_id(s.at, s.n * 1000 + d.place), d.organization, d.number, 0, 0,
    jsonb_build_object('temperature', round((20 + 5 * sin(s.n / 500.0) + random())::numeric, 2),
        'humidity', round(50 + random()::numeric, 1), 'status', 'ok')
FROM generate_series(0, extract(EPOCH FROM %(until)s::timestamptz - %(since)s::timestamptz) / %(step)s - 1) AS g (n)
CROSS JOIN LATERAL (SELECT g.n::bigint, %(since)s::timestamptz + g.n::bigint * %(step)s * interval '1 second') AS s (n, at)
CROSS JOIN (
    SELECT row_number() OVER (ORDER BY t.number) AS place, t.number, o.number AS organization
    FROM mqtt.topics AS t
    JOIN mqtt.organizations AS o ON o.id = t.organization_id
    WHERE t.organization_id = %(organization)s
) AS d
"""
# As the queue worker stores what comes late: with a mark for each device and hour.
LATE = """
WITH late AS (
    INSERT INTO mqtt.history AS m (received_at, measured_at, position, id, organization, topic, stored_after, flags, payload)
    SELECT %(until)s, %(until)s::timestamptz - (20 + 120 * random()) * interval '1 minute', d.place, mqtt.message_id(%(until)s, d.place),
        d.organization, d.number, 0, 0, '{"temperature": 21.5, "humidity": 48.2, "status": "ok"}'
    FROM (
        SELECT row_number() OVER (ORDER BY t.number) AS place, t.number, o.number AS organization
        FROM mqtt.topics AS t
        JOIN mqtt.organizations AS o ON o.id = t.organization_id
        WHERE t.organization_id = %(organization)s LIMIT %(late)s
    ) AS d
    RETURNING ROW(m.topic, m.measured_at, m.position)::mqtt.late_reading AS reading
)
SELECT mqtt.record_late(array_agg(l.reading)) FROM late AS l
"""


def fill(db: Connection, tenant: Tenant, *, devices: int, step: int, hours: int, late: int = 0) -> tuple[datetime, datetime]:
    """Messages of so many hours until minute 59 of the last whole hour, rolled up as far as maintenance would have got by then."""
    empty_history(db)
    db.execute("TRUNCATE mqtt.topics, mqtt.rollup_progress, mqtt.rollup_series, mqtt.late_readings CASCADE")
    db.execute("DELETE FROM mqtt.devices")
    db.execute(
        "INSERT INTO mqtt.devices (organization_id, integration_id, external_id)"
        " SELECT %s, %s, 'device-' || n FROM generate_series(1, %s) AS n",
        (tenant.organization_id, tenant.integration_id, devices),
    )
    db.execute(
        "SELECT mqtt.create_partition('mqtt.history', (now() AT TIME ZONE 'UTC')::date - n) FROM generate_series(0, %s) AS n",
        (hours // 24 + 2,),
    )
    row = db.execute(
        "SELECT t.at - make_interval(hours => %s), t.at FROM (SELECT date_trunc('hour', now(), 'UTC') - interval '1 minute') AS t (at)",
        (hours,),
    ).fetchone()
    assert row  # noqa: S101
    since, until = row
    parameters = {
        "organization": tenant.organization_id,
        "integration": tenant.integration_id,
        "since": since,
        "until": until,
        "step": step,
    }
    db.execute(TOPICS, parameters)
    db.execute(MESSAGES, parameters)
    db.execute("VACUUM (ANALYZE) mqtt.history, mqtt.topics, mqtt.devices")
    for _ in range(2):  # the first time, it is only noted where rollups begin
        db.execute("SELECT mqtt.close_readings(%s::timestamptz - interval '1 minute')", (until,))
    while db.execute("SELECT mqtt.roll_up_organization(%s, 100000) >= 100000", (tenant.organization_id,)).fetchone() == (True,):
        pass
    if late:
        db.execute(LATE, {**parameters, "late": late})
    db.execute("VACUUM (ANALYZE) mqtt.rollups, mqtt.rollup_minutes, mqtt.rollup_series, mqtt.late_readings")
    return since, until


def series(bench: Bench) -> None:
    """Charts: a day of 100 devices in hours, and 30 days of one device in at most 500 points."""
    clear(bench)
    days, each, second = (3, 60, 5) if bench.options.quick else (30, 10, 1)
    charts = (
        (
            "series-day", "24 h of 100 devices, by the hour", 40,
            {"devices": 100, "step": each, "hours": 24, "late": 30}, {"bucket": "1 hour"},
            f"a message each {each} s; at minute 59, with 30 late messages, 5 % of a minute's at 10 s",
        ),
        (
            "series-month", f"{days} days of one device, 500 points", 50,
            {"devices": 1, "step": second, "hours": 24 * days}, {"max_points": 500},
            f"a message each {second} s; at minute 59",
        ),
    )  # fmt: skip
    for key, what, target, size, arguments, setting in charts:
        with bench.connect() as db:
            tenant = make_tenants(db, 1)[0]
            since, until = fill(db, tenant, **size)
        query = {
            "since": since.isoformat(),
            "until": until.isoformat(),
            "metrics": ["temperature"],
            "aggregates": ["avg", "min", "max"],
            **arguments,
        }
        side = Side("query_series")
        for number in range(-1, bench.options.rounds):
            sample = post(bench, "query_series", json.dumps(query), {"Authorization": f"Bearer {bearer(bench, tenant)}"}, clients=1)
            if number >= 0:
                side.samples.append(sample)
        bench.absolute(
            key, what, [s.p50 for s in side.samples if s.p50], target=target, unit="ms", side=side,
            setting=f"{setting}; p50 of query_series over HTTP, one metric of two, avg, min and max",
        )  # fmt: skip
    clear(bench)
    with bench.connect() as db:
        empty_history(db)
        db.execute("DELETE FROM mqtt.devices")
