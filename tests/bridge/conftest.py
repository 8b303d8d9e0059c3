"""Fixtures of the bridge's tests."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.bridge.support import Peer
from tests.support.broker import Broker
from tests.support.ports import Port
from tests.support.stack import Stack


@pytest.fixture
def peer(stack: Stack) -> Iterator[Callable[..., Peer]]:
    """`peer()`: a client of the stack's Mosquitto that may do everything; username, password and more as Peer takes them."""
    peers: list[Peer] = []

    def connect(**options: Any) -> Peer:
        options.setdefault("username", "topicbase_bridge")
        options.setdefault("password", stack.broker_password)
        peers.append(Peer(stack.mqtt_host, stack.mqtt_port, **options))
        return peers[-1]

    yield connect
    for each in peers:
        each.close()


@pytest.fixture
def port() -> Port:
    """A port that nobody listens on, until the test has something do so."""
    return Port()


@pytest.fixture
def witness() -> Iterator[Broker]:
    """A broker that does as the test says."""
    with Broker() as broker:
        yield broker
