"""query_telemetry and list_messages: in order, each row once, and only one's own."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api.support import Queue, refused
from tests.support.tenant import Tenant

COUNT = 3000


@pytest.fixture
def burst(home: Tenant, queue: Queue) -> Tenant:
    """A tenant whose device has sent one batch: all with the same time of receipt."""
    device = home.device()
    answer = device.send_batch([{"topic": device.topic(), "payload": {"n": n}} for n in range(COUNT)])
    assert answer.json()["accepted"] == COUNT, answer.text
    assert queue.work()["processed"] == COUNT
    return home


def pages(tenant: Tenant, rpc: str, **arguments: Any) -> Iterator[list[dict[str, Any]]]:
    cursor = None
    while rows := tenant.api.ok(rpc, {**arguments, "cursor": cursor}, token=tenant.member):
        yield rows
        cursor = rows[-1]["cursor"]


def numbers(rows: list[dict[str, Any]]) -> list[int]:
    return [row["metrics" if "metrics" in row else "payload"]["n"] for row in rows]


@pytest.mark.parametrize("arguments", [{}, {"device_id": "sensor01"}, {"device_ids": ["sensor01"]}, {"time": "received"}])
def test_the_newest_of_one_batch(burst: Tenant, arguments: dict[str, Any]) -> None:
    rows = burst.api.ok("query_telemetry", arguments, token=burst.member)
    assert numbers(rows) == list(range(COUNT - 1, COUNT - 101, -1))
    everything = [n for page in pages(burst, "query_telemetry", limit=100, **arguments) for n in numbers(page)]
    assert everything == list(range(COUNT - 1, -1, -1))


def test_the_history_of_one_batch(burst: Tenant) -> None:
    assert numbers(burst.api.ok("list_messages", token=burst.member)) == list(range(COUNT - 1, COUNT - 101, -1))
    for oldest_first, expected in ((False, list(range(COUNT - 1, -1, -1))), (True, list(range(COUNT)))):
        found = [n for page in pages(burst, "list_messages", limit=100, oldest_first=oldest_first) for n in numbers(page)]
        assert found == expected


def test_what_a_device_buffered_is_found_where_it_was_measured(home: Tenant, queue: Queue) -> None:
    device, now = home.device(), datetime.now(UTC)
    yesterday = now.replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
    buffered = [
        {"topic": device.topic(), "payload": {"n": n}, "timestamp": (yesterday + timedelta(minutes=n)).isoformat()} for n in range(10)
    ]
    assert device.send_batch(buffered).json()["accepted"] == 10
    assert device.send({"n": 10}).status_code == 202
    queue.work()
    day = {"since": (yesterday - timedelta(hours=12)).isoformat(), "until": (yesterday + timedelta(hours=12)).isoformat()}
    rows = home.api.ok("query_telemetry", day, token=home.member)
    assert numbers(rows) == list(range(9, -1, -1))
    assert [datetime.fromisoformat(row["timestamp"]) for row in rows] == [yesterday + timedelta(minutes=n) for n in range(9, -1, -1)]
    assert home.api.ok("query_telemetry", {**day, "time": "received"}, token=home.member) == []
    assert numbers([row for page in pages(home, "query_telemetry", limit=4) for row in page]) == list(range(10, -1, -1))
    (hour,) = home.api.ok("query_telemetry", {**day, "bucket": "1 hour", "aggregates": ["count", "delta"]}, token=home.member)
    assert (hour["deviceId"], hour["metrics"], datetime.fromisoformat(hour["timestamp"])) == (
        "sensor01", {"n": {"count": 10, "delta": 9}}, yesterday,
    )  # fmt: skip


def test_nested_members_and_several_devices(home: Tenant, queue: Queue) -> None:
    device = home.device()
    for name, power in (("a", 100), ("b", "150.5"), ("c", 7)):
        device.send({"ENERGY": {"Power": power, "Unit": "W"}}, device.topic(name))
    queue.work()
    query = {"device_ids": ["a", "b"], "metrics": ["ENERGY.Power"]}
    rows = home.api.ok("query_telemetry", query, token=home.member)
    assert [(row["deviceId"], row["metrics"]) for row in rows] == [("b", {"ENERGY.Power": "150.5"}), ("a", {"ENERGY.Power": 100})]
    rows = home.api.ok("query_telemetry", {**query, "bucket": "1 month", "aggregates": ["sum"]}, token=home.member)
    assert {row["deviceId"]: row["metrics"] for row in rows} == {"a": {"ENERGY.Power": {"sum": 100}}, "b": {"ENERGY.Power": {"sum": 150.5}}}


def test_what_is_telemetry(home: Tenant, queue: Queue) -> None:
    """By its role: any message type but the documented ones. The member that is the time is no metric."""
    device = home.device()
    for message_type in ("telemetry", "temperature", "LOG", "set", "status", "config"):
        device.send({"type": message_type, "ts": 1771502400 + len(message_type)}, device.topic(message_type=message_type))
    device.send(None, device.topic(message_type="state"))
    queue.work()
    rows = home.api.ok("query_telemetry", {"time": "received"}, token=home.member)
    assert [row["metrics"] for row in rows] == [{"type": "temperature"}, {"type": "telemetry"}]
    rows = home.api.ok("query_telemetry", {"time": "received", "message_types": ["LOG", "set"]}, token=home.member)
    assert [row["metrics"]["type"] for row in rows] == ["set", "LOG"]


def test_messages_are_listed_by_get(home: Tenant, tenant: Callable[..., Tenant], queue: Queue) -> None:
    other = tenant()
    device, stranger = home.device(), other.device()
    ids = [device.send({"n": n}, device.topic(f"d{n % 2}")).json()["message_id"] for n in range(6)]
    secret = stranger.send({"n": -1}).json()["message_id"]
    queue.work()

    def listed(**query: str) -> list[int]:
        return numbers(home.api.rows("rpc/list_messages", token=home.member, **query))

    assert listed() == listed(organization_id=home.organization_id) == [5, 4, 3, 2, 1, 0]
    assert listed(limit="2") == listed(page_size="2") == [5, 4]
    assert listed(integration_id=home.integration_id, oldest_first="true", page_size="3") == [0, 1, 2]
    assert listed(device_id="d1") == listed(topic=device.topic("d1")) == [5, 3, 1]
    assert listed(filter=f"{device.topic_prefix}/devices/+/telemetry") == listed(filter="#") == [5, 4, 3, 2, 1, 0]
    assert listed(filter=f"{device.topic_prefix}/devices/+") == listed(direction="outgoing") == listed(id=secret) == []
    assert [listed(id=name) for name in ids] == [[n] for n in range(6)]
    (row,) = home.api.rows("rpc/list_messages", token=home.member, id=ids[3])
    (seen,) = home.api.rows("mqtt_messages", token=home.member, id=f"eq.{ids[3]}")
    cursor = row.pop("cursor")
    assert row == seen
    assert listed(cursor=cursor) == [2, 1, 0]
    assert listed(since=row["received_at"]) == [5, 4, 3]
    assert listed(until=row["received_at"]) == [2, 1, 0]
    for query in ({"organization_id": other.organization_id}, {"integration_id": other.integration_id}):
        (name,) = query
        answer = home.api.call("list_messages", query, token=home.member)
        refused(answer, 404, f"{name.removesuffix('_id')}_not_found")
    # A cursor of another organization's goes on from its time, and tells nothing else.
    (theirs,) = other.api.rows("rpc/list_messages", token=other.member)
    assert listed(cursor=theirs["cursor"]) == [5, 4, 3, 2, 1, 0]


def test_a_cursor_does_not_count_what_others_send(home: Tenant, tenant: Callable[..., Tenant], queue: Queue) -> None:
    """Between two messages of one's own, others' leave no trace in what is answered but the time."""
    device, stranger = home.device(), tenant().device()
    own = {"message_id": "11111111-2222-4333-8444-555555555555"}
    device.send_batch([{"topic": device.topic(), "payload": {"n": 0}, **own}])
    assert stranger.send_batch([{"topic": stranger.topic(), "payload": n} for n in range(100)]).json()["accepted"] == 100
    queue.work()
    (row,) = home.api.ok("list_messages", token=home.member)
    assert "position" not in row
    (reading,) = home.api.ok("query_telemetry", token=home.member)
    assert reading.keys() == {"deviceId", "metrics", "timestamp", "cursor"}
    assert len(reading["cursor"]) == len(row["cursor"]) == 64


@pytest.mark.parametrize(
    ("rpc", "arguments", "slug"),
    [
        ("query_telemetry", {"time": "sent"}, "time_invalid"),
        ("query_telemetry", {"time_zone": "Mars/Base"}, "time_zone_invalid"),
        ("query_telemetry", {"aggregates": ["median"]}, "aggregates_invalid"),
        ("query_telemetry", {"cursor": "x"}, "cursor_invalid"),
        ("query_telemetry", {"bucket": "1 month 2 days"}, "bucket_invalid"),
        ("list_messages", {"cursor": "A" * 63}, "cursor_invalid"),
        ("list_messages", {"direction": "up"}, "direction_invalid"),
        ("list_messages", {"filter": "a/#/b"}, "topic_invalid"),
        ("list_messages", {"filter": "a", "topic": "a"}, "argument_conflict"),
        ("list_messages", {"limit": 1001}, "limit_invalid"),
    ],
)
def test_what_makes_no_sense_is_refused(home: Tenant, rpc: str, arguments: dict[str, Any], slug: str) -> None:
    refused(home.api.call(rpc, arguments, token=home.member), 400, slug)
