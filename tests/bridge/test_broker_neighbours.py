"""What one organization does at the hosted Mosquitto costs another none of its messages, and no session."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from tests.bridge.support import Peer
from tests.bridge.test_accounts import REFUSED, login
from tests.bridge.test_inbound import history, hosted
from tests.bridge.test_outbound import prefix
from tests.support.api import one
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE, wait_until

Connection = psycopg.Connection[tuple[Any, ...]]
Tenants = Callable[..., Tenant]
Peers = Callable[..., Peer]
COUNT = 40


@contextmanager
def configured(stack: Stack, **values: int) -> Iterator[None]:
    """Limits of the installation that Mosquitto has read, until the end."""

    def write(values: dict[str, Any]) -> None:
        with stack.connect() as connection:
            names = ", ".join(f"{name} = %s" for name in values)
            connection.execute(f"UPDATE mqtt.configuration SET {names}", tuple(values.values()))

    with stack.connect() as connection:
        row = connection.execute(f"SELECT {', '.join(values)} FROM mqtt.configuration").fetchone()
    assert row is not None
    write(values)
    try:
        yield
    finally:
        write(dict(zip(values, row, strict=True)))


def readings(stack: Stack) -> int:
    """How many access files Mosquitto has read."""
    return stack.log("mosquitto").count("topicbase: ")


# ------------------------------------------------------------------------------------------------------------------ subscriptions


@pytest.mark.parametrize("version", [4, 5])
def test_foreign_filters_are_denied_when_they_are_subscribed_to(db: Connection, tenant: Tenants, peer: Peers, version: int) -> None:
    owner, other = hosted(db, tenant), hosted(db, tenant)
    thief = login(peer, owner.device(), version=version)
    denied = REFUSED if version == 5 else 0x80
    foreign = (
        *(f"{prefix(other)}/#", f"{prefix(other)}/devices/+/telemetry", f"{prefix(owner)}x/#", "#", "+/#", "+/devices/#", "$SYS/#", "/#"),
        *(f"$share/g/{prefix(other)}/#", "$share/g/#", "$share/g/+/#", "$share/g/$SYS/#", f"$share/{prefix(owner)}/{prefix(other)}/#"),
    )
    for topic in foreign:
        assert thief.subscribe(topic) == denied, topic
    own = (f"{prefix(owner)}/#", f"{prefix(owner)}/+/x", prefix(owner), f"{prefix(owner)}/+/#", f"$share/g/{prefix(owner)}/#")
    for topic in own:
        assert thief.subscribe(topic) == 2, topic


def test_a_shared_subscription_takes_nothing_from_another_organization(stack: Stack, db: Connection, tenant: Tenants, peer: Peers) -> None:
    attacker, victim = hosted(db, tenant), hosted(db, tenant)
    workers = f"$share/workers/{prefix(victim)}/#"
    device, worker = login(peer, victim.device()), login(peer, victim.device())
    assert worker.subscribe(workers) == 2
    for arguments in ({}, {}, {"can_subscribe": False}, {"topic_prefix": f"{prefix(attacker)}/devices/d"}):
        thief = login(peer, attacker.device(**arguments))
        assert thief.subscribe(workers) == REFUSED
        assert thief.subscribe(f"$share/other/{prefix(victim)}/#") == REFUSED
    for number in range(COUNT):
        assert device.publish(f"{prefix(victim)}/devices/d/telemetry", str(number)) == 0
    assert [int(message.payload) for message in worker.take(COUNT)] == list(range(COUNT))
    assert sorted(row["payload"] for row in history(stack, victim, COUNT)) == list(range(COUNT))


# ---------------------------------------------------------------------------------------------------------------------- client ids


def test_nobody_takes_over_a_session_by_its_client_id(stack: Stack, db: Connection, tenant: Tenants, peer: Peers) -> None:
    attacker, victim = hosted(db, tenant), hosted(db, tenant)
    thieves = [attacker.device(), attacker.device(client_id=f"t{uuid.uuid4().hex[:8]}")]
    for thief in thieves:
        login(peer, thief).close()
    sensor = victim.device(client_id=f"sensor{uuid.uuid4().hex[:8]}")
    app = login(peer, victim.device())
    session = login(peer, sensor, session_expiry=300)
    assert session.subscribe(f"{prefix(victim)}/command", 1) == 1
    session.close()

    def attack(client_id: str) -> None:
        for thief, options in zip(thieves, ({"session_expiry": 300}, {"version": 4}), strict=True):
            code = peer(username=thief.username, password=thief.password, client_id=client_id, **options).code
            assert code in (REFUSED, 5), options

    # While it is away, what waits for it stays; while it is there, it stays itself.
    for number in range(COUNT):
        assert app.publish(f"{prefix(victim)}/command", str(number)) in (0, 16)
    attack(sensor.client_id)
    session = login(peer, sensor, session_expiry=300)
    attack(sensor.client_id)
    assert [int(message.payload) for message in session.take(COUNT)] == list(range(COUNT))
    assert not session.disconnected.is_set()
    # The same for the session in which the bridge listens for the victim.
    attack(f"topicbase{uuid.UUID(victim.integration_id).hex[:14]}")
    for number in range(COUNT):
        assert session.publish(f"{prefix(victim)}/devices/d/telemetry", str(number)) == 0
    rows = history(stack, victim, 2 * COUNT)
    assert sum(row["topic"].endswith("/telemetry") for row in rows) == COUNT


def test_two_organizations_that_ask_for_one_client_id_get_two(db: Connection, tenant: Tenants, peer: Peers) -> None:
    first, second = hosted(db, tenant), hosted(db, tenant)
    wanted = f"sensor{uuid.uuid4().hex[:8]}"
    one_device, other_device = first.device(client_id=wanted), second.device(client_id=wanted)
    assert (one_device.client_id, other_device.client_id) == (wanted, f"{second.slug}.{wanted}")
    sessions = [login(peer, device) for device in (one_device, other_device)]
    assert peer(username=other_device.username, password=other_device.password, client_id=wanted).code == REFUSED
    for session, owner in zip(sessions, (first, second), strict=True):
        assert session.publish(f"{prefix(owner)}/x", "1") in (0, 16)
        assert not session.disconnected.is_set()


def test_a_login_has_one_client_id(db: Connection, tenant: Tenants, peer: Peers) -> None:
    device = hosted(db, tenant).device()
    login(peer, device)
    for client_id in ("", device.client_id + "x", device.client_id.upper()):
        assert peer(username=device.username, password=device.password, client_id=client_id).code == REFUSED, client_id


# -------------------------------------------------------------------------------------------------------------------------- limits


def test_subscriptions_of_a_login_are_bounded(stack: Stack, db: Connection, tenant: Tenants, peer: Peers) -> None:
    owner = hosted(db, tenant)
    with configured(stack, max_login_subscriptions=5):
        credential = owner.device()  # the broker learns of both with the same file
        device = login(peer, credential, session_expiry=300)

        def groups(first: int, last: int) -> list[int]:
            return [device.subscribe(f"$share/g{number}/{prefix(owner)}/#") for number in range(first, last)]

        assert groups(0, 7) == [2, 2, 2, 2, 2, REFUSED, REFUSED]
        assert groups(0, 5) == [2] * 5, "what it has, it may ask for again"
        assert device.subscribe(f"{prefix(owner)}/x") == REFUSED
        device.client.unsubscribe(f"$share/g0/{prefix(owner)}/#")
        assert device.subscribe(f"{prefix(owner)}/x") == 2
        # The session goes on, and with it the count.
        device.close()
        device = login(peer, credential, session_expiry=300)
        assert groups(5, 7) == [REFUSED, REFUSED]
        device.close()
        device = login(peer, credential)
        assert groups(0, 5) == [2] * 5, "a clean start forgets it"


def test_what_an_organization_retains_is_bounded(stack: Stack, db: Connection, tenant: Tenants, peer: Peers) -> None:
    owner, other = hosted(db, tenant), hosted(db, tenant)
    with configured(stack, max_retained_messages=3, max_retained_bytes=1000):
        device, second, neighbour = login(peer, owner.device()), login(peer, owner.device()), login(peer, other.device())

        def retain(session: Peer, tenant: Tenant, name: str, payload: str) -> int:
            return session.publish(f"{prefix(tenant)}/{name}", payload, retain=True)

        assert [retain(device, owner, f"r{number}", "x") for number in range(4)] == [0, 0, 0, REFUSED]
        assert retain(second, owner, "r4", "x") == REFUSED, "another login of the organization"
        assert retain(device, owner, "r0", "y") == 0, "in place of the one that is there"
        assert retain(device, owner, "r1", "") == 0
        assert retain(device, owner, "r3", "z" * 990) == REFUSED, "too many bytes"
        assert retain(device, owner, "r3", "z" * 300) == 0
        assert device.publish(f"{prefix(owner)}/r9", "not retained") == 0
        assert retain(neighbour, other, "r0", "x") == 0


def test_an_organization_has_a_limit_of_logins(stack: Stack, tenant: Tenants) -> None:
    owner, other = tenant(), tenant()
    credential = owner.device()
    with configured(stack, max_logins=2):
        owner.device()
        answer = owner.api.call("generate_mqtt_credentials", {"integration_id": owner.integration_id}, token=owner.admin)
        assert (answer.status_code, answer.json()["message"]) == (409, "login_limit_reached")
        other.device()
        rows = owner.api.ok("get_mqtt_credentials", {"integration_id": owner.integration_id}, token=owner.admin)
        (row,) = (row for row in rows if row["username"] == credential.username)
        owner.api.ok("revoke_mqtt_credentials", {"credential_id": row["id"]}, token=owner.admin)
        owner.device()


# ----------------------------------------------------------------------------------------------------------------- many logins


def test_changes_of_many_logins_hold_up_nobody(stack: Stack, db: Connection, tenant: Tenants, peer: Peers) -> None:
    """400 logins come and go at once; the neighbour's session and messages do not notice, and each change is one file."""
    crowd, neighbour = hosted(db, tenant), hosted(db, tenant)
    crowd.device()
    device = login(peer, neighbour.device())
    copy = """
        INSERT INTO mqtt.mqtt_credentials (organization_id, integration_id, username, client_id, topic_prefix, secret_salt,
            secret_hash, mosquitto_hash, bcrypt_hash)
        SELECT c.organization_id, c.integration_id, c.username || n, c.username || n, c.topic_prefix || '/devices/d' || n,
            c.secret_salt, c.secret_hash, c.mosquitto_hash, c.bcrypt_hash
        FROM mqtt.mqtt_credentials AS c, generate_series(1, 400) AS n WHERE c.organization_id = %s
        RETURNING username"""
    before = readings(stack)
    added = [row[0] for row in db.execute(copy, (crowd.organization_id,)).fetchall()]
    wait_until(lambda: readings(stack) > before, what="Mosquitto reads the new file")
    for number in range(COUNT):
        assert device.publish(f"{prefix(neighbour)}/devices/d/telemetry", str(number)) == 0
        db.execute("UPDATE mqtt.mqtt_credentials SET revoked_at = now() WHERE username = %s", (added[number],))
    last = f"topicbase: {stack_logins(db)} logins"
    wait_until(lambda: stack.log("mosquitto").rstrip().rfind(last) > 0, what="Mosquitto has read the last change")
    assert readings(stack) - before <= COUNT + 2
    assert not device.disconnected.is_set()
    assert [row["payload"] for row in history(stack, neighbour, COUNT)] == list(range(COUNT))
    db.execute("DELETE FROM mqtt.mqtt_credentials WHERE organization_id = %s", (crowd.organization_id,))


def stack_logins(db: Connection) -> int:
    """Lines of the access file: valid credentials, and the bridge's own."""
    row = db.execute("SELECT logins + 1 FROM bridge.mosquitto_accounts()").fetchone()
    assert row is not None
    return int(row[0])


# -------------------------------------------------------------------------------------------------------------- browser logins


def test_a_member_s_browser_listens_for_a_while(db: Connection, tenant: Tenants, peer: Peers) -> None:
    owner, other = hosted(db, tenant), hosted(db, tenant)
    device = login(peer, owner.device())
    call = {"integration_id": owner.integration_id, "subscribe_filters": [f"{prefix(owner)}/devices/+/telemetry"], "lifetime": "1 minute"}
    made = one(owner.api.ok("create_browser_login", call, token=owner.member))

    def attempt() -> Peer | None:
        found = peer(username=made["username"], password=made["password"], client_id=made["client_id"])
        return found if found.code == 0 else None

    browser = wait_until(attempt, what="the broker takes the browser's login")
    assert browser is not None
    topic = f"{prefix(owner)}/devices/d/telemetry"
    assert browser.subscribe(topic) == 2
    assert browser.subscribe(f"{prefix(owner)}/#") == REFUSED
    assert browser.subscribe(f"{prefix(other)}/devices/+/telemetry") == REFUSED
    assert browser.publish(topic, "forged") == REFUSED
    assert device.publish(topic, "21.5") == 0
    assert browser.next().payload == b"21.5"
    # Its end cuts the session, and so does that of the membership.
    db.execute("UPDATE mqtt.mqtt_credentials SET expires_at = now() + interval '1 second' WHERE id = %s", (made["id"],))
    assert browser.disconnected.wait(PATIENCE)
    made = one(owner.api.ok("create_browser_login", {"integration_id": owner.integration_id}, token=owner.member))
    browser = wait_until(attempt, what="the broker takes the second one")
    assert browser is not None
    db.execute("DELETE FROM mqtt.organization_members WHERE user_id = %s", (owner.member_id,))
    assert browser.disconnected.wait(PATIENCE)


def test_browser_logins_of_a_member_are_bounded(stack: Stack, tenant: Tenants) -> None:
    owner = tenant()

    def create(token: str) -> str:
        return str(one(owner.api.ok("create_browser_login", {"integration_id": owner.integration_id}, token=token))["id"])

    with configured(stack, max_browser_logins=3):
        made = [create(owner.member) for _ in range(5)]
        theirs = create(owner.admin)
    rows = owner.api.ok("get_mqtt_credentials", {"integration_id": owner.integration_id}, token=owner.admin)
    assert {row["id"] for row in rows if row["status"] == "active"} == {*made[2:], theirs}
