"""A stack without bridge and broker, so that the queue moves only when a test says so; and proof that its books add up."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.api.support import Queue, Witness
from tests.support.api import Api
from tests.support.stack import Stack, start_stack
from tests.support.tenant import Tenant


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    running = start_stack(without=("bridge", "mosquitto"))
    yield running
    running.down()


@pytest.fixture(scope="session")
def jwt(stack: Stack) -> Callable[..., str]:
    return stack.token


@pytest.fixture(scope="session")
def api(stack: Stack) -> Iterator[Api]:
    client = Api(stack.api_url)
    with client.session:
        yield client


@pytest.fixture(scope="session")
def gateway(stack: Stack) -> Iterator[Api]:
    client = Api(f"{stack.gateway_url}/rest/v1")
    with client.session:
        yield client


@pytest.fixture
def queue(stack: Stack, api: Api, db: psycopg.Connection[tuple[Any, ...]]) -> Iterator[Queue]:
    """The queue, to be worked off by hand; afterwards every accepted message is accounted for."""
    queue = Queue(api, stack.token("service_role"), db)
    yield queue
    assert api.ok("check_mqtt_ledger", token=queue.service) == []


@pytest.fixture
def home(tenant: Callable[..., Tenant]) -> Tenant:
    """A tenant of this test's own."""
    return tenant()


@pytest.fixture
def witness(db: psycopg.Connection[tuple[Any, ...]]) -> Callable[[Tenant], Witness]:
    """`witness(tenant)`: notes what a tenant owns, to tell later whether anything came of a call."""
    return lambda tenant: Witness(db, tenant.organization_id)
