"""A stack with the live stream, whose queue is worked off by hand."""

from collections.abc import Callable, Iterator

import pytest

from tests.stream.support import Viewers
from tests.support.stack import Stack, start_stack
from tests.support.tenant import Tenant


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    running = start_stack(without=("bridge", "mosquitto"), stream=True)
    yield running
    running.down()


@pytest.fixture
def home(tenant: Callable[..., Tenant]) -> Tenant:
    return tenant()


@pytest.fixture
def viewers(stack: Stack) -> Iterator[Viewers]:
    """Opens streams, which end with the test."""
    opened = Viewers(stack)
    yield opened
    opened.close()
