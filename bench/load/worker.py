"""The queue worker, called as the bridge calls it, and the least that such a worker could do."""

from __future__ import annotations

import time

from bench.harness import Bench, Connection
from bench.load.threads import threads
from bench.samples import Sample, sample_of
from bench.setup.messages import empty_history, empty_queue, fill_queue
from bench.setup.tenants import Tenant

CALL = "SELECT (r ->> 'processed')::integer, (r ->> 'more')::boolean FROM bridge.process_queue(%s) AS r"
# The least work that moves a batch: rows by address, as in the worker's statement, in table order, which is also the order of the history's
# indexes; no locks against other workers; a unique, ascending id for the price of a cast.
FLOOR = """
WITH gone AS (
    DELETE FROM pgmq.q_bench_floor
    WHERE ctid = ANY (ARRAY(SELECT q.ctid FROM pgmq.q_bench_floor AS q ORDER BY q.msg_id LIMIT %(batch)s))
    RETURNING msg_id, enqueued_at, message
)
INSERT INTO mqtt.history (received_at, measured_at, position, id, organization, topic, stored_after, flags, payload)
SELECT enqueued_at, enqueued_at, msg_id, lpad(to_hex(msg_id), 32, '0')::uuid, %(organization)s,
    (%(topics)s::integer[])[msg_id %% 100 + 1], 0, 0, message -> 'payload'
FROM gone
"""
FLOOR_PLAN = "SET plan_cache_mode = force_generic_plan"  # planned once, like the worker's statement


def floor_values(db: Connection, tenant: Tenant, batch: int) -> dict[str, object]:
    """What FLOOR is executed with: the numbers of the organization and of its topics, 100 of which the worker has made before."""
    number = db.execute("SELECT number FROM mqtt.organizations WHERE id = %s", (tenant.organization_id,)).fetchone()
    topics = db.execute(
        "SELECT number FROM mqtt.topics WHERE organization_id = %s ORDER BY number LIMIT 100", (tenant.organization_id,)
    ).fetchall()
    assert number is not None  # noqa: S101  # the organization is there
    return {"batch": batch, "organization": number[0], "topics": [row[0] for row in topics]}


def drain(db: Connection, batch: int) -> tuple[int, list[float]]:
    """Calls the worker until nothing is due; returns how many were stored and the seconds of each call."""
    stored, latencies = 0, []
    while True:
        start = time.perf_counter()
        row = db.execute(CALL, (batch,)).fetchone()
        latencies.append(time.perf_counter() - start)
        assert row is not None  # noqa: S101  # one row always
        stored += row[0]
        if not row[1]:
            return stored, latencies


def work_off(db: Connection, count: int, batch: int = 1000) -> Sample:
    """One worker processes this many of the queued messages."""
    done, latencies = 0, []
    begin = start = time.perf_counter()
    while done < count:
        answer = db.execute(CALL, (batch,)).fetchone()
        now = time.perf_counter()
        latencies.append(now - start)
        start = now
        if not answer or not answer[0]:
            break
        done += answer[0]
    return sample_of(done, start - begin, latencies)


def run_worker(bench: Bench, tenants: list[Tenant], count: int, batch: int, workers: int = 1) -> Sample:
    with bench.connect() as db:
        empty_history(db)
        empty_queue(db)
        for tenant in tenants:
            fill_queue(db, tenant, count // len(tenants))
        db.execute("VACUUM (ANALYZE) pgmq.q_mqtt_messages, mqtt.devices, mqtt.mqtt_credentials, mqtt.ledger")
    stored = [0] * workers

    def work(number: int) -> list[float]:
        latencies: list[float] = []
        with bench.connect() as db:
            # Another worker may hold what is left, so an empty batch does not end this. The bridge's worker looks again as soon, too.
            while not latencies or db.execute("SELECT EXISTS (SELECT FROM pgmq.q_mqtt_messages)").fetchone() == (True,):
                count, times = drain(db, batch)
                stored[number] += count
                latencies += times
        return latencies

    latencies, seconds = threads(workers, work)
    with bench.connect() as db:
        left = db.execute("SELECT count(*) FROM pgmq.q_mqtt_messages").fetchone()
        rows = db.execute("SELECT count(*) FROM mqtt.mqtt_messages").fetchone()
        # order: no message of a device was stored before an earlier one of the same device
        swapped = db.execute(
            "SELECT count(*) FROM (SELECT created_at < lag(created_at) OVER (PARTITION BY device_id ORDER BY received_at, id) AS is_swapped"
            " FROM mqtt.mqtt_messages) AS x WHERE is_swapped"
        ).fetchone()
    expected = count // len(tenants) * len(tenants)
    if sum(stored) != expected or left != (0,) or rows != (expected,) or swapped != (0,):
        raise RuntimeError(f"worker: stored {stored} of {expected}, left {left}, in the history {rows}, out of order {swapped}")
    return sample_of(expected, seconds, latencies)
