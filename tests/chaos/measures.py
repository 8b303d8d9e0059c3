"""Two measurements that need no faults: `bin/chaos --measure snapshot|retention`."""

import threading
import time
from contextlib import closing

import psycopg
from rich.console import Console

from tests.chaos.world import World
from tests.support.stack import Stack, start_stack

FEED = (
    "WITH queued AS (INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id)"
    " SELECT clock_timestamp(), jsonb_build_object('topic', replace(%s, '+', 'd' || n %% %s), 'payload', jsonb_build_object('n', n)),"
    " %s, %s"
    " FROM generate_series(1, 1000) AS n RETURNING 1) SELECT mqtt.count_accepted(%s, count(*)::integer) FROM queued"
)


def snapshot(console: Console, minutes: float, devices: int) -> int:
    """The queue's rate at full load, with a snapshot held for so long and a fifth of that without; messages of so many devices or none."""
    stack = start_stack(without=("gateway", "bridge"))
    try:
        with closing(World(stack, seed=1)) as world:
            _rate(world, 10, devices)
            free = _rate(world, minutes * 60 / 5, devices)
            with stack.connect(autocommit=False) as holder:
                holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                holder.execute("SELECT count(*) FROM pgmq.q_mqtt_messages")
                held = _rate(world, minutes * 60, devices)
    finally:
        stack.down()
    without, with_it, last = sum(free) / len(free), sum(held) / len(held), sum(held[-len(held) // 4 :]) / len(held[-len(held) // 4 :])
    console.print(f"messages a second, each through queue and history: {without:,.0f} without, {with_it:,.0f} with a snapshot held")
    console.print(f"for {minutes:g} minutes: {with_it / without:.2f} of it; in the last quarter {last / without:.2f}")
    return 0 if with_it >= 0.8 * without else 1


def _rate(world: World, seconds: float, devices: int) -> list[float]:
    """Messages a second, of each part of a tenth: one session feeds, one processes, neither waits for the other."""
    ended = threading.Event()
    fed, done = [0], [0]
    organization = world.tenant.organization_id
    topic = world.device.topic("+") if devices else "m/+"

    def feed() -> None:
        with world.stack.connect() as connection:
            while not ended.is_set():
                # Counted here: to count in the table would be to read its dead rows, too.
                if fed[0] - done[0] >= 20000:
                    time.sleep(0.01)
                    continue
                connection.execute(FEED, (topic, devices or 100, organization, world.tenant.integration_id, organization))
                fed[0] += 1000

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    rates = []
    try:
        with world.stack.connect() as connection:
            for _ in range(10):
                began, before = time.monotonic(), done[0]
                while time.monotonic() - began < seconds / 10:
                    done[0] += _processed(connection)
                rates.append((done[0] - before) / (time.monotonic() - began))
    finally:
        ended.set()
        feeder.join()
    return rates


def _processed(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    row = connection.execute("SELECT (mqtt.process_batch(1000) ->> 'processed')::integer").fetchone()
    assert row is not None
    return int(str(row[0]))


def retention(console: Console, rows: int) -> int:
    """How long so many rows past their term take to go, and the slowest ingest over HTTP meanwhile."""
    stack = start_stack(without=("gateway", "bridge"))
    try:
        with closing(World(stack, seed=1)) as world:
            return _retention(console, stack, world, rows)
    finally:
        stack.down()


def _retention(console: Console, stack: Stack, world: World, rows: int) -> int:
    with stack.connect() as connection:
        connection.execute("SELECT mqtt.create_partition('mqtt.history', current_date - 40)")
        connection.execute(
            "INSERT INTO mqtt.history (received_at, measured_at, position, id, organization, topic, stored_after, flags, payload)"
            " SELECT current_date - 40 + n * interval '1 millisecond', now(), n, gen_random_uuid(), o.number, 0, 0, 0, '1'"
            " FROM mqtt.organizations AS o, generate_series(1, %s) AS n WHERE o.id = %s",
            (rows, world.tenant.organization_id),
        )
        ended = threading.Event()
        times: list[float] = []

        def ingest() -> None:
            while not ended.is_set():
                began = time.monotonic()
                assert world.device.send({"n": 1}).status_code == 202
                times.append(time.monotonic() - began)

        sender = threading.Thread(target=ingest, daemon=True)
        sender.start()
        time.sleep(1)
        began = time.monotonic()
        row = connection.execute("SELECT mqtt.apply_retention() ->> 'completed'").fetchone()
        seconds = time.monotonic() - began
        ended.set()
        sender.join()
    assert row is not None
    console.print(
        f"{int(str(row[0])):,} rows went in {seconds:.1f} s; {len(times)} messages were sent, the slowest took {max(times):.2f} s"
    )
    return 0 if int(str(row[0])) == rows else 1
