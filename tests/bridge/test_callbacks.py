"""From a stored message to the callback_url of a subscription: signed, retried, ordered, and seen in the delivery log."""

import functools
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import requests
import standardwebhooks

from bridge.work.poster import SECONDS
from tests.bridge.receiver import Hit, Receiver, Reply
from tests.bridge.support import Peer
from tests.bridge.test_inbound import subscription
from tests.bridge.test_outbound import prefix
from tests.support.ports import Port
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE, wait_until

Connection = psycopg.Connection[tuple[Any, ...]]
Tenants = Callable[..., Tenant]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def impatient(db: Connection) -> Iterator[None]:
    """Retries follow soon."""
    db.execute("UPDATE mqtt.configuration SET retry_base = '0.1 seconds', retry_cap = '0.5 seconds'")
    yield
    db.execute("UPDATE mqtt.configuration SET retry_base = DEFAULT, retry_cap = DEFAULT, callback_attempts = DEFAULT")


def subscribe(owner: Tenant, receiver: Receiver | str, filter_: str = "devices/+/telemetry", **more: Any) -> dict[str, Any]:
    """`receiver` may be no more than its address."""
    url = receiver if isinstance(receiver, str) else receiver.url
    body = {"integration_id": owner.integration_id, "topic": f"{prefix(owner)}/{filter_}", "qos": 1, "callback_url": url, **more}
    row: dict[str, Any] = owner.api.ok("mqtt_subscribe", body, token=owner.admin)
    return row


def log(owner: Tenant, **filters: str) -> list[dict[str, Any]]:
    return owner.api.rows("mqtt_callback_deliveries", token=owner.member, order="created_at,id", **filters)


def finished(owner: Tenant, count: int, status: str = "delivered") -> list[dict[str, Any]]:
    def enough() -> list[dict[str, Any]]:
        rows = log(owner, status=f"eq.{status}")
        return rows if len(rows) >= count else []

    return wait_until(enough, what=f"{count} {status}")


def test_a_message_over_http_is_posted_signed(tenant: Tenants, receiver: Receiver) -> None:
    owner = tenant()
    row = subscribe(owner, receiver)
    secret = row["callback_secret"]
    assert secret.startswith("whsec_")
    assert "callback_secret" not in subscribe(owner, receiver), "shown once"
    device = owner.device()
    before = time.time()
    message_id = device.send({"t": 21.5}, device.topic("d1"), qos=1).json()["message_id"]
    (hit,) = receiver.wait_for(1)
    assert hit.is_signed_with(secret)
    assert not hit.is_signed_with("whsec_" + "A" * 43 + "=")
    assert abs(int(hit.headers["webhook-timestamp"]) - before) < 60
    # What the specification's own library says.
    assert standardwebhooks.Webhook(secret).verify(hit.body, hit.headers) == hit.json
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(secret).verify(hit.body + b" ", hit.headers)
    assert (hit.path, hit.headers["content-type"]) == ("/in?from=topicbase", "application/json")
    (delivery,) = finished(owner, 1)
    assert hit.id == delivery["id"]
    body = hit.json
    assert body.pop("received_at")
    assert body == {
        "type": "mqtt.message",
        "id": message_id,
        "subscription_id": row["id"],
        "subscription_topic": row["topic"],
        "organization_id": owner.organization_id,
        "integration_id": owner.integration_id,
        "device_id": "d1",
        "topic": device.topic("d1"),
        "payload": {"t": 21.5},
        "payload_encoding": "json",
        "content_type": None,
        "qos": 1,
        "retain": False,
        "properties": None,
        "sent_at": None,
        "external_id": "d1",
    }
    assert (delivery["message_id"], delivery["attempts"], delivery["status_code"], delivery["error"]) == (message_id, 1, 200, None)


def test_what_does_not_match_is_not_posted(tenant: Tenants, receiver: Receiver) -> None:
    owner, other = tenant(), tenant()
    subscribe(owner, receiver)
    mine, theirs = owner.device(), other.device()
    theirs.send(1, theirs.topic("d1"))
    mine.send(2, mine.topic("d1", "status"))
    mine.send(3, mine.topic("d1"))
    finished(owner, 1)
    assert [hit.json["payload"] for hit in receiver.hits] == [3]
    assert log(other) == []


def test_a_message_over_mqtt_is_posted_byte_for_byte(
    db: Connection, tenant: Tenants, receiver: Receiver, peer: Callable[..., Peer]
) -> None:
    owner = tenant()
    row = subscribe(owner, receiver, "devices/#")
    wait_until(lambda: (subscription(db, owner.integration_id, row["topic"]) or ("",))[0] == "active")
    peer().publish(f"{prefix(owner)}/devices/d/raw", b"\xff\x00", ContentType="image/x")
    body = receiver.wait_for(1)[0].json
    assert (body["payload"], body["payload_encoding"], body["content_type"], body["qos"]) == ("/wA=", "base64", "image/x", 1)


@pytest.mark.usefixtures("impatient")
def test_failures_are_tried_again_with_the_same_id(tenant: Tenants, receiver: Receiver) -> None:
    owner = tenant()
    subscribe(owner, receiver)
    replies = iter([Reply(500, body=b"out of order"), Reply(302, {"Location": receiver.url}), Reply(204)])
    receiver.behave = lambda _: next(replies)
    device = owner.device()
    device.send(1, device.topic())
    hits = receiver.wait_for(2)
    (delivery,) = finished(owner, 1)
    hits = receiver.hits
    assert len(hits) == 3
    assert len({hit.id for hit in hits}) == len({hit.body for hit in hits}) == 1
    assert (delivery["attempts"], delivery["status_code"], delivery["error"]) == (3, 204, None)


@pytest.mark.usefixtures("impatient")
def test_it_is_given_up_after_so_many_attempts_and_can_be_replayed(db: Connection, tenant: Tenants, receiver: Receiver) -> None:
    db.execute("UPDATE mqtt.configuration SET callback_attempts = 2")
    owner = tenant()
    row = subscribe(owner, receiver)
    receiver.behave = lambda _: Reply(400, body=b"what is this?\n" + b"x" * 500)
    device = owner.device()
    device.send(1, device.topic())
    (delivery,) = finished(owner, 1, "dead")
    assert (delivery["attempts"], delivery["status_code"], delivery["error"]) == (2, 400, "the receiver answered 400")
    assert delivery["response"] == "what is this? " + "x" * 186
    receiver.behave = lambda _: Reply()
    assert owner.api.ok("replay_mqtt_callback_deliveries", {"subscription_id": row["id"]}, token=owner.admin) == {"replayed": 1}
    assert finished(owner, 1)[0]["id"] == delivery["id"]
    again = {"subscription_id": row["id"], "ids": [delivery["id"]]}
    assert owner.api.ok("replay_mqtt_callback_deliveries", again, token=owner.admin) == {"replayed": 1}
    assert len({hit.id for hit in receiver.wait_for(4)}) == 1


def test_gone_pauses_until_subscribed_again(tenant: Tenants, receiver: Receiver) -> None:
    owner = tenant()
    row = subscribe(owner, receiver)
    receiver.behave = lambda _: Reply(410)
    device = owner.device()
    device.send(1, device.topic())
    finished(owner, 1, "dead")
    (seen,) = owner.api.rows("mqtt_subscriptions", token=owner.member, id=f"eq.{row['id']}")
    assert seen["callback_gone_at"] is not None
    device.send(2, device.topic())
    # What is processed only after that is posted.
    wait_until(lambda: len(owner.api.rows("mqtt_messages", token=owner.member)) == 2, what="the second message being stored")
    receiver.behave = lambda _: Reply()
    refused = owner.api.call("replay_mqtt_callback_deliveries", {"subscription_id": row["id"]}, token=owner.admin)
    assert (refused.status_code, refused.json()["message"]) == (409, "callback_paused")
    assert subscribe(owner, receiver)["callback_gone_at"] is None
    device.send(3, device.topic())
    finished(owner, 1)
    assert [hit.json["payload"] for hit in receiver.hits] == [1, 3]


def test_retry_after_is_honoured_for_the_whole_url(db: Connection, tenant: Tenants, receiver: Receiver) -> None:
    owner = tenant()
    subscribe(owner, receiver)
    receiver.behave = lambda _: Reply(503, {"Retry-After": "600"})
    device = owner.device()
    device.send(1, device.topic())
    (first,) = wait_until(lambda: log(owner, attempts="eq.1", status_code="eq.503"))
    left = db.execute("SELECT due_at - now() FROM mqtt.mqtt_callback_deliveries WHERE id = %s", (first["id"],)).fetchone()
    assert left is not None
    assert 500 < left[0].total_seconds() <= 600
    device.send(2, device.topic())
    wait_until(lambda: len(log(owner)) == 2)
    claim = "SELECT count(*) FROM bridge.claim_callbacks((SELECT bridge_id FROM mqtt.bridge_leases WHERE integration_id = %s), 10)"
    assert db.execute(claim, (owner.integration_id,)).fetchone() == (0,)
    assert len(receiver.hits) == 1


@pytest.mark.usefixtures("impatient")
def test_in_order_when_asked(tenant: Tenants, receiver: Receiver) -> None:
    owner = tenant()
    subscribe(owner, receiver, callback_ordered=True)
    under_way, most, fail = [0], [0], {5, 17}

    def behave(hit: Hit) -> Reply:
        under_way[0] += 1
        most[0] = max(most[0], under_way[0])
        number = hit.json["payload"]
        reply = Reply(500) if number in fail else Reply()
        fail.discard(number)
        under_way[0] -= 1
        return reply

    receiver.behave = behave
    device = owner.device()
    device.send_batch([{"topic": device.topic(), "payload": number} for number in range(40)])
    finished(owner, 40)
    numbers = [hit.json["payload"] for hit in receiver.hits]
    assert numbers == sorted([*range(40), 5, 17])
    assert most == [1]
    attempts = [row["attempts"] for row in log(owner, status="eq.delivered")]
    assert sum(attempts) == 42, "what had to wait for a failed one costs no attempt"


def test_in_parallel_otherwise(tenant: Tenants, receiver: Receiver) -> None:
    owner = tenant()
    subscribe(owner, receiver)
    together = threading.Barrier(4)

    def behave(_: Hit) -> Reply:
        together.wait(PATIENCE)
        return Reply()

    receiver.behave = behave
    device = owner.device()
    device.send_batch([{"topic": device.topic(), "payload": number} for number in range(4)])
    assert [row["attempts"] for row in finished(owner, 4)] == [1] * 4


@pytest.mark.usefixtures("impatient")
def test_a_dead_receiver_costs_few_attempts_and_is_found_again(db: Connection, tenant: Tenants, port: Port) -> None:
    owner = tenant()
    subscribe(owner, f"http://127.0.0.1:{port.number}/in")
    device = owner.device()
    device.send_batch([{"topic": device.topic(), "payload": number} for number in range(50)])
    opened = "SELECT openings, error FROM mqtt.callback_circuits WHERE organization_id = %s AND open_until > now()"
    row = wait_until(lambda: db.execute(opened, (owner.organization_id,)).fetchone(), what="an open circuit")
    assert row is not None
    assert row[1] == "the connection failed: connection refused"
    wait_until(lambda: not db.execute("SELECT FROM mqtt.mqtt_callback_deliveries WHERE organization_id = %s AND bridge_id IS NOT NULL",
        (owner.organization_id,)).fetchall(), what="nothing under way")  # fmt: skip
    assert sum(row["attempts"] for row in log(owner)) < 50
    with Receiver(port=port.number) as back:
        db.execute("UPDATE mqtt.callback_circuits SET open_until = now() WHERE organization_id = %s", (owner.organization_id,))
        back.wait_for(50)
        finished(owner, 50)
    assert db.execute("SELECT FROM mqtt.callback_circuits WHERE organization_id = %s", (owner.organization_id,)).fetchall() == []
    kinds = {row["activity_type"] for row in owner.api.rows("integration_activity_log", token=owner.member)}
    assert {"callback_unreachable", "callback_reached"} <= kinds


def test_both_secrets_sign_while_a_rotation_has_grace(tenant: Tenants, receiver: Receiver) -> None:
    owner = tenant()
    row = subscribe(owner, receiver)
    rotated = owner.api.ok("rotate_mqtt_callback_secret", {"subscription_id": row["id"]}, token=owner.admin)["callback_secret"]
    device = owner.device()
    device.send(1, device.topic())
    (hit,) = receiver.wait_for(1)
    assert hit.is_signed_with(row["callback_secret"])
    assert hit.is_signed_with(rotated)
    last = owner.api.ok("rotate_mqtt_callback_secret", {"subscription_id": row["id"], "grace_seconds": 0}, token=owner.admin)
    device.send(2, device.topic())
    hit = receiver.wait_for(2)[1]
    assert hit.is_signed_with(last["callback_secret"])
    assert not hit.is_signed_with(rotated)


def test_no_secret_in_clear_is_stored(stack: Stack, tenant: Tenants, receiver: Receiver) -> None:
    owner = tenant()
    secret = subscribe(owner, receiver)["callback_secret"].removeprefix("whsec_")
    device = owner.device()
    device.send(1, device.topic())
    finished(owner, 1)
    dump = stack.run("exec", "pg_dump", "--data-only").stdout
    assert '"sealed": "' in dump
    assert secret not in dump
    for part in ("postgres", "postgrest", "bridge"):
        assert secret not in stack.log(part)


def test_metrics(stack: Stack, tenant: Tenants, receiver: Receiver) -> None:
    owner = tenant()
    subscribe(owner, receiver)
    device = owner.device()
    device.send(1, device.topic())
    finished(owner, 1)
    text = requests.get(stack.metrics_url, timeout=PATIENCE).text
    assert 'topicbase_callbacks_total{result="delivered"}' in text
    assert "topicbase_callback_seconds_count" in text


def test_a_bridge_killed_between_answer_and_note_posts_again_with_the_same_id(stack: Stack, tenant: Tenants) -> None:
    owner = tenant()
    is_answered, may_go_on = threading.Event(), threading.Event()

    def behave(_: Hit) -> Reply:
        is_answered.set()
        may_go_on.wait(PATIENCE)
        return Reply()

    with Receiver(behave) as receiver:
        subscribe(owner, receiver)
        device = owner.device()
        device.send(1, device.topic(), message_id=str(uuid.uuid4()))
        assert is_answered.wait(PATIENCE)
        stack.kill("bridge")
        may_go_on.set()
        stack.start("bridge")
        first, second = receiver.wait_for(2)
        assert (first.id, first.body) == (second.id, second.body)
        (delivery,) = finished(owner, 1)
        assert (delivery["id"], delivery["attempts"]) == (first.id, 2)


def test_slow_receivers_of_one_organization_keep_no_other_waiting(db: Connection, tenant: Tenants) -> None:
    """Sixty subscriptions have receivers that hang: their organization gets half of the slots, another's deliveries find a free one."""
    slow, other = tenant(), tenant()
    gate = threading.Event()

    def hang(_: Hit) -> Reply:
        gate.wait(PATIENCE)
        return Reply()

    with Receiver(hang) as hanging, Receiver() as quick:
        for number in range(60):
            subscribe(slow, f"{hanging.url}&n={number}", f"+/+/s{number}/#")
        subscribe(other, quick)
        devices = slow.device(), other.device()
        began = time.monotonic()
        # One message for each subscription; their receivers have different URLs, so no circuit breaker helps.
        devices[0].send_batch([{"topic": devices[0].topic("d", f"s{number}/x"), "payload": number} for number in range(60)])
        hanging.wait_for(32)
        for number in range(20):
            devices[1].send(number, devices[1].topic())
            quick.wait_for(number + 1)
        finished(other, 20)
        under_way = "SELECT count(*) FROM mqtt.mqtt_callback_deliveries WHERE organization_id = %s AND bridge_id IS NOT NULL"
        found = db.execute(under_way, (slow.organization_id,)).fetchone(), len(hanging.hits)
        # Unless this machine is so slow that the bridge has given up the first ones meanwhile.
        if time.monotonic() - began < SECONDS:
            assert found == ((32,), 32), "so many hung all the time"
            gate.set()
            finished(slow, 60)
        gate.set()


def calls(db: Connection, text: str) -> int:
    """How often statements with this text have been executed."""
    row = db.execute("SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE query LIKE %s", (f"%{text}%",)).fetchone()
    assert row is not None
    return int(row[0])


def has_ended(stack: Stack, count: int) -> bool:
    return posts(stack) >= count


def posts(stack: Stack) -> int:
    """How many requests have ended, as the bridge counts them."""
    found = re.search(r"^topicbase_callback_seconds_count ([0-9.]+)", requests.get(stack.metrics_url, timeout=PATIENCE).text, re.MULTILINE)
    return int(float(found[1])) if found else 0


def test_many_are_settled_with_one_statement_over_connections_that_are_kept(stack: Stack, db: Connection, tenant: Tenants) -> None:
    """Twice thirty-two requests at once; while the first settling waits for a lock, the others are answered, and one more settles them."""
    owner = tenant()
    gates, is_second = [threading.Event(), threading.Event()], threading.Event()

    def behave(_: Hit) -> Reply:
        gates[is_second.is_set()].wait(PATIENCE)
        return Reply()

    db.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    with Receiver(behave) as receiver:
        for filter_ in ("devices/#", "devices/+/telemetry", "+/+/telemetry", "#"):
            subscribe(owner, receiver, filter_)
        device = owner.device()
        for number, gate in enumerate(gates, 1):
            ended, settled = posts(stack), calls(db, "bridge.settle_callbacks(")
            device.send_batch([{"topic": device.topic(), "payload": number} for _ in range(8)])
            receiver.wait_for(32 * number)
            with db.transaction():
                db.execute("LOCK TABLE mqtt.mqtt_callback_deliveries IN SHARE ROW EXCLUSIVE MODE")
                gate.set()
                wait_until(functools.partial(has_ended, stack, ended + 32), what="all being answered")
            finished(owner, 32 * number)
            assert calls(db, "bridge.settle_callbacks(") - settled <= 3, "those that had been answered by then, the others, a straggler"
            is_second.set()
        assert len({hit.client for hit in receiver.hits}) == 32


def test_what_is_claimed_ahead_for_a_quick_receiver_goes_back_when_it_fails(db: Connection, tenant: Tenants) -> None:
    """Eight requests at once, as before, but the next ones need not wait for the database."""
    owner = tenant()
    gate, is_slow = threading.Event(), threading.Event()

    def behave(_: Hit) -> Reply:
        if not is_slow.is_set():
            return Reply()
        gate.wait(PATIENCE)
        return Reply(503, {"Retry-After": "600"})

    with Receiver(behave) as receiver:
        subscribe(owner, receiver)
        device = owner.device()
        device.send(0, device.topic())
        finished(owner, 1)
        is_slow.set()
        device.send_batch([{"topic": device.topic(), "payload": number} for number in range(1, 50)])
        receiver.wait_for(9)
        claimed = "SELECT count(*) FROM mqtt.mqtt_callback_deliveries WHERE organization_id = %s AND bridge_id IS NOT NULL"
        wait_until(lambda: db.execute(claimed, (owner.organization_id,)).fetchone() == (32,), what="32 being claimed")
        assert len(receiver.hits) == 9, "eight of them are under way"
        gate.set()
        wait_until(lambda: db.execute(claimed, (owner.organization_id,)).fetchone() == (0,), what="nothing being claimed")
        # Each of the eight fails; what may have been claimed before that was known was one of eight as well.
        assert sum(row["attempts"] for row in log(owner)) < 32
        assert sum(row["attempts"] for row in log(owner)) == len(receiver.hits), "what went back has cost no attempt"
