"""Reading forward in the order of settling while everything commits out of order."""

import json
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg

from tests.support.api import Device
from tests.support.stack import Stack
from tests.support.tenant import Tenant

WRITERS = 8
MESSAGES = 20
HELD = 0.1  # seconds, at most: a transaction of this test is open for a random part of it


def hold(connection: psycopg.Connection[Any], chance: random.Random) -> None:
    connection.execute("SELECT pg_sleep(%s)", (chance.uniform(0, HELD),))
    connection.commit()


def ingest(stack: Stack, device: Device, number: int) -> None:
    """Messages of one device, each in a transaction that stays open for a while."""
    chance = random.Random(number)
    headers = {"x-username": device.username, "x-password": device.password, "x-client-id": device.client_id}
    with stack.connect(autocommit=False) as connection:
        for n in range(MESSAGES):
            connection.execute("SET LOCAL ROLE anon")
            connection.execute("SELECT set_config('request.headers', %s, true)", (json.dumps(headers),))
            connection.execute("SELECT api.mqtt_ingest(%s, %s)", (device.topic(f"writer{number}"), json.dumps(n)))
            connection.execute("RESET ROLE")
            hold(connection, chance)


def publish(stack: Stack, home: Tenant, number: int) -> None:
    """Settles published messages, as the bridge of another integration of the organization would."""
    chance = random.Random(100 + number)
    with stack.connect(autocommit=False) as connection:
        for n in range(MESSAGES):
            connection.execute(
                "WITH q AS (INSERT INTO pgmq.q_mqtt_outbound (vt, organization_id, integration_id, message)"
                " VALUES (now(), %s, %s, jsonb_build_object('topic', %s::text, 'payload', %s::integer)) RETURNING msg_id)"
                " SELECT msg_id FROM q",
                (home.organization_id, home.integration_id, f"{home.slug}/out{number}", n),
            )
            connection.execute(
                "SELECT mqtt.settle_outbound(array_agg(q.msg_id), '{sent}', '{0}', '{null}') FROM pgmq.q_mqtt_outbound AS q"
                " WHERE q.message ->> 'topic' = %s",
                (f"{home.slug}/out{number}",),
            )
            hold(connection, chance)


def process(stack: Stack, home: Tenant, number: int, done: threading.Event) -> None:
    chance = random.Random(200 + number)
    # A batch of none is no end: who has met the other worker leaves it half of the organizations for a second.
    left = "SELECT FROM pgmq.q_mqtt_messages WHERE organization_id = %s LIMIT 1"
    with stack.connect(autocommit=False) as connection:
        while True:
            was_done = done.is_set()
            row = connection.execute("SELECT mqtt.process_batch(%s) ->> 'processed'", (chance.randint(1, 20),)).fetchone()
            hold(connection, chance)
            if was_done and row == ("0",) and connection.execute(left, (home.organization_id,)).fetchone() is None:
                return


def read(connection: psycopg.Connection[Any], cursor: str | None, organization: int, most: int) -> list[tuple[str, str, int, str]]:
    """Topic, direction, payload and cursor of the next messages, as a reader that knows nothing but its cursor."""
    return connection.execute(
        """
        WITH start AS (
            SELECT CASE
                WHEN %(cursor)s::text IS NULL THEN ROW(%(organization)s, 0, 0, 0, 0)::mqtt.stream_position
                ELSE (
                    SELECT ROW(c.organization, c.incoming, c.outgoing, c.incoming_place, c.outgoing_place)::mqtt.stream_position
                    FROM mqtt.read_stream_cursor(%(cursor)s) AS c
                )
            END AS position
        )
        SELECT t.topic, CASE WHEN m.is_outgoing THEN 'outgoing' ELSE 'incoming' END, ((m.message).payload #>> '{}')::integer,
            mqtt.stream_cursor(m.organization, m.incoming, m.outgoing, m.incoming_place, m.outgoing_place, m.settled_at)
        FROM start AS s
        CROSS JOIN LATERAL mqtt.settled_messages(ARRAY[s.position], %(most)s) AS m
        JOIN mqtt.topics AS t ON t.number = (m.message).topic
        ORDER BY m.is_outgoing, m.number, m.place
        """,
        {"cursor": cursor, "organization": organization, "most": most},
    ).fetchall()


def follow(stack: Stack, organization: int, done: threading.Event) -> tuple[list[tuple[str, str, int]], int]:
    """Everything, read in small steps, each resumed from nothing but the cursor of the last message."""
    chance = random.Random(0)
    seen: list[tuple[str, str, int]] = []
    cursor = None
    resumed = 0
    with stack.connect() as connection:
        while True:
            was_done = done.is_set()
            rows = read(connection, cursor, organization, chance.randint(1, 7))
            # Goes away in the middle of what it was sent.
            taken = rows[: chance.randint(1, len(rows))] if rows else []
            seen += [row[:3] for row in taken]
            if taken:
                cursor = taken[-1][3]
                resumed += 1
            elif was_done:
                return seen, resumed


def test_nothing_missing_and_nothing_twice(stack: Stack, tenant: Callable[..., Tenant]) -> None:
    home = tenant()
    devices = [home.device() for _ in range(WRITERS)]
    with stack.connect() as connection:
        row = connection.execute("SELECT number FROM mqtt.organizations WHERE id = %s", (home.organization_id,)).fetchone()
    assert row is not None
    written, settled = threading.Event(), threading.Event()
    with ThreadPoolExecutor(WRITERS + 6) as pool:
        reader = pool.submit(follow, stack, row[0], settled)
        writers = [pool.submit(ingest, stack, device, number) for number, device in enumerate(devices)]
        writers += [pool.submit(publish, stack, home, number) for number in range(2)]
        workers = [pool.submit(process, stack, home, number, written) for number in range(2)]
        try:
            for writer in writers:
                writer.result()
        finally:
            written.set()
        try:
            for worker in workers:
                worker.result()
        finally:
            settled.set()
        seen, resumed = reader.result()
    expected = {
        (topic, direction): list(range(MESSAGES))
        for topic, direction in (
            [(device.topic(f"writer{number}"), "incoming") for number, device in enumerate(devices)]
            + [(f"{home.slug}/out{number}", "outgoing") for number in range(2)]
        )
    }
    by_topic: dict[tuple[str, str], list[int]] = {}
    for topic, direction, payload in seen:
        by_topic.setdefault((topic, direction), []).append(payload)
    assert by_topic == expected
    assert resumed >= 50
