"""A stack with the live stream, whose queue is worked off by hand."""

from collections.abc import Callable, Iterator

import pytest

from tests.stream.support import Viewers
from tests.support.api import Api
from tests.support.stack import Stack, start_stack
from tests.support.tenant import Tenant


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    running = start_stack(without=("bridge", "mosquitto"), stream=True)
    yield running
    running.down()


@pytest.fixture(scope="session")
def api(stack: Stack) -> Iterator[Api]:
    """PostgREST of that stack."""
    client = Api(stack.api_url)
    with client.session:
        yield client


@pytest.fixture
def home(tenant: Callable[..., Tenant]) -> Tenant:
    return tenant()


@pytest.fixture
def viewers(stack: Stack) -> Iterator[Viewers]:
    """Opens streams, which end with the test."""
    opened = Viewers(stack)
    yield opened
    opened.close()
