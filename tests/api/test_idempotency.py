"""A message_id of the client's own is stored once, however often and however hard it is sent."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import requests

from tests.api.support import Queue, Witness, accepted, refused
from tests.support.tenant import Tenant

TIMES = 50


def together(calls: list[Callable[[], requests.Response]]) -> list[requests.Response]:
    with ThreadPoolExecutor(16) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def test_sent_fifty_times_at_once_it_is_stored_once(home: Tenant, queue: Queue, witness: Callable[[Tenant], Witness]) -> None:
    device = home.device()
    seen = witness(home)
    message_id = str(uuid.uuid4())
    url = f"{device.api.url}/rpc/mqtt_ingest"
    body = {"topic": device.topic(), "payload": {"n": 1}, "message_id": message_id}
    answers = together([lambda: requests.post(url, json=body, headers=device.headers)] * TIMES)
    assert {(answer.status_code, answer.text) for answer in answers} == {(202, answers[0].text)}
    assert accepted(answers[0]) == message_id
    assert seen.changed() == {"in the queue": 1, "accepted": 1, "idempotency keys": 1}
    assert queue.work()["processed"] == 1
    assert accepted(requests.post(url, json=body, headers=device.headers)) == message_id
    assert queue.work()["processed"] == 0
    assert [row["id"] for row in device.api.rows("mqtt_messages", token=home.member)] == [message_id]


def test_batches_that_overlap_and_come_at_once(home: Tenant, queue: Queue, witness: Callable[[Tenant], Witness]) -> None:
    device = home.device()
    seen = witness(home)
    ids = [str(uuid.uuid4()) for _ in range(40)]
    url = f"{device.api.url}/rpc/mqtt_ingest_batch"
    # each batch in another order and with a repeat inside, so that lock order and repeats within a statement matter
    batches = [ids[n:] + ids[:n] + [ids[n]] for n in range(20)] + [list(reversed(ids))] * 5
    bodies = [{"messages": [{"topic": device.topic(), "payload": i, "message_id": i} for i in batch]} for batch in batches]
    answers = together([lambda body=body: requests.post(url, json=body, headers=device.headers) for body in bodies])  # type: ignore[misc]
    assert [(a.status_code, a.json()) for a in answers] == [(202, {"accepted": len(batch), "rejected": []}) for batch in batches]
    assert seen.changed() == {"in the queue": 40, "accepted": 40, "idempotency keys": 40}
    assert queue.work()["processed"] == 40
    rows = device.api.rows("mqtt_messages", token=home.member)
    assert {row["id"]: row["payload"] for row in rows} == {i: i for i in ids}


def test_single_binary_and_batch_share_their_keys(home: Tenant, queue: Queue) -> None:
    device = home.device()
    message_id = str(uuid.uuid4())
    accepted(device.send("first", message_id=message_id.upper()))
    headers = {**device.headers, "Content-Type": "application/octet-stream", "X-Topic": device.topic(), "X-Message-ID": message_id}
    assert accepted(device.api.call("mqtt_ingest_binary", data=b"second", headers=headers)) == message_id
    assert device.send_batch([{"topic": device.topic(), "payload": "third", "message_id": message_id}]).json()["accepted"] == 1
    assert queue.work()["processed"] == 1
    assert [row["payload"] for row in device.api.rows("mqtt_messages", token=home.member)] == ["first"]


def test_keys_are_each_credential_s_own(tenant: Callable[..., Tenant], queue: Queue) -> None:
    """A device cannot find out, nor block, the ids that another one uses: not in its own organization, not in another's."""
    home, strangers = tenant(), tenant()
    message_id = str(uuid.uuid4())
    for owner in (home, home, strangers):
        assert accepted(owner.device().send(1, message_id=message_id)) == message_id
    assert queue.work()["processed"] == 3


def test_a_message_that_was_refused_leaves_its_key_free(home: Tenant, queue: Queue) -> None:
    device = home.device()
    message_id = str(uuid.uuid4())
    refused(device.send(1, f"{device.topic_prefix}/#", message_id=message_id), 400, "topic_invalid")
    refused(device.send(1, message_id=message_id, qos=3), 400, "qos_invalid")
    answer = device.send_batch([{"topic": "elsewhere", "payload": 1, "message_id": message_id}])
    assert answer.json()["accepted"] == 0
    accepted(device.send("at last", message_id=message_id))
    queue.work()
    assert [row["payload"] for row in device.api.rows("mqtt_messages", token=home.member)] == ["at last"]


def test_a_key_is_forgotten_when_its_window_is_over(home: Tenant, queue: Queue, api: Any, db: psycopg.Connection[tuple[Any, ...]]) -> None:
    device = home.device()
    message_id = str(uuid.uuid4())
    accepted(device.send(1, message_id=message_id))
    keys = "SELECT count(*) FROM mqtt.ingest_keys WHERE organization_id = %s"
    age = "UPDATE mqtt.ingest_keys SET received_at = received_at - %s::interval WHERE organization_id = %s"
    db.execute(age, ("23 hours", home.organization_id))
    api.ok("cleanup_mqtt_queue", token=queue.service)
    assert db.execute(keys, (home.organization_id,)).fetchone() == (1,)
    db.execute(age, ("2 hours", home.organization_id))
    assert api.ok("cleanup_mqtt_queue", token=queue.service)["idempotency_keys"] >= 1
    assert db.execute(keys, (home.organization_id,)).fetchone() == (0,)
    assert queue.work()["processed"] == 1


def test_a_repeat_of_a_stored_id_after_its_window_is_a_new_message(
    home: Tenant, queue: Queue, api: Any, db: psycopg.Connection[tuple[Any, ...]]
) -> None:
    device = home.device()
    message_id = str(uuid.uuid4())
    accepted(device.send(1, message_id=message_id))
    queue.work()
    db.execute(
        "UPDATE mqtt.ingest_keys SET received_at = received_at - interval '2 days' WHERE organization_id = %s", (home.organization_id,)
    )
    api.ok("cleanup_mqtt_queue", token=queue.service)
    accepted(device.send(2, message_id=message_id))
    assert queue.work() == {"processed": 1, "failed": 0, "dead": 0}
    assert [row["payload"] for row in device.api.rows("mqtt_messages", token=home.member, order="received_at")] == [1, 2]
