"""Arguments that have two names, and names that one argument has in several calls: docs/reference/api.md, Names."""

import uuid
from typing import Any

import psycopg
import pytest

from tests.api.support import Queue, accepted, refused
from tests.support.api import one
from tests.support.tenant import Tenant


@pytest.fixture
def sensor(home: Tenant) -> dict[str, Any]:
    """A device that is known before its first message."""
    return one(home.api.ok("sync_device", {"integration_id": home.integration_id, "external_id": "sensor01"}, token=home.member))


@pytest.fixture
def valve(home: Tenant) -> dict[str, Any]:
    return one(home.api.ok("sync_device", {"integration_id": home.integration_id, "external_id": "valve02"}, token=home.member))


def by_each_name(device: dict[str, Any]) -> list[dict[str, str]]:
    own, external = device["id"], device["external_id"]
    return [
        {"device_id": own},
        {"device_id": external},
        {"external_id": external},
        {"device_id": own, "external_id": external},
        {"device_id": external, "external_id": external},
    ]


def test_get_device_takes_either_id(home: Tenant, sensor: dict[str, Any], valve: dict[str, Any]) -> None:
    for names in by_each_name(sensor):
        found_by = "id" if sensor["id"] in names.values() else "external_id"
        assert home.api.ok("get_device", names, token=home.member) == {**sensor, "found_by": found_by}, names
    refused(home.api.call("get_device", {"device_id": sensor["id"], "external_id": "valve02"}, token=home.member), 400, "argument_conflict")
    refused(home.api.call("get_device", {"external_id": sensor["id"]}, token=home.member), 404, "device_not_found")
    refused(home.api.call("get_device", {}, token=home.member), 400, "argument_missing")


def test_an_external_id_that_is_another_devices_id_can_be_named(home: Tenant, sensor: dict[str, Any]) -> None:
    decoy = home.api.ok("sync_device", {"integration_id": home.integration_id, "external_id": sensor["id"]}, token=home.member)
    assert home.api.ok("get_device", {"device_id": sensor["id"]}, token=home.member)["id"] == sensor["id"]
    assert home.api.ok("get_device", {"external_id": sensor["id"]}, token=home.member)["id"] == decoy["id"]


def test_query_telemetry_takes_either_id(home: Tenant, queue: Queue, sensor: dict[str, Any], valve: dict[str, Any]) -> None:
    device = home.device()
    for external_id in ("sensor01", "valve02"):
        accepted(device.send({"from": external_id}, device.topic(external_id)))
    queue.work()
    for names in by_each_name(sensor):
        rows = home.api.ok("query_telemetry", names, token=home.member)
        assert [(row["deviceId"], row["metrics"]) for row in rows] == [("sensor01", {"from": "sensor01"})], names
    refused(
        home.api.call("query_telemetry", {"device_id": sensor["id"], "external_id": "valve02"}, token=home.member), 400, "argument_conflict"
    )


@pytest.mark.parametrize(("rpc", "more"), [("generate_mqtt_credentials", {}), ("mqtt_hybrid_credentials", {"action": "generate"})])
def test_a_login_is_bound_to_a_device_by_either_id(
    home: Tenant, sensor: dict[str, Any], valve: dict[str, Any], rpc: str, more: dict[str, str]
) -> None:
    body = {"integration_id": home.integration_id, **more}
    for names in by_each_name(sensor):
        row = home.api.ok(rpc, {**body, **names}, token=home.admin)
        assert row["device_id"] == sensor["id"], names
        assert row["topic_prefix"] == f"org_{home.slug}/devices/sensor01", names
    both = {"device_id": sensor["id"], "external_id": "valve02"}
    refused(home.api.call(rpc, {**body, **both}, token=home.admin), 400, "argument_conflict")


def test_a_login_has_its_id_by_both_names(home: Tenant) -> None:
    made = home.api.ok("generate_mqtt_credentials", {"integration_id": home.integration_id}, token=home.admin)
    rotated = home.api.ok("rotate_mqtt_credentials", {"credential_id": made["id"]}, token=home.admin)
    listed = one(home.api.ok("get_mqtt_credentials", {"credential_id": made["id"]}, token=home.admin))
    revoked = home.api.ok("revoke_mqtt_credentials", {"credential_id": made["id"]}, token=home.admin)
    assert {row[name] for row in (made, rotated, listed, revoked) for name in ("id", "credential_id")} == {made["id"]}


def test_grace_by_both_names(home: Tenant, db: psycopg.Connection[tuple[Any, ...]]) -> None:
    subscription = home.api.ok(
        "mqtt_subscribe",
        {"integration_id": home.integration_id, "topic": f"org_{home.slug}/x", "callback_url": "https://receiver.example.com/"},
        token=home.admin,
    )["id"]

    def hours() -> float:
        row = db.execute(
            "SELECT extract(epoch FROM previous_until - created_at) / 3600 FROM mqtt.callback_secrets WHERE subscription_id = %s",
            (subscription,),
        ).fetchone()
        assert row is not None
        return round(float(row[0]), 2)

    for grace, expected in (
        ({}, 24),
        ({"grace_seconds": 7200}, 2),
        ({"grace": "2 hours"}, 2),
        ({"grace": 7200}, 2),
        ({"grace": "PT2H", "grace_seconds": 7200}, 2),
    ):
        home.api.ok("rotate_mqtt_callback_secret", {"subscription_id": subscription, **grace}, token=home.admin)
        assert hours() == expected, grace
    refused(
        home.api.call(
            "rotate_mqtt_callback_secret", {"subscription_id": subscription, "grace": "1 hour", "grace_seconds": 60}, token=home.admin
        ),
        400,
        "argument_conflict",
    )


def test_no_name_of_a_call_stands_for_two_functions(db: psycopg.Connection[tuple[Any, ...]]) -> None:
    """PostgREST answers 300 where it cannot tell which one is meant."""
    rows = db.execute(
        # Forms that take the body whole are told apart by the Content-Type, and from the one with names by the keys.
        "SELECT proname FROM pg_catalog.pg_proc WHERE pronamespace = 'api'::regnamespace GROUP BY proname"
        " HAVING count(*) FILTER (WHERE proargnames IS NOT NULL OR pronargs <> 1) > 1"
    ).fetchall()
    assert rows == []


def test_a_stranger_finds_no_device_by_its_external_id(home: Tenant, sensor: dict[str, Any]) -> None:
    stranger = home.stack.token("authenticated", str(uuid.uuid4()))
    refused(home.api.call("get_device", {"external_id": sensor["external_id"]}, token=stranger), 404, "device_not_found")
