"""What one tenant, or a stranger, does to what tenants share: connections of the pool, locks."""

import time
import timeit
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
import requests
from psycopg import sql

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

    # What bounds the calls that run at once is not what this is about.
    db.execute("UPDATE mqtt.configuration SET max_calls_per_organization = 30")
    try:
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
    finally:
        db.execute("UPDATE mqtt.configuration SET max_calls_per_organization = DEFAULT")
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
def patient(db: Connection) -> Iterator[None]:
    """Whoever waits for a lock has not given up before all others are answered, which may take a busy machine some seconds."""
    role = sql.SQL("ALTER ROLE authenticated IN DATABASE {} SET {} = {}")
    names = ("lock_timeout", "statement_timeout")
    query = (
        "SELECT split_part(c.setting, '=', 1), split_part(c.setting, '=', 2)"
        " FROM pg_db_role_setting AS s, unnest(s.setconfig) AS c (setting) WHERE s.setrole = 'authenticated'::regrole"
    )
    before: dict[str, str] = dict(db.execute(query).fetchall())

    def limit(name: str, value: str) -> None:
        db.execute(role.format(sql.Identifier(db.info.dbname), sql.Identifier(name), value))

    for name in names:
        limit(name, "60s")
    yield
    for name in names:
        limit(name, before[name])


@pytest.mark.usefixtures("patient")
def test_slow_calls_of_an_organization_leave_the_pool_to_others(stack: Stack, tenant: Callable[..., Tenant], db: Connection) -> None:
    """Ten run, four wait for one of them to end, the others are refused at once; each of another organization's is served."""
    crowd, other = tenant(), tenant()
    stranger = stack.token("authenticated", str(uuid.uuid4()))
    key = crowd.api.ok("create_api_key", {"organization_id": crowd.organization_id, "name": "k", "scope": "read"}, token=crowd.admin)["key"]

    def running() -> int:
        query = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'authenticator' AND wait_event_type = 'Lock'"
        return int(db.execute(query).fetchone()[0])  # type: ignore[index]

    def ask(number: int) -> requests.Response:
        logins = {"X-API-Key": key}, {"Authorization": f"Bearer {crowd.member}"}, {"Authorization": f"Bearer {crowd.admin}"}
        return requests.get(f"{stack.api_url}/mqtt_subscriptions", headers=logins[number % 3], timeout=70)

    with ThreadPoolExecutor(60) as pool:
        with stack.connect(autocommit=False) as blocker:
            blocker.execute("LOCK TABLE mqtt.mqtt_subscriptions IN ACCESS EXCLUSIVE MODE")
            calls = [pool.submit(ask, number) for number in range(60)]
            wait_until(lambda: running() == 10 and sum(one.done() for one in calls) == 50, what="ten running, all others being refused")
            for token in (other.member, stranger):
                assert other.api.rows("devices", token=token) == []
            blocker.rollback()
        answers = [one.result() for one in calls]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) == 50
    told = {(answer.status_code, answer.json()["message"], answer.headers["Retry-After"]) for answer in refused}
    assert told == {(429, "too_many_calls", "1")}


@pytest.mark.usefixtures("patient")
def test_an_organization_has_the_places_that_its_operator_says(stack: Stack, tenant: Callable[..., Tenant], db: Connection) -> None:
    """One runs and one waits a second for it, where one is allowed; all others are refused."""
    owner = tenant()
    owner.api.ok("set_organization_limits", {"organization_id": owner.organization_id, "max_calls": 1}, token=stack.token("service_role"))
    with ThreadPoolExecutor(4) as pool, stack.connect(autocommit=False) as blocker:
        blocker.execute("LOCK TABLE mqtt.mqtt_subscriptions IN ACCESS EXCLUSIVE MODE")
        headers = {"Authorization": f"Bearer {owner.member}"}
        calls = [pool.submit(requests.get, f"{stack.api_url}/mqtt_subscriptions", headers=headers, timeout=70) for _ in range(4)]
        wait_until(lambda: sum(one.done() for one in calls) == 3, what="three being refused")
        blocker.rollback()
        assert sorted(one.result().status_code for one in calls) == [200, 429, 429, 429]


def test_short_calls_that_come_at_once_are_served(stack: Stack, tenant: Callable[..., Tenant]) -> None:
    crowd = tenant()
    with ThreadPoolExecutor(14) as pool:
        calls = [pool.submit(Api(stack.api_url).rows, "devices", token=crowd.member) for _ in range(100)]
        assert [one.result() for one in calls] == [[]] * 100


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


def seconds_of(call: Callable[[], Any]) -> float:
    """The least of three, since others use the machine, too."""
    return min(timeit.repeat(call, number=1, repeat=3))


def test_receipts_of_one_call_cost_no_more_each_where_they_are_many(tenant: Callable[..., Tenant]) -> None:
    """They have one time in common, by which they are found."""
    owner = tenant()

    def seconds(count: int) -> float:
        messages = [{"topic": f"org_{owner.slug}/x", "payload": 1}] * count
        body = {"integration_id": owner.integration_id, "messages": messages}
        ids = [receipt["receipt_id"] for receipt in owner.api.ok("mqtt_publish", body, token=owner.member)["receipts"]]
        taken = seconds_of(lambda: owner.api.ok("get_mqtt_publish_receipts", {"receipt_ids": ids}, token=owner.member))
        assert {row["state"] for row in owner.api.ok("cancel_mqtt_publish", {"receipt_ids": ids}, token=owner.member)} == {"cancelled"}
        return taken

    assert seconds(4_000) < 3 * 8 * seconds(500)


def test_a_cancel_looks_its_ids_up_before_it_takes_the_lock(stack: Stack, tenant: Callable[..., Tenant], db: Connection) -> None:
    owner = tenant()
    strangers = [str(uuid.uuid4()) for _ in range(9_999)]
    held = """SELECT EXISTS (
        SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = mqtt.outbound_lock() AND mode = 'ExclusiveLock' AND granted
    )"""

    def share() -> float:
        """The part of the call in which it holds the lock."""
        body = {"receipt_ids": [queued(owner), *strangers]}
        with ThreadPoolExecutor(1) as pool:
            begin = time.monotonic()
            cancel = pool.submit(Api(stack.api_url).ok, "cancel_mqtt_publish", body, token=owner.member)
            seen = []
            while not cancel.done():
                if db.execute(held).fetchone() == (True,):
                    seen.append(time.monotonic())
            whole = time.monotonic() - begin
        assert cancel.result()[0]["state"] == "cancelled"
        assert cancel.result()[1]["state"] == "unknown"
        return (max(seen) - min(seen)) / whole if seen else 0

    assert min(share() for _ in range(3)) < 1 / 2


def test_nobody_is_a_member_without_consent(tenant: Callable[..., Tenant]) -> None:
    pushy, own = tenant(), tenant()
    user = own.stack.token("authenticated", own.member_id)
    accepted(pushy.device().send("forged"))
    pushy.api.ok("sync_device", {"integration_id": pushy.integration_id, "external_id": "forged"}, token=pushy.admin)
    invite = {"organization_id": pushy.organization_id, "user_id": own.member_id}
    assert pushy.api.ok("add_organization_member", invite, token=pushy.admin)["status"] == "invited"
    assert [row["id"] for row in own.api.rows("organizations", token=user)] == [own.organization_id]
    assert own.api.ok("list_devices", {}, token=user)["devices"] == []
    (invitation,) = own.api.ok("list_organization_invitations", {}, token=user)
    own.api.ok("accept_organization_invitation", {"organization_id": invitation["organization_id"]}, token=user)
    # Which of the two is meant has to be said now.
    refused = own.api.call("list_devices", {}, token=user)
    assert (refused.status_code, refused.json()["message"]) == (400, "organization_required")
    assert own.api.ok("list_devices", {"organization_id": own.organization_id}, token=user)["devices"] == []
    own.api.ok("remove_organization_member", {"organization_id": pushy.organization_id, "user_id": own.member_id}, token=user)
    assert own.api.ok("list_devices", {}, token=user)["devices"] == []
