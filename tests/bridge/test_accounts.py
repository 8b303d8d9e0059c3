"""Mosquitto takes the credentials that work over HTTP, with their limits, and drops them when they end."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg

from tests.bridge.support import Peer, stored
from tests.bridge.test_inbound import history, hosted
from tests.bridge.test_outbound import prefix
from tests.support.api import Device, one
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE, wait_until

Connection = psycopg.Connection[tuple[Any, ...]]
Tenants = Callable[..., Tenant]
Peers = Callable[..., Peer]
REFUSED = 0x87


def login(peer: Peers, device: Device, **options: Any) -> Peer:
    """Log in as the device, as soon as the broker knows it."""

    def attempt() -> Peer | None:
        found = peer(username=device.username, password=device.password, client_id=device.client_id, **options)
        return found if found.code == 0 else None

    found = wait_until(attempt, what="the broker takes the new credential")
    assert found is not None
    return found


def test_a_device_publishes_and_hears_below_its_prefix_only(stack: Stack, db: Connection, tenant: Tenants, peer: Peers) -> None:
    owner, other = hosted(db, tenant), hosted(db, tenant)
    device = login(peer, owner.device())
    everything = peer()
    # Not "#": that would bring what other tests of this broker left retained.
    for heard in (f"{prefix(owner)}/#", f"{prefix(other)}/#", f"{prefix(owner)}x/#", "elsewhere"):
        everything.subscribe(heard)
    assert device.publish(f"{prefix(owner)}/devices/d/telemetry", "1") == 0
    for topic in (f"{prefix(other)}/devices/d/telemetry", f"{prefix(owner)}x/devices/d/telemetry", "elsewhere", "$SYS/broker/x"):
        assert device.publish(topic, "2") == REFUSED, topic
    assert everything.next().topic == f"{prefix(owner)}/devices/d/telemetry"
    assert everything.messages.empty()
    assert [row["payload"] for row in history(stack, owner, 1)] == [1]
    assert stored(stack, other.organization_id) == []

    assert device.subscribe("#") == REFUSED
    assert device.subscribe(f"{prefix(other)}/#") == REFUSED
    assert device.subscribe(f"{prefix(owner)}/#") == 2
    everything.publish(f"{prefix(other)}/secret", "3")
    everything.publish(f"{prefix(owner)}/command", "4")
    everything.publish(f"{prefix(owner)}/command", "5")
    # In the order in which they were published, and each once.
    assert [device.next().payload for _ in range(2)] == [b"4", b"5"]
    assert device.messages.empty()


def test_rights_of_a_credential(db: Connection, tenant: Tenants, peer: Peers) -> None:
    owner = hosted(db, tenant)
    talker, listener = owner.device(), owner.device()
    db.execute("UPDATE mqtt.mqtt_credentials SET can_subscribe = false WHERE username = %s", (talker.username,))
    db.execute("UPDATE mqtt.mqtt_credentials SET can_publish = false WHERE username = %s", (listener.username,))
    speaking, hearing = login(peer, talker), login(peer, listener)
    topic = f"{prefix(owner)}/devices/d/telemetry"
    # The change may be on its way to the broker yet.
    wait_until(lambda: hearing.publish(topic, "no") == REFUSED)
    hearing.subscribe(topic)
    speaking.subscribe(topic)
    assert speaking.publish(topic, "yes") == 0
    assert hearing.next().payload == b"yes"
    # What the broker had for it would have come before this acknowledgement.
    assert speaking.publish(topic, "again") == 0
    assert speaking.messages.empty()


def test_nobody_else_gets_in(peer: Peers) -> None:
    assert peer(username=None).code == REFUSED
    assert peer(username="nobody", password="nothing").code == REFUSED
    assert peer(password="wrong").code == REFUSED


def test_a_revoked_credential_is_cut_off(db: Connection, tenant: Tenants, peer: Peers) -> None:
    owner = hosted(db, tenant)
    credential, staying = owner.device(), owner.device()
    device, other = login(peer, credential), login(peer, staying)
    row = one(
        [r for r in owner.api.ok("get_mqtt_credentials", {"integration_id": owner.integration_id}, token=owner.admin)
         if r["username"] == credential.username]
    )  # fmt: skip
    owner.api.ok("revoke_mqtt_credentials", {"credential_id": row["id"]}, token=owner.admin)
    assert device.disconnected.wait(PATIENCE)
    assert peer(username=credential.username, password=credential.password).code == REFUSED
    assert other.publish(f"{prefix(owner)}/x", "1") in (0, 16)
    assert not other.disconnected.is_set()


def test_sessions_are_counted_as_connections(db: Connection, tenant: Tenants, peer: Peers) -> None:
    owner = hosted(db, tenant)
    device, idle = owner.device(), owner.device()

    def told(member: str) -> dict[str, Any]:
        rows = owner.api.ok("get_mqtt_credentials", {"integration_id": owner.integration_id}, token=owner.admin)
        return {row["username"]: row[member] for row in rows}

    def counted() -> int:
        return int(told("connection_count")[device.username])

    began = datetime.now(UTC)
    for _ in range(3):
        login(peer, device).close()
    wait_until(lambda: counted() == 3, what="three sessions being counted")
    assert datetime.fromisoformat(told("last_connected_at")[device.username]) >= began.replace(microsecond=0)
    # Neither a login that is refused nor a connection test counts; a message over HTTP does.
    assert peer(username=device.username, password="wrong", client_id=device.client_id).code == REFUSED
    test = peer(username=device.username, password=device.password, client_id=f"{device.client_id}~test")
    assert test.code == 0
    test.close()
    assert device.send(1).status_code == 202
    login(peer, device).close()
    wait_until(lambda: counted() >= 5, what="a session and a message being counted")
    assert told("connection_count") == {device.username: 5, idle.username: 0}
    first = owner.api.rows("integration_activity_log", token=owner.member, activity_type="eq.credential_first_used")
    assert [row["details"]["via"] for row in first if row["details"]["username"] == device.username] == ["broker"]


def test_logins_end_with_their_device_and_their_organization(db: Connection, tenant: Tenants, peer: Peers) -> None:
    owner, neighbour = hosted(db, tenant), hosted(db, tenant)
    owner.api.ok("sync_device", {"integration_id": owner.integration_id, "external_id": "gone"}, token=owner.admin)
    bound = owner.device(device_id="gone")
    device, other, neighbours = login(peer, bound), login(peer, owner.device()), login(peer, neighbour.device())
    owner.api.ok("delete_device", {"device_id": "gone"}, token=owner.admin)
    assert device.disconnected.wait(PATIENCE)
    assert peer(username=bound.username, password=bound.password).code == REFUSED
    assert other.publish(f"{prefix(owner)}/x", "1") in (0, 16)
    assert other.publish(f"{prefix(owner)}/x", "kept by the broker", retain=True) in (0, 16)
    confirm = {"organization_id": owner.organization_id, "confirm": f"Organization {owner.slug}"}
    deletion = owner.api.ok("delete_organization", confirm, token=owner.admin)["id"]
    assert other.disconnected.wait(PATIENCE)
    wait_until(lambda: owner.api.ok("get_deletion", {"deletion_id": deletion}, token=owner.admin)["state"] == "done")
    assert db.execute("SELECT FROM mqtt.organizations WHERE id = %s", (owner.organization_id,)).fetchone() is None
    assert neighbours.publish(f"{prefix(neighbour)}/x", "1") in (0, 16)
    again = {"name": "Others", "slug": owner.slug}
    assert owner.api.call("create_organization", again, token=owner.stack.token("service_role")).status_code == 409


def test_an_expired_credential_is_cut_off(db: Connection, tenant: Tenants, peer: Peers) -> None:
    owner = hosted(db, tenant)
    credential = owner.device()
    device = login(peer, credential)
    expire = "UPDATE mqtt.mqtt_credentials SET expires_at = now() + interval '2 seconds' WHERE username = %s"
    db.execute(expire, (credential.username,))
    assert device.disconnected.wait(PATIENCE)
    row = db.execute("SELECT expires_at <= now() FROM mqtt.mqtt_credentials WHERE username = %s", (credential.username,)).fetchone()
    assert row == (True,), "not before"


def test_a_switched_off_integration_lets_nobody_in(db: Connection, tenant: Tenants, peer: Peers) -> None:
    owner = hosted(db, tenant)
    credential = owner.device()
    device = login(peer, credential)
    db.execute("UPDATE mqtt.device_integrations SET status = 'inactive' WHERE id = %s", (owner.integration_id,))
    assert device.disconnected.wait(PATIENCE)
    db.execute("UPDATE mqtt.device_integrations SET status = 'active' WHERE id = %s", (owner.integration_id,))
    login(peer, credential)


def test_a_password_rotated_in_mid_stream(stack: Stack, db: Connection, tenant: Tenants, peer: Peers) -> None:
    """Fault 53: over HTTP and MQTT, the old one works through its grace, and only so long; nothing that was accepted is lost."""
    owner = hosted(db, tenant)
    old = owner.device()
    topic, accepted, unanswered = f"{prefix(owner)}/devices/d/telemetry", set[int](), set[int]()
    numbers = itertools.count()

    def post(device: Device) -> int:
        number = next(numbers)
        answer = device.send(number, topic=topic)
        if answer.status_code == 202:
            accepted.add(number)
        return answer.status_code

    def speak(session: Peer) -> None:
        number = next(numbers)
        mid = session.client.publish(topic, str(number), 1).mid
        wait_until(lambda: mid in session.published or session.disconnected.is_set(), what="a PUBACK, or the cut")
        (accepted if session.published.get(mid) == 0 else unanswered).add(number)

    first = login(peer, old)
    for _ in range(20):
        assert post(old) == 202
        speak(first)
    assert not unanswered

    (row,) = owner.api.ok("get_mqtt_credentials", {"integration_id": owner.integration_id}, token=owner.admin)
    rotated = owner.api.ok("rotate_mqtt_credentials", {"credential_id": row["id"], "grace": "1 hour"}, token=owner.admin)
    assert datetime.fromisoformat(rotated["previous_until"]) > datetime.now(UTC)
    new = Device(owner.api, old.username, rotated["password"], old.client_id, old.topic_prefix)
    second = login(peer, new)
    # It has the same client id, and so takes the session over; the old password can take it back.
    assert first.disconnected.wait(PATIENCE)
    first.close()
    second.close()
    first = login(peer, old)
    for _ in range(20):
        assert post(old) == 202
        speak(first)
    assert not first.disconnected.is_set()
    # Judged by the clock of the request: accepted before the end, refused after it.
    end = "UPDATE mqtt.mqtt_credentials SET previous_until = now() + interval '2 seconds' WHERE id = %s RETURNING previous_until"
    ended = db.execute(end, (row["id"],)).fetchone()
    assert ended is not None
    ends = ended[0]
    while True:
        asked_at = datetime.now(UTC)
        if post(old) == 401:
            assert datetime.now(UTC) >= ends
            break
        assert asked_at < ends
        assert post(new) == 202
        if not first.disconnected.is_set():
            speak(first)
    assert first.disconnected.wait(PATIENCE), "cut with the old password's end"
    assert datetime.now(UTC) >= ends
    first.close()
    assert peer(username=old.username, password=old.password, client_id=old.client_id).code == REFUSED
    third = login(peer, new)
    for _ in range(5):
        assert post(old) == 401
        assert post(new) == 202
        speak(third)
    assert len(unanswered) <= 1

    payloads = [row["payload"] for row in history(stack, owner, len(accepted))]
    assert accepted <= set(payloads) <= accepted | unanswered
    assert len(payloads) == len(set(payloads))


def test_the_end_of_a_grace_spares_sessions_of_the_new_password(db: Connection, tenant: Tenants, peer: Peers) -> None:
    owner = hosted(db, tenant)
    old, gone = owner.device(), owner.device()
    witness = login(peer, gone)
    rows = owner.api.ok("get_mqtt_credentials", {"integration_id": owner.integration_id}, token=owner.admin)
    ids = {row["username"]: row["id"] for row in rows}
    rotated = owner.api.ok("rotate_mqtt_credentials", {"credential_id": ids[old.username], "grace": "1 hour"}, token=owner.admin)
    session = login(peer, Device(owner.api, old.username, rotated["password"], old.client_id, old.topic_prefix))
    # Both changes reach the broker with the same file.
    db.execute("UPDATE mqtt.mqtt_credentials SET previous_until = now() WHERE id = %s", (ids[old.username],))
    owner.api.ok("revoke_mqtt_credentials", {"credential_id": ids[gone.username]}, token=owner.admin)
    assert witness.disconnected.wait(PATIENCE)
    assert peer(username=old.username, password=old.password, client_id=old.client_id).code == REFUSED
    assert session.publish(f"{prefix(owner)}/x", "1") in (0, 16)
    assert not session.disconnected.is_set()


def test_a_connection_test_hides_no_session_of_the_old_password(db: Connection, tenant: Tenants, peer: Peers) -> None:
    """It is another session of the same login, and may have come with the new password."""
    owner = hosted(db, tenant)
    old = owner.device()
    row = one(owner.api.ok("get_mqtt_credentials", {"integration_id": owner.integration_id}, token=owner.admin))
    session = login(peer, old)
    rotated = owner.api.ok("rotate_mqtt_credentials", {"credential_id": row["id"], "grace": "1 hour"}, token=owner.admin)

    def is_test_admitted() -> bool:
        return peer(username=old.username, password=rotated["password"], client_id=f"{old.client_id}~test").code == 0

    wait_until(is_test_admitted, what="the new password at the broker")
    db.execute("UPDATE mqtt.mqtt_credentials SET previous_until = now() WHERE id = %s", (row["id"],))
    assert session.disconnected.wait(PATIENCE), "cut with the old password's end"
