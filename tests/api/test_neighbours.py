"""What one tenant, or a stranger, does to what tenants share: connections of the pool, locks."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
import requests

from tests.api.support import accepted
from tests.support.api import Api
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import wait_until

Connection = psycopg.Connection[tuple[Any, ...]]
OUTBOUND = "mqtt.outbound_lock(), 0"


def queued(tenant: Tenant, topic: str = "x") -> str:
    """The receipt of a message that stays queued, as no bridge is running."""
    body = {"integration_id": tenant.integration_id, "messages": [{"topic": f"org_{tenant.slug}/{topic}", "payload": 1}]}
    return str(tenant.api.ok("mqtt_publish", body, token=tenant.member)["receipts"][0]["receipt_id"])


def waiting(db: Connection) -> int:
    """How many connections of the API's pool sleep in a call."""
    row = db.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'authenticator' AND state = 'active' AND wait_event = 'PgSleep'"
    ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("call", ["get_mqtt_publish_receipts", "get_mqtt_request"])
def test_long_polls_leave_the_pool_to_others(stack: Stack, tenant: Callable[..., Tenant], db: Connection, call: str) -> None:
    crowd, other = tenant(), tenant()
    device = other.device()
    receipts = queued(crowd), queued(other)
    request = crowd.api.ok("mqtt_test_connection", {"integration_id": crowd.integration_id}, token=crowd.admin)["request_id"]
    question = {"receipt_ids": [receipts[0]]} if call == "get_mqtt_publish_receipts" else {"request_id": request}

    def poll(owner: Tenant, question: dict[str, Any]) -> requests.Response:
        return Api(stack.api_url).call(call, {**question, "wait": 20}, token=owner.admin)

    with ThreadPoolExecutor(30) as pool:
        polls = [pool.submit(poll, crowd, question) for _ in range(25)]
        wait_until(lambda: sum(one.done() for one in polls) == 21, what="all but four being answered")
        wait_until(lambda: waiting(db) == 4, what="four of them waiting")
        accepted(device.send(1))
        if call == "get_mqtt_publish_receipts":
            own = pool.submit(poll, other, {"receipt_ids": [receipts[1]]})
            wait_until(lambda: waiting(db) == 5, what="another organization waiting, too")
            other.api.ok("cancel_mqtt_publish", {"receipt_ids": [receipts[1]]}, token=other.member)
            assert own.result().json()[0]["state"] == "cancelled"
            crowd.api.ok("cancel_mqtt_publish", {"receipt_ids": [receipts[0]]}, token=crowd.member)
        else:
            db.execute("UPDATE mqtt.mqtt_requests SET status = 'done', result = '{}', finished_at = now() WHERE id = %s", (request,))
        answers = [one.result() for one in polls]
    assert {answer.status_code for answer in answers} == {200}
    assert sum(answer.headers.get("Retry-After") == "1" for answer in answers) == 21


def test_the_places_in_all_are_bounded_too(stack: Stack, tenant: Callable[..., Tenant], db: Connection) -> None:
    owners = [tenant() for _ in range(3)]
    receipts = [queued(owner) for owner in owners]

    def poll(number: int) -> requests.Response:
        return Api(stack.api_url).call(
            "get_mqtt_publish_receipts", {"receipt_ids": [receipts[number]], "wait": 20}, token=owners[number].member
        )

    with ThreadPoolExecutor(12) as pool:
        polls = [pool.submit(poll, number) for number in (0, 1, 2) * 4]
        wait_until(lambda: sum(one.done() for one in polls) == 4, what="all but eight being answered")
        wait_until(lambda: waiting(db) == 8, what="eight of them waiting")
        for owner, receipt in zip(owners, receipts, strict=True):
            owner.api.ok("cancel_mqtt_publish", {"receipt_ids": [receipt]}, token=owner.member)


@pytest.fixture
def claim(stack: Stack) -> Iterator[Connection]:
    """A bridge that is claiming messages: it holds the lock as bridge.claim_outbound does, until the test ends it."""
    with stack.connect(autocommit=False) as connection:
        connection.execute(f"SELECT pg_advisory_xact_lock_shared({OUTBOUND})")
        yield connection


def test_who_has_nothing_to_cancel_takes_no_lock(stack: Stack, tenant: Callable[..., Tenant], claim: Connection) -> None:
    owner = tenant()
    strangers = [str(uuid.uuid4()) for _ in range(2_000)]
    for token in (stack.token("authenticated", str(uuid.uuid4())), owner.member):
        answer = owner.api.call("cancel_mqtt_publish", {"receipt_ids": strangers}, token=token)
        assert answer.status_code == 200, answer.text
        assert {row["state"] for row in answer.json()} == {"unknown"}
    other = tenant()
    answer = owner.api.call("cancel_mqtt_publish", {"receipt_ids": [queued(other)]}, token=owner.member)
    assert (answer.status_code, answer.json()[0]["state"]) == (200, "unknown")
    assert claim.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS


def test_a_cancel_that_waits_keeps_no_claim_waiting(stack: Stack, tenant: Callable[..., Tenant], claim: Connection, db: Connection) -> None:
    owner = tenant()
    receipt = queued(owner)
    with ThreadPoolExecutor(1) as pool:
        cancel = pool.submit(Api(stack.api_url).call, "cancel_mqtt_publish", {"receipt_ids": [receipt]}, token=owner.member)
        wait_until(lambda: waiting(db) == 1, what="the cancel waiting for the claim in progress")
        with stack.connect(autocommit=False) as another:
            assert another.execute(f"SELECT pg_try_advisory_xact_lock_shared({OUTBOUND})").fetchone() == (True,)
        claim.rollback()
        assert cancel.result().json()[0]["state"] == "cancelled"
