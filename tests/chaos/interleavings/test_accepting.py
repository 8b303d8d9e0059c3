"""Accepting a message while another of the same id is, while the ledger is rolled up, and while the queue is paused."""

import json
import uuid

import pytest

from tests.chaos.interleavings.scene import INGEST, PROCESS, Scene
from tests.support.waiting import PATIENCE

# ------------------------------------------------------------------------------------------- ingest and ingest, with the same message_id


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_one_message_id_at_once(scene: Scene, ends: str) -> None:
    message_id = str(uuid.uuid4())
    for session in (scene.a, scene.b):
        session.do(
            "SELECT set_config('request.headers', %s, false)",
            json.dumps({name.lower(): value for name, value in scene.device.headers.items()}),
        )
        session.commit()
    assert scene.a.do(INGEST, scene.device.topic(), message_id)["message_id"] == message_id
    second = scene.b.waiting(scene.stack, INGEST, scene.device.topic(), message_id)
    getattr(scene.a, ends)()
    assert second.result(PATIENCE) == {"message_id": message_id, "status": "queued"}
    scene.b.commit()
    assert scene.queued() == 1


# ------------------------------------------------------------------------------------------------ count_accepted and roll_up_ledger

ROLL_UP = "SELECT mqtt.roll_up_ledger('-2 hours')"  # of minutes to come, too, so that those that are being counted into are rolled up


def _books(scene: Scene) -> tuple[int, int]:
    """Accepted and completed."""
    row = scene.db.execute(
        "SELECT sum(accepted)::integer, sum(completed)::integer FROM mqtt.ledger WHERE organization_id = %s",
        (scene.tenant.organization_id,),
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def _counting(scene: Scene) -> tuple[str, str, str]:
    """The statement and its arguments by which session a accepts a message, counted in a row of the ledger that is there already."""
    scene.a.do(
        "SELECT set_config('request.headers', %s, false)",
        json.dumps({name.lower(): value for name, value in scene.device.headers.items()}),
    )
    scene.a.commit()
    scene.db.execute(
        "INSERT INTO mqtt.ledger (organization_id, bucket, shard)"
        " SELECT %s, date_trunc('minute', now()) + make_interval(mins => m), %s %% 64 + 64 * s"
        " FROM generate_series(0, 1) AS m, generate_series(0, 12) AS s",
        (scene.tenant.organization_id, scene.a.connection.info.backend_pid),
    )
    return INGEST, scene.device.topic(), str(uuid.uuid4())


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_rolling_up_what_is_being_counted(scene: Scene, ends: str) -> None:
    assert scene.a.do(*_counting(scene))["status"] == "queued"
    rolling = scene.b.waiting(scene.stack, ROLL_UP)
    getattr(scene.a, ends)()
    assert rolling.result(PATIENCE) >= 26
    scene.b.commit()
    assert _books(scene) == (scene.queued(), 0) == (int(ends == "commit"), 0)


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_counting_what_is_being_rolled_up(scene: Scene, ends: str) -> None:
    counting = _counting(scene)
    assert scene.b.do(ROLL_UP) >= 26
    accepting = scene.a.waiting(scene.stack, *counting)
    getattr(scene.b, ends)()
    assert accepting.result(PATIENCE)["status"] == "queued"
    scene.a.commit()
    assert _books(scene) == (scene.queued(), 0) == (1, 0)


@pytest.mark.parametrize("first", ["process", "roll up"])
@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_rolling_up_and_a_batch(scene: Scene, first: str, ends: str) -> None:
    """Both write the row in which the workers count."""
    scene.send()
    assert scene.a.do(PROCESS)["processed"] == 1
    scene.a.commit()
    # Both rows that the next one may be counted in are there, whether or not a minute begins meanwhile.
    scene.db.execute(
        "INSERT INTO mqtt.ledger (organization_id, bucket, shard)"
        " SELECT %s, date_trunc('minute', now()) + make_interval(mins => m), mqtt.ledger_level_outcomes() FROM generate_series(0, 1) AS m"
        " ON CONFLICT DO NOTHING",
        (scene.tenant.organization_id,),
    )
    scene.send()
    one, other = (scene.a, scene.b) if first == "process" else (scene.b, scene.a)
    queries = (PROCESS, ROLL_UP) if first == "process" else (ROLL_UP, PROCESS)
    one.do(queries[0])
    begun = other.waiting(scene.stack, queries[1])
    getattr(one, ends)()
    begun.result(PATIENCE)
    other.commit()
    if scene.queued():
        assert (first, ends) == ("process", "rollback")
        assert scene.a.do(PROCESS)["processed"] == 1
        scene.a.commit()
    assert _books(scene) == (2, 2)


# ----------------------------------------------------------------------------------------------------------- ingest and check_capacity

CHECK_CAPACITY = "SELECT mqtt.check_capacity() ->> 'organizations_stopped'"


@pytest.fixture
def one_at_most(scene: Scene) -> Scene:
    """Of an organization's messages one may wait; session a is the device."""
    scene.db.execute("UPDATE mqtt.organizations SET max_queued = 1 WHERE id = %s", (scene.tenant.organization_id,))
    headers = {name.lower(): value for name, value in scene.device.headers.items()}
    scene.a.do("SELECT set_config('request.headers', %s, false)", json.dumps(headers))
    scene.a.commit()
    return scene


@pytest.mark.parametrize("ends", ["commit", "rollback"])
@pytest.mark.parametrize("has_id", [False, True], ids=["without an id", "with message_id"])
def test_the_queue_is_paused_while_a_message_is_accepted(one_at_most: Scene, ends: str, *, has_id: bool) -> None:
    """Neither waits; what is accepted before the end of who closes is accepted, and counted the next time."""
    scene = one_at_most
    message_id = str(uuid.uuid4()) if has_id else None
    scene.send()
    assert scene.a.do(INGEST, scene.device.topic(), message_id)["status"] == "queued"
    assert scene.b.do(CHECK_CAPACITY) == "0", "one is not too many, and of the other nobody knows yet"
    scene.b.commit()
    getattr(scene.a, ends)()
    assert scene.b.do(CHECK_CAPACITY) == ("1" if ends == "commit" else "0")
    scene.b.commit()
    assert scene.device.send(1).status_code == (429 if ends == "commit" else 202)


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_a_full_queue_is_closed_with_and_without_a_pause(one_at_most: Scene, ends: str) -> None:
    scene = one_at_most
    scene.send(2)
    assert scene.b.do(CHECK_CAPACITY) == "1"
    getattr(scene.b, ends)()
    refused = scene.device.send(1)
    assert (refused.status_code, refused.json()["message"]) == (429, "queue_paused")
    assert scene.a.do(PROCESS)["processed"] == 2
    assert scene.device.send(1).status_code == 429, "that they are gone is not committed"
    scene.a.commit()
    assert scene.b.do(CHECK_CAPACITY) == "0"
    scene.b.commit()
    assert scene.device.send(1).status_code == 202
