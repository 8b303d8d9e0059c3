"""API keys: what each scope may do, for which integrations, in one organization; and that the key itself is nowhere."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
import requests

from tests.api.support import accepted, answered, refused
from tests.support.api import TIMEOUT, Api
from tests.support.stack import Stack
from tests.support.tenant import Tenant, make_tenant
from tests.support.waiting import wait_until

Connection = psycopg.Connection[tuple[Any, ...]]
VIEWS = (
    "device_integrations", "devices", "integration_activity_log", "mqtt_callback_deliveries",
    "mqtt_credentials", "mqtt_dead_letters", "mqtt_message_queue", "mqtt_messages", "mqtt_publish_receipts",
    "mqtt_subscriptions", "organization_members", "organizations", "payload_rules",
)  # fmt: skip


@dataclass(frozen=True)
class Site:
    """An organization with two integrations, each with a device that has sent a message."""

    tenant: Tenant
    other: Tenant  # the same organization, its second integration

    @property
    def api(self) -> Api:
        return self.tenant.api

    def key(self, scope: str, *integrations: str, **arguments: Any) -> str:
        body = {
            "organization_id": self.tenant.organization_id,
            "name": scope,
            "scope": scope,
            "integration_ids": list(integrations) or None,
        }
        return str(self.api.ok("create_api_key", body | arguments, token=self.tenant.admin)["key"])

    def call(self, key: str, rpc: str, body: dict[str, Any] | None = None, **more: Any) -> requests.Response:
        return self.api.call(rpc, body, headers={"X-API-Key": key}, **more)

    def rows(self, key: str, view: str) -> list[dict[str, Any]]:
        answer = self.api.session.get(f"{self.api.url}/{view}", headers={"X-API-Key": key}, timeout=TIMEOUT)
        assert answer.status_code == 200, f"{view}: {answer.text}"
        found: list[dict[str, Any]] = answer.json()
        return found

    def publish(self, integration_id: str) -> dict[str, Any]:
        topic = f"org_{self.tenant.slug}/devices/d1/commands"
        return {"integration_id": integration_id, "messages": [{"topic": topic, "payload": 1}]}


def make_site(stack: Stack, api: Api, db: Connection) -> Site:
    tenant = make_tenant(stack, api)
    body = {"organization_id": tenant.organization_id, "name": "second", "integration_type": "mqtt_hosted"}
    other = replace(tenant, integration_id=api.ok("upsert_integration", body, token=tenant.admin)["id"])
    for one, name in ((tenant, "pump-own"), (other, "pump-other")):
        device = one.device()
        accepted(device.send({"t": 1}, device.topic(name)))
        accepted(device.send({"t": 2}, device.topic(name)))
    db.execute("SELECT mqtt.process_batch(1000)")
    for one, name in ((tenant, "pump-own"), (other, "pump-other")):
        device = one.device()
        accepted(device.send({"t": 3}, device.topic(name)))  # stays in the queue
    return Site(tenant, other)


@pytest.fixture(scope="module")
def site(stack: Stack, api: Api, strangers: Site) -> Site:
    assert strangers.tenant.organization_id  # first, since making them empties the queue
    with stack.connect() as db:
        return make_site(stack, api, db)


@pytest.fixture(scope="module")
def strangers(stack: Stack, api: Api) -> Site:
    with stack.connect() as db:
        return make_site(stack, api, db)


def test_a_key_reads_what_a_member_reads_and_nothing_of_others(site: Site, strangers: Site) -> None:
    key = site.key("read")
    for view in VIEWS:
        rows = site.rows(key, view)
        wanted = site.api.rows(view, token=site.tenant.member)
        assert sorted(row["id"] for row in rows if "id" in row) == sorted(row["id"] for row in wanted if "id" in row), view
        assert {row.get("organization_id", row.get("id")) for row in rows} <= {site.tenant.organization_id}, view
    assert {row["external_id"] for row in site.rows(key, "devices")} == {"pump-own", "pump-other"}
    assert len(site.call(key, "query_telemetry").json()) == 4
    assert len(site.call(key, "list_messages", {"organization_id": site.tenant.organization_id}).json()) == 4
    assert site.call(key, "get_mqtt_queue_stats", {"organization_id": site.tenant.organization_id}).json()["pending"] >= 2
    refused(site.call(key, "list_messages", {"organization_id": strangers.tenant.organization_id}), 404, "organization_not_found")
    refused(site.call(key, "get_device", {"device_id": site.rows(strangers.key("read"), "devices")[0]["id"]}), 404, "device_not_found")


def test_a_key_for_an_integration_sees_that_one_alone(site: Site) -> None:
    key, own, other = site.key("read", site.tenant.integration_id), site.tenant.integration_id, site.other.integration_id
    for view in VIEWS:
        text = str(site.rows(key, view))
        assert other not in text, view
        assert "pump-other" not in text, view
    for view in ("devices", "mqtt_messages", "mqtt_message_queue", "mqtt_credentials", "mqtt_subscriptions", "integration_activity_log"):
        assert {row["integration_id"] for row in site.rows(key, view)} == {own}, view
    assert [row["id"] for row in site.rows(key, "device_integrations")] == [own]
    for view in ("organization_members", "mqtt_callback_deliveries"):
        assert site.rows(key, view) == []
    assert [device["external_id"] for device in site.call(key, "list_devices").json()["devices"]] == ["pump-own"]
    for arguments in ({}, {"bucket": "1 hour"}, {"organization_id": site.tenant.organization_id}):
        rows = site.call(key, "query_telemetry", arguments).json()
        assert {row["deviceId"] for row in rows} == {"pump-own"}, arguments
    assert {series["deviceId"] for series in site.call(key, "query_series").json()} == {"pump-own"}
    assert {row["integration_id"] for row in site.call(key, "list_messages").json()} == {own}
    bodies: dict[str, dict[str, Any]] = {
        "query_telemetry": {"integration_id": other},
        "query_series": {"integration_id": other},
        "list_messages": {"integration_id": other},
        "list_devices": {"integration_id": other},
        "get_capabilities": {"integration_id": other},
        "try_payload_rules": {"integration_id": other, "topic": "a", "payload": 1},
    }
    for rpc, body in bodies.items():
        refused(site.call(key, rpc, body), 404, "integration_not_found")
    refused(site.call(key, "get_device", {"device_id": "pump-other"}), 404, "device_not_found")
    for rpc in ("get_mqtt_queue_stats", "get_mqtt_ledger"):
        refused(site.call(key, rpc, {"organization_id": site.tenant.organization_id}), 403, "key_of_integrations")


WRITES: dict[str, Callable[[Site], dict[str, Any]]] = {
    "delete_integration": lambda site: {"integration_id": site.tenant.integration_id},
    "upsert_payload_rule": lambda site: {"integration_id": site.tenant.integration_id, "topic": "a/+", "device": "{topic[2]}"},
    "generate_mqtt_credentials": lambda site: {"integration_id": site.tenant.integration_id},
    "mqtt_subscribe": lambda site: {"integration_id": site.tenant.integration_id, "topic": "a"},
    "replay_mqtt_dead_letters": lambda site: {"organization_id": site.tenant.organization_id},
    "upsert_integration": lambda site: {
        "organization_id": site.tenant.organization_id, "name": "x", "integration_type": "mqtt_hosted",
    },
}  # fmt: skip


def test_a_scope_does_not_do_what_a_higher_one_does(site: Site) -> None:
    read, publish = site.key("read"), site.key("publish")
    refused(site.call(read, "mqtt_publish", site.publish(site.tenant.integration_id)), 403, "scope_insufficient")
    refused(site.call(read, "sync_device", {"integration_id": site.tenant.integration_id, "external_id": "d3"}), 403, "scope_insufficient")
    refused(site.call(read, "cancel_mqtt_publish", {"receipt_ids": []}), 403, "scope_insufficient")
    for key in (read, publish):
        for rpc, body in WRITES.items():
            refused(site.call(key, rpc, body(site)), 403, "scope_insufficient")
        assert site.call(key, "get_broker_keys").json() == []  # which are an admin's, as a member is answered
    for verb in ("POST", "PATCH", "DELETE"):
        headers, change = {"X-API-Key": read}, {"name": "x"}
        answer = site.api.session.request(verb, f"{site.api.url}/devices", json=change, headers=headers, params={"id": "not.is.null"})
        answered(answer, 401, "42501")


def test_publish_publishes_and_sees_the_receipts(site: Site, db: Connection) -> None:
    key = site.key("publish", site.tenant.integration_id)
    receipt = site.call(key, "mqtt_publish", site.publish(site.tenant.integration_id)).json()["receipts"][0]["receipt_id"]
    foreign = site.api.ok("mqtt_publish", site.publish(site.other.integration_id), token=site.tenant.member)["receipts"][0]["receipt_id"]
    refused(site.call(key, "mqtt_publish", site.publish(site.other.integration_id)), 404, "integration_not_found")
    refused(site.call(key, "sync_device", {"integration_id": site.other.integration_id, "external_id": "x"}), 404, "integration_not_found")
    for rpc in ("get_mqtt_publish_receipts", "cancel_mqtt_publish"):
        states = {row["receipt_id"]: row["state"] for row in site.call(key, rpc, {"receipt_ids": [receipt, foreign]}).json()}
        assert states[foreign] == "unknown"
        assert states[receipt] in {"queued", "cancelled"}
    assert site.api.ok("get_mqtt_publish_receipts", {"receipt_ids": [foreign]}, token=site.tenant.member)[0]["state"] == "queued"


def test_admin_administers_its_integrations_only(site: Site, strangers: Site) -> None:
    key, limited = site.key("admin"), site.key("admin", site.tenant.integration_id)
    for one in (key, limited):
        login = site.call(one, "generate_mqtt_credentials", {"integration_id": site.tenant.integration_id}).json()
        assert site.call(one, "revoke_mqtt_credentials", {"credential_id": login["id"]}).json()["status"] == "revoked"
    login = site.call(key, "generate_mqtt_credentials", {"integration_id": site.other.integration_id}).json()
    for rpc in ("revoke_mqtt_credentials", "rotate_mqtt_credentials"):
        refused(site.call(limited, rpc, {"credential_id": login["id"]}), 404, "credential_not_found")
    refused(
        site.call(limited, "explain_mqtt_access", {"credential_id": login["id"], "action": "publish", "topic": "a"}),
        404,
        "credential_not_found",
    )
    assert {row["integration_id"] for row in site.call(limited, "get_mqtt_credentials").json()} == {site.tenant.integration_id}
    refused(site.call(limited, "generate_mqtt_credentials", {"integration_id": site.other.integration_id}), 404, "integration_not_found")
    broker = site.call(key, "generate_broker_key", {"name": "b", "integration_id": site.other.integration_id}).json()
    assert site.call(limited, "get_broker_keys").json() == []
    refused(site.call(limited, "revoke_broker_key", {"key_id": broker["id"]}), 404, "broker_key_not_found")
    hook = {
        "integration_id": site.tenant.integration_id,
        "topic": f"org_{site.tenant.slug}/hook",
        "callback_url": "https://example.com/hook",
    }
    subscription = site.call(limited, "mqtt_subscribe", hook).json()
    assert subscription["callback_secret"].startswith("whsec_")
    assert site.call(limited, "rotate_mqtt_callback_secret", {"subscription_id": subscription["id"]}).status_code == 200
    refused(site.call(limited, "mqtt_subscribe", {**hook, "integration_id": site.other.integration_id}), 404, "integration_not_found")
    assert site.call(limited, "mqtt_unsubscribe", {"subscription_id": subscription["id"]}).status_code == 200
    rules = [
        site.call(key, "upsert_payload_rule", {"integration_id": one.integration_id, "topic": "a/+", "device": "{topic[2]}"}).json()["id"]
        for one in (site.tenant, site.other)
    ]
    assert site.call(limited, "delete_payload_rule", {"rule_id": rules[0]}).json()["id"] == rules[0]
    refused(site.call(limited, "delete_payload_rule", {"rule_id": rules[1]}), 404, "payload_rule_not_found")
    for rpc in ("replay_mqtt_dead_letters", "upsert_integration"):
        refused(site.call(limited, rpc, WRITES[rpc](site)), 403, "key_of_integrations")
    refused(site.call(key, "delete_integration", {"integration_id": strangers.tenant.integration_id}), 404, "integration_not_found")


def test_a_key_for_an_integration_deletes_what_is_of_that_one_alone(site: Site, db: Connection) -> None:
    key, own, other = site.key("admin", site.tenant.integration_id), site.tenant.integration_id, site.other.integration_id

    def stored(integration_id: str) -> int:
        rows = site.api.rows("mqtt_messages", token=site.tenant.admin, integration_id=f"eq.{integration_id}", select="id")
        return len(rows)

    before = stored(own), stored(other)
    for selection in ({"filter": "#"}, {"since": "2020-01-01T00:00:00Z"}, {"organization_id": site.tenant.organization_id, "filter": "#"}):
        refused(site.call(key, "delete_messages", selection), 403, "key_of_integrations")
    refused(site.call(key, "delete_messages", {"integration_id": other}), 404, "integration_not_found")
    for rpc in ("delete_messages", "delete_device"):
        refused(site.call(key, rpc, {"device_id": "pump-other"}), 404, "device_not_found")
        refused(site.call(site.key("publish", own), rpc, {"device_id": "pump-own"}), 403, "scope_insufficient")
    assert site.call(key, "delete_messages", {"device_id": "pump-own"}).json()["selected"]["integration_id"] == own
    assert site.call(key, "delete_messages", {"integration_id": own}).status_code == 202
    db.execute("SELECT mqtt.process_batch(1000)")
    while db.execute("SELECT (mqtt.work_deletions() ->> 'more')::boolean").fetchone() == (True,):
        pass
    assert before[0] > 0
    assert (stored(own), stored(other) >= before[1]) == (0, True)
    device = site.call(key, "sync_device", {"integration_id": own, "external_id": "gone"}).json()
    assert site.call(key, "delete_device", {"device_id": device["id"]}).status_code == 202


def test_no_key_does_what_people_devices_and_operators_do(site: Site) -> None:
    key, organization = site.key("admin"), {"organization_id": site.tenant.organization_id}
    bodies: dict[str, dict[str, Any]] = {
        "create_api_key": organization | {"name": "x"},
        "list_api_keys": organization,
        "revoke_api_key": {"key_id": str(uuid.uuid4())},
        "add_organization_member": organization | {"user_id": str(uuid.uuid4())},
        "remove_organization_member": organization | {"user_id": site.tenant.member_id},
        "accept_organization_invitation": organization,
        "list_organization_invitations": organization,
        "create_organization": {"name": "x", "slug": "x"},
        "delete_organization": organization | {"confirm": "x"},
        "create_browser_login": {"integration_id": site.tenant.integration_id},
        "create_stream_ticket": {},
        "get_system_status": {},
        "mqtt_ingest": {"topic": "a", "payload": 1},
        "process_mqtt_queue": {},
    }
    for rpc, body in bodies.items():
        refused(site.call(key, rpc, body), 403, "user_required")


def test_every_call_that_changes_something_needs_admin_unless_it_is_named(db: Connection) -> None:
    scopes: dict[str | None, set[str]] = {}
    for name, scope, volatility in db.execute(
        "SELECT proname, mqtt.call_scope('/rpc/' || proname), provolatile FROM pg_proc WHERE pronamespace = 'api'::regnamespace"
    ):
        if volatility == "v" or scope is None:
            scopes.setdefault(scope, set()).add(name)
    assert scopes["publish"] == {"mqtt_publish", "cancel_mqtt_publish", "sync_device"}
    assert scopes["read"] == {"get_mqtt_publish_receipts", "get_mqtt_request"}
    others = ["/rpc/nothing", "/rpc/mqtt%5fpublish", "/rpc//mqtt_publish", "/a/b", "/rpc/process_mqtt_queue"]
    assert db.execute("SELECT mqtt.call_scope(p) FROM unnest(%s::text[]) AS p", (others,)).fetchall() == [(None,)] * len(others)


@pytest.mark.parametrize(
    "path", ["rpc/mqtt%5Fpublish", "rpc//mqtt_publish", "rpc/mqtt_publish/", "/rpc/mqtt_publish", "rpc/./mqtt_publish"]
)
def test_another_spelling_of_a_path_opens_nothing(site: Site, path: str) -> None:
    request = requests.Request(
        "POST", f"{site.api.url}/{path}", json=site.publish(site.tenant.integration_id), headers={"X-API-Key": site.key("read")}
    ).prepare()
    request.url = f"{site.api.url}/{path}"
    assert site.api.session.send(request, timeout=TIMEOUT).status_code in {403, 404}


def test_wrong_expired_and_revoked_keys_are_answered_alike(site: Site, db: Connection) -> None:
    good = site.key("read")
    row = site.api.ok("list_api_keys", {"organization_id": site.tenant.organization_id}, token=site.tenant.admin)[0]
    assert (row["key_start"], row["scope"]) == (good[:8], "read")
    expiring = site.key("read", expires_at="2999-01-01T00:00:00Z")
    assert site.call(expiring, "get_caller").status_code == 200
    db.execute("UPDATE mqtt.api_keys SET expires_at = now() WHERE key_hash = sha256(%s)", (expiring.encode(),))
    site.api.ok("revoke_api_key", {"key_id": row["id"]}, token=site.tenant.admin)
    answers = [
        refused(site.call(key, "get_caller"), 401, "api_key_invalid")
        for key in (good, expiring, "tbk_" + 32 * "A", "x", good[:-1], good + "A", "tbk_' OR true --" + 20 * "x", 5000 * "y")
    ]
    assert all(answer == answers[0] for answer in answers)
    refused(site.api.call("get_caller", headers={"X-API-Key": ""}), 401, "api_key_invalid")


def test_one_login_at_a_time_and_no_claim_of_ones_own(site: Site, stack: Stack) -> None:
    key = site.key("read")
    refused(site.api.call("get_caller", token=site.tenant.member, headers={"X-API-Key": key}), 400, "login_conflict")
    claim = {"organization_id": site.tenant.organization_id, "scope": "admin"}
    refused(site.api.call("get_caller", token=stack.token("authenticated", str(uuid.uuid4()), api_key=claim)), 401, "claim_reserved")
    assert site.call(key, "get_caller").json()["role"] == "authenticated"
    counted = site.api.session.get(f"{site.api.url}/devices", headers={"X-API-Key": key, "Prefer": "count=planned"}, timeout=TIMEOUT)
    refused(counted, 400, "count_not_offered")
    answered(site.api.call("get_caller"), 401, "42501")  # nothing of the key stays in the connection


@pytest.mark.parametrize(
    ("arguments", "status", "slug"),
    [
        ({"name": ""}, 400, "name_invalid"),
        ({"scope": "root"}, 400, "scope_invalid"),
        ({"scope": None}, 400, "scope_invalid"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, 400, "expires_at_invalid"),
        ({"integration_ids": []}, 404, "integration_not_found"),
        ({"integration_ids": [None]}, 404, "integration_not_found"),
    ],
)
def test_keys_that_make_no_sense(site: Site, arguments: dict[str, Any], status: int, slug: str) -> None:
    body = {"organization_id": site.tenant.organization_id, "name": "app", **arguments}
    refused(site.api.call("create_api_key", body, token=site.tenant.admin), status, slug)


def test_a_key_until_infinity(site: Site) -> None:
    """PostgreSQL's name for a time that never comes."""
    assert len(site.rows(site.key("read", expires_at="infinity"), "devices")) == 2


def test_an_integration_that_is_deleted_leaves_its_key_with_nothing(site: Site) -> None:
    body = {"organization_id": site.tenant.organization_id, "name": "third", "integration_type": "mqtt_hosted"}
    third = site.api.ok("upsert_integration", body, token=site.tenant.admin)["id"]
    key = site.key("read", third)
    assert [row["id"] for row in site.rows(key, "device_integrations")] == [third]
    site.api.ok("delete_integration", {"integration_id": third}, token=site.tenant.admin)
    assert site.rows(key, "device_integrations") == site.rows(key, "devices") == site.rows(key, "mqtt_messages") == []


@pytest.mark.parametrize("late", ["create_api_key", "add_organization_member"])
def test_an_organization_that_is_deleted_has_no_keys_left(stack: Stack, tenant: Callable[..., Tenant], db: Connection, late: str) -> None:
    """At once, as it has no members: an admin's key would make integrations and logins again. Nor does one come that waited."""
    home = tenant()
    organization = {"organization_id": home.organization_id}
    bodies = {
        "create_api_key": {"name": "app", "scope": "admin"},
        "add_organization_member": {"user_id": str(uuid.uuid4()), "role": "admin"},
    }
    key = str(home.api.ok("create_api_key", {**organization, **bodies["create_api_key"]}, token=home.admin)["key"])
    claims = f'{{"sub": "{home.admin_id}"}}'
    waiting = "SELECT FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"
    with ThreadPoolExecutor(1) as pool, stack.connect(autocommit=False) as deleting:
        deleting.execute("SELECT set_config('request.jwt.claims', %s, true), set_config('role', 'authenticated', true)", (claims,))
        deleting.execute("SELECT api.delete_organization(%s, %s)", (home.organization_id, f"Organization {home.slug}"))
        call = pool.submit(home.api.call, late, {**organization, **bodies[late]}, token=home.admin)
        wait_until(lambda: db.execute(waiting, (deleting.info.backend_pid,)).fetchall(), what=f"{late} waits for the deletion")
        deleting.commit()
        refused(call.result(), 404, "organization_not_found")
    again = {**organization, "name": "again", "integration_type": "mqtt_hosted"}
    refused(home.api.call("upsert_integration", again, headers={"X-API-Key": key}), 401, "api_key_invalid")
    for table in ("api_keys", "organization_invitations"):
        assert db.execute(f"SELECT FROM mqtt.{table} WHERE organization_id = %s", (home.organization_id,)).fetchall() == [], table


def test_an_organization_has_a_limit_of_keys(tenant: Callable[..., Tenant], db: Connection) -> None:
    home = tenant()
    db.execute(
        """
        INSERT INTO mqtt.api_keys (organization_id, name, key_hash, key_start, scope)
        SELECT %s, n::text, sha256(convert_to(gen_random_uuid()::text, 'UTF8')), 'tbk_none', 'read' FROM generate_series(1, 100) AS n""",
        (home.organization_id,),
    )
    body = {"organization_id": home.organization_id, "name": "one more"}
    refused(home.api.call("create_api_key", body, token=home.admin), 409, "api_key_limit_reached")


def test_the_key_is_kept_nowhere(site: Site, stack: Stack, db: Connection) -> None:
    key = site.key("read")
    site.call(key, "get_caller")
    refused(site.call(key, "mqtt_publish", site.publish(site.tenant.integration_id)), 403, "scope_insufficient")
    refused(site.call(key[:-2] + "zz", "get_caller"), 401, "api_key_invalid")
    assert db.execute("SELECT count(*) FROM mqtt.api_keys AS k WHERE strpos(k::text, %s) > 0", (key[8:],)).fetchone() == (0,)
    for part in ("postgres", "postgrest", "gateway"):
        assert key[4:-2] not in stack.log(part), part
    assert key not in str(site.api.ok("list_api_keys", {"organization_id": site.tenant.organization_id}, token=site.tenant.admin))


def test_through_the_gateway(site: Site, gateway: Api) -> None:
    read, publish = site.key("read"), site.key("publish")
    assert gateway.session.get(f"{gateway.url}/devices", headers={"X-API-Key": read}).json() != []
    assert gateway.call("query_telemetry", {}, headers={"X-API-Key": read}).status_code == 200
    assert gateway.call("mqtt_publish", site.publish(site.tenant.integration_id), headers={"X-API-Key": publish}).status_code == 202
    url = gateway.url.replace("/rest/v1", "/functions/v1/mqtt-hybrid/publish")
    assert gateway.session.post(url, json=site.publish(site.tenant.integration_id), headers={"X-API-Key": publish}).status_code == 202
    refused(gateway.call("query_telemetry", {}, headers={"X-API-Key": "tbk_" + 32 * "A"}), 401, "api_key_invalid")
    refused(gateway.call("query_telemetry", {}, headers={"X-API-Key": "x"}), 401, "token_missing")


def test_when_it_was_used_is_told_once_an_hour(site: Site, db: Connection) -> None:
    key = site.key("read")
    digest = key.encode()
    (key_id,) = db.execute("SELECT id FROM mqtt.api_keys WHERE key_hash = sha256(%s)", (digest,)).fetchone() or (None,)
    db.execute("LISTEN topicbase")
    assert site.rows(key, "device_integrations")  # a read-only transaction
    notes = [note.payload for note in db.notifies(timeout=TIMEOUT, stop_after=1)]
    assert notes == [f"api_key {key_id}"]
    with db.transaction():  # of one hour
        assert db.execute("SELECT bridge.note_api_keys(ARRAY[%s::uuid])", (key_id,)).fetchone() == (1,)
        assert db.execute("SELECT bridge.note_api_keys(ARRAY[%s::uuid])", (key_id,)).fetchone() == (0,)
        used = db.execute("SELECT last_used_at = date_trunc('hour', now()) FROM mqtt.api_keys WHERE id = %s", (key_id,)).fetchone()
        assert used == (True,)
    assert site.rows(key, "device_integrations")
    db.execute("NOTIFY topicbase, 'end'")
    assert [note.payload for note in db.notifies(timeout=TIMEOUT, stop_after=1)] == ["end"]
    db.execute("UNLISTEN topicbase")
