"""Every call and every view by every kind of caller, with the organization's own ids and with another's.

The catalogue says what there is to test: a new function, argument or view without an expectation here fails the suite.
"""

import http.client
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import requests
from psycopg.sql import SQL, Identifier

from tests.api.support import TABLES, Queue, Witness, accepted, refused
from tests.support.api import Api, one
from tests.support.stack import Stack
from tests.support.tenant import Tenant, make_tenant

NEVER = "2026-01-01T00:00:00Z"


@dataclass(frozen=True)
class Rpc:
    """What a call is: who may make it, with which arguments it works, and what each id in it is answered when it is not the caller's."""

    # public, anyone, device, broker, self (a member's, for itself), member, admin, hidden (an admin's, of which no member is told),
    # invited (nobody here), operator or service
    level: str
    body: dict[str, Any] = field(default_factory=dict)
    # argument → (kind of thing, slug of the 404), or (kind of thing, None) where the answer merely leaves it out
    ids: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    # arguments that hold ids of no tenant's, such as users
    free: frozenset[str] = frozenset()
    # says whether an answer to a call with another's ids holds nothing of theirs
    is_empty: Callable[[Any], bool] = lambda answer: answer in ([], None)


ORGANIZATION = ("organization", "organization_not_found")
INTEGRATION = ("integration", "integration_not_found")
DEVICE = ("device", "device_not_found")
CREDENTIAL = ("credential", "credential_not_found")
UNSEEN = ("organization", "integration_not_found")  # an organization named beside an integration that is not in it

RPCS: dict[str, Rpc] = {
    "mqtt_ingest": Rpc("device", {"topic": "x", "payload": 1}),
    "mqtt_ingest_batch": Rpc("device", {"messages": [{"topic": "x", "payload": 1}]}),
    "mqtt_ingest_binary": Rpc("device"),
    "mqtt_ingest_document": Rpc("device"),
    "create_organization": Rpc("operator", {"name": "new", "slug": "NEW", "admin_user_id": "USER"}, free=frozenset({"admin_user_id"})),
    "delete_organization": Rpc("admin", {"organization_id": "organization", "confirm": "NAME"}, {"organization_id": ORGANIZATION}),
    "set_organization_limits": Rpc("service", {"organization_id": "organization"}, {"organization_id": ORGANIZATION}),
    "add_organization_member": Rpc(
        "admin", {"organization_id": "organization", "user_id": "USER"}, {"organization_id": ORGANIZATION}, frozenset({"user_id"})
    ),
    "remove_organization_member": Rpc(
        "admin",
        {"organization_id": "organization", "user_id": "colleague"},
        {"organization_id": ORGANIZATION, "user_id": ("colleague", "member_not_found")},
    ),
    "list_organization_invitations": Rpc("admin", {"organization_id": "organization"}, {"organization_id": ORGANIZATION}),
    "accept_organization_invitation": Rpc(
        "invited", {"organization_id": "organization"}, {"organization_id": ("organization", "invitation_not_found")}
    ),
    "upsert_integration": Rpc(
        "admin",
        {"organization_id": "organization", "integration_id": "integration", "name": "renamed", "integration_type": "mqtt_hosted"},
        {"organization_id": ORGANIZATION, "integration_id": INTEGRATION},
    ),
    "delete_integration": Rpc("admin", {"integration_id": "integration"}, {"integration_id": INTEGRATION}),
    "generate_mqtt_credentials": Rpc(
        "admin",
        {"integration_id": "integration", "organization_id": "organization", "device_id": "device"},
        {"integration_id": INTEGRATION, "organization_id": UNSEEN, "device_id": DEVICE},
    ),
    "create_browser_login": Rpc(
        "self",
        {"integration_id": "integration", "organization_id": "organization"},
        {"integration_id": INTEGRATION, "organization_id": UNSEEN},
    ),
    "get_mqtt_credentials": Rpc(
        "admin",
        {"integration_id": "integration", "organization_id": "organization", "credential_id": "credential"},
        {"integration_id": INTEGRATION, "organization_id": UNSEEN, "credential_id": ("credential", None)},
    ),
    "rotate_mqtt_credentials": Rpc("admin", {"credential_id": "credential"}, {"credential_id": CREDENTIAL}),
    "revoke_mqtt_credentials": Rpc("admin", {"credential_id": "credential"}, {"credential_id": CREDENTIAL}),
    "delete_mqtt_credentials": Rpc("admin", {"credential_id": "ended login"}, {"credential_id": CREDENTIAL}, frozenset({"integration_id"})),
    "mqtt_hybrid_credentials": Rpc(
        "admin",
        {"action": "revoke", "integration_id": "integration", "organization_id": "organization", "credential_id": "credential"},
        {"integration_id": INTEGRATION, "organization_id": UNSEEN, "credential_id": CREDENTIAL},
        frozenset({"device_id"}),
    ),
    "mqtt_publish": Rpc(
        "member",
        {"integration_id": "integration", "organization_id": "organization", "messages": [{"topic": "TOPIC", "payload": 1}]},
        {"integration_id": INTEGRATION, "organization_id": UNSEEN},
    ),
    "get_mqtt_publish_receipts": Rpc(
        "member",
        {"receipt_ids": ["receipt"]},
        {"receipt_ids": ("receipt", None)},
        is_empty=lambda rows: all(
            row["state"] == "unknown" and not any(row[key] for key in row.keys() - {"receipt_id", "state"}) for row in rows
        ),
    ),
    "cancel_mqtt_publish": Rpc(
        "member",
        {"receipt_ids": ["receipt"]},
        {"receipt_ids": ("receipt", None)},
        is_empty=lambda rows: all(
            row["state"] == "unknown" and not any(row[key] for key in row.keys() - {"receipt_id", "state"}) for row in rows
        ),
    ),
    "mqtt_subscribe": Rpc(
        "admin",
        {"integration_id": "integration", "organization_id": "organization", "topic": "TOPIC"},
        {"integration_id": INTEGRATION, "organization_id": UNSEEN},
    ),
    "mqtt_unsubscribe": Rpc("admin", {"subscription_id": "subscription"}, {"subscription_id": ("subscription", "subscription_not_found")}),
    "rotate_mqtt_callback_secret": Rpc(
        "admin", {"subscription_id": "callback"}, {"subscription_id": ("callback", "subscription_not_found")}
    ),
    "replay_mqtt_callback_deliveries": Rpc(
        "admin",
        {"subscription_id": "callback", "ids": ["delivery"]},
        {"subscription_id": ("callback", "subscription_not_found"), "ids": ("delivery", None)},
        is_empty=lambda answer: answer == {"replayed": 0},
    ),
    "mqtt_test_connection": Rpc(
        "admin",
        {"integration_id": "integration", "organization_id": "organization"},
        {"integration_id": INTEGRATION, "organization_id": UNSEEN},
    ),
    "get_mqtt_request": Rpc("member", {"request_id": "request"}, {"request_id": ("request", "request_not_found")}),
    "list_devices": Rpc(
        "member",
        {"integration_id": "integration", "organization_id": "organization"},
        {"integration_id": INTEGRATION, "organization_id": UNSEEN},
    ),
    "get_device": Rpc(
        "member",
        {"device_id": "device", "integration_id": "integration", "organization_id": "organization"},
        {"device_id": DEVICE, "integration_id": DEVICE, "organization_id": DEVICE},
    ),
    "sync_device": Rpc(
        "member",
        {"integration_id": "integration", "organization_id": "organization", "external_id": "d9"},
        {"integration_id": INTEGRATION, "organization_id": UNSEEN},
    ),
    "delete_device": Rpc(
        "admin",
        {"device_id": "device", "integration_id": "integration", "organization_id": "organization"},
        {"device_id": DEVICE, "integration_id": DEVICE, "organization_id": DEVICE},
    ),
    "delete_messages": Rpc(
        "admin",
        {"integration_id": "integration", "organization_id": "organization", "device_id": "device"},
        {"integration_id": INTEGRATION, "organization_id": UNSEEN, "device_id": DEVICE},
    ),
    "import_messages": Rpc(
        "admin",
        {"integration_id": "integration", "messages": [{"topic": "TOPIC", "payload": 1, "timestamp": NEVER}]},
        {"integration_id": INTEGRATION},
    ),
    "get_deletion": Rpc("member", {"deletion_id": "deletion"}, {"deletion_id": ("deletion", "deletion_not_found")}),
    "list_deletions": Rpc("member", {"organization_id": "organization"}, {"organization_id": ORGANIZATION}),
    "get_capabilities": Rpc("member", {"integration_id": "integration"}, {"integration_id": INTEGRATION}),
    "query_telemetry": Rpc(
        "member",
        {"integration_id": "integration", "organization_id": "organization", "device_id": "device", "device_ids": ["device"]},
        {"integration_id": INTEGRATION, "organization_id": UNSEEN, "device_id": DEVICE, "device_ids": DEVICE},
    ),
    "list_messages": Rpc(
        "member",
        {"integration_id": "integration", "organization_id": "organization", "device_id": "device"},
        {"integration_id": INTEGRATION, "organization_id": UNSEEN, "device_id": DEVICE},
        free=frozenset({"id"}),
    ),
    # Aliases, which must agree with the argument itself, are free here: tests/api/test_argument_names.py.
    "get_mqtt_queue_stats": Rpc(
        "member", {"organization_id": "organization"}, {"organization_id": ORGANIZATION}, free=frozenset({"org_id"})
    ),
    "process_mqtt_queue_message": Rpc("service", {"message_id": "message"}, free=frozenset({"message_id", "p_message_id"})),
    "process_mqtt_queue": Rpc("service"),
    "cleanup_mqtt_queue": Rpc("service"),
    "check_mqtt_ledger": Rpc("service"),
    "create_stream_ticket": Rpc("anyone"),
    "get_caller": Rpc("anyone"),
    "openapi": Rpc("public"),
    "get_api_version": Rpc("public"),
    "get_system_status": Rpc("operator"),
    "get_organization_usage": Rpc("operator"),
    "get_mqtt_ledger": Rpc("member", {"organization_id": "organization"}, {"organization_id": ORGANIZATION}, is_empty=lambda _: False),
    "get_vacuum_holders": Rpc("service"),
    "replay_mqtt_dead_letters": Rpc(
        "admin",
        {"organization_id": "organization", "ids": ["dead"], "to_integration_id": "integration"},
        {"organization_id": ORGANIZATION, "ids": ("dead", None), "to_integration_id": INTEGRATION},
        is_empty=lambda answer: answer == {"matched": 0, "replayed": 0, "messages": []},
    ),
    "replay_mqtt_messages": Rpc(
        "admin",
        {"integration_id": "integration", "to_integration_id": "integration", "topic": "#", "since": NEVER, "to_topic": "TOPIC"},
        {"integration_id": INTEGRATION, "to_integration_id": INTEGRATION},
    ),
}

RPCS |= {
    "query_series": Rpc(
        "member",
        {"integration_id": "integration", "organization_id": "organization", "device_ids": ["device"]},
        {"integration_id": INTEGRATION, "organization_id": UNSEEN, "device_ids": DEVICE},
    ),
    "upsert_payload_rule": Rpc(
        "admin",
        {"integration_id": "integration", "rule_id": "rule", "topic": "a/{device_id}", "device": "{topic[2]}"},
        {"integration_id": INTEGRATION, "rule_id": ("rule", "payload_rule_not_found")},
    ),
    "delete_payload_rule": Rpc("admin", {"rule_id": "rule"}, {"rule_id": ("rule", "payload_rule_not_found")}),
    "try_payload_rules": Rpc("member", {"integration_id": "integration", "topic": "a", "payload": 1}, {"integration_id": INTEGRATION}),
    "reapply_payload_rules": Rpc("admin", {"integration_id": "integration", "since": NEVER}, {"integration_id": INTEGRATION}),
    "list_device_presets": Rpc("member"),
    "apply_device_preset": Rpc("admin", {"integration_id": "integration", "preset": "tasmota"}, {"integration_id": INTEGRATION}),
    "create_api_key": Rpc(
        "admin",
        {"organization_id": "organization", "name": "app", "integration_ids": ["integration"]},
        {"organization_id": ORGANIZATION, "integration_ids": INTEGRATION},
    ),
    "list_api_keys": Rpc("admin", {"organization_id": "organization"}, {"organization_id": ORGANIZATION}),
    "revoke_api_key": Rpc("hidden", {"key_id": "API key"}, {"key_id": ("API key", "api_key_not_found")}),
    "generate_broker_key": Rpc("admin", {"name": "new", "integration_id": "integration"}, {"integration_id": INTEGRATION}),
    "get_broker_keys": Rpc("hidden"),
    "revoke_broker_key": Rpc("hidden", {"key_id": "broker key"}, {"key_id": ("broker key", "broker_key_not_found")}),
    "explain_mqtt_access": Rpc(
        "admin", {"credential_id": "credential", "action": "publish", "topic": "TOPIC"}, {"credential_id": CREDENTIAL}
    ),
    "rabbitmq_auth_user": Rpc("broker", {"username": "x", "password": "x"}),
    "rabbitmq_auth_vhost": Rpc("broker", {"username": "x", "vhost": "/"}),
    "rabbitmq_auth_resource": Rpc("broker", {"username": "x", "vhost": "/", "resource": "queue", "name": "x", "permission": "read"}),
    "rabbitmq_auth_topic": Rpc(
        "broker", {"username": "x", "vhost": "/", "resource": "topic", "name": "x", "permission": "read", "routing_key": "x"}
    ),
    "emqx_authenticate": Rpc("broker", {"username": "x", "password": "x", "clientid": "x"}),
    "emqx_authorize": Rpc("broker", {"username": "x", "topic": "x", "action": "publish"}),
}

# Arguments by name whose values are ids, though their type is text.
TEXT_IDS = {"device_id", "device_ids"}


@dataclass(frozen=True)
class World:
    """An organization that has one of everything."""

    tenant: Tenant
    things: dict[str, str]

    @property
    def topic(self) -> str:
        return f"org_{self.tenant.slug}/devices/d1/commands"


def make_world(stack: Stack, api: Api) -> World:
    tenant = make_tenant(stack, api)
    service = stack.token("service_role")
    device = tenant.device()
    message = accepted(device.send({"t": 1}, device.topic("d1")))
    with stack.connect() as db:
        db.execute("SELECT mqtt.process_batch(1000)")
        db.execute(
            """
            INSERT INTO mqtt.mqtt_dead_letters
                (received_at, organization_id, id, integration_id, direction, attempts, topic, message, error_message)
            VALUES (now(), %s, gen_random_uuid(), %s, 'incoming', 3, 'x', '{"topic": "x", "payload": 1}', 'broken')""",
            (tenant.organization_id, tenant.integration_id),
        )
        db.execute(
            """
            INSERT INTO mqtt.mqtt_publish_receipts
                (queued_at, organization_id, id, integration_id, state, topic, qos, attempts, settled_at)
            VALUES (now(), %s, gen_random_uuid(), %s, 'acknowledged', 'x', 1, 1, now())""",
            (tenant.organization_id, tenant.integration_id),
        )
    organization = f"eq.{tenant.organization_id}"
    integration = {"integration_id": tenant.integration_id}
    topic = f"org_{tenant.slug}/devices/d1/commands"
    # Port 9 takes nothing, and nothing but the row below is to be posted there.
    callback = {**integration, "topic": f"org_{tenant.slug}/callbacks", "callback_url": "https://127.0.0.1:9/"}
    callback_id = api.ok("mqtt_subscribe", callback, token=service)["id"]
    with stack.connect() as db:
        db.execute(
            """
            INSERT INTO mqtt.mqtt_callback_deliveries (organization_id, subscription_id, message_id, received_at, status, finished_at)
            VALUES (%s, %s, %s, now(), 'delivered', now())""",
            (tenant.organization_id, callback_id, message),
        )
        colleague = str(uuid.uuid4())
        for table, user in (("organization_members", colleague), ("organization_invitations", str(uuid.uuid4()))):
            db.execute(
                SQL("INSERT INTO mqtt.{} (organization_id, user_id) VALUES (%s, %s)").format(Identifier(table)),
                (tenant.organization_id, user),
            )
    ended = one(api.ok("generate_mqtt_credentials", integration, token=service))["credential_id"]
    api.ok("revoke_mqtt_credentials", {"credential_id": ended}, token=service)
    things = {
        "organization": tenant.organization_id,
        "ended login": ended,
        "integration": tenant.integration_id,
        "colleague": colleague,
        "message": message,
        "device": api.rows("devices", token=service, organization_id=organization)[0]["id"],
        "credential": api.rows("mqtt_credentials", token=service, organization_id=organization, revoked_at="is.null")[0]["id"],
        "subscription": api.rows("mqtt_subscriptions", token=service, organization_id=organization, callback_url="is.null")[0]["id"],
        "callback": callback_id,
        "delivery": api.rows("mqtt_callback_deliveries", token=service, organization_id=organization)[0]["id"],
        "dead": api.rows("mqtt_dead_letters", token=service, organization_id=organization)[0]["id"],
        "rule": api.ok("upsert_payload_rule", {**integration, "topic": "own/+", "device": "{topic[2]}"}, token=service)["id"],
        "API key": api.ok("create_api_key", {"organization_id": tenant.organization_id, "name": "a"}, token=service)["id"],
        "broker key": api.ok("generate_broker_key", {"name": "b", **integration}, token=service)["id"],
        "request": api.ok("mqtt_test_connection", integration, token=service)["request_id"],
        "deletion": api.ok("delete_messages", {**integration, "filter": "nothing"}, token=service)["id"],
        "receipt": api.ok("mqtt_publish", {**integration, "messages": [{"topic": topic, "payload": 1}]}, token=service)["receipts"][0][
            "receipt_id"
        ],
    }
    return World(tenant, things)


@pytest.fixture(scope="module")
def home(stack: Stack, api: Api) -> World:
    """The organization that callers belong to; nothing in it may change but by those who may change it."""
    return make_world(stack, api)


@pytest.fixture(scope="module")
def strangers(stack: Stack, api: Api) -> World:
    return make_world(stack, api)


def filled(rpc: Rpc, world: World) -> dict[str, Any]:
    """The body of a call that works in that world."""

    def fill(value: Any) -> Any:
        match value:
            case list():
                return [fill(element) for element in value]
            case dict():
                return {key: fill(element) for key, element in value.items()}
            case "TOPIC":
                return world.topic
            case "NAME":
                return f"Organization {world.tenant.slug}"
            case "USER":
                return str(uuid.uuid4())
            case "NEW":
                return f"n{uuid.uuid4().hex[:12]}"
            case str():
                return world.things.get(value, value)
        return value

    return {key: fill(value) for key, value in rpc.body.items()}


def call(world: World, name: str, body: dict[str, Any], token: str | None) -> requests.Response:
    if name in ("mqtt_ingest_binary", "mqtt_ingest_document"):
        headers = {"Content-Type": "application/octet-stream", "X-Topic": "x"} | (
            {} if token is None else {"Authorization": f"Bearer {token}"}
        )
        return world.tenant.api.call(name, data=b"1", headers=headers)
    return world.tenant.api.call(name, body, token=token)


def test_the_catalogue_has_nothing_that_is_not_expected(db: psycopg.Connection[tuple[Any, ...]]) -> None:
    functions: dict[str, dict[str, str]] = {}
    for name, arguments, types in db.execute(
        """
        SELECT p.proname, coalesce(p.proargnames[:p.pronargs], '{}'), (SELECT coalesce(array_agg(t::regtype::text ORDER BY o), '{}')
            FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a (t, o))
        FROM pg_proc AS p WHERE p.pronamespace = 'api'::regnamespace
        """
    ):
        # Forms that take the body whole are told apart by the Content-Type, and come after one with arguments.
        known = functions.get(name)
        assert known is None or not arguments or not known, f"{name} is overloaded, which PostgREST answers with 300"
        functions[name] = known or dict(zip(arguments, types, strict=False))
    assert functions.keys() == RPCS.keys()
    for name, arguments in functions.items():
        rpc = RPCS[name]
        ids = {argument for argument, kind in arguments.items() if kind.startswith("uuid") or argument in TEXT_IDS}
        assert ids == rpc.ids.keys() | rpc.free, name
        assert rpc.body.keys() <= arguments.keys() or name == "mqtt_ingest_batch", name  # which take their body whole
        assert rpc.ids.keys() <= rpc.body.keys(), f"{name}: each id must be in the body, to be exchanged for another's"


@pytest.fixture
def nothing_happens(home: World, strangers: World, db: psycopg.Connection[tuple[Any, ...]]) -> Iterator[None]:
    seen = [Witness(db, world.tenant.organization_id) for world in (home, strangers)]
    yield
    assert [witness.changed() for witness in seen] == [{}, {}]


@pytest.mark.parametrize("name", RPCS)
@pytest.mark.usefixtures("nothing_happens")
def test_who_may_not_call(home: World, strangers: World, stack: Stack, name: str) -> None:
    rpc = RPCS[name]
    body = filled(rpc, home)
    nobody = stack.token("authenticated", str(uuid.uuid4()))
    callers = {"anon": None, "nobody": nobody, "stranger": strangers.tenant.admin, "member": home.tenant.member, "admin": home.tenant.admin}
    callers["service"] = stack.token("service_role")
    allowed = {
        "device": [],
        "broker": [],
        "hidden": ["admin", "service"],
        "self": ["member", "admin"],
        "invited": [],
        "member": ["member", "admin", "service"],
        "admin": ["admin", "service"],
        "public": [*callers],
        "anyone": ["nobody", "stranger", "member", "admin", "service"],
        "operator": ["service"],
        "service": ["service"],
    }[rpc.level]
    for caller, token in callers.items():
        if caller in allowed:
            continue
        response = call(home, name, body, token)
        where = f"{name} as {caller}: {response.status_code} {response.text[:300]}"
        if rpc.level == "device":
            refused(response, 401, "invalid_credentials")
        elif rpc.level == "broker":
            if name.startswith("emqx"):  # which takes errors for leave to ask elsewhere
                assert (response.status_code, response.json()["result"], response.json()["reason"]) == (200, "deny", "broker_unknown"), (
                    where
                )
            else:
                refused(response, 401, "broker_unknown")
        elif caller == "anon":
            assert (response.status_code, response.json()["code"]) == (401, "42501"), where
        elif rpc.level == "service":
            assert (response.status_code, response.json()["code"]) == (403, "42501"), where
        elif rpc.level == "operator":
            refused(response, 403, "operator_required")
        elif caller == "member" and rpc.level == "admin":
            refused(response, 403, "admin_required")
        elif caller == "service" and rpc.level == "self":
            refused(response, 403, "member_required")
        else:  # neither exists for them, nor is it forbidden
            slugs = {slug for _, slug in rpc.ids.values()}
            if slugs <= {None}:
                assert response.ok, where
                assert not any(thing in response.text for kind, thing in home.things.items() if kind not in {"receipt", "dead"}), where
                assert rpc.is_empty(response.json()) or not rpc.ids, where
            else:
                assert response.status_code == 404, where
                assert response.json()["message"] in slugs, where


@pytest.mark.parametrize("name", [name for name, rpc in RPCS.items() if rpc.level not in {"device", "broker", "invited"}])
def test_who_may_call(stack: Stack, api: Api, name: str, db: psycopg.Connection[tuple[Any, ...]]) -> None:
    """The bodies above do work, so that the refusals are for the caller's sake and not for a slip in them."""
    rpc = RPCS[name]
    callers: dict[str, list[str]] = {"member": ["member", "admin", "service"], "admin": ["admin", "service"], "service": ["service"]}
    callers |= {"hidden": callers["admin"], "anyone": callers["member"], "public": callers["member"], "operator": callers["service"]}
    callers["self"] = ["member", "admin"]
    for caller in callers[rpc.level]:
        world = make_world(stack, api)
        token = {"member": world.tenant.member, "admin": world.tenant.admin, "service": stack.token("service_role")}[caller]
        response = call(world, name, filled(rpc, world), token)
        assert response.ok, f"{name} as {caller}: {response.status_code} {response.text}"
        if rpc.level not in {"operator", "service"}:
            assert not rpc.is_empty(response.json()) or name == "query_telemetry", response.text


ID_CASES = [(name, argument) for name, rpc in RPCS.items() for argument in rpc.ids if rpc.level != "service"]


@pytest.mark.parametrize(("name", "argument"), ID_CASES)
@pytest.mark.usefixtures("nothing_happens")
def test_another_s_id_is_answered_like_one_that_does_not_exist(home: World, strangers: World, name: str, argument: str) -> None:
    rpc = RPCS[name]
    kind, slug = rpc.ids[argument]
    body = filled(rpc, home)
    theirs = strangers.things[kind]
    unknown = str(uuid.uuid4())
    answers = []
    for value in (theirs, unknown):
        wrapped = [value] if isinstance(body[argument], list) else value
        response = call(home, name, {**body, argument: wrapped}, home.tenant.admin)
        if slug is None:
            assert response.ok, response.text
            assert rpc.is_empty(response.json()), response.text
        else:
            refused(response, 404, slug)
        answers.append((response.status_code, response.text.replace(value, "ID"), response.headers.get("Content-Type")))
    assert answers[0] == answers[1]


@pytest.mark.usefixtures("nothing_happens")
def test_devices_of_others_are_not_found_by_their_names_either(stack: Stack, api: Api, home: World) -> None:
    other = make_world(stack, api)
    other.tenant.api.ok(
        "sync_device", {"integration_id": other.things["integration"], "external_id": "only-theirs"}, token=other.tenant.admin
    )
    for rpc in ("get_device", "query_telemetry"):
        refused(home.tenant.api.call(rpc, {"device_id": "only-theirs"}, token=home.tenant.admin), 404, "device_not_found")


def test_what_others_hold_is_free_to_take(stack: Stack, api: Api, strangers: World, queue: Queue) -> None:
    """No unique constraint tells one organization what another has, save for slugs, which service_role alone may choose.

    At the hosted broker, where no two organizations have the same client id, the second one gets its own with its slug before it.
    """
    mine = make_world(stack, api)
    client_id = f"c{uuid.uuid4().hex[:12]}"
    theirs = strangers.tenant
    for tenant in (theirs, mine.tenant):
        tenant.device(client_id=client_id)
        api.ok("sync_device", {"integration_id": tenant.integration_id, "external_id": "same"}, token=tenant.member)
        tenant.integration("mqtt_external", "same name", broker_url="broker.example.com")
        subscription = {"integration_id": tenant.integration_id, "topic": f"org_{tenant.slug}/same"}
        api.ok("mqtt_subscribe", subscription, token=tenant.admin)


# ------------------------------------------------------------------------------------------------------------------- views


# For each view the column that says whose a row is.
VIEWS = {
    "organizations": "id",
    "organization_members": "organization_id",
    "device_integrations": "organization_id",
    "devices": "organization_id",
    "mqtt_credentials": "organization_id",
    "mqtt_subscriptions": "organization_id",
    "mqtt_callback_deliveries": "organization_id",
    "mqtt_messages": "organization_id",
    "mqtt_message_queue": "organization_id",
    "mqtt_dead_letters": "organization_id",
    "mqtt_publish_receipts": "organization_id",
    "integration_activity_log": "organization_id",
    "payload_rules": "organization_id",
}
SECRET_COLUMNS = {
    "secret_salt",
    "secret_hash",
    "previous_salt",
    "previous_hash",
    "mosquitto_hash",
    "bcrypt_hash",
    "password",
    "callback_secret",
}


def test_the_catalogue_has_no_view_that_is_not_expected(db: psycopg.Connection[tuple[Any, ...]]) -> None:
    rows = db.execute(
        "SELECT relname, relkind::text, coalesce(reloptions, '{}') FROM pg_class WHERE relnamespace = 'api'::regnamespace"
    ).fetchall()
    assert {name for name, _, _ in rows} == VIEWS.keys()
    assert all(kind == "v" and "security_invoker=true" in options for _, kind, options in rows)
    columns = db.execute(
        "SELECT attrelid::regclass::text, attname FROM pg_attribute JOIN pg_class ON oid = attrelid"
        " WHERE relnamespace = 'api'::regnamespace AND attnum > 0"
    ).fetchall()
    assert not [(view, column) for view, column in columns if column in SECRET_COLUMNS]
    tenant_tables = db.execute(
        "SELECT DISTINCT attrelid::regclass::text FROM pg_attribute JOIN pg_class ON oid = attrelid"
        " WHERE relnamespace = 'mqtt'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition AND attname = 'organization_id'"
    ).fetchall()
    # The witness of these tests looks at every table that holds tenants' rows, but for those that only count, follow from others, are the
    # bridge's own, or that nobody may read (tests/pgtap/deferred_updates.sql).
    assert {table for (table,) in tenant_tables} - set(TABLES.values()) <= {
        "mqtt.ledger",
        "mqtt.bridge_leases",
        "mqtt.outbound_batches",
        "mqtt.callback_circuits",
        "mqtt.deferred_device_updates",
        "mqtt.deferred_credential_updates",
        "mqtt.deferred_device_ids",
        "mqtt.topics",
        "mqtt.topic_counts",
        "mqtt.reading_rows",
        "mqtt.rollups",
        "mqtt.rollup_minutes",
        "mqtt.rollup_series",
        "mqtt.rollup_progress",
        "mqtt.late_readings",
        "mqtt.retained_messages",
        "mqtt.ended_filters",
        "mqtt.sparkplug_nodes",
        "mqtt.presence_positions",
        "mqtt.payload_rules",
        "mqtt.stream_connections",
    }


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.usefixtures("nothing_happens")
def test_who_sees_which_rows(home: World, strangers: World, stack: Stack, view: str) -> None:
    api, owner = home.tenant.api, VIEWS[view]
    mine, theirs = home.things["organization"], strangers.things["organization"]
    assert api.session.get(f"{api.url}/{view}").status_code == 401
    assert api.rows(view, token=stack.token("authenticated", str(uuid.uuid4()))) == []
    for tenant, organization in ((home.tenant, mine), (strangers.tenant, theirs)):
        for token in (tenant.member, tenant.admin):
            assert {row[owner] for row in api.rows(view, token=token)} == {organization}, "its own, and some"
    assert api.rows(view, token=home.tenant.admin, **{owner: f"eq.{theirs}"}) == []
    assert {mine, theirs} <= {row[owner] for row in api.rows(view, token=stack.token("service_role"))}
    # nor by the way of a count, a sum, or an embedded resource
    response = api.session.head(
        f"{api.url}/{view}",
        params={owner: f"eq.{theirs}"},
        headers={"Authorization": f"Bearer {home.tenant.admin}", "Prefer": "count=exact", "Connection": "close"},
    )
    assert response.headers["Content-Range"] == "*/0"


@pytest.mark.usefixtures("nothing_happens")
def test_no_estimate_tells_what_is_common_among_others(home: World, gateway: Api) -> None:
    """The planner's statistics are of all rows; an app's count is of those that it may see. The gateway leaves one Prefer of several."""
    direct = home.tenant.api.url
    cases = [(url, [preference]) for url in (direct, gateway.url) for preference in ("count=planned", "x=y, count=estimated")]
    cases += [(gateway.url, ["count=planned", "x=y"]), (gateway.url, ["x=y", "count=planned"])]
    for url, preferences in cases:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=30)
        connection.putrequest("GET", f"{parts.path}/devices?select=id")
        connection.putheader("Authorization", f"Bearer {home.tenant.member}")
        for preference in preferences:
            connection.putheader("Prefer", preference)
        connection.endheaders()
        response = connection.getresponse()
        body = response.read()
        connection.close()
        if response.status == 400:
            assert json.loads(body)["message"] == "count_not_offered"
        else:
            counted = response.getheader("Content-Range")
            assert (preferences, response.status) == (["x=y", "count=planned"], 200), (url, preferences, response.status, body)
            assert counted is not None
            assert counted.endswith("/*"), "the second Prefer is gone, so nothing is counted"


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.usefixtures("nothing_happens")
def test_who_writes_which_rows(home: World, strangers: World, stack: Stack, view: str) -> None:
    """Views are for reading: all writes go through calls, whoever writes."""
    api, owner = home.tenant.api, VIEWS[view]
    tokens = {"anon": None, "stranger": strangers.tenant.admin, "member": home.tenant.member, "admin": home.tenant.admin}
    tokens["service"] = stack.token("service_role")
    for caller, token in tokens.items():
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        for organization in (home.things["organization"], strangers.things["organization"]):
            row = {owner: organization}
            url, mine = f"{api.url}/{view}", {owner: f"eq.{organization}"}
            for response in (
                api.session.post(url, json=row, headers=headers),
                api.session.post(url, json=row, headers={**headers, "Prefer": "resolution=merge-duplicates"}),
                api.session.patch(url, json=row, params=mine, headers=headers),
                api.session.delete(url, params=mine, headers=headers),
                api.session.put(url, json=row, params=mine, headers=headers),
            ):
                method = response.request.method
                assert 400 <= response.status_code < 500, f"{method} {view} as {caller}: {response.status_code} {response.text}"
