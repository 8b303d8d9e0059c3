"""query_series, and rollups: what they answer is what the messages alone would answer."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.api.support import Connection, Queue, refused
from tests.support.api import Device
from tests.support.tenant import Tenant

ALL = ["avg", "min", "max", "sum", "count", "first", "last", "delta"]
ZONES = ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns"]
BUCKETS = ["30 seconds", "1 minute", "7 minutes", "1 hour", "90 minutes", "3 hours", "1 day", "1 week", "1 month"]


class Pair:
    """Two tenants with the same messages, of which one is rolled up and the other never is."""

    def __init__(self, tenant: Callable[..., Tenant], queue: Queue, db: Connection) -> None:
        self.rolled, self.plain = tenant(), tenant()
        self.devices: list[Device] = [t.device() for t in (self.rolled, self.plain)]
        self.queue, self.db, self.random = queue, db, random.Random(1)  # the same each time
        self.now = datetime.now(UTC)
        self.counter = 0

    def message(self, at: datetime) -> tuple[str, dict[str, Any]]:
        self.counter = self.random.choice([self.counter + self.random.randint(0, 9), 0, self.counter + 1])
        payload: dict[str, Any] = {"t": round(self.random.uniform(-5, 30), self.random.randint(0, 3)), "n": {"total": self.counter}}
        if self.random.random() < 0.2:
            payload["t"] = str(payload["t"])
        if self.random.random() < 0.1:
            payload = {"state": "on", "rare": self.random.randint(1, 5)}
        return self.random.choice("ab"), {"payload": payload, "timestamp": at.isoformat()}

    def send(self, count: int, oldest: timedelta, newest: timedelta = timedelta()) -> None:
        times = [self.now - oldest + (oldest - newest) * self.random.random() for _ in range(count)]
        # Some measured at the same time, some on the boundary of a minute and an hour.
        times = [
            self.random.choice([at, at, times[0], at.replace(second=0, microsecond=0), at.replace(minute=0, second=0)]) for at in times
        ]
        messages = [self.message(min(at, self.now)) for at in sorted(times)]
        for device in self.devices:
            batch = [{**message, "topic": device.topic(name)} for name, message in messages]
            assert device.send_batch(batch).json()["accepted"] == count
        self.queue.work()

    def roll_up(self) -> None:
        for _ in range(2):  # the first time, it is only noted where rollups begin
            self.db.execute("SELECT mqtt.close_readings()")
        self.db.execute("SELECT mqtt.roll_up_organization(%s, 1000000)", (self.rolled.organization_id,))

    def forget(self) -> None:
        """Where the plain tenant's rollups would begin."""
        self.db.execute("DELETE FROM mqtt.rollup_progress WHERE organization_id = %s", (self.plain.organization_id,))

    def remove_messages(self) -> None:
        """As retention does once messages are past their term, which in a test they are not."""
        self.db.execute(
            "DELETE FROM mqtt.history AS h USING mqtt.organizations AS o WHERE o.number = h.organization AND o.id = %s",
            (self.rolled.organization_id,),
        )
        self.db.execute("UPDATE mqtt.ledger SET deleted = completed WHERE organization_id = %s", (self.rolled.organization_id,))
        self.db.execute(
            "UPDATE mqtt.rollup_progress SET raw_since = now() + interval '2 days' WHERE organization_id = %s",
            (self.rolled.organization_id,),
        )

    def query(self, coarse: bool = False) -> dict[str, Any]:
        choose, uniform = self.random.choice, self.random.uniform
        since = self.now - timedelta(hours=uniform(1, 35))
        until = since + timedelta(hours=uniform(0.1, 35))
        if coarse:
            since, until = (at.replace(minute=0, second=0, microsecond=0) for at in (since, until + timedelta(hours=1)))
        elif choose([True, False]):
            since, until = since.replace(second=0, microsecond=0), until.replace(second=0, microsecond=0) + timedelta(minutes=1)
        bucket = choose(["1 hour", "3 hours", "1 day"] if coarse else [*BUCKETS, None])
        if bucket == "30 seconds":
            since = max(since, until - timedelta(hours=20))
        return {
            "since": since.isoformat(), "until": until.isoformat(), "bucket": bucket, "max_points": None if bucket else choose([20, 500]),
            "aggregates": ALL[:-1] if coarse else choose([ALL, ALL, ["avg", "count"]]), "time_zone": "UTC" if coarse else choose(ZONES),
            "metrics": choose([None, ["t"], ["n"], ["n.total", "rare"]]), "device_ids": choose([None, ["a"], ["a", "b"]]),
            "fill": choose([None, "none", "previous", "zero"]),
        }  # fmt: skip

    def compare(self, count: int, *, coarse: bool = False) -> None:
        self.forget()
        for _ in range(count):
            query = self.query(coarse)
            answers = [ask(tenant, "query_series", query) for tenant in (self.rolled, self.plain)]
            assert answers[0] == answers[1], query
            table = {key: query[key] for key in ("since", "until", "bucket", "aggregates", "time_zone", "metrics", "device_ids")}
            table = {**table, "bucket": query["bucket"] or "2 hours", "limit": 10000}
            rows = [ask(tenant, "query_telemetry", table) for tenant in (self.rolled, self.plain)]
            assert without_order(rows[0]) == without_order(rows[1]), table


def without_order(rows: list[dict[str, Any]]) -> list[Any]:
    """The rows of one time are in the order of the devices' ids, which differ between tenants."""
    return sorted(((row["timestamp"], row["deviceId"], row["metrics"]) for row in rows), key=lambda row: row[:2])


def ask(tenant: Tenant, rpc: str, query: dict[str, Any]) -> Any:
    response = tenant.api.call(rpc, query, token=tenant.member)
    assert response.ok, response.text
    return json.loads(response.text, parse_float=Decimal, parse_int=Decimal)


def test_rollups_answer_what_the_messages_would(tenant: Callable[..., Tenant], queue: Queue, db: Connection) -> None:
    pair = Pair(tenant, queue, db)
    pair.send(300, timedelta(hours=30))
    pair.roll_up()
    pair.compare(5)
    # Late: before and after they are taken into the rollups, and half way.
    pair.send(60, timedelta(hours=30))
    pair.compare(3)
    db.execute("SELECT mqtt.roll_up_organization(%s, 500)", (pair.rolled.organization_id,))
    pair.compare(3)
    pair.roll_up()
    pair.compare(3)
    # Without the messages; and late ones afterwards, which are added. Where they fall between known ones, delta is no longer exact.
    pair.remove_messages()
    pair.compare(2, coarse=True)
    pair.send(40, timedelta(hours=30), timedelta(hours=1))
    pair.compare(2, coarse=True)
    pair.roll_up()
    pair.compare(2, coarse=True)


@pytest.fixture
def chart(home: Tenant, queue: Queue) -> tuple[Tenant, datetime]:
    """A tenant with readings of two devices on a day, and the start of that day."""
    day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=300)
    device = home.device()
    for name, minute, payload in (
        ("a", 0, {"t": 20, "energy": {"total": 5}}), ("a", 5, {"t": 22}),
        ("a", 130, {"t": 18, "energy": {"total": 7}}), ("b", 61, {"t": 1.5}),
    ):  # fmt: skip
        device.send({**payload, "timestamp": (day + timedelta(minutes=minute)).isoformat()}, device.topic(name))
    queue.work()
    return home, day


def test_series_of_a_chart(chart: tuple[Tenant, datetime]) -> None:
    tenant, day = chart
    hours = [int(day.timestamp() + 3600 * n) * 1000 for n in range(3)]
    query = {"since": day.isoformat(), "until": (day + timedelta(hours=3)).isoformat(), "bucket": "1 hour", "aggregates": ["avg", "count"]}

    def series(**more: Any) -> dict[tuple[str, str], Any]:
        answer = tenant.api.ok("query_series", {**query, **more}, token=tenant.member)
        return {(s["deviceId"], s["metric"]): s["points"] for s in answer}

    assert series() == {
        ("a", "energy.total"): [[hours[0], 5, 1], [hours[1], None, None], [hours[2], 7, 1]],
        ("a", "t"): [[hours[0], 21, 2], [hours[1], None, None], [hours[2], 18, 1]],
        ("b", "t"): [[hours[0], None, None], [hours[1], 1.5, 1], [hours[2], None, None]],
    }
    assert series(fill="none", device_ids=["a"], metrics=["t"]) == {("a", "t"): [[hours[0], 21, 2], [hours[2], 18, 1]]}
    assert series(fill="zero", metrics=["t"], device_ids=["b"]) == {("b", "t"): [[hours[0], 0, 0], [hours[1], 1.5, 1], [hours[2], 0, 0]]}
    assert series(fill="previous", metrics=["t"]) == {
        ("a", "t"): [[hours[0], 21, 2], [hours[1], 21, 2], [hours[2], 18, 1]],
        ("b", "t"): [[hours[0], None, None], [hours[1], 1.5, 1], [hours[2], 1.5, 1]],
    }
    assert series(metrics=["energy"], aggregates=["delta"], fill="none") == {("a", "energy.total"): [[hours[0], 0], [hours[2], 2]]}
    assert series(metrics=["none"]) == {}
    # As many points as fit: 3 h in at most 4 are hours, in 7 half hours.
    for most, count in ((4, 3), (7, 6), (500, 360)):
        assert len(series(bucket=None, max_points=most)["a", "t"]) == count


def test_series_by_get(chart: tuple[Tenant, datetime]) -> None:
    tenant, day = chart
    query = {
        "device_ids": "{a}",
        "metrics": "{t}",
        "since": day.isoformat(),
        "bucket": "1 day",
        "until": (day + timedelta(days=1)).isoformat(),
    }
    assert tenant.api.rows("rpc/query_series", token=tenant.member, **query, aggregates="{min,max}") == [
        {"deviceId": "a", "metric": "t", "points": [[int(day.timestamp()) * 1000, 18, 22]]}
    ]


def test_series_of_others(chart: tuple[Tenant, datetime], tenant: Callable[..., Tenant]) -> None:
    home, day = chart
    stranger = tenant()
    query = {"since": day.isoformat(), "max_points": 20}
    assert stranger.api.ok("query_series", query, token=stranger.member) == []
    refused(stranger.api.call("query_series", {**query, "device_ids": ["a"]}, token=stranger.member), 404, "device_not_found")
    refused(
        stranger.api.call("query_series", {"organization_id": home.organization_id}, token=stranger.member), 404, "organization_not_found"
    )
    refused(stranger.api.call("query_series", {"integration_id": home.integration_id}, token=stranger.member), 404, "integration_not_found")


@pytest.mark.parametrize(
    ("query", "status", "slug"),
    [
        ({"fill": "linear"}, 400, "fill_invalid"),
        ({"max_points": 1}, 400, "limit_invalid"),
        ({"max_points": 100, "bucket": "1 hour"}, 400, "argument_conflict"),
        ({"bucket": "0"}, 400, "bucket_invalid"),
        ({"since": "2026-02-19T00:00:00Z", "until": "2026-02-19T00:00:00Z"}, 400, "range_invalid"),
        ({"since": "-infinity"}, 400, "range_invalid"),
        ({"aggregates": ["median"]}, 400, "aggregates_invalid"),
        ({"aggregates": ["avg"] * 9}, 400, "aggregates_invalid"),
        ({"time_zone": "Mars/Olympus"}, 400, "time_zone_invalid"),
        ({"bucket": "1 second"}, 413, "too_many_points"),
        ({"device_ids": ["nothing"]}, 404, "device_not_found"),
    ],
)
def test_series_that_cannot_be(home: Tenant, query: dict[str, Any], status: int, slug: str) -> None:
    refused(home.api.call("query_series", query, token=home.member), status, slug)


def test_an_answer_has_a_million_points(home: Tenant, queue: Queue) -> None:
    """As many as its devices and metrics make of a range, which the range alone does not tell."""
    device = home.device()
    now = datetime.now(UTC)
    assert device.send({f"m{number}": 1 for number in range(101)}).status_code == 202
    queue.work()
    since, until = now - timedelta(seconds=5000), now + timedelta(seconds=4990)
    query = {"since": since.isoformat(), "until": until.isoformat(), "bucket": "1 second"}
    query |= {"integration_id": home.integration_id, "fill": "zero"}
    refused(home.api.call("query_series", query, token=home.member), 413, "too_many_points")
    metrics = [f"m{number}" for number in range(3)]
    series = home.api.ok("query_series", {**query, "metrics": metrics}, token=home.member)
    assert [len(each["points"]) for each in series] == [9991] * 3
