"""When it was measured: the forms in which a device may tell a time, the same at every door, and which of them count."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from tests.api.support import Queue, accepted, refused
from tests.support.api import Device
from tests.support.tenant import Tenant


def single(device: Device, payload: Any, timestamp: Any = None) -> requests.Response:
    return device.send(payload, **({} if timestamp is None else {"timestamp": timestamp}))


def batch(device: Device, payload: Any, timestamp: Any = None) -> requests.Response:
    return device.send_batch([{"topic": device.topic(), "payload": payload} | ({} if timestamp is None else {"timestamp": timestamp})])


def binary(device: Device, payload: Any, timestamp: Any = None) -> requests.Response:
    return device.api.call(
        "mqtt_ingest_binary",
        data=json.dumps(payload).encode(),
        headers={
            **device.headers, "X-Topic": device.topic(), "X-Content-Type": "application/json", "Content-Type": "application/octet-stream",
        } | ({} if timestamp is None else {"X-Timestamp": str(timestamp)}),
    )  # fmt: skip


DOORS: dict[str, Callable[..., requests.Response]] = {"single": single, "batch": batch, "binary": binary}
FORMS: dict[str, Callable[[datetime], Any]] = {
    "RFC 3339": lambda at: at.isoformat(),
    "RFC 3339 with Z": lambda at: at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    "seconds": lambda at: int(at.timestamp()),
    "seconds with decimals": lambda at: f"{at:%s}.25",
    "milliseconds": lambda at: round(at.timestamp() * 1000),
    "microseconds": lambda at: round(at.timestamp() * 1000) * 1000,
    "nanoseconds": lambda at: round(at.timestamp() * 1000) * 1_000_000,
    "milliseconds in a string": lambda at: str(round(at.timestamp() * 1000)),
}


def history(device: Device, tenant: Tenant) -> list[dict[str, Any]]:
    return device.api.rows("mqtt_messages", token=tenant.member, order="received_at")


def time_of(row: dict[str, Any], column: str) -> datetime:
    return datetime.fromisoformat(row[column])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("door", DOORS)
def test_every_door_takes_every_form(home: Tenant, queue: Queue, door: str, form: str) -> None:
    device = home.device()
    at = datetime.now(UTC).replace(microsecond=250_000) - timedelta(hours=3)
    expected = at.replace(microsecond=0) if form == "seconds" else at
    assert DOORS[door](device, {"t": 1}, FORMS[form](at)).status_code == 202
    for member in ("timestamp", "ts"):
        assert DOORS[door](device, {"t": 1, member: FORMS[form](at)}).status_code == 202
    assert queue.work()["processed"] == 3
    assert [(time_of(row, "sent_at"), time_of(row, "measured_at")) for row in history(device, home)] == [(expected, expected)] * 3


@pytest.mark.parametrize("timestamp", ["now", "today", 120101, "120101", 20260219, 5, 10**30, "2026-02-30T00:00:00Z", "2026-02-19", "1e9"])
def test_no_door_takes_what_is_no_time(home: Tenant, queue: Queue, timestamp: Any) -> None:
    device = home.device()
    for door in (single, binary):
        body = refused(door(device, 1, timestamp), 400, "timestamp_invalid")
        assert "1771502400000" in body["hint"]
    assert [r["code"] for r in batch(device, 1, timestamp).json()["rejected"]] == ["timestamp_invalid"]
    # In a payload it is a metric like any other.
    accepted(device.send({"t": 1, "ts": timestamp}))
    assert queue.work()["processed"] == 1
    (row,) = history(device, home)
    assert row["sent_at"] is None
    assert row["measured_at"] == row["received_at"]
    assert row["timestamp_ignored"] is None


def test_the_argument_wins_over_the_payload(home: Tenant, queue: Queue) -> None:
    device = home.device()
    at = datetime.now(UTC) - timedelta(hours=1)
    accepted(device.send({"timestamp": (at - timedelta(hours=2)).isoformat()}, timestamp=at.isoformat()))
    accepted(device.send({"ts": 0, "timestamp": (at - timedelta(hours=2)).isoformat()}))
    assert queue.work()["processed"] == 2
    assert [time_of(row, "sent_at") for row in history(device, home)] == [at, at - timedelta(hours=2)]


@pytest.mark.parametrize("sent_at", ["1970-01-01T00:00:00+00:00", "2199-01-01T00:00:00+00:00"])
def test_a_time_that_is_not_plausible_is_kept_and_flagged(home: Tenant, queue: Queue, sent_at: str) -> None:
    device = home.device()
    accepted(device.send({"t": 1}, timestamp=sent_at))
    accepted(device.send({"t": 2}))
    assert queue.work()["processed"] == 2
    row, plain = history(device, home)
    assert (row["sent_at"], row["measured_at"], row["timestamp_ignored"]) == (sent_at, row["received_at"], True)
    assert (plain["sent_at"], plain["measured_at"], plain["timestamp_ignored"]) == (None, plain["received_at"], None)
    (read,) = device.api.rows("devices", token=home.member)
    assert read["last_data"] == {"t": 2}


def test_what_a_device_buffered_for_six_hours_is_spread_as_it_was_measured(home: Tenant, queue: Queue) -> None:
    device = home.device()
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=6)
    times = [start + timedelta(minutes=10 * n) for n in range(36)]
    messages = [{"topic": device.topic(), "payload": {"n": n, "ts": round(at.timestamp())}} for n, at in enumerate(times)]
    assert device.send_batch(messages).json() == {"accepted": 36, "rejected": []}
    assert queue.work()["processed"] == 36
    rows = device.api.rows("mqtt_messages", token=home.member, order="measured_at")
    assert [time_of(row, "measured_at") for row in rows] == times
    assert len({row["received_at"] for row in rows}) == 1
    (read,) = device.api.rows("devices", token=home.member)
    assert time_of(read, "last_data_at") == times[-1]
