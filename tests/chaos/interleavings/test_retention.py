"""Retention and replays of dead letters, beside batches and beside each other."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos.interleavings.scene import PROCESS, REPLAY, Scene
from tests.support.waiting import PATIENCE

# ---------------------------------------------------------------------------------------------------------- process_batch and cleanup


@pytest.mark.parametrize("first", ["process", "cleanup"])
def test_cleanup_and_a_batch(scene: Scene, first: str) -> None:
    scene.send(2)
    scene.db.execute("SELECT mqtt.apply_retention()")  # what other tests on this stack left
    for days in (100, 200):
        scene.db.execute(
            "INSERT INTO mqtt.mqtt_messages"
            " (received_at, measured_at, position, organization_id, id, integration_id, direction, topic, payload)"
            " VALUES (now() - make_interval(days => %s), now(), 0, %s, gen_random_uuid(), %s, 'incoming', 'old', '1')",
            (days, scene.tenant.organization_id, scene.tenant.integration_id),
        )
    if first == "process":
        assert scene.a.do(PROCESS)["processed"] == 2
        removed = scene.b.do("SELECT mqtt.apply_retention()")
        scene.a.commit()
        scene.b.commit()
    else:
        removed = scene.b.do("SELECT mqtt.apply_retention()")
        assert scene.a.do(PROCESS)["processed"] == 2
        scene.b.commit()
        scene.a.commit()
    assert removed["completed"] == 2
    assert (scene.stored(), scene.queued()) == (2, 0)


# ----------------------------------------------------------------------------------------------------------- process_batch and replay


def test_a_batch_sees_replayed_messages_when_they_are_committed(scene: Scene, one_dead_letter: str) -> None:
    del one_dead_letter
    assert scene.a.do(REPLAY, scene.tenant.organization_id)["replayed"] == 1
    assert scene.b.do(PROCESS)["processed"] == 0
    scene.b.commit()
    scene.a.commit()
    assert scene.b.do(PROCESS)["processed"] == 1
    scene.b.commit()
    assert (scene.stored(), scene.queued(), scene.dead()) == (1, 0, 1)


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_two_replays_of_one_dead_letter(scene: Scene, one_dead_letter: str, ends: str) -> None:
    del one_dead_letter
    assert scene.a.do(REPLAY, scene.tenant.organization_id)["replayed"] == 1
    second = scene.b.waiting(scene.stack, REPLAY, scene.tenant.organization_id)
    getattr(scene.a, ends)()
    assert second.result(PATIENCE)["replayed"] == (0 if ends == "commit" else 1)
    scene.b.commit()
    assert scene.queued() == 1


def test_a_batch_that_makes_a_dead_letter_and_a_replay(scene: Scene, poison: Callable[[], Any]) -> None:
    scene.db.execute("UPDATE mqtt.configuration SET max_attempts = 1")
    scene.send(payload=poison())
    scene.b.do("SELECT set_config('request.jwt.claims', %s, false)", json.dumps({"role": "service_role"}))
    scene.b.commit()
    assert scene.a.do(PROCESS)["dead"] == 1
    assert scene.b.do(REPLAY, scene.tenant.organization_id)["matched"] == 0
    scene.b.commit()
    scene.a.commit()
    scene.db.execute("UPDATE mqtt.configuration SET max_attempts = 3")
    assert scene.b.do(REPLAY, scene.tenant.organization_id)["replayed"] == 1
    scene.b.rollback()
    assert (scene.stored(), scene.queued(), scene.dead()) == (0, 0, 1)


# ------------------------------------------------------------------------------------------------------------------ cleanup and replay

CLEANUP = "SELECT mqtt.apply_retention()"


@pytest.fixture
def an_old_dead_letter(scene: Scene, one_dead_letter: str) -> str:
    """One past its organization's term, though not past the installation's."""
    organization = (scene.tenant.organization_id,)
    scene.db.execute("UPDATE mqtt.organizations SET failed_days = 1 WHERE id = %s", organization)
    scene.db.execute("UPDATE mqtt.mqtt_dead_letters SET failed_at = failed_at - interval '3 days' WHERE organization_id = %s", organization)
    return one_dead_letter


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_cleanup_under_the_replay_of_a_dead_letter(scene: Scene, an_old_dead_letter: str, ends: str) -> None:
    """What was replayed is in the queue, though its dead letter goes."""
    del an_old_dead_letter
    assert scene.a.do(REPLAY, scene.tenant.organization_id)["replayed"] == 1
    cleaning = scene.b.waiting(scene.stack, CLEANUP)
    getattr(scene.a, ends)()
    assert cleaning.result(PATIENCE)["failed"] == 1
    scene.b.commit()
    assert scene.a.do(PROCESS)["processed"] == int(ends == "commit")
    scene.a.commit()
    assert (scene.stored(), scene.queued(), scene.dead()) == (int(ends == "commit"), 0, 0)


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_the_replay_of_a_dead_letter_under_cleanup(scene: Scene, an_old_dead_letter: str, ends: str) -> None:
    """Gone is gone: what cleanup takes is not put back into the queue as well."""
    del an_old_dead_letter
    assert scene.b.do(CLEANUP)["failed"] == 1
    replaying = scene.a.waiting(scene.stack, REPLAY, scene.tenant.organization_id)
    getattr(scene.b, ends)()
    assert replaying.result(PATIENCE)["replayed"] == int(ends == "rollback")
    scene.a.commit()
    assert (scene.queued(), scene.dead()) == ((0, 0) if ends == "commit" else (1, 1))
