"""Nothing that leaves lets a tenant count another's messages, publishes, subscriptions or logins: each door, while another is busy."""

from collections.abc import Callable
from typing import Any

import psycopg

from tests.bridge.receiver import Receiver
from tests.bridge.support import publish, receipts
from tests.bridge.test_inbound import hosted, subscribed
from tests.bridge.test_outbound import foreign, prefix
from tests.support.api import Device, one
from tests.support.broker import Broker
from tests.support.counting import tells
from tests.support.tenant import Tenant
from tests.support.waiting import wait_until

Connection = psycopg.Connection[tuple[Any, ...]]
STEPS = [3, 11, 2, 7]


def test_the_search_finds_a_counter() -> None:
    numbers = [100, 104, 116, 119, 127]  # each step, and one
    for form in (
        [{"id": number} for number in numbers],
        [{"id": f"x-{number:012x}-y"} for number in numbers],
        [{"id": ["0190" + (number << 12).to_bytes(6, "little").hex()]} for number in numbers],
        [{"id": -2 * number} for number in numbers],
    ):
        assert tells(form, STEPS), form
    assert tells([{"id": number} for number in (1, 2, 3, 4, 5)], STEPS) == []


def test_no_id_counts_what_others_do(db: Connection, tenant: Callable[..., Tenant], witness: Broker) -> None:
    busy, owner = hosted(db, tenant), hosted(db, tenant)
    busy_device, device = busy.device(), owner.device()
    with Receiver() as receiver:
        url = f"http://127.0.0.1:{receiver.port}/"
        integration_id, busy_integration = foreign(owner, witness.port), foreign(busy, witness.port)
        subscribed(db, owner, integration_id, "first/#")
        for each in (owner, busy):
            each.api.ok(
                "mqtt_subscribe",
                {"integration_id": each.integration_id, "topic": f"{prefix(each)}/devices/#", "callback_url": f"{url}{each.slug}"},
                token=each.admin,
            )

        def mine() -> list[Any]:
            return [hit for hit in receiver.hits if hit.path == f"/{owner.slug}"]

        samples = []
        for number, step in enumerate([0, *STEPS]):
            if step:
                act(busy, busy_device, busy_integration, step)
            hits = len(mine())
            seen = ask(owner, device, integration_id, number)
            subscribed(db, owner, integration_id, f"step/{number}")
            seen["subscription identifier"] = witness.identifiers[-1]
            wait_until(lambda hits=hits: len(mine()) >= hits + 3, what="the webhooks of three messages")  # type: ignore[misc]
            seen["webhook"] = [{"id": hit.id, "body": hit.json} for hit in mine()[hits : hits + 3]]
            samples.append(seen)
        assert tells(samples, STEPS) == []


def act(busy: Tenant, device: Device, integration_id: str, times: int) -> None:
    """What another does, so many times each."""
    device.send_batch([{"topic": device.topic(), "payload": number} for number in range(times)])
    receipts(busy, publish(busy, [{"topic": "x", "payload": number, "qos": 1} for number in range(times)], integration_id))
    for number in range(times):
        topic = f"{times}/{number}"
        busy.api.ok("mqtt_subscribe", {"integration_id": integration_id, "topic": topic, "is_paused": True}, token=busy.admin)
        busy.api.ok("generate_mqtt_credentials", {"integration_id": integration_id}, token=busy.admin)


def ask(owner: Tenant, device: Device, integration_id: str, number: int) -> dict[str, Any]:
    """All that one's own calls answer, from each door."""
    admin: dict[str, Any] = {"token": owner.admin}
    single = device.send(number).json()
    batch = device.send_batch([{"topic": device.topic(), "payload": n} for n in range(2)]).json()
    wait_until(
        lambda: (
            [row["payload"] for row in owner.api.rows("mqtt_messages", token=owner.member, id=f"eq.{single['message_id']}")] == [number]
        ),
        what="the message in the history",
    )
    published = publish(owner, [{"topic": "x", "payload": 1, "qos": 1}], integration_id)
    listed = owner.api.ok("list_messages", {"organization_id": owner.organization_id, "limit": 2}, **admin)
    receipt = one(receipts(owner, published))
    telemetry = owner.api.ok("query_telemetry", {"integration_id": owner.integration_id, "limit": 2}, **admin)
    test = owner.api.ok("mqtt_test_connection", {"integration_id": integration_id}, **admin)
    login = one(owner.api.ok("generate_mqtt_credentials", {"integration_id": owner.integration_id}, **admin))
    deletion = owner.api.ok("delete_messages", {"integration_id": integration_id, "until": "2020-01-01T00:00:00Z"}, **admin)
    activity = owner.api.rows("integration_activity_log", order="created_at.desc", limit="3", token=owner.member)
    return {
        "ingest": single,
        "batch": batch,
        "publish": published,
        "receipt": receipt,
        "messages": listed,
        "telemetry": telemetry,
        "test": test,
        "login": {name: login[name] for name in ("id", "username", "client_id")},
        "deletion": deletion,
        "activity": [row["id"] for row in activity],
    }
