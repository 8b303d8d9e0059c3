"""Packing a day beside readers of old and new snapshots, changes of its messages, intake, and a packer that is killed."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.chaos.interleavings.scene import Scene, Session
from tests.support.stack import Stack, start_stack
from tests.support.waiting import PATIENCE, wait_until

COUNT = 900
DAY = f"date '{datetime.now(UTC).date() - timedelta(days=400)}'"  # the same also when another begins
STEP = "SELECT mqtt.pack_days(200)"
STATE = f"SELECT d.state FROM mqtt.packed_days AS d WHERE d.day = {DAY}"
SEEN = (
    "SELECT jsonb_build_array(count(*), count(DISTINCT m.id), min(m.payload::integer), max(m.payload::integer))"
    f" FROM mqtt.mqtt_messages AS m WHERE m.received_at >= {DAY} AND m.received_at < {DAY} + 1"
)
LISTED = (
    "SELECT jsonb_agg(m.payload) FROM api.list_messages(organization_id => %s, filter => 'old/#',"
    f" until => ({DAY} + 1)::timestamp AT TIME ZONE 'UTC', \"limit\" => 1000) AS m"
)
ALL = [COUNT, COUNT, 1, COUNT]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """One of this file's own: what others make of the partitions decides which days are packed."""
    running = start_stack(without=("gateway", "bridge"))
    yield running
    running.down()


@pytest.fixture
def old(scene: Scene) -> Iterator[Scene]:
    """A day of 900 messages that is to be packed, of three topics in turn."""
    scene.db.execute("SET timezone = 'UTC'")
    scene.db.execute(f"SELECT mqtt.create_partition('mqtt.history', {DAY})".encode())
    scene.db.execute(
        "INSERT INTO mqtt.mqtt_messages (organization_id, integration_id, direction, topic, received_at, measured_at, position, payload)"
        f" SELECT %s, %s, 'incoming', 'old/' || n %% 3, {DAY} + n * interval '1 minute', {DAY} + n * interval '1 minute', n, to_jsonb(n)"
        " FROM generate_series(1, %s) AS n".encode(),
        (scene.tenant.organization_id, scene.tenant.integration_id, COUNT),
    )
    scene.db.execute("UPDATE mqtt.configuration SET pack_after = 300")
    for session in (scene.a, scene.b):
        session.do("SET timezone = 'UTC'")
        session.commit()
    yield scene
    scene.a.rollback()
    scene.b.rollback()
    scene.db.execute("UPDATE mqtt.configuration SET pack_after = NULL")
    partition = scene.value(f"SELECT to_regclass('mqtt.history_' || to_char({DAY}, 'YYYYMMDD'))::text")
    if partition:
        scene.db.execute("SELECT mqtt.drop_partitions(ARRAY[%s::regclass])", (partition,))
    scene.db.execute("TRUNCATE mqtt.packs, mqtt.packed_days")


def steps(scene: Scene) -> Iterator[None]:
    """Once for each step until the day is packed."""
    for _ in range(2 * COUNT // 200 + 5):
        if scene.value(STATE) in ("packed", "dropped"):
            return
        yield
    pytest.fail("the day is not packed, after twice as many steps as it needs")


def pack_until(scene: Scene, state: str) -> None:
    def is_there() -> bool:
        scene.a.do(STEP)
        scene.a.commit()
        return bool(scene.value(STATE) == state)

    wait_until(is_there, what=f"the day is {state}")


def test_an_old_snapshot_and_new_ones_see_each_message_once(old: Scene) -> None:
    old.b.do("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    old.b.do("SELECT count(*) FROM mqtt.configuration")  # it has its snapshot, and no lock on the history
    pack_until(old, "packed")
    old.a.do(STEP)
    old.a.commit()
    assert old.value(STATE) == "packed", "its rows are dropped, though a snapshot needs them"
    assert old.b.do(SEEN) == ALL
    assert old.value(SEEN) == ALL
    assert old.value("SELECT count(*) FROM mqtt.mqtt_messages AS m WHERE m.is_packed") == COUNT
    old.b.commit()
    assert old.b.do(SEEN) == ALL
    old.b.commit()
    pack_until(old, "dropped")
    assert old.value(SEEN) == ALL


def test_readers_in_the_midst(old: Scene) -> None:
    wrong: list[Any] = []
    is_over = threading.Event()
    newest = list(range(COUNT, 0, -1))

    def read() -> None:
        with old.stack.connect() as connection:
            connection.execute("SET timezone = 'UTC'")
            while not is_over.is_set() and not wrong:
                seen = connection.execute(SEEN.encode()).fetchone()
                listed = connection.execute(LISTED.encode(), (old.tenant.organization_id,)).fetchone()
                if seen != (ALL,) or listed != (newest,):
                    wrong.append((seen, listed))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    pack_until(old, "dropped")
    is_over.set()
    for reader in readers:
        reader.join(PATIENCE)
    assert wrong == []


def test_a_packer_that_is_killed(old: Scene) -> None:
    packed = 0
    for _ in steps(old):
        doomed = Session(old.stack)
        doomed.do(STEP)
        old.db.execute("SELECT pg_terminate_backend(%s)", (doomed.connection.info.backend_pid,))
        with pytest.raises(psycopg.OperationalError):
            doomed.commit()
        doomed.close()
        assert old.value("SELECT coalesce(sum(p.message_count), 0) FROM mqtt.packs AS p") == packed, "half a step is left"
        assert old.value(SEEN) == ALL
        old.a.do(STEP)
        old.a.commit()
        packed = old.value("SELECT sum(p.message_count) FROM mqtt.packs AS p")
        assert old.value(SEEN) == ALL
    pack_until(old, "dropped")
    assert old.value(SEEN) == ALL


def test_a_change_that_is_not_committed_yet(old: Scene) -> None:
    old.a.do(STEP)
    old.a.commit()
    old.b.do(
        f"DELETE FROM mqtt.mqtt_messages AS m WHERE m.received_at >= {DAY} AND m.received_at < {DAY} + 1 AND m.payload = '1' RETURNING 1"
    )
    assert old.a.do(STEP)["messages_packed"] == 0, "it goes on while a change may still come"
    old.a.commit()
    old.b.commit()
    pack_until(old, "dropped")
    assert old.value(SEEN) == [COUNT - 1, COUNT - 1, 2, COUNT]


def test_a_change_after_the_packs_are_shown(old: Scene) -> None:
    old.b.do("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    old.b.do("SELECT count(*) FROM mqtt.configuration")
    pack_until(old, "packed")
    with pytest.raises(psycopg.DatabaseError, match="day_packed"):
        old.b.do(f"UPDATE mqtt.history AS h SET flags = 0 WHERE h.received_at >= {DAY} AND h.received_at < {DAY} + 1")
    old.b.rollback()
    with pytest.raises(psycopg.DatabaseError, match="day_packed"):
        old.b.do(f"UPDATE mqtt.history AS h SET flags = 0 WHERE h.received_at >= {DAY} AND h.received_at < {DAY} + 1")
    old.b.rollback()


def test_intake_waits_for_no_step(old: Scene) -> None:
    old.db.execute("ALTER ROLE authenticator SET lock_timeout = '50ms'")
    try:
        for _ in steps(old):
            old.a.do(STEP)
            old.send()
            old.a.commit()
    finally:
        old.db.execute("ALTER ROLE authenticator RESET lock_timeout")
    assert old.value(SEEN) == ALL
