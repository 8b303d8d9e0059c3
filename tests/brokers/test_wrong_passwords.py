"""Fault 50: guessing passwords, guessing usernames, and locking others out."""

import statistics
import threading
import time
from collections import Counter

import requests

from tests.support.api import Api, Device
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE

MOST = 10  # configuration.max_wrong_passwords


def send(device: Device, session: requests.Session, **headers: str) -> requests.Response:
    body = {"topic": device.topic("d"), "payload": 1}
    return session.post(f"{device.api.url}/rpc/mqtt_ingest", json=body, headers={**device.headers, **headers}, timeout=PATIENCE)


def test_a_storm_of_wrong_passwords_is_slowed_down_and_locks_nobody_out(home: Tenant, stack: Stack) -> None:
    device = home.device()
    answers: Counter[tuple[int, str]] = Counter()
    lock = threading.Lock()

    def storm(number: int) -> None:
        with requests.Session() as session:
            for _ in range(100):
                response = send(device, session, **{"X-Password": f"guess {number}"})
                with lock:
                    answers[response.status_code, response.json()["message"]] += 1
                if response.status_code == 429:
                    assert 1 <= int(response.headers["Retry-After"]) <= 60

    threads = [threading.Thread(target=storm, args=(number,)) for number in range(4)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    with requests.Session() as session:
        while any(thread.is_alive() for thread in threads):
            assert send(device, session).status_code == 202
    minutes = 1 + int(time.monotonic() - began) // 60  # each of which allows for as many again
    assert answers.keys() == {(401, "invalid_credentials"), (429, "too_many_wrong_passwords")}
    assert 1 <= answers[401, "invalid_credentials"] <= MOST * minutes
    with stack.connect() as db:
        logged = db.execute(
            "SELECT count(*) FROM mqtt.integration_activity_log WHERE activity_type = 'wrong_passwords' AND details ->> 'username' = %s",
            (device.username,),
        ).fetchone()
        assert logged is not None
        assert 1 <= logged[0] <= minutes


def test_counts_survive_the_refusal_and_are_kept_for_a_minute(home: Tenant, stack: Stack) -> None:
    device = home.device()
    with requests.Session() as session, stack.connect() as db:
        for _ in range(MOST):
            assert send(device, session, **{"X-Password": "x"}).status_code == 401
        assert send(device, session, **{"X-Password": "x"}).status_code == 429
        assert send(home.device(), session, **{"X-Password": "x"}).status_code == 401
        db.execute("UPDATE mqtt.wrong_passwords SET since = since - interval '1 minute'")
        assert send(device, session, **{"X-Password": "x"}).status_code == 401


def test_unknown_usernames_are_answered_like_wrong_passwords(home: Tenant, api: Api, stack: Stack) -> None:
    """Body, headers and time."""
    device = home.device()
    unknown = Device(api, f"{home.slug}_0123456789abcdef", device.password, device.client_id, device.topic_prefix)
    answers = {}

    def medians(session: requests.Session) -> tuple[float, float]:
        times: dict[str, list[float]] = {"wrong": [], "unknown": []}
        for _ in range(150):
            for name, who in (("wrong", device), ("unknown", unknown)):
                began = time.perf_counter()
                response = send(who, session, **{"X-Password": "x"})
                times[name].append(time.perf_counter() - began)
                answers[name] = (response.status_code, response.text, set(response.headers))
        return statistics.median(times["wrong"]), statistics.median(times["unknown"])

    with requests.Session() as session, stack.connect() as db:
        db.execute("UPDATE mqtt.configuration SET max_wrong_passwords = 1000000")
        # Another program may delay those of one kind; a difference that is the answers' own is there each time.
        for _ in range(5):
            wrong, strange = medians(session)
            if is_alike := abs(wrong - strange) < max(0.5 * min(wrong, strange), 0.002):
                break
        db.execute("UPDATE mqtt.configuration SET max_wrong_passwords = DEFAULT")
    assert answers["wrong"] == answers["unknown"]
    assert is_alike, (wrong, strange)


def test_a_flood_of_usernames_does_not_fill_the_table(stack: Stack) -> None:
    with stack.connect() as db:
        db.execute("SELECT count(mqtt.count_wrong_password('u' || n)) FROM generate_series(1, 40000) AS n")
        rows = db.execute("SELECT count(*) FROM mqtt.wrong_passwords").fetchone()
        assert rows is not None
        assert rows[0] <= 16384
        db.execute("TRUNCATE mqtt.wrong_passwords")
