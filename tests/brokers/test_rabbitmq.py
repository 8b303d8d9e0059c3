"""Real RabbitMQ with its MQTT plugin lets devices in, and bounds them, by what the database says."""

import dataclasses
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.brokers.mqtt import connected
from tests.brokers.rabbitmq import PROGRAMS, RabbitMQ, install
from tests.support.api import Api
from tests.support.stack import ROOT, Stack
from tests.support.tenant import Tenant, make_tenant
from tests.support.waiting import PROGRAM_PATIENCE, wait_until

# Starting RabbitMQ takes a while, installing it a while more.
pytestmark = pytest.mark.timeout(900)

PAGE = ROOT / "docs" / "how-to" / "brokers" / "rabbitmq.md"


def block(holding: str) -> str:
    """The block of code of the page that holds a text."""
    return str(next(text for text in re.findall(r"```\w*\n(.*?)```", PAGE.read_text(), re.DOTALL) if holding in text))


@pytest.fixture(scope="module")
def key(api: Api, service: str) -> dict[str, Any]:
    answer: dict[str, Any] = api.ok("generate_broker_key", {"name": "RabbitMQ"}, token=service)
    return answer


@pytest.fixture(scope="module")
def rabbitmq(stack: Stack, key: dict[str, Any]) -> Iterator[RabbitMQ]:
    """As docs/how-to/brokers/rabbitmq.md configures it."""
    install()
    text = block("auth_http.user_path").replace("<username>:<key>", f"{key['username']}:{key['key']}")
    text = text.replace("127.0.0.1:3000", stack.api_url.removeprefix("http://"))
    settings = dict(line.split(" = ", 1) for line in text.splitlines() if line)
    with RabbitMQ(settings) as running:
        yield running
        assert key["key"] not in running.log(), "at its usual log levels RabbitMQ writes no key"
        pids = running.pids
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()], "something of RabbitMQ stayed behind"


def test_a_device_logs_in_with_its_credential_and_keeps_to_its_topics(rabbitmq: RabbitMQ, home: Tenant) -> None:
    device = home.device()
    prefix = device.topic_prefix
    with connected(rabbitmq.port, device) as session:
        assert session.is_in
        assert session.subscribe(f"{prefix}/devices/+/commands")
        assert session.publish(f"{prefix}/devices/a/commands", b"on")
        wait_until(lambda: session.received == [(f"{prefix}/devices/a/commands", b"on")], what="the message")
        assert not session.publish(f"{prefix}x/devices/a/telemetry")
        assert session.is_cut
    with connected(rabbitmq.port, device) as session:
        assert not session.subscribe("#")


def test_others_do_not_log_in(rabbitmq: RabbitMQ, home: Tenant, stack: Stack, api: Api) -> None:
    device = home.device()
    foreign = api.ok(
        "generate_mqtt_credentials",
        {"integration_id": home.integration("mqtt_external", broker_url="broker.example.com"), "topic_prefix": "org_someone_else"},
        token=home.admin,
    )
    for changes in (
        {"password": device.password + "x"},
        {"password": ""},
        {"client_id": "another"},
        {"username": "nobody"},
        {"username": "' OR ''='"},
        {"username": f"other:{device.username}"},  # RabbitMQ reads vhost:username
        {"username": None, "password": None},
        {"username": foreign["username"], "password": foreign["password"], "client_id": foreign["client_id"]},
    ):
        with connected(rabbitmq.port, device, **changes) as session:
            assert not session.is_in, changes
    with connected(rabbitmq.port, device) as session:
        assert session.is_in
    with connected(rabbitmq.port, device, username=f"/:{device.username}") as session:
        assert session.is_in


def test_ended_credentials_do_not_log_in(rabbitmq: RabbitMQ, home: Tenant, api: Api, stack: Stack) -> None:
    revoked, expired, idle = home.device(), home.device(), home.device()
    api.ok("revoke_mqtt_credentials", {"credential_id": credential_id(api, home, revoked.username)}, token=home.admin)
    with stack.connect() as db:
        db.execute("UPDATE mqtt.mqtt_credentials SET expires_at = now() - interval '1 second' WHERE username = %s", (expired.username,))
    for device in (revoked, expired):
        with connected(rabbitmq.port, device) as session:
            assert not session.is_in
    new = api.ok("rotate_mqtt_credentials", {"credential_id": credential_id(api, home, idle.username)}, token=home.admin)
    with connected(rabbitmq.port, idle) as session:
        assert not session.is_in
    with connected(rabbitmq.port, idle, password=new["password"]) as session:
        assert session.is_in


def test_a_live_session_of_a_revoked_credential_is_bounded_at_once_and_cut_within_seconds(
    rabbitmq: RabbitMQ, home: Tenant, api: Api, stack: Stack
) -> None:
    bounded, cut, other = home.device(), home.device(), home.device()
    topic = f"{cut.topic_prefix}/devices/a/telemetry"
    with connected(rabbitmq.port, bounded) as first, connected(rabbitmq.port, cut) as second, connected(rabbitmq.port, other) as third:
        for session in (first, second, third):
            assert session.publish(topic)
        for device in (bounded, cut):
            api.ok("revoke_mqtt_credentials", {"credential_id": credential_id(api, home, device.username)}, token=home.admin)
        # RabbitMQ asks about each topic once a session: a new one is refused ...
        assert not first.publish(f"{topic}2")
        # ... and one that it has asked about goes on. This is its limit, and why the operator has it cut sessions.
        assert second.publish(topic)
        cut_ended_sessions(rabbitmq, stack)
        wait_until(lambda: second.is_cut, what="the cut")
        assert third.publish(topic)


def test_sessions_end_with_what_their_logins_belong_to(rabbitmq: RabbitMQ, home: Tenant, api: Api, stack: Stack) -> None:
    """An integration that is deleted takes its logins with it, one that is switched off leaves them: brokers are told of both."""
    other = home.device()
    integrations = [home.integration("mqtt_hosted") for _ in range(2)]
    with stack.connect() as db:
        db.execute("UPDATE mqtt.mqtt_subscriptions SET granted_qos = 1, status = 'active' WHERE integration_id = ANY (%s)", (integrations,))
    deleted, switched_off = (dataclasses.replace(home, integration_id=integration).device() for integration in integrations)
    topic = f"{other.topic_prefix}/devices/a/telemetry"
    port = rabbitmq.port
    with connected(port, deleted) as first, connected(port, switched_off) as second, connected(port, other) as third:
        for session in (first, second, third):
            assert session.publish(topic)
        api.ok("delete_integration", {"integration_id": integrations[0]}, token=home.admin)
        off = {"organization_id": home.organization_id, "integration_id": integrations[1], "name": "off", "status": "inactive"}
        api.ok("upsert_integration", {**off, "integration_type": "mqtt_hosted", "settings": {}}, token=home.admin)
        assert first.publish(topic)
        assert second.publish(topic)
        cut_ended_sessions(rabbitmq, stack)
        wait_until(lambda: first.is_cut and second.is_cut, what="both being cut")
        assert third.publish(topic)


def test_a_connection_test_ends_no_session(rabbitmq: RabbitMQ, home: Tenant) -> None:
    device = home.device()
    with connected(rabbitmq.port, device) as session:
        assert session.subscribe(f"{device.topic_prefix}/devices/+/commands")
        with connected(rabbitmq.port, device, client_id=f"{device.client_id}~test") as test:
            assert test.subscribe(f"{device.topic_prefix}/test")
            assert test.publish(f"{device.topic_prefix}/devices/a/commands", b"on")
        wait_until(lambda: len(session.received) == 1, what="its message")
        assert not session.is_cut
    with connected(rabbitmq.port, device, client_id=f"{device.client_id}~tests") as session:
        assert not session.is_in


def test_the_bridge_s_own_account_may_use_every_topic(rabbitmq: RabbitMQ, home: Tenant) -> None:
    for line in block("add_user").replace("<password>", "secret of the bridge").splitlines():
        rabbitmq.control(*shlex.split(line)[1:])
    device = home.device()
    topic = f"{device.topic_prefix}/devices/a/telemetry"
    bridge = {"username": "topicbase_bridge", "client_id": "topicbase0123456789abcd"}
    with connected(rabbitmq.port, device, **bridge, password="wrong") as session:
        assert not session.is_in
    with connected(rabbitmq.port, device, **bridge, password="secret of the bridge", clean=False) as session:
        assert session.subscribe(f"{device.topic_prefix}/#")
        with connected(rabbitmq.port, device) as sender:
            assert sender.publish(topic, b"22")
        wait_until(lambda: session.received == [(topic, b"22")], what="the device's message")
        assert session.publish(f"{device.topic_prefix}/devices/a/commands")


def test_a_revoked_key_closes_the_broker(rabbitmq: RabbitMQ, home: Tenant, api: Api, stack: Stack) -> None:
    """No valid key, no answer: RabbitMQ lets nobody in then."""
    device = home.device()
    with stack.connect() as db:
        db.execute("UPDATE mqtt.broker_keys SET key_hash = sha256(key_hash)")
        with connected(rabbitmq.port, device) as session:
            assert not session.is_in
        stack.stop("postgrest")
        with connected(rabbitmq.port, device) as session:
            assert not session.is_in
        stack.start("postgrest")


@pytest.fixture
def reopened(key: dict[str, Any], stack: Stack) -> None:
    with stack.connect() as db:
        db.execute(
            "UPDATE mqtt.broker_keys SET key_hash = sha256(key_salt || convert_to(%s, 'UTF8')) WHERE id = %s", (key["key"], key["id"])
        )


@pytest.mark.usefixtures("reopened")
def test_what_it_does_is_what_explain_says(rabbitmq: RabbitMQ, home: Tenant, explain: Callable[..., dict[str, Any]]) -> None:
    """Faults 46 and 47: prefixes, wildcards, $share, $SYS. A dot is a slash to RabbitMQ, so there is none in these."""
    whole = home.device()
    prefix = whole.topic_prefix
    narrow = home.device(publish_filters=[f"{prefix}/+/up"], subscribe_filters=[f"{prefix}/a/+", f"{prefix}/b/#"])
    publishing = home.device(can_subscribe=False)
    subscribing = home.device(can_publish=False)
    tails = ["a/up", "a", "", "a/b/up", "b/c/d"]
    near = [f"{prefix}x/a", prefix.upper() + "/a", f"/{prefix}/a", prefix[:-1] + "/a", prefix.replace("_", "x") + "/a", "a", "/", "$SYS/x"]
    topics = [f"{prefix}/{tail}" for tail in tails] + near
    filters = [f"{prefix}/{tail}" for tail in ("#", "+/up", "a/+", "a/#", "a/x", "b/#", "b/+/#", "+/+")]
    filters += ["#", "+/x", "+/#", f"{prefix}x/#", "$SYS/#", f"$share/g/{prefix}x/#", "$share/g/#"]
    for device in (whole, narrow, publishing, subscribing):
        wanted = [("publish", topic) for topic in topics] + [("subscribe", text) for text in filters]
        said = [(explain(device.username, action, topic)["allowed"], action, topic) for action, topic in wanted]
        with connected(rabbitmq.port, device) as session:
            for allowed, action, topic in said:
                if allowed:
                    assert getattr(session, action)(topic), (action, topic)
        for allowed, action, topic in said:
            if not allowed:  # which cuts the session
                with connected(rabbitmq.port, device) as session:
                    assert not getattr(session, action)(topic), (action, topic)


@pytest.mark.usefixtures("reopened")
def test_a_session_that_is_kept_gets_what_it_missed(rabbitmq: RabbitMQ, home: Tenant) -> None:
    """Persistent sessions have queues of their own, which other devices cannot touch."""
    device, sender = home.device(), home.device()
    topic = f"{device.topic_prefix}/devices/a/commands"
    with connected(rabbitmq.port, device, clean=False) as session:
        assert session.subscribe(topic)
    with connected(rabbitmq.port, sender) as session:
        assert session.publish(topic, b"missed")
    with connected(rabbitmq.port, device, clean=False) as session:
        wait_until(lambda: session.received == [(topic, b"missed")], what="the message that it missed")


@pytest.fixture
def victim(stack: Stack, api: Api) -> Tenant:
    """Another organization, whose devices may log in."""
    tenant = make_tenant(stack, api)
    with stack.connect() as db:
        granted = "UPDATE mqtt.mqtt_subscriptions SET granted_qos = 1, status = 'active' WHERE integration_id = %s"
        db.execute(granted, (tenant.integration_id,))
    return tenant


@pytest.mark.usefixtures("reopened")
def test_a_shared_subscription_takes_nothing_from_another_organization(rabbitmq: RabbitMQ, home: Tenant, victim: Tenant) -> None:
    sender, listener = victim.device(), victim.device()
    topic = f"{sender.topic_prefix}/devices/a/telemetry"
    with connected(rabbitmq.port, sender) as sending, connected(rabbitmq.port, listener) as listening:
        assert listening.subscribe(f"{sender.topic_prefix}/#")
        for arguments in ({}, {"can_subscribe": False}):
            with connected(rabbitmq.port, home.device(**arguments)) as thief:
                assert not thief.subscribe(f"$share/workers/{sender.topic_prefix}/#")
        for number in range(20):
            assert sending.publish(topic, b"%d" % number)
        wait_until(lambda: len(listening.received) >= 20, what="all messages")
        assert [int(payload) for _, payload in listening.received] == list(range(20))


@pytest.mark.usefixtures("reopened")
def test_nobody_takes_over_a_session_by_its_client_id(rabbitmq: RabbitMQ, home: Tenant, victim: Tenant) -> None:
    sensor, sender, thief = victim.device(client_id="sensor01"), victim.device(), home.device(client_id="sensor01")
    assert thief.client_id != sensor.client_id == "sensor01"
    topic = f"{sensor.topic_prefix}/devices/a/commands"

    def attack() -> None:
        for clean in (True, False):
            with connected(rabbitmq.port, thief, client_id=sensor.client_id, clean=clean) as session:
                assert not session.is_in

    with connected(rabbitmq.port, sensor, clean=False) as session:
        assert session.subscribe(topic)
    with connected(rabbitmq.port, sender) as sending:
        for number in range(20):
            assert sending.publish(topic, b"%d" % number)
    attack()
    with connected(rabbitmq.port, sensor, clean=False) as session:
        wait_until(lambda: len(session.received) >= 20, what="what waited for it")
        attack()
        assert [int(payload) for _, payload in session.received] == list(range(20))
        assert not session.is_cut
        with connected(rabbitmq.port, thief) as other:
            assert other.is_in


def cut_ended_sessions(rabbitmq: RabbitMQ, stack: Stack) -> None:
    """The script of docs/how-to/brokers/rabbitmq.md for this version, as it stands there."""
    major, minor = (int(part) for part in rabbitmq.control("version").split(".")[:2])
    script = block("close_all_user_connections" if (major, minor) >= (3, 12) else "lists:member")
    where = psycopg.conninfo.conninfo_to_dict(stack.database_url)
    environment = {
        **rabbitmq.environment,
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
        "PGHOST": str(where["host"]),
        "PGPORT": str(where["port"]),
        "PGUSER": str(where["user"]),
        "PGPASSWORD": str(where["password"]),
        "PGDATABASE": str(where["dbname"]),
        "PGOPTIONS": "-c role=rabbitmq_reader -c search_path=",
    }
    subprocess.run(
        ["sh", "-eu", "-c", script], env=environment, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROGRAM_PATIENCE
    )


def credential_id(api: Api, home: Tenant, username: str) -> str:
    return str(next(row["id"] for row in api.ok("get_mqtt_credentials", token=home.admin) if row["username"] == username))
