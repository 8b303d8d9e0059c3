"""Repairing what was queued before the server's clock was set back."""

import pytest

from tests.chaos.interleavings.scene import BY_HAND, PROCESS, Scene, Session
from tests.support.waiting import PATIENCE, wait_until

REPAIR = "SELECT mqtt.repair_clock()"


def _set_back(scene: Scene) -> None:
    """What is queued was so before the server's clock was set back by an hour."""
    hour = "interval '1 hour'"
    for change in (
        f"pgmq.q_mqtt_messages SET enqueued_at = enqueued_at + {hour}, vt = vt + {hour}",
        f"mqtt.ledger SET bucket = bucket + {hour}",
    ):
        scene.db.execute(f"UPDATE {change} WHERE organization_id = %s".encode(), (scene.tenant.organization_id,))


def _process_all(scene: Scene, session: Session, count: int) -> None:
    """By a worker that has looked already; what then falls due behind its back it finds within seconds."""
    done = 0

    def work() -> bool:
        nonlocal done
        done += session.do(PROCESS)["processed"]
        session.commit()
        return bool(done >= count)

    wait_until(work, what=f"{count} messages processed")
    assert (scene.stored(), scene.queued()) == (count, 0)


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_a_batch_while_the_clock_is_repaired(scene: Scene, ends: str) -> None:
    """It does not wait, and takes them when they are due."""
    scene.send(2)
    _set_back(scene)
    assert scene.b.do(REPAIR) == 2
    assert scene.a.do(PROCESS)["processed"] == 0
    scene.a.commit()
    getattr(scene.b, ends)()
    if ends == "rollback":
        assert scene.b.do(REPAIR) == 2
        scene.b.commit()
    _process_all(scene, scene.a, 2)


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_repairing_the_clock_while_a_batch_is_processed(scene: Scene, ends: str) -> None:
    scene.send()
    _set_back(scene)
    scene.send()
    assert scene.a.do(PROCESS)["processed"] == 1
    assert scene.b.do(REPAIR) == 1, "the other one"
    scene.b.commit()
    getattr(scene.a, ends)()
    scene.a.do("SELECT 1")
    left = 1 if ends == "commit" else 2
    assert scene.queued() == left
    scene.a.commit()
    wait_until(lambda: scene.db.execute(PROCESS).fetchone() and scene.queued() == 0, what="both stored")
    assert scene.stored() == 2


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_repairing_the_clock_under_one_that_is_processed_by_hand(scene: Scene, ends: str) -> None:
    """By hand, a message is processed though its time has not come again: the row that is to be repaired may be gone."""
    scene.send(2)
    _set_back(scene)
    message_id = scene.value(
        "SELECT mqtt.message_id(enqueued_at, msg_id) FROM pgmq.q_mqtt_messages WHERE organization_id = %s", scene.tenant.organization_id
    )
    assert scene.a.do(BY_HAND, message_id)["status"] == "completed"
    repairing = scene.b.waiting(scene.stack, REPAIR)
    getattr(scene.a, ends)()
    assert repairing.result(PATIENCE) == (1 if ends == "commit" else 2)
    scene.b.commit()
    wait_until(lambda: scene.db.execute(PROCESS).fetchone() and scene.queued() == 0, what="both stored")
    assert scene.stored() == 2


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_one_processed_by_hand_under_the_repair_of_the_clock(scene: Scene, ends: str) -> None:
    scene.send()
    _set_back(scene)
    message_id = scene.value(
        "SELECT mqtt.message_id(enqueued_at, msg_id) FROM pgmq.q_mqtt_messages WHERE organization_id = %s", scene.tenant.organization_id
    )
    assert scene.b.do(REPAIR) == 1
    by_hand = scene.a.waiting(scene.stack, BY_HAND, message_id)
    getattr(scene.b, ends)()
    assert by_hand.result(PATIENCE)["status"] == "completed", "its row has moved"
    scene.a.commit()
    assert (scene.stored(), scene.queued()) == (1, 0)
