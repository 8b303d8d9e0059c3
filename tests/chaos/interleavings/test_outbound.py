"""Claiming, settling, cancelling and expiring what is to be published."""

import json
import uuid

from tests.chaos.interleavings.scene import Scene
from tests.support.waiting import PATIENCE

CLAIM = "SELECT count(*) FROM bridge.claim_outbound(%s, ARRAY[%s]::uuid[], '{10}')"
SETTLE = (
    "SELECT bridge.settle_outbound(%s,"
    " ARRAY(SELECT q.msg_id FROM pgmq.q_mqtt_outbound AS q WHERE mqtt.message_id(q.enqueued_at, q.msg_id, true) = %s),"
    " '{acknowledged}', '{0}', '{}',"
    " ARRAY(SELECT id FROM mqtt.outbound_batches WHERE bridge_id = %s))"
)
CANCEL = "SELECT state FROM api.cancel_mqtt_publish(ARRAY[%s]::uuid[])"


def _operators(scene: Scene) -> None:
    for session in (scene.a, scene.b):
        session.do("SELECT set_config('request.jwt.claims', %s, false)", json.dumps({"role": "service_role"}))
        session.commit()


def test_cancelling_what_is_being_settled(scene: Scene) -> None:
    _operators(scene)
    bridge, receipt = scene.bridge(scene.tenant.integration_id), scene.publish()
    assert scene.a.do(CLAIM, bridge, scene.tenant.integration_id) == 1
    scene.a.commit()
    scene.a.do(SETTLE, bridge, receipt, bridge)
    assert scene.b.do(CANCEL, receipt) == "queued"
    scene.b.commit()
    scene.a.commit()
    assert scene.receipts(receipt) == ["acknowledged"]


def test_settling_what_is_being_cancelled(scene: Scene) -> None:
    _operators(scene)
    bridge, receipt = scene.bridge(scene.tenant.integration_id), scene.publish()
    assert scene.b.do(CANCEL, receipt) == "cancelled"
    settling = scene.a.waiting(scene.stack, SETTLE, bridge, receipt, bridge)
    scene.b.commit()
    assert settling.result(PATIENCE) == {}
    scene.a.commit()
    assert scene.receipts(receipt) == ["cancelled"]


def test_cancelling_what_is_being_claimed(scene: Scene) -> None:
    """It goes out, so it must not be said to be cancelled."""
    _operators(scene)
    bridge, receipt = scene.bridge(scene.tenant.integration_id), scene.publish()
    assert scene.a.do(CLAIM, bridge, scene.tenant.integration_id) == 1
    cancelling = scene.b.waiting(scene.stack, CANCEL, receipt)
    scene.a.commit()
    assert cancelling.result(PATIENCE) == "queued"
    scene.b.commit()
    scene.a.do(SETTLE, bridge, receipt, bridge)
    scene.a.commit()
    assert scene.receipts(receipt) == ["acknowledged"]


def test_claiming_what_is_being_cancelled(scene: Scene) -> None:
    """It is cancelled, so it must not go out."""
    _operators(scene)
    bridge, receipt = scene.bridge(scene.tenant.integration_id), scene.publish()
    assert scene.b.do(CANCEL, receipt) == "cancelled"
    claiming = scene.a.waiting(scene.stack, CLAIM, bridge, scene.tenant.integration_id)
    scene.b.commit()
    assert claiming.result(PATIENCE) == 0
    scene.a.commit()
    assert scene.receipts(receipt) == ["cancelled"]


def test_expiring_what_is_being_claimed(scene: Scene) -> None:
    bridge, receipt = scene.bridge(scene.tenant.integration_id), scene.publish(message_expiry=100)
    assert scene.a.do(CLAIM, bridge, scene.tenant.integration_id) == 1
    scene.db.execute("UPDATE pgmq.q_mqtt_outbound SET expires_at = now() WHERE organization_id = %s", (scene.tenant.organization_id,))
    expiring = scene.b.waiting(scene.stack, "SELECT bridge.expire_outbound()")
    scene.a.commit()
    assert expiring.result(PATIENCE) == 0, "what a bridge has claimed is left to it"
    scene.b.commit()
    scene.a.do(SETTLE, bridge, receipt, bridge)
    scene.a.commit()
    assert scene.receipts(receipt) == ["acknowledged"]


def test_claiming_what_is_being_expired(scene: Scene) -> None:
    bridge, receipt = scene.bridge(scene.tenant.integration_id), scene.publish(message_expiry=100)
    scene.db.execute("UPDATE pgmq.q_mqtt_outbound SET expires_at = now() WHERE organization_id = %s", (scene.tenant.organization_id,))
    assert scene.b.do("SELECT bridge.expire_outbound()") == 1
    claiming = scene.a.later(CLAIM, bridge, scene.tenant.integration_id)
    scene.b.commit()
    assert claiming.result(PATIENCE) == 0
    scene.a.commit()
    assert scene.receipts(receipt) == ["expired"]


def test_publishing_what_the_deletion_of_its_integration_does_not_see(scene: Scene) -> None:
    """It is committed after that, and then nobody would ever claim it."""
    _operators(scene)
    integration, messages = scene.tenant.integration_id, json.dumps([{"topic": scene.device.topic(), "payload": 1}])
    receipt = scene.a.do("SELECT api.mqtt_publish(%s, %s) #>> '{receipts,0,receipt_id}'", integration, messages)
    scene.b.do("SELECT api.delete_integration(%s)", integration)
    scene.b.commit()
    scene.a.commit()
    assert scene.receipts(receipt) == []
    scene.value("SELECT mqtt.try_maintenance('orphans')")
    assert scene.receipts(receipt) == ["cancelled"]
    assert scene.value("SELECT count(*) FROM pgmq.q_mqtt_outbound WHERE integration_id = %s", integration) == 0


def test_fault_23_a_late_bridge_settles_nothing(scene: Scene) -> None:
    """Its lease has passed on: what it says of a message has no effect."""
    late, receipt = scene.bridge(scene.tenant.integration_id), scene.publish()
    assert scene.a.do(CLAIM, late, scene.tenant.integration_id) == 1
    scene.a.commit()
    other = str(uuid.uuid4())
    scene.db.execute("INSERT INTO mqtt.bridges (id, name, version, main_pid) VALUES (%s, 'other', '1', 2)", (other,))
    scene.db.execute("UPDATE mqtt.bridge_leases SET bridge_id = %s WHERE bridge_id = %s", (other, late))
    assert scene.a.do(CLAIM, late, scene.tenant.integration_id) == 0
    assert scene.a.do(SETTLE, late, receipt, late) in ({}, None)
    scene.a.commit()
    assert scene.receipts(receipt) == []
    assert scene.b.do(CLAIM, other, scene.tenant.integration_id) == 1
    scene.b.commit()
    scene.b.do(SETTLE, other, receipt, other)
    scene.b.commit()
    assert scene.receipts(receipt) == ["acknowledged"]
