"""Secrets are planted, used well and badly at every door, and then looked for wherever they could have been left.

PostgreSQL logs here all that it can: every statement, its duration, its parameters.
"""

import base64
import json
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from tests.bridge.support import Peer
from tests.support.api import Api, Device, one
from tests.support.broker import Broker
from tests.support.stack import Stack, files_below, start_stack
from tests.support.tenant import Tenant, make_tenant
from tests.support.waiting import PATIENCE

LOGGING = """
log_statement = 'all'
log_min_duration_statement = 0
log_duration = on
log_parameter_max_length = -1
log_parameter_max_length_on_error = -1
log_error_verbosity = verbose
log_min_messages = info
pg_stat_statements.track = all
"""
SHOWS_ITS_SECRET = (
    *("/rpc/create_", "/rpc/generate_", "/rpc/mqtt_subscribe", "/rpc/rotate_"),
    *("/rpc/mqtt_hybrid_credentials", "/mqtt-hybrid/credentials"),
)


@dataclass
class Ground:
    """What was planted, and what was seen meanwhile."""

    stack: Stack
    planted: dict[str, str] = field(default_factory=dict)
    answers: list[str] = field(default_factory=list)
    activity: set[str] = field(default_factory=set)
    arguments: set[str] = field(default_factory=set)

    def plant(self, name: str, secret: str | None = None) -> str:
        self.planted[name] = secret or f"canary-{secrets.token_hex(12)}"
        return self.planted[name]

    def listen(self, response: requests.Response, *_: Any, **__: Any) -> None:
        if not any(path in (response.url or "") for path in SHOWS_ITS_SECRET) or not response.ok:
            self.answers.append(f"{response.text} {response.headers}")

    def found_in(self, text: str) -> list[str]:
        """The names of the secrets that the text holds: as they are, in base64 or in hexadecimal."""
        found = []
        for name, secret in self.planted.items():
            data = secret.encode()
            # base64 of a part of a longer text, at each of its three offsets
            encoded = [base64.b64encode(b" " * pad + data)[(4 if pad else 0) : -4].decode() for pad in range(3)]
            if any(form in text for form in (secret, json.dumps(secret)[1:-1], data.hex(), *encoded)):
                found.append(name)
        return found


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = tmp_path_factory.mktemp("conf") / "logging.conf"
    settings.write_text(LOGGING)
    running = start_stack(stream=True, TOPICBASE_PG_CONF=str(settings))
    yield running
    running.down()


def watch(ground: Ground, over: threading.Event) -> None:
    """Note what sessions and processes show of themselves."""
    with ground.stack.connect() as connection:
        while not over.wait(0.02):
            ground.activity.update(row[0] for row in connection.execute("SELECT query FROM pg_stat_activity"))
            for process in (path for path in Path("/proc").iterdir() if path.name.isdigit()):
                with suppress(OSError):
                    ground.arguments.add((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))


def use_devices(ground: Ground, tenant: Tenant, gateway: Api) -> None:
    api, admin = tenant.api, tenant.admin
    device = tenant.device()
    ground.plant("device password", device.password)
    assert device.send(1).status_code == 202
    wrong = ground.plant("wrong device password")
    ingest = f"{ground.stack.gateway_url}/functions/v1/mqtt-ingest"
    message = {"topic": device.topic(), "payload": 1}
    own = {"X-Username": device.username, "X-Client-ID": device.client_id}
    for password in (device.password, wrong):
        basic = "Basic " + base64.b64encode(f"{device.username}:{password}".encode()).decode()
        for headers in (
            {**own, "X-Password": password},
            {**own, "Authorization": basic},
            {**own, "Authorization": f"Bearer {password}"},
            {**own, "X-Username": "nobody", "X-Password": password},
            {**own, "X-Client-ID": "other", "X-Password": password},
            {**own, "X-Password": password, "X-Filler": password * 2000},
            {**own, "X-Password": password, "Content-Type": "text/html"},
        ):
            bodies: list[Any] = [message, {"topic": "$SYS/x", "payload": 1}, {"no": "topic"}, [], {**message, "message_id": "no uuid"}]
            # Whoever refuses so large a head may end the connection before its answer is read.
            patience = suppress(requests.RequestException) if "X-Filler" in headers else nullcontext()
            for body in bodies:
                gateway.session.post(ingest, json=body, headers=headers)
                with patience:
                    api.call("mqtt_ingest", body, headers=headers)
                with patience:
                    api.call("mqtt_ingest_batch", {"messages": [body]}, headers=headers)
            with patience:
                api.call("mqtt_ingest", data=b'{"topic": ', headers=headers)
            gateway.session.get(ingest, headers=headers)
        # JSON that Postgres cannot read: the headers with a NUL in one of them, a body that is cut off.
        for name, value in (("X-Password", password), ("Authorization", basic), ("Authorization", f"Bearer {password}")):
            with suppress(requests.RequestException):
                api.call("mqtt_ingest", message, headers={**own, name: f"{value}\0"})
        with suppress(requests.RequestException):
            api.call("mqtt_ingest_batch?columns=messages", data=f'{{"messages": ["{password}"', headers=own)
        api.call("get_mqtt_credentials", headers={"Authorization": f"Bearer {password}"})
    row = api.ok("get_mqtt_credentials", {"integration_id": tenant.integration_id}, token=admin)[0]
    rotated = one(api.ok("rotate_mqtt_credentials", {"credential_id": row["id"]}, token=admin))
    ground.plant("rotated device password", rotated["password"])
    answer = api.ok("mqtt_hybrid_credentials", {"action": "generate", "integration_id": tenant.integration_id}, token=admin)
    ground.plant("device password of the other endpoint", re.search(r'"password": "([^"]+)"', json.dumps(answer))[1])  # type: ignore[index]
    key = api.ok("generate_broker_key", {"name": "b", "integration_id": tenant.integration_id}, token=admin)
    for value in (ground.plant("broker key", key["key"]), ground.plant("wrong broker key")):
        broker = {"Authorization": "Basic " + base64.b64encode(f"{key['username']}:{value}".encode()).decode()}
        for password in (rotated["password"], device.password, wrong):
            body = {"username": device.username, "password": password}
            api.call("emqx_authenticate", {**body, "clientid": device.client_id}, headers=broker)
            api.call("rabbitmq_auth_user", body, headers=broker)
    for password in (rotated["password"], wrong):
        peer = Peer(ground.stack.mqtt_host, ground.stack.mqtt_port, device.username, password, client_id=device.client_id)
        if not peer.code:
            peer.publish(device.topic(), "over MQTT")
            peer.close()
    api.ok("revoke_mqtt_credentials", {"credential_id": row["id"]}, token=admin)
    Device(api, device.username, rotated["password"], device.client_id, device.topic_prefix).send(1)


def use_foreign_brokers(ground: Ground, tenant: Tenant, broker: Broker) -> None:
    api, admin = tenant.api, tenant.admin
    password, key = ground.plant("password of an external broker"), ground.plant("client_key", f"-----BEGIN {secrets.token_hex(20)}")
    works = {"broker_url": "127.0.0.1", "port": broker.port, "protocol": "mqtt", "username": "u", "password": password}
    body = {"organization_id": tenant.organization_id, "name": "foreign", "integration_type": "mqtt_external", "settings": works}
    made = api.ok("upsert_integration", body, token=admin)
    for settings in (
        {**works, "client_key": key},
        {**works, "port": -1},
        {**works, "port": password},
        {**works, "password": [password]},
        {**works, "password": {"sealed": password}},
        {**works, "password": {password: 1}},
        {**works, "password": password * 5000},
        {**works, "broker_url": f"mqtt://u:{password}@127.0.0.1"},
        [password],
        password,
    ):
        for change in ({}, {"integration_id": made["id"]}, {"name": None}, {"status": "none"}, {"integration_type": "none"}):
            api.call("upsert_integration", {**body, **change, "settings": settings}, token=admin)
    api.call("upsert_integration", data=json.dumps(body)[:-1], token=admin)
    columns = "?columns=organization_id,name,integration_type,settings"
    api.call(f"upsert_integration{columns}", data=json.dumps(body)[:-1], token=admin)
    for call in ("upsert_integration", f"upsert_integration{columns}"):
        api.call(call, {**body, "settings": {**works, "password": f"{password}\0"}}, token=admin)
    api.call("upsert_integration", {**body, "surplus": password}, token=admin)
    api.call("upsert_integration", body, token=tenant.member)
    api.ok("upsert_integration", {**body, "integration_id": made["id"]}, token=admin)
    for code in (0, 135):
        broker.connack = code
        request = api.ok("mqtt_test_connection", {"integration_id": made["id"]}, token=admin)
        asked = {"request_id": request["request_id"], "wait": 20}
        assert api.ok("get_mqtt_request", asked, token=admin)["status"] == "done"
    api.rows("device_integrations", token=admin)
    # The same by SQL, as PostgREST's own login, with bound parameters, done and undone.
    login = ground.planted["authenticator's password"]
    with ground.stack.connect(user="authenticator", password=login, autocommit=False) as connection:
        connection.execute("SET ROLE authenticated")
        connection.execute(
            "SELECT set_config('request.jwt.claims', %s, false)", (json.dumps({"sub": tenant.admin_id, "role": "authenticated"}),)
        )
        connection.commit()
        for settings in (works, {**works, "port": -1}):
            for statement in (
                "SELECT api.upsert_integration(%s, %s, 'mqtt_external', %s::jsonb)",
                "INSERT INTO mqtt.device_integrations (organization_id, name, integration_type, settings) VALUES (%s, %s, 'mqtt', %s)",
                "INSERT INTO mqtt.nowhere VALUES (%s, %s, %s)",
            ):
                with suppress(psycopg.Error):
                    connection.execute(statement, (tenant.organization_id, "by SQL", json.dumps(settings)))
                connection.rollback()


def use_the_stream(ground: Ground, tenant: Tenant) -> None:
    """With each kind of login, from a browser that can send no header, too: while the stream runs, and while it does not."""
    api, gateway = tenant.api, f"{ground.stack.gateway_url}/stream"
    body = {"organization_id": tenant.organization_id, "name": "app", "scope": "read"}
    key = ground.plant("API key", api.ok("create_api_key", body, token=tenant.admin)["key"])
    body = {"integration_id": tenant.integration_id, "topic": f"org_{tenant.slug}/#", "callback_url": "https://receiver.example/"}
    ground.plant("webhook secret", api.ok("mqtt_subscribe", body, token=tenant.admin)["callback_secret"])
    tickets = [ground.plant(f"ticket {n}", api.ok("create_stream_ticket", token=tenant.member)["ticket"]) for n in range(2)]
    token = ground.plant("token", tenant.member)

    def ask(ticket: str) -> list[int]:
        logins: list[dict[str, Any]] = [
            {"params": {"ticket": ticket}},
            {"params": {"ticket": f"{ticket}\0"}},
            {"params": {"ticket": ticket, "since": ticket, "topic": "#/"}},
            *({"headers": {"X-API-Key": value}} for value in (key, f"{key}x")),
            *({"headers": {"Authorization": f"Bearer {value}"}} for value in (token, f"{token}x", f"{token} {key}")),
        ]
        statuses = []
        for login in logins:
            with requests.get(gateway, stream=True, timeout=PATIENCE, **login) as answer:
                statuses.append(answer.status_code)
        return statuses

    assert set(ask(tickets[0])) == {200, 401}
    ground.stack.stop("stream")
    assert set(ask(tickets[1])) == {503}
    ground.stack.start("stream")


@pytest.fixture(scope="module")
def ground(stack: Stack) -> Ground:
    """Everything has happened, the parts of the stack run still, and nobody has looked yet."""
    ground = Ground(stack)
    pairs = dict(line.split("=", 1) for line in (stack.run_dir / "secrets").read_text().splitlines())
    names = {"AUTHENTICATOR_PASSWORD": "authenticator's password"}
    for name, value in pairs.items():
        ground.plant(names.get(name, name.lower().replace("_", " ")), value)
    place = Path((stack.run_dir / "place").read_text().strip()) if (stack.run_dir / "place").exists() else stack.run_dir
    ground.plant("the bridge's private key", (place / "bridge" / "private.key").read_text().strip())
    api, gateway = Api(stack.api_url), Api(f"{stack.gateway_url}/rest/v1")
    tenant = make_tenant(stack, api)
    for client in (api, gateway):
        client.session.hooks["response"] = [ground.listen]
    over = threading.Event()
    watcher = threading.Thread(target=watch, args=(ground, over))
    watcher.start()
    try:
        with Broker() as broker:
            use_devices(ground, tenant, gateway)
            use_foreign_brokers(ground, tenant, broker)
        use_the_stream(ground, tenant)
        stack.stop("postgrest", "intake")
        for password in (ground.planted["device password"], ground.planted["wrong device password"]):
            login = {"X-Username": "u", "X-Password": password, "X-Client-ID": "c"}
            assert gateway.call("mqtt_ingest", {"topic": "x"}, headers=login).status_code == 503
        stack.start("postgrest", "intake")
        stack.restart("bridge")
        with stack.connect() as connection:
            connection.execute("SELECT mqtt.process_batch(1000)")
            connection.execute("SELECT 'the log holds literals of SQL'")
    finally:
        over.set()
        watcher.join()
        api.session.close()
        gateway.session.close()
    return ground


@pytest.mark.parametrize("part", ["postgres", "postgrest", "intake", "gateway", "bridge", "stream", "mosquitto", "sqitch", "initdb"])
def test_logs(ground: Ground, part: str) -> None:
    path = ground.stack.run_dir / "log" / f"{part}.log"
    log = path.read_text(errors="replace") if path.exists() else ""
    if part == "postgres":
        assert "the log holds literals of SQL" in log
        assert '"api"."mqtt_ingest"' in log, "it does log what PostgREST asks"
    assert [line for line in log.splitlines() if ground.found_in(line)] == []
    assert path.parent.stat().st_mode & 0o077 == 0


def test_statistics_of_statements(ground: Ground) -> None:
    with ground.stack.connect() as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        text = "\n".join(row[0] for row in connection.execute("SELECT query FROM pg_stat_statements"))
    assert "upsert_integration" in text
    assert ground.found_in(text) == []


def test_running_statements(ground: Ground) -> None:
    assert len(ground.activity) > 0
    assert ground.found_in("\n".join(ground.activity)) == []


def test_arguments_and_environment_of_processes(ground: Ground) -> None:
    assert any("-m bridge run" in line for line in ground.arguments)
    assert ground.found_in("\n".join(ground.arguments)) == []
    for part in ("postgres", "postgrest", "intake", "gateway", "bridge", "stream", "mosquitto"):
        environment = Path(f"/proc/{ground.stack.pid(part)}/environ").read_bytes().decode(errors="replace")
        assert ground.found_in(environment) == [], part


def test_answers(ground: Ground) -> None:
    """No answer repeats a secret, an error neither, save the one that shows a new one once."""
    assert len(ground.answers) > 200
    assert [(ground.found_in(answer), answer) for answer in ground.answers if ground.found_in(answer)] == []


def test_metrics(ground: Ground) -> None:
    assert ground.found_in(requests.get(ground.stack.metrics_url, timeout=PATIENCE).text) == []


def test_dump_of_the_database(ground: Ground) -> None:
    """With it the activity log, dead letters, the queues and the history."""
    dump = ground.stack.run("exec", "pg_dump", "--inserts").stdout
    assert "INSERT INTO mqtt.integration_activity_log" in dump
    assert '"sealed"' in dump
    assert ground.found_in(dump) == []
    assert ground.found_in(ground.stack.run("exec", "pg_dumpall", "--globals-only").stdout) == []


def test_the_files_that_hold_secrets_are_their_owners_alone(ground: Ground) -> None:
    run = ground.stack.run_dir
    place = Path((run / "place").read_text().strip()) if (run / "place").exists() else run
    holding = set()
    for base in {run, place}:
        for path in files_below(base):
            with suppress(FileNotFoundError):  # one that the bridge has just replaced
                if path.is_file() and ground.found_in(path.read_text(errors="replace")):
                    assert path.stat().st_mode & 0o077 == 0, path
                    holding.add(path.name)
    assert holding == {"secrets", "jwt-secret", "pgpass", "postgrest.conf", "broker-password", "private.key"}


def test_the_search_finds_what_is_there(stack: Stack) -> None:
    ground = Ground(stack)
    secret = ground.plant("x")
    hide: list[Callable[[str], str]] = [
        str, lambda text: base64.b64encode(f"user:{text}".encode()).decode(), lambda text: text.encode().hex()
    ]  # fmt: skip
    for each in hide:
        assert ground.found_in(f"before {each(secret)} after") == ["x"]
    assert ground.found_in("nothing") == []
