"""Brokers that send what they should not: it costs their own connection at most, and never the bridge or another integration."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.bridge.support import publish, receipts, status
from tests.bridge.test_connection_test import answered
from tests.bridge.test_inbound import history, subscription
from tests.bridge.test_outbound import foreign
from tests.support.broker import Broker, encode_length, user_property
from tests.support.ports import Port
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import wait_until

Connection = psycopg.Connection[tuple[Any, ...]]
Tenants = Callable[..., Tenant]
VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])

# Where CONNACK should be.
GREETINGS = {
    "nothing known": b"\xff" * 6,
    "a kilobyte of it": b"\xa5" * 1024,
    "a length that does not end": b"\x20\xff\xff\xff\xff\xff",
    "CONNACK without a code": b"\x20\x01\x00",
    "CONNACK without anything": b"\x20\x00",
    "CONNACK with reserved bits": b"\x23\x03\x00\x00\x00",
    "PUBLISH": b"\x30\x04\x00\x01ax",
    "SUBACK": b"\x90\x04\x00\x01\x00\x00",
    "PINGRESP": b"\xd0\x00",
    "AUTH": b"\xf0\x02\x18\x00",
    "CONNECT": b"\x10\x10\x00\x04MQTT\x05\x02\x00\x1e\x00\x00\x03abc",
}
GREETINGS_5 = {
    "an unknown code": b"\x20\x03\x00\x55\x00",
    "properties that end behind it": b"\x20\x04\x00\x00\x7f\x21",
    "an unknown property": b"\x20\x05\x00\x00\x02\x7f\x00",
    "a property twice": b"\x20\x09\x00\x00\x06\x21\x00\x05\x21\x00\x06",
    "a receive maximum of 0": b"\x20\x06\x00\x00\x03\x21\x00\x00",
    "a packet size of 0": b"\x20\x08\x00\x00\x05\x27\x00\x00\x00\x00",
}

# Later, on a connection that works: must end it.
JUNK = {
    "nothing known": b"\xff" * 6,
    "a length that does not end": b"\x30\xff\xff\xff\xff\x01",
    "a huge packet": b"\x30\xff\xff\xff\x7f\x00\x05plant",
    "a topic longer than its packet": b"\x30\x02\xff\xff",
    "PUBLISH without anything": b"\x30\x00",
    "PUBLISH with QoS 3": b"\x36\x08\x00\x01a\x00\x01\x00xx",
    "PUBLISH with packet id 0": b"\x32\x08\x00\x01a\x00\x00\x00xx",
    "PUBLISH without its packet id": b"\x32\x03\x00\x01a",
    "PUBACK with reserved bits": b"\x43\x02\x00\x01",
    "PUBREL without its reserved bit": b"\x60\x02\x00\x01",
    "PINGRESP with reserved bits": b"\xd1\x00",
    "PUBACK of one byte": b"\x40\x01\x00",
    "PUBREC of one byte": b"\x50\x01\x00",
    "PUBREL of no byte": b"\x62\x00",
    "SUBACK of no byte": b"\x90\x00",
    "a reserved type": b"\x00\x00",
    "a second CONNACK": b"\x20\x03\x00\x00\x00",
    "CONNECT": b"\x10\x10\x00\x04MQTT\x05\x02\x00\x1e\x00\x00\x03abc",
    "DISCONNECT": b"\xe0\x00",
    "half a packet, then the end": b"\x32\x7f\x00\x05plant\x00",
}
JUNK_5 = {
    "properties longer than their packet": b"\x30\x05\x00\x01a\x7fx",
    "properties without their length": b"\x30\x05\x00\x01a\x80\x80",
    "a topic alias that was never agreed": b"\x30\x07\x00\x00\x03\x23\x00\x01x",
    "a reason code that PUBACK has not": b"\x40\x03\x00\x01\x02",
    "PUBACK with a thousand properties": b"\x40\x96\xcb\x01\x00\x01\x00\x90\xcb\x01" + user_property("a", "b" * 20) * 1000,
}

# Acknowledgements that nobody waits for: no reason to hang up, and without effect.
UNSOLICITED = {
    "PUBACK": b"\x40\x02\x12\x34",
    "PUBREC": b"\x50\x02\x12\x34",
    "PUBREL": b"\x62\x02\x12\x34",
    "PUBCOMP": b"\x70\x02\x12\x34",
    "SUBACK": b"\x90\x04\x12\x34\x00\x00",
    "UNSUBACK": b"\xb0\x04\x12\x34\x00\x00",
    "PINGRESP": b"\xd0\x00",
}


@pytest.fixture
def crowd() -> Iterator[Callable[[dict[str, bytes]], dict[str, Broker]]]:
    """A broker for each kind of junk."""
    with ExitStack() as ends:
        yield lambda kinds: {name: ends.enter_context(Broker()) for name in kinds}


Crowd = Callable[[dict[str, bytes]], dict[str, Broker]]


def resident(stack: Stack) -> int:
    """MiB of the bridge."""
    pages = Path(f"/proc/{stack.pid('bridge')}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") >> 20


@VERSIONS
def test_something_else_than_connack(stack: Stack, tenant: Tenants, crowd: Crowd, version: str) -> None:
    kinds = GREETINGS | (GREETINGS_5 if version == "5" else {})
    owner, before = tenant(), stack.pid("bridge")
    brokers = crowd(kinds)
    ids = {}
    for name, broker in brokers.items():
        broker.greeting = kinds[name]
        ids[name] = foreign(owner, broker.port, mqtt_version=version)
    for name, broker in brokers.items():
        wait_until(lambda broker=broker: len(broker.connects) >= 2, what=f"{name}: another attempt")  # type: ignore[misc]
        state, words = status(stack, ids[name])
        assert state == "error", name
        assert words, name
    requests = {
        name: owner.api.ok("mqtt_test_connection", {"integration_id": ids[name]}, token=owner.admin)["request_id"] for name in kinds
    }
    for name, request_id in requests.items():
        result = answered(owner, request_id)
        assert (result["ok"], result["reachable"], result["stage"]) == (False, True, "connack"), name
        assert result["reason"], name
    for broker in brokers.values():
        broker.greeting = None
    # What does not wait for its next attempt: an integration that works all the while.
    (row,) = receipts(owner, publish(owner, [{"topic": f"org_{owner.slug}/devices/a/c", "payload": 1, "qos": 1}]))
    assert row["state"] == "acknowledged"
    for name, integration_id in ids.items():
        wait_until(lambda key=integration_id: status(stack, key) == ("active", None), what=f"{name}: connected after all")  # type: ignore[misc]
    assert stack.pid("bridge") == before


@VERSIONS
def test_junk_on_a_connection_that_works(stack: Stack, db: Connection, tenant: Tenants, crowd: Crowd, version: str) -> None:
    kinds = JUNK | (JUNK_5 if version == "5" else {})
    owner, before = tenant(), stack.pid("bridge")
    brokers = crowd(kinds)
    ids = {name: listening(db, owner, broker, version) for name, broker in brokers.items()}
    for name, broker in brokers.items():
        broker.send(kinds[name])
        if "half" in name:
            broker.cut()
    for name, broker in brokers.items():
        wait_until(lambda broker=broker: len(broker.connects) >= 2, what=f"{name}: a new connection")  # type: ignore[misc]
        wait_until(lambda broker=broker: len(broker.subscribed) >= 2, what=f"{name}: subscribed again")  # type: ignore[misc]
        broker.deliver(b"plant/a", b"1")
    assert len(history(stack, owner, len(kinds))) == len(kinds)
    sent = {name: publish(owner, [{"topic": "a", "payload": 1, "qos": 2}], integration_id) for name, integration_id in ids.items()}
    for name, receipt in sent.items():
        assert [row["state"] for row in receipts(owner, receipt)] == ["acknowledged"], name
    assert stack.pid("bridge") == before
    assert resident(stack) < 150


@VERSIONS
def test_acknowledgements_that_nobody_waits_for(stack: Stack, db: Connection, tenant: Tenants, witness: Broker, version: str) -> None:
    owner = tenant()
    integration_id = listening(db, owner, witness, version)
    for name, junk in UNSOLICITED.items():
        # Only MQTT 5 has reason codes in it.
        witness.send(b"\xb0\x02\x12\x34" if name == "UNSUBACK" and version == "3.1.1" else junk)
    witness.deliver(b"plant/a", b"1")
    history(stack, owner, 1)
    assert [row["state"] for row in receipts(owner, publish(owner, [{"topic": "a", "payload": 1, "qos": 1}], integration_id))] == [
        "acknowledged"
    ]
    assert len(witness.connects) == 1


def test_packets_in_pieces(stack: Stack, db: Connection, tenant: Tenants, witness: Broker) -> None:
    """A byte at a time, and many packets at once."""
    owner = tenant()
    listening(db, owner, witness, "5")
    packet = b"\x30\x0c\x00\x07plant/a\x00" + b"7" + b"1"
    for byte in packet:
        witness.send(bytes([byte]))
    witness.send(packet * 100)
    assert {row["payload"] for row in history(stack, owner, 101)} == {71}
    assert len(witness.connects) == 1


def listening(db: Connection, owner: Tenant, broker: Broker, version: str) -> str:
    """An integration that is connected and subscribed."""
    integration_id = foreign(owner, broker.port, mqtt_version=version)
    owner.api.ok("mqtt_subscribe", {"integration_id": integration_id, "topic": "plant/#", "qos": 1}, token=owner.admin)
    wait_until(lambda: (subscription(db, integration_id, "plant/#") or ("",))[0] == "active", what="an answer to SUBSCRIBE")
    return integration_id


def test_properties_of_any_kind_do_not_stop_what_comes_behind_them(stack: Stack, db: Connection, tenant: Tenants, witness: Broker) -> None:
    """What devices write into them, brokers pass on, and send again on each connection until it is acknowledged."""
    owner = tenant()
    witness.session_present = None
    listening(db, owner, witness, "5")
    texts = ("\ufeffpump", "a\0b", "\udcff")
    for text in texts:
        raw = text.encode(errors="surrogateescape")
        witness.offer("plant/a", b"1", properties=b"\x26\x00\x01n" + len(raw).to_bytes(2, "big") + raw)
    witness.offer("plant/format", b"1", properties=b"\x01\x02")
    odd = [
        witness.offer("plant/large", b"2", properties=user_property("a", "b") * 200000),
        witness.offer("plant/unknown", b"3", properties=b"\x7f\x00"),
        witness.offer("plant/cut", b"4", qos=2, properties=b"\x02\x00"),
        witness.offer("plant/twice", b"5", properties=b"\x01\x01\x01\x01"),
    ]
    last = witness.offer("plant/b", b"6")
    rows = history(stack, owner, len(texts) + 2)
    assert [row["properties"] and row["properties"]["user_properties"] for row in rows] == [
        [["n", "\ufeffpump"]], [["n", "a\ufffdb"]], [["n", "\ufffd"]], None, None,
    ]  # fmt: skip
    wait_until(lambda: all(offer.is_acknowledged for offer in (*odd, last)), what="acknowledgements")
    assert dead_letters(db, owner) == [
        ("plant/large", b"2", "The properties have 1400000 bytes; the bridge takes at most 131072."),
        ("plant/unknown", b"3", "The properties cannot be read: 0x7f is not a property of a message."),
        ("plant/cut", b"4", "The properties cannot be read: the last one is cut short."),
        ("plant/twice", b"5", "The properties cannot be read: payload_format twice."),
    ]
    assert len(witness.connects) == 1


def dead_letters(db: Connection, owner: Tenant) -> list[tuple[Any, ...]]:
    return db.execute(
        "SELECT d.topic, d.body, d.error_message FROM mqtt.mqtt_dead_letters AS d WHERE d.organization_id = %s ORDER BY d.body",
        (owner.organization_id,),
    ).fetchall()


@pytest.mark.parametrize(("version", "properties"), [("3.1.1", b""), ("5", b""), ("5", user_property("a", "b") * 100)])
def test_a_message_above_the_limit_does_not_stop_what_comes_behind_it(
    stack: Stack, db: Connection, tenant: Tenants, witness: Broker, version: str, properties: bytes
) -> None:
    """MQTT 3.1.1 cannot tell a broker how much the bridge takes; and not every broker of MQTT 5 heeds it."""
    owner = tenant()
    witness.session_present = None
    listening(db, owner, witness, version)
    payload = b"firmware" * (9 << 18)
    large = [witness.offer("plant/large", payload, qos, properties) for qos in (1, 2)]
    last = witness.offer("plant/b", b"3")
    assert [row["topic"] for row in history(stack, owner, 1)] == ["plant/b"]
    wait_until(lambda: all(offer.is_acknowledged for offer in (*large, last)), what="acknowledgements")
    size = len(payload) + len("plant/large") + 4 + (version == "5" and len(encode_length(len(properties))) + len(properties))
    words = f"The message has {size} bytes; the bridge takes at most 16777216."
    assert dead_letters(db, owner) == [("plant/large", payload[:4096], words)] * 2
    assert len(witness.connects) == 1
    assert resident(stack) < 150


@pytest.mark.parametrize("qos", [1, 2])
def test_acknowledgements_whose_words_cannot_be_read(tenant: Tenants, witness: Broker, qos: int) -> None:
    """U+FEFF, which MQTT allows: the broker has the message."""
    owner = tenant()
    words = b"\xef\xbb\xbfwell done"
    witness.ack_properties = b"\x1f" + len(words).to_bytes(2, "big") + words
    integration_id = foreign(owner, witness.port)
    (row,) = receipts(owner, publish(owner, [{"topic": "a", "payload": 1, "qos": qos}], integration_id))
    assert (row["state"], row["attempts"]) == ("acknowledged", 1)
    assert len(witness.seen) == len(witness.connects) == 1


@pytest.mark.parametrize(
    ("available", "topic", "words"),
    [
        (b"\x28\x00", "plant/+/a", "Wildcard subscription not supported"),
        (b"\x28\x00", "plant/#", "Wildcard subscription not supported"),
        (b"\x2a\x00", "$share/g/plant/a", "Shared subscription not supported"),
    ],
)
def test_a_broker_is_not_asked_for_what_it_says_it_has_not(
    db: Connection, tenant: Tenants, witness: Broker, available: bytes, topic: str, words: str
) -> None:
    """It is a protocol error, which ends the connection: each one, and all that goes over it."""
    owner = tenant()
    witness.connack_properties = available
    integration_id = foreign(owner, witness.port)
    for each in (topic, "plant/b"):
        owner.api.ok("mqtt_subscribe", {"integration_id": integration_id, "topic": each, "qos": 1}, token=owner.admin)
    wait_until(lambda: subscription(db, integration_id, topic) == ("error", None, words), what="the refusal")
    wait_until(lambda: (subscription(db, integration_id, "plant/b") or ("",))[0] == "active", what="the other one")
    assert [each for each, _ in witness.subscribed] == ["plant/b"]
    assert len(witness.connects) == 1


def test_silent_brokers_do_not_keep_the_others_waiting(stack: Stack, tenant: Tenants, witness: Broker) -> None:
    """Connecting to a mute TLS server takes 10 s to fail; dozens of them leave room for one that answers."""
    owner = tenant()
    with socket.create_server(("127.0.0.1", Port().number), backlog=100) as mute:
        silent = [owner.integration(broker_url="127.0.0.1", port=mute.getsockname()[1], protocol="mqtts") for _ in range(40)]
        given_up = stack.log("bridge").count("no answer in time to the TLS handshake")
        integration_id = foreign(owner, witness.port)
        wait_until(lambda: witness.connects, what="a connection")
        (row,) = receipts(owner, publish(owner, [{"topic": "a", "payload": 1, "qos": 1}], integration_id))
        assert row["state"] == "acknowledged"
        given_up = stack.log("bridge").count("no answer in time to the TLS handshake") - given_up
        assert given_up < len(silent) / 2, "it did not wait for their places"
        for each in silent:
            owner.api.ok("delete_integration", {"integration_id": each}, token=owner.admin)
