"""Batches of two workers; a batch and one message by hand, a single attempt, or the deletion of its integration."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos.interleavings.scene import BY_HAND, PROCESS, Scene, Session
from tests.support.tenant import make_tenant
from tests.support.waiting import PATIENCE

# --------------------------------------------------------------------------------------------- process_batch and process_batch


def test_two_workers_at_one_organization(scene: Scene) -> None:
    scene.send(3)
    assert scene.a.do(PROCESS)["processed"] == 3
    assert scene.b.do(PROCESS)["processed"] == 0
    scene.b.commit()
    scene.a.commit()
    assert scene.b.do(PROCESS)["processed"] == 0
    assert (scene.stored(), scene.queued()) == (3, 0)


def test_what_one_worker_gives_back_the_other_takes(scene: Scene) -> None:
    scene.send(3)
    assert scene.a.do(PROCESS)["processed"] == 3
    scene.a.rollback()
    assert scene.b.do(PROCESS)["processed"] == 3
    scene.b.commit()
    assert (scene.stored(), scene.queued()) == (3, 0)


def test_two_workers_at_two_organizations(scene: Scene) -> None:
    other = make_tenant(scene.stack, scene.tenant.api)
    scene.send(2)
    assert scene.a.do(PROCESS)["processed"] == 2
    assert other.device().send({"n": 1}).status_code == 202
    assert scene.b.do(PROCESS)["processed"] == 1
    scene.b.commit()
    scene.a.commit()
    assert (scene.stored(), scene.queued()) == (2, 0)


def test_one_message_behind_thousands_that_another_worker_is_at(scene: Scene) -> None:
    other = make_tenant(scene.stack, scene.tenant.api).device()
    scene.b.do(PROCESS)
    scene.b.commit()  # who has just looked everywhere does not do so again for a second
    organization = scene.tenant.organization_id
    scene.value(
        "WITH queued AS (INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id)"
        " SELECT clock_timestamp(), '{\"topic\": \"x\"}', %s, %s FROM generate_series(1, 3000) RETURNING 1)"
        " SELECT mqtt.count_accepted(%s, count(*)::integer) FROM queued",
        organization, scene.tenant.integration_id, organization,
    )  # fmt: skip
    assert other.send({"n": 1}).status_code == 202
    assert scene.a.do("SELECT pg_advisory_xact_lock(mqtt.processing_lock(), hashtext(%s::text))", organization) is not None
    assert scene.b.do(PROCESS)["processed"] == 1
    scene.b.commit()


def test_two_workers_share_the_organizations(scene: Scene) -> None:
    devices = [scene.device, *(make_tenant(scene.stack, scene.tenant.api).device() for _ in range(3))]
    few = "SELECT mqtt.process_batch(4)"

    def held(session: Session) -> Any:
        """Organizations that a session's batch is at."""
        query = "SELECT count(*) FROM pg_locks WHERE pid = %s AND locktype = 'advisory' AND classid = mqtt.processing_lock()::oid"
        return scene.value(query, session.connection.info.backend_pid)

    for _ in range(20):
        for device in devices:
            for number in range(6):
                assert device.send({"n": number}).status_code == 202
        scene.a.do(few)
        assert held(scene.a) == 4
        in_line = scene.b.later(few)
        scene.a.commit()
        in_line.result(PATIENCE)
        if held(scene.b) == 1:
            break
        scene.b.commit()  # it waits for a moment only, or came when there was no line any more
        scene.db.execute("SELECT mqtt.process_batch(100000)")
    assert held(scene.b) == 1, "who waits in line has its turn"
    scene.a.do(few)
    assert held(scene.a) == 3
    scene.a.commit()
    scene.a.do(few)
    assert held(scene.a) == 2, "half, since there is another worker"
    scene.a.commit()
    scene.b.commit()


# -------------------------------------------------------------------------------------- process_batch and process_mqtt_queue_message


def test_by_hand_while_a_worker_is_at_it(scene: Scene) -> None:
    (message_id,) = scene.send()
    assert scene.a.do(PROCESS)["processed"] == 1
    by_hand = scene.b.waiting(scene.stack, BY_HAND, message_id)
    scene.a.commit()
    assert by_hand.result(PATIENCE)["status"] == "completed"
    scene.b.commit()
    assert (scene.stored(), scene.queued()) == (1, 0)


def test_by_hand_after_a_worker_gave_up(scene: Scene) -> None:
    (message_id,) = scene.send()
    assert scene.a.do(PROCESS)["processed"] == 1
    by_hand = scene.b.waiting(scene.stack, BY_HAND, message_id)
    scene.a.rollback()
    assert by_hand.result(PATIENCE)["status"] == "completed"
    scene.b.commit()
    assert (scene.stored(), scene.queued()) == (1, 0)


def test_by_hand_after_a_worker_moved_the_row(scene: Scene, poison: Callable[[], Any]) -> None:
    (message_id,) = scene.send(payload=poison())
    assert scene.a.do(PROCESS)["failed"] == 1
    by_hand = scene.b.waiting(scene.stack, BY_HAND, message_id)
    scene.a.commit()
    assert by_hand.result(PATIENCE)["status"] == "pending"
    scene.b.commit()
    query = "SELECT attempts FROM pgmq.q_mqtt_messages WHERE organization_id = %s"
    assert scene.value(query, scene.tenant.organization_id) == 2
    scene.db.execute("DELETE FROM pgmq.q_mqtt_messages WHERE organization_id = %s", (scene.tenant.organization_id,))
    scene.db.execute("DELETE FROM mqtt.ledger WHERE organization_id = %s", (scene.tenant.organization_id,))


def test_a_worker_while_one_is_processed_by_hand(scene: Scene) -> None:
    ids = scene.send(2)
    assert scene.b.do(BY_HAND, ids[0])["status"] == "completed"
    assert scene.a.do(PROCESS)["processed"] == 0, "one at a time in an organization"
    scene.b.commit()
    assert scene.a.do(PROCESS)["processed"] == 1
    scene.a.commit()
    assert (scene.stored(), scene.queued()) == (2, 0)


# ---------------------------------------------------------------------------------------------- single attempts and process_batch


def test_an_attempt_and_a_batch(scene: Scene) -> None:
    scene.send()
    attempted = scene.a.do("SELECT mqtt.begin_attempt(now())")
    assert scene.b.do(PROCESS)["processed"] == 0
    scene.b.commit()
    scene.a.commit()
    assert scene.b.do(PROCESS)["processed"] == 0, "what is being attempted is hidden"
    scene.b.commit()
    assert scene.a.do("SELECT mqtt.finish_attempt(%s)", attempted) == "processed"
    scene.a.commit()
    assert (scene.stored(), scene.queued()) == (1, 0)


def test_a_batch_and_an_attempt(scene: Scene) -> None:
    scene.send(2)
    assert scene.a.do(PROCESS)["processed"] == 2
    assert scene.b.do("SELECT mqtt.begin_attempt(now())") == 0, "no attempt is counted for what another worker is at"
    scene.b.commit()
    scene.a.rollback()
    attempted = scene.b.do("SELECT mqtt.begin_attempt(now())")
    scene.b.commit()
    assert scene.a.do(PROCESS)["processed"] == 1
    assert scene.b.do("SELECT mqtt.finish_attempt(%s)", attempted) == "busy"
    scene.b.commit()
    query = "SELECT attempts FROM pgmq.q_mqtt_messages WHERE msg_id = %s"
    assert scene.value(query, attempted) == 0, "nor for what had to wait"
    scene.a.commit()
    scene.db.execute("UPDATE pgmq.q_mqtt_messages SET vt = clock_timestamp() WHERE msg_id = %s", (attempted,))
    assert scene.b.do(PROCESS)["processed"] == 1
    scene.b.commit()
    assert (scene.stored(), scene.queued(), scene.dead()) == (2, 0, 0)


# ------------------------------------------------------------------------------------------------- process_batch and delete_integration

DELETE = "SELECT api.delete_integration(%s)"


@pytest.mark.parametrize("ends", ["commit", "rollback"])
@pytest.mark.parametrize("has_device", [False, True], ids=["new device", "known device"])
def test_deleting_an_integration_under_a_batch(scene: Scene, ends: str, *, has_device: bool) -> None:
    expected = 2
    if has_device:
        scene.send()
        assert scene.a.do(PROCESS)["processed"] == 1
        scene.a.commit()
        expected = 3
    scene.send(2)
    scene.b.do("SELECT set_config('request.jwt.claims', %s, false)", json.dumps({"role": "service_role"}))
    scene.b.commit()
    assert scene.a.do(PROCESS)["processed"] == 2
    deletion = scene.b.waiting(scene.stack, DELETE, scene.tenant.integration_id)
    getattr(scene.a, ends)()
    deletion.result(PATIENCE)
    scene.b.commit()
    if ends == "rollback":
        assert scene.a.do(PROCESS)["processed"] == 2, "what was accepted is stored, though its integration is gone"
        scene.a.commit()
    assert (scene.stored(), scene.queued(), scene.dead()) == (expected, 0, 0)


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_a_batch_under_the_deletion_of_its_integration(scene: Scene, ends: str) -> None:
    scene.send(2)
    scene.b.do("SELECT set_config('request.jwt.claims', %s, false)", json.dumps({"role": "service_role"}))
    scene.b.commit()
    scene.b.do(DELETE, scene.tenant.integration_id)
    batch = scene.a.waiting(scene.stack, PROCESS)
    getattr(scene.b, ends)()
    counts = batch.result(PATIENCE)
    scene.a.commit()
    if counts["processed"] == 0:
        assert counts["failed"] in {0, 2}
        scene.db.execute("UPDATE pgmq.q_mqtt_messages SET vt = clock_timestamp()")
        assert scene.a.do(PROCESS)["processed"] == 2
        scene.a.commit()
    assert (scene.stored(), scene.queued(), scene.dead()) == (2, 0, 0)
