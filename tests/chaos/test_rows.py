"""Rows of the list of faults in docs/delivery.md that are more particular than the faults under load, each by its number."""

import json
import os
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.chaos.witness import Arrival
from tests.chaos.world import World
from tests.support.stack import Stack
from tests.support.waiting import wait_until

Worlds = Callable[..., World]


def publish(world: World, *messages: dict[str, Any], integration_id: str | None = None) -> list[str]:
    body = {"integration_id": integration_id or world.external, "messages": list(messages)}
    answer = world.api.ok("mqtt_publish", body, token=world.tenant.member)
    return [receipt["receipt_id"] for receipt in answer["receipts"]]


def receipts(world: World, ids: list[str]) -> list[tuple[str, int, str | None]]:
    """State, attempts and reason of each, once none is queued any more."""
    deadline = time.monotonic() + 40
    while True:
        rows = world.api.ok("get_mqtt_publish_receipts", {"receipt_ids": ids, "wait": 5}, token=world.tenant.member)
        if all(row["state"] != "queued" for row in rows) or time.monotonic() > deadline:
            return [(row["state"], row["attempts"], row["reason"]) for row in rows]


def message(topic: str, number: int, qos: int = 1, **terms: Any) -> dict[str, Any]:
    return {"topic": topic, "payload": {"n": number}, "qos": qos, **terms}


def numbers(arrivals: list[Arrival]) -> list[int]:
    return [json.loads(arrival.payload)["n"] for arrival in arrivals]


def stored(world: World, number: int) -> int:
    query = "SELECT count(*) FROM mqtt.mqtt_messages WHERE organization_id = %s AND direction = 'incoming' AND payload ->> 'n' = %s"
    return int(world.query(query, world.tenant.organization_id, str(number))[0][0])


@pytest.mark.parametrize("qos", [1, 2])
def test_row_02_killed_between_puback_and_the_receipt(world: Worlds, qos: int) -> None:
    """The broker has acknowledged, the database does not know it: exactly that message goes out again."""
    playground = world(bridges=0)
    playground.new_bridge().start(CHAOS_DIE_BEFORE="settle_outbound")
    playground.wait_subscribed()
    ids = publish(playground, message("out/a", 1, qos))
    assert playground.bridge.wait(30) == -signal.SIGKILL
    assert numbers(playground.witness.arrivals) == [1]
    later = publish(playground, message("out/a", 2, qos))
    playground.bridge.start()
    assert receipts(playground, ids + later) == [("acknowledged", 2, None), ("acknowledged", 1, None)]
    assert numbers(playground.witness.arrivals) == [1, 1, 2]


def test_row_02_killed_after_the_receipt(world: Worlds) -> None:
    """The receipt is written: the message does not go out again."""
    playground = world(bridges=0)
    playground.new_bridge().start(CHAOS_DIE_AFTER="settle_outbound")
    playground.wait_subscribed()
    ids = publish(playground, message("out/a", 1))
    assert playground.bridge.wait(30) == -signal.SIGKILL
    playground.bridge.start()
    later = publish(playground, message("out/a", 2))
    assert receipts(playground, ids + later) == [("acknowledged", 1, None), ("acknowledged", 1, None)]
    assert numbers(playground.witness.arrivals) == [1, 2]


def test_row_05_a_broker_that_is_down_for_long(world: Worlds) -> None:
    """Its messages wait, however often the connection failed meanwhile, and cost no attempt."""
    playground = world()
    playground.witness.kill()
    ids = publish(playground, *[message("out/a", number) for number in range(20)])
    wait_until(lambda: playground.bridge.log.count(" broker_unreachable ") >= 4, 30, "four attempts to connect")
    assert playground.waiting() == (0, 20)
    playground.witness.start()
    assert receipts(playground, ids) == [("acknowledged", 1, None)] * 20
    assert numbers(playground.witness.arrivals) == list(range(20))


@pytest.mark.parametrize("factor", [0.5, 1.5])
def test_row_12_a_broker_whose_acknowledgements_are_late(world: Worlds, factor: float) -> None:
    """Within the deadline nothing is sent twice; beyond it, all is sent again, and waited for longer."""
    deadline = 2.0
    playground = world(constants={"bridge.link.ACK_SECONDS": deadline})
    playground.witness.ack_delay = factor * deadline
    ids = publish(playground, *[message(f"out/{number}", number) for number in range(5)])
    if factor < 1:
        assert receipts(playground, ids) == [("acknowledged", 1, None)] * 5
        assert numbers(playground.witness.arrivals) == list(range(5))
        return
    wait_until(lambda: " broker_lost " in playground.bridge.log, 40, "a connection given up")
    # It stays as slow as it is: the bridge waits longer.
    assert [state for state, _, _ in receipts(playground, ids)] == ["acknowledged"] * 5


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_row_15_a_message_that_the_broker_does_not_allow(world: Worlds, version: str) -> None:
    """MQTT 5 says so, and the message is a dead letter with the reason. MQTT 3.1.1 cannot say it: acknowledged means no more than that."""
    playground = world(mqtt_version=version)
    playground.witness.deny = lambda arrival: 0x87 if arrival.topic == "out/forbidden" else None
    ids = publish(playground, message("out/a", 1), message("out/forbidden", 2), message("out/a", 3))
    states = receipts(playground, ids)
    assert [states[0][0], states[2][0]] == ["acknowledged", "acknowledged"]
    assert states[1][0] == ("failed" if version == "5" else "acknowledged")
    assert numbers(playground.witness.arrivals) == [1, 3]
    query = "SELECT error_message FROM mqtt.mqtt_dead_letters WHERE organization_id = %s"
    reasons = [reason for (reason,) in playground.query(query, playground.tenant.organization_id)]
    assert reasons == (["Not authorized"] if version == "5" else [])


def test_row_18_messages_that_cannot_be_encoded(world: Worlds) -> None:
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
    wait_until(lambda: playground.waiting() == (0, 0), 20, "the odd ones' end")
    query = "SELECT topic, state, reason FROM mqtt.mqtt_publish_receipts WHERE organization_id = %s AND topic LIKE 'out/odd%%'"
    for topic, state, reason in playground.query(query, playground.tenant.organization_id):
        assert state in {"acknowledged", "failed"}, (topic, state)
        assert state == "acknowledged" or (reason and len(reason) <= 500), (topic, reason)
    assert playground.bridge.is_alive()


@pytest.mark.parametrize("place", ["bridge.inbound.Inbound.arrived", "bridge.link.Link.arrived", "bridge.link.Link.answered"])
def test_row_19_a_fault_in_the_bridge_itself(world: Worlds, place: str) -> None:
    """What raises where it never should costs a connection at most: it is logged, and all is delivered in the end."""
    playground = world(bridges=0)
    playground.new_bridge().start(CHAOS_RAISE=json.dumps({place: 2}))
    playground.wait_subscribed()
    ids = publish(playground, message("out/a", 1), message("out/a", 2))
    offers = [playground.load.offer(number) for number in (1, 2)]
    assert [state for state, _, _ in receipts(playground, ids)] == ["acknowledged"] * 2
    wait_until(lambda: all(offer.is_acknowledged for offer in offers), 40, "the bridge's acknowledgements")
    wait_until(lambda: all(stored(playground, number) for number in (1, 2)), 20, "the stored messages")
    assert "made to fail" in playground.bridge.log
    assert playground.bridge.is_alive()


def test_row_20_thousands_of_failures_at_once(world: Worlds, stack: Stack) -> None:
    """Their next attempts are spread, and a message of another organization is stored meanwhile."""
    sick = world(bridges=0)
    other = world(bridges=0)
    with stack.connect() as connection:
        connection.execute(
            "ALTER TABLE mqtt.mqtt_messages ADD CONSTRAINT no_sick CHECK (direction <> 'incoming' OR topic <> 'out/sick') NOT VALID"
        )
        try:
            connection.execute(
                "WITH queued AS (INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id)"
                ' SELECT clock_timestamp(), \'{"topic": "out/sick"}\', %s, %s FROM generate_series(1, 5000) RETURNING 1)'
                " SELECT mqtt.count_accepted(%s, count(*)::integer) FROM queued",
                (sick.tenant.organization_id, sick.tenant.integration_id, sick.tenant.organization_id),
            )
            sick.new_bridge().start()
            number = other.load.probe(time.monotonic() + 20)
            wait_until(lambda: stored(other, number) == 1, 20, "the other organization's message")
            query = (
                "SELECT count(*), extract(epoch FROM max(vt) - min(vt))::float FROM pgmq.q_mqtt_messages"
                " WHERE organization_id = %s AND attempts = 1"
            )
            wait_until(lambda: sick.query(query, sick.tenant.organization_id)[0][0] >= 1000, 60, "a thousand first attempts")
            assert sick.query(query, sick.tenant.organization_id)[0][1] > 1, "the next attempts are spread over more than a second"
        finally:
            sick.bridge.kill()
            connection.execute("DELETE FROM pgmq.q_mqtt_messages WHERE organization_id = %s", (sick.tenant.organization_id,))
            connection.execute("DELETE FROM mqtt.ledger WHERE organization_id = %s", (sick.tenant.organization_id,))
            connection.execute("ALTER TABLE mqtt.mqtt_messages DROP CONSTRAINT no_sick")


@pytest.mark.parametrize(
    ("when", "has_id"),
    [("BEFORE", False), ("AFTER", False), ("AFTER", True)],
    ids=["before the commit", "after the commit, without an id", "after the commit, with message_id"],
)
def test_row_25_killed_between_receipt_and_acknowledgement(world: Worlds, when: str, *, has_id: bool) -> None:
    """Not acknowledged, it comes again: stored once, but twice when it had been committed and brings no message_id."""
    playground = world()
    playground.bridge.kill()
    offers = [playground.load.offer(number, has_id=has_id) for number in range(5)]
    playground.bridge.start(**{f"CHAOS_DIE_{when}": "ingest"})
    assert playground.bridge.wait(30) == -signal.SIGKILL
    assert not any(offer.is_acknowledged for offer in offers)
    playground.bridge.start()
    wait_until(lambda: all(offer.is_acknowledged for offer in offers), 40, "the bridge's acknowledgements")
    wait_until(lambda: playground.waiting() == (0, 0), 20, "an empty queue")
    counts = [stored(playground, number) for number in range(5)]
    assert counts == [1] * 5 if has_id or when == "BEFORE" else all(1 <= count <= 2 for count in counts)


def test_row_26_messages_arrive_while_the_database_is_away(world: Worlds) -> None:
    """The broker keeps them: nothing is acknowledged, and the bridge does not grow."""
    playground = world()
    before = _resident(playground.bridge.pid)
    playground.database_proxy.refuse()
    playground.database_proxy.cut()
    payload = json.dumps({"n": 7, "fill": "x" * 2000}).encode()
    offers = [playground.witness.offer(f"in/{number % 20}", payload, 1) for number in range(3000)]
    wait_until(lambda: sum(offer.deliveries > 0 for offer in offers) >= 200, 20, "a full window")
    time.sleep(1)
    assert not any(offer.is_acknowledged for offer in offers)
    assert _resident(playground.bridge.pid) < before + 100_000_000
    playground.database_proxy.heal()
    wait_until(lambda: all(offer.is_acknowledged for offer in offers), 60, "the bridge's acknowledgements")
    wait_until(lambda: playground.waiting() == (0, 0), 20, "an empty queue")
    assert stored(playground, 7) >= 3000


def _resident(pid: int) -> int:
    pages = int((Path("/proc") / str(pid) / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_row_30_notices_that_never_come(world: Worlds) -> None:
    """What nobody tells the sleeping bridge of, it finds by looking, within seconds."""
    playground = world()
    organization = playground.tenant.organization_id
    asleep = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1953460322 AND mode = 'ExclusiveLock' AND granted"
    wait_until(lambda: playground.query(asleep)[0][0] >= 3, 20, "the bridge falling asleep")
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
    wait_until(lambda: stored(playground, 5) == 1, 5, "the message that nobody told of")
    wait_until(lambda: numbers(playground.witness.arrivals) == [6], 5, "the publish that nobody told of")


def test_row_31_a_long_transaction(world: Worlds, stack: Stack) -> None:
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
        wait_until(lambda: playground.waiting() == (0, 0), 20, "an empty queue")
        assert stored(playground, 0) == 0
        late.commit()
    wait_until(lambda: stored(playground, 0) == 1, 10, "the late message")
    assert playground.query("SELECT * FROM mqtt.check_ledger()") == []


def test_row_32_the_queue_of_notices_does_not_fill(world: Worlds) -> None:
    """No session of the bridge rests in a transaction, so what is notified is soon done with."""
    playground = world()
    for _ in range(30):
        playground.query("SELECT pg_notify('topicbase', repeat('x', 5000) || n) FROM generate_series(1, 100) AS n")
    idle = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'mqtt_bridge' AND state LIKE 'idle in transaction%%'"
    assert playground.query(idle)[0][0] == 0
    wait_until(lambda: playground.query("SELECT pg_notification_queue_usage()")[0][0] < 0.01, 10, "an empty queue of notices")
    number = playground.load.probe(time.monotonic() + 10)
    wait_until(lambda: stored(playground, number) == 1, 10, "a message after so many notices")


def test_row_34_no_connections_left(world: Worlds, stack: Stack) -> None:
    """Who is connected works on; who is cut off comes back when there is room."""
    playground = world(producers=("batch",))
    playground.load.resume()
    playground.load.wait_accepted(40)
    held: list[psycopg.Connection[Any]] = []
    try:
        _take_all_connections(stack, held)
        playground.load.wait_accepted(100)
        playground.database_proxy.cut()
        _take_all_connections(stack, held)
    finally:
        for connection in held:
            connection.close()
    playground.recover()
    playground.check()


def _take_all_connections(stack: Stack, held: list[psycopg.Connection[Any]]) -> None:
    while len(held) < 300:
        try:
            held.append(stack.connect())
        except psycopg.OperationalError:
            return
    raise AssertionError("there is no end of connections")


def test_row_28_a_flood_of_retained_messages(world: Worlds) -> None:
    """What Mosquitto kept for years arrives at the first subscribe: stored, marked as retained, and told once."""
    playground = world(bridges=0)
    client = playground.load._connect_mosquitto()
    wait_until(client.is_connected, 20, "Mosquitto")
    topics = [playground.device.topic(f"r{number}") for number in range(3000)]
    for number, topic in enumerate(topics):
        info = client.publish(topic, json.dumps({"n": number}), 1, retain=True)
    info.wait_for_publish(60)
    playground.load._early.clear()
    playground.start()
    query = "SELECT count(*), count(DISTINCT topic), bool_and(retain) FROM mqtt.mqtt_messages WHERE organization_id = %s"
    organization = playground.tenant.organization_id
    wait_until(lambda: playground.query(query, organization)[0][1] == 3000, 60, "all retained messages")
    assert playground.query(query, organization) == [(3000, 3000, True)]
    for topic in topics:
        info = client.publish(topic, b"", 1, retain=True)
    info.wait_for_publish(60)


def test_row_35_a_backlog_for_a_dead_broker_does_not_grow_memory(world: Worlds, *, is_long: bool) -> None:
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
    wait_until(lambda: playground.bridge.log.count(" broker_unreachable ") >= 4, 30, "four attempts to connect")
    assert _resident(playground.bridge.pid) < before + 60_000_000
    playground.witness.start()
    wait_until(lambda: len(playground.witness.arrivals) >= 20000, 60, "20,000 messages sent")
    assert _resident(playground.bridge.pid) < before + 100_000_000
    playground.bridge.kill()
    playground.query("DELETE FROM pgmq.q_mqtt_outbound WHERE organization_id = %s", playground.tenant.organization_id)


def test_row_59_a_new_route_answers_in_the_end(world: Worlds) -> None:
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
            return playground.api.call(name).status_code == 200

        wait_until(is_there, 30, "the new route")
        playground.query(f"DROP FUNCTION api.{name}()")
    playground.query("NOTIFY pgrst, 'reload schema'")


def test_row_60_restored_from_a_dump(world: Worlds, stack: Stack) -> None:
    """Queues, counters, books and receipts come back, and what was settled is not sent again."""
    playground = world(producers=("batch",))
    playground.load.resume()
    playground.load.wait_accepted(80)
    playground.check()
    ids = publish(playground, message("out/a", 1))
    assert receipts(playground, ids)[0][0] == "acknowledged"
    playground.bridge.kill()
    assert playground.device.send({"n": 0}).status_code == 202
    publish(playground, message("out/a", 2))
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
        assert restored.execute("SELECT mqtt.process_batch(1000)").fetchone() == (
            {"dead": 0, "more": False, "failed": 0, "processed": restored_count(original, organization)},
        )
        assert restored.execute("SELECT * FROM mqtt.check_ledger()").fetchall() == []
        outbound = restored.execute(
            "SELECT message -> 'payload' ->> 'n' FROM pgmq.q_mqtt_outbound WHERE organization_id = %s", (organization,)
        )
        assert outbound.fetchall() == [("2",)]
        newest = restored.execute("SELECT max(msg_id) FROM pgmq.q_mqtt_outbound").fetchone()
        following = restored.execute("SELECT nextval(pg_get_serial_sequence('pgmq.q_mqtt_outbound', 'msg_id'))").fetchone()
        assert newest is not None
        assert following is not None
        assert following[0] > newest[0]
    stack.run("exec", "dropdb", name)


def restored_count(connection: psycopg.Connection[Any], organization: str) -> int:
    row = connection.execute("SELECT count(*) FROM pgmq.q_mqtt_messages WHERE organization_id = %s", (organization,)).fetchone()
    assert row is not None
    return int(row[0])
