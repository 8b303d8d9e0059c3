"""Tokens that are forged, stale, misdirected or malformed open nothing; and no token makes its bearer more than it says."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt as pyjwt
import pytest

from tests.api.support import Queue, Witness, answered, refused
from tests.support.api import Api
from tests.support.stack import Stack
from tests.support.tenant import Tenant, make_tenant

HOUR = 3600
SOMEONE = "00000000-0000-4000-8000-00000000beef"


@pytest.fixture(scope="module")
def home_here(stack: Stack, api: Api) -> Tenant:
    return make_tenant(stack, api)


def part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(stack: Stack, payload: bytes, header: bytes = b'{"alg":"HS256","typ":"JWT"}', key: str | None = None) -> str:
    message = f"{part(header)}.{part(payload)}"
    mac = hmac.new((key or stack.env["JWT_SECRET"]).encode(), message.encode(), hashlib.sha256).digest()
    return f"{message}.{part(mac)}"


def service_claims(stack: Stack, **claims: Any) -> dict[str, Any]:
    return {"role": "service_role", "aud": stack.env["JWT_AUDIENCE"], "exp": int(time.time()) + HOUR, **claims}


def signed_by(stack: Stack, algorithm: str) -> str:
    """With the right secret by another algorithm: PostgREST takes no hash that is longer than the secret."""
    header = json.dumps({"alg": algorithm, "typ": "JWT"}).encode()
    message = f"{part(header)}.{part(json.dumps(service_claims(stack)).encode())}"
    mac = hmac.new(stack.env["JWT_SECRET"].encode(), message.encode(), f"sha{algorithm.removeprefix('HS')}").digest()
    return f"{message}.{part(mac)}"


def unsigned(stack: Stack, algorithm: str) -> str:
    return f"{part(json.dumps({'alg': algorithm, 'typ': 'JWT'}).encode())}.{part(json.dumps(service_claims(stack)).encode())}."


def tampered(stack: Stack) -> str:
    header, _, signature = stack.token("authenticated", SOMEONE).split(".")
    return f"{header}.{part(json.dumps(service_claims(stack)).encode())}.{signature}"


# Each makes a token that would be service_role's, were it genuine.
FORGED: dict[str, Callable[[Stack], str]] = {
    "alg none": lambda s: unsigned(s, "none"),
    "alg None": lambda s: unsigned(s, "None"),
    "alg NONE with a signature": lambda s: unsigned(s, "NONE") + part(b"x"),
    "no alg": lambda s: signed(s, json.dumps(service_claims(s)).encode(), b"{}"),
    "wrong key": lambda s: pyjwt.encode(service_claims(s), "k" * 48, algorithm="HS256"),
    "empty key": lambda s: signed(s, json.dumps(service_claims(s)).encode(), key="\0"),
    "signed for RS256": lambda s: signed(s, json.dumps(service_claims(s)).encode(), b'{"alg":"RS256","typ":"JWT"}'),
    "signed by HS384": lambda s: signed_by(s, "HS384"),
    "signed by HS512": lambda s: signed_by(s, "HS512"),
    "key named by the token": lambda s: signed(
        s, json.dumps(service_claims(s)).encode(), b'{"alg":"HS256","jwk":{"kty":"oct","k":"a2tr"}}', key="kkk"
    ),
    "payload exchanged": tampered,
    "signature cut": lambda s: s.token("service_role")[:-4],
    "no signature": lambda s: s.token("service_role").rsplit(".", 1)[0] + ".",
    "expired": lambda s: s.token("service_role", exp=int(time.time()) - HOUR),
    "expired a minute ago": lambda s: s.token("service_role", exp=int(time.time()) - 60),
    "expired before 1970": lambda s: s.token("service_role", exp=-1),
    "not valid yet": lambda s: s.token("service_role", nbf=int(time.time()) + HOUR),
    "issued in the future": lambda s: s.token("service_role", iat=int(time.time()) + HOUR),
    "other audience": lambda s: s.token("service_role", aud="somebody"),
    "other audiences": lambda s: s.token("service_role", aud=["somebody", "else"]),
    "audience in other letters": lambda s: s.token("service_role", aud=s.env["JWT_AUDIENCE"].upper()),
    "audience is an object": lambda s: signed(s, json.dumps(service_claims(s, aud={})).encode()),
    "expiry is a word": lambda s: signed(s, json.dumps(service_claims(s, exp="never")).encode()),
    "claims are an array": lambda s: signed(s, b"[]"),
    "claims are null": lambda s: signed(s, b"null"),
    "claims are no JSON": lambda s: signed(s, b"role=service_role"),
    "a word": lambda s: "service_role",
    "three words": lambda s: "a.b.c",
    "dots": lambda s: "..",
    "five parts": lambda s: "a.b.c.d.e",
    "20,000 letters": lambda s: "x" * 20_000,
}


# Genuine, but they do not say until when or for whom. PostgREST refuses some of them itself, and lets the others pass.
INCOMPLETE: dict[str, dict[str, Any]] = {
    "no expiry": {"exp": None},
    "expiry is null": {"exp": "NULL"},
    "no audience": {"aud": None},
    "audience is null": {"aud": "NULL"},
    "no audience in the list": {"aud": []},
    "neither": {"exp": None, "aud": None},
}


@pytest.mark.parametrize("role", ["authenticated", "service_role"])
@pytest.mark.parametrize("case", INCOMPLETE)
def test_tokens_without_end_or_audience(
    stack: Stack, home_here: Tenant, witness: Callable[[Tenant], Witness], case: str, role: str
) -> None:
    claims = service_claims(stack, role=role, sub=home_here.admin_id) | INCOMPLETE[case]
    claims = {key: None if value == "NULL" else value for key, value in claims.items() if value is not None}
    token = signed(stack, json.dumps(claims).encode())
    seen = witness(home_here)
    response = home_here.api.call("delete_integration", {"integration_id": home_here.integration_id}, token=token)
    assert (response.status_code, response.json()["code"]) in {(401, "PT401"), (401, "PGRST301")}, response.text
    read = home_here.api.session.get(f"{home_here.api.url}/mqtt_messages", headers={"Authorization": f"Bearer {token}"})
    assert read.status_code == 401, read.text
    if case.startswith(("no expiry", "no audience", "neither")) and "list" not in case:
        assert response.json()["message"] == "token_incomplete"
    assert seen.changed() == {}


# Clocks may be apart by 30 seconds, as PostgREST has it; what is far enough from the edge for a slow machine.
LEEWAY: dict[str, tuple[dict[str, int], int]] = {
    "expired 31 seconds ago": ({"exp": -31}, 401),
    "expired 10 seconds ago": ({"exp": -10}, 200),
    "valid in 29 seconds": ({"nbf": 29}, 200),
    "valid in a minute": ({"nbf": 60}, 401),
    "issued 29 seconds ahead": ({"iat": 29}, 200),
    "issued a minute ahead": ({"iat": 60}, 401),
}


@pytest.mark.parametrize("case", LEEWAY)
def test_clocks_may_be_apart_by_half_a_minute(stack: Stack, home_here: Tenant, case: str) -> None:
    offsets, status = LEEWAY[case]
    token = stack.token("authenticated", home_here.member_id, **{claim: int(time.time()) + offset for claim, offset in offsets.items()})
    assert home_here.api.call("list_devices", {}, token=token).status_code == status


@pytest.mark.parametrize("case", FORGED)
def test_tokens_that_are_not_genuine(stack: Stack, home_here: Tenant, witness: Callable[[Tenant], Witness], case: str) -> None:
    token = FORGED[case](stack)
    seen = witness(home_here)
    for rpc, body in [
        ("check_mqtt_ledger", {}),
        ("delete_integration", {"integration_id": home_here.integration_id}),
        ("list_devices", {}),
    ]:
        answered(home_here.api.call(rpc, body, token=token), 401, "PGRST301")
    assert home_here.api.session.get(f"{home_here.api.url}/mqtt_messages", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert seen.changed() == {}


def test_a_device_s_password_is_no_token(home_here: Tenant) -> None:
    device = home_here.device()
    answered(device.api.call("list_devices", {}, token=device.password), 401, "PGRST301")


# Genuine tokens, whose role is none that a request may take.
ROLES = {
    "postgres": (403, "42501"),
    "mqtt_owner": (403, "42501"),
    "mqtt_bridge": (403, "42501"),
    "authenticator": (403, "42501"),
    "pg_read_all_data": (403, "42501"),
    "pg_execute_server_program": (403, "42501"),
    "none": (403, "42501"),
    "nobody_by_this_name": (400, "22023"),
    'authenticated"; SET ROLE postgres; --': (400, "22023"),
    "SERVICE_ROLE": (400, "22023"),
    "": (400, "22023"),
    "anon": (401, "42501"),
}


@pytest.mark.parametrize("role", ROLES)
def test_roles_that_no_token_may_take(stack: Stack, home_here: Tenant, witness: Callable[[Tenant], Witness], role: str) -> None:
    seen = witness(home_here)
    body = {"integration_id": home_here.integration_id}
    answered(home_here.api.call("delete_integration", body, token=stack.token(role, home_here.admin_id)), *ROLES[role])
    assert seen.changed() == {}


@pytest.mark.parametrize("role", [["service_role"], {"name": "service_role"}, 5, True])
def test_roles_of_other_types(stack: Stack, home_here: Tenant, role: Any) -> None:
    response = home_here.api.call("check_mqtt_ledger", {}, token=signed(stack, json.dumps(service_claims(stack, role=role)).encode()))
    assert 400 <= response.status_code < 500, response.text


def test_the_authenticator_may_become_three_roles_and_no_others(db: Any) -> None:
    rows = db.execute(
        "SELECT rolname FROM pg_roles WHERE pg_has_role('authenticator', oid, 'member') AND rolname <> 'authenticator' ORDER BY 1"
    ).fetchall()
    assert [row[0] for row in rows] == ["anon", "authenticated", "service_role"]
    row = db.execute(
        "SELECT rolinherit, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = 'authenticator'"
    ).fetchone()
    assert row == (False, False, False, False, False)


SUBJECTS: dict[str, Any] = {
    "of nobody": SOMEONE,
    "missing": None,
    "empty": "",
    "no UUID": "admin",
    "SQL": "' OR true --",
    "cut off": SOMEONE[:-1],
    "with spaces": f" {SOMEONE} ",
    "in braces": f"{{{SOMEONE}}}",
}


@pytest.mark.parametrize("case", SUBJECTS)
def test_a_subject_of_no_organization_sees_and_does_nothing(
    stack: Stack, home_here: Tenant, witness: Callable[[Tenant], Witness], case: str
) -> None:
    token = stack.token(
        "authenticated", SUBJECTS[case], email="admin@example.com", app_metadata={"role": "admin"}, user_role="service_role"
    )
    seen = witness(home_here)
    assert home_here.api.rows("device_integrations", token=token) == []
    assert home_here.api.ok("list_devices", token=token)["devices"] == []
    body = {"integration_id": home_here.integration_id}
    refused(home_here.api.call("delete_integration", body, token=token), 404, "integration_not_found")
    answered(home_here.api.call("check_mqtt_ledger", token=token), 403, "42501")
    assert seen.changed() == {}


def test_claims_and_role_cannot_be_set_by_headers_or_by_a_body(stack: Stack, home_here: Tenant, queue: Queue) -> None:
    claims = json.dumps({"sub": home_here.admin_id, "role": "service_role"})
    headers = {
        "X-Role": "service_role", "Role": "service_role", "request.jwt.claims": claims, "X-Forwarded-User": home_here.admin_id,
        "Accept-Profile": "mqtt", "Content-Profile": "mqtt",
    }  # fmt: skip
    response = home_here.api.call("check_mqtt_ledger", {}, headers=headers)
    assert response.status_code in {401, 406}, response.text
    del headers["Accept-Profile"], headers["Content-Profile"]
    answered(home_here.api.call("check_mqtt_ledger", {}, headers=headers), 401, "42501")


@pytest.mark.parametrize("schema", ["mqtt", "bridge", "pgmq", "public", "pg_catalog", "information_schema", "api,mqtt"])
def test_no_other_schema_is_served(home_here: Tenant, queue: Queue, schema: str) -> None:
    """Neither tables nor functions outside `api` can be named, by whomever."""
    for token in (queue.service, home_here.admin):
        headers = {"Accept-Profile": schema, "Content-Profile": schema, "Authorization": f"Bearer {token}"}
        url = home_here.api.url
        assert home_here.api.session.get(f"{url}/mqtt_messages", headers=headers).status_code == 406
        assert home_here.api.session.post(f"{url}/rpc/process_batch", json={}, headers=headers).status_code == 406
    for path in ("mqtt.mqtt_messages", "pgmq.q_mqtt_messages", "pg_authid", "rpc/mqtt.process_batch", "rpc/pg_read_file", "rpc/set_config"):
        url = f"{home_here.api.url}/{path}"
        for response in (home_here.api.session.get(url, headers={"Authorization": f"Bearer {queue.service}"}),):
            assert response.status_code == 404, (path, response.text)


def test_a_member_is_no_admin_and_an_admin_is_no_service(home_here: Tenant, witness: Callable[[Tenant], Witness]) -> None:
    seen = witness(home_here)
    body = {"integration_id": home_here.integration_id}
    for rpc in ("generate_mqtt_credentials", "delete_integration", "mqtt_test_connection"):
        refused(home_here.api.call(rpc, body, token=home_here.member), 403, "admin_required")
    organization = {"name": "x", "slug": "x", "admin_user_id": home_here.admin_id}
    for token in (home_here.member, home_here.admin):
        refused(home_here.api.call("create_organization", organization, token=token), 403, "operator_required")
    assert seen.changed() == {}
