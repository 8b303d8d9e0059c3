"""Two sessions at the same rows, one step at a time, in both orders."""

import json
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from tests.chaos.waits import waits_for_lock
from tests.support.api import Api, Device
from tests.support.stack import Stack
from tests.support.tenant import Tenant, make_tenant
from tests.support.waiting import wait_until

Row = tuple[Any, ...]


class Session:
    """A connection whose statements run on a thread of their own, so that one may wait for another session."""

    def __init__(self, stack: Stack) -> None:
        self.connection = stack.connect(autocommit=False)
        self.connection.execute("SET lock_timeout = '20s'")
        self.connection.commit()
        self._threads = ThreadPoolExecutor(1)

    def later(self, query: str, *parameters: Any) -> Future[Any]:
        def work() -> Any:
            cursor = self.connection.execute(query.encode(), parameters)
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None

        return self._threads.submit(work)

    def do(self, query: str, *parameters: Any) -> Any:
        """The first column of the first row."""
        return self.later(query, *parameters).result(30)

    def waiting(self, stack: Stack, query: str, *parameters: Any) -> Future[Any]:
        """Begin a statement that has to wait for another session's lock; returns while it does."""
        begun = self.later(query, *parameters)
        waits_for_lock(stack, self.connection.info.backend_pid, begun)
        return begun

    def commit(self) -> None:
        self._threads.submit(self.connection.commit).result(30)

    def rollback(self) -> None:
        self._threads.submit(self.connection.rollback).result(30)

    def close(self) -> None:
        self._threads.shutdown()
        self.connection.close()


@dataclass
class Scene:
    stack: Stack
    tenant: Tenant
    device: Device
    db: psycopg.Connection[Row]
    a: Session
    b: Session

    def send(self, count: int = 1, payload: Any = None, **arguments: Any) -> list[str]:
        ids = []
        for number in range(count):
            response = self.device.send({"n": number} if payload is None else payload, **arguments)
            assert response.status_code == 202, response.text
            ids.append(response.json()["message_id"])
        return ids

    def value(self, query: str, *parameters: Any) -> Any:
        row = self.db.execute(query.encode(), parameters).fetchone()
        return row[0] if row else None

    def stored(self) -> int:
        """Messages in the history."""
        return int(self.value("SELECT count(*) FROM mqtt.mqtt_messages WHERE organization_id = %s", self.tenant.organization_id))

    def queued(self) -> int:
        return int(self.value("SELECT count(*) FROM pgmq.q_mqtt_messages WHERE organization_id = %s", self.tenant.organization_id))

    def dead(self) -> int:
        return int(self.value("SELECT count(*) FROM mqtt.mqtt_dead_letters WHERE organization_id = %s", self.tenant.organization_id))

    def bridge(self, integration_id: str) -> str:
        """A bridge that holds this integration."""
        bridge_id = str(uuid.uuid4())
        self.db.execute("INSERT INTO mqtt.bridges (id, name, version, main_pid) VALUES (%s, 'test', '1', 1)", (bridge_id,))
        self.db.execute(
            "INSERT INTO mqtt.bridge_leases (organization_id, integration_id, bridge_id) VALUES (%s, %s, %s)",
            (self.tenant.organization_id, integration_id, bridge_id),
        )
        return bridge_id

    def publish(self, **terms: Any) -> str:
        message = {"topic": self.device.topic(), "payload": 1, "qos": 1, **terms}
        body = {"integration_id": self.tenant.integration_id, "messages": [message]}
        answer = self.tenant.api.ok("mqtt_publish", body, token=self.tenant.member)
        return str(answer["receipts"][0]["receipt_id"])

    def receipts(self, receipt_id: str) -> list[str]:
        rows = self.db.execute("SELECT state FROM mqtt.mqtt_publish_receipts WHERE id = %s", (receipt_id,)).fetchall()
        return [state for (state,) in rows]


PROCESS = "SELECT mqtt.process_batch(1000)"
BY_HAND = "SELECT api.process_mqtt_queue_message(%s)"


@pytest.fixture
def scene(stack: Stack) -> Iterator[Scene]:
    """A tenant of the test's own, an empty queue, and two sessions."""
    with ExitStack() as ends:
        api = Api(stack.api_url)
        ends.callback(api.session.close)
        tenant = make_tenant(stack, api)
        db = ends.enter_context(stack.connect())
        db.execute("SELECT mqtt.process_batch(100000)")
        a, b = Session(stack), Session(stack)
        ends.callback(a.close)
        ends.callback(b.close)
        yield Scene(stack, tenant, tenant.device(), db, a, b)
        a.rollback()
        b.rollback()
        while json.loads(json.dumps(db.execute("SELECT mqtt.process_batch(1000)").fetchone()))[0]["more"]:
            pass
        assert db.execute("SELECT * FROM mqtt.check_ledger()").fetchall() == []


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
    assert scene.a.do("SELECT pg_advisory_xact_lock(1953460323, hashtext(%s::text))", organization) is not None
    assert scene.b.do(PROCESS)["processed"] == 1
    scene.b.commit()


def test_two_workers_share_the_organizations(scene: Scene) -> None:
    devices = [scene.device, *(make_tenant(scene.stack, scene.tenant.api).device() for _ in range(3))]
    few = "SELECT mqtt.process_batch(4)"

    def held(session: Session) -> Any:
        """Organizations that a session's batch is at."""
        query = "SELECT count(*) FROM pg_locks WHERE pid = %s AND locktype = 'advisory' AND classid = 1953460323"
        return scene.value(query, session.connection.info.backend_pid)

    for _ in range(20):
        for device in devices:
            for number in range(6):
                assert device.send({"n": number}).status_code == 202
        scene.a.do(few)
        assert held(scene.a) == 4
        in_line = scene.b.later(few)
        scene.a.commit()
        in_line.result(30)
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
    assert by_hand.result(30)["status"] == "completed"
    scene.b.commit()
    assert (scene.stored(), scene.queued()) == (1, 0)


def test_by_hand_after_a_worker_gave_up(scene: Scene) -> None:
    (message_id,) = scene.send()
    assert scene.a.do(PROCESS)["processed"] == 1
    by_hand = scene.b.waiting(scene.stack, BY_HAND, message_id)
    scene.a.rollback()
    assert by_hand.result(30)["status"] == "completed"
    scene.b.commit()
    assert (scene.stored(), scene.queued()) == (1, 0)


def test_by_hand_after_a_worker_moved_the_row(scene: Scene, poison: Callable[[], Any]) -> None:
    (message_id,) = scene.send(payload=poison())
    assert scene.a.do(PROCESS)["failed"] == 1
    by_hand = scene.b.waiting(scene.stack, BY_HAND, message_id)
    scene.a.commit()
    assert by_hand.result(30)["status"] == "pending"
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


# ---------------------------------------------------------------------------------------------- careful attempts and process_batch


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


# ---------------------------------------------------------------------------------------------------------- process_batch and cleanup


@pytest.mark.parametrize("first", ["process", "cleanup"])
def test_cleanup_and_a_batch(scene: Scene, first: str) -> None:
    scene.send(2)
    for days in (100, 200):
        scene.db.execute(
            "INSERT INTO mqtt.mqtt_messages (received_at, organization_id, id, integration_id, direction, topic, payload)"
            " VALUES (now() - make_interval(days => %s), %s, gen_random_uuid(), %s, 'incoming', 'old', '1')",
            (days, scene.tenant.organization_id, scene.tenant.integration_id),
        )
    if first == "process":
        assert scene.a.do(PROCESS)["processed"] == 2
        removed = scene.b.do("SELECT mqtt.cleanup()")
        scene.a.commit()
        scene.b.commit()
    else:
        removed = scene.b.do("SELECT mqtt.cleanup()")
        assert scene.a.do(PROCESS)["processed"] == 2
        scene.b.commit()
        scene.a.commit()
    assert removed["completed"] == 2
    assert (scene.stored(), scene.queued()) == (2, 0)


# ----------------------------------------------------------------------------------------------------------- process_batch and replay

REPLAY = "SELECT api.replay_mqtt_dead_letters(%s)"


@pytest.fixture
def one_dead_letter(scene: Scene, poison: Callable[[], Any]) -> str:
    """A message that became a dead letter, and could be stored now; sessions a and b are operators."""
    scene.db.execute("UPDATE mqtt.configuration SET max_attempts = 1")
    (message_id,) = scene.send(payload=poison())
    assert scene.a.do(PROCESS)["dead"] == 1
    scene.a.commit()
    scene.db.execute("UPDATE mqtt.configuration SET max_attempts = 3")
    scene.db.execute("ALTER TABLE mqtt.mqtt_messages DROP CONSTRAINT no_poison")
    claims = json.dumps({"role": "service_role"})
    for session in (scene.a, scene.b):
        session.do("SELECT set_config('request.jwt.claims', %s, false)", claims)
        session.commit()
    return message_id


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
    assert second.result(30)["replayed"] == (0 if ends == "commit" else 1)
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
    deletion.result(30)
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
    counts = batch.result(30)
    scene.a.commit()
    if counts["processed"] == 0:
        assert counts["failed"] in {0, 2}
        scene.db.execute("UPDATE pgmq.q_mqtt_messages SET vt = clock_timestamp()")
        assert scene.a.do(PROCESS)["processed"] == 2
        scene.a.commit()
    assert (scene.stored(), scene.queued(), scene.dead()) == (2, 0, 0)


# ------------------------------------------------------------------------------------------- ingest and ingest, with the same message_id

INGEST = "SELECT api.mqtt_ingest(topic => %s, payload => '1', message_id => %s)"


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
    assert second.result(30) == {"message_id": message_id, "status": "queued"}
    scene.b.commit()
    assert scene.queued() == 1


# ----------------------------------------------------------------------------------------------------------------- outbound messages

CLAIM = "SELECT count(*) FROM bridge.claim_outbound(%s, ARRAY[%s]::uuid[], '{10}')"
SETTLE = (
    "SELECT bridge.settle_outbound(%s, ARRAY[mqtt.message_id_number(%s, true)], '{acknowledged}', '{0}', '{}',"
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
    assert settling.result(30) == {}
    scene.a.commit()
    assert scene.receipts(receipt) == ["cancelled"]


def test_cancelling_what_is_being_claimed(scene: Scene) -> None:
    """It goes out, so it must not be said to be cancelled."""
    _operators(scene)
    bridge, receipt = scene.bridge(scene.tenant.integration_id), scene.publish()
    assert scene.a.do(CLAIM, bridge, scene.tenant.integration_id) == 1
    cancelling = scene.b.waiting(scene.stack, CANCEL, receipt)
    scene.a.commit()
    assert cancelling.result(30) == "queued"
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
    assert claiming.result(30) == 0
    scene.a.commit()
    assert scene.receipts(receipt) == ["cancelled"]


def test_expiring_what_is_being_claimed(scene: Scene) -> None:
    bridge, receipt = scene.bridge(scene.tenant.integration_id), scene.publish(message_expiry=100)
    assert scene.a.do(CLAIM, bridge, scene.tenant.integration_id) == 1
    scene.db.execute("UPDATE pgmq.q_mqtt_outbound SET expires_at = now() WHERE organization_id = %s", (scene.tenant.organization_id,))
    expiring = scene.b.waiting(scene.stack, "SELECT bridge.expire_outbound()")
    scene.a.commit()
    assert expiring.result(30) == 0, "what a bridge has in hand is left to it"
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
    assert claiming.result(30) == 0
    scene.a.commit()
    assert scene.receipts(receipt) == ["expired"]


def test_row_23_a_late_bridge_settles_nothing(scene: Scene) -> None:
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


# ------------------------------------------------------------------------------------------ process_batch and apply_deferred_updates

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
    assert batch.result(30)["processed"] == 1
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
    assert applying.result(30) == 2
    scene.b.commit()
    assert _device(scene) == ((3, 3) if ends == "commit" else (2, 2)), "what was put aside is older"
    if ends == "rollback":
        assert scene.a.do(BATCH, "false")["processed"] == 1
        scene.a.commit()
    _apply_the_rest(scene)
    assert _device(scene) == (3, 3)


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
    assert rolling.result(30) >= 26
    scene.b.commit()
    assert _books(scene) == (scene.queued(), 0) == (int(ends == "commit"), 0)


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_counting_what_is_being_rolled_up(scene: Scene, ends: str) -> None:
    counting = _counting(scene)
    assert scene.b.do(ROLL_UP) >= 26
    accepting = scene.a.waiting(scene.stack, *counting)
    getattr(scene.b, ends)()
    assert accepting.result(30)["status"] == "queued"
    scene.a.commit()
    assert _books(scene) == (scene.queued(), 0) == (1, 0)


@pytest.mark.parametrize("first", ["process", "roll up"])
@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_rolling_up_and_a_batch(scene: Scene, first: str, ends: str) -> None:
    """Both write the row in which the workers count."""
    scene.send()
    assert scene.a.do(PROCESS)["processed"] == 1
    scene.a.commit()
    scene.send()
    one, other = (scene.a, scene.b) if first == "process" else (scene.b, scene.a)
    queries = (PROCESS, ROLL_UP) if first == "process" else (ROLL_UP, PROCESS)
    one.do(queries[0])
    begun = other.waiting(scene.stack, queries[1])
    getattr(one, ends)()
    begun.result(30)
    other.commit()
    if scene.queued():
        assert (first, ends) == ("process", "rollback")
        assert scene.a.do(PROCESS)["processed"] == 1
        scene.a.commit()
    assert _books(scene) == (2, 2)


# ------------------------------------------------------------------------------------------------------ process_batch and repair_clock

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

    wait_until(work, 20, f"{count} messages processed")
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
    wait_until(lambda: scene.db.execute(PROCESS).fetchone() and scene.queued() == 0, 20, "both stored")
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
    assert repairing.result(30) == (1 if ends == "commit" else 2)
    scene.b.commit()
    wait_until(lambda: scene.db.execute(PROCESS).fetchone() and scene.queued() == 0, 20, "both stored")
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
    assert by_hand.result(30)["status"] == "completed", "its row has moved"
    scene.a.commit()
    assert (scene.stored(), scene.queued()) == (1, 0)


# ------------------------------------------------------------------------------------------------------------------ cleanup and replay

CLEANUP = "SELECT mqtt.cleanup()"


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
    assert cleaning.result(30)["failed"] == 1
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
    assert replaying.result(30)["replayed"] == int(ends == "rollback")
    scene.a.commit()
    assert (scene.queued(), scene.dead()) == ((0, 0) if ends == "commit" else (1, 1))


# ----------------------------------------------------------------------------------------------------------- ingest and check_intake

CHECK_INTAKE = "SELECT mqtt.check_intake() ->> 'organizations_stopped'"


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
def test_intake_is_closed_while_a_message_is_accepted(one_at_most: Scene, ends: str, *, has_id: bool) -> None:
    """Neither waits; what is accepted before the end of who closes is accepted, and counted the next time."""
    scene = one_at_most
    message_id = str(uuid.uuid4()) if has_id else None
    scene.send()
    assert scene.a.do(INGEST, scene.device.topic(), message_id)["status"] == "queued"
    assert scene.b.do(CHECK_INTAKE) == "0", "one is not too many, and of the other nobody knows yet"
    scene.b.commit()
    getattr(scene.a, ends)()
    assert scene.b.do(CHECK_INTAKE) == ("1" if ends == "commit" else "0")
    scene.b.commit()
    assert scene.device.send(1).status_code == (429 if ends == "commit" else 202)


@pytest.mark.parametrize("ends", ["commit", "rollback"])
@pytest.mark.parametrize("has_id", [False, True], ids=["without an id", "with message_id"])
def test_a_message_is_accepted_while_intake_is_closed(one_at_most: Scene, ends: str, *, has_id: bool) -> None:
    scene = one_at_most
    message_id = str(uuid.uuid4()) if has_id else None
    scene.send(2)
    assert scene.b.do(CHECK_INTAKE) == "1"
    assert scene.a.do(INGEST, scene.device.topic(), message_id)["status"] == "queued", "closed is what is committed"
    getattr(scene.b, ends)()
    scene.a.commit()
    assert scene.queued() == 3
    refused = scene.device.send(1)
    assert refused.status_code == (429 if ends == "commit" else 202)
    if ends == "commit":
        assert refused.json()["message"] == "queue_paused"
        assert scene.a.do(PROCESS)["processed"] == 3
        assert scene.b.do(CHECK_INTAKE) == "1", "that they are gone is not committed"
        scene.b.commit()
        scene.a.commit()
        assert scene.b.do(CHECK_INTAKE) == "0"
        scene.b.commit()
        assert scene.device.send(1).status_code == 202


@pytest.fixture
def poison(stack: Stack) -> Iterator[Callable[[], Any]]:
    """`poison()`: a payload that cannot be stored."""
    with stack.connect() as connection:
        connection.execute(
            "ALTER TABLE mqtt.mqtt_messages ADD CONSTRAINT no_poison"
            " CHECK (payload ->> 'poison' IS NULL OR direction <> 'incoming') NOT VALID"
        )
    yield lambda: {"poison": True}
    with stack.connect() as connection:
        connection.execute("ALTER TABLE mqtt.mqtt_messages DROP CONSTRAINT IF EXISTS no_poison")
