"""What one organization subscribes to keeps no viewer of another one waiting."""

import json
import time
from collections.abc import Callable, Mapping

import psycopg

from tests.stream.support import Events, Frames, Viewers, settle
from tests.stream.test_stream import first_cursor
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE

AT_ONCE = 15.0  # alone it takes 20 ms, and behind the others' it took half a minute and more


def subscribe(frames: Frames, *subscriptions: Mapping[str, object]) -> None:
    """All at once; the answers, of which each is to be good, may have messages between them."""
    for number, subscription in enumerate(subscriptions):
        frames.send(type="subscribe", id=str(number), **subscription)
    missing = len(subscriptions)
    while missing:
        frame = frames.next()
        assert frame["type"] != "error", frame
        missing -= frame["type"] == "subscribed"


def comes_soon(home: Tenant, events: Events, payload: str) -> None:
    settle(home, [payload])
    began = time.monotonic()
    assert events.payloads(1) == [payload]
    assert time.monotonic() - began < AT_ONCE


def test_names_of_metrics(tenant: Callable[..., Tenant], home: Tenant, viewers: Viewers) -> None:
    """Metrics are looked up among the names of a hundred subscriptions, not compared with each."""
    crowd = tenant()
    frames, quiet = viewers.frames(crowd.member), viewers.events(home.member)
    subscribe(frames, *({"stream": "readings", "metrics": [f"s{number}.n{n}" for n in range(500)]} for number in range(100)))
    settle(crowd, [{f"m{n}": n for n in range(4000)}])
    comes_soon(home, quiet, "after")
    settle(crowd, [{"s7": {"n1": 1, "x": 2}, "s8": 3}])
    frame = frames.next()
    assert (frame["id"], frame["readings"]["metrics"]) == ("7", {"s7.n1": 1})


def test_filters(tenant: Callable[..., Tenant], home: Tenant, viewers: Viewers) -> None:
    """Topics are matched with the filters of one organization a few at a time, and the others' messages come between them."""
    crowd = tenant()
    quiet = viewers.events(home.member)
    levels = "/".join("+" * 80)
    for number in range(10):
        subscribe(viewers.frames(crowd.member), *({"topic": f"+/{levels}/c{number}/{n}/#"} for n in range(100)))
    last = viewers.events(crowd.member, topic=f"org_{crowd.slug}/devices/d999/#")
    deep = "/".join("abcdefgh" * 10)
    with crowd.stack.connect() as connection:
        connection.execute(
            "INSERT INTO pgmq.q_mqtt_messages (vt, organization_id, integration_id, message)"
            " SELECT now(), %s, %s, jsonb_build_object('topic', format(%s, n), 'payload', n) FROM generate_series(0, 999) AS n ORDER BY n",
            (crowd.organization_id, crowd.integration_id, f"org_{crowd.slug}/devices/d%s/{deep}/telemetry"),
        )
    while_all_are_processed(crowd)
    comes_soon(home, quiet, "between")
    assert last.payloads(1) == [999]


def while_all_are_processed(crowd: Tenant) -> None:
    with crowd.stack.connect() as connection:
        while connection.execute("SELECT mqtt.process_batch(1000) ->> 'processed'").fetchone() != ("0",):
            pass


def test_readers_of_the_history(
    tenant: Callable[..., Tenant], home: Tenant, viewers: Viewers, db: psycopg.Connection[tuple[object, ...]]
) -> None:
    """Who reads the history of one organization holds up neither who comes nor who is to be told that a membership has ended."""
    crowd = tenant()
    for _ in range(10):
        settle(crowd, list(range(1000)))
    since = first_cursor(db, crowd)
    ending = viewers.events(home.member)
    subscriptions = [{"topic": f"org_{crowd.slug}/nothing/{n}", "since": since} for n in range(100)]
    readers = [viewers.frames(crowd.member) for _ in range(10)]
    for frames in readers:
        for number, subscription in enumerate(subscriptions):
            frames.send(type="subscribe", id=str(number), **subscription)
    began = time.monotonic()
    viewers.events(home.admin).response.close()
    assert time.monotonic() - began < 5.0
    db.execute("DELETE FROM mqtt.organization_members WHERE user_id = %s", (home.member_id,))
    began = time.monotonic()
    assert ending.next().data["code"] == "membership_ended"
    assert time.monotonic() - began < 5.0
    for frames in readers:
        frames.connection.close_socket()  # nobody reads what would come before the end


def test_what_a_subscription_may_have(home: Tenant, viewers: Viewers) -> None:
    frames = viewers.frames(home.member)
    names = [f"n{n}" for n in range(501)]
    assert frames.ask(type="subscribe", id="a", stream="readings", metrics=names)["code"] == "frame_invalid"
    assert frames.ask(type="subscribe", id="a", topic="x" * 2049)["code"] == "topic_invalid"
    assert frames.ask(type="subscribe", id="a", stream="readings", metrics=names[1:], topic="x" * 2048)["type"] == "subscribed"


def test_digits(home: Tenant, viewers: Viewers) -> None:
    """A number comes with the digits that it was sent with."""
    frames = viewers.frames(home.member)
    subscribe(frames, {"stream": "readings"})
    with home.stack.connect() as connection:
        connection.execute(
            "INSERT INTO pgmq.q_mqtt_messages (vt, organization_id, integration_id, message)"
            " VALUES (now(), %s, %s, jsonb_build_object('topic', %s::text, 'payload', %s::jsonb))",
            (home.organization_id, home.integration_id, f"org_{home.slug}/devices/d1/telemetry", '{"n": 12345678901234567.891, "z": 1.50}'),
        )
    while_all_are_processed(home)
    text = str(frames.connection.recv(timeout=PATIENCE))
    assert json.loads(text)["type"] == "readings"
    assert '"n":12345678901234567.891' in text
    assert '"z":1.50' in text
