"""Faults of docs/explanation/faults.md that are more particular than those under load, each test named by the number of its fault."""

import functools
import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import psycopg
import pytest
import requests
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.bridge.mosquitto import Mosquitto
from tests.chaos.faults import has_route
from tests.chaos.world import World
from tests.support.broker import Publish
from tests.support.mqtt import disconnect
from tests.support.ports import Port, held_port
from tests.support.stack import Stack
from tests.support.waiting import PATIENCE, wait_until

Worlds = Callable[..., World]


@pytest.fixture
def metrics_port() -> Iterator[Port]:
    with held_port() as port:
        yield port


def publish(world: World, *messages: dict[str, Any], integration_id: str | None = None) -> list[str]:
    body = {"integration_id": integration_id or world.external, "messages": list(messages)}
    answer = world.api.ok("mqtt_publish", body, token=world.tenant.member)
    return [receipt["receipt_id"] for receipt in answer["receipts"]]


def receipts(world: World, ids: list[str]) -> list[tuple[str, int, str | None]]:
    """State, attempts and reason of each, once none is queued any more."""
    deadline = time.monotonic() + PATIENCE
    while True:
        rows = world.api.ok("get_mqtt_publish_receipts", {"receipt_ids": ids, "wait": 5}, token=world.tenant.member)
        if all(row["state"] != "queued" for row in rows) or time.monotonic() > deadline:
            return [(row["state"], row["attempts"], row["reason"]) for row in rows]


def message(topic: str, number: int, qos: int = 1, **terms: Any) -> dict[str, Any]:
    return {"topic": topic, "payload": {"n": number}, "qos": qos, **terms}


def numbers(arrivals: list[Publish]) -> list[int]:
    return [json.loads(arrival.payload)["n"] for arrival in arrivals]


def stored(world: World, number: int) -> int:
    query = "SELECT count(*) FROM mqtt.mqtt_messages WHERE organization_id = %s AND direction = 'incoming' AND payload ->> 'n' = %s"
    return int(world.query(query, world.tenant.organization_id, str(number))[0][0])


def wait_stored(world: World, number: int) -> None:
    wait_until(lambda: stored(world, number) == 1, what=f"message {number} stored")


def wait_logged(world: World, text: str, times: int) -> None:
    wait_until(lambda: world.bridge.log.count(text) >= times, what=f"{text} in the log, {times} times")


@pytest.mark.parametrize("qos", [1, 2])
def test_fault_02_killed_between_puback_and_the_receipt(world: Worlds, qos: int) -> None:
    """The broker has acknowledged, the database does not know it: exactly that message goes out again."""
    playground = world(bridges=0)
    playground.new_bridge().start(CHAOS_DIE_BEFORE="settle_outbound")
    playground.wait_subscribed()
    ids = publish(playground, message("out/a", 1, qos))
    assert playground.bridge.wait() == -signal.SIGKILL
    assert numbers(playground.witness.arrivals) == [1]
    later = publish(playground, message("out/a", 2, qos))
    playground.bridge.start()
    assert receipts(playground, ids + later) == [("acknowledged", 2, None), ("acknowledged", 1, None)]
    assert numbers(playground.witness.arrivals) == [1, 1, 2]


def test_fault_02_killed_after_the_receipt(world: Worlds) -> None:
    """The receipt is written: the message does not go out again."""
    playground = world(bridges=0)
    playground.new_bridge().start(CHAOS_DIE_AFTER="settle_outbound")
    playground.wait_subscribed()
    ids = publish(playground, message("out/a", 1))
    assert playground.bridge.wait() == -signal.SIGKILL
    playground.bridge.start()
    later = publish(playground, message("out/a", 2))
    assert receipts(playground, ids + later) == [("acknowledged", 1, None), ("acknowledged", 1, None)]
    assert numbers(playground.witness.arrivals) == [1, 2]


def test_fault_05_a_broker_that_is_down_for_long(world: Worlds) -> None:
    """Its messages wait, however often the connection failed meanwhile, and cost no attempt."""
    playground = world()
    playground.witness.kill()
    ids = publish(playground, *[message("out/a", number) for number in range(20)])
    wait_until(lambda: playground.bridge.log.count(" broker_unreachable ") >= 4, what="four attempts to connect")
    assert playground.waiting() == (0, 20)
    playground.witness.start()
    assert receipts(playground, ids) == [("acknowledged", 1, None)] * 20
    assert numbers(playground.witness.arrivals) == list(range(20))


@pytest.mark.parametrize(("factor", "deadline"), [(0.25, 16.0), (1.5, 2.0)], ids=["within", "beyond"])
def test_fault_12_a_broker_whose_acknowledgements_are_late(world: Worlds, factor: float, deadline: float) -> None:
    """Within the deadline nothing is sent twice; beyond it, all is sent again, and waited for longer."""
    playground = world(constants={"bridge.mqtt.outgoing.ACK_SECONDS": deadline})
    playground.witness.ack_delay = factor * deadline
    ids = publish(playground, *[message(f"out/{number}", number) for number in range(5)])
    if factor < 1:
        assert receipts(playground, ids) == [("acknowledged", 1, None)] * 5
        assert numbers(playground.witness.arrivals) == list(range(5))
        return
    wait_until(lambda: " broker_lost " in playground.bridge.log, what="a connection given up")
    # It stays as slow as it is: the bridge waits longer.
    assert [state for state, _, _ in receipts(playground, ids)] == ["acknowledged"] * 5


def test_fault_13_a_lost_acknowledgement_is_asked_for_again(world: Worlds) -> None:
    """After the deadline, on a new connection: that message alone, as a duplicate under the same packet id."""
    playground = world(constants={"bridge.mqtt.outgoing.ACK_SECONDS": 4.0})
    witness = playground.witness
    is_silent = True
    witness.on_publish = lambda message: "ignore" if is_silent and numbers([message]) == [2] else None
    ids = publish(playground, *[message("out/a", number) for number in range(4)])
    wait_until(lambda: len(witness.seen) == 4, what="all four at the broker")
    is_silent = False
    assert [state for state, _, _ in receipts(playground, ids)] == ["acknowledged"] * 4
    first = witness.seen[2]
    again = [message for message in witness.seen if message.connection != first.connection]
    assert [(numbers([message]), message.dup, message.packet_id) for message in again] == [([2], True, first.packet_id)]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_fault_15_a_message_that_the_broker_does_not_allow(world: Worlds, version: str) -> None:
    """MQTT 5 says so, and the message is a dead letter with the reason. MQTT 3.1.1 cannot say it: acknowledged means no more than that."""
    playground = world(mqtt_version=version)
    playground.witness.on_publish = lambda message: 0x87 if message.topic == "out/forbidden" else None
    ids = publish(playground, message("out/a", 1), message("out/forbidden", 2), message("out/a", 3))
    states = receipts(playground, ids)
    assert [states[0][0], states[2][0]] == ["acknowledged", "acknowledged"]
    assert states[1][0] == ("failed" if version == "5" else "acknowledged")
    assert numbers(playground.witness.arrivals) == [1, 3]
    query = "SELECT error_message FROM mqtt.mqtt_dead_letters WHERE organization_id = %s"
    reasons = [reason for (reason,) in playground.query(query, playground.tenant.organization_id)]
    assert reasons == (["Not authorized"] if version == "5" else [])


def test_fault_18_messages_that_cannot_be_encoded(world: Worlds) -> None:
    """Rows that no check let through, but somebody's SQL: each fails alone, with words, and their neighbours go out."""
    playground = world()
    odd: list[dict[str, Any]] = [
        {"correlation_data": "no base64!"},
        {"user_properties": 5},
        {"user_properties": [["a"]]},
        {"content_type": 7},
        {"response_topic": "a/#"},
        {"qos": 7},
    ]
    playground.query(
        "INSERT INTO pgmq.q_mqtt_outbound (vt, message, organization_id, integration_id)"
        " SELECT clock_timestamp(), m.value || jsonb_build_object('topic', 'out/odd' || m.ordinality, 'payload', 1), %s, %s"
        " FROM jsonb_array_elements(%s::jsonb) WITH ORDINALITY AS m",
        playground.tenant.organization_id,
        playground.external,
        json.dumps([{"qos": 1, **terms} for terms in odd]),
    )
    ids = publish(playground, message("out/a", 1), message("out/a", 2))
    assert [state for state, _, _ in receipts(playground, ids)] == ["acknowledged"] * 2
    wait_until(lambda: playground.waiting() == (0, 0), what="the odd ones' end")
    query = "SELECT topic, state, reason FROM mqtt.mqtt_publish_receipts WHERE organization_id = %s AND topic LIKE 'out/odd%%'"
    for topic, state, reason in playground.query(query, playground.tenant.organization_id):
        assert state in {"acknowledged", "failed"}, (topic, state)
        assert state == "acknowledged" or (reason and len(reason) <= 500), (topic, reason)
    assert playground.bridge.is_alive()


@pytest.mark.parametrize(
    "place",
    ["bridge.work.inbound.Inbound.arrived", "bridge.mqtt.incoming.IncomingHalf.arrived", "bridge.mqtt.outgoing.OutgoingHalf.answered"],
)
def test_fault_19_a_fault_in_the_bridge_itself(world: Worlds, place: str) -> None:
    """What raises where it never should costs a connection at most: it is logged, and all is delivered in the end."""
    playground = world(bridges=0)
    playground.new_bridge().start(CHAOS_RAISE=json.dumps({place: 2}))
    playground.wait_subscribed()
    ids = publish(playground, message("out/a", 1), message("out/a", 2))
    offers = [playground.load.offer(number) for number in (1, 2)]
    assert [state for state, _, _ in receipts(playground, ids)] == ["acknowledged"] * 2
    wait_until(lambda: all(offer.is_acknowledged for offer in offers), what="the bridge's acknowledgements")
    wait_until(lambda: all(stored(playground, number) for number in (1, 2)), what="the stored messages")
    assert "made to fail" in playground.bridge.log
    assert playground.bridge.is_alive()


def test_fault_20_thousands_of_failures_at_once(world: Worlds, stack: Stack) -> None:
    """Each fails once and waits for a time of its own; others' messages are stored meanwhile; waiting costs next to nothing."""
    count, base = 10_000, 1800.0  # seconds, beyond the test's own end: no second attempt falls due while it lasts
    sick, other = world(bridges=0), world(bridges=0)
    organization = sick.tenant.organization_id
    with stack.connect() as connection:
        connection.execute("ALTER TABLE mqtt.history ADD CONSTRAINT no_sick CHECK (flags & 8 = 8 OR payload <> 'null') NOT VALID")
        connection.execute(f"UPDATE mqtt.configuration SET retry_base = make_interval(secs => {base})".encode())
        try:
            connection.execute(
                "WITH queued AS (INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id)"
                ' SELECT clock_timestamp(), \'{"topic": "out/sick"}\', %s, %s FROM generate_series(1, %s) RETURNING 1)'
                " SELECT mqtt.count_accepted(%s, count(*)::integer) FROM queued",
                (organization, sick.tenant.integration_id, count, organization),
            )
            sick.new_bridge().start()
            _store_others_meanwhile(sick, other, count)
            # The wait of each, in tenths of what it may be: from three quarters of the base to five quarters.
            tenths = sick.query(
                "SELECT width_bucket(extract(epoch FROM vt - (errors -> -1 ->> 'at')::timestamptz) / %s, 0.75, 1.25, 10), count(*)"
                " FROM pgmq.q_mqtt_messages WHERE organization_id = %s AND attempts = 1 GROUP BY 1 ORDER BY 1",
                base,
                organization,
            )
            assert [tenth for tenth, _ in tenths] == list(range(1, 11))
            assert all(0.08 * count < waiting < 0.12 * count for _, waiting in tenths), tenths
            assert sum(waiting for _, waiting in tenths) == count, "one attempt each"
            transactions, busy = _activity(sick, 3)
            assert transactions < 100, "transactions a second while all wait"
            assert busy < 0.5, "of a core while all wait"
        finally:
            sick.bridge.kill()
            connection.execute("UPDATE mqtt.configuration SET retry_base = DEFAULT")
            connection.execute("DELETE FROM pgmq.q_mqtt_messages WHERE organization_id = %s", (organization,))
            connection.execute("DELETE FROM mqtt.ledger WHERE organization_id = %s", (organization,))
            connection.execute("ALTER TABLE mqtt.history DROP CONSTRAINT no_sick")


def _store_others_meanwhile(sick: World, other: World, count: int) -> None:
    """Send another organization's messages, one after the other, until so many have failed; none waits for more than a few batches."""
    batches = 4 * 1000  # the one under way as it is accepted, its own, and what is processed before the next look
    sent = 0

    def failed() -> int:
        query = "SELECT count(*) FROM pgmq.q_mqtt_messages WHERE organization_id = %s AND attempts > 0"
        return int(sick.query(query, sick.tenant.organization_id)[0][0])

    while failed() < count:
        number = other.load.probe(time.monotonic() + PATIENCE)
        before = failed()  # since it was accepted: how long that takes is not the queue's
        wait_stored(other, number)
        sent += 1
        assert failed() - before <= batches, "others' messages flow"
    assert sent > 1


def _activity(world: World, seconds: float) -> tuple[float, float]:
    """Transactions a second, and cores that the bridge and its server processes take, both over so long."""
    done = "SELECT pg_stat_get_db_xact_commit(oid) + pg_stat_get_db_xact_rollback(oid) FROM pg_database WHERE datname = current_database()"
    pids = [world.bridge.pid, *(pid for (pid,) in world.query("SELECT pid FROM pg_stat_activity WHERE usename = 'mqtt_bridge'"))]

    def measure() -> tuple[int, int]:
        stats = [(Path("/proc") / str(pid) / "stat").read_text().rsplit(")", 1)[1].split() for pid in pids]
        return world.query(done)[0][0], sum(int(stat[11]) + int(stat[12]) for stat in stats)

    transactions, ticks = measure()
    time.sleep(seconds)
    later, more_ticks = measure()
    return (later - transactions) / seconds, (more_ticks - ticks) / os.sysconf("SC_CLK_TCK") / seconds


@pytest.mark.parametrize(
    ("when", "has_id"),
    [("BEFORE", False), ("AFTER", False), ("AFTER", True)],
    ids=["before the commit", "after the commit, without an id", "after the commit, with message_id"],
)
def test_fault_25_killed_between_receipt_and_acknowledgement(world: Worlds, when: str, *, has_id: bool) -> None:
    """Not acknowledged, it comes again: stored once, but twice when it had been committed and brings no message_id."""
    playground = world()
    playground.bridge.kill()
    offers = [playground.load.offer(number, has_id=has_id) for number in range(5)]
    playground.bridge.start(**{f"CHAOS_DIE_{when}": "ingest"})
    assert playground.bridge.wait() == -signal.SIGKILL
    assert not any(offer.is_acknowledged for offer in offers)
    playground.bridge.start()
    wait_until(lambda: all(offer.is_acknowledged for offer in offers), what="the bridge's acknowledgements")
    wait_until(lambda: playground.waiting() == (0, 0), what="an empty queue")
    counts = [stored(playground, number) for number in range(5)]
    assert counts == [1] * 5 if has_id or when == "BEFORE" else all(1 <= count <= 2 for count in counts)


def test_fault_26_messages_arrive_while_the_database_is_away(world: Worlds) -> None:
    """The broker keeps them: nothing is acknowledged, and the bridge does not grow."""
    playground = world()
    before = _resident(playground.bridge.pid)
    playground.database_proxy.refuse()
    playground.database_proxy.cut()
    payload = json.dumps({"n": 7, "fill": "x" * 2000}).encode()
    offers = [playground.witness.offer(f"in/{number % 20}", payload, 1) for number in range(3000)]
    wait_until(lambda: sum(offer.deliveries > 0 for offer in offers) >= 200, what="a full window")
    tries = playground.database_proxy.connections
    wait_until(lambda: playground.database_proxy.connections > tries + 7, what="more attempts to reach the database")
    assert not any(offer.is_acknowledged for offer in offers)
    assert _resident(playground.bridge.pid) < before + 100_000_000
    playground.database_proxy.heal()
    wait_until(lambda: all(offer.is_acknowledged for offer in offers), what="the bridge's acknowledgements")
    wait_until(lambda: playground.waiting() == (0, 0), what="an empty queue")
    assert stored(playground, 7) >= 3000


def test_fault_27_a_lost_session_is_counted(world: Worlds, metrics_port: Port) -> None:
    """The broker comes back without the session: the bridge subscribes again and reports the gap, once; a kept session is no gap."""
    playground = world(bridges=0)
    port = metrics_port.number
    playground.new_bridge().start(TOPICBASE_METRICS_ADDRESS=f"127.0.0.1:{port}")
    playground.wait_subscribed()
    for times, forget in ((0, False), (1, True), (1, False), (2, True)):
        connects = playground.bridge.log.count(" broker_connected ")
        subscribes = len(playground.witness.subscribed)
        playground.witness.kill(forget=forget)
        playground.witness.start()
        wait_logged(playground, " broker_connected ", connects + 1)
        playground.wait_subscribed()
        assert (len(playground.witness.subscribed) > subscribes) == forget
        offer = playground.load.offer(connects)
        wait_until(functools.partial(getattr, offer, "is_acknowledged"), what="a message after it")
        assert _metric(port, "topicbase_sessions_lost_total") == times
        assert playground.bridge.log.count(" session_lost ") == times


def test_fault_27_more_than_the_broker_keeps(world: Worlds, tmp_path: Path) -> None:
    """Of 3,000 messages Mosquitto keeps 1,000 for who is away, and nothing tells that it dropped others; what it kept comes once."""
    playground = world()
    broker = Mosquitto(tmp_path, max_queued=1000)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    try:
        integration = playground.tenant.integration("mqtt_external", broker_url="127.0.0.1", port=broker.port, protocol="mqtt")
        playground.api.ok("mqtt_subscribe", {"integration_id": integration, "topic": "much/#", "qos": 1}, token=playground.tenant.admin)
        active = "SELECT 1 FROM mqtt.mqtt_subscriptions WHERE integration_id = %s AND status = 'active'"
        wait_until(lambda: playground.query(active, integration), what="the subscription")
        playground.bridge.kill()
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        for number in range(3000):
            info = client.publish("much/a", json.dumps({"n": number}), 1)
        info.wait_for_publish(PATIENCE)
        playground.bridge.start()
        query = "SELECT (payload ->> 'n')::integer FROM mqtt.mqtt_messages WHERE integration_id = %s AND organization_id = %s ORDER BY 1"
        wait_until(lambda: len(playground.query(query, integration, playground.tenant.organization_id)) >= 1000, what="what was kept")
        client.publish("much/a", json.dumps({"n": 3000}), 1).wait_for_publish(PATIENCE)
        wait_until(lambda: playground.query(query, integration, playground.tenant.organization_id)[-1] == (3000,), what="the next one")
        found = [number for (number,) in playground.query(query, integration, playground.tenant.organization_id)]
        assert found == [*range(len(found) - 1), 3000], "the first ones, each once"
        assert 1000 <= len(found) - 1 < 1200, "so many as it has room and a window for"
    finally:
        disconnect(client)
        broker.stop()


def _metric(port: int, name: str) -> float | None:
    """A sample without labels; None while it is not shown."""
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE).text
    return next((float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} ")), None)


def _resident(pid: int) -> int:
    pages = int((Path("/proc") / str(pid) / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_fault_30_notices_that_never_come(world: Worlds) -> None:
    """What nobody tells the sleeping bridge of, it finds by looking, within seconds."""
    playground = world()
    organization = playground.tenant.organization_id
    asleep = (
        "SELECT count(*) FROM pg_locks"
        " WHERE locktype = 'advisory' AND classid = mqtt.wakeup_lock()::oid AND mode = 'ExclusiveLock' AND granted"
    )
    wait_until(lambda: playground.query(asleep)[0][0] >= 3, what="the bridge falling asleep")
    playground.query(
        "WITH queued AS (INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id)"
        ' VALUES (clock_timestamp(), \'{"topic": "a", "payload": {"n": 5}}\', %s, %s) RETURNING 1)'
        " SELECT mqtt.count_accepted(%s, 1) FROM queued",
        organization,
        playground.external,
        organization,
    )
    playground.query(
        "INSERT INTO pgmq.q_mqtt_outbound (vt, message, organization_id, integration_id)"
        ' VALUES (clock_timestamp(), \'{"topic": "out/a", "payload": {"n": 6}, "qos": 1}\', %s, %s)',
        organization,
        playground.external,
    )
    wait_until(lambda: stored(playground, 5) == 1, what="the message that nobody told of")
    wait_until(lambda: numbers(playground.witness.arrivals) == [6], what="the publish that nobody told of")


def test_fault_31_a_long_transaction(world: Worlds, stack: Stack) -> None:
    """A message whose transaction ends late has a smaller id than those stored before it, and is not passed over."""
    playground = world(producers=("batch",))
    organization = playground.tenant.organization_id
    with stack.connect(autocommit=False) as late:
        number = late.execute(
            "INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id)"
            ' VALUES (clock_timestamp(), \'{"topic": "late", "payload": {"n": 0}}\', %s, %s) RETURNING msg_id',
            (organization, playground.external),
        ).fetchone()
        late.execute("SELECT mqtt.count_accepted(%s, 1)", (organization,))
        assert number is not None
        playground.load.resume()
        playground.load.wait_accepted(500)
        playground.load.pause()
        wait_until(lambda: playground.waiting() == (0, 0), what="an empty queue")
        assert stored(playground, 0) == 0
        late.commit()
    wait_until(lambda: stored(playground, 0) == 1, what="the late message")
    assert playground.query("SELECT * FROM mqtt.check_ledger()") == []


def test_fault_32_the_queue_of_notices_fills(world: Worlds, stack: Stack, metrics_port: Port, *, is_long: bool) -> None:
    """Who listens and stays in a transaction fills it: metrics show it (and the doctor, from a tenth on); the bridge does no such thing."""
    playground = world(bridges=0)
    port = metrics_port.number
    playground.new_bridge().start(TOPICBASE_METRICS_ADDRESS=f"127.0.0.1:{port}")
    playground.wait_subscribed()
    usage = "SELECT pg_notification_queue_usage()"
    resting = (
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'mqtt_bridge' AND state LIKE 'idle in transaction%%'"
        " AND state_change < clock_timestamp() - interval '1 second'"
    )

    def is_nobody_resting() -> bool:
        # On a busy machine a session may do so for a second; one that does it for good is there each time.
        return bool(playground.query(resting)[0][0] == 0)

    before = playground.query(usage)[0][0]
    batches = 1150 if is_long else 30
    share = batches * 100 * 8192 / (1 << 33)  # a notice of more than half a page takes a page, of 8 GiB
    with stack.connect(autocommit=False) as listener:
        listener.execute("LISTEN topicbase")
        listener.commit()
        listener.execute("SELECT 1")
        for number in range(batches):
            playground.query("SELECT pg_notify('topicbase', repeat('x', 7000) || n) FROM generate_series(1, 100) AS n")
            if number % 10 == 0:
                wait_until(is_nobody_resting, what="no transaction that stays open")
        assert playground.query(usage)[0][0] - before > 0.9 * share
        wait_until(lambda: (_metric(port, "topicbase_notify_queue_ratio") or 0) > 0.9 * share, what="the metric")
        if is_long:
            doctor = playground.bridge.run("doctor")
            assert "a listening session that stays in a transaction fills it" in doctor, doctor
        number = playground.load.probe(time.monotonic() + PATIENCE)
        wait_until(lambda: stored(playground, number) == 1, what="a message meanwhile")
        wait_until(is_nobody_resting, what="no transaction that stays open")
        listener.rollback()
        listener.execute("UNLISTEN *")
        listener.commit()
        # Whoever notifies next lets the queue's end move on.
        wait_until(
            lambda: playground.query("SELECT pg_notify('topicbase', '')") and playground.query(usage)[0][0] < share / 10,
            what="an empty queue",
        )
    number = playground.load.probe(time.monotonic() + PATIENCE)
    wait_until(lambda: stored(playground, number) == 1, what="a message after so many notices")


def test_fault_34_no_connections_left(world: Worlds, stack: Stack) -> None:
    """Who is connected works on, the others are told 503 and when to try again, at once; who is cut off comes back when there is room."""
    playground = world(producers=("batch",))
    playground.load.resume()
    playground.load.wait_accepted(40)
    held: list[psycopg.Connection[Any]] = []
    try:
        _take_all_connections(stack, held)
        playground.load.wait_accepted(100)
        waiting = "SELECT 1 FROM pgmq.q_mqtt_messages WHERE organization_id = %s"
        playground.load.pause()
        organization = (playground.tenant.organization_id,)
        wait_until(
            lambda: held[0].execute(waiting.encode(), organization).fetchone() is None, what="the bridge working on what was accepted"
        )
        # PostgREST loses its connections, and others take their places.
        while held[0].execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'authenticator'").fetchall():
            _take_all_connections(stack, held)
        refused = playground.device.send({"n": -1})
        assert refused.status_code == 503, refused.text
        # At once: PGRST003 would be the answer to a request that had waited for a connection until its time was up.
        assert refused.json()["code"] in {"PGRST000", "PGRST001", "PGRST002"}, refused.text
        assert refused.json()["message"]
        assert int(refused.headers["Retry-After"]) <= 32
        published = playground.api.call(
            "mqtt_publish", {"integration_id": playground.external, "messages": []}, token=playground.tenant.member
        )
        assert published.status_code == 503, published.text
        playground.database_proxy.cut()
        _take_all_connections(stack, held)
        wait_until(lambda: " database_lost " in playground.bridge.log, what="the bridge's loss")
    finally:
        for connection in held:
            connection.close()
    ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holder'"
    wait_until(lambda: playground.query(ours)[0][0] == 0, what="the room that they leave")
    refused_before = dict(playground.load.refused)
    playground.load.probe(time.monotonic() + PATIENCE)
    assert playground.load.refused == refused_before, "the first request after that is taken"
    playground.load.resume()
    playground.recover()
    playground.load.wait_accepted(100)
    playground.oracle.check()
    assert all(status.startswith("503 PGRST") for status in playground.load.refused), playground.load.refused


def _take_all_connections(stack: Stack, held: list[psycopg.Connection[Any]]) -> None:
    while len(held) < 300:
        try:
            held.append(stack.connect(application_name="holder"))
        except psycopg.OperationalError:
            return
    raise AssertionError("there is no end of connections")


def test_fault_28_a_flood_of_retained_messages(world: Worlds) -> None:
    """What Mosquitto kept for years arrives at the first subscribe: stored, marked as retained, and told once."""
    playground = world(bridges=0)
    client = playground.load._connect_mosquitto()
    wait_until(client.is_connected, what="Mosquitto")
    topics = [playground.device.topic(f"r{number}") for number in range(3000)]
    for number, topic in enumerate(topics):
        info = client.publish(topic, json.dumps({"n": number}), 1, retain=True)
    info.wait_for_publish(PATIENCE)
    playground.load._early.clear()
    playground.start()
    query = "SELECT count(*), count(DISTINCT topic), bool_and(retain) FROM mqtt.mqtt_messages WHERE organization_id = %s"
    organization = playground.tenant.organization_id
    wait_until(lambda: playground.query(query, organization)[0][1] == 3000, what="all retained messages")
    assert playground.query(query, organization) == [(3000, 3000, True)]
    for topic in topics:
        info = client.publish(topic, b"", 1, retain=True)
    info.wait_for_publish(PATIENCE)


def test_fault_35_a_backlog_for_a_dead_broker_does_not_grow_memory(world: Worlds, *, is_long: bool) -> None:
    """A million messages (60,000 in short) wait in the database, not in the bridge; so do they while the broker takes them."""
    playground = world()
    before = _resident(playground.bridge.pid)
    playground.witness.kill()
    playground.query(
        "INSERT INTO pgmq.q_mqtt_outbound (vt, message, organization_id, integration_id) SELECT clock_timestamp(),"
        " jsonb_build_object('topic', 'out/' || n %% 100, 'payload', jsonb_build_object('n', n), 'qos', 1), %s, %s"
        " FROM generate_series(1, %s) AS n",
        playground.tenant.organization_id,
        playground.external,
        1_000_000 if is_long else 60_000,
    )
    wait_until(lambda: playground.bridge.log.count(" broker_unreachable ") >= 4, what="four attempts to connect")
    assert _resident(playground.bridge.pid) < before + 60_000_000
    playground.witness.start()
    wait_until(lambda: len(playground.witness.arrivals) >= 20000, what="20,000 messages sent")
    assert _resident(playground.bridge.pid) < before + 100_000_000
    playground.bridge.kill()
    playground.query("DELETE FROM pgmq.q_mqtt_outbound WHERE organization_id = %s", playground.tenant.organization_id)


def test_fault_39_cleanup_under_load(world: Worlds, stack: Stack) -> None:
    """Retention goes on in batches, nobody waits for its locks for a second, and what is not processed stays, however old it is."""
    playground = world(bridges=0, producers=("single", "batch", "publish"), constants={"bridge.work.maintenance.MAINTENANCE_SECONDS": 1})
    organization, old = playground.tenant.organization_id, 25_000
    playground.query("UPDATE mqtt.organizations SET completed_days = 1, failed_days = 1, activity_days = 1 WHERE id = %s", organization)
    today = datetime.now(UTC).date()  # the same also when another begins
    for day in (today - timedelta(days=3), today - timedelta(days=40)):
        playground.query("SELECT mqtt.create_partition('mqtt.history', %s::date)", day)
        playground.query(
            "INSERT INTO mqtt.mqtt_messages (organization_id, integration_id, direction, topic, payload, received_at)"
            " VALUES (%s, %s, 'incoming', 'old', '1', %s::date)",
            organization,
            playground.external,
            day,
        )
        playground.query(
            "INSERT INTO mqtt.history (received_at, measured_at, position, id, organization, topic, stored_after, flags, payload)"
            " SELECT h.received_at + n * interval '1 millisecond', now(), n, gen_random_uuid(), h.organization, h.topic, 0, 0, '1'"
            " FROM mqtt.mqtt_messages AS m JOIN mqtt.history AS h USING (received_at, id), generate_series(2, %s) AS n"
            " WHERE m.organization_id = %s AND m.topic = 'old' AND m.received_at = %s::date",
            old,
            organization,
            day,
        )
    # As old, and still waiting: in for an hour from now, out for a day to come.
    playground.query(
        "WITH queued AS (INSERT INTO pgmq.q_mqtt_messages (enqueued_at, vt, message, organization_id, integration_id)"
        " SELECT now() - interval '400 days', now() + interval '1 hour', '{\"topic\": \"old\"}', %s, %s FROM generate_series(1, 10))"
        " INSERT INTO mqtt.ledger (organization_id, bucket, shard, accepted)"
        " VALUES (%s, date_trunc('minute', now() - interval '400 days'), 0, 10)",
        organization,
        playground.external,
        organization,
    )
    left = "SELECT count(*) FROM mqtt.mqtt_messages WHERE organization_id = %s AND received_at < now() - interval '2 days'"
    longest, stall, most, ended = 0.0, 0.0, 0, threading.Event()

    def watch() -> None:
        nonlocal longest, stall
        waits = (
            "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - l.waitstart)), 0)::float FROM pg_locks AS l"
            " JOIN pg_stat_activity AS a USING (pid) WHERE NOT l.granted AND a.usename IN ('authenticator', 'mqtt_bridge')"
            # Who drops a partition waits too, for so long at most, and gives up.
            " AND a.query NOT LIKE '%cleanup%' AND a.query NOT LIKE '%run_periodic_tasks%'"
        )
        with stack.connect() as connection:
            looked = time.monotonic()
            while not ended.wait(0.02):
                row = connection.execute(waits.encode()).fetchone()
                longest = max(longest, row[0] if row else 0)
                # A machine that keeps even this thread waiting does so with those who are to let go of their locks.
                stall, looked = max(stall, time.monotonic() - looked), time.monotonic()

    playground.start()
    playground.load.resume()
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        playground.load.wait_accepted(500)
        while playground.query(left, organization)[0][0]:
            # Beside the bridge, which is at it as well.
            gone = playground.api.ok("cleanup_mqtt_queue", token=stack.token("service_role"))
            most = max(most, gone.get("completed", 0))
        playground.load.wait_accepted(500)
    finally:
        ended.set()
        watcher.join()
    assert most <= 10_000 + old, "a batch, and a partition"
    assert longest < 1.1 + stall, "seconds that somebody waited for a lock"
    assert playground.query("SELECT count(*) FROM mqtt.mqtt_messages WHERE topic = 'old' AND organization_id = %s", organization) == [(0,)]
    count = playground.oracle.check(parked=10)
    assert (count.stored, count.dead) == (count.accepted, 0)
    playground.query("UPDATE pgmq.q_mqtt_messages SET vt = now() WHERE organization_id = %s", organization)
    playground.settle()
    assert playground.query("SELECT * FROM mqtt.check_ledger() WHERE organization_id = %s", organization) == []


def test_fault_59_a_new_route_answers_in_the_end(world: Worlds) -> None:
    """PostgREST may drop a notice that comes while it reloads: ready is what answers, and asking again is what helps."""
    playground = world(bridges=0)
    for number in range(10):
        name = f"route_{uuid.uuid4().hex[:8]}"
        playground.query(
            f"CREATE FUNCTION api.{name}() RETURNS integer LANGUAGE sql STABLE RETURN {number};"
            f" GRANT EXECUTE ON FUNCTION api.{name}() TO anon"
        )

        def is_there(name: str = name) -> bool:
            playground.query("NOTIFY pgrst, 'reload schema'")
            return has_route(playground, name)

        wait_until(is_there, what="the new route")
        playground.query(f"DROP FUNCTION api.{name}()")
    playground.query("NOTIFY pgrst, 'reload schema'")


def test_fault_60_restored_from_a_dump(world: Worlds, stack: Stack) -> None:
    """Queues, counters, books and receipts come back, and what was settled is not sent again."""
    playground = world(producers=("batch",))
    playground.load.resume()
    playground.load.wait_accepted(80)
    playground.oracle.check()
    ids = publish(playground, message("out/a", 1))
    assert receipts(playground, ids)[0][0] == "acknowledged"
    playground.bridge.kill()
    assert playground.device.send({"n": 0}).status_code == 202
    second = publish(playground, message("out/a", 2))
    name = f"restored_{uuid.uuid4().hex[:8]}"
    dump = playground.directory / "dump"
    for command in (
        ["createdb", name],
        ["pg_dump", "--format=custom", f"--file={dump}"],
        ["pg_restore", "--exit-on-error", f"--dbname={name}", str(dump)],
    ):
        stack.run("exec", *command)
    organization = playground.tenant.organization_id
    with stack.connect(dbname=name) as restored, stack.connect() as original:
        tables = ("mqtt.mqtt_messages", "mqtt.mqtt_publish_receipts", "pgmq.q_mqtt_messages", "pgmq.q_mqtt_outbound", "mqtt.ledger")
        for table in tables:
            query = f"SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {table} AS t WHERE organization_id = %s"
            assert restored.execute(query, (organization,)).fetchone() == original.execute(query, (organization,)).fetchone(), table
        # What other tests have queued came along.
        for queue in ("q_mqtt_messages", "q_mqtt_outbound"):
            restored.execute(f"DELETE FROM pgmq.{queue} WHERE organization_id <> %s", (organization,))
        assert restored.execute("SELECT mqtt.process_batch(1000)").fetchone() == (
            {"dead": 0, "more": False, "failed": 0, "processed": restored_count(original, organization)},
        )
        assert restored.execute("SELECT * FROM mqtt.check_ledger() WHERE organization_id = %s", (organization,)).fetchall() == []
        outbound = restored.execute(
            "SELECT message -> 'payload' ->> 'n' FROM pgmq.q_mqtt_outbound WHERE organization_id = %s", (organization,)
        )
        assert outbound.fetchall() == [("2",)]
        newest = restored.execute("SELECT max(msg_id) FROM pgmq.q_mqtt_outbound").fetchone()
        following = restored.execute("SELECT nextval(pg_get_serial_sequence('pgmq.q_mqtt_outbound', 'msg_id'))").fetchone()
        assert newest is not None
        assert following is not None
        assert following[0] > newest[0]
        # The original goes on, and sends what the copy would send again.
        playground.new_bridge().start()
        wait_until(lambda: receipts(playground, second)[0][0] == "acknowledged", what="the receipt")
        assert restored.execute("SELECT mqtt.set_aside_outbound()").fetchone() == (1,)
        assert restored.execute("SELECT count(*) FROM pgmq.q_mqtt_outbound").fetchone() == (0,)
    stack.run("exec", "dropdb", name)


def restored_count(connection: psycopg.Connection[Any], organization: str) -> int:
    row = connection.execute("SELECT count(*) FROM pgmq.q_mqtt_messages WHERE organization_id = %s", (organization,)).fetchone()
    assert row is not None
    return int(row[0])
