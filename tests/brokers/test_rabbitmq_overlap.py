"""Filters of one integration that overlap, at a real RabbitMQ: how many copies it sends, and what the history has of them."""

from collections.abc import Iterator

import pytest

from tests.bridge.support import Peer, stored
from tests.bridge.test_inbound import subscribed
from tests.brokers.rabbitmq import RabbitMQ, install
from tests.support.stack import Stack
from tests.support.tenant import Tenant
from tests.support.waiting import wait_until

# Starting RabbitMQ takes a while, installing it a while more.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def rabbitmq() -> Iterator[RabbitMQ]:
    install()
    with RabbitMQ({}) as running:
        running.control("add_user", "bridge", "secret")
        running.control("set_permissions", "-p", "/", "bridge", ".*", ".*", ".*")
        yield running


def peer(rabbitmq: RabbitMQ) -> Peer:
    return Peer("127.0.0.1", rabbitmq.port, "bridge", "secret", version=4)


def copies(rabbitmq: RabbitMQ, *filters: tuple[str, int]) -> list[int]:
    """What a bare client gets of one message at QoS 1 to a/b: the QoS of each copy."""
    device = peer(rabbitmq)
    try:
        for filter_, qos in filters:
            device.subscribe(filter_, qos)
        device.publish("a/b", b"1")
        device.publish("last/a", b"end")
        found = []
        ends = sum(1 for qos in {min(qos, 1) for _, qos in filters})
        while ends:
            message = device.next()
            if message.topic == "last/a":
                ends -= 1
            else:
                found.append(message.qos)
        return sorted(found)
    finally:
        device.close()


def test_rabbitmq_sends_one_copy_for_each_qos(rabbitmq: RabbitMQ) -> None:
    assert copies(rabbitmq, ("a/#", 1), ("a/+", 1), ("last/#", 1)) == [1]
    assert copies(rabbitmq, ("a/#", 0), ("a/+", 0), ("last/#", 0)) == [0]
    assert copies(rabbitmq, ("a/#", 1), ("a/+", 2), ("last/#", 1)) == [1], "QoS 2 is QoS 1 there"
    assert copies(rabbitmq, ("a/#", 0), ("a/+", 1), ("last/#", 0), ("last/+", 1)) == [0, 1]


@pytest.mark.parametrize(
    ("first", "second", "times"),
    [(1, 1, 1), (2, 1, 1), (0, 0, 1), (0, 1, 2)],
    ids=["the same QoS", "QoS 2 is QoS 1 there", "QoS 0", "QoS 0 and 1: two copies that cannot be told from two messages"],
)
def test_the_history(own: Stack, owner: Tenant, rabbitmq: RabbitMQ, first: int, second: int, times: int) -> None:
    integration_id = owner.integration(
        broker_url="127.0.0.1", port=rabbitmq.port, protocol="mqtt", mqtt_version="3.1.1", username="bridge", password="secret"
    )
    root = f"plant_{owner.slug}"
    with own.connect() as db:
        keys = {subscribed(db, owner, integration_id, f"{root}/{tail}", qos) for tail, qos in (("#", first), ("+", second))}
        other = subscribed(db, owner, integration_id, f"{root}/other/#", first)
    device = peer(rabbitmq)
    try:
        for number in range(20):
            device.publish(f"{root}/a", str(number))
        device.publish(f"{root}/last", b'"end"')
    finally:
        device.close()

    def is_over() -> bool:
        return len([row for row in stored(own, owner.organization_id) if row["payload"] == "end"]) >= times

    wait_until(is_over, what="the last message")
    rows = stored(own, owner.organization_id)
    assert sorted(row["payload"] for row in rows if row["payload"] != "end") == sorted(list(range(20)) * times)
    assert all(set(row["properties"]["subscription_ids"]) == keys for row in rows)
    assert other not in keys
