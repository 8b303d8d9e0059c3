"""The queue by hand: processing, retries and dead letters, statistics, retention; and its books after all that."""

import json
import re
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
import requests

from tests.api.support import Connection, Queue, Witness, accepted, answered, refused, stored
from tests.support.api import Api
from tests.support.stack import ROOT, Stack
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def poison(db: Connection) -> Iterator[Callable[[], None]]:
    """Makes messages to …/poison impossible to store, as a mistake in a trigger of the operator's would; call it to repair that."""
    db.execute(
        """
        CREATE FUNCTION public.stumble() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
            v_topic text := (SELECT t.topic FROM mqtt.topics AS t WHERE t.number = new.topic);
        BEGIN
            IF v_topic LIKE '%/poison' THEN
                RAISE EXCEPTION 'stumbled over %', v_topic;
            END IF;
            RETURN new;
        END $$;
        CREATE TRIGGER stumble BEFORE INSERT ON mqtt.history FOR EACH ROW EXECUTE FUNCTION public.stumble();
        """
    )

    def repair() -> None:
        db.execute("DROP TRIGGER IF EXISTS stumble ON mqtt.history; DROP FUNCTION IF EXISTS public.stumble()")

    yield repair
    repair()


@pytest.fixture
def patient(db: Connection) -> Iterator[None]:
    """Retries are not due before the end of the test, however slow the machine, but where it makes them so."""
    db.execute("UPDATE mqtt.configuration SET retry_base = '10 minutes'")
    yield
    db.execute("UPDATE mqtt.configuration SET retry_base = DEFAULT")


def stats(tenant: Tenant) -> dict[str, Any]:
    answer: dict[str, Any] = tenant.api.ok("get_mqtt_queue_stats", {"org_id": tenant.organization_id}, token=tenant.member)
    by_status = Counter(row["status"] for row in tenant.api.rows("mqtt_message_queue", token=tenant.member))
    assert {status: answer[status] for status in ("pending", "processing", "completed", "failed")} == {
        status: by_status[status] for status in ("pending", "processing", "completed", "failed")
    }, "the statistics count what the view shows"
    assert answer["organization_id"] == tenant.organization_id
    assert answer["dead"] == answer["failed"]
    return answer


def test_one_message_by_its_id(home: Tenant, queue: Queue, api: Api) -> None:
    device = home.device()
    own_id = str(uuid.uuid4())
    for message_id in (accepted(device.send(1)), accepted(device.send(2, message_id=own_id))):
        done = {"message_id": message_id, "status": "completed"}
        assert api.ok("process_mqtt_queue_message", {"p_message_id": message_id}, token=queue.service) == done
        assert stored(device, home, message_id)["id"] == message_id
        assert api.ok("process_mqtt_queue_message", {"p_message_id": message_id}, token=queue.service) == done
    assert len(device.api.rows("mqtt_messages", token=home.member)) == 2
    assert queue.work()["processed"] == 0
    for unknown in (UNKNOWN, "01a20000-0000-8000-8000-7fffffffffff", "01a20000-0000-8000-bfff-ffffffffffff"):
        refused(api.call("process_mqtt_queue_message", {"p_message_id": unknown}, token=queue.service), 404, "message_not_found")


@pytest.mark.parametrize("batch_size", [0, -1, 100_001, None])
def test_batch_sizes_out_of_range(queue: Queue, api: Api, batch_size: int | None) -> None:
    refused(api.call("process_mqtt_queue", {"batch_size": batch_size}, token=queue.service), 400, "batch_size_invalid")


def test_a_batch_is_as_large_as_asked_for(home: Tenant, queue: Queue, api: Api) -> None:
    device = home.device()
    device.send_batch([{"topic": device.topic(), "payload": n} for n in range(25)])
    sizes = [api.ok("process_mqtt_queue", {"batch_size": 10}, token=queue.service) for _ in range(3)]
    assert [(answer["processed"], answer["more"]) for answer in sizes] == [(10, True), (10, True), (5, False)]


@pytest.mark.usefixtures("patient")
def test_three_attempts_and_then_a_dead_letter(home: Tenant, queue: Queue, api: Api, poison: Callable[[], None], db: Connection) -> None:
    device = home.device()
    bad_topic = f"{device.topic_prefix}/devices/d1/poison"
    batch = [{"topic": device.topic(), "payload": n} for n in range(40)]
    batch[17] = {"topic": bad_topic, "payload": {"n": 17}, "qos": 1}
    device.send_batch(batch)
    assert stats(home)["pending"] == 40
    assert queue.work() == {"processed": 39, "failed": 1, "dead": 0}
    assert {row["payload"] for row in api.rows("mqtt_messages", token=home.member)} == set(range(40)) - {17}
    for attempt in (1, 2):
        (waiting,) = api.rows("mqtt_message_queue", token=home.member, topic=f"eq.{bad_topic}")
        assert (waiting["status"], waiting["attempts"], waiting["max_attempts"]) == ("pending", attempt, 3)
        assert waiting["error_message"] == f"stumbled over {bad_topic}"
        at = db.execute("SELECT errors -> -1 ->> 'at' FROM pgmq.q_mqtt_messages WHERE organization_id = %s", (home.organization_id,))
        failed_at = datetime.fromisoformat(at.fetchall()[0][0])
        wait = (datetime.fromisoformat(waiting["next_retry_at"]) - failed_at).total_seconds()
        assert 0.75 <= wait / (600 * 2 ** (attempt - 1)) <= 1.25
        numbers = stats(home)
        assert (numbers["pending"], numbers["retrying"], numbers["failed"]) == (1, 1, 0)
        assert numbers["top_errors"] == [{"code": "P0001", "error": f"stumbled over {bad_topic}", "count": attempt}]
        assert queue.work() == {"processed": 0, "failed": 0, "dead": 0}, "not before it is due"
        queue.make_due(home.organization_id)
        if attempt == 1:
            answer = api.ok("process_mqtt_queue_message", {"p_message_id": waiting["id"]}, token=queue.service)
            assert answer == {"message_id": waiting["id"], "status": "pending"}
    assert queue.work() == {"processed": 0, "failed": 0, "dead": 1}
    numbers = stats(home)
    assert (numbers["pending"], numbers["failed"], numbers["completed"]) == (0, 1, 39)
    (dead,) = api.rows("mqtt_dead_letters", token=home.member)
    assert (dead["id"], dead["topic"], dead["attempts"], dead["direction"]) == (waiting["id"], bad_topic, 3, "incoming")
    assert dead["error_message"] == f"stumbled over {bad_topic}"
    assert dead["message"] == {"topic": bad_topic, "payload": {"n": 17}, "qos": 1}
    assert [error["code"] for error in dead["errors"]] == ["P0001"] * 3
    assert all(error["error"] == dead["error_message"] and datetime.fromisoformat(error["at"]) for error in dead["errors"])
    answer = api.ok("process_mqtt_queue_message", {"p_message_id": dead["id"]}, token=queue.service)
    assert answer == {"message_id": dead["id"], "status": "failed"}
    log = Counter(row["activity_type"] for row in api.rows("integration_activity_log", token=home.member, status="eq.failed"))
    assert log == {"message_failed": 2, "message_dead": 1}
    assert api.ok("check_mqtt_ledger", token=queue.service) == []
    poison()
    body = {"organization_id": home.organization_id, "ids": [dead["id"]]}
    assert api.ok("replay_mqtt_dead_letters", body, token=home.admin)["replayed"] == 1
    assert queue.work() == {"processed": 1, "failed": 0, "dead": 0}
    (again,) = api.rows("mqtt_messages", token=home.member, topic=f"eq.{bad_topic}")
    assert (again["payload"], again["qos"], again["properties"]) == ({"n": 17}, 1, {"replay_of": dead["id"]})


@pytest.mark.usefixtures("patient")
def test_many_poison_messages_among_good_ones(home: Tenant, queue: Queue, poison: Callable[[], None]) -> None:
    device = home.device()
    topics = [f"{device.topic_prefix}/devices/d/{'poison' if n % 10 == 3 else 'telemetry'}" for n in range(100)]
    device.send_batch([{"topic": topic, "payload": n} for n, topic in enumerate(topics)])
    assert queue.work() == {"processed": 90, "failed": 10, "dead": 0}
    for expected in ({"processed": 0, "failed": 10, "dead": 0}, {"processed": 0, "failed": 0, "dead": 10}):
        queue.make_due(home.organization_id)
        assert queue.work() == expected
    assert (stats(home)["completed"], stats(home)["failed"]) == (90, 10)


def test_an_integration_may_allow_fewer_attempts(tenant: Callable[..., Tenant], queue: Queue, poison: Callable[[], None]) -> None:
    home = tenant(max_attempts=1)
    device = home.device()
    accepted(device.send(1, f"{device.topic_prefix}/poison"))
    assert queue.work() == {"processed": 0, "failed": 0, "dead": 1}


def test_any_number_of_workers_store_each_message_once(tenant: Callable[..., Tenant], queue: Queue, api: Api) -> None:
    homes = [tenant() for _ in range(4)]
    for home in homes:
        device = home.device()
        for start in (0, 250):
            device.send_batch([{"topic": device.topic(f"d{n % 7}"), "payload": start + n} for n in range(250)])
    headers = {"Authorization": f"Bearer {queue.service}"}

    done: list[int] = []
    deadline = time.monotonic() + 3 * PATIENCE

    def work(_: int) -> None:
        # A worker that was told of nothing may be so for a second: another was at it, and it has not looked everywhere again.
        while sum(done) < 2000 and time.monotonic() < deadline:
            answer = requests.post(f"{api.url}/rpc/process_mqtt_queue", json={"batch_size": 70}, headers=headers)
            assert answer.ok, answer.text
            done.append(answer.json()["processed"])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert sum(done) == 2000
    for home in homes:
        rows = api.rows("mqtt_messages", token=home.member, order="received_at,id")
        assert [row["payload"] for row in rows] == list(range(500))


def test_statistics_of_an_idle_and_of_a_busy_organization(home: Tenant, queue: Queue) -> None:
    idle = stats(home)
    assert (idle["oldest_pending_seconds"], idle["top_errors"], idle["retrying"]) == (None, [], 0)
    assert idle["rates"]["5m"] == {"in_per_second": 0, "out_per_second": 0, "retry_per_second": 0, "dead_per_second": 0}
    device = home.device()
    began = time.monotonic()
    device.send_batch([{"topic": device.topic(), "payload": n} for n in range(60)])
    waiting = stats(home)
    assert waiting["pending"] == 60
    assert 0 <= waiting["oldest_pending_seconds"] <= time.monotonic() - began
    queue.work()
    busy = stats(home)
    assert (busy["pending"], busy["completed"]) == (0, 60)
    assert busy["rates"]["60m"] == {
        "in_per_second": pytest.approx(60 / 3600, abs=0.001),
        "out_per_second": pytest.approx(60 / 3600, abs=0.001),
        "retry_per_second": 0,
        "dead_per_second": 0,
    }
    assert 0 <= busy["seconds_in_queue"]["p50"] <= busy["seconds_in_queue"]["p99"] < 60 + time.monotonic() - began


def test_a_message_that_another_reader_holds_is_processing(home: Tenant, queue: Queue, db: Connection) -> None:
    device = home.device()
    accepted(device.send(1))
    held = db.execute("SELECT msg_id FROM pgmq.read('mqtt_messages', 600, 100)").fetchall()
    assert len(held) == 1
    assert stats(home)["processing"] == 1
    assert queue.work()["processed"] == 0
    queue.make_due(home.organization_id)
    assert queue.work()["processed"] == 1


@pytest.mark.parametrize(("organization", "status", "slug"), [(UNKNOWN, 404, "organization_not_found"), (None, 400, "argument_missing")])
def test_statistics_of_no_organization(home: Tenant, organization: str | None, status: int, slug: str) -> None:
    refused(home.api.call("get_mqtt_queue_stats", {"org_id": organization}, token=home.member), status, slug)


def move(db: Connection, home: Tenant, days: int) -> None:
    """Let all that the organization has be as many days older."""
    db.execute(
        "UPDATE mqtt.history SET received_at = received_at - make_interval(days => %s)"
        " WHERE organization = (SELECT number FROM mqtt.organizations WHERE id = %s)",
        (days, home.organization_id),
    )
    for table, column in [
        ("mqtt.mqtt_dead_letters", "failed_at"),
        ("mqtt.integration_activity_log", "created_at"),
        ("mqtt.ledger", "bucket"),
        ("pgmq.q_mqtt_messages", "enqueued_at"),
    ]:
        db.execute(
            f"UPDATE {table} SET {column} = {column} - make_interval(days => %s) WHERE organization_id = %s", (days, home.organization_id)
        )


def test_retention_takes_what_is_over_and_never_what_waits(
    home: Tenant, queue: Queue, db: Connection, poison: Callable[[], None], witness: Callable[[Tenant], Witness]
) -> None:
    api = home.api
    device = home.device()
    bad_topic = f"{device.topic_prefix}/poison"
    device.send_batch([{"topic": device.topic(), "payload": n} for n in range(5)] + [{"topic": bad_topic, "payload": 1}])
    for _ in range(3):
        queue.work()
        queue.make_due(home.organization_id)
    poison()
    accepted(device.send("waits"))
    seen = witness(home)
    api.ok("cleanup_mqtt_queue", token=queue.service)
    assert seen.changed() == {}
    # 7 days for what is completed, 30 for what failed and for the activity log
    move(db, home, 6)
    seen.changed()
    api.ok("cleanup_mqtt_queue", token=queue.service)
    assert seen.changed() == {}
    move(db, home, 2)
    seen.changed()
    assert api.ok("cleanup_mqtt_queue", token=queue.service)["completed"] >= 5
    assert seen.changed() == {"stored": -5}
    move(db, home, 21)
    seen.changed()
    api.ok("cleanup_mqtt_queue", token=queue.service)
    assert seen.changed() == {}
    move(db, home, 2)
    seen.changed()
    answer = api.ok("cleanup_mqtt_queue", token=queue.service)
    assert answer["failed"] >= 1
    assert answer["activity"] >= 1
    changes = seen.changed()
    assert changes.pop("activities") < 0
    assert changes == {"dead": -1}
    assert queue.work()["processed"] == 1, "what was accepted a month ago and never processed is still there"
    assert [row["payload"] for row in api.rows("mqtt_messages", token=home.member)] == ["waits"]
    db.execute("DELETE FROM mqtt.ledger WHERE organization_id = %s", (home.organization_id,))


def test_an_organization_may_keep_its_history_longer(tenant: Callable[..., Tenant], queue: Queue, api: Api, db: Connection) -> None:
    keeps, standard = tenant(), tenant()
    api.ok("set_organization_limits", {"organization_id": keeps.organization_id, "completed_days": 40}, token=queue.service)
    for home in (keeps, standard):
        accepted(home.device().send(1))
    queue.work()
    day = datetime.now(UTC).date().toordinal()
    for home in (keeps, standard):
        move(db, home, 20)
    # what lies in a partition of its day, and not in the default one, is held to the same terms
    partition = "mqtt.history_" + datetime.fromordinal(day - 20).strftime("%Y%m%d")
    db.execute("SELECT mqtt.create_partition('mqtt.history', %s::date)", (str(datetime.fromordinal(day - 20).date()),))
    assert db.execute(f"SELECT count(*) FROM {partition}").fetchone() == (2,)
    api.ok("cleanup_mqtt_queue", token=queue.service)
    assert len(api.rows("mqtt_messages", token=keeps.member)) == 1
    assert len(api.rows("mqtt_messages", token=standard.member)) == 0
    api.ok("set_organization_limits", {"organization_id": keeps.organization_id}, token=queue.service)
    api.ok("cleanup_mqtt_queue", token=queue.service)
    assert api.rows("mqtt_messages", token=keeps.member) == []
    assert db.execute("SELECT to_regclass(%s)", (partition,)).fetchone() == (None,), "an empty day's partition is dropped"
    for home in (keeps, standard):
        db.execute("DELETE FROM mqtt.ledger WHERE organization_id = %s", (home.organization_id,))


def test_a_quota_holds_back_and_says_for_how_long(home: Tenant, queue: Queue, api: Api, witness: Callable[[Tenant], Witness]) -> None:
    limits = {"organization_id": home.organization_id, "max_per_second": 0.01, "max_burst": 5}
    api.ok("set_organization_limits", limits, token=queue.service)
    device = home.device()
    began = time.monotonic()
    for n in range(5):
        accepted(device.send(n))
    seen = witness(home)
    message_id = str(uuid.uuid4())
    for response in (device.send(5, message_id=message_id), device.send_batch([{"topic": device.topic(), "payload": 5}])):
        refused(response, 429, "quota_exceeded")
        # Less what has passed since the first.
        assert 100 - (time.monotonic() - began) <= int(response.headers["Retry-After"]) <= 100
    assert seen.changed() == {}
    api.ok("set_organization_limits", {"organization_id": home.organization_id}, token=queue.service)
    assert accepted(device.send(5, message_id=message_id)) == message_id
    assert queue.work()["processed"] == 6


def test_a_batch_beyond_the_quota_is_taken_in_part(home: Tenant, queue: Queue, api: Api, witness: Callable[[Tenant], Witness]) -> None:
    limits = {"organization_id": home.organization_id, "max_per_second": 0.01, "max_burst": 3}
    api.ok("set_organization_limits", limits, token=queue.service)
    device = home.device()
    seen, began = witness(home), time.monotonic()
    messages = (
        [{"topic": device.topic(), "payload": n} for n in range(3)]
        + [{"topic": "#", "payload": 1}]
        + [{"topic": device.topic(), "payload": 9}]
    )
    answer = device.send_batch([messages[3], *messages[:3], messages[4]])
    assert answer.status_code == 202
    rejected = {r["index"]: r["code"] for r in answer.json()["rejected"]}
    assert rejected == {0: "topic_invalid", 4: "quota_exceeded"}
    assert 100 - (time.monotonic() - began) <= int(answer.headers["Retry-After"]) <= 100
    assert seen.changed() == {"in the queue": 3, "accepted": 3}
    assert queue.work()["processed"] == 3


def test_a_flood_keeps_no_neighbour_waiting(
    tenant: Callable[..., Tenant], queue: Queue, api: Api, stack: Stack, witness: Callable[[Tenant], Witness]
) -> None:
    """Fault 54: one floods, nine are quiet. None of its locks, of its rows in the queue and of its refused calls is in their way."""
    flood, quiet = tenant(), [tenant() for _ in range(9)]
    limits = {"organization_id": flood.organization_id, "max_per_second": 0.01, "max_burst": 600}
    api.ok("set_organization_limits", limits, token=queue.service)
    loud, devices = flood.device(), [each.device() for each in quiet]
    messages = [{"topic": loud.topic(), "payload": n} for n in range(600)]

    def from_each() -> None:
        for device in devices:
            accepted(device.send(1))

    def stored_of_each() -> list[int]:
        return [len(api.rows("mqtt_messages", token=each.member)) for each in quiet]

    with stack.connect(autocommit=False) as held:
        # The flood's call, stopped just before its commit, with all that it has locked.
        headers = {key.lower(): value for key, value in loud.headers.items()}
        held.execute("SELECT set_config('request.headers', %s, true)", (json.dumps(headers),))
        held.execute("SET LOCAL ROLE anon")
        row = held.execute("SELECT api.mqtt_ingest_batch(%s)", (json.dumps(messages),)).fetchone()
        assert row is not None
        assert row[0]["accepted"] == 600
        from_each()
        assert queue.work()["processed"] == 9
        assert stored_of_each() == [1] * 9
        held.rollback()

    assert loud.send_batch(messages).json() == {"accepted": 600, "rejected": []}
    # Over its quota: each call is answered before anything is written.
    seen = witness(flood)
    for response in (*(loud.send(n) for n in range(20)), loud.send_batch([{"topic": loud.topic(), "payload": 1}] * 100)):
        refused(response, 429, "quota_exceeded")
    assert seen.changed() == {}

    # Its 600 wait, with the neighbours' behind them, which are in the next batches all the same.
    from_each()
    for _ in range(2):
        assert api.ok("process_mqtt_queue", {"batch_size": 50}, token=queue.service)["more"]
    assert stored_of_each() == [2] * 9
    assert queue.work()["processed"] == 509


def test_the_queue_is_paused_for_an_organization_and_for_all(tenant: Callable[..., Tenant], queue: Queue, api: Api, db: Connection) -> None:
    full, other = tenant(), tenant()
    device = full.device()
    device.send_batch([{"topic": device.topic(), "payload": n} for n in range(20)])
    api.ok("set_organization_limits", {"organization_id": full.organization_id, "max_queued": 10}, token=queue.service)
    db.execute("SELECT mqtt.run_maintenance()")
    response = device.send(1)
    refused(response, 429, "queue_paused")
    assert int(response.headers["Retry-After"]) > 0
    refused(device.send_batch([{"topic": device.topic(), "payload": 1}]), 429, "queue_paused")
    accepted(other.device().send(1))
    queue.work()
    db.execute("SELECT mqtt.run_maintenance()")
    accepted(device.send(1))
    db.execute("UPDATE mqtt.configuration SET min_free_bytes = 1::bigint << 60")
    try:
        db.execute("SELECT mqtt.run_maintenance()")
        response = other.device().send(1)
        refused(response, 429, "queue_paused")
        assert int(response.headers["Retry-After"]) > 0
    finally:
        db.execute("UPDATE mqtt.configuration SET min_free_bytes = 0")
        db.execute("SELECT mqtt.run_maintenance()")
    accepted(other.device().send(1))
    assert queue.work()["processed"] == 2


@pytest.mark.parametrize("rpc", ["process_mqtt_queue", "process_mqtt_queue_message", "cleanup_mqtt_queue", "check_mqtt_ledger"])
def test_the_operator_s_calls_are_closed_to_all_others(home: Tenant, rpc: str) -> None:
    body = {"p_message_id": UNKNOWN} if rpc == "process_mqtt_queue_message" else {}
    answered(home.api.call(rpc, body, token=home.admin), 403, "42501")
    answered(home.api.call(rpc, body), 401, "42501")


def test_the_books_show_what_was_taken_out_by_hand(home: Tenant, queue: Queue, api: Api, db: psycopg.Connection[tuple[Any, ...]]) -> None:
    """The proof at the end of every test here can fail."""
    accepted(home.device().send(1))
    db.execute("DELETE FROM pgmq.q_mqtt_messages WHERE organization_id = %s", (home.organization_id,))
    (row,) = api.ok("check_mqtt_ledger", token=queue.service)
    assert (row["organization_id"], row["accepted"], row["completed"], row["queued"], row["difference"]) == (
        home.organization_id,
        1,
        0,
        0,
        1,
    )
    db.execute("DELETE FROM mqtt.ledger WHERE organization_id = %s", (home.organization_id,))


def test_the_job_of_the_docs_stores_messages(home: Tenant, stack: Stack) -> None:
    """As pg_cron runs it: the job's text as one simple query."""
    page = (ROOT / "docs/how-to/install.md").read_text()
    job = re.search(r"cron.schedule\('topicbase queue', '[^']+', '((?:[^']|'')+)'\)", page)
    limit = re.search(r"^ALTER ROLE CURRENT_USER IN DATABASE app (SET .+);$", page, re.MULTILINE)
    assert job is not None
    assert limit is not None
    with stack.connect(autocommit=False) as db:
        db.execute(f"ALTER ROLE CURRENT_USER IN DATABASE topicbase {limit[1]}".encode())
        db.rollback()
    device = home.device()
    sent = accepted(device.send({"n": 1}))
    with stack.connect() as db:
        result = db.pgconn.exec_(job[1].replace("''", "'").encode())
        assert result.status == psycopg.pq.ExecStatus.COMMAND_OK, result.error_message
    assert home.api.rows("mqtt_messages", token=home.member, id=f"eq.{sent}")
