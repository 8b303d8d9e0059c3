"""An archive of packed days on other servers (packaging/citus): on one PostgreSQL, and on a Citus cluster of three.

No package has Citus, so the second half needs TOPICBASE_CITUS_BIN, the directory of server programs that have it. Where that is missing,
its tests are skipped, which says that nothing of Citus was run: how packs are distributed, which server is asked, and rebalancing.
"""

import json
import os
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from tests.cli.conftest import bridge_environment, run
from tests.support.api import Api
from tests.support.servers import PASSWORD, PROGRAMS, Server, run_psql, server
from tests.support.stack import ROOT, Stack, start_stack
from tests.support.tenant import Tenant, make_tenant
from tests.support.waiting import PATIENCE, wait_until

CITUS = os.environ.get("TOPICBASE_CITUS_BIN", "")
WITHOUT = "no Citus: TOPICBASE_CITUS_BIN names no server programs that have it; nothing of Citus was run"
OLDEST, DAYS, COUNT, SHARDS = 43, 3, 900, 8
FILL = """
INSERT INTO mqtt.mqtt_messages (
    organization_id, integration_id, device_id, direction, topic, message_type, received_at, measured_at, position, payload
)
SELECT %(organization)s, %(integration)s, d.id, 'incoming', 'old/' || d.external_id, 'telemetry', x.at, x.at, n, jsonb_build_object('n', n)
FROM generate_series(1, %(count)s) AS n
JOIN mqtt.devices AS d ON d.organization_id = %(organization)s AND d.external_id = 'd' || n %% 3
CROSS JOIN LATERAL (SELECT %(day)s::date + n * interval '1 minute' AS at) AS x
"""
SINCE = (datetime.now(UTC) - timedelta(days=50)).isoformat()
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("list_messages", {"limit": 1000}),
    ("list_messages", {"limit": 7, "oldest_first": True}),
    ("list_messages", {"filter": "old/d1", "limit": 50}),
    ("query_telemetry", {"device_ids": ["d2"], "since": SINCE, "limit": 100}),
    ("query_telemetry", {"since": SINCE, "limit": 100, "time": "received"}),
    ("query_telemetry", {"device_ids": ["d0"], "since": SINCE, "bucket": "1 day", "aggregates": ["count", "max"]}),
]


@dataclass
class Place:
    """A stack, its archive, and an organization with old messages beside another that has some, too."""

    stack: Stack
    servers: list[Server]
    tenant: Tenant
    stranger: Tenant

    def ask(self, query: str, *values: Any) -> Any:
        with self.stack.connect() as db:
            db.execute("SET timezone = 'UTC'")
            return db.execute(query.encode(), values or None).fetchall()

    def value(self, query: str, *values: Any) -> Any:
        return self.ask(query, *values)[0][0]

    def there(self, query: str) -> Any:
        with self.servers[0].connect("archive") as db:
            return db.execute(query.encode()).fetchall()

    def work(self) -> None:
        with self.stack.connect() as db:
            db.execute("CALL archive.work(30, 2)")

    def archive_all(self) -> None:
        def is_done() -> bool:
            self.work()
            return bool(self.value("SELECT NOT EXISTS (SELECT FROM ONLY mqtt.packs) AND NOT EXISTS (SELECT FROM mqtt.unread_runs)"))

        wait_until(is_done, what="all days to be archived")

    def answers(self, one: Tenant) -> list[Any]:
        found = [one.api.ok(rpc, {**body, "organization_id": one.organization_id}, token=one.member) for rpc, body in CALLS]
        columns = "id,topic,payload,received_at"
        return [*found, one.api.rows("mqtt_messages", token=one.member, select=columns, order="received_at,topic", topic="eq.old/d2")]


def copy_there(place: Place, more: dict[str, int], condition: str) -> None:
    """Copies of packs in the archive, as a transaction leaves them that was done there and not here."""
    columns = [row[0] for row in place.there("SELECT attname FROM pg_attribute WHERE attrelid = 'archive.packs'::regclass AND attnum > 0")]
    values = ", ".join(f"p.{name} + {more[name]}" if name in more else f"p.{name}" for name in columns)
    place.there(f"INSERT INTO archive.packs SELECT {values} FROM archive.packs AS p WHERE {condition} RETURNING 1")


def old_tenant(stack: Stack) -> Tenant:
    """An organization with three devices, of which each day has messages."""
    one = make_tenant(stack, Api(stack.api_url))
    with stack.connect() as db:
        db.execute("SET timezone = 'UTC'")
        for number in range(3):
            body = {"integration_id": one.integration_id, "external_id": f"d{number}"}
            one.api.ok("sync_device", body, token=one.admin)
        for days in range(OLDEST, OLDEST - DAYS, -1):
            (day,) = db.execute("SELECT (now() AT TIME ZONE 'UTC')::date - %s", (days,)).fetchone() or (None,)
            db.execute("SELECT mqtt.create_partition('mqtt.history', %s)", (day,))
            values = {"organization": one.organization_id, "integration": one.integration_id, "count": COUNT, "day": day}
            db.execute(FILL, values)
    return one


def roll_up(stack: Stack) -> None:
    """As days are that come of age: whoever rolls up what is in the archive asks for it hour by hour."""
    with stack.connect() as db:

        def is_rolled_up() -> bool:
            return db.execute("SELECT (mqtt.roll_up_readings() ->> 'more')::boolean").fetchone() == (False,)

        wait_until(is_rolled_up, what="all rollups")


def pack_all(stack: Stack, days: int = DAYS) -> None:
    with stack.connect() as db:
        db.execute("UPDATE mqtt.configuration SET completed_days = 90, pack_after = 30")

        def is_done() -> bool:
            db.execute("SELECT mqtt.pack_days(100000)")
            row = db.execute("SELECT count(*) FROM mqtt.packed_days AS d WHERE d.state = 'dropped'").fetchone()
            return row == (days,)

        wait_until(is_done, what="all days to be packed")


def citus(servers: list[Server]) -> None:
    """Make the first the coordinator of the others."""
    for one in servers:
        with one.connect() as db:
            db.execute("CREATE DATABASE archive")
        with one.connect("archive") as db:
            db.execute("CREATE EXTENSION citus")
    with servers[0].connect("archive") as db:
        db.execute("SELECT citus_set_coordinator_host('127.0.0.1', %s)", (servers[0].port,))
        for one in servers[1:]:
            db.execute("SELECT citus_add_node('127.0.0.1', %s)", (one.port,))


@pytest.fixture(scope="module", params=["one server", pytest.param("citus", marks=pytest.mark.skipif(not CITUS, reason=WITHOUT))])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    is_citus = request.param == "citus"
    settings = {"shared_preload_libraries": "citus", "wal_level": "logical", "citus.node_conninfo": "sslmode=prefer"} if is_citus else {}
    with ExitStack() as ending:
        servers = [
            ending.enter_context(server(tmp_path_factory.mktemp("server"), Path(CITUS) if is_citus else PROGRAMS, **settings))
            for _ in range(3 if is_citus else 1)
        ]
        if is_citus:
            citus(servers)
        else:
            with servers[0].connect() as db:
                db.execute("CREATE DATABASE archive")
        stack = start_stack(without=("gateway",))
        ending.callback(stack.down)
        with stack.connect() as db:
            db.execute("UPDATE mqtt.configuration SET completed_days = 90")
        stack.stop("bridge")
        found = Place(stack, servers, old_tenant(stack), old_tenant(stack))
        roll_up(stack)
        pack_all(stack)
        servers[0].psql("archive", ROOT / "packaging/citus/archive.sql", password=PASSWORD, shards=SHARDS)
        values = {"host": "127.0.0.1", "port": servers[0].port, "dbname": "archive", "password": PASSWORD}
        run_psql(stack.database_url, ROOT / "packaging/citus/attach.sql", *(a for n, v in values.items() for a in ("-v", f"{n}={v}")))
        stack.start("bridge")
        yield found


def test_every_answer_is_the_same(place: Place) -> None:
    before = [place.answers(one) for one in (place.tenant, place.stranger)]
    packs = place.value("SELECT count(*) FROM ONLY mqtt.packs")
    assert packs > 0
    assert all(len(answer) > 0 for answer in before[0])
    with place.stack.connect(autocommit=False, application_name="a reader") as reader:
        reader.execute("SELECT count(*) FROM mqtt.packs")
        place.work()
        assert place.value("SELECT state FROM archive.runs") == "copied", "its snapshot there has no copy yet"
        assert [place.answers(one) for one in (place.tenant, place.stranger)] == before
    place.archive_all()
    assert [place.answers(one) for one in (place.tenant, place.stranger)] == before
    assert place.there("SELECT count(*) FROM archive.packs") == [(packs,)]
    page = place.tenant.api.ok("list_messages", {"limit": 1000}, token=place.stranger.member)
    assert {message["organization_id"] for message in page} == {place.stranger.organization_id}


def test_deletion_in_the_archive(place: Place) -> None:
    day = place.value("SELECT (now() AT TIME ZONE 'UTC')::date - %s", OLDEST - 1)
    count = "SELECT count(*), count(DISTINCT id) FROM mqtt.mqtt_messages AS m WHERE m.organization_id = %s"
    organization = place.tenant.organization_id
    assert place.ask(count, organization) == [(DAYS * COUNT, DAYS * COUNT)]
    body = {"integration_id": place.tenant.integration_id, "filter": "old/d1", "since": f"{day}T03:00:00Z", "until": f"{day}T06:00:00Z"}
    deletion = place.tenant.api.ok("delete_messages", body, token=place.tenant.admin)["id"]

    def is_done() -> bool:
        place.ask("SELECT bridge.work_deletions()")
        return bool(place.value("SELECT state FROM mqtt.deletions WHERE id = %s", deletion) == "done")

    wait_until(is_done, what="the deletion")
    assert place.ask(count, organization) == [(DAYS * COUNT - 60, DAYS * COUNT - 60)]
    assert place.value("SELECT count(*) FROM ONLY mqtt.packs") == 0, "what is left of a pack is in the archive again"
    assert place.ask(count, place.stranger.organization_id) == [(DAYS * COUNT, DAYS * COUNT)]


def test_a_copy_that_failed_half_way_and_a_change_meanwhile(place: Place) -> None:
    """The packs come back as those of another installation would, and go again."""
    with place.stack.connect() as db:
        back = db.execute("CREATE TEMPORARY TABLE back AS SELECT * FROM mqtt.packs").rowcount
        db.execute("DELETE FROM archive.packs")
        db.execute("DELETE FROM archive.runs")
        columns = db.execute(
            "SELECT string_agg(a.attname, ', ') FROM pg_attribute AS a"
            " WHERE a.attrelid = 'mqtt.packs'::regclass AND a.attnum > 0 AND a.attname NOT IN ('number', 'run')"
        ).fetchone() or ("",)
        db.execute(f"INSERT INTO mqtt.packs ({columns[0]}, run) SELECT {columns[0]}, 0 FROM back".encode())
    before = [place.answers(one) for one in (place.tenant, place.stranger)]
    for _ in range(2):
        place.ask("SELECT archive.step(30, 2)")
    run = place.value("SELECT run FROM archive.runs")
    copy_there(place, {"number": 1000}, f"p.run = {run}")
    assert [place.answers(one) for one in (place.tenant, place.stranger)] == before
    wait_until(lambda: "copied" in str(place.ask("SELECT archive.step(30, 2)")), what="the copy")
    gone = place.ask(
        "DELETE FROM mqtt.mqtt_messages AS m WHERE m.organization_id = %s AND m.payload = '{\"n\": 30}' RETURNING id",
        place.tenant.organization_id,
    )
    assert len(gone) == DAYS
    assert "copying" in str(place.ask("SELECT archive.step(30, 2)")), "it is copied again"
    place.archive_all()
    seen = place.ask("SELECT count(*), count(DISTINCT (m.organization_id, m.id)) FROM mqtt.mqtt_messages AS m")
    assert seen == [(2 * DAYS * COUNT - 60 - DAYS, 2 * DAYS * COUNT - 60 - DAYS)]
    assert place.there("SELECT count(*) FROM archive.packs") == [(place.value("SELECT count(*) FROM mqtt.packs"),)]
    assert back > 0


def test_after_a_restore(place: Place) -> None:
    """What an earlier backup does not know of is in the archive and here."""
    count = place.value("SELECT count(*) FROM mqtt.packs")
    copy_there(place, {"number": 5000, "run": 77}, "true")
    assert place.value("SELECT archive.forget_unknown()") == count
    assert place.value("SELECT count(*) FROM mqtt.packs") == count


def unless_skipped(done: dict[str, Any]) -> dict[str, Any]:
    return {} if "skipped" in done else done


def found_by_doctor(place: Place, state: str) -> dict[str, str]:
    told = run("doctor", "--json", environment=bridge_environment(place.stack)).stdout
    return {one["check"]: one["words"] for one in json.loads(told) if one["state"] == state}


def test_an_archive_that_is_down(place: Place) -> None:
    """Messages are accepted and stored, and maintenance goes on; what reads packs is answered with 503 until it is there again."""
    sender = place.tenant.device()
    before = place.answers(place.stranger)
    day = place.value("SELECT (now() AT TIME ZONE 'UTC')::date - %s", OLDEST - 1)
    assert "archive" in found_by_doctor(place, "ok")
    changed = (
        "INSERT INTO mqtt.late_readings (organization_id, device_id, hour, first_at, last_at, first_position, positions)"
        " SELECT d.organization_id, d.id, x.hour, x.hour, x.hour, 0, '{}' FROM mqtt.devices AS d"
        " CROSS JOIN LATERAL (SELECT date_trunc('hour', now()) - %s * interval '1 day' AS hour) AS x"
        " WHERE d.organization_id = %s RETURNING 1"
    )

    def is_rolled_up() -> bool:
        place.ask("SELECT mqtt.roll_up_readings()")
        return bool(place.value("SELECT NOT EXISTS (SELECT FROM mqtt.late_readings)"))

    wait_until(is_rolled_up, what="what was deleted before to be out of the rollups")
    place.servers[0].control("stop", "--mode=fast")
    try:
        assert len(place.ask(changed, 1, place.stranger.organization_id)) == 3
        body = {"integration_id": place.tenant.integration_id, "filter": "old/d0", "until": f"{day}T01:00:00Z"}
        deletion = place.tenant.api.ok("delete_messages", body, token=place.tenant.admin)["id"]
        assert sender.send({"n": 1}).status_code == 202
        newest = "SELECT count(*) FROM mqtt.history AS h WHERE h.received_at > now() - interval '1 day'"
        wait_until(lambda: place.value(newest) == 1, what="the message in the history")
        for call in ("apply_retention", "run_periodic_tasks", "pack_days", "roll_up_readings"):
            place.ask(f"SELECT mqtt.{call}()")
        assert len(place.ask(changed, OLDEST, place.stranger.organization_id)) == 3
        done = wait_until(lambda: unless_skipped(place.value("SELECT mqtt.run_maintenance()")), what="the lock of maintenance")
        # The bridge may have tried them first: then they are left out for a while.
        failure = "SELECT string_agg(f.failure, ' ') FROM mqtt.maintenance_failures AS f WHERE f.step = %s"
        for step in ("rollups", "deletions"):
            assert "topicbase_archive" in place.value(failure, step), (step, done)
        shown = place.tenant.api.ok("get_deletion", {"deletion_id": deletion}, token=place.tenant.admin)["failure"]
        assert shown is not None
        assert "topicbase_archive" not in shown, "where it is, is the operators' to know"
        assert done["ledger_differences"] == 0, "the rest is done"
        wait_until(lambda: "deletions_failed" in place.stack.log("bridge"), what="the bridge's maintenance")
        assert "database_lost" not in place.stack.log("bridge"), "it keeps its connection, and goes on"
        assert "503" in found_by_doctor(place, "fault")["archive"]
        answer = place.tenant.api.call("list_messages", {}, token=place.stranger.member)
        assert answer.status_code == 503, answer.text
        assert PASSWORD not in answer.text
    finally:
        place.servers[0].control("start")
    assert place.answers(place.stranger) == before
    wait_until(lambda: place.value("SELECT state = 'done' FROM mqtt.deletions WHERE id = %s", deletion), what="the deletion")
    assert "archive" not in found_by_doctor(place, "fault")


def test_nobody_else_reads_the_archive(place: Place) -> None:
    for role in ("authenticated", "anon", "service_role", "authenticator"):
        with place.stack.connect() as db:
            db.execute(f"SET ROLE {role}".encode())
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                db.execute("SELECT count(*) FROM archive.packs")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                db.execute("SELECT archive.apply_retention()")
            row = db.execute("SELECT count(*) FROM pg_user_mappings AS m WHERE m.umoptions IS NOT NULL").fetchone()
            assert row == (0,), "its password is hidden"


def test_no_row_is_found_by_its_address(place: Place) -> None:
    """Which is another row on each server. The condition is one that cannot be sent."""
    refused = (psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported)
    with place.stack.connect() as db, pytest.raises(refused):
        db.execute("DELETE FROM archive.packs AS p WHERE p.number = 1 AND random() < 2")


def test_retention_in_the_archive(place: Place) -> None:
    place.ask("UPDATE mqtt.organizations SET completed_days = %s WHERE id = %s RETURNING 1", OLDEST - 1, place.tenant.organization_id)
    count = "SELECT count(*) FROM mqtt.packs AS p JOIN mqtt.organizations AS o ON o.number = p.organization WHERE o.id = %s"
    packs, others = (place.value(count, one.organization_id) for one in (place.tenant, place.stranger))
    place.work()
    assert 0 < place.value(count, place.tenant.organization_id) < packs
    assert place.value(count, place.stranger.organization_id) == others


MANY, ROOM = 4, 2000


class Load:
    """Intake and queries, each in a thread, until the end of the block; what each call took, by what went on and what it was."""

    def __init__(self, place: Place) -> None:
        self.took: dict[tuple[str, str], list[float]] = defaultdict(list)
        self.failures: list[BaseException] = []
        self.accepted = 0
        self._meanwhile = ""
        self._place, self._is_over = place, threading.Event()
        self._device = place.tenant.device()
        self._expected = place.answers(place.stranger)
        self._threads = [threading.Thread(target=self._repeat, args=(what,)) for what in (self._send, self._ask)]

    def _repeat(self, what: Callable[[], None]) -> None:
        while not self._is_over.is_set() and not self.failures:
            try:
                what()
            except (AssertionError, requests.RequestException) as error:
                self.failures.append(error)

    def _timed(self, name: str, call: Callable[[], Any]) -> Any:
        began, meanwhile = time.perf_counter(), self._meanwhile
        answer = call()
        self.took[meanwhile, name].append(time.perf_counter() - began)
        return answer

    def _send(self) -> None:
        messages = [{"topic": self._device.topic(), "payload": {"n": n}} for n in range(100)]
        answer = self._timed("100 messages accepted", lambda: self._device.send_batch(messages))
        assert answer.status_code == 202, answer.text
        self.accepted += 100
        self._is_over.wait(0.05)

    def _ask(self) -> None:
        one = self._place.stranger
        for (rpc, body), expected in zip(CALLS[:4], self._expected, strict=False):
            wanted = {**body, "organization_id": one.organization_id}
            found = self._timed(f"{rpc} {json.dumps(body)}", lambda rpc=rpc, wanted=wanted: one.api.ok(rpc, wanted, token=one.member))  # type: ignore[misc]
            assert found == expected, (rpc, body)

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def timed(self, name: str, call: Callable[[], Any]) -> Any:
        """One call, after which nothing has failed beside it."""
        self._meanwhile = name
        answer = self._timed("all of it", call)
        assert not self.failures, self.failures[0]
        return answer


def many_organizations(place: Place) -> int:
    """Another day, of which several organizations have messages; how many."""
    with place.stack.connect() as db:
        db.execute("SET timezone = 'UTC'")
        (day,) = db.execute("SELECT (now() AT TIME ZONE 'UTC')::date - 38").fetchone() or (None,)
        db.execute("SELECT mqtt.create_partition('mqtt.history', %s)", (day,))
        for _ in range(MANY):
            one = make_tenant(place.stack, Api(place.stack.api_url))
            for number in range(3):
                body = {"integration_id": one.integration_id, "external_id": f"d{number}"}
                one.api.ok("sync_device", body, token=one.admin)
            values = {"organization": one.organization_id, "integration": one.integration_id, "count": ROOM, "day": day}
            db.execute(FILL.replace("1 minute", "8 seconds").encode(), values)
    return MANY * ROOM


@pytest.mark.timeout(900)
def test_citus_under_load(place: Place) -> None:
    """Archiving, moving shards and retention while messages come in and are read. Prints what it measured: `bin/test … -- -s`."""
    if len(place.servers) == 1:
        pytest.skip("what is measured needs the cluster; " + WITHOUT)
    place.stack.stop("bridge")
    count = many_organizations(place)
    pack_all(place.stack, DAYS + 1)
    packs = place.value("SELECT count(*) FROM ONLY mqtt.packs")
    worker = place.servers[2].port
    with Load(place) as load:
        load.timed("nothing", lambda: wait_until(lambda: load.accepted > 1000 or load.failures, what="load"))
        load.timed(f"archiving {packs} packs of {count} messages", place.archive_all)
        load.timed("draining a worker", lambda: place.there(f"SELECT citus_drain_node('127.0.0.1', {worker}, 'force_logical')"))
        assert placements(place) == {place.servers[1].port: SHARDS}
        place.there(f"SELECT citus_set_node_property('127.0.0.1', {worker}, 'shouldhaveshards', true)")
        load.timed(
            "rebalancing", lambda: place.there("SELECT rebalance_table_shards('archive.packs', shard_transfer_mode => 'force_logical')")
        )
        assert placements(place) == {place.servers[1].port: SHARDS // 2, worker: SHARDS // 2}
        rows = "UPDATE mqtt.organizations SET completed_days = 37 WHERE id <> ALL (%s::uuid []) RETURNING 1"
        place.ask(rows, [place.tenant.organization_id, place.stranger.organization_id])
        load.timed("retention of those packs", place.work)
    assert not load.failures, load.failures[0]
    assert place.there("SELECT count(*) FROM archive.packs AS p WHERE p.last_received_at >= now() - interval '38.5 days'") == [(0,)]
    (version,) = place.there("SELECT citus_version() || '; ' || version()")[0]
    print(f"\n{version}\naccepted meanwhile: {load.accepted}")
    for (meanwhile, name), took in load.took.items():
        print(f"{meanwhile}: {name}: {len(took)} times, median {statistics.median(took) * 1000:.1f} ms, longest {max(took) * 1000:.1f} ms")
    place.stack.start("bridge")
    stored = "SELECT count(*) FROM mqtt.history AS h WHERE h.received_at > now() - interval '1 day'"
    wait_until(lambda: place.value(stored) >= load.accepted, 4 * PATIENCE, what="every message that was accepted")


def placements(place: Place) -> dict[int, int]:
    return dict(place.there("SELECT s.nodeport, count(*) FROM citus_shards AS s WHERE s.table_name = 'archive.packs'::regclass GROUP BY 1"))


def test_a_member_s_question_goes_to_one_server(place: Place) -> None:
    if len(place.servers) == 1:
        pytest.skip("which server is asked needs the cluster; " + WITHOUT)
    with place.stack.connect(autocommit=False) as db:
        db.execute(
            "SELECT set_config('request.jwt.claims', %s, true), set_config('role', 'authenticated', true)",
            (claims(place.tenant.member_id),),
        )
        plan = db.execute("EXPLAIN (VERBOSE, COSTS OFF) SELECT p.number FROM mqtt.packs AS p WHERE p.topic = 5").fetchall()
    sent = next(line for (line,) in plan if "Remote SQL" in line)
    assert "organization = ANY ($" in sent
    assert "topic = 5" in sent
    numbers = place.ask("SELECT array_agg(o.number) FROM mqtt.organizations AS o WHERE o.id = %s", place.tenant.organization_id)[0][0]
    planned = place.there(
        f"EXPLAIN (COSTS OFF) SELECT number FROM archive.packs WHERE organization = ANY ('{{{numbers[0]}}}'::integer []) AND topic = 5"
    )
    assert any("Task Count: 1" in line for (line,) in planned), planned


def claims(user: str) -> str:
    return json.dumps({"role": "authenticated", "sub": user})
