"""The live stream through the gateway: what comes, to whom, after what, and how it ends."""

import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import requests
import typer
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from bridge.cli import stream
from bridge.stream.database import CONNECTIONS
from tests.stream.support import Events, Viewers, settle, until_closed
from tests.support.api import Api
from tests.support.counting import tells
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE, wait_until

Connection = psycopg.Connection[tuple[Any, ...]]


def leave(db: Connection, home: Tenant) -> None:
    db.execute("DELETE FROM mqtt.organization_members WHERE user_id = %s", (home.member_id,))


def test_events_resume_without_loss_or_repeat(home: Tenant, viewers: Viewers) -> None:
    events = viewers.events(home.member, topic=f"org_{home.slug}/devices/+/telemetry")
    settle(home, [1])
    settle(home, [2], topic="devices/d1/status")
    settle(home, [3, 4, 5])
    assert events.payloads(3) == [1, 3, 4]
    events.response.close()
    settle(home, [6, 7])
    resumed = viewers.events(home.member, {"Last-Event-ID": events.cursor or ""}, topic=f"org_{home.slug}/devices/+/telemetry")
    assert resumed.payloads(3) == [5, 6, 7]
    settle(home, [8])
    assert resumed.payloads(1) == [8]


def test_no_cursor_counts_what_others_do(tenant: Callable[..., Tenant], home: Tenant, viewers: Viewers) -> None:
    other, steps, samples = tenant(), [3, 11, 2, 7], []
    events = viewers.events(home.member)
    for step in [0, *steps]:
        for number in range(step):
            settle(other, [number])  # a batch, and a settlement, of each
        settle(home, [step])
        event = events.next()
        samples.append({"cursor": event.id, "message": event.data})
    assert tells(samples, steps) == []


def test_a_flood_with_many_viewers_keeps_no_other_waiting(tenant: Callable[..., Tenant], home: Tenant, viewers: Viewers) -> None:
    """What is settled for one goes to a hundred viewers in turns, and between them each of the others' messages."""
    crowd, count = tenant(), 1500
    first, *_ = [viewers.events(crowd.member) for _ in range(100)]
    quiet = viewers.events(home.member)
    settle(crowd, list(range(count)))
    settle(home, ["between"])
    assert quiet.payloads(1) == ["between"]
    assert first.payloads(count) == list(range(count))


def test_large_messages_are_read_a_few_at_a_time(home: Tenant, viewers: Viewers, db: Connection) -> None:
    events = viewers.events(home.member)
    payloads = [[n, 1e-99, "x" * 120_000, *[12345678] * 4000] for n in range(60)]
    settle(home, payloads)
    settle(home, ["small"] * 300)
    sent = [*payloads, *["small"] * 300]
    assert messages(events, len(sent)) == sent
    events.response.close()
    # Who resumes reads the history alone.
    events = viewers.events(home.member, {"Last-Event-ID": first_cursor(db, home)})
    assert messages(events, len(sent)) == sent
    position, read, sizes = (0, 0), 0, []
    while True:
        rows = db.execute(
            "SELECT m.message, m.incoming, m.incoming_place, m.read_count FROM mqtt.organizations AS o, mqtt.stream_messages("
            "ARRAY[o.number], ARRAY[%s], ARRAY[0], ARRAY[%s], ARRAY[0], '{}', NULL, NULL, NULL, true, 1000) AS m WHERE o.id = %s",
            (*position, home.organization_id),
        ).fetchall()
        assert all(count is None for *_, count in rows[:-1])
        read, position = read + len(rows), (rows[-1][1], rows[-1][2])
        sizes.append(sum(len(message) for message, *_ in rows))
        if rows[-1][3] is None:
            break
        assert rows[-1][3] == len(rows)
    assert read == len(sent)
    assert max(sizes) < 4 << 20 < sum(sizes)


def messages(events: Events, count: int) -> list[Any]:
    """The payloads of the next messages, for a reader that may be too slow to follow the feed."""
    payloads: list[Any] = []
    while len(payloads) < count:
        event = events.next()
        if event.name == "message":
            payloads.append(event.data["payload"])
        else:
            assert (event.name, event.data["lost"]) == ("gap", False)
    return payloads


def first_cursor(db: Connection, home: Tenant) -> str:
    row = db.execute(
        "SELECT mqtt.stream_cursor(o.number, 0, 0, 0, 0, now()) FROM mqtt.organizations AS o WHERE o.id = %s", (home.organization_id,)
    ).fetchone()
    assert row is not None
    return str(row[0])


def test_a_message_is_what_a_webhook_posts(home: Tenant, viewers: Viewers) -> None:
    events = viewers.events(home.member)
    settle(home, [{"temperature": 21.5}])
    event = events.next()
    assert event.id
    assert event.data == {
        "type": "mqtt.message",
        "id": event.data["id"],
        "organization_id": home.organization_id,
        "integration_id": home.integration_id,
        "device_id": "d1",
        "direction": "incoming",
        "topic": f"org_{home.slug}/devices/d1/telemetry",
        "message_type": "telemetry",
        "payload": {"temperature": 21.5},
        "payload_encoding": "json",
        "content_type": None,
        "qos": 0,
        "retain": False,
        "properties": None,
        "sent_at": None,
        "received_at": event.data["received_at"],
        "measured_at": event.data["received_at"],
        "decode_error": None,
        "external_id": "d1",
    }


def test_what_is_published_comes_too(home: Tenant, viewers: Viewers, db: Connection) -> None:
    events = viewers.events(home.member)
    db.execute(
        "INSERT INTO pgmq.q_mqtt_outbound (vt, organization_id, integration_id, message)"
        """ VALUES (now(), %s, %s, '{"topic": "x/y", "payload": 1}')""",
        (home.organization_id, home.integration_id),
    )
    db.execute(
        "SELECT mqtt.settle_outbound(array_agg(msg_id), '{sent}', '{0}', '{null}') FROM pgmq.q_mqtt_outbound WHERE organization_id = %s",
        (home.organization_id,),
    )
    event = events.next()
    assert (event.data["direction"], event.data["topic"]) == ("outgoing", "x/y")


def test_organizations_see_their_own(tenant: Callable[..., Tenant], viewers: Viewers) -> None:
    ours, theirs = tenant(), tenant()
    mine, other = viewers.events(ours.member), viewers.events(theirs.member)
    settle(theirs, ["theirs"])
    settle(ours, ["ours"])
    assert mine.payloads(1) == ["ours"]
    assert other.payloads(1) == ["theirs"]
    # A cursor is a place, and opens nothing.
    stolen = viewers.events(ours.member, since=other.cursor or "")
    settle(theirs, ["theirs again"])
    settle(ours, ["ours again"])
    assert stolen.payloads(1) == ["ours again"]
    refused = viewers.get(ours.member, organization_id=theirs.organization_id)
    assert (refused.status_code, refused.json()["message"]) == (404, "organization_not_found")


def test_one_stream_of_two_organizations(tenant: Callable[..., Tenant], viewers: Viewers, db: Connection) -> None:
    first, second = tenant(), tenant()
    db.execute(
        "INSERT INTO mqtt.organization_members (organization_id, user_id, role) VALUES (%s, %s, 'member')",
        (second.organization_id, first.member_id),
    )
    events = viewers.events(first.member)
    settle(first, [1])
    assert events.payloads(1) == [1]
    settle(second, [2])
    assert events.payloads(1) == [2]
    events.response.close()
    settle(second, [3])
    settle(first, [4])
    assert sorted(viewers.events(first.member, since=events.cursor or "").payloads(2)) == [3, 4]


def test_frames(home: Tenant, viewers: Viewers) -> None:
    frames = viewers.frames(home.member)
    assert frames.ask(type="subscribe", id="a", topic=f"org_{home.slug}/#")["type"] == "subscribed"
    assert frames.ask(type="subscribe", id="b", stream="readings", metrics=["humidity"])["id"] == "b"
    settle(home, [{"temperature": 1}, {"humidity": 2, "temperature": 3}])
    told = [frames.next() for _ in range(3)]
    assert [(frame["id"], frame["message"]["payload"]) for frame in told if frame["type"] == "message"] == [
        ("a", {"temperature": 1}),
        ("a", {"humidity": 2, "temperature": 3}),
    ]
    (reading,) = [frame for frame in told if frame["type"] == "readings"]
    assert (reading["id"], reading["readings"]["deviceId"], reading["readings"]["metrics"]) == ("b", "d1", {"humidity": 2})
    assert frames.ask(type="unsubscribe", id="b") == {"type": "unsubscribed", "id": "b"}
    settle(home, [{"humidity": 9}])
    assert frames.next()["id"] == "a"
    resumed = frames.ask(type="subscribe", id="c", device_id="d1", since=told[0]["cursor"])
    assert resumed["type"] == "subscribed"
    assert [frames.next()["message"]["payload"] for _ in range(2)] == [{"humidity": 2, "temperature": 3}, {"humidity": 9}]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({"type": "subscribe"}, "frame_invalid"),
        ({"type": "subscribe", "id": ""}, "frame_invalid"),
        ({"type": "subscribe", "id": "x", "topic": 1}, "frame_invalid"),
        ({"type": "subscribe", "id": "x", "metrics": "temperature"}, "frame_invalid"),
        ({"type": "subscribe", "id": "x", "topic": "a\x00"}, "frame_invalid"),
        ({"type": "subscribe", "id": "x", "topic": "a/#/b"}, "topic_invalid"),
        ({"type": "subscribe", "id": "x", "topic": "+/" * 200 + "+"}, "topic_invalid"),
        ({"type": "subscribe", "id": "x", "stream": "nothing"}, "stream_unknown"),
        ({"type": "subscribe", "id": "x", "since": "nothing"}, "cursor_invalid"),
        ({"type": "subscribe", "id": "x", "device_id": "nothing"}, "device_not_found"),
        ({"type": "subscribe", "id": "x", "organization_id": "nothing"}, "organization_not_found"),
        ({"type": "unsubscribe", "id": "x"}, "subscription_unknown"),
        ({"type": "nothing"}, "frame_invalid"),
        ([], "frame_invalid"),
    ],
)
def test_frames_that_are_wrong(home: Tenant, viewers: Viewers, frame: Any, code: str) -> None:
    frames = viewers.frames(home.member)
    frames.connection.send(json.dumps(frame))
    answer = frames.next()
    assert (answer["type"], answer["code"]) == ("error", code)
    assert answer["detail"]
    assert answer["hint"]
    assert frames.ask(type="subscribe", id="y")["type"] == "subscribed", "the connection goes on"


def test_no_hello(home: Tenant, viewers: Viewers) -> None:
    for first, code in (
        ("{}", "hello_missing"),
        ('{"type": "hello"}', "token_missing"),
        ('{"type": "hello", "token": "x"}', "token_invalid"),
    ):
        with connect(viewers.url.replace("http", "ws", 1)) as connection:
            connection.send(first)
            assert f'"code":"{code}"' in connection.recv(timeout=PATIENCE)
            with pytest.raises(ConnectionClosed) as closed:
                connection.recv(timeout=PATIENCE)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4401


def test_tokens_that_are_refused(stack: Stack, home: Tenant, viewers: Viewers) -> None:
    user = home.member_id
    for token, status, slug in (
        (None, 401, "token_missing"),
        ("x.y.z", 401, "token_invalid"),
        (stack.token(sub=user) + "x", 401, "token_invalid"),
        (stack.token(sub=user, aud="others"), 401, "token_invalid"),
        (stack.token(sub=user, aud=None), 401, "token_incomplete"),
        (stack.token(sub=user, exp=None), 401, "token_incomplete"),
        (stack.token(sub=user, exp=int(time.time()) - 5), 401, "token_expired"),
        (stack.token("anon", user), 403, "role_not_allowed"),
        (stack.token(sub="no uuid"), 404, "organization_not_found"),
    ):
        answer = viewers.get(token)
        assert (answer.status_code, answer.json()["message"]) == (status, slug), answer.text
        assert set(answer.json()) == {"code", "message", "details", "hint"}


def test_a_ticket_opens_one_stream(stack: Stack, home: Tenant, api: Api, viewers: Viewers, db: Connection) -> None:
    before = datetime.now(UTC)
    made = api.ok("create_stream_ticket", token=home.member)
    assert before <= datetime.fromisoformat(made["expires_at"]) - timedelta(seconds=30) <= datetime.now(UTC)
    ticket = made["ticket"]
    events = viewers.events(None, ticket=ticket)
    settle(home, [1])
    assert events.payloads(1) == [1]
    late = api.ok("create_stream_ticket", token=home.member)["ticket"]
    db.execute("UPDATE mqtt.stream_tickets SET expires_at = now() - interval '1 second'")
    for used in (ticket, late, "unknown"):
        answer = viewers.get(None, ticket=used)
        assert (answer.status_code, answer.json()["message"]) == (401, "ticket_invalid")
    for part in ("gateway", "stream", "postgrest"):
        assert not any(secret in stack.log(part) for secret in (ticket, late)), f"the log of {part} has a ticket"


def test_nothing_comes_after_a_membership_has_ended(home: Tenant, viewers: Viewers, db: Connection) -> None:
    events, frames = viewers.events(home.member), viewers.frames(home.member)
    assert frames.ask(type="subscribe", id="a")["type"] == "subscribed"
    settle(home, [1])
    assert events.payloads(1) == [1]
    assert frames.next()["type"] == "message"
    leave(db, home)
    (ended,) = until_closed(events)
    assert (ended.name, ended.data["code"]) == ("error", "membership_ended")
    answer = frames.next()
    assert (answer["type"], answer["id"], answer["code"]) == ("error", "a", "membership_ended")
    settle(home, [2])
    assert frames.ask(type="subscribe", id="b")["code"] == "organization_not_found"


def test_a_token_ends_unless_it_is_renewed(stack: Stack, home: Tenant, viewers: Viewers) -> None:
    for seconds in (3, 10, 30):
        soon = int(time.time()) + seconds
        with suppress(AssertionError, ConnectionClosed):
            events = viewers.events(stack.token(sub=home.member_id, exp=soon))
            frames, renewed = (viewers.frames(stack.token(sub=home.member_id, exp=soon)) for _ in range(2))
            assert renewed.ask(type="token", token=home.member) == {"type": "ready"}
        if time.time() < soon:
            break  # or this machine was so slow that the token ended meanwhile
    assert renewed.ask(type="subscribe", id="a")["type"] == "subscribed"
    (ended,) = until_closed(events)
    assert (ended.name, ended.data["code"]) == ("error", "token_expired")
    assert frames.next()["code"] == "token_expired"
    with pytest.raises(ConnectionClosed) as closed:
        frames.next()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401
    settle(home, [1])
    assert renewed.next()["message"]["payload"] == 1


def test_a_gap_where_the_history_has_no_more(home: Tenant, viewers: Viewers, db: Connection) -> None:
    events = viewers.events(home.member)
    settle(home, [1, 2, 3, 4])
    assert events.payloads(1) == [1]
    events.response.close()
    db.execute(
        "DELETE FROM mqtt.history AS h USING mqtt.organizations AS o WHERE o.id = %s AND h.organization = o.number AND h.payload = '3'",
        (home.organization_id,),
    )
    resumed = viewers.events(home.member, since=events.cursor or "")
    told = [resumed.next() for _ in range(3)]
    assert [(event.name, event.data.get("payload")) for event in told] == [("gap", None), ("message", 2), ("message", 4)]
    assert told[0].data == {"reason": "history_removed", "lost": True}


def test_a_slow_reader_is_read_for_from_the_history(home: Tenant, viewers: Viewers) -> None:
    slow, quick = viewers.events(home.member), viewers.events(home.member)
    # More than the buffers of the stream, the gateway and the kernel hold for a reader that does not read.
    for first in range(0, 400, 40):
        settle(home, [{"n": first + n, "filler": "x" * 50_000} for n in range(40)])
    assert [payload["n"] for payload in payloads_until(quick, 400)] == list(range(400))
    seen: list[int] = []
    gaps = set()
    while len(seen) < 400:
        event = slow.next()
        if event.name == "gap":
            gaps.add((event.data["reason"], event.data["lost"]))
        else:
            seen.append(event.data["payload"]["n"])
    assert seen == list(range(400))
    assert gaps == {("slow_reader", False)}
    settle(home, [{"n": 400}])
    assert payloads_until(slow, 1) == [{"n": 400}]


def readings_of_feeds(stack: Stack) -> int:
    """How often something that was settled has been read for all viewers of an organization at once."""
    ports = dict(line.split("=", 1) for line in (stack.run_dir / "ports").read_text().splitlines())
    page = requests.get(f"http://127.0.0.1:{ports['STREAM']}/metrics", timeout=PATIENCE).text
    return next(int(float(line.split()[1])) for line in page.splitlines() if line.startswith("topicbase_stream_lag_seconds_count"))


def test_what_nobody_can_follow_is_read_for_nobody(tenant: Callable[..., Tenant], stack: Stack, home: Tenant, viewers: Viewers) -> None:
    """While all viewers of an organization are too slow, its messages cost the others nothing; afterwards none is missing."""
    crowd, sent = tenant(), 0
    slow, quiet = viewers.events(crowd.member), viewers.events(home.member)

    def is_read_for_nobody() -> bool:
        nonlocal sent
        settle(crowd, [{"n": sent + n, "filler": "x" * 50_000} for n in range(40)])
        sent += 40
        before = readings_of_feeds(stack)
        settle(crowd, [{"n": sent}])
        sent += 1
        settle(home, [sent])
        assert quiet.payloads(1) == [sent]
        return readings_of_feeds(stack) == before + 1

    wait_until(is_read_for_nobody, what="the end of the feed that nobody follows")
    assert [payload["n"] for payload in payloads_until(slow, sent)] == list(range(sent))
    settle(crowd, [{"n": sent}])
    assert payloads_until(slow, 1) == [{"n": sent}]


def payloads_until(events: Events, count: int) -> list[Any]:
    """The payloads of the next messages, whatever is said between them."""
    found: list[Any] = []
    while len(found) < count:
        event = events.next()
        if event.name == "message":
            found.append(event.data["payload"])
    return found


def test_the_bounds_of_a_connection(home: Tenant, viewers: Viewers) -> None:
    frames = viewers.frames(home.member)
    for n in range(100):
        assert frames.ask(type="subscribe", id=str(n), topic=f"t{n}")["type"] == "subscribed"
    assert frames.ask(type="subscribe", id="100")["code"] == "stream_limit_reached"
    frames.ask(type="unsubscribe", id="0")
    assert frames.ask(type="subscribe", id="100")["type"] == "subscribed"


def test_no_viewer_costs_no_notification(home: Tenant, viewers: Viewers, db: Connection) -> None:
    def watched() -> Any:
        return db.execute(
            "SELECT count(*) FROM mqtt.stream_viewers AS v JOIN mqtt.organizations AS o ON o.number = v.organization WHERE o.id = %s",
            (home.organization_id,),
        ).fetchone()

    assert watched() == (0,)
    events = viewers.events(home.member)
    assert wait_until(lambda: watched() == (1,), what="the viewer")
    events.response.close()
    assert wait_until(lambda: watched() == (0,), what="its end")


def test_a_browser_of_any_origin(home: Tenant, viewers: Viewers) -> None:
    answer = viewers.get(home.member, {"Origin": "https://app.example.com"})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Content-Type"].startswith("text/event-stream")


def test_after_a_restart_of_the_database(stack: Stack, home: Tenant, viewers: Viewers) -> None:
    events = viewers.events(home.member)
    settle(home, [1])
    assert events.payloads(1) == [1]
    stack.restart("postgres")
    settle(home, [2, 3])
    assert events.payloads(2) == [2, 3]


def test_connections_that_postgres_ended_while_idle_are_replaced(home: Tenant, viewers: Viewers, db: Connection) -> None:
    ours = "SELECT pid FROM pg_stat_activity WHERE usename = 'topicbase_stream'"
    for _ in range(CONNECTIONS):
        viewers.events(home.member).response.close()
    ended = [pid for (pid,) in db.execute(ours).fetchall()]
    assert ended
    db.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s) AS pid", (ended,))
    wait_until(lambda: not db.execute("SELECT FROM pg_stat_activity WHERE pid = ANY (%s)", (ended,)).fetchall(), what="the end of all")
    for _ in range(CONNECTIONS + 1):
        events = viewers.events(home.member)
    settle(home, ["after"])
    assert events.payloads(1) == ["after"]


def test_without_its_web_server(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delitem(sys.modules, "bridge.stream.server", raising=False)
    monkeypatch.delattr("bridge.stream.server", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)  # Python's own way to say that there is none
    with pytest.raises(typer.Exit):
        stream.stream()
    assert "the live stream needs uvicorn: install Topicbase with its extra, as in pip install '.[stream]'" in capsys.readouterr().err
