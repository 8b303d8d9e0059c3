"""What the bridge, its broker and its database do to each other when one of them ends, stops or comes back."""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from tests.bridge.support import Peer, publish, receipts, status, stored
from tests.bridge.test_inbound import history, subscribed, subscription
from tests.bridge.test_outbound import foreign, prefix
from tests.support.broker import Broker
from tests.support.ports import Port
from tests.support.stack import ROOT, Stack
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE, PROGRAM_PATIENCE, wait_until

Connection = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def owner(own: Stack, owner: Tenant) -> Tenant:
    """Its hosted integration listens."""
    with own.connect() as db:
        wait_until(lambda: (subscription(db, owner.integration_id, f"{prefix(owner)}/#") or ("",))[0] == "active")
    return owner


@pytest.fixture
def device(own: Stack, owner: Tenant) -> Iterator[Peer]:
    """A subscriber with a session of its own, so that it misses nothing while the broker restarts in good order."""
    peer = Peer(
        own.mqtt_host, own.mqtt_port, "topicbase_bridge", own.broker_password, client_id=f"peer{uuid.uuid4().hex[:10]}", session_expiry=300
    )
    peer.subscribe(f"{prefix(owner)}/devices/#", 2)
    yield peer
    peer.close()


@pytest.fixture
def second_bridge(own: Stack, port: Port) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Start one more bridge beside the stack's, with its settings."""
    started: list[subprocess.Popen[bytes]] = []
    pairs = Path(f"/proc/{own.pid('bridge')}/environ").read_text(encoding="utf-8").split("\0")
    environment = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    for name in [name for name in environment if name.startswith("TOPICBASE_MOSQUITTO_")]:
        del environment[name]

    def start() -> subprocess.Popen[bytes]:
        environment["TOPICBASE_METRICS_ADDRESS"] = f"127.0.0.1:{port.number}"
        process = subprocess.Popen(
            [sys.executable, "-m", "bridge", "run"], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        started.append(process)
        ready = f"http://{environment['TOPICBASE_METRICS_ADDRESS']}/readyz"

        def is_ready() -> bool:
            try:
                return requests.get(ready, timeout=PATIENCE).ok
            except requests.ConnectionError:
                return False

        wait_until(is_ready, what="the second bridge")
        return process

    yield start
    for process in started:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(PATIENCE)


def commands(owner: Tenant, start: int, count: int, qos: int = 1) -> list[dict[str, Any]]:
    return [{"topic": f"{prefix(owner)}/devices/d/command", "payload": number, "qos": qos} for number in range(start, start + count)]


def numbers(device: Peer, until: int, *, topic: str = "") -> list[int]:
    """What has arrived on topics that end so, once all numbers below `until` have."""
    seen: list[int] = []
    while len(set(seen)) < until:
        message = device.next()
        if message.topic.endswith(topic):
            seen.append(int(message.payload))
    return seen


def in_first_order(seen: list[int]) -> list[int]:
    return list(dict.fromkeys(seen))


def test_sigterm_finishes_what_is_under_way(own: Stack, owner: Tenant, device: Peer) -> None:
    ids = publish(owner, commands(owner, 0, 500))
    stops = own.log("bridge").count("bridge_stopped")
    own.stop("bridge")  # which kills it after 15 s
    assert own.log("bridge").count("bridge_stopped") == stops + 1
    with own.connect() as db:
        left = db.execute("SELECT count(*), coalesce(max(attempts), 0) FROM pgmq.q_mqtt_outbound").fetchone()
        journal = db.execute("SELECT count(*) FROM mqtt.outbound_batches").fetchone()
        leases = db.execute("SELECT count(*) FROM mqtt.bridge_leases").fetchone()
    assert left is not None
    assert left[1] == 0
    assert (journal, leases) == ((0,), (0,))
    own.start("bridge")
    assert {(row["state"], row["attempts"]) for row in receipts(owner, ids)} == {("acknowledged", 1)}
    assert numbers(device, 500) == list(range(500))


def test_messages_wait_at_the_broker_while_the_bridge_is_away(own: Stack, owner: Tenant, device: Peer) -> None:
    own.stop("bridge")
    for number in range(50):
        device.publish(f"{prefix(owner)}/devices/d/telemetry", str(number))
    assert stored(own, owner.organization_id) == []
    own.start("bridge")
    assert [row["payload"] for row in history(own, owner, 50)] == list(range(50))


def test_a_killed_bridge_loses_nothing(own: Stack, owner: Tenant, device: Peer) -> None:
    ids: list[str] = []
    for number in range(4):
        ids += publish(owner, commands(owner, number * 300, 300))
        own.kill("bridge")
        own.start("bridge")
    found = receipts(owner, ids)
    assert Counter(row["state"] for row in found) == {"acknowledged": 1200}
    assert in_first_order(numbers(device, 1200)) == list(range(1200))


def test_a_restarted_broker_gets_all(own: Stack, owner: Tenant, device: Peer) -> None:
    ids = publish(owner, commands(owner, 0, 200))
    own.restart("mosquitto")
    ids += publish(owner, commands(owner, 200, 200))
    assert Counter(row["state"] for row in receipts(owner, ids)) == {"acknowledged": 400}
    assert in_first_order(numbers(device, 400)) == list(range(400))
    wait_until(lambda: status(own, owner.integration_id)[0] == "active")
    assert device.publish(f"{prefix(owner)}/devices/d/telemetry", "1") == 0
    assert len(history(own, owner, 1)) == 1


def repeats(own: Stack) -> int:
    """How many messages the bridge has recognized since it started."""
    name = 'topicbase_received_messages_total{result="repeated"} '
    (line,) = [line for line in requests.get(own.metrics_url, timeout=PATIENCE).text.splitlines() if line.startswith(name)]
    return int(float(line.removeprefix(name)))


def test_what_a_broker_retains_is_stored_once(own: Stack, owner: Tenant, device: Peer) -> None:
    """However often the bridge comes back: with a session that the broker keeps, with one of MQTT 3.1.1, and with none."""
    topics = [f"{prefix(owner)}/devices/d{number}/telemetry" for number in range(100)]
    for number, topic in enumerate(topics):
        device.publish(topic, str(number), retain=True)
    login = {"username": "topicbase_bridge", "password": own.broker_password}
    others = [foreign(owner, own.mqtt_port, **login, **settings) for settings in ({"clean_start": True}, {"mqtt_version": "3.1.1"})]
    with own.connect() as db:
        for integration_id in others:
            subscribed(db, owner, integration_id, f"{prefix(owner)}/devices/#")
        assert len(history(own, owner, 300)) == 300
        device.publish(topics[0], "changed", retain=True)
        assert len(history(own, owner, 303)) == 303, "of each integration one"
        for _ in range(5):
            own.restart("bridge")
            # The hosted integration's session is there: its broker is not asked for what it retains.
            wait_until(lambda: repeats(own) >= 200, what="all that is retained, again")
            assert repeats(own) == 200
        assert len(stored(own, owner.organization_id)) == 303
        own.stop("bridge")
        device.publish(topics[1], "meanwhile", retain=True)
        own.start("bridge")
        history(own, owner, 306)
        # Without a session it is found retained; where it was queued at the broker as well, it may come twice.
        query = "SELECT count(*) FROM mqtt.mqtt_messages WHERE integration_id = %s AND topic = %s AND payload = '\"meanwhile\"'"
        assert db.execute(query, (others[0], topics[1])).fetchone() == (1,)
        assert db.execute("SELECT * FROM mqtt.check_ledger()").fetchall() == []
    for topic in topics:
        device.publish(topic, "", retain=True)


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_a_restarted_database(own: Stack, owner: Tenant, device: Peer, how: str) -> None:
    """Messages keep coming from the broker, and are stored when the database is there again."""
    for number in range(100):
        device.client.publish(f"{prefix(owner)}/devices/d/telemetry", str(number), 1)
        if number == 50:
            if how == "kill":
                own.kill("postgres")
            else:
                own.stop("postgres")
    # A killed server's process may be there for a moment yet, and its lock file with it.
    wait_until(lambda: own.run("start", "postgres", check=False).returncode == 0, what="PostgreSQL")
    rows = history(own, owner, 100)
    assert {row["payload"] for row in rows} == set(range(100))
    wait_until(lambda: requests.get(own.metrics_url.replace("/metrics", "/readyz"), timeout=PATIENCE).ok, what="the bridge is ready")
    # PostgREST tries again after 1, 2, 4 … 32 s.
    wait_until(lambda: requests.get(own.api_url, timeout=PATIENCE).status_code != 503, what="the API")
    ids = publish(owner, commands(owner, 0, 3))
    assert {row["state"] for row in receipts(owner, ids)} == {"acknowledged"}


def test_sessions_of_the_bridge_that_are_ended_come_back(own: Stack, owner: Tenant, device: Peer) -> None:
    with own.connect() as db:
        before = own.pid("bridge")
        sessions = "SELECT pid FROM pg_stat_activity WHERE usename = 'mqtt_bridge'"
        for _ in range(3):
            ended = {pid for pid, _ in db.execute(f"SELECT pid, pg_terminate_backend(pid) FROM ({sessions}) AS s".encode()).fetchall()}
            wait_until(lambda ended=ended: {pid for (pid,) in db.execute(sessions).fetchall()} - ended, what="the next session")  # type: ignore[misc]
    ids = publish(owner, commands(owner, 0, 50))
    assert {row["state"] for row in receipts(owner, ids)} == {"acknowledged"}
    assert in_first_order(numbers(device, 50)) == list(range(50))
    device.publish(f"{prefix(owner)}/devices/d/telemetry", "1")
    assert len(history(own, owner, 1)) == 1
    assert own.pid("bridge") == before


def test_a_frozen_server_process_does_not_stop_the_rest(own: Stack, owner: Tenant) -> None:
    """The main session's, which hears the notices: publishing goes on without it, and it is replaced when it answers again."""
    with own.connect() as db:
        # The one before may just have ended.
        query = "SELECT b.main_pid FROM mqtt.bridges AS b JOIN pg_stat_activity AS a ON a.pid = b.main_pid"
        [(pid,)] = wait_until(lambda: db.execute(query).fetchall(), what="the bridge's main session")
    os.kill(pid, signal.SIGSTOP)
    try:
        ids = publish(owner, commands(owner, 0, 20))
        assert {row["state"] for row in receipts(owner, ids)} == {"acknowledged"}
        wait_until(lambda: "database_silent" in own.log("bridge"), what="the silence is noticed")
        ids = publish(owner, commands(owner, 0, 20))
        assert {row["state"] for row in receipts(owner, ids)} == {"acknowledged"}
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: requests.get(own.metrics_url.replace("/metrics", "/readyz"), timeout=PATIENCE).ok, what="the bridge is ready")
    ids = publish(owner, commands(owner, 0, 20))
    assert {row["state"] for row in receipts(owner, ids)} == {"acknowledged"}


def leases(own: Stack) -> dict[str, int]:
    with own.connect() as db:
        return dict(db.execute("SELECT bridge_id::text, count(*) FROM mqtt.bridge_leases GROUP BY 1").fetchall())


def heartbeats(own: Stack) -> int:
    """Of all bridges; a bridge has one every two seconds."""
    with own.connect() as db:
        db.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        row = db.execute("SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE query LIKE 'SELECT%bridge.heartbeat(%'").fetchone()
    assert row is not None
    return int(row[0])


def test_two_bridges_share_and_take_over(own: Stack, owner: Tenant, second_bridge: Callable[[], subprocess.Popen[bytes]]) -> None:
    for _ in range(5):
        owner.integration("mqtt_hosted")
    wait_until(lambda: len(leases(own)) == 1)
    other = second_bridge()
    wait_until(lambda: len(held := leases(own)) == 2 and min(held.values()) >= 2, what="both hold some")
    with own.connect() as db:
        wanted = db.execute("SELECT count(*) FROM mqtt.device_integrations WHERE status <> 'inactive'").fetchone()
    assert wanted is not None
    wait_until(lambda: sum(leases(own).values()) == wanted[0])
    ids = publish(owner, commands(owner, 0, 50))
    assert {row["state"] for row in receipts(owner, ids)} == {"acknowledged"}
    beats = heartbeats(own)
    other.kill()
    wait_until(lambda: len(held := leases(own)) == 1 and sum(held.values()) == wanted[0], what="the survivor holds all")
    assert heartbeats(own) - beats <= 5
    ids = publish(owner, commands(owner, 0, 50))
    assert {row["state"] for row in receipts(owner, ids)} == {"acknowledged"}


def test_a_stopped_bridge_is_replaced_and_stays_out(
    own: Stack, owner: Tenant, device: Peer, second_bridge: Callable[[], subprocess.Popen[bytes]]
) -> None:
    """Neither receipts nor order suffer, and what arrives is stored once, though both hold a connection of the same name."""
    second_bridge()
    holder = "SELECT split_part(b.name, ':', 2)::integer FROM mqtt.bridges AS b JOIN mqtt.bridge_leases AS l ON l.bridge_id = b.id"
    with own.connect() as db:
        [(pid,)] = wait_until(lambda: db.execute(f"{holder} WHERE l.integration_id = %s".encode(), (owner.integration_id,)).fetchall())
    os.kill(pid, signal.SIGSTOP)
    try:
        for number in range(100):
            assert device.publish(f"{prefix(owner)}/devices/d/telemetry", str(number)) == 0
        ids = publish(owner, commands(owner, 0, 100))
        assert {row["state"] for row in receipts(owner, ids)} == {"acknowledged"}
    finally:
        os.kill(pid, signal.SIGCONT)
    ids = publish(owner, commands(owner, 100, 100))
    assert {row["state"] for row in receipts(owner, ids)} == {"acknowledged"}
    for number in range(100, 150):
        assert device.publish(f"{prefix(owner)}/devices/d/telemetry", str(number)) == 0
    assert in_first_order(numbers(device, 200, topic="command")) == list(range(200))
    history(own, owner, 150)
    with own.connect() as db:
        now = db.execute("SELECT clock_timestamp()").fetchone()
        assert now is not None
        is_back = "SELECT FROM mqtt.bridges WHERE split_part(name, ':', 2)::integer = %s AND seen_at > %s"
        wait_until(lambda: db.execute(is_back, (pid, *now)).fetchall(), what="the bridge that was stopped being back")
    publish(owner, commands(owner, 200, 1))
    numbers(device, 1, topic="command")
    rows = [row["payload"] for row in stored(own, owner.organization_id)]
    assert rows == list(range(150))


def test_a_silent_broker_does_not_hold_up_others(own: Stack, owner: Tenant) -> None:
    with Broker() as silent:
        silent.answer_connect = False
        foreign(owner, silent.port)
        wait_until(lambda: silent.connects)
        ids = publish(owner, commands(owner, 0, 1))
        assert [row["state"] for row in receipts(owner, ids)] == ["acknowledged"]
        assert len(silent.connects) == 1, "while it is still waited for"


def test_a_burst_while_the_database_is_away_does_not_grow_memory(own: Stack, owner: Tenant, device: Peer) -> None:
    def resident() -> int:
        pages = Path(f"/proc/{own.pid('bridge')}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") >> 20

    own.stop("postgres")
    try:
        for number in range(30000):
            device.client.publish(f"{prefix(owner)}/flood", json.dumps({"number": number, "fill": "x" * 1000}), 0)
        wait_until(lambda: "reading_paused" in own.log("bridge"), what="the sockets are left unread")
        assert resident() < 150
    finally:
        own.start("postgres")
    assert device.publish(f"{prefix(owner)}/last", "1") == 0

    def last() -> bool:
        with own.connect() as db:
            row = db.execute("SELECT count(*) FROM mqtt.mqtt_messages WHERE topic = %s", (f"{prefix(owner)}/last",)).fetchone()
        return row == (1,)

    wait_until(last, PROGRAM_PATIENCE, "the last one is stored, after 30,000 others")
    assert "reading_resumed" in own.log("bridge")
    assert resident() < 150
