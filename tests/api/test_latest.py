"""The newest data and the latest values of a device: what changes them, and in which order."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.api.support import Queue, accepted
from tests.support.api import Device
from tests.support.tenant import Tenant


def read(device: Device, tenant: Tenant) -> dict[str, Any]:
    (row,) = device.api.rows("devices", token=tenant.member)
    listed = device.api.ok("list_devices", {"organization_id": tenant.organization_id}, token=tenant.member)["devices"]
    assert not [row for row in listed if "ordinality" in row]
    got = device.api.ok("get_device", {"external_id": row["external_id"]}, token=tenant.member)
    assert [row["latest"]] == [one["latest"] for one in listed] == [got["latest"]]
    return row


def values(row: dict[str, Any]) -> dict[str, Any]:
    return {metric: entry["value"] for metric, entry in row["latest"].items()}


def test_only_telemetry_changes_the_data_of_a_device(home: Tenant, queue: Queue) -> None:
    device = home.device()
    accepted(device.send({"temperature": 20}))
    queue.work()
    before = read(device, home)
    assert (before["last_data"], values(before)) == ({"temperature": 20}, {"temperature": 20})
    said: list[tuple[str, Any]] = [("log", "booted"), ("status", "offline"), ("LWT", {"temperature": 99}), ("config", {"temperature": 98})]
    for message_type, payload in said:
        accepted(device.send(payload, device.topic(message_type=message_type)))
    queue.work()
    seen = read(device, home)
    assert seen["last_seen_at"] > before["last_seen_at"]
    to_it: list[tuple[str, Any]] = [("commands", {"temperature": 97}), ("set", 96), ("telemetry", None)]
    for message_type, payload in to_it:
        accepted(device.send(payload, device.topic(message_type=message_type)))
    accepted(device.send("", retain=True, payload_encoding="base64"))
    assert queue.work() == {"processed": 4, "failed": 0, "dead": 0}
    after = read(device, home)
    assert after["last_seen_at"] == seen["last_seen_at"], "what is sent to a device, or clears a topic, is no sign of life"
    for row in (seen, after):
        assert [row[key] for key in ("last_data", "last_data_at", "latest")] == [
            before[key] for key in ("last_data", "last_data_at", "latest")
        ]


def test_metrics_are_merged_by_when_they_were_measured(home: Tenant, queue: Queue) -> None:
    device = home.device()
    now = datetime.now(UTC)
    for payload, age in (({"t": 1, "h": 1}, 30), ({"t": 2}, 10), ({"t": 3, "p": 3, "h": 3}, 20)):
        accepted(device.send(payload, timestamp=(now - timedelta(minutes=age)).isoformat()))
        queue.work()
    row = read(device, home)
    assert values(row) == {"t": 2, "h": 3, "p": 3}
    ages = {metric: now - datetime.fromisoformat(entry["at"]) for metric, entry in row["latest"].items()}
    assert ages == {"t": timedelta(minutes=10), "h": timedelta(minutes=20), "p": timedelta(minutes=20)}


def test_of_a_batch_the_last_counts(home: Tenant, queue: Queue) -> None:
    device = home.device()
    count = 500
    messages: list[Any] = [{"topic": device.topic(), "payload": {"n": n, f"odd{n % 2}": n}} for n in range(count)]
    assert device.send_batch(messages).json() == {"accepted": count, "rejected": []}
    assert queue.work()["processed"] == count
    row = read(device, home)
    assert row["last_data"] == {"n": count - 1, "odd1": count - 1}
    assert values(row) == {"n": count - 1, "odd0": count - 2, "odd1": count - 1}


def test_a_clock_within_a_day_ahead_is_believed_and_one_of_1970_is_not(home: Tenant, queue: Queue) -> None:
    device = home.device()
    accepted(device.send({"t": 1}, timestamp="1970-01-01T00:00:00Z"))
    queue.work()
    accepted(device.send({"t": 2}))
    queue.work()
    assert values(read(device, home)) == {"t": 2}
    ahead = datetime.now(UTC) + timedelta(hours=23)
    accepted(device.send({"t": 3}, timestamp=ahead.isoformat()))
    queue.work()
    accepted(device.send({"t": 4, "h": 4}))
    queue.work()
    row = read(device, home)
    assert values(row) == {"t": 3, "h": 4}
    assert datetime.fromisoformat(row["latest"]["t"]["at"]) == ahead
    assert row["last_data"] == {"t": 3}
