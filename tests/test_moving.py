"""topicbase move-organization: ten organizations, routed by nginx, change places between two installations, while their devices send."""

import json
import os
import signal
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import requests
from psycopg import sql

from bridge import moving
from tests.bridge.support import publish
from tests.cli.conftest import run
from tests.support.api import Api, Device
from tests.support.ports import Port
from tests.support.stack import ROOT, TEMPLATE, Stack, start_stack
from tests.support.tenant import Tenant, make_tenant
from tests.support.waiting import PATIENCE, wait_until

COUNT = 10
Move = Callable[..., subprocess.CompletedProcess[str]]


@dataclass
class Router:
    url: str
    map: Path
    pid_file: Path

    @property
    def reload(self) -> str:
        return f"kill -HUP {self.pid_file.read_text().strip()}"


@dataclass
class Guest:
    """An organization of the test: where it is, and what its device was answered."""

    tenant: Tenant
    device: Device
    home: Stack
    accepted: list[str] = field(default_factory=list)
    refused: set[int] = field(default_factory=set)

    def send(self, router: Router, number: int) -> bool:
        """One message; not again unless it was refused. Anything but an acceptance and a refusal for the moment is a failure."""
        answer = requests.post(
            f"{router.url}/functions/v1/mqtt-ingest",
            json={"topic": f"{self.device.topic_prefix}/devices/d1/telemetry", "payload": {"n": number}},
            headers={"X-Organization": self.tenant.slug, "X-Client-ID": self.device.client_id},
            auth=(self.device.username, self.device.password),
            timeout=PATIENCE,
        )
        if answer.status_code == 202:
            self.accepted.append(answer.json()["message_id"])
            return True
        assert (answer.status_code, answer.json()["message"]) in ((503, "organization_moving"), (429, "queue_paused")), answer.text
        assert int(answer.headers["Retry-After"]) > 0
        self.refused.add(answer.status_code)
        return False


@pytest.fixture(scope="module")
def installations() -> Iterator[tuple[Stack, Stack]]:
    with ExitStack() as ending:
        stacks = []
        for _ in range(2):
            stacks.append(start_stack(TOPICBASE_TEMPLATE=TEMPLATE))
            ending.callback(stacks[-1].down)
        with stacks[1].connect() as db:
            db.execute("UPDATE mqtt.message_id_key SET key = sha256('another')")
            db.execute("SELECT setval('mqtt.topic_numbers', 5000)")
        yield stacks[0], stacks[1]


@contextmanager
def routing(installations: tuple[Stack, Stack], guests: list[Guest], place: Path) -> Iterator[Router]:
    """nginx, which knows where these are."""
    port = Port()
    (place / "organizations.map").write_text("".join(f"{one.tenant.slug} {urlsplit(one.home.gateway_url).netloc};\n" for one in guests))
    text = (ROOT / "conf/nginx-installations.conf").read_text()
    default = urlsplit(installations[0].gateway_url).netloc
    for name, value in {"DIR": place, "MAP": place / "organizations.map", "PORT": port.number, "DEFAULT": default}.items():
        text = text.replace(f"@{name}@", str(value))
    (place / "nginx.conf").write_text(text)
    with subprocess.Popen(["/usr/sbin/nginx", "-c", str(place / "nginx.conf"), "-p", str(place)]) as process:
        try:
            found = Router(f"http://127.0.0.1:{port.number}", place / "organizations.map", place / "router.pid")
            wait_until(lambda: _answers(found.url), what="the router")
            yield found
        finally:
            process.send_signal(signal.SIGQUIT)


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz", timeout=5).ok
    except requests.RequestException:
        return False


@pytest.fixture
def move(tmp_path: Path, installations: tuple[Stack, Stack]) -> Move:
    """`move(slug, here, there, router)`: the command, as an operator types it."""
    places = [urlsplit(stack.database_url) for stack in installations]
    passwords = tmp_path / "pgpass"
    passwords.write_text("".join(f"{place.hostname}:{place.port}:*:{place.username}:{place.password}\n" for place in places))
    passwords.chmod(0o600)

    def call(slug: str, here: Stack, there: Stack, router: Router, *more: str) -> subprocess.CompletedProcess[str]:
        source, target = urlsplit(here.database_url), urlsplit(there.database_url)
        environment = {
            "PATH": os.environ["PATH"], "PGPASSFILE": str(passwords), "PGHOST": str(source.hostname), "PGPORT": str(source.port),
            "PGUSER": str(source.username), "PGDATABASE": source.path.lstrip("/"),
        }  # fmt: skip
        to = f"host={target.hostname} port={target.port} user={target.username} dbname={target.path.lstrip('/')}"
        route = ("--map", str(router.map), "--address", urlsplit(there.gateway_url).netloc, "--reload", router.reload)
        return run("move-organization", slug, "--to", to, *route, "--json", *more, environment=environment)

    return call


def guest(home: Stack) -> Guest:
    tenant = make_tenant(home, Api(home.api_url))
    return Guest(tenant, tenant.device(), home)


@contextmanager
def devices_that_send(guests: list[Guest], router: Router) -> Iterator[list[Exception]]:
    """Until the end of the block every device sends one message after the other, the next once this one was accepted."""
    ended, failures = threading.Event(), list[Exception]()

    def send(one: Guest) -> None:
        try:
            number = 0
            while not ended.is_set():
                number += one.send(router, number)
                ended.wait(0.3)
        except (AssertionError, requests.RequestException, KeyError, ValueError) as error:
            failures.append(error)

    threads = [threading.Thread(target=send, args=(one,)) for one in guests]
    for thread in threads:
        thread.start()
    try:
        yield failures
    finally:
        ended.set()
        for thread in threads:
            thread.join()
        assert not failures, failures[0]


def rows(stack: Stack, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with stack.connect() as db:
        return db.execute(query, values).fetchall()


@pytest.mark.timeout(900)
def test_ten_organizations_change_places(installations: tuple[Stack, Stack], move: Move, tmp_path: Path) -> None:
    guests = [guest(installations[number % 2]) for number in range(COUNT)]
    moved = []
    with routing(installations, guests, tmp_path) as router, devices_that_send(guests, router) as failures:
        wait_until(lambda: failures or all(len(one.accepted) > 3 for one in guests), what="messages of all")
        for one in guests:
            other = installations[one.home is installations[0]]
            ended = move(one.tenant.slug, one.home, other, router)
            assert ended.returncode == 0, ended.stderr
            moved.append(json.loads(ended.stdout))
            one.home, before = other, len(one.accepted)
            wait_until(lambda one=one, before=before: failures or len(one.accepted) > before + 3, what="messages at the new place")  # type: ignore[misc]
    print("closed for", sorted(result["pause_seconds"] for result in moved), "s")
    for one in guests:
        wait_until(
            lambda one=one: {row[0] for row in _history(one)} >= {uuid.UUID(text) for text in one.accepted},  # type: ignore[misc]
            what="every message that was accepted",
        )
        found = _history(one)
        assert len(found) == len(one.accepted), "none twice"
        assert [row[1] for row in found] == [{"n": number} for number in range(len(found))], "in their order"
        latest = Api(one.home.api_url).rows("devices", token=_admin(one))
        assert [device["last_data"] for device in latest] == [{"n": len(found) - 1}]
    for stack in installations:
        assert rows(stack, "SELECT * FROM api.check_mqtt_ledger()") == []


def _history(one: Guest) -> list[tuple[Any, ...]]:
    query = "SELECT id, payload FROM mqtt.mqtt_messages WHERE organization_id = %s ORDER BY received_at, position"
    return rows(one.home, query, one.tenant.organization_id)


def _admin(one: Guest) -> str:
    return one.home.token("authenticated", one.tenant.admin_id)


def test_all_that_it_has_goes_with_it(installations: tuple[Stack, Stack], move: Move, tmp_path: Path) -> None:
    with routing(installations, [], tmp_path) as router:
        _move_all(*installations, move, router)


def _move_all(here: Stack, there: Stack, move: Move, router: Router) -> None:
    one = guest(here)
    tenant, organization = one.tenant, one.tenant.organization_id
    api, other = Api(here.api_url), Api(there.api_url)
    away = tenant.integration(broker_url="127.0.0.1", port=1)
    message = {"topic": f"{one.device.topic_prefix}/devices/d1/commands", "payload": {"on": True}}
    (receipt,) = publish(tenant, [message], away)
    key = api.ok("create_api_key", {"organization_id": organization, "name": "an app", "scope": "read"}, token=tenant.admin)["key"]
    assert one.send(router, 0)
    wait_until(lambda: _history(one), what="a message of today")
    store_old(one, 3, -1)
    with here.connect() as db:
        # Its retry is due in an hour.
        queued = (
            "INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id) VALUES (now() + interval '1 hour', %s, %s, %s)"
        )
        db.execute(
            queued, (json.dumps({"topic": f"{one.device.topic_prefix}/devices/d1/late", "payload": 1}), organization, tenant.integration_id)
        )
        db.execute("SELECT mqtt.count_accepted(%s, 1)", (organization,))
    waiting = "SELECT id FROM mqtt.mqtt_message_queue WHERE organization_id = %s AND status <> 'completed' ORDER BY id"
    before = rows(here, waiting, organization)
    assert len(before) > 0
    first = _page(api, tenant.admin)

    refused = move(tenant.slug, here, here, router)
    assert (refused.returncode, "already" in refused.stderr) == (1, True)
    with here.connect(autocommit=False, application_name="a report") as open_transaction:
        open_transaction.execute("SELECT 1")
        refused = move(tenant.slug, here, there, router, "--wait", "1")
    assert refused.returncode == 1
    assert "a transaction of a report" in refused.stderr
    wait_until(lambda: one.send(router, 1), what="its being open again, once the router has read its map")
    assert rows(there, "SELECT FROM mqtt.organizations WHERE slug = %s", tenant.slug) == []

    ended = move(tenant.slug, here, there, router)
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    one.home = there
    for table, count in result["rows"].items():
        assert count > 0, table
    assert result["rows"]["mqtt.history"] == 3
    admin = _admin(one)
    assert [row["payload"] for row in _page(other, admin, first["cursor"], size=9)["messages"]] == [{"n": -1}]
    assert rows(there, waiting, organization) == before
    (found,) = other.ok("get_mqtt_publish_receipts", {"receipt_ids": [receipt]}, token=admin)
    assert found["state"] == "queued"
    other.ok("cancel_mqtt_publish", {"receipt_ids": [receipt]}, token=admin)
    (found,) = other.ok("get_mqtt_publish_receipts", {"receipt_ids": [receipt]}, token=admin)
    assert found["state"] == "cancelled"
    assert len(requests.get(f"{there.api_url}/devices", headers={"X-API-Key": key}, timeout=PATIENCE).json()) == 1
    assert one.send(router, 2)
    wait_until(lambda: len(_history(one)) == 4, what="a message at the new place")

    again = move(tenant.slug, here, there, router)
    assert (again.returncode, json.loads(again.stdout)["is_new"]) == (0, False)
    assert api.rows("devices", token=tenant.admin) == []
    assert rows(here, "SELECT FROM pgmq.q_mqtt_outbound WHERE organization_id = %s", organization) == []
    for stack in (here, there):
        assert rows(stack, "SELECT * FROM api.check_mqtt_ledger()") == [], "nothing is missed where it was, either"
    rows(here, "SELECT api.delete_organization(%s)", organization)


def store_old(one: Guest, days: int, number: int, device: str = "d1") -> None:
    """A message of some days ago."""
    rows(
        one.home,
        "INSERT INTO mqtt.mqtt_messages (received_at, position, organization_id, integration_id, direction, topic, payload)"
        " VALUES (date_trunc('day', now(), 'UTC') + make_interval(days => -%s, mins => %s), %s, %s, %s, 'incoming', %s, %s) RETURNING id",
        days, 60 + number, 10 + number, one.tenant.organization_id, one.tenant.integration_id,
        f"{one.device.topic_prefix}/devices/{device}/telemetry", json.dumps({"n": number}),
    )  # fmt: skip


def _page(api: Api, token: str, cursor: str | None = None, size: int = 1) -> dict[str, Any]:
    answer = api.ok("list_messages", {"page_size": size, "cursor": cursor}, token=token)
    return {"messages": answer, "cursor": answer[-1]["cursor"] if answer else None}


# Columns that are given anew.
ANEW = ["number", "organization", "msg_id", "run", "bridge_id", "moving_to", "ingest_pause"]
DEAD = """
INSERT INTO mqtt.mqtt_dead_letters (organization_id, integration_id, id, received_at, direction, attempts, error_message, topic, message)
VALUES (
    %s, %s, gen_random_uuid(), now(), 'incoming', 3, 'once', %s::text, jsonb_build_object('topic', %s::text, 'payload', '{"n": 7}'::jsonb)
) RETURNING id
"""


@contextmanager
def between(here: Stack, there: Stack, slug: str) -> Iterator[moving.Move]:
    """A move whose closed days are copied; the other installation's bridge rests meanwhile, and changes nothing."""
    there.stop("bridge")
    try:
        with here.connect() as source, there.connect() as target:
            found = moving.prepare(source, target, slug)
            assert found is not None
            found.copy_closed_days(lambda _: None)
            yield found
    finally:
        there.start("bridge")


def contents(db: psycopg.Connection[Any], move: moving.Move, number: int) -> dict[str, list[str]]:
    """All that it has, table by table, without what is given anew."""
    found = {}
    for table, columns in sorted(move.tables.items()):
        key = next(name for name in ("organization_id", "organization", "id") if name in columns)
        anew = [*ANEW, *(["topic"] if columns.get("topic") == "integer" else []), *(["message_id"] if table in moving.QUEUES else [])]
        query = sql.SQL("SELECT (to_jsonb(t) - %s::text [])::text FROM {} AS t WHERE t.{} = %s ORDER BY 1").format(
            sql.Identifier(*table.split(".")), sql.Identifier(key)
        )
        value = number if key == "organization" else move.organization_id
        found[table] = [row[0] for row in db.execute(query, (anew, value))]
    return found


def rule(one: Guest, metrics: dict[str, str], rule_id: str | None = None) -> str:
    """Have a rule find these metrics, and apply it to what is stored; its id."""
    body = {"topic": f"{one.device.topic_prefix}/devices/d1/+", "device": "d1", "metrics": metrics, "rule_id": rule_id}
    integration = {"integration_id": one.tenant.integration_id}
    made = one.tenant.api.ok("upsert_payload_rule", {**integration, **body}, token=one.tenant.admin)
    assert one.tenant.api.ok("reapply_payload_rules", {**integration, "since": None}, token=one.tenant.admin)["readings"] == 2
    return str(made["id"])


def test_what_changes_while_closed_days_are_copied(installations: tuple[Stack, Stack]) -> None:
    here, there = installations
    one = guest(here)
    tenant, organization = one.tenant, one.tenant.organization_id
    rows(here, "UPDATE mqtt.organizations SET completed_days = 60 WHERE id = %s RETURNING id", organization)
    for days, number, device in ((40, 1, "d2"), (3, 2, "d1"), (3, 3, "d1"), (2, 4, "d2"), (2, 5, "d2")):
        store_old(one, days, number, device)
    rule_id = rule(one, {"before": "$.n"})
    (receipt,) = publish(
        tenant, [{"topic": f"{one.device.topic_prefix}/a", "payload": 1}], tenant.integration(broker_url="127.0.0.1", port=1)
    )
    topic = f"{one.device.topic_prefix}/devices/d3/telemetry"
    dead = str(rows(here, DEAD, organization, tenant.integration_id, topic, topic)[0][0])
    with between(here, there, tenant.slug) as move:
        # As many readings, and as many messages, as before.
        rule(one, {"after": "$.n"}, rule_id)
        day = rows(here, "SELECT date_trunc('day', now(), 'UTC') - interval '2 d'")[0][0].isoformat()
        selection = {"integration_id": tenant.integration_id, "filter": f"{one.device.topic_prefix}/devices/d2/+", "since": day}
        deletion = tenant.api.ok("delete_messages", selection, token=tenant.admin)["id"]
        wait_until(
            lambda: rows(here, "SELECT state FROM mqtt.deletions WHERE id = %s", deletion) == [("done",)], what="the deletion to be done"
        )
        store_old(one, 2, 6, "d2")
        store_old(one, 2, 7, "d2")
        # Of those that are there, nobody keeps the oldest day for so long.
        rows(there, "SELECT mqtt.apply_retention()")
        credential = tenant.api.rows("mqtt_credentials", token=tenant.admin)[0]["id"]
        tenant.api.ok("rotate_mqtt_credentials", {"credential_id": credential}, token=tenant.admin)
        tenant.api.ok("sync_device", {"integration_id": tenant.integration_id, "external_id": "d1", "name": "new"}, token=tenant.admin)
        tenant.api.ok("replay_mqtt_dead_letters", {"organization_id": organization, "ids": [dead]}, token=tenant.admin)
        tenant.api.ok("cancel_mqtt_publish", {"receipt_ids": [receipt]}, token=tenant.admin)
        rows(here, "SELECT mqtt.run_maintenance()")
        move.close("there")
        move.wait_until_still(PATIENCE)
        with here.connect() as db:
            db.execute("SELECT pg_advisory_lock(mqtt.maintenance_lock(), 0)")
            before = contents(db, move, move.number)
            move.hand_over()
        assert contents(move.target, move, move.new_number) == before
    one.home = there
    assert [row[1]["n"] for row in _history(one)] == [1, 2, 3, 6, 7, 7]
    readings = "SELECT r.payload FROM mqtt.reading_rows AS r WHERE r.organization = %s ORDER BY r.received_at, r.position"
    assert [row[0] for row in rows(there, readings, move.new_number)] == [{"after": 2}, {"after": 3}]
    rows(here, "SELECT api.delete_organization(%s)", organization)


def test_what_is_refused_while_closed_days_are_copied(installations: tuple[Stack, Stack]) -> None:
    here, there = installations
    one = guest(here)
    store_old(one, 3, 1)
    with between(here, there, one.tenant.slug) as move:
        for stack in installations:
            rows(stack, "UPDATE mqtt.configuration SET pack_after = 300 RETURNING 1")
            with pytest.raises(moving.MoveError, match="packs its history"):
                move.hand_over()
            rows(stack, "UPDATE mqtt.configuration SET pack_after = NULL RETURNING 1")
        rows(here, "SELECT api.delete_organization(%s)", one.tenant.organization_id)
        wait_until(
            lambda: rows(here, "SELECT FROM mqtt.organizations WHERE id = %s", one.tenant.organization_id) == [],
            what="the organization to go",
        )
        with pytest.raises(moving.MoveError, match="deleted meanwhile"):
            move.hand_over()
        move.clean_up()
        assert not any(contents(move.target, move, move.new_number).values())
