"""Guessing: what an attacker without a credential learns, and what they can spoil."""

import base64
import json
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import requests

from tests.api.support import Queue, accepted, refused
from tests.support.api import Api, Device
from tests.support.stack import Stack
from tests.support.tenant import Tenant


def guess(api: Api, username: str, password: str, client_id: str = "c") -> requests.Response:
    headers = {"X-Username": username, "X-Password": password, "X-Client-ID": client_id}
    return api.call("mqtt_ingest", {"topic": "x", "payload": 1}, headers=headers)


@pytest.fixture
def unthrottled(db: psycopg.Connection[tuple[Any, ...]]) -> Iterator[None]:
    db.execute("UPDATE mqtt.configuration SET max_wrong_passwords = 1000000")
    yield
    db.execute("UPDATE mqtt.configuration SET max_wrong_passwords = DEFAULT")


def wrong_ones(home: Tenant, db: psycopg.Connection[tuple[Any, ...]]) -> dict[str, Callable[[], requests.Response]]:
    good, expired, revoked, silent = home.device(), home.device(), home.device(), home.device(can_publish=False)
    db.execute("UPDATE mqtt.mqtt_credentials SET expires_at = now() - interval '1 minute' WHERE username = %s", (expired.username,))
    db.execute("UPDATE mqtt.mqtt_credentials SET revoked_at = now() WHERE username = %s", (revoked.username,))
    api = home.api

    def as_device(device: Device, **changes: str) -> Callable[[], requests.Response]:
        login = {"username": device.username, "password": device.password, "client_id": device.client_id, **changes}
        return lambda: guess(api, **login)

    return {
        "unknown": lambda: guess(api, f"t{uuid.uuid4().hex}", "x" * 32),
        "wrong password": as_device(good, password="x" * 32),
        "wrong client id": as_device(good, client_id="other"),
        "expired": as_device(expired),
        "revoked": as_device(revoked),
        "wrong password of one that may not publish": as_device(silent, password="x" * 32),
        "password of another": as_device(good, password=silent.password),
    }


def test_one_answer_for_every_wrong_login(home: Tenant, db: psycopg.Connection[tuple[Any, ...]], unthrottled: None) -> None:
    answers = {name: call() for name, call in wrong_ones(home, db).items()}
    for response in answers.values():
        refused(response, 401, "invalid_credentials")
    assert len({response.text for response in answers.values()}) == 1
    hidden = {"Date", "Server"}
    assert len({frozenset((k, v) for k, v in r.headers.items() if k not in hidden) for r in answers.values()}) == 1


def test_an_unknown_username_takes_the_work_of_a_wrong_password(db: psycopg.Connection[tuple[Any, ...]]) -> None:
    """One statement for both, in which a stand-in salt is hashed where no credential is found; measured times would prove nothing here."""
    rows = db.execute(
        "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE oid IN"
        " ('mqtt.request_session()'::regprocedure, 'mqtt.password_matches(mqtt.mqtt_credentials, text)'::regprocedure,"
        " 'mqtt.broker_login()'::regprocedure)"
    ).fetchall()
    assert len(rows) == 3
    for (source,) in rows:
        assert re.search(r"sha256\(\s*\(*coalesce\([^,]*(secret|key)_salt, '\\x0{32}'", source, re.IGNORECASE), source
    assert "LEFT JOIN mqtt.mqtt_credentials" in str(rows)


def test_an_unknown_broker_takes_the_work_of_a_wrong_key(db: psycopg.Connection[tuple[Any, ...]], stack: Stack) -> None:
    """The hash is computed above an outer join, which the planner would turn into an inner one if it stood in WHERE."""
    row = db.execute("SELECT prosrc FROM pg_proc WHERE oid = 'mqtt.broker_login()'::regprocedure").fetchone()
    assert row is not None
    login = base64.b64encode(b"broker_nobody:wrong").decode()
    with stack.connect(autocommit=False) as asking:
        asking.execute("SELECT set_config('request.headers', %s, true)", (json.dumps({"authorization": f"Basic {login}"}),))
        plan = [line for (line,) in asking.execute(f"EXPLAIN (ANALYZE, VERBOSE, COSTS OFF, TIMING OFF, SUMMARY OFF) {row[0]}")]
    assert "Left Join" in plan[0], plan
    assert "rows=1" in plan[0], plan
    assert "sha256" in plan[1], plan
    assert "sha256" not in "".join(plan[2:]), plan


def test_a_storm_is_held_back_and_locks_nobody_out(home: Tenant, queue: Queue) -> None:
    device, other = home.device(), home.device()
    api = home.api
    unknown = f"t{uuid.uuid4().hex}"
    for username in (device.username, unknown):  # a stranger learns nothing from being held back either
        for _ in range(10):
            refused(guess(api, username, "wrong"), 401, "invalid_credentials")
        for _ in range(3):
            response = guess(api, username, "wrong")
            refused(response, 429, "too_many_wrong_passwords")
            assert 0 < int(response.headers["Retry-After"]) <= 60
    accepted(device.send(1))
    accepted(other.send(1))
    refused(guess(api, other.username, "wrong"), 401, "invalid_credentials")
    refused(guess(api, f"t{uuid.uuid4().hex}", "wrong"), 401, "invalid_credentials")
    (row,) = api.rows("integration_activity_log", token=home.admin, activity_type="eq.wrong_passwords")
    assert row["details"]["username"] == device.username
    assert device.password not in str(row)
    assert "wrong" not in str({key: value for key, value in row.items() if key != "activity_type"}).replace("wrong_passwords", "")
    assert queue.work()["processed"] == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Basic"},
        {"Authorization": "Basic "},
        {"Authorization": "Basic !!!!"},
        {"Authorization": "Basic YQ"},
        {"Authorization": "Basic YTpi="},
        {"Authorization": "Basic " + "A" * 20_000},
        {"Authorization": "Basic /////w=="},
        {"Authorization": "Basic AAA6AAA="},
        {"Authorization": "Basic Og=="},
        {"Authorization": "Digest username=x"},
        {"X-Username": "x" * 9_000, "X-Password": "x" * 9_000, "X-Client-ID": "x" * 9_000},
        {"X-Username": "", "X-Password": "", "X-Client-ID": ""},
        {"X-Username": "é", "X-Password": "é", "X-Client-ID": "é"},
        {"X-Username": "%s'\"\\;--", "X-Password": "$1", "X-Client-ID": "{}"},
    ],
)
def test_logins_that_are_malformed(api: Api, headers: dict[str, str]) -> None:
    sent = {name: value.encode().decode("latin-1") for name, value in headers.items()}
    refused(api.call("mqtt_ingest", {"topic": "x", "payload": 1}, headers=sent), 401, "invalid_credentials")
    refused(api.call("mqtt_ingest_batch", {"messages": [{"topic": "x", "payload": 1}]}, headers=sent), 401, "invalid_credentials")


def test_a_read_only_request_tells_no_password(api: Api, home: Tenant) -> None:
    """PostgREST runs GET in a transaction in which no wrong password can be counted: one could be guessed for ever."""
    device, other = home.device(), home.device(can_publish=False)
    refused(guess(api, device.username, "wrong"), 401, "invalid_credentials")  # there is a count
    answers = [
        api.session.get(
            f"{api.url}/rpc/mqtt_ingest",
            params={"topic": device.topic(), "payload": "1", **more},
            headers={**sender.headers, "X-Password": password},
        )
        for more in ({}, {"content_type": "text/plain"}, {"payload_encoding": "x"})
        for sender in (device, other)
        for password in (sender.password, "wrong")
    ]
    assert {answer.status_code for answer in answers} == {405}
    assert len({answer.text for answer in answers}) == 1


def test_a_rotated_password_works_through_its_grace_and_not_beyond(
    home: Tenant, queue: Queue, db: psycopg.Connection[tuple[Any, ...]]
) -> None:
    device = home.device()
    (row,) = home.api.rows("mqtt_credentials", token=home.admin, username=f"eq.{device.username}")
    new = home.api.ok("rotate_mqtt_credentials", {"credential_id": row["id"], "grace": "1 hour"}, token=home.admin)
    renewed = Device(home.api, device.username, new["password"], device.client_id, device.topic_prefix)
    accepted(device.send(1))
    accepted(renewed.send(1))
    db.execute("UPDATE mqtt.mqtt_credentials SET previous_until = now() - interval '1 second' WHERE id = %s", (row["id"],))
    refused(device.send(1), 401, "invalid_credentials")
    accepted(renewed.send(1))
    assert queue.work()["processed"] == 3


def test_what_was_generated_is_what_every_broker_takes(home: Tenant) -> None:
    devices = [home.device() for _ in range(20)]
    letters = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
    for device in devices:
        assert len(device.password) == 32
        assert set(device.password) <= letters
        for name in (device.username, device.client_id):
            assert 1 <= len(name) <= 64
            assert set(name) <= letters | {"."}
    assert len({device.password for device in devices}) == len({device.username for device in devices}) == 20
