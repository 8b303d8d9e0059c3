"""Updates of devices and credentials that are put aside, and applied later."""

from typing import Any

import pytest

from tests.chaos.interleavings.scene import Scene
from tests.support.waiting import PATIENCE

# As if vacuum had been seen held back just now, or not.
BATCH = """
SELECT mqtt.process_batch(1000)
WHERE set_config('topicbase.is_update_deferred', %s, false) <> ''
    AND set_config('topicbase.deferral_looked_at', clock_timestamp()::text, false) <> ''
"""
APPLY = "SELECT mqtt.apply_deferred_updates()"


def _device(scene: Scene) -> tuple[Any, Any]:
    """The newest data of the one device, and the uses of its credential."""
    return (
        scene.value("SELECT last_data -> 'n' FROM mqtt.devices WHERE organization_id = %s", scene.tenant.organization_id),
        scene.value("SELECT connection_count FROM mqtt.mqtt_credentials WHERE username = %s", scene.device.username),
    )


def _defer(scene: Scene) -> None:
    """Two messages: the first one is in the device's row, what the second one says is put aside."""
    for number, is_deferred in ((1, "false"), (2, "true")):
        scene.send(payload={"n": number})
        assert scene.a.do(BATCH, is_deferred)["processed"] == 1
        scene.a.commit()
    assert _device(scene) == (1, 1)


def _apply_the_rest(scene: Scene) -> None:
    scene.db.execute(APPLY)
    for table in ("deferred_device_updates", "deferred_credential_updates"):
        assert scene.value(f"SELECT count(*) FROM mqtt.{table}") == 0


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_a_batch_that_defers_while_deferred_updates_are_applied(scene: Scene, ends: str) -> None:
    """Neither waits for the other, and what is put aside meanwhile is there for the next time."""
    _defer(scene)
    assert scene.b.do(APPLY) == 2, "the device and its credential"
    scene.send(payload={"n": 3})
    assert scene.a.do(BATCH, "true")["processed"] == 1
    scene.a.commit()
    getattr(scene.b, ends)()
    assert _device(scene) == ((2, 2) if ends == "commit" else (1, 1))
    _apply_the_rest(scene)
    assert _device(scene) == (3, 3)


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_applying_deferred_updates_while_a_batch_defers(scene: Scene, ends: str) -> None:
    """What is not committed yet is left for the next time."""
    _defer(scene)
    scene.send(payload={"n": 3})
    assert scene.a.do(BATCH, "true")["processed"] == 1
    assert scene.b.do(APPLY) == 2
    scene.b.commit()
    getattr(scene.a, ends)()
    assert _device(scene) == (2, 2)
    if ends == "rollback":
        assert scene.a.do(BATCH, "true")["processed"] == 1
        scene.a.commit()
    _apply_the_rest(scene)
    assert _device(scene) == (3, 3)


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_a_batch_that_updates_under_deferred_updates(scene: Scene, ends: str) -> None:
    _defer(scene)
    scene.send(payload={"n": 3})
    assert scene.b.do(APPLY) == 2
    batch = scene.a.waiting(scene.stack, BATCH, "false")
    getattr(scene.b, ends)()
    assert batch.result(PATIENCE)["processed"] == 1
    scene.a.commit()
    _apply_the_rest(scene)
    assert _device(scene) == (3, 3), "newer than what was put aside before"


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_applying_deferred_updates_under_a_batch_that_updates(scene: Scene, ends: str) -> None:
    _defer(scene)
    scene.send(payload={"n": 3})
    assert scene.a.do(BATCH, "false")["processed"] == 1
    applying = scene.b.waiting(scene.stack, APPLY)
    getattr(scene.a, ends)()
    assert applying.result(PATIENCE) == 2
    scene.b.commit()
    assert _device(scene) == ((3, 3) if ends == "commit" else (2, 2)), "what was put aside is older"
    if ends == "rollback":
        assert scene.a.do(BATCH, "false")["processed"] == 1
        scene.a.commit()
    _apply_the_rest(scene)
    assert _device(scene) == (3, 3)
