"""The streams of states and of receipts: what there is, then what changes, and to whom."""

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.stream.support import Frames, Viewers, second_process, settle
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import wait_until

Connection = psycopg.Connection[tuple[Any, ...]]


def begin(frames: Frames, stream: str, **frame: Any) -> list[Any]:
    """What there is, up to `current`."""
    assert frames.ask(type="subscribe", id=stream, stream=stream, **frame)["type"] == "subscribed"
    return list(iter_until_current(frames, stream))


def iter_until_current(frames: Frames, stream: str) -> Iterator[Any]:
    while (frame := frames.next())["type"] != "current":
        assert (frame["id"], frame["type"]) == (stream, stream), frame
        yield frame[stream]


def change(frames: Frames, stream: str) -> Any:
    frame = frames.next()
    assert (frame["id"], frame["type"]) == (stream, stream), frame
    return frame[stream]


def wait_for_a_look(db: Connection) -> None:
    """Until the stream has asked for receipts once more."""
    (now,) = db.execute("SELECT clock_timestamp()").fetchone() or ()
    query = (
        "SELECT true FROM pg_stat_activity WHERE usename = 'topicbase_stream' AND query LIKE '%%mqtt.stream_receipts(%%'"
        " AND query_start > %s"
    )
    wait_until(lambda: db.execute(query, (now,)).fetchone() is not None, what="a look for receipts")


def set_presence(db: Connection, home: Tenant, device: str, state: str) -> None:
    db.execute(
        "UPDATE mqtt.devices SET presence = jsonb_build_object('state', %s::text, 'since', now()) WHERE organization_id = %s"
        " AND external_id = %s",
        (state, home.organization_id, device),
    )


def test_presence(tenant: Callable[..., Tenant], viewers: Viewers, db: Connection) -> None:
    home, other = tenant(), tenant()
    settle(home, [1])
    settle(home, [1], topic="devices/d2/telemetry")
    settle(other, [1], topic="devices/theirs/telemetry")
    frames, second = viewers.frames(home.member), viewers.frames(home.member)
    there = begin(frames, "presence")
    assert sorted(row["external_id"] for row in there) == ["d1", "d2"]
    (first,) = (row for row in there if row["external_id"] == "d1")
    assert first == {
        "id": first["id"],
        "organization_id": home.organization_id,
        "integration_id": home.integration_id,
        "external_id": "d1",
        "state": "unknown",
        "since": None,
        "by": None,
    }
    assert [row["id"] for row in begin(second, "presence", device_id="d1")] == [first["id"]]
    set_presence(db, other, "theirs", "online")
    set_presence(db, home, "d2", "online")
    set_presence(db, home, "d1", "offline")
    told = [change(frames, "presence") for _ in range(2)]
    assert sorted((row["external_id"], row["state"]) for row in told) == [("d1", "offline"), ("d2", "online")]
    assert change(second, "presence")["state"] == "offline"
    # One that goes and one that comes leave as many as before.
    with db.transaction():
        db.execute("DELETE FROM mqtt.devices WHERE id = %s", (first["id"],))
        db.execute(
            "INSERT INTO mqtt.devices (organization_id, integration_id, external_id) VALUES (%s, %s, 'd3')",
            (home.organization_id, home.integration_id),
        )
    told = [change(frames, "presence") for _ in range(2)]
    assert {"id": first["id"], "deleted": True} in told
    assert [row["state"] for row in told if row.get("external_id") == "d3"] == ["unknown"]
    assert change(second, "presence") == {"id": first["id"], "deleted": True}


def test_integrations(tenant: Callable[..., Tenant], viewers: Viewers, db: Connection) -> None:
    home, other = tenant(), tenant()
    frames = viewers.frames(home.member)
    (row,) = begin(frames, "integrations")
    (expected,) = home.api.rows("device_integrations", token=home.member)
    assert row == expected
    db.execute(
        "UPDATE mqtt.device_integrations SET status = 'error', status_detail = 'unreachable' WHERE id = ANY (%s)",
        ([other.integration_id, home.integration_id],),
    )
    changed = change(frames, "integrations")
    assert (changed["id"], changed["status"], changed["status_detail"]) == (home.integration_id, "error", "unreachable")
    added = home.integration(broker_url="broker.example.com", username="u", password="secret of theirs")
    came = change(frames, "integrations")
    assert (came["id"], came["has_password"], came["settings"]["username"]) == (added, True, "u")
    assert "secret" not in json.dumps(came)
    home.api.ok("delete_integration", {"integration_id": added}, token=home.admin)
    assert change(frames, "integrations") == {"id": added, "deleted": True}


def enqueue(db: Connection, home: Tenant, topic: str) -> None:
    db.execute(
        "INSERT INTO pgmq.q_mqtt_outbound (vt, organization_id, integration_id, message)"
        " VALUES (now(), %s, %s, jsonb_build_object('topic', %s::text, 'payload', 1, 'qos', 1))",
        (home.organization_id, home.integration_id, topic),
    )


def acknowledge(db: Connection, home: Tenant, topic: str, state: str = "acknowledged") -> None:
    db.execute(
        "SELECT mqtt.settle_outbound(array_agg(msg_id), array_agg(%s::text), array_agg(0::smallint), array_agg(NULL::text))"
        " FROM pgmq.q_mqtt_outbound WHERE organization_id = %s AND message ->> 'topic' = %s",
        (state, home.organization_id, topic),
    )


def test_receipts(tenant: Callable[..., Tenant], viewers: Viewers, db: Connection) -> None:
    home, other = tenant(), tenant()
    for where, topic in ((home, "a"), (home, "b"), (other, "a")):
        enqueue(db, where, topic)
    frames, only = viewers.frames(home.member), viewers.frames(home.member)
    assert [(row["topic"], row["state"]) for row in begin(frames, "receipts")] == [("a", "queued"), ("b", "queued")]
    assert [row["topic"] for row in begin(only, "receipts", topic="+")] == ["a", "b"]
    for where in (other, home):
        acknowledge(db, where, "a")
    row = change(frames, "receipts")
    (expected,) = home.api.ok("get_mqtt_publish_receipts", {"receipt_ids": [row["receipt_id"]]}, token=home.member)
    assert row == expected
    assert (row["topic"], row["state"], row["organization_id"]) == ("a", "acknowledged", home.organization_id)
    acknowledge(db, home, "b", "failed")
    row = change(frames, "receipts")
    assert (row["topic"], row["state"]) == ("b", "failed")
    enqueue(db, home, "c/d")
    acknowledge(db, home, "c/d")
    while change(frames, "receipts")["state"] != "acknowledged":
        pass
    enqueue(db, home, "e")
    acknowledge(db, home, "e", "expired")
    told = [change(only, "receipts") for _ in range(3)]
    while told[-1]["state"] == "queued":
        told.append(change(only, "receipts"))
    assert [(row["topic"], row["state"]) for row in told if row["state"] != "queued"] == [
        ("a", "acknowledged"),
        ("b", "failed"),
        ("e", "expired"),
    ]


def test_a_receipt_that_is_committed_late(home: Tenant, viewers: Viewers, stack: Stack, db: Connection) -> None:
    """What was settled before another receipt, and committed after it, is not passed over."""
    frames = viewers.frames(home.member)
    assert begin(frames, "receipts") == []
    with stack.connect(autocommit=False) as late:
        for connection, topic in ((late, "late"), (db, "early")):
            enqueue(connection, home, topic)
            acknowledge(connection, home, topic, "failed")
        early = change(frames, "receipts")
        enqueue(db, home, "then")
        acknowledge(db, home, "then", "failed")
        then = change(frames, "receipts")
        late.commit()
        assert [early["topic"], then["topic"], change(frames, "receipts")["topic"]] == ["early", "then", "late"]


def test_a_receipt_whose_transaction_is_the_newest(home: Tenant, viewers: Viewers, stack: Stack, db: Connection) -> None:
    """A snapshot has one limit for a transaction that is yet to begin and for one that runs and has seen none end that began later."""
    frames = viewers.frames(home.member)
    assert begin(frames, "receipts") == []
    # Not the first one: the stream writes down that it has a viewer.
    for topic in ("a", "b", "c"):
        with stack.connect(autocommit=False) as late:
            enqueue(late, home, topic)
            acknowledge(late, home, topic)
            for _ in range(2):  # the second one begins when the first has ended
                wait_for_a_look(db)
            late.commit()
        assert change(frames, "receipts")["topic"] == topic


def test_receipts_before_the_first_reading(home: Tenant, viewers: Viewers, stack: Stack, db: Connection) -> None:
    """What is settled between `subscribed` and the first reading is told to nobody: it does not stand yet."""
    frames = viewers.frames(home.member)
    with stack.connect(autocommit=False) as late:
        late.execute("LOCK TABLE mqtt.mqtt_publish_receipts")
        frames.send(type="subscribe", id="receipts", stream="receipts")
        query = "SELECT true FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%mqtt.stream_receipts(%'"
        wait_until(lambda: db.execute(query).fetchone() is not None, what="a reading that waits")
        assert frames.ask(type="unsubscribe", id="another")["type"] == "error"
        enqueue(late, home, "a")
        acknowledge(late, home, "a")
        late.commit()
    assert [frames.next()["type"] for _ in range(2)] == ["subscribed", "current"]


def test_receipts_while_the_database_is_away(home: Tenant, stack: Stack, db: Connection, tmp_path: Path) -> None:
    """What is settled while the stream has no session is told when it has one again."""
    secret = tmp_path / "jwt_secret"
    secret.write_text(stack.env["JWT_SECRET"])
    of_others = [pid for (pid,) in db.execute("SELECT pid FROM pg_stat_activity WHERE usename = 'topicbase_stream'")]
    with second_process(stack, secret) as url:
        viewers = Viewers(stack, f"{url}/stream")
        frames = viewers.frames(home.member)
        assert begin(frames, "receipts") == []
        for n in range(5):
            db.execute(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE usename = 'topicbase_stream' AND pid <> ALL (%s)",
                (of_others,),
            )
            enqueue(db, home, f"{n}")
            acknowledge(db, home, f"{n}")
            told = change(frames, "receipts")
            while told["topic"] != f"{n}" or told["state"] == "queued":
                told = change(frames, "receipts")
        viewers.close()


def test_who_comes_long_after_the_last_has_gone(home: Tenant, viewers: Viewers, db: Connection) -> None:
    """What was known then is shown, and looked after again, also where the last one left while the stream rested from a look."""
    settle(home, [1])
    frames = viewers.frames(home.member)
    begin(frames, "presence")
    set_presence(db, home, "d1", "online")
    assert change(frames, "presence")["state"] == "online"
    assert frames.ask(type="unsubscribe", id="presence")["type"] == "unsubscribed"
    begin(frames, "statistics")
    change(frames, "statistics")  # seconds later
    frames.ask(type="unsubscribe", id="statistics")
    begin(frames, "presence")
    set_presence(db, home, "d1", "offline")
    assert change(frames, "presence")["state"] == "offline"


def test_receipts_resume(home: Tenant, viewers: Viewers, db: Connection) -> None:
    events = viewers.events(home.member, stream="receipts")
    assert events.next().name == "current"
    for topic in ("a", "b"):
        enqueue(db, home, topic)
        acknowledge(db, home, topic)
        while events.next().data["topic"] != topic:
            pass
    events.response.close()
    for topic in ("c", "d"):
        enqueue(db, home, topic)
        acknowledge(db, home, topic, "failed")
    resumed = viewers.events(home.member, {"Last-Event-ID": events.cursor or ""}, stream="receipts")
    told: list[str] = []
    while (event := resumed.next()).name != "current":
        told.append(event.data["topic"])
    # Those from just before the cursor may come again.
    assert told in (["c", "d"], ["b", "c", "d"])
    for stream, cursor in (("messages", events.cursor), ("receipts", viewers.events(home.member).cursor)):
        viewers.refused(400, "cursor_invalid", home.member, stream=stream, since=cursor or "")


def test_statistics(tenant: Callable[..., Tenant], viewers: Viewers, db: Connection) -> None:
    home, second, other = tenant(), tenant(), tenant()
    db.execute(
        "INSERT INTO mqtt.organization_members (organization_id, user_id, role) VALUES (%s, %s, 'member')",
        (second.organization_id, home.member_id),
    )
    settle(home, [1, 2, 3])
    frames = viewers.frames(home.member)
    rows = {row["organization_id"]: row for row in begin(frames, "statistics")}
    assert set(rows) == {home.organization_id, second.organization_id}
    answer = home.api.ok("get_mqtt_queue_stats", {"organization_id": home.organization_id}, token=home.member)
    assert set(rows[home.organization_id]) == {*answer, "at"}
    assert rows[home.organization_id]["completed"] == 3
    settle(home, [4])
    while (row := change(frames, "statistics"))["organization_id"] != home.organization_id or row["completed"] != 4:
        assert row["organization_id"] != other.organization_id


def test_operators_see_the_installation(home: Tenant, viewers: Viewers, stack: Stack, db: Connection) -> None:
    operator = str(uuid.uuid4())
    viewers.refused(404, "organization_not_found", stack.token(sub=operator), stream="statistics")
    db.execute("INSERT INTO mqtt.operators (user_id) VALUES (%s)", (operator,))
    frames = viewers.frames(stack.token(sub=operator))
    (row,) = begin(frames, "statistics")
    answer = home.api.ok("get_system_status", token=stack.token(sub=operator))
    assert row["organization_id"] is None
    assert set(row) == {*answer, "organization_id"}
    assert frames.ask(type="subscribe", id="x", stream="presence")["code"] == "organization_not_found", "no organization is opened"
    db.execute("DELETE FROM mqtt.operators WHERE user_id = %s", (operator,))
    while (frame := frames.next())["type"] == "statistics":
        pass
    assert frame["code"] == "membership_ended"


@pytest.mark.parametrize(
    ("stream", "name", "value"),
    [("presence", "topic", "a"), ("integrations", "device_id", "a"), ("statistics", "metrics", ["a"]), ("receipts", "device_id", "a")],
)
def test_filters_that_a_stream_does_not_have(home: Tenant, viewers: Viewers, stream: str, name: str, value: Any) -> None:
    answer = viewers.frames(home.member).ask(type="subscribe", id="a", stream=stream, **{name: value})
    assert (answer["code"], name in answer["detail"]) == ("frame_invalid", True)
