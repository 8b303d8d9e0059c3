"""Attacks with plain SQL by the roles that can log in or be become, as if PostgREST had let somebody through."""

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import errors

from tests.support.api import Api
from tests.support.stack import ROOT, Stack, start_stack
from tests.support.tenant import Tenant, make_tenant
from tests.support.waiting import PATIENCE

Connection = psycopg.Connection[tuple[Any, ...]]
ROLES = ("anon", "authenticated", "service_role", "mqtt_bridge")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    running = start_stack(without=("bridge", "mosquitto", "gateway"))
    yield running
    running.down()


@pytest.fixture(scope="module")
def api(stack: Stack) -> Iterator[Api]:
    client = Api(stack.api_url)
    with client.session:
        yield client


@pytest.fixture(scope="module")
def home(stack: Stack, api: Api) -> Tenant:
    return make_tenant(stack, api)


@pytest.fixture
def become(stack: Stack) -> Iterator[Callable[..., Connection]]:
    """`become(role, **claims)`: a session with that role's rights and claims."""
    opened: list[Connection] = []

    def open_one(role: str, **claims: Any) -> Connection:
        connection = stack.connect(autocommit=False)
        opened.append(connection)
        connection.execute(f"SET SESSION AUTHORIZATION {role}")
        connection.execute("SELECT set_config('request.jwt.claims', %s, false)", (json.dumps({"role": role, **claims}),))
        connection.commit()
        return connection

    yield open_one
    for connection in opened:
        connection.close()


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT pgmq.read('mqtt_messages', 1, 1)",
        "SELECT pgmq.send('mqtt_messages', '{}')",
        "SELECT pgmq.purge_queue('mqtt_messages')",
        "SELECT pgmq.drop_queue('mqtt_messages')",
        "SELECT * FROM pgmq.q_mqtt_messages",
        "DELETE FROM pgmq.q_mqtt_outbound",
        "SELECT secret_hash FROM mqtt.mqtt_credentials",
        "SELECT * FROM mqtt.broker_keys",
        "SELECT mqtt.process_batch(1)",
        "SELECT mqtt.sealed_setting('password', '\"x\"')",
        "SELECT rolpassword FROM pg_authid",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "ALTER ROLE mqtt_owner LOGIN",
        "CREATE TABLE public.mine (a int)",
        "CREATE FUNCTION mqtt.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "UPDATE mqtt.configuration SET allow_private_addresses = true",
        "TRUNCATE mqtt.history",
        "SET ROLE mqtt_owner",
        "SET ROLE postgres",
        "SET session_replication_role = replica",
    ],
)
def test_what_no_role_may_do(become: Callable[..., Connection], role: str, statement: LiteralString) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        become(role).execute(statement)


@pytest.mark.parametrize("role", ["anon", "authenticated", "mqtt_bridge"])
@pytest.mark.parametrize("other", ["anon", "authenticated", "service_role", "mqtt_bridge", "authenticator", "mqtt_owner", "postgres"])
def test_no_role_becomes_another(become: Callable[..., Connection], role: str, other: str) -> None:
    if role != other:
        with pytest.raises(errors.InsufficientPrivilege):
            become(role).execute(f"SET ROLE {other}")


@pytest.mark.parametrize("login", ["authenticator", "mqtt_bridge"])
def test_a_login_stays_who_it_is(stack: Stack, login: str) -> None:
    secrets = dict(line.split("=", 1) for line in (stack.run_dir / "secrets").read_text().splitlines())
    with stack.connect(user=login, password=secrets[f"{login.upper()}_PASSWORD"]) as session:
        for statement in ("SET SESSION AUTHORIZATION postgres", "SET ROLE mqtt_owner", "SELECT * FROM mqtt.mqtt_messages"):
            with pytest.raises(errors.InsufficientPrivilege):
                session.execute(statement)
        row = session.execute(
            "SELECT current_setting('log_parameter_max_length'), current_setting('log_error_verbosity'), current_setting('jit')"
        ).fetchone()
        assert row == ("0", "terse", "off")


def test_row_security_cannot_be_switched_off(become: Callable[..., Connection], home: Tenant) -> None:
    session = become("authenticated", sub="00000000-0000-0000-0000-000000000001")
    assert session.execute("SELECT count(*) FROM api.device_integrations").fetchone() == (0,)
    session.execute("SET row_security = off")
    with pytest.raises(errors.InsufficientPrivilege):
        session.execute("SELECT count(*) FROM api.device_integrations")


def test_temporary_objects_shadow_nothing(become: Callable[..., Connection], home: Tenant) -> None:
    """Tables, functions and operators of the attacker's, first on their path, are looked at by no function of ours."""
    stranger = "00000000-0000-0000-0000-000000000001"
    session = become("authenticated", sub=stranger)
    session.execute("CREATE TEMP TABLE organization_members (organization_id uuid, user_id uuid, role text)")
    session.execute("INSERT INTO organization_members VALUES (%s, %s, 'admin')", (home.organization_id, stranger))
    for body in ("FUNCTION pg_temp.now() RETURNS timestamptz", "FUNCTION pg_temp.sha256(bytea) RETURNS bytea"):
        session.execute(f"CREATE {body} LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''shadowed''; END'")
    session.execute(
        "CREATE FUNCTION pg_temp.equal(uuid, uuid) RETURNS boolean LANGUAGE sql AS 'SELECT true';"
        "CREATE OPERATOR pg_temp.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = pg_temp.equal)"
    )
    session.execute("SET search_path = pg_temp, mqtt, pg_catalog")
    session.commit()
    assert session.execute("SELECT count(*) FROM api.device_integrations").fetchone() == (0,)
    with pytest.raises(psycopg.Error) as fault:
        session.execute("SELECT api.generate_mqtt_credentials(integration_id => %s)", (home.integration_id,))
    assert (fault.value.sqlstate, fault.value.diag.message_primary) == ("PT404", "integration_not_found")


def test_sql_in_settings(home: Tenant) -> None:
    hostile = ["'; DROP TABLE mqtt.devices; --", '"', "\\", "%s %1$s", "$$;--", "a' || pg_sleep(9) || '", "__proto__"]
    for text in hostile:
        body = {"organization_id": home.organization_id, "name": text, "integration_type": "mqtt_external"}
        unknown = home.api.call("upsert_integration", {**body, "settings": {text: 1}}, token=home.admin)
        assert (unknown.status_code, unknown.json()["message"]) == (400, "setting_invalid")
        settings = {"broker_url": "broker.example.com", "username": text, "password": text, "client_id": text}
        made = home.api.ok("upsert_integration", {**body, "settings": settings}, token=home.admin)
        assert (made["name"], made["settings"]["username"], made["has_password"]) == (text, text, True)


def test_roles_wait_no_longer_than_they_may(home: Tenant, stack: Stack) -> None:
    with stack.connect(autocommit=False) as holder:
        holder.execute("LOCK TABLE mqtt.devices IN ACCESS EXCLUSIVE MODE")
        response = home.api.session.get(f"{home.api.url}/devices", headers={"Authorization": f"Bearer {home.member}"}, timeout=PATIENCE)
        holder.rollback()
    assert (response.status_code, response.json()["code"]) == (500, "55P03")


def test_the_page_on_security_has_the_catalogue_s_table(stack: Stack) -> None:
    command = [str(ROOT / "bin" / "security-matrix"), "--check"]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "TOPICBASE_RUN_DIR": str(stack.run_dir)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
