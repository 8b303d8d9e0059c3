"""Queries of the history, by the clock of the client or of the server."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from bench.harness import Bench, Connection
from bench.samples import Sample, sample_of
from bench.setup.tenants import Tenant, claims

LAST_100 = "SELECT * FROM {} AS m WHERE m.organization_id = %s ORDER BY m.received_at DESC LIMIT 100"
LAST_100_DEVICE = "SELECT * FROM api.list_messages(device_id => %s::text)"


def history_view(db: Connection) -> str:
    """The API's view, or the table behind it where there is no view."""
    row = db.execute("SELECT to_regclass('api.mqtt_messages') IS NOT NULL").fetchone()
    return "api.mqtt_messages" if row and row[0] else "mqtt.mqtt_messages"


def query(bench: Bench, role: str, tenant: Tenant, statement: str, parameters: Sequence[tuple[str]], runs: int) -> Sample:
    """Runs the prepared statement repeatedly as that role, with each parameter in turn. rate: median milliseconds per query."""
    latencies = []
    with bench.connect(prepare_threshold=1) as db:
        db.execute("SELECT set_config('request.jwt.claims', %s, false)", (claims(tenant),))
        db.execute(f"SET ROLE {role}")
        for n in range(runs + 20):
            start = time.perf_counter()
            db.execute(statement, parameters[n % len(parameters)]).fetchall()
            if n >= 20:
                latencies.append(time.perf_counter() - start)
    sample = sample_of(runs, sum(latencies), latencies)
    return Sample(statistics.median(latencies) * 1000, sample.p50, sample.p99, runs)


def server_time(bench: Bench, role: str, tenant: Tenant, statement: str, parameter: str, runs: int) -> Sample:
    """Runs the prepared statement as that role; planning and execution time by the server's own clock, without the client's."""
    latencies = []
    with bench.connect() as db:
        db.execute("SELECT set_config('request.jwt.claims', %s, false)", (claims(tenant),))
        db.execute(f"SET ROLE {role}")
        db.execute(f"PREPARE bench AS {statement.replace('%s', '$1')}")
        for n in range(runs + 20):
            found = db.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE bench ('{parameter}')").fetchone()
            assert found is not None  # noqa: S101  # EXPLAIN has one row
            if n >= 20:
                latencies.append((found[0][0]["Planning Time"] + found[0][0]["Execution Time"]) / 1000)
    sample = sample_of(runs, sum(latencies), latencies)
    return Sample(statistics.median(latencies) * 1000, sample.p50, sample.p99, runs)
