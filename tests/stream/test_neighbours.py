"""What one organization subscribes to keeps no viewer of another one waiting."""

import json
import time
from collections.abc import Callable

from tests.stream.support import Events, Frames, Viewers, settle
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE

AT_ONCE = 5.0  # with much to spare: for a subscriber of its own it takes 20 ms


def subscribe(frames: Frames, *subscriptions: dict[str, object]) -> None:
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


def while_all_are_processed(crowd: Tenant) -> None:
    with crowd.stack.connect() as connection:
        while connection.execute("SELECT mqtt.process_batch(1000) ->> 'processed'").fetchone() != ("0",):
            pass


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
